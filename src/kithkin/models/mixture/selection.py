"""Choice of the number of clusters of a mixture: split one more at a time, as long as a criterion improves."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.models.mixture.count_layout import CountLayout, count_pieces
from kithkin.models.mixture.em import EMResult, Prior
from kithkin.models.mixture.left_out import LeftOut
from kithkin.models.mixture.moves import Split, add_splits, hold_dispersions, improve
from kithkin.models.mixture.parameters import Tables
from kithkin.models.mixture.passes import row_responsibilities
from kithkin.models.mixture.sample import Sample
from kithkin.models.mixture.start import ENOUGH, StartState, refine

CRITERIA = ("leave_one_out", "held_out", "bic", "icl")
PATIENCE = 2  # numbers of clusters without improvement that end the search
MOST = 100
HELD_OUT = 10  # one row in so many is held out


def select(
    sample: Sample,
    numbers: Sequence[int] | None,
    criterion: str,
    prior: Prior,
    seed: int,
    execution: Execution | None = None,
) -> tuple[StartState, list[dict[str, float]]]:
    """Choose the number of clusters: split the cluster that gains most, again and again, and keep the best.

    The numbers of clusters are compared, or all from 1 on until the criterion gets worse. Of "leave_one_out" and
    "held_out", log-likelihoods, higher is better; of "bic" and "icl", lower. The curve has, for each number of
    clusters, n_clusters and one entry per criterion.
    """
    n = sample.rows.shape[0]
    held_out = np.zeros(n, bool)
    if criterion == "held_out":
        held_out[np.random.default_rng(seed).choice(n, max(1, n // HELD_OUT), replace=False)] = True
    inside, outside = sample.part(np.flatnonzero(~held_out)), sample.part(np.flatnonzero(held_out))
    state = refine(inside, np.ones((inside.rows.shape[0], 1)), "gene", prior, 2, execution=execution)
    last = max(numbers) if numbers is not None else min(MOST, inside.rows.shape[0])
    # a difference in log-likelihood below ENOUGH a row is not worth a cluster
    sign, enough = (-1.0, 0.0) if criterion in ("bic", "icl") else (1.0, ENOUGH)
    curve: list[dict[str, float]] = []
    best, since, highest = state, 0, -np.inf
    splits: dict[int, Split] = {}
    while True:
        n_clusters = state.z.shape[1]
        if numbers is None or n_clusters in numbers:
            curve.append({"n_clusters": float(n_clusters)} | criteria(inside, outside, state))
            value = sign * curve[-1][criterion]
            best, since = (state, 0) if value > highest + enough else (best, since + 1)
            highest = max(highest, value)
        if n_clusters >= last or (numbers is None and since >= PATIENCE):
            break
        add_splits(splits, inside, state, hold_dispersions(state, prior), seed, execution)
        k = max(sorted(splits), key=lambda cluster: splits[cluster].gain)
        halves = splits.pop(k)
        if halves.gain == -np.inf:
            break
        z: Array = np.column_stack([state.z, np.zeros(len(state.z))])
        halves.divide(z, k, n_clusters)
        state = refine(inside, z, "gene", prior, 6, execution=execution)
        state = improve(inside, state, prior, seed, 2, execution, splits)
    check(len(curve) > 0, f"n_clusters asks for {min(numbers or [0])}, but the cells do not split into so many")
    if held_out.any():
        [(_, piece)] = count_pieces(sample.rows)
        z, _ = row_responsibilities(piece, slice(0, n), Tables.of(best.parameters, sample.layout))
        best = refine(sample, z, "gene", prior, 3, execution=execution)
    return best, curve


def criteria(inside: Sample, outside: Sample, state: StartState) -> dict[str, float]:
    """Compute leave-one-out and held-out log-likelihood of a row, BIC and ICL, with a dispersion for each gene."""
    n, n_clusters, n_genes = inside.rows.shape[0], state.z.shape[1], inside.layout.n_genes
    likelihood, joint = _log_likelihood(inside, state)
    penalty = (n_clusters * n_genes + n_genes + n_clusters - 1) * np.log(n)
    values = {"leave_one_out": state.score / n}
    values |= {"bic": float(penalty - 2 * likelihood), "icl": float(penalty - 2 * joint)}
    if outside.rows.shape[0]:
        values["held_out"] = _log_likelihood(outside, state)[0] / outside.rows.shape[0]
    return values


def _log_likelihood(sample: Sample, state: StartState) -> tuple[float, float]:
    """Sum the log-likelihood of the rows, and log p(row, its likeliest cluster)."""
    tables = Tables.of(state.parameters, sample.layout.with_size(sample.layout.size))
    likelihood = joint = 0.0
    for offset, piece in count_pieces(sample.rows):
        z, rows = row_responsibilities(piece, slice(offset, offset + piece.shape[0]), tables)
        likelihood += float(rows.sum())
        joint += float((rows + np.log(z.max(axis=1))).sum())
    return likelihood, joint


def left_out_likelihood(sample: Sample, layout: CountLayout, result: EMResult, prior: Prior) -> float:
    """Sum the log-likelihood of the sampled rows, each left out of a mixture that was fitted to all rows."""
    rates, of_sample = prior.rates(layout.means, float(layout.size.sum())), layout.rows(sample.chosen)
    tables, statistics = Tables.of(result.parameters, of_sample), result.statistics
    pieces = [(sample.rows.take(start, stop), slice(start, stop)) for start, stop in sample.blocks.ranges]
    z = np.concatenate([row_responsibilities(piece, rows, tables)[0] for piece, rows in pieces])
    left_out = LeftOut.of(result.parameters, of_sample, statistics.V, statistics.W, prior.shape, rates, z)
    return sum(float(row_responsibilities(piece, rows, tables, left_out)[1].sum()) for piece, rows in pieces)
