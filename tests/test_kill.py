"""Killed at any moment, a dataset opens, holds whole results only, and the next run goes on from there."""

import os
import signal
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import anndata
import numpy as np
import pytest

import kithkin as kk

SCRIPT = Path(__file__).with_name("killed.py")


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    path = tmp_path_factory.mktemp("source") / "counts.h5ad"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kk.datasets.simulate_counts(n_cells=700, n_genes=500, n_groups=4, seed=0).write_h5ad(path)
    return path


def start(what, source, target):
    command = [sys.executable, "-W", "ignore", str(SCRIPT), what, str(source), str(target)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def kill_after(process, seconds):
    """Kill it once something is being written and the time is over; whether it was still at work."""
    time.sleep(seconds)
    running = process.poll() is None
    process.send_signal(signal.SIGKILL)
    process.wait()
    return running


def whole_results(target):
    """Open with kithkin and with anndata; every recorded result is there, and finite."""
    ds = kk.open(target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_zarr(target)
    assert adata.shape == ds.shape
    assert kk.check(ds) == []
    for entry in ds.lineage.entries:
        for key in entry.outputs:
            assert key in ds, f"{key} of {entry.verb} is not there"
    for key in ("X_pca", "X_umap"):
        if key in adata.obsm:
            assert np.isfinite(adata.obsm[key]).all()
    return ds


def wait_for(folder, process, pattern):
    """Until something matching appears in the folder, or the process ends."""
    while process.poll() is None and not any(folder.glob(pattern)):
        time.sleep(0.005)


@pytest.mark.parametrize(("what", "n_cells"), [("convert", 700), ("samples", 8 * 700)])
def test_convert(source, tmp_path, what, n_cells):
    target = tmp_path / "a.zarr"
    rng = np.random.default_rng([os.getpid(), n_cells])  # a different moment every time: any must do
    process = start(what, source, target)
    wait_for(tmp_path, process, ".a.zarr.kithkin/staging-*/*")
    kill_after(process, float(rng.uniform(0, 0.4)))
    if target.exists():
        whole_results(target)
    again = start(what, source, target)
    assert again.wait(120) == 0
    assert whole_results(target).shape == (n_cells, 500)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("part", range(2))
def test_append(source, tmp_path, part):
    """The old dataset or the new one is whole, also for a reader beside the writer."""
    target = tmp_path / "a.zarr"
    kk.read({"a": source}, to=target)
    rng = np.random.default_rng([os.getpid(), part])
    process = start("append", source, target)
    wait_for(tmp_path, process, ".a.zarr.kithkin/staging-*/*")
    while process.poll() is None and rng.uniform() < 0.9:
        adata = kk.open(target).to_anndata()
        assert adata.obs["sample"].nunique() * 700 == len(adata)
        assert np.isfinite(adata.obs["n_counts"]).all()
    kill_after(process, float(rng.uniform(0, 0.1)))
    assert whole_results(target).n_obs in (700, 7 * 700)
    again = start("append", source, target)
    assert again.wait(120) == 0
    ds = whole_results(target)
    assert ds.shape == (7 * 700, 500)
    assert np.array_equal(ds.genes("GENE1")[:700], ds.genes("GENE1")[-700:])
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_a_part_that_workers_write(source, tmp_path, number):
    """Also while workers of the killed process, which outlive it, go on writing."""
    kk.read(source, to=tmp_path / "whole.zarr")
    target, rng = tmp_path / "a.zarr", np.random.default_rng([os.getpid(), int(number)])
    command = [sys.executable, "-W", "ignore", str(SCRIPT), "subset", str(tmp_path / "whole.zarr"), str(target)]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(command, **quiet, start_new_session=True)
    try:
        wait_for(tmp_path, process, ".a.zarr.kithkin/staging-*/*")
        time.sleep(float(rng.uniform(0, 0.5)))
        process.send_signal(number)
        process.wait(60)
        if target.exists():
            whole_results(target)
        elif number == signal.SIGINT:
            assert not list(tmp_path.glob(".*.kithkin"))
        assert subprocess.run(command, **quiet, check=False, timeout=120).returncode == 0
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    expected = kk.subset(
        kk.open(tmp_path / "whole.zarr"), cells="n_genes >= 5", genes="n_cells >= 3", to=tmp_path / "b.zarr"
    )
    for name in ("data", "indices", "indptr"):
        here, there = (sorted((path / f"X/{name}/c").iterdir()) for path in (target, expected.path))
        assert [one.read_bytes() for one in here] == [one.read_bytes() for one in there]
    whole_results(target)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.zarr", "b.zarr", "whole.zarr"]


def test_run(source, tmp_path):
    target, kills = tmp_path / "a.zarr", 0
    rng = np.random.default_rng([os.getpid(), 9])
    for _ in range(40):
        process = start("run", source, target)
        wait_for(tmp_path, process, ".a*.zarr.kithkin/staging-*/*")
        finished = not kill_after(process, float(rng.uniform(0, 1.3**kills)))  # longer, where the machine is busy
        done = whole_results(target).lineage.entries if target.exists() else []
        if finished:
            break
        kills += 1
    else:
        pytest.fail("forty runs, each going on where the one before was killed, did not come to an end")
    assert kills >= 1
    assert {"obsm/X_umap", "obs/leiden", "uns/rank_genes_groups"} <= set(kk.open(target).keys())
    assert [entry.verb for entry in done][-1] == "support"


def test_interrupt_leaves_what_was_finished(source, tmp_path):
    process = start("run", source, tmp_path / "a.zarr")
    wait_for(tmp_path, process, "a.zarr")
    process.send_signal(signal.SIGINT)
    process.wait(30)
    whole_results(tmp_path / "a.zarr")
    assert not list(tmp_path.glob(".*.kithkin"))
