"""What is measured while an image is decoded: means of cells, and a small picture."""

import warnings

import numpy as np
import pytest

from kithkin.io.cutting.gauge import PREVIEW, Gauge, Remembered
from kithkin.io.cutting.gauge_log import Notebook
from kithkin.io.images.open import open_image

RNG = np.random.default_rng(0)
LABELS = np.kron(RNG.permutation(np.arange(3, 103)).reshape(10, 10), np.ones((7, 9), np.int32)) * (
    RNG.random((70, 90)) < 0.8
)
PIXELS = RNG.normal(100, 30, (4, 70, 90)).astype(np.float32)
IDS = RNG.permutation(np.unique(LABELS[LABELS > 0]))[:80].astype(np.int64)


def boxes():
    where = [np.nonzero(k == LABELS) for k in IDS]
    return np.array([[y.min(), y.max() + 1, x.min(), x.max() + 1, len(y)] for y, x in where])


def gauge(channels=(0, 1, 2, 3), notes=None):
    return Gauge(open_image(PIXELS), open_image(LABELS), IDS, channels, boxes(), notes)


EXPECTED = np.array([PIXELS[:, k == LABELS].mean(axis=1, dtype=np.float64) for k in IDS])


@pytest.mark.parametrize("piece", [(70, 90), (13, 90), (11, 17), (3, 4)])
@pytest.mark.parametrize("seed", [0, 1])
def test_means_are_the_same_for_all_pieces_in_any_order(piece, seed):
    measured = gauge()
    places = [(y, x, c) for y in range(0, 70, piece[0]) for x in range(0, 90, piece[1]) for c in (0, 2)]
    for k in np.random.default_rng(seed).permutation(len(places)):
        y, x, c = places[k]
        rows, columns = (y, min(y + piece[0], 70)), (x, min(x + piece[1], 90))
        np.testing.assert_array_equal(
            measured.read([c, c + 1], rows, columns), PIXELS[c : c + 2, slice(*rows), slice(*columns)]
        )
    np.testing.assert_allclose(measured.means(), EXPECTED, rtol=1e-12)


def test_means_do_not_depend_on_the_order_of_the_pieces():
    found = []
    for seed in (0, 1, 2):
        measured = gauge()
        places = [(y, x) for y in range(0, 70, 5) for x in range(0, 90, 5)]
        for k in np.random.default_rng(seed).permutation(len(places)):
            y, x = places[k]
            measured.read([0, 1, 2, 3], (y, y + 5), (x, x + 5))
        found.append(measured.means())
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


def test_what_was_not_decoded_is_decoded_in_the_end():
    measured = gauge((3, 1))
    measured.read([3, 1], (0, 30), (0, 50))
    np.testing.assert_allclose(measured.means(), EXPECTED[:, [3, 1]], rtol=1e-12)


def test_the_small_picture_shows_the_first_channels_in_blue_green_and_red():
    side = PREVIEW + 100
    pixels = np.zeros((2, side, side), np.uint16)
    pixels[0, : side // 2] = pixels[1, :, : side // 2] = 1000
    labels = np.ones((side, side), np.uint8)
    measured = Gauge(
        open_image(pixels), open_image(labels), np.array([1]), [0, 1], np.array([[0, side, 0, side, side**2]])
    )
    for start in range(0, side, 101):
        measured.read([0, 1], (start, min(start + 101, side)), (0, side))
    picture = measured.preview()
    assert picture.shape == (side // 2, side // 2, 3)
    assert picture[0, 0].tolist() == [0, 255, 255]
    assert picture[-1, 0].tolist() == [0, 255, 0]
    assert picture[0, -1].tolist() == [0, 0, 255]


def test_a_picture_of_what_is_not_a_number_is_black():
    pixels = np.full((3, 4, 4), np.nan)
    pixels[0, 0], pixels[1] = [0, 1, np.inf, -np.inf], np.inf
    measured = Gauge(
        open_image(pixels), open_image(np.ones((4, 4), int)), np.array([1]), [0, 1, 2], np.array([[0, 4, 0, 4, 16]])
    )
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        measured.read([0, 1, 2], (0, 4), (0, 4))
        picture = measured.preview()
    assert picture[0, :, 2].tolist() == [0, 255, 0, 0]
    assert picture.sum() == 255


def test_what_is_noted_is_not_measured_again(tmp_path):
    places = [((y, y + 14), (x, x + 30)) for y in range(0, 70, 14) for x in range(0, 90, 30)]
    first = gauge(notes=Notebook(tmp_path / "notes"))
    for rows, columns in places[:7]:
        first.read([0, 1, 2, 3], rows, columns)
    with (tmp_path / "notes").open("ab") as file:
        file.write(b"torn by a kill")
    second, third = gauge(notes=Notebook(tmp_path / "notes")), gauge()
    for rows, columns in places[5:]:  # two of which are decoded once more
        second.read([0, 1, 2, 3], rows, columns)
    for rows, columns in places:
        third.read([0, 1, 2, 3], rows, columns)
    assert np.array_equal(second.means(), third.means())
    assert np.array_equal(second.preview(), third.preview())
    assert len(list(Notebook(tmp_path / "notes").read())) == len(places)


def test_the_last_piece_is_remembered_and_no_other():
    class Counted:
        name, shape, dtype, tile, about, cheap = "a", (1, 4, 4), np.dtype(int), (4, 4), None, True
        depth, piece_bytes, axes = 1, 0, None
        n_reads = 0

        def read(self, channels, rows, columns):
            self.n_reads += 1
            return np.zeros((len(channels), rows[1] - rows[0], columns[1] - columns[0]))

    counted = Counted()
    image = Remembered(counted)
    for rows in ((0, 2), (0, 2), (2, 4), (0, 2)):
        assert image.read([0], rows, (0, 4)).shape == (1, 2, 4)
    assert counted.n_reads == 3
