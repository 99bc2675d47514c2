"""A finished run for the tests of pages."""

import pytest

import kithkin as kk


@pytest.fixture(scope="session")
def finished(_small_counts, tmp_path_factory):
    """A run of the small counts with further clusters and scores; tests do not change it."""
    settings = {"cells": "n_genes > 120 and pct_mito < 6", "n_components": 10, "resolution": 0.5}
    ds = kk.run(_small_counts.copy(), to=tmp_path_factory.mktemp("page") / "out.zarr", **settings)
    kk.kmeans(ds, 3)
    kk.score(ds, sets={"first": list(ds.var_names[:6]), "second": list(ds.var_names[6:12])})
    return ds
