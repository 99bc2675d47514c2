"""The parts of the start: sample, components, leave-one-out rounds, moves, selection, and moments."""

import numpy as np
import pytest
from scipy import sparse, stats
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.models.mixture.count_layout import count_pieces, lay_out_counts
from kithkin.models.mixture.em import Prior, maximize, run_em
from kithkin.models.mixture.given import checked_responsibilities
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.moments import constants, dispersion_trend, sum_over_counts
from kithkin.models.mixture.moves import hold_dispersions, improve, merge_loss, revive, split
from kithkin.models.mixture.parameters import Parameters, Tables
from kithkin.models.mixture.passes import gather_statistics
from kithkin.models.mixture.sample import Sample, components
from kithkin.models.mixture.selection import criteria, left_out_likelihood, select
from kithkin.models.mixture.simulate import simulate
from kithkin.models.mixture.start import best_start, refine


def groups(K=3, n=40, p=30, seed=0):
    rng = np.random.default_rng(seed)
    mean, truth = np.exp(rng.normal(1, 0.7, (K, p))), np.repeat(np.arange(K), n)
    X = rng.poisson(mean[truth] * rng.lognormal(0, 0.3, (n * K, 1)))
    sample = Sample.of(InMemory(X), np.arange(n * K), X.sum(axis=1).astype(float))
    return X, truth, sample


@pytest.mark.parametrize("rows", [1, 7, 1000])
def test_sampled_rows_are_those_chosen(rows):
    X, _, _ = groups()
    chosen = np.array([0, 5, 6, 40, 119])
    for table in (X, sparse.csr_matrix(X)):
        sample = Sample.of(InMemory(table, rows=rows), chosen, X.sum(axis=1).astype(float), fewest=0)
        assert np.array_equal(sample.rows.to_dense(), X[chosen])
        part = sample.part(np.array([1, 3]))
        assert np.array_equal(part.rows.to_dense(), X[[5, 40]])
        assert part.layout.size.tolist() == X[[5, 40]].sum(axis=1).tolist()


def test_rare_genes_do_not_count_in_the_start():
    X, _, _ = groups()
    X[:, 3] = 0
    X[0, 3] = 2
    sample = Sample.of(InMemory(X), np.arange(len(X)), X.sum(axis=1).astype(float))
    assert sample.layout.n_genes == 29
    assert sample.layout.position[3] == -1


def test_components_are_those_of_the_centred_roots():
    X, _, sample = groups()
    roots = np.sqrt(X / X.sum(axis=1, keepdims=True))
    expected = PCA(2).fit_transform(roots)
    state = components(sample, 2, 0)
    for a, b in zip(expected.T, state.T, strict=True):
        assert abs(np.corrcoef(a, b)[0, 1]) > 0.999
        assert np.linalg.norm(a) == pytest.approx(np.linalg.norm(b), rel=1e-3)


def test_leave_one_out_rounds_mend_mistaken_labels():
    _, truth, sample = groups()
    wrong = truth.copy()
    wrong[::4] = (wrong[::4] + 1) % 3
    state = refine(sample, np.eye(3)[wrong], "poisson", Prior(), 10)
    assert adjusted_rand_score(truth, state.z.argmax(axis=1)) == 1.0


def test_splits_gain_and_merges_lose_where_there_are_groups():
    _, truth, sample = groups()
    two = refine(sample, np.eye(2)[np.minimum(truth, 1)], "gene", Prior(), 5)
    held = hold_dispersions(two, Prior())
    alone, mixed = (split(sample, two, k, held, 0) for k in range(2))
    assert mixed.gain > 100 * abs(alone.gain)
    assert adjusted_rand_score(truth[mixed.rows], mixed.second > 0.5) == 1.0
    right = refine(sample, np.eye(3)[truth], "gene", Prior(), 5)
    assert all(
        merge_loss(sample, right, pair, hold_dispersions(right, Prior())) > 0 for pair in ((0, 1), (0, 2), (1, 2))
    )


def test_moves_lead_out_of_a_bad_start():
    _, truth, sample = groups(K=4)
    bad = np.where(truth < 2, 0, truth - 1)
    bad[truth == 3] = 2 + (np.arange((truth == 3).sum()) % 2)
    start = refine(sample, np.eye(4)[bad], "gene", Prior(), 1)
    state = improve(sample, start, Prior(), 0, 6)
    assert state.score >= start.score
    assert adjusted_rand_score(truth, state.z.argmax(axis=1)) == 1.0


