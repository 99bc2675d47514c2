"""AnnData files of every layout, type and age against what was put in."""

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.core.blocks import SparseRows
from kithkin.core.elements import plain_texts
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.core.writer import DatasetWriter
from kithkin.io.importing import import_source
from kithkin.io.read import open_source
from kithkin.io.source import Deferred

LAYOUTS = {"csr": sparse.csr_matrix, "csc": sparse.csc_matrix, "dense": np.asarray}


def dense_of(source, key="X", execution=None):
    blocks = list(source.tables[key](execution or Execution()))
    return np.concatenate([block.to_dense() if isinstance(block, SparseRows) else block for block in blocks]), blocks


def counts(shape, dtype, seed=0):
    """Ten lines at most: what every layout must give back."""
    rng = np.random.default_rng(seed)
    values = rng.poisson(0.5, shape) * rng.choice([1, 1, 1, 90], shape)
    if np.dtype(dtype).kind == "f":
        return (values * 0.25).astype(dtype)
    return values.astype(dtype)


def write(path, X, **parts):
    anndata.AnnData(X, **parts).write_h5ad(path)
    return path


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int32", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(1, 1), (1, 9), (9, 1), (40, 40), (30, 70), (300, 20)])
def test_every_layout_and_type_at_every_block_size(layout, dtype, shape, tmp_path):
    expected = counts(shape, dtype)
    path = write(tmp_path / "a.h5ad", LAYOUTS[layout](expected))
    for memory in (1, 4000, 40_000, 10**9):
        source = open_source(path)
        found, blocks = dense_of(source, execution=Execution(memory=memory, threads=2))
        source.close()
        assert np.array_equal(found, expected)
        assert found.sum(dtype=np.float64) == expected.sum(dtype=np.float64)
        if np.dtype(dtype).kind in "iu":
            assert all(block.dtype.kind == "u" for block in blocks)
        if memory == 1 and shape[0] == 300 and layout != "csc":
            assert len(blocks) == 300


def test_floats_that_are_whole_arrive_as_integers(tmp_path):
    expected = counts((50, 20), "int32")
    for name, layout in LAYOUTS.items():
        path = write(tmp_path / f"{name}.h5ad", layout(expected.astype(np.float32)))
        found, blocks = dense_of(open_source(path))
        assert np.array_equal(found, expected)
        assert {block.dtype.kind for block in blocks} == {"u"}


@pytest.mark.parametrize("chunk", [1, 7, 64, 10_000])
@pytest.mark.parametrize("compression", [None, "gzip", "lzf"])
def test_chunks_and_compression_make_no_difference(chunk, compression, tmp_path):
    expected = counts((80, 30), "float32")
    matrix = sparse.csr_matrix(expected)
    path = write(tmp_path / "a.h5ad", matrix)
    with h5py.File(path, "a") as file:
        for part in ("data", "indices"):
            values = file[f"X/{part}"][:]
            del file[f"X/{part}"]
            chunks = (min(chunk, len(values)),)
            file["X"].create_dataset(part, data=values, chunks=chunks, compression=compression)
    for memory in (1000, 10_000, 10**8):
        assert np.array_equal(dense_of(open_source(path), execution=Execution(memory, 1))[0], expected)


def full():
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(counts((20, 12), "float32", 1))
    adata = anndata.AnnData(X)
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(20)], [f"g{i}" for i in range(12)]
    adata.obs["kind"] = pd.Categorical(rng.choice(["T", "B"], 20))
    adata.obs["note"] = "x"
    adata.var["mito"] = rng.random(12) < 0.5
    adata.layers["spliced"] = sparse.csc_matrix(counts((20, 12), "int32", 2))
    adata.layers["scaled"] = rng.normal(size=(20, 12))
    adata.obsm["X_pca"], adata.varm["PCs"] = rng.normal(size=(20, 3)), rng.normal(size=(12, 3))
    adata.obsm["protein"] = pd.DataFrame({"CD3": np.arange(20)}, index=adata.obs_names)
    adata.obsp["distances"] = sparse.random(20, 20, 0.2, format="csr", random_state=0)
    adata.varp["cor"] = np.eye(12)
    adata.uns["pca"] = {"variance": np.arange(3.0), "name": "a"}
    return adata


