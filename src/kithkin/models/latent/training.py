"""Training of the networks: two phases, a schedule that follows held-out cells, and checkpoints after epochs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, check
from kithkin.core.execute import Execution, track
from kithkin.models.latent.counts import CountBatches, CountTable
from kithkin.models.latent.networks import CountNetworks
from kithkin.models.nn.adam import Adam
from kithkin.models.nn.device import torch_settings
from kithkin.models.nn.tensors import read_tensors, write_tensors

FORMAT = 1  # of a checkpoint
HELD_OUT, MOST_HELD_OUT, FEWEST_HELD_OUT = 0.05, 5000, 8
FLAT = 0.6  # share of the epochs at the full learning rate, which then falls linearly
WARM = 0.4  # share of the epochs in which the weight of the divergence rises to one
DECAY = 1e-6  # weight decay: takes weights that nothing in the data holds to zero
PATIENCE = 8  # epochs without a better held-out bound until the learning rate falls
CHECKPOINT_SECONDS = 60.0
FEWEST_EPOCHS, LEAST_STEPS = 8, 20  # of a training whose number of epochs is not given; steps of an epoch
PREFIXES = ("now.", "best.")


@dataclass(frozen=True)
class Phase:
    """One phase of a training."""

    name: str
    n_epochs: int
    learning_rate: float
    warm: bool  # whether the weight of the divergence rises from zero
    label_weight: float  # of log q(y | x) of rows with a known cluster


@dataclass
class Progress:
    """Position in a training, as a checkpoint keeps it."""

    phase: int = 0
    epoch: int = 0  # of the phase
    fall: int = -1  # epoch from which the learning rate falls; -1: not known yet
    end: int = -1  # epoch at which the phase ends
    best: float = -math.inf  # held-out bound
    waited: int = 0  # epochs since


class Training:
    """Training of networks on the rows of a table, of which some are held out."""

    def __init__(
        self,
        networks: CountNetworks,
        table: CountTable,
        phases: list[Phase],
        batch_size: int,
        seed: int,
        execution: Execution | None = None,
    ) -> None:
        self.networks, self.phases, self.seed = networks, phases, seed
        self.device = device = str(networks.prior_mean.device)
        self.execution = Execution(progress=False) if execution is None else execution
        n = table.blocks.shape[0]
        free = np.flatnonzero(table.labels < 0)  # a class may have few cells
        n_held = min(int(len(free) * HELD_OUT), MOST_HELD_OUT)
        n_held = n_held if n_held >= FEWEST_HELD_OUT else 0
        held = np.sort(np.random.default_rng(seed).choice(free, n_held, replace=False))
        self.held_out: CountBatches | None = None
        if len(held):
            self.held_out = CountBatches(table.rows(held), batch_size, seed, device)
            table = table.rows(np.setdiff1d(np.arange(n), held))
        self.batches = CountBatches(table, batch_size, seed, device)
        self.generator = torch.Generator(device)
        self.progress = Progress()
        self.history: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}
        self.optimizer = self._optimizer()
        self.before_phase: Callable[[Training], None] | None = None  # called as each phase but the first begins
        self.identity: dict[str, Any] = {}  # of model and table, which a checkpoint must share

    def run(self, checkpoint: Path | None = None) -> None:
        """Train from the current epoch to the end; the networks with the best held-out bound of the last phase stay."""
        written = time.monotonic()
        while self.progress.phase < len(self.phases):
            phase, progress = self.phases[self.progress.phase], self.progress
            if progress.epoch == 0 and progress.phase > 0 and self.before_phase is not None:
                self.before_phase(self)
                self.optimizer = self._optimizer()
            if progress.end < 0:
                progress.fall, progress.end = round(FLAT * phase.n_epochs), phase.n_epochs
            bar = track(range(progress.epoch, phase.n_epochs), self.execution, phase.name, unit="epoch")
            for number in bar:
                if number >= progress.end:
                    break
                self._epoch(phase, number)
                progress.epoch = number + 1
                tell = getattr(bar, "set_postfix_str", None)
                if tell is not None:
                    tell(f"bound {self.history[-1]['bound']:.1f}", refresh=False)
                if checkpoint is not None and time.monotonic() - written >= CHECKPOINT_SECONDS:
                    self.save(checkpoint)
                    written = time.monotonic()
            if self.best:
                self.networks.load_state_dict(self.best)
            self.progress, self.best = Progress(progress.phase + 1), {}
            if checkpoint is not None:
                self.save(checkpoint)

    def _optimizer(self) -> Adam:
        trained = [parameter for parameter in self.networks.parameters() if parameter.requires_grad]
        rate = self.phases[min(self.progress.phase, len(self.phases) - 1)].learning_rate
        return Adam(trained, rate, DECAY)

    def _epoch(self, phase: Phase, number: int) -> None:
        absolute = sum(earlier.n_epochs for earlier in self.phases[: self.progress.phase]) + number
        seed = np.random.SeedSequence([self.seed, absolute]).generate_state(1, np.uint64)[0]
        self.generator.manual_seed(int(seed >> 1))
        n_batches, total = self.batches.n_batches, torch.zeros((), device=self.device)
        weight = 1.0
        for step, batch in enumerate(self.batches.epoch(absolute)):
            done = number + step / n_batches
            if phase.warm:
                weight = min(1.0, (done + 1 / n_batches) / (WARM * phase.n_epochs))
            left = (self.progress.end - done) / max(self.progress.end - self.progress.fall, 1)
            self.optimizer.rate = phase.learning_rate * min(1.0, max(left, 0.01))
            bound, log_q = self.networks.bound(batch, self.generator, weight)
            loss = -(bound.mean() + phase.label_weight * log_q.mean())
            loss.backward()
            self.optimizer.step()
            total += bound.detach().mean()
        row: dict[str, Any] = {
            "phase": phase.name,
            "epoch": absolute,
            "bound": float(total) / n_batches,
            "weight": weight,
        }
        if self.held_out is not None:
            with torch.no_grad():  # decoded at the mean of q(z | y, x)
                parts = [self.networks.bound(batch, None)[0] for _, batch in self.held_out.ordered()]
            row["held_out"] = float(torch.cat(parts).double().mean())
        self.history.append(row)
        if weight == 1.0 and self.held_out is not None:
            self._follow(row["held_out"], number)

    def _follow(self, held_out: float, number: int) -> None:
        """Keep the best networks, and let the learning rate fall early where the held-out bound has stopped rising."""
        progress = self.progress
        progress.waited += 1
        if held_out > progress.best:
            progress.best, progress.waited = held_out, 0
            self.best = {name: tensor.clone() for name, tensor in self.networks.state_dict().items()}
        if progress.waited >= PATIENCE and number < progress.fall:
            progress.fall = number + 1
            progress.end = min(progress.end, number + 1 + math.ceil((number + 1) * (1 - FLAT) / FLAT))
            progress.waited = 0

    def save(self, path: Path) -> None:
        """Write the state of the training."""
        tensors = {f"now.{name}": tensor for name, tensor in self.networks.state_dict().items()}
        tensors |= {f"best.{name}": tensor for name, tensor in self.best.items()}
        for i, parameter in enumerate(self.optimizer.parameters):
            for key, value in self.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{i}.{key}"] = value
        metadata = {"kind": "latent training", "format": FORMAT, "identity": self.identity, "seen": self.networks.seen}
        write_tensors(path, tensors, metadata | {"history": self.history, "progress": asdict(self.progress)})

    def load(self, path: Path) -> None:
        """Restore the state of a training.

        A damaged file raises FormatError; that of another table or other parameters ParameterError.
        """
        tensors, metadata = read_tensors(path, "latent training")
        same = metadata.get("format") == FORMAT and metadata.get("identity") == self.identity
        check(same, f"{path.name} is the checkpoint of another table or other parameters: remove it, or name another")
        now, best = (
            {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            for prefix in PREFIXES
        )
        try:
            self.progress, self.history = Progress(**metadata["progress"]), metadata["history"]
            self.networks.load_state_dict(now)
            self.networks.seen, self.best = metadata["seen"], best
        except (KeyError, TypeError, RuntimeError) as error:
            raise FormatError(f"{path.name} does not hold the training that it announces") from error
        between = self.progress.epoch == 0 and self.progress.phase < len(self.phases)  # clusters are not started yet
        self.networks.train_prior(self.progress.phase > 0 and not between)
        self.optimizer = self._optimizer()
        for i, parameter in enumerate(self.optimizer.parameters):
            prefix = f"optimizer.{i}."
            state = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
            if state:
                self.optimizer.state[parameter] = {key: value.to(self.device) for key, value in state.items()}


def default_epochs(n_rows: int, batch_size: int, steps: int) -> int:
    """Return enough epochs for a number of steps: 8 at least, and at most one for 20 steps."""
    return int(np.clip(-(-steps // max(1, n_rows // batch_size)), FEWEST_EPOCHS, steps // LEAST_STEPS))


def encode_rows(networks: CountNetworks, batches: CountBatches) -> dict[str, Array]:
    """Encode all rows: latent means z (n x d), probabilities q (n x K), and mean and variance of the sites (n x d)."""
    parts: dict[str, list[Array]] = {"z": [], "q": [], "site": [], "noise": []}
    with torch_settings(batches.device), torch.no_grad():
        for _, batch in batches.ordered():
            code = networks.encode(batch)
            q = torch.softmax(code.log_joint, 1)
            values = {"z": (q[:, :, None] * code.mean).sum(1), "q": q, "site": code.site_mean}
            for name, value in (values | {"noise": code.site_log_variance.exp()}).items():
                parts[name].append(value.cpu().numpy())
    d, K = networks.sizes.n_latent, networks.active
    widths = {"z": d, "q": K, "site": d, "noise": d}
    return {name: np.concatenate([np.empty((0, widths[name]), np.float32), *part]) for name, part in parts.items()}
