"""TIFF of every make: what is read piece by piece is what the file holds, and a truncated file is refused."""

import re

import numpy as np
import pytest

from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.images.open import open_image
from kithkin.io.images.tiff import name_apart

tifffile = pytest.importorskip("tifffile")
pytest.importorskip("imagecodecs")

PIXELS = np.random.default_rng(0).integers(0, 4000, (3, 130, 170)).astype(np.uint16)
COLOURS = np.random.default_rng(1).integers(0, 255, (130, 170, 3)).astype(np.uint8)
TILED = {"tile": (64, 48)}
STRIPPED = {"rowsperstrip": 17}


def check_pieces(path, expected, **settings):
    image = open_image(path, **settings)
    assert image.shape == expected.shape
    assert image.dtype == expected.dtype
    whole = image.read(range(len(expected)), (0, expected.shape[1]), (0, expected.shape[2]))
    assert np.array_equal(whole, expected)
    order = [len(expected) - 1, 0]
    assert np.array_equal(image.read(order, (16, 111), (32, 150)), expected[order, 16:111, 32:150])
    image.close()
    return image


@pytest.mark.parametrize("byteorder", "<>")
@pytest.mark.parametrize("ome", [False, True])
@pytest.mark.parametrize("shape", [{}, TILED, STRIPPED], ids=["whole", "tiles", "strips"])
@pytest.mark.parametrize("compression", [None, "deflate", "lzw", "zstd"])
def test_layouts(tmp_path, compression, shape, ome, byteorder):
    settings = {"compression": compression, "predictor": compression is not None, "byteorder": byteorder, **shape}
    metadata = {"axes": "CYX"} if ome else None
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="minisblack", ome=ome, metadata=metadata, **settings)
    check_pieces(tmp_path / "a.tif", PIXELS)


@pytest.mark.parametrize("settings", [{}, TILED, TILED | {"compression": "deflate"}, STRIPPED | {"compression": "lzw"}])
def test_colours_are_three_channels(tmp_path, settings):
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, photometric="rgb", **settings)
    check_pieces(tmp_path / "a.tif", COLOURS.transpose(2, 0, 1))
    apart = COLOURS.transpose(2, 0, 1)
    tifffile.imwrite(tmp_path / "b.tif", apart, photometric="rgb", planarconfig="separate", **settings)
    check_pieces(tmp_path / "b.tif", apart)


