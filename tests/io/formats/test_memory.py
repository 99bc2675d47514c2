"""Objects in memory of every type, format and layout against NumPy."""

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.formats.memory import open_memory, sniff

EXECUTION = Execution(memory=50 * 10**6, threads=1)
TYPES = ["uint8", "uint16", "int8", "int64", "float32", "float64", "bool"]
FORMATS = ["csr", "csc", "coo", "lil", "dok", "dia", "bsr"]


def read(source, key="X", execution=EXECUTION):
    blocks = list(source.tables[key](execution))
    dense = [block.to_scipy().astype(float).toarray() if isinstance(block, SparseRows) else block for block in blocks]
    return np.concatenate(dense)


def table(shape=(30, 7), dtype="uint16", seed=0):
    values = np.random.default_rng(seed).integers(0, 120, shape)
    return (values * (values > 60)).astype(dtype)


def annotated(X):
    adata = anndata.AnnData(
        X, obs=pd.DataFrame({"donor": pd.Categorical(["a", "b"] * 15)}, index=[f"c{k}" for k in range(30)])
    )
    adata.var_names = [f"g{k}" for k in range(7)]
    adata.obsm["X_pca"] = np.random.default_rng(0).random((30, 2))
    adata.obsp["near"] = sparse.identity(30, format="csr")
    adata.varm["PCs"] = np.random.default_rng(1).random((7, 2))
    adata.layers["twice"] = adata.X * 2
    adata.uns["note"] = {"a": 1}
    return adata


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("layout", ["C", "F", "strided", "readonly"])
def test_arrays(dtype, layout):
    for shape in ((30, 7), (9, 9), (1, 4), (4, 1)):
        X = table(shape, dtype)
        given = np.asarray(X, order="F" if layout == "F" else "C")
        if layout == "strided":
            given = np.repeat(np.repeat(X, 2, axis=0), 2, axis=1)[::2, ::2]
        given.flags.writeable = layout != "readonly"
        assert sniff(given)
        source = open_memory(given)
        assert np.array_equal(read(source), X)
        assert (len(source.obs), len(source.var)) == shape


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("kind", [sparse.csr_matrix, sparse.csr_array])
def test_sparse(form, kind):
    for dtype in TYPES:
        for shape in ((30, 7), (9, 9), (1, 4)):
            X = table(shape, dtype)
            given = kind(X).asformat(form)
            assert sniff(given)
            assert np.array_equal(read(open_memory(given)), X), (dtype, shape)
            assert np.array_equal(given.toarray(), X)


@pytest.mark.parametrize("form", ["csr", "csc", "coo"])
def test_duplicates_are_sums_that_do_not_overflow(form):
    places = np.array([0, 0, 1]), np.array([1, 1, 0])
    given = sparse.coo_matrix((np.array([200, 100, 3], np.uint8), places), (2, 2))
    if form != "coo":
        # SciPy itself would add the duplicates while it converts
        minor = places[1] if form == "csr" else np.array([0, 0, 1])
        given = getattr(sparse, f"{form}_matrix")((given.data, minor, np.array([0, 2, 3])), (2, 2))
    before = given.copy()
    expected = [[0, 300], [3, 0]] if form != "csc" else [[300, 0], [0, 3]]
    assert read(open_memory(given)).tolist() == expected
    assert given.nnz == before.nnz
    assert np.array_equal(given.data, before.data)


@pytest.mark.parametrize("memory", [10**3, 10**5, 10**9])
def test_blocks_of_any_size_give_the_same(memory):
    X = table((500, 7))
    for given in (X, sparse.csr_matrix(X), sparse.csc_matrix(X), pd.DataFrame(X)):
        assert np.array_equal(read(open_memory(given), execution=Execution(memory=memory, threads=2)), X)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_anndata(kind):
    adata = annotated(kind(table(dtype="float32")))
    source = open_memory(adata)
    X = table()
    assert np.array_equal(read(source), X)
    assert np.array_equal(read(source, "layers/twice"), 2 * X)
    assert source.obs["donor"].dtype == "category"
    assert source.obs.index.tolist() == adata.obs_names.tolist()
    assert np.array_equal(source.elements["obsm/X_pca"].read(), adata.obsm["X_pca"])
    assert set(source.elements) == {"obsm/X_pca", "obsp/near", "varm/PCs", "uns/note"}

    view = open_memory(adata[5:20, [1, 3]])
    assert np.array_equal(read(view), X[5:20][:, [1, 3]])

    layer = open_memory(adata, layer="twice")
    assert np.array_equal(read(layer), 2 * X)
    assert np.array_equal(read(layer, "layers/X"), X)


@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix, sparse.csc_matrix])
def test_backed_anndata(tmp_path, kind):
    annotated(kind(table(dtype="float32"))).write_h5ad(tmp_path / "a.h5ad")
    adata = anndata.read_h5ad(tmp_path / "a.h5ad", backed="r")
    source = open_memory(adata)
    assert np.array_equal(read(source), table())
    assert np.array_equal(read(source, "layers/twice"), 2 * table())
    adata.file.close()


