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
from kithkin.models.markers import permuted
from kithkin.models.markers.gene_slabs import Slab, slab_ranges
from kithkin.models.markers.permuted import Compared
from kithkin.models.markers.rank_tests import effect_size, log_fold_change, two_sided, welch, wilcoxon
from kithkin.models.table.significant import significant

VALUES_AT_A_TIME = 2**18  # keys of several genes that are sorted and ranked while they stay in a cache
P_BITS = 30  # of p, about nine digits
TERMS_AT_A_TIME = 2**20  # genes x groups x references that are held for as many genes


@dataclass(frozen=True)
class Plan:
    """Tests to make, by number of the group.

    other: reference of each test; None: all other cells.
    method: "wilcoxon" or "t-test".
    kind: "counts" or "values".
    """

    group: Array
    other: Array | None
    sizes: Array
    method: str
    kind: str = "counts"


def plan_tests(
    names: Array, codes: Array, reference: Any, pairs: Sequence[tuple[Any, Any]] | None, method: str, kind: str
) -> Plan:
    """Turn a reference or pairs of names into numbers of groups.

    Raises ParameterError if a name is not a group, or a group is compared with itself.

    >>> plan = plan_tests(np.array(["a", "b"]), np.array([0, 1, 1]), "a", None, "wilcoxon", "counts")
    >>> plan.group.tolist(), plan.other.tolist(), plan.sizes.tolist()
    ([1], [0], [1, 2])
    """
    sizes = np.bincount(codes[codes >= 0], minlength=len(names))
    number = {name: code for code, name in enumerate(names.tolist())}
    if pairs is None and isinstance(reference, str) and reference == "rest":
        return Plan(np.arange(len(names)), None, sizes, method, kind)
    if pairs is None:
        check_choice("reference", reference, ("rest", *number))
        pairs = [(name, reference) for name in number if name != reference]
    check(len(pairs) > 0, "pairs must name at least one pair")
    for pair in pairs:
        for name in pair:
            check_choice("a group in pairs", name, tuple(number))
        check(pair[0] != pair[1], f"pairs must compare different groups, got {pair!r}")
    chosen = np.array([[number[a], number[b]] for a, b in pairs])
    return Plan(chosen[:, 0], chosen[:, 1], sizes, method, kind)


