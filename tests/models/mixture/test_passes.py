"""A pass of EM finds the same sums on workers, which are sent the size factors and labels of their own rows only."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import lay_out_counts
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import gather_statistics

WAYS = ("tables", "labels", "responsibilities", "predict")


def found_by(way, blocks, layout, execution):
    log_mean = np.log(np.array([[0.4, 0.3, 0.2, 0.1], [0.1, 0.2, 0.3, 0.4]]))
    n = blocks.shape[0]
    if way == "predict":
        model = CountMixture.from_parameters(log_mean)
        return [model.predict_proba(blocks, size=layout.size, execution=execution)]
    parameters = Parameters(np.log([0.5, 0.5]), np.ascontiguousarray(log_mean.T), np.full((4, 2), 0.1))
    labels = np.arange(n) % 2
    by = {"tables": Tables.of(parameters, layout), "labels": labels, "responsibilities": np.eye(2)[labels]}[way]
    found = gather_statistics(blocks, layout, by, 2, execution=execution)
    return [found.V, found.H, found.W, found.weight, found.likelihood, found.joint]


@pytest.mark.parametrize("way", WAYS)
def test_workers_find_the_same_and_are_sent_what_belongs_to_their_rows(way, sent_workers):
    sizes = []
    for n in (2000, 20000):
        X = sparse.csr_matrix(np.random.default_rng(1).poisson(2.0, (n, 4)) + np.eye(4, dtype=int)[np.arange(n) % 4])
        blocks, pool = InMemory(X, rows=10), sent_workers(1)
        layout = lay_out_counts(blocks)
        expected = found_by(way, blocks, layout, Execution(threads=1))
        for one, other in zip(found_by(way, blocks, layout, Execution(executor=pool)), expected, strict=True):
            assert np.array_equal(one, other)
        sizes.append(pool.largest)
    assert sizes[1] < 1.1 * sizes[0]
