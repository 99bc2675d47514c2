"""Enrichment of sets among genes that are chosen or ranked: hypergeometric test, rank sum with correlation."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

import numpy as np
from scipy import special
from scipy.stats import hypergeom, rankdata

from kithkin.core.blocks import Array, as_numbers
from kithkin.core.errors import check, check_choice, check_range
from kithkin.models.estimator import Estimator
from kithkin.models.table.adjustment import adjust

METHODS = ("fisher", "rank")
CORRELATION = 0.01  # between the scores of two genes of a set, as limma's camera takes it


class SetEnrichment(Estimator):
    r"""Tests whether the genes of a set come more often among chosen genes, or rank higher, than other genes.

    "fisher": of the N genes of the background n are chosen; k of the m genes of a set are among them with probability
    :math:`P(K \ge k)`, K hypergeometric: Fisher's exact test, one-sided.

    "rank": Wilcoxon's rank sum of the scores of the m genes of a set against those of the :math:`m' = N - m` others,
    one-sided with tie correction. Genes of a set vary together, so that the variance of the rank sum is
    :math:`\frac{m m'}{2 \pi} (\arcsin 1 + (m' - 1) \arcsin \frac12 + (m - 1)(m' - 1) \arcsin \frac\rho2 +
    (m - 1) \arcsin \frac{\rho + 1}2)` with the correlation :math:`\rho` of the scores of two of them.

    Parameters
    ----------
    sets
        Columns of the genes of each set by name, such as {"T": [0, 5]}; -1 stands for a gene that is absent.
    method
        "fisher" or "rank".
    correlation
        Correlation of the scores of two genes of a set, for "rank".

    Attributes
    ----------
    sizes_
        Genes of each set that are in the background, int64.
    pvals_, pvals_adj_
        p, tests x sets, and adjusted over all of them by Benjamini and Hochberg; NaN for sets without genes in the
        background.
    n_found_, expected_
        Chosen genes of each set, and how many would be expected, tests x sets, for "fisher"; else None.
    auc_
        Probability that a gene of the set has a higher score than another, ties as one half, tests x sets, for "rank";
        else None.

    References
    ----------
    Rivals et al. 2007, doi:10.1093/bioinformatics/btl633 (hypergeometric). Wu and Smyth 2012, doi:10.1093/nar/gks461
    (rank sum with correlation). Benjamini and Hochberg 1995, doi:10.1111/j.2517-6161.1995.tb02031.x.

    Examples
    --------
    >>> chosen = np.array([[True, True, True, False, False, False]])
    >>> model = SetEnrichment({"a": [0, 1, 2], "b": [2, 3]}).fit(chosen)
    >>> model.n_found_.tolist(), model.pvals_.round(3).tolist()  # 1 in 20, and 16 in 20 draws of three genes
    ([[3, 1]], [[0.05, 0.8]])
    """

    sizes_: Array
    pvals_: Array
    pvals_adj_: Array
    n_found_: Array | None
    expected_: Array | None
    auc_: Array | None

    def __init__(
        self, sets: Mapping[str, Any] | None = None, method: str = "fisher", *, correlation: float = CORRELATION
    ) -> None:
        self.sets, self.method, self.correlation = sets, method, correlation

    def fit(self, X: Any, background: Any = None) -> Self:
        """Test every set.

        Parameters
        ----------
        X
            Tests x genes: booleans that mark the chosen genes for "fisher", scores for "rank".
        background
            Genes that could be chosen, p booleans; all by default.

        Raises
        ------
        ParameterError
            If the tables do not fit each other, a setting is out of range, or a score is missing.
        """
        check_choice("method", self.method, METHODS)
        check_range("correlation", self.correlation, 0.0, 1.0)
        table = np.atleast_2d(as_numbers(X, "X"))
        fisher = self.method == "fisher"
        kinds = "b" if fisher else "buif"
        wanted = "booleans that mark the chosen genes" if fisher else "scores"
        check(table.ndim == 2 and table.dtype.kind in kinds, f"X must be tests x genes, {wanted}, got {table.dtype}")
        p = table.shape[1]
        there = np.ones(p, bool) if background is None else np.asarray(background)
        right = there.shape == (p,) and there.dtype == bool
        check(right, f"background must be {p} booleans, one for each gene, got {there.dtype} of shape {there.shape}")
        given = self.sets if isinstance(self.sets, Mapping) else {}
        check(
            len(given) > 0, f"sets must map the name of each set to its columns, such as {{'T': [0, 5]}}, got {given}"
        )
        inside = np.zeros((len(given), p), bool)
        for row, (name, columns) in enumerate(given.items()):
            places = np.asarray(columns)
            known = places.ndim == 1 and places.dtype.kind in "iu" and bool(((places >= -1) & (places < p)).all())
            check(known, f"sets[{name!r}] must be columns in 0..{p - 1}, or -1 for genes that are absent")
            inside[row, places[places >= 0]] = True
        inside, table = inside[:, there], table[:, there]
        self.sizes_ = inside.sum(axis=1)
        self.n_found_ = self.expected_ = self.auc_ = None
        self.pvals_ = self._fisher(table, inside) if fisher else self._rank(table.astype(np.float64), inside)
        self.pvals_adj_ = adjust(self.pvals_.ravel()).reshape(self.pvals_.shape)
        return self

    def _fisher(self, chosen: Array, inside: Array) -> Array:
        """Test by the hypergeometric distribution, tests x sets."""
        n_all, n_chosen = chosen.shape[1], chosen.sum(axis=1)[:, None]
        self.n_found_ = chosen.astype(np.int64) @ inside.T.astype(np.int64)
        self.expected_ = n_chosen * self.sizes_ / max(1, n_all)
        p = hypergeom.sf(self.n_found_ - 1, n_all, self.sizes_, n_chosen)
        return np.where(self.sizes_ > 0, p, np.nan)

    def _rank(self, scores: Array, inside: Array) -> Array:
        """Test by rank sums, tests x sets."""
        check(bool(np.isfinite(scores).all()), "X must hold finite scores, but some are missing or infinite")
        n = scores.shape[1]
        ranks = rankdata(scores, axis=1)
        ties = np.array([_tie_term(row) for row in ranks])[:, None]
        m = self.sizes_.astype(np.float64)
        others = n - m
        wins = ranks @ inside.T - m * (m + 1) / 2
        pairs = m * others
        rho = self.correlation
        terms = np.pi / 2 + (others - 1) * np.arcsin(0.5)
        terms = terms + (m - 1) * (others - 1) * np.arcsin(rho / 2) + (m - 1) * np.arcsin((rho + 1) / 2)
        with np.errstate(divide="ignore", invalid="ignore"):
            variance = pairs / (2 * np.pi) * terms * (1 - ties / (n**3 - n))
            z = (wins - 0.5 - pairs / 2) / np.sqrt(variance)
            self.auc_ = wins / pairs
        p = np.where(variance > 0, special.ndtr(-z), 1.0)
        return np.where(pairs > 0, p, np.nan)


def _tie_term(ranks: Array) -> float:
    """Sum t^3 - t over the runs of t equal ranks."""
    counts = np.unique(ranks, return_counts=True)[1].astype(np.float64)
    return float((counts**3 - counts).sum())
