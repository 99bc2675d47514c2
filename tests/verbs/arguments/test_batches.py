import numpy as np
import pytest

import kithkin as kk
from kithkin.verbs.arguments.batches import batches_of, check_condition
from kithkin.verbs.arguments.labels import labels_of


def test_a_batch_for_each_row(made):
    ds = made(donor=["b", "a", "b", "c"], lane=[1, 2, 1, 2], one=["x"] * 4, half=["x", None, "y", "x"])
    assert batches_of(ds, "donor").codes.tolist() == [1, 0, 1, 2]
    assert batches_of(ds, "obs/lane").names == ["1", "2"]
    with pytest.raises(kk.ParameterError, match="all rows of obs/one are 'x'"):
        batches_of(ds, "one")
    with pytest.raises(kk.ParameterError, match=r"1 of 4 in obs/half have none: leave them out with kithkin\.subset"):
        batches_of(ds, "half")


def test_a_text_without_letters_is_no_batch_and_small_ones_are_named(made):
    ds = made(partly=["x", "", "y", "x"], few=["a", "b", "a", "c"])
    with pytest.raises(kk.ParameterError, match="1 of 4 in obs/partly have none"):
        batches_of(ds, "partly")
    said = r"batch must name batches of 2 rows or more, but b, c of obs/few have fewer: leave .* join them"
    with pytest.raises(kk.ParameterError, match=said):
        batches_of(ds, "few", least=2)


def test_a_condition_is_told_by_batches_or_not(made, caplog):
    rng = np.random.default_rng(0)
    batch = rng.integers(0, 4, 200)
    ds = made(batch=batch, nested=batch // 2, crossed=rng.integers(0, 2, 200), same=7 - batch, constant=[1] * 200)
    for told in ("nested", "same"):
        with pytest.raises(kk.ParameterError, match=r"Cramér's V = 1"):
            check_condition(batches_of(ds, "batch"), labels_of(ds, told))
    with pytest.raises(kk.ParameterError, match="condition must have two labels or more, but obs/constant has one"):
        check_condition(batches_of(ds, "batch"), labels_of(ds, "constant"))
    ds["obs/none"] = np.full(200, np.nan)
    with pytest.raises(kk.ParameterError, match="condition must have two labels or more, but obs/none has none"):
        check_condition(batches_of(ds, "batch"), labels_of(ds, "none"))
    check_condition(batches_of(ds, "batch"), labels_of(ds, "crossed"))
    assert "nearly tells" not in caplog.text
