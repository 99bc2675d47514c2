import numpy as np
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.table.sums import LONGEST, MOST, N_RUNS, BlockRuns, reduce_blocks, within_memory


def total(run, start):
    return (sum(block.sum(axis=0) for _, block in run),)


@pytest.mark.parametrize("rows", [1, 3, 50, 1000])
def test_runs_cover_the_rows_in_order(rows):
    blocks = InMemory(np.ones((101, 2)), rows=rows)
    runs = BlockRuns(blocks)
    inside = [r for bounds in runs.ranges for r in runs.read(*bounds).ranges]
    assert inside == blocks.ranges
    assert len(runs.ranges) == min(N_RUNS, len(blocks.ranges))


def test_a_long_table_has_more_runs():
    runs = BlockRuns(InMemory(np.ones((3200, 1)), rows=10))
    assert len(runs.ranges) == 320 // LONGEST > N_RUNS
    assert len(BlockRuns(InMemory(np.zeros((2 * MOST * LONGEST, 1)), rows=1)).ranges) == MOST


def test_sum_does_not_depend_on_threads():
    X = np.random.default_rng(0).normal(size=(500, 3))
    sums = [reduce_blocks(total, InMemory(X, rows=7), Execution(threads=t))[0] for t in (1, 2, 5)]
    assert np.array_equal(sums[0], sums[1])
    assert np.array_equal(sums[0], sums[2])
    assert np.allclose(sums[0], X.sum(axis=0))


def test_threads_are_reduced_to_fit_the_budget():
    assert within_memory(Execution(memory=10**8, threads=8), 10**9).threads == 1
    assert within_memory(Execution(memory=10**8, threads=8), 10).threads == 8
    assert within_memory(Execution(memory=200 * 10**6, threads=16), 32 * 10**6).threads == 3
