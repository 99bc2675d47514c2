"""Training of gated clustering: four phases one after the other, from one seed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from kithkin.core.blocks import Array
from kithkin.core.execute import track
from kithkin.models.deep.autoencoder import Autoencoder, GatedAutoencoder
from kithkin.models.deep.classifier import ClusterClassifier
from kithkin.models.deep.head import ClusteringHead
from kithkin.models.deep.phase import Phase, State
from kithkin.models.nn.adam import Adam


class Training:
    """Training of the networks through all phases, with its history; it can be interrupted after each epoch.

    The start is found from the principal components that `scores` returns.
    """

    def __init__(self, state: State, scores: Callable[[], Array]) -> None:
        self.state = state
        self.autoencoder, self.head = Autoencoder(state), ClusteringHead(state)
        self.gates = GatedAutoencoder(state, self.autoencoder.optimizer, self.head.optimizer, scores)
        self.classifier = ClusterClassifier(state, self.head)
        self.phases: tuple[Phase, ...] = (self.autoencoder, self.gates, self.head, self.classifier)
        self.phase, self.done = 0, 0  # number of the current phase, and of its epochs that are done
        self.history: list[dict[str, Any]] = []  # for each epoch its phase, its number and the parts of the loss
        self.every = 0  # steps between two values of the loss that `take_traces` returns; 0: none
        self._traces: list[tuple[int, list[str], Tensor]] = []
        self.after_epoch: Callable[[Training], None] | None = None  # called to look at the training
        self.after_phase: Callable[[Training], None] | None = None  # called to write a checkpoint, too

    @property
    def optimizers(self) -> dict[str, Adam]:
        """Optimisers by the names that they have in checkpoints."""
        made = {"pretrain": self.autoencoder.optimizer, "head": self.head.optimizer}
        last = self.classifier.optimizer
        return made if last is None else made | {"classifier": last}

    def run(self) -> None:
        """Train from the current epoch to the end, and label all rows."""
        while self.phase < len(self.phases):
            phase = self.phases[self.phase]
            phase.begin(self.done)
            if phase is self.gates and self.done == 0 and self.after_phase is not None:
                self.after_phase(self)  # finding the start took a while
            bar = track(range(self.done, phase.n_epochs), self.state.execution, phase.name, unit="epoch")
            for number in bar:
                if phase.converged(self.history):
                    break
                self.run_epoch(phase, number)
                self.done = number + 1
                tell = getattr(bar, "set_postfix_str", None)
                if tell is not None:
                    tell(" ".join(f"{part} {self.history[-1][part]:.3g}" for part in phase.parts), refresh=False)
                if self.after_epoch is not None:
                    self.after_epoch(self)
            phase.end()
            self.phase, self.done = self.phase + 1, 0
            if self.after_phase is not None:
                self.after_phase(self)
        self.state.ensure_labels()

    def run_epoch(self, phase: Phase, number: int) -> None:
        """Train for one epoch of a phase, with random numbers of its own, and add it to the history."""
        absolute, n_batches = phase.first + number, self.state.batches.n_batches
        seed = np.random.SeedSequence([self.state.seed, absolute]).generate_state(1, np.uint64)[0]
        self.state.generator.manual_seed(int(seed >> 1))
        total, count = torch.zeros(len(phase.parts), device=self.state.device), 0
        for values in phase.epoch(number):
            total += values
            count += 1
            step = absolute * n_batches + count
            if self.every and step % self.every == 0:
                rates = phase.rates()
                names = [*(f"{phase.name}/{part}" for part in phase.parts), *(f"lr/{name}" for name in rates)]
                self._traces.append((step, names, torch.cat([values, values.new_tensor(list(rates.values()))])))
        means = (total / max(count, 1)).tolist()
        self.history.append({"phase": phase.name, "epoch": absolute, **dict(zip(phase.parts, means, strict=True))})

    def take_traces(self) -> list[tuple[int, dict[str, float]]]:
        """Return parts of the loss, and learning rates, at every few steps since the last call, by step.

        Only this waits for the device.
        """
        traces = [(step, dict(zip(names, values.tolist(), strict=True))) for step, names, values in self._traces]
        self._traces = []
        return traces
