"""Images, masks and tables as people have them: each is read as it is meant, or refused in a sentence."""

import os
import shutil
import signal
import tracemalloc
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import zarr

import kithkin as kk
from kithkin import images
from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.io.images.open import open_image
from kithkin.io.thumbnails import writer

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

LABELS = np.zeros((40, 30), np.uint16)
LABELS[2:6, 2:6], LABELS[20:28, 10:18] = 300, 7
COUNT = {"DAPI": 100, "CD3": 7, "CD8": 50}


def write_ome(path, names, size=(1.0, 1.0), **settings):
    planes = np.stack([np.full(LABELS.shape, COUNT.get(name, k), np.uint16) for k, name in enumerate(names)])
    said = {"axes": "CYX", "Channel": {"Name": names}, "PhysicalSizeY": size[0], "PhysicalSizeX": size[1]}
    tifffile.imwrite(path, planes, photometric="minisblack", metadata=said, **settings)
    return path


@pytest.fixture
def two(tmp_path):
    """Two images with the same channels in another order."""
    first = write_ome(tmp_path / "a.ome.tif", ["DAPI", "CD3", "CD8"])
    second = write_ome(tmp_path / "b.ome.tif", ["CD8", "DAPI", "CD3"])
    return {"a": (first, LABELS, None), "b": (second, LABELS, None)}


@pytest.mark.parametrize(
    ("channels", "expected"), [(None, [100, 7, 50]), ([3, 1], [50, 100]), (["CD3"], [7]), (["CD8", "DAPI"], [50, 100])]
)
def test_channels_of_several_images_are_matched_by_name(two, tmp_path, channels, expected):
    ds = kk.read_image(two, to=tmp_path / "t.zarr", channels=channels)
    assert ds.read("X").tolist() == [expected] * 4
    cells = images.cut(two, to=tmp_path / "c.zarr", channels=channels)
    assert cells[:][:, :, 4, 4].tolist() == [expected] * 4
    assert cells.channel_names == list(ds.var_names)


def test_other_channels_are_refused(two, tmp_path):
    two["c"] = (write_ome(tmp_path / "c.ome.tif", ["DAPI", "CD3", "CD4"]), LABELS, None)
    with pytest.raises(ParameterError, match=r"c.ome.tif has no channel CD8, as a.ome.tif has: it has DAPI, CD3, CD4"):
        images.cut(two, to=tmp_path / "c.zarr")
    assert images.cut(two, to=tmp_path / "c.zarr", channels=["CD3", "DAPI"])[0][:, 0, 0].tolist() == [7, 100]
    two["c"] = (write_ome(tmp_path / "c.ome.tif", ["CD3", "CD3", "DAPI"]), LABELS, None)
    with pytest.raises(ParameterError, match="several called CD3"):
        images.cut(two, to=tmp_path / "d.zarr", channels=[1, 2])


def test_images_without_names_keep_their_order_and_say_so(two, tmp_path, caplog):
    two["c"] = (np.stack([np.full(LABELS.shape, k, np.uint16) for k in range(3)]), LABELS, None)
    ds = kk.read_image(two, to=tmp_path / "t.zarr")
    assert ds.read("X")[4].tolist() == [0, 1, 2]
    assert "the image: channels are taken in the order of a.ome.tif, not by name" in caplog.text


def test_names_are_read_as_they_are_written(tmp_path):
    names = ["007", "1e5", "1_2", "12", "True", "CD3"]
    path = write_ome(tmp_path / "a.ome.tif", names)
    assert images.cut_tiles(path, 8, to=tmp_path / "t.zarr").channel_names == names
    assert images.cut_tiles(path, 8, to=tmp_path / "u.zarr", channels=["12", "007"]).channel_names == ["12", "007"]


@pytest.mark.parametrize("axes", ["CYX", "CXY", "XCY", "YCX", "XYC", "YXC"])
def test_axes_mean_the_same_for_every_source(tmp_path, axes):
    pixels = np.random.default_rng(0).integers(0, 999, (3, 40, 30)).astype(np.uint16)
    turned = np.ascontiguousarray(pixels.transpose(["CYX".index(letter) for letter in axes]))
    tifffile.imwrite(tmp_path / "a.tif", turned, photometric="minisblack")
    tifffile.imwrite(tmp_path / "z.tif", turned, photometric="minisblack", compression="zlib", rowsperstrip=7)
    zarr.create_array(tmp_path / "a.zarr", data=turned, chunks=(2, 9, 7))
    np.save(tmp_path / "a.npy", turned)
    for source in (turned, *(tmp_path / name for name in ("a.tif", "z.tif", "a.zarr", "a.npy"))):
        image = open_image(source, axes=axes)
        assert np.array_equal(image.read([2, 0], (3, 33), (5, 29)), pixels[[2, 0], 3:33, 5:29])
        cells = images.cut(source, LABELS, to=tmp_path / "c.zarr", window_size=8, axes=axes, overwrite=True)
        assert np.array_equal(cells[0], pixels[:, 19:27, 9:17])


