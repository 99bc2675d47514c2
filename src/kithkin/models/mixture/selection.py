"""How many clusters a mixture of counts has: one more at a time, as long as a criterion says so."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.models.mixture.em import Ascent, Prior
from kithkin.models.mixture.layout import Layout, count_pieces
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.moves import Split, improve, pinned, split
from kithkin.models.mixture.parameters import Tables
from kithkin.models.mixture.passes import row_shares
from kithkin.models.mixture.sample import Sample
from kithkin.models.mixture.start import ENOUGH, Stand, rounds

CRITERIA = ("leave_one_out", "held_out", "bic", "icl")
PATIENCE = 2  # numbers of clusters without a gain after which the search ends
MOST = 100
HELD_OUT = 10  # one row in so many is held out


def select(
    sample: Sample,
    numbers: Sequence[int] | None,
    criterion: str,
    prior: Prior,
    seed: int,
    execution: Execution | None = None,
) -> tuple[Stand, list[dict[str, float]]]:
    """Split the cluster that gains most, again and again, and keep the number that the criterion likes best.

    Parameters
    ----------
    sample
        Rows that are clustered.
    numbers
        Numbers of clusters to compare; None: from 1 on until it gets worse.
    criterion
        "leave_one_out" or "held_out": log-likelihood, higher is better. "bic" or "icl": lower is better.
    prior, seed, execution
        As for a start.

    Returns
    -------
    Stand, list
        The best, and for each number the criteria: n_clusters and one entry per criterion.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.random.default_rng(0).poisson(np.kron(np.array([[9, 1, 1], [1, 9, 1], [1, 1, 9]]), np.ones((20, 4))))
    >>> sample = Sample.of(InMemory(X), np.arange(60), X.sum(axis=1).astype(float))
    >>> stand, curve = select(sample, None, "held_out", Prior(), 0)
    >>> stand.z.shape[1], [int(point["n_clusters"]) for point in curve]
    (3, [1, 2, 3, 4, 5])
    """
    n = sample.rows.shape[0]
    held = np.zeros(n, bool)
    if criterion == "held_out":
        held[np.random.default_rng(seed).choice(n, max(1, n // HELD_OUT), replace=False)] = True
    inside, outside = sample.part(np.flatnonzero(~held)), sample.part(np.flatnonzero(held))
    stand = rounds(inside, np.ones((inside.rows.shape[0], 1)), "gene", prior, 2, execution=execution)
    last = max(numbers) if numbers is not None else min(MOST, inside.rows.shape[0])
    curve: list[dict[str, float]] = []
    best, since = stand, 0
    splits: dict[int, Split] = {}
    while True:
        n_clusters = stand.z.shape[1]
        if numbers is None or n_clusters in numbers:
            curve.append({"n_clusters": float(n_clusters)} | criteria(inside, outside, stand))
            since = 0 if _is_best(curve, criterion) else since + 1
            best = stand if since == 0 else best
        if n_clusters >= last or (numbers is None and since >= PATIENCE):
            break
        grown = _grown(inside, stand, prior, seed, splits, execution)
        if grown is None:
            break
        stand = grown
    check(len(curve) > 0, f"n_clusters asks for {min(numbers or [0])}, but the cells do not split into so many")
    return _on_all(sample, inside, best, prior, execution), curve


def criteria(inside: Sample, outside: Sample, stand: Stand) -> dict[str, float]:
    """Leave-one-out and held-out log-likelihood of a row, BIC and ICL of a mixture with a dispersion for each gene.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> X = np.array([[9, 1], [8, 1], [1, 9], [1, 8]])
    >>> sample = Sample.of(InMemory(X), np.arange(4), X.sum(axis=1).astype(float))
    >>> stand = rounds(sample, np.ones((4, 1)), "gene", Prior(), 2)
    >>> sorted(criteria(sample, sample, stand))
    ['bic', 'held_out', 'icl', 'leave_one_out']
    """
    n, n_clusters, n_genes = inside.rows.shape[0], stand.z.shape[1], inside.layout.n_genes
    likelihood, joint = _likelihood(inside, stand)
    penalty = (n_clusters * n_genes + n_genes + n_clusters - 1) * np.log(n)
    out = {"leave_one_out": stand.score / n, "bic": float(penalty - 2 * likelihood), "icl": float(penalty - 2 * joint)}
    if outside.rows.shape[0]:
        out["held_out"] = _likelihood(outside, stand)[0] / outside.rows.shape[0]
    return out


def _likelihood(sample: Sample, stand: Stand) -> tuple[float, float]:
    tables = Tables.of(stand.parameters, sample.layout.with_size(sample.layout.size))
    likelihood = joint = 0.0
    for offset, piece in count_pieces(sample.rows):
        z, rows = row_shares(piece, slice(offset, offset + piece.shape[0]), tables)
        likelihood += float(rows.sum())
        joint += float((rows + np.log(z.max(axis=1))).sum())
    return likelihood, joint


def left_out_likelihood(sample: Sample, layout: Layout, found: Ascent, prior: Prior) -> float:
    """Log-likelihood of the sampled rows, each left out of a mixture that was fitted to all rows.

    Examples
    --------
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.models.mixture.em import ascend
    >>> from kithkin.models.mixture.layout import survey
    >>> from kithkin.models.mixture.parameters import Parameters
    >>> blocks = InMemory(np.array([[2, 0], [1, 1]]))
    >>> layout, start = survey(blocks), Parameters(np.zeros(1), np.zeros((2, 1)), np.zeros((2, 1)))
    >>> found = ascend(blocks, layout, start, "poisson", Prior(), max_iter=5, tolerance=0.0)
    >>> sample = Sample.of(blocks, np.arange(2), layout.size)
    >>> left_out_likelihood(sample, layout, found, Prior()) < found.sums.likelihood
    True
    """
    rates, here = prior.rates(layout.means, float(layout.size.sum())), layout.rows(sample.chosen)
    tables, total = Tables.of(found.parameters, here), 0.0
    pieces = [(sample.rows.take(*rows), slice(*rows)) for rows in sample.blocks.ranges]
    z = np.concatenate([row_shares(piece, rows, tables)[0] for piece, rows in pieces])
    left_out = LeftOut.of(found.parameters, here, found.sums.V, found.sums.W, prior.shape, rates, z)
    for piece, rows in pieces:
        total += float(row_shares(piece, rows, tables, left_out)[1].sum())
    return total


def _is_best(curve: list[dict[str, float]], criterion: str) -> bool:
    """Whether the last number is better than all before, by what is worth a cluster."""
    sign, enough = (-1.0, 0.0) if criterion in ("bic", "icl") else (1.0, ENOUGH)
    *before, last = [sign * point[criterion] for point in curve]
    return last > max(before, default=-np.inf) + enough


def _grown(
    sample: Sample, stand: Stand, prior: Prior, seed: int, splits: dict[int, Split], execution: Execution | None
) -> Stand | None:
    """One cluster more: the split that gains most, then rounds and moves; None if all clusters are too small."""
    held = pinned(stand, prior)
    for k in set(range(stand.z.shape[1])) - set(splits):
        splits[k] = split(sample, stand, k, held, seed, execution)
    k = max(sorted(splits), key=lambda cluster: splits[cluster][0])
    gain, rows, half = splits.pop(k)
    if gain == -np.inf:
        return None
    z: Array = np.column_stack([stand.z, np.zeros(len(stand.z))])
    z[rows, -1] = z[rows, k] * half
    z[rows, k] *= 1.0 - half
    grown = rounds(sample, z, "gene", prior, 6, execution=execution)
    return improve(sample, grown, prior, seed, 2, execution, splits)


def _on_all(sample: Sample, inside: Sample, stand: Stand, prior: Prior, execution: Execution | None) -> Stand:
    """The same mixture with the rows that were held out."""
    if inside.rows.shape[0] == sample.rows.shape[0]:
        return stand
    tables = Tables.of(stand.parameters, sample.layout)
    [(_, piece)] = count_pieces(sample.rows)
    z, _ = row_shares(piece, slice(0, piece.shape[0]), tables)
    return rounds(sample, z, "gene", prior, 3, execution=execution)
