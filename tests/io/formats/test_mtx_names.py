"""Names beside a Matrix Market file, as other programs call their files."""

import gzip

import numpy as np
import pytest

import kithkin as kk
from kithkin.io.read import open_source

ENTRIES = "%%MatrixMarket matrix coordinate {} general\n{} {} 3\n{}"
BY_CELL = "1 1 3\n2 3 4\n4 2 5\n"
BY_GENE = "1 1 3\n3 2 4\n2 4 5\n"
CELLS, IDS = [f"c{k}" for k in range(4)], [f"e{k}" for k in range(3)]
VALUES = [[3, 0, 0], [0, 0, 4], [0, 0, 0], [0, 5, 0]]


def lines(names, header="", end="\n"):
    return header + "".join(f"{name}{end}" for name in names)


FOLDERS = {
    "kb-python": (
        "cells_x_genes.mtx",
        {"cells_x_genes.barcodes.txt": lines(CELLS), "cells_x_genes.genes.txt": lines(IDS)},
    ),
    "alevin-fry": ("quants_mat.mtx", {"quants_mat_rows.txt": lines(CELLS), "quants_mat_cols.txt": lines(IDS)}),
    "Parse": (
        "count_matrix.mtx",
        {
            "cell_metadata.csv": lines(CELLS, "bc_wells,sample\n", ",s\n"),
            "all_genes.csv": "gene_id,gene_name,genome\n" + "".join(f"e{k},e{k},hg\n" for k in range(3)),
        },
    ),
    "prefix": ("GSM1_a.mtx", {"GSM1_a_barcodes.tsv": lines(CELLS), "GSM1_a_features.tsv": lines(IDS)}),
    "write.table": (
        "matrix.mtx",
        {
            "barcodes.tsv": '"x"\n' + "".join(f'"{k + 1}" "{name}"\n' for k, name in enumerate(CELLS)),
            "genes.tsv": "".join(f'"{name}"\t"{name}"\n' for name in IDS),
        },
    ),
    "byte order marks": (
        "matrix.mtx",
        {"barcodes.tsv": "\ufeff" + lines(CELLS), "genes.tsv": "\ufeff" + lines(IDS, end="\r\n")},
    ),
}


@pytest.mark.parametrize("rows", ["cells", "genes"])
@pytest.mark.parametrize("tool", FOLDERS)
def test_names_of_other_programs(tmp_path, tool, rows, caplog):
    matrix, files = FOLDERS[tool]
    shape, entries = ((4, 3), BY_CELL) if rows == "cells" else ((3, 4), BY_GENE)
    (tmp_path / "in").mkdir()
    mark = "\ufeff" if tool == "byte order marks" else ""
    (tmp_path / "in" / matrix).write_text(mark + ENTRIES.format("real", *shape, entries))
    for name, text in files.items():
        (tmp_path / "in" / name).write_text(text)
    ds = kk.read(tmp_path / "in", to=tmp_path / "a.zarr", progress=False)
    assert (list(ds.obs_names), list(ds.var_names)) == (CELLS, IDS)
    assert ds.read("X").toarray().tolist() == VALUES
    assert "numbered" not in caplog.text


def test_missing_names_are_said(tmp_path, caplog):
    (tmp_path / "a.mtx").write_text(ENTRIES.format("float", 3, 4, BY_GENE))
    ds = kk.read(tmp_path / "a.mtx", to=tmp_path / "a.zarr", progress=False)
    assert ds.shape == (4, 3)
    assert (
        "no names of genes and cells were found beside a.mtx: they are numbered, and its rows were read as genes"
        in caplog.text
    )
    (tmp_path / "a_barcodes.tsv").write_text(lines(CELLS))
    ds = kk.read(tmp_path / "a.mtx", to=tmp_path / "b.zarr", progress=False)
    assert list(ds.obs_names) == CELLS
    assert "no names of genes were found beside a.mtx" in caplog.text


