"""Soft assignment of rows to clusters in which batches are to be mixed, known by its counts and penalties."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise

import numpy as np

from kithkin.core.blocks import Array, Blocks, even_ranges
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution, map_blocks, map_tasks
from kithkin.kernels.harmony import assign_softly, unit_rows
from kithkin.models.harmony.ridge import ridge_offsets
from kithkin.models.table.sums import within_memory

SIGMA = 0.1  # width of the soft assignments: a squared distance of a tenth costs a factor of e
RIDGE = 0.2  # part of the expected rows of a batch in a cluster that the ridge penalty is
ABSENT = 1e-5  # part of a batch up to which it counts as absent from a cluster
PARTS = 20  # of the rows, that are assigned one after the other in a round
TILE = 4096  # rows that are assigned at a time
LARGEST = 1e18  # of a coordinate, whose square single precision holds


class PartedRows:
    """Rows of length one with their batches, shuffled into parts that are assigned one after the other.

    values: n x d float32; written over by corrected rows.
    batches: batch of each row, n int32.
    share: part of the rows that each batch has, B.
    members: rows of each part, ascending.
    codes: part * B + batch of each row, n int32.
    """

    def __init__(self, values: Array, batches: Array, n_batches: int, rng: np.random.Generator) -> None:
        n = len(values)
        self.values, self.batches = values, batches
        self.share = np.bincount(batches, minlength=n_batches) / n
        bounds = np.linspace(0, n, min(PARTS, n) + 1).astype(int)
        shuffled = rng.permutation(n).astype(np.int32)
        self.members = [np.sort(shuffled[a:b]) for a, b in pairwise(bounds)]  # in order they are read faster
        self.codes = batches.copy()
        for part, own in enumerate(self.members):
            self.codes[own] += part * n_batches

    def by_batch(self, start: int, stop: int) -> list[tuple[int, Array]]:
        """List the batches among consecutive rows, and their rows, counted from the first of all."""
        batches = self.batches[start:stop]
        order = np.argsort(batches, kind="stable")
        found, at = np.unique(batches[order], return_index=True)
        return list(zip(found.tolist(), np.split(order, at[1:]), strict=True))


def read_unit_rows(blocks: Blocks, execution: Execution) -> Array:
    """Read all rows in single precision, brought to length one; rows of zeros stay."""
    rows = np.empty(blocks.shape, np.float32)

    def read(block: Array, start: int) -> None:
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        if len(bad):
            raise ParameterError(f"X must be finite, but row {start + int(bad[0])} holds NaN or infinity")
        largest = np.abs(block).max(axis=1, keepdims=True)  # so that no square overflows
        huge = np.flatnonzero(largest > LARGEST)
        if len(huge):
            raise ParameterError(f"X must be within ±{LARGEST:g}, but row {start + int(huge[0])} is not")
        part = rows[start : start + len(block)]
        np.divide(block, np.where(largest > 0, largest, 1), out=part, casting="same_kind")
        unit_rows(part)

    for _ in map_blocks(read, blocks, execution, "harmony"):
        pass
    return rows


def exponents_of(centers: Array) -> Array:
    """Return d x K float32, whose product with rows of length one is the exponent of their unweighted assignments.

    exp(2 y.z / sigma) needs no shift: it lies within single precision.

    centers: K x d, of any length but zero.
    """
    lengths = np.linalg.norm(centers, axis=1, keepdims=True)
    return np.ascontiguousarray((2 / SIGMA * centers / np.where(lengths > 0, lengths, 1)).T, np.float32)


class Assignment:
    """Responsibilities of clusters for rows. They are not kept: centers, counts and penalties tell them.

    rows: the rows that are assigned.
    centers: K x d; brought to length one.
    theta: weight of the diversity of batches.
    """

    def __init__(self, rows: PartedRows, centers: Array, theta: float, execution: Execution) -> None:
        self.rows, self.theta, self.execution = rows, theta, execution
        self._exponents = exponents_of(centers)
        shape = len(rows.members), len(rows.share), len(centers)
        self.counts, self.penalty = np.zeros(shape), np.ones(shape, np.float32)
        self._logs = np.zeros(len(rows.members))  # of the norms, summed over the rows of each part

    @property
    def _n_clusters(self) -> int:
        return len(self._exponents.T)

    def _assign(self, values: Array, codes: Array, penalty: Array, sums: Array) -> tuple[Array, float]:
        """Assign rows of length one; return their responsibilities, and the sum of the logarithms of their norms."""
        weights = values @ self._exponents
        np.exp(weights, out=weights)
        return weights, assign_softly(weights, codes, penalty, sums)

    def start(self) -> None:
        """Assign all rows by distance alone."""

        def work(tile: tuple[int, int]) -> tuple[Array, float]:
            return self._assign_first(self.rows.values[tile[0] : tile[1]], tile[0])

        self._take(map_tasks(work, even_ranges(len(self.rows.values), TILE), self.execution))

    def _assign_first(self, values: Array, start: int) -> tuple[Array, float]:
        """Assign consecutive rows by distance alone; return counts by part and batch, and the logarithms."""
        ones = self.penalty.reshape(-1, self._n_clusters)
        counts = np.zeros(ones.shape)
        return counts, self._assign(values, self.rows.codes[start : start + len(values)], ones, counts)[1]

    def _take(self, assigned: Iterable[tuple[Array, float]]) -> None:
        counts = self.counts.reshape(-1, self._n_clusters)
        for added, logs in assigned:
            counts += added
            self._logs[0] += logs  # of any part: only the sum is of use before all have been assigned again

    def advance(self) -> None:
        """Assign the rows of each part, given those of all others."""
        counts = self.counts.sum(axis=0)
        for part, members in enumerate(self.rows.members):
            counts -= self.counts[part]
            self.penalty[part] = np.exp(-self.theta * self._crowding(counts))

            def work(tile: tuple[int, int], part: int = part, members: Array = members) -> tuple[Array, float]:
                own = members[tile[0] : tile[1]]
                added = np.zeros(self.counts.shape[1:])
                codes, penalty = self.rows.batches[own], self.penalty[part]
                return added, self._assign(self.rows.values[own], codes, penalty, added)[1]

            self.counts[part], self._logs[part] = 0, 0
            for added, logs in map_tasks(work, even_ranges(len(members), TILE), self.execution):
                self.counts[part] += added
                self._logs[part] += logs
            counts += self.counts[part]

    def _crowding(self, counts: Array) -> Array:
        """Return log((O + E + 1) / (2 E + 1)) of counts O, batches x clusters."""
        expected = self.rows.share[:, None] * counts.sum(axis=0)
        crowding: Array = np.log((counts + expected + 1) / (2 * expected + 1))
        return crowding

    def objective(self) -> float:
        """Return the objective for each row: distances, entropy, and the divergence of the batches in the clusters."""
        # log R = -distance / sigma + log penalty - log norm, so that the sums of both need no pass over the rows
        entropy = float((self.counts * np.log(self.penalty)).sum() - self._logs.sum())
        counts = self.counts.sum(axis=0)
        divergence = self.theta * float((counts * self._crowding(counts)).sum())
        return 2 + SIGMA * (entropy + divergence) / len(self.rows.values)

    def regress(self, blocks: Blocks) -> tuple[Array, Array]:
        """Regress the rows as they were given on their batch, in each cluster.

        Returns the offset of each batch, B x K x d float32, and the expected row of each cluster, K x d.
        """
        counts = self.counts.sum(axis=0)
        sums = np.zeros((*counts.shape, blocks.shape[1]))

        def work(block: Array, start: int) -> Array:
            added = np.zeros(sums.shape)
            for first, stop, weights in self._tiles(start, start + len(block)):
                for batch, own in self.rows.by_batch(first, stop):
                    added[batch] += weights[own].T @ block[first - start + own].astype(np.float32, copy=False)
            return added

        for added in map_blocks(work, blocks, within_memory(self.execution, sums.nbytes), "harmony"):
            sums += added
        present = counts > ABSENT * len(self.rows.values) * self.rows.share[:, None]
        present &= present.sum(axis=0) >= 2  # a batch that is alone has none to be mixed with
        ridge = RIDGE * self.rows.share[:, None] * counts.sum(axis=0)
        offsets, expected, known = ridge_offsets(counts, sums, ridge, present)
        return offsets.astype(np.float32), np.where(known[:, None], expected, self._exponents.T)

    def _tiles(self, start: int, stop: int) -> Iterator[tuple[int, int, Array]]:
        """Yield the responsibilities for consecutive rows, a tile at a time: first, last, rows x K float32."""
        penalty = self.penalty.reshape(-1, self._n_clusters)
        unused = np.zeros(penalty.shape)
        for a, b in even_ranges(stop - start, TILE):
            first, last = start + a, start + b
            codes = self.rows.codes[first:last]
            yield first, last, self._assign(self.rows.values[first:last], codes, penalty, unused)[0]

    def _corrected(self, block: Array, start: int, offsets: Array) -> Iterator[tuple[int, int, Array, Array]]:
        """Yield corrected rows, a tile at a time: first, last, rows, responsibilities."""
        for first, last, weights in self._tiles(start, start + len(block)):
            values = block[first - start : last - start].astype(np.float32)
            for batch, own in self.rows.by_batch(first, last):
                values[own] -= weights[own] @ offsets[batch]
            yield first, last, values, weights

    def corrected(self, blocks: Blocks, offsets: Array, centers: Array) -> Assignment:
        """Correct all rows, and assign them by distance alone to other centers (K x d)."""
        after = Assignment(self.rows, centers, self.theta, self.execution)

        def work(block: Array, start: int) -> tuple[Array, float]:
            counts, logs = np.zeros((self.counts.shape[0] * self.counts.shape[1], self._n_clusters)), 0.0
            for first, last, values, _ in self._corrected(block, start, offsets):
                unit_rows(values)
                self.rows.values[first:last] = values
                added, log = after._assign_first(values, first)
                counts += added
                logs += log
            return counts, logs

        after._take(map_blocks(work, blocks, self.execution, "harmony"))
        return after

    def finish(self, blocks: Blocks, offsets: Array) -> tuple[Array, Array]:
        """Write all rows corrected, in their own units; return size and sum of the clusters, K and K x d."""

        def work(block: Array, start: int) -> tuple[Array, Array]:
            sizes, sums = np.zeros(self._n_clusters), np.zeros((self._n_clusters, block.shape[1]))
            for first, last, values, weights in self._corrected(block, start, offsets):
                self.rows.values[first:last] = values
                sizes += weights.sum(axis=0, dtype=np.float64)
                sums += weights.T @ values
            return sizes, sums

        sizes, sums = np.zeros(self._n_clusters), np.zeros((self._n_clusters, blocks.shape[1]))
        for size, total in map_blocks(work, blocks, self.execution, "harmony"):
            sizes += size
            sums += total
        return sizes, sums
