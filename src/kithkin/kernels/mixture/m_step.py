"""The M step of a negative binomial mixture: mean and dispersion of every gene from sums over the cells.

For a gene and the clusters that share its dispersion, with eta = log mu, tau = log phi, nodes s_m of the size factor,
sums V and W over the cells and T_t = sum of z over counts above t, what is maximised is

    sum over k of [ (S_k + shape) eta_k - rate mu_k - sum_m (V_km + W_km / phi) log(1 + s_m mu_k phi) ]
        + sum over t of T_t log(1 + t phi) - precision (tau - center)^2 / 2

by Newton's method in (eta, tau). The Hessian is an arrow: each eta meets only tau, so a step costs as much as its sums.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kithkin.kernels.mixture.likelihood import log_rising

SMALLEST, LARGEST = math.log(1e-6), math.log(1e4)  # of tau
STRIDE = 2.0  # of one step, in logarithms


@njit(cache=True, nogil=True)
def _tails(H, gene, starts, cap, large_sizes, low, high, tails, beyond):
    """Sum over counts of clusters low to high: T_t, and at the nodes of large counts; return sum of t T_t, length."""
    length = min(cap, starts[gene + 1] - starts[gene])
    has_large = starts[gene + 1] - starts[gene] > cap
    moment = 0.0
    above = 0.0
    for x in range(length, 1, -1):
        for k in range(low, high):
            above += H[k, starts[gene] + x - 1]
        tails[x - 1] = above
        moment += (x - 1) * above
    if has_large:
        for q in range(len(large_sizes)):
            beyond[q] = 0.0
            for k in range(low, high):
                beyond[q] += H[k, starts[gene] + cap + q] / large_sizes[q]
            moment += 0.5 * beyond[q] * (large_sizes[q] * (large_sizes[q] - 1.0) - cap * (cap - 1.0))
    return moment, length, has_large


@njit(cache=True, nogil=True)
def _evaluate(eta, tau, arguments):
    """Return value and derivatives in tau; those in eta and the mixed ones go to slopes (3 x clusters)."""
    totals, rate, V, W, sizes, tails, length, beyond, large, large_sizes, cap, slopes = arguments
    phi = math.exp(tau)
    value, first, second = 0.0, 0.0, 0.0
    for t in range(1, length):
        if tails[t] != 0.0:
            q = t * phi / (1.0 + t * phi)
            value += tails[t] * math.log1p(t * phi)
            first += tails[t] * q
            second += tails[t] * q * (1.0 - q)
    if large:
        for node in range(len(large_sizes)):
            # the first and second derivative of `log_rising` in log phi, by the Euler-Maclaurin formula
            last = large_sizes[node]
            y, x = cap * phi, last * phi
            log_ratio = math.log1p(x) - math.log1p(y)
            q, p = y / (1.0 + y), x / (1.0 + x)
            u, v = phi / (1.0 + y), phi / (1.0 + x)
            slope = (last - cap) - log_ratio / phi - 0.5 * (p - q) + (v * v - u * u) / (12.0 * phi)
            bend = (log_ratio - (p - q)) / phi - 0.5 * (p * (1.0 - p) - q * (1.0 - q))
            value += beyond[node] * log_rising(cap, last, phi)
            first += beyond[node] * slope
            second += beyond[node] * bend
    for k in range(len(eta)):
        slopes[0, k], slopes[1, k], slopes[2, k] = 0.0, -1.0, 0.0
        if totals[k] <= 0.0:
            continue
        mu = math.exp(eta[k])
        value += totals[k] * eta[k] - rate * mu
        slope = totals[k] - rate * mu
        bend = -rate * mu
        mixed = 0.0
        for m in range(len(sizes)):
            y = sizes[m] * mu * phi
            log = math.log1p(y)
            g = y / (1.0 + y)
            v, w = V[k, m], W[k, m] / phi
            curve = g * (1.0 - g)
            value -= (v + w) * log
            slope -= (v + w) * g
            bend -= (v + w) * curve
            mixed += w * g * g - v * curve
            first -= v * g + w * (g - log)
            second += w * (g + g * g - log) - v * curve
        slopes[0, k], slopes[1, k], slopes[2, k] = slope, min(bend, -1e-300), mixed
    return value, first, second


@njit(cache=True, nogil=True)
def _sums(V, gene, low, exposure, sizes, shape, rate, local, totals, flat):
    """Gather sums and Poisson means of clusters from `low` on.

    Return the score of phi at 0 but for the tails, the sum of squared means, and the value at phi = 0.
    """
    score, spread, value = 0.0, 0.0, 0.0
    for k in range(len(totals)):
        total = 0.0
        weighted = 0.0
        for m in range(len(sizes)):
            local[k, m] = V[low + k, gene, m]
            total += local[k, m]
            weighted += local[k, m] * sizes[m]
        total = max(total, 0.0)
        totals[k] = total + shape
        once, twice = exposure[0, low + k], exposure[1, low + k]
        # without the prior: pulled up by it, the mean of a rare gene would make every zero look like dispersion
        plain = total / max(once, 1e-300)
        score += 0.5 * plain * plain * twice - plain * weighted
        spread += plain * plain * twice
        flat[k] = math.log(totals[k] / max(once + rate, 1e-300)) if totals[k] > 0.0 else -np.inf
        if totals[k] > 0.0:
            value += totals[k] * flat[k] - totals[k]
    return score, spread, value


@njit(cache=True, nogil=True)
def _climb(eta, tau, trial, steps, center, precision, max_iter, tolerance, arguments):
    """Run Newton's method with halved steps, in place; return tau and the value reached."""
    slopes = arguments[-1]
    base, first, second = _evaluate(eta, tau, arguments)
    base -= 0.5 * precision * (tau - center) ** 2
    for _ in range(max_iter):
        # Newton's step in eta (steps) and tau, uphill and no longer than STRIDE
        pull, bend = first - precision * (tau - center), second - precision
        for k in range(len(eta)):
            pull -= slopes[2, k] * slopes[0, k] / slopes[1, k]
            bend -= slopes[2, k] * slopes[2, k] / slopes[1, k]
        step = -pull / bend if bend < 0.0 else math.copysign(0.5, pull)
        step = min(max(step, -STRIDE), STRIDE)
        for k in range(len(eta)):
            move = -(slopes[0, k] + slopes[2, k] * step) / slopes[1, k]
            steps[k] = min(max(move, -STRIDE), STRIDE)
        part = 1.0
        for _ in range(12):
            new = min(max(tau + part * step, SMALLEST), LARGEST)
            for k in range(len(eta)):
                trial[k] = eta[k] + part * steps[k]
            reached, first, second = _evaluate(trial, new, arguments)
            reached -= 0.5 * precision * (new - center) ** 2
            if reached >= base:
                break
            part *= 0.5
        if not reached >= base:
            break
        moved = abs(new - tau)
        for k in range(len(eta)):
            moved = max(moved, part * abs(steps[k]))
        tau = new
        eta[:] = trial
        base = reached
        if moved < tolerance:
            break
    return tau, base


