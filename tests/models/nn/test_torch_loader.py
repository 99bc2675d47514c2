"""Mini-batches as torch takes them: the rows of the table, each once over all workers and ranks."""

import pickle
import sys

import numpy as np
import pandas as pd
import pytest

import kithkin as kk

torch = pytest.importorskip("torch")
data = pytest.importorskip("torch.utils.data")

N = 600
pytestmark = [
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create 3 worker processes"),
]


@pytest.fixture
def ds(dataset):
    dataset["obs/kind"] = pd.Categorical(np.array(["T", "B"])[np.arange(N) % 2])
    dataset["obsm/pictures"] = np.random.default_rng(0).integers(0, 999, (N, 2, 4, 4)).astype(np.uint16)
    return dataset


def drawn(loader, workers=0, **settings):
    more = {"timeout": 120} if workers else {}
    return list(data.DataLoader(loader, batch_size=None, num_workers=workers, **more, **settings))


def rows_of(batches):
    return [batch.rows.tolist() for batch in batches]


@pytest.mark.parametrize("dense", [True, False])
@pytest.mark.parametrize("key", ["X", "obsm/pictures"])
def test_tensors_hold_the_rows_of_the_table(ds, key, dense):
    loader = ds.torch(64, key, dense=dense, shuffle=True, columns="kind")
    batches = drawn(loader)
    assert len(batches) == len(loader) == -(-N // 64)
    assert sorted(row for batch in rows_of(batches) for row in batch) == list(range(N))
    assert loader.categories == {"kind": ["B", "T"]}
    for batch in batches:
        rows = ds.rows(batch.rows.numpy(), key)
        expected = rows.to_dense() if key == "X" else rows
        assert batch.X.dtype == torch.float32
        assert batch.X.layout == (torch.sparse_csr if key == "X" and not dense else torch.strided)
        np.testing.assert_array_equal(batch.X.to_dense().numpy(), expected)
        assert batch.obs["kind"].tolist() == (1 - batch.rows % 2).tolist()
        assert batch.obs["kind"].dtype == batch.rows.dtype == torch.int64


@pytest.mark.parametrize("workers", [1, 2, 3])
@pytest.mark.parametrize("drop_last", [False, True])
def test_each_row_comes_once_over_all_workers_in_the_same_batches(ds, workers, drop_last):
    loader = ds.torch(32, shuffle=True, chunk=8, buffer=96, drop_last=drop_last)
    loader.set_epoch(4)
    alone, shared = rows_of(drawn(loader)), rows_of(drawn(loader, workers))
    assert sorted(shared) == sorted(alone)
    rows = [row for batch in shared for row in batch]
    assert len(set(rows)) == len(rows) == (N // 32 * 32 if drop_last else N)
    assert rows_of(drawn(loader, workers)) == shared


def test_workers_draw_another_order_each_epoch_that_follows_the_seed_of_torch(ds):
    def epochs(seed):
        torch.manual_seed(seed)
        loader = data.DataLoader(
            ds.torch(64, shuffle=True, buffer=64), batch_size=None, num_workers=2, persistent_workers=True, timeout=120
        )
        return [rows_of(loader) for _ in range(2)]

    first, second = epochs(0)
    for one in (first, second):
        assert sorted(row for batch in one for row in batch) == list(range(N))
    assert sorted(first) != sorted(second)
    assert epochs(0) == [first, second]
    assert epochs(1)[0] != first


def test_workers_that_stay_see_the_epoch_that_was_set(ds):
    loader = ds.torch(64, shuffle=True, buffer=64)
    kept = data.DataLoader(loader, batch_size=None, num_workers=2, persistent_workers=True, timeout=120)
    found = []
    for epoch in (5, 5, 6):
        loader.set_epoch(epoch)
        found.append(rows_of(kept))
    assert found[0] == found[1] != found[2]


def test_each_pass_in_this_process_is_the_next_epoch(ds):
    loader, arrays = ds.torch(64, shuffle=True), ds.batches(64, shuffle=True)
    for _ in range(2):
        assert rows_of(drawn(loader)) == rows_of(arrays)


@pytest.mark.filterwarnings("ignore:Sparse")  # torch warns of its own way to send such tensors
@pytest.mark.parametrize("dense", [True, False])
def test_workers_may_be_spawned(ds, dense):
    loader = ds.torch(64, shuffle=True, buffer=128, columns="kind", dense=dense)
    loader.set_epoch(0)
    shared = drawn(loader, 2, multiprocessing_context="spawn")
    assert sorted(rows_of(shared)) == sorted(rows_of(drawn(loader)))
    for batch in shared:
        assert batch.obs["kind"].tolist() == (1 - batch.rows % 2).tolist()
        np.testing.assert_array_equal(batch.X.to_dense().numpy(), ds.rows(batch.rows.numpy()).to_dense())


def test_a_loader_pickles(ds):
    loader = ds.torch(64, shuffle=True)
    copy = pickle.loads(pickle.dumps(loader))
    assert rows_of(drawn(copy)) == rows_of(drawn(loader))


def test_ranks_share_the_rows(ds, monkeypatch):
    groups = torch.distributed
    monkeypatch.setattr(groups, "is_initialized", lambda: True)
    monkeypatch.setattr(groups, "get_world_size", lambda: 3)
    rows, counts = [], set()
    for rank in range(3):
        monkeypatch.setattr(groups, "get_rank", lambda rank=rank: rank)
        loader = ds.torch(32, shuffle=True, drop_last=True, buffer=64)
        batches = rows_of(drawn(loader))
        assert len(loader) == len(batches)
        counts.add(len(batches))
        rows += [row for batch in batches for row in batch]
    assert counts == {200 // 32}
    assert len(set(rows)) == len(rows)


def test_ranks_with_workers_ask_for_the_epoch(ds, monkeypatch):
    loader = ds.torch(32, shuffle=True)
    loader.rank = (0, 2)
    with pytest.raises(kk.ParameterError, match=r"call set_epoch\(epoch\) before each epoch"):
        drawn(loader, 1)
    loader.set_epoch(0)
    assert len(drawn(loader, 1)) == len(loader)


def test_an_epoch_is_a_number(ds):
    with pytest.raises(kk.ParameterError, match="epoch must be in"):
        ds.torch().set_epoch(-1)
    with pytest.raises(kk.KithkinError, match="has no parameter 'num_workers'"):
        ds.torch(num_workers=2)


def test_without_torch_it_is_said_what_to_install(ds, monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(kk.KithkinError, match=r"^ds\.torch needs torch: pip install 'kithkin\[deep\]'$"):
        ds.torch()
