"""What kithkin writes is AnnData: anndata and scanpy open it and go on from there."""

import warnings

import anndata
import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.arrays import read_header, stored_header


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    counts = kk.datasets.simulate_counts(n_cells=400, n_genes=300, n_groups=4, seed=0)
    counts.obsm["X_given"] = np.arange(800.0).reshape(400, 2)
    counts.layers["twice"] = counts.X * 2
    return kk.run(counts, to=tmp_path_factory.mktemp("format") / "a.zarr", cells="n_genes >= 5", n_components=20)


def test_anndata_reads_it_whole_without_a_warning(finished):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Numcodecs codecs are not in the Zarr version 3")  # the cast of X
        warnings.filterwarnings("ignore", message=".*does not have a Zarr V3 specification.*")  # scanpy's marker tables
        adata = anndata.read_zarr(finished.path)
    assert adata.shape == finished.shape
    assert {"X_pca", "X_umap", "X_given"} <= set(adata.obsm)
    assert {"distances", "connectivities"} <= set(adata.obsp)
    assert "twice" in adata.layers
    assert (adata.layers["twice"] != adata.X.astype(int) * 2).nnz == 0


def test_anndata_reads_it_lazily(finished):
    pytest.importorskip("xarray")
    from anndata.experimental import read_lazy

    lazy = read_lazy(finished.path)
    assert lazy.shape == finished.shape
    rows = lazy.X[:7].compute()
    assert (rows != finished.to_anndata().X[:7]).nnz == 0


def test_the_order_of_columns_and_the_categories_are_kept(finished):
    adata = anndata.read_zarr(finished.path)
    assert list(adata.obs.columns) == list(finished.obs.columns)
    leiden = adata.obs["leiden"]
    assert list(leiden.cat.categories) == [str(i) for i in range(leiden.nunique())]
    sizes = leiden.value_counts(sort=False).to_numpy()
    assert np.all(np.diff(sizes) <= 0)


def test_to_anndata_gives_counts_in_float32_with_wide_indices(finished):
    adata = finished.to_anndata()
    assert adata.X.dtype == np.float32
    assert adata.X.indices.dtype == np.int32
    others = anndata.read_zarr(finished.path).X
    assert others.dtype == np.float32
    assert (others != adata.X).nnz == 0


def test_small_integers_stay_small_on_disk(finished):
    header = read_header(finished.path, "X/data")
    assert header["data_type"] == "float32"
    assert stored_header(header)["data_type"] == finished.blocks().dtype.name
    assert finished.blocks().dtype in (np.uint8, np.uint16)


@pytest.mark.parametrize(
    ("largest", "dtype"), [(2**24, "float32"), (2**24 + 1, "float64"), (2**53 - 1, "float64"), (2**60, "uint64")]
)
def test_large_counts_are_read_exactly_by_others(largest, dtype, tmp_path):
    X = np.array([[0, largest], [1, 3]])
    ds = kk.read(X, to=tmp_path / "a.zarr")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Array is unsupported by ZarrsCodecPipeline")
        theirs = anndata.read_zarr(ds.path).X
    assert theirs.dtype == dtype
    assert [[int(value) for value in row] for row in theirs] == X.tolist()
    assert ds.blocks().dtype == kk.read(theirs, to=tmp_path / "b.zarr").blocks().dtype


@pytest.mark.parametrize("how", ["to_anndata", "read_zarr"])
def test_scanpy_goes_on_from_our_slots(finished, how, tmp_path):
    sc = pytest.importorskip("scanpy")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own notices
        adata = finished.to_anndata() if how == "to_anndata" else anndata.read_zarr(finished.path)
        sc.tl.leiden(adata, flavor="igraph", n_iterations=2, key_added="theirs")
        sc.pp.normalize_total(adata, target_sum=1e4)
        sc.pp.log1p(adata)
        sc.tl.rank_genes_groups(adata, "leiden", method="t-test")
        figure = sc.pl.umap(adata, color="leiden", show=False, return_fig=True)
        figure.savefig(tmp_path / "umap.png")
        frame = sc.get.rank_genes_groups_df(finished.to_anndata(), group=None)
    assert adata.obs["theirs"].nunique() > 1
    assert frame["group"].nunique() == finished.read("obs/leiden").nunique()


def test_our_markers_sit_in_scanpys_slots(finished):
    sc = pytest.importorskip("scanpy")
    table = kk.markers(finished, "leiden")
    adata = finished.to_anndata()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = sc.get.rank_genes_groups_df(adata, group="0")
    ours = table[table["group"] == "0"]
    assert theirs["names"].astype(str).tolist() == ours["gene"].astype(str).tolist()
    assert np.allclose(theirs["scores"], ours["score"])


@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_what_anndata_wrote_is_opened_too(layout, tmp_path):
    X = np.random.default_rng(0).poisson(1.0, (20, 20)).astype(np.float32)
    adata = anndata.AnnData(layout(X))
    anndata.settings.zarr_write_format = 3
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            adata.write_zarr(tmp_path / "theirs.zarr")
    finally:
        anndata.settings.zarr_write_format = 2
    ds = kk.read(tmp_path / "theirs.zarr", to=tmp_path / "ours.zarr")
    back = ds.to_anndata().X
    assert np.array_equal(back.toarray() if sparse.issparse(back) else back, X)
