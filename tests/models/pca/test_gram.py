import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.models.pca.gram import Products, best_width
from kithkin.models.table.columns import Columns


def table(n=300, p=60, seed=0):
    """Columns from almost empty to almost full, in no order."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 9, (n, p)) * (rng.random((n, p)) < rng.permutation(np.linspace(0.001, 0.95, p) ** 4))


def gram(products, source, blocks):
    sums = products.zeros()
    for start, stop in blocks.ranges:
        for _, part in source.parts(blocks.read(start, stop), start):
            products.add(part, sums)
    return products.matrix(sums)


@pytest.mark.parametrize("make", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("width", [0, 1, 7, 59, 60])
def test_equals_numpy_for_any_number_of_dense_columns(make, width):
    X = table()
    slot = np.empty(60, np.int32)
    dense = np.sort(np.random.default_rng(1).permutation(60)[:width])
    slot[np.setdiff1d(np.arange(60), dense)], slot[dense] = np.arange(60 - width), np.arange(60 - width, 60)
    found = gram(Products(slot, 60 - width), Columns(np.arange(60), 60, None), InMemory(make(X), rows=77))
    assert np.array_equal(np.triu(found), np.triu(X.T @ X))


def test_parts_that_are_stored_as_dense_arrays_join_the_same_sums():
    X = table()
    X[100:200] = np.maximum(X[100:200], 1)
    source, blocks = Columns(np.arange(60), 60, None), InMemory(sparse.csr_matrix(X), rows=100)
    products = Products.of(source, InMemory(sparse.csr_matrix(X[:100])))
    assert 0 < products.n_sparse < 60
    assert np.array_equal(np.triu(gram(products, source, blocks)), np.triu(X.T @ X))


def test_choice_takes_the_fullest_columns_and_does_not_depend_on_blocks():
    X = sparse.csr_matrix(table(5000))
    source = Columns(np.arange(60), 60, None)
    one, other = (Products.of(source, InMemory(X, rows=rows)) for rows in (7, 5000))
    assert np.array_equal(one.slot, other.slot)
    density = X.getnnz(axis=0) / 5000
    dense = one.slot >= one.n_sparse
    assert density[dense].min() > density[~dense].max() - 0.05


def test_best_width_is_the_least_cost():
    assert best_width(np.zeros(9)) == 0
    assert best_width(np.ones(9)) == 9
    assert best_width(np.array([0.01] * 500 + [0.9] * 20)) == 20
