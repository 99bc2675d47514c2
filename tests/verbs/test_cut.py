"""Thumbnails against plain slices of the whole image: every option, layout and order; and what is refused."""

import os
import signal
import subprocess
import sys
import time
from itertools import product

import numpy as np
import pandas as pd
import pytest
import zarr

from kithkin import images
from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.io.images.open import open_image
from kithkin.io.thumbnails.layout import mask_path

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

HEIGHT, WIDTH, CHANNELS = 301, 257, 3


def make(seed=0, n_cells=120):
    """An image, labels with gaps in the ids, and a shuffled table of some of the cells."""
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 60_000, (CHANNELS, HEIGHT, WIDTH)).astype(np.uint16)
    labels = np.zeros((HEIGHT, WIDTH), np.uint32)
    for label in rng.choice(np.arange(1, 500), n_cells, replace=False):
        y, x = rng.integers(0, HEIGHT), rng.integers(0, WIDTH)
        h, w = rng.integers(3, 14, 2)
        labels[y : y + h, x : x + w] = label
    ids = np.unique(labels[labels > 0])
    where = [np.nonzero(labels == k) for k in ids]
    table = pd.DataFrame(
        {"CellID": ids, "X_centroid": [x.mean() for _, x in where], "Y_centroid": [y.mean() for y, _ in where]}
    )
    return pixels, labels, table.sample(frac=0.8, random_state=seed)


PIXELS, LABELS, TABLE = make()
SIDE = max(
    int(np.ptp(axis)) + 1 for k in TABLE["CellID"] for axis in np.nonzero(k == LABELS)
)  # of the largest bounding box


def slices(pixels, table, size, labels=None, fill=0):
    """Plain slices of the padded image: what is expected."""
    pad = size + 1
    padded = np.pad(pixels, ((0, 0), (pad, pad), (pad, pad)), constant_values=fill)
    out = np.empty((len(pixels), len(table), size, size), pixels.dtype)
    marks = np.zeros((len(table), size, size), bool)
    for k, (label, x, y) in enumerate(zip(table["CellID"], table["X_centroid"], table["Y_centroid"], strict=True)):
        top, left = int(y) - size // 2 + pad, int(x) - size // 2 + pad
        out[:, k] = padded[:, top : top + size, left : left + size]
        if labels is not None:
            marks[k] = np.pad(labels, pad)[top : top + size, left : left + size] == label
    return (out * marks if labels is not None else out), marks


@pytest.fixture
def files(tmp_path):
    tifffile.imwrite(
        tmp_path / "image.ome.tif",
        PIXELS,
        photometric="minisblack",
        tile=(64, 48),
        compression="deflate",
        predictor=True,
        metadata={
            **{"axes": "CYX", "Channel": {"Name": ["DNA", "CD3", "CD8"]}, "PhysicalSizeX": 0.5},
            **{"PhysicalSizeXUnit": "µm", "PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"},
        },
    )
    tifffile.imwrite(tmp_path / "mask.tif", LABELS, compression="deflate")
    TABLE.to_csv(tmp_path / "cells.csv", index=False)
    return [tmp_path / name for name in ("image.ome.tif", "mask.tif", "cells.csv")]


def array_of(path):
    store = zarr.storage.ZipStore(path, mode="r") if path.is_file() else path
    return zarr.open_array(store, mode="r")[:]


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("size", [None, 1, 8, 31, 300])
def test_windows_are_slices_of_the_image(files, tmp_path, size, masked):
    cells = images.cut(*files, to=tmp_path / "a.zarr", window_size=size, mask_cells=masked)
    expected, marks = slices(PIXELS, TABLE, size or SIDE, LABELS if masked else None)
    assert np.array_equal(array_of(tmp_path / "a.zarr"), expected)
    assert np.array_equal(cells[:].transpose(1, 0, 2, 3), expected)
    assert (tmp_path / "a_mask.zarr").exists() == masked
    if masked:
        assert np.array_equal(array_of(tmp_path / "a_mask.zarr"), marks)


