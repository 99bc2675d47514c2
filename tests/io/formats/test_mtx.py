"""Matrix Market folders of every layout and order against the triplets they were written from."""

import gzip

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats import mtx_entries
from kithkin.io.formats.mtx import OutOfOrder, open_mtx, sniff

SMALL = Execution(memory=50 * 10**6, threads=1)
BANNER = "%%MatrixMarket matrix coordinate {} general\n"


def counts(n_cells, n_genes, seed=0, density=0.3, real=False):
    rng = np.random.default_rng(seed)
    values = rng.gamma(2.0, 3.0, (n_cells, n_genes)) if real else rng.integers(1, 400, (n_cells, n_genes))
    return values * (rng.random((n_cells, n_genes)) < density)


def lines_of(X, order="cell", cells_first=False, pattern=False, seed=0):
    cells, genes = np.nonzero(X)
    by = {
        "cell": np.lexsort((genes, cells)),
        "backwards": np.lexsort((-genes, cells)),
        "gene": np.lexsort((cells, genes)),
        "random": np.random.default_rng(seed).permutation(len(cells)),
    }[order]
    for c, g in zip(cells[by].tolist(), genes[by].tolist(), strict=True):
        first, second = (c, g) if cells_first else (g, c)
        yield f"{first + 1} {second + 1}" + ("" if pattern else f" {X[c, g]!s}")


def write(path, X, *, field="integer", zipped=False, cells_first=False, head="", **how):
    n_cells, n_genes = X.shape
    shape = (n_cells, n_genes) if cells_first else (n_genes, n_cells)
    body = list(lines_of(X, cells_first=cells_first, pattern=field == "pattern", **how))
    text = BANNER.format(field) + head + f"{shape[0]} {shape[1]} {len(body)}\n" + "\n".join(body) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if zipped else text.encode())
    return path


def write_names(folder, X, *, version=3, zipped=False, prefix="", types=None):
    n_cells, n_genes = X.shape
    types = ["Gene Expression"] * n_genes if types is None else types
    features = [f"ENS{k}\tG{k}" + (f"\t{types[k]}" if version == 3 else "") for k in range(n_genes)]
    for name, rows in (
        ("features" if version == 3 else "genes", features),
        ("barcodes", [f"C{k}-1" for k in range(n_cells)]),
    ):
        text = "".join(f"{row}\n" for row in rows).encode()
        file = folder / f"{prefix}{name}.tsv{'.gz' if zipped else ''}"
        file.write_bytes(gzip.compress(text) if zipped else text)


def read(source, execution=SMALL):
    blocks = list(source.tables["X"](execution))
    for block in blocks:
        assert isinstance(block, SparseRows)
        for start, stop in zip(block.indptr[:-1], block.indptr[1:], strict=True):
            assert (np.diff(block.indices[start:stop].astype(int)) > 0).all()
        assert (block.data != 0).all()
    return sparse.vstack([block.to_scipy().astype(float) for block in blocks]).toarray()


def refusal(path):
    with pytest.raises(FormatError) as caught:
        read(open_mtx(path))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("order", ["cell", "backwards", "gene", "random"])
@pytest.mark.parametrize("shape", [(30, 17), (20, 20), (1, 5), (5, 1), (1, 1)])
@pytest.mark.parametrize("field", ["integer", "real", "pattern"])
def test_values_are_exact_in_any_order_and_shape(tmp_path, order, shape, field):
    X = counts(*shape, seed=sum(shape), real=field == "real", density=0.5)
    X = (X > 0).astype(int) if field == "pattern" else X
    write(tmp_path / "matrix.mtx", X, order=order, field=field)
    write_names(tmp_path, X)
    source = open_mtx(tmp_path)
    assert np.array_equal(read(source), X)
    assert source.n_columns == shape[1]
    assert source.obs.index.tolist() == [f"C{k}-1" for k in range(shape[0])]
    assert source.var.index.tolist() == [f"G{k}" for k in range(shape[1])]
    assert np.array_equal(read(source), X)  # a second stream of the same source


