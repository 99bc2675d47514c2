import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.models.table.columns import (
    add_transposed_times,
    choose,
    column_counts,
    column_squares,
    column_sums,
    times,
)
from kithkin.models.table.normalize import Normalized, Stored


@pytest.mark.parametrize("density", [0.05, 0.9])
@pytest.mark.parametrize("make", [sparse.csr_matrix, np.asarray])
def test_products_equal_numpy_for_stored_and_dense_parts(density, make):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 40, (50, 20)) * (rng.random((50, 20)) < density)
    chosen, totals = np.array([1, 4, 5, 19]), 1 + 9 * rng.random(50)
    expected = np.log1p(X[:, chosen] * (3 / totals)[:, None])
    source = Normalized(InMemory(make(X)), "log1p", totals=totals, target_sum=3.0, columns=chosen)
    parts = list(source.parts(source.blocks.read(0, 50), 0))
    assert [isinstance(part, Stored) for _, part in parts] == [density < 0.5]
    vectors, back = rng.normal(size=(4, 2)), np.zeros((4, 2))
    for _, part in parts:
        scores = times(part, vectors)
        add_transposed_times(part, scores, back)
        assert np.allclose(column_sums(part), expected.sum(axis=0))
        assert np.allclose(column_squares(part), (expected**2).sum(axis=0))
        assert np.array_equal(column_counts(part), (expected != 0).sum(axis=0))
    assert np.allclose(scores, expected @ vectors)
    assert np.allclose(back, expected.T @ expected @ vectors)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        (np.array([1, 1]), "twice"),
        (np.array([0, 3]), "must be in 0..2"),
        (np.array([True]), "must hold 3 booleans, got 1"),
        (np.zeros(3, bool), "at least one"),
        (np.array([0.5]), "mask or positions"),
    ],
)
def test_refuses_impossible_columns(columns, message):
    with pytest.raises(ParameterError, match=message):
        choose(columns, 3)


def test_masks_and_positions_choose_alike():
    assert choose(np.array([False, True, True]), 3).tolist() == [1, 2]
    assert choose(np.array([2, 0]), 3).tolist() == [0, 2]
    assert choose(None, 2).tolist() == [0, 1]
