"""torch, for modules that can be read without it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeAlias

from kithkin.core.errors import check
from kithkin.models.deep.config import DeepConfig
from kithkin.optional import need

Tensor: TypeAlias = Any


class _Lazy:
    """torch, imported at the first use, so that this module can be read without it."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what looks at modules asks for such
            raise AttributeError(name)
        value = getattr(need("torch", "deep", "GatedClustering"), name)
        setattr(self, name, value)
        return value


torch: Any = _Lazy()


def device_of(config: DeepConfig) -> str:
    """Where to train: "auto" is a GPU if there is one.

    Raises
    ------
    ParameterError
        If the device is unknown, or not there.

    Examples
    --------
    >>> import pytest
    >>> _ = pytest.importorskip("torch")
    >>> device_of(DeepConfig(device="cpu"))
    'cpu'
    """
    name = {"gpu": "cuda"}.get(config.device, config.device)
    here = torch.cuda.is_available()
    check(config.devices in (1, "1", "auto", [0]), f"devices must be 1, got {config.devices!r}")
    if name == "auto":
        return "cuda" if here else "cpu"
    check(name == "cpu" or name.startswith("cuda"), f"device must be 'auto', 'cpu' or 'cuda', got {config.device!r}")
    check(name == "cpu" or here, "device='cuda', but torch finds no GPU")
    return name


def halves(config: DeepConfig, device: str) -> bool:
    """Whether products are computed in half the bits: on a GPU, and on a CPU that has instructions for it.

    Examples
    --------
    >>> halves(DeepConfig(precision="float32"), "cpu")
    False
    """
    if config.precision != "auto":
        return config.precision == "mixed"
    if device != "cpu":
        return True
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(known.get("avx512_bf16") or known.get("amx_bf16"))


@contextmanager
def settings_of_torch(config: DeepConfig, device: str) -> Iterator[None]:
    """Threads and repeatable algorithms, while a model works; as they were afterwards.

    Examples
    --------
    >>> import pytest
    >>> torch = pytest.importorskip("torch")
    >>> with settings_of_torch(DeepConfig(torch_threads=1), "cpu"):
    ...     torch.get_num_threads()
    1
    """
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(config.torch_threads)
    if device != "cpu":
        torch.use_deterministic_algorithms(config.deterministic, warn_only=True)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
        torch.use_deterministic_algorithms(strict)
