"""Snapshots of an embedding while it is trained, as maps that are aligned with each other."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg
from scipy.optimize import linear_sum_assignment

from kithkin.core.blocks import Array

MOST_ROWS = 2000  # that a snapshot holds
VALUES = 2**24  # of these rows, at most


def choose_rows(n: int, p: int) -> Array:
    """Choose the rows of which snapshots are kept: up to 2,000, and fewer of a wide table, always the same."""
    wanted = min(n, MOST_ROWS, max(200, VALUES // max(p, 1)))
    rows: Array = np.sort(np.random.default_rng(0).choice(n, wanted, replace=False))
    return rows


def choose_epochs(wanted: int, n_epochs: int) -> Array:
    """Choose the epochs after which a snapshot is taken: evenly spaced, the first and the last among them."""
    return np.unique(np.linspace(0, max(n_epochs - 1, 0), max(wanted, 1)).round().astype(int))


class Frames:
    """Snapshots of the embedding of some rows in the course of a training."""

    def __init__(self) -> None:
        self.embeddings: list[Array] = []  # rows x d each
        self.labels: list[Array] = []  # one for each row
        self.epochs: list[int] = []
        self.phases: list[str] = []

    def add(self, embedding: Array, labels: Array, epoch: int, phase: str) -> None:
        """Keep a snapshot."""
        self.embeddings.append(np.asarray(embedding, np.float32))
        self.labels.append(np.asarray(labels, np.int32))
        self.epochs.append(epoch)
        self.phases.append(phase)

    def as_maps(self, rows: Array, final: Array) -> dict[str, Any]:
        """Return all snapshots as maps, with labels renumbered to match the final ones of the rows.

        The entries are rows, coords (snapshots x rows x 2 float32), labels (snapshots x rows int32), epoch and phase.
        """
        return {
            "rows": rows,
            "coords": align_maps(self.embeddings),
            "labels": align_labels(self.labels, final),
            "epoch": np.array(self.epochs),
            "phase": np.array(self.phases, dtype=object),
        }


def align_maps(embeddings: list[Array]) -> Array:
    """Project embeddings to two dimensions, rotated so that each map resembles the one after it.

    Each embedding, rows x d, is centred and brought to a mean square of one. Going backwards from the last it is
    turned, in all its dimensions, to lie as close to the next as it can (orthogonal Procrustes; Schönemann 1966,
    doi:10.1007/BF02289451); then all are looked at along the two leading principal components of the last. So what
    moves on the map has moved in the embedding, which a projection of each by components of its own does not grant:
    these swap and flip when their variances are alike. With one dimension the second coordinate is zero.
    """
    if not embeddings:
        return np.zeros((0, 0, 2), np.float32)
    standardized = []
    for H in embeddings:
        centred = np.asarray(H, np.float64) - H.mean(axis=0, dtype=np.float64)
        size = np.sqrt((centred**2).sum() / max(len(H), 1))
        standardized.append(centred / max(size, 1e-12))
    axes = linalg.eigh(standardized[-1].T @ standardized[-1])[1][:, ::-1]
    after, out = standardized[-1] @ axes, list[Array]()
    for H in reversed(standardized):
        u, _, v = linalg.svd(H.T @ after)
        after = H @ (u @ v)
        out.append(after[:, :2])
    maps = np.stack(out[::-1])
    wide = np.zeros((*maps.shape[:2], 2), np.float32)
    wide[..., : maps.shape[2]] = maps
    return wide


def align_labels(labels: list[Array], final: Array) -> Array:
    """Renumber clusters as in the end: from the last snapshot backwards, by the rows that each shares with the next.

    The result is snapshots x n int32.
    """
    out: list[Array] = []
    after = np.asarray(final)
    for codes in reversed(labels):
        K = int(max(codes.max(initial=0), after.max(initial=0))) + 1
        shared = np.zeros((K, K))
        np.add.at(shared, (codes, after), 1)
        after = linear_sum_assignment(-shared)[1][codes]
        out.append(after)
    return np.array(out[::-1], np.int32).reshape(len(out), len(final))
