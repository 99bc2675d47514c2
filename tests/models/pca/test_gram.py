import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.models.pca.gram import GramSums, best_width
from kithkin.models.table.normalize import Normalized


def table(n=300, p=60, seed=0):
    """Columns from almost empty to almost full, in no order."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 9, (n, p)) * (rng.random((n, p)) < rng.permutation(np.linspace(0.001, 0.95, p) ** 4))


def gram(layout, source):
    sums = layout.zeros()
    for start, stop in source.ranges:
        for _, part in source.parts(source.blocks.read(start, stop), start):
            layout.add(part, sums)
    return layout.matrix(sums)


@pytest.mark.parametrize("make", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("width", [0, 1, 7, 59, 60])
def test_equals_numpy_for_any_number_of_dense_columns(make, width):
    X = table()
    slot = np.empty(60, np.int32)
    dense = np.sort(np.random.default_rng(1).permutation(60)[:width])
    slot[np.setdiff1d(np.arange(60), dense)], slot[dense] = np.arange(60 - width), np.arange(60 - width, 60)
    found = gram(GramSums(slot, 60 - width), Normalized(InMemory(make(X), rows=77)))
    assert np.array_equal(np.triu(found), np.triu(X.T @ X))


def test_parts_that_are_stored_as_dense_arrays_join_the_same_sums():
    X = table()
    X[100:200] = np.maximum(X[100:200], 1)
    layout = GramSums.of(Normalized(InMemory(sparse.csr_matrix(X[:100]))))
    assert 0 < layout.n_sparse < 60
    found = gram(layout, Normalized(InMemory(sparse.csr_matrix(X), rows=100)))
    assert np.array_equal(np.triu(found), np.triu(X.T @ X))


def test_choice_takes_the_fullest_columns_and_does_not_depend_on_blocks():
    X = sparse.csr_matrix(table(5000))
    one, other = (GramSums.of(Normalized(InMemory(X, rows=rows))) for rows in (7, 5000))
    assert np.array_equal(one.slot, other.slot)
    density = X.getnnz(axis=0) / 5000
    dense = one.slot >= one.n_sparse
    assert density[dense].min() > density[~dense].max() - 0.05


def test_best_width_is_the_least_cost():
    assert best_width(np.zeros(9)) == 0
    assert best_width(np.ones(9)) == 9
    assert best_width(np.array([0.01] * 500 + [0.9] * 20)) == 20
