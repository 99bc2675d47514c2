"""Mixture of normal distributions with diagonal covariances, of values that are known with noise."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import logsumexp

from kithkin.core.blocks import Array

LEAST_VARIANCE = 1e-2
LEAST_WEIGHT = 1e-6
LOG_2PI = float(np.log(2 * np.pi))


@dataclass(frozen=True)
class Components:
    """Means and variances, K x d, and weights, K, of normal components."""

    mean: Array
    variance: Array
    weights: Array

    def log_joint(self, values: Array, noise: Array) -> Array:
        """Compute log pi_k N(x; m_k, v_k + s) of values x with noise of variance s, n x d each: n x K."""
        out = np.empty((len(values), len(self.weights)))
        for k, (mean, variance, weight) in enumerate(zip(self.mean, self.variance, self.weights, strict=True)):
            both = variance + noise
            out[:, k] = np.log(weight) - 0.5 * ((values - mean) ** 2 / both + np.log(both) + LOG_2PI).sum(axis=1)
        return out


def fit_components(
    values: Array, noise: Array, responsibilities: Array, known: Array, max_iter: int = 300, tolerance: float = 1e-5
) -> tuple[Components, float]:
    """Fit components by EM from initial responsibilities, n x K; return them and the mean log-likelihood of a value.

    Rows that are `known` keep their responsibilities. Bovy, Hogg and Roweis, Extreme deconvolution (2011),
    doi:10.1214/10-AOAS439, with diagonal covariances.
    """
    K = responsibilities.shape[1]
    posterior_mean, posterior_variance = [values] * K, [np.zeros_like(values)] * K
    likelihood = -np.inf
    for _ in range(max_iter):
        weights = responsibilities.sum(axis=0)
        share = np.maximum(weights, LEAST_WEIGHT)
        mean = np.array([responsibilities[:, k] @ posterior_mean[k] / share[k] for k in range(K)])
        spread = [
            responsibilities[:, k] @ (posterior_variance[k] + (posterior_mean[k] - mean[k]) ** 2) for k in range(K)
        ]
        variance = np.maximum(np.array(spread) / share[:, None], LEAST_VARIANCE)
        found = Components(mean, variance, np.maximum(weights / weights.sum(), LEAST_WEIGHT))
        joint = found.log_joint(values, noise)
        total = logsumexp(joint, axis=1)
        fitted = np.where(known, (responsibilities * joint).sum(axis=1), total).mean()
        responsibilities = np.where(known[:, None], responsibilities, np.exp(joint - total[:, None]))
        gains = [variance[k] / (variance[k] + noise) for k in range(K)]
        posterior_mean = [mean[k] + gains[k] * (values - mean[k]) for k in range(K)]
        posterior_variance = [gains[k] * noise for k in range(K)]
        if fitted - likelihood < tolerance:
            break
        likelihood = fitted
    return found, float(fitted)
