"""Workers import the very files that one process imports, and what they refuse is said in its words."""

import shutil
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import anndata
import h5py
import numpy as np
import pandas as pd
import pytest
import zarr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import KithkinError
from kithkin.core.spread import write_share
from kithkin.io.streams.file_rows import FileRows
from kithkin.io.streams.spreading import measure_run

pytestmark = [
    pytest.mark.filterwarnings("ignore:Consolidated metadata:UserWarning"),
    pytest.mark.filterwarnings("ignore:Writing zarr v2 data:UserWarning"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded"),
]
SLOW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """Many blocks, and many files of one table."""
    monkeypatch.setattr("kithkin.core.budget.BLOCK_BYTES", 1 << 11)
    monkeypatch.setattr("kithkin.core.layout.CHUNK", 16)
    monkeypatch.setattr("kithkin.core.layout.SHARD", 64)
    monkeypatch.setattr("kithkin.core.layout.DENSE_CHUNK_BYTES", 512)
    monkeypatch.setattr("kithkin.core.layout.DENSE_SHARD_BYTES", 4096)


def files(path):
    """All files of a dataset; of its history what is no time."""
    found = {str(one.relative_to(path)): one.read_bytes() for one in Path(path).rglob("*") if one.is_file()}
    return {name: content for name, content in found.items() if not name.startswith("uns/kithkin/")}


def both(source, folder, pool, caplog=None, **options):
    """Import in one process and by workers: the datasets, or what each refusal says."""
    found, said = [], []
    for name, executor in (("one", None), ("two", pool)):
        if caplog is not None:
            caplog.clear()
        try:
            found.append(kk.read(source, to=folder / f"{name}.zarr", threads=1, executor=executor, **options))
        except KithkinError as error:
            found.append((type(error), str(error), getattr(error, "__notes__", [])))
        said.append([] if caplog is None else [record.getMessage() for record in caplog.records])
    assert said[0] == said[1]
    return found


def check_same(one, two):
    here, there = files(one.path), files(two.path)
    # a type that widens late moves the borders of files of a dense table while one process writes them
    dense = [key for key in ("X", "layers/half") if key in one and (one.path / key / "c").exists()]
    for key in dense:
        ours, theirs = (zarr.open_array(ds.path / key)[...] for ds in (one, two))
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs, equal_nan=True)
    moved = tuple(f"{key}/c/" for key in dense)
    same = [name for name in here if not name.startswith(moved)] if dense else [*here]
    assert here.keys() == there.keys()
    assert [name for name in same if here[name] != there[name]] == []
    assert one.kind_and_reason == two.kind_and_reason
    assert one.history()["state"].tolist() == two.history()["state"].tolist()
    assert kk.check(two) == []


def rechunk(path, chunks):
    """Store values and columns of X in chunks of so many."""
    with h5py.File(path, "r+") as file:
        for part in ("data", "indices"):
            values = file[f"X/{part}"][...]
            del file[f"X/{part}"]
            file["X"].create_dataset(part, data=values, chunks=(chunks,), maxshape=(None,), compression="gzip")


def table(data):
    """A table whose type is known at its end only, with empty rows, stored zeros and unsorted columns."""
    n, p = data.draw(st.integers(1, 40)), data.draw(st.integers(1, 12))
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    X = rng.poisson(0.8, (n, p)) * (rng.random((n, 1)) < 0.8)
    X[rng.integers(n), :] *= data.draw(st.sampled_from([1, 300, 70000, -3]))
    X = X / data.draw(st.sampled_from([1, 1, 2]))
    X = X.astype(data.draw(st.sampled_from(["float32", "float64", "int32", "int64"])))
    if X.dtype.kind == "f" and data.draw(st.booleans()):
        late = X[rng.integers(n) :]  # fractions that come after whole numbers
        late[late > 0] += 0.25
    if data.draw(st.booleans()):
        return X
    X = sparse.csr_matrix(X)
    if X.nnz and data.draw(st.booleans()):
        X.data[rng.integers(X.nnz)] = 0
    if data.draw(st.booleans()):
        for row in range(n):
            own = slice(X.indptr[row], X.indptr[row + 1])
            X.indices[own], X.data[own] = X.indices[own][::-1].copy(), X.data[own][::-1].copy()
        X.has_sorted_indices = False
    return X


