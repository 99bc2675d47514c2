"""Poisson regression of counts on topics: steps that cannot raise the loss, by coordinates or from sums alone.

The loss of one row x with linear predictor eta = F l is sum(eta) - sum x log(eta). Where every positive x is at least
`least`, the loss divided by `least` is self-concordant, so that a Newton step of length 1 / (1 + decrement) lowers it.
"""

from __future__ import annotations

import numpy as np
from numba import njit

TINY = 1e-300


@njit(cache=True, nogil=True)
def update_loadings(data, indices, indptr, factors, sums, least, sweeps, tolerance, loadings):
    """Lower the loss of each row over its loadings, one topic at a time.

    data, indices, indptr: counts of rows x columns in compressed form.
    factors, sums: float64 columns x topics, not negative; their sums over the columns, all positive.
    least: smallest positive count, 1 at most.
    sweeps, tolerance: rounds over the topics at most; a row is finished when no loading changes by more than this part
        of their sum.
    loadings (in and out): float64 rows x topics, positive where a row has counts; rows without counts become zero.
    """
    n_topics = factors.shape[1]
    longest = 0
    for row in range(len(indptr) - 1):
        longest = max(longest, indptr[row + 1] - indptr[row])
    gathered = np.empty((n_topics, longest))
    fitted = np.empty(longest)
    counts = np.empty(longest)
    for row in range(len(indptr) - 1):
        first = indptr[row]
        size = indptr[row + 1] - first
        for t in range(size):
            counts[t] = data[first + t]
            fitted[t] = 0.0
            for k in range(n_topics):
                gathered[k, t] = factors[indices[first + t], k]
                fitted[t] += gathered[k, t] * loadings[row, k]
        for _ in range(sweeps):
            moved = 0.0
            for k in range(n_topics):
                first_order, second_order = 0.0, 0.0
                for t in range(size):
                    ratio = gathered[k, t] / fitted[t]
                    first_order += counts[t] * ratio
                    second_order += counts[t] * ratio * ratio
                old = loadings[row, k]
                new = coordinate_step(old, first_order, second_order, sums[k], least)
                if new != old:
                    loadings[row, k] = new
                    moved = max(moved, abs(new - old))
                    for t in range(size):
                        fitted[t] = max(fitted[t] + (new - old) * gathered[k, t], TINY)
            if moved <= tolerance * loadings[row].sum():
                break


@njit(cache=True, nogil=True)
def coordinate_step(old, first_order, second_order, slope, least):
    """Lower slope * l - sum x log(eta) over one coordinate l, not negative.

    Going up, the Newton step stops short of the minimum, as the derivative is concave. Going down it may overshoot:
    there the further one of two steps that cannot is taken, the multiplicative one and the damped Newton step.

    old: the coordinate.
    first_order, second_order: sums of x f / eta and x (f / eta)^2.
    slope: derivative of the linear part, positive.
    least: smallest positive x, 1 at most.
    """
    if second_order <= 0.0:
        return 0.0
    gradient = slope - first_order
    newton = gradient / second_order
    if gradient <= 0.0:
        return old - newton
    damped = newton / (1.0 + gradient / np.sqrt(second_order * least))
    return max(0.0, min(old * first_order / slope, old - damped))


@njit(cache=True, nogil=True)
def add_statistics(data, indices, indptr, factors, loadings, gradient, curvature):
    """Add up gradient and curvature for a step of the factors, and return the sum of -x log(eta).

    data, indices, indptr: counts of rows x columns in compressed form.
    factors, loadings: float64 columns x topics and rows x topics.
    gradient (added to): float64 columns x topics: sums of x l / eta.
    curvature (added to): float64 columns x (topics * (topics + 1) / 2): sums of x l l' / eta^2, lower triangle by rows.
    """
    n_topics = factors.shape[1]
    loss = 0.0
    for row in range(len(indptr) - 1):
        for t in range(indptr[row], indptr[row + 1]):
            column = indices[t]
            fitted = TINY
            for k in range(n_topics):
                fitted += loadings[row, k] * factors[column, k]
            count = np.float64(data[t])
            loss -= count * np.log(fitted)
            weight = count / fitted
            place = 0
            for k in range(n_topics):
                first = weight * loadings[row, k]
                gradient[column, k] += first
                second = first / fitted
                for other in range(k + 1):
                    curvature[column, place] += second * loadings[row, other]
                    place += 1
    return loss


