import numpy as np
import pytest
from scipy.stats import f, trim_mean

from kithkin.models.samples.outliers import (
    cells_of,
    cooks_distances,
    cutoff_of,
    is_outlying,
    robust_dispersions,
    trimmed,
    with_replacements,
)

TWO = np.stack([np.ones(8), np.arange(8) // 4], axis=1)


def test_samples_alike_are_counted():
    cells, sizes = cells_of(np.array([[1, 0], [1, 1], [1, 0], [1, 0.5]]))
    assert sizes[cells].tolist() == [2, 1, 2, 1]


@pytest.mark.parametrize("share", [0.125, 0.2, 1 / 3])
def test_trimmed_means_are_those_of_scipy(share):
    values = np.random.default_rng(0).normal(size=(5, 11))
    np.testing.assert_allclose(trimmed(values, share), trim_mean(values, share, axis=1))


def test_cutoff_is_a_quantile():
    assert cutoff_of(TWO) == pytest.approx(f.ppf(0.99, 2, 6))


def test_cooks_distance_is_the_move_of_a_weighted_regression():
    """For a linear model with known variance it is (b - b_i)' X'WX (b - b_i) / k, without the i-th sample."""
    rng = np.random.default_rng(1)
    counts, means = rng.poisson(50, (1, 8)).astype(float), np.full((1, 8), 50.0)
    dispersion = robust_dispersions(counts, TWO)[0]
    weights = np.full(8, 1 / (50 + dispersion * 50**2))
    gram = (TWO.T * weights) @ TWO
    leverage = weights * np.einsum("ij,jk,ik->i", TWO, np.linalg.inv(gram), TWO)
    found = cooks_distances(counts, counts, means, leverage[None], TWO)[0]
    residuals = counts[0] - 50
    for i in range(8):
        move = np.linalg.solve(gram, TWO[i] * weights[i]) * residuals[i] / (1 - leverage[i])
        assert found[i] == pytest.approx(move @ gram @ move / 2)


def test_an_outlier_does_not_raise_the_robust_dispersion():
    rng = np.random.default_rng(2)
    normed = rng.negative_binomial(5, 5 / 105, (200, 8)).astype(float)
    spoilt = normed.copy()
    spoilt[:, 0] = 5000
    plain, robust = (np.median(robust_dispersions(values, TWO)) for values in (normed, spoilt))
    assert robust < 3 * plain
    assert (robust_dispersions(np.full((3, 8), 7.0), TWO) == 0.04).all()
    assert robust_dispersions(normed, np.eye(8)).shape == (200,)  # no samples alike: all together


def test_outliers_are_replaced_among_seven_alike_only():
    size, counts = np.full(8, 2.0), np.full((1, 8), 10.0)
    counts[0, 0] = 999
    distances = np.zeros((1, 8))
    distances[0, 0] = 50
    one = np.ones((8, 1))
    assert with_replacements(counts, counts / size, size, distances, TWO) is None
    replaced = with_replacements(counts, counts / size, size, distances, one)
    assert replaced.tolist() == [[10.0] * 8]
    assert counts[0, 0] == 999


def test_a_gene_that_one_count_decides_is_told_from_one_with_several_large_ones():
    counts = np.full((3, 8), 10.0)
    counts[0, 0], counts[1, :4] = 999, (500, 999, 998, 997)
    distances = np.zeros((3, 8))
    distances[:2, 0] = 50
    none = np.zeros(3, bool)
    assert is_outlying(counts, distances, TWO, none).tolist() == [True, False, False]
    assert not is_outlying(counts, distances, np.eye(8)[:, :7], none).any()  # nobody is alike
    one = np.ones((8, 1))
    assert is_outlying(counts, distances, one, np.array([True, False, False])).tolist() == [False, False, False]