def frames(X):
    return anndata.AnnData(
        X,
        pd.DataFrame(index=[f"c{i}" for i in range(X.shape[0])]),
        pd.DataFrame(index=["MT-A", *(f"G{i}" for i in range(1, X.shape[1]))]),
    )


@SLOW
@given(data=st.data())
def test_every_file_is_that_of_one_process(tmp_path_factory, data, caplog, sent_workers):
    X, folder = table(data), tmp_path_factory.mktemp("s")
    adata = frames(X)
    if data.draw(st.booleans()):
        adata.layers["half"] = X.copy()
    is_zarr = data.draw(st.booleans())
    source = folder / ("source.zarr" if is_zarr else "source.h5ad")
    adata.write_zarr(source) if is_zarr else adata.write_h5ad(source)
    if not is_zarr and sparse.issparse(X) and X.nnz:
        rechunk(source, data.draw(st.integers(1, 200)))
    with sent_workers() as pool:
        one, two = both(source, folder, pool, caplog, memory=data.draw(st.sampled_from(["50MB", "2GB"])))
        if isinstance(one, tuple):
            assert one == two
        else:
            assert measure_run in pool.functions
            check_same(one, two)


def counts(n=400, p=30, seed=0):
    X = sparse.random(n, p, 0.3, format="csr", random_state=seed, dtype=np.float32)
    X.data = np.ceil(X.data * 9)
    X.data[n * 3] = 400
    return X


@pytest.fixture
def source(tmp_path):
    adata = frames(counts())
    adata.layers["other"] = adata.X.astype(np.float64) / 3
    adata.layers["dense"] = adata.X.toarray()
    adata.obsm["X_pca"] = np.eye(400, 3)
    adata.raw = adata.copy()
    adata.write_h5ad(tmp_path / "source.h5ad")
    rechunk(tmp_path / "source.h5ad", 100)
    return tmp_path / "source.h5ad"


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_processes_import_the_files_of_one(source, tmp_path, method):
    class Counted(ProcessPoolExecutor):
        written = 0

        def submit(self, function, /, *given, **options):
            self.written += function is write_share
            return super().submit(function, *given, **options)

    with Counted(2, mp_context=get_context(method)) as pool:
        check_same(*both(source, tmp_path, pool))
        assert pool.written > 1
        shutil.copytree(tmp_path / "one.zarr", tmp_path / "source.zarr")
        shutil.rmtree(tmp_path / "one.zarr")
        shutil.rmtree(tmp_path / "two.zarr")
        check_same(*both(tmp_path / "source.zarr", tmp_path, pool))


def test_layers_are_written_by_workers_too_and_tasks_hold_what_their_rows_need(source, tmp_path, sent_workers):
    with sent_workers() as pool:
        one, two = both(source, tmp_path, pool)
    check_same(one, two)
    shares = sum(len(list((two.path / key / "c").iterdir())) for key in ("X/data", "layers/other/data"))
    assert pool.functions.count(write_share) > shares > 100
    assert pool.largest < 3000
    assert two.read("layers/other").nnz == one.read("layers/other").nnz


@pytest.mark.parametrize("version", [2, 3])
def test_10x_files(tmp_path, version, sent_workers):
    X, path = counts(), tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        group = file.create_group("GRCh38" if version == 2 else "matrix")
        for name, values in (("data", X.data.astype(np.int32)), ("indices", X.indices), ("indptr", X.indptr)):
            group.create_dataset(name, data=values)
        group["shape"] = np.array(X.shape[::-1])
        group["barcodes"] = np.array([f"c{i}" for i in range(400)], "S")
        names = np.array([f"g{i}" for i in range(30)], "S")
        if version == 2:
            group["genes"] = group["gene_names"] = names
        else:
            group["features/id"] = group["features/name"] = names
            group["features/feature_type"] = np.array(["Gene Expression"] * 30, "S")
    with sent_workers() as pool:
        check_same(*both(path, tmp_path, pool))
        assert write_share in pool.functions