@njit(cache=True, nogil=True)
def update_factors(gradient, curvature, sums, least, sweeps, factors):
    """Lower the loss of each column over its factors, from sums over the rows alone.

    Of two steps the one that is sure to lower the loss by more is taken: the multiplicative step, by its bound, or the
    damped Newton step with factors that stay positive or zero, by self-concordance.

    gradient, curvature: as add_statistics leaves them.
    sums: float64 per topic: sums of the loadings over the rows, all positive.
    least: smallest positive count, 1 at most.
    sweeps: rounds over the topics to find the direction of the Newton step.
    factors (in and out): float64 columns x topics.
    """
    n_topics = factors.shape[1]
    hessian = np.empty((n_topics, n_topics))
    slope = np.empty(n_topics)
    direction = np.empty(n_topics)
    for column in range(factors.shape[0]):
        place = 0
        for k in range(n_topics):
            for other in range(k + 1):
                hessian[k, other] = curvature[column, place]
                hessian[other, k] = curvature[column, place]
                place += 1
        newton_direction(factors[column], sums, gradient[column], hessian, sweeps, slope, direction)
        descent, decrement = 0.0, 0.0
        for k in range(n_topics):
            descent -= (sums[k] - gradient[column, k]) * direction[k]
            for other in range(n_topics):
                decrement += direction[k] * hessian[k, other] * direction[other]
        decrement = np.sqrt(max(decrement, TINY))
        ratio = descent / (decrement * np.sqrt(least))
        if ratio > 0.0 and least * (ratio - np.log1p(ratio)) > multiplicative_gain(
            factors[column], sums, gradient[column]
        ):
            length = min(1.0, np.sqrt(least) * ratio / (decrement * (1.0 + ratio)))
            for k in range(n_topics):
                factors[column, k] = max(0.0, factors[column, k] + length * direction[k])
        else:
            for k in range(n_topics):
                factors[column, k] *= gradient[column, k] / sums[k]


@njit(cache=True, nogil=True)
def newton_direction(factors, sums, gradient, hessian, sweeps, slope, direction):
    """Minimise the quadratic model of one column's loss by coordinates, over steps to factors that are not negative.

    factors, sums, gradient, hessian: arrays of one column: topics, topics, topics, and topics x topics.
    sweeps: rounds over the topics.
    slope, direction (out): float64 per topic: derivative of the model at the end of the step, and the step.
    """
    n_topics = len(factors)
    for k in range(n_topics):
        slope[k] = sums[k] - gradient[k]
        direction[k] = 0.0
    for _ in range(sweeps):
        for k in range(n_topics):
            if hessian[k, k] > 0.0:
                step = max(-slope[k] / hessian[k, k], -factors[k] - direction[k])
                direction[k] += step
                for other in range(n_topics):
                    slope[other] += step * hessian[k, other]


@njit(cache=True, nogil=True)
def multiplicative_gain(factors, sums, gradient):
    """Return a lower bound of the gain of the multiplicative step of one column.

    factors, sums, gradient: arrays of one column, float64 per topic.
    """
    gain = 0.0
    for k in range(len(factors)):
        ratio = gradient[k] / sums[k]
        gain += factors[k] * (sums[k] - gradient[k])
        if ratio > 0.0 and factors[k] > 0.0:
            gain += factors[k] * gradient[k] * np.log(ratio)
    return gain
