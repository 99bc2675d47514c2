"""The training of deep clusters as an animation."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from kithkin import plot
from kithkin.core.errors import ParameterError

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]])
PLACES = [(185, 15), (185, 185), (15, 15), (15, 185)]
PLAIN = {"size": (200, 200), "legend": False, "dot": 15, "titles": None, "between": 0}


@pytest.fixture
def frames():
    found = {"coords": np.stack([CORNERS] * 3), "labels": np.array([[0, 0, 0, 0], [0, 0, 1, 1], [0, 1, 2, 1]])}
    return found | {"epoch": np.array([0, 4, 9]), "phase": np.array(["autoencoder", "gates", "end"], dtype=object)}


def test_rows_have_the_colors_of_their_clusters_at_the_time(frames, tmp_path):
    film = plot.animate_training(frames, to=tmp_path / "a.gif", palette=["red", "blue", "lime"], **PLAIN)
    red, blue, lime = (255, 0, 0), (0, 0, 255), (0, 255, 0)
    wanted = [[red] * 4, [red, red, blue, blue], [red, blue, lime, blue]]
    with Image.open(film.path) as image:
        for k, colors in enumerate(wanted):
            image.seek(k)
            pixels = np.asarray(image.convert("RGB"))
            near = [pixels[y - 12 : y + 13, x - 12 : x + 13].reshape(-1, 3).tolist() for y, x in PLACES]
            assert all(list(color) in found for color, found in zip(colors, near, strict=True))


def test_some_of_the_snapshots_are_shown_and_points_glide(frames, tmp_path):
    assert plot.animate_training(frames, to=tmp_path / "a.gif", size=(200, 200)).n_frames == 11
    assert plot.animate_training(frames, to=tmp_path / "b.gif", n_frames=2, between=1, size=(200, 200)).n_frames == 3
    given = plot.animate_training(frames, ["a", "b", "a", "b"], to=tmp_path / "c.gif", size=(200, 200), label="mine")
    assert given.n_frames == 11


def test_what_is_missing_is_named(frames, tmp_path):
    del frames["epoch"], frames["labels"]
    with pytest.raises(ParameterError, match="labels, epoch are missing"):
        plot.animate_training(frames, to=tmp_path / "a.gif")
