"""Networks of gated deep clustering, and the coding rates that its losses are made of."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from kithkin.models.deep.config import DeepConfig
from kithkin.models.nn.autograd import log_determinant
from kithkin.models.nn.gates import closed_gates
from kithkin.models.nn.layers import Layers


class Networks(nn.Module):
    """Autoencoder, gate network, clustering head, cluster classifier and the gates of the clusters.

    The classifier is None until it is added: it is as wide as the gate network, and only its own phase trains it.
    """

    def __init__(self, config: DeepConfig, n_columns: int, seed: int, device: str) -> None:
        super().__init__()
        widths = config.encdec or ()
        middle, K, std = len(widths) // 2, config.n_clusters, config.init_std
        generator = torch.Generator().manual_seed(seed)

        def layers(*sizes: int, normal: bool = True) -> Layers:
            return Layers(sizes, normal=normal, std=std, generator=generator, device=device)

        self._config, self._seed = config, seed

        self.gated = config.gates
        self.encoder = layers(n_columns, *widths[: middle + 1])
        self.decoder = layers(*widths[middle:], n_columns)
        self.gates = layers(n_columns, config.gates_hidden_dim or 64, n_columns, normal=False)
        if std is None:
            with torch.no_grad():
                self.gates.layers[1].weight.mul_(0.1)
        self.head = layers(widths[middle], config.clustering_hidden_dim, K)
        self.classifier: Layers | None = None
        self.table = nn.Parameter((0.01 * torch.randn(K, n_columns, generator=generator)).to(device))

    def add_classifier(self) -> Layers:
        """Draw the classifier, unless it is there, and return it."""
        if self.classifier is None:
            K, n_columns = self.table.shape
            sizes, generator = (
                (n_columns, self._config.aux_hidden_dim, K),
                torch.Generator().manual_seed(self._seed + 1),
            )
            std, device = self._config.init_std, str(self.table.device)
            self.classifier = Layers(sizes, std=std, generator=generator, device=device)
        return self.classifier

    def open_gates(self, x: Tensor) -> Tensor:
        """Return the gates of rows without noise; ones for the ablation."""
        return closed_gates(self.gates(x), x) if self.gated else torch.ones_like(x)

    def responsibilities(self, h: Tensor) -> Tensor:
        """Return the responsibilities of the clusters for embedded rows, n x K, without gradient."""
        with torch.no_grad():
            out: Tensor = self.head(h, training=False).softmax(1)
        return out

    def cluster_gates(self) -> Tensor:
        """Return the gates of the clusters without noise, K x p, without gradient."""
        return (self.table.detach().tanh() + 0.5).clamp(0.0, 1.0)

    def reorder(self, order: Tensor) -> None:
        """Renumber the clusters, in everything that has a row for each."""
        last = [layers.layers[1] for layers in (self.head, self.classifier) if layers is not None]
        with torch.no_grad():
            for tensor in (self.table, *(part for layer in last for part in (layer.weight, layer.bias))):
                tensor.copy_(tensor[order].clone())


def gate_coding_rate(z: Tensor, eps: float) -> Tensor:
    """Return the coding rate of the gates of a batch, per row: logdet(I + p / (B eps) z z') / (2 B).

    The B x B form of the determinant of p x p: the same value, and a far more accurate gradient.
    """
    rows, columns = z.shape
    gram = (z @ z.T).float() * (columns / (rows * eps))
    return log_determinant(gram + torch.eye(rows, device=z.device)) / (2 * rows)


def cluster_coding_rate(h: Tensor, responsibilities: Tensor, eps: float) -> Tensor:
    """Return the coding rate of the clusters, each coded on its own, which a good clustering makes small.

    The embedding is B x d and brought to rows of length one; the responsibilities are B x K.
    """
    rows, width = h.shape
    w = torch.nn.functional.normalize(h, dim=1)
    sizes = responsibilities.sum(0)
    spread = torch.einsum("bi,bk,bj->kij", w, responsibilities, w)
    matrices = torch.eye(width, device=h.device) + spread * (width / ((sizes + 1e-8) * eps))[:, None, None]
    return (sizes / (2 * rows) * log_determinant(matrices)).sum() / width


def gumbel_softmax(logits: Tensor, tau: float, generator: torch.Generator) -> Tensor:
    """Return the Gumbel softmax of logits at temperature tau."""
    uniform = torch.rand(logits.shape, generator=generator, device=logits.device).clamp_(1e-9, 1 - 1e-7)
    return ((logits.log_softmax(1) - (-uniform.log()).log()) / tau).softmax(1)
