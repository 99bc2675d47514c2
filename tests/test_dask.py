"""A cluster of two processes gives every byte that threads give."""

import os
import shutil
import signal
import time
from concurrent.futures import Executor

import numpy as np
import pytest

import kithkin as kk
from kithkin.cli.main import main
from kithkin.core.spread import write_share

distributed = pytest.importorskip("distributed")


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    """Two worker processes, gone at the end."""
    settings = {
        "distributed.worker.daemon": True,
        "distributed.comm.timeouts.connect": "30s",
        "distributed.admin.low-level-log-length": 0,
    }
    dask = pytest.importorskip("dask")
    folder = str(tmp_path_factory.mktemp("dask"))
    with (
        dask.config.set(settings),
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0", local_directory=folder
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        yield client


class Counted(Executor):
    """The cluster's executor, counting what is sent to it."""

    def __init__(self, inner):
        self.inner, self.sent = inner, 0

    def submit(self, function, /, *arguments, **settings):
        self.sent += 1
        return self.inner.submit(function, *arguments, **settings)


def raw(value):
    """The bytes of a result, whatever it is."""
    if hasattr(value, "columns"):
        return [raw(value[name]) for name in value.columns]
    if hasattr(value, "dtype") and str(value.dtype) == "category":
        return [value.cat.categories.tolist(), value.cat.codes.to_numpy().tobytes()]
    array = np.asarray(value)
    return array.astype(str).tobytes() if array.dtype == object else array.tobytes()


def answers(ds):
    """Every verb that streams, with parameters of its own so that nothing is looked up."""
    found = {
        "quality": kk.quality(ds, mito="^GENE1"),
        "variable_genes": kk.variable_genes(ds, 100),
        "dispersion": kk.variable_genes(ds, 100, flavor="dispersion", key="other"),
        "pca": kk.pca(ds, 8),
        "kmeans": kk.kmeans(ds, 4),
        "neighbors": kk.neighbors(ds, 10).data,
        "markers": kk.markers(ds, "kmeans"),
        "means": kk.means(ds, "kmeans").means,
        "topics": kk.topics(ds, 3, max_iter=2),
        "t-test": kk.markers(ds, "kmeans", method="t-test", key=None),
    }
    return {name: raw(value) for name, value in found.items()}


def test_two_processes_give_every_byte_that_threads_give(client, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.core.budget.BLOCK_BYTES", 1 << 14)  # many blocks
    shutil.copytree(dataset.path, tmp_path / "b.zarr")
    executor = Counted(client.get_executor())
    spread = kk.open(tmp_path / "b.zarr", executor=executor)
    assert len(spread.blocks().ranges) > 5
    expected, found = answers(dataset), answers(spread)
    assert [name for name in expected if found[name] != expected[name]] == []
    assert executor.sent > 4 * len(spread.blocks().ranges), "the work was not sent to the cluster"
    assert set(spread.history()["state"]) == {"current"}


class Deadly(Counted):
    """The cluster's executor, that kills a worker in the middle of each verb."""

    def __init__(self, client, at=None):
        super().__init__(client.get_executor(retries=3))
        self.client, self.deaths, self.armed, self.at = client, 0, False, at

    def started(self):
        """Processes of all workers, once each is told to have started: one that dies before is not replaced."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            processes = [nanny.process for nanny in self.client.cluster.workers.values()]
            if processes and all(process is not None and process.status.name == "running" for process in processes):
                return [process.pid for process in processes]
            time.sleep(0.05)
        raise TimeoutError("a worker was not started again")

    def submit(self, function, /, *arguments, **settings):
        future = super().submit(function, *arguments, **settings)
        if self.armed and self.at in (None, function):
            self.armed = False
            self.deaths += 1
            os.kill(self.started()[0], signal.SIGKILL)
        return future


def test_workers_killed_in_the_middle_of_every_step_change_no_byte(client, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.core.budget.BLOCK_BYTES", 1 << 14)
    shutil.copytree(dataset.path, tmp_path / "b.zarr")
    executor = Deadly(client)
    spread = kk.open(tmp_path / "b.zarr", executor=executor)

    def arm(name, verb):
        def armed(*given, **settings):
            executor.armed = True
            return verb(*given, **settings)

        return armed

    expected = answers(dataset)
    for name in ("quality", "variable_genes", "pca", "kmeans", "neighbors", "markers"):
        monkeypatch.setattr(kk, name, arm(name, getattr(kk, name)))
    found = answers(spread)
    assert executor.deaths >= 6
    assert [name for name in expected if found[name] != expected[name]] == []


def parts(path):
    """All files of a dataset but its records, which hold times."""
    found = {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}
    return {name: content for name, content in found.items() if not name.startswith("uns/kithkin")}


def part_of(ds, to):
    return kk.subset(ds, cells="n_genes > 120", genes="n_cells >= 60", to=to)


@pytest.fixture
def small_files(monkeypatch):
    """Many blocks, and many files of one table."""
    monkeypatch.setattr("kithkin.core.budget.BLOCK_BYTES", 1 << 14)
    monkeypatch.setattr("kithkin.core.layout.SHARD", 1 << 12)
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 1 << 10)


@pytest.mark.usefixtures("small_files")
def test_workers_write_the_files_of_a_part(client, dataset, tmp_path):
    executor = Counted(client.get_executor())
    part = part_of(dataset, tmp_path / "one.zarr")
    spread = part_of(kk.open(dataset.path, executor=executor), tmp_path / "two.zarr")
    assert len(list((part.path / "X/data/c").iterdir())) > 4
    assert parts(part.path) == parts(spread.path)
    assert executor.sent > len(spread.blocks().ranges) + 4
    assert not list(tmp_path.glob(".*.kithkin"))


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("at", [None, write_share])
def test_a_worker_killed_in_either_pass_changes_no_byte(client, dataset, tmp_path, at):
    executor = Deadly(client, at)
    executor.armed = True
    spread = part_of(kk.open(dataset.path, executor=executor), tmp_path / "two.zarr")
    assert executor.deaths == 1
    assert parts(part_of(dataset, tmp_path / "one.zarr").path) == parts(spread.path)
    assert kk.check(spread) == []


@pytest.mark.usefixtures("small_files")
@pytest.mark.parametrize("at", [None, write_share])
def test_a_worker_killed_in_an_import_changes_no_byte(client, dataset, tmp_path, at):
    dataset.to_anndata().write_h5ad(tmp_path / "cells.h5ad")
    executor = Deadly(client, at)
    executor.armed = True
    found = kk.read(tmp_path / "cells.h5ad", to=tmp_path / "two.zarr", executor=executor)
    assert executor.deaths == 1
    assert parts(kk.read(tmp_path / "cells.h5ad", to=tmp_path / "one.zarr").path) == parts(found.path)
    assert kk.check(found) == []


def test_a_command_works_on_the_cluster(client, dataset, tmp_path):
    shutil.copytree(dataset.path, tmp_path / "b.zarr")
    address, default = client.scheduler.address, distributed.default_client()
    assert main(["quality", str(tmp_path / "b.zarr"), "--mito", "^GENE1", "--dask", address]) == 0
    assert distributed.default_client() is default
    kk.quality(dataset, mito="^GENE1")
    there = kk.open(tmp_path / "b.zarr")
    assert raw(there.obs[["n_counts", "pct_mito"]]) == raw(dataset.obs[["n_counts", "pct_mito"]])


def test_no_scheduler_is_said_in_one_sentence(dataset, capsys):
    assert main(["quality", str(dataset.path), "--dask", "nowhere"]) == 1
    assert "--dask: no scheduler answers at nowhere" in capsys.readouterr().err


def test_an_error_in_a_worker_comes_back_with_its_rows(client, dataset):
    chunk = next((dataset.path / "X/data/c").iterdir())
    chunk.write_bytes(chunk.read_bytes()[:-200])
    ds = kk.open(dataset.path, executor=client.get_executor())
    with pytest.raises(kk.KithkinError, match="X/data is damaged on disk"):
        kk.quality(ds, mito="^GENE1")
