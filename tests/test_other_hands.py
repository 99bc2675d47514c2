"""Other tools calculate on the folder itself, as anndata opens it, what they do on the counts in float32."""

import warnings

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk

scanpy = pytest.importorskip("scanpy")

N_CELLS, N_GENES = 90, 60
FANCY = np.array([7, 3, 50, 11, 12, 13, 41, 29, 0, 58, 22, 35])
SLICES = {
    "whole": (slice(None), slice(None)),
    "rows": (slice(10, 80), slice(None)),
    "columns": (slice(None), slice(5, 45)),
    "both": (slice(3, 85, 2), slice(1, None, 2)),
    "boolean": (np.arange(N_CELLS) % 3 > 0, np.arange(N_GENES) % 4 > 0),
    "fancy": (np.r_[40:90, 0:20], FANCY),
    "names": ([f"cell {i}" for i in range(80, 20, -1)], [f"gene {i}" for i in FANCY]),
}


@pytest.fixture(scope="module")
def original():
    rng = np.random.default_rng(0)
    group = np.arange(N_CELLS) % 3
    means = rng.gamma(0.6, 2.0, (3, N_GENES))
    X = rng.poisson(means[group]).astype(np.float32)
    X[:, 4] = rng.integers(60, 250, N_CELLS)  # products and sums of which overflow uint8
    X[0, 5] = 251.0
    obs = pd.DataFrame({"group": pd.Categorical(group.astype(str))}, index=[f"cell {i}" for i in range(N_CELLS)])
    var = pd.DataFrame({"mt": np.arange(N_GENES) % 10 == 0}, index=[f"gene {i}" for i in range(N_GENES)])
    return anndata.AnnData(sparse.csr_matrix(X), obs=obs, var=var, layers={"again": sparse.csr_matrix(X)})


@pytest.fixture(scope="module", params=["sparse", "dense"])
def pair(request, original, tmp_path_factory):
    """The counts in float32, and what anndata reads from the folder made of them."""
    counts = original.copy()
    if request.param == "dense":
        counts.X, counts.layers["again"] = counts.X.toarray(), counts.layers["again"].toarray()
    ds = kk.read(counts, to=tmp_path_factory.mktemp("hands") / "a.zarr")
    assert ds.blocks().dtype == np.uint8
    return counts, anndata.read_zarr(ds.path)


def one_hot(adata):
    return pd.get_dummies(adata.obs["group"]).to_numpy(np.float32).T


def product(a, b):
    return a.multiply(b) if sparse.issparse(a) else a * b


def on_values(function):
    """A function of the stored values, as people apply it to `X.data`."""

    def apply(adata):
        X = adata.X.copy()
        if not sparse.issparse(X):
            return function(X)
        X.data = function(X.data)
        return X

    return apply


def changed(function, *args, **kwargs):
    """A function of scanpy that changes X in place."""

    def apply(adata):
        function(adata, *args, **kwargs)
        return adata.X

    return apply


def logged(function):
    """A function of an AnnData after normalisation and logarithm."""

    def apply(adata):
        scanpy.pp.normalize_total(adata, target_sum=1e4)
        scanpy.pp.log1p(adata)
        return function(adata)

    return apply


def ranked(method):
    def apply(adata):
        scanpy.tl.rank_genes_groups(adata, "group", method=method)
        return scanpy.get.rank_genes_groups_df(adata, None)

    return logged(apply)


def variable(flavor):
    def apply(adata):
        scanpy.pp.highly_variable_genes(adata, n_top_genes=8, flavor=flavor, n_bins=5)
        return adata.var

    return apply if flavor == "seurat_v3" else logged(apply)


def principal(adata):
    scanpy.pp.pca(adata, n_comps=5, random_state=0)
    return adata.obsm["X_pca"]


def neighbors(adata):
    scanpy.pp.neighbors(adata, n_neighbors=5, use_rep="X", method="gauss", random_state=0)
    return adata.obsp["connectivities"]


def scored(adata):
    scanpy.tl.score_genes(adata, list(adata.var_names[:4]), ctrl_size=4, n_bins=4, random_state=0)
    return adata.obs["score"].to_numpy()


def quality(adata):
    scanpy.pp.calculate_qc_metrics(adata, qc_vars=["mt"], percent_top=None, inplace=True)
    return adata.obs, adata.var


def filtered(adata):
    scanpy.pp.filter_cells(adata, min_counts=20)
    scanpy.pp.filter_genes(adata, min_cells=10)
    return adata.X


def sklearn(path, **kwargs):
    """A transformer of scikit-learn by its path."""
    module, name = path.rsplit(".", 1)
    make = getattr(pytest.importorskip(f"sklearn.{module}"), name)
    return lambda adata: make(**kwargs).fit_transform(adata.X)


def clusters(adata):
    from sklearn.cluster import KMeans

    return KMeans(3, random_state=0, n_init=1).fit(adata.X).cluster_centers_


