import numpy as np
import pytest

from kithkin.core.execute import Execution
from kithkin.models.neighbors.neighbors import LIST_ROWS, _partition, _probes, search


@pytest.mark.parametrize("duplicates", [0, 15_000])
def test_cells_hold_every_row_once_and_none_is_large(duplicates):
    rows = np.random.default_rng(0).normal(size=(20_000, 4)).astype(np.float32)
    rows[:duplicates] = rows[0]
    order, bounds = _partition(rows, 0, Execution())
    np.testing.assert_array_equal(np.sort(order), np.arange(20_000))
    assert bounds[0] == 0
    assert bounds[-1] == 20_000
    assert 0 < np.diff(bounds).min() <= np.diff(bounds).max() <= 4 * LIST_ROWS


def test_probes_start_at_home_and_hold_enough_rows():
    centers, sizes = np.array([[0.0], [1.0], [5.0], [5.0]]), np.array([10, 20, 30, 40])
    near = [part.tolist() for part in _probes(centers, sizes, 25)]
    assert near == [[0, 1], [1, 0], [2], [3]]
    assert [len(part) for part in _probes(centers, sizes, 100)] == [4, 4, 4, 4]


def test_more_neighbours_than_a_cell_holds():
    rows = np.random.default_rng(1).normal(size=(1200, 3)).astype(np.float32)
    found, squares = search(rows, 500, False, 0, Execution())
    true, _ = search(rows, 500, True, 0, Execution())
    assert found.shape == squares.shape == (1200, 500)
    assert (np.sort(found) == np.sort(true)).mean() > 0.99
