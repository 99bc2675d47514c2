"""The state of the training of an image encoder in a safetensors file."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from kithkin.core.errors import check
from kithkin.models.images.network import ImageTraining
from kithkin.models.nn.tensors import read_tensors, write_tensors

CHECKPOINT_SECONDS = 30.0  # least time between two writings of a checkpoint
KIND = "training of an image encoder"


class Checkpoint:
    """A file from which an interrupted training goes on; written after an epoch, every half minute at most.

    Parameters
    ----------
    path
        The file.
    about
        What the training is of, as JSON can hold it: one that differs does not go on.

    Examples
    --------
    >>> Checkpoint(Path("image.safetensors"), {"seed": 0}).path.name
    'image.safetensors'
    """

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        self.path, self.about, self._written = path, about, time.monotonic()

    def __call__(self, training: ImageTraining) -> None:
        """Write where a training stands, if it is time."""
        if time.monotonic() - self._written >= CHECKPOINT_SECONDS:
            self.save(training)

    def save(self, training: ImageTraining) -> None:
        """Write where a training stands."""
        tensors = training.networks.state()
        for i, parameter in enumerate(training.parameters):
            for name, value in training.optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{i}.{name}"] = value
        write_tensors(self.path, tensors, {"kind": KIND, "about": self.about, "history": training.history})
        self._written = time.monotonic()

    def resume(self, training: ImageTraining) -> None:
        """Bring a training to where it stood, if the file is there.

        Raises
        ------
        FormatError
            If the file is no checkpoint.
        ParameterError
            If it belongs to other images or settings.
        """
        if not self.path.is_file():
            return
        tensors, said = read_tensors(self.path, KIND)
        other = f"{self.path.name} is the checkpoint of other thumbnails or settings: remove it, or name another"
        check(said["about"] == self.about, other)
        training.networks.load(tensors)
        training.history = said["history"]
        for i, parameter in enumerate(training.parameters):
            prefix = f"optimizer.{i}."
            found = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
            if found:
                device = training.networks.device
                training.optimizer.state[parameter] = {name: t.to(device) for name, t in found.items()}
