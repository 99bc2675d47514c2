"""Read and write tensors with metadata in safetensors files, with a checksum over both."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from kithkin.core.errors import FormatError, check


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict[str, Any]) -> None:
    """Write tensors and their metadata; the file is there whole or not at all."""
    checked_folder(path)
    beside = path.with_name(path.name + ".part")
    plain = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}
    text = json.dumps(metadata, default=lambda number: number.item())
    save_file(plain, str(beside), metadata={"kithkin": text, "checksum": _checksum(plain, text)})
    os.replace(beside, path)


def checked_folder(path: Path) -> None:
    """Refuse a file that cannot be written for want of a folder, or because it is one."""
    check(path.absolute().parent.is_dir(), f"the folder {path.absolute().parent} does not exist")
    check(not path.is_dir() and bool(path.name), f"{path} is a folder: name a file")


def read_tensors(path: Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and their metadata, and hold them against the checksum (files of older versions have none).

    A file that is none, is damaged, or holds another kind raises FormatError.
    """
    if not path.is_file():
        raise FormatError(f"no such file: {path}")
    try:
        with safetensors.safe_open(str(path), framework="pt") as file:
            stored = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  (not a mapping)
        metadata = json.loads(stored.get("kithkin", "{}"))
    except (safetensors.SafetensorError, ValueError, OSError, RuntimeError, TypeError) as error:
        raise FormatError(f"{path.name} is not a safetensors file: {error}") from error
    if not isinstance(metadata, dict) or metadata.get("kind") != kind:
        raise FormatError(f"{path.name} does not hold a {kind}")
    extra = set(stored) - {"kithkin"}
    if extra and (extra != {"checksum"} or stored["checksum"] != _checksum(tensors, stored["kithkin"])):
        raise FormatError(f"{path.name} is damaged: its checksum is not that of its tensors")
    return tensors, metadata


def _checksum(tensors: dict[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        if tensor.numel():  # an empty one has no bytes, and strides that cannot be looked at as bytes
            digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()
