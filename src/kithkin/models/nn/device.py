"""Choose the device, the precision and the threads that torch computes with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from kithkin.core.errors import check


def choose_device(device: str = "auto", devices: Any = 1, hint: str = "") -> str:
    """Return the name of the device to train on; "auto" is a GPU if there is one.

    The hint ends the message where a GPU is asked for and none is there.
    A device that is unknown or not there, and more than one, raise ParameterError.
    """
    name = {"gpu": "cuda"}.get(device, device)
    available = torch.cuda.is_available()
    check(devices in (1, "1", "auto", [0]), f"devices must be 1, got {devices!r}")
    if name == "auto":
        return "cuda" if available else "cpu"
    check(name == "cpu" or name.startswith("cuda"), f"device must be 'auto', 'cpu' or 'cuda', got {device!r}")
    check(name == "cpu" or available, f"device={device!r}, but torch finds no GPU: use device='cpu' or 'auto'{hint}")
    return name


def uses_mixed_precision(precision: str, device: str) -> bool:
    """Decide on mixed precision; "auto" uses it on a GPU, and on a CPU that has instructions for bfloat16."""
    if precision != "auto":
        return precision == "mixed"
    if device != "cpu":
        return True
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def torch_settings(device: str, threads: int = 1, deterministic: bool = True) -> Iterator[None]:
    """Set the threads and, on a GPU, deterministic algorithms; restore the settings of the process afterwards."""
    threads_before, strict_before = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(threads)
    if device != "cpu":
        torch.use_deterministic_algorithms(deterministic, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads_before)
        torch.use_deterministic_algorithms(strict_before)
