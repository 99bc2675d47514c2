"""The training of deep clusters as an animation: rows of the embedding, epoch by epoch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.errors import check
from kithkin.plot.animation.animate import Animation, animate
from kithkin.plot.animation.stories import MOST_NAMED

STORED = ("coords", "labels", "epoch", "phase")
TITLES = {"autoencoder": "autoencoder", "gates": "autoencoder with gates", "head": "clusters", "classifier": "clusters"}


def animate_training(
    frames: Mapping[str, Any],
    color: Any = None,
    *,
    to: str | Path,
    n_frames: int | None = None,
    between: int = 4,
    **settings: Any,
) -> Animation:
    """Show how the embedding of deep clusters comes about, from snapshots of their training.

    Parameters
    ----------
    frames
        "coords" (snapshots x rows x 2), "labels" (snapshots x rows), "epoch" and "phase" of each, as
        GatedClustering.frames_ and uns/deep hold them.
    color
        Colours of the rows instead of their clusters at the time, for all snapshots: floats, codes of groups, texts.
    to
        The file.
    n_frames
        Snapshots to show, evenly spaced; all of them when None.
    between
        Pictures between a snapshot and the next, in which points glide.
    settings
        As in animate().

    Raises
    ------
    ParameterError
        If something is missing from the snapshots, or a setting is out of range.

    Examples
    --------
    >>> import tempfile
    >>> frames = {"coords": np.random.default_rng(0).normal(size=(3, 9, 2)), "labels": np.zeros((3, 9), int)}
    >>> frames |= {"epoch": [0, 5, 9], "phase": ["gates", "head", "end"]}
    >>> animate_training(frames, to=tempfile.mkdtemp() + "/a.gif", between=1).n_frames
    5
    """
    missing = [name for name in STORED if name not in frames]
    check(not missing, f"frames must hold {', '.join(STORED)}: {', '.join(missing)} are missing")
    count = len(frames["epoch"])
    check(count > 0, "frames must hold one snapshot at least")
    shown = np.unique(np.linspace(0, count - 1, min(count, n_frames or count)).round().astype(int))
    # a picture is cut around all points: a few that are far away would leave little room for the others
    coords = np.asarray(frames["coords"])
    low, middle, high = np.nanquantile(coords.reshape(-1, 2), (0.002, 0.5, 0.998), axis=0)
    coords = np.clip(coords[shown], middle - 1.3 * (middle - low), middle + 1.3 * (high - middle))
    phases = [str(frames["phase"][k]) for k in shown]
    epochs = [int(frames["epoch"][k]) for k in shown]
    named = zip(phases, epochs, strict=True)
    titles = [f"{TITLES[phase]}, epoch {epoch + 1}" if phase in TITLES else phase for phase, epoch in named]
    usual: dict[str, Any] = {"titles": titles}
    if color is None:
        color = np.asarray(frames["labels"], np.int64)[shown]
        top = int(color.max(initial=0))
        usual |= {"names": [str(k) for k in range(top + 1)], "legend": top < MOST_NAMED}
    return animate(coords, color, to=to, between=between, **usual | settings)
