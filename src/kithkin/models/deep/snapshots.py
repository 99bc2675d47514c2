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
    """Choose the rows of which snapshots are kept: up to 2,000, and fewer of a wide table, always the same.

    Examples
    --------
    >>> len(choose_rows(10_000, 784)), len(choose_rows(10_000, 16_384)), choose_rows(3, 5).tolist()
    (2000, 1024, [0, 1, 2])
    """
    wanted = min(n, MOST_ROWS, max(200, VALUES // max(p, 1)))
    rows: Array = np.sort(np.random.default_rng(0).choice(n, wanted, replace=False))
    return rows


def choose_epochs(wanted: int, n_epochs: int) -> Array:
    """Choose the epochs after which a snapshot is taken: evenly spaced, the first and the last among them.

    Examples
    --------
    >>> choose_epochs(4, 10).tolist(), choose_epochs(9, 3).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, max(n_epochs - 1, 0), max(wanted, 1)).round().astype(int))


class Frames:
    """Snapshots of the embedding of some rows in the course of a training.

    Attributes
    ----------
    embeddings, labels
        Embedding, rows x d, and labels, rows, of each snapshot.
    epochs, phases
        Epoch and phase of each.

    Examples
    --------
    >>> frames = Frames()
    >>> for turn in (0.0, 1.0, 2.0):
    ...     points = np.array([[-2.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    ...     turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    ...     frames.add(turned, np.array([1, 0, 0]), int(turn), "gates")
    >>> maps = frames.as_maps(np.arange(3), np.array([0, 1, 1]))
    >>> bool(np.ptp(maps["coords"], axis=0).max() < 1e-6), maps["labels"].tolist()[0], maps["epoch"].tolist()
    (True, [0, 1, 1], [0, 1, 2])
    """

    def __init__(self) -> None:
        self.embeddings: list[Array] = []
        self.labels: list[Array] = []
        self.epochs: list[int] = []
        self.phases: list[str] = []

    def add(self, embedding: Array, labels: Array, epoch: int, phase: str) -> None:
        """Keep a snapshot."""
        self.embeddings.append(np.asarray(embedding, np.float32))
        self.labels.append(np.asarray(labels, np.int32))
        self.epochs.append(epoch)
        self.phases.append(phase)

    def as_maps(self, rows: Array, final: Array) -> dict[str, Any]:
        """Return all snapshots as maps.

        Parameters
        ----------
        rows
            Positions of the rows that were kept.
        final
            Their final labels, to whose numbers those of the snapshots are matched.

        Returns
        -------
        dict
            rows; coords, snapshots x rows x 2 float32; labels, snapshots x rows int32; epoch and phase of each.
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

    Each embedding is centred and brought to a mean square of one. Going backwards from the last it is turned, in all
    its dimensions, to lie as close to the next as it can (orthogonal Procrustes); then all are looked at along the two
    leading principal components of the last. So what moves on the map has moved in the embedding, which a projection
    of each by components of its own does not grant: these swap and flip when their variances are alike.

    Parameters
    ----------
    embeddings
        Embeddings of the same rows, each rows x d.

    Returns
    -------
    ndarray
        snapshots x rows x 2, float32; with one dimension the second coordinate is zero.

    References
    ----------
    Schönemann 1966, doi:10.1007/BF02289451.

    Examples
    --------
    >>> points = np.random.default_rng(0).normal(size=(20, 3))
    >>> maps = align_maps([points[:, ::-1], 5 - 3 * points, points])
    >>> maps.shape, bool(np.allclose(maps[0], maps[2], atol=1e-5)), bool(np.allclose(maps[1], maps[2], atol=1e-5))
    ((3, 20, 2), True, True)
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

    Parameters
    ----------
    labels
        Codes of each snapshot, n.
    final
        Final codes, n.

    Returns
    -------
    ndarray
        snapshots x n, int32.

    Examples
    --------
    >>> align_labels([np.array([2, 2, 0, 0]), np.array([0, 0, 0, 1])], np.array([1, 1, 0, 0])).tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0]]
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