@pytest.mark.parametrize(("zarr_format", "per_chunk", "zipped"), product([2, 3], [None, 1, 7, 1000], [False, True]))
def test_every_layout_holds_the_same(files, tmp_path, zarr_format, per_chunk, zipped):
    cells = images.cut(
        *files,
        to=tmp_path / "a.zarr",
        mask_cells=True,
        zarr_format=zarr_format,
        cells_per_chunk=per_chunk,
        zipped=zipped,
    )
    expected, marks = slices(PIXELS, TABLE, SIDE, LABELS)
    assert cells.path.name == ("a.zarr.zip" if zipped else "a.zarr")
    assert np.array_equal(array_of(cells.path), expected)
    assert np.array_equal(array_of(mask_path(cells.path)), marks)
    assert sorted(path.name for path in tmp_path.glob("*a*zarr*")) == sorted(
        [cells.path.name, mask_path(cells.path).name]
    )


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("zarr_format", [2, 3])
@pytest.mark.parametrize("tile", [(16, 16), (1008, 1008)])
def test_memory_threads_and_tiles_do_not_matter(tmp_path, threads, zarr_format, tile):
    big = np.tile(PIXELS, (1, 4, 5))  # does not fit the memory
    tifffile.imwrite(tmp_path / "big.tif", big, photometric="minisblack", tile=tile, compression="deflate")
    few = TABLE[:60]
    table = few.assign(X_centroid=few["X_centroid"] * 4.9, Y_centroid=few["Y_centroid"] * 3.9)
    images.cut(
        *(tmp_path / "big.tif", None, table),
        to=tmp_path / "a.zarr",
        window_size=41,
        zarr_format=zarr_format,
        memory=4 * 2**20 + (tile[0] > 16) * 2**20,
        threads=threads,
    )
    assert np.array_equal(array_of(tmp_path / "a.zarr"), slices(big, table, 41)[0])


def test_each_tile_is_decoded_once(files, tmp_path, monkeypatch):
    from kithkin.io.images.tiff import TiffArray

    decoded, decode = [], TiffArray._decode

    def counting(self, page, index):
        decoded.append((self.name, page, index))
        return decode(self, page, index)

    monkeypatch.setattr(TiffArray, "_decode", counting)
    images.cut(*files, to=tmp_path / "a.zarr", threads=2, memory=2 * 2**20)
    of_image = [one for one in decoded if one[0] == "image.ome.tif"]
    assert len(of_image) == len(set(of_image)) == 3 * 5 * 6


@pytest.mark.parametrize("strips", [{"rowsperstrip": 7}, {"rowsperstrip": HEIGHT}, {"tile": (32, 16)}])
def test_a_mask_in_other_pieces_than_the_image_is_decoded_once(files, tmp_path, monkeypatch, strips):
    from kithkin.io.images.tiff import TiffArray

    tifffile.imwrite(files[1], LABELS, compression="deflate", **strips)
    decoded, decode = [], TiffArray._decode
    monkeypatch.setattr(
        TiffArray, "_decode", lambda self, *at: (decoded.append((self.name, *at)), decode(self, *at))[1]
    )
    images.cut(*files, to=tmp_path / "a.zarr", mask_cells=True, memory=2 * 2**20)
    of_mask = [one for one in decoded if one[0] == "mask.tif"]
    assert len(of_mask) == len(set(of_mask)) * (2 if "tile" in strips else 1)
    expected, marks = slices(PIXELS, TABLE, SIDE, LABELS)
    assert np.array_equal(array_of(tmp_path / "a.zarr"), expected)
    assert np.array_equal(array_of(tmp_path / "a_mask.zarr"), marks)


def test_sources_of_every_kind_give_the_same(files, tmp_path):
    expected, _ = slices(PIXELS, TABLE, 20)
    zarr.create_array(tmp_path / "z.zarr", data=PIXELS, chunks=(2, 50, 60))
    zarr.create_array(tmp_path / "m.zarr", data=LABELS.astype(np.int64), chunks=(50, 60))
    for k, (image, mask, cells) in enumerate(
        [
            (PIXELS, LABELS, TABLE),
            (tmp_path / "z.zarr", tmp_path / "m.zarr", files[2]),
            (files[0], LABELS.astype(np.int32), TABLE),
            (PIXELS, None, files[2]),
        ]
    ):
        images.cut(image, mask, cells, to=tmp_path / f"{k}.zarr", window_size=20)
        assert np.array_equal(array_of(tmp_path / f"{k}.zarr"), expected)


def test_all_cells_of_the_mask_without_a_table(tmp_path):
    cells = images.cut(PIXELS, LABELS, to=tmp_path / "a.zarr", window_size=20)
    everyone = np.unique(LABELS[LABELS > 0])
    assert cells.cells["CellID"].tolist() == everyone.tolist()
    found = cells.cells.set_index("CellID").loc[TABLE["CellID"]]
    assert np.allclose(found["X_centroid"], TABLE["X_centroid"])
    assert np.allclose(found["Y_centroid"], TABLE["Y_centroid"])


