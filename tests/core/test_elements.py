"""Elements come back as they were, in AnnData's encoding."""

import numpy as np
import pandas as pd
import pytest
import zarr
from anndata.io import read_elem
from scipy import sparse

from kithkin.core.elements import create_dict, plain_strings, plain_text, plain_texts, read_element, write_element
from kithkin.core.errors import KithkinError


@pytest.fixture
def group(tmp_path):
    return zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3)


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint16", "int64", "float32", "float64"])
@pytest.mark.parametrize("shape", [(0,), (7,), (5, 3), (0, 3), (4, 2, 3)])
def test_arrays_of_any_type_and_shape(group, dtype, shape):
    value = np.random.default_rng(0).integers(0, 2, shape).astype(dtype)
    write_element(group, "a", value)
    for back in (read_element(group, "a"), read_elem(group["a"])):
        assert back.dtype == value.dtype
        assert np.array_equal(back, value)


@pytest.mark.parametrize("layout", ["csr", "csc", "coo"])
@pytest.mark.parametrize("density", [0.0, 0.3])
def test_sparse_matrices_keep_their_layout(group, layout, density):
    value = sparse.random(9, 6, density, layout, random_state=0)
    write_element(group, "a", value)
    back = read_element(group, "a")
    assert back.format == ("csr" if layout == "coo" else layout)
    assert back.shape == (9, 6)
    assert np.array_equal(back.toarray(), value.toarray())


@pytest.mark.parametrize("value", [1, 2.5, True, "text", np.float32(0.5)])
def test_single_values(group, value):
    write_element(group, "a", value)
    assert read_element(group, "a") == value


def test_mappings_may_be_nested_and_empty(group):
    write_element(group, "a", {"b": {}, "c": {"d": np.arange(3), 5: "x"}})
    back = read_element(group, "a")
    assert back["b"] == {}
    assert back["c"]["d"].tolist() == [0, 1, 2]
    assert back["c"]["5"] == "x"


def test_tables_keep_the_order_of_their_columns_and_their_categories(group):
    frame = pd.DataFrame(
        {
            "z": [1.5, 2.0, 3.0],
            "a": ["x", "", "y"],
            "k": pd.Categorical(["v", "u", None], ["v", "u", "w"], ordered=True),
        },
        index=["r1", "r2", "r3"],
    )
    write_element(group, "a", frame)
    back = read_element(group, "a")
    assert back.columns.tolist() == ["z", "a", "k"]
    assert back["k"].cat.categories.tolist() == ["v", "u", "w"]
    assert back["k"].cat.ordered
    pd.testing.assert_frame_equal(back, plain_texts(frame), check_dtype=False)
    assert back.index.dtype == back["a"].dtype == back["k"].cat.categories.dtype == object


@pytest.mark.parametrize("value", [object(), {1, 2}, lambda: 0])
def test_what_the_format_cannot_hold_is_refused(group, value):
    with pytest.raises(KithkinError, match="cannot be stored in AnnData's format"):
        write_element(group, "a", value)


@pytest.mark.parametrize("dtype", ["object", "string[python]", "string[pyarrow]", "str"])
def test_texts_of_any_type_of_pandas_are_read_as_they_are_computed(group, dtype):
    names = pd.Index(["r1", "r2", "r3"]).astype(dtype)
    words = pd.Series(["x", "", "y"], index=names).astype(dtype)
    groups = pd.Series(pd.Categorical(["v", "u", "v"], pd.Index(["v", "u"]).astype(dtype)), index=names)
    value = {"frame": pd.DataFrame({"a": words, "k": groups}), "words": words, "groups": groups}
    write_element(group, "a", value)
    computed, back = plain_texts(value), read_element(group, "a")
    pd.testing.assert_frame_equal(back["frame"], computed["frame"])
    for place in (computed, back):
        assert place["frame"].dtypes.tolist() == [object, pd.CategoricalDtype(pd.Index(["v", "u"], dtype=object))]
        assert place["frame"].index.dtype == place["groups"].dtype.categories.dtype == place["words"].dtype == object
        assert np.asarray(place["words"]).tolist() == ["x", "", "y"]
    assert computed["words"].index.dtype == object


def test_texts_become_plain_objects_and_missing_ones_categories():
    assert plain_text(pd.Series(["a", "b"], dtype="string")).dtype == object
    missing = plain_text(pd.Series(["a", None], dtype="string"))
    assert missing.cat.categories.tolist() == ["a"]
    numbers = pd.Series([1, 2])
    assert plain_text(numbers) is numbers
    frame = pd.DataFrame({"a": ["x"]}, index=[7])
    assert plain_strings(frame).index.tolist() == ["7"]
    assert frame.index.tolist() == [7], "the caller's table is left alone"


def test_an_empty_mapping_is_anndatas(group):
    create_dict(group, "uns")
    assert read_elem(group["uns"]) == {}