@pytest.mark.parametrize("dtype", ["int64", "uint64", "longlong", ">i8", ">u2", "float64"])
@pytest.mark.parametrize("source", ["array", "a.tif", "b.tif", "a.zarr"])
def test_pixels_of_every_type(tmp_path, dtype, source):
    pixels = np.arange(2 * 40 * 30).reshape(2, 40, 30).astype(dtype)
    if source.endswith("tif"):
        packed = {"compression": "zlib"} if source == "b.tif" else {}
        tifffile.imwrite(tmp_path / source, pixels, photometric="minisblack", **packed)
    elif source == "a.zarr":
        zarr.create_array(tmp_path / source, data=pixels.astype(np.dtype(dtype).newbyteorder("=").str))
    given = pixels if source == "array" else tmp_path / source
    cells = images.cut(given, LABELS, to=tmp_path / "c.zarr", window_size=4)
    assert np.array_equal(cells[1], pixels[:, 1:5, 1:5])
    assert cells.dtype == pixels.dtype.newbyteorder("=")
    ds = kk.read_image(given, LABELS, to=tmp_path / "t.zarr")
    np.testing.assert_allclose(ds.read("X")[1], pixels[:, 2:6, 2:6].mean(axis=(1, 2)), rtol=1e-6)


@pytest.mark.parametrize(("axes", "shape"), [("RYX", (3,)), ("RCYX", (3, 2)), ("MYX", (3,)), ("AYX", (3,))])
def test_positions_are_chosen_or_refused(tmp_path, axes, shape):
    pixels = np.broadcast_to(np.arange(np.prod(shape)).reshape(*shape, 1, 1), (*shape, 16, 16)).astype(np.uint8)
    tifffile.imwrite(tmp_path / "a.tif", pixels, photometric="minisblack", metadata={"axes": axes})
    for source in (tmp_path / "a.tif", pixels):
        given = {"to": tmp_path / "t.zarr", "overwrite": True} | ({"axes": axes} if source is pixels else {})
        with pytest.raises(FormatError, match=rf"has 3 positions along {axes[0]}: choose one with position=1..3$"):
            images.cut_tiles(source, 16, **given)
        with pytest.raises(ParameterError, match=r"position must be in 1..3 for .*, got 4$"):
            images.cut_tiles(source, 16, position=4, **given)
        tiles = images.cut_tiles(source, 16, position=2, **given)
        assert tiles[0][:, 0, 0].tolist() == pixels[1][..., 0, 0].ravel().tolist()


def test_tiles_of_a_mosaic_are_numbered_along_both_axes(tmp_path):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones((1, 1, 8, 8), np.uint8)
    image = open_image(pixels, axes="KJYX", position=5)
    assert image.shape == (1, 8, 8)
    assert image.read([0], (0, 1), (0, 1)).tolist() == [[[4]]]
    with pytest.raises(FormatError, match="has 6 positions along KJ"):
        open_image(pixels, axes="KJYX")


def test_images_of_one_file_are_chosen_or_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif", ome=True) as file:
        for k in range(2):
            said = {"axes": "CYX", "Channel": {"Name": [f"a{k}", f"b{k}"]}}
            file.write(np.full((2, 16, 16), k, np.uint8), photometric="minisblack", metadata=said)
    with pytest.raises(FormatError, match=r"^a.ome.tif has 2 images: choose one with position=1..2$"):
        open_image(tmp_path / "a.ome.tif")
    image = open_image(tmp_path / "a.ome.tif", position=2)
    assert image.about.channel_names == ["a1", "b1"]
    assert image.read([0], (0, 1), (0, 1)).tolist() == [[[1]]]
    with pytest.raises(FormatError, match="there is no 3: choose one"):
        open_image(tmp_path / "a.ome.tif", position=3)


