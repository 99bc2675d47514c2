"""What a task is sent grows with its rows, and not with the table; what it computes is the same."""

import pickle
from functools import partial

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory, Mapped, SparseRows
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.own_rows import RowValues, only_rows
from kithkin.models.table.normalize import Normalized
from kithkin.models.table.selection import Selection
from kithkin.models.table.sums import BlockRuns

RNG = np.random.default_rng(0)


def weighed(block, start, *, by, source=None):
    """Anything that depends on the rows, on values of theirs and on a source of theirs."""
    dense = block.to_dense() if isinstance(block, SparseRows) else block
    own = by[start : start + len(dense)]
    parts = [] if source is None else [part.sum() for _, part in source.parts(block, start)]
    return float((dense * own[:, None]).sum()), parts


def runs(run, _start, *, by):
    return [weighed(block, start, by=by) for start, block in run]


def tables(n):
    X = RNG.poisson(1.0, (n, 4)).astype(np.uint8)
    for table in (X, sparse.csr_matrix(X)):
        yield InMemory(table, rows=10)
        yield Normalized(InMemory(table, rows=10), "log1p", totals=X.sum(axis=1))
        yield Normalized(InMemory(table, rows=10), "log1p", columns=np.array([1, 3]))
        yield Mapped(Normalized(InMemory(table, rows=10), "log1p", totals=X.sum(axis=1)), unchanged)
        yield Mapped(InMemory(table, rows=10), Selection(RNG.random(n) < 2, np.array([True, False, True, True])))


def unchanged(block, start):
    return block


@pytest.mark.parametrize("which", range(10))
def test_answers_are_those_of_one_process_and_tasks_stay_small(which, sent_workers):
    sizes = []
    for n in (200, 20000):
        blocks = list(tables(n))[which]
        work = partial(weighed, by=RowValues(np.arange(n) / 7))
        expected = list(map_blocks(work, blocks, Execution(threads=1)))
        pool = sent_workers(1)
        assert list(map_blocks(work, blocks, Execution(executor=pool))) == expected
        sizes.append(pool.largest)
        again = map_blocks(partial(runs, by=RowValues(np.arange(n) / 7)), BlockRuns(blocks), Execution(executor=pool))
        assert [one for run in again for one in run] == expected
    assert sizes[1] < 1.1 * sizes[0]


def test_a_source_that_is_sent_beside_the_rows_is_cut_too():
    n = 20000
    X = sparse.csr_matrix(RNG.poisson(1.0, (n, 4)))
    source = Normalized(InMemory(X, rows=10), "log1p", totals=np.asarray(X.sum(axis=1)).ravel(), columns=np.arange(4))
    other = only_rows(partial(weighed, by=RowValues(np.arange(n)), source=source), 30, 40)
    block = source.blocks.read(30, 40)
    expected, found = (list(one.parts(block, 30)) for one in (source, other.keywords["source"]))
    assert [pickle.dumps(part) for part in found] == [pickle.dumps(part) for part in expected]
    assert len(pickle.dumps(other)) < 4000


def test_what_has_no_rows_is_sent_as_it_is():
    assert only_rows(abs, 0, 2) is abs
    assert only_rows(Selection, 0, 2) is Selection
    given = np.arange(3)
    assert only_rows(given, 0, 2) is given
