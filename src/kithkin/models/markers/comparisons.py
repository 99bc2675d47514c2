"""Statistics of comparisons of groups of cells, from the stored values of a few genes of a slab at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import check, check_choice
from kithkin.core.execute import Execution, map_tasks
from kithkin.kernels.ranks import MEMBER_BITS, gather, rank_pairs, rank_rest
from kithkin.models.markers.gene_slabs import Slab, slab_ranges
from kithkin.models.markers.rank_tests import log_fold_change, two_sided, welch, wilcoxon

VALUES_AT_A_TIME = 2**18  # keys of several genes that are sorted and ranked while they stay in a cache
TERMS_AT_A_TIME = 2**20  # genes x groups x references that are held for as many genes


@dataclass(frozen=True)
class Plan:
    """Tests to make, by number of the group.

    other: reference of each test; None: all other cells.
    method: "wilcoxon" or "t-test".
    """

    group: Array
    other: Array | None
    sizes: Array
    method: str

    @property
    def cells(self) -> tuple[Array, Array]:
        """Number of cells in the group and in the reference, tests x 1."""
        n = self.sizes[self.group].astype(np.float64)[:, None]
        m = self.sizes.sum() - n[:, 0] if self.other is None else self.sizes[self.other]
        return n, m.astype(np.float64)[:, None]


def plan_tests(
    names: Array, codes: Array, reference: Any, pairs: Sequence[tuple[Any, Any]] | None, method: str
) -> Plan:
    """Turn a reference or pairs of names into numbers of groups.

    Raises ParameterError if a name is not a group, or a group is compared with itself.

    >>> plan = plan_tests(np.array(["a", "b"]), np.array([0, 1, 1]), "a", None, "wilcoxon")
    >>> plan.group.tolist(), plan.other.tolist(), plan.sizes.tolist()
    ([1], [0], [1, 2])
    """
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    number = {name: code for code, name in enumerate(names.tolist())}
    if pairs is None and isinstance(reference, str) and reference == "rest":
        return Plan(np.arange(len(names)), None, sizes, method)
    if pairs is None:
        check_choice("reference", reference, ("rest", *number))
        pairs = [(name, reference) for name in number if name != reference]
    check(len(pairs) > 0, "pairs must name at least one pair")
    for pair in pairs:
        for name in pair:
            check_choice("a group in pairs", name, tuple(number))
        check(pair[0] != pair[1], f"pairs must compare different groups, got {pair!r}")
    chosen = np.array([[number[a], number[b]] for a, b in pairs])
    return Plan(chosen[:, 0], chosen[:, 1], sizes, method)


def compare(slab: Slab, plan: Plan, execution: Execution) -> Iterator[tuple[int, dict[str, Array]]]:
    """Compute the statistics of all genes of a slab, a few at a time.

    slab: values of consecutive genes.
    Yields number of the first gene; scores, pvals, logfoldchanges, pct, pct_rest and auc by name, tests x genes.
    """
    references = 1 if plan.other is None else len(np.unique(plan.other))
    most = max(1, TERMS_AT_A_TIME // (len(plan.sizes) * references))
    ranges = [
        (first, min(first + most, stop))
        for start, stop in slab_ranges(slab.counts, VALUES_AT_A_TIME)
        for first in range(start, stop, most)
    ]
    results = map_tasks(partial(compare_genes, slab=slab, plan=plan), ranges, execution)
    for (first, _), part in zip(ranges, results, strict=True):
        yield slab.first + first, part


def compare_genes(genes: tuple[int, int], slab: Slab, plan: Plan) -> dict[str, Array]:
    """Test a range of genes of a slab."""
    (first, last), values = genes, slab.values
    capacity, shape = int(slab.counts[first:last].sum()), (last - first, len(plan.sizes))
    bits = values.view(np.dtype(f"u{values.itemsize}"))
    codes, group_of = np.empty(capacity, bits.dtype), np.empty(capacity, np.uint16)
    ends = np.empty(last - first + 1, np.int64)
    stored, sums, squares = np.zeros(shape, np.int64), np.zeros(shape), np.zeros(shape)
    gather(values, bits, slab.members, slab.starts, first, last, codes, group_of, ends, stored, sums, squares)
    keys, zero = _sorted_keys(codes[: ends[-1]], group_of[: ends[-1]], ends)
    zeros = plan.sizes - stored
    if plan.other is None:
        twice, tied = np.empty(shape, np.int64), np.empty(last - first)
        rank_rest(keys, ends, zero, zeros, twice, tied)
        wins, ties = (twice - plan.sizes * (plan.sizes + 1)).T, np.broadcast_to(tied, shape[::-1])
    else:
        references, reference = np.unique(plan.other, return_inverse=True)
        table = (*shape, len(references))
        pairs, own, joint = np.empty(table, np.int64), np.empty(shape), np.empty(table)
        rank_pairs(keys, ends, zero, zeros, references, pairs, own, joint)
        wins = pairs[:, plan.group, reference].T
        ties = (own[:, plan.group] + own[:, plan.other] + joint[:, plan.group, reference]).T
    n, m = plan.cells
    group, rest = _sides(stored, stored, plan)
    pct, pct_rest = group / n, rest / m
    group, rest = _sides(sums, stored, plan)
    mean, mean_rest = group / n, rest / m
    scores, auc = wilcoxon(wins, ties, n, m)
    if plan.method == "t-test":
        group, rest = _sides(squares, stored, plan)
        with np.errstate(invalid="ignore", divide="ignore"):
            variance = np.maximum(group / n - mean**2, 0) * (n / (n - 1))
            variance_rest = np.maximum(rest / m - mean_rest**2, 0) * (m / (m - 1))
        scores, pvals = welch(mean, mean_rest, variance, variance_rest, n, m)
    else:
        pvals = two_sided(scores)
    folds = log_fold_change(mean, mean_rest)
    return {"scores": scores, "pvals": pvals, "logfoldchanges": folds, "pct": pct, "pct_rest": pct_rest, "auc": auc}


def _sorted_keys(codes: Array, group_of: Array, ends: Array) -> tuple[Array, Array]:
    """Sort (value << 16) | group within each gene; also return the place of zero among the values."""
    shift, top = np.uint64(MEMBER_BITS), np.uint64(1) << np.uint64(8 * codes.itemsize - 1)
    zero = np.full(len(ends) - 1, top)
    bounds = list(zip(ends[:-1].tolist(), ends[1:].tolist(), strict=True))
    if codes.itemsize == 4:
        keys = (codes.astype(np.uint64) << shift) | group_of
        for start, stop in bounds:
            keys[start:stop].sort()
        return keys, zero
    keys = np.empty(len(codes), np.uint64)  # 64 bits leave no room for the group: values become their dense rank
    for gene, (start, stop) in enumerate(bounds):
        distinct, dense = np.unique(np.append(codes[start:stop], top), return_inverse=True)
        keys[start:stop] = (dense[:-1].astype(np.uint64) << shift) | group_of[start:stop]
        keys[start:stop].sort()
        zero[gene] = np.searchsorted(distinct, top)
    return keys, zero


def _sides(sums: Array, stored: Array, plan: Plan) -> tuple[Array, Array]:
    """Return sums over the group and over its reference, tests x genes; exactly 0 where nothing is stored."""
    group = sums[:, plan.group]
    if plan.other is not None:
        return group.T, sums[:, plan.other].T
    rest = sums.sum(axis=1, keepdims=True) - group
    nothing = stored.sum(axis=1, keepdims=True) == stored[:, plan.group]
    return group.T, np.where(nothing, 0, rest).T
