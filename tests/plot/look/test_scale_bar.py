"""Scale bars: round lengths, a quarter of the picture at most."""

import numpy as np
import pytest

from kithkin.plot.look.scale_bar import bar_of, pixel_size


@pytest.mark.parametrize("width", [3, 17, 100, 999, 8000, 60_000])
@pytest.mark.parametrize("size", [None, 0.1, 0.65, 1.0, 13.0])
def test_bars_are_round_and_short(width, size):
    length, text = bar_of(width, size)
    assert 0.09 * width < length <= 0.25 * width + 1e-9
    number, unit = text.split()
    assert unit in ("px", "µm", "mm")
    shown = float(number) * (1000 if unit == "mm" else 1)
    assert shown == pytest.approx(length * (size or 1.0))
    assert f"{shown:e}"[0] in "125"
    assert float(f"{shown:e}"[1:].split("e")[0] or 0) == 0


def test_the_size_of_a_pixel_is_that_of_its_image(table):
    spatial = {"a": {"metadata": {"pixel_size": 0.3}}, "b": {"metadata": {}}}
    ds = table(2, uns__spatial=spatial, uns__thumbnails={"pixel_size": np.float64(0.5)})
    assert pixel_size(ds, "a") == 0.3
    assert pixel_size(ds, "b") == 0.5
    assert pixel_size(ds) == 0.5
    assert pixel_size(table(2)) is None
