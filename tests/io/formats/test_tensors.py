"""Files of arrays come back as they were, readers of safetensors open them, and every damage is noticed."""

import json

import numpy as np
import pytest

from kithkin.core.errors import FormatError, KithkinError
from kithkin.io.formats.tensors import read_tensors, write_tensors

ARRAYS = {
    "half": np.linspace(-2, 2, 6, dtype=np.float16).reshape(2, 3),
    "single": np.arange(4, dtype=np.float32),
    "double": np.array([[np.pi]]),
    "short": np.array([-3, 7], np.int16),
    "bytes": np.arange(5, dtype=np.uint8),
    "none": np.empty((0, 3), np.float32),
}
TEXTS = {"title": "é", "genes": json.dumps(["CD3D", "CD19"])}


@pytest.fixture
def path(tmp_path):
    write_tensors(tmp_path / "a.kin", ARRAYS, TEXTS)
    return tmp_path / "a.kin"


def test_arrays_and_texts_come_back(path):
    arrays, texts = read_tensors(path)
    assert texts == TEXTS
    assert set(arrays) == set(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)
        arrays[name][...] = 0  # a copy that can be written to


def test_the_form_is_that_of_safetensors(path):
    raw = path.read_bytes()
    length = int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8 : 8 + length])
    assert length % 8 == 0
    assert all(isinstance(text, str) for text in header.pop("__metadata__").values())
    start, end = header["single"]["data_offsets"]
    numbers = np.frombuffer(raw[8 + length + start : 8 + length + end], "<f4")
    np.testing.assert_array_equal(numbers, ARRAYS["single"])
    assert header["half"] == {"dtype": "F16", "shape": [2, 3], "data_offsets": header["half"]["data_offsets"]}
    for about in header.values():  # aligned, as readers expect
        assert about["data_offsets"][0] % {"F64": 8, "F32": 4, "F16": 2, "I16": 2, "U8": 1}[about["dtype"]] == 0


def test_safetensors_opens_it(path):
    loaded = pytest.importorskip("safetensors.numpy").load_file(path)
    np.testing.assert_array_equal(loaded["double"], ARRAYS["double"])


def test_every_changed_byte_is_noticed(path):
    raw = bytearray(path.read_bytes())
    for at in [*range(0, len(raw), 7), len(raw) - 1]:
        changed = bytearray(raw)
        changed[at] ^= 4
        path.write_bytes(changed)
        with pytest.raises(FormatError):
            read_tensors(path)


def test_every_length_is_noticed(path):
    raw = path.read_bytes()
    for wrong in (b"", raw[:5], raw[:50], raw[:-1], raw + b"\0", b"\xff" * 100, b"{}" * 40):
        path.write_bytes(wrong)
        with pytest.raises(FormatError, match=r"a\.kin is"):
            read_tensors(path)


@pytest.mark.parametrize("about", [
    {"dtype": "F32", "shape": [2], "data_offsets": [0, 80]},
    {"dtype": "F32", "shape": [3], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [-2], "data_offsets": [0, 8]},
    {"dtype": "OBJECT", "shape": [1], "data_offsets": [0, 8]},
    {"dtype": "F32", "shape": [2], "data_offsets": [8, 0]},
    {"dtype": "F32", "shape": "x", "data_offsets": None},
    ["no", "mapping"],
])  # fmt: skip
def test_a_header_that_lies_is_refused(path, about):
    head = json.dumps({"x": about, "__metadata__": {"checksum": ""}}).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + bytes(8))
    with pytest.raises(FormatError, match=r"a\.kin is damaged"):
        read_tensors(path)


def test_what_is_there_is_kept(path):
    with pytest.raises(KithkinError, match=r"exists already"):
        write_tensors(path, ARRAYS, {})
    write_tensors(path, {"x": np.ones(1)}, {}, overwrite=True)
    assert set(read_tensors(path)[0]) == {"x"}
    with pytest.raises(FormatError, match=r"nothing\.kin does not exist"):
        read_tensors(path.with_name("nothing.kin"))
    with pytest.raises(FormatError, match="is not a file of arrays"):
        read_tensors(path.parent)
