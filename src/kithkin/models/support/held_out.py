"""Markers of groups by counts that did not place the cells: each half of the genes is tested where the other calls."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.execute import Execution, map_blocks
from kithkin.kernels.half_scores import add_called
from kithkin.models.support.calls import Drawn, learn, score_block
from kithkin.models.support.gene_tests import Sums, likelihood_ratio_tests
from kithkin.models.support.taught import teach
from kithkin.models.table.adjustment import adjust
from kithkin.models.table.sums import BlockRun, reduce_blocks, within_memory


def held_out_pvals(
    X: Any, groups: Any, *, n_sample: int = 20_000, seed: int = 0, execution: Execution | None = None
) -> Array:
    """Test the genes of each group against the rest, where the half of the genes that they are not in calls the group.

    X: n x p counts. groups: n integers from 0, without gaps; negative: left out.
    Returns k x p float64: p of a likelihood ratio of negative binomials with depth as offset, adjusted over the genes
    of the group by Benjamini and Hochberg; 1 where a gene has too few counts, or no cell calls the group.

    >>> rng = np.random.default_rng(0)
    >>> means = np.full((2, 60), 2.0)
    >>> means[1, :20] = 6.0
    >>> truth = np.repeat([0, 1], 200)
    >>> p = held_out_pvals(rng.poisson(means[truth]), truth)
    >>> int((p[1, :20] < 0.01).sum()), bool(p.shape == (2, 60))
    (20, True)
    """
    execution = Execution() if execution is None else execution
    taught = teach(X, groups, n_sample, seed, execution)
    drawn, (k, p) = taught.drawn, taught.given.shape
    profiles = learn(taught.sums, taught.sizes, np.zeros((0, 2, k), bool), drawn.halves)
    score = partial(score_block, drawn=drawn, profiles=profiles)
    parts = list(map_blocks(score, taught.blocks, execution, "held-out markers"))
    depths, calls = (np.concatenate([part[place] for part in parts]) for place in range(2))
    called = calls[:, ::-1].astype(np.int64)  # of the columns of a half: what the other half calls
    work = partial(sum_groups, drawn=drawn, called=called, k=k)
    sums = reduce_blocks(work, taught.blocks, within_memory(execution, 2 * 8 * k * p), "held-out markers")
    tables = [np.zeros((k, p)), np.zeros((k, p))]
    for half in range(2):
        for power, table in zip((1, 2), tables, strict=True):
            table[:, drawn.halves == half] = np.bincount(called[:, half], depths[:, half] ** power, k)[:, None]
    counts, pairs, depth, squares = (np.stack([one, one.sum(axis=0) - one], axis=1) for one in (*sums, *tables))
    pvals, _ = likelihood_ratio_tests(Sums(counts, pairs, depth, squares, np.full(k, len(depths))))
    return np.nan_to_num(adjust(pvals), copy=False, nan=1.0)


def sum_groups(run: BlockRun, first: int, drawn: Drawn, called: Array, k: int) -> tuple[Array, Array]:
    """Sum values x, and x (x - 1), of the sampled rows of a run of blocks by the group that the other half calls."""
    sums, pairs = np.zeros((k, len(drawn.halves))), np.zeros((k, len(drawn.halves)))
    before = int(np.count_nonzero(drawn.chosen[:first]))
    for start, block in run:
        part, rows = drawn.rows(block, start)
        own = called[before : before + len(rows)]
        x = part.data.astype(np.float64)
        add_called(x, part.indices, part.indptr, drawn.halves, own, sums)
        add_called(x * (x - 1), part.indices, part.indptr, drawn.halves, own, pairs)
        before += len(rows)
    return sums, pairs
