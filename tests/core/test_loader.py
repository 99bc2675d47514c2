"""Mini-batches: the rows of the table, each once, each chunk read once for a pool, within the budget."""

import pickle
import tracemalloc
from itertools import islice

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core import chunks
from kithkin.core.errors import CallError

N = 1000


@pytest.fixture(scope="module")
def matrix():
    return sparse.random(N, 60, 0.1, format="csr", random_state=0, data_rvs=lambda n: np.arange(n) % 90 + 1.0)


@pytest.fixture
def ds(tmp_path, monkeypatch, matrix):
    """A dataset in chunks of 256 values, with columns of obs of each kind, and pictures."""
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 256)
    monkeypatch.setattr("kithkin.core.layout.SHARD", 2048)
    monkeypatch.setattr("kithkin.core.layout.DENSE_CHUNK_BYTES", 512)
    ds = kk.read(matrix, to=tmp_path / "a.zarr", progress=False)
    rng = np.random.default_rng(0)
    ds["obs/kind"] = pd.Categorical(rng.choice(["T", "B", "NK"], N), categories=["T", "NK", "B"])
    ds["obs/donor"] = np.array(["x", "y"], object)[np.arange(N) % 2]
    ds["obs/depth"] = np.arange(N) / 2
    ds["obsm/pictures"] = rng.integers(0, 999, (N, 2, 4, 4)).astype(np.uint16)
    ds["obsm/frame"] = pd.DataFrame({"a": np.arange(N), "b": np.arange(N) * 0.5}, index=ds.obs_names)
    ds["layers/double"] = 2 * matrix
    return ds


@pytest.mark.parametrize("chunk", [1, 7, 64, 5000])
@pytest.mark.parametrize("shuffle", [False, True])
def test_batches_are_the_rows_of_the_table(ds, matrix, shuffle, chunk):
    batches = list(ds.batches(96, shuffle=shuffle, chunk=chunk, buffer=300, columns=["kind", "obs/donor", "depth"]))
    rows = np.concatenate([batch.rows for batch in batches])
    assert sorted(rows.tolist()) == list(range(N))
    assert (rows.tolist() == list(range(N))) is not shuffle
    assert {len(batch.rows) for batch in batches[:-1]} == {96}
    obs = ds.obs
    for batch in batches:
        assert sparse.isspmatrix_csr(batch.X)
        assert batch.X.dtype == np.float32
        assert (matrix[batch.rows] != batch.X).nnz == 0
        assert batch.obs["kind"].tolist() == obs["kind"].cat.codes.iloc[batch.rows].tolist()
        assert batch.obs["donor"].tolist() == (batch.rows % 2).tolist()
        assert batch.obs["depth"].tolist() == (batch.rows / 2).tolist()


@pytest.mark.parametrize("key", ["layers/double", "obsm/pictures", "obsm/frame"])
def test_every_table_of_rows_is_drawn(ds, key):
    loader = ds.batches(100, key, shuffle=True, dtype=None, dense=True)
    for batch in loader:
        expected = ds.rows(batch.rows, key)
        expected = expected.to_dense() if hasattr(expected, "to_dense") else expected
        assert isinstance(batch.X, np.ndarray)
        np.testing.assert_array_equal(batch.X, expected)
        assert batch.X.dtype == ds.blocks(key).dtype


def test_categories_are_named_in_their_order(ds):
    loader = ds.batches(columns=["kind", "donor", "depth"])
    assert loader.categories == {"kind": ["T", "NK", "B"], "donor": ["x", "y"]}