def regression(adata):
    from sklearn.linear_model import LogisticRegression

    return LogisticRegression(max_iter=5).fit(adata.X, adata.obs["group"].astype(str)).coef_


def svd(adata):
    values = sparse.linalg.svds(
        sparse.csr_matrix(adata.X), k=4, rng=np.random.default_rng(0), return_singular_vectors=False
    )
    return np.sort(values)


def scaled(adata):
    scanpy.pp.scale(adata, max_value=3)
    return adata.X


def concatenated(adata):
    return anndata.concat([adata, adata[:20]], index_unique="-").X


def concatenated_outer(adata):
    return anndata.concat([adata[:, :7], adata], join="outer", fill_value=0, index_unique="-").X


FUNCTIONS = {
    # NumPy and SciPy
    "X @ X.T": lambda a: a.X @ a.X.T,
    "X.T @ X": lambda a: a.X.T @ a.X,
    "one-hot @ X": lambda a: one_hot(a) @ a.X,
    "sparse one-hot @ X": lambda a: sparse.csr_matrix(one_hot(a)) @ a.X,
    "X * X": lambda a: product(a.X, a.X),
    "X + X": lambda a: a.X + a.X,
    "X - X[0]": lambda a: sparse.csr_matrix(a.X).toarray() - sparse.csr_matrix(a.X)[:1].toarray(),
    "X * 2": lambda a: a.X * 2,
    "X / total": lambda a: a.X / a.X.sum(),
    "sum of rows": lambda a: a.X.sum(1),
    "sum of columns": lambda a: a.X.sum(0),
    "mean": lambda a: a.X.mean(0),
    "max": lambda a: a.X.max(0),
    "-X": lambda a: -a.X,
    "X > 2": lambda a: a.X > 2,
    "dot with a vector": lambda a: a.X @ np.arange(a.n_vars, dtype=np.float32),
    "log1p of values": on_values(np.log1p),
    "sqrt of values": on_values(np.sqrt),
    "square of values": on_values(np.square),
    "exp of values": on_values(lambda x: np.exp(x / 8)),
    "power": lambda a: a.X.power(2) if sparse.issparse(a.X) else a.X**2,
    "to CSC": lambda a: sparse.csc_matrix(a.X),
    "vstack": lambda a: sparse.vstack([sparse.csr_matrix(a.X), sparse.csr_matrix(a.X)]),
    "hstack": lambda a: sparse.hstack([sparse.csr_matrix(a.X), sparse.csr_matrix(a.X)]),
    "norm": lambda a: sparse.linalg.norm(sparse.csr_matrix(a.X), axis=1),
    "svds": svd,
    "correlation": lambda a: np.corrcoef(a.to_df().to_numpy()),
    # anndata
    "to_df": lambda a: a.to_df(),
    "layer": lambda a: a.layers["again"] @ a.layers["again"].T,
    "transpose": lambda a: a.T.X,
    "obs_vector": lambda a: a.obs_vector(a.var_names[4]),
    "concat": concatenated,
    "outer concat": concatenated_outer,
    "chunk_X": lambda a: a.chunk_X(np.arange(10)),
    # scanpy
    "normalize_total": changed(scanpy.pp.normalize_total, target_sum=1e4),
    "normalize_total to the median": changed(scanpy.pp.normalize_total),
    "log1p": changed(scanpy.pp.log1p),
    "log1p in base 2": changed(scanpy.pp.log1p, base=2),
    "sqrt": lambda a: scanpy.pp.sqrt(a, copy=True).X,
    "scale": scaled,
    "downsample_counts": changed(scanpy.pp.downsample_counts, counts_per_cell=50, random_state=0),
    "calculate_qc_metrics": quality,
    "filter": filtered,
    "highly_variable_genes seurat": variable("seurat"),
    "highly_variable_genes cell_ranger": variable("cell_ranger"),
    "highly_variable_genes seurat_v3": variable("seurat_v3"),
    "pearson residuals": changed(scanpy.experimental.pp.normalize_pearson_residuals),
    "pca": logged(principal),
    "pca of counts": principal,
    "neighbors": logged(neighbors),
    "rank_genes_groups t-test": ranked("t-test"),
    "score_genes": logged(scored),
    "aggregate": lambda a: [
        scanpy.get.aggregate(a, by="group", func=["sum", "mean", "var", "count_nonzero"]).layers[name]
        for name in ("sum", "mean", "var", "count_nonzero")
    ],
    "obs_df": lambda a: scanpy.get.obs_df(a, list(a.var_names[:3])),
    # scikit-learn
    "PCA": sklearn("decomposition.PCA", n_components=4, svd_solver="arpack", random_state=0),
    "TruncatedSVD": sklearn("decomposition.TruncatedSVD", n_components=4, random_state=0),
    "NMF": sklearn("decomposition.NMF", n_components=3, max_iter=20, init="nndsvd", tol=1e-1, random_state=0),
    "LDA": sklearn("decomposition.LatentDirichletAllocation", n_components=3, random_state=0, max_iter=1),
    "normalize": sklearn("preprocessing.Normalizer"),
    "MaxAbsScaler": sklearn("preprocessing.MaxAbsScaler"),
    "StandardScaler": sklearn("preprocessing.StandardScaler", with_mean=False),
    "TfidfTransformer": sklearn("feature_extraction.text.TfidfTransformer"),
    "VarianceThreshold": sklearn("feature_selection.VarianceThreshold", threshold=0.5),
    "KMeans": clusters,
    "LogisticRegression": regression,
}  # fmt: skip

