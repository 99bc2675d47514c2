"""Masks measured in pieces, against SciPy; channels, and what tells one input from another."""

import os
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest
from scipy import ndimage

from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.execute import Execution
from kithkin.io.cutting.inputs import Reading, choose_channels, identity_of, measure_mask, open_sample, parts_of
from kithkin.io.images.image import About
from kithkin.io.images.open import open_image

LABELS = (ndimage.label(np.random.default_rng(0).random((300, 400)) < 0.3)[0] * 3).astype(np.int32)


@pytest.mark.parametrize("memory", [2**20, 2**30])
def test_measures_are_those_of_scipy(memory):
    labels, table = measure_mask(open_image(LABELS), Execution(memory=memory, threads=2))
    expected = np.unique(LABELS[LABELS > 0])
    assert labels.tolist() == expected.tolist()
    boxes = ndimage.find_objects(LABELS)
    for label, row in zip(labels, table, strict=True):
        rows, columns = boxes[label - 1]
        assert row[:4].tolist() == [rows.start, rows.stop, columns.start, columns.stop]
    centres = np.array(ndimage.center_of_mass(LABELS > 0, LABELS, expected))
    assert np.allclose(table[:, 5:] / table[:, 4:5], centres)


def test_a_sample_without_a_table_has_every_cell_of_the_mask():
    with ExitStack() as stack:
        sample = open_sample("", (LABELS, LABELS, None), Reading(), Execution(), stack)
    assert sample.cells.ids.tolist() == np.unique(LABELS[LABELS > 0]).tolist()
    assert sample.largest == max(s.stop - s.start for box in ndimage.find_objects(LABELS) if box for s in box)


def test_negative_ids_and_zero_are_not_in_a_mask():
    table = {"CellID": [0, -3], "X_centroid": [1.0, 2.0], "Y_centroid": [1.0, 2.0]}
    with ExitStack() as stack, pytest.raises(FormatError, match="2 ids of the DataFrame are not in the mask: 0, -3"):
        open_sample("", (LABELS, LABELS, pd.DataFrame(table)), Reading(), Execution(), stack)


def test_channels_by_number_and_name():
    image = open_image(np.zeros((3, 4, 5)))
    image.about = About(["DNA", "CD3", "CD8"])
    assert choose_channels(["CD8", 1], image) == [2, 0]
    with pytest.raises(ParameterError, match=r"has no channel 'cd8'\. Did you mean 'CD8'"):
        choose_channels(["cd8"], image)
    with pytest.raises(ParameterError, match="has no channel 'tubulin': there are 'DNA', 'CD3', 'CD8'"):
        choose_channels(["tubulin"], image)


def test_an_input_that_changed_is_another(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(b"one")
    first = identity_of(path)
    assert identity_of(str(path)) == first
    os.utime(path, ns=(1, 1))
    assert identity_of(path) != first
    folder = identity_of(tmp_path)
    (tmp_path / "b.tif").write_bytes(b"two")
    assert identity_of(tmp_path) != folder
    assert identity_of([path, np.zeros(2)]) is None
    assert identity_of(None) == "none"


def test_inputs_of_one_image_have_an_empty_name():
    parts = ("a.tif", "mask.tif", None)
    assert parts_of(*parts) == {"": parts}
    assert parts_of({"left": parts}, None, None) == {"left": parts}
