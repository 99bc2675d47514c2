"""Pre-training of the autoencoder, without gates and with them."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import torch
from torch import Tensor

from kithkin.core.blocks import Array
from kithkin.models.deep.networks import gate_coding_rate
from kithkin.models.deep.phase import Phase, State, adam, cosine_rate
from kithkin.models.deep.start import explained_variance, initial_responsibilities
from kithkin.models.nn.adam import Adam
from kithkin.models.nn.autograd import version_errors
from kithkin.models.nn.gates import OPEN, PenaltyWeight, gate_penalty, noisy_gates

RAMP = 0.5  # fraction of the phase of the gates in which the number of open ones falls to the wanted one
FIRST = 0.1  # of the error of the first gated batch: the weight from which it starts


class Autoencoder(Phase):
    """Pre-training of the autoencoder: plain, masked and noisy reconstruction."""

    name: ClassVar[str] = "autoencoder"
    parts: ClassVar[tuple[str, ...]] = ("plain", "masked", "noisy")

    def __init__(self, state: State, optimizer: Adam | None = None) -> None:
        super().__init__(state)
        n = self.networks
        self.optimizer = (
            adam(self.config.lr_pretrain, n.encoder, n.decoder, n.gates) if optimizer is None else optimizer
        )
        self.optimizers = [self.optimizer]
        self.progress = 0.0  # fraction of the epochs of the phase that is done

    def batches(self, number: int) -> Iterator[tuple[Array, Tensor]]:
        """Yield the batches of an epoch; the learning rate falls over this phase and that of the gates together."""
        epochs, steps = self.config.phases(), self.state.batches.n_batches
        whole, absolute = (epochs["autoencoder"] + epochs["gates"]) * steps, self.first + number
        for step, (rows, batch) in enumerate(self.state.batches.epoch(absolute)):
            done = (absolute * steps + step) / whole
            self.optimizer.rate = cosine_rate(self.config.lr_pretrain, self.config.min_lr_pretrain, done)
            self.progress = (number + (step + 1) / steps) / max(self.n_epochs, 1)
            yield rows, self.state.tensor(batch)

    def rates(self) -> dict[str, float]:
        """Return the learning rate."""
        return {"pretrain": self.optimizer.rate}

    def loss(self, rows: Any, x: Tensor) -> tuple[Tensor, Tensor]:  # noqa: ARG002
        """Compute the reconstruction errors."""
        return self.plain_loss(x)[:2]

    def plain_loss(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, parts and embedding: two passes of the encoder and three of the decoder, each one product."""
        rows = len(x)
        with self.state.autocast():
            h = self.networks.encoder.versions(x, [None, self.mask(x)]).reshape(rows, 2, -1)
            wide = torch.cat([h, self.noisy(h[:, :1])], 1).reshape(3 * rows, -1)
            output = self.networks.decoder(wide, groups=3)
        errors = version_errors(output, x)
        return 2 * errors[0] + errors[1] + errors[2], errors.detach(), h[:, 0]

    def mask(self, x: Tensor) -> Tensor:
        """Draw which values the encoder sees."""
        draw = torch.rand(x.shape, generator=self.state.generator, device=x.device)
        return draw >= self.config.mask_percentage

    def noisy(self, h: Tensor) -> Tensor:
        """Multiply the embedding by noise."""
        noise = torch.randn(h.shape, generator=self.state.generator, device=h.device, dtype=h.dtype)
        return h * (1 + self.config.latent_noise_std * noise)


