"""From a file to a dataset: everything that came along, its names, its totals, and nothing left after an error."""

import datetime
import errno

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.arrays import open_group
from kithkin.core.errors import FormatError, KithkinError
from kithkin.core.execute import Execution
from kithkin.core.stored import StoredRows
from kithkin.core.writer import DatasetWriter
from kithkin.io.importing import import_source
from kithkin.io.read import open_source
from kithkin.io.source import Source
from kithkin.io.streams.checks import Place, tidy_dense, tidy_rows
from kithkin.io.streams.totals import Totals, check_written

pytestmark = pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning")


class Seen:
    """An observer that keeps the blocks."""

    def __init__(self):
        self.blocks = []

    def measuring(self, n_genes):
        return lambda block, start: (start, block)

    def add(self, found):
        self.blocks.append(found)


def convert(source, target, execution=None, observer=None):
    opened = open_source(source) if not isinstance(source, Source) else source
    with DatasetWriter(target, opened.n_columns) as writer:
        imported = import_source(opened, writer, execution, observer=observer)
        writer.finish(imported.obs, imported.var)
    opened.close()
    check_written(open_group(target)["X"], imported.totals, target.name)
    return imported


def full():
    rng = np.random.default_rng(0)
    adata = anndata.AnnData(sparse.csr_matrix(rng.poisson(0.5, (20, 12)).astype(np.float32)))
    adata.obs_names, adata.var_names = [f"c{i}" for i in range(20)], [f"g{i}" for i in range(12)]
    adata.obs["kind"] = pd.Categorical(rng.choice(["T", "B"], 20))
    adata.obs["age"] = pd.array([1, None] * 10, dtype="Int64")
    adata.layers["scaled"] = rng.normal(size=(20, 12)).astype(np.float32)
    adata.obsm["X_pca"] = rng.normal(size=(20, 3))
    adata.obsm["protein"] = pd.DataFrame({"CD3": np.arange(20)}, index=adata.obs_names)
    adata.obsp["distances"] = sparse.random(20, 20, 0.2, format="csr", random_state=0)
    adata.uns["pca"] = {"variance": np.arange(3.0), "name": "a", "params": {"k": 3}}
    adata.raw = adata.copy()
    return adata[:, :9].copy()


def test_round_trip_through_a_file(tmp_path):
    adata = full()
    adata.write_h5ad(tmp_path / "a.h5ad")
    seen = Seen()
    imported = convert(tmp_path / "a.h5ad", tmp_path / "a.zarr", observer=seen)
    back = anndata.read_zarr(tmp_path / "a.zarr")
    assert back.X.dtype == np.float32
    assert StoredRows(tmp_path / "a.zarr", "X").dtype == np.uint8
    assert (back.X != adata.X).nnz == 0
    pd.testing.assert_frame_equal(back.obs, adata.obs)
    assert np.array_equal(back.layers["scaled"], adata.layers["scaled"])
    assert np.array_equal(back.obsm["X_pca"], adata.obsm["X_pca"])
    assert back.obsm["protein"].equals(adata.obsm["protein"])
    assert (back.obsp["distances"] != adata.obsp["distances"]).nnz == 0
    assert back.uns["pca"]["params"]["k"] == 3
    assert (back.raw.X != adata.raw.X).nnz == 0
    assert back.raw.var_names.tolist() == adata.raw.var_names.tolist()
    assert imported.notes == []
    assert {"X", "layers/scaled", "obsm/X_pca", "obsm/protein", "obsp/distances", "uns/pca", "obs/kind"} < set(
        imported.keys
    )
    assert [start for start, _ in seen.blocks] == [0]
    assert seen.blocks[0][1].dtype == np.uint8
    assert imported.totals.total == adata.X.sum()


def of_block(block, **more):
    n, p = block.shape
    names = [pd.DataFrame(index=[f"{axis}{i}" for i in range(size)]) for axis, size in (("r", n), ("c", p))]
    return Source("a.npz", p, {"X": lambda execution: iter([tidy_dense(block, Place("a.npz", "X"))])}, *names, **more)


def test_duplicate_names_are_made_unique_and_said_so(tmp_path):
    source = of_block(np.eye(3))
    source.var.index = ["CD3", "CD3", "CD3-1"]
    source.elements["varm/t"] = pd.DataFrame({"v": range(3)}, index=source.var.index)
    imported = convert(source, tmp_path / "a.zarr")
    assert imported.var.index.tolist() == ["CD3", "CD3-2", "CD3-1"]
    assert imported.notes == ["1 duplicate names of columns were made unique, as in CD3-2"]
    assert anndata.read_zarr(tmp_path / "a.zarr").varm["t"]["v"].tolist() == [0, 1, 2]


