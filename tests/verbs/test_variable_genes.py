"""Variable genes are scanpy's, in one batch and in several."""

import numpy as np
import pytest

import kithkin as kk


@pytest.mark.parametrize("flavor", ["vst", "dispersion"])
@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_variable_genes_are_scanpys(blood, pbmc, normalised, flavor):
    scanpy = pytest.importorskip("scanpy")
    adata = pbmc if flavor == "vst" else normalised
    theirs = scanpy.pp.highly_variable_genes(
        adata, n_top_genes=1500, flavor={"vst": "seurat_v3", "dispersion": "seurat"}[flavor], inplace=False
    )
    ours = kk.variable_genes(blood, 1500, flavor=flavor, key=f"hv_{flavor}")
    assert np.array_equal(ours["highly_variable"], theirs["highly_variable"])
    assert np.array_equal(blood.read(f"var/hv_{flavor}"), theirs["highly_variable"])
    column = "variances_norm" if flavor == "vst" else "dispersions_norm"
    np.testing.assert_allclose(blood.read(f"var/hv_{flavor}_{column}"), theirs[column], rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_variable_genes_by_batch_are_scanpys(blood, pbmc):
    scanpy = pytest.importorskip("scanpy")
    batch = np.where(np.arange(blood.n_obs) % 3 == 0, "a", "b").astype(object)
    blood.write({"obs/batch": batch})
    pbmc.obs["batch"] = batch
    theirs = scanpy.pp.highly_variable_genes(
        pbmc, n_top_genes=1500, flavor="seurat_v3", batch_key="batch", inplace=False
    )
    ours = kk.variable_genes(blood, 1500, batch="batch", key=None)
    for column in ("highly_variable", "highly_variable_nbatches"):  # which of equal genes come first differs by version
        assert (ours[column].to_numpy() != theirs[column].to_numpy()).sum() <= 20
    assert ours["highly_variable"].sum() == 1500


def test_values_that_are_no_counts_have_no_variance_of_counts(small_counts, tmp_path):
    small_counts.X = small_counts.X * 0.5
    ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    with pytest.raises(kk.ParameterError, match="needs counts"):
        kk.variable_genes(ds, 10)
    assert kk.variable_genes(ds, 10, flavor="dispersion")["highly_variable"].sum() == 10


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.ParameterError, match=r"n_genes must be in 1\.\.500, got 501"):
        kk.variable_genes(dataset, 501)


def test_batches_are_held_against_what_is_possible(dataset, caplog):
    number = np.arange(600)
    kk.annotate(dataset, "partly", [None if k % 3 == 0 else "x" for k in number])
    dataset["obs/one"], dataset["obs/single"] = ["x"] * 600, np.where(number == 7, "alone", number % 2).astype(str)
    with pytest.raises(kk.ParameterError, match="batch must give each row a label, but 200 of 600 in obs/partly have"):
        kk.variable_genes(dataset, 50, batch="partly")
    with pytest.raises(kk.ParameterError, match="all rows of obs/one are 'x'"):
        kk.variable_genes(dataset, 50, batch="one")
    with pytest.raises(kk.ParameterError, match="batches of 2 rows or more, but alone of obs/single has fewer"):
        kk.variable_genes(dataset, 50, batch="single")
    kk.variable_genes(dataset, 50, batch="single", flavor="dispersion", key=None)
    assert "no gene varies in batches of one cell: alone of obs/single" in caplog.text
