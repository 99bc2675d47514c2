"""Training of the clustering head on the embedding of gated rows, which is fixed."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from kithkin.models.deep.networks import cluster_coding_rate, gumbel_softmax
from kithkin.models.deep.phase import Phase, State, adam, cosine_rate
from kithkin.models.deep.start import smooth_responsibilities


class ClusteringHead(Phase):
    """Training of the clustering head: cross-entropy with the start, or coding rate of the clusters."""

    name = "head"
    parts = ("start", "compression")

    def __init__(self, state: State) -> None:
        super().__init__(state)
        self.optimizer = adam(self.config.lr_clustering, self.networks.head)
        self.optimizers = [self.optimizer]
        self.target: Tensor | None = None  # the responsibilities, smoothed over neighbours in the embedding
        self.guided = False

    def begin(self, done: int) -> None:  # noqa: ARG002
        """Fix the embedding, and smooth the initial responsibilities in it."""
        state = self.state
        state.embed_rows()
        self.target = state.responsibilities
        if self.target is not None and self.config.settle:
            smooth = smooth_responsibilities(state.embedding.cpu().numpy(), self.target.cpu().numpy())
            self.target = state.tensor(smooth)

    def end(self) -> None:
        """Label all rows."""
        self.state.label_rows(statistics=True)

    def settles_at(self) -> float:
        """Return the epoch by which a head that goes on by the coding rate has turned to it."""
        turns = self.config.refine and self.state.responsibilities is not None
        return 0.5 * self.n_epochs if turns else 0

    def set_rate(self, number: int) -> None:
        """Set the learning rate of an epoch; the schedule covers the next phase too if the head goes on in it."""
        config = self.config
        whole = self.n_epochs + (config.phases()["classifier"] if config.refine else 0)
        self.optimizer.rate = cosine_rate(config.lr_clustering, config.min_lr_clustering, number / max(whole, 1))

    def rates(self) -> dict[str, float]:
        """Return the learning rate."""
        return {"clustering": self.optimizer.rate}

    def batches(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield the embedding in random order."""
        state, size = self.state, self.state.batches.batch_size
        order = torch.randperm(len(state.embedding), generator=state.generator, device=state.device)
        self.guided = self.target is not None and (not self.config.refine or number < self.n_epochs / 2)
        self.set_rate(number)
        for first in range(0, len(order) - size + 1, size):
            rows = order[first : first + size]
            yield rows, state.embedding[rows]

    def loss(self, rows: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the cross-entropy with the start while it guides, and the coding rate of the clusters afterwards."""
        if self.guided and self.target is not None:
            loss = torch.nn.functional.cross_entropy(self.networks.head(x), self.target[rows])
            return loss, torch.stack([loss.detach(), self.zero])
        return self.compression(x)

    def compression(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the coding rate of the clusters."""
        assigned = gumbel_softmax(self.networks.head(x), self.config.tau, self.state.generator)
        loss = cluster_coding_rate(x, assigned, self.config.eps)
        return loss, torch.stack([self.zero, loss.detach()])
