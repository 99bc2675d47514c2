"""Scores of the clusters by a small network for each, which sees rows through the gates of its cluster only."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from kithkin.core.blocks import Array
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.models.nn.gates import gate_penalty, noisy_gates
from kithkin.models.nn.layers import MOMENTUM_EPS

WIDTH = 32  # of the hidden layers


class LabelScores(nn.Module):
    """Scores of the clusters for each row: Linear, batch normalisation, rectifier, Linear, for each on its own.

    Cluster k looks at m candidate columns of its own, x_k, through its gates: s_k(x) = f_k(x_k * z_k). Every row is
    scored by every cluster, whichever it belongs to, so that which gates are applied tells nothing of its label.
    Candidates are positions of columns, K x m, and the initial gates lie in 0..1.
    """

    mean: Tensor
    variance: Tensor

    def __init__(self, candidates: Array, start: Array, seed: int = 0, device: str = "cpu") -> None:
        super().__init__()
        K, m = candidates.shape
        draws = torch.Generator().manual_seed(seed)

        def uniform(*shape: int) -> nn.Parameter:
            # by the width of the input, as other layers begin
            return nn.Parameter(((2 * torch.rand(*shape, generator=draws) - 1) * shape[1] ** -0.5).to(device))

        def zeros(size: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(size, device=device))

        self.candidates = torch.from_numpy(candidates).to(device)
        self.weight, self.out = uniform(K, m, WIDTH), uniform(K, WIDTH, 1)
        self.bias, self.offset, self.last = zeros(K * WIDTH), zeros(K * WIDTH), zeros(K)
        self.gain = nn.Parameter(torch.ones(K * WIDTH, device=device))
        table = np.arctanh(0.9 * (start - 0.5)).astype(np.float32)
        self.table = nn.Parameter(torch.from_numpy(table).to(device))
        self.register_buffer("mean", torch.zeros(K * WIDTH, device=device))
        self.register_buffer("variance", torch.ones(K * WIDTH, device=device))
        self.seen = 0

    def noisy(self, rows: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Draw gates with noise of their own for each row, K x rows x m; return them and their penalties, K."""
        mu = self.table.tanh()
        z = noisy_gates(mu[:, None].expand(-1, rows, -1), generator)
        return z, gate_penalty(mu, dim=1)

    def gates(self) -> Tensor:
        """Return gates without noise, K x m; where none of a cluster is open, its strongest one is opened."""
        z = (self.table.detach().tanh() + 0.5).clamp(0.0, 1.0)
        most = z.amax(1, keepdim=True)
        return torch.where(most <= CLUSTER_OPEN, z / most.clamp(min=1e-6), z)

    def open_gates(self) -> Tensor:
        """Return gates without noise, those that are not open shut, K x 1 x m."""
        z = self.gates()
        return torch.where(z > CLUSTER_OPEN, z, torch.zeros_like(z))[:, None]

    def forward(self, x: Tensor, z: Tensor, *, training: bool = True) -> Tensor:
        """Score rows through gates K x rows x m, rows x K; without training by the statistics that were taken."""
        mean, variance = (None, None) if training else (self.mean, self.variance)
        wide = self._hidden(x, z)
        wide = nn.functional.batch_norm(wide, mean, variance, self.gain, self.offset, training, 0.0, MOMENTUM_EPS)
        h = wide.relu().reshape(len(x), len(self.table), WIDTH).transpose(0, 1)
        return torch.bmm(h, self.out)[:, :, 0].T + self.last

    def _hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """Apply the first layer, rows x K * WIDTH."""
        seen = x.T[self.candidates].transpose(1, 2) * z
        return torch.bmm(seen, self.weight).transpose(0, 1).reshape(len(x), -1) + self.bias

    def take_statistics(self, x: Tensor, z: Tensor) -> None:
        """Add rows to the statistics by which hidden values are normalised; all batches count the same."""
        self.seen += 1
        with torch.no_grad():
            wide, momentum = self._hidden(x, z), 1.0 / self.seen
            nn.functional.batch_norm(wide, self.mean, self.variance, None, None, True, momentum, MOMENTUM_EPS)


def one_against_rest(scores: Tensor, y: Tensor) -> Tensor:
    """Return the cross-entropy of each cluster against the rest, K, where all clusters come equally often.

    Half of the weight is on the rows of the cluster.
    """
    K = scores.shape[1]
    inside = torch.nn.functional.one_hot(y, K).bool()
    softplus = torch.nn.functional.softplus
    entropy = torch.where(inside, K / 2 * softplus(-scores), K / (2 * (K - 1)) * softplus(scores))
    return entropy.mean(0)
