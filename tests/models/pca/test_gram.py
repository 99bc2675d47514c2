import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.models.pca.gram import GramSums, best_width, exact_units
from kithkin.models.table.normalize import Normalized


def table(n=300, p=60, seed=0):
    """Columns from almost empty to almost full, in no order."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 9, (n, p)) * (rng.random((n, p)) < rng.permutation(np.linspace(0.001, 0.95, p) ** 4))


def gram(layout, source):
    sums = layout.zeros()
    for start, stop in source.ranges:
        for _, part in source.parts(source.blocks.read(start, stop), start):
            layout.add(layout.rounded(part), sums)
    return layout.matrix(sums)


@pytest.mark.parametrize("make", [sparse.csr_matrix, np.asarray])
@pytest.mark.parametrize("width", [0, 1, 7, 59, 60])
def test_equals_numpy_for_any_number_of_dense_columns(make, width):
    X = table()
    slot = np.empty(60, np.int32)
    dense = np.sort(np.random.default_rng(1).permutation(60)[:width])
    slot[np.setdiff1d(np.arange(60), dense)], slot[dense] = np.arange(60 - width), np.arange(60 - width, 60)
    found = gram(GramSums(slot, 60 - width, np.ones(60)), Normalized(InMemory(make(X), rows=77)))
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


@pytest.mark.parametrize("make", [sparse.csr_matrix, np.asarray])
def test_sums_of_rounded_values_are_the_same_in_every_order(make):
    """In exact arithmetic as well: Python's fractions."""
    from fractions import Fraction

    X = table(400, 12) * np.random.default_rng(2).random((400, 12)) * np.logspace(-6, 6, 12)
    squares = (X**2).sum(axis=0)
    layout = GramSums.of(Normalized(InMemory(X)), squares)
    rounded = np.rint(X / layout.unit) * layout.unit
    assert np.abs(rounded - X).max(axis=0).tolist() <= (2.0**-26 * np.sqrt(squares)).tolist()
    found = [
        gram(layout, Normalized(InMemory(make(X[order]), rows=rows)))
        for order, rows in (
            (slice(None), 400),
            (slice(None, None, -1), 7),
            (np.random.default_rng(3).permutation(400), 31),
        )
    ]
    assert all(np.array_equal(np.triu(found[0]), np.triu(one)) for one in found[1:])
    for a, b in ((0, 0), (3, 8), (11, 11)):
        exact = sum(Fraction(x) * Fraction(y) for x, y in rounded[:, [a, b]].tolist())
        assert Fraction(found[0][a, b]) == exact


def test_sums_of_squares_tell_whether_they_are_exact():
    X = table()
    layout = GramSums.of(Normalized(InMemory(sparse.csr_matrix(X))))
    sums = layout.zeros()
    for _, part in Normalized(InMemory(sparse.csr_matrix(X))).parts(InMemory(sparse.csr_matrix(X)).read(0, 300), 0):
        layout.add(layout.rounded(part), sums)
    assert np.array_equal(layout.squares(sums), (X**2).sum(axis=0))
    assert layout.is_exact(layout.squares(sums))
    assert not layout.is_exact(2.0**53 * layout.unit**2 * 1.001)
    assert np.all(exact_units(np.array([0.0, 1e-300, 1e300])) > 0)
