"""Linear layers with batch normalisation and a rectifier between them, or a hyperbolic tangent."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kithkin.models.nn.autograd import linear, versions_linear
from kithkin.models.nn.torch import Tensor, torch

MOMENTUM_EPS = 1e-5  # of batch normalisation


class Layers:
    """Linear layers with batch normalisation and a rectifier between them, or a hyperbolic tangent.

    Several versions of a batch (as it is, gated, masked) go through in one product: rows b of versions g lie as rows
    b * G + g, and each version is normalised by its own batch, as if it had gone through alone.

    Parameters
    ----------
    sizes
        Widths from input to output.
    normal
        Whether layers are normalised and rectified; else tanh, also after the last.
    std
        Standard deviation of the first weights; None: uniform within 1 / sqrt(width of the input).
    generator, device
        Of the first weights.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> layers = Layers((3, 4, 2), generator=torch.Generator().manual_seed(0))
    >>> tuple(layers(torch.ones(6, 3), groups=2).shape)
    (6, 2)
    """

    def __init__(
        self,
        sizes: Sequence[int],
        *,
        normal: bool = True,
        std: float | None = None,
        generator: Any = None,
        device: str = "cpu",
    ) -> None:
        self.sizes, self.normal = tuple(sizes), normal
        self.parameters: dict[str, Tensor] = {}
        self.statistics: dict[str, Tensor] = {}
        self.seen = 0
        for i in range(len(sizes) - 1):
            self._add(i, sizes[i], sizes[i + 1], std, generator, device, norm=normal and i < len(sizes) - 2)

    def _add(
        self, i: int, inputs: int, outputs: int, std: float | None, generator: Any, device: str, *, norm: bool
    ) -> None:
        bound = inputs**-0.5
        if std is None:
            weight = (2 * torch.rand(outputs, inputs, generator=generator) - 1) * bound
        else:
            weight = std * torch.randn(outputs, inputs, generator=generator)
        self.parameters[f"{i}.weight"] = weight.to(device).requires_grad_()
        # a shift before the normalisation has no effect, and is not trained
        self.parameters[f"{i}.bias"] = torch.zeros(outputs, device=device, requires_grad=not norm)
        if norm:
            self.parameters[f"{i}.gain"] = torch.ones(outputs, device=device, requires_grad=True)
            self.parameters[f"{i}.offset"] = torch.zeros(outputs, device=device, requires_grad=True)
            self.statistics[f"{i}.mean"] = torch.zeros(outputs, device=device)
            self.statistics[f"{i}.variance"] = torch.ones(outputs, device=device)

    def __call__(self, x: Tensor, *, groups: int = 1, training: bool = True) -> Tensor:
        """Apply the layers; without training by the statistics that were taken."""
        first = linear(x, self.parameters["0.weight"], self.parameters["0.bias"])
        return self._after(first, groups, training)

    def versions(self, x: Tensor, factors: list[Tensor | None]) -> Tensor:
        """Apply the layers to x times each factor (None: to x), as versions of a batch; gradients go to the factors."""
        first = versions_linear(x, factors, self.parameters["0.weight"], self.parameters["0.bias"])
        return self._after(first, len(factors), True)

    def _after(self, x: Tensor, groups: int, training: bool) -> Tensor:
        p = self.parameters
        for i in range(len(self.sizes) - 1):
            if i > 0:
                x = linear(x, p[f"{i}.weight"], p[f"{i}.bias"])
            if not self.normal:
                x = x.tanh()
            elif f"{i}.gain" in p:
                x = torch.nn.functional.relu(self._normalized(i, x, groups, training), inplace=True)
        return x

    def _normalized(self, i: int, x: Tensor, groups: int, training: bool) -> Tensor:
        gain, offset = self.parameters[f"{i}.gain"], self.parameters[f"{i}.offset"]
        mean, variance = self.statistics[f"{i}.mean"], self.statistics[f"{i}.variance"]
        normal = torch.nn.functional.batch_norm
        if not training:
            return normal(x, mean, variance, gain, offset, False, 0.0, MOMENTUM_EPS)
        wide = x.reshape(x.shape[0] // groups, groups * x.shape[1])
        out = normal(wide, None, None, gain.repeat(groups), offset.repeat(groups), True, 0.0, MOMENTUM_EPS)
        return out.reshape(x.shape)

    def take_statistics(self, x: Tensor) -> Tensor:
        """Add a batch to the statistics, and apply the layers normalised by the batch; `seen` counts the batches."""
        functional, p = torch.nn.functional, self.parameters
        self.seen += 1
        for i in range(len(self.sizes) - 1):
            x = linear(x, p[f"{i}.weight"], p[f"{i}.bias"])
            if f"{i}.gain" in p:
                mean, variance = self.statistics[f"{i}.mean"], self.statistics[f"{i}.variance"]
                momentum = 1.0 / self.seen
                weights = p[f"{i}.gain"], p[f"{i}.offset"]
                x = functional.relu(functional.batch_norm(x, mean, variance, *weights, True, momentum, MOMENTUM_EPS))
        return x

    def state(self) -> dict[str, Tensor]:
        """Everything that a fitted network consists of."""
        return self.parameters | self.statistics

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        with torch.no_grad():
            for name, tensor in self.state().items():
                tensor.copy_(state[name])
