"""A flipped byte anywhere is found and its element is named."""

import shutil

import numpy as np
import pandas as pd
import pytest

import kithkin as kk


@pytest.fixture
def full(dataset):
    values = {
        "obsm/X_a": np.random.default_rng(0).normal(size=(600, 5)).astype(np.float32),
        "obs/kind": pd.Series(pd.Categorical(["a", "b"] * 300)),
        "obs/text": pd.Series([f"t{i}" for i in range(600)]),
        "uns/about": {"n": 5, "s": "some text", "t": True, "v": np.arange(9)},
    }
    dataset.write(values)
    return dataset


def test_all_is_well_at_first(full):
    assert kk.check(full) == []


def flip(file, rng):
    """Flip one bit of a file; gives the key of its element."""
    raw = bytearray(file.read_bytes())
    raw[int(rng.integers(len(raw)))] ^= 1 << int(rng.integers(8))
    file.write_bytes(bytes(raw))


def element(root, file):
    return str(file.relative_to(root)).split("/c/")[0].removesuffix("/c").removesuffix("zarr.json").rstrip("/")


@pytest.mark.parametrize("seed", range(3))
def test_a_flipped_bit_in_every_chunk_is_found_and_named(full, seed):
    rng = np.random.default_rng(seed)
    chunks = sorted(path for path in full.path.rglob("*") if path.is_file() and path.name != "zarr.json")
    for chunk in chunks:
        if "uns/kithkin" not in str(chunk):
            flip(chunk, rng)
    wrong = {element(full.path, chunk) for chunk in chunks if "uns/kithkin" not in str(chunk)}
    found = {problem.partition(" is damaged")[0] for problem in kk.check(full)}
    assert len(wrong) > 20
    assert found == wrong


def test_a_flipped_bit_in_a_header_or_a_record_is_found_and_named(full):
    rng = np.random.default_rng(0)
    headers = sorted(full.path.rglob("zarr.json"))
    records = [path for path in (full.path / "uns/kithkin").rglob("*") if path.is_file()]
    for file in [*rng.choice(headers[1:], 12, replace=False), *records]:
        good = file.read_bytes()
        flip(file, rng)
        assert any(problem.startswith(element(full.path, file)) for problem in kk.check(full)), file
        file.write_bytes(good)
    assert kk.check(full) == []


def test_a_header_that_cannot_be_read_is_named(full):
    header = full.path / "obsm/X_a/zarr.json"
    header.write_text(header.read_text()[:-20])
    assert [p.partition(" is damaged")[0] for p in kk.check(full)] == ["obsm/X_a"]


def test_what_is_missing_and_what_was_changed_by_hand_is_named(full):
    shutil.rmtree(full.path / "uns/about/n")
    header = full.path / "obs/zarr.json"
    header.write_text(header.read_text().replace('"kind"', '"dnik"'))
    assert [p.partition(" is damaged")[0] for p in kk.check(full)] == ["obs", "uns/about/n"]


def test_streaming_over_a_file_cut_short_is_an_error_that_names_the_element(full):
    chunk = next((full.path / "X/data/c").iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-200])
    with pytest.raises(kk.KithkinError, match="X/data is damaged"):
        full.genes(list(full.var_names[:2]))
