"""Columns, tables, mappings and scalars have the files that anndata writes, and are read as anndata reads them."""

import os
from pathlib import Path

import anndata
import numcodecs
import numpy as np
import pandas as pd
import pytest
from packaging.version import Version

from kithkin.core.anndata_elements import anndata_io
from kithkin.core.arrays import open_group
from kithkin.core.chunks import DamageError, read_chunk
from kithkin.core.elements import load_element, plain_strings, plain_texts, read_element, write_element
from kithkin.core.errors import KithkinError
from kithkin.core.layout import compressors

TYPESIZE = Version(numcodecs.__version__) >= Version("0.16")  # before, zarr compresses all numbers as bytes
WORDS = np.array(["CD3E", "", "MS4A1-ä"], dtype=object)
FRAME = pd.DataFrame(
    {
        "text": WORDS,
        "category": pd.Categorical(["v", None, "u"], ["v", "u", "w"], ordered=True),
        "number": pd.Categorical([3, 9, 3]),
        "none": pd.Categorical([None, None, "x"]),
        "truth": pd.Categorical([True, False, True]),
        "float": np.array([0.5, np.nan, 2.5], np.float32),
        "whole": np.array([1, 2, 3], np.int16),
        "flag": [True, False, True],
        "Int": pd.array([1, None, 3], dtype="Int32"),
        "boolean": pd.array([True, None, False], dtype="boolean"),
    },
    index=["r1", "r2", "r3"],
)
LONG = pd.concat([FRAME] * 5, ignore_index=True)
VALUES = {
    "table": FRAME,
    "named": FRAME.rename_axis("cell"),
    "columns": FRAME[["whole", "text"]].rename_axis("whole names"),
    "long": LONG.set_axis([f"r{n}" for n in range(len(LONG))]),
    "no columns": pd.DataFrame(index=["a", "b"]),
    "no rows": FRAME.iloc[:0],
    "numbered": pd.DataFrame({"a": [1.5, 2.5]}),
    "one of the names": pd.DataFrame({"a": ["x", "y"]}, index=pd.Index(["x", "y"], name="a")),
    "texts": WORDS,
    "fixed": WORDS.astype("U"),
    "square": np.array([["a", "b"], ["c", "dd"], ["", "f"]], dtype=object),
    "category": FRAME["category"].array,
    "Int": FRAME["Int"].array,
    "boolean": FRAME["boolean"].array,
    "record": np.array([("a", 1.5)], dtype=[("x", "U3"), ("y", "f8")]),
    "word": "MS4A1-ä",
    "empty word": "",
    "one": 1,
    "zero": 0,
    "large": 2**62,
    "true": True,
    "half": np.float32(0.5),
    "nan": float("nan"),
    "little": np.int8(-3),
    "numpy word": np.str_("x"),
    "null": None,
}


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def write_with_anndata(group, name, value):
    n_rows = len(value) if hasattr(value, "__len__") and not isinstance(value, str) else 0
    kwargs = {"compressors": compressors(), "config": {"write_empty_chunks": True}}
    if n_rows or hasattr(value, "shape"):
        widths = value.shape[1:] if isinstance(value, np.ndarray) else ()
        kwargs |= {"chunks": (max(1, min(n_rows, 7)), *widths)} if np.ndim(value) else {}
    with anndata_io() as io:
        plain = plain_strings(value) if isinstance(value, pd.DataFrame) else value
        io.write_elem(group, name, plain, dataset_kwargs=kwargs)


@pytest.mark.parametrize("name", VALUES)
def test_the_files_are_anndatas(tmp_path, monkeypatch, name):
    monkeypatch.setattr("kithkin.core.elements.COLUMN_CHUNK", 7)
    write_element(open_group(tmp_path / "ours", "w"), "x", VALUES[name])
    write_with_anndata(open_group(tmp_path / "theirs", "w"), "x", VALUES[name])
    ours, theirs = files(tmp_path / "ours/x"), files(tmp_path / "theirs/x")
    assert theirs.keys() <= ours.keys()
    for file, content in theirs.items():
        if TYPESIZE or file.endswith("zarr.json"):
            assert ours[file] == content, file
    # anndata leaves out a chunk of zeros; kithkin writes it, as a file that is not there is one that was lost
    assert not any(any(read_chunk(str(tmp_path / "ours/x" / file))) for file in ours.keys() - theirs.keys())


