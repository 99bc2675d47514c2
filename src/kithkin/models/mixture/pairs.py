"""Likelihood of counts under groups of cells, and under sums of two cells of these groups."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, InMemory, SparseRows
from kithkin.core.execute import Execution, map_tasks
from kithkin.models.mixture.count_layout import CountLayout, lay_out_counts
from kithkin.models.mixture.expression import fit_given_labels
from kithkin.models.mixture.parameters import Parameters, Tables

MEAN_SHAPE = 0.5  # of the prior on means
PROPORTIONS = (-1.0, 0.0, 1.0)  # of the first cell in a sum, in standard deviations around that of typical cells
# genes of one group rise and fall together, so that their log-likelihoods do not add up: the sum counts a third
TEMPER = 3.0
LEAST_SPREAD = 0.15  # standard deviation of log counts of a group, at least


@dataclass
class GroupPairs:
    r"""Negative binomial model of groups of cells and of sums of two cells.

    A cell of group a with s counts has mean :math:`s \mu_a` and dispersion :math:`\phi_a`. A sum of a cell of a and
    one of b, of which the first brings a part w of the counts, has mean :math:`s (w \mu_a + (1 - w) \mu_b)` and the
    variance of the two added. Counts of the cells of a group are log-normal; those of a sum are too, with mean and
    variance of the two added (Fenton and Wilkinson).

    Attributes
    ----------
    mean, phi
        Mean for one count and dispersion, groups x genes.
    weight
        Share of each group.
    location, spread
        Mean and standard deviation of the logarithm of the counts of the cells of each group.
    """

    mean: Array
    phi: Array
    weight: Array
    location: Array
    spread: Array
    layout: CountLayout

    @staticmethod
    def fit(rows: sparse.csr_matrix, totals: Array, labels: Array, execution: Execution | None = None) -> GroupPairs:
        """Fit the model to cells of known groups, 0 to K - 1, each of which has cells."""
        size = np.maximum(np.asarray(totals, np.float64), 1.0)
        fitted = fit_given_labels(rows, labels, size=size, mean_shape=MEAN_SHAPE, execution=execution)
        n_groups, logs = len(fitted.groups), np.log(size)
        location, spread = np.empty(n_groups), np.empty(n_groups)
        for group in range(n_groups):
            own = logs[labels == group]
            location[group] = np.median(own)
            spread[group] = max(LEAST_SPREAD, 1.4826 * np.median(np.abs(own - location[group])))
        layout = lay_out_counts(InMemory(rows), None, size, execution)
        mean, phi = np.exp(fitted.log_mean), np.exp(fitted.log_dispersion)
        return GroupPairs(mean, phi, np.bincount(labels) / len(labels), location, spread, layout)

    def scores(
        self, rows: SparseRows, totals: Array, rate: float, execution: Execution | None = None
    ) -> tuple[Array, Array, Array]:
        """Compare single cells with sums of two.

        Parameters
        ----------
        rows
            Counts, n x genes, int32.
        totals
            Counts over all genes, n.
        rate
            Share of doublets, by which the prior of both is weighed.
        execution
            Threads.

        Returns
        -------
        Log of the likelihood of a sum of two over that of a single cell, n; and the likeliest two groups of a sum, n
        each, the first the lower one. Looked at are sums with one of the two groups that are likeliest alone.
        """
        size = np.maximum(np.asarray(totals, np.float64), 1.0)
        n, K = len(size), len(self.weight)
        singles = self._tempered(rows, size, self.mean, self.phi, self.location, self.spread)
        singles += np.log(self.weight)
        single = _log_sum(singles)
        likeliest = np.argsort(-singles, axis=1, kind="stable")[:, :2]
        total, best = np.full(n, -np.inf), np.full(n, -np.inf)
        partner = np.zeros((2, n), np.int64)
        members = {a: np.flatnonzero((likeliest == a).any(axis=1)) for a in range(K)}
        members = {a: some for a, some in members.items() if len(some)}
        found = map_tasks(lambda a: self._sums_with(a, rows.rows(members[a]), size[members[a]]), members, execution)
        for (a, some), pairs in zip(members.items(), found, strict=True):
            if K > 1:  # counted with the likeliest group already
                second = likeliest[some, 1] == a
                pairs[second, likeliest[some[second], 0]] = -np.inf
            total[some] = np.logaddexp(total[some], _log_sum(pairs))
            b = pairs.argmax(axis=1)
            top = pairs[np.arange(len(some)), b]
            better = top > best[some]
            best[some[better]], partner[0, some[better]], partner[1, some[better]] = top[better], a, b[better]
        ratio = total - single + np.log(rate / (1 - rate))
        return ratio, partner.min(axis=0), partner.max(axis=0)

    def _sums_with(self, a: int, rows: SparseRows, size: Array) -> Array:
        """Compute the log-likelihood, with its weight, of rows as sums of cells of group a and of any, rows x K."""
        K = len(self.weight)
        both = np.hypot(self.spread[a], self.spread)
        means, variances = np.exp(self.location + self.spread**2 / 2), np.expm1(self.spread**2)
        added = means[a] + means
        squares = np.log1p((variances[a] * means[a] ** 2 + variances * means**2) / added**2)
        out = np.full((rows.shape[0], K), -np.inf)
        for step in PROPORTIONS:
            w = 1 / (1 + np.exp(self.location - self.location[a] - step * both))[:, None]
            first, second = w * self.mean[a], (1 - w) * self.mean
            phi = (first**2 * self.phi[a] + second**2 * self.phi) / (first + second) ** 2
            location, spread = np.log(added) - squares / 2, np.sqrt(squares)
            part = self._tempered(rows, size, first + second, phi, location, spread)
            np.logaddexp(out, part - np.log(len(PROPORTIONS)), out=out)
        twice = np.where(np.arange(K) == a, 1.0, 2.0)
        out += np.log(self.weight[a] * self.weight * twice)
        return out

    def _tempered(
        self, rows: SparseRows, size: Array, mean: Array, phi: Array, location: Array, spread: Array
    ) -> Array:
        """Compute log-likelihoods of rows and of their sizes, rows x groups; that of the rows counts a third."""
        floor = np.maximum(mean, 1e-300)
        arrays = (np.ascontiguousarray(part.T) for part in (np.log(floor), phi))
        tables = Tables.of(Parameters(np.zeros(len(mean)), *arrays), self.layout).covering(size)
        tables = replace(tables, layout=replace(tables.layout, size=size))
        away = (np.log(size)[:, None] - location) / spread
        return tables.scores(rows, size) / TEMPER - away**2 / 2 - np.log(spread)


def _log_sum(values: Array) -> Array:
    """Sum exponentials of each row, as a logarithm."""
    top = values.max(axis=1)
    out: Array = top + np.log(np.exp(values - top[:, None]).sum(axis=1))
    return out