def test_what_methods_for_counts_will_refuse_is_said(tmp_path):
    assert "not integers" in convert(of_block(np.full((2, 2), 0.5)), tmp_path / "a.zarr").notes[0]
    imported = convert(of_block(np.array([[-3, 2]])), tmp_path / "b.zarr")
    assert "negative" in imported.notes[0]
    assert imported.totals.low == -3


def test_what_anndata_cannot_store_is_left_out_and_said(tmp_path):
    source = of_block(np.eye(2), elements={"uns/odd": {"fine": 1, "set": {1, 2}}, "uns/model": object()})
    imported = convert(source, tmp_path / "a.zarr")
    assert [note.partition(":")[0] for note in imported.notes] == ["uns/odd/set was left out", "uns/model was left out"]
    assert "uns/model" not in imported.keys
    assert anndata.read_zarr(tmp_path / "a.zarr").uns["odd"] == {"fine": 1}


def test_columns_end_as_what_anndata_writes(tmp_path):
    source = of_block(np.eye(3))
    source.obs = pd.DataFrame(
        {
            "text": pd.array(["x", "y", "z"], dtype="string"),
            "missing": ["x", None, "z"],
            "mixed": [1, "y", 2.5],
            "day": pd.to_datetime(["2020-01-01"] * 3),
            "flag": pd.array([True, None, False], dtype="boolean"),
            "kind": pd.Categorical(pd.array(["x", "y", None], dtype="string")),
            5: [1, 2, 3],
        },
        index=[10, 11, 12],
    )
    convert(source, tmp_path / "a.zarr")
    back = anndata.read_zarr(tmp_path / "a.zarr")
    assert back.obs_names.tolist() == ["10", "11", "12"]
    assert back.obs["missing"].isna().tolist() == [False, True, False]
    assert back.obs["mixed"].tolist() == ["1", "y", "2.5"]
    assert back.obs["5"].tolist() == [1, 2, 3]
    back.write_h5ad(tmp_path / "b.h5ad")


