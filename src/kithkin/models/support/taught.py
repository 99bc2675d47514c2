"""Rows of a table that are called by profiles that other rows taught, without the labels that these were given."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Blocks, as_blocks
from kithkin.core.errors import check
from kithkin.core.execute import Execution
from kithkin.models.support.calls import QUARTERS, Drawn, gathered, quarter_weights, sum_calls, sum_labels
from kithkin.models.support.group_tree import numbered
from kithkin.models.support.halves import halves_of, quarters_of, sampled
from kithkin.models.table.sums import reduce_blocks, within_memory

EXACT = 2.0**53  # up to which floating-point numbers count
ROUNDS = 2  # of calling the groups, after which little is left of what the given ones knew of the cell itself


@dataclass(frozen=True)
class Taught:
    """Sample of the rows, and sums of the groups that its rows call.

    blocks, drawn: the sample, and its divisions.
    codes: n: group of each row of the table, numbered without gaps, or -1. rows: n bool: the sample.
    given: k x p sums by the groups as they were given. sums, sizes: as of `sum_calls`.
    """

    blocks: Blocks
    drawn: Drawn
    codes: Array
    rows: Array
    given: Array
    sums: Array
    sizes: Array

    @property
    def totals(self) -> Array:
        """Sum of each column over the sample."""
        return np.asarray(self.given.sum(axis=0))


def teach(X: Any, groups: Any, n_sample: int, seed: int, execution: Execution) -> Taught:
    """Draw the sample, and let its rows call the groups, a few times.

    Raises ParameterError if there is not one group for each row, no row is in a group, or X does not hold counts.
    """
    blocks = as_blocks(X)
    n, p = blocks.shape
    check(blocks.dtype.kind != "b", "support needs counts, but X holds booleans")
    codes, k = numbered(groups, n)
    rows = sampled(n, n_sample, seed) & (codes >= 0)
    blocks, drawn = gathered(blocks, Drawn(rows, quarters_of(n, seed), np.zeros(p, np.int8)), execution)
    own = codes[rows] if len(drawn.chosen) < n else codes
    table = within_memory(execution, 8 * QUARTERS * k * p)
    work = partial(sum_labels, drawn=drawn, codes=own, k=k)
    sums, sizes = reduce_blocks(work, blocks, table, "support: sums")
    largest = float(np.abs(sums).max(initial=0))  # NaN where there is one
    check(largest < EXACT, "support needs counts, but X holds infinite, missing or huge values")
    by_group = sums.reshape(QUARTERS, k, -1).sum(axis=0)
    drawn = replace(drawn, halves=halves_of(by_group.sum(axis=0), seed))
    for number in range(ROUNDS):
        weights, prior = quarter_weights(sums, sizes, drawn.halves)
        again = partial(sum_calls, drawn=drawn, weights=weights, prior=prior)
        sums, sizes = reduce_blocks(again, blocks, table, f"support: round {number + 1}")
    return Taught(blocks, drawn, codes, rows, by_group, sums, sizes)
