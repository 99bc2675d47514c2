"""Network of the mixture encoder: responsibilities of cells, densities of free components, and the bound."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from kithkin.core.blocks import Array
from kithkin.models.nn.autograd import sparse_linear

LEAST = 1e-10  # probability below which the mixture gives none
LEAST_DISPERSION, MOST_DISPERSION = -9.2, 9.2  # of free components: log of 1e-4 and 1e4


@dataclass(frozen=True)
class Batch:
    """Mini-batch of cells: sparse counts, size factors, and results of the mixture to compare with."""

    offsets: Array  # start of each row among the stored values
    columns: Array  # of the stored values, as counts
    counts: Array
    size: Array  # size factor of each row
    target: Array  # responsibilities of each row under the mixture
    likelihood: Array  # log-likelihood of each row under the mixture


class EncoderNetwork(nn.Module):
    """Network with one hidden layer from log1p counts to responsibilities, and components that may be trained.

    Components are their initial log mean, log dispersion and weights, if they are trained.
    """

    def __init__(
        self,
        n_columns: int,
        n_hidden: int,
        n_clusters: int,
        components: tuple[Array, Array, Array] | None = None,
        seed: int = 0,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__()
        self.device = torch.device(device)
        random = torch.Generator().manual_seed(seed)
        # as He et al. (2015) draw them; the first layer by column, since few of its inputs are not zero
        first = torch.randn((n_columns, n_hidden), generator=random) * (2 / 500) ** 0.5
        second = torch.randn((n_hidden, n_clusters), generator=random) * (2 / n_hidden) ** 0.5
        self.first, self.second = self._parameter(first), self._parameter(second)
        self.first_bias = self._parameter(torch.zeros(n_hidden))
        self.second_bias = self._parameter(torch.zeros(n_clusters))
        self.free = components is not None
        if components is not None:
            log_mean, log_dispersion, weights = (np.array(values, np.float64) for values in components)
            log_dispersion = np.clip(log_dispersion, LEAST_DISPERSION, MOST_DISPERSION)
            self.log_mean = self._parameter(torch.from_numpy(log_mean))
            self.log_dispersion = self._parameter(torch.from_numpy(log_dispersion))
            self.log_weight = self._parameter(torch.from_numpy(np.log(weights)))

    def _parameter(self, values: Tensor) -> nn.Parameter:
        return nn.Parameter(values.to(self.device))

    def _tensor(self, values: Array) -> Tensor:
        return torch.as_tensor(values, device=self.device)

    def forward(self, offsets: Array, columns: Array, counts: Array) -> Tensor:
        """Return the logarithms of the responsibilities of rows of counts, rows x K."""
        values = self._tensor(np.log1p(counts).astype(np.float32))
        starts = self._tensor(np.append(offsets, len(counts)))
        hidden = torch.relu(sparse_linear(values, self._tensor(columns), starts, self.first) + self.first_bias)
        return torch.log_softmax(hidden @ self.second + self.second_bias, dim=1)

    def bound(self, batch: Batch) -> Tensor:
        """Return the bound of the log-likelihood, summed over a batch."""
        log_q = self(batch.offsets, batch.columns, batch.counts).double()
        total: Tensor
        if self.free:
            joint = self.log_densities(batch) + torch.log_softmax(self.log_weight, dim=0)
            total = (log_q.exp() * (joint - log_q)).sum()
            return total
        exact = np.log(np.maximum(batch.target.astype(np.float64), LEAST))
        total = float(batch.likelihood.sum()) - (log_q.exp() * (log_q - self._tensor(exact))).sum()
        return total

    def log_densities(self, batch: Batch) -> Tensor:
        """Return the log of the negative binomial of each row under each component: zeros first, then stored counts."""
        counts, size = self._tensor(batch.counts), self._tensor(batch.size * 1.0)
        columns, n_rows = self._tensor(batch.columns), len(batch.offsets)
        row = self._tensor(np.repeat(np.arange(n_rows), np.diff(np.append(batch.offsets, len(batch.counts)))))
        out = []
        for log_mean, log_dispersion in zip(self.log_mean, self.log_dispersion, strict=True):
            shape = torch.exp(-log_dispersion.clamp(LEAST_DISPERSION, MOST_DISPERSION))
            zeros = -(shape * torch.log1p(size[:, None] * torch.exp(log_mean) / shape)).sum(dim=1)
            own, mean = shape[columns], size[row] * torch.exp(log_mean[columns])
            terms = torch.lgamma(counts + own) - torch.lgamma(own) - torch.lgamma(counts + 1)
            terms = terms + counts * (torch.log(mean) - torch.log(own + mean))
            out.append(zeros.index_add(0, row, terms))
        return torch.stack(out, dim=1)