@pytest.mark.parametrize("name", VALUES)
@pytest.mark.parametrize("writer", ["ours", "theirs", "default"])
def test_what_is_read_is_what_anndata_reads(tmp_path, monkeypatch, name, writer):
    monkeypatch.setattr("kithkin.core.elements.COLUMN_CHUNK", 7)
    group = open_group(tmp_path / "a", "w")
    if writer == "ours":
        write_element(group, "x", VALUES[name])
    elif writer == "theirs":
        write_with_anndata(group, "x", VALUES[name])
    else:
        with anndata_io() as io:
            value = VALUES[name]
            io.write_elem(group, "x", plain_strings(value) if isinstance(value, pd.DataFrame) else value)
    with anndata_io() as io:
        expected = plain_texts(io.read_elem(group["x"]))
    for value in (read_element(group, "x"), load_element(tmp_path / "a", "x", {})):
        if isinstance(value, pd.DataFrame):
            pd.testing.assert_frame_equal(value, expected)
            assert [one.cat.categories.dtype for _, one in value.items() if one.dtype == "category"] == [
                one.cat.categories.dtype for _, one in expected.items() if one.dtype == "category"
            ]
        elif isinstance(value, (np.ndarray, pd.api.extensions.ExtensionArray)):
            assert value.dtype == expected.dtype
            assert pd.Series(value.tolist(), dtype=object).equals(pd.Series(expected.tolist(), dtype=object))
        else:
            assert type(value) is type(expected)
            assert value == expected or value != value


def test_mappings_are_read_in_the_order_of_their_names(tmp_path):
    group = open_group(tmp_path / "a", "w")
    write_element(group, "x", {"b": {"d": WORDS, "c": 5}, "a": {}, "n": None, "l": ["v", "w"]})
    back = read_element(group, "x")
    assert list(back) == ["a", "b", "l", "n"]
    assert list(back["b"]) == ["c", "d"]
    assert back["b"]["d"].tolist() == WORDS.tolist()
    assert (back["a"], back["b"]["c"], back["n"], list(back["l"])) == ({}, 5, None, ["v", "w"])


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"_index": [1]}, index=["x"]),
        pd.DataFrame({"a": ["x", "y"]}, index=pd.Index(["x", "z"], name="a")),
        pd.DataFrame({"a": pd.to_datetime(["2020-01-01"])}, index=["x"]),
    ],
)
def test_what_anndata_refuses_is_refused(tmp_path, frame):
    with pytest.raises(KithkinError, match="cannot be stored in AnnData's format"):
        write_element(open_group(tmp_path / "a", "w"), "x", frame)


def test_a_table_takes_the_place_of_another_element(tmp_path):
    group = open_group(tmp_path / "a", "w")
    write_element(group, "x", FRAME)
    write_element(group, "x", FRAME[["float"]])
    assert sorted(os.listdir(tmp_path / "a/x")) == ["_index", "float", "zarr.json"]


def test_zeros_that_have_a_sign_keep_it(tmp_path):
    write_element(open_group(tmp_path / "a", "w"), "x", pd.DataFrame({"a": [-0.0]}, index=["r"]))
    assert np.signbit(anndata.io.read_elem(open_group(tmp_path / "a")["x"])["a"].item())


@pytest.mark.parametrize("name", ["text", "float", "category/codes", "category/categories", "Int/mask"])
def test_a_changed_byte_is_found(tmp_path, name):
    write_element(open_group(tmp_path / "a", "w"), "x", FRAME)
    file = tmp_path / "a/x" / name / "c/0"
    content = bytearray(file.read_bytes())
    for place in range(len(content)):
        file.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(DamageError, match="checksum"):
            read_element(open_group(tmp_path / "a"), "x")
    file.unlink()
    with pytest.raises(DamageError, match="its file 0 is missing"):
        load_element(tmp_path / "a", "x", {f"x/{name}": 1})


def test_a_scalar_with_a_changed_byte_is_found(tmp_path):
    group = open_group(tmp_path / "a", "w")
    for value in ("word", 2.5):
        write_element(group, "x", value)
        content = bytearray((tmp_path / "a/x/c").read_bytes())
        content[-6] ^= 1
        (tmp_path / "a/x/c").write_bytes(content)
        with pytest.raises(DamageError, match="checksum"):
            load_element(tmp_path / "a", "x", {})