def test_what_came_along_is_there(tmp_path):
    adata = full()
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_source(tmp_path / "a.h5ad")
    assert set(source.tables) == {"X", "layers/spliced", "layers/scaled"}
    for layer in ("spliced", "scaled"):
        expected = adata.layers[layer]
        expected = expected.toarray() if sparse.issparse(expected) else expected
        assert np.array_equal(dense_of(source, f"layers/{layer}")[0], expected)
    read = {key: value.read() if isinstance(value, Deferred) else value for key, value in source.elements.items()}
    assert set(read) == {
        "obsm/X_pca", "obsm/protein", "varm/PCs", "obsp/distances", "varp/cor", "uns/pca",
    }  # fmt: skip
    assert np.array_equal(read["obsm/X_pca"], adata.obsm["X_pca"])
    assert read["obsm/protein"].equals(adata.obsm["protein"])
    assert (read["obsp/distances"] != adata.obsp["distances"]).nnz == 0
    pd.testing.assert_frame_equal(
        source.obs, plain_texts(adata.obs), check_dtype=False, check_column_type=False
    )  # pandas 3 reads texts in its own type
    assert {str(column.dtype) for _, column in source.obs.items()} <= {"object", "category"}


def test_layer_becomes_x_and_x_a_layer(tmp_path):
    adata = full()
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_source(tmp_path / "a.h5ad", layer="spliced")
    assert np.array_equal(dense_of(source)[0], adata.layers["spliced"].toarray())
    assert np.array_equal(dense_of(source, "layers/X")[0], adata.X.toarray())
    with pytest.raises(ParameterError, match=r"layer must be .* of a.h5ad, got 'no': there are 'scaled', 'spliced'"):
        open_source(tmp_path / "a.h5ad", layer="no")


def test_raw_becomes_x_with_its_genes(tmp_path):
    adata = full()
    adata.raw = adata
    adata = adata[:, :5].copy()
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_source(tmp_path / "a.h5ad", raw=True)
    assert source.n_columns == len(source.var) == 12
    assert np.array_equal(dense_of(source)[0], adata.raw.X.toarray())
    assert set(source.tables) == {"X"}
    assert source.notes == [
        "raw became X: left out is what belongs to other genes: X, layers/scaled, layers/spliced, varm, varp"
    ]
    source = open_source(tmp_path / "a.h5ad")
    assert np.array_equal(dense_of(source, "raw/X")[0], adata.raw.X.toarray())
    assert source.n_columns == 5
    full().write_h5ad(tmp_path / "b.h5ad")
    with pytest.raises(ParameterError, match=r"raw=True has no effect: b.h5ad has no raw"):
        open_source(tmp_path / "b.h5ad", raw=True)
    with pytest.raises(ParameterError, match="not both"):
        open_source(tmp_path / "a.h5ad", raw=True, layer="spliced")


def write_old(path, X):
    """A file as anndata 0.6 wrote it: records, categories in uns, h5sparse attributes, raw.X."""
    with h5py.File(path, "w") as file:
        for name in ("X", "raw.X"):
            group = file.create_group(name)
            group.attrs["h5sparse_format"], group.attrs["h5sparse_shape"] = X.format, X.shape
            for part in ("data", "indices", "indptr"):
                group[part] = getattr(X, part)
        n, p = X.shape
        obs = np.zeros(n, [("index", "S4"), ("kind", "i1"), ("umis", "f4"), ("batch", "S2")])
        obs["index"], obs["kind"], obs["umis"] = (
            [f"c{i}".encode() for i in range(n)],
            np.arange(n) % 3 - 1,
            np.arange(n),
        )
        obs["batch"] = b"b1"
        var = np.array([(f"g{j}".encode(), j) for j in range(p)], [("index", "S4"), ("n", "i8")])
        file["obs"], file["var"], file["raw.var"] = obs, var, var
        obsm = np.zeros(n, [("X_pca", "f4", (2,))])
        obsm["X_pca"] = np.arange(2 * n).reshape(n, 2)
        file["obsm"] = obsm
        file["uns/kind_categories"] = np.array([b"T", b"B"], "S1")
        file["uns/resolution"] = 0.5


