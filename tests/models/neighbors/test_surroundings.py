"""Neighbours and sums of distances of some rows are those of the table of all distances."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial.distance import cdist

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.neighbors import surroundings
from kithkin.models.neighbors.surroundings import Surroundings


def table():
    rng = np.random.default_rng(0)
    return rng.normal(size=(900, 7)) + 20, rng.integers(-1, 5, 900), np.sort(rng.choice(900, 200, replace=False))


@pytest.mark.parametrize("rows", [64, 900])
@pytest.mark.parametrize("threads", [1, 3])
def test_all_distances_say_the_same(rows, threads, monkeypatch):
    monkeypatch.setattr(surroundings, "TILE", 96)  # so that groups are cut between tiles
    X, codes, own = table()
    model = Surroundings(12).fit(InMemory(X, rows=rows), own, codes, Execution(threads=threads))
    distances = cdist(X[own], X)
    sums = np.stack([distances[:, codes == group].sum(axis=1) for group in range(5)], axis=1)
    np.testing.assert_allclose(model.sums_, sums, rtol=1e-4)
    distances[np.arange(200), own] = np.inf
    order = np.argsort(distances, axis=1)[:, :12]
    assert (model.indices_ == order).mean() > 0.999
    np.testing.assert_allclose(model.distances_, np.sort(distances, axis=1)[:, :12], rtol=1e-3)


def test_equal_rows_are_neighbours_and_a_row_is_not_its_own():
    model = Surroundings(2).fit(np.ones((5, 3)), np.arange(5), np.zeros(5, int))
    assert model.indices_.shape == (5, 2)
    assert not (model.indices_ == np.arange(5)[:, None]).any()
    assert np.all(model.distances_ == 0)


def test_what_is_wrong_is_named():
    everyone = np.arange(4), np.zeros(4, int)
    with pytest.raises(ParameterError, match=r"n_neighbors must be in 1\.\.3, got 4"):
        Surroundings(4).fit(np.eye(4), *everyone)
    with pytest.raises(ParameterError, match="X must be dense"):
        Surroundings(2).fit(sparse.eye(4).tocsr(), *everyone)
    with pytest.raises(ParameterError, match="X must be finite"):
        Surroundings(2).fit(np.full((4, 2), np.nan), *everyone)