def test_jpeg(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", COLOURS, photometric="rgb", compression="jpeg", tile=(64, 64))
    check_pieces(tmp_path / "a.tif", tifffile.imread(tmp_path / "a.tif").transpose(2, 0, 1))


def test_only_the_highest_resolution_of_a_pyramid_counts(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(PIXELS, subifds=1, tile=(64, 64), metadata={"axes": "CYX"}, photometric="minisblack")
        file.write(PIXELS[:, ::2, ::2], subfiletype=1, tile=(64, 64), photometric="minisblack")
    check_pieces(tmp_path / "a.ome.tif", PIXELS)


def test_ome_names_channels_and_the_size_of_a_pixel(tmp_path):
    said = {"axes": "CYX", "Channel": {"Name": ["a", "b", "c"]}, "PhysicalSizeX": 650, "PhysicalSizeXUnit": "nm"}
    said |= {"PhysicalSizeY": 0.5, "PhysicalSizeYUnit": "µm"}
    tifffile.imwrite(tmp_path / "a.ome.tif", PIXELS, photometric="minisblack", metadata=said)
    about = check_pieces(tmp_path / "a.ome.tif", PIXELS).about
    assert about.channel_names == ["a", "b", "c"]
    assert about.pixel_size == pytest.approx((0.5, 0.65))


def test_imagej(tmp_path):
    said = {"axes": "CYX", "unit": "um", "Labels": ["a", "b", "c"]}
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, imagej=True, metadata=said, resolution=(2, 4))
    about = check_pieces(tmp_path / "a.tif", PIXELS).about
    assert about.channel_names == ["a", "b", "c"]
    assert about.pixel_size == (0.25, 0.5)


def test_several_planes_need_a_choice(tmp_path):
    stack = np.stack([PIXELS, PIXELS + 1])
    tifffile.imwrite(tmp_path / "a.ome.tif", stack, metadata={"axes": "ZCYX"}, photometric="minisblack")
    with pytest.raises(FormatError, match=r"^a.ome.tif has 2 planes along Z: choose one with z=1..2$"):
        open_image(tmp_path / "a.ome.tif")
    with pytest.raises(ParameterError, match=r"^z must be in 1..2 for a.ome.tif, got 3$"):
        open_image(tmp_path / "a.ome.tif", z=3)
    check_pieces(tmp_path / "a.ome.tif", PIXELS + 1, z=2)


def test_one_file_per_channel(tmp_path):
    for name, plane in zip(("dna", "cd3", "cd8"), PIXELS, strict=True):
        tifffile.imwrite(tmp_path / f"{name}.tif", plane, compression="deflate", tile=(64, 48))
    paths = [tmp_path / f"{name}.tif" for name in ("dna", "cd3", "cd8")]
    assert check_pieces(paths, PIXELS).about.channel_names == ["dna", "cd3", "cd8"]
    folder = check_pieces(tmp_path, PIXELS[[1, 2, 0]])
    assert folder.about.channel_names == ["cd3", "cd8", "dna"]
    tifffile.imwrite(tmp_path / "odd.tif", PIXELS[0, :50])
    with pytest.raises(FormatError, match=r"cannot be one image: cd3.tif has 130 x 170 .* odd.tif has 50 x 170"):
        open_image(tmp_path)


def test_ome_tiff_of_several_files(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as file:
        file.write(PIXELS[0], metadata={"axes": "YX"}, photometric="minisblack")
    xml = tifffile.OmeXml()
    xml.addimage(np.uint16, PIXELS.shape, (3, 1, 1, 130, 170, 1), axes="CYX")
    text = xml.tostring()
    uuids = [f"urn:uuid:0000000{k}-0000-0000-0000-000000000000" for k in range(3)]
    data = "".join(
        f'<TiffData IFD="0" FirstC="{k}" PlaneCount="1"><UUID FileName="c{k}.ome.tif">{uuid}</UUID></TiffData>'
        for k, uuid in enumerate(uuids)
    )
    begin, end = text.index("<TiffData"), text.rindex("/>", 0, text.index("</Pixels>")) + 2
    text = text[:begin] + data + text[end:]
    for k, plane in enumerate(PIXELS):
        own = re.sub(r' UUID="[^"]*"', f' UUID="{uuids[k]}"', text, count=1)
        tifffile.imwrite(tmp_path / f"c{k}.ome.tif", plane, description=own, metadata=None, tile=(64, 48))
    check_pieces(tmp_path / "c1.ome.tif", PIXELS)


@pytest.mark.parametrize("settings", [{}, STRIPPED | {"compression": "deflate"}, TILED | {"compression": "zlib"}])
@pytest.mark.parametrize("ome", [False, True])
def test_a_truncated_file_is_refused_or_whole(tmp_path, settings, ome):
    small = PIXELS[:, :60, :70]
    tifffile.imwrite(
        tmp_path / "a.tif",
        small,
        photometric="minisblack",
        ome=ome,
        metadata={"axes": "CYX"} if ome else None,
        **settings,
    )
    data = (tmp_path / "a.tif").read_bytes()
    refused = 0
    for length in [*range(1, len(data), len(data) // 25), len(data) - 1]:
        (tmp_path / "b.tif").write_bytes(data[:length])
        try:
            image = open_image(tmp_path / "b.tif")
            found = image.read(range(image.shape[0]), (0, 60), (0, 70))
        except FormatError:
            refused += 1
        else:
            assert np.array_equal(found, small), length
    assert refused > 10


def test_a_damaged_tile_is_named(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", PIXELS, photometric="minisblack", compression="deflate", tile=(64, 48))
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        offset = file.pages[1].dataoffsets[5]
    data = bytearray((tmp_path / "a.tif").read_bytes())
    data[offset : offset + 40] = bytes(40)
    (tmp_path / "a.tif").write_bytes(data)
    with pytest.raises(FormatError, match=r"^a.tif: tile 5 of plane 2 cannot be decoded: "):
        open_image(tmp_path / "a.tif").read([1], (64, 128), (48, 96))


@pytest.mark.parametrize(
    ("content", "says"), [(b"hello", "neither TIFF nor Zarr"), (b"II*\0", "cannot be read as TIFF")]
)
def test_what_is_no_tiff_is_refused(tmp_path, content, says):
    (tmp_path / "a.tif").write_bytes(content)
    with pytest.raises(FormatError, match=f"^a.tif .*{says}"):
        open_image(tmp_path / "a.tif")


def test_axes_of_length_1_get_letters_of_their_own():
    assert name_apart("QYXQ", (1, 20, 20, 2)) == "CYXQ"
    assert name_apart("QQYX", (2, 3, 20, 20)) == "QQYX"
