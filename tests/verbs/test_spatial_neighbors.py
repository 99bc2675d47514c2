"""Neighbours in the tissue as results of a dataset."""

import numpy as np
import pytest

from kithkin.core.errors import MissingResultError
from kithkin.verbs.neighborhood_enrichment import neighborhood_enrichment
from kithkin.verbs.spatial_neighbors import spatial_neighbors


@pytest.fixture
def tissue(dataset):
    rng = np.random.default_rng(0)
    groups = dataset.read("obs/group").astype("category").cat.codes.to_numpy()
    corners = np.array([[0, 0], [0, 50], [50, 0], [50, 50]])
    dataset.write({"obsm/spatial": corners[groups] + rng.uniform(0, 50, (600, 2))})
    return dataset


def test_neighbours_are_stored_where_squidpy_has_them(tissue):
    joined = spatial_neighbors(tissue)
    assert joined.shape == (600, 600)
    assert abs(tissue.read("obsp/spatial_connectivities") - joined).max() == 0
    assert tissue.read("obsp/spatial_distances").nnz == joined.nnz
    assert tissue.read("uns/spatial_neighbors")["connectivities_key"] == "spatial_connectivities"
    near = spatial_neighbors(tissue, method="radius", radius=4, key="near")
    assert tissue.read("obsp/near_distances").max() <= 4
    assert near.nnz < joined.nnz
    assert tissue.history()["state"].eq("current").all()


def test_images_are_apart(tissue):
    images = np.where(np.arange(600) % 2, "left", "right")
    tissue.write({"obs/region": images, "obs/slide": images[::-1]})
    joined = spatial_neighbors(tissue).tocoo()
    assert (images[joined.row] == images[joined.col]).all()
    joined = spatial_neighbors(tissue, region="slide", key=None).tocoo()
    assert (images[::-1][joined.row] == images[::-1][joined.col]).all()
    across = spatial_neighbors(tissue, region=None, key=None).tocoo()
    assert (images[across.row] != images[across.col]).any()


def test_groups_keep_to_themselves(tissue):
    spatial_neighbors(tissue)
    scores = neighborhood_enrichment(tissue, "group", n_permutations=200)
    assert (np.diag(scores) > 5).all()
    assert (scores.to_numpy()[~np.eye(4, dtype=bool)] < 0).all()
    assert scores.index.tolist() == tissue.read("obs/group").astype("category").cat.categories.astype(str).tolist()
    stored = tissue.read("uns/group_nhood_enrichment")
    assert stored["count"].sum() == tissue.read("obsp/spatial_connectivities").nnz
    assert scores.equals(neighborhood_enrichment(tissue, "obs/group", n_permutations=200, key=None))
    other = neighborhood_enrichment(tissue, "group", n_permutations=200, key=None, seed=1)
    assert not scores.equals(other)


def test_what_is_missing_is_named(dataset):
    with pytest.raises(MissingResultError, match="obsm/spatial is not in"):
        spatial_neighbors(dataset)
    with pytest.raises(MissingResultError, match="obsp/spatial_connectivities is not in"):
        neighborhood_enrichment(dataset, "group")
