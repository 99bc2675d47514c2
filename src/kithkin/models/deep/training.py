"""The phases of gated deep clustering: autoencoder, gates, head, gates of clusters."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from scipy import sparse

from kithkin.core.blocks import Array, InMemory
from kithkin.core.execute import Execution, track
from kithkin.models.deep.config import DeepConfig
from kithkin.models.deep.networks import Networks, cluster_coding_rate, gate_coding_rate, gumbel_shares
from kithkin.models.deep.start import leading_scores, settled, start_shares, told_apart
from kithkin.models.nn.batches import ASIDE, Batches, Scale
from kithkin.models.nn.gates import OPEN, Weight, closed_gates, gate_penalty, noisy_gates
from kithkin.models.nn.torch import Tensor, torch

PHASES = ("autoencoder", "gates", "head", "classifier")
PARTS = {
    "autoencoder": ("plain", "masked", "noisy"),
    "gates": ("plain", "gated", "masked", "noisy", "penalty", "coding_rate", "open", "start"),
    "head": ("start", "compression"),
    "classifier": ("compression", "cross_entropy", "penalty", "open"),
}
RAMP = 0.5  # share of the phase of the gates in which the number of open ones falls to the wanted one
FIRST = 0.1  # of the error of the first gated batch: the weight from which it starts
DENSE = 0.25  # share of open gates above which the gated table is not kept ...
COUNTS = ("soft", "open", "open_nonzero")
CLEAR = 0.55  # a gate of a cluster above is open
FEW = 256  # ... unless rows have fewer than this


class Training:
    """One training, from one seed.

    Parameters
    ----------
    config
        Resolved.
    batches
        Of the table.
    seed
        Of weights, order and noise.
    device
        Where it runs.
    mixed
        Whether products are in half the bits.
    execution
        For progress.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> X = np.random.default_rng(0).random((20, 3))
    >>> config = DeepConfig(2, start="kmeans", gates_by="classifier", max_epochs=4, ae_non_gated_epochs=0,
    ...     ae_pretrain_epochs=1, start_global_gates_training_on_epoch=3).resolved(20, 3)
    >>> training = Training(config, Batches(InMemory(X), Scale.of(X, "minmax"), 10), 0)
    >>> training.run()
    >>> [row["phase"] for row in training.history]
    ['autoencoder', 'gates', 'head', 'classifier']
    """

    def __init__(
        self,
        config: DeepConfig,
        batches: Batches,
        seed: int,
        device: str = "cpu",
        mixed: bool = False,
        execution: Execution | None = None,
    ) -> None:
        self.config, self.batches, self.seed, self.device, self.mixed = config, batches, seed, device, mixed
        self.execution = Execution(progress=False) if execution is None else execution
        self.n_columns = batches.width
        self.networks = Networks(config, self.n_columns, seed, device)
        self.generator = torch.Generator(device)
        self.history: list[dict[str, Any]] = []
        self.phase, self.done = 0, 0
        self.weight = Weight(config.local_gates_lambda, device)
        self.global_weight = Weight(config.global_gates_lambda, device, config.n_clusters)
        self.weighed = False
        self.every = 0
        self._traces: list[tuple[int, tuple[str, ...], Tensor]] = []
        self.after_epoch: Callable[[Training], None] | None = None
        self.after_phase: Callable[[Training], None] | None = None
        self.optimizers: dict[str, Any] = {}
        self.embedding: Tensor = None
        self.labels: Tensor = None
        self.shares: Tensor = None
        self.target: Tensor = None  # what the head learns: the shares, as they settle in the embedding
        self.column_weights: Tensor = torch.ones(self.n_columns, device=device)
        self.counts: dict[str, float] = {}
        self.gates: sparse.csr_matrix | None = None
        self._gated: Batches | None = None

    def run(self) -> None:
        """Train from where it stands to the end."""
        epochs = self.config.phases()
        while self.phase < len(PHASES):
            name = PHASES[self.phase]
            self._enter(name)
            if name == "gates" and self.done == 0:
                self._reached()  # the start took a while
            bar = track(range(self.done, epochs[name]), self.execution, name, unit="epoch")
            for number in bar:
                if self._converged(name):
                    break
                self._epoch(name, number, epochs)
                self.done = number + 1
                tell = getattr(bar, "set_postfix_str", None)
                if tell is not None:
                    tell(" ".join(f"{part} {self.history[-1][part]:.3g}" for part in PARTS[name]), refresh=False)
                if self.after_epoch is not None:
                    self.after_epoch(self)
            self._leave(name)
            self.phase, self.done = self.phase + 1, 0
            self._reached()

    def _reached(self) -> None:
        if self.after_phase is not None:
            self.after_phase(self)

    def _epoch(self, name: str, number: int, epochs: dict[str, int]) -> None:
        absolute = number + sum(epochs[earlier] for earlier in PHASES[: self.phase])
        mixed = int(np.random.SeedSequence([self.seed, absolute]).generate_state(1, np.uint64)[0] >> 1)
        self.generator.manual_seed(mixed)
        step = {"autoencoder": self._auto_steps, "gates": self._auto_steps}
        step |= {"head": self._head_steps, "classifier": self._classifier_steps}
        total = torch.zeros(len(PARTS[name]), device=self.device)
        count = 0
        for values in step[name](absolute, number, epochs):
            total += values
            count += 1
            if self.every and (absolute * self.batches.n_batches + count) % self.every == 0:
                self._traces.append((absolute * self.batches.n_batches + count, PARTS[name], values))
        means = (total / max(count, 1)).tolist()
        self.history.append({"phase": name, "epoch": absolute, **dict(zip(PARTS[name], means, strict=True))})

    def _converged(self, name: str) -> bool:
        """Whether the loss of a phase has stopped falling; the gates must have had time to close."""
        rows = [row for row in self.history if row["phase"] == name]
        # gates must have closed, and a head that goes on by the coding rate must have turned to it
        later = name == "gates" or (name == "head" and self.config.refine and self.shares is not None)
        first = RAMP * self.config.phases()[name] if later else 0
        if self.config.tolerance <= 0 or len(rows) < first + 2 * self.config.patience:
            return False
        parts = [part for part in PARTS[name] if part not in ("open", "penalty", "coding_rate")]
        weight = {"start": self.config.guide} if name == "gates" else {}
        losses = [sum(weight.get(part, 1.0) * row[part] for part in parts) for row in rows]
        before = min(losses[int(first) : -self.config.patience])
        return bool(min(losses[-self.config.patience :]) > before * (1 - self.config.tolerance))

    def take_traces(self) -> list[tuple[int, dict[str, float]]]:
        """Parts of the loss at every few steps since the last call: the only place that waits for the device."""
        found = [(step, dict(zip(names, values.tolist(), strict=True))) for step, names, values in self._traces]
        self._traces = []
        return found

    def finish(self) -> None:
        """Have embedding and labels, also where nothing was left to train."""
        if self.embedding is None:
            self._freeze(statistics=False)
            self._label()

    def optimizer(self, name: str) -> Any:
        """The optimiser of "pretrain", "head" or "classifier", made at its first use."""
        if name not in self.optimizers:
            n, config = self.networks, self.config
            about: dict[str, tuple[list[Any], float]] = {
                "pretrain": ([n.encoder, n.decoder, n.gates], config.lr_pretrain),
                "head": ([n.head], config.lr_clustering),
                "classifier": ([n.classifier], config.lr_aux_classifier),
            }
            layers, rate = about[name]
            parameters = [tensor for part in layers for tensor in part.parameters.values()]
            parameters += [n.table] if name == "classifier" else []
            self.optimizers[name] = torch.optim.Adam(parameters, lr=rate, fused=True)
        return self.optimizers[name]

    def _rate(self, name: str, rate: float) -> Any:
        """The optimiser, at a learning rate."""
        optimizer = self.optimizer(name)
        for group in optimizer.param_groups:
            group["lr"] = rate
        return optimizer

    @contextmanager
    def _products(self) -> Iterator[None]:
        with torch.autocast(self.device.partition(":")[0], torch.bfloat16, enabled=self.mixed):
            yield

    def _tensor(self, x: Array) -> Tensor:
        return torch.from_numpy(x).to(self.device, non_blocking=True)

    # autoencoder, without and with gates

    def _auto_steps(self, absolute: int, number: int, epochs: dict[str, int]) -> Iterator[Tensor]:
        steps, later = self.batches.n_batches, self.phase == 1
        whole = (epochs["autoencoder"] + epochs["gates"]) * steps
        guided = later and self.shares is not None and self.config.guide > 0
        optimizers = [self.optimizer("pretrain"), *([self.optimizer("head")] if guided else [])]
        zero = torch.zeros((), device=self.device)
        for step, (rows, batch) in enumerate(self.batches.epoch(absolute)):
            done = (absolute * steps + step) / whole
            self._rate("pretrain", _cosine(self.config.lr_pretrain, self.config.min_lr_pretrain, done))
            share, x, told = (number + (step + 1) / steps) / max(epochs["gates"], 1), self._tensor(batch), zero
            loss, parts, h = self._gated_loss(x, share) if later and self.config.gates else self._plain_loss(x)
            if guided:
                told = torch.nn.functional.cross_entropy(self.networks.head(h.float()), self.shares[self._tensor(rows)])
                loss = loss + self.config.guide * told
            for optimizer in optimizers:
                optimizer.zero_grad(set_to_none=True)
            loss.backward()
            for optimizer in optimizers:
                optimizer.step()
            if later and not self.config.gates:  # the ablation: the same phase, the same parts
                parts = torch.stack([parts[0], zero, parts[1], parts[2], zero, zero, zero])
            yield torch.cat([parts, told.detach()[None]]) if later else parts

    def _plain_loss(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Two passes through the encoder and three through the decoder, each as one product."""
        rows, width = x.shape
        with self._products():
            h = self.networks.encoder.versions(x, [None, self._mask(x)]).reshape(rows, 2, -1)
            wide = torch.cat([h, self._noisy(h[:, :1])], 1).reshape(3 * rows, -1)
            found = self.networks.decoder(wide, groups=3).reshape(rows, 3, width)
        errors = (found.float() - x[:, None]).square_().mean((0, 2))
        return 2 * errors[0] + errors[1] + errors[2], errors.detach(), h[:, 0]

    def _gated_loss(self, x: Tensor, share: float) -> tuple[Tensor, Tensor, Tensor]:
        """Three passes through the encoder and four through the decoder, each as one product; the gates' own terms."""
        rows, width = x.shape
        config = self.config
        with self._products():
            mu = self.networks.gates(x).float()
            z = noisy_gates(mu, self.generator)
            h = self.networks.encoder.versions(x, [None, z, self._mask(x)]).reshape(rows, 3, -1)
            wide = torch.cat([h, self._noisy(h[:, :1])], 1).reshape(4 * rows, -1)
            found = self.networks.decoder(wide, groups=4).reshape(rows, 4, width)
        errors = ((found.float() - x[:, None]).square_() * self.column_weights).mean((0, 2))
        penalty = gate_penalty(mu)
        loss = errors.sum() + self._sparsity(mu, errors, share) * penalty
        rate = torch.zeros((), device=x.device)
        if config.coding_rate and config.gtcr_lambda > 0:
            counted = z if config.gtcr_of == "open" else z * (x != 0)
            rate = gate_coding_rate(self._projected(counted), config.gtcr_eps)
            loss = loss - config.gtcr_lambda * rate
        parts = torch.cat([errors.detach(), torch.stack([penalty.detach(), rate.detach(), _opened(mu)])])
        return loss, parts, h[:, 1]

    def _sparsity(self, mu: Tensor, errors: Tensor, share: float) -> Tensor:
        """Weight of the penalty: along the published ramp, or towards the wanted number of open gates."""
        wanted = self.config.n_features
        if wanted is None or isinstance(wanted, str):
            return self.weight.value * (0.5 * (1 - math.cos(math.pi * min(share, 1.0))))
        if not self.weighed:
            self.weighed = True
            self.weight.begin(FIRST * errors.detach().sum())
        # how many are open counts in the end, but their sum answers at once
        part = 0.5 * max(0.0, 1.0 - share / RAMP)
        count = (1 - part) * _opened(mu) + part * (mu.detach() + 0.5).clamp(0.0, 1.0).sum(1).mean()
        return self.weight.follow(count, _narrowing(0.75 * mu.shape[1], wanted, share / RAMP))

    def _projected(self, z: Tensor) -> Tensor:
        width = self.config.gtcr_projection_dim
        if width is None:
            return z
        if not hasattr(self, "_projection"):
            draws = torch.Generator().manual_seed(self.seed)
            self._projection = (torch.randn(z.shape[1], width, generator=draws) / width**0.5).to(z.device)
        return z @ self._projection

    def _mask(self, x: Tensor) -> Tensor:
        draw = torch.rand(x.shape, generator=self.generator, device=x.device)
        return draw >= self.config.mask_percentage

    def _noisy(self, h: Tensor) -> Tensor:
        noise = torch.randn(h.shape, generator=self.generator, device=h.device, dtype=h.dtype)
        return h * (1 + self.config.latent_noise_std * noise)

    # head on the embedding, which is fixed

    def _enter(self, name: str) -> None:
        """Make ready what a phase works on."""
        if name == "gates" and self.shares is None and self.config.start != "none":
            scores = leading_scores(self.batches.blocks, self.batches.scale, self.seed, self.execution)
            self.shares = self._tensor(start_shares(scores, self.config.n_clusters, self.config.start, self.seed))
        if name == "gates" and self.shares is not None and self.config.focus > 0:
            told = told_apart(self.batches, self.shares.cpu().numpy())
            even = told / max(float(told.mean()), 1e-12)
            self.column_weights = self._tensor(1 - self.config.focus + self.config.focus * even)
        if name == "head":
            self._freeze()
            if self.shares is not None and self.config.settle:
                self.target = self._tensor(settled(self.embedding.cpu().numpy(), self.shares.cpu().numpy()))
        if name == "classifier" and self.config.phases()[name]:
            if self.embedding is None:
                self._freeze(statistics=False)
                self._label()
            if self.done == 0:
                self._start_table()

    def _leave(self, name: str) -> None:
        if name == "head" or (name == "classifier" and self.config.refine):
            self._label(statistics=True)

    def _freeze(self, statistics: bool = True) -> None:
        """Take the statistics of the encoder on gated rows, embed all rows, and keep their gates."""
        with torch.no_grad():
            if statistics:
                self.networks.encoder.seen = 0
                for _, batch in self.batches.epoch(ASIDE):
                    x = self._tensor(batch)
                    self.networks.encoder.take_statistics(x * self.open_gates(x))
            parts, gates, values, kept = [], [], [], self.config.gates
            counts, used = torch.zeros(3, device=self.device), torch.zeros(self.n_columns, device=self.device)
            room = self.batches.blocks.shape[0] * max(FEW, DENSE * self.n_columns)
            for _, batch in self.batches.ordered():
                x = self._tensor(batch)
                z = self.open_gates(x)
                parts.append(self.networks.encoder(x * z, training=False))
                counts += torch.stack([z.sum(), (z > 0).sum(), ((z > 0) & (x != 0)).sum()])
                used += (z > 0).sum(0)
                if kept:
                    gates.append(sparse.csr_matrix(z.cpu().numpy()))
                    values.append(sparse.csr_matrix((x * z).cpu().numpy()))
                    kept = sum(part.nnz for part in gates) <= room
            self.embedding = torch.cat(parts)
            n = len(self.embedding)
            self.counts = dict(zip(COUNTS, (counts.double() / n).tolist(), strict=True)) | {
                "union": int((used > 0).sum())
            }
        self.gates = sparse.vstack(gates, "csr") if kept else None
        if kept:
            none = Scale("none", np.zeros(0, np.float32), np.zeros(0, np.float32))
            table = InMemory(sparse.vstack(values, "csr"))
            self._gated = Batches(table, none, self.batches.batch_size, self.seed)

    def open_gates(self, x: Tensor) -> Tensor:
        """Gates of rows without noise; ones for the ablation."""
        return closed_gates(self.networks.gates(x), x) if self.config.gates else torch.ones_like(x)

    def _head_rate(self, number: float, epochs: dict[str, int]) -> None:
        whole = epochs["head"] + (epochs["classifier"] if self.config.refine else 0)
        config = self.config
        self._rate("head", _cosine(config.lr_clustering, config.min_lr_clustering, number / max(whole, 1)))

    def _head_steps(self, absolute: int, number: int, epochs: dict[str, int]) -> Iterator[Tensor]:  # noqa: ARG002
        size = self.batches.batch_size
        order = torch.randperm(len(self.embedding), generator=self.generator, device=self.device)
        guided = self.shares is not None and (not self.config.refine or number < epochs["head"] / 2)
        self._head_rate(number, epochs)
        for first in range(0, len(order) - size + 1, size):
            rows = order[first : first + size]
            yield self._head_step(rows, guided)

    def _head_step(self, rows: Tensor, guided: bool) -> Tensor:
        h, zero = self.embedding[rows], torch.zeros((), device=self.device)
        logits = self.networks.head(h)
        if guided:
            target = self.shares if self.target is None else self.target
            loss = torch.nn.functional.cross_entropy(logits, target[rows])
            parts = torch.stack([loss.detach(), zero])
        else:
            shares = gumbel_shares(logits, self.config.tau, self.generator)
            loss = cluster_coding_rate(h, shares, self.config.eps)
            parts = torch.stack([zero, loss.detach()])
        optimizer = self.optimizer("head")
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return parts

    def _label(self, statistics: bool = False) -> None:
        """Label all rows by the head."""
        with torch.no_grad():
            if statistics:
                self.networks.head.seen = 0
                for part in self.embedding.split(self.batches.batch_size):
                    if len(part) > 1:
                        self.networks.head.take_statistics(part)
            self.labels = self.networks.head(self.embedding, training=False).argmax(1)

    # gates of whole clusters, by a classifier that sees them only

    def _start_table(self) -> None:
        """Start the gates of a cluster from the mean gates of its rows, the most open one at 1."""
        labels, K = self.labels.cpu().numpy(), self.config.n_clusters
        sums = np.zeros((K, self.n_columns))
        if self.gates is not None:
            member = sparse.csr_matrix((np.ones(len(labels)), (labels, np.arange(len(labels)))), (K, len(labels)))
            sums = np.asarray((member @ self.gates).todense())
        elif self.config.gates:
            with torch.no_grad():
                for first, batch in self.batches.ordered():
                    z = self.open_gates(self._tensor(batch)).cpu().numpy()
                    np.add.at(sums, labels[first : first + len(z)], z)
        else:
            return
        most = sums.max(1, keepdims=True)
        mean = np.where(most > 0, sums / np.where(most > 0, most, 1), 0.5)
        with torch.no_grad():
            self.networks.table.copy_(self._tensor(np.arctanh(0.9 * (mean - 0.5)).astype(np.float32)))

    def wanted_global(self) -> float:
        """Open features wanted in a cluster: as asked for, or as many as rows have, but 8 % of all or 3 at most."""
        if self.config.n_global_features:
            return self.config.n_global_features
        opened = 0.08 * self.n_columns if self.gates is None else self.gates.nnz / self.gates.shape[0]
        return max(1.0, min(opened, max(0.08 * self.n_columns, 3.0)))

    def _classifier_steps(self, absolute: int, number: int, epochs: dict[str, int]) -> Iterator[Tensor]:
        networks, config = self.networks, self.config
        zero, high = torch.zeros((), device=self.device), config.lr_aux_classifier
        wanted = 0.0 if config.n_global_features == 0 else self.wanted_global()
        optimizer = self._rate("classifier", _cosine(high, 0.01 * high, number / epochs["classifier"]))
        self._head_rate(epochs["head"] + number, epochs)
        for rows, batch in (self._gated or self.batches).epoch(absolute):
            x, places, compression = self._tensor(batch), self._tensor(rows), zero
            if config.refine:
                compression = self._head_step(places, False)[1]
                with torch.no_grad():
                    y = networks.head(self.embedding[places]).argmax(1)
            else:
                y = self.labels[places]
            if self._gated is None:
                with torch.no_grad():
                    x = x * self.open_gates(x)
            parts = self._classifier_step(x, y, optimizer, wanted)
            yield torch.cat([compression[None], parts])

    def _classifier_step(self, x: Tensor, y: Tensor, optimizer: Any, wanted: float) -> Tensor:
        mu = self.networks.table.tanh()
        of_rows = mu[y]
        with self._products():
            logits = self.networks.classifier(x * noisy_gates(of_rows, self.generator))
        entropy = torch.nn.functional.cross_entropy(logits.float(), y)
        opened = (mu.detach() + 0.5 >= CLEAR).sum(1).float()
        # each cluster has its own weight, or a large one would spend the features of all
        weight = self.global_weight.follow(opened, wanted) if wanted > 0 else self.global_weight.value
        penalties = gate_penalty(mu, dim=1)
        loss = entropy + (weight * penalties)[y].mean()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        return torch.stack([entropy.detach(), penalties.detach().mean(), opened.mean()])


def _opened(mu: Tensor) -> Tensor:
    return (mu.detach() + 0.5 >= OPEN).sum(1).float().mean()


def _cosine(high: float, low: float, share: float) -> float:
    return low + 0.5 * (high - low) * (1 + math.cos(math.pi * min(share, 1.0)))


def _narrowing(first: float, last: float, share: float) -> float:
    """From first to last, evenly in the logarithm."""
    share = min(share, 1.0)
    return float(math.exp((1 - share) * math.log(max(first, 1e-3)) + share * math.log(max(last, 1e-3))))
