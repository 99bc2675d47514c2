import numpy as np

from kithkin.models.samples.size_factors import size_factors


def test_depths_are_found_in_spite_of_genes_that_differ():
    rng = np.random.default_rng(0)
    depth = np.array([0.5, 1, 2, 4])
    counts = rng.poisson(200 * depth[:, None] * np.ones(300))
    counts[2:, :30] *= 10  # a tenth of the genes
    factors = size_factors(counts)
    np.testing.assert_allclose(factors / factors[1], depth / depth[1], rtol=0.02)


def test_they_are_medians_of_ratios():
    counts = np.array([[2, 3, 9, 0], [4, 3, 1, 5], [8, 3, 3, 1]])
    means = np.exp(np.log(counts[:, :3]).mean(axis=0))
    np.testing.assert_allclose(size_factors(counts), np.median(counts[:, :3] / means, axis=1))


def test_without_a_gene_in_all_samples_counts_above_zero_decide(caplog):
    counts = np.array([[0, 30, 10, 20, 8], [20, 0, 10, 40, 16], [40, 60, 0, 0, 0]])
    factors = size_factors(counts)
    assert np.prod(factors) == 1 or abs(np.log(factors).sum()) < 1e-12
    assert "no gene has a count in all of 3 samples" in caplog.text
    logs = np.log(np.maximum(counts, 1)).mean(axis=0)
    first = np.median(np.log(counts[0, 1:]) - logs[1:])
    second = np.median(np.log(counts[1, [0, 2, 3, 4]]) - logs[[0, 2, 3, 4]])
    np.testing.assert_allclose(np.log(factors[0] / factors[1]), first - second)
