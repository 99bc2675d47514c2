"""A new dataset holds exactly what was appended, in the smallest type, or is not there."""

import anndata
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

from kithkin.core import growing
from kithkin.core.blocks import InMemory
from kithkin.core.errors import KithkinError, ParameterError
from kithkin.core.stored import StoredDense, StoredRows
from kithkin.core.writer import DatasetWriter

SLOW = settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def names(n, letter):
    return pd.DataFrame(index=[f"{letter}{i}" for i in range(n)])


def write(path, X, rows, **options):
    with DatasetWriter(path, X.shape[1], **options) as writer:
        blocks = InMemory(X, rows=rows)
        for start, stop in blocks.ranges:
            writer.append(blocks.read(start, stop))
        writer.finish(names(X.shape[0], "c"), names(X.shape[1], "g"))


@SLOW
@given(data=st.data())
def test_any_table_comes_back_whatever_its_type_layout_shape_and_blocks(tmp_path_factory, data, monkeypatch):
    n, p = data.draw(st.integers(1, 30)), data.draw(st.integers(1, 9))
    dtype = data.draw(st.sampled_from(["uint8", "uint16", "int32", "int64", "float32", "float64"]))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    X = (rng.poisson(0.7, (n, p)) * rng.integers(0, data.draw(st.sampled_from([2, 300, 70000])), (n, p))).astype(
        "int64"
    )
    X = np.minimum(X, np.iinfo(dtype).max if "int" in dtype else 2**24).astype(dtype)
    if "float" in dtype and data.draw(st.booleans()):
        X = X * np.asarray(0.5, dtype) - 1
    given_ = sparse.csr_matrix(X) if data.draw(st.booleans()) else X
    path = tmp_path_factory.mktemp("w") / "a.zarr"
    monkeypatch.setattr("kithkin.core.layout.SHARD", 1 << 16)
    write(path, given_, data.draw(st.integers(1, n)))
    back = anndata.read_zarr(path).X
    dense = back.toarray() if sparse.issparse(back) else back
    assert np.array_equal(dense, X)
    if np.array_equal(X, np.trunc(X)) and X.min() >= 0 and X.max() > 0:
        stored = StoredRows(path, "X") if sparse.issparse(back) else StoredDense(path, "X")
        assert stored.dtype == growing.stored_dtype(X)
        assert back.dtype == (np.float64 if X.max() > 2**24 else np.float32)


def test_many_shards_and_a_type_that_widens_late(tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.core.layout.SHARD", 1 << 16)
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 1 << 12)
    X = np.ones((4000, 60), np.int64)
    X[3999, 59] = 2**17
    write(tmp_path / "a.zarr", sparse.csr_matrix(X), 37)
    back = anndata.read_zarr(tmp_path / "a.zarr").X
    assert back.data.dtype == np.float32
    assert StoredRows(tmp_path / "a.zarr", "X").dtype == np.uint32
    assert np.array_equal(back.toarray(), X)
    assert len(list((tmp_path / "a.zarr/X/data/c").iterdir())) == 4


@pytest.mark.parametrize("at", range(0, 40, 3))
def test_a_dense_table_whose_type_widens_at_any_row(tmp_path, monkeypatch, at):
    monkeypatch.setattr("kithkin.core.layout.DENSE_CHUNK_BYTES", 128)
    monkeypatch.setattr("kithkin.core.layout.DENSE_SHARD_BYTES", 512)  # 32 rows of one byte, 8 of four
    X = np.ones((40, 16), np.int64)
    X[at, 3] = 70000
    write(tmp_path / "a.zarr", X, 3, n_rows=40)
    assert np.array_equal(anndata.read_zarr(tmp_path / "a.zarr").X, X)


def test_what_a_checkpoint_kept_is_taken_up_in_the_wider_type_that_came_after_it(tmp_path, monkeypatch):
    monkeypatch.setattr("kithkin.core.layout.DENSE_CHUNK_BYTES", 128)
    monkeypatch.setattr("kithkin.core.layout.DENSE_SHARD_BYTES", 512)
    X = np.ones((40, 16), np.int64)
    X[30, 3] = 70000
    group = zarr.open_group(tmp_path / "a.zarr", mode="w")
    table = growing.GrowingTable(group, "X", X[:30], 16, 40)
    table.append(X[:30])
    state = table.save(tmp_path, 0)
    table.append(X[30:])
    again = growing.GrowingTable(zarr.open_group(tmp_path / "a.zarr"), "X", None, 16, 40)
    again.restore(tmp_path, state)
    again.append(X[30:])
    assert np.array_equal(np.concatenate(list(again.blocks())), X)