def refused(sent_workers, source, folder, caplog=None, **options):
    """The refusal of workers, which is that of one process, of which nothing is left."""
    with sent_workers() as pool:
        one, two = both(source, folder, pool, caplog, **options)
        assert measure_run in pool.functions
    assert one == two
    assert not list(folder.glob("*.zarr"))
    assert not list(folder.glob(".*kithkin*"))
    return one[1]


@pytest.mark.parametrize(
    ("part", "value", "said"),
    [
        ("indices", 30, "names column 30"),
        ("indices", -1, "names column -1"),
        ("data", np.inf, "is not a finite number"),
        ("data", np.nan, "is not a finite number"),
    ],
)
def test_a_wrong_value_in_the_middle_is_refused_in_the_same_words(source, tmp_path, part, value, said, sent_workers):
    with h5py.File(source, "r+") as file:
        file[f"X/{part}"][2345] = value
        file[f"X/{part}"][3100] = value
    assert said in refused(sent_workers, source, tmp_path)


def test_a_value_that_is_stored_twice(source, tmp_path, sent_workers):
    with h5py.File(source, "r+") as file:
        first = int(file["X/indptr"][200])
        file["X/indices"][first + 1] = file["X/indices"][first]
    assert "is stored twice" in refused(sent_workers, source, tmp_path)


def test_a_chunk_that_cannot_be_decoded(source, tmp_path, sent_workers):
    with h5py.File(source, "r") as file:
        offset = file["X/data"].id.get_chunk_info(20).byte_offset
    with source.open("r+b") as file:
        file.seek(offset)
        file.write(b"\xff" * 40)
    assert "X/data cannot be read, the file is truncated or damaged" in refused(sent_workers, source, tmp_path)


def test_wrong_pointers_are_refused_before_anything_is_sent(source, tmp_path, sent_workers):
    with h5py.File(source, "r+") as file:
        file["X/indptr"][200] = 0
    with sent_workers() as pool:
        one, two = both(source, tmp_path, pool)
        assert one == two
        assert pool.functions == []
    assert "falls after entry 199" in one[1]


def test_a_damaged_layer_is_left_out_with_the_same_note(source, tmp_path, caplog, sent_workers):
    with h5py.File(source, "r+") as file:
        file["layers/other/indices"][2345] = 77
    with sent_workers() as pool:
        one, two = both(source, tmp_path, pool, caplog)
        check_same(one, two)
        assert "layers/other" not in two
    assert "layers/other was left out" in caplog.text


def test_integers_of_64_bits(tmp_path, sent_workers):
    whole = np.zeros((300, 9), np.int64)
    whole[5], whole[290] = -1, 2**62
    frames(sparse.csr_matrix(whole)).write_h5ad(tmp_path / "a.h5ad")
    with sent_workers() as pool:
        one, two = both(tmp_path / "a.h5ad", tmp_path, pool)
        assert write_share in pool.functions
    check_same(one, two)
    assert int(np.asarray(two.blocks("X").read(290, 291).data).max()) == 2**62


def gaps(folder, first=150):
    X = np.random.default_rng(0).poisson(1.0, (300, 8)).astype(np.float64)
    X[first, 3] = X[first + 50, 5] = np.nan
    frames(X).write_h5ad(folder / "gaps.h5ad")
    return folder / "gaps.h5ad"


@pytest.mark.parametrize("missing", ["keep", "drop"])
@pytest.mark.parametrize("first", [0, 150])
def test_missing_values_are_kept_or_dropped_as_one_process_does(tmp_path, caplog, missing, first, sent_workers):
    with sent_workers() as pool:
        one, two = both(gaps(tmp_path, first), tmp_path, pool, caplog, missing=missing, kind="values")
        assert measure_run in pool.functions
        assert (write_share in pool.functions) == (missing == "keep")  # to drop rows is for one process
    check_same(one, two)
    assert one.n_obs == (300 if missing == "keep" else 298)


