"""Checkpoints of the training of an image encoder in safetensors files."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kithkin.core.errors import FormatError, check
from kithkin.models.images.network import ImageTraining
from kithkin.models.nn.tensors import read_tensors, write_tensors

CHECKPOINT_SECONDS = 30.0  # least time between two writings of a checkpoint
KIND = "training of an image encoder"


class Checkpoint:
    """Checkpoint from which an interrupted training goes on; written after an epoch, every half minute at most.

    It describes images and settings in `about`, as JSON can hold it: a training of others does not go on.
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about, self._written = path, about, time.monotonic()

    def __call__(self, training: ImageTraining) -> None:
        """Write the state of a training, if it is time."""
        if time.monotonic() - self._written >= CHECKPOINT_SECONDS:
            self.save(training)

    def save(self, training: ImageTraining) -> None:
        """Write the state of a training."""
        tensors = training.networks.state_dict()
        for i, parameter in enumerate(training.parameters):
            for name, value in training.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{i}.{name}"] = value
        write_tensors(self.path, tensors, {"kind": KIND, "about": self.about, "history": training.history})
        self._written = time.monotonic()

    def resume(self, training: ImageTraining) -> None:
        """Restore the state of a training, if the file is there.

        A file that is no checkpoint, or is damaged, raises FormatError; one of other images or settings,
        ParameterError.
        """
        if not self.path.is_file():
            return
        tensors, metadata = read_tensors(self.path, KIND)
        other = f"{self.path.name} is the checkpoint of other thumbnails or settings: remove it, or name another"
        check(metadata.get("about") == self.about, other)
        weights = {name: tensor for name, tensor in tensors.items() if not name.startswith("optimizer.")}
        try:
            training.networks.load_state_dict(weights)
            training.history = metadata["history"]
        except (KeyError, RuntimeError) as error:
            raise FormatError(f"{self.path.name} does not hold the training that it announces") from error
        for i, parameter in enumerate(training.parameters):
            prefix = f"optimizer.{i}."
            values = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            if values:
                device = training.networks.device
                training.optimizer.state[parameter] = {name: t.to(device) for name, t in values.items()}
