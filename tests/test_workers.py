"""A dataset that was opened and read here is read in the workers of every kind of pool, without waiting for ever."""

import os
import signal
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_all_start_methods, get_context

import numpy as np
import pytest

import kithkin as kk

SECONDS = 90  # a worker that has not answered by then hangs
METHODS = [method for method in ("fork", "spawn", "forkserver") if method in get_all_start_methods()]


@contextmanager
def patience():
    """Fail where the other side does not answer."""

    def give_up(number, frame):
        raise TimeoutError(f"no answer after {SECONDS} s")

    before = signal.signal(signal.SIGALRM, give_up)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def total(blocks, position):
    """Sum of one block, read in the process that calls."""
    return int(blocks.read(*blocks.ranges[position]).data.sum())


def total_of_dataset(ds):
    return float(ds.read("X").sum()), os.getpid()


@pytest.fixture
def opened(dataset):
    """A dataset, its blocks and their sums; the compiled pipeline has been at work here."""
    blocks = dataset.blocks(rows=100)
    return dataset, blocks, [total(blocks, position) for position in range(len(blocks.ranges))]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
@pytest.mark.parametrize("method", METHODS)
def test_processes_read_what_was_opened_before(opened, method):
    ds, blocks, expected = opened
    with patience(), ProcessPoolExecutor(2, mp_context=get_context(method)) as pool:
        sums = list(pool.map(total, [blocks] * len(expected), range(len(expected))))
        whole, child = pool.submit(total_of_dataset, ds).result()
    assert sums == expected
    assert whole == sum(expected)
    assert child != os.getpid()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_child_reads_open_arrays_and_writes_results_of_its_own(opened, tmp_path):
    _, blocks, expected = opened
    with patience():
        child = os.fork()
        if child == 0:
            good = [total(blocks, position) for position in range(len(expected))] == expected
            kk.read(np.eye(3), to=tmp_path / "child.zarr")
            os._exit(0 if good else 1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert kk.open(tmp_path / "child.zarr").shape == (3, 3)
    assert [total(blocks, position) for position in range(len(expected))] == expected


def test_loky_reads_what_was_opened_before(opened):
    joblib = pytest.importorskip("joblib")
    _, blocks, expected = opened
    with patience():
        jobs = (joblib.delayed(total)(blocks, position) for position in range(len(expected)))
        assert joblib.Parallel(2, backend="loky")(jobs) == expected


def test_dask_reads_what_was_opened_before(opened):
    dask = pytest.importorskip("dask")
    _, blocks, expected = opened
    with patience():
        jobs = [dask.delayed(total)(blocks, position) for position in range(len(expected))]
        assert list(dask.compute(*jobs, scheduler="threads")) == expected
        assert list(dask.compute(*jobs, scheduler="processes", num_workers=2)) == expected


class Rows:
    """Rows of a dataset, as a data loader wants them."""

    def __init__(self, ds):
        self._ds = ds

    def __len__(self):
        return self._ds.n_obs

    def __getitem__(self, row):
        return self._ds.rows([row]).to_dense()[0]


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_a_data_loader_of_torch_reads_rows(opened):
    data = pytest.importorskip("torch.utils.data")
    ds, _, expected = opened
    loader = data.DataLoader(Rows(ds), batch_size=50, num_workers=2)
    with patience():
        batches = [int(batch.sum()) for batch in loader]
    assert sum(batches) == sum(expected)
