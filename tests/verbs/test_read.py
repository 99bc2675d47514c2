"""Reading makes a dataset of whatever it is given, or says in one sentence why not."""

import logging

import anndata
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk


@pytest.fixture
def h5ad(small_counts, tmp_path):
    path = tmp_path / "counts.h5ad"
    small_counts.write_h5ad(path)
    return path


def assert_same(ds, dense):
    X = ds.to_anndata().X
    assert np.array_equal(X.toarray() if sparse.issparse(X) else X, dense)


def test_a_file_and_the_object_in_memory_give_the_same(h5ad, small_counts, tmp_path):
    one, two = kk.read(h5ad, to=tmp_path / "a.zarr"), kk.read(small_counts, to=tmp_path / "b.zarr")
    assert_same(one, small_counts.X.toarray())
    assert_same(two, small_counts.X.toarray())
    pd.testing.assert_frame_equal(one.obs, two.obs)
    pd.testing.assert_frame_equal(one.var, two.var)


@pytest.mark.parametrize(
    "wrap", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_array, pd.DataFrame], ids=lambda w: w.__name__
)
def test_objects_in_memory(wrap, tmp_path):
    dense = np.random.default_rng(0).poisson(0.8, (30, 12))
    assert_same(kk.read(wrap(dense), to=tmp_path / "a.zarr"), dense)


def test_a_dataset_is_read_like_its_path(dataset, small_counts, tmp_path):
    for number, source in enumerate((dataset, dataset.path, str(dataset.path))):
        assert_same(kk.read(source, to=tmp_path / f"{number}.zarr"), small_counts.X.toarray())


def test_the_budget_and_threads_are_those_of_the_dataset(tmp_path):
    ds = kk.read(np.eye(4), to=tmp_path / "a.zarr", memory="321MB", threads=1, progress=False)
    assert (ds.execution.memory, ds.execution.threads, ds.execution.progress) == (321 * 10**6, 1, False)


def test_an_existing_target_is_kept_unless_told(tmp_path):
    kk.read(np.eye(4), to=tmp_path / "a.zarr")
    with pytest.raises(kk.KithkinError, match=r"a\.zarr exists already\. Choose another name, or use overwrite=True"):
        kk.read(np.eye(5), to=tmp_path / "a.zarr")
    assert kk.open(tmp_path / "a.zarr").shape == (4, 4)
    assert kk.read(np.eye(5), to=tmp_path / "a.zarr", overwrite=True).shape == (5, 5)
    with pytest.raises(kk.KithkinError):
        kk.read(np.array([[np.inf, 1.0]]), to=tmp_path / "a.zarr", overwrite=True)
    assert kk.open(tmp_path / "a.zarr").shape == (5, 5)
    assert [path.name for path in tmp_path.iterdir()] == ["a.zarr"]


@pytest.mark.parametrize(
    ("setting", "name"),
    [({"layer": "spliced"}, "layer"), ({"raw": True}, "raw"), ({"genome": "hg19"}, "genome")],
)
def test_a_setting_without_effect_is_refused(tmp_path, setting, name):
    np.savez(tmp_path / "a.npz", X=np.eye(3))
    for source in (np.eye(3), tmp_path / "a.npz"):
        with pytest.raises(kk.ParameterError, match=name):
            kk.read(source, to=tmp_path / "a.zarr", **setting)
    assert not (tmp_path / "a.zarr").exists()


def test_transpose_of_counts_of_cells_is_refused(h5ad, tmp_path):
    with pytest.raises(kk.ParameterError, match="transpose"):
        kk.read(h5ad, to=tmp_path / "a.zarr", transpose=True)


def test_names_are_made_unique_and_said_so(small_counts, tmp_path, caplog):
    small_counts.var_names = [f"g{i // 2}" for i in range(500)]
    small_counts.obs_names = ["same"] * 600
    with caplog.at_level(logging.WARNING, "kithkin"):
        ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    assert ds.var_names.is_unique
    assert ds.obs_names.is_unique
    assert set(ds.var_names[::2]) == {f"g{i}" for i in range(250)}
    said = [record.getMessage() for record in caplog.records]
    assert any("250" in text and "unique" in text for text in said), said
    assert any("599" in text and "unique" in text for text in said), said


