"""Cosine neighbours of sparse rows are those of scikit-learn's search by brute force."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models import UMAP, Neighbors

RNG = np.random.default_rng(0)
X = sparse.csr_matrix(RNG.poisson(RNG.gamma(0.2, 1.0, (6, 300))[np.arange(700) % 6]) * (RNG.random((700, 300)) < 0.5))
X = X[np.asarray(X.sum(axis=1)).ravel() > 0]


def by_brute_force(k):
    distances, ids = NearestNeighbors(n_neighbors=X.shape[0], metric="cosine", algorithm="brute").fit(X).kneighbors(X)
    others = ids != np.arange(X.shape[0])[:, None]
    return distances[others].reshape(X.shape[0], -1)[:, :k], ids[others].reshape(X.shape[0], -1)[:, :k]


@pytest.mark.parametrize("memory", [4 * 10**5, 10**9])
@pytest.mark.parametrize("rows", [50, 700])
def test_they_equal_scikit_learns(memory, rows):
    model = Neighbors(12, metric="cosine").fit(InMemory(X, rows=rows), Execution(memory=memory, threads=2))
    distances, _ = by_brute_force(11)
    np.testing.assert_allclose(model.distances_, distances, atol=2e-6)
    cosine = 1 - (X @ X.T).toarray() / np.outer(*[np.sqrt(X.multiply(X).sum(axis=1)).A1] * 2)
    np.testing.assert_allclose(np.take_along_axis(cosine, model.indices_.astype(int), 1), distances, atol=2e-6)
    assert not (model.indices_ == np.arange(X.shape[0])[:, None]).any()
    assert all(len(set(row)) == 11 for row in model.indices_.tolist())
    assert model.recall_ == 1.0


def test_they_equal_those_of_dense_rows_and_make_a_map():
    ours, dense = Neighbors(10, metric="cosine").fit(X), Neighbors(10, metric="cosine").fit(X.toarray())
    np.testing.assert_allclose(ours.distances_, dense.distances_, atol=2e-6)
    # counts tie, and neighbours that tie at the end of a list are as good as each other
    assert abs(ours.connectivities_ - dense.connectivities_).mean() < 1e-4
    start = RNG.normal(size=(X.shape[0], 2))
    assert UMAP(n_epochs=5, init=start).fit(ours.connectivities_).embedding_.shape == (X.shape[0], 2)


def test_blocks_and_threads_make_no_difference():
    one = Neighbors(10, metric="cosine").fit(InMemory(X, rows=700), Execution(threads=1))
    for rows, threads, memory in ((33, 1, 10**9), (33, 3, 10**6), (256, 2, 3 * 10**5)):
        again = Neighbors(10, metric="cosine").fit(InMemory(X, rows=rows), Execution(threads=threads, memory=memory))
        assert np.array_equal(again.distances_, one.distances_)


def test_equal_rows_are_neighbours_and_none_is_its_own():
    twice = sparse.vstack([X[:5]] * 30, "csr")
    model = Neighbors(15, metric="cosine").fit(twice)
    assert np.abs(model.distances_).max() < 1e-6
    assert not (model.indices_ == np.arange(150)[:, None]).any()
    assert np.array_equal(model.indices_ % 5, np.repeat(np.arange(150) % 5, 14).reshape(150, 14))


def test_refusals():
    with pytest.raises(ParameterError, match=r"X must be dense, got a sparse table.*or use metric='cosine'"):
        Neighbors(5).fit(X)
    with pytest.raises(ParameterError, match="there is an exact search only"):
        Neighbors(5, metric="cosine", method="partitioned").fit(X)
    empty = X.copy().tolil()
    empty[7] = 0
    with pytest.raises(ParameterError, match="row 7 of X is zero: it has no angle to others"):
        Neighbors(5, metric="cosine").fit(empty.tocsr())
    bad = X.astype(float)
    bad.data[0] = np.nan
    with pytest.raises(ParameterError, match="row 0 of X holds NaN or infinity"):
        Neighbors(5, metric="cosine").fit(bad)
