"""Regression of the negative binomial counts of each gene on a design, with a log link: plain, or with a prior."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from kithkin.kernels.cholesky import factor, half_solve, solve, weigh
from kithkin.kernels.dispersion import log_rise

FAR = 30.0  # coefficient, in natural logarithms, from which a regression diverges
RIDGE = 1e-6
SMALLEST = 1e-12  # share of a step that is tried where a larger one does not lower the loss


@njit(cache=True, nogil=True, error_model="numpy")
def inner(design, row, beta):
    """Multiply a row of the design with coefficients."""
    total = 0.0
    for j in range(len(beta)):
        total += design[row, j] * beta[j]
    return total


@njit(cache=True, nogil=True, error_model="numpy")
def largest(values):
    """Find the largest absolute value."""
    most = 0.0
    for value in values:
        most = max(most, abs(value))
    return most


@njit(cache=True, nogil=True, error_model="numpy")
def posterior_loss(beta, y, log_size, design, r, column, scale, wide):
    """Compute the negative log posterior of coefficients, up to a constant.

    column: the coefficient with a Cauchy prior of the given scale, or -1; the others have a normal one of scale `wide`.
    """
    loss = 0.0
    for j in range(len(beta)):
        ratio = beta[j] / (scale if j == column else wide)
        loss += math.log1p(ratio * ratio) if j == column else 0.5 * ratio * ratio
    for i in range(len(y)):
        eta = log_size[i] + inner(design, i, beta)
        loss += (y[i] + r) * math.log(math.exp(eta) + r) - y[i] * eta
    return loss


@njit(cache=True, nogil=True, error_model="numpy")
def find_mode(beta, y, log_size, design, r, column, scale, wide, tolerance, max_iter, gram):
    """Move coefficients to the next mode of their posterior by Newton steps; return the loss there.

    Where the prior bends the loss down, its curvature is replaced by that of the parabola that touches it from above.
    gram (out): factor of the Hessian at the mode.
    """
    n, k = design.shape
    slope, step, trial, weights = np.empty(k), np.empty(k), np.empty(k), np.empty(n)
    loss = posterior_loss(beta, y, log_size, design, r, column, scale, wide)
    for number in range(max_iter + 1):
        at = beta[column] if column >= 0 else 0.0
        square = scale * scale + at * at
        for j in range(k):
            slope[j] = 2.0 * at / square if j == column else beta[j] / (wide * wide)
        for i in range(n):
            mean = math.exp(log_size[i] + inner(design, i, beta))
            weights[i] = (y[i] + r) * (r / (mean + r)) * (mean / (mean + r))
            residual = (y[i] + r) * mean / (mean + r) - y[i]
            for j in range(k):
                slope[j] += design[i, j] * residual
        weigh(design, weights, 1.0 / (wide * wide), gram)
        if column >= 0:
            gram[column, column] += 2.0 * (scale * scale - at * at) / (square * square) - 1.0 / (wide * wide)
        if not factor(gram):
            weigh(design, weights, 1.0 / (wide * wide), gram)
            if column >= 0:
                gram[column, column] += 2.0 / square - 1.0 / (wide * wide)
            factor(gram)
        solve(gram, slope, step)
        if number == max_iter or largest(step) <= tolerance:
            break
        share, value = 1.0, np.inf
        while share > SMALLEST and not value <= loss:
            for j in range(k):
                trial[j] = beta[j] - share * step[j]
            value = posterior_loss(trial, y, log_size, design, r, column, scale, wide)
            share *= 0.5
        if not value <= loss:
            break
        for j in range(k):
            beta[j] = trial[j]
        loss = value
    return loss


@njit(cache=True, nogil=True, error_model="numpy")
def regress(
    counts, log_size, design, inverse, dispersion, least, tolerance, max_iter, coefficients, means, leverage, fine
):
    """Fit a regression with a log link to the counts of each gene by reweighted least squares.

    counts: genes x samples, float64.
    log_size: logarithm of the size factor of each sample.
    design: samples x coefficients; inverse: its pseudoinverse.
    dispersion: of each gene.
    least: smallest mean by which counts are weighted.
    tolerance: relative change of the log-likelihood at which a gene is finished.
    coefficients, means, leverage (out): genes x coefficients, genes x samples, and the diagonal of the hat matrix.
    fine (out): False of a gene where this diverges, and `find_mode` has to be taken.
    """
    n, k = design.shape
    gram, beta, right = np.empty((k, k)), np.empty(k), np.empty(k)
    mu, weights = np.empty(n), np.empty(n)
    for gene in range(len(counts)):
        y, alpha = counts[gene], dispersion[gene]
        r, before = 1.0 / alpha, -1000.0
        for j in range(k):
            beta[j] = 0.0
        constant = 0.0
        for i in range(n):
            constant += math.lgamma(y[i] + 1.0) - log_rise(y[i], r)
            start = math.log(y[i] / math.exp(log_size[i]) + 0.1)
            for j in range(k):
                beta[j] += inverse[j, i] * start
        done = False
        for number in range(1, max_iter + 1):
            for j in range(k):
                right[j] = 0.0
            for i in range(n):
                mu[i] = max(math.exp(log_size[i] + inner(design, i, beta)), least)
                weights[i] = mu[i] / (1.0 + mu[i] * alpha)
            if done:
                break
            for i in range(n):
                working = weights[i] * (math.log(mu[i]) - log_size[i] + (y[i] - mu[i]) / mu[i])
                for j in range(k):
                    right[j] += design[i, j] * working
            weigh(design, weights, RIDGE, gram)
            if not factor(gram):
                break
            solve(gram, right, beta)
            if largest(beta) > FAR:
                break
            deviance = constant
            for i in range(n):
                mean = max(math.exp(log_size[i] + inner(design, i, beta)), least)
                deviance += (r + y[i]) * math.log1p(mean * alpha) - y[i] * math.log(mean)
            deviance *= 2.0
            done = number < max_iter and abs(deviance - before) / (abs(deviance) + 0.1) <= tolerance
            before = deviance
        fine[gene] = done
        for j in range(k):
            coefficients[gene, j] = beta[j]
        weigh(design, weights, RIDGE, gram)
        factor(gram)
        for i in range(n):
            leverage[gene, i] = weights[i] * half_solve(gram, design[i], right)
            means[gene, i] = math.exp(log_size[i] + inner(design, i, beta))


@njit(cache=True, nogil=True, error_model="numpy")
def shrink(counts, log_size, design, dispersion, start, column, scale, wide, tolerance, max_iter, mode, deviation):
    """Find a posterior mode of one coefficient of each gene, under a Cauchy prior (Zhu, Ibrahim and Love 2019).

    counts: genes x samples, float64.
    log_size: logarithm of the size factor of each sample.
    start: most likely coefficients, genes x coefficients. The descent begins there: of two modes, which a narrow prior
        may leave, it finds the one beside them, and not the one at zero.
    column: the coefficient with the prior of the given scale; the others have a normal prior of the scale `wide`.
    mode, deviation (out): of each gene: the coefficient, and its standard deviation by the curvature there.
    """
    k = design.shape[1]
    gram, unit, out, beta = np.empty((k, k)), np.empty(k), np.empty(k), np.empty(k)
    for j in range(k):
        unit[j] = 1.0 if j == column else 0.0
    for gene in range(len(counts)):
        for j in range(k):
            beta[j] = start[gene, j]
        r = 1.0 / dispersion[gene]
        find_mode(beta, counts[gene], log_size, design, r, column, scale, wide, tolerance, max_iter, gram)
        mode[gene] = beta[column]
        deviation[gene] = math.sqrt(half_solve(gram, unit, out))