@pytest.fixture
def tall(tmp_path):
    """Cells 30 um below and 20 um to the right of the first, in pixels twice as high as wide."""
    labels = np.zeros((60, 60), np.uint16)
    labels[10:14, 10:14], labels[40:44, 10:14], labels[10:14, 50:54] = 1, 2, 3
    said = {"axes": "CYX", "PhysicalSizeX": 0.5, "PhysicalSizeY": 1.0}
    tifffile.imwrite(tmp_path / "a.ome.tif", np.ones((1, 60, 60), np.uint8), photometric="minisblack", metadata=said)
    return tmp_path / "a.ome.tif", labels


def test_no_round_windows_and_radii_of_pixels_that_are_not_square(tall, tmp_path, caplog):
    with pytest.raises(
        ParameterError, match=r"has pixels 1 um high and 0.5 um wide, of which no square window is 10um"
    ):
        kk.read_image(*tall, to=tmp_path / "t.zarr", window_size="10um")
    with pytest.raises(ParameterError, match="no square window"):
        images.cut_tiles(tall[0], "10um", to=tmp_path / "t.zarr")
    ds = kk.read_image(*tall, to=tmp_path / "t.zarr")
    assert "pixels 1 um high and 0.5 um wide, which are not square" in caplog.text
    about = ds.read("uns/thumbnails")
    assert (about["pixel_height"], about["pixel_width"], "pixel_size" in about) == (1.0, 0.5, False)
    with pytest.raises(
        ParameterError, match=r"radius must be in micrometres, such as '30um', since pixels are 1 um high"
    ):
        kk.spatial_neighbors(ds, method="radius", radius=35)
    joined = kk.spatial_neighbors(ds, method="radius", radius="25um").toarray()
    assert joined[0].tolist() == [0, 0, 1]
    assert ds.read("obsp/spatial_distances")[0, 2] == pytest.approx(20)
    nearest = kk.spatial_neighbors(ds, method="knn", n_neighbors=1, key=None).toarray()
    assert nearest[0].tolist() == [0, 1, 1]  # the second cell's nearest is the first
    assert "not square: distances are in micrometres" in caplog.text


def test_a_radius_in_micrometres(tmp_path):
    parts = {
        "fine": (np.ones((1, 40, 30), np.uint8), LABELS, None),
        "rough": (np.ones((1, 40, 30), np.uint8), LABELS, None),
    }
    for name, size in (("fine", 0.5), ("rough", 2.0)):
        parts[name] = (write_ome(tmp_path / f"{name}.ome.tif", ["DAPI"], (size, size)), LABELS, None)
    ds = kk.read_image(parts, to=tmp_path / "t.zarr")
    apart = float(np.linalg.norm(np.diff(ds.read("obsm/spatial")[:2], axis=0)))
    assert kk.spatial_neighbors(ds, method="radius", radius=f"{apart:.4f}um").sum() == 2  # of the fine image only
    assert kk.spatial_neighbors(ds, method="radius", radius=f"{2.1 * apart:.4f} µm", key=None).sum() == 4
    assert kk.spatial_neighbors(ds, method="radius", radius=apart * 1.01, key=None).sum() == 4
    with pytest.raises(ParameterError, match="radius must be a number or such as '30um', got '3 km'"):
        kk.spatial_neighbors(ds, method="radius", radius="3 km")
    bare = kk.read_image(np.ones((1, 40, 30), np.uint8), LABELS, to=tmp_path / "u.zarr")
    with pytest.raises(ParameterError, match=r"u.zarr does not say how large a pixel is"):
        kk.spatial_neighbors(bare, method="radius", radius="30um")


@pytest.mark.parametrize("names", [("label", "centroid-"), ("label", "centroid_"), ("Object", "centroid-")])
def test_the_first_centroid_of_three_is_z(tmp_path, names):
    label, centroid = names
    table = pd.DataFrame({label: [7], f"{centroid}0": [2.0], f"{centroid}1": [23.5], f"{centroid}2": [13.5]})
    image = (LABELS[None] > 0).astype(np.uint8)
    given = {"x_column": f"{centroid}2", "y_column": f"{centroid}1"}
    with pytest.raises(FormatError, match=f"name its columns, with x_column='{centroid}2' and y_column='{centroid}1'"):
        images.cut(image, LABELS, table, to=tmp_path / "c.zarr", window_size=8)
    named = images.cut(image, LABELS, table, to=tmp_path / "n.zarr", window_size=8, **given)
    table[f"{centroid}0"] = 0.0
    table.to_csv(tmp_path / "cells.csv", index=False)
    cells = images.cut(image, LABELS, tmp_path / "cells.csv", to=tmp_path / "c.zarr", window_size=8)
    assert (named[0] == cells[0]).all()
    assert cells.cells[["X_centroid", "Y_centroid"]].to_numpy().tolist() == [[13.5, 23.5]]
    assert cells[0].sum() == 49