@pytest.mark.parametrize("layout", ["csr", "csc"])
def test_old_encodings(layout, tmp_path):
    expected = counts((9, 6), "float32")
    write_old(tmp_path / "old.h5ad", LAYOUTS[layout](expected))
    source = open_source(tmp_path / "old.h5ad")
    assert np.array_equal(dense_of(source)[0], expected)
    assert np.array_equal(dense_of(source, "raw/X")[0], expected)
    assert source.obs["kind"].astype(object).where(source.obs["kind"].notna(), None).tolist() == [None, "T", "B"] * 3
    assert source.obs["batch"].tolist() == ["b1"] * 9
    assert source.obs.index[0] == "c0"
    assert source.var["n"].tolist() == list(range(6))
    assert source.elements["obsm/X_pca"].shape == (9, 2)
    assert [key for key in source.elements if key.startswith("uns/")] == ["uns/resolution"]
    assert np.array_equal(dense_of(open_source(tmp_path / "old.h5ad", raw=True))[0], expected)


def test_categories_in_uns_of_tables_that_are_groups(tmp_path):
    adata = full()
    adata.obs["kind"] = np.arange(20) % 3 - 1
    adata.obs["age"], adata.obs["batch"] = np.arange(20), pd.Categorical(["a", "b"] * 10)
    adata.uns = {"kind_categories": np.array(["T", "B"]), "age_categories": np.array(["young"])}
    adata.uns["batch_categories"] = np.array(["never", "used"])
    adata.write_h5ad(tmp_path / "a.h5ad")
    source = open_source(tmp_path / "a.h5ad")
    kinds = source.obs["kind"].astype(object)
    assert kinds.where(kinds.notna(), None).tolist() == ([None, "T", "B"] * 7)[:20]
    assert source.obs["age"].tolist() == list(range(20))
    note = "obs/age keeps its numbers, without names for them: it names category 19, but there are 1"
    assert source.notes == [note]
    assert {key for key in source.elements if key.startswith("uns")} == {
        "uns/age_categories",
        "uns/batch_categories",
    }


def test_columns_of_old_tables_that_cannot_be_read_are_left_out_and_named(tmp_path):
    write_old(tmp_path / "old.h5ad", sparse.csr_matrix(np.eye(6, dtype="f4")))
    with h5py.File(tmp_path / "old.h5ad", "a") as file:
        fields = [("index", "S4"), ("kind", "i1"), ("pair", "f4", (2,)), ("nested", [("a", "i4")]), ("age", "i4")]
        obs = np.zeros(6, fields)
        obs["index"], obs["kind"], obs["age"] = [f"c{i}".encode() for i in range(6)], 2, range(6)
        del file["obs"], file["obsm"]
        file["obs"] = obs
        file["obsm"] = np.zeros(5, [("X_pca", "f4", (2,))])
    source = open_source(tmp_path / "old.h5ad")
    assert source.obs.columns.tolist() == ["age"]
    assert source.obs["age"].tolist() == list(range(6))
    left = [note.partition(" was left out: ") for note in source.notes]
    assert [key for key, _, _ in left] == ["obs/kind", "obs/pair", "obs/nested", "obsm"]
    assert left[0][2] == "it names category 2, but there are 2"
    assert left[3][2] == "old.h5ad: obsm has 5 rows, not 6"


def test_categories_of_anndata_07(tmp_path):
    adata = full()
    adata.write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        codes = file["obs/kind/codes"][:]
        del file["obs/kind"]
        file["obs"].attrs["encoding-version"] = "0.1.0"
        file["obs/__categories/kind"] = np.array(["B", "T"], h5py.string_dtype())
        file["obs/kind"] = codes
        file["obs/kind"].attrs["categories"] = file["obs/__categories/kind"].ref
    assert open_source(tmp_path / "a.h5ad").obs["kind"].tolist() == adata.obs["kind"].tolist()


def test_real_file_with_nullable_strings(shared_data, pbmc):
    source = open_source(shared_data / "pbmc_facs.h5ad")
    assert source.obs.index.tolist() == pbmc.obs_names.tolist()
    assert source.obs.index.dtype == object
    total = sum(int(block.data.sum(dtype=np.int64)) for block in source.tables["X"](Execution()))
    assert total == pbmc.X.sum(dtype=np.float64)