SLOW = {"neighbors", "rank_genes_groups t-test", "LogisticRegression", "LDA", "KMeans"}


def compare(ours, theirs):
    """Both results alike in type, shape and values."""
    if isinstance(theirs, (tuple, list)):
        for one, other in zip(ours, theirs, strict=True):
            compare(one, other)
    elif isinstance(theirs, pd.DataFrame):
        pd.testing.assert_frame_equal(ours[list(theirs)], theirs, rtol=1e-5)  # ours also holds what reading counted
    else:
        assert ours.dtype == theirs.dtype
        values, expected = (np.asarray(x.toarray() if sparse.issparse(x) else x) for x in (ours, theirs))
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


def test_forty_functions_are_tried():
    assert len(FUNCTIONS) >= 40


@pytest.mark.filterwarnings("ignore")  # notices of other tools about themselves
@pytest.mark.parametrize("name", FUNCTIONS)
def test_others_calculate_what_they_do_on_float32(pair, name):
    counts, folder = pair
    for chosen in ("whole", "fancy") if name in SLOW else SLICES:
        rows, columns = SLICES[chosen]
        try:
            expected = FUNCTIONS[name](counts[rows, columns].copy())
        except Exception as error:
            # such as a flavour that wants more genes than a slice has: then the folder must be refused likewise
            refused = type(error)
        else:
            compare(FUNCTIONS[name](folder[rows, columns].copy()), expected)
            continue
        assert chosen != "whole"
        with pytest.raises(refused):
            FUNCTIONS[name](folder[rows, columns].copy())


@pytest.mark.parametrize("chosen", SLICES)
def test_slices_of_views_hold_the_same_values(pair, chosen):
    counts, folder = pair
    rows, columns = SLICES[chosen]
    view, expected = folder[rows][:, columns], counts[rows][:, columns]
    compare(view.X, expected.X)
    compare(view[5:20, ::3].X, expected[5:20, ::3].X)
    compare(view.copy().T.X, expected.copy().T.X)
    if sparse.issparse(folder.X):
        assert folder.X.indices.dtype == folder.X.indptr.dtype == np.int32


def test_the_folder_is_written_and_read_again_by_others(pair, tmp_path):
    counts, folder = pair
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder.write_h5ad(tmp_path / "again.h5ad")
        folder.write_zarr(tmp_path / "again.zarr")
        compare(anndata.read_h5ad(tmp_path / "again.h5ad").X, counts.X)
        compare(anndata.read_zarr(tmp_path / "again.zarr").X, counts.X)


def test_zarr_reads_values_as_floats_without_anndata(pair, tmp_path):
    zarr = pytest.importorskip("zarr")
    counts, _ = pair
    ds = kk.read(counts, to=tmp_path / "a.zarr")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # consolidated metadata is no part of the format, says zarr
        zarr.consolidate_metadata(ds.path)
    X = zarr.open_group(ds.path, mode="r")["X"]
    values = X["data"][...] if isinstance(X, zarr.Group) else X[...]
    assert values.dtype == np.float32
    assert values.sum() == counts.X.sum()
    assert kk.check(ds) == []


@pytest.mark.filterwarnings("ignore")  # of another program, of what kithkin does not do
def test_annbatch_draws_mini_batches_of_the_folder(original, tmp_path):
    annbatch = pytest.importorskip("annbatch", reason="annbatch is not installed: it needs Python 3.12")
    zarr = pytest.importorskip("zarr")
    ds = kk.read(original.copy(), to=tmp_path / "a.zarr")
    X = anndata.io.sparse_dataset(zarr.open_group(ds.path, mode="r")["X"])
    for settings in ({}, {"shuffle": True, "rng": np.random.default_rng(0)}):
        loader = annbatch.Loader(batch_size=16, chunk_size=4, preload_nchunks=8, return_index=True, **settings)
        seen = []
        for batch in loader.add_dataset(X):
            rows = np.asarray(batch["index"])
            values = batch["X"].to_dense().numpy() if hasattr(batch["X"], "to_dense") else batch["X"].toarray()
            np.testing.assert_array_equal(values, original.X[rows].toarray())
            assert values.dtype == np.float32
            seen += rows.tolist()
        assert sorted(seen) == list(range(N_CELLS))