MASKS = {
    "float.tif": lambda path: tifffile.imwrite(path, LABELS.astype(np.float32), imagej=True),
    "float.npy": lambda path: np.save(path, LABELS.astype(float)),
    "x_cp_masks.png": lambda path: pillow().fromarray(LABELS).save(path),
    "m.npy": lambda path: np.save(path, LABELS.astype(np.int32)),
    "fortran.npy": lambda path: np.save(path, np.asfortranarray(LABELS)),
    "both.tif": lambda path: tifffile.imwrite(path, np.stack([LABELS, LABELS * 0], -1).astype(np.uint32)),
    "mesmer.tif": lambda path: tifffile.imwrite(path, LABELS[None, :, :, None].astype(np.uint32)),
    "mesmer.npy": lambda path: np.save(path, LABELS[None, :, :, None]),
    "last.zarr": lambda path: zarr.create_array(path, data=LABELS[:, :, None]),
    "stack.tif": lambda path: tifffile.imwrite(
        path, np.stack([LABELS, LABELS * 0]), imagej=True, metadata={"axes": "ZYX"}
    ),
}


def pillow():
    from PIL import Image

    return Image


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("table", [False, True])
def test_masks_as_programs_write_them(tmp_path, name, table):
    MASKS[name](tmp_path / name)
    given = pd.DataFrame({"CellID": [300, 7], "X_centroid": [3.5, 13.5], "Y_centroid": [3.5, 23.5]}) if table else None
    cells = images.cut(
        np.ones((1, *LABELS.shape), np.uint8), tmp_path / name, given, to=tmp_path / "c.zarr", masks=True
    )
    assert cells.cells["CellID"].tolist() == ([300, 7] if table else [7, 300])
    assert sorted(cells.cells["Area"]) == [16, 64]
    assert zarr.open_array(tmp_path / "c_mask.zarr")[:].sum() == 16 + 49


@pytest.mark.parametrize("axes", ["first", "last", "stack"])
def test_the_plane_of_a_mask_is_chosen(tmp_path, axes, caplog):
    planes = [LABELS, LABELS * 2]
    if axes == "stack":
        tifffile.imwrite(tmp_path / "m.tif", np.stack(planes), imagej=True, metadata={"axes": "ZYX"})
    else:
        np.save(tmp_path / "m.npy", np.stack(planes, 0 if axes == "first" else -1))
    mask, image = tmp_path / ("m.tif" if axes == "stack" else "m.npy"), np.ones((1, *LABELS.shape), np.uint8)
    assert images.cut(image, mask, to=tmp_path / "a.zarr", mask_plane=2).cells["CellID"].tolist() == [14, 600]
    assert images.cut(image, mask, to=tmp_path / "b.zarr", mask_plane=1).cells["CellID"].tolist() == [7, 300]
    assert caplog.text == ""
    with pytest.raises(ParameterError, match=r"mask_plane must be in 1..2 for m\..*, got 3"):
        images.cut(image, mask, to=tmp_path / "c.zarr", mask_plane=3)


def test_masks_that_are_none_are_refused(tmp_path):
    image = np.ones((1, *LABELS.shape), np.uint8)
    np.save(tmp_path / "a_seg.npy", np.array({"masks": LABELS}, dtype=object), allow_pickle=True)
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\nand no more")
    for mask, says in (
        (LABELS + 0.5, "a mask has one whole number"),
        (np.where(LABELS > 0, LABELS, np.nan), "a mask has one whole number"),
        (tmp_path / "a_seg.npy", "a_seg.npy cannot be read as npy"),
        (tmp_path / "b.png", "b.png cannot be read as PNG"),
        (np.stack([LABELS] * 9, -1), "has 30 x 9 pixels"),
    ):
        with pytest.raises(FormatError, match=says):
            images.cut(image, mask, to=tmp_path / "c.zarr")


def qpi(name, biomarker=""):
    more = f"<Biomarker>{biomarker}</Biomarker>" if biomarker else ""
    inner = f"<ImageType>FullResolution</ImageType>{more}<Name>{name}</Name>"
    root = "PerkinElmer-QPI-ImageDescription"
    return f'<?xml version="1.0" encoding="utf-16"?>\r\n<{root}>{inner}</{root}>'