def test_rows_and_names_must_agree_and_nothing_is_left(tmp_path):
    source = of_block(np.eye(3))
    source.obs = source.obs.iloc[:2]
    with pytest.raises(FormatError, match=r"a\.npz: X has 3 rows, but 2 are named"):
        convert(source, tmp_path / "a.zarr")
    source = of_block(np.eye(3), total=4.0)
    with pytest.raises(FormatError, match=r"a\.npz: the values add up to 3, but 4\.0 is promised"):
        convert(source, tmp_path / "a.zarr")
    source = of_block(np.array([[1.0, np.inf]]))
    with pytest.raises(FormatError, match=r"a\.npz: X, row 0, column 1 is not a finite number"):
        convert(source, tmp_path / "a.zarr")
    with pytest.raises(FormatError, match=r"a\.npz has no rows"):
        convert(of_block(np.zeros((0, 3))), tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), RuntimeError("No space left on device (os error 28)")]
)
def test_full_disk(error, tmp_path, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(DatasetWriter, "append", fail)
    with pytest.raises(KithkinError, match=r"^the disk is full: a\.zarr is as it was before$"):
        convert(of_block(np.eye(3)), tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_layers_with_another_number_of_rows_are_left_out_and_named(tmp_path):
    source = of_block(np.eye(3))
    source.tables["layers/a"] = lambda execution: iter([np.eye(3, dtype=np.uint8)[:2]])
    imported = convert(source, tmp_path / "a.zarr")
    assert imported.notes == ["layers/a was left out: a.npz: layers/a has 2 rows, but X has 3"]
    assert "layers/a" not in imported.keys
    assert not (tmp_path / "a.zarr/layers/a").exists()


def test_what_memory_holds_beside_counts_is_left_out_and_named(tmp_path):
    adata = full()
    adata.layers["text"] = np.full(adata.shape, "a", dtype=object)
    adata.layers["scaled"][0, 0] = np.nan
    adata.raw = anndata.AnnData(np.full(adata.shape, np.nan, np.float32), var=adata.var)
    adata.obsm["texts"] = np.full((20, 2), "a", dtype=object)
    imported = convert(adata, tmp_path / "a.zarr")
    assert [note.partition(":")[0] for note in imported.notes] == [
        "layers/text was left out",
        "layers/scaled was left out",
        "raw was left out",
    ]
    back = anndata.read_zarr(tmp_path / "a.zarr")
    assert back.raw is None
    assert [name for name in back.layers if name is not None] == []  # None is X, since anndata 0.13
    assert back.obsm["texts"].tolist() == [["a", "a"]] * 20


def test_raw_beyond_the_budget_is_left_out_and_said(tmp_path):
    full().write_h5ad(tmp_path / "a.h5ad")
    imported = convert(tmp_path / "a.h5ad", tmp_path / "a.zarr", Execution(memory=1000, threads=1))
    assert imported.notes == ["raw of a.h5ad was left out, since it exceeds the memory: import it alone with raw=True"]
    assert anndata.read_zarr(tmp_path / "a.zarr").raw is None


def test_stored_zeros_are_dropped_and_said(tmp_path):
    X = sparse.csr_matrix(np.eye(4))
    X.data[1] = 0
    anndata.AnnData(X).write_h5ad(tmp_path / "a.h5ad")
    imported = convert(tmp_path / "a.h5ad", tmp_path / "a.zarr")
    assert imported.notes == ["1 stored zeros of a.h5ad were dropped"]
    assert anndata.read_zarr(tmp_path / "a.zarr").X.nnz == 3


@pytest.mark.parametrize("parts", [1, 3, 20])
@pytest.mark.parametrize("kind", [np.uint8, np.int32, np.float32, np.float64])
def test_totals_do_not_depend_on_blocks_or_types(parts, kind):
    values = np.random.default_rng(0).integers(0, 250, (20, 20)).astype(kind)
    totals = Totals()
    for block in np.array_split(values, parts):
        totals.add(block)
    assert totals.total == values.sum(dtype=np.float64)
    assert totals.stored == np.count_nonzero(values)
    assert totals.agrees(float(values.sum(dtype=np.float64)))
    assert not totals.agrees(float(values.sum(dtype=np.float64)) + 1)


def test_blocks_of_whole_and_broken_numbers_mix(tmp_path):
    blocks = [np.array([[1.0, 300.0]]), np.array([[0.5, 0.25]], np.float32), np.array([[70000.0, 0.0]])]
    place = Place("a.npz", "X")
    parts = [(b[b != 0], np.flatnonzero(b[0]), np.array([0, (b != 0).sum()])) for b in blocks]
    sparse_blocks = [tidy_rows(*part, 2, place) for part in parts]
    blocks = [tidy_dense(block, place) for block in blocks]
    for name, given in (("a", blocks), ("b", sparse_blocks)):
        source = of_block(np.zeros((3, 2)))
        source.tables["X"] = lambda execution, given=given: iter(given)
        convert(source, tmp_path / f"{name}.zarr")
        X = anndata.read_zarr(tmp_path / f"{name}.zarr").X
        assert (X.toarray() if sparse.issparse(X) else X).tolist() == np.concatenate(blocks).tolist()


@pytest.mark.parametrize(
    ("key", "kind"), [("obsm/airr", "awkward-array"), ("uns/future", "new"), ("layers/x", "new"), ("obs/y", "new")]
)
def test_what_nobody_here_reads_is_left_out_and_named(tmp_path, key, kind):
    full().write_h5ad(tmp_path / "a.h5ad")
    with h5py.File(tmp_path / "a.h5ad", "a") as file:
        group = file.create_group(key)
        group.attrs.update({"encoding-type": kind, "encoding-version": "0.1.0"})
        if key.startswith("obs/"):
            file["obs"].attrs["column-order"] = [*file["obs"].attrs["column-order"], "y"]
    imported = convert(tmp_path / "a.h5ad", tmp_path / "a.zarr")
    assert [note.partition(":")[0] for note in imported.notes] == [f"{key} was left out"]
    assert key not in imported.keys
    assert {"obsm/X_pca", "layers/scaled", "obs/kind", "obs/age"} <= set(imported.keys)


def test_nothing_in_uns_is_called(tmp_path):
    called = []
    adata = full()
    adata.uns = {"call": lambda: called.append(1), "kind": dict, "scalar": np.array(3), "fine": 2}
    imported = convert(adata, tmp_path / "a.zarr")
    assert called == []
    assert [note.partition(":")[0] for note in imported.notes] == ["uns/call was left out", "uns/kind was left out"]
    assert anndata.read_zarr(tmp_path / "a.zarr").uns["scalar"] == 3


def test_columns_of_other_kinds(tmp_path):
    adata = anndata.AnnData(np.eye(3, dtype=np.float32))
    adata.obs["half"] = pd.array([0.5, None, 2.0], dtype="Float64")
    adata.obs["single"] = pd.array([0.5, None, 2.0], dtype="Float32")
    adata.obs["mixed"] = pd.Categorical([1, "1", None], [1, "1"])
    adata.obs["truth"] = pd.Categorical([True, "True", "x"], [True, "True", "x"])
    adata.obs[""] = [1, 2, 3]
    convert(adata, tmp_path / "a.zarr")
    obs = anndata.read_zarr(tmp_path / "a.zarr").obs
    assert (obs["half"].dtype, obs["single"].dtype) == (np.float64, np.float32)
    assert obs["half"].isna().tolist() == [False, True, False]
    assert obs["mixed"].tolist()[:2] == ["1", "1"]
    assert obs["truth"].tolist() == ["True", "True", "x"]
    assert obs["unnamed"].tolist() == [1, 2, 3]


def test_dates_and_masked_arrays_of_uns(tmp_path, caplog):
    adata = anndata.AnnData(np.eye(2, dtype=np.float32))
    adata.uns["when"] = np.array(["2020-01-02"], "M8[D]")
    adata.uns["masked"] = np.ma.masked_array([1, 2], [True, False])
    ds = kk.read(adata, to=tmp_path / "a.zarr", progress=False)
    assert ds.read("uns/when").tolist() == ["2020-01-02 00:00:00"]
    assert "uns/masked" not in set(ds.keys())
    assert "masked array" in caplog.text
    assert anndata.read_zarr(tmp_path / "a.zarr").uns["when"].tolist() == ["2020-01-02 00:00:00"]


def test_names_and_values_that_no_folder_holds_are_left_out_and_named(tmp_path):
    adata = anndata.AnnData(np.eye(3, dtype=np.float32))
    for name in ("a/b", "..", "", "fine"):
        adata.layers[name] = np.ones((3, 3))
    adata.uns = {"pair": {"a/b": 1, "fine": 2}, "itself": {}, "day": datetime.date(2020, 1, 2), "two": (1, 2)}
    adata.uns |= {"bytes": b"abc", "index": pd.Index(["x"]), "none": None}
    adata.uns["itself"]["self"] = adata.uns["itself"]
    imported = convert(adata, tmp_path / "a.zarr")
    named = [note.partition(" was left out: ")[0] for note in imported.notes]
    assert named[:4] == ["layers/a/b", "layers/..", "layers/", "uns/pair/a/b"]
    assert len(named) == 5
    assert named[4].startswith("uns/itself/self/self/")
    back = anndata.read_zarr(tmp_path / "a.zarr")
    assert set(back.layers) - {None} == {"fine"}
    assert back.uns["pair"] == {"fine": 2}
    assert (back.uns["day"], back.uns["bytes"]) == ("2020-01-02", "abc")
    assert (back.uns["two"].tolist(), back.uns["index"].tolist()) == ([1, 2], ["x"])


def test_objects_that_are_all_of_one_kind(tmp_path):
    adata = anndata.AnnData(np.eye(4, dtype=np.float32))
    adata.obs["flag"] = pd.Series([True, None, False, True], dtype=object, index=adata.obs_names)
    adata.obs["whole"] = pd.Series([1, None, 3, 4], dtype=object, index=adata.obs_names)
    adata.obs["part"] = pd.Series([1, 2.5, None, 4], dtype=object, index=adata.obs_names)
    adata.obs["took"] = pd.to_timedelta([1, 2, 3, 4], unit="s")
    adata.obs["half"] = pd.Series(["a\ud800", "b", "c", "d"], dtype=object, index=adata.obs_names)
    convert(adata, tmp_path / "a.zarr")
    obs = anndata.read_zarr(tmp_path / "a.zarr").obs
    assert [obs[name].dtype.name for name in ("flag", "whole", "part", "took")] == [
        "boolean",
        "Int64",
        "float64",
        "float64",
    ]
    assert obs["flag"].dropna().tolist() == [True, False, True]
    assert obs["whole"].dropna().tolist() == [1, 3, 4]
    assert obs["part"].dropna().tolist() == [1, 2.5, 4]
    assert obs["took"].tolist() == [1, 2, 3, 4]
    assert obs["half"].tolist() == ["a?", "b", "c", "d"]