def test_missing_labels_are_minus_one_and_missing_numbers_nan(ds):
    ds["obs/partly"] = ["a", None] * (N // 2)
    ds["obs/whole"] = [1, None] * (N // 2)
    batch = next(iter(ds.batches(4, columns=["partly", "whole"])))
    assert batch.obs["partly"].tolist() == [0, -1, 0, -1]
    np.testing.assert_array_equal(batch.obs["whole"], [1, np.nan, 1, np.nan])


@pytest.mark.parametrize(
    "cells", ["depth < 100 and donor == 'x'", np.arange(N) < 33, [5, 3, 900, 3], slice(10, 50), "names"]
)
def test_chosen_rows_and_no_others_are_drawn(ds, matrix, cells):
    cells = ds.obs_names[[4, 2]] if isinstance(cells, str) and cells == "names" else cells
    if isinstance(cells, str):
        wanted = np.flatnonzero((ds.obs["depth"] < 100) & (ds.obs["donor"] == "x"))
    else:
        wanted = np.unique(np.arange(N)[cells] if not isinstance(cells, pd.Index) else [2, 4])
    loader = ds.batches(16, shuffle=True, cells=cells, chunk=4)
    found = [(batch.rows, batch.X) for batch in loader]
    assert len(found) == len(loader) == -(-len(wanted) // 16)
    assert sorted(np.concatenate([rows for rows, _ in found]).tolist()) == wanted.tolist()
    assert all((matrix[rows] != X).nnz == 0 for rows, X in found)


def rows_of(loader):
    return np.concatenate([batch.rows for batch in loader]).tolist()


def test_each_pass_is_the_next_epoch_and_one_is_drawn_again_by_its_number(ds):
    loader = ds.batches(64, shuffle=True, seed=1)
    first, second = rows_of(loader), rows_of(loader)
    assert first != second
    loader.set_epoch(0)
    assert rows_of(loader) == first
    again = ds.batches(64, shuffle=True, seed=1)
    assert [rows_of(again), rows_of(again)] == [first, second]
    assert rows_of(ds.batches(64, shuffle=True, seed=2)) not in (first, second)


def test_an_epoch_that_was_left_does_not_change_the_next(ds):
    loader, left = (ds.batches(64, shuffle=True) for _ in range(2))
    epochs = [rows_of(loader), rows_of(loader)]
    assert len(list(islice(left, 2))) == 2
    assert rows_of(left) == epochs[1]


def test_an_interrupt_leaves_a_loader_that_goes_on(ds, monkeypatch):
    loader, read, left = ds.batches(64, shuffle=True, buffer=128), chunks._read_chunk, [40]

    def interrupted(file, *place):
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt
        return read(file, *place)

    monkeypatch.setattr(chunks, "_read_chunk", interrupted)
    with pytest.raises(KeyboardInterrupt):
        rows_of(loader)
    assert left == [0]
    whole = ds.batches(64, shuffle=True, buffer=128)
    epochs = [rows_of(whole) for _ in range(2)]
    assert rows_of(loader) == epochs[1]


@pytest.mark.parametrize("dense", [False, True])
def test_the_order_does_not_depend_on_threads_or_a_usual_budget(tmp_path, dense):
    X = sparse.csr_matrix((np.ones(40_000), np.arange(40_000) % 9000, np.arange(0, 40_001, 2)), shape=(20_000, 9000))
    path = kk.read(X, to=tmp_path / "wide.zarr", progress=False).path
    wide = [kk.open(path, threads=threads, memory=memory) for threads, memory in ((1, "200MB"), (3, "4GB"))]
    assert len({ds.batches(64, shuffle=True, dense=dense).order for ds in wide}) == 1


def test_a_loader_pickles(ds):
    loader = ds.batches(64, shuffle=True, columns="kind")
    next(iter(loader))
    copy = pickle.loads(pickle.dumps(loader))
    for own, other in zip(loader, copy, strict=True):
        assert own.rows.tolist() == other.rows.tolist()
        assert (own.X != other.X).nnz == 0
        assert own.obs["kind"].tolist() == other.obs["kind"].tolist()


def test_each_chunk_is_decoded_once_for_a_pool(ds, matrix, monkeypatch):
    seen, read = [], chunks._read_chunk
    monkeypatch.setattr(chunks, "_read_chunk", lambda file, *place: (seen.append(place), read(file, *place))[1])
    loader = ds.batches(50, shuffle=True, buffer=N)  # one pool holds all rows
    seen.clear()
    assert len(rows_of(loader)) == N
    assert len(seen) == 2 * -(-matrix.nnz // 256) + -(-(N + 1) // 256)
    loader = ds.batches(50, shuffle=True, buffer=250, chunk=1)
    seen.clear()
    rows_of(loader)
    assert len(seen) <= 4 * (2 * -(-matrix.nnz // 256) + -(-(N + 1) // 256))


def test_a_pool_and_a_batch_keep_within_the_budget(ds, monkeypatch):
    small = kk.open(ds.path, memory="50MB")
    row = small.blocks("obsm/pictures").row_bytes
    order = small.batches(10, "obsm/pictures").order
    assert order.pool * row <= 50e6 / 3
    wide = kk.open(ds.path, memory="4GB").batches(10, "obsm/pictures").order
    assert 64e6 - 10 * row <= wide.pool * row <= 64e6
    with pytest.raises(kk.ParameterError, match=r"^size must be at most 69,444 within a memory of 50 MB, got 70,000$"):
        small.batches(70_000, dense=True)
    monkeypatch.setattr("kithkin.core.loader.SHARE", 30_000)
    with pytest.raises(kk.ParameterError, match=r"^buffer must be at most 26 rows within a memory of 50 MB, got 500$"):
        small.batches(10, "obsm/pictures", buffer=500)


@pytest.mark.parametrize("key", ["X", "obsm/pictures"])
def test_no_more_than_a_pool_and_a_batch_are_held(tmp_path, monkeypatch, key):
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 4096)
    monkeypatch.setattr("kithkin.core.layout.DENSE_CHUNK_BYTES", 4096)
    monkeypatch.setattr("kithkin.core.loader.POOL", 2**20)
    ds = kk.read(sparse.random(6000, 2000, 0.1, format="csr", random_state=0), to=tmp_path / "b.zarr", progress=False)
    ds["obsm/pictures"] = np.random.default_rng(0).integers(0, 999, (6000, 1, 32, 32)).astype(np.uint16)
    loader = ds.batches(32, key, shuffle=True, chunk=8)
    assert ds.blocks(key).row_bytes * 6000 > 10 * 2**20
    next(iter(loader))
    tracemalloc.start()
    try:
        assert sum(len(batch.rows) for batch in loader) == 6000
        assert tracemalloc.get_traced_memory()[1] < 2 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"size": 0}, r"size must be in 1\.\.2147483647, got 0"),
        ({"chunk": 0}, r"chunk must be in 1\.\.2147483647, got 0"),
        ({"chunk": 2.5}, "chunk must be a whole number in"),
        ({"size": 64, "buffer": 63}, r"buffer must be in 64\.\."),
        ({"seed": -1}, "seed must be in"),
        ({"shuffle": "yes"}, "shuffle must be True or False, got 'yes'"),
        ({"on": "var/n_cells"}, "on must be X, a layer or a table in obsm, got 'var/n_cells'"),
        ({"on": "obsm/nothing"}, r"obsm/nothing is not in a\.zarr"),
        ({"on": "X_pca"}, "on must be a key such as 'obsm/X_pca', got 'X_pca'"),
        ({"on": 3}, "on must be a key"),
        ({"columns": "nothing"}, r"obs/nothing is not in a\.zarr"),
        ({"columns": ["obsm/pictures"]}, "columns must lie in obs"),
        ({"cells": "depth < 0"}, r"cells must choose at least one row of a\.zarr, got 'depth < 0'"),
        ({"cells": [N]}, r"cells must be rows of a\.zarr, 0\.\.999"),
        ({"cells": "nothing > 0"}, "there is no column 'nothing'"),
        ({"dtype": "text"}, "dtype must be a type of numbers, got 'text'"),
    ],
)
def test_what_is_not_possible_is_said_in_one_sentence(ds, given, said):
    with pytest.raises(kk.KithkinError, match=rf"^(query: )?{said}"):
        ds.batches(**given)


def test_a_wrong_parameter_is_named(ds):
    with pytest.raises(CallError, match=r"has no parameter 'shufle'. Did you mean 'shuffle'"):
        ds.batches(shufle=True)
    loader = ds.batches()
    with pytest.raises(kk.ParameterError, match="epoch must be in"):
        loader.set_epoch(-1)