def test_qptiff(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.qptiff", bigtiff=True) as file:
        for name, marker in (("DAPI", ""), ("Opal 520", "007")):
            file.write(
                np.zeros((64, 64), np.uint8),
                photometric="minisblack",
                tile=(32, 32),
                description=qpi(name, marker),
                resolution=(20000, 20000),
                resolutionunit="CENTIMETER",
                software="PerkinElmer-QPI",
                metadata=None,
            )
    tiles = images.cut_tiles(tmp_path / "a.qptiff", "8um", to=tmp_path / "t.zarr")
    assert tiles.channel_names == ["DAPI", "007"]
    assert tiles.shape[2] == 16


def test_svs(tmp_path):
    text = "Aperio Image Library v12\r\n64x64 [0,0 64x64] (32x32) JPEG/RGB Q=70|AppMag = 20|MPP = 0.5020"
    pixels = np.zeros((64, 64, 3), np.uint8)
    tifffile.imwrite(tmp_path / "a.svs", pixels, photometric="rgb", tile=(32, 32), description=text, metadata=None)
    assert open_image(tmp_path / "a.svs").about.pixel_size == (0.502, 0.502)


def colours(side, value, **more):
    return {"data": np.full((side, side, 3), value, np.uint8), "photometric": "rgb", "metadata": None, **more}


def test_pyramids_of_slide_scanners_with_pictures_of_the_slide(tmp_path, caplog):
    scanner = {"software": "PerkinElmer-QPI", "metadata": None}
    planes = {"photometric": "minisblack", "tile": (32, 32), **scanner}
    kinds = {kind: qpi("").replace("FullResolution", kind) for kind in ("Thumbnail", "Label")}
    with tifffile.TiffWriter(tmp_path / "a.qptiff", bigtiff=True) as file:
        for side, value in ((128, 1), (64, 5)):
            unit = {"resolution": (156.25 * side, 156.25 * side), "resolutionunit": "CENTIMETER"}
            for k, name in enumerate(("DAPI", "Opal 520")):
                text = qpi(name) if side == 128 else qpi(name).replace("Full", "Reduced")
                file.write(np.full((side, side), value + k, np.uint8), description=text, **planes, **unit)
            if side == 128:
                file.write(**colours(40, 9, description=kinds["Thumbnail"], software="PerkinElmer-QPI"))
        file.write(**colours(30, 9, description=kinds["Label"], software="PerkinElmer-QPI"))
    image = open_image(tmp_path / "a.qptiff")
    assert (image.shape, image.about.channel_names) == ((2, 128, 128), ["DAPI", "Opal 520"])
    assert image.about.pixel_size == (0.5, 0.5)
    assert image.read([1], (0, 1), (0, 1)).item() == 2
    library, tiles = "Aperio Image Library v12\r\n128x128", {"tile": (32, 32)}
    with tifffile.TiffWriter(tmp_path / "a.svs") as file:
        file.write(**colours(128, 7, description=f"{library} [0,0 128x128] (32x32)|AppMag = 20|MPP = 0.4990", **tiles))
        file.write(**colours(40, 9, description=f"{library} -> 40x40 - |MPP = 0.4990"))
        file.write(**colours(64, 8, description=f"{library} [0,0 128x128] (32x32) -> 64x64|MPP = 0.4990", **tiles))
        file.write(**colours(20, 1, description="Aperio Image Library v12\r\nlabel 20x20", subfiletype=1))
    image = open_image(tmp_path / "a.svs")
    assert (image.shape, image.about.pixel_size) == ((3, 128, 128), (0.499, 0.499))
    assert image.read([0, 2], (0, 1), (0, 1)).ravel().tolist() == [7, 7]
    with tifffile.TiffWriter(tmp_path / "b.qptiff", bigtiff=True) as file:
        file.write(**colours(64, 7, description=qpi("HE"), software="PerkinElmer-QPI", tile=(32, 32)))
    assert open_image(tmp_path / "b.qptiff").about.channel_names == []  # one name for three channels
    assert "images" not in caplog.text


def test_several_images_of_a_file(tmp_path, caplog):
    def write(name, sides):
        with tifffile.TiffWriter(tmp_path / name) as file:
            for side in sides:
                said = {"axes": "CYX", "Channel": {"Name": [f"a{side}", "b"]}}
                file.write(np.full((2, side, side), side, np.uint8), photometric="minisblack", metadata=said)
        return tmp_path / name

    rising = write("rising.ome.tif", (16, 20))
    with pytest.raises(FormatError, match=r"has 2 images \(2 x 16 x 16, 2 x 20 x 20\): choose one with position=1..2"):
        open_image(rising)
    second = open_image(rising, position=2)
    assert (second.shape, second.about.channel_names) == ((2, 20, 20), ["a20", "b"])
    assert second.read([0], (0, 1), (0, 1)).item() == 20
    assert open_image(write("falling.ome.tif", (20, 16))).shape == (2, 20, 20)
    assert "falling.ome.tif has 2 images: the first (2 x 20 x 20) is read" in caplog.text
    assert open_image(tmp_path / "falling.ome.tif", position=2).about.channel_names == ["a16", "b"]
    with pytest.raises(FormatError, match=r"has 3 images: there is no 4: choose one with position=1..3"):
        open_image(write("equal.ome.tif", (16, 16, 16)), position=4)


def test_names_of_pages(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        for k, name in enumerate(("dsDNA", "12")):
            tags = [(285, "s", 0, name, True)]
            file.write(np.full((16, 16), k, np.uint8), photometric="minisblack", metadata=None, extratags=tags)
    assert images.cut_tiles(tmp_path / "a.tif", 16, to=tmp_path / "t.zarr").channel_names == ["dsDNA", "12"]


def test_names_of_planes_follow_the_choice(tmp_path):
    pixels = np.arange(6, dtype=np.uint8).reshape(2, 3, 1, 1) * np.ones((1, 1, 16, 16), np.uint8)
    said = {"axes": "ZCYX", "Labels": [f"z{z} c{c}" for z in range(2) for c in range(3)]}
    tifffile.imwrite(tmp_path / "a.tif", pixels, imagej=True, metadata=said)
    assert open_image(tmp_path / "a.tif", z=2).about.channel_names == ["z1 c0", "z1 c1", "z1 c2"]


@pytest.mark.parametrize("place", [".", ".."])
@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("panel.csv", "channel,name,keep\nIr191,DNA,1\nXe134,gas,0\nLu175,007,1\n"),
        ("markers.csv", "channel_number,cycle_number,marker_name\n1,1,DNA\n2,1,007\n"),
    ],
)
def test_names_beside_the_image(tmp_path, caplog, place, name, text):
    folder = tmp_path / "img"
    folder.mkdir()
    (folder / place / name).write_text(text)
    tifffile.imwrite(folder / "a.tiff", np.ones((2, *LABELS.shape), np.float32), photometric="minisblack")
    ds = kk.read_image(folder / "a.tiff", LABELS, to=tmp_path / "t.zarr")
    assert list(ds.var_names) == ["DNA", "007"]
    assert f"names of channels are taken from {name}" in caplog.text
    tifffile.imwrite(folder / "b.tiff", np.ones((3, *LABELS.shape), np.float32), photometric="minisblack")
    assert open_image(folder / "b.tiff").about.channel_names == []
    assert f"b.tiff has 3 channels, but {name} names 2" in caplog.text


