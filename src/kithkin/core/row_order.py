"""Order in which rows are drawn for training: runs of rows at random, gathered in pools that are shuffled."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from kithkin.core.blocks import Array


@dataclass(frozen=True, slots=True)
class RowOrder:
    """Order of the rows of each epoch, cut into pools that are read in one go.

    The rows are cut into runs of `chunk` that follow one another. Runs are drawn without replacement, and what was
    drawn is cut into pools, whose rows are shuffled. So each row comes once in an epoch, and the order depends on these
    numbers and the epoch alone. Runs take 8 bytes each.

    Attributes
    ----------
    n_rows
        Number of rows.
    size
        Rows of a batch.
    chunk
        Rows of a run.
    pool
        Rows of a pool, a multiple of size: batches are its parts, in the order drawn.
    seed
        Seed of the order.
    shuffle
        False: rows come in their order.
    drop_last
        Whether rows that do not fill a batch are left out.

    Examples
    --------
    >>> order = RowOrder(10, size=2, chunk=3, pool=4, seed=0, shuffle=True, drop_last=False)
    >>> [pool.tolist() for pool in order.pools((0,))]
    [[8, 6, 0, 7], [2, 3, 4, 1], [5, 9]]
    """

    n_rows: int
    size: int
    chunk: int
    pool: int
    seed: int
    shuffle: bool
    drop_last: bool

    def part(self, rank: tuple[int, int] = (0, 1)) -> tuple[int, int]:
        """Return the first and last place, in the order drawn, of the rows of one rank of several.

        Ranks have as many rows as each other but for one, and as many batches if rows that fill none are left out.
        """
        own, of = rank
        first, last = self.n_rows * own // of, self.n_rows * (own + 1) // of
        return first, first + self.n_rows // of // self.size * self.size if self.drop_last else last

    def n_batches(self, rank: tuple[int, int] = (0, 1)) -> int:
        """Count the batches of an epoch."""
        first, last = self.part(rank)
        return -(-(last - first) // self.size)

    def pools(
        self, epoch: Sequence[int], worker: tuple[int, int] = (0, 1), rank: tuple[int, int] = (0, 1)
    ) -> Iterator[Array]:
        """Yield the rows of each pool in the order drawn.

        Parameters
        ----------
        epoch
            Numbers that tell the epoch.
        worker
            Own number, and the number of workers, among which pools are shared out: the pools are the same for any.
        rank
            Likewise for ranks, each of which has pools of its own.
        """
        low, high = self.part(rank)
        if self.shuffle:
            runs = np.random.default_rng([self.seed, *epoch]).permutation(-(-self.n_rows // self.chunk))
            short = self.n_rows % self.chunk or self.chunk  # rows of the last run
            behind = int(np.argmax(runs)) * self.chunk + short
        own, of = worker
        for number in range(own, -(-(high - low) // self.pool), of):
            start = low + number * self.pool
            drawn = np.arange(start, min(start + self.pool, high))
            if self.shuffle:
                drawn[drawn >= behind] += self.chunk - short
                drawn = runs[drawn // self.chunk] * self.chunk + drawn % self.chunk
                np.random.default_rng([self.seed, *epoch, rank[0], number + 1]).shuffle(drawn)
            yield drawn
