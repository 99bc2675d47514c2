import anndata
import numpy as np
import pytest

import kithkin as kk

pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")


@pytest.fixture
def ds(tmp_path):
    made = kk.read(kk.datasets.simulate_counts(240, 120, 3, seed=1), to=tmp_path / "cells.zarr")
    made["obs/sample"] = [f"s{k % 2}" for k in range(240)]
    return made


def test_it_stores_the_latent_space_and_looks_it_up(ds):
    kk.variable_genes(ds, 80)
    found = kk.latent(ds, 4, n_epochs=6, batch="sample")
    assert found.shape == (240, 4)
    stored = anndata.read_zarr(ds.path)
    np.testing.assert_array_equal(stored.obsm["X_latent"], found)
    about = stored.uns["X_latent"]
    assert about["params"]["genes"] == "var/highly_variable"
    assert about["params"]["batch"] == "obs/sample"
    assert len(about["history"]["bound"]) == 6
    assert np.array_equal(kk.latent(ds, 4, n_epochs=6, batch="sample"), found)
    kk.neighbors(ds, on="obsm/X_latent")
    assert kk.leiden(ds).nunique() >= 3


def test_without_a_key_nothing_is_stored(ds):
    before = ds.keys()
    assert kk.latent(ds, 2, n_epochs=2, key=None).shape == (240, 2)
    assert ds.keys() == before


def test_wrong_tables_and_columns_are_refused(ds):
    ds["layers/logged"] = ds.to_anndata().X.log1p()
    with pytest.raises(kk.ParameterError, match="needs counts"):
        kk.latent(ds, on="layers/logged", genes=None)
    with pytest.raises(kk.MissingResultError, match="obs/donor is not in"):
        kk.latent(ds, batch="donor")
    with pytest.raises(kk.ParameterError, match="likelihood must be one of 'nb', 'zinb', 'poisson'"):
        kk.latent(ds, likelihood="normal")
