import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution

pytest.importorskip("torch", reason="torch is not installed: the extra 'deep'")

from kithkin.models.latent.counts import CountBatches, CountTable

COLUMNS = np.array([1, 2, 5, 7])


@pytest.fixture
def X():
    return sparse.csr_matrix(np.random.default_rng(0).poisson(0.8, (40, 9)))


def survey(X, memory=2**30, rows=7):
    batch, labels = np.arange(40) % 2, np.full(40, -1)
    return CountTable.of(InMemory(X, rows=rows), COLUMNS, batch, labels, 2, Execution(memory=memory, threads=2))


@pytest.mark.parametrize("memory", [2**30, 64])
def test_chosen_genes_are_read_whether_they_are_held_or_not(X, memory):
    table, chosen = survey(X, memory), X.toarray()[:, COLUMNS]
    assert table.blocks.shape == (40, 4)
    for start, stop in ((0, 40), (5, 6), (6, 8), (3, 29), (39, 40), (4, 4)):
        np.testing.assert_array_equal(table.blocks.read(start, stop).to_dense(), chosen[start:stop])
    np.testing.assert_array_equal(table.size, chosen.sum(axis=1))
    np.testing.assert_array_equal(table.sums, [chosen[::2].sum(axis=0), chosen[1::2].sum(axis=0)])
    some = table.rows(np.array([0, 3, 8, 30]))
    np.testing.assert_array_equal(some.blocks.read(0, 4).to_dense(), chosen[[0, 3, 8, 30]])
    assert some.batch.tolist() == [0, 1, 0, 0]


def test_every_epoch_has_each_row_at_most_once(X):
    chosen = X.toarray()[:, COLUMNS]
    batches = CountBatches(survey(X), 12, 0, "cpu")
    orders = []
    for number in (0, 1):
        drawn = list(batches.epoch(number))
        assert [len(batch.size) for batch in drawn] == [12, 12, 12]
        sizes = np.concatenate([batch.size.numpy() for batch in drawn]).astype(int)
        assert np.all(np.bincount(sizes, minlength=9) <= np.bincount(chosen.sum(axis=1), minlength=9))
        orders.append(sizes)
    assert not np.array_equal(*orders)
    starts = [start for start, _ in batches.ordered()]
    assert starts[0] == 0
    np.testing.assert_array_equal(
        np.concatenate([batch.size.numpy() for _, batch in batches.ordered()]), chosen.sum(axis=1)
    )


def test_values_that_are_not_counts_are_refused(X):
    with pytest.raises(ParameterError, match="needs counts, but X holds values that are not integers"):
        survey(X.astype(float) + sparse.csr_matrix(([0.5], ([3], [1])), shape=X.shape))
