"""Snapshots of an embedding while it is trained, as maps that follow each other without turning."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import linalg

from kithkin.core.blocks import Array

MOST_ROWS = 2000  # that are shown
VALUES = 2**24  # of their scaled rows, at most


def rows_shown(n: int, p: int) -> Array:
    """Rows of which snapshots are kept: up to 2,000, and fewer of a wide table, always the same.

    Examples
    --------
    >>> len(rows_shown(10_000, 784)), len(rows_shown(10_000, 16_384)), rows_shown(3, 5).tolist()
    (2000, 1024, [0, 1, 2])
    """
    wanted = min(n, MOST_ROWS, max(200, VALUES // max(p, 1)))
    found: Array = np.sort(np.random.default_rng(0).choice(n, wanted, replace=False))
    return found


def epochs_shown(wanted: int, n_epochs: int) -> Array:
    """Epochs after which a snapshot is taken: evenly spaced, the first and the last among them.

    Examples
    --------
    >>> epochs_shown(4, 10).tolist(), epochs_shown(9, 3).tolist()
    ([0, 3, 6, 9], [0, 1, 2])
    """
    return np.unique(np.linspace(0, max(n_epochs - 1, 0), max(wanted, 1)).round().astype(int))


class Frames:
    """Snapshots of the embedding of some rows in the course of a training.

    Attributes
    ----------
    embeddings, labels
        Of each snapshot, rows x d and rows.
    epochs, phases
        When it was taken.

    Examples
    --------
    >>> frames = Frames()
    >>> for turn in (0.0, 1.0, 2.0):
    ...     points = np.array([[-2.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    ...     turned = points @ np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    ...     frames.add(turned, np.array([1, 0, 0]), int(turn), "gates")
    >>> found = frames.finished(np.arange(3), np.array([0, 1, 1]))
    >>> bool(np.ptp(found["coords"], axis=0).max() < 1e-6), found["labels"].tolist()[0], found["epoch"].tolist()
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

    def finished(self, rows: Array, final: Array) -> dict[str, Any]:
        """All snapshots as maps.

        Parameters
        ----------
        rows
            Numbers of the rows that were kept.
        final
            Their labels in the end, by whose numbers those of the snapshots go.

        Returns
        -------
        dict
            rows; coords, snapshots x rows x 2 float32; labels, snapshots x rows int32; epoch and phase of each.
        """
        return {
            "rows": rows,
            "coords": following_maps(self.embeddings),
            "labels": following_labels(self.labels, final),
            "epoch": np.array(self.epochs),
            "phase": np.array(self.phases, dtype=object),
        }


def following_maps(embeddings: list[Array]) -> Array:
    """Two coordinates of each embedding, turned so that each map resembles the one after it.

    Each embedding is centred and brought to a mean square of one. Going backwards from the last it is turned, in all
    its dimensions, to lie as close to the next as it can (orthogonal Procrustes); then all are looked at along the two
    leading principal components of the last. So what moves on the map has moved in the embedding, which a projection
    of each by components of its own does not grant: these swap and flip when their variances are alike.

    Parameters
    ----------
    embeddings
        Each rows x d, of the same rows.

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
    >>> maps = following_maps([points[:, ::-1], 5 - 3 * points, points])
    >>> maps.shape, bool(np.allclose(maps[0], maps[2], atol=1e-5)), bool(np.allclose(maps[1], maps[2], atol=1e-5))
    ((3, 20, 2), True, True)
    """
    if not embeddings:
        return np.zeros((0, 0, 2), np.float32)
    evened = [_evened(H) for H in embeddings]
    axes = linalg.eigh(evened[-1].T @ evened[-1])[1][:, ::-1]
    after, out = evened[-1] @ axes, list[Array]()
    for H in reversed(evened):
        u, _, v = linalg.svd(H.T @ after)
        after = H @ (u @ v)
        out.append(after[:, :2])
    maps = np.stack(out[::-1])
    wide = np.zeros((*maps.shape[:2], 2), np.float32)
    wide[..., : maps.shape[2]] = maps
    return wide


def _evened(H: Array) -> Array:
    H = np.asarray(H, np.float64) - H.mean(axis=0, dtype=np.float64)
    size = np.sqrt((H**2).sum() / max(len(H), 1))
    found: Array = H / max(size, 1e-12)
    return found


def following_labels(labels: list[Array], final: Array) -> Array:
    """Clusters numbered as in the end: from the last snapshot backwards, each by the rows it shares with the next.

    Parameters
    ----------
    labels
        Each n codes.
    final
        n codes.

    Returns
    -------
    ndarray
        snapshots x n, int32.

    Examples
    --------
    >>> following_labels([np.array([2, 2, 0, 0]), np.array([0, 0, 0, 1])], np.array([1, 1, 0, 0])).tolist()
    [[1, 1, 0, 0], [1, 1, 1, 0]]
    """
    from scipy.optimize import linear_sum_assignment

    out: list[Array] = []
    after = np.asarray(final)
    for codes in reversed(labels):
        K = int(max(codes.max(initial=0), after.max(initial=0))) + 1
        shared = np.zeros((K, K))
        np.add.at(shared, (codes, after), 1)
        after = linear_sum_assignment(-shared)[1][codes]
        out.append(after)
    return np.array(out[::-1], np.int32).reshape(len(out), len(final))
