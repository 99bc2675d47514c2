"""Colours of partitions that are shown together: groups of mostly the same observations share one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from kithkin.core.blocks import Array
from kithkin.metrics.partition import contingency as count_pairs
from kithkin.plot.data import Groups
from kithkin.plot.look.palette import categorical, group_colors

ALIKE = 0.25  # shared observations / those in either, from which on two groups are one


def color_together(
    parts: Sequence[Groups],
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    *,
    dark: bool = False,
) -> list[Groups]:
    """Give each partition its colours; those of all but one are taken over from it by the overlap of the groups.

    The one that keeps its own is the first that a step of this dataset computed, or else the first: clusters have the
    same colours in every figure. A group of another partition takes the colour of the group that it is assigned to
    (linear assignment of the Jaccard index, 0.25 or more); other groups get colours that the first one lacks. A
    partition without any such group keeps its own colours, as does one whose colours are stored.

    A colour map takes the place of all these colours. Colours that are listed, or given by name, are taken as they are.
    """
    if not parts or not (palette is None or isinstance(palette, str)):
        return [replace(part, colors=group_colors(part.names, palette)) for part in parts]
    if palette is not None:
        parts = [replace(part, colors=None) for part in parts]
    first = next((i for i, part in enumerate(parts) if part.computed), 0)
    reference, used, out = parts[first], own_colors(parts[first], palette, dark=dark), []
    for part in parts:
        if part is reference or part.colors is not None:
            out.append(replace(part, colors=own_colors(part, palette, dark=dark)))
            continue
        known = (reference.codes >= 0) & (part.codes >= 0)
        shared = np.zeros((len(reference.names), len(part.names)))
        if known.any():
            table = count_pairs(reference.codes[known], part.codes[known])
            shared[: table.shape[0], : table.shape[1]] = table
        either = shared.sum(axis=1, keepdims=True) + shared.sum(axis=0) - shared
        jaccard = shared / np.maximum(either, 1)
        rows, columns = linear_sum_assignment(-jaccard)
        alike = jaccard[rows, columns] >= ALIKE
        if not alike.any():
            out.append(replace(part, colors=own_colors(part, palette, dark=dark)))
            continue
        enough = max(9, len(used) + len(part.names) + 8)
        more = group_colors([""] * enough, categorical(enough) if palette is None else palette)
        free = more[(np.abs(more[:, None] - used[None]).max(axis=2) > 1e-3).all(axis=1)]
        colors = np.empty((len(part.names), 4))
        rest = np.setdiff1d(np.arange(len(part.names)), columns[alike])
        colors[columns[alike]] = used[rows[alike]]
        colors[rest] = np.resize(free if len(free) else more, (len(rest), 4))
        out.append(replace(part, colors=colors))
    return out


def own_colors(part: Groups, palette: Any = None, *, dark: bool = False) -> Array:
    """Return the colours that a partition has on its own, k x 4: given, stored, or those of its names in order."""
    if palette is None and part.colors is not None:
        return part.colors
    if palette is None and dark:  # the colours of few groups end with black
        palette = categorical(max(9, len(part.names)))
    return group_colors(part.names, palette)