def test_best_start_does_not_depend_on_the_number_of_starts_here():
    _, truth, sample = groups(K=5, seed=2)
    for n_starts in (4, 8):
        state = improve(sample, best_start(sample, 5, Prior(), n_starts, 0), Prior(), 0, 7)
        assert adjusted_rand_score(truth, state.z.argmax(axis=1)) == 1.0


def test_selection_stops_where_nothing_splits():
    _, _, sample = groups(K=1, n=10)
    state, curve = select(sample.part(np.arange(4)), [1, 2, 3], "leave_one_out", Prior(), 0)
    assert state.z.shape == (4, 1)
    assert [point["n_clusters"] for point in curve] == [1.0]
    with pytest.raises(ParameterError, match="n_clusters asks for 3, but the cells do not split into so many"):
        select(sample.part(np.arange(4)), [3], "leave_one_out", Prior(), 0)


def test_sums_of_functions_of_the_count():
    X = np.random.default_rng(0).negative_binomial(0.5, 0.01, (200, 5))
    layout = lay_out_counts(InMemory(X))
    sums = gather_statistics(InMemory(X), layout, np.zeros(200, int), 1)
    x, large = np.arange(layout.cap + 1.0), layout.large_nodes.values
    sums_of_products = sum_over_counts(sums, layout, x * (x - 1), large * (large - 1))
    assert X.max() > layout.cap
    assert np.allclose(sums_of_products[0], (X * (X - 1.0)).sum(axis=0), rtol=1e-6)
    assert np.all(np.isfinite(constants(sums, layout)))


def test_trend_of_dispersions_is_not_biased_by_noise():
    rng = np.random.default_rng(0)
    mean = np.exp(rng.uniform(-3, 3, 600))
    X = rng.poisson(mean * rng.gamma(1 / 0.2, 0.2, (300, 600)))
    layout = lay_out_counts(InMemory(X), size=np.ones(300))
    trend = dispersion_trend(gather_statistics(InMemory(X), layout, np.zeros(300, int), 1), layout)
    often = mean > 2
    assert np.allclose(np.exp(trend[often]), 0.2, atol=0.06)


def test_shares_are_scaled_and_labels_kept():
    assert checked_responsibilities(np.array([[2.0, 6.0], [0.0, 0.0]]), 2, 2).tolist() == [[0.25, 0.75], [0.0, 0.0]]
    assert checked_responsibilities(np.array([1, -1], np.int8), 2, 2).tolist() == [1, -1]


def test_simulated_poisson_cells():
    X, labels = simulate(Parameters(np.log([0.2, 0.8]), np.log([[0.1, 1.0]]), np.zeros((1, 2))), np.full(4000, 20.0), 0)
    counts = X.toarray()[:, 0]
    assert (labels == 1).mean() == pytest.approx(0.8, abs=0.02)
    assert counts[labels == 1].mean() == pytest.approx(20, rel=0.02)
    assert counts[labels == 1].var() == pytest.approx(20, rel=0.1)


def test_the_number_of_clusters_is_found_where_none_is_given():
    _, _, sample = groups()
    state, curve = select(sample, None, "held_out", Prior(), 0)
    assert state.z.shape[1] == 3
    assert [point["n_clusters"] for point in curve] == [1, 2, 3, 4, 5]
    one = criteria(sample, sample, refine(sample, np.ones((120, 1)), "gene", Prior(), 2))
    assert one["icl"] == one["bic"]
    assert one["held_out"] > one["leave_one_out"]


def test_rows_are_less_likely_where_they_are_left_out():
    blocks = InMemory(np.array([[2, 0], [1, 1]]))
    layout, start = lay_out_counts(blocks), Parameters(np.zeros(1), np.zeros((2, 1)), np.zeros((2, 1)))
    result = run_em(blocks, layout, start, "poisson", Prior(), max_iter=5, tolerance=0.0)
    sample = Sample.of(blocks, np.arange(2), layout.size)
    assert left_out_likelihood(sample, layout, result, Prior()) < result.statistics.likelihood
    terms = constants(gather_statistics(blocks, layout, np.zeros(2, int), 1), layout)
    np.testing.assert_allclose(terms, [[2 * np.log(2), np.log(2)]], rtol=1e-6)


