"""Write tensors and what describes them; the file is there whole or not at all."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from kithkin.core.errors import FormatError, check
from kithkin.models.nn.torch import Tensor
from kithkin.optional import need


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
