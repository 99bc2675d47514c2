"""Tails of the sum over a group when labels are permuted, from moments: exact in the number of zeros in the group."""

from __future__ import annotations

import math

from numba import njit

FEW = 30.0  # values, or zeros, that a group is expected to have: up to here their number is summed over
LEAST = 1e-60  # probability of a number of values that is still added


@njit(cache=True, nogil=True)
def pearson_tail(z, skewness):
    """Compute the upper tail of a standardised Pearson III (shifted gamma) distribution by Wilson and Hilferty.

    z, skewness: numbers. The thin tail is taken at least as heavy as the normal one, as moments tell little of it.
    """
    normal = 0.5 * math.erfc(z / math.sqrt(2.0))
    if abs(skewness) < 1e-4:
        return normal
    shape = 4.0 / skewness**2
    x = 1.0 + (z if skewness > 0 else -z) / math.sqrt(shape)
    if x <= 0:
        return 1.0 if skewness > 0 else normal
    u = (x ** (1.0 / 3.0) - 1.0 + 1.0 / (9.0 * shape)) * 3.0 * math.sqrt(shape)
    if skewness > 0:
        return 0.5 * math.erfc(u / math.sqrt(2.0))
    return max(normal, 0.5 * math.erfc(-u / math.sqrt(2.0)))


@njit(cache=True, nogil=True)
def sum_tails(total, k, population, mean, variance, third):
    """Compute both tails of the sum of k values drawn without replacement: P(sum >= total), P(sum <= total).

    population: number of values; mean, variance, third: their mean and central moments, divided by their number.
    """
    expected, spread, skew = k * mean, 0.0, 0.0
    if population > 1 and variance > 1e-12 * mean * mean:
        spread = k * variance * (population - k) / (population - 1)
    if spread <= 0:
        slack = 1e-9 * (abs(total) + abs(expected)) + 1e-300
        return 1.0 if expected >= total - slack else 0.0, 1.0 if expected <= total + slack else 0.0
    if population > 2:
        skew = k * (population - k) * (population - 2.0 * k) / ((population - 1.0) * (population - 2.0)) * third
        skew /= spread**1.5
    z = (total - expected) / math.sqrt(spread)
    return pearson_tail(z, skew), pearson_tail(-z, -skew)


@njit(cache=True, nogil=True)
def log_choose(n, k):
    """Compute the logarithm of the number of ways to choose k of n."""
    return math.lgamma(n + 1.0) - math.lgamma(k + 1.0) - math.lgamma(n - k + 1.0)


@njit(cache=True, nogil=True)
def permutation_tails(total, n, n_all, n_values, mean, variance, third):
    """Compute both tails of the sum over a random group of rows, of which some hold values and the others zero.

    total: sum over the group. n, n_all: rows of the group, and all rows. n_values: rows that hold values.
    mean, variance, third: mean and central moments of the values, divided by n_values.
    """
    if n_values == 0 or n == 0 or n == n_all:
        return 1.0, 1.0
    turned = n > n_all - n  # the rest of the rows is the smaller group
    if turned:
        n, total = n_all - n, n_values * mean - total
    share = n_values / n_all
    if min(n * share, n * (1.0 - share)) > FEW:
        other = 1.0 - share
        second = share * (variance + other * mean**2)
        cube = share * (third + 3.0 * other * mean * variance + other * (other - share) * mean**3)
        above, below = sum_tails(total, n, n_all, share * mean, second, cube)
        return (below, above) if turned else (above, below)
    low, high = max(0, n - (n_all - n_values)), min(n, n_values)
    mode = min(max(int((n + 1.0) * (n_values + 1.0) / (n_all + 2.0)), low), high)
    most = math.exp(log_choose(n_values, mode) + log_choose(n_all - n_values, n - mode) - log_choose(n_all, n))
    above, below = 0.0, 0.0
    for step in (1, -1):
        k, p = mode, most
        while True:
            if k != mode or step == 1:
                up, down = sum_tails(total, k, n_values, mean, variance, third)
                above += p * up
                below += p * down
            if step == 1:
                p *= (n_values - k) * (n - k) / ((k + 1.0) * (n_all - n_values - n + k + 1.0)) if k < high else 0.0
            else:
                p *= k * (n_all - n_values - n + k) / ((n_values - k + 1.0) * (n - k + 1.0)) if k > low else 0.0
            k += step
            if p < max(LEAST, 1e-17 * min(above, below)):
                break
    above, below = min(above, 1.0), min(below, 1.0)
    return (below, above) if turned else (above, below)


@njit(cache=True, nogil=True)
def permutation_pvals(totals, n, n_all, n_values, means, variances, thirds, pvals):
    """Compute two-sided p of sums over groups: twice the smaller tail, at most 1.

    totals, means, variances, thirds: float64 per sum; n, n_all, n_values: int64: as in `permutation_tails`.
    pvals (written): float64.
    """
    for i in range(totals.size):
        above, below = permutation_tails(totals[i], n[i], n_all[i], n_values[i], means[i], variances[i], thirds[i])
        pvals[i] = min(1.0, 2.0 * min(above, below))
