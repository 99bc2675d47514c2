"""Channels of images, by their names or by their numbers from 1."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.errors import check, check_known, check_range

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset


def name_channels(ds: Dataset, n_channels: int) -> list[str]:
    """Name the channels of thumbnails as uns/thumbnails or the variables do, or else by their numbers from 1."""
    known = ds.read("uns/thumbnails").get("channels") if "uns/thumbnails" in ds else None
    sources = (names for names in (known, ds.var_names) if names is not None and len(names) == n_channels)
    return [str(name) for name in next(sources, range(1, n_channels + 1))]


def choose_channels(names: Sequence[str], channels: Sequence[Any], parameter: str = "channels") -> list[int]:
    """Find the positions of channels that are given by name, or by number from 1.

    Raises
    ------
    ParameterError
        If there is no such channel.
    """
    positions = []
    for channel in channels:
        if isinstance(channel, str):
            check_known([channel], names, f"{parameter} must be a name of a channel, got")
            positions.append(list(names).index(channel))
        else:
            whole = isinstance(channel, (int, np.integer)) and not isinstance(channel, bool)
            check(whole, f"{parameter} must be a name, or a number from 1, got {channel!r}")
            check_range(parameter, channel, 1, len(names))
            positions.append(int(channel) - 1)
    return positions


def name_channel(ds: Dataset, color: Any) -> Any:
    """Turn the number of a channel, from 1, into the name of its variable; all else stays as it is."""
    if not isinstance(color, (int, np.integer)) or isinstance(color, bool):
        return color
    return str(ds.var_names[choose_channels(list(map(str, ds.var_names)), [color], "color")[0]])
