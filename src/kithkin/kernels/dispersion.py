"""Dispersion of the negative binomial counts of each gene: the most likely one, or the mode under a prior.

With dispersion alpha, r = 1 / alpha, a count y of mean mu has the log-likelihood
log G(y + r) - log G(r) - log y! + y log mu - y log r - (y + r) log(1 + alpha mu), G the gamma function.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kithkin.kernels.cholesky import factor, half_solve, weigh

SERIES = 16.0  # from here on Stirling's series has an error below 1e-11
SUFFICIENT, FLAT = 1e-3, 0.9  # decrease and slope at which a line search ends
LONGEST_SEARCH = 20
NARROW = 0.1  # relative width at which a bracket of a line search is narrow enough
REDUCTION, STEEP = 2.220446049250313e-09, 1e-5  # relative reduction and slope at which a descent ends
MOST_STEPS = 1000


@njit(cache=True, nogil=True, error_model="numpy")
def log_rise(y, r):
    """Compute log G(r + y) - log G(r) - y log r without cancellation."""
    if y == 0.0:
        return 0.0
    if r < SERIES:
        return math.lgamma(r + y) - math.lgamma(r) - y * math.log(r)
    x = r + y
    u, v = 1.0 / x, 1.0 / r
    uu, vv = u * u, v * v
    tail = u * (1.0 / 12.0 - uu * (1.0 / 360.0 - uu / 1260.0)) - v * (1.0 / 12.0 - vv * (1.0 / 360.0 - vv / 1260.0))
    return (x - 0.5) * math.log1p(y / r) - y + tail


@njit(cache=True, nogil=True, error_model="numpy")
def digamma_rise(y, r):
    """Compute the derivative of log G(r + y) - log G(r) by r."""
    total = 0.0
    if y < SERIES:
        for t in range(int(y)):
            total += 1.0 / (r + t)
        return total
    while r < SERIES:
        total += 1.0 / r - 1.0 / (r + y)
        r += 1.0
    x = r + y
    u, v = 1.0 / (x * x), 1.0 / (r * r)
    tail = v * (1.0 / 12.0 - v * (1.0 / 120.0 - v / 252.0)) - u * (1.0 / 12.0 - u * (1.0 / 120.0 - u / 252.0))
    return total + math.log1p(y / r) + 0.5 * y / (x * r) + tail


@njit(cache=True, nogil=True, error_model="numpy")
def dispersion_loss(log_alpha, y, mu, constant, design, center, precision, gram, row):
    """Compute the loss of a log dispersion and its slope: likelihood, Cox-Reid adjustment and normal prior.

    constant: sum of log y! - y log mu, which the loss has and which does not depend on the dispersion.
    center, precision: of the prior of the log dispersion; no prior where the precision is 0.
    gram, row: scratch, k x k and k.
    """
    alpha = math.exp(log_alpha)
    r, n = 1.0 / alpha, len(y)
    loss = constant + 0.5 * precision * (log_alpha - center) * (log_alpha - center)
    slope = precision * (log_alpha - center)
    weights = np.empty(n)
    for i in range(n):
        part = math.log1p(mu[i] * alpha)
        loss += (r + y[i]) * part - log_rise(y[i], r)
        slope += r * (digamma_rise(y[i], r) - part - (y[i] - mu[i]) / (mu[i] + r))
        weights[i] = mu[i] / (1.0 + mu[i] * alpha)
    weigh(design, weights, 0.0, gram)
    if not factor(gram):
        return np.inf, 0.0
    for i in range(len(row)):
        loss += math.log(gram[i, i])
    for i in range(n):
        slope -= 0.5 * alpha * weights[i] * weights[i] * half_solve(gram, design[i], row)
    return loss, slope


@njit(cache=True, nogil=True, error_model="numpy")
def next_trial(near, far, trial, bracketed, low, high):
    """Choose the next trial of a line search by cubic and secant steps (More and Thuente 1994, section 4).

    near, far, trial: (place, value, slope) of the best place so far, of the other end of the bracket, and of the trial.
    Returns the new near and far ends, the next place, and whether there is a bracket now.
    """
    (x, fx, gx), (t, ft, gt) = near, trial
    opposite = gt * gx < 0.0
    if ft > fx:  # a higher value: between the two
        theta = 3.0 * (fx - ft) / (t - x) + gx + gt
        s = max(abs(theta), abs(gx), abs(gt))
        gamma = s * math.sqrt((theta / s) * (theta / s) - gx / s * (gt / s))
        gamma = -gamma if t < x else gamma
        cubic = x + (gamma - gx + theta) / (gamma - gx + gamma + gt) * (t - x)
        quadratic = x + gx / ((fx - ft) / (t - x) + gx) / 2.0 * (t - x)
        place = cubic if abs(cubic - x) < abs(quadratic - x) else cubic + (quadratic - cubic) / 2.0
        return near, trial, place, True
    if opposite:  # the slope has turned
        theta = 3.0 * (fx - ft) / (t - x) + gx + gt
        s = max(abs(theta), abs(gx), abs(gt))
        gamma = s * math.sqrt((theta / s) * (theta / s) - gx / s * (gt / s))
        gamma = -gamma if t > x else gamma
        cubic = t + (gamma - gt + theta) / (gamma - gt + gamma + gx) * (x - t)
        secant = t + gt / (gt - gx) * (x - t)
        place = cubic if abs(cubic - t) > abs(secant - t) else secant
        return trial, near, place, True
    if abs(gt) < abs(gx):  # the slope becomes flatter: the cubic may have its minimum beyond the trial
        theta = 3.0 * (fx - ft) / (t - x) + gx + gt
        s = max(abs(theta), abs(gx), abs(gt))
        gamma = s * math.sqrt(max(0.0, (theta / s) * (theta / s) - gx / s * (gt / s)))
        gamma = -gamma if t > x else gamma
        p, q = gamma - gt + theta, gamma + (gx - gt) + gamma
        ratio = p / q if q != 0.0 else 0.0
        end = high if t > x else low
        cubic = t + ratio * (x - t) if ratio < 0.0 and gamma != 0.0 else end
        secant = t + gt / (gt - gx) * (x - t)
        if bracketed:
            place = cubic if abs(cubic - t) < abs(secant - t) else secant
            bound = t + 0.66 * (far[0] - t)
            place = min(bound, place) if t > x else max(bound, place)
        else:
            place = cubic if abs(cubic - t) > abs(secant - t) else secant
            place = min(max(place, low), high)
        return trial, far, place, bracketed
    if bracketed:
        y, fy, gy = far
        theta = 3.0 * (ft - fy) / (y - t) + gy + gt
        s = max(abs(theta), abs(gy), abs(gt))
        gamma = s * math.sqrt((theta / s) * (theta / s) - gy / s * (gt / s))
        gamma = -gamma if t > y else gamma
        place = t + (gamma - gt + theta) / (gamma - gt + gamma + gy) * (y - t)
    else:
        place = high if t > x else low
    return trial, far, place, bracketed


@njit(cache=True, nogil=True, error_model="numpy")
def search(origin, step, longest, value, slope, y, mu, constant, design, center, precision, gram, row):
    """Search along a step for a place with a sufficient decrease and a flat slope (More and Thuente 1994).

    value, slope: of the loss at the origin.
    longest: largest multiple of the step.
    Returns place, loss and slope there.
    """
    start = slope * step
    least = SUFFICIENT * start
    near, far = (0.0, value, start), (0.0, value, start)
    bracketed, first = np.bool_(False), True  # not a literal, for which all would be compiled twice
    width, before, trial = longest, 2.0 * longest, min(1.0, longest)
    low, high = 0.0, 5.0 * trial
    for _ in range(LONGEST_SEARCH):
        place = origin + trial * step
        loss, gradient = dispersion_loss(place, y, mu, constant, design, center, precision, gram, row)
        along = gradient * step
        limit = value + trial * least
        if first and loss <= limit and along >= 0.0:
            first = False
        stuck = bracketed and (trial <= low or trial >= high or high - low <= NARROW * high)
        at_end = trial == longest and loss <= limit and along <= least
        if stuck or at_end or (loss <= limit and abs(along) <= -FLAT * start):
            return place, loss, gradient
        # a value above the limit is compared by a function that has the sufficient decrease taken off
        off = least if first and loss <= near[1] and loss > limit else 0.0
        near = (near[0], near[1] - near[0] * off, near[2] - off)
        far = (far[0], far[1] - far[0] * off, far[2] - off)
        here = (trial, loss - trial * off, along - off)
        near, far, trial, bracketed = next_trial(near, far, here, bracketed, low, high)
        near = (near[0], near[1] + near[0] * off, near[2] + off)
        far = (far[0], far[1] + far[0] * off, far[2] + off)
        if bracketed:
            if abs(far[0] - near[0]) >= 0.66 * before:
                trial = near[0] + 0.5 * (far[0] - near[0])
            before, width = width, abs(far[0] - near[0])
            low, high = min(near[0], far[0]), max(near[0], far[0])
        else:
            low, high = trial + 1.1 * (trial - near[0]), trial + 4.0 * (trial - near[0])
        trial = min(max(trial, 0.0), longest)
        if bracketed and (trial <= low or trial >= high or high - low <= NARROW * high):
            trial = near[0]
    return origin, value, slope


@njit(cache=True, nogil=True, error_model="numpy")
def fit_dispersions(counts, means, design, start, center, precision, least, most, out):
    """Fit the dispersion of each gene, given the means of its counts, within bounds.

    By secant steps: L-BFGS-B in one dimension (Byrd et al. 1995). They end where the loss is flat: a gene without
    overdispersion keeps a dispersion at which its likelihood no longer changes, as in DESeq2.

    counts, means: genes x samples, float64.
    design: samples x coefficients, for the Cox-Reid adjustment.
    start, center: log dispersions at which the descent begins, and of the prior.
    precision: of the prior; 0 for none.
    least, most: bounds of the log dispersion.
    out: dispersion of each gene.
    """
    k = design.shape[1]
    gram, row = np.empty((k, k)), np.empty(k)
    for gene in range(len(counts)):
        y, mu = counts[gene], means[gene]
        constant = 0.0
        for i in range(len(y)):
            constant += math.lgamma(y[i] + 1.0) - y[i] * math.log(mu[i])
        x, curvature = min(max(start[gene], least), most), 1.0
        loss, slope = dispersion_loss(x, y, mu, constant, design, center[gene], precision, gram, row)
        for number in range(MOST_STEPS):
            projected = max(x - most, slope) if slope < 0.0 else min(x - least, slope)
            if abs(projected) <= STEEP:
                break
            step = min(max(x - slope / curvature, least), most) - x
            longest = 1.0 if number == 0 else ((most if step > 0.0 else least) - x) / step
            place, value, gradient = search(
                x, step, longest, loss, slope, y, mu, constant, design, center[gene], precision, gram, row
            )
            done = loss - value <= REDUCTION * max(abs(loss), abs(value), 1.0)
            moved, bend = place - x, gradient - slope
            if bend * moved > 2.2e-16 * -slope * moved:
                curvature = bend / moved
            x, loss, slope = place, value, gradient
            if done:
                break
        out[gene] = math.exp(x)
