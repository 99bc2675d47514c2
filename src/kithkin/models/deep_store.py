"""Networks and the state of a training in safetensors files: numbers and JSON, nothing that runs when it is read."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import FormatError, check
from kithkin.models.deep_batches import Scale
from kithkin.models.deep_config import DeepConfig
from kithkin.models.deep_networks import Networks
from kithkin.models.deep_torch import Tensor, torch
from kithkin.models.deep_training import Training
from kithkin.optional import need

KINDS = ("model", "training")
FORMAT = 2  # of the state of a training


def write_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write tensors and what describes them; the file is there whole or not at all.

    Examples
    --------
    >>> import pytest, tempfile
    >>> torch = pytest.importorskip("torch")
    >>> path = Path(tempfile.mkdtemp()) / "a.safetensors"
    >>> write_tensors(path, {"x": torch.ones(2)}, {"kind": "model"})
    >>> read_tensors(path, "model")[0]["x"].tolist()
    [1.0, 1.0]
    """
    save = need("safetensors.torch", "deep", "saving a model").save_file
    checked_folder(path)
    beside = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    save(plain, str(beside), metadata={"kithkin": json.dumps(about)})
    os.replace(beside, path)


def checked_folder(path: Path) -> None:
    """Refuse a file that cannot be written for want of a folder, or because it is one.

    Examples
    --------
    >>> checked_folder(Path("/nowhere/a.safetensors"))
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: the folder /nowhere does not exist
    """
    check(path.absolute().parent.is_dir(), f"the folder {path.absolute().parent} does not exist")
    check(not path.is_dir() and bool(path.name), f"{path} is a folder: name a file")


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """What `write_tensors` wrote.

    Raises
    ------
    FormatError
        If the file is not one, or holds another kind.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("safetensors")
    >>> read_tensors(Path("/nowhere"), "model")
    Traceback (most recent call last):
    kithkin.core.errors.FormatError: no such file: /nowhere
    """
    if not path.is_file():
        raise FormatError(f"no such file: {path}")
    safetensors = need("safetensors", "deep", "loading a model")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            about = json.loads((file.metadata() or {}).get("kithkin", "{}"))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
    except safetensors.SafetensorError as error:
        raise FormatError(f"{path.name} is not a safetensors file: {error}") from error
    if about.get("kind") != kind:
        raise FormatError(f"{path.name} does not hold a {kind}")
    return tensors, about


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
