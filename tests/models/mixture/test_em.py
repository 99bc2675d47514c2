"""EM never lowers the likelihood, and is the same whatever the blocks and threads."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import Nodes, count_pieces, lay_out_counts
from kithkin.models.mixture.em import MODES, Prior, maximize, run_em
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.parameters import Parameters, Tables, to_responsibilities, zeros_at
from kithkin.models.mixture.passes import as_responsibilities, gather_statistics, row_responsibilities


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


def test_layout_of_slots_and_means():
    layout = lay_out_counts(InMemory(np.array([[2, 0], [1, 1]])))
    assert layout.starts.tolist() == [0, 2, 3]
    assert layout.size.tolist() == [2.0, 2.0]
    assert layout.means.tolist() == [0.75, 0.25]
    assert [piece.data.dtype.name for _, piece in count_pieces(np.array([[0.0, 3.0]]))] == ["int32"]


def test_without_a_prior_poisson_means_are_those_of_the_table():
    blocks = InMemory(np.array([[2, 0], [1, 1]]))
    layout = lay_out_counts(blocks)
    sums = gather_statistics(blocks, layout, np.zeros(2, int), 1)
    found = maximize(sums, layout, "poisson", Prior(shape=0))
    np.testing.assert_allclose(np.exp(found.log_mean), [[0.75], [0.25]], rtol=1e-6)
    assert Prior().rates(np.array([0.5, 0.0]), 100.0).tolist() == [2.0, 200.0]


def test_tables_of_the_poisson():
    layout = lay_out_counts(InMemory(np.array([[2, 1]])))
    tables = Tables.of(Parameters(np.zeros(1), np.log([[0.5], [0.5]]), np.zeros((2, 1))), layout)
    [(_, piece)] = count_pieces(np.array([[2, 1]]))
    expected = np.log(1.5**2 / 2) + np.log(1.5) - 3  # counts 2 and 1 with mean 1.5
    np.testing.assert_allclose(tables.scores(piece, layout.size), [[expected]], rtol=1e-6)
    one = Parameters(np.zeros(1), np.log([[0.5]]), np.zeros((1, 1)))
    np.testing.assert_allclose(zeros_at(one, Nodes(np.log([8.0]), np.ones(1))), [[4.0]])


def test_responsibilities_of_scores_and_labels():
    z, likelihood = to_responsibilities(np.log([[1.0, 3.0]]), np.log([0.5, 0.5]))
    np.testing.assert_allclose(z, [[0.25, 0.75]])
    np.testing.assert_allclose(np.exp(likelihood), [2.0])
    assert as_responsibilities(np.array([1, -1]), 2).tolist() == [[0.0, 1.0], [0.0, 0.0]]
