"""The regression finds what it was given, is exact where a formula is, and keeps to its false positive rate."""

import numpy as np
import pytest
from scipy.stats import norm

from kithkin import models
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution

GROUPS = np.stack([np.ones(6), np.arange(6) >= 3], axis=1).astype(float)
PAIRED = np.stack([np.ones(6), *(np.arange(6) % 3 == k for k in (1, 2)), np.arange(6) >= 3], axis=1).astype(float)
# six samples, first three without the condition, in pairs of donors; and what pydeseq2 0.5.4 finds in them
COUNTS = np.array([
    [4, 11, 22, 22, 7, 29, 29, 87, 57, 88, 110, 173, 285, 414, 368, 633],
    [8, 7, 15, 18, 15, 36, 55, 107, 84, 187, 160, 96, 240, 480, 955, 677],
    [19, 22, 9, 15, 64, 27, 51, 64, 156, 213, 337, 466, 250, 863, 475, 1071],
    [21, 6, 13, 8, 17, 40, 57, 87, 152, 219, 157, 216, 2636, 373, 726, 738],
    [28, 10, 10, 19, 46, 40, 79, 51, 559, 280, 150, 190, 1098, 536, 1342, 1155],
    [5, 12, 15, 12, 42, 27, 24, 97, 195, 84, 204, 133, 609, 467, 331, 513],
])  # fmt: skip
SIZES = [0.725535, 0.935578, 1.21504, 1.04445, 1.38853, 0.87668]
FOUND = {
    "two groups": (GROUPS, {
        "logfoldchanges": [0.609678, -0.648553, -0.535484, -0.791807, 0.279517, -0.0290293, -0.0120796, -0.316706,
                           1.37457, 0.0312257, -0.294977, -0.550796, 2.23068, -0.492813, 0.0885443, -0.221927],
        "deviations": [0.624642, 0.609642, 0.6089, 0.560036, 0.615839, 0.46923, 0.466675, 0.511906,
                       0.475168, 0.449398, 0.453564, 0.49741, 0.532604, 0.392518, 0.496311, 0.37883],
        "pvals": [0.329043, 0.287407, 0.379169, 0.157406, 0.649914, 0.95067, 0.97935, 0.536128,
                  0.00381805, 0.944605, 0.515464, 0.268152, 2.81123e-05, 0.209292, 0.858405, 0.557994],
        "shrunk": [0.184436, -0.20214, -0.160203, -0.30104, 0.0810302, -0.0111396, -0.00438571, -0.11705,
                   1.03395, 0.0142138, -0.126824, -0.22668, 1.96575, -0.267731, 0.034316, -0.114605],
    }),
    "paired": (PAIRED, {
        "logfoldchanges": [0.592774, -0.608136, -0.452538, -0.758349, 0.524062, -0.00975613, -0.0668717, -0.371727,
                           1.2814, -0.0211662, -0.310102, -0.378303, 2.02063, -0.499797, 0.10745, -0.231234],
        "deviations": [0.935594, 0.909819, 0.847003, 0.802159, 0.633371, 0.575575, 0.515465, 0.515007,
                       0.39438, 0.400895, 0.350179, 0.398008, 0.321738, 0.294724, 0.297328, 0.302202],
        "pvals": [0.526355, 0.50387, 0.593146, 0.344462, 0.408001, 0.986476, 0.896779, 0.470423,
                  0.00115747, 0.957893, 0.375858, 0.341864, 3.37765e-10, 0.0899209, 0.717811, 0.444174],
        "shrunk": [0.102561, -0.123228, -0.0953925, -0.188182, 0.186524, -0.00303666, -0.028389, -0.157584,
                   1.05978, -0.0107774, -0.201031, -0.219233, 1.92291, -0.381465, 0.0771908, -0.16269],
    }),
}  # fmt: skip


@pytest.mark.parametrize("name", FOUND)
def test_results_are_those_of_pydeseq2(name):
    design, expected = FOUND[name]
    model = models.DESeq().fit(COUNTS, design)
    np.testing.assert_allclose(model.size_factors_, SIZES, rtol=1e-5)
    found = model.test(design.shape[1] - 1)
    for values, tolerance in {"logfoldchanges": 1e-3, "deviations": 1e-3, "shrunk": 5e-3}.items():
        # of the shrunk ones its descent ends a little earlier
        np.testing.assert_allclose(getattr(found, values), expected[values], atol=tolerance)
    np.testing.assert_allclose(found.pvals, expected["pvals"], rtol=0.01)