@pytest.fixture
def many():
    """A table of two images with the same ids."""
    table = pd.DataFrame({"CellID": [7, 300] * 2, "X_centroid": [13.5, 3.5] * 2, "Y_centroid": [23.5, 3.5] * 2})
    return table.assign(fov=["left", "left", "right", "right"], run=[1, 1, 2, 2]).drop(index=2)


def test_a_table_of_many_images_is_filtered_by_image(many, tmp_path, caplog):
    image = np.ones((1, *LABELS.shape), np.uint8)
    cells = images.cut(dict.fromkeys(("left", "right"), (image, LABELS, many)), to=tmp_path / "a.zarr")
    assert cells.cells[["Image", "CellID"]].to_numpy().tolist() == [["left", 7], ["left", 300], ["right", 300]]
    assert "2 of 3 cells are of left" in caplog.text
    ds = kk.read_image({"2": (image, LABELS, many)}, to=tmp_path / "t.zarr", image_column="run")
    assert ds.obs["cell_id"].tolist() == [300]
    tifffile.imwrite(tmp_path / "right.ome.tif", image, metadata={"axes": "CYX"}, photometric="minisblack")
    many.to_csv(tmp_path / "cells.csv", index=False)
    alone = images.cut(tmp_path / "right.ome.tif", LABELS, tmp_path / "cells.csv", to=tmp_path / "b.zarr")
    assert alone.cells["CellID"].tolist() == [300]
    with pytest.raises(FormatError, match=r"no cell with fov middle: it has left, right"):
        images.cut({"middle": (image, LABELS, many)}, to=tmp_path / "c.zarr", image_column="fov")
    with pytest.raises(FormatError, match=r"names 1 id more than once: 300. .* with image_column"):
        images.cut(image, LABELS, many.drop(columns="fov"), to=tmp_path / "c.zarr")
    with pytest.raises(FormatError, match="has no column sheet, which should name the image"):
        images.cut(image, LABELS, many, to=tmp_path / "c.zarr", image_column="sheet")