def test_values_that_are_no_counts_are_said_to_be_so(tmp_path, caplog):
    with caplog.at_level(logging.WARNING, "kithkin"):
        kk.read(np.eye(3) * 0.5, to=tmp_path / "a.zarr")
    assert "not integers" in caplog.text


@pytest.mark.parametrize("source", [[1, 2], {"a": 1}, 7, None])
def test_other_objects_are_refused(source, tmp_path):
    with pytest.raises(kk.FormatError, match=r"cannot be read.*\. Readable are"):
        kk.read(source, to=tmp_path / "a.zarr")
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(kk.KithkinError, match="nowhere does not exist"):
        kk.read(np.eye(3), to=tmp_path / "nowhere" / "a.zarr")
    with pytest.raises(kk.FormatError, match=r"nothing\.h5 does not exist"):
        kk.read(tmp_path / "nothing.h5", to=tmp_path / "a.zarr")


def test_columns_of_the_source_that_quality_writes_too_are_kept_under_another_name(tmp_path, caplog):
    X = sparse.csr_matrix(np.array([[1.0, 2.0], [0.0, 3.0]]))
    obs = pd.DataFrame({"n_counts": [100.0, 200.0], "n_genes": [2, 1], "pct_mito": ["a", "b"]}, index=["a", "b"])
    var = pd.DataFrame({"n_cells": [7, 8]}, index=["x", "y"])
    ds = kk.read(anndata.AnnData(X, obs, var), to=tmp_path / "a.zarr", progress=False)
    assert ds.obs["n_counts"].tolist() == [3, 3]
    assert ds.obs["source_n_counts"].tolist() == [100, 200]
    assert ds.obs["source_pct_mito"].tolist() == ["a", "b"]
    assert ds.var["source_n_cells"].tolist() == [7, 8]
    assert "source_n_genes" not in ds.obs  # the same numbers
    assert (
        "obs/n_counts of the AnnData object is kept as obs/source_n_counts, because quality writes its own"
        in caplog.text
    )
    again = kk.read(ds, to=tmp_path / "b.zarr", progress=False)
    assert list(again.obs.columns) == list(ds.obs.columns)


def members(n_rows=30):
    """Text of a table as people keep it: ids, gaps, thousands, dates, words."""
    rows = (
        f'{k},{20 + k % 7},{"" if k % 5 == 0 else k / 2},"1,{200 + k}",{["red", "blue"][k % 2]},'
        f"{'31.12.2024' if k % 2 else '1.3.2024'},{['true', 'false'][k % 2]},{'?' if k == 7 else k % 3}"
        for k in range(1, n_rows + 1)
    )
    return "id,age,height,income,colour,joined,member,visits\n" + "\n".join(rows) + "\n"


@pytest.fixture
def table(tmp_path):
    (tmp_path / "members.csv").write_text(members())
    return tmp_path / "members.csv"


@pytest.fixture
def said(caplog):
    """What an import says of a source."""

    def read(source, to, **settings):
        caplog.clear()
        with caplog.at_level(logging.WARNING, "kithkin"):
            ds = kk.read(source, to=to, overwrite=True, progress=False, **settings)
        return ds, [record.getMessage() for record in caplog.records]

    return read


def test_a_table_as_people_keep_it(table, tmp_path, said):
    ds, notes = said(table, tmp_path / "a.zarr")
    assert list(ds.var_names) == ["age", "height", "income", "visits"]
    assert list(ds.obs_names) == [str(k) for k in range(1, 31)]
    X = ds.read("X")
    assert X.dtype == np.float32
    assert X[0].tolist() == [21, 0.5, 1201, 1]
    assert np.argwhere(np.isnan(X)).tolist() == [[4, 1], [6, 3], [9, 1], [14, 1], [19, 1], [24, 1], [29, 1]]
    assert ds.var["n_missing"].tolist() == [0, 6, 0, 1]
    assert ds.obs["member"].tolist()[:2] == [False, True]
    assert ds.obs["joined"].tolist()[:2] == ["2024-12-31", "2024-03-01"]
    assert ds.obs["colour"].dtype == "category"
    assert ds.kind == "values"
    assert "to obs: colour (text, 2 values), joined (dates), member (booleans)" in notes
    assert "7 values are missing in 2 columns: height (6), visits (1)" in notes
    assert "the commas in the numbers of 'income' were read as marks between thousands" in notes
    assert kk.check(ds) == []