def left_out_by_refit(X, z, size, row, k, phi, within, rates, shape):
    """Change of the log-likelihood of a row when the means of cluster k are estimated without it."""
    z = np.where(np.arange(len(X)) == row, 0.0, z[:, k])[:, None]
    mean = within.copy()
    for _ in range(200):  # S + shape = mu (N + rate), to convergence in log mu
        part = 1.0 + size[:, None] * mean * phi
        once = z * size[:, None] * (1.0 + phi * X) / part
        left, slope = once.sum(axis=0) + rates, (once / part).sum(axis=0) + rates
        step = np.log((z * X).sum(axis=0) + shape) - np.log(mean * left)
        mean *= np.exp(np.clip(step * left / slope, -2.0, 2.0))
    assert np.abs(step).max() < 1e-8
    return sum(
        sign * (stats.nbinom.logpmf(X[row], 1 / phi, 1 / (1 + size[row] * mu * phi)).sum())
        for sign, mu in ((1, mean), (-1, within))
    )


@pytest.mark.parametrize(("mode", "error"), [("poisson", 1e-5), ("gene", 0.02), ("gene_cluster", 0.05)])
def test_rows_are_scored_as_if_the_means_were_estimated_without_them(mode, error):
    """In large clusters and in clusters of one cell, of two, and of shares of cells."""
    X, truth, sample = groups(K=2, n=30, p=200)
    rows = np.arange(60)
    z = np.eye(5)[np.where(rows == 3, 2, np.where(np.isin(rows, [8, 41]), 3, truth))]
    z[10], z[50], z[51] = [0.9, 0, 0, 0, 0.1], [0, 0.5, 0, 0, 0.5], [0, 0.2, 0, 0, 0.8]
    layout, prior = sample.layout, Prior(2.0)
    rates = prior.rates(layout.means, float(layout.size.sum()))
    statistics = gather_statistics(sample.blocks, layout, z, 5)
    parameters = maximize(statistics, layout, mode, prior, max_iter=50, tolerance=1e-10)
    left_out = LeftOut.of(parameters, layout, statistics.V, statistics.W, prior.shape, rates, z.copy())
    assert left_out.small.tolist() == [False, False, True, True, True]
    [(_, piece)] = count_pieces(sample.rows)
    plain = Tables.of(parameters, layout).scores(piece, layout.size)
    scores = plain.copy()
    left_out.change_scores(piece, slice(0, 60), layout.size, scores)
    assert (scores[z == 0] == plain[z == 0]).all()
    X = X[:, np.argsort(layout.position)].astype(float)  # in the order of the tables
    for row, k in ((3, 2), (8, 3), (41, 3), (0, 0), (55, 1)):
        phi, within = np.maximum(parameters.phi[:, k], 1e-9), np.exp(parameters.log_mean[:, k])
        change = left_out_by_refit(X, z, layout.size, row, k, phi, within, rates, prior.shape)
        assert change < -1
        assert scores[row, k] - plain[row, k] == pytest.approx(change, rel=error)
    for row, k in ((10, 0), (10, 4), (50, 1), (50, 4), (51, 4)):  # a share is left out, by the formula of the kernel
        phi, log_mu = parameters.phi[:, k], parameters.log_mean[:, k]
        part = 1.0 + layout.size[:, None] * np.exp(log_mu) * phi
        once = z[:, k, None] * layout.size[:, None] * (1.0 + phi * X) / part
        others = rows != row
        left, slope = once[others].sum(axis=0) + rates, (once / part)[others].sum(axis=0) + rates
        step = np.log((z[others, k] @ X[others] + prior.shape) / left) - log_mu
        means = layout.size[row] * np.exp([log_mu + step * left / slope, log_mu])
        phi = np.maximum(phi, 1e-9)
        change, before = stats.nbinom.logpmf(X[row], 1 / phi, 1 / (1 + means * phi)).sum(axis=1)
        assert scores[row, k] - plain[row, k] == pytest.approx(change - before, rel=1e-4, abs=1e-3)


def test_empty_clusters_are_given_one_half_of_another():
    _, truth, sample = groups(K=4)
    state = refine(sample, np.eye(4)[np.where(truth < 2, 0, truth)], "gene", Prior(), 1)
    assert state.n_occupied == 3
    revived = revive(sample, state, Prior(), 0)
    assert revived.n_occupied == 4
    assert adjusted_rand_score(truth, revived.z.argmax(axis=1)) == 1.0
    assert revived.score > state.score


def test_clusters_are_revived_where_nothing_asks_for_them():
    _, _, sample = groups(K=1, n=60)
    state = refine(sample, np.eye(3)[np.zeros(60, int)], "gene", Prior(), 1)
    assert revive(sample, state, Prior(), 0).n_occupied == 3
    few = sample.part(np.arange(5))
    start = refine(few, np.eye(3)[np.zeros(5, int)], "gene", Prior(), 1)
    assert revive(few, start, Prior(), 0).n_occupied == 1  # too few cells to split
