"""Cells in any order, from folders and zip files; and damage is named."""

import numpy as np
import pytest
import zarr

from kithkin import images
from kithkin.core.errors import FormatError, ParameterError

LABELS = np.arange(1, 41).reshape(5, 8).repeat(12, 0).repeat(12, 1).astype(np.uint16)
PIXELS = np.random.default_rng(0).integers(0, 900, (2, *LABELS.shape)).astype(np.uint16)


@pytest.fixture(params=[(3, False, 1), (3, True, 6), (3, False, None), (2, False, 7), (2, True, 7)])
def cells(request, tmp_path):
    zarr_format, zipped, per_chunk = request.param
    return images.cut(
        *(PIXELS, LABELS),
        to=tmp_path / "a.zarr",
        masks=True,
        cells_per_chunk=per_chunk,
        zarr_format=zarr_format,
        zipped=zipped,
    )


def test_cells_in_any_order(cells):
    whole = cells.array[:].transpose(1, 0, 2, 3)
    assert len(cells) == len(whole) == 40
    for rows in (
        [3],
        [39, 0, 7, 7, 3],
        [-1, -40],
        slice(None),
        slice(30, 3, -4),
        np.arange(40) % 3 == 0,
        [],
        slice(0, 0),
    ):
        expected = whole[rows] if isinstance(rows, slice) else whole[np.asarray(rows, bool if len(rows) == 40 else int)]
        assert np.array_equal(cells[rows], expected)
    assert np.array_equal(cells[11], whole[11])
    assert np.array_equal(cells[np.int32(-2)], whole[-2])


def test_reading_into_an_array(cells):
    out = np.empty((3, 2, 12, 12), np.uint16)
    assert cells.read([4, 30, 4], out) is out
    assert np.array_equal(out, cells[[4, 30, 4]])
    with pytest.raises(ParameterError, match=r"out must be a contiguous array of uint16 of the shape \(2, 2, 12, 12\)"):
        cells.read([1, 2], out)


def test_masks_on_reading(cells):
    masked = images.open_thumbnails(cells.path, masked=True)
    rows = [5, 39, 5, 20]
    for pixels, mask, raw in zip(masked[rows], _masks(cells)[rows], cells[rows], strict=True):
        assert np.array_equal(pixels, raw * mask)
        assert 0 < mask.sum() <= 144


def _masks(cells):
    from kithkin.io.thumbnails.layout import mask_path

    path = mask_path(cells.path)
    return zarr.open_array(zarr.storage.ZipStore(path, mode="r") if path.is_file() else path, mode="r")[:]


def test_large_reads_use_threads(cells, monkeypatch):
    monkeypatch.setattr("kithkin.io.thumbnails.reader.PARALLEL", 1)
    monkeypatch.setattr("kithkin.io.thumbnails.reader.default_threads", lambda: 3)
    rows = np.random.default_rng(1).integers(0, 40, 100)
    assert np.array_equal(cells[rows], cells.array[:].transpose(1, 0, 2, 3)[rows])


@pytest.mark.parametrize("rows", [40, [-41], [0.5], "a", [[1]]])
def test_cells_that_are_not_there(cells, rows):
    with pytest.raises(ParameterError, match="cells must be"):
        cells[rows]


def test_table_and_names(cells):
    assert cells.cells["CellID"].tolist() == list(range(1, 41))
    assert cells.channel_names == ["channel 1", "channel 2"]
    assert "40 cells, 2 channels, 12 x 12 uint16" in repr(cells)
    cells.close()


def test_damage_is_named(tmp_path):
    images.cut(PIXELS, LABELS, to=tmp_path / "a.zarr", cells_per_chunk=5)
    path = tmp_path / "a.zarr" / "c" / "0" / "0" / "0" / "0"
    whole = path.read_bytes()
    for place, says in ((100, "chunk 0 in c/0/0/0/0 is damaged"), (-20, "the index of c/0/0/0/0 is damaged")):
        data = bytearray(whole)
        data[place] ^= 1
        path.write_bytes(data)
        with pytest.raises(FormatError, match=f"^a.zarr: {says}$"):
            images.open_thumbnails(tmp_path / "a.zarr")[:]


def test_what_is_no_thumbnails(tmp_path):
    with pytest.raises(FormatError, match=r"does not exist"):
        images.open_thumbnails(tmp_path / "a.zarr")
    zarr.create_array(tmp_path / "b.zarr", shape=(3, 3), dtype="u1")
    with pytest.raises(FormatError, match=r"b.zarr is an array of 2 axes, and no thumbnails"):
        images.open_thumbnails(tmp_path / "b.zarr")
    images.cut(PIXELS, LABELS, to=tmp_path / "c.zarr")
    with pytest.raises(ParameterError, match=r"c.zarr has no masks: cut it with masks=True"):
        images.open_thumbnails(tmp_path / "c.zarr", masked=True)
