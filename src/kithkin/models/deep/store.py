"""Networks and the state of a training in safetensors files: numbers and JSON, nothing that runs when it is read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from kithkin.core.errors import check
from kithkin.models.deep.config import DeepConfig
from kithkin.models.deep.networks import Networks
from kithkin.models.deep.training import Training
from kithkin.models.nn.batches import Scale
from kithkin.models.nn.tensors import read_tensors, write_tensors
from kithkin.models.nn.torch import torch

KINDS = ("model", "training")
FORMAT = 2  # of the state of a training


def save_training(path: Path, training: Training) -> None:
    """Write where a training stands.

    Examples
    --------
    >>> save_training.__name__
    'save_training'
    """
    tensors = {f"networks.{name}": tensor for name, tensor in training.networks.state().items()}
    tensors |= {"weight": training.weight.value, "weight_least": training.weight.least}
    tensors["global_weight"] = training.global_weight.value
    if training.shares is not None:
        tensors["shares"] = training.shares
    for name, optimizer in training.optimizers.items():
        for i, parameter in enumerate(optimizer.param_groups[0]["params"]):
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{name}.{i}.{key}"] = value
    about = {"kind": "training", "config": training.config.to_dict(), "seed": training.seed}
    about |= {"phase": training.phase, "done": training.done, "weighed": training.weighed}
    about |= {"history": training.history, "table": training.batches.identity, "format": FORMAT}
    write_tensors(path, tensors, about)


def load_training(path: Path, training: Training) -> None:
    """Bring a training to where it stood when it was saved.

    Raises
    ------
    FormatError
        If the file is none of this kind.
    ParameterError
        If it belongs to another table, seed or configuration.

    Examples
    --------
    >>> load_training.__name__
    'load_training'
    """
    tensors, about = read_tensors(path, "training")
    same = about["config"] == json.loads(json.dumps(training.config.to_dict())) and about["seed"] == training.seed
    same = same and about.get("format") == FORMAT and about["table"] == training.batches.identity
    check(same, f"{path.name} is the checkpoint of another table, seed or configuration: remove it, or name another")
    prefix = "networks."
    training.networks.load({name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)})
    training.weight.value.copy_(tensors["weight"])
    training.weight.least.copy_(tensors["weight_least"])
    training.global_weight.value.copy_(tensors["global_weight"])
    training.shares = tensors["shares"].to(training.device) if "shares" in tensors else None
    training.phase, training.done, training.weighed = about["phase"], about["done"], about["weighed"]
    training.history = about["history"]
    for name in sorted({name.split(".")[1] for name in tensors if name.startswith("optimizer.")}):
        optimizer = training.optimizer(name)
        for i, parameter in enumerate(optimizer.param_groups[0]["params"]):
            start = f"optimizer.{name}.{i}."
            found = {key.removeprefix(start): value for key, value in tensors.items() if key.startswith(start)}
            if found:
                optimizer.state[parameter] = {key: value.to(training.device) for key, value in found.items()}


def save_model(path: Path, networks: Networks, config: DeepConfig, scale: Scale, n_columns: int) -> None:
    """Write a fitted model.

    Examples
    --------
    >>> save_model.__name__
    'save_model'
    """
    tensors = dict(networks.state())
    tensors |= {"scale.shift": torch.from_numpy(scale.shift), "scale.factor": torch.from_numpy(scale.factor)}
    if scale.columns is not None:
        tensors["scale.columns"] = torch.from_numpy(scale.columns.astype(np.int64))
    about = {"kind": "model", "config": config.to_dict(), "scale": scale.name, "n_columns": n_columns}
    write_tensors(path, tensors, about)


def load_model(path: Path, device: str) -> tuple[Networks, DeepConfig, Scale, int]:
    """What `save_model` wrote.

    Raises
    ------
    FormatError
        If the file is none of this kind.

    Examples
    --------
    >>> load_model.__name__
    'load_model'
    """
    tensors, about = read_tensors(path, "model")
    config = DeepConfig.of(about["config"])
    columns = tensors["scale.columns"].numpy() if "scale.columns" in tensors else None
    shift, factor = (np.asarray(tensors[f"scale.{name}"].numpy()) for name in ("shift", "factor"))
    scale = Scale(about["scale"], shift, factor, columns)
    networks = Networks(config, scale.width(about["n_columns"]), 0, device)
    networks.load(tensors)
    return networks, config, scale, about["n_columns"]