@pytest.mark.parametrize(("channels", "taken"), [([3, 1], [2, 0]), ([2, 2, 1], [1, 1, 0]), (["CD8", "DNA"], [2, 0])])
def test_channels_in_the_given_order(files, tmp_path, channels, taken, caplog):
    cells = images.cut(*files, to=tmp_path / "a.zarr", channels=channels)
    assert np.array_equal(array_of(tmp_path / "a.zarr"), slices(PIXELS[taken], TABLE, SIDE)[0])
    assert cells.channel_names == [["DNA", "CD3", "CD8"][k] for k in taken]
    assert ("repeated" in caplog.text) == (len(set(taken)) < len(taken))


def test_what_is_kept_with_the_array(files, tmp_path):
    cells = images.cut(*files, to=tmp_path / "a.zarr")
    assert cells.array.attrs["pixel_size"] == {"y": 0.5, "x": 0.5, "unit": "micrometer"}
    assert cells.channel_names == ["DNA", "CD3", "CD8"]
    assert cells.array.metadata.dimension_names == ("channel", "cell", "y", "x")
    table = pd.read_csv(tmp_path / "a.zarr" / "cells.csv")
    assert table["CellID"].tolist() == TABLE["CellID"].tolist()
    for row in table.itertuples():
        y, x = np.nonzero(row.CellID == LABELS)
        assert (row.Y_min, row.Y_max, row.X_min, row.X_max, row.Area) == (
            y.min(),
            y.max() + 1,
            x.min(),
            x.max() + 1,
            len(y),
        )
        assert row.X_start == int(row.X_centroid) - SIDE // 2
        assert row.Y_stop == int(row.Y_centroid) - SIDE // 2 + SIDE
        assert row.OutOfBounds == (min(row.X_start, row.Y_start) < 0 or row.X_stop > WIDTH or row.Y_stop > HEIGHT)


def test_a_window_in_micrometres(files, tmp_path):
    assert images.cut(*files, to=tmp_path / "a.zarr", window_size="10 µm").shape[2] == 20
    assert images.cut(*files, to=tmp_path / "b.zarr", window_size="10um", pixel_size=0.25).shape[2] == 40
    with pytest.raises(ParameterError, match="the image does not say how large a pixel is"):
        images.cut(PIXELS, LABELS, to=tmp_path / "c.zarr", window_size="10um")


@pytest.mark.parametrize("masked", [False, True])
def test_padding(tmp_path, masked):
    images.cut(PIXELS, LABELS, TABLE, to=tmp_path / "a.zarr", window_size=50, fill=7, mask_cells=masked)
    expected, _ = slices(PIXELS, TABLE, 50, LABELS if masked else None, fill=7)
    assert np.array_equal(array_of(tmp_path / "a.zarr"), expected)


def test_masks_beside_raw_pixels_are_applied_on_reading(files, tmp_path):
    images.cut(*files, to=tmp_path / "a.zarr", masks=True)
    assert np.array_equal(array_of(tmp_path / "a.zarr"), slices(PIXELS, TABLE, SIDE)[0])
    masked = images.open_thumbnails(tmp_path / "a.zarr", masked=True)
    assert np.array_equal(masked[:].transpose(1, 0, 2, 3), slices(PIXELS, TABLE, SIDE, LABELS)[0])


def test_normalisation(tmp_path):
    by_image = images.cut(PIXELS, LABELS, TABLE, to=tmp_path / "a.zarr", normalize="image")
    raw, _ = slices(PIXELS, TABLE, SIDE)
    low, high = np.quantile(PIXELS.reshape(CHANNELS, -1), (0.001, 0.999), axis=1)
    expected = np.clip((raw - low[:, None, None, None]) / (high - low)[:, None, None, None], 0, 1)
    inside, _ = slices(np.ones_like(PIXELS), TABLE, SIDE)
    assert by_image.dtype == np.float32
    assert np.allclose(by_image[:].transpose(1, 0, 2, 3), expected * inside, atol=1e-3)
    by_cell = images.cut(PIXELS, LABELS, TABLE, to=tmp_path / "b.zarr", normalize="cell")[:]
    assert by_cell.min() == 0
    assert (by_cell.max(axis=(2, 3)) == 1).all()


