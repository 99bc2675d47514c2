"""Support of the splits of a partition, by counts that did not call the side."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any, Self

import numpy as np

from kithkin.core.blocks import Array, Blocks
from kithkin.core.errors import check_range
from kithkin.core.execute import Execution, map_blocks
from kithkin.models.estimator import Estimator
from kithkin.models.support.agreement import Halves, agreement_accuracy, agreement_test, label_accuracy
from kithkin.models.support.calls import (
    Drawn,
    Profiles,
    learn,
    score_block,
)
from kithkin.models.support.gene_tests import FEWEST, likelihood_ratio_tests, side_sums
from kithkin.models.support.group_tree import SIGNIFICANT, closed, join, links_between, members_of
from kithkin.models.support.halves import sampled
from kithkin.models.support.taught import teach
from kithkin.models.table.adjustment import adjust

WEAK = 0.9  # accuracy of one half below which the sides of a split are weakly told apart
DIFFERENT = 0.05  # adjusted p of a gene
N_NAMED = 5
MOST_FOR_GENES = 4000  # cells of a split in which genes are tested, so that numbers of genes can be compared


class Support(Estimator):
    r"""Splits between groups of cells that held-out counts support, and the partition that is left without the others.

    Groups that were found in the counts differ in these counts, also where there is one kind of cells only. This test
    does not ask the groups. The genes are divided into two halves at random, the cells into two folds. The tree above
    the groups has a split :math:`A | B` at each node. Each half h of the genes of each cell i is called by itself, with
    the profiles p of the groups that the other fold of cells taught:

    .. math:: S_{ih} = \sum_{g \in h} x_{ig} \log (p_{Ag} / p_{Bg}).

    Cells that both halves call into a group of :math:`A \cup B` take part. If all of them are of one kind, whose genes
    vary independently around their means times the depth of the cell, then the two scores are independent given the
    depth, and each is, up to noise, a constant times it, whatever the noise of each gene: no dispersion has to be
    known. The correlation of what is left of the two is tested one-sidedly by Student's t. Where a side has several
    groups, the largest of both sides are tested in the same way, since kinds within a side may hide what is between the
    sides, and p is twice the smaller one. The profiles come from calls of the groups that the other half made of other
    cells, twice over, since the given groups know something of each cell through the components that all cells shaped.

    The p of all splits are adjusted by the number of splits (Bonferroni), so that at 0.01 one data set of one kind in a
    hundred has any supported split. A node is closed, and its groups are one group in `labels_`, where neither its
    split nor one below it is supported.

    `accuracy_` is the smaller of two balanced accuracies of one half of the genes: of calling what the other half
    calls, and of calling the group that the cell was given. It tells an obvious split from one that is significant
    because there are many cells.

    Genes are tested between the sides that the half of genes that they are not in calls, by a likelihood ratio of
    negative binomials with the depth of their own half as offset.

    It can not say why cells differ: dying cells, batches, doublets and the cell cycle are differences. Genes that vary
    together within a kind, such as those of one program, make it look like two; a gradient is supported as well as a
    gap. Groups that differ in one or two genes only are not supported.

    Parameters
    ----------
    n_sample
        Cells, drawn from all without regard to groups, that are scored; the profiles come from all cells.
    seed
        Seed of the halves, the folds and the sample.

    Attributes
    ----------
    children_
        int64 (k - 1) x 2: the two that each node joins, groups from 0 or k + an earlier node.
    pvals_, pvals_adj_
        p of each split, k - 1, and adjusted.
    accuracy_
        Balanced accuracy of one half, 0.5..1.
    n_cells_
        Cells that took part.
    n_genes_
        Genes that differ (Benjamini and Hochberg, 0.05).
    effects_
        Median of their absolute log2 fold changes; NaN without such genes.
    genes_
        For each split the five columns with the least p, of those that differ.
    supported_
        bool k - 1.
    labels_
        int32 n: groups that are left, numbered by the first group in each; -1 where a cell has no group.

    References
    ----------
    Neufeld, Gao, Popp, Battle and Witten 2022, doi:10.1093/biostatistics/kxac047 (two halves of the data of each cell).
    Grabski, Street and Irizarry 2023, doi:10.1038/s41592-023-01933-9 (tests down a tree of clusters).

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> means = rng.gamma(1.0, 2.0, (2, 200))
    >>> kinds = np.repeat([0, 1], 100)
    >>> groups = kinds + 2 * (np.arange(200) % 2)  # each kind cut in two
    >>> model = Support().fit(rng.poisson(means[kinds]), groups)
    >>> model.labels_[[0, 1, 100, 101]].tolist(), model.supported_.tolist()
    ([0, 0, 1, 1], [False, False, True])
    """

    children_: Array
    pvals_: Array
    pvals_adj_: Array
    accuracy_: Array
    n_cells_: Array
    n_genes_: Array
    effects_: Array
    genes_: list[Array]
    supported_: Array
    labels_: Array

    def __init__(self, *, n_sample: int = 20_000, seed: int = 0) -> None:
        self.n_sample, self.seed = n_sample, seed

    def fit(self, X: Any, groups: Any, graph: Any = None, execution: Execution | None = None) -> Self:
        """Test the splits of the tree above groups.

        Parameters
        ----------
        X
            n x p counts: array, SciPy sparse matrix or row blocks.
        groups
            Group of each row: n integers from 0; a row of a negative group is left out.
        graph
            n x n symmetric weights, by whose links groups are joined to a tree, as `plot.cluster_tree` does.
            Without it they are joined by their profiles (Ward's method on square roots of shares).
        execution
            Memory and threads.

        Raises
        ------
        ParameterError
            If there is not one group for each row, no row is in a group, or X does not hold counts.
        """
        execution = Execution() if execution is None else execution
        check_range("n_sample", self.n_sample, 100, 10**9)
        taught = teach(X, groups, self.n_sample, self.seed, execution)
        blocks, drawn, codes, k = taught.blocks, taught.drawn, taught.codes, len(taught.given)
        shares = np.sqrt(taught.given / np.maximum(taught.given.sum(axis=1, keepdims=True), 1))
        self.children_ = join(shares, codes, None if graph is None else links_between(graph, codes, execution))
        members = members_of(self.children_, k)
        profiles = learn(taught.sums, taught.sizes, members, drawn.halves)
        score = partial(score_block, drawn=drawn, profiles=profiles)
        parts = zip(*map_blocks(score, blocks, execution, "support: scores"), strict=True)
        depths, calls, scores, pairs = (np.concatenate(part) for part in parts)
        scored = Halves(depths, calls, scores, pairs, drawn.quarters[drawn.chosen] // 2, codes[taught.rows])
        self.pvals_, self.accuracy_, self.n_cells_ = split_tests(scored, members, profiles)
        self.pvals_adj_ = np.minimum(self.pvals_ * len(members), 1.0)
        self.supported_ = self.pvals_adj_ <= SIGNIFICANT
        tested = np.where((drawn.halves >= 0) & (taught.totals >= FEWEST), taught.totals, 0)
        scores = scored.scores + profiles.side_prior[scored.folds, None]
        some = [thinned(scored.inside(left | right), self.seed) for left, right in members]
        called, inside = replace(scored, scores=scores), np.array(some, bool).reshape(len(members), len(depths)).T
        self.n_genes_, self.effects_, self.genes_ = genes_of_splits(blocks, drawn, tested, called, inside, execution)
        self.labels_ = closed(self.children_, self.supported_, k)[codes]
        self.labels_[codes < 0] = -1
        return self


def split_tests(scored: Halves, members: Array, profiles: Profiles) -> tuple[Array, Array, Array]:
    """Return p, accuracy and number of cells of each split."""
    m = len(members)
    p, accuracy, n_cells = np.ones(m), np.full(m, 0.5), np.zeros(m, np.int64)
    for split, (left, right) in enumerate(members):
        inside = scored.inside(left | right)
        n_cells[split] = inside.sum()
        if inside.any():
            p[split] = agreement_test(scored.scores[inside, :, split], scored.depths[inside], scored.folds[inside])
            sides = scored.scores[inside, :, split] + profiles.side_prior[scored.folds[inside], split, None] > 0
            own = (left | right)[scored.groups]
            given = label_accuracy(scored.scores[own, :, split], left[scored.groups[own]])
            accuracy[split] = max(0.5, min(agreement_accuracy(sides), given))
        if left.sum() + right.sum() > 2:
            pair = np.zeros(len(left), bool)
            pair[profiles.largest[split]] = True
            two = scored.inside(pair)
            if two.any():
                other = agreement_test(scored.pairs[two, :, split], scored.depths[two], scored.folds[two])
                p[split] = min(p[split], other)
            p[split] = min(1.0, 2 * p[split])
    return p, accuracy, n_cells


def thinned(inside: Array, seed: int) -> Array:
    """Keep at most so many of the marked rows, chosen at random."""
    rows = np.flatnonzero(inside)
    kept = np.zeros(len(inside), bool)
    kept[rows[sampled(len(rows), MOST_FOR_GENES, seed)]] = True
    return kept


def genes_of_splits(
    blocks: Blocks, drawn: Drawn, tested: Array, called: Halves, inside: Array, execution: Execution
) -> tuple[Array, Array, list[Array]]:
    """Return for each split the number of genes that differ, their median effect and the first of them.

    tested: p, not zero for the columns to test. called: scores that tell the side. inside: r x m rows of the splits.
    """
    m, genes = inside.shape[1], np.flatnonzero(tested)
    place = np.where(tested > 0, np.cumsum(tested > 0) - 1, -1)
    n_genes, effects, first_genes = np.zeros(m, np.int64), np.full(m, np.nan), [np.zeros(0, np.int64)] * m
    # so many splits at a time that their sums, of which a few are held at once, take a part of the budget
    step = max(1, int(execution.memory / 8 / max(1, 2 * 2 * 8 * len(genes))))
    for first in range(0, m, step):
        part = replace(called, scores=called.scores[:, :, first : first + step])
        sums = side_sums(blocks, drawn, place, part, inside[:, first : first + step], execution)
        p, change = likelihood_ratio_tests(sums)
        for row, adjusted in enumerate(adjust(p)):
            found = np.flatnonzero(adjusted <= DIFFERENT)
            n_genes[first + row] = len(found)
            if len(found):
                effects[first + row] = np.median(np.abs(change[row, found]))
                best = np.lexsort((-np.abs(change[row, found]), p[row, found]))[:N_NAMED]
                first_genes[first + row] = genes[found[best]]
    return n_genes, effects, first_genes