def test_raw():
    adata = annotated(sparse.csr_matrix(table(dtype="float32")))
    adata.raw = adata.copy()
    adata = adata[:, :3].copy()
    source = open_memory(adata, raw=True)
    assert np.array_equal(read(source), table())
    assert source.var.index.tolist() == [f"g{k}" for k in range(7)]
    assert "varm" in source.notes[0]
    kept = open_memory(adata)
    assert np.array_equal(read(kept), table()[:, :3])
    assert np.array_equal(read(kept, "raw/X"), table())


def test_frames():
    frame = pd.DataFrame({"a": [1, 2], "who": ["x", None], "b": [0.5, 3], "good": [True, False]}, index=["r", "s"])
    source = open_memory(frame)
    assert read(source).tolist() == [[1, 0.5], [2, 3]]
    assert source.var.index.tolist() == ["a", "b"]
    assert source.obs.index.tolist() == ["r", "s"]
    assert source.obs["good"].tolist() == [True, False]
    assert pd.isna(source.obs["who"].iloc[1])


@pytest.mark.parametrize("kind", ["Int64", "Float32", "uint8", "Sparse[int64, 0]", "float16"])
def test_frames_of_any_type(kind):
    X = table()
    assert np.array_equal(read(open_memory(pd.DataFrame(X).astype(kind))), X)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (np.zeros((0, 3)), "no rows"),
        (np.zeros((3, 0)), "no columns"),
        (np.zeros(3), "two dimensions"),
        (np.array([["a"]]), "must hold numbers"),
        (np.array([[1 + 1j]]), "must hold numbers"),
        (np.array([[1.0, np.inf]]), "the array: X, row 0, column 1 is not a finite number"),
        (np.array([[np.nan, 1.0, -np.inf]]), r"the array: X, row 0, column 2 is not a finite number \(-inf\)"),
        (sparse.csr_matrix((0, 3)), "no rows"),
        (sparse.csr_matrix(np.array([[np.inf]])), "the matrix: X, row 0, column 0 is not a finite number"),
        (np.ma.masked_array(np.eye(2), np.eye(2)), "masked"),
        (pd.DataFrame({"a": [1, np.inf]}), "the DataFrame: X, row 1, column 0 is not a finite number"),
        (pd.DataFrame({"a": ["x"]}), "no columns of numbers"),
        (pd.DataFrame({"a": []}), "no rows"),
        (pd.DataFrame({"a": [2**53 + 1], "b": [0.5]}), "cannot be kept exactly"),
        (anndata.AnnData(obs=pd.DataFrame(index=["a"])), "has no X"),
    ],
)
def test_refused(given, message):
    with pytest.raises(FormatError, match=message):
        read(open_memory(given))


def test_settings_without_effect_and_other_objects():
    adata = anndata.AnnData(np.eye(2))
    for call, message in (
        (lambda: open_memory([[1, 2]]), "got list"),
        (lambda: open_memory(np.eye(2), layer="a"), "layer='a' has no effect"),
        (lambda: open_memory(np.eye(2), raw=True), "raw=True has no effect"),
        (lambda: open_memory(adata, raw=True), "raw=True has no effect"),
        (lambda: open_memory(adata, layer="a"), "layer must be one of"),
    ):
        with pytest.raises(ParameterError, match=message):
            call()
    assert not sniff([[1, 2]])


def test_large_integers_of_both_signs_in_a_frame_are_exact_or_refused():
    frame = pd.DataFrame({"a": np.array([2**60 + 1, -1]), "b": np.array([7, 2**63 - 1], np.uint64)})
    assert [b.tolist() for b in open_memory(frame).tables["X"](EXECUTION)] == [[[2**60 + 1, 7], [-1, 2**63 - 1]]]
    frame["b"] = np.array([7, 2**63], np.uint64)
    with pytest.raises(FormatError, match=r"whole numbers of 2\*\*63 and more"):
        list(open_memory(frame).tables["X"](EXECUTION))


@pytest.mark.parametrize("kind", ["dense", "sparse", "lazy"])
def test_lazy_anndata_is_streamed(small_counts, tmp_path, kind):
    dask = pytest.importorskip("dask.array")
    expected = small_counts.X.toarray()
    if kind == "lazy":
        pytest.importorskip("xarray")
        small_counts.write_h5ad(tmp_path / "a.h5ad")
        lazy = anndata.experimental.read_lazy(tmp_path / "a.h5ad")
    else:
        lazy = small_counts.copy()
        lazy.X = dask.from_array(expected if kind == "dense" else small_counts.X, chunks=(170, 500), asarray=False)
    ds = kk.read(lazy, to=tmp_path / "lazy.zarr", progress=False)
    X = ds.read("X")
    assert np.array_equal(X.toarray() if sparse.issparse(X) else X, expected)
    assert ds.obs["group"].tolist() == small_counts.obs["group"].tolist()
    assert kk.read(lazy, to=tmp_path / "lazy.zarr").shape == ds.shape