@pytest.mark.parametrize("order", ["cell", "gene", "random"])
@pytest.mark.parametrize("text", [64, 100, 257])
def test_buffers_of_any_size_give_the_same(tmp_path, monkeypatch, order, text):
    X = counts(40, 12)
    write(tmp_path / "matrix.mtx", X, order=order)
    monkeypatch.setattr(mtx_entries, "TEXT", text)
    assert np.array_equal(read(open_mtx(tmp_path)), X)


def test_blocks_of_any_size_give_the_same(tmp_path, monkeypatch):
    X = counts(200, 12)
    write(tmp_path / "matrix.mtx", X)
    monkeypatch.setattr(
        "kithkin.io.formats.mtx.BLOCK_BYTES", 1
    )  # buffers as small as they may be: one more than there are genes
    source = open_mtx(tmp_path)
    assert len(list(source.tables["X"](SMALL))) > 50
    assert np.array_equal(read(source), X)


def test_disorder_behind_rows_already_given_restarts_on_disk(tmp_path, monkeypatch):
    X = counts(200, 12)
    body = list(lines_of(X))
    body[-1], body[-40] = body[-40], body[-1]
    (tmp_path / "matrix.mtx").write_text(BANNER.format("integer") + f"12 200 {len(body)}\n" + "\n".join(body))
    monkeypatch.setattr("kithkin.io.formats.mtx.BLOCK_BYTES", 1)
    source = open_mtx(tmp_path)
    with pytest.raises(OutOfOrder):
        read(source)
    assert np.array_equal(read(source), X)


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("prefix", ["", "GSM123_"])
def test_folders_of_10x_genomics(tmp_path, version, zipped, prefix):
    X = counts(9, 6)
    matrix = write(tmp_path / f"{prefix}matrix.mtx{'.gz' if zipped else ''}", X, zipped=zipped)
    write_names(tmp_path, X, version=version, zipped=zipped, prefix=prefix)
    for given in (tmp_path, matrix, str(tmp_path)):
        assert sniff(given)
        source = open_mtx(given)
        assert source.name == matrix.name
        assert np.array_equal(read(source), X)
        assert source.var["gene_ids"].tolist() == [f"ENS{k}" for k in range(6)]
        assert set(source.var["feature_types"]) == {"Gene Expression"}


def test_as_scanpy_reads_it(tmp_path):
    scanpy = pytest.importorskip("scanpy")
    X = counts(9, 6)
    write(tmp_path / "matrix.mtx.gz", X, zipped=True)
    write_names(tmp_path, X, zipped=True)
    expected, source = scanpy.read_10x_mtx(tmp_path), open_mtx(tmp_path)
    assert np.array_equal(read(source), expected.X.toarray())
    assert source.obs.index.equals(expected.obs_names.astype(object))
    assert source.var.index.equals(expected.var_names.astype(object))
    assert source.var["gene_ids"].tolist() == expected.var["gene_ids"].tolist()


def test_compression_is_told_by_content_not_by_name(tmp_path):
    X = counts(9, 6)
    write(tmp_path / "matrix.mtx", X, zipped=True)
    assert np.array_equal(read(open_mtx(tmp_path)), X)


def test_cells_in_rows_are_told_by_the_names(tmp_path):
    X = counts(9, 6)
    write(tmp_path / "matrix.mtx", X, cells_first=True)
    write_names(tmp_path, X)
    assert np.array_equal(read(open_mtx(tmp_path)), X)


def test_rows_of_a_square_matrix_are_genes(tmp_path):
    X = counts(7, 7)
    write(tmp_path / "matrix.mtx", X)
    write_names(tmp_path, X)
    assert np.array_equal(read(open_mtx(tmp_path)), X)


def test_without_names_cells_and_genes_are_numbered(tmp_path):
    X = counts(3, 2, density=1)
    source = open_mtx(write(tmp_path / "anything.txt", X))
    assert np.array_equal(read(source), X)
    assert source.var.index.tolist() == ["0", "1"]
    assert source.obs.index.tolist() == ["0", "1", "2"]