def test_absent_cells_are_left_out_on_request(tmp_path, caplog):
    table = pd.DataFrame({"CellID": [300, 77, 7], "X_centroid": [3.5, 9, 13.5], "Y_centroid": [3.5, 9, 23.5]})
    image = np.ones((1, *LABELS.shape), np.uint8)
    with pytest.raises(FormatError, match="1 id of the DataFrame is not in the mask: 77"):
        images.cut(image, LABELS, table, to=tmp_path / "a.zarr")
    assert images.cut(image, LABELS, table, to=tmp_path / "a.zarr", skip_absent=True).cells["Area"].tolist() == [16, 64]
    assert "1 id of the DataFrame is not in the mask: 77; left out" in caplog.text
    assert kk.read_image(image, LABELS, table, to=tmp_path / "t.zarr", skip_absent=True).n_obs == 2
    with pytest.raises(FormatError, match="is not in the mask"):
        images.cut(image, LABELS, table[1:2], to=tmp_path / "b.zarr", skip_absent=True)


def test_decimal_commas(tmp_path):
    (tmp_path / "c.csv").write_text("CellID;X_centroid;Y_centroid\n300;3,5;3,25\n7;13;23,5\n")
    cells = images.cut(np.ones((1, 40, 30)), LABELS, tmp_path / "c.csv", to=tmp_path / "c.zarr").cells
    assert cells[["X_centroid", "Y_centroid"]].to_numpy().tolist() == [[3.5, 3.25], [13, 23.5]]


def test_missing_columns_name_the_options(tmp_path, capsys):
    from kithkin.cli.cut_cells import main

    tifffile.imwrite(tmp_path / "a.tif", np.ones((1, 40, 30), np.uint8))
    (tmp_path / "x.csv").write_text("cell_id,x_centroid,y_centroid\n1,4.5,4.5\n")
    with pytest.raises(FormatError, match=r"Name them with id_column, x_column and y_column$"):
        images.cut(tmp_path / "a.tif", None, tmp_path / "x.csv", to=tmp_path / "c.zarr", window_size=4)
    words = [str(tmp_path / "a.tif"), "-", str(tmp_path / "x.csv"), str(tmp_path / "c.zarr"), "--window-size", "4"]
    assert main(words) == 1
    assert "Name them with --id-column, --x-column and --y-column" in capsys.readouterr().err
    columns = ["--id-column", "cell_id", "--x-column", "x_centroid", "--y-column", "y_centroid"]
    assert main([*words, *columns]) == 0