@njit(cache=True, nogil=True)
def maximize_genes(
    begin, end, V, H, W, starts, cap, sizes, large_sizes, shape, rates, centers, precision,
    mode, fresh, max_iter, tolerance, log_mean, phi, value, variance,
):  # fmt: skip
    """Maximise the expected log posterior of genes begin to end, in place.

    begin, end: range of genes.
    V, H, W, starts, cap: as `add_statistics` leaves them.
    sizes, large_sizes: size factors and counts at the nodes.
    shape, rates: Gamma prior on every mean: shape, and rate per gene.
    centers, precision: normal prior on log phi: mean per gene, and precision; 0 for none. With it there is no boundary
        at phi = 0.
    mode: 0: phi = 0. 1: clusters share the dispersion of a gene. 2: each has its own.
    fresh: whether log_mean and phi hold nothing yet.
    max_iter, tolerance: steps at most, and the size of a step at which to stop.
    log_mean, phi: genes x clusters, changed in place.
    value, variance (out): genes x clusters, or of length 0 if not wanted: the expected log-likelihood without priors
        (in the first column if dispersions are shared), and the inverse curvature of log mu.
    """
    n_clusters, n_nodes = W.shape
    width = n_clusters if mode == 1 else 1
    eta, flat, trial, steps, totals = np.empty((5, width))
    slopes, local = np.empty((3, width)), np.empty((width, n_nodes))
    tails, beyond = np.zeros(cap + 1), np.zeros(len(large_sizes))
    exposure = np.zeros((2, n_clusters))
    for k in range(n_clusters):
        for m in range(n_nodes):
            exposure[0, k] += W[k, m] * sizes[m]
            exposure[1, k] += W[k, m] * sizes[m] * sizes[m]
    for gene in range(begin, end):
        rate, center = rates[gene], centers[gene]
        for low in range(0, n_clusters, width):
            score, spread, still = _sums(V, gene, low, exposure, sizes, shape, rate, local, totals, flat)
            moment, length, large = _tails(H, gene, starts, cap, large_sizes, low, low + width, tails, beyond)
            score += moment
            old = phi[gene, low]
            none = fresh or old == 0.0
            own = W[low : low + width]
            arguments = (totals, rate, local, own, sizes, tails, length, beyond, large, large_sizes, cap, slopes)
            tau = -np.inf
            eta[:] = flat
            if mode > 0 and (precision > 0.0 or score > 1e-12 * spread or not none):
                tau = center if precision > 0.0 else math.log(max(2.0 * score, 1e-300) / max(spread, 1e-300))
                tau = min(max(tau, math.log(1e-3)), math.log(1e2))
                if not none:
                    tau = math.log(old)
                    for k in range(width):
                        eta[k] = log_mean[gene, low + k] if totals[k] > 0.0 else -np.inf
                tau, base = _climb(eta, tau, trial, steps, center, precision, max_iter, tolerance, arguments)
                if precision == 0.0 and still >= base:
                    tau = -np.inf
                    eta[:] = flat
            for k in range(width):
                log_mean[gene, low + k], phi[gene, low + k] = eta[k], math.exp(tau)
            if len(value) > 0:
                at = value[gene, low : low + width], variance[gene, low : low + width]
                _describe(tau, eta, arguments, shape, exposure[0, low : low + width], at[0], at[1])


@njit(cache=True, nogil=True)
def _describe(tau, eta, arguments, shape, exposure, value, variance):
    """Write the value without priors, and the variance of each log mean."""
    totals, rate, slopes = arguments[0], arguments[1], arguments[-1]
    value[:] = 0.0
    variance[:] = np.inf
    if tau == -np.inf:
        for k in range(len(totals)):
            if totals[k] > 0.0:
                value[k] = (totals[k] - shape) * eta[k] - math.exp(eta[k]) * exposure[k]
                variance[k] = 1.0 / totals[k]
        return
    reached, _, bend = _evaluate(eta, tau, arguments)
    for k in range(len(totals)):
        bend -= slopes[2, k] * slopes[2, k] / slopes[1, k]
        if totals[k] > 0.0:
            reached -= shape * eta[k] - rate * math.exp(eta[k])
    value[0] = reached
    for k in range(len(totals)):
        own = -1.0 / slopes[1, k]
        if totals[k] > 0.0:
            variance[k] = own + (own * slopes[2, k]) ** 2 / max(-bend, 1e-300)
