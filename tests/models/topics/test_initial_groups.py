import numpy as np
import pytest
from scipy import sparse
from sklearn.metrics import adjusted_rand_score

from kithkin.core.blocks import InMemory
from kithkin.models.topics.topics import initial_groups


@pytest.mark.parametrize("p", [60, 1500])  # covariance, and components without one
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_groups_are_found_whatever_the_depth_of_a_cell(p, layout):
    rng = np.random.default_rng(p)
    truth = np.arange(200) % 4
    means = rng.dirichlet(np.full(p, 0.2), 4)[truth] * rng.uniform(50, 800, 200)[:, None]
    X = rng.poisson(means)
    X[5] = 0
    labels = initial_groups(InMemory(layout(X), rows=33), 4, X.sum(axis=1))
    assert adjusted_rand_score(truth, labels) > 0.95


def test_one_group():
    assert not initial_groups(InMemory(np.eye(5)), 1, np.ones(5)).any()
