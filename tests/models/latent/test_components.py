import numpy as np
from sklearn.mixture import GaussianMixture

from kithkin.models.latent.components import fit_components


def groups(noise, seed=0, n=900):
    rng = np.random.default_rng(seed)
    truth = rng.choice(3, n, p=[0.5, 0.3, 0.2])
    means, deviations = np.array([[0, 0], [12, 0], [0, 12.0]]), np.array([[1, 0.5], [0.7, 1], [1, 1.0]])
    z = means[truth] + deviations[truth] * rng.normal(size=(n, 2))
    return truth, z + np.sqrt(noise) * rng.normal(size=z.shape), deviations**2


def test_without_noise_it_is_the_gaussian_mixture_of_scikit_learn():
    truth, values, _ = groups(0.0)
    unknown = np.zeros(900, bool)
    found, likelihood = fit_components(values, np.zeros_like(values), np.eye(3)[truth], unknown, tolerance=1e-9)
    means = np.array([values[truth == k].mean(0) for k in range(3)])
    other = GaussianMixture(3, covariance_type="diag", means_init=means, tol=1e-9, max_iter=500).fit(values)
    np.testing.assert_allclose(found.mean, other.means_, atol=1e-3)
    np.testing.assert_allclose(found.variance, other.covariances_, atol=1e-3)
    np.testing.assert_allclose(found.weights, other.weights_, atol=1e-3)
    assert abs(likelihood - other.score(values)) < 1e-4


def test_noise_that_is_known_is_taken_out_of_the_variances():
    truth, values, variance = groups(2.0, n=9000)
    noise = np.full_like(values, 2.0)
    found, _ = fit_components(values, noise, np.eye(3)[truth], np.zeros(9000, bool), max_iter=2000, tolerance=1e-9)
    expected = [values[truth == k].var(axis=0) - 2 for k in range(3)]
    np.testing.assert_allclose(found.variance, expected, atol=0.05)
    np.testing.assert_allclose(expected, variance, atol=0.3)


def test_rows_that_are_known_keep_their_component():
    truth, values, _ = groups(0.0)
    wrong = (truth + 1) % 3  # known, whatever the values say
    found, _ = fit_components(values, np.zeros_like(values), np.eye(3)[wrong], np.ones(900, bool))
    np.testing.assert_allclose(found.mean, [values[wrong == k].mean(0) for k in range(3)])
