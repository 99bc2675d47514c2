"""Numbers of thumbnails against their definitions, pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.execute import Execution
from kithkin.models import Face, Faces
from kithkin.models.images.numbers import PictureNumbers


def measured(pixels, masks):
    """The numbers of the first cell by their names, and the first cell itself."""
    table = PictureNumbers(pixels, masks)
    names = table.names([f"c{k}" for k in range(pixels.shape[1])])
    assert len(names) == table.shape[1] == len(set(names))
    return dict(zip(names, table.read(0, 1)[0].tolist(), strict=True)), table


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32, np.float64])
def test_numbers_are_those_of_their_definitions(dtype):
    rng = np.random.default_rng(0)
    pixels = (100 * rng.random((3, 2, 12, 10))).astype(dtype)
    masks = rng.random((3, 12, 10)) < 0.8
    found, table = measured(pixels, masks)
    x, mask = pixels[0].astype(float), masks[0]
    inside = x[:, mask]
    assert found["c1 mean"] == pytest.approx(inside[1].mean(), rel=1e-5)
    assert found["c0 deviation"] == pytest.approx(inside[0].std(), rel=1e-5)
    assert found["c0 with c1"] == pytest.approx(np.corrcoef(inside)[0, 1], abs=1e-4)
    assert found["area"] == mask.sum()
    right, down = mask[:, 1:] & mask[:, :-1], mask[1:] & mask[:-1]
    steps = np.concatenate([np.abs(np.diff(x[0], axis=1))[right], np.abs(np.diff(x[0], axis=0))[down]])
    assert found["c0 texture"] == pytest.approx(steps.mean(), rel=1e-5)
    y, across = np.mgrid[:12, :10] + 0.5
    ring = np.minimum(3, (4 * np.hypot(y - 6, across - 5) / 6).astype(int))
    assert found["c1 ring 2"] == pytest.approx(x[1][mask & (ring == 1)].mean(), rel=1e-5)
    side = table.side
    part = (np.arange(12)[:, None] * side // 12 == 1) & (np.arange(10) * side // 10 == 2) & mask
    wanted = x[0][part].mean() if part.any() else inside[0].mean()
    assert found[f"c0 at 2, 3 of {side} x {side}"] == pytest.approx(wanted, rel=1e-5)
    whole = table.read(0, 3)
    np.testing.assert_array_equal(np.concatenate([table.read(0, 1), table.read(1, 3)]), whole)


def test_what_is_outside_the_mask_counts_for_nothing():
    rng = np.random.default_rng(1)
    pixels, masks = rng.random((4, 1, 8, 8)), np.zeros((4, 8, 8), bool)
    masks[:, 2:6, 2:5] = True
    other = np.where(masks[:, None], pixels, np.nan)
    np.testing.assert_array_equal(PictureNumbers(pixels, masks).read(0, 4), PictureNumbers(other, masks).read(0, 4))
    assert not PictureNumbers(pixels, masks & False).read(0, 4).any()
    with pytest.raises(kk.ParameterError, match="thumbnails must be finite"):
        PictureNumbers(other).read(0, 4)


def test_shares_are_the_same_whether_numbers_are_held_or_not():
    rng = np.random.default_rng(2)
    codes = np.repeat([0, 1], 60)
    pixels = rng.poisson(5, (120, 1, 10, 10)).astype(np.uint16)
    pixels[codes == 1, :, 4:6, 4:6] += 20
    one, other = (Faces().fit({"a": Face(pixels, "images")}, codes, Execution(memory=memory, threads=threads))
                  for memory, threads in ((10**9, 1), (10**5, 2)))  # fmt: skip
    np.testing.assert_array_equal(one.certainty_, other.certainty_)
    assert (one.shares_ == 1).all()
