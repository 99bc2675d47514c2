"""Order of rows for training: each row once, in parts that do not depend on how they are shared out, and well mixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kithkin.core.row_order import RowOrder


def drawn(order, epoch=(0,), worker=(0, 1), rank=(0, 1)):
    return [*order.pools(epoch, worker, rank)]


@given(
    n=st.integers(1, 300),
    size=st.integers(1, 40),
    chunk=st.integers(1, 400),
    batches=st.integers(1, 5),
    workers=st.integers(1, 4),
    ranks=st.integers(1, 3),
    shuffle=st.booleans(),
)
def test_each_row_comes_once_over_all_ranks_and_workers(n, size, chunk, batches, workers, ranks, shuffle):
    order = RowOrder(n, size, chunk, size * batches, 3, shuffle, False)
    found = []
    for rank in range(ranks):
        parts = [drawn(order, (1,), (w, workers), (rank, ranks)) for w in range(workers)]
        whole = drawn(order, (1,), rank=(rank, ranks))
        assert sorted(p.tolist() for part in parts for p in part) == sorted(p.tolist() for p in whole)
        assert all(len(pool) == size * batches for pool in whole[:-1])
        assert sum(-(-len(pool) // size) for pool in whole) == order.n_batches((rank, ranks))
        found += whole
    assert sorted(np.concatenate(found).tolist()) == list(range(n))


@given(n=st.integers(1, 300), size=st.integers(1, 40), ranks=st.integers(1, 4))
def test_without_the_last_every_batch_is_full_and_ranks_have_as_many(n, size, ranks):
    order = RowOrder(n, size, 7, 2 * size, 0, True, True)
    counts = [sum(map(len, drawn(order, rank=(rank, ranks)))) for rank in range(ranks)]
    assert set(counts) == {n // ranks // size * size}
    rows = np.concatenate([np.empty(0, int), *(p for rank in range(ranks) for p in drawn(order, rank=(rank, ranks)))])
    assert len(np.unique(rows)) == len(rows)


def test_rows_in_their_order_are_those_of_the_table():
    assert [p.tolist() for p in drawn(RowOrder(7, 2, 3, 4, 0, False, False))] == [[0, 1, 2, 3], [4, 5, 6]]


def test_the_order_follows_seed_and_epoch_alone():
    def of(seed, epoch):
        return np.concatenate(drawn(RowOrder(1000, 10, 8, 100, seed, True, False), (epoch,))).tolist()

    assert of(0, 0) == of(0, 0)
    assert len({tuple(of(seed, epoch)) for seed in range(3) for epoch in range(3)}) == 9


@pytest.mark.parametrize("chunk", [1, 16, 64])
def test_batches_hold_rows_of_everywhere(chunk):
    """Means of rows in a batch vary as those of as many runs drawn at random."""
    n, size = 64_000, 256
    order = RowOrder(n, size, chunk, 16_000, 0, True, False)
    batches = np.concatenate(drawn(order)).reshape(-1, size)
    assert (np.diff(batches, axis=1) == 1).mean() < 0.01, "neighbours on disk are no neighbours in a batch"
    spread = batches.mean(axis=1).std() / (n / np.sqrt(12))
    # runs of a pool, and rows within it, both drawn without replacement
    expected = np.sqrt((1 - size / 16_000) / size + (1 - 16_000 / n) * chunk / 16_000)
    assert 0.7 * expected < spread < 1.3 * expected
    rank = np.corrcoef(batches.ravel(), np.arange(n))[0, 1]
    assert abs(rank) < 0.1