def test_text_parquet_and_a_frame_give_the_same(table, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.read_csv(table, thousands=",", na_values="?", parse_dates=["joined"], date_format="%d.%m.%Y")
    frame.to_parquet(tmp_path / "a.parquet", index=False)
    sources = {"csv": table, "parquet": tmp_path / "a.parquet", "frame": frame, "read_csv": pd.read_csv(table)}
    one = kk.read(table, to=tmp_path / "one.zarr", progress=False)
    for name, source in sources.items():
        ds = kk.read(source, to=tmp_path / f"{name}.zarr", progress=False)
        np.testing.assert_array_equal(ds.read("X"), one.read("X"), err_msg=name)
        pd.testing.assert_frame_equal(ds.var, one.var)
        pd.testing.assert_frame_equal(ds.obs, one.obs, check_names=False)


@pytest.mark.parametrize("rows", [1, 4, 1000])
def test_gaps_do_not_depend_on_blocks(table, tmp_path, monkeypatch, rows):
    expected = kk.read(table, to=tmp_path / "a.zarr", progress=False)
    monkeypatch.setattr("kithkin.io.formats.table._rows_at_a_time", lambda width, execution: rows)
    ds = kk.read(table, to=tmp_path / "b.zarr", progress=False)
    np.testing.assert_array_equal(ds.read("X"), expected.read("X"))
    pd.testing.assert_frame_equal(ds.obs, expected.obs)
    pd.testing.assert_frame_equal(ds.var, expected.var)


def test_rows_with_gaps_are_dropped_or_refused(table, tmp_path, said):
    ds, notes = said(table, tmp_path / "a.zarr", missing="drop")
    assert ds.shape == (23, 4)
    assert list(ds.obs_names[:6]) == ["1", "2", "3", "4", "6", "8"]
    assert ds.obs["colour"].tolist()[4] == "red"
    assert "n_missing" not in ds.var
    assert "7 rows of members.csv with a missing value left out" in notes
    with pytest.raises(kk.FormatError, match="row 4 has no value in column 'height': missing='keep'"):
        said(table, tmp_path / "b.zarr", missing="error")
    with pytest.raises(kk.ParameterError, match="missing must be one of 'keep', 'drop', 'error', got 'median'"):
        said(table, tmp_path / "b.zarr", missing="median")
    with pytest.raises(kk.FormatError, match="no row without a missing value"):
        said(np.full((3, 2), np.nan), tmp_path / "b.zarr", missing="drop")
    assert not (tmp_path / "b.zarr").exists()


def test_counts_cannot_be_missing(tmp_path):
    counts = pd.DataFrame({"CD3D": [1, 2, None], "MS4A1": [0, 3, 1], "LYZ": 2})
    with pytest.raises(
        kk.FormatError, match=r"holds counts .*1 value is missing in 1 column: CD3D \(1\): counts cannot"
    ):
        kk.read(counts, to=tmp_path / "a.zarr")
    assert kk.read(counts, to=tmp_path / "a.zarr", kind="values").kind == "values"
    assert kk.read(counts, to=tmp_path / "b.zarr", missing="drop").kind == "counts"
    (tmp_path / "genes.csv").write_text("gene,c1,c2\nCD3D,1,\nLYZ,2,3\n")
    with pytest.raises(kk.FormatError, match=r"line 2 has nothing in column 'c2'.*missing only where each row is"):
        kk.read(tmp_path / "genes.csv", to=tmp_path / "c.zarr", transpose=True)


def test_gaps_of_arrays_and_of_anndata(tmp_path):
    X = np.array([[1.5, np.nan], [2.5, 3.5]])
    adata = anndata.AnnData(X, layers={"twice": np.ones((2, 2))})
    np.save(tmp_path / "a.npy", X)
    for number, source in enumerate((X, adata, tmp_path / "a.npy")):
        ds = kk.read(source, to=tmp_path / f"{number}.zarr", progress=False)
        np.testing.assert_array_equal(ds.read("X"), X)
        assert ds.var["n_missing"].tolist() == [0, 1]
        again = kk.read(ds, to=tmp_path / f"{number}b.zarr", progress=False)
        assert again.var["n_missing"].tolist() == [0, 1]
    with pytest.raises(kk.ParameterError, match=r"missing='drop' has no effect on layers/twice .* kithkin\.subset"):
        kk.read(adata, to=tmp_path / "d.zarr", missing="drop")
    with pytest.raises(kk.FormatError, match=r"not a finite number \(inf\)"):
        kk.read(np.array([[np.inf, np.nan]]), to=tmp_path / "d.zarr")


@pytest.mark.parametrize("as_frame", [False, True])
@pytest.mark.parametrize(
    ("settings", "names", "columns", "obs"),
    [
        ({"columns": "age,colour"}, "1", ["age"], ["colour"]),
        ({"columns": ["age", "visits"]}, "1", ["age", "visits"], []),
        ({"ignore": ["height, income"], "columns": None}, "1", ["age", "visits"], ["colour", "joined", "member"]),
        ({"id": "joined", "ignore": "height"}, "2024", ["age", "income", "visits"], ["colour", "member"]),
        ({"columns": "id,age"}, "0", ["id", "age"], []),
    ],
)
def test_columns_that_were_chosen(table, tmp_path, as_frame, settings, names, columns, obs):
    source = table
    if as_frame:
        source = pd.read_csv(table, thousands=",", na_values="?")
        source["joined"] = "2024"
    elif "id" in settings:
        table.write_text(table.read_text().replace("31.12.2024", "2024").replace("1.3.2024", "2024"))
    ds = kk.read(source, to=tmp_path / "a.zarr", progress=False, **settings)
    assert list(ds.var_names) == columns
    assert [name for name in ds.obs.columns if name != "id"] == obs
    assert ds.obs_names[0] == names


def test_columns_that_are_not_there_are_named(table, tmp_path):
    for setting in ("columns", "ignore", "id"):
        with pytest.raises(
            kk.ParameterError, match=f"{setting}: members.csv has no column 'heigth'. Did you mean 'height'"
        ):
            kk.read(table, to=tmp_path / "a.zarr", **{setting: "heigth"})
    with pytest.raises(kk.ParameterError, match="there are 'id', 'age'"):
        kk.read(table, to=tmp_path / "a.zarr", columns=["xyzzy"])
    with pytest.raises(kk.ParameterError, match="columns has no effect"):
        kk.read(np.eye(3), to=tmp_path / "a.zarr", columns="a")


@pytest.mark.parametrize("start", [0, 1])
@pytest.mark.parametrize("form", ["csv", "frame", "parquet"])
def test_a_column_that_counts_the_rows_names_them(tmp_path, said, start, form):
    frame = pd.DataFrame({"x": np.arange(20) % 7 + 0.5, "order": np.arange(start, start + 20), "y": 1})
    source = frame
    if form == "csv":
        source = tmp_path / "a.csv"
        frame.to_csv(source, index=False)
    elif form == "parquet":
        pytest.importorskip("pyarrow")
        source = tmp_path / "a.parquet"
        frame.to_parquet(source, index=False)
    ds, notes = said(source, tmp_path / "a.zarr")
    assert list(ds.var_names) == ["x", "y"]
    assert list(ds.obs_names) == [str(k) for k in range(start, start + 20)]
    assert "'order' only counts up, so it names the rows: list it in columns to take it as values" in notes


def test_a_column_that_counts_up_at_first_only_is_kept_beside(tmp_path, said):
    n = 1500  # more than the rows by which it is told
    lines = "".join(f"{k % 1200},{k % 7}.5,{k % 3}\n" for k in range(n))
    (tmp_path / "a.csv").write_text("step,x,y\n" + lines)
    ds, notes = said(tmp_path / "a.csv", tmp_path / "a.zarr")
    assert list(ds.var_names) == ["x", "y"]
    assert ds.obs["step"].tolist() == [k % 1200 for k in range(n)]
    assert any("'step' counts up at first only" in note for note in notes)


def test_what_is_written_beside_names_keeps_a_count_in_obs(tmp_path):
    frame = pd.DataFrame({"x": np.arange(12) + 0.5, "k": np.arange(12)}, index=[f"r{k}" for k in range(12)])
    ds = kk.read(frame, to=tmp_path / "a.zarr", progress=False)
    assert (list(ds.var_names), ds.obs["k"].tolist(), ds.obs_names[0]) == (["x"], list(range(12)), "r0")


def test_a_word_in_a_column_of_numbers_is_named_with_what_to_do(tmp_path):
    (tmp_path / "a.csv").write_text("x,crp\n" + "1.5,3\n" * 20 + "2.5,<5\n")
    with pytest.raises(
        kk.FormatError, match=r"line 22 has '<5' in column 'crp'.*leave the column out with ignore='crp'"
    ):
        kk.read(tmp_path / "a.csv", to=tmp_path / "a.zarr")
    assert kk.read(tmp_path / "a.csv", to=tmp_path / "a.zarr", ignore="crp").shape == (21, 1)


def test_whole_numbers_that_float32_does_not_hold_stay_exact(tmp_path):
    frame = pd.DataFrame({"x": [0.5, None], "big": [16_777_217, 3]})
    ds = kk.read(frame, to=tmp_path / "a.zarr", progress=False)
    assert ds.blocks().dtype == np.float64
    assert ds.read("X")[0].tolist() == [0.5, 16_777_217]


def test_labels_beside_pixels_go_to_obs(tmp_path, said):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.integers(0, 17, (30, 64))).add_prefix("pixel")
    frame.insert(0, "label", rng.integers(0, 10, 30))
    frame.to_csv(tmp_path / "a.csv", index=False)
    for source in (frame, tmp_path / "a.csv"):
        ds, notes = said(source, tmp_path / "a.zarr")
        assert (ds.kind, ds.n_vars, ds.obs["label"].tolist()) == ("images", 64, frame["label"].tolist())
        assert ds.var["row"].tolist()[:9] == [0] * 8 + [1]
        assert "to obs: label (numbers)" in notes


