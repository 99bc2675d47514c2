"""Groups that rows form among themselves, and how far these are from every label of a reference."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

import numpy as np

from kithkin.core.blocks import Array, Block, even_ranges
from kithkin.core.execute import Execution, map_blocks, map_tasks
from kithkin.kernels.counts import candidate_distances
from kithkin.models.harmony.label_profiles import LabelProfiles, Moments
from kithkin.models.kmeans import KMeans
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.normalize import Normalized, Stored

FEWEST_ROWS, FEWEST_LABELS = 100, 3  # of a batch that forms groups
GROUP_ROWS, SMALLEST, MOST_GROUPS, ALL_GROUPS = 30, 5, 100, 400  # rows of a group, and groups of a batch, and of all
NEAR = 3  # groups, and labels, that a row is compared with
FIT_ROWS = 20_000  # rows on which the groups of a batch are found
ROUNDS, OF_LABEL = 4, 8  # of the search for a shift, and rows by which a label tells of it
FLOOR = 3.0  # variance that all columns have, in units of the usual one
UNIT = 0.1  # mean squared difference, in units of the usual variance, up to which the excess is linear
SHARED = 0.7  # part of a score that a row has from its groups
TILE = 65_536  # rows that are compared with centers at a time


@dataclass
class Held:
    """Labels as a reference, or a part of it, knows them, against which rows are held.

    profiles: expression of each label, L x p.
    loadings, center: p x d and p; components are (x - center) times the loadings.
    coef, intercept: log-odds of the labels, L x d and L; minus infinity for labels that are not there.
    """

    profiles: LabelProfiles
    loadings: Array
    center: Array
    coef: Array
    intercept: Array

    @property
    def present(self) -> Array:
        """Numbers of the labels that are there."""
        return np.flatnonzero(np.isfinite(self.intercept))

    @property
    def variance(self) -> Array:
        """Variance of each column within labels, p, in units of the usual one."""
        shares = self.profiles.weight[self.present].astype(np.float64)
        found: Array = np.mean(1 / np.maximum(shares, 1e-6) - 1, axis=0)
        return found

    @property
    def weight(self) -> Array:
        """Weight of each column, p: the inverse of its variance and a floor."""
        found: Array = 1 / ((self.variance + FLOOR) * self.profiles.floor)
        return found

    @property
    def noise(self) -> float:
        """Mean squared difference of rows of a label from its profile, with these weights, summed over columns."""
        return float((self.variance / (self.variance + FLOOR)).sum())

    def take(self, columns: Array) -> Held:
        """Return what is known of some of the columns."""
        profiles = LabelProfiles(self.profiles.mean[:, columns], self.profiles.weight[:, columns], self.profiles.floor)
        return Held(profiles, self.loadings[columns], self.center[columns], self.coef, self.intercept)


@dataclass
class Grouped:
    """Two scores of rows, and the groups that they form.

    weakness: largest log-odds of a label with the sign turned, once the shift of the batch is taken out, n float64; NaN
        in batches too small for groups.
    excess: how much closer rows are to a group of their batch than to any label, n float64; NaN likewise.
    near: nearest groups of each row, n x c int32; -1 where there are none.
    shares: how much of the row each of them has, n x c float32; rows sum to 1.
    """

    weakness: Array
    excess: Array
    near: Array
    shares: Array

    @property
    def told(self) -> Array:
        """Rows of batches that form groups, n bool."""
        found: Array = self.near[:, 0] >= 0
        return found

    def groups_of(self, batches: Array) -> int:
        """Return the usual number of groups of a batch."""
        pairs = np.unique(np.stack([batches[self.told], self.near[self.told, 0]]), axis=1)
        return int(np.median(np.unique(pairs[0], return_counts=True)[1]))

    def smooth(self, scores: Array) -> Array:
        """Mix scores of rows, n float64, with those of the groups that they are in."""
        at = self.told
        near, shares = self.near[at], self.shares[at] * (self.near[at] >= 0)
        weighed = [np.bincount(near.clip(0).ravel(), (shares * by).ravel()) for by in (scores[at][:, None], 1.0)]
        of_group = weighed[0] / np.maximum(weighed[1], 1e-12)
        out = np.full(len(scores), np.nan)
        out[at] = (1 - SHARED) * scores[at] + SHARED * (shares * of_group[near.clip(0)]).sum(axis=1)
        return out


@dataclass
class Query:
    """Rows that are compared with what others know.

    rows: components by the loadings of the reference, m x d float32.
    batches: batch of each row from 0, m integers.
    source: normalised values with the columns of `Held`.
    at: number of each row in the source; None: all of them, in order.
    """

    rows: Array
    batches: Array
    source: Normalized
    at: Array | None = None

    def spread(self, values: Array, missing: int) -> Array:
        """Return values of rows by the numbers of the source, with something else in between."""
        if self.at is None:
            return values
        out = np.full((self.source.shape[0], *values.shape[1:]), missing, values.dtype)
        out[self.at] = values
        return out


def compare_groups(
    query: Query, held: list[Held], execution: Execution, seed: int = 0, most: int = MOST_GROUPS
) -> Grouped:
    r"""Compare rows, and groups that they form, with labels.

    The components of each batch are parted by k-means into groups of some 30 rows, at most 100. The means :math:`m_g`
    of their values have much less noise than a row. What sets a batch apart is a shift of all its rows: the difference
    of its groups from their nearest label, averaged by label, and of these the median over the labels, column by
    column, so that a label which does not fit has no say. From the rows without it come the log-odds.
    The excess of a row x is :math:`\min_l |x - \mu_l - \delta|^2 - \min_g |x - m_g|^2`, with :math:`\mu_l` the profile
    of a label, :math:`\delta` the shift, and columns in units of their spread: the noise of the row, which both have,
    cancels out. What a row adds to the mean of its own group is taken off, and so is the usual noise of the means.
    Large values are brought closer by arsinh.

    held: for each batch, what its rows are held against.
    most: groups of a batch at most: more of them fit each row better.
    """
    grouped, centers = form_groups(query, execution, seed, most)
    n_groups = len(centers)
    if n_groups == 0:
        return grouped
    codes = query.spread(grouped.near[:, 0], -1)
    moments = Moments.of(query.source, np.where(codes < 0, n_groups, codes), n_groups + 1, execution).first(n_groups)
    means = moments.sums / np.maximum(moments.sizes, 1)[:, None]
    shifts: dict[int, Array] = {}
    of_group = np.full(n_groups, -1)
    of_group[grouped.near[grouped.told, 0]] = query.batches[grouped.told]
    for batch in np.unique(of_group[of_group >= 0]).tolist():
        shift = shift_of(means[of_group == batch], moments.sizes[of_group == batch], held[batch])
        if shift is None:
            grouped.near[query.batches == batch] = -1
        else:
            shifts[batch] = shift
    if shifts:
        labels = weigh_labels(query, grouped, held, shifts, execution)
        grouped.excess[:] = excess_of(query, grouped, labels, (means, moments.sizes), (held, shifts), execution)
    return grouped


def form_groups(query: Query, execution: Execution, seed: int, most: int) -> tuple[Grouped, Array]:
    """Find the groups of each batch, and the nearest of each row; return the centers, too."""
    n, n_batches = len(query.rows), int(query.batches.max(initial=-1)) + 1
    grouped = Grouped(
        np.full(n, np.nan), np.full(n, np.nan), np.full((n, NEAR), -1, np.int32), np.zeros((n, NEAR), np.float32)
    )
    sizes, found, first = np.bincount(query.batches, minlength=n_batches), [np.empty((0, query.rows.shape[1]))], 0
    large = np.flatnonzero(sizes >= FEWEST_ROWS)
    most = int(np.clip(ALL_GROUPS // max(len(large), 1), NEAR + 1, most))
    for batch in large.tolist():
        own = np.flatnonzero(query.batches == batch)
        centers = group_centers(
            query.rows, own, min(max(round(len(own) / GROUP_ROWS), NEAR + 1), most), seed, execution
        )
        squares = np.empty((len(own), NEAR), np.float32)

        def work(tile: tuple[int, int], own: Array = own, centers: Array = centers, squares: Array = squares) -> None:
            part = own[slice(*tile)]
            apart = squared_distances(query.rows[part], centers)
            near = np.argsort(apart, axis=1, kind="stable")[:, :NEAR]
            grouped.near[part] = near
            squares[slice(*tile)] = np.take_along_axis(apart, near, axis=1)

        with single_threaded():
            for _ in map_tasks(work, even_ranges(len(own), TILE), execution, "groups"):
                pass
        usual = max(float(np.median(squares[:, 0])), 1e-12)
        shares = np.exp((squares[:, :1] - squares) / usual)
        grouped.near[own] += first
        grouped.shares[own] = shares / shares.sum(axis=1, keepdims=True)
        found.append(centers)
        first += len(centers)
    return grouped, np.concatenate(found)


def group_centers(rows: Array, own: Array, n_groups: int, seed: int, execution: Execution) -> Array:
    """Return centers of groups of some rows, none of which has only a few."""
    # by their first component, so that groups do not depend on the order in which rows come
    own = own[np.argsort(rows[own, 0], kind="stable")]
    if len(own) > FIT_ROWS:
        own = own[np.linspace(0, len(own) - 1, FIT_ROWS).round().astype(np.int64)]
    drawn = rows[own]
    model = KMeans(n_groups, n_starts=5, seed=seed).fit(drawn, execution)
    centers, codes = model.cluster_centers_, model.labels_
    with single_threaded():
        while len(centers) > NEAR:
            sizes = np.bincount(codes, minlength=len(centers))
            if sizes.min() >= SMALLEST:
                break
            centers = np.delete(centers, sizes.argmin(), axis=0)
            codes = squared_distances(drawn, centers).argmin(axis=1)
    sums = np.zeros(centers.shape)
    np.add.at(sums, codes, drawn)
    found: Array = sums / np.maximum(np.bincount(codes, minlength=len(centers)), 1)[:, None]
    return found


def squared_distances(rows: Array, centers: Array) -> Array:
    """Return squared distances of rows from centers, rows x centers float64."""
    rows = rows.astype(np.float64)
    apart = np.square(rows).sum(axis=1)[:, None] - 2 * (rows @ centers.T) + np.square(centers).sum(axis=1)
    found: Array = np.maximum(apart, 0)
    return found


def shift_of(means: Array, sizes: Array, held: Held) -> Array | None:
    """Return what sets the groups of a batch apart from their nearest labels, p; None if too few labels tell."""
    weight, present = held.weight, held.present
    profiles = held.profiles.mean[present].astype(np.float64)
    scale, shift = np.sqrt(weight), np.zeros(means.shape[1])
    for _ in range(ROUNDS):
        moved = means - shift
        nearest = squared_distances(moved * scale, profiles * scale).argmin(axis=1)
        differences = []
        for label in np.unique(nearest):
            own = nearest == label
            if sizes[own].sum() >= OF_LABEL:
                differences.append(np.average(moved[own] - profiles[label], axis=0, weights=sizes[own]))
        if len(differences) < FEWEST_LABELS:
            return None
        shift = shift + np.median(differences, axis=0)
    return shift


def weigh_labels(
    query: Query, grouped: Grouped, held: list[Held], shifts: dict[int, Array], execution: Execution
) -> Array:
    """Write the weakness of rows without the shift of their batch; return their nearest labels, m x c int32."""
    labels = np.full((len(query.rows), NEAR), -1, np.int32)
    for batch, shift in shifts.items():
        own, known = np.flatnonzero(query.batches == batch), held[batch]
        profiles, moved = known.profiles.mean[known.present], shift @ known.loadings
        centers = (profiles.astype(np.float64) - known.center) @ known.loadings

        def work(
            tile: tuple[int, int], own: Array = own, known: Held = known, moved: Array = moved, centers: Array = centers
        ) -> None:
            part = own[slice(*tile)]
            rows = query.rows[part] - moved
            grouped.weakness[part] = -(rows @ known.coef.T + known.intercept).max(axis=1)
            near = np.argsort(squared_distances(rows, centers), axis=1, kind="stable")[:, :NEAR]
            labels[part, : near.shape[1]] = known.present[near]

        with single_threaded():
            for _ in map_tasks(work, even_ranges(len(own), TILE), execution, "labels"):
                pass
    return labels


def excess_of(
    query: Query,
    grouped: Grouped,
    labels: Array,
    groups: tuple[Array, Array],
    known: tuple[list[Held], dict[int, Array]],
    execution: Execution,
) -> Array:
    """Return how much closer rows are to a group than to a label, m float64."""
    (means, sizes), (held, shifts) = groups, known
    n_groups, p = means.shape
    batches = sorted(shifts)
    slots = np.full(int(query.batches.max()) + 1, -1)
    slots[batches] = np.arange(len(batches))
    weights = np.stack([held[batch].weight for batch in batches])
    moved = [held[batch].profiles.mean + shifts[batch] for batch in batches]
    n_labels = len(moved[0])
    of_group = np.zeros(n_groups, np.int64)
    of_group[grouped.near[grouped.told, 0]] = slots[query.batches[grouped.told]]
    kinds = np.concatenate([of_group, np.repeat(np.arange(len(batches)), n_labels)])
    profiles = np.concatenate([means, *moved])
    table = Table(profiles, kinds, weights)
    first = n_groups + n_labels * slots[query.batches][:, None]
    candidates = np.hstack([grouped.near, np.where(labels < 0, -1, first + labels)]).astype(np.int32)
    candidates[~grouped.told] = -1
    work = partial(
        _block_distances, query.source, query.spread(candidates, -1), query.spread(slots[query.batches], -1), table
    )
    found = np.concatenate([np.empty((0, 2 * NEAR)), *map_blocks(work, query.source.blocks, execution, "distances")])
    found = found if query.at is None else found[query.at]
    size = sizes[grouped.near[:, 0]].astype(np.float64)
    found[:, 0] *= np.square(size / np.maximum(size - 1, 1))  # as if the row were not in the mean of its group
    found[candidates < 0] = np.inf
    with np.errstate(invalid="ignore"):
        excess = found[:, NEAR:].min(axis=1) - found[:, :NEAR].min(axis=1)
    numbers = np.bincount(of_group[sizes > 0], minlength=len(batches))
    noise = np.array([held[batch].noise for batch in batches])
    rows = np.bincount(slots[query.batches[grouped.told]], minlength=len(batches))
    excess += (noise * numbers / rows)[slots[query.batches]]  # of a mean of as many rows as a group has
    out: Array = np.where(grouped.told, np.arcsinh(excess / (UNIT * p)), np.nan)
    return out


class Table:
    """Profiles that rows are compared with, each with the weights of its kind."""

    def __init__(self, profiles: Array, kinds: Array, weights: Array) -> None:
        self.weights = weights.astype(np.float32)
        scaled = profiles * weights[kinds]
        self.base = np.einsum("gp,gp->g", scaled, profiles)
        self.scaled = scaled.astype(np.float32)


def _block_distances(
    source: Normalized, candidates: Array, kinds: Array, table: Table, block: Block, start: int
) -> Array:
    found = []
    for at, part in source.parts(block, start):
        n_rows = len(part.starts) - 1 if isinstance(part, Stored) else len(part)
        own, kind = candidates[at : at + n_rows], kinds[at : at + n_rows].astype(np.int32)
        out = np.zeros(own.shape)
        if isinstance(part, Stored):
            about = table.scaled, table.base, table.weights, kind
            candidate_distances(part.values, part.places, part.starts, own, *about, out)
        else:
            values = part.astype(np.float32)
            squares = np.einsum("rp,rp->r", np.square(values, dtype=np.float64), table.weights[kind.clip(0)])
            products = np.take_along_axis(values @ table.scaled.T, own.clip(0).astype(np.int64), axis=1)
            out = np.maximum(table.base[own.clip(0)] + squares[:, None] - 2.0 * products, 0)
        found.append(out)
    return np.concatenate([np.empty((0, candidates.shape[1])), *found])
