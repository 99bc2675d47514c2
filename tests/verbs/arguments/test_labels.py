"""A column of obs of any type is read as labels."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.annotate import annotate
from kithkin.verbs.arguments.labels import labels_of

COLUMNS = {
    "texts": (["10", "9", "10"], ["9", "10"], [1, 0, 1]),
    "categories": (pd.Categorical(["x", None, "y"], ["y", "z", "x"]), ["y", "x"], [1, -1, 0]),
    "booleans": ([True, False, None], ["False", "True"], [1, 0, -1]),
    "integers": ([10, -1, 9], ["-1", "9", "10"], [2, 0, 1]),
    "whole numbers": ([2.0, np.nan, 1.0], ["1", "2"], [1, -1, 0]),
}


@pytest.mark.parametrize("kind", COLUMNS)
def test_any_column_can_be_labels(tmp_path, kind):
    values, names, codes = COLUMNS[kind]
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    annotate(ds, "mine", values)
    labels = labels_of(ds, "mine")
    assert (labels.names, labels.codes.tolist()) == (names, codes)
    assert labels.sizes.sum() == sum(code >= 0 for code in codes)


def test_measurements_are_no_labels(dataset):
    annotate(dataset, "mine", np.linspace(0.25, 1, 600))
    with pytest.raises(kk.ParameterError, match=r"obs/mine holds measurements such as 0\.25, not labels"):
        labels_of(dataset, "mine")
    with pytest.raises(kk.MissingResultError, match=r"obs/nothing is not in cells\.zarr"):
        labels_of(dataset, "nothing")


def test_numbers_in_texts_count(dataset):
    texts = ["3.10", "3.2", "3", "a10", "a9", "", "10"]
    ds = dataset
    annotate(ds, "mine", np.resize(np.array(texts, object), ds.n_obs))
    assert labels_of(ds, "mine").names == ["", "3", "3.2", "3.10", "10", "a9", "a10"]