def test_other_types_of_features_go_to_obsm(tmp_path):
    X = counts(9, 6)
    types = ["Gene Expression", "Antibody Capture", "Gene Expression", "Custom", "Antibody Capture", "Gene Expression"]
    write(tmp_path / "matrix.mtx", X)
    write_names(tmp_path, X, types=types)
    source = open_mtx(tmp_path)
    assert np.array_equal(read(source), X[:, [0, 2, 5]])
    assert source.var.index.tolist() == ["G0", "G2", "G5"]
    protein = source.elements["obsm/Antibody Capture"]
    assert protein.columns.tolist() == ["G1", "G4"]
    assert protein.index.equals(source.obs.index)
    assert np.array_equal(protein, X[:, [1, 4]])
    assert np.array_equal(source.elements["obsm/Custom"], X[:, [3]])
    assert "2 Antibody Capture" in source.notes[0]


def test_freedoms_of_the_format(tmp_path):
    body = "1\t1   5\r\n\n% a comment in between\n 2 1 +3 \r\n\r\n1 2 007"
    text = BANNER.format("integer").upper().replace("%%MATRIXMARKET", "%%MatrixMarket") + "% a\n\n%b\n2 2 3\r\n" + body
    (tmp_path / "matrix.mtx").write_text(text, newline="")
    assert read(open_mtx(tmp_path)).tolist() == [[5, 3], [7, 0]]


def test_stored_zeros_are_not_counts(tmp_path):
    (tmp_path / "matrix.mtx").write_text(BANNER.format("integer") + "2 2 3\n1 1 0\n2 1 4\n2 2 0\n")
    blocks = list(open_mtx(tmp_path).tables["X"](SMALL))
    assert sum(len(block.data) for block in blocks) == 1


def test_reals_are_correct_to_the_last_bit(tmp_path):
    rng = np.random.default_rng(0)
    values = np.exp(rng.uniform(-700, 700, 300))
    texts = [repr(float(value)) for value in values] + [
        "1e-320",
        "0.1",
        "123456789012345678901234567890",
        "5.",
        ".5",
        "1E2",
    ]
    body = "\n".join(f"{k + 1} 1 {text}" for k, text in enumerate(texts))
    (tmp_path / "matrix.mtx").write_text(BANNER.format("real") + f"{len(texts)} 1 {len(texts)}\n{body}\n")
    assert read(open_mtx(tmp_path))[0].tolist() == [float(text) for text in texts]


def test_empty_cells_and_an_empty_matrix(tmp_path):
    X = np.zeros((6, 4), int)
    write(tmp_path / "matrix.mtx", X)
    assert np.array_equal(read(open_mtx(tmp_path)), X)
    X[2, 1] = 7
    write(tmp_path / "matrix.mtx", X)
    assert np.array_equal(read(open_mtx(tmp_path)), X)


