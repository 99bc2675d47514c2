"""Windows that hold every cell as a whole, and thumbnails with the cells first."""

import numpy as np
import pytest
import zarr

from kithkin.core.windows import window_starts
from kithkin.io.cutting.cell_writer import RowWriter, whole_window
from kithkin.io.cutting.cells import Cells
from kithkin.io.cutting.inputs import Sample
from kithkin.io.images.open import open_image
from kithkin.io.thumbnails.layout import Layout


def sample(centres, boxes):
    y, x = np.asarray(centres, float).T
    image = open_image(np.zeros((1, 99, 99)))
    return Sample("", image, image, Cells("", np.arange(1, len(y) + 1), x, y), np.asarray(boxes))


def test_the_window_is_the_smallest_that_holds_every_cell():
    rng = np.random.default_rng(0)
    for _ in range(50):
        first, sides = rng.integers(0, 50, (2, 5)), rng.integers(1, 30, (2, 5))
        inside = first + rng.random((2, 5)) * (sides - 0.01)
        boxes = np.stack([first[0], first[0] + sides[0], first[1], first[1] + sides[1], sides.prod(axis=0)], axis=1)

        def holds(size, inside=inside, first=first, sides=sides):
            starts = window_starts(inside, size)
            return bool(((starts <= first) & (starts + size >= first + sides)).all())

        size = whole_window([sample(inside.T, boxes)])
        assert holds(size)
        assert size == 1 or not holds(size - 1)


def test_a_stray_centroid_does_not_make_the_window_huge():
    assert whole_window([sample([(90, 90)], [[0, 10, 0, 6, 60]])]) == 20


@pytest.mark.parametrize("chunk", [1, 4])
def test_rows_come_in_any_order(tmp_path, chunk):
    layout = Layout(2, 11, 5, np.dtype("uint16"), chunk, 8, masks=True)
    pixels = np.random.default_rng(0).integers(0, 999, (11, 2, 5, 5)).astype(np.uint16)
    writer = RowWriter(tmp_path / "a.zarr", layout, None)
    writer.prepare()
    for k in np.random.default_rng(1).permutation(-(-11 // chunk)):
        some = pixels[k * chunk : (k + 1) * chunk]
        writer.write([writer.pack(int(k), some.transpose(1, 0, 2, 3), some[:, 0] > 500)])
    assert writer.written.all()
    writer.close()
    assert np.array_equal(zarr.open_array(writer.folder / "thumbnails")[...], pixels)
    assert np.array_equal(zarr.open_array(writer.folder / "masks")[...], pixels[:, 0] > 500)
