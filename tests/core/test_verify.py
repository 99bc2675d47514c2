"""A flipped byte anywhere in a chunk is found and its element is named."""

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


def test_every_flipped_byte_in_a_chunk_is_found_and_named(full):
    rng = np.random.default_rng(1)
    chunks = sorted(p for p in full.path.rglob("*") if p.is_file() and p.name != "zarr.json")
    assert len(chunks) > 20
    for chunk in chunks:
        good = chunk.read_bytes()
        bad = bytearray(good)
        bad[int(rng.integers(len(bad)))] ^= 1 << int(rng.integers(8))
        chunk.write_bytes(bytes(bad))
        key = str(chunk.relative_to(full.path)).partition("/c")[0]
        problems = kk.check(full)
        assert any(problem.startswith(key.split("/c/")[0]) for problem in problems), (chunk, problems)
        chunk.write_bytes(good)
    assert kk.check(full) == []


def test_a_header_that_cannot_be_read_is_named(full):
    header = full.path / "obsm/X_a/zarr.json"
    header.write_text(header.read_text()[:-20])
    assert [p.partition(" is damaged")[0] for p in kk.check(full)] == ["obsm/X_a"]


def test_streaming_over_a_file_cut_short_is_an_error_that_names_the_element(full):
    chunk = next((full.path / "X/data/c").iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-200])
    with pytest.raises(kk.KithkinError, match="X/data is damaged"):
        full.genes(list(full.var_names[:2]))
