"""Groups that keep to themselves are enriched beside themselves."""

import numpy as np
import pytest

from kithkin.core.errors import MissingResultError
from kithkin.verbs.neighborhood_enrichment import neighborhood_enrichment
from kithkin.verbs.spatial_neighbors import spatial_neighbors


def test_groups_keep_to_themselves(placed):
    spatial_neighbors(placed)
    scores = neighborhood_enrichment(placed, "group", n_permutations=200)
    assert (np.diag(scores) > 5).all()
    assert (scores.to_numpy()[~np.eye(4, dtype=bool)] < 0).all()
    assert scores.index.tolist() == placed.read("obs/group").astype("category").cat.categories.astype(str).tolist()
    stored = placed.read("uns/group_nhood_enrichment")
    assert stored["count"].sum() == placed.read("obsp/spatial_connectivities").nnz
    assert scores.equals(neighborhood_enrichment(placed, "obs/group", n_permutations=200, key=None))
    other = neighborhood_enrichment(placed, "group", n_permutations=200, key=None, seed=1)
    assert not scores.equals(other)


def test_what_is_missing_is_named(dataset):
    with pytest.raises(MissingResultError, match="obsp/spatial_connectivities is not in"):
        neighborhood_enrichment(dataset, "group")