def test_more_axes_than_names_say_what_to_do(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", np.zeros((2, 3, 40, 30), np.uint8), photometric="minisblack")
    with pytest.raises(FormatError, match=r"name its 4 axes with axes, such as 'ZCYX'$"):
        open_image(tmp_path / "a.tif")
    assert open_image(tmp_path / "a.tif", axes="ZCYX", z=1).shape == (3, 40, 30)


def test_windows_that_cut_cells_are_remarked_upon(tmp_path, caplog):
    kk.read_image(np.ones((1, 40, 30), np.uint8), LABELS, to=tmp_path / "t.zarr", window_size=6)
    assert "windows of 6 pixels do not hold 1 cell whole" in caplog.text


@pytest.mark.parametrize("wanted", [None, [1, 9]])
def test_a_chunk_of_all_channels_is_decoded_once_or_refused(tmp_path, monkeypatch, wanted):
    pixels = np.random.default_rng(0).integers(0, 99, (16, 400, 300)).astype(np.uint16)
    labels = np.kron(LABELS, np.ones((10, 10), np.uint16))
    zarr.create_array(tmp_path / "a.zarr", data=pixels, chunks=(16, 400, 300))
    settings = {"channels": wanted, "window_size": 20, "threads": 2}
    with pytest.raises(ParameterError, match=r"of 400 x 300 pixels and 16 channels: memory must be at least 8 MiB"):
        images.cut(tmp_path / "a.zarr", labels, to=tmp_path / "c.zarr", memory=2**21, **settings)
    decoded, get = [], zarr.Array.__getitem__
    monkeypatch.setattr(zarr.Array, "__getitem__", lambda self, key: decoded.append(key) or get(self, key))
    tracemalloc.start()
    cells = images.cut(tmp_path / "a.zarr", labels, to=tmp_path / "c.zarr", memory=8 * 2**20, **settings)
    assert tracemalloc.get_traced_memory()[1] < 9 * 2**20
    tracemalloc.stop()
    assert len(decoded) == 1
    taken = [k - 1 for k in wanted or range(1, 17)]
    assert np.array_equal(cells[0], pixels[taken, 229:249, 129:149])


def run_in_child(function):
    child = os.fork()
    if child == 0:
        try:
            function()
        finally:
            os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


@pytest.mark.parametrize("settings", [{"window_size": 10}, {"window_size": 8, "mask_cells": True, "masks": False}])
def test_an_old_array_is_never_taken_up_as_the_new(tmp_path, monkeypatch, settings):
    tifffile.imwrite(tmp_path / "i.tif", np.arange(1200, dtype=np.uint16).reshape(40, 30))
    tifffile.imwrite(tmp_path / "m.tif", LABELS)
    call = {"to": tmp_path / "a.zarr", "threads": 1, "cells_per_chunk": 1}
    images.cut(tmp_path / "i.tif", tmp_path / "m.tif", window_size=8, fill=9, **call)
    expected = images.cut(tmp_path / "i.tif", tmp_path / "m.tif", **call | {"to": tmp_path / "b.zarr"}, **settings)[:]
    remove = shutil.rmtree

    def killed(path, **more):
        if (Path(path) / "moves.json").exists():
            (Path(path) / "moves.json").unlink()
            os.kill(os.getpid(), signal.SIGKILL)
        remove(path, **more)

    def again():
        return images.cut(tmp_path / "i.tif", tmp_path / "m.tif", overwrite=True, **call, **settings)

    with monkeypatch.context() as patch:
        patch.setattr(writer.shutil, "rmtree", killed)
        assert run_in_child(again) == -signal.SIGKILL
    assert np.array_equal(images.open_thumbnails(tmp_path / "a.zarr")[:], expected)
    assert np.array_equal(again()[:], expected)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr", "i.tif", "m.tif"]


def test_a_move_that_fails_leaves_the_old_pixels_with_the_old_masks(tmp_path, monkeypatch):
    pixels = np.arange(1200, dtype=np.uint16).reshape(1, 40, 30)
    call = {"to": tmp_path / "a.zarr", "mask_cells": True}
    images.cut(pixels, LABELS, window_size=8, **call)
    place, calls = writer.place, []

    def failing(staged, final):
        calls.append(final)
        if len(calls) == 2:
            raise OSError(5, "Input/output error")
        place(staged, final)

    with monkeypatch.context() as patch:
        patch.setattr(writer, "place", failing)
        with pytest.raises((OSError, KithkinError)):
            images.cut(pixels, LABELS, window_size=6, overwrite=True, **call)
    assert (
        zarr.open_array(tmp_path / "a.zarr").shape[2:] == zarr.open_array(tmp_path / "a_mask.zarr").shape[1:] == (8, 8)
    )
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "a_mask.zarr"]


def test_moves_are_taken_from_the_own_folder_only(tmp_path):
    images.cut(np.ones((1, 40, 30), np.uint8), LABELS, to=tmp_path / "a.zarr")
    hidden, victim = tmp_path / ".a.zarr.cut", tmp_path / "victim"
    (hidden / "pixels").mkdir(parents=True)
    victim.mkdir()
    number = os.stat(hidden / "pixels").st_ino
    for text in (
        f'[["pixels", "{victim / "new"}", {number}]]',
        f'[["../victim", {os.stat(victim).st_ino}]]',
        "[[]]",
        "{",
    ):
        (hidden / "moves.json").parent.mkdir(exist_ok=True)
        (hidden / "moves.json").write_text(text)
        writer.finish_moves(tmp_path / "b" / "a.zarr")
        writer.recover(tmp_path / "c.zarr")
        assert list(victim.iterdir()) == []
    shutil.rmtree(hidden)
    hidden.symlink_to(victim)
    with pytest.raises(KithkinError, match="is a link, or belongs to another user"):
        images.cut(np.ones((1, 40, 30), np.uint8), LABELS, to=tmp_path / "a.zarr", overwrite=True)
    assert list(victim.iterdir()) == []
