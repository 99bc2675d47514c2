from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.markers.gene_slabs import CellGroups, slab_ranges, slabs, stored_counts, value_dtype


@pytest.fixture
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(0.7, (50, 30)).astype(np.uint16)


def plain(n, left_out=()):
    groups = np.zeros(n, np.int16)
    groups[list(left_out)] = -1
    return CellGroups(groups, np.empty(0, np.float32), int(groups.max()) + 1)


@pytest.mark.parametrize("rows", [1, 7, 50])
@pytest.mark.parametrize("memory", [300, 2000, 10**8])
@pytest.mark.parametrize("convert", [sparse.csr_matrix, np.asarray], ids=["sparse", "dense"])
def test_slabs_hold_every_value_once_whatever_the_budget(counts, rows, memory, convert):
    cells, execution = plain(50, left_out=[3, 20]), Execution(memory=memory, threads=2)
    blocks = InMemory(convert(counts), rows=rows)
    used = cells.groups >= 0
    n_cells = stored_counts(blocks, cells, execution)
    np.testing.assert_array_equal(n_cells, (counts[used] > 0).sum(0))
    seen = 0
    for slab in slabs(blocks, cells, n_cells, execution):
        for gene in range(slab.last - slab.first):
            bounds = zip(slab.starts[:, gene], slab.starts[:, gene + 1], strict=True)
            values = np.concatenate([slab.values[start:stop] for start, stop in bounds])
            column = counts[used, slab.first + gene]
            np.testing.assert_array_equal(values, column[column > 0])
            seen += 1
    assert seen == 30


def test_ranges_are_even_and_within_the_capacity():
    sizes = np.random.default_rng(1).integers(0, 50, 200)
    ranges = slab_ranges(sizes, 1000)
    assert [start for start, _ in ranges[1:]] == [stop for _, stop in ranges[:-1]]
    assert ranges[0][0] == 0
    assert ranges[-1][1] == 200
    assert all(sizes[start:stop].sum() <= 1000 for start, stop in ranges)
    assert len(ranges) <= -(-sizes.sum() // 1000) + 1
    assert slab_ranges(np.zeros(3, int), 10) == [(0, 3)]
    assert slab_ranges(np.zeros(0, int), 10) == []


def test_counts_of_another_table_are_refused(counts):
    with pytest.raises(ParameterError, match="n_cells"):
        list(slabs(InMemory(counts), plain(50), np.ones(30, int), Execution(threads=1)))


def test_nan_is_refused_with_the_rows(counts):
    X = counts.astype(float)
    X[40, 2] = np.nan
    with pytest.raises(ParameterError, match="finite") as caught:
        list(slabs(InMemory(X, rows=25), plain(50), np.full(30, 50), Execution(threads=1)))
    assert caught.value.__notes__ == ["in rows 25 to 50"]


def test_single_precision_only_where_it_is_exact():
    assert [value_dtype(np.dtype(t), False).itemsize for t in ("u1", "i2", "f4", "f2", "i4", "u8", "f8")] == [
        *(4, 4, 4, 4),
        *(8, 8, 8),
    ]
    assert value_dtype(np.dtype("f8"), True) == np.float32