def write_and_fail(path):
    with DatasetWriter(path, 2) as writer:
        writer.append(np.eye(2))
        raise ZeroDivisionError


def test_an_error_leaves_nothing_behind(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_an_existing_target_is_kept_unless_told(tmp_path):
    write(tmp_path / "a.zarr", np.eye(2), 2)
    with pytest.raises(KithkinError, match="exists already"):
        write(tmp_path / "a.zarr", np.eye(3), 2)
    with pytest.raises(ZeroDivisionError), DatasetWriter(tmp_path / "a.zarr", 2, overwrite=True):
        raise ZeroDivisionError
    assert anndata.read_zarr(tmp_path / "a.zarr").shape == (2, 2)
    write(tmp_path / "a.zarr", np.eye(3), 2, overwrite=True)
    assert anndata.read_zarr(tmp_path / "a.zarr").shape == (3, 3)
    assert [p.name for p in tmp_path.iterdir()] == ["a.zarr"]


def test_a_folder_that_is_no_dataset_is_never_overwritten(tmp_path):
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter").write_text("x")
    with pytest.raises(KithkinError, match="will not be overwritten"):
        write(tmp_path / "thesis", np.eye(2), 2, overwrite=True)
    assert (tmp_path / "thesis" / "chapter").read_text() == "x"


def write_block(path, n_columns, n_named):
    with DatasetWriter(path, n_columns) as writer:
        writer.append(np.eye(2))
        writer.finish(names(n_named, "c"), names(n_columns, "g"))


def test_tables_that_do_not_fit_are_refused(tmp_path):
    with pytest.raises(ParameterError, match="blocks must have 3 columns, got 2"):
        write_block(tmp_path / "a.zarr", 3, 2)
    with pytest.raises(ParameterError, match="X has 2 rows, but obs has 3"):
        write_block(tmp_path / "a.zarr", 2, 3)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("kithkin.core.writer.write_element", full)
    with pytest.raises(KithkinError, match="the disk is full"):
        write(tmp_path / "a.zarr", np.eye(2), 2)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("big", [2**53 + 1, 2**63 - 1])
def test_large_integers_beside_negative_ones_are_kept(tmp_path, big):
    with DatasetWriter(tmp_path / "a.zarr", 2) as writer:
        writer.append(np.array([[big, 2]], np.uint64))
        writer.append(np.array([[-5, 2]], np.int8))
        writer.finish(names(2, "c"), names(2, "g"))
    assert anndata.read_zarr(tmp_path / "a.zarr").X.tolist() == [[big, 2], [-5, 2]]


def append_both(path, blocks):
    with DatasetWriter(path, 2) as writer:
        for block in blocks:
            writer.append(block)
        writer.finish(names(2, "c"), names(2, "g"))


@pytest.mark.parametrize(("big", "other"), [(2**63, -5.0), (2**53 + 1, 0.5), (2**63 + 1, 0.5)])
def test_what_no_type_holds_exactly_is_refused(tmp_path, big, other):
    for order in ((0, 1), (1, 0)):
        blocks = [np.array([[big, 2]], np.uint64), np.array([[other, 2]])]
        with pytest.raises(KithkinError, match=f"no type holds both {big} and"):
            append_both(tmp_path / "a.zarr", [blocks[i] for i in order])
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("long", [100, 150, 1 << 31])
def test_columns_have_64_bits_from_so_many_values_on(tmp_path, monkeypatch, long):
    monkeypatch.setattr("kithkin.core.growing.LONG", long)
    X = sparse.random(60, 30, 0.08, format="csr", dtype=np.float32, random_state=0)
    blocks = InMemory(X, 7)
    with DatasetWriter(tmp_path / "a.zarr", 30) as writer:
        for start, stop in blocks.ranges:
            writer.append(blocks.read(start, stop))
        writer.finish(names(60, "c"), names(30, "g"))
    found = anndata.read_zarr(tmp_path / "a.zarr").X
    assert X.nnz == 144
    assert found.indices.dtype == (np.int64 if long <= X.nnz else np.int32)
    assert (found != X).nnz == 0