def test_files_of_another_matrix_are_not_taken(tmp_path):
    for name in ("a", "b"):
        (tmp_path / f"{name}.mtx").write_text(ENTRIES.format("integer", 3, 4, BY_GENE))
    (tmp_path / "b_barcodes.tsv").write_text(lines(CELLS))
    ds = kk.read(tmp_path / "a.mtx", to=tmp_path / "a.zarr", progress=False)
    assert list(ds.obs_names) == ["0", "1", "2", "3"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [("A\ta\tx\n\nB\tb\tx\n", "line 2 is empty"), ("A\ta\tx\nb\tx\nB\tb\tx\n", "line 2 has 2 fields")],
)
def test_damaged_lists_are_refused(tmp_path, text, fault):
    (tmp_path / "matrix.mtx").write_text(ENTRIES.format("integer", 3, 4, BY_GENE))
    (tmp_path / "features.tsv").write_text(text)
    with pytest.raises(kk.FormatError, match=f"features.tsv: {fault}"):
        kk.read(tmp_path, to=tmp_path / "a.zarr", progress=False)


def test_negative_and_long_values(tmp_path):
    values = ["-1", "-.5", "-1e300", "-12345678901234567890.5", "3"]
    entries = "".join(f"{k + 1} 1 {value}\n" for k, value in enumerate(values))
    (tmp_path / "a.mtx").write_text(f"%%MatrixMarket matrix coordinate real general\n5 1 5\n{entries}")
    ds = kk.read(tmp_path / "a.mtx", to=tmp_path / "a.zarr", progress=False)
    assert np.array_equal(ds.read("X").toarray()[0], [float(value) for value in values])


def test_promises_beyond_the_file_take_no_memory(tmp_path):
    (tmp_path / "a.mtx").write_text("%%MatrixMarket matrix coordinate real general\n2147483647 3 1\n1 1 3\n")
    with pytest.raises(kk.FormatError, match=r"promises 2147483647 rows, but holds"):
        kk.read(tmp_path / "a.mtx", to=tmp_path / "a.zarr", progress=False)


def test_each_of_several_matrices_finds_the_names_that_begin_as_it_does(tmp_path):
    for sample, start in (("A", "c"), ("B", "d")):
        (tmp_path / f"{sample}_counts.mtx").write_text(ENTRIES.format("integer", 3, 4, BY_GENE))
        (tmp_path / f"{sample}_genes.tsv").write_text(lines(IDS))
        (tmp_path / f"{sample}_cells.tsv").write_text(lines(f"{start}{k}" for k in range(4)))
    ds = kk.read(tmp_path / "B_counts.mtx", to=tmp_path / "b.zarr", progress=False)
    assert (list(ds.obs_names), list(ds.var_names)) == (["d0", "d1", "d2", "d3"], IDS)


@pytest.mark.parametrize("layers", [["total"], ["total", "mature", "nascent"]])
def test_matrices_with_one_start_share_its_names(tmp_path, layers):
    for layer in layers:
        (tmp_path / f"cells_x_genes.{layer}.mtx").write_text(ENTRIES.format("integer", 4, 3, BY_CELL))
    (tmp_path / "cells_x_genes.genes.txt").write_text(lines(IDS))
    (tmp_path / "cells_x_genes.genes.names.txt").write_text(lines("ABC"))
    (tmp_path / "cells_x_genes.barcodes.txt").write_text(lines(CELLS))
    ds = kk.read(tmp_path / f"cells_x_genes.{layers[-1]}.mtx", to=tmp_path / "a.zarr", progress=False)
    assert (list(ds.obs_names), list(ds.var_names)) == (CELLS, list("ABC"))
    assert ds.read("X").toarray().tolist() == VALUES


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("barcodes.tsv", "x\n" + "".join(f"{k + 1}\tc{k}\n" for k in range(4))),
        ("barcodes.tsv", "".join(f"{k + 1}\tc{k}\n" for k in range(4))),
        ("barcodes.csv", ",barcode\n" + "".join(f"{k},c{k}\n" for k in range(4))),
        ("colnames.txt", lines(CELLS)),
    ],
)
def test_numbers_of_rows_are_no_names(tmp_path, name, text):
    (tmp_path / "matrix.mtx").write_text(ENTRIES.format("int", 3, 4, BY_GENE))
    (tmp_path / name).write_text(text)
    (tmp_path / "peaks.bed.gz").write_bytes(gzip.compress(b"chr1\t0\t50\nchr1\t60\t90\nchr2\t1\t2\n"))
    ds = kk.read(tmp_path, to=tmp_path / "a.zarr", progress=False)
    assert (list(ds.obs_names), list(ds.var_names)) == (CELLS, ["chr1:0-50", "chr1:60-90", "chr2:1-2"])


