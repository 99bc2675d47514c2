"""State that the phases of a training share, and the base class of the phases."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from kithkin.core.blocks import Array, InMemory
from kithkin.core.execute import Execution
from kithkin.models.deep.config import DeepConfig
from kithkin.models.deep.networks import Networks
from kithkin.models.nn.adam import Adam
from kithkin.models.nn.batches import EXTRA_EPOCH, Batches, Scale
from kithkin.models.nn.layers import Layers

DENSE = 0.25  # fraction of open gates above which the gated table is not kept ...
FEW = 256  # ... unless rows have fewer than this
MOST_GATES = 2**25  # open gates above which it is not kept either, with the same exception
COUNTS = ("soft", "open", "open_nonzero")


class State:
    """Networks, table and intermediate results that the phases of a training share.

    The seed is that of the initial weights and of the noise; with `mixed`, products are computed in mixed precision.
    """

    def __init__(
        self,
        config: DeepConfig,
        batches: Batches,
        seed: int,
        device: str = "cpu",
        mixed: bool = False,
        execution: Execution | None = None,
    ) -> None:
        self.config, self.batches, self.seed, self.device, self.mixed = config, batches, seed, device, mixed
        self.execution = Execution(progress=False) if execution is None else execution
        self.n_columns = batches.width
        self.networks = Networks(config, self.n_columns, seed, device)
        self.generator = torch.Generator(device)
        self.responsibilities: Tensor | None = None  # initial ones of the clusters, n x K
        self.embedding = torch.empty(0)  # of the gated rows, n x d, from the phase of the head on
        self.labels = torch.empty(0)  # cluster of each row by the head, likewise
        self.gates: sparse.csr_matrix | None = None  # CSR, unless there are too many to keep
        self.gated: Batches | None = None  # mini-batches of the gated rows, likewise
        self.feature_counts: dict[str, float] = {}  # mean numbers of features that rows use

    def tensor(self, x: Array) -> Tensor:
        """Move an array to the device."""
        return torch.from_numpy(x).to(self.device, non_blocking=True)

    def autocast(self) -> torch.autocast:
        """Compute products in mixed precision, if that is wanted, within a with block."""
        return torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.mixed)

    def embed_rows(self, statistics: bool = True) -> None:
        """Take the statistics of the encoder on gated rows, embed all rows, and keep their gates."""
        networks = self.networks
        with torch.no_grad():
            if statistics:
                networks.encoder.seen = 0
                for _, batch in self.batches.epoch(EXTRA_EPOCH):
                    x = self.tensor(batch)
                    networks.encoder.take_statistics(x * networks.open_gates(x))
            parts, gates, values, kept = [], [], [], self.config.gates
            counts, used = torch.zeros(3, device=self.device), torch.zeros(self.n_columns, device=self.device)
            n = self.batches.blocks.shape[0]
            most = max(n * FEW, min(n * DENSE * self.n_columns, MOST_GATES))
            for _, batch in self.batches.ordered():
                x = self.tensor(batch)
                z = networks.open_gates(x)
                parts.append(networks.encoder(x * z, training=False))
                counts += torch.stack([z.sum(), (z > 0).sum(), ((z > 0) & (x != 0)).sum()])
                used += (z > 0).sum(0)
                if kept:
                    gates.append(sparse.csr_matrix(z.cpu().numpy()))
                    values.append(sparse.csr_matrix((x * z).cpu().numpy()))
                    kept = sum(part.nnz for part in gates) <= most
            self.embedding = torch.cat(parts)
            means = (counts.double() / len(self.embedding)).tolist()
            self.feature_counts = dict(zip(COUNTS, means, strict=True)) | {"union": int((used > 0).sum())}
        self.gates = sparse.vstack(gates, "csr") if kept else None
        if kept:
            none = Scale("none", np.zeros(0, np.float32), np.zeros(0, np.float32))
            table = InMemory(sparse.vstack(values, "csr"))
            self.gated = Batches(table, none, self.batches.batch_size, self.seed)

    def label_rows(self, statistics: bool = False) -> None:
        """Label all rows by the head, on demand after taking its statistics."""
        head = self.networks.head
        with torch.no_grad():
            if statistics:
                head.seen = 0
                for part in self.embedding.split(self.batches.batch_size):
                    if len(part) > 1:
                        head.take_statistics(part)
            self.labels = head(self.embedding, training=False).argmax(1)

    def ensure_labels(self) -> None:
        """Embed and label all rows, where nothing was left to train that would have done so."""
        if len(self.embedding) == 0:
            self.embed_rows(statistics=False)
            self.label_rows()

    def wanted_in_cluster(self) -> float:
        """Return the number of features wanted in a cluster: as asked for, or as in rows, 8 % of all or 3 at most."""
        if self.config.n_global_features:
            return self.config.n_global_features
        opened = 0.08 * self.n_columns if self.gates is None else self.gates.nnz / self.gates.shape[0]
        return max(1.0, min(opened, max(0.08 * self.n_columns, 3.0)))


class Phase(ABC):
    """One phase of a training: the parameters it trains, its loss, and its part of a checkpoint."""

    name: ClassVar[str]
    parts: ClassVar[tuple[str, ...]]  # of the loss
    UNJUDGED: ClassVar[frozenset[str]] = frozenset({"open", "penalty", "coding_rate"})  # they may rise as it converges

    def __init__(self, state: State) -> None:
        self.state, self.config, self.networks = state, state.config, state.networks
        epochs = self.config.phases()
        names = list(epochs)
        self.n_epochs = epochs[self.name]
        # number of its first epoch in the training
        self.first = sum(epochs[earlier] for earlier in names[: names.index(self.name)])
        self.optimizers: Sequence[Adam] = ()  # they take a step by its loss
        self.zero = torch.zeros((), device=state.device)
        self._losses: list[float] = []  # of its epochs, as convergence is judged

    def begin(self, done: int) -> None:  # noqa: B027  (there may be nothing to do)
        """Prepare to train on after so many epochs of this phase."""

    def end(self) -> None:  # noqa: B027
        """Conclude the phase."""

    def weight(self, part: str) -> float:  # noqa: ARG002
        """Return the weight of a part of the loss when convergence is judged."""
        return 1.0

    def settles_at(self) -> float:
        """Return the epoch before which the phase cannot have converged."""
        return 0

    @abstractmethod
    def batches(self, number: int) -> Iterable[tuple[Array | Tensor, Tensor]]:
        """Yield positions and values of the rows of an epoch, with the learning rates of each step set."""

    @abstractmethod
    def loss(self, rows: Any, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the loss of a mini-batch, and its parts without gradient."""

    def epoch(self, number: int) -> Iterator[Tensor]:
        """Train for an epoch of the phase; yield the parts of the loss of each step."""
        for rows, x in self.batches(number):
            yield self.step(rows, x)

    def step(self, rows: Any, x: Tensor) -> Tensor:
        """Take a step of the optimisers; return the parts of the loss."""
        loss, parts = self.loss(rows, x)
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
        return parts

    def rates(self) -> dict[str, float]:
        """Return the current learning rates of the optimisers, by the names of the published files."""
        return {}

    def tensors(self) -> dict[str, Tensor]:
        """Return what a checkpoint must keep of the phase beside networks and optimisers; `load` copies it back."""
        return {}

    def load(self, tensors: dict[str, Tensor]) -> None:
        """Restore what `tensors` returned."""
        for name, tensor in self.tensors().items():
            tensor.copy_(tensors[name])

    def converged(self, history: list[dict[str, Any]]) -> bool:
        """Return whether the loss has stopped falling, by the rows of the history."""
        begun = next((place for place, row in enumerate(history) if row["phase"] == self.name), len(history))
        for row in history[begun + len(self._losses) :]:
            self._losses.append(sum(self.weight(part) * row[part] for part in self.parts if part not in self.UNJUDGED))
        first, patience = self.settles_at(), self.config.patience
        if self.config.tolerance <= 0 or len(self._losses) < first + 2 * patience:
            return False
        before = min(self._losses[int(first) : -patience])
        return bool(min(self._losses[-patience:]) > before * (1 - self.config.tolerance))


def adam(rate: float, *modules: Layers, others: Sequence[Tensor] = ()) -> Adam:
    """Return an optimiser of the parameters of some layers, and of others."""
    return Adam([*(parameter for module in modules for parameter in module.parameters()), *others], rate)


def cosine_rate(high: float, low: float, progress: float) -> float:
    """Return the learning rate of a cosine schedule, after a fraction of its steps."""
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * min(progress, 1.0)))
