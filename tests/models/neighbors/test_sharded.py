"""Workers find, bit for bit, the neighbours that this process finds, and are sent no rows."""

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest

from kithkin.core.execute import Execution
from kithkin.core.spill import Spill
from kithkin.models.neighbors.neighbors import Neighbors
from kithkin.models.neighbors.sharded import nearest_of_run


def groups(n, d, seed=0):
    rng = np.random.default_rng(seed)
    centers = rng.normal(0, 3, (12, d))
    X = centers[rng.integers(0, 12, n)] + rng.normal(0, 1, (n, d))
    X[: n // 50] = X[0]  # equal rows
    X[-3:] += 500
    return X.astype(np.float32)


def same(one, other):
    for name in ("data", "indices", "indptr"):
        for graph in ("distances_graph_", "connectivities_"):
            np.testing.assert_array_equal(getattr(getattr(one, graph), name), getattr(getattr(other, graph), name))
    assert one.recall_ == other.recall_


@pytest.mark.parametrize(("n", "d", "method"), [(300, 3, "exact"), (3000, 8, "exact"), (6000, 10, "partitioned")])
@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
def test_neighbors_are_those_of_one_process(tmp_path, n, d, method, metric, sent_workers):
    X, pool, spill = groups(n, d), sent_workers(1), Spill(tmp_path / "spill")
    model = Neighbors(12, method=method, metric=metric)
    expected = Neighbors(12, method=method, metric=metric).fit(X, Execution(threads=2))
    same(model.fit(X, Execution(threads=2, executor=pool), spill=spill), expected)
    searches = [size for task, size in zip(pool.functions, pool.sizes, strict=True) if task is nearest_of_run]
    assert len(searches) == len(list((tmp_path / "spill").iterdir())) - 1
    assert 0 < max(searches) < 2000


def test_processes_search(tmp_path):
    X = groups(5000, 6, seed=3)
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = Neighbors(10, method="partitioned").fit(X, Execution(executor=pool), spill=Spill(tmp_path / "spill"))
    assert (tmp_path / "spill/0").exists()  # it was the processes that searched
    same(found, Neighbors(10, method="partitioned").fit(X))


def test_without_a_place_for_the_rows_this_process_searches(tmp_path, monkeypatch, sent_workers):
    X, pool = groups(2000, 5), sent_workers(1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: type("usage", (), {"free": 0}))
    found = Neighbors(10).fit(X, Execution(executor=pool), spill=Spill(tmp_path / "spill"))
    same(found, Neighbors(10).fit(X))
    assert not (tmp_path / "spill").exists()
