"""Parts of files."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from kithkin.core.errors import KithkinError
from kithkin.plot.animation.film import Film
from kithkin.plot.animation.levels import SAME
from kithkin.plot.animation.writers import check_ending, cut_changes, lzw, write_film


@pytest.mark.parametrize("seed", range(5))
def test_frames_are_rebuilt_from_what_changed(seed):
    rng = np.random.default_rng(seed)
    before = rng.integers(0, 200, (9, 13)).astype(np.uint8)
    frame = before.copy()
    for _ in range(seed):
        frame[rng.integers(9), rng.integers(13)] = 201
    left, top, part = cut_changes(frame, before)
    rebuilt = before.copy()
    inside = rebuilt[top : top + part.shape[0], left : left + part.shape[1]]
    inside[part != SAME] = part[part != SAME]
    np.testing.assert_array_equal(rebuilt, frame)


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (123, 77)])
@pytest.mark.parametrize("top", [1, 2, 5, 256])
def test_compressed_pixels_can_be_read_in_any_gif(shape, top):
    pixels = np.random.default_rng(0).integers(0, top, shape).astype(np.uint8)
    colors = np.repeat(np.arange(256, dtype=np.uint8), 3).tobytes()
    sides = shape[1].to_bytes(2, "little") + shape[0].to_bytes(2, "little")
    file = b"GIF89a" + sides + b"\xf7\0\0" + colors + b",\0\0\0\0" + sides + b"\0" + lzw(pixels) + b";"
    with Image.open(io.BytesIO(file)) as image:
        np.testing.assert_array_equal(np.asarray(image.convert("L")), pixels)


def test_rates_are_fractions():
    for fps, wanted in ((29.97, Fraction(2997, 100)), (10, Fraction(10)), (119.999, Fraction(59999, 500))):
        assert Film(np.zeros((256, 3), np.uint8), (2, 2), 1, fps).rate == wanted


def test_a_folder_is_no_file(tmp_path):
    (tmp_path / "a.gif").mkdir()
    with pytest.raises(KithkinError, match="is a folder"):
        check_ending(tmp_path / "a.gif", (100, 100), 10)


def test_nothing_is_left_of_a_film_that_was_interrupted(tmp_path):
    def frames():
        yield np.zeros((4, 4), np.uint8)
        raise KeyboardInterrupt

    film = Film(np.zeros((256, 3), np.uint8), (4, 4), 2, 10)
    for name in ("a.gif", "a.png", "a.html"):
        with pytest.raises(KeyboardInterrupt):
            write_film(Path(tmp_path) / name, frames(), film)
    assert list(tmp_path.iterdir()) == []
