"""A task on some thumbnails is sent these, and reads what one process reads."""

import pickle

import numpy as np
import pytest

import kithkin as kk
from kithkin.models.images.pixels import BLOCK, Images

SIDE = 64


@pytest.mark.parametrize("stored", [False, True])
def test_a_task_is_sent_its_own_cells(tmp_path, stored):
    n = 2 * BLOCK // SIDE**2 + 100
    rng = np.random.default_rng(0)
    pixels, masks = rng.integers(0, 99, (n, SIDE, SIDE)).astype(np.uint8), rng.random((n, SIDE, SIDE)) < 0.5
    given = pixels
    if stored:
        ds = kk.read(np.zeros((n, 2)), to=tmp_path / "a.zarr")
        ds["obsm/thumbnails"] = pixels
        given = ds.blocks("obsm/thumbnails")
    images = Images(given, masks)
    assert len(images.ranges) > 2
    for start, stop in images.ranges:
        own = pickle.dumps(images.only(start, stop))
        assert len(own) < 1.1 * (stop - start) * SIDE**2 * (1 if stored else 2) + 20_000
        for found, expected in zip(pickle.loads(own).read(start, stop), images.read(start, stop), strict=True):
            np.testing.assert_array_equal(found, expected)
