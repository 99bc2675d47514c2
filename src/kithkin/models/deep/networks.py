"""Layers, gates and losses of gated deep clustering, as functions of plain tensors."""

from __future__ import annotations

from typing import Any

from kithkin.models.deep.config import DeepConfig
from kithkin.models.nn.autograd import log_determinant
from kithkin.models.nn.layers import Layers
from kithkin.models.nn.torch import Tensor, torch


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