def test_missing_values_are_refused_in_the_same_words(tmp_path, sent_workers):
    assert "row 150 has no value in column 'G3'" in refused(sent_workers, gaps(tmp_path), tmp_path, missing="error")


def test_negative_values_give_the_same_kind_and_notes(tmp_path, caplog, sent_workers):
    X = counts()
    X.data[500] = -2
    frames(X).write_h5ad(tmp_path / "a.h5ad")
    with sent_workers() as pool:
        check_same(*both(tmp_path / "a.h5ad", tmp_path, pool, caplog))
    assert "holds negative values" in caplog.text


@pytest.mark.parametrize("form", ["csc", "memory", "joined", "csv", "large chunks"])
def test_what_cannot_be_cut_by_rows_is_imported_by_one_process(source, tmp_path, form, monkeypatch, sent_workers):
    given = source
    if form == "csc":
        frames(sparse.csc_matrix(counts())).write_h5ad(source)
    elif form == "memory":
        given = frames(counts())
    elif form == "joined":
        given = [source, shutil.copy(source, tmp_path / "again.h5ad")]
    elif form == "csv":
        given = tmp_path / "a.csv"
        frames(counts()).to_df().to_csv(given)
    else:
        monkeypatch.setattr("kithkin.io.streams.file_rows.LARGEST", 50)
        with h5py.File(source, "r+") as file:
            del file["layers"]
    with sent_workers() as pool:
        one, two = both(given, tmp_path, pool)
        assert not {measure_run, write_share} & set(pool.functions)
    check_same(one, two)


@pytest.mark.parametrize("path", ["source.h5ad", "dataset"])
def test_workers_that_do_not_find_source_or_target_leave_the_work_to_one_process(source, tmp_path, path, blind_workers):
    pool = blind_workers(path)
    check_same(*both(source, tmp_path, pool))
    assert not {measure_run, write_share} & set(pool.functions)


class Lost(ThreadPoolExecutor):
    """Workers that lose the source before a task of some function."""

    def __init__(self, at):
        super().__init__(2)
        self.at, self.lost = at, 0

    def submit(self, function, /, *given, **options):
        if function is self.at:
            stored = given[0].blocks.stored
            object.__setattr__(stored, "path", Path("/nowhere/source.h5ad"))
            self.lost += 1
        return super().submit(function, *given, **options)


def test_a_source_that_is_lost_while_it_is_measured_leaves_the_work_to_one_process(source, tmp_path):
    with Lost(measure_run) as pool:
        one, two = both(source, tmp_path, pool)
        assert pool.lost
    check_same(one, two)


def test_a_source_that_is_lost_while_it_is_written_is_one_sentence(source, tmp_path):
    with Lost(write_share) as pool, pytest.raises(KithkinError, match=r"/nowhere/source.h5ad is not there on .*: work"):
        kk.read(source, to=tmp_path / "a.zarr", executor=pool)
    assert not list(tmp_path.glob("*.zarr"))


def test_a_dataset_that_was_imported_by_workers_is_found_again(source, tmp_path, sent_workers):
    with sent_workers() as pool:
        one = kk.read(source, to=tmp_path / "a.zarr", executor=pool)
        sent = len(pool.functions)
        assert kk.read(source, to=tmp_path / "a.zarr").path == one.path
        assert len(pool.functions) == sent


def test_rows_of_a_file_that_was_changed_are_refused(source, sent_workers):
    from kithkin.core.execute import Execution
    from kithkin.io.read import open_source

    opened = open_source(source)
    rows = opened.ranges["X"](Execution(threads=1))
    opened.close()
    assert isinstance(rows, FileRows)
    with h5py.File(source, "r+") as file:
        file["X/data"].resize((3000,))
    with pytest.raises(KithkinError, match=r"source\.h5ad was changed while it was read"):
        rows.read(*rows.ranges[-1])
