import numpy as np
import pytest
from scipy import sparse

from kithkin.models.deep_start import gaussian_shares, modularity, start_shares


@pytest.fixture(scope="module")
def groups():
    rng = np.random.default_rng(0)
    truth = np.repeat(np.arange(3), 40)
    return rng.normal(0, 0.3, (120, 4)) + 3 * np.eye(3, 4)[truth], truth


def matched(labels, truth):
    return all(len(np.unique(labels[truth == k])) == 1 for k in range(3)) and len(np.unique(labels)) == 3


@pytest.mark.parametrize("start", ["map", "kmeans"])
def test_groups_are_found(groups, start):
    H, truth = groups
    shares = start_shares(H.astype(np.float32), 3, start)
    assert np.allclose(shares.sum(1), 1, atol=1e-5)
    assert matched(shares.argmax(1), truth)


def test_long_groups_are_found_by_their_covariance():
    rng = np.random.default_rng(1)
    truth = np.repeat([0, 1], 200)
    X = np.column_stack([rng.normal(0, 5, 400), rng.normal(0, 0.2, 400) + 2 * truth])
    shares, log_likelihood = gaussian_shares(X, 2)
    found = shares.argmax(1)
    assert max((found == truth).mean(), (found != truth).mean()) > 0.99
    assert np.isfinite(log_likelihood)


def test_modularity_is_that_of_igraph():
    igraph = pytest.importorskip("igraph")
    rng = np.random.default_rng(2)
    dense = np.triu(rng.random((20, 20)) * (rng.random((20, 20)) < 0.3), 1)
    graph = sparse.csr_matrix(dense + dense.T)
    labels = rng.integers(0, 3, 20)
    upper = sparse.triu(graph).tocoo()
    theirs = igraph.Graph(20, list(zip(upper.row, upper.col, strict=True)))
    assert np.isclose(modularity(graph, labels), theirs.modularity(labels.tolist(), weights=upper.data.tolist()))
    assert modularity(sparse.csr_matrix((3, 3)), np.zeros(3, int)) == 0