def damaged(path, change):
    with h5py.File(path, "a") as file:
        change(file)
    return path


def shortened(file, key):
    """Leave out the last of the values, which newer versions of anndata keep beside a mask where they are texts."""
    key = f"{key}/values" if isinstance(file[key], h5py.Group) else key
    replaced(file, key, file[key][:-1])


def replaced(file, key, values):
    attributes = dict(file[key].attrs)
    del file[key]
    file[key] = values
    file[key].attrs.update(attributes)


REFUSED = {
    "indptr too short": (
        lambda f: replaced(f, "X/indptr", f["X/indptr"][:-1]),
        "X/indptr has 20 entries, but its shape promises 21",
    ),
    "data too short": (
        lambda f: replaced(f, "X/data", f["X/data"][:-1]),
        "values .data. but .* positions .indices.",
    ),
    "both too short": (
        lambda f: [replaced(f, f"X/{k}", f[f"X/{k}"][:-1]) for k in ("data", "indices")],
        "X/indptr runs from 0 to .* values are stored",
    ),
    "index out of range": (
        lambda f: f["X/indices"].__setitem__(0, 12),
        "X, row 0 names column 12, but columns are 0 to 11",
    ),
    "nan": (
        lambda f: f["X/data"].__setitem__(0, np.nan),
        "X, row 0, column .* is not a finite number .nan.",
    ),
    "duplicate": (
        lambda f: f["X/indices"].__setitem__(1, f["X/indices"][0]),
        "row 0, column .* is stored twice",
    ),
    "no indices": (
        lambda f: f["X"].__delitem__("indices"),
        "X/indices is missing",
    ),
    "no rows": (
        lambda f: f["X"].attrs.__setitem__("shape", [0, 12]),
        "X has no rows: its shape is 0 x 12",
    ),
    "fewer names": (
        lambda f: shortened(f, "obs/_index"),
        "obs",
    ),
    "more rows": (
        lambda f: f["X"].attrs.__setitem__("shape", [21, 12]),
        "X has 21 rows, but obs has 20",
    ),
    "no X": (
        lambda f: f.__delitem__("X"),
        r"a.h5ad has no X: choose a layer \(scaled, spliced\)",
    ),
    "text": (
        lambda f: replaced(f, "X", np.array([[b"a"]])),
        "X must hold numbers",
    ),
    "one dimension": (
        lambda f: replaced(f, "X", np.ones(20)),
        "X must have two dimensions, its shape is 20",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_damage_is_refused_in_one_sentence(case, tmp_path):
    change, message = REFUSED[case]
    adata = full()
    adata.X = sparse.csr_matrix(np.ones((20, 12), np.float32))
    adata.write_h5ad(tmp_path / "a.h5ad")
    damaged(tmp_path / "a.h5ad", change)
    with pytest.raises(FormatError, match=message) as error:
        dense_of(open_source(tmp_path / "a.h5ad"))
    assert str(error.value).startswith("a.h5ad")
    assert "\n" not in str(error.value)


def linked_to_nothing(file, key):
    if key in file:
        del file[key]
    file[key] = h5py.SoftLink("/nowhere")


def array_in_place_of(file, key):
    del file[key]
    file[key] = np.arange(3)


def of_tomorrow(file, key):
    file[key].attrs["encoding-type"] = "of-tomorrow"


RAW = ["raw/X", "raw/var", "raw/varm"]
LEFT_OUT = [  # what is done to a file, the note that it gives, and the keys that are not there then
    {
        "uns/pca/name": (lambda f: of_tomorrow(f, "uns/pca/name"), ()),
        "raw/varm/PCs": (lambda f: replaced(f, "raw/varm/PCs", np.ones((3, 2))), ()),
        "layers/scaled": (lambda f: replaced(f, "layers/scaled", np.full((20, 12), b"a")), ["layers/scaled"]),
        "obs/note": (lambda f: of_tomorrow(f, "obs/note"), ["obs/note"]),
        "var/mito": (lambda f: replaced(f, "var/mito", np.ones((12, 2))), ["var/mito"]),
        "obsm/protein/CD3": (lambda f: of_tomorrow(f, "obsm/protein/CD3"), ()),
        "obsp/distances": (lambda f: f["obsp/distances/indices"].__setitem__(0, -5), ["obsp/distances"]),
    },
    {
        "uns": (lambda f: array_in_place_of(f, "uns"), ["uns/pca"]),
        "obsm": (lambda f: array_in_place_of(f, "obsm"), ["obsm/X_pca", "obsm/protein"]),
        "varp": (lambda f: array_in_place_of(f, "varp"), ["varp/cor"]),
        "raw": (lambda f: array_in_place_of(f, "raw"), RAW),
        "layers/scaled": (lambda f: f["layers/scaled"].__setitem__((3, 3), np.nan), ["layers/scaled"]),
        "layers/spliced": (lambda f: f["layers/spliced"].attrs.__setitem__("shape", [20, 13]), ["layers/spliced"]),
        "obs/kind": (lambda f: f["obs/kind/codes"].__setitem__(0, 9), ["obs/kind"]),
        "obs/note": (lambda f: f["obs"].__delitem__("note"), ["obs/note"]),
    },
    {
        "uns/pca": (lambda f: linked_to_nothing(f, "uns/pca"), ["uns/pca"]),
        "layers": (lambda f: array_in_place_of(f, "layers"), ["layers/scaled", "layers/spliced"]),
        "raw": (lambda f: f["raw/X/data"].__setitem__(0, np.nan), RAW),
        "obs/note": (lambda f: array_in_place_of(f, "obs/note"), ["obs/note"]),
        "obsm/X_pca": (lambda f: replaced(f, "obsm/X_pca", np.ones((3, 2))), ["obsm/X_pca"]),
    },
    {
        "raw": (lambda f: f["raw"].__delitem__("X"), RAW),
        "layers/scaled": (lambda f: replaced(f, "layers/scaled", np.ones(20)), ["layers/scaled"]),
        "layers/spliced": (lambda f: f["layers/spliced"].__delitem__("indices"), ["layers/spliced"]),
    },
]
EVERY = {"X", "layers/scaled", "layers/spliced", *RAW, "uns/pca", "obs/kind", "obs/note", "var/mito"}
EVERY |= {"obsm/X_pca", "obsm/protein", "varm/PCs", "obsp/distances", "varp/cor"}


@pytest.mark.parametrize("faults", LEFT_OUT)
def test_one_element_that_cannot_be_read_is_left_out_and_named(faults, tmp_path):
    adata = full()
    adata.raw = adata
    adata.write_h5ad(tmp_path / "a.h5ad")
    for change, _ in faults.values():
        damaged(tmp_path / "a.h5ad", change)
    source = open_source(tmp_path / "a.h5ad")
    with DatasetWriter(tmp_path / "a.zarr", source.n_columns) as writer:
        imported = import_source(source, writer)
    missing = {key for _, keys in faults.values() for key in keys}
    assert set(imported.keys) == EVERY - missing
    assert imported.totals.total == adata.X.sum()
    named = [note.partition(" was left out: ") for note in imported.notes if not note.startswith("X of")]
    assert sorted(key.removesuffix("/X") for key, _, _ in named) == sorted(faults)
    assert all(reason.startswith("a.h5ad: ") for _, _, reason in named)


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9, 0.999])
def test_truncated_file(share, tmp_path):
    full().write_h5ad(tmp_path / "a.h5ad")
    whole = (tmp_path / "a.h5ad").read_bytes()
    (tmp_path / "a.h5ad").write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(FormatError, match=r"^a.h5ad is truncated or damaged: truncated file"):
        open_source(tmp_path / "a.h5ad")


def test_damaged_chunk(tmp_path):
    matrix = sparse.csr_matrix(counts((400, 300), "float32"))
    anndata.AnnData(matrix).write_h5ad(tmp_path / "a.h5ad", compression="gzip")
    with h5py.File(tmp_path / "a.h5ad") as file:
        info = file["X/data"].id.get_chunk_info(0)
    whole = bytearray((tmp_path / "a.h5ad").read_bytes())
    whole[info.byte_offset : info.byte_offset + 200] = bytes(200)
    (tmp_path / "a.h5ad").write_bytes(whole)
    with pytest.raises(FormatError, match=r"^a.h5ad: X/data cannot be read, the file is truncated or damaged: "):
        dense_of(open_source(tmp_path / "a.h5ad"))
