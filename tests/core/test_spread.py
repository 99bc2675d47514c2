"""Workers write the very files that one process writes, whatever the rows, types and blocks are."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import kithkin as kk
from kithkin.core.blocks import InMemory, Mapped, SparseRows
from kithkin.core.errors import KithkinError
from kithkin.core.execute import Execution
from kithkin.core.growing import GrowingTable
from kithkin.core.spread import shares, write_share
from kithkin.core.writer import DatasetWriter
from kithkin.models.table.selection import Selection

SLOW = settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def names(n, letter):
    return pd.DataFrame(index=[f"{letter}{i}" for i in range(n)])


def write(path, blocks, shape, execution=None, **options):
    with DatasetWriter(path, shape[1], n_rows=shape[0]) as writer:
        found = list(writer.stream(blocks, "X", execution, **options))
        writer.finish(names(shape[0], "c"), names(shape[1], "g"))
    return found


def files(path):
    return {str(one.relative_to(path)): one.read_bytes() for one in path.rglob("*") if one.is_file()}


def total(block, start):
    return start, float(block.data.sum() if isinstance(block, SparseRows) else block.sum())


def drawn(data):
    """A table whose type is known at its end only, with rows of any length."""
    n, p = data.draw(st.integers(1, 60)), data.draw(st.integers(1, 40))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    X = rng.poisson(0.8, (n, p)) * (rng.random((n, 1)) < 0.8)
    X[rng.integers(n), :] *= data.draw(st.sampled_from([1, 300, 70000, -3]))
    X = X / data.draw(st.sampled_from([1, 2])) if data.draw(st.booleans()) else X
    X = X.astype(data.draw(st.sampled_from(["float32", "float64"]))) if X.dtype.kind == "f" else X
    return X, rng.random(n) < 0.7, rng.random(p) < 0.7


@SLOW
@given(data=st.data())
def test_every_file_is_that_of_one_process(tmp_path_factory, data, monkeypatch):
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 16)
    monkeypatch.setattr("kithkin.core.layout.SHARD", 64)
    monkeypatch.setattr("kithkin.core.layout.DENSE_CHUNK_BYTES", 128)
    monkeypatch.setattr("kithkin.core.layout.DENSE_SHARD_BYTES", 512)
    X, rows, columns = drawn(data)
    rows[0] = columns[0] = True
    X = sparse.csr_matrix(X) if data.draw(st.booleans()) else X
    selection = Selection(rows, columns)
    blocks = InMemory(X, rows=data.draw(st.integers(1, len(rows))))
    kept = Mapped(blocks, selection, n_columns=selection.shape[1])
    folder, one = tmp_path_factory.mktemp("s"), {"rows": np.flatnonzero(rows), "measure": total}
    expected = write(folder / "a.zarr", kept, selection.shape, Execution(threads=1), **one)
    with ThreadPoolExecutor(3) as pool:
        found = write(folder / "b.zarr", kept, selection.shape, Execution(executor=pool), **one)
    assert found == expected
    here, there = files(folder / "a.zarr"), files(folder / "b.zarr")
    if sparse.issparse(X):
        assert here == there
    else:  # a type that widens late moves the borders of files while one process writes them
        assert here.keys() == there.keys()
        ours, theirs = (zarr.open_array(folder / name / "X")[...] for name in ("a.zarr", "b.zarr"))
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs)
    assert kk.check(kk.open(folder / "b.zarr")) == []


def test_shares_cover_all_values_once():
    lengths = np.array([0, 5, 0, 0, 11, 2, 0, 1, 0])
    positions = np.repeat(np.arange(9), lengths)
    found = []
    for one in shares(lengths, 4, rows=10 * np.arange(9)):
        values = [row for row in positions if one.start <= 10 * row < one.stop]
        assert len(values) >= one.skip + one.size
        assert one.first == len(found)
        found += values[one.skip : one.skip + one.size]
    assert found == positions.tolist()


def test_workers_that_do_not_find_the_folder_send_their_rows(tmp_path, blind_workers):
    X, pool = sparse.csr_matrix(np.eye(9)), blind_workers()
    write(tmp_path / "a.zarr", InMemory(X, rows=2), X.shape)
    write(tmp_path / "b.zarr", InMemory(X, rows=2), X.shape, Execution(executor=pool))
    assert files(tmp_path / "a.zarr") == files(tmp_path / "b.zarr")
    assert write_share not in pool.functions


class Late(ThreadPoolExecutor):
    """Workers that lose the folder after they were asked for it."""

    def submit(self, function, /, *given, **settings):
        if function is write_share:
            (task,) = given
            object.__setattr__(task, "folder", task.folder / "elsewhere")
        return super().submit(function, *given, **settings)


def test_a_worker_without_the_folder_is_one_sentence_and_nothing_is_left(tmp_path):
    X = sparse.csr_matrix(np.eye(9))
    with Late(2) as pool, pytest.raises(KithkinError, match=r"is not there on .*: workers write their rows"):
        write(tmp_path / "a.zarr", InMemory(X, rows=2), X.shape, Execution(executor=pool))
    assert list(tmp_path.iterdir()) == []


class Changed(InMemory):
    """Rows that hold nothing any more after the first pass of three blocks."""

    reads = 0

    def only(self, start, stop):
        self.reads += 1
        return self if self.reads <= 3 else InMemory(sparse.csr_matrix(self.shape))


def test_rows_that_changed_between_the_passes_are_refused(tmp_path):
    blocks = Changed(sparse.csr_matrix(np.eye(9)), rows=3)
    with ThreadPoolExecutor(1) as pool, pytest.raises(KithkinError, match="were changed while they were read"):
        write(tmp_path / "a.zarr", blocks, blocks.shape, Execution(executor=pool))
    assert list(tmp_path.iterdir()) == []


def test_more_values_than_int32_counts_get_wide_columns(tmp_path):
    with DatasetWriter(tmp_path / "a.zarr", 3) as writer:
        nothing = SparseRows(np.zeros(0, int), np.zeros(0, int), np.zeros(1, int), 3)
        table = GrowingTable(writer._group, "X", nothing, 3, 1)
        table.reserve(np.dtype(np.uint8), np.array([2**30, 2**30]), 0)
        assert [str(writer._group[f"X/{name}"].dtype) for name in ("data", "indices")] == ["uint8", "int64"]