def test_numbers_that_are_all_there_is_are_names(tmp_path):
    (tmp_path / "matrix.mtx").write_text(ENTRIES.format("unsigned-integer", 3, 4, BY_GENE))
    (tmp_path / "genes.tsv").write_text("1\n2\n3\n")
    (tmp_path / "barcodes.tsv").write_text("well\tdonor\n1\tx\n2\tx\n3\ty\n4\ty\n")
    ds = kk.read(tmp_path, to=tmp_path / "a.zarr", progress=False)
    assert (list(ds.obs_names), list(ds.var_names)) == (list("1234"), list("123"))
    assert ds.obs["donor"].tolist() == list("xxyy")


ENSEMBL, SYMBOLS, GENES = [f"ENSG0000000000{k}" for k in range(3)], ["CD3E", "LYZ", "CD3E"], ["Gene Expression"] * 3


@pytest.mark.parametrize(
    ("columns", "names", "ids"),
    [
        ((ENSEMBL, SYMBOLS, GENES), SYMBOLS, ENSEMBL),
        ((SYMBOLS, ENSEMBL, GENES), SYMBOLS, ENSEMBL),
        ((GENES, ENSEMBL, SYMBOLS), SYMBOLS, ENSEMBL),
        ((ENSEMBL, GENES, SYMBOLS), SYMBOLS, ENSEMBL),
        ((ENSEMBL, GENES), ENSEMBL, ENSEMBL),
        ((SYMBOLS, IDS), SYMBOLS, IDS),  # of ids none occurs twice
        ((IDS, SYMBOLS), SYMBOLS, IDS),
    ],
)
def test_columns_of_features_in_any_order(columns, names, ids, tmp_path):
    (tmp_path / "matrix.mtx").write_text(ENTRIES.format("integer", 3, 4, BY_GENE))
    (tmp_path / "features.tsv").write_text(lines(map("\t".join, zip(*columns, strict=True))))
    source = open_source(tmp_path)
    assert source.var.index.tolist() == names
    assert source.var["gene_ids"].tolist() == ids
    assert set(source.var["feature_types"]) == {"Gene Expression"}
    usual = columns in ((ENSEMBL, SYMBOLS, GENES), (IDS, SYMBOLS))
    assert any("features.tsv has" in note for note in source.notes) != usual


@pytest.mark.parametrize("form", ["{}_{}", "{}.{}", "s1_{}-{}"])
def test_each_of_several_matrices_finds_the_names_that_end_as_it_does(form, tmp_path):
    for sample, start in (("A", "c"), ("B", "d")):
        (tmp_path / f"{form.format('matrix', sample)}.mtx").write_text(ENTRIES.format("integer", 3, 4, BY_GENE))
        (tmp_path / f"{form.format('genes', sample)}.tsv").write_text(lines(IDS))
        (tmp_path / f"{form.format('barcodes', sample)}.tsv").write_text(lines(f"{start}{k}" for k in range(4)))
    source = open_source(tmp_path / f"{form.format('matrix', 'B')}.mtx")
    assert (source.obs.index.tolist(), source.var.index.tolist()) == (["d0", "d1", "d2", "d3"], IDS)
