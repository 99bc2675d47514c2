"""What the axes of an image are, and arrays in memory as images."""

import numpy as np
import pytest

from kithkin.core.errors import FormatError, ParameterError
from kithkin.io.cutting.row_file import RowFile
from kithkin.io.images.image import WholeNumbers, guess_axes, letters_of, native_type, understand_axes
from kithkin.io.images.open import open_image


@pytest.mark.parametrize(
    ("letters", "shape", "image"),
    [
        ("YX", (4, 5), (1, 4, 5)),
        ("CYX", (3, 4, 5), (3, 4, 5)),
        ("YXS", (4, 5, 3), (3, 4, 5)),
        ("IYX", (6, 4, 5), (6, 4, 5)),
        ("TCZYX", (1, 3, 1, 4, 5), (3, 4, 5)),
        ("CYXS", (2, 4, 5, 3), (6, 4, 5)),
        ("XYC", (5, 4, 3), (3, 4, 5)),
    ],
)
def test_axes(letters, shape, image):
    assert understand_axes("a", letters, shape, {}).image_shape == image


@pytest.mark.parametrize(
    ("letters", "shape"), [("CX", (3, 4)), ("CYXY", (1, 2, 3, 4)), ("YX", (3, 4, 5)), ("YX", (0, 4))]
)
def test_what_is_no_image(letters, shape):
    with pytest.raises(FormatError, match=r"^a "):
        understand_axes("a", letters, shape, {})


def test_a_choice_on_an_axis_that_is_not_there():
    assert understand_axes("a", "CYX", (3, 4, 5), {"Z": 0}).image_shape == (3, 4, 5)
    with pytest.raises(ParameterError, match=r"^t must be in 1..1 for a, got 2$"):
        understand_axes("a", "CYX", (3, 4, 5), {"T": 1})


@pytest.mark.parametrize("axes", ["CYX", "YXC", "YCX", "XYC"])
def test_pixels_in_any_order_of_the_axes(axes):
    pixels = np.arange(3 * 40 * 50).reshape(3, 40, 50)
    turned = pixels.transpose(["CYX".index(letter) for letter in axes])
    image = open_image(turned, axes=axes)
    assert np.array_equal(image.read([2, 0, 2], (3, 17), (20, 50)), pixels[[2, 0, 2], 3:17, 20:50])


def test_xarray_names_its_axes():
    xarray = pytest.importorskip("xarray")
    pixels = np.arange(3 * 40 * 50).reshape(40, 3, 50)
    image = open_image(xarray.DataArray(pixels, dims=("y", "channel", "x")))
    assert np.array_equal(image.read([1], (0, 40), (0, 50))[0], pixels[:, 1])


def test_guesses():
    assert [guess_axes(shape) for shape in [(4, 5), (3, 40, 50), (40, 50, 4), (3, 50, 3)]] == [
        "YX",
        "CYX",
        "YXS",
        "CYX",
    ]


def test_what_is_given_must_be_a_path_or_an_array(tmp_path):
    with pytest.raises(ParameterError, match="an image must be a path or an array, got int"):
        open_image(5)
    with pytest.raises(ParameterError, match="at least one file"):
        open_image([])
    with pytest.raises(FormatError, match="is a folder with neither Zarr nor TIFF in it"):
        open_image(tmp_path)


def test_a_copy_by_rows(tmp_path):
    labels = np.random.default_rng(0).integers(0, 9999, (50, 70)).astype(np.uint32)
    image = open_image(labels)
    copy = RowFile(image, tmp_path)
    for y in range(0, 50, 16):
        for x in range(0, 70, 32):
            copy.put((y, x), labels[y : y + 16, x : x + 32])
    assert np.array_equal(copy.read([0], (3, 44), (9, 68))[0], labels[3:44, 9:68])
    copy.close()
    assert list(tmp_path.iterdir()) == []


def test_letters_of_named_dimensions():
    assert letters_of(["time", "marker", "y", "x"]) == "TCYX"
    assert letters_of(["fov", "c", "Y", "X"]) == "RCYX"


def test_types_are_in_the_byte_order_of_the_machine():
    assert native_type(">u2") == "uint16"
    assert native_type("longlong").char == np.dtype("int64").char


def test_labels_as_floating_point_numbers():
    assert WholeNumbers(open_image(np.array([[0.0, 7.0]]))).read([0], (0, 1), (0, 2)).tolist() == [[[0, 7]]]
    with pytest.raises(FormatError, match="a mask has one whole number for each cell"):
        WholeNumbers(open_image(np.array([[0.5, 7.0]]))).read([0], (0, 1), (0, 2))


@pytest.mark.parametrize("place", ["max", 1.5, True])
def test_a_plane_is_a_number(place):
    with pytest.raises(ParameterError, match="z must be the number of a plane"):
        open_image(np.zeros((2, 3, 4), np.uint8), axes="ZYX", z=place)
