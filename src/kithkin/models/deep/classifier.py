"""Training of the gates of whole clusters by the published classifier, which sees rows through them only."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from scipy import sparse
from torch import Tensor

from kithkin.core.blocks import Array
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.models.deep.head import ClusteringHead
from kithkin.models.deep.phase import Phase, State, adam, cosine_rate
from kithkin.models.nn.adam import Adam
from kithkin.models.nn.gates import PenaltyWeight, gate_penalty, noisy_gates


class ClusterClassifier(Phase):
    """Training of classifier and cluster gates: cross-entropy with the labels, and a sparsity penalty.

    The phase of the head goes on by the coding rate beside this one if the configuration says `refine`.
    """

    name = "classifier"
    parts = ("compression", "cross_entropy", "penalty", "open")

    def __init__(self, state: State, head: ClusteringHead) -> None:
        super().__init__(state)
        self.head = head
        self.optimizer: Adam | None = None
        self.penalty_weight = PenaltyWeight(self.config.global_gates_lambda, state.device, self.config.n_clusters)
        self.wanted = 0.0

    def prepare(self) -> Adam:
        """Draw the classifier and make its optimiser, unless they are there; return the optimiser."""
        if self.optimizer is None:
            classifier = self.networks.add_classifier()
            self.optimizer = adam(self.config.lr_aux_classifier, classifier, others=[self.networks.table])
            self.optimizers = [self.optimizer]
        return self.optimizer

    def begin(self, done: int) -> None:
        """Start the gates of a cluster from the mean gates of its rows, the most open one at 1."""
        if self.n_epochs == 0:
            return
        self.prepare()
        self.state.ensure_labels()
        self.wanted = 0.0 if self.config.n_global_features == 0 else self.state.wanted_in_cluster()
        if done or not self.config.gates:
            return
        state, K = self.state, self.config.n_clusters
        labels = state.labels.cpu().numpy()
        sums = np.zeros((K, state.n_columns))
        if state.gates is not None:
            member = sparse.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), (K, len(labels)))
            sums = np.asarray((member @ state.gates).todense())
        else:
            with torch.no_grad():
                for first, batch in state.batches.ordered():
                    z = self.networks.open_gates(state.tensor(batch)).cpu().numpy()
                    np.add.at(sums, labels[first : first + len(z)], z)
        most = sums.max(1, keepdims=True)
        mean = np.where(most > 0, sums / np.where(most > 0, most, 1), 0.5)
        with torch.no_grad():
            self.networks.table.copy_(state.tensor(np.arctanh(0.9 * (mean - 0.5)).astype(np.float32)))

    def end(self) -> None:
        """Label all rows again, if the head went on, and let go of what only this phase needs."""
        if self.optimizer is not None:
            self.optimizer.state.clear()
        if self.config.refine:
            self.state.ensure_labels()
            self.state.label_rows(statistics=True)

    def rates(self) -> dict[str, float]:
        """Return the learning rate, and that of the head if it goes on."""
        return {"aux_classifier": self.prepare().rate} | (self.head.rates() if self.config.refine else {})

    def batches(self, number: int) -> Iterator[tuple[Array, Tensor]]:
        """Yield the gated rows of an epoch."""
        state, high = self.state, self.config.lr_aux_classifier
        self.prepare().rate = cosine_rate(high, 0.01 * high, number / self.n_epochs)
        self.head.set_rate(self.head.n_epochs + number)
        self.head.guided = False
        for rows, batch in (state.gated or state.batches).epoch(self.first + number):
            yield rows, state.tensor(batch)

    def step(self, rows: Array, x: Tensor) -> Tensor:
        """Take a step of the head, if it goes on, and one of the classifier."""
        state, compression = self.state, self.zero
        if self.config.refine:
            positions = state.tensor(rows)
            compression = self.head.step(positions, state.embedding[positions])[1]
        return torch.cat([compression[None], super().step(rows, x)])

    def loss(self, rows: Array, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the cross-entropy of the labels of the head, and the penalty for open gates."""
        state, networks = self.state, self.networks
        positions = state.tensor(rows)
        with torch.no_grad():
            y = networks.head(state.embedding[positions]).argmax(1) if self.config.refine else state.labels[positions]
            if state.gated is None:
                x = x * networks.open_gates(x)
        mu = networks.table.tanh()
        with state.autocast():
            logits = networks.add_classifier()(x * noisy_gates(mu[y], state.generator))
        entropy = torch.nn.functional.cross_entropy(logits.float(), y)
        opened = (mu.detach() + 0.5 >= CLUSTER_OPEN).sum(1).float()
        # each cluster has its own weight, or a large one would spend the features of all
        weight = self.penalty_weight
        weights = weight.follow(opened, self.wanted) if self.wanted > 0 else weight.value
        penalties = gate_penalty(mu, dim=1)
        loss = entropy + (weights * penalties)[y].mean()
        return loss, torch.stack([entropy.detach(), penalties.detach().mean(), opened.mean()])

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of the penalty's weights."""
        return {"global_weight": self.penalty_weight.value}
