"""Markers: tests for the genes that tell one group of cells from the rest or from another."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, Self

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, as_blocks
from kithkin.core.errors import ParameterError, check, check_choice, check_range
from kithkin.core.execute import Execution
from kithkin.core.spill import Spill
from kithkin.models.estimator import Estimator
from kithkin.models.markers.comparisons import compare, plan_tests
from kithkin.models.markers.gene_slabs import CellGroups, slabs, stored_counts
from kithkin.models.markers.spilled_slabs import compare_slabs, spill_slabs
from kithkin.models.table.adjustment import adjust
from kithkin.models.table.normalize import TARGET_SUM, Normalized, known_totals

DOUBLE, SINGLE = np.dtype(np.float64), np.dtype(np.float32)
BOTH = {"scores": DOUBLE, "pvals": DOUBLE, "pct": SINGLE, "pct_rest": SINGLE, "auc": SINGLE}
CHANGES = {"counts": ("logfoldchanges",), "values": ("differences", "effects", "means", "means_rest")}


class Markers(Estimator):
    r"""Tests of every gene or column between groups of rows: Wilcoxon's rank sum with ties, or Welch's t.

    The values compared are log1p(count / (total / target_sum)), quotients and logarithms rounded to single precision,
    so that equal ones tie. Zeros are never stored: their number and their common rank follow from the others.
    Ranks are exact integers; results do not depend on blocks, slabs, threads, executor or processor, and p is rounded
    to nine digits.

    p is the larger of two: that of the normal distribution of z or of Student's of t, which is far too small for rare
    genes and small groups, and, where it is below 0.1, that of permuting the labels. The latter takes the number of
    zeros in the group as it comes, by the hypergeometric distribution, and three moments of the sum of the rest.

    Of a table of values the means are compared as they are, in the units of the table, and NaN is a missing value: each
    column is tested by the values that are there. Columns may be lower in a group as well as higher.

    Parameters
    ----------
    method
        "wilcoxon": rank sums with tie correction. "t-test": Welch's.
    kind
        "counts": fold changes, by descending score. "values": differences and Cohen's d, by descending size of the
        score; nothing is normalised.
    reference
        "rest": each group against all other cells that have a group. Or a group: each of the others against it.
    pairs
        (group, reference) pairs to compare instead, each within its own cells.
    normalize
        "log1p": the table holds counts. None: it holds log1p values already.
    target_sum
        Counts of every cell after scaling, with normalize="log1p".

    Attributes
    ----------
    groups_, references_
        Group and reference of each test; "rest" for all others.
    scores_
        z or t, tests x genes, float64; positive where the group is higher, 0 where nothing varies.
    pvals_, pvals_adj_
        Two-sided p, and adjusted over the genes of the test by Benjamini and Hochberg, tests x genes, float64.
    logfoldchanges_
        log2 of (expm1(mean) + 1e-9) / (expm1(mean of the reference) + 1e-9), tests x genes, float32; of counts.
    means_, means_rest_, differences_
        Mean in the group and in the reference, and the first less the second, tests x columns, float32; of values.
    effects_
        Difference over the pooled standard deviation (Cohen's d), tests x columns, float32; of values.
    pct_, pct_rest_
        Fraction of the cells of the group, and of the reference, whose value is not zero, 0..1, tests x genes, float32.
    auc_
        Probability that a cell of the group is above one of the reference, ties as one half, tests x genes, float32.
        With the means NaN where one of the two has no value.

    References
    ----------
    Mann, Whitney (1947), Annals of Mathematical Statistics 18:50, doi:10.1214/aoms/1177730491.
    Mielke, Berry (2007), Permutation Methods, doi:10.1007/978-0-387-69813-7.
    Soneson, Robinson (2018) compare such tests on single cells, Nature Methods 15:255, doi:10.1038/nmeth.4612.

    Examples
    --------
    >>> counts = np.array([[9, 1], [8, 2], [7, 3], [1, 9], [2, 8], [3, 7]])
    >>> model = Markers().fit(counts, ["a", "a", "a", "b", "b", "b"])
    >>> model.auc_.tolist(), model.top(1).tolist()
    ([[1.0, 0.0], [0.0, 1.0]], [[0], [1]])
    >>> table = np.array([[1.0, 5.0], [3.0, np.nan], [2.0, 9.0], [4.0, 7.0]])
    >>> model = Markers(kind="values").fit(table, [0, 0, 1, 1])
    >>> model.differences_[0].tolist(), model.effects_[0].round(3).astype(str).tolist()
    ([-1.0, -3.0], ['-0.707', '-2.121'])
    """

    groups_: Array
    references_: Array
    scores_: Array
    pvals_: Array
    pvals_adj_: Array
    logfoldchanges_: Array
    means_: Array
    means_rest_: Array
    differences_: Array
    effects_: Array
    pct_: Array
    pct_rest_: Array
    auc_: Array

    def __init__(
        self,
        method: str = "wilcoxon",
        *,
        kind: str = "counts",
        reference: Any = "rest",
        pairs: Sequence[tuple[Any, Any]] | None = None,
        normalize: str | None = "log1p",
        target_sum: float = TARGET_SUM,
    ) -> None:
        self.method, self.kind, self.reference, self.pairs = method, kind, reference, pairs
        self.normalize, self.target_sum = normalize, target_sum

    def fit(
        self,
        X: Any,
        labels: Any,
        *,
        totals: Array | None = None,
        n_cells: Array | None = None,
        spill: Spill | None = None,
        execution: Execution | None = None,
    ) -> Self:
        """Test every gene.

        Parameters
        ----------
        X
            Cells x genes, or rows x columns: array, sparse matrix or row blocks.
        labels
            Group of each cell, n, integers or text. Cells with a negative, empty (None) or NaN label are not used.
            A group of one cell is tested by ranks; its t-test gives score 0 and p 1.
        totals
            Counts of each cell over all genes, n; from a pass over the table when None.
        n_cells
            Cells in which each gene is not zero, p, from which slabs are planned; from a pass when None.
        spill
            Where values are put aside by gene if they do not fit the budget, or for an executor. Without it, or without
            room there, X is read once for each slab of genes, and ranked in this process.
        execution
            Threads, executor, and the budget: a slab of genes is as large as it allows.

        Raises
        ------
        ParameterError
            If a setting is not possible, labels do not fit the table, there are fewer than two groups, or X holds
            negative counts, infinity, or (counts) NaN.
        """
        check_choice("method", self.method, ("wilcoxon", "t-test"))
        check_choice("kind", self.kind, tuple(CHANGES))
        check_choice("normalize", self.normalize, ("log1p", None))
        check_range("target_sum", self.target_sum, 1e-6, 1e12)
        blocks, execution = as_blocks(X), Execution() if execution is None else execution
        names, codes = encode(labels, blocks.shape[0])
        plan = plan_tests(names, codes, self.reference, self.pairs, self.method, self.kind)
        normalize = self.normalize if self.kind == "counts" else None
        known = None if normalize is None else known_totals(blocks, totals, execution)
        source = Normalized(blocks, normalize, totals=known, target_sum=self.target_sum)
        cells = CellGroups(codes, source.divisors, len(names), self.kind == "values")
        counts = stored_counts(blocks, cells, execution) if n_cells is None else np.asarray(n_cells)
        check(counts.shape == (blocks.shape[1],), f"n_cells must hold {blocks.shape[1]} numbers, one for each gene")
        dtypes = BOTH | dict.fromkeys(CHANGES[self.kind], SINGLE)
        results = {name: np.empty((len(plan.group), blocks.shape[1]), dtype) for name, dtype in dtypes.items()}
        if spilled := spill_slabs(blocks, cells, counts, spill, execution):
            parts = compare_slabs(spilled, plan, execution)
        else:
            parts = chain.from_iterable(
                compare(slab, plan, execution) for slab in slabs(blocks, cells, counts, execution)
            )
        for first, part in parts:
            for name, values in part.items():
                results[name][:, first : first + values.shape[1]] = values
        results["pvals_adj"] = adjust(results["pvals"])
        for name, values in results.items():
            setattr(self, f"{name}_", values)
        self.groups_ = names[plan.group]
        self.references_ = np.array(["rest"] * len(plan.group)) if plan.other is None else names[plan.other]
        return self

    def table(self, group: Any, names: Sequence[str] | None = None) -> pd.DataFrame:
        """Return one test as a table: genes by descending score, columns of values by its size.

        Parameters
        ----------
        group
            A group; with pairs, (group, reference).
        names
            Names of the genes, p; their numbers when None.

        Returns
        -------
        DataFrame
            Index gene; columns scores, logfoldchanges, pvals, pvals_adj, pct, pct_rest, auc. Of values: index column;
            scores, differences, effects, means, means_rest, pvals, pvals_adj, auc.

        Raises
        ------
        ParameterError
            If there is no such test.

        Examples
        --------
        >>> model = Markers(normalize=None).fit(np.arange(8).reshape(4, 2) % 5, [0, 0, 1, 1])
        >>> model.table(0, names=["x", "y"])["auc"].tolist()
        [0.75, 0.25]
        """
        hit = self.groups_ == (group[0] if isinstance(group, tuple) else group)
        if isinstance(group, tuple):
            hit = hit & (self.references_ == group[1])
        if np.sum(hit) != 1:
            tests = [
                str(g) if self.pairs is None else f"({g}, {r})"
                for g, r in zip(self.groups_, self.references_, strict=True)
            ]
            raise ParameterError(f"group must be one of {', '.join(tests)}, got {group!r}")
        row = int(np.argmax(hit))
        order = self.top(self.scores_.shape[1])[row]
        counts = self.kind == "counts"
        index = pd.Index(order if names is None else np.asarray(names)[order], name="gene" if counts else "column")
        shares = ("pct", "pct_rest") if counts else ()
        columns = ("scores", *CHANGES[self.kind], "pvals", "pvals_adj", *shares, "auc")
        return pd.DataFrame({name: getattr(self, f"{name}_")[row, order] for name in columns}, index=index)

    def top(self, n: int) -> Array:
        """Return the positions of the n genes with the highest scores of each test, tests x n; ties in their order.

        Of a table of values those with the largest scores of either sign.
        """
        scores = self.scores_ if self.kind == "counts" else np.abs(self.scores_)
        order: Array = np.argsort(-scores, axis=1, kind="stable")[:, :n]
        return order


def encode(labels: Any, n_rows: int) -> tuple[Array, Array]:
    """Return the names of the groups, ascending, and the number of each cell's group, -1 where it has none.

    Raises ParameterError if there is not one label per row, labels are neither integers nor text, or there are fewer
        than two groups.
    """
    try:
        array = np.asarray(labels)
    except ValueError as error:
        raise ParameterError(f"labels must be {n_rows}, one for each row") from error
    check(array.shape == (n_rows,), f"labels must be {n_rows}, one for each row, got {len(array.reshape(-1))}")
    check(array.dtype.kind in "iubOUT", f"labels must be integers or text, got {array.dtype}")
    used = array >= 0 if array.dtype.kind in "iu" else ~np.asarray(pd.isna(array))
    names, inverse = np.unique(array[used] if array.dtype.kind != "O" else array[used].astype(str), return_inverse=True)
    check(2 <= len(names) < 2**15, f"labels must name 2..{2**15 - 1} groups, got {len(names)}")
    codes = np.full(n_rows, -1, np.int16)
    codes[used] = inverse
    return names, codes
