"""Reference map of labels: other rows get their label, its probability, and how far they are from what it held."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.execute import Execution, map_blocks, map_tasks
from kithkin.models.harmony.label_classifier import LabelClassifier, Landmarks, folds_of, probabilities
from kithkin.models.harmony.label_profiles import LabelProfiles, Moments
from kithkin.models.harmony.query_groups import Grouped, Held, Query, compare_groups
from kithkin.models.harmony.symphony import map_onto
from kithkin.models.neighbors.transfer import nearest_rows
from kithkin.models.pca.pca import block_scores
from kithkin.models.table.blas import single_threaded
from kithkin.models.table.normalize import Normalized

HELD = 0.975  # part of the held-out rows that lie within the reference
OF_PROFILE = 2.0  # how often the distance from the profile counts, beside how weak the best label is
NEIGHBORS, PROBED = 15, 400  # of the place in a layout: landmarks, and how many are looked at
LARGEST = 60.0  # logarithm of a distance
TILE = 65_536  # rows that are labelled at a time
SPREAD = 1.4826  # median absolute deviations in a standard deviation
LEAST_SPREAD = 0.1  # of the scores of groups


@dataclass
class Scale:
    """Median and spread of the scores of held-out rows, by which those of other rows are standardised."""

    middle: float
    spread: float

    @staticmethod
    def of(scores: Array) -> Scale:
        """Take median and median absolute deviation of the finite scores."""
        known = scores[np.isfinite(scores)]
        middle = float(np.median(known)) if len(known) else 0.0
        spread = SPREAD * float(np.median(np.abs(known - middle))) if len(known) else 1.0
        return Scale(middle, spread or 1.0)

    def __call__(self, scores: Array) -> Array:
        """Standardise scores."""
        return (scores - self.middle) / self.spread


@dataclass
class GroupScales:
    """Scales of weakness and excess by groups, limit of their sum, and number of groups of a batch."""

    weakness: Scale
    excess: Scale
    limit: float
    n_groups: int

    @staticmethod
    def of(grouped: Grouped, batches: Array, known: Array) -> GroupScales | None:
        """Take them from rows whose label others have, n bool; None where no batch formed groups.

        batches: batch of each row, n integers.
        """
        known = known & grouped.told
        if not known.any():
            return None
        scales = [Scale.of(scores[known]) for scores in (grouped.weakness, grouped.excess)]
        scales = [Scale(one.middle, max(one.spread, LEAST_SPREAD)) for one in scales]
        found = GroupScales(scales[0], scales[1], 1.0, grouped.groups_of(batches))
        found.limit = max(float(np.quantile(found.total(grouped)[known], HELD)), 1e-6)
        return found

    def total(self, grouped: Grouped) -> Array:
        """Put both scores together, and mix those of each row with those of its groups; n, NaN where there are none."""
        return grouped.smooth(self.weakness(grouped.weakness) + self.excess(grouped.excess))


@dataclass
class Labelled:
    """Labels of rows: codes (int32), probability of the label, and how weak it is, n each.

    novelty: how far they are from what the reference held by their groups, NaN in batches without; None: in all.
    """

    codes: Array
    probability: Array
    weakness: Array
    novelty: Array | None = None


@dataclass
class LabelMap:
    r"""Summary of a labelled reference, onto which other rows are mapped: without counts, and of a size of its own.

    A row that is mapped onto the reference (see `map_onto`) has the label of the largest log-odds. Two scores tell how
    far it is from what the reference held: how weak its label is, and how much closer it is to a group of its own batch
    than to any label (see `compare_groups`). In batches too small for groups they are the largest log-odds, with the
    sign turned, and the logarithm of the mean squared difference from the expression of its label. All are standardised
    by their median and spread in batches that were left out. The distance is 2 to the power of their weighted sum, in
    units of what 97.5 % of these rows stay below, less 1: it is a half at their median, and 1 at the limit.

    loadings, mean: p x d and p; components are (x - mean) times the loadings.
    sizes, sums: of Harmony's clusters, K and K x d.
    coef, intercept, temperature: of the labels, L x d and L.
    profiles: expression of each label, L x p.
    weakness, difference: scales of the two scores.
    limit: of their sum.
    groups: scales of the two scores by groups; None if no batch of the reference was large enough.
    places: landmarks in the space of the reference, m x d float32, and layout: their places on its map, m x 2; or
        without rows.
    """

    loadings: Array
    mean: Array
    sizes: Array
    sums: Array
    coef: Array
    intercept: Array
    temperature: float
    profiles: LabelProfiles
    weakness: Scale
    difference: Scale
    limit: float
    places: Array
    layout: Array
    groups: GroupScales | None = None

    def project(self, source: Normalized, columns: Array, execution: Execution) -> Array:
        """Return the components of rows, n x d float32.

        source: rows, normalised, with some of the columns of the reference; the others count as if they had their mean.
        columns: positions of these columns in the reference.
        """
        vectors = np.ascontiguousarray(self.loadings[columns], np.float64)
        work = partial(block_scores, source, vectors, self.mean[columns] @ vectors)
        out, start = np.empty((source.shape[0], vectors.shape[1]), np.float32), 0
        for rows in map_blocks(work, source.blocks, execution, "components"):
            out[start : start + len(rows)] = rows
            start += len(rows)
        return out

    def novelty(
        self, rows: Array, batches: Array, source: Normalized, columns: Array, execution: Execution
    ) -> Array | None:
        """Sum of the scores of rows by their groups, in units of its limit, n; NaN for rows of batches without groups.

        rows, batches: as in `label`, before it moves them.
        source, columns: as in `project`.
        """
        if self.groups is None:
            return None
        held = Held(self.profiles, self.loadings, self.mean, self.coef, self.intercept).take(columns)
        n_batches = int(batches.max(initial=0)) + 1
        query, most = Query(rows, batches, source), self.groups.n_groups
        grouped = compare_groups(query, [held] * n_batches, execution, most=most)
        found: Array = self.groups.total(grouped) / self.groups.limit
        return found

    def label(self, rows: Array, batches: Array, execution: Execution) -> Labelled:
        """Map rows onto the reference, in place, and label them.

        rows: components by the loadings of the reference, n x d float32.
        batches: batch of each row from 0, n integers.
        """
        map_onto(rows, batches, self.sizes, self.sums, execution)
        n = len(rows)
        found = Labelled(np.empty(n, np.int32), np.empty(n, np.float32), np.empty(n))

        def work(tile: tuple[int, int]) -> None:
            own = slice(*tile)
            logits = rows[own] @ self.coef.T + self.intercept
            found.codes[own] = logits.argmax(axis=1)
            found.probability[own] = probabilities(logits, self.temperature).max(axis=1)
            found.weakness[own] = -logits.max(axis=1)

        with single_threaded():
            for _ in map_tasks(work, even_ranges(n, TILE), execution, "labels"):
                pass
        return found

    def distance(self, labelled: Labelled, source: Normalized, columns: Array, execution: Execution) -> Array:
        """Distance of rows from what the reference held, n float32: 1/2 at the median of held-out rows, 1 at the limit.

        source, columns: as in `project`.
        """
        by_groups = np.full(len(labelled.codes), np.nan) if labelled.novelty is None else labelled.novelty
        alone = np.isnan(by_groups)
        total = by_groups
        if alone.any():
            profiles = LabelProfiles(self.profiles.mean[:, columns], self.profiles.weight[:, columns])
            differences = profiles.distances(source, np.where(alone, labelled.codes, -1), execution)
            logarithms = np.log(np.maximum(differences, np.finfo(np.float64).tiny))
            total = np.where(alone, self._total(labelled.weakness, logarithms) / self.limit, by_groups)
        distance: Array = np.exp2(np.clip(total, -LARGEST, LARGEST) - 1).astype(np.float32)
        return distance

    def _total(self, weakness: Array, difference: Array) -> Array:
        total: Array = self.weakness(weakness) + OF_PROFILE * self.difference(difference)
        return total

    def place(self, rows: Array, execution: Execution) -> Array:
        """Place mapped rows on the map of the reference, n x 2 float32: the medians of the landmarks around them."""
        k = min(NEIGHBORS, len(self.places))
        out = np.empty((len(rows), 2), np.float32)
        with single_threaded():
            near, _ = nearest_rows(rows, self.places, k, 0, execution, PROBED)
        for start, stop in even_ranges(len(rows), TILE):
            out[start:stop] = np.median(self.layout[near[start:stop]], axis=1)
        return out


@dataclass
class HeldOut:
    """Labels that landmarks got from batches that were not theirs.

    codes: label that was told, -1 where none was tried.
    probability: its probability.
    """

    codes: Array
    probability: Array


@dataclass
class WholeReference:
    """All rows of a reference, of which some are landmarks.

    codes: label of each row from 0, n integers; negative: none.
    batches: batch of each row from 0, n integers.
    source: the rows, normalised, with the columns of the components.
    components: p x d.
    scaled: whether columns were divided by their standard deviation before.
    landmarks: numbers of the landmarks, ascending.
    """

    codes: Array
    batches: Array
    source: Normalized
    components: Array
    scaled: bool
    landmarks: Array


def learn(
    clusters: Any, marks: Landmarks, whole: WholeReference, seed: int, execution: Execution
) -> tuple[LabelMap, HeldOut]:
    """Learn a map without a layout.

    clusters: sizes_ and sums_ of the reference.
    marks: its landmarks.
    """
    codes, rows, source = whole.codes, whole.landmarks, whole.source
    n_labels, folds = int(codes.max()) + 1, folds_of(whole.batches, seed)
    classifier = LabelClassifier(n_labels, seed=seed).fit(marks, folds[rows], execution)
    tried = ~np.isnan(classifier.held_out_).any(axis=1)
    logits = np.where(np.isnan(classifier.held_out_), -np.inf, classifier.held_out_)
    told, weakness = np.where(tried, logits.argmax(axis=1), -1), np.where(tried, -logits.max(axis=1), np.nan)
    n_folds = int(folds.max()) + 1
    n_groups = n_folds * n_labels
    of_all_rows = Moments.of(source, np.where(codes >= 0, folds * n_labels + codes, n_groups), n_groups + 1, execution)
    mean, deviation = of_all_rows.all_rows
    loadings = whole.components
    if whole.scaled:
        loadings = np.divide(loadings.T, deviation, out=np.zeros(loadings.T.shape), where=deviation > 0).T
    moments = of_all_rows.first(n_groups)
    # each row is held against profiles that others made
    parts = [moments.without(fold, n_folds).profiles() for fold in range(n_folds)]
    others = LabelProfiles.stack(parts)
    of_all = np.full(source.shape[0], -1, np.int32)
    of_all[rows] = np.where(tried, folds[rows] * n_labels + told, -1)
    with np.errstate(divide="ignore"):
        difference = np.log(others.distances(source, of_all, execution)[rows])
    learned = LabelMap(
        loadings=loadings,
        mean=mean,
        sizes=clusters.sizes_,
        sums=clusters.sums_,
        coef=classifier.coef_,
        intercept=classifier.intercept_,
        temperature=classifier.temperature_,
        profiles=moments.without(-1, n_folds).profiles(),
        weakness=Scale.of(weakness),
        difference=Scale.of(difference),
        limit=1.0,
        places=np.empty((0, marks.placed.shape[1]), np.float32),
        layout=np.empty((0, 2), np.float32),
    )
    totals = learned._total(weakness, difference)
    held = totals[np.isfinite(totals)]
    learned.limit = max(float(np.quantile(held, HELD)), 1e-6) if len(held) else 1.0
    learned.groups = _group_scales(classifier, marks, whole, (folds[rows], parts), (loadings, mean), seed, execution)
    probability = np.full(len(rows), np.nan)
    probability[tried] = probabilities(logits[tried], classifier.temperature_).max(axis=1)
    return learned, HeldOut(told, probability)


def _group_scales(
    classifier: LabelClassifier,
    marks: Landmarks,
    whole: WholeReference,
    parts: tuple[Array, list[LabelProfiles]],
    projection: tuple[Array, Array],
    seed: int,
    execution: Execution,
) -> GroupScales | None:
    """Hold the groups of each batch, or part of the only one, against what the other folds know of the labels.

    parts: fold of each landmark, and profiles by all folds but each.
    """
    (folds, profiles), others = parts, classifier.others_
    alone = len(np.unique(marks.batches)) == 1
    tried = np.flatnonzero(np.isin(folds, list(others)))
    if not len(tried):
        return None
    units, batches = np.unique((folds if alone else marks.batches)[tried], return_inverse=True)
    fold_of = np.zeros(len(units), np.int64)
    fold_of[batches] = folds[tried]
    held = [Held(profiles[fold], *projection, *others[fold]) for fold in fold_of.tolist()]
    query = Query(marks.given[tried], batches, whole.source, whole.landmarks[tried])
    grouped = compare_groups(query, held, execution, seed)
    known = [np.isfinite(others[fold][1][code]) for fold, code in zip(folds[tried], marks.codes[tried], strict=True)]
    return GroupScales.of(grouped, batches, np.array(known, bool))
