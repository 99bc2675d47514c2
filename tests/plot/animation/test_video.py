"""Frames as planes of brightness and colour."""

from __future__ import annotations

import numpy as np

from kithkin.plot.animation.video import luma_chroma, planes


def test_planes_hold_brightness_and_mean_colour():
    rng = np.random.default_rng(0)
    palette = rng.integers(0, 256, (256, 3)).astype(np.uint8)
    frame = rng.integers(0, 256, (6, 8)).astype(np.uint8)
    flat = planes(frame, luma_chroma(palette)).ravel()
    y, u, v = flat[:48].reshape(6, 8), flat[48:60].reshape(3, 4), flat[60:].reshape(3, 4)
    red, green, blue = np.moveaxis(palette[frame] / 255.0, 2, 0)
    light = 0.2126 * red + 0.7152 * green + 0.0722 * blue
    assert np.abs(y - (16 + 219 * light)).max() <= 0.51
    for plane, difference in ((u, (blue - light) / 1.8556), (v, (red - light) / 1.5748)):
        mean = (128 + 224 * difference).reshape(3, 2, 4, 2).mean(axis=(1, 3))
        assert np.abs(plane - mean).max() <= 1.01
