"""Identities change with everything that matters and nothing else; records survive the disk."""

import hashlib
import os

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from scipy import sparse

from kithkin.core.history import (
    Entry,
    Step,
    digest,
    entry_of,
    fingerprint,
    identify,
    plain,
    read_history,
    replace,
    write_history,
)

STEP = Step("pca", 1, {"n": 5, "scale": False}, ("X",), ("obsm/X_pca",))


def test_the_digest_of_an_array_is_that_of_its_type_shape_and_bytes():
    arrays = [np.arange(6.0).reshape(2, 3), np.arange(6.0).reshape(3, 2).T, np.array(3, np.int8), np.zeros((0, 4))]
    for array in [*arrays, np.array(["a", "bc"]), np.array(["2026-01-01"], "M8[D]"), np.array([(1, 2.0)], "i4,f8")]:
        raw = str((array.dtype, array.shape)).encode() + np.ascontiguousarray(array).tobytes()
        assert digest(array) == hashlib.blake2b(raw, digest_size=10).hexdigest()


def test_an_identity_depends_on_verb_revision_parameters_inputs_and_outputs():
    others = [
        identify(Step("lsi", 1, STEP.parameters, STEP.inputs, STEP.outputs), {"X": "a"}),
        identify(Step("pca", 2, STEP.parameters, STEP.inputs, STEP.outputs), {"X": "a"}),
        identify(Step("pca", 1, {"n": 6, "scale": False}, STEP.inputs, STEP.outputs), {"X": "a"}),
        identify(Step("pca", 1, STEP.parameters, STEP.inputs, ("obsm/other",)), {"X": "a"}),
        identify(STEP, {"X": "b"}),
        identify(STEP, {"X": "a"}),
    ]
    assert len(set(others)) == 6


def test_an_identity_does_not_depend_on_order_or_numpy_types():
    same = Step("pca", 1, {"scale": np.bool_(False), "n": np.int64(5)}, ("X",), ("obsm/X_pca",))
    assert identify(STEP, {"X": "a", "Y": "b"}) == identify(same, {"Y": "b", "X": "a"})


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (np.float32(0.5), 0.5),
        ((1, "a"), [1, "a"]),
        ({"k": np.int8(1)}, {"k": 1}),
        (None, None),
        (True, True),
        (pd.Timestamp("2020-01-01"), "2020-01-01 00:00:00"),
    ],
)
def test_parameters_become_what_json_holds(value, expected):
    assert plain(value) == expected


def test_arrays_are_told_apart_by_values_type_and_shape():
    a = np.arange(6)
    found = [digest(v) for v in (a, a[::-1], a.astype("i4"), a.reshape(2, 3), a.astype(str).astype(object))]
    assert len(set(found)) == 5
    assert digest(a) == digest(np.arange(12)[::2] // 2)
    assert plain(a) == f"array (6,) {digest(a)}"
    assert digest(np.array(["ab", "c"], object)) != digest(np.array(["a", "bc"], object))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix, sparse.coo_matrix, pd.DataFrame, anndata.AnnData])
def test_objects_are_known_by_their_values(make):
    dense = np.arange(12.0).reshape(4, 3)
    assert fingerprint(make(dense)) == fingerprint(make(dense.copy()))
    changed = dense.copy()
    changed[2, 1] += 1
    assert fingerprint(make(changed)) != fingerprint(make(dense))


def test_names_and_layers_of_an_anndata_count_too():
    first = anndata.AnnData(np.eye(2))
    renamed, layered = first.copy(), first.copy()
    renamed.obs_names = ["x", "y"]
    layered.layers["a"] = np.eye(2)
    assert len({fingerprint(each) for each in (first, renamed, layered)}) == 3


def test_a_file_is_known_by_size_and_time_and_a_folder_by_its_files(tmp_path):
    file = tmp_path / "d" / "a.txt"
    file.parent.mkdir()
    file.write_text("abc")
    before = fingerprint(file), fingerprint(tmp_path / "d")
    assert (fingerprint(str(file)), fingerprint(tmp_path / "d")) == before
    os.utime(file, ns=(1, 1))
    assert fingerprint(file) != before[0]
    assert fingerprint(tmp_path / "d") != before[1]
    (file.parent / "b.txt").write_text("")
    assert len({before[1], fingerprint(tmp_path / "d")}) == 2


def test_records_come_back_from_disk(tmp_path):
    group = zarr.open_group(tmp_path / "a.zarr", mode="w", zarr_format=3).create_group("uns/kithkin")
    entries = [entry_of(STEP, {"X": "a"}, 1.23456), Entry("é", 1, {}, {}, ["obs/a"], "1", 0.0)]
    write_history(group, entries)
    assert read_history(tmp_path / "a.zarr") == entries
    assert entries[0].seconds == 1.235
    assert entries[0].identity == identify(STEP, {"X": "a"})
    assert entries[0].versions["numpy"] == np.__version__


def test_a_new_record_takes_the_place_of_what_it_wrote_over():
    old = [Entry("a", 1, {}, {}, ["obs/a"], "1", 0.0), Entry("b", 1, {}, {}, ["obs/b", "uns/b"], "2", 0.0)]
    new = Entry("c", 1, {}, {}, ["obs/a", "uns/b"], "3", 0.0)
    assert [(e.verb, e.outputs) for e in replace(old, new)] == [("b", ["obs/b"]), ("c", ["obs/a", "uns/b"])]
    assert old[1].outputs == ["obs/b", "uns/b"]
