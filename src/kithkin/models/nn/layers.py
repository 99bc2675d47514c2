"""Linear layers with batch normalisation and a rectifier between them, or a hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from kithkin.models.nn.autograd import linear, sparse_linear, versions_linear

MOMENTUM_EPS = 1e-5  # of batch normalisation


class Layer(nn.Module):
    """A linear layer from initial weights, outputs x inputs, with its batch normalisation, if it has one."""

    mean: Tensor
    variance: Tensor

    def __init__(self, weight: Tensor, *, norm: bool) -> None:
        super().__init__()
        n, device = len(weight), weight.device
        self.norm = norm
        self.weight = nn.Parameter(weight)
        # a shift before the normalisation has no effect, and is not trained
        self.bias = nn.Parameter(torch.zeros(n, device=device), requires_grad=not norm)
        if norm:
            self.gain = nn.Parameter(torch.ones(n, device=device))
            self.offset = nn.Parameter(torch.zeros(n, device=device))
            self.register_buffer("mean", torch.zeros(n, device=device))
            self.register_buffer("variance", torch.ones(n, device=device))

    def forward(self, x: Tensor) -> Tensor:
        """Apply the linear part."""
        return linear(x, self.weight, self.bias)

    def normalized(self, x: Tensor, groups: int = 1, momentum: float | None = None) -> Tensor:
        """Normalise a batch by its own statistics, each group on its own; with a momentum, keep the statistics."""
        mean, variance = (None, None) if momentum is None else (self.mean, self.variance)
        wide = x.reshape(x.shape[0] // groups, groups * x.shape[1])
        gain, offset = self.gain.repeat(groups), self.offset.repeat(groups)
        out = nn.functional.batch_norm(wide, mean, variance, gain, offset, True, momentum or 0.0, MOMENTUM_EPS)
        return out.reshape(x.shape)

    def normalized_as_fitted(self, x: Tensor) -> Tensor:
        """Normalise by the statistics that were kept."""
        return nn.functional.batch_norm(x, self.mean, self.variance, self.gain, self.offset, False, 0.0, MOMENTUM_EPS)


class SparseLayer(Layer):
    """Normalised linear layer of sparse rows, from initial weights, inputs x outputs: each value takes a row of it."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__(weight.T, norm=True)
        self.weight = nn.Parameter(weight)

    def forward(self, values: Tensor, columns: Tensor, starts: Tensor) -> Tensor:  # type: ignore[override]
        """Apply the linear part to rows in compressed form."""
        return sparse_linear(values, columns, starts, self.weight)


class Layers(nn.Module):
    """Linear layers with batch normalisation and a rectifier between them, or (not `normal`) tanh, also after the last.

    Several versions of a batch (as it is, gated, masked) go through in one product: rows b of versions g lie as rows
    b * G + g, and each version is normalised by its own batch, as if it had gone through alone. The standard deviation
    of the initial weights is `std`; None: they are uniform within 1 / sqrt(width of the input).
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        normal: bool = True,
        std: float | None = None,
        generator: torch.Generator | None = None,
        device: str = "cpu",
    ) -> None:
        super().__init__()
        self.sizes, self.normal, self.seen = tuple(sizes), normal, 0
        self.layers: list[Layer] = []
        for i, (inputs, outputs) in enumerate(zip(self.sizes, self.sizes[1:], strict=False)):
            if std is None:
                weight = (2 * torch.rand(outputs, inputs, generator=generator) - 1) * inputs**-0.5
            else:
                weight = std * torch.randn(outputs, inputs, generator=generator)
            self.layers.append(Layer(weight.to(device), norm=normal and i < len(self.sizes) - 2))
            self.add_module(str(i), self.layers[-1])

    def forward(self, x: Tensor, *, groups: int = 1, training: bool = True) -> Tensor:
        """Apply the layers; without training by the statistics that were taken."""
        return self._after(self.layers[0](x), groups, training)

    def versions(self, x: Tensor, factors: list[Tensor | None]) -> Tensor:
        """Apply the layers to x times each factor (None: to x), as versions of a batch; gradients go to the factors."""
        return self._after(versions_linear(x, factors, self.layers[0].weight, self.layers[0].bias), len(factors), True)

    def _after(self, x: Tensor, groups: int, training: bool) -> Tensor:
        for i, layer in enumerate(self.layers):
            if i > 0:
                x = layer(x)
            if not self.normal:
                x = x.tanh()
            elif layer.norm:
                x = layer.normalized(x, groups) if training else layer.normalized_as_fitted(x)
                x = nn.functional.relu(x, inplace=True)
        return x

    def take_statistics(self, x: Tensor) -> Tensor:
        """Add a batch to the statistics, and apply the layers normalised by the batch; `seen` counts the batches."""
        self.seen += 1
        for layer in self.layers:
            x = layer(x)
            if layer.norm:
                x = nn.functional.relu(layer.normalized(x, momentum=1.0 / self.seen))
        return x
