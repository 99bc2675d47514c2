"""OME-Zarr and plain Zarr arrays as images."""

import numpy as np
import pytest
import zarr

from kithkin.core.errors import FormatError
from kithkin.io.images.open import open_image

PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 130, 170)).astype(np.uint16)


def write_ome(path, version, scale=0.5):
    group = zarr.open_group(path, mode="w", zarr_format=3 if version == "0.5" else 2)
    group.create_array("0", data=PIXELS[None, :, None], chunks=(1, 2, 1, 64, 64))
    group.create_array("1", data=PIXELS[None, :, None, ::2, ::2], chunks=(1, 2, 1, 64, 64))
    axes = [{"name": n, "type": "space", **({"unit": "micrometer"} if n in "yx" else {})} for n in "tczyx"]
    sets = [
        {"path": str(k), "coordinateTransformations": [{"type": "scale", "scale": [1, 1, 1, f * scale, f * scale]}]}
        for k, f in enumerate((1, 2))
    ]
    said = {
        "multiscales": [{"axes": axes, "datasets": sets, "version": version}],
        "omero": {"channels": [{"label": n} for n in "abc"]},
    }
    group.attrs.update({"ome": said} if version == "0.5" else said)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ngff(tmp_path, version):
    write_ome(tmp_path / "a.zarr", version)
    image = open_image(tmp_path / "a.zarr")
    assert image.shape == (3, 130, 170)
    assert image.tile == (64, 64)
    assert image.about.channel_names == ["a", "b", "c"]
    assert image.about.pixel_size == (0.5, 0.5)
    assert np.array_equal(image.read([2, 0, 1], (10, 100), (5, 170)), PIXELS[[2, 0, 1], 10:100, 5:170])


def test_the_layout_of_bioformats2raw(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=2)
    write_ome(tmp_path / "a.zarr" / "0", "0.4")
    assert open_image(tmp_path / "a.zarr").shape == (3, 130, 170)


@pytest.mark.parametrize("shape", [{"chunks": (3, 50, 60)}, {"chunks": (1, 50, 60), "shards": (2, 100, 120)}])
def test_a_plain_array(tmp_path, shape):
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, **shape)
    image = open_image(tmp_path / "a.zarr")
    assert np.array_equal(image.read([1, 2], (0, 130), (20, 60)), PIXELS[1:, :, 20:60])


def test_a_group_without_an_image_is_refused(tmp_path):
    zarr.open_group(tmp_path / "a.zarr", mode="w")
    with pytest.raises(FormatError, match=r"^a.zarr is a Zarr group without an image"):
        open_image(tmp_path / "a.zarr")


def test_dask_and_colours_last_in_memory():
    dask = pytest.importorskip("dask.array")
    image = open_image(dask.from_array(PIXELS, chunks=(1, 64, 64)))
    assert image.tile == (64, 64)
    assert np.array_equal(image.read([2], (0, 70), (0, 70)), PIXELS[2:, :70, :70])
    colours = np.ascontiguousarray(PIXELS.transpose(1, 2, 0))
    assert np.array_equal(open_image(colours).read([0, 2], (5, 9), (1, 4)), PIXELS[[0, 2], 5:9, 1:4])


@pytest.mark.parametrize("kept", [0, 7, 40])
def test_a_damaged_chunk_is_named(tmp_path, kept):
    zarr.create_array(tmp_path / "a.zarr", data=PIXELS, chunks=(3, 50, 60))
    chunk = tmp_path / "a.zarr" / "c" / "0" / "1" / "2"
    chunk.write_bytes(chunk.read_bytes()[:kept] + b"\xff" * 9)
    with pytest.raises(FormatError, match=r"^a.zarr: rows 60..70 of columns 130..140 cannot be decoded: "):
        open_image(tmp_path / "a.zarr").read([0, 1, 2], (60, 70), (130, 140))
