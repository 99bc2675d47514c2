"""Observers of a training: indices of the embedding, snapshots, checkpoints, event files; never part of the answer."""

from __future__ import annotations

import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from scipy.cluster.vq import kmeans2
from scipy.spatial.distance import cdist

from kithkin.core.blocks import Array, Block
from kithkin.core.errors import check
from kithkin.metrics.mixing import silhouette
from kithkin.metrics.partition import accuracy, adjusted_rand, contingency, normalized_mutual_information
from kithkin.models.deep.config import DeepConfig
from kithkin.models.deep.picture import draw_embedding
from kithkin.models.deep.snapshots import Frames, choose_epochs, choose_rows
from kithkin.models.deep.store import save_training
from kithkin.models.deep.training import Training
from kithkin.models.gates.rows import read_rows
from kithkin.models.nn.tensors import checked_folder
from kithkin.optional import need

SAMPLE = 1000  # rows on which the indices are computed


class Watch:
    """Observer of one training after the other; known classes give indices of agreement."""

    def __init__(self, config: DeepConfig, labels: Array | None = None) -> None:
        self.config = config
        self.labels = None if labels is None else pd.factorize(np.asarray(labels, dtype=object))[0]
        self._path: Path | None = None
        self._written = time.monotonic()
        self._writer: Any = None
        self.frames: list[Frames] = []  # snapshots of each training in turn, where they are asked for
        self._shown: Array = np.zeros(0, int)
        self._when: set[int] = set()
        self._samples: dict[int, Block] = {}

    def begin(self, training: Training, checkpoint: Path | None) -> None:
        """Attach to a training."""
        state = training.state
        n, networks = state.batches.blocks.shape[0], state.networks
        check(self.labels is None or len(self.labels) == n, f"labels must have {n} entries")
        self._path, self._written = checkpoint, -np.inf  # the first epoch is written
        if checkpoint is not None:
            checked_folder(checkpoint)
            training.after_phase = self._save
        for _, (_, batch) in zip(range(self.config.sanity_steps), state.batches.epoch(0), strict=False):
            with torch.no_grad():
                x = state.tensor(batch)
                output = networks.decoder(networks.encoder(x * networks.open_gates(x)))
            check(bool(output.isfinite().all()), "the networks give values that are not finite: look at scale and X")
        if self.config.tensorboard:
            need("tensorboard", "tensorboard", "tensorboard=True")
            writer = need("torch.utils.tensorboard", "deep", "tensorboard=True").SummaryWriter
            folder = self.config.tensorboard if isinstance(self.config.tensorboard, str) else "runs"
            self._writer = writer(f"{folder}/{state.seed}")
            training.every = self.config.log_every_n_steps
        training.after_epoch = self._after
        if self.config.frames:
            self._shown = choose_rows(n, state.batches.width)
            epochs = self.config.phases()
            # the embedding of the rows is fixed before the gates of clusters are trained
            last = sum(epochs.values()) - (0 if self.config.refine else epochs["classifier"])
            self._when = set(choose_epochs(self.config.frames - 1, last).tolist())
            self.frames.append(Frames())

    def end(self) -> None:
        """Detach from a training that has ended."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def maps(self, number: int, embedding: Array, labels: Array) -> dict[str, Any]:
        """Return the snapshots of a training as maps, the final embedding and labels last; see `Frames.as_maps`."""
        frames, rows = self.frames[number], self._shown
        last = frames.epochs[-1] + 1 if frames.epochs else 0
        frames.add(embedding[rows], labels[rows], last, "end")
        return frames.as_maps(rows, labels[rows])

    def _after(self, training: Training) -> None:
        row = training.history[-1]
        if self.config.validate and row["epoch"] % self.config.validate_every == 0:
            row |= self._validate(training, row["epoch"])
        if row["epoch"] in self._when:
            self.frames[-1].add(*self._embed(training, self._shown), row["epoch"], row["phase"])
        if self._writer is not None:
            for step, values in training.take_traces():
                for name, value in values.items():
                    self._writer.add_scalar(name, value, step)
            for name in set(row) & {"silhouette", "davies_bouldin", "accuracy", "nmi", "ari"}:
                self._writer.add_scalar(f"val/{name}", row[name], row["epoch"])
        if self._path is not None and time.monotonic() - self._written >= self.config.checkpoint_seconds:
            self._save(training)

    def _save(self, training: Training) -> None:
        if self._path is not None:
            save_training(self._path, training)
            self._written = time.monotonic()

    def _validate(self, training: Training, epoch: int) -> dict[str, float]:
        """Return indices of the embedding of a sample, and write its picture to the event file."""
        n = training.state.batches.blocks.shape[0]
        rows = np.sort(np.random.default_rng(0).choice(n, min(n, SAMPLE), replace=False))
        H, labels = self._embed(training, rows)
        if self._writer is not None:
            self._writer.add_image("val/embedding", draw_embedding(H, labels), epoch, dataformats="HWC")
        out: dict[str, float] = {}
        if 1 < len(np.unique(labels)) < len(rows):
            out |= indices(H, labels)
        if self.labels is not None:
            known = self.labels[rows] >= 0
            table = contingency(labels[known], self.labels[rows][known])
            out |= {"accuracy": accuracy(table), "nmi": normalized_mutual_information(table)}
            out |= {"ari": adjusted_rand(table)}
        return out

    def _embed(self, training: Training, rows: Array) -> tuple[Array, Array]:
        """Embed a sample, and label it by the head, or by k-means before there is one."""
        state, started = training.state, training.phase > 0
        networks = state.networks
        with torch.no_grad():
            if len(state.embedding):
                h = state.embedding[state.tensor(rows)]
                return h.cpu().numpy(), networks.head(h).argmax(1).cpu().numpy()
            if len(rows) not in self._samples:
                self._samples[len(rows)] = read_rows(state.batches.blocks, rows, state.execution)
            x = state.tensor(state.batches.scale.dense(self._samples[len(rows)]))
            h = networks.encoder(x * networks.open_gates(x) if started else x)
            if started and state.responsibilities is not None and self.config.guide > 0:
                return h.cpu().numpy(), networks.head(h).argmax(1).cpu().numpy()
        H = h.cpu().numpy()
        return H, rough_clusters(H, self.config.n_clusters)


def rough_clusters(H: Array, n_clusters: int) -> Array:
    """Cluster an embedding to look at it: SciPy's k-means, as compiling our own takes 50 MB of a training."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a cluster may be empty
        labels: Array = kmeans2(H.astype(np.float64), n_clusters, minit="++", seed=0)[1]
    return labels.astype(np.int64)


def indices(H: Array, labels: Array) -> dict[str, float]:
    """Return the mean silhouette, and the index of Davies and Bouldin (1979, doi:10.1109/TPAMI.1979.4766909)."""
    codes, H = np.unique(labels, return_inverse=True)[1], H.astype(np.float64)
    member = np.eye(int(codes.max()) + 1)[codes]
    sizes = member.sum(0)
    centers = member.T @ H / sizes[:, None]
    spread = member.T @ np.linalg.norm(H - centers[codes], axis=1) / sizes
    apart = cdist(centers, centers)
    np.fill_diagonal(apart, np.inf)
    ratios = (spread[:, None] + spread) / np.maximum(apart, 1e-300)
    scores = silhouette(cdist(H, H) @ member, sizes, codes)
    return {"silhouette": float(scores.mean()), "davies_bouldin": float(ratios.max(1).mean())}
