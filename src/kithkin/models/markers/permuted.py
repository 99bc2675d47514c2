"""p of rank sums and means when labels are permuted, where the asymptotic one is small: rare genes and small groups."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array
from kithkin.kernels.permutation import permutation_pvals

LOOKED_AT = 0.1  # asymptotic p up to which the other is computed


@dataclass(frozen=True)
class Compared:
    """Cells on both sides of each test, tests x genes each.

    n, m: cells in the group and in its reference.
    held: cells of both that have a value other than zero.
    below: those of them with a negative value.
    """

    n: Array
    m: Array
    held: Array
    below: Array


def at_least_permuted(
    pvals: Array, sides: Compared, totals: Array, means: Array, variances: Array, thirds: Array
) -> Array:
    """Raise each p to that of permuting the labels, where that is larger.

    totals: sums over the cells of the group that are not zero, less n times what a zero counts, tests x genes.
    means, variances, thirds: mean and central moments of what those of both sides count, over their number, less what a
        zero counts.
    Source: Mielke, Berry (2007), Permutation Methods, doi:10.1007/978-0-387-69813-7: three moments of a permutation
        distribution. The number of zeros in the group is summed over where few others, or few zeros, are expected.
    """
    out = pvals.copy()
    with np.errstate(invalid="ignore"):
        tests, genes = np.nonzero((pvals < LOOKED_AT) & (sides.n > 0) & (sides.m > 0))
    if not len(tests):
        return out

    def at(table: Array) -> Array:
        return np.broadcast_to(table, pvals.shape)[tests, genes]

    n, m, held = (at(table).astype(np.int64) for table in (sides.n, sides.m, sides.held))
    moments = (np.ascontiguousarray(at(table), np.float64) for table in (totals, means, variances, thirds))
    total, mean, variance, third = moments
    permuted = np.empty(len(tests))
    permutation_pvals(total, n, n + m, held, mean, np.maximum(variance, 0), third, permuted)
    out[tests, genes] = np.fmax(out[tests, genes], permuted)
    return out


def rank_sums(pvals: Array, sides: Compared, wins: Array, ties: Array, thirds: Array | None) -> Array:
    """Raise p of rank sums to that of permuting the labels.

    wins: twice the Mann-Whitney U. ties: sum of t^3 - t over runs of equal values. thirds: sum of the cubes of the
    ranks less their mean; None: as if no values but zeros were tied.
    """
    N = (sides.n + sides.m).astype(np.float64)
    held, below = sides.held.astype(np.float64), sides.below.astype(np.float64)
    zeros, above = N - held, held - below
    zero = np.where(zeros > 0, below + (zeros - N) / 2, 0.0)  # midrank of zeros, less the mean rank
    if thirds is None:
        low, high = (below - N) / 2, (N - above) / 2  # mean ranks of values below and above zero, likewise
        cubes = below * low**3 + low * (below**3 - below) / 4 + above * high**3 + high * (above**3 - above) / 4
    else:
        cubes = thirds - zeros * zero**3
    sums = -zeros * zero, (N**3 - N - ties) / 12 - zeros * zero**2, cubes
    mean, variance, third = central(sums, held)
    return at_least_permuted(
        pvals, sides, (wins - sides.n * sides.m) / 2 - sides.n * zero, mean - zero, variance, third
    )


def means(pvals: Array, sides: Compared, total: Array, held: Array, sums: Sequence[Array], shift: Array) -> Array:
    """Raise p of differences of means to that of permuting the labels.

    total, held: sum over the values of the group that are not zero, each less the shift, and their number.
    sums: of both sides: likewise the sum and those of the second and third powers.
    """
    mean, variance, third = central(sums, sides.held)
    offset = np.where(
        sides.n + sides.m > sides.held, shift, 0.0
    )  # zeros count 0: without any the shift is of no matter
    return at_least_permuted(pvals, sides, total + held * offset, mean + offset, variance, third)


def central(sums: Sequence[Array], count: Array) -> tuple[Array, Array, Array]:
    """Turn sums of powers into the mean and the second and third central moment; 0 where there is nothing.

    >>> [float(x) for x in central((np.array(6.0), np.array(14.0), np.array(36.0)), np.array(3))]
    [2.0, 0.666666666666667, 0.0]
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        first, second, third = (np.where(count > 0, one / count, 0.0) for one in sums)
    return first, second - first**2, third - 3 * first * second + 2 * first**3
