"""A small network for each cluster, which sees rows through the gates of that cluster only, and scores them all."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.models.nn.gates import gate_penalty, noisy_gates
from kithkin.models.nn.layers import MOMENTUM_EPS
from kithkin.models.nn.torch import Tensor, torch

WIDTH = 32  # of the hidden layers


class LabelScores:
    """Scores of the clusters for each row: Linear, batch normalisation, rectifier, Linear, for each on its own.

    Cluster k looks at m candidate columns of its own, x_k, through its gates: s_k(x) = f_k(x_k * z_k). Every row is
    scored by every cluster, whichever it belongs to, so that which gates are applied tells nothing of its label.

    Parameters
    ----------
    candidates
        Positions of the columns that each cluster may look at, K x m.
    start
        Gates to start from, K x m, in 0..1.
    seed, device
        Of the first weights, and where they are.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> scores = LabelScores(np.array([[0, 1], [1, 2]]), np.ones((2, 2)))
    >>> tuple(scores(torch.ones(5, 3), scores.open_gates()).shape)
    (5, 2)
    """

    def __init__(self, candidates: Array, start: Array, seed: int = 0, device: str = "cpu") -> None:
        K, m = candidates.shape
        draws = torch.Generator().manual_seed(seed)

        def uniform(*shape: int) -> Tensor:
            # by the width of the input, as other layers begin
            return ((2 * torch.rand(*shape, generator=draws) - 1) * shape[1] ** -0.5).to(device).requires_grad_()

        self.candidates = torch.from_numpy(candidates).to(device)
        self.parameters = {"weight": uniform(K, m, WIDTH), "out": uniform(K, WIDTH, 1)}
        for name, size in (("bias", K * WIDTH), ("offset", K * WIDTH), ("last", K)):
            self.parameters[name] = torch.zeros(size, device=device, requires_grad=True)
        self.parameters["gain"] = torch.ones(K * WIDTH, device=device, requires_grad=True)
        table = np.arctanh(0.9 * (start - 0.5)).astype(np.float32)
        self.table = torch.from_numpy(table).to(device).requires_grad_()
        self.mean, self.variance = torch.zeros(K * WIDTH, device=device), torch.ones(K * WIDTH, device=device)
        self.seen = 0

    def noisy(self, rows: int, generator: Any) -> tuple[Tensor, Tensor]:
        """Gates with noise of their own for each row, K x rows x m, and what they cost, K."""
        mu = self.table.tanh()
        z = noisy_gates(mu[:, None].expand(-1, rows, -1), generator)
        return z, gate_penalty(mu, dim=1)

    def gates(self) -> Tensor:
        """Gates without noise, K x m; where none of a cluster is open, its strongest one is."""
        z = (self.table.detach().tanh() + 0.5).clamp(0.0, 1.0)
        most = z.amax(1, keepdim=True)
        return torch.where(most <= CLUSTER_OPEN, z / most.clamp(min=1e-6), z)

    def open_gates(self) -> Tensor:
        """Gates without noise, those that are not open shut, K x 1 x m."""
        z = self.gates()
        return torch.where(z > CLUSTER_OPEN, z, torch.zeros_like(z))[:, None]

    def __call__(self, x: Tensor, z: Tensor, *, training: bool = True) -> Tensor:
        """Scores, rows x K, of rows through gates K x rows x m; without training by the statistics that were taken."""
        p, normal = self.parameters, torch.nn.functional.batch_norm
        wide = self._hidden(x, z)
        if training:
            wide = normal(wide, None, None, p["gain"], p["offset"], True, 0.0, MOMENTUM_EPS)
        else:
            wide = normal(wide, self.mean, self.variance, p["gain"], p["offset"], False, 0.0, MOMENTUM_EPS)
        h = wide.relu().reshape(len(x), len(self.table), WIDTH).transpose(0, 1)
        return torch.bmm(h, p["out"])[:, :, 0].T + p["last"]

    def _hidden(self, x: Tensor, z: Tensor) -> Tensor:
        """First layer, rows x K * WIDTH."""
        seen = x.T[self.candidates].transpose(1, 2) * z
        h = torch.bmm(seen, self.parameters["weight"])
        return h.transpose(0, 1).reshape(len(x), -1) + self.parameters["bias"]

    def take_statistics(self, x: Tensor, z: Tensor) -> None:
        """Add rows to the statistics by which hidden values are normalised; all batches count the same."""
        self.seen += 1
        with torch.no_grad():
            torch.nn.functional.batch_norm(
                self._hidden(x, z), self.mean, self.variance, None, None, True, 1.0 / self.seen, MOMENTUM_EPS
            )


def one_against_rest(scores: Tensor, y: Tensor) -> Tensor:
    """Cross-entropy of each cluster against the rest, K, where rows of all clusters come equally often.

    Half of the weight is on the rows of the cluster.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> [round(value, 3) for value in one_against_rest(torch.zeros(2, 2), torch.tensor([0, 1])).tolist()]
    [0.693, 0.693]
    """
    K = scores.shape[1]
    inside = torch.nn.functional.one_hot(y, K).bool()
    softplus = torch.nn.functional.softplus
    found = torch.where(inside, K / 2 * softplus(-scores), K / (2 * (K - 1)) * softplus(scores))
    return found.mean(0)
