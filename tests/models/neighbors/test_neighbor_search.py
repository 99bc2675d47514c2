import numpy as np
import pytest

from kithkin.core.execute import Execution
from kithkin.models.neighbors.neighbors import LIST_ROWS, _partition, _probes, estimated_recall, search


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
    found, squares, recall = search(rows, 500, False, 0, Execution())
    true, _, whole = search(rows, 500, True, 0, Execution())
    assert whole == 1
    assert recall > 0.99
    assert found.shape == squares.shape == (1200, 500)
    assert (np.sort(found) == np.sort(true)).mean() > 0.99


def test_recall_is_that_of_all_rows():
    rows = np.random.default_rng(2).normal(size=(3000, 20)).astype(np.float32)
    _, squares, _ = search(rows, 10, True, 0, Execution())
    assert estimated_recall(rows, squares, 0, Execution()) == 1
    worse = squares.copy()
    missed = np.random.default_rng(3).random(3000) < 0.4
    worse[missed, -3:] = 100.0  # found farther rows in place of three of ten
    expected = 1 - 0.3 * missed.mean()
    assert estimated_recall(rows, worse, 0, Execution()) == pytest.approx(expected, abs=0.02)
    one, other = (estimated_recall(rows, worse, 0, Execution(threads=threads)) for threads in (1, 3))
    assert one == other


def test_equal_rows_count_as_found():
    rows = np.zeros((200, 3), np.float32)
    assert estimated_recall(rows, np.zeros((200, 14), np.float32), 0, Execution()) == 1