def simulated(seed, n_genes=400, n=6, spread=0.3, changed=0, outliers=0):
    """Sums of cells of donors: each has a log-normal mean of its own for each gene."""
    rng = np.random.default_rng(seed)
    means = np.exp(rng.uniform(np.log(5), np.log(800), n_genes))
    own = means * np.exp(rng.normal(0, spread, (n, n_genes))) * np.exp(rng.normal(0, 0.4, (n, 1)))
    own[n // 2 :, :changed] *= 4
    counts = rng.poisson(own)
    counts[rng.integers(n, size=outliers), n_genes - 1 - np.arange(outliers)] = 50_000
    return counts, np.stack([np.ones(n), np.arange(n) >= n // 2], axis=1).astype(float)


def test_changes_are_found_and_their_size():
    counts, design = simulated(0, changed=60)
    found = models.DESeq().fit(counts, design).test(1)
    assert (found.pvals_adj[:60] < 0.05).mean() > 0.85
    assert (found.pvals_adj[60:] < 0.05).mean() < 0.02
    assert np.median(found.logfoldchanges[:60]) == pytest.approx(2, abs=0.2)
    np.testing.assert_allclose(found.scores, found.logfoldchanges / found.deviations)
    np.testing.assert_allclose(found.pvals, 2 * norm.sf(np.abs(found.scores)))


def test_a_condition_without_effect_is_found_in_no_more_than_one_gene_of_twenty():
    shares = []
    for seed in range(20):
        pvals = models.DESeq().fit(*simulated(seed)).test(1).pvals
        shares.append(np.mean(pvals[~np.isnan(pvals)] < 0.05))
    assert np.mean(shares) <= 0.05
    assert np.mean(shares) > 0.01  # nor is it blind


def test_shrinking_orders_genes_by_what_is_known():
    counts, design = simulated(1, changed=40)
    counts[:, 0] = [0, 1, 0, 2, 3, 1]  # large change, few counts
    found = models.DESeq().fit(counts, design).test(1)
    assert abs(found.shrunk[0]) < 0.5 * abs(found.logfoldchanges[0])
    assert np.median(np.abs(found.shrunk[1:40] / found.logfoldchanges[1:40])) > 0.9


def test_an_outlier_decides_nothing():
    counts, design = simulated(2, outliers=20)
    found = models.DESeq().fit(counts, design).test(1)
    assert np.isnan(found.pvals[-20:]).mean() > 0.8
    many, design = simulated(3, n=16, outliers=20)
    model = models.DESeq().fit(many, design)
    found = model.test(1)
    assert not np.isnan(found.pvals).any()
    assert np.median(np.abs(found.logfoldchanges[-20:])) < 1  # the outlier alone is 6 and more
    assert (found.pvals_adj[-20:] > 0.05).all()


def test_genes_without_counts_are_not_tested():
    counts, design = simulated(4)
    counts[:, [3, 7]] = 0
    model = models.DESeq().fit(counts, design)
    found = model.test(1)
    assert np.isnan(found.pvals).nonzero()[0].tolist() == [3, 7]
    assert np.isnan(model.coefficients_[[3, 7]]).all()
    assert model.base_mean_[[3, 7]].tolist() == [0, 0]
    rest = np.delete(counts, [3, 7], axis=1)
    alone = models.DESeq().fit(rest, design).test(1)
    np.testing.assert_allclose(np.delete(found.pvals, [3, 7]), alone.pvals)


def test_a_design_of_pairs_finds_what_the_donors_hide():
    rng = np.random.default_rng(5)
    donor = np.exp(rng.normal(0, 1.0, (3, 300)))[np.arange(6) % 3]
    means = 200 * donor
    means[3:, :30] *= 2
    counts = rng.negative_binomial(30, 30 / (30 + means))
    alone, paired = (models.DESeq().fit(counts, design).test(design.shape[1] - 1) for design in (GROUPS, PAIRED))
    assert (paired.pvals_adj[:30] < 0.05).sum() > 20
    assert (alone.pvals_adj[:30] < 0.05).sum() < 10


def test_results_do_not_depend_on_threads_or_the_order_of_samples():
    counts, design = simulated(6, n_genes=1200)
    one, two = (models.DESeq().fit(counts, design, Execution(threads=t)).test(1) for t in (1, 3))
    order = np.array([4, 0, 2, 1, 5, 3])
    turned = models.DESeq().fit(counts[order], design[order]).test(1)
    for name, values in vars(one).items():
        assert np.array_equal(values, getattr(two, name), equal_nan=True), name
        np.testing.assert_allclose(values, getattr(turned, name), rtol=1e-3, atol=1e-4)


def test_what_is_wrong_is_named():
    model = models.DESeq()
    with pytest.raises(ParameterError, match="X must hold counts of samples: whole numbers"):
        model.fit(COUNTS + 0.5, GROUPS)
    with pytest.raises(ParameterError, match="X must hold counts of samples"):
        model.fit(-COUNTS, GROUPS)
    with pytest.raises(ParameterError, match="X must have counts in every sample, and row 1 has none"):
        model.fit(COUNTS * (np.arange(6) != 1)[:, None], GROUPS)
    with pytest.raises(ParameterError, match="design must have 6 rows, got 5 x 2"):
        model.fit(COUNTS, GROUPS[:5])
    with pytest.raises(ParameterError, match="its columns determine one another"):
        model.fit(COUNTS, np.c_[GROUPS, 1 - GROUPS[:, 1]])
    with pytest.raises(ParameterError, match="design must have fewer columns than there are samples, got 6 for 6"):
        model.fit(COUNTS, np.eye(6))
    with pytest.raises(ParameterError, match=r"column must be in 0\.\.1, got 2"):
        model.fit(COUNTS, GROUPS).test(2)
