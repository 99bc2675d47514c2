"""Arrays that are put aside come back as they were, part by part, or are refused."""

import pickle
from collections import namedtuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kithkin.core.chunks import DamageError
from kithkin.core.spill import Spill

TYPES = ["uint8", "uint16", "int16", "int32", "int64", "uint32", "float32", "float64"]


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_every_part_comes_back(tmp_path_factory, data):
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    parts = [
        [
            rng.normal(0, 50, n).astype(data.draw(st.sampled_from(TYPES)))
            for n in data.draw(st.lists(st.integers(0, 40)))
        ]
        for _ in range(data.draw(st.integers(1, 4)))
    ]
    spill = Spill(tmp_path_factory.mktemp("s") / "spill")
    assert spill.prepare(0)
    spill.write(7, [[np.arange(3)]])
    spill.write(7, parts)  # a task that is done again
    for number, part in enumerate(parts):
        found = pickle.loads(pickle.dumps(spill)).read(7, number)
        assert [one.dtype for one in found] == [one.dtype for one in part]
        assert all(np.array_equal(one, other) for one, other in zip(found, part, strict=True))


@pytest.mark.parametrize("at", [9, 45, 80])
def test_damage_is_told(tmp_path, at):
    spill = Spill(tmp_path / "spill")
    spill.prepare(0)
    spill.write(0, [[np.arange(50)]])
    path = tmp_path / "spill/0"
    content = bytearray(path.read_bytes())
    content[at] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(DamageError, match="is damaged on disk"):
        spill.read(0, 0)


def test_nothing_is_begun_without_room(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: namedtuple("usage", "free")(100))
    assert not Spill(tmp_path / "spill").prepare(101)
    assert not (tmp_path / "spill").exists()
    assert Spill(tmp_path / "spill").prepare(100)


def test_a_task_that_outlives_its_step_leaves_nothing(tmp_path):
    with pytest.raises(FileNotFoundError):
        Spill(tmp_path / "gone").write(0, [[np.arange(3)]])
    assert list(tmp_path.iterdir()) == []
