"""Images: thumbnails of cells, cut out of multiplexed images and read one by one.

Examples
--------
>>> from kithkin import images
>>> sorted(images.__all__)
['Thumbnails', 'cut', 'cut_tiles', 'open_thumbnails']
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kithkin.io.thumbnail_reader import Thumbnails, open_thumbnails
    from kithkin.verbs.cut import cut, cut_tiles

__all__ = ["Thumbnails", "cut", "cut_tiles", "open_thumbnails"]

_HOME = {
    "Thumbnails": "io.thumbnail_reader",
    "cut": "verbs.cut",
    "cut_tiles": "verbs.cut",
    "open_thumbnails": "io.thumbnail_reader",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"kithkin.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
