"""Windows cut from pieces, and the measures of labels, against plain NumPy."""

import numpy as np
import pytest

from kithkin.kernels.crop import copy_window, measure_labels, merge_measures, overlap


def test_overlap_of_what_is_apart_is_empty():
    begin, end = overlap(10, 5, 0, 8)
    assert end <= begin


def test_windows_from_pieces_are_windows_of_the_whole():
    rng = np.random.default_rng(0)
    image = rng.integers(1, 1000, (3, 40, 50))
    padded = np.pad(image, ((0, 0), (20, 20), (20, 20)))
    for y, x in rng.integers(-9, 45, (30, 2)):
        window = np.zeros((3, 10, 10), image.dtype)
        for top in range(0, 40, 16):
            for left in range(0, 50, 16):
                piece = image[:, top : top + 16, left : left + 16]
                copy_window(piece, (top, left), (y, x), window)
        assert np.array_equal(window, padded[:, y + 20 : y + 30, x + 20 : x + 30])


@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint32", "int64"])
def test_measures_of_pieces_join_to_those_of_the_whole(dtype):
    labels = np.random.default_rng(1).integers(0, 9, (30, 41)).astype(dtype) * 7
    labels[3] = 7  # a run from edge to edge, and on in the next row
    labels[4] = 7
    parts = [measure_labels(labels[y : y + 11, x : x + 13], y, x) for y in range(0, 30, 11) for x in range(0, 41, 13)]
    found, table = (np.concatenate(one) for one in zip(*parts, strict=True))
    order = np.argsort(found, kind="stable")
    found, table = merge_measures(found[order], table[order])
    assert found.tolist() == np.unique(labels[labels > 0]).tolist()
    for label, row in zip(found, table, strict=True):
        y, x = np.nonzero(labels == label)
        assert row.tolist() == [y.min(), y.max() + 1, x.min(), x.max() + 1, len(y), y.sum(), x.sum()]


def test_an_empty_piece_has_no_labels():
    found, table = measure_labels(np.zeros((4, 5), np.uint16), 0, 0)
    assert len(found) == len(table) == 0
