import numpy as np
import pytest

from kithkin.core.execute import Execution
from kithkin.models.neighbors.inverted_file import (
    LIMIT,
    LIST_ROWS,
    build_lists,
    choose_lists,
    ranks_of_neighbors,
    rounds_of,
)


def rows_of(n, d=4, seed=0):
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


@pytest.mark.parametrize("duplicates", [0, 15_000])
def test_lists_hold_every_row_once_and_none_is_large(duplicates):
    rows = rows_of(20_000)
    rows[:duplicates] = rows[0]
    file = build_lists(rows, 0, Execution())
    np.testing.assert_array_equal(np.sort(file.order), np.arange(20_000))
    assert file.bounds[0] == file.runs[0] == 0
    assert file.bounds[-1] == 20_000
    assert file.runs[-1] == len(file.bounds) - 1 == file.columns.shape[1]
    assert 0 < np.diff(file.bounds).min() <= np.diff(file.bounds).max() <= LIMIT * LIST_ROWS
    assert np.diff(file.runs).min() > 0
    for number in range(0, len(file.bounds) - 1, 7):
        members = file.order[file.bounds[number] : file.bounds[number + 1]]
        np.testing.assert_allclose(file.columns[:, number], rows[members].mean(axis=0), rtol=1e-4, atol=1e-5)


def test_threads_do_not_change_a_list_and_seeds_do():
    rows = rows_of(5000)
    one, other = (build_lists(rows, 0, Execution(threads=threads)) for threads in (1, 3))
    assert one.order.tobytes() == other.order.tobytes()
    assert one.columns.tobytes() == other.columns.tobytes()
    assert build_lists(rows, 1, Execution()).order.tobytes() != one.order.tobytes()


def test_rows_look_into_the_nearest_lists_and_pairs_of_runs_cover_them():
    rows = rows_of(30_000, 3)
    file = build_lists(rows, 0, Execution())
    rows = rows[file.order]
    sample = np.arange(0, 30_000, 30)
    chosen, pairs = choose_lists(file, rows, 4, sample, Execution())
    far = np.square(rows[sample, :, None] - file.columns).sum(axis=1)
    true = np.sort(np.argsort(far, axis=1, kind="stable")[:, :4], axis=1)
    assert (chosen[sample] == true).mean() > 0.97
    known = {frozenset(pair) for pair in pairs}
    of_row, of_list = file.run_of[file.list_of], file.run_of
    assert all(frozenset(pair) in known for pair in zip(of_row.repeat(4), of_list[chosen.ravel()], strict=True))
    assert len(known) == len(pairs)


def test_ranks_say_how_many_lists_find_a_pair():
    rows = rows_of(4000, 5)
    file = build_lists(rows, 0, Execution())
    rows = rows[file.order]
    sample = np.array([5, 900, 3999])
    far = np.square(rows[:, None] - rows[sample]).sum(axis=2)
    nearest = np.argsort(far, axis=0)[1:9].T
    ranks = ranks_of_neighbors(file, rows, sample, nearest, Execution())
    order = np.argsort(np.square(rows[:, :, None] - file.columns).sum(axis=1), axis=1, kind="stable")
    for row, i in enumerate(sample):
        for a, j in enumerate(nearest[row]):
            there = 1 + order[i].tolist().index(file.list_of[j])
            back = 1 + order[j].tolist().index(file.list_of[i])
            assert ranks[row, a] == min(there, back)


@pytest.mark.parametrize("n_runs", [1, 2, 7, 12])
def test_rounds_hold_every_pair_once_and_no_run_twice(n_runs):
    pairs = [(i, j) for i in range(n_runs) for j in range(i, n_runs)]
    rounds = rounds_of(pairs, n_runs)
    assert sorted(pair for together in rounds for pair in together) == sorted(pairs)
    for together in rounds:
        runs = [run for pair in together for run in set(pair)]
        assert len(runs) == len(set(runs))
    assert len(rounds) <= 2 * n_runs
