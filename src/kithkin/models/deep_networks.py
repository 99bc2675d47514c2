"""Layers, gates and losses of gated deep clustering, as functions of plain tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kithkin.models.deep_config import DeepConfig
from kithkin.models.deep_products import linear, log_determinant, versions_linear
from kithkin.models.deep_torch import Tensor, torch

MOMENTUM_EPS = 1e-5  # of batch normalisation
NOISE = 0.25  # standard deviation of the noise on a gate in training
GAIN = 0.02  # how fast a weight of sparsity follows the number of open gates
LOWEST = 0.05  # of its first value: the least that it falls to while gates close by themselves
LEAN = 2.0  # how much it leans against what is too many or too few at once, which keeps it from swinging
OPEN = 0.1  # a gate below is closed


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


class Networks:
    """All that is trained.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> Networks(DeepConfig(2).resolved(100, 5), 5, 0, "cpu").encoder.sizes
    (5, 256, 256, 512, 10)
    """

    def __init__(self, config: DeepConfig, n_columns: int, seed: int, device: str) -> None:
        widths = config.encdec or ()
        middle = len(widths) // 2
        generator = torch.Generator().manual_seed(seed)
        about: dict[str, Any] = {"std": config.init_std, "generator": generator, "device": device}
        self.encoder = Layers((n_columns, *widths[: middle + 1]), **about)
        self.decoder = Layers((*widths[middle:], n_columns), **about)
        small = about | {"std": 0.001 if config.init_std is None else config.init_std}
        hidden = about if config.init_std is None else small
        self.gates = Layers((n_columns, config.gates_hidden_dim or 64, n_columns), normal=False, **hidden)
        with torch.no_grad():
            self.gates.parameters["1.weight"].mul_(0.1 if config.init_std is None else 1.0)
        self.head = Layers((widths[middle], config.clustering_hidden_dim, config.n_clusters), **about)
        self.classifier = Layers((n_columns, config.aux_hidden_dim, config.n_clusters), **about)
        table = 0.01 * torch.randn(config.n_clusters, n_columns, generator=generator)
        self.table = table.to(device).requires_grad_()

    def state(self) -> dict[str, Tensor]:
        """Every tensor by its name."""
        named = ("encoder", "decoder", "gates", "head", "classifier")
        found = {f"{name}.{key}": value for name in named for key, value in getattr(self, name).state().items()}
        return found | {"table": self.table}

    def load(self, state: dict[str, Tensor]) -> None:
        """Take over what `state` gave."""
        with torch.no_grad():
            for name, tensor in self.state().items():
                tensor.copy_(state[name])


class Weight:
    """Weight of a sparsity penalty that rises while more gates are open than wanted, and falls while fewer are.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> weight = Weight(1.0, "cpu")
    >>> bool(weight.follow(torch.tensor(20.0), 10.0) > 1)
    True
    """

    def __init__(self, start: float, device: str, size: int | None = None) -> None:
        self.value = torch.full(() if size is None else (size,), float(start), device=device)
        self.least = torch.full_like(self.value, 1e-6)

    def begin(self, value: Tensor) -> None:
        """Start anew from a value; it never falls below a twentieth of it, from where it could not rise in time."""
        self.value.copy_(value)
        self.least.copy_(LOWEST * self.value)

    def follow(self, count: Tensor, wanted: float) -> Tensor:
        """Move by what is open and what should be; the weight for this step, which leans further the same way."""
        error = ((count + 0.1) / (wanted + 0.1)).log().clamp(-1.0, 1.0)
        self.value.mul_((GAIN * error).exp()).clamp_(max=1e6)
        torch.maximum(self.value, self.least, out=self.value)
        return self.value * (LEAN * error).exp()


def gate_penalty(mu: Tensor, dim: int | None = None) -> Tensor:
    """Mean probability, of all or along a dimension, that a gate is above zero under noise of one.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> round(float(gate_penalty(torch.zeros(2, 2))), 4)
    0.6915
    """
    return 0.5 * (1 + torch.erf((mu.float() + 0.5) * 0.5**0.5)).mean(dim=dim)


def noisy_gates(mu: Tensor, generator: Any) -> Tensor:
    """Gates with the noise of training, within 0 and 1.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> noisy_gates(torch.full((1, 1), 9.0), torch.Generator()).tolist()
    [[1.0]]
    """
    noise = torch.randn(mu.shape, generator=generator, device=mu.device, dtype=mu.dtype)
    return (mu + 0.5 + NOISE * noise).clamp(0.0, 1.0)


def closed_gates(mu: Tensor, x: Tensor) -> Tensor:
    """Gates without noise: below 0.1 they are closed, and the strongest one on a value that is not zero stays open.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> closed_gates(torch.tensor([[-0.9, -0.8, 0.2]]), torch.tensor([[1.0, 2.0, 0.0]])).ceil().tolist()
    [[0.0, 1.0, 1.0]]
    """
    z = (mu.float() + 0.5).clamp(0.0, 1.0)
    z = torch.where(z >= OPEN, z, torch.zeros_like(z))
    some = x != 0
    shut = ~((z > 0) & some).any(1, keepdim=True) & some.any(1, keepdim=True)
    best = torch.where(some, mu.float(), torch.full_like(z, -9.0)).argmax(1, keepdim=True)
    chosen = torch.zeros_like(z).scatter_(1, best, 1.0)
    return torch.where(shut, torch.maximum(z, chosen), z)


def gate_coding_rate(z: Tensor, eps: float) -> Tensor:
    """How much the gates of a batch differ, for each row: logdet(I + p / (B eps) z z') / (2 B).

    The B x B form of the determinant of p x p: the same value, and a far more accurate gradient.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> alike, different = torch.eye(2)[[0, 0]], torch.eye(2)
    >>> bool(gate_coding_rate(alike, 1.0) < gate_coding_rate(different, 1.0))
    True
    """
    rows, columns = z.shape
    gram = (z @ z.T).float() * (columns / (rows * eps))
    return log_determinant(gram + torch.eye(rows, device=z.device)) / (2 * rows)


def cluster_coding_rate(h: Tensor, shares: Tensor, eps: float) -> Tensor:
    """What it costs to write each cluster down on its own, which a good clustering makes small.

    Parameters
    ----------
    h
        Embedding, B x d, brought to rows of length one.
    shares
        Of the clusters in each row, B x K.
    eps
        Precision.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> h = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [0.0, 1.0]])
    >>> right, wrong = torch.eye(2)[[0, 0, 1, 1]], torch.eye(2)[[0, 1, 0, 1]]
    >>> bool(cluster_coding_rate(h, right, 0.1) < cluster_coding_rate(h, wrong, 0.1))
    True
    """
    rows, width = h.shape
    w = torch.nn.functional.normalize(h, dim=1)
    sizes = shares.sum(0)
    spread = torch.einsum("bi,bk,bj->kij", w, shares, w)
    matrices = torch.eye(width, device=h.device) + spread * (width / ((sizes + 1e-8) * eps))[:, None, None]
    return (sizes / (2 * rows) * log_determinant(matrices)).sum() / width


def gumbel_shares(logits: Tensor, tau: float, generator: Any) -> Tensor:
    """Shares of clusters with Gumbel noise, at temperature tau.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> gumbel_shares(torch.tensor([[99.0, 0.0]]), 1.0, torch.Generator()).round().tolist()
    [[1.0, 0.0]]
    """
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_(1e-9, 1 - 1e-7)
    return ((logits.log_softmax(1) - (-uniform.log()).log()) / tau).softmax(1)