def test_several_images_into_one_array(tmp_path):
    other = make(seed=5, n_cells=40)
    cells = images.cut({"one": (PIXELS, LABELS, TABLE), "two": other}, to=tmp_path / "a.zarr", mask_cells=True)
    sides = [int(np.ptp(axis)) + 1 for k in other[2]["CellID"] for axis in np.nonzero(other[1] == k)]
    size = max(SIDE, *sides)
    parts = [slices(PIXELS, TABLE, size, LABELS)[0], slices(other[0], other[2], size, other[1])[0]]
    assert np.array_equal(array_of(tmp_path / "a.zarr"), np.concatenate(parts, axis=1))
    assert cells.cells["Image"].value_counts().to_dict() == {"one": len(TABLE), "two": len(other[2])}
    with pytest.raises(ParameterError, match="must have channels and type in common"):
        images.cut({"one": (PIXELS, LABELS, TABLE), "two": (PIXELS[:2], LABELS, TABLE)}, to=tmp_path / "b.zarr")


@pytest.mark.parametrize("dtype", ["uint8", "float32", "int16", "bool", "float16"])
def test_types_of_pixels(tmp_path, dtype):
    pixels = (PIXELS % 200).astype(dtype)
    if dtype == "float32":
        pixels[:, ::7] = np.nan
    images.cut(pixels, LABELS, TABLE, to=tmp_path / "a.zarr", mask_cells=True)
    expected, _ = slices(np.nan_to_num(pixels, nan=-1), TABLE, SIDE, LABELS)
    assert np.array_equal(np.nan_to_num(array_of(tmp_path / "a.zarr"), nan=-1), expected)
    assert array_of(tmp_path / "a.zarr").dtype == dtype


def test_tiles(tmp_path):
    tiles = images.cut_tiles(PIXELS, 50, to=tmp_path / "a.zarr", step_size=70, save_metadata=tmp_path / "t.csv")
    table = pd.read_csv(tmp_path / "t.csv")
    padded = np.pad(PIXELS, ((0, 0), (0, 99), (0, 99)))
    expected = [padded[:, r.Y_start : r.Y_stop, r.X_start : r.X_stop] for r in table.itertuples()]
    assert np.array_equal(tiles[:], expected)
    assert tiles.cells.equals(table)
    assert table["TileID"].tolist() == list(range(20))
    assert (table["OutOfBounds"] == ((table["X_stop"] > WIDTH) | (table["Y_stop"] > HEIGHT))).all()


# what is changed of a good call -> what is said
REFUSED = {
    "mask has 301 x 250 pixels, but the image": {"mask": LABELS[:, :250]},
    "1 id of the DataFrame is not in the mask: 999": {"cells": pd.concat([TABLE, TABLE[:1].assign(CellID=999)])},
    "has no column X_centroid": {"cells": TABLE.drop(columns="X_centroid")},
    r"names 2 ids more than once: \d+, \d+": {"cells": pd.concat([TABLE, TABLE[:2]])},
    "has no cells": {"cells": TABLE[:0]},
    "centroids of the DataFrame lie outside the image": {"cells": TABLE.assign(X_centroid=TABLE["X_centroid"] + 200)},
    "1 centroid of the DataFrame lies outside": {"cells": TABLE.assign(Y_centroid=[*TABLE["Y_centroid"][1:], -4])},
    "cells? without a centroid": {"cells": TABLE.assign(Y_centroid=[np.nan, *TABLE["Y_centroid"][1:]])},
    r"channels must be in 1..3 for the image, got 4": {"channels": [1, 4]},
    r"channels must be in 1..3 for the image, got 0": {"channels": [0]},
    "the image has no channel 'CD4'": {"channels": ["CD4"]},
    "window_size must be at least 1 pixel, got 0": {"window_size": 0},
    "window_size must be at least 1 pixel, got -3": {"window_size": -3},
    "window_size must be a number of pixels or such as '30um', got 'big'": {"window_size": "big"},
    "chunk_size must be at least 0.17 for a thumbnail": {"chunk_size": 0.01, "window_size": 174},
    "holds float64: a mask has one whole number": {"mask": LABELS / 2},
    "holds bool: a mask has one whole number": {"mask": LABELS > 0},
    "mask_cells needs a mask": {"mask": None, "window_size": 9, "mask_cells": True},
    "window_size must be given where there is no mask": {"mask": None},
    "give a table of cells or a mask": {"mask": None, "cells": None, "window_size": 9},
    "threads must be at least 1, got 0": {"threads": 0},
    "memory must be at least 1 MiB": {"memory": 10},
    "fill must be a value of uint16, got -2": {"fill": -2},
    "normalize must be one of None, 'cell', 'image', got 'row'": {"normalize": "row"},
    "nowhere.tif does not exist": {"image": "nowhere.tif"},
    "has no cells: every pixel is 0": {"mask": LABELS * 0, "cells": None},
}


