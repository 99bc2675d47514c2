"""Forked, spawned and threaded workers read datasets that were opened before."""

import multiprocessing
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial

import numpy as np
import pytest

import kithkin as kk
from kithkin.core.execute import Execution, map_blocks


def _sums(block, start):
    return start, int(block.data.sum())


def _gene(path, name):
    return int(kk.open(path, threads=1, progress=False).genes([name]).sum())


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_workers_of_any_kind_read_what_the_parent_has_read(dataset, method):
    blocks = dataset.blocks(rows=150)
    expected = list(map_blocks(_sums, blocks, Execution(threads=1)))
    names = dataset.var_names[:4].tolist()
    genes = [int(dataset.genes([name]).sum()) for name in names]
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as pool:
        assert list(map_blocks(_sums, blocks, Execution(threads=2, executor=pool))) == expected
        assert list(pool.map(partial(_gene, dataset.path), names, timeout=120)) == genes


def test_threads_read_what_one_thread_reads(dataset):
    blocks = dataset.blocks(rows=37)
    with ThreadPoolExecutor(4) as pool:
        parts = list(pool.map(lambda rows: blocks.read(*rows).to_dense(), blocks.ranges))
    np.testing.assert_array_equal(np.concatenate(parts), blocks.read(0, blocks.shape[0]).to_dense())


class Rows:
    """Rows of a dataset, as a torch DataLoader takes them."""

    def __init__(self, ds):
        self._blocks = ds.blocks(rows=50)
        self._blocks.read(0, 1)

    def __len__(self):
        return self._blocks.shape[0]

    def __getitem__(self, row):
        return self._blocks.read(row, row + 1).to_dense()[0].astype(np.float32)


def test_workers_of_a_data_loader_read_rows(dataset):
    data = pytest.importorskip("torch.utils.data")
    loader = data.DataLoader(Rows(dataset), batch_size=100, num_workers=2, timeout=120)
    found = np.concatenate([np.asarray(batch) for batch in loader])
    np.testing.assert_array_equal(found, dataset.blocks().read(0, len(found)).to_dense())