GOOD = "3 2 3\n1 1 5\n2 1 1\n3 2 4\n"


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("integer", "3 2 3\n1 1 5\n4 1 1\n3 2 4\n", "matrix.mtx: line 4 names gene 4, but the header promises 3"),
        ("integer", "3 2 3\n1 1 5\n2 3 1\n3 2 4\n", "matrix.mtx: line 4 names cell 3, but the header promises 2"),
        ("integer", "3 2 3\n1 1 5\n0 1 1\n3 2 4\n", "matrix.mtx: line 4 names gene 0, but they are numbered from 1"),
        ("integer", "3 2 3\n1 1 5\n2 -1 1\n3 2 4\n", "matrix.mtx: line 4 names cell -1, but they are numbered from 1"),
        ("real", "3 2 3\n1 1 5\n2 1 NaN\n3 2 4\n", "matrix.mtx: line 4 holds NaN, which is not a count"),
        ("real", "3 2 3\n1 1 5\n2 1 1e999\n3 2 4\n", "matrix.mtx: line 4 holds '1e999', which is too large"),
        ("integer", "3 2 3\n1 1 5\n2 1 1.5\n3 2 4\n", "matrix.mtx: line 4 holds 1.5, but the header promises integers"),
        ("integer", "3 2 3\n1 1 5\n2 1 x\n3 2 4\n", "matrix.mtx: line 4 holds 'x', which is not a number"),
        ("integer", "3 2 3\n1 1 5\n2 1\n3 2 4\n", "matrix.mtx: line 4 should hold 3 numbers, but is '2 1'"),
        ("integer", "3 2 3\n1 1 5\n2 1 1 1\n3 2 4\n", "matrix.mtx: line 4 should hold 3 numbers, but is '2 1 1 1'"),
        ("integer", "3 2 3\n1 1 5\n2 1 9007199254740993\n3 2 4\n", "more than can be kept exactly"),
        ("integer", "3 2 4\n1 1 5\n2 1 1\n3 2 4\n", "line 5 is the last, after 3 entries, but the header promises 4"),
        ("integer", "3 2 2\n1 1 5\n2 1 1\n3 2 4\n", "matrix.mtx: line 5 is entry 3, but the header promises 2"),
        ("integer", "3 2 3\n1 1 5\n2 1 1\n2 1 4\n", "matrix.mtx: X, cell 1, gene 2 is stored twice"),
        ("integer", "3 2 3\n3 2 5\n2 1 1\n3 2 4\n", "matrix.mtx: X, cell 2, gene 3 is stored twice"),
        ("integer", "0 2 0\n", "matrix.mtx: line 2 promises a matrix of 0 x 2: there is nothing in it"),
        ("integer", "3 0 0\n", "matrix.mtx: line 2 promises a matrix of 3 x 0: there is nothing in it"),
        ("integer", "3 two 0\n", "matrix.mtx: line 2 should promise rows, columns and entries, but is '3 two 0'"),
        ("integer", "", "matrix.mtx: line 2 should promise rows, columns and entries, but is ''"),
        ("complex", GOOD, "line 1 promises 'complex' values"),
    ],
)
def test_bad_lines_are_named(tmp_path, field, text, message):
    (tmp_path / "matrix.mtx").write_text(BANNER.format(field) + text)
    assert message in refusal(tmp_path / "matrix.mtx")


@pytest.mark.parametrize(
    ("banner", "message"),
    [
        ("%%MatrixMarket matrix array integer general\n", "layout 'array'"),
        ("%%MatrixMarket matrix coordinate integer symmetric\n", "promises a symmetric matrix"),
        ("%%MatrixMarket vector\n", "line 1 is not the head of a Matrix Market file: '%%MatrixMarket vector'"),
        ("", "the file is empty"),
    ],
)
def test_bad_heads_are_named(tmp_path, banner, message):
    (tmp_path / "matrix.mtx").write_text(banner + GOOD if banner else "")
    assert message in refusal(tmp_path / "matrix.mtx")


def test_truncated_and_damaged_gzip(tmp_path):
    X = counts(300, 50)
    path = write(tmp_path / "matrix.mtx.gz", X, zipped=True)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    assert sniff(path)
    assert refusal(path).startswith("matrix.mtx.gz is truncated: its compressed stream breaks off after ")
    path.write_bytes(whole[:-8] + b"\0" * 8)
    assert refusal(path).startswith("matrix.mtx.gz: the compressed stream is damaged (")


def test_names_that_do_not_fit(tmp_path):
    X = counts(9, 6)
    write(tmp_path / "matrix.mtx", X)
    write_names(tmp_path, X[:8])
    assert refusal(tmp_path) == "barcodes.tsv names 8 cells, but matrix.mtx promises 9"
    write_names(tmp_path, X[:, :5])
    assert refusal(tmp_path) == "features.tsv names 5 features, but matrix.mtx promises 6"


def test_several_matrices_in_a_folder(tmp_path):
    for name in ("A_matrix.mtx", "B_matrix.mtx"):
        write(tmp_path / name, counts(3, 2))
    assert "2 matrices, name one of them: A_matrix.mtx, B_matrix.mtx" in refusal(tmp_path)
    write(tmp_path / "matrix.mtx", counts(3, 2))
    assert open_mtx(tmp_path).name == "matrix.mtx"


def test_other_things_are_not_taken_for_matrix_market(tmp_path):
    (tmp_path / "a.mtx").write_text("a,b\n1,2\n")
    assert not sniff(tmp_path / "a.mtx")
    assert not sniff(tmp_path)
    assert not sniff(tmp_path / "absent")