def compare(slab: Slab, plan: Plan, execution: Execution) -> Iterator[tuple[int, dict[str, Array]]]:
    """Compute the statistics of all genes of a slab, a few at a time.

    slab: values of consecutive genes.
    Yields number of the first gene; by name, tests x genes: scores, pvals, pct, pct_rest, auc, and logfoldchanges (of
    counts) or means, means_rest, differences and effects (of values).
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
    stored, (sums, squares, cubes) = np.zeros(shape, np.int64), np.zeros((3, *shape))
    gather(values, bits, slab.members, slab.starts, first, last, codes, group_of, ends, stored, sums, squares, cubes)
    codes, group_of = codes[: ends[-1]], group_of[: ends[-1]]
    keys, zero = _sorted_keys(codes, group_of, ends)
    present = np.broadcast_to(plan.sizes, shape) if slab.missing is None else plan.sizes - slab.missing[first:last]
    zeros = present - stored
    if plan.other is None:
        twice, tied, thirds = np.empty(shape, np.int64), np.empty(last - first), np.empty(last - first)
        rank_rest(keys, ends, zero, zeros, twice, tied, thirds)
        wins, ties = (twice - present * (present + 1)).T, np.broadcast_to(tied, shape[::-1])
    else:
        references, reference = np.unique(plan.other, return_inverse=True)
        table = (*shape, len(references))
        pairs, own, joint = np.empty(table, np.int64), np.empty(shape), np.empty(table)
        rank_pairs(keys, ends, zero, zeros, references, pairs, own, joint)
        wins = pairs[:, plan.group, reference].T
        ties, thirds = (own[:, plan.group] + own[:, plan.other] + joint[:, plan.group, reference]).T, None
    n, m = (side.astype(np.float64) for side in _sides(present, present, plan))
    scores, auc = wilcoxon(wins, ties, n, m)
    group, rest = _sides(stored, stored, plan)
    zeros_group, zeros_rest, shift = n - group, m - rest, np.zeros(last - first)
    if plan.kind == "values":
        shift, sums, squares, cubes = _powers_from_first(codes, group_of, ends, values.dtype, shape)
    with np.errstate(invalid="ignore", divide="ignore"):  # a side may have one cell, or no value that is not missing
        found = {"pct": group / n, "pct_rest": rest / m, "auc": auc}
        group, rest = _sides(sums, stored, plan)
        mean, mean_rest = (group - shift * zeros_group) / n, (rest - shift * zeros_rest) / m
        group, rest = _sides(squares, stored, plan)
        spread = np.maximum((group + shift**2 * zeros_group) / n - mean**2, 0)
        spread_rest = np.maximum((rest + shift**2 * zeros_rest) / m - mean_rest**2, 0)
        sides = _compared(plan, stored, codes, group_of, ends, n, m)
        if plan.method == "t-test":
            variance, variance_rest = spread * (n / (n - 1)), spread_rest * (m / (m - 1))
            scores, pvals = welch(mean, mean_rest, variance, variance_rest, n, m)
            powers = [np.add(*_sides(one, stored, plan)) for one in (sums, squares, cubes)]
            pvals = permuted.means(pvals, sides, sums.T[plan.group], stored.T[plan.group], powers, shift)
        else:
            pvals = permuted.rank_sums(two_sided(scores), sides, wins, ties, thirds)
    found |= {"scores": scores, "pvals": significant(pvals, P_BITS)}
    if plan.kind == "counts":
        return found | {"logfoldchanges": log_fold_change(mean, mean_rest)}
    found |= {"means": shift + mean, "means_rest": shift + mean_rest, "differences": mean - mean_rest}
    return found | {"effects": effect_size(mean - mean_rest, spread, spread_rest, n, m)}


def _compared(plan: Plan, stored: Array, codes: Array, group_of: Array, ends: Array, n: Array, m: Array) -> Compared:
    """Count the cells of both sides of each test, those with a value and those with a negative one."""
    below = np.zeros_like(stored)
    negative = codes < codes.dtype.type(1) << codes.dtype.type(8 * codes.itemsize - 1)
    if negative.any():
        gene = np.repeat(np.arange(len(stored)), np.diff(ends))[negative]
        np.add.at(below, (gene, group_of[negative]), 1)
    held, negative = (np.add(*_sides(table, stored, plan)) for table in (stored, below))
    return Compared(n, m, held, negative)


def _powers_from_first(
    codes: Array, group_of: Array, ends: Array, dtype: np.dtype[np.generic], shape: tuple[int, int]
) -> tuple[Array, Array, Array, Array]:
    """Sum three powers of values less the first one of their gene, so that large ones that hardly vary stay exact.

    Returns the first value, genes; the sums of each power, genes x groups.
    """
    top, stored = codes.dtype.type(1) << codes.dtype.type(8 * codes.itemsize - 1), np.diff(ends)
    values = np.where(codes & top, codes ^ top, ~codes).view(dtype).astype(np.float64)
    first = np.zeros(len(stored))
    first[stored > 0] = values[ends[:-1][stored > 0]]
    gene = np.repeat(np.arange(len(stored)), stored)
    values, place = values - first[gene], gene * shape[1] + group_of
    with np.errstate(over="ignore"):  # the third power, without which p stays as it is
        sums, squares, cubes = (np.bincount(place, values**power, shape[0] * shape[1]) for power in (1, 2, 3))
    return first, sums.reshape(shape), squares.reshape(shape), cubes.reshape(shape)


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