class GatedAutoencoder(Autoencoder):
    """Training of autoencoder and gates: reconstruction, sparsity penalty, coding rate of the gates and the start.

    It goes on with the optimiser of the autoencoder. The clustering head learns the initial responsibilities by the
    way; they are found from the principal components that `scores` returns.
    """

    name = "gates"
    parts = ("plain", "gated", "masked", "noisy", "penalty", "coding_rate", "open", "start")

    def __init__(self, state: State, optimizer: Adam, head: Adam, scores: Callable[[], Array]) -> None:
        super().__init__(state, optimizer)
        self.head, self.scores = head, scores
        self.penalty_weight = PenaltyWeight(self.config.local_gates_lambda, state.device)
        self.weighed = False
        self.column_weights = torch.ones(state.n_columns, device=state.device)
        width = self.config.gtcr_projection_dim
        self.projection: Tensor | None = None
        if width is not None:
            draws = torch.Generator().manual_seed(state.seed)
            self.projection = torch.randn(state.n_columns, width, generator=draws) / width**0.5
            kind = torch.bfloat16 if state.mixed else torch.float32
            self.projection = self.projection.to(state.device, kind)  # of random numbers, few digits do as well

    def begin(self, done: int) -> None:  # noqa: ARG002
        """Find the start, and weigh columns by the variance that it explains."""
        state, config = self.state, self.config
        if state.responsibilities is None and config.start != "none":
            start = initial_responsibilities(self.scores(), config.n_clusters, config.start, state.seed)
            state.responsibilities = state.tensor(start)
        if state.responsibilities is None:
            return
        if config.focus > 0:
            explained = explained_variance(state.batches, state.responsibilities.cpu().numpy())
            relative = explained / max(float(explained.mean()), 1e-12)
            self.column_weights = state.tensor(1 - config.focus + config.focus * relative)
        if config.guide > 0:
            self.optimizers = [self.optimizer, self.head]

    def end(self) -> None:
        """Let go of what only the autoencoder needs, which of a wide table is more than all that follows."""
        self.optimizer.state.clear()
        self.projection = None

    def settles_at(self) -> float:
        """Return the epoch by which the gates have had time to close."""
        return RAMP * self.n_epochs

    def weight(self, part: str) -> float:
        """Return the weight of a part when convergence is judged: the start has its own."""
        return self.config.guide if part == "start" else 1.0

    def loss(self, rows: Array, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute all terms; the ablation has the same parts, of which those of the gates are zero."""
        zero, responsibilities, start = self.zero, self.state.responsibilities, self.zero
        if self.config.gates:
            loss, parts, h = self.gated_loss(x)
        else:
            loss, plain, h = self.plain_loss(x)
            parts = torch.stack([plain[0], zero, plain[1], plain[2], zero, zero, zero])
        if responsibilities is not None and self.config.guide > 0:
            logits = self.networks.head(h.float())
            start = torch.nn.functional.cross_entropy(logits, responsibilities[self.state.tensor(rows)])
            loss = loss + self.config.guide * start
        return loss, torch.cat([parts, start.detach()[None]])

    def gated_loss(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return loss, parts and embedding: three passes of the encoder, four of the decoder, and the gates' terms."""
        rows, config = len(x), self.config
        with self.state.autocast():
            mu = self.networks.gates(x).float()
            z = noisy_gates(mu, self.state.generator)
            h = self.networks.encoder.versions(x, [None, z, self.mask(x)]).reshape(rows, 3, -1)
            wide = torch.cat([h, self.noisy(h[:, :1])], 1).reshape(4 * rows, -1)
            output = self.networks.decoder(wide, groups=4)
        errors = version_errors(output, x, self.column_weights)
        penalty = gate_penalty(mu)
        loss = errors.sum() + self.sparsity_weight(mu, errors) * penalty
        rate = torch.zeros((), device=x.device)
        if config.coding_rate and config.gtcr_lambda > 0:
            counted = z if config.gtcr_of == "open" else z * (x != 0)
            matrix = self.projection
            projected = counted if matrix is None else (counted.to(matrix.dtype) @ matrix).float()
            rate = gate_coding_rate(projected, config.gtcr_eps)
            loss = loss - config.gtcr_lambda * rate
        parts = torch.cat([errors.detach(), torch.stack([penalty.detach(), rate.detach(), count_open(mu)])])
        return loss, parts, h[:, 1]

    def sparsity_weight(self, mu: Tensor, errors: Tensor) -> Tensor:
        """Return the weight of the penalty: along the published ramp, or towards the wanted number of open gates."""
        wanted = self.config.n_features
        if wanted is None or isinstance(wanted, str):
            return self.penalty_weight.value * (0.5 * (1 - math.cos(math.pi * min(self.progress, 1.0))))
        if not self.weighed:
            self.weighed = True
            self.penalty_weight.begin(FIRST * errors.detach().sum())
        # how many are open counts in the end, but their sum answers at once
        part = 0.5 * max(0.0, 1.0 - self.progress / RAMP)
        count = (1 - part) * count_open(mu) + part * (mu.detach() + 0.5).clamp(0.0, 1.0).sum(1).mean()
        # from three quarters of all columns to the wanted number, evenly in the logarithm
        ramp, first = min(self.progress / RAMP, 1.0), math.log(max(0.75 * mu.shape[1], 1e-3))
        target = math.exp((1 - ramp) * first + ramp * math.log(max(wanted, 1e-3)))
        return self.penalty_weight.follow(count, target)

    def tensors(self) -> dict[str, Tensor]:
        """Return the state of the penalty's weight."""
        return {"weight": self.penalty_weight.value, "weight_least": self.penalty_weight.least}


def count_open(mu: Tensor) -> Tensor:
    """Return the mean number of open gates of a row."""
    return (mu.detach() + 0.5 >= OPEN).sum(1).float().mean()
