"""Figures of what is in a dataset. They read results and never make any.

Every function returns a matplotlib Figure without touching matplotlib's global state: save it with `.savefig(path)`; a
notebook displays it. matplotlib is imported with the first figure. The animations are the exception: they write a file.

Examples
--------
>>> from kithkin import plot
>>> sorted(plot.__all__)  # doctest: +NORMALIZE_WHITESPACE
['animate', 'animate_order', 'animate_partitions', 'animate_propagation', 'animate_training',
'categorical', 'cells', 'cluster_tree', 'contingency', 'count_fit', 'dotplot', 'elbow', 'gallery',
'gates', 'group_colors', 'heatmap', 'latent', 'mean_image', 'quality', 'sankey', 'scatter', 'structure', 'training']
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from kithkin.plot.animate import animate
    from kithkin.plot.cells import cells
    from kithkin.plot.contingency import contingency
    from kithkin.plot.count_fit import count_fit
    from kithkin.plot.dotplot import dotplot
    from kithkin.plot.elbow import elbow
    from kithkin.plot.gallery import gallery
    from kithkin.plot.gates import gates
    from kithkin.plot.heatmap import heatmap
    from kithkin.plot.latent import latent
    from kithkin.plot.mean_image import mean_image
    from kithkin.plot.palette import categorical, group_colors
    from kithkin.plot.quality import quality
    from kithkin.plot.sankey import sankey
    from kithkin.plot.scatter import scatter
    from kithkin.plot.stories import animate_order, animate_partitions, animate_propagation
    from kithkin.plot.structure import structure
    from kithkin.plot.training import training
    from kithkin.plot.training_story import animate_training
    from kithkin.plot.tree import cluster_tree

__all__ = [
    "animate",
    "animate_order",
    "animate_partitions",
    "animate_propagation",
    "animate_training",
    "categorical",
    "cells",
    "cluster_tree",
    "contingency",
    "count_fit",
    "dotplot",
    "elbow",
    "gallery",
    "gates",
    "group_colors",
    "heatmap",
    "latent",
    "mean_image",
    "quality",
    "sankey",
    "scatter",
    "structure",
    "training",
]

_FILES = {
    "animate_order": "stories",
    "animate_partitions": "stories",
    "animate_propagation": "stories",
    "animate_training": "training_story",
    "categorical": "palette",
    "cluster_tree": "tree",
    "group_colors": "palette",
}


class _Figures(ModuleType):
    """Keeps a figure's name for its function: importing the file of the same name would put the module there."""

    def __setattr__(self, name: str, value: Any) -> None:
        if name in __all__ and isinstance(value, ModuleType):
            value = getattr(value, name)
        super().__setattr__(name, value)


sys.modules[__name__].__class__ = _Figures


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_FILES.get(name, name)}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
