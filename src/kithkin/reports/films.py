"""Animations of a page: propagation with its history, and training with its snapshots."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.dataset import Dataset
from kithkin.plot.animation.stories import animate_propagation
from kithkin.plot.animation.training import animate_training

SIDE = 480  # pixels
MOST_ROWS = 300_000  # of a film: points beyond could not be told apart in so few pixels
MOST_FRAMES, FPS = 24, 6.0


def films_of(ds: Dataset, embedding: str | None) -> list[dict[str, Any]]:
    """Draw the animations that a dataset can give, as pictures that move (APNG)."""
    out = []
    size, execution = (SIDE, SIDE), ds.execution
    histories = [key for key in ds.keys() if key.startswith("uns/") and key.endswith("_history")]  # noqa: SIM118
    for key in histories if embedding is not None and ds.n_obs <= MOST_ROWS else []:
        about, steps = key.removesuffix("_history"), np.asarray(ds.read(key))
        if ds.lineage.is_stale_key(key) or steps.ndim < 2 or steps.shape[1] != ds.n_obs or about not in ds:
            continue
        classes = ds.read(about).get("classes")
        names = None if classes is None else [str(name) for name in classes]
        coords = np.asarray(ds.read(str(embedding)))[:, :2]
        show = partial(animate_propagation, coords, steps, names=names, most=MOST_FRAMES)
        title, caption = f"Propagation: {about.removeprefix('uns/')}", "Scores spread from the cells that were known."
        out.append(film_of("propagation", title, caption, partial(show, size=size, fps=FPS, execution=execution)))
    deep = ds.read("uns/deep") if "uns/deep" in ds else None
    if isinstance(deep, dict) and "frames" in deep and int(deep["frames"]["rows"].max()) < ds.n_obs:
        show = partial(animate_training, deep["frames"], size=size, fps=FPS, execution=execution)
        caption = "The embedding of the deep clusters while it was trained."
        out.append(film_of("training", "Training, step by step", caption, show))
    return out


def film_of(section: str, title: str, caption: str, play: Callable[..., Any]) -> dict[str, Any]:
    """Write a film and describe it as a figure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.png"
        play(to=path)
        picture = "data:image/png;base64," + base64.b64encode(path.read_bytes()).decode()
    about: dict[str, Any] = {"section": section, "title": title, "caption": caption, "png": picture}
    return about | {"width": SIDE, "height": SIDE, "moves": True}
