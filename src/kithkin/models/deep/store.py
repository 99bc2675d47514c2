"""Networks and the state of a training in safetensors files: numbers and JSON, nothing that runs when it is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch

from kithkin.core.errors import FormatError, KithkinError, check
from kithkin.models.deep.config import DeepConfig
from kithkin.models.deep.networks import Networks
from kithkin.models.deep.training import Training
from kithkin.models.nn.batches import Scale
from kithkin.models.nn.tensors import read_tensors, write_tensors

FORMAT = 3  # of the state of a training
NETWORKS = "networks."  # prefix of the names of their tensors
CLASSIFIER = "classifier."  # likewise of the classifier, which is not there before its phase


def save_training(path: Path, training: Training) -> None:
    """Write the state of a training."""
    state = training.state
    tensors = {f"{NETWORKS}{name}": tensor for name, tensor in state.networks.state_dict().items()}
    for phase in training.phases:
        tensors |= phase.tensors()
    if state.responsibilities is not None:
        tensors["shares"] = state.responsibilities
    for name, optimizer in training.optimizers.items():
        for i, parameter in enumerate(optimizer.parameters):
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{i}.{key}"] = value
    metadata = {"kind": "training", "config": state.config.to_dict(), "seed": state.seed}
    metadata |= {"phase": training.phase, "done": training.done, "weighed": training.gates.weighed}
    metadata |= {"history": training.history, "table": state.batches.identity, "format": FORMAT}
    write_tensors(path, tensors, metadata)


def load_training(path: Path, training: Training) -> None:
    """Restore the state of a training.

    A file of another kind, or a damaged one, raises FormatError; one of another table, seed or configuration raises
    ParameterError.
    """
    state = training.state
    tensors, metadata = read_tensors(path, "training")
    expected = {"config": json.loads(json.dumps(state.config.to_dict())), "seed": state.seed}
    expected |= {"format": FORMAT, "table": state.batches.identity}
    same = all(metadata.get(name) == value for name, value in expected.items())
    check(same, f"{path.name} is the checkpoint of another table, seed or configuration: remove it, or name another")
    try:
        networks = {name.removeprefix(NETWORKS): t for name, t in tensors.items() if name.startswith(NETWORKS)}
        if any(name.startswith(CLASSIFIER) for name in networks):
            training.classifier.prepare()
        state.networks.load_state_dict(networks)
        for phase in training.phases:
            phase.load(tensors)
        state.responsibilities = tensors["shares"].to(state.device) if "shares" in tensors else None
        training.phase, training.done, training.history = (metadata[name] for name in ("phase", "done", "history"))
        training.gates.weighed = metadata["weighed"]
    except (KeyError, RuntimeError) as error:
        raise FormatError(f"{path.name} does not hold the training that it announces") from error
    for name, optimizer in training.optimizers.items():
        for i, parameter in enumerate(optimizer.parameters):
            prefix = f"optimizer.{name}.{i}."
            values = {key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)}
            if values:
                optimizer.state[parameter] = {key: value.to(state.device) for key, value in values.items()}


def save_model(path: Path, networks: Networks, config: DeepConfig, scale: Scale, n_columns: int) -> None:
    """Write a fitted model."""
    tensors = networks.state_dict()
    tensors |= {"scale.shift": torch.from_numpy(scale.shift), "scale.factor": torch.from_numpy(scale.factor)}
    if scale.columns is not None:
        tensors["scale.columns"] = torch.from_numpy(scale.columns.astype(np.int64))
    metadata = {"kind": "model", "config": config.to_dict(), "scale": scale.name, "n_columns": n_columns}
    write_tensors(path, tensors, metadata)


def load_model(path: Path, device: str) -> tuple[Networks, DeepConfig, Scale, int]:
    """Read a fitted model; a file of another kind, or a damaged one, raises FormatError."""
    tensors, metadata = read_tensors(path, "model")
    try:
        config, n_columns = DeepConfig.of(metadata["config"]), metadata["n_columns"]
        shift, factor = (tensors.pop(f"scale.{name}").numpy() for name in ("shift", "factor"))
        columns = tensors.pop("scale.columns").numpy() if "scale.columns" in tensors else None
        scale = Scale(metadata["scale"], shift, factor, columns)
        networks = Networks(config, scale.width(n_columns), 0, device)
        if any(name.startswith(CLASSIFIER) for name in tensors):
            networks.add_classifier()
        networks.load_state_dict(tensors)
    except (KeyError, TypeError, RuntimeError, KithkinError) as error:
        raise FormatError(f"{path.name} does not hold the model that it announces") from error
    return networks, config, scale, n_columns