@pytest.mark.parametrize("says", REFUSED)
def test_what_is_refused_leaves_nothing(tmp_path, says):
    call = {"image": PIXELS, "mask": LABELS, "cells": TABLE} | REFUSED[says]
    with pytest.raises((FormatError, ParameterError), match=says) as caught:
        images.cut(call.pop("image"), call.pop("mask"), call.pop("cells"), to=tmp_path / "a.zarr", **call)
    assert "\n" not in str(caught.value)
    assert list(tmp_path.iterdir()) == []


def test_an_existing_destination_is_replaced_only_on_request_and_after_success(files, tmp_path):
    first = images.cut(*files, to=tmp_path / "a.zarr", window_size=9)
    with pytest.raises(ParameterError, match=r"a.zarr already exists"):
        images.cut(*files, to=tmp_path / "a.zarr", window_size=8)
    with pytest.raises(ParameterError, match="channels must be in"):
        images.cut(*files, to=tmp_path / "a.zarr", window_size=8, channels=[9], overwrite=True)
    assert np.array_equal(array_of(first.path), slices(PIXELS, TABLE, 9)[0])
    images.cut(*files, to=tmp_path / "a.zarr", window_size=8, overwrite=True)
    assert np.array_equal(array_of(first.path), slices(PIXELS, TABLE, 8)[0])
    with pytest.raises(ParameterError, match="is both an input and the destination"):
        images.cut(tmp_path / "a.zarr", None, files[2], to=tmp_path / "a.zarr", window_size=3, overwrite=True)


def test_a_table_of_another_image_is_remarked_upon(tmp_path, caplog):
    swapped = TABLE.rename(columns={"X_centroid": "Y_centroid", "Y_centroid": "X_centroid"})
    images.cut(PIXELS, LABELS, swapped[swapped["X_centroid"] < WIDTH], to=tmp_path / "a.zarr")
    assert "lie outside their cells in the mask: is it the table of another image" in caplog.text


KILLED = """
import sys, time
from kithkin import images
from kithkin.io.thumbnails import writer
write = writer.ThumbnailWriter.write
def slowly(self, packed):
    write(self, packed); time.sleep(0.1)
writer.ThumbnailWriter.write = slowly
writer.FLUSH = 1
images.cut(*sys.argv[1:4], to=sys.argv[4], mask_cells=True, threads=2, cells_per_chunk=1)
"""


def test_a_killed_run_is_taken_up(files, tmp_path):
    target = tmp_path / "a.zarr"
    log = tmp_path / ".a.zarr.cut" / "pixels.log"
    rng, kills = np.random.default_rng(os.getpid()), 0
    for _ in range(3):
        process = subprocess.Popen([sys.executable, "-W", "ignore", "-c", KILLED, *map(str, [*files, target])])
        before = log.stat().st_size if log.exists() else 0
        while process.poll() is None and not (log.exists() and log.stat().st_size > before):
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0, 0.1)))
        process.send_signal(signal.SIGKILL)
        kills += process.wait() == -signal.SIGKILL
        assert log.stat().st_size > before
    assert kills == 3
    assert not target.exists()
    images.cut(*files, to=target, mask_cells=True, cells_per_chunk=1)
    expected, marks = slices(PIXELS, TABLE, SIDE, LABELS)
    assert np.array_equal(array_of(target), expected)
    assert np.array_equal(array_of(mask_path(target)), marks)
    assert not (tmp_path / ".a.zarr.cut").exists()


def test_another_writer_is_refused(files, tmp_path):
    from kithkin.core.transaction import writing

    with writing(tmp_path / "a.zarr"), pytest.raises(KithkinError, match=r"a.zarr is being written by another process"):
        images.cut(*files, to=tmp_path / "a.zarr")


@pytest.mark.parametrize("name", ["E34", "J02"])
def test_real_images(shared_data, tmp_path, name):
    folder = shared_data / "imc"
    if not folder.is_dir():
        pytest.skip("imc is not in ../shared/data")
    cells = images.cut(
        folder / f"{name}_imc.tiff", folder / f"{name}_mask.tiff", to=tmp_path / "a.zarr", mask_cells=True
    )
    image = open_image(folder / f"{name}_imc.tiff")
    pixels = image.read(range(5), (0, 100), (0, 100))
    labels = tifffile.imread(folder / f"{name}_mask.tiff")
    table = cells.cells
    expected, marks = slices(pixels, table, cells.shape[2], labels)
    assert np.array_equal(cells[:].transpose(1, 0, 2, 3), expected)
    assert np.array_equal(array_of(mask_path(cells.path)), marks)
    assert table["Area"].sum() == (labels > 0).sum()
