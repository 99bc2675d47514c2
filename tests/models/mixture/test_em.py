"""EM never lowers the likelihood, and is the same whatever the blocks and threads."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import Nodes, count_pieces, lay_out_counts
from kithkin.models.mixture.em import MODES, Prior, maximize, run_em
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.parameters import Tables
from kithkin.models.mixture.passes import gather_statistics, row_responsibilities


def table(seed=0, n=200, p=80):
    rng = np.random.default_rng(seed)
    return rng.negative_binomial(1.5, 0.3, (n, p)) * (rng.random((n, p)) < 0.4), rng.random((n, 3))


def start(X, z, mode, prior=None, rows=None, threads=1):
    blocks = InMemory(sparse.csr_matrix(X), rows=rows)
    layout, execution = lay_out_counts(blocks), Execution(threads=threads)
    sums = gather_statistics(blocks, layout, z / z.sum(axis=1, keepdims=True), z.shape[1], execution=execution)
    parameters = maximize(sums, layout, mode, prior or Prior(), execution=execution)
    return blocks, layout, parameters, execution


@pytest.mark.parametrize("mode", MODES)
def test_likelihood_never_falls(mode):
    blocks, layout, parameters, execution = start(*table(), mode)
    found = run_em(blocks, layout, parameters, mode, Prior(), max_iter=40, tolerance=0.0, execution=execution)
    assert len(found.trace) > 3
    assert np.diff(found.trace).min() > -1e-10 * abs(found.trace[0])


def test_priors_on_weights_and_dispersions_are_in_the_trace():
    prior = Prior(weight=5.0, center=np.full(80, -1.0), precision=2.0)
    blocks, layout, parameters, execution = start(*table(), "gene_cluster", prior)
    found = run_em(blocks, layout, parameters, "gene_cluster", prior, max_iter=40, tolerance=0.0, execution=execution)
    assert np.diff(found.trace).min() > -1e-10 * abs(found.trace[0])


def test_threads_do_not_matter_and_blocks_only_by_rounding():
    X, z = table()
    results = []
    for rows, threads in ((7, 1), (7, 3), (200, 1)):
        blocks, layout, parameters, execution = start(X, z, "gene_cluster", rows=rows, threads=threads)
        results.append(
            run_em(blocks, layout, parameters, "gene_cluster", Prior(), max_iter=5, tolerance=0.0, execution=execution)
        )
    one, same, other = (found.parameters for found in results)
    assert np.array_equal(one.log_mean, same.log_mean)
    assert np.array_equal(one.phi, same.phi)
    assert results[0].trace == results[1].trace
    assert np.allclose(one.log_mean, other.log_mean, rtol=1e-6)
    assert np.allclose(results[0].trace, results[2].trace, rtol=1e-10)


def test_sums_are_those_of_the_dense_table():
    X, z = table()
    blocks = InMemory(X)
    layout = lay_out_counts(blocks)
    sums = gather_statistics(blocks, layout, z, 3)
    assert np.allclose(sums.V.sum(axis=2), z.T @ X)
    assert np.allclose(sums.V @ layout.sum_nodes.x, z.T @ (X * np.log(layout.size)[:, None]))
    assert np.allclose(sums.H[:, layout.starts[:-1] + 1], z.T @ (X == 2))


def test_interpolation_is_as_exact_as_asked():
    nodes = Nodes.over(10.0, 1e5, 1e-12)
    s = np.exp(np.random.default_rng(0).uniform(np.log(10), np.log(1e5), 50))
    differences = nodes.weights / (np.log(s)[:, None] - nodes.x)
    basis = differences / differences.sum(axis=1, keepdims=True)
    for a in (1e-6, 1e-3, 1.0):
        assert np.allclose(
            basis @ np.log1p(a * nodes.values), np.log1p(a * s), rtol=1e-9, atol=1e-11 * np.log1p(a * 1e5)
        )


def test_leaving_out_is_exact_for_the_poisson():
    X, z = table(n=40)
    z = np.eye(3)[z.argmax(axis=1)]
    blocks, layout, parameters, _ = start(X, z, "poisson")
    sums, prior = gather_statistics(blocks, layout, z, 3), Prior()
    rates = prior.rates(layout.means, float(layout.size.sum()))
    left_out = LeftOut.of(parameters, layout, sums.V, sums.W, prior.shape, rates, z.copy())
    [(_, piece)] = count_pieces(X)
    _, found = row_responsibilities(piece, slice(0, 40), Tables.of(parameters, layout), left_out)
    for row in range(0, 40, 7):
        others = z.copy()
        others[row] = 0.0
        without = maximize(gather_statistics(blocks, layout, others, 3), layout, "poisson", prior)
        tables = Tables.of(type(without)(parameters.log_weight, without.log_mean, without.phi), layout)
        _, expected = row_responsibilities(piece, slice(0, 40), tables)
        assert found[row] == pytest.approx(expected[row], rel=1e-9)
