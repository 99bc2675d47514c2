"""AnnData in Zarr 2 and 3, as a folder and zipped."""

import json
import shutil

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

from kithkin.core.blocks import SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.core.writer import DatasetWriter
from kithkin.io.formats.anndata_zarr import open_anndata_zarr, sniff

pytestmark = [  # what anndata and zarr say when the test files are written
    pytest.mark.filterwarnings("ignore:Writing zarr v2:UserWarning"),
    pytest.mark.filterwarnings("ignore:Consolidated metadata is currently not part:UserWarning"),
]


def counts():
    return np.random.default_rng(0).poisson(0.5, (60, 30)).astype(np.float32)


def write(path, X, version):
    adata = anndata.AnnData(X, uns={"a": {"b": 1}}, obsm={"X_pca": np.ones((60, 2))})
    adata.obs["kind"] = ["T", "B"] * 30
    with anndata.settings.override(zarr_write_format=version, auto_shard_zarr_v3=False):
        adata.write_zarr(path, chunks=(7, 30) if isinstance(X, np.ndarray) else None)


def dense_of(source, execution):
    blocks = list(source.tables["X"](execution))
    return np.concatenate([b.to_dense() if isinstance(b, SparseRows) else b for b in blocks])


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_versions_and_layouts(version, layout, tmp_path):
    write(tmp_path / "a.zarr", layout(counts()), version)
    assert sniff(tmp_path / "a.zarr")
    for memory in (1000, 10**8):
        source = open_anndata_zarr(tmp_path / "a.zarr")
        assert np.array_equal(dense_of(source, Execution(memory, 1)), counts())
    assert source.obs["kind"].tolist() == ["T", "B"] * 30
    assert set(source.elements) == {"obsm/X_pca", "uns/a"}


@pytest.mark.parametrize("version", [2, 3])
def test_zipped(version, tmp_path):
    write(tmp_path / "a", sparse.csr_matrix(counts()), version)
    shutil.make_archive(str(tmp_path / "b"), "zip", tmp_path / "a")
    assert sniff(tmp_path / "b.zip")
    source = open_anndata_zarr(tmp_path / "b.zip")
    assert np.array_equal(dense_of(source, Execution()), counts())
    source.close()


@pytest.mark.parametrize("version", [2, 3])
def test_nodes_without_a_sound_header_are_left_out_and_named(version, tmp_path):
    write(tmp_path / "a.zarr", sparse.csr_matrix(counts()), version)
    header, array = ("zarr.json", "zarr.json") if version == 3 else (".zgroup", ".zarray")
    for rest in tmp_path.rglob(".zmetadata"):
        rest.unlink()
    (tmp_path / "a.zarr/obsm/X_pca" / array).write_text("{not JSON")
    (tmp_path / "a.zarr/uns/a" / header).unlink()
    (tmp_path / "a.zarr/obs/kind" / (header if (tmp_path / "a.zarr/obs/kind/codes").exists() else array)).write_text(
        "{"
    )
    source = open_anndata_zarr(tmp_path / "a.zarr")
    assert np.array_equal(dense_of(source, Execution()), counts())
    assert set(source.elements) == set()
    assert sorted(note.partition(" ")[0] for note in source.notes) == ["obs/kind", "obsm/X_pca", "uns/a"]


def test_our_own_dataset_without_its_history(tmp_path):
    X = sparse.csr_matrix(counts())
    with DatasetWriter(tmp_path / "a.zarr", 30) as writer:
        writer.append(SparseRows(X.data, X.indices, X.indptr.astype(np.int64), 30))
        names = [pd.DataFrame(index=[str(i) for i in range(n)]) for n in X.shape]
        writer.finish(*names)
    source = open_anndata_zarr(tmp_path / "a.zarr")
    assert np.array_equal(dense_of(source, Execution()), counts())
    assert source.notes == ["the history of a.zarr was not taken over (uns/kithkin)"]
    assert source.elements == {}


def test_lost_and_damaged_chunks_are_refused(tmp_path):
    write(tmp_path / "a.zarr", sparse.csr_matrix(counts()), 3)
    shutil.copytree(tmp_path / "a.zarr", tmp_path / "b.zarr")
    chunk = tmp_path / "a.zarr" / "X" / "indices" / "c" / "0"
    chunk.write_bytes(chunk.read_bytes()[:10])
    with pytest.raises(FormatError, match=r"a.zarr: X/indices cannot be read, the file is truncated or damaged: "):
        dense_of(open_anndata_zarr(tmp_path / "a.zarr"), Execution())
    (tmp_path / "b.zarr" / "X" / "data" / "c" / "0").unlink()
    with pytest.raises(FormatError, match=r"b\.zarr: X/data lacks 1 of its 1 chunks"):
        open_anndata_zarr(tmp_path / "b.zarr")


def test_other_zarr_is_refused(tmp_path):
    (tmp_path / "a.zarr").mkdir()
    header = {"zarr_format": 3, "node_type": "group", "attributes": {}}
    (tmp_path / "a.zarr" / "zarr.json").write_text(json.dumps(header))
    with pytest.raises(
        FormatError, match=r"^a.zarr is a Zarr store, but not AnnData \(X, obs, var\): it holds nothing$"
    ):
        open_anndata_zarr(tmp_path / "a.zarr")


@pytest.mark.parametrize("version", [2, 3])
@pytest.mark.parametrize("layout", [sparse.csr_matrix, sparse.csc_matrix, np.asarray])
def test_chunks_of_zeros_that_zarr_does_not_write_are_no_damage(version, layout, tmp_path):
    X = np.zeros((60, 30), np.float32)
    X[:, 0] = np.arange(60) % 2  # all columns numbers are zero
    write(tmp_path / "a.zarr", layout(X), version)
    assert np.array_equal(dense_of(open_anndata_zarr(tmp_path / "a.zarr"), Execution()), X)
    write(tmp_path / "b.zarr", layout(np.zeros_like(X)), version)
    assert not dense_of(open_anndata_zarr(tmp_path / "b.zarr"), Execution()).any()
