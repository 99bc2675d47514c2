"""Folds of rows, samples of rows and halves of columns, drawn by a hash: the same on every machine and block size."""

from __future__ import annotations

import numpy as np

from kithkin.core.blocks import Array

ROWS, COLUMNS, SAMPLE = 1, 2, 3  # streams of one seed


def hashed(numbers: Array, seed: int, stream: int) -> Array:
    """Hash each number with a seed to 64 random bits, by the finaliser of SplitMix64.

    Source: Steele, Lea and Flood (2014), doi:10.1145/2660193.2660195.

    >>> bits = hashed(np.arange(10_000), 0, ROWS)
    >>> len(np.unique(bits)), bool(abs((bits >> np.uint64(63)).mean() - 0.5) < 0.02)
    (10000, True)
    """
    state = np.uint64((seed * 0x9E3779B97F4A7C15 + stream * 0xD1B54A32D192ED03) % 2**64)
    with np.errstate(over="ignore"):
        x = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + state
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
    mixed: Array = x ^ (x >> np.uint64(31))
    return mixed


def quarters_of(n_rows: int, seed: int) -> Array:
    """Assign each row to one of four quarters, n int64; two make a fold."""
    return (hashed(np.arange(n_rows), seed, ROWS) >> np.uint64(62)).astype(np.int64)


def sampled(n_rows: int, most: int, seed: int) -> Array:
    """Mark so many rows, chosen at random, or all if there are fewer; n bool.

    >>> int(sampled(1000, 100, 0).sum()), int(sampled(50, 100, 0).sum())
    (100, 50)
    """
    chosen = np.ones(n_rows, bool)
    if n_rows > most:
        bits = hashed(np.arange(n_rows), seed, SAMPLE)
        chosen[np.argpartition(bits, most)[most:]] = False
    return chosen


def halves_of(totals: Array, seed: int) -> Array:
    """Assign each column to one of two halves; of two columns that follow each other in size, one goes to each.

    totals: sum of each column. Returns p int8, 0 or 1; -1 for columns of zeros, which belong to neither.

    >>> totals = np.array([5, 0, 100, 4, 90, 1, 2])
    >>> halves = halves_of(totals, 0)
    >>> sorted(halves[[2, 4]].tolist()), int(halves[1])
    ([0, 1], -1)
    """
    halves = np.full(len(totals), -1, np.int8)
    order = np.argsort(-totals, kind="stable")[: np.count_nonzero(totals)]
    place = np.arange(len(order))
    coin = (hashed(place // 2, seed, COLUMNS) >> np.uint64(63)).astype(np.int64)
    halves[order] = (place + coin) % 2
    return halves
