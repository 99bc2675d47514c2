"""A colour map by its name is a palette of every figure that colours groups."""

import numpy as np
import pytest

import kithkin as kk


@pytest.fixture(scope="module")
def clustered(tmp_path_factory):
    folder = tmp_path_factory.mktemp("palettes")
    ds = kk.read(kk.datasets.simulate_counts(150, 120, 3), to=folder / "a.zarr", progress=False)
    kk.pca(ds, 5)
    kk.neighbors(ds)
    kk.paris(ds, n_clusters=5)
    kk.topics(ds, 3, max_iter=5)
    ds["obsm/X_umap"] = np.random.default_rng(0).normal(size=(150, 2))
    return ds, folder


FIGURES = {
    "scatter": lambda ds, _: kk.plot.scatter(ds, color=["paris", "group"], palette="tab20"),
    "violin": lambda ds, _: kk.plot.violin(ds, "n_counts", by="paris", palette="tab20"),
    "cluster_tree": lambda ds, _: kk.plot.cluster_tree(ds, "paris", fill="group", palette="tab20"),
    "sankey": lambda ds, _: kk.plot.sankey(ds, "paris", "group", palette="tab20"),
    "structure": lambda ds, _: kk.plot.structure(ds, by="paris", palette="tab20"),
    "animate": lambda ds, folder: kk.plot.animate(
        ds["obsm/X_umap"], ds["obs/paris"], to=folder / "a.gif", size=(99, 99), palette="tab20"
    ),
    "animate_partitions": lambda ds, folder: kk.plot.animate_partitions(
        ds["obsm/X_umap"],
        [ds["obs/paris"].cat.codes.to_numpy(), ds["obs/group"].cat.codes.to_numpy()],
        to=folder / "b.gif",
        size=(99, 99),
        palette="tab20",
    ),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_colour_map_is_a_palette(clustered, name):
    assert FIGURES[name](*clustered) is not None
