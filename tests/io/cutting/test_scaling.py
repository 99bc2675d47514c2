"""Scaling by quantiles, against NumPy's."""

import numpy as np
import pytest

from kithkin.core.execute import Execution
from kithkin.io.cutting.inputs import pieces_of
from kithkin.io.cutting.scaling import QUANTILES, Scaling, image_limits
from kithkin.io.images.open import open_image


@pytest.mark.parametrize("dtype", ["uint8", "int16", "uint16", "uint32", "float32"])
def test_limits_of_an_image_are_its_quantiles(dtype):
    rng = np.random.default_rng(0)
    pixels = (rng.gamma(2, 20, (2, 300, 400)) - (30 if dtype == "int16" else 0)).clip(-200, 250).astype(dtype)
    execution = Execution(memory=4 * 10**6, threads=2)
    image = open_image(pixels)
    found = image_limits(image, [1, 0], *pieces_of(image, 2, execution))
    expected = np.quantile(pixels[[1, 0]].reshape(2, -1), QUANTILES, axis=1).T
    assert np.allclose(
        found, expected, atol=1 if np.dtype(dtype).kind in "iu" else 0.5
    )  # NumPy's lies between two pixels


def test_a_cell_is_scaled_by_what_lies_inside():
    pixels = np.arange(200, dtype=np.uint16).reshape(2, 10, 10)
    inside = np.zeros((10, 10), bool)
    inside[2:8, 3:9] = True
    out = Scaling().apply(0, pixels, inside)
    assert out.dtype == np.float32
    assert (out[:, ~inside] == 0).all()
    low, high = np.quantile(pixels[0][inside], QUANTILES)
    assert np.allclose(out[0][inside], np.clip((pixels[0][inside] - low) / (high - low), 0, 1), atol=1e-6)


def test_nothing_inside_and_constant_pixels_are_zero():
    constant = np.full((1, 4, 4), 7, np.uint8)
    assert (Scaling().apply(0, constant, np.ones((4, 4), bool)) == 0).all()
    assert (Scaling().apply(0, constant, np.zeros((4, 4), bool)) == 0).all()