def test_verbs_for_counts_say_what_to_do_with_values(table, tmp_path):
    ds = kk.read(table, to=tmp_path / "a.zarr", progress=False)
    for verb in (kk.quality, kk.variable_genes):
        with pytest.raises(
            kk.ParameterError, match=r"is for counts, but X of a\.zarr holds values .*kithkin\.scale\(ds\)"
        ):
            verb(ds)


def test_settings_of_a_table_belong_to_its_import(table, tmp_path):
    from kithkin.verbs.read import is_import_of, read_step

    ds = kk.read(table, to=tmp_path / "a.zarr", progress=False, ignore="height")
    usual = {"layer": None, "raw": False, "genome": None, "transpose": False}
    assert is_import_of(ds, table, usual | {"ignore": "height"})
    assert not is_import_of(ds, table, usual)
    assert read_step(usual) == read_step(
        usual | {"columns": None, "ignore": None, "id": None, "missing": "keep", "kind": "auto"}
    )


def test_the_same_import_is_found_again(tmp_path):
    X, to = np.eye(4), tmp_path / "again.zarr"
    kk.annotate(kk.read(X, to=to, progress=False), "mine", list("abcd"))
    assert kk.read(X.copy(), to=to, progress=False)["obs/mine"].tolist() == list("abcd")
    for source in (2 * X, np.eye(5)):
        with pytest.raises(kk.KithkinError, match="exists already"):
            kk.read(source, to=to, progress=False)
    (tmp_path / "b.zarr").mkdir()
    with pytest.raises(kk.KithkinError, match="exists already"):
        kk.read(X, to=tmp_path / "b.zarr")


@pytest.mark.parametrize("name", ["a.h5ad", "a.csv", "a.CSV.gz"])
def test_a_dataset_is_not_named_like_a_file(tmp_path, name):
    """Other programs would take the folder for a file."""
    with pytest.raises(kk.ParameterError, match=r"to must name a dataset, which is a folder such as 'pbmc\.zarr', got"):
        kk.read(np.eye(3), to=tmp_path / name)
    assert list(tmp_path.iterdir()) == []
