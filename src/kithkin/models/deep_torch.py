"""torch, for modules that can be read without it."""

from __future__ import annotations

from typing import Any, TypeAlias

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
