"""What has names goes by name."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.core.alignment import align

NAMES = pd.Index(["a", "b", "c"])


def test_names_decide_and_numbers_of_rows_do_not():
    assert align(pd.Series([1, 2, 3], index=["c", "a", "b"]), NAMES, "x").tolist() == [2, 3, 1]
    assert align(pd.Series([1, 2, 3]), NAMES, "x").tolist() == [1, 2, 3]
    assert align(pd.Series([1, 2, 3], index=[2, 0, 1]), pd.Index(["0", "1", "2"]), "x").tolist() == [2, 3, 1]
    assert align(np.arange(3), NAMES, "x").tolist() == [0, 1, 2]
    with pytest.raises(kk.ParameterError, match="x is indexed by other names than the dataset: q, r"):
        align(pd.Series([1, 2, 3], index=["a", "q", "r"]), NAMES, "x")


def test_masks_and_columns_with_names(tmp_path):
    names = list("abcdef")
    ds = kk.read(pd.DataFrame({"x": range(6), "y": 1}, index=names), to=tmp_path / "a.zarr", progress=False)
    mask = pd.Series([True, True, None, False, False, False], index=names[::-1], dtype="boolean")
    assert list(kk.subset(ds, cells=mask, to=tmp_path / "b.zarr").obs_names) == ["e", "f"]
    ds.write({"obs/v": pd.Series(range(6), index=names[::-1])})
    assert ds.obs["v"].tolist() == [5, 4, 3, 2, 1, 0]
