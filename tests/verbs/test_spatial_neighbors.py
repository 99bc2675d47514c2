"""Neighbours in the tissue as results of a dataset."""

import numpy as np
import pytest

from kithkin.core.errors import MissingResultError
from kithkin.verbs.spatial_neighbors import spatial_neighbors


def test_neighbours_are_stored_where_squidpy_has_them(placed):
    joined = spatial_neighbors(placed)
    assert joined.shape == (600, 600)
    assert abs(placed.read("obsp/spatial_connectivities") - joined).max() == 0
    assert placed.read("obsp/spatial_distances").nnz == joined.nnz
    assert placed.read("uns/spatial_neighbors")["connectivities_key"] == "spatial_connectivities"
    near = spatial_neighbors(placed, method="radius", radius=4, key="near")
    assert placed.read("obsp/near_distances").max() <= 4
    assert near.nnz < joined.nnz
    assert placed.history()["state"].eq("current").all()


def test_images_are_apart(placed):
    images = np.where(np.arange(600) % 2, "left", "right")
    placed.write({"obs/region": images, "obs/slide": images[::-1]})
    joined = spatial_neighbors(placed).tocoo()
    assert (images[joined.row] == images[joined.col]).all()
    joined = spatial_neighbors(placed, region="slide", key=None).tocoo()
    assert (images[::-1][joined.row] == images[::-1][joined.col]).all()
    across = spatial_neighbors(placed, region=None, key=None).tocoo()
    assert (images[across.row] != images[across.col]).any()


def test_what_is_missing_is_named(dataset):
    with pytest.raises(MissingResultError, match="obsm/spatial is not in"):
        spatial_neighbors(dataset)
