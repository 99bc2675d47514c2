"""Reading, writing, looking up, and what is stale."""

import gc
import pickle
import shutil
import weakref

import anndata as ad
import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.arrays import open_group
from kithkin.core.errors import KithkinError, MissingResultError, ParameterError
from kithkin.core.history import Step


def test_shapes_names_and_repr(dataset, small_counts):
    assert dataset.shape == small_counts.shape
    assert dataset.obs_names.equals(pd.Index(small_counts.obs_names.astype(object)))
    assert "600 observations x 500 variables" in repr(dataset)
    assert {"X", "obs/n_counts", "var/n_cells"} <= set(dataset.keys())


@pytest.mark.parametrize("rows", [1, 17, 600, None])
def test_blocks_are_the_matrix(dataset, small_counts, rows):
    blocks = dataset.blocks(rows=rows)
    found = sparse.vstack([blocks.read(*r).to_scipy() for r in blocks.ranges])
    assert (found != small_counts.X).nnz == 0


def test_genes_and_rows_are_those_of_the_matrix(dataset, small_counts):
    genes = [small_counts.var_names[i] for i in (7, 3, 7)]
    assert np.array_equal(dataset.genes(genes), small_counts.X[:, [7, 3, 7]].toarray())
    assert np.array_equal(dataset.genes(genes[0])[:, 0], small_counts.X[:, 7].toarray()[:, 0])
    rows = np.array([5, 599, 0, 5, 6])
    assert np.array_equal(dataset.rows(rows).to_dense(), small_counts.X[rows].toarray())
    assert np.array_equal(dataset.rows(small_counts.obs_names[[9, 2]]).to_dense(), small_counts.X[[9, 2]].toarray())
    assert dataset.rows([]).shape == (0, 500)


def test_counts_are_handed_out_in_a_type_to_calculate_in(dataset, small_counts):
    gene = small_counts.var_names[3]
    exact = small_counts.X[:, 3].toarray().astype(object) * 10**9
    assert (dataset.genes([gene]) * 10**9 == exact).all()
    assert dataset.rows([0]).data.dtype == np.int64


def test_unknown_genes_and_rows_are_refused(dataset):
    with pytest.raises(ParameterError, match=r"1 names are not in var of cells\.zarr: nobody"):
        dataset.genes(["nobody"])
    for bad in ([600], [-1], [0.5], "n"):
        with pytest.raises(ParameterError, match=r"indices must be rows|names of indices are not in obs"):
            dataset.rows(bad)


def test_names_that_are_near_are_suggested(tmp_path):
    symbols = pd.DataFrame({"CD3D": [1, 0], "CD19": [0, 2], "MS4A1": [3, 3]})
    ds = kk.read(symbols, to=tmp_path / "a.zarr", progress=False)
    ds["var/gene_ids"] = ["ENSG00000167286", "ENSG00000177455", "ENSG00000156738"]
    for asked, meant in (("cd3d", "CD3D"), ("CD-19", "CD19"), ("MS4A11", "MS4A1"), ("ENSG00000177455.8", "CD19")):
        with pytest.raises(ParameterError, match=f"not in var of a.zarr: {asked}. Did you mean '{meant}'"):
            ds.genes([asked])
    ds["obs/leiden"] = ["0", "1"]
    with pytest.raises(MissingResultError, match=r"obs/ledien is not in a.zarr. Did you mean 'obs/leiden'"):
        ds["obs/ledien"]
    with pytest.raises(ParameterError, match=r"got 'leiden'. Did you mean 'obs/leiden'"):
        ds["leiden"]
    with pytest.raises(ParameterError, match=r"got 'X_umap'. Did you mean 'obsm/X_umap'"):
        kk.neighbors(ds, on="X_umap")
    with pytest.raises(kk.KithkinError, match=r"a.zar does not exist. Did you mean 'a.zarr'"):
        kk.open(tmp_path / "a.zar")


def test_elements_are_read_written_and_deleted_by_key(tmp_path):
    ds = kk.read(np.eye(4), to=tmp_path / "a.zarr", progress=False)
    ds["obs/donor"] = pd.Series(list("abcd"), index=ds.obs_names[::-1])
    ds["obsm/X_pca"] = np.ones((4, 2))
    ds["uns/about"] = {"a": 1}
    assert ds["obs/donor"].tolist() == list("dcba")
    before = ds.history()["step"].tolist()
    del ds["obs/donor"]
    ds.delete("obsm/X_pca", "uns/about")
    assert "donor" not in ds.obs
    assert not [key for key in ("obs/donor", "obsm/X_pca", "uns/about") if key in ds or (ds.path / key).exists()]
    assert ds.history()["step"].tolist() == before
    assert kk.check(ds) == []
    assert "X_pca" not in ds.to_anndata().obsm
    ds["obsm/X_pca"] = np.zeros((4, 3))
    assert kk.open(ds.path)["obsm/X_pca"].shape == (4, 3)
    with pytest.raises(MissingResultError, match="obs/donor is not in"):
        ds.delete("obsm/X_pca", "obs/donor")
    assert "obsm/X_pca" in ds
    for key in ("X", "uns/kithkin", "uns/kithkin/history"):
        with pytest.raises(ParameterError, match="cannot be deleted"):
            ds.delete(key)


def test_a_result_is_stale_once_its_input_is_deleted(dataset):
    kk.pca(dataset, 5)
    kk.neighbors(dataset)
    dataset.delete("obsm/X_pca")
    states = dataset.history().set_index("step")["state"]
    assert states["neighbors"] == "stale"


def test_a_dataset_is_no_sequence(dataset):
    assert len(dataset) == dataset.n_obs
    assert bool(dataset)
    with pytest.raises(TypeError):
        list(dataset)
    for rows in (slice(0, 10), 3, np.ones(600, bool)):
        with pytest.raises(ParameterError, match=r"not by rows: read rows with ds.rows\(\[0, 1\]\), or make"):
            dataset[rows]
    assert dataset.rows(slice(0, 10, 5)).shape[0] == 2
    assert dataset.rows(np.arange(600) < 7).shape[0] == 7


@pytest.mark.parametrize(
    ("name", "advice"),
    [("X", "ds.blocks"), ("obsm", "ds..obsm/X_pca"), ("leiden", "call kithkin.leiden.ds."), ("obs_nmes", "obs_names")],
)
def test_attributes_that_are_not_there_say_what_to_do(dataset, name, advice):
    with pytest.raises(AttributeError, match=f"Dataset has no attribute '{name}'.*{advice}"):
        getattr(dataset, name)
    assert not hasattr(dataset, "__array__")
    assert pickle.loads(pickle.dumps(dataset)).shape == dataset.shape
    with pytest.raises(AttributeError, match="obs of a dataset cannot be replaced: write a column with"):
        dataset.obs = dataset.obs


def test_what_was_written_and_is_gone_is_damage(dataset):
    dataset.write({"obsm/X_new": np.ones((dataset.n_obs, 2))})
    shutil.rmtree(dataset.path / "obsm/X_new")
    with pytest.raises(KithkinError, match="obsm/X_new is damaged: it was written, and is not there any more"):
        dataset.read("obsm/X_new")


def test_what_is_missing_names_the_verb(dataset):
    with pytest.raises(MissingResultError, match=r"obsm/X_umap is not in cells.zarr. Run kithkin.umap\(ds\) first"):
        dataset.read("obsm/X_umap")
    with pytest.raises(ParameterError, match="key must be a key such as"):
        dataset.read("X_umap")
    for bad in ("obs/../../etc", "obs/", "X/data", "/etc/passwd"):
        with pytest.raises(ParameterError):
            dataset.read(bad)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("obs/a", np.arange(600)),
        ("obs/a", pd.Series(["x", "y"] * 300, dtype="string")),
        ("obs/a", pd.Series([None, "y"] * 300)),
        ("obs/a", pd.Series([1, None] * 300, dtype="Int64")),
        ("obs/a", pd.Categorical(["b", "a", None] * 200, ordered=True)),
        ("obs/a", np.arange(600) > 5),
        ("obsm/a", np.zeros((600, 3, 4), np.float32)),
        ("obsm/a", pd.DataFrame({"x": range(600)}, index=[f"cell{i}" for i in range(600)])),
        ("obsp/a", sparse.identity(600, format="csr")),
        ("uns/a", {"b": 1, "c": [1, 2], "d": {"e": "text"}, "f": np.array(["x"], object), "g": None, "h": 0.5}),
        ("uns/a", np.array([("x", 1.0)], dtype=[("n", "U3"), ("s", "f4")])),
    ],
)
def test_whatever_anndata_holds_comes_back_and_anndata_reads_it(dataset, key, value):
    if key == "obsm/a" and isinstance(value, pd.DataFrame):
        value.index = dataset.obs_names
    dataset.write({key: value})
    back = dataset.read(key)
    whole = dataset.to_anndata()
    place, name = key.split("/")
    theirs = getattr(whole, place)[name]
    if sparse.issparse(value):
        assert (back != value).nnz == (theirs != value).nnz == 0
    elif isinstance(value, dict):
        assert back["b"] == theirs["b"] == 1
        assert back["d"]["e"] == "text"
    elif isinstance(value, pd.DataFrame):
        assert back.equals(value)
    else:
        mine, their = pd.Series(list(np.asarray(back))), pd.Series(list(np.asarray(theirs)))
        given = pd.Series(list(np.asarray(value)))
        for a, b, c in zip(mine, their, given, strict=True):
            same = np.all(pd.isna(c)) if np.ndim(c) == 0 and not isinstance(c, np.void) else False
            assert (pd.isna(a) and pd.isna(b)) if same else (np.all(a == c) and np.all(b == c))


def test_a_column_of_the_wrong_length_changes_nothing(dataset):
    before = dataset.keys()
    with pytest.raises(ParameterError, match="obs/a must have 600 values"):
        dataset.write({"obsm/b": np.zeros((600, 2)), "obs/a": np.arange(5)})
    assert dataset.keys() == before


def test_a_value_that_no_format_holds_is_refused_and_changes_nothing(dataset):
    with pytest.raises(KithkinError, match="cannot be stored"):
        dataset.write({"uns/a": object()})
    assert "uns/a" not in dataset


class Counting:
    """A computation that counts how often it is made."""

    def __init__(self, key):
        self.key, self.times = key, 0

    def __call__(self):
        self.times += 1
        return {self.key: np.full((600, 2), self.times, np.float32)}


def test_a_step_is_looked_up_until_its_parameters_or_inputs_change(dataset):
    first, second = Counting("obsm/a"), Counting("obsm/b")

    def steps(p):
        a = Step("a", 1, {"p": p}, ("X",), ("obsm/a",))
        b = Step("b", 1, {}, ("obsm/a",), ("obsm/b",))
        return a, b

    a, b = steps(1)
    for _ in range(2):
        dataset.result(a, first)
        dataset.result(b, second)
    assert (first.times, second.times) == (1, 1)
    changed, _ = steps(2)
    dataset.result(changed, first)
    states = dataset.history().set_index("step")["state"]
    assert first.times == 2
    assert states["a"] == "current"
    assert states["b"] == "stale"
    dataset.result(b, second)
    assert second.times == 2
    assert set(dataset.history()["state"]) == {"current"}


def test_a_raised_revision_and_a_change_by_hand_make_a_result_stale(dataset):
    made = Counting("obsm/a")
    dataset.write({"obs/mine": np.arange(600)})
    dataset.result(Step("a", 1, {}, ("obs/mine",), ("obsm/a",)), made)
    dataset.result(Step("a", 2, {}, ("obs/mine",), ("obsm/a",)), made)
    assert made.times == 2
    dataset.write({"obs/mine": np.arange(600) * 2})
    assert dataset.history().set_index("step").loc["a", "state"] == "stale"


def test_a_part_of_another_result_is_not_written_over_in_passing(dataset):
    dataset.result(Step("a", 1, {}, ("X",), ("obsm/a", "uns/a")), lambda: {"obsm/a": np.zeros((600, 2)), "uns/a": {}})
    with pytest.raises(ParameterError, match="uns/a belongs to a result of a: give b another key"):
        dataset.result(Step("b", 1, {}, ("X",), ("obs/a", "uns/a")), Counting("obs/a"))
    made = Counting("obsm/a")
    dataset.result(Step("b", 1, {}, ("X",), ("obsm/a",)), made)
    assert made.times == 1


def test_without_storing_nothing_is_written(dataset):
    before = sorted(str(p) for p in dataset.path.rglob("*"))
    made = dataset.result(Step("a", 1, {}, ("X",), ("obsm/a",)), Counting("obsm/a"), store=False)
    assert made.shape == (600, 2)
    assert sorted(str(p) for p in dataset.path.rglob("*")) == before


def test_an_error_while_computing_leaves_the_old_result(dataset):
    dataset.result(Step("a", 1, {}, ("X",), ("obsm/a",)), Counting("obsm/a"))

    def fail():
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        dataset.result(Step("a", 2, {}, ("X",), ("obsm/a",)), fail)
    assert dataset.read("obsm/a")[0, 0] == 1
    assert [p.name for p in dataset.path.parent.iterdir() if "kithkin" in p.name] == []


def test_opening_what_is_no_dataset_is_one_sentence(tmp_path):
    with pytest.raises(KithkinError, match="does not exist"):
        kk.open(tmp_path / "nowhere.zarr")
    (tmp_path / "empty.zarr").mkdir()
    with pytest.raises(KithkinError, match="a folder without a dataset"):
        kk.open(tmp_path / "empty.zarr")


@pytest.mark.parametrize("name", ["_index", "barcode"])
def test_a_column_cannot_take_the_place_of_the_names(tmp_path, small_counts, name):
    small_counts.obs_names.name = "barcode"
    ds = kk.read(small_counts, to=tmp_path / "named.zarr")
    place = open_group(ds.path)["obs"].attrs["_index"]
    for column in {name, place} & {"_index", place}:
        with pytest.raises(ParameterError, match=f"obs/{column} is where the names of obs are: choose another key"):
            ds.write({f"obs/{column}": np.arange(ds.n_obs)})
    assert ds.obs_names.equals(small_counts.obs_names)


@pytest.mark.parametrize("form", [list, lambda values: np.array(values, dtype=object)])
@pytest.mark.parametrize(
    ("values", "kind"),
    [(["x", None, "y"], str), ([1, None, 3], int), ([1.5, None, 2.5], float), ([True, None, False], bool)],
)
def test_what_is_missing_in_a_list_is_missing_in_the_column(tmp_path, form, values, kind):
    ds = kk.read(np.eye(3), to=tmp_path / "a.zarr")
    ds["obs/p"] = form(values)
    ds.write({"var/p": form(values)})
    for column in (ds["obs/p"], ds["var/p"], ad.read_zarr(ds.path).obs["p"]):
        assert column.isna().tolist() == [False, True, False]
        assert [kind(one) for one in column.dropna()] == [values[0], values[2]]


def test_the_shape_is_known_without_the_names(dataset, monkeypatch):
    ds = kk.open(dataset.path)
    monkeypatch.setattr(type(ds), "_index", None)
    assert ds.shape == dataset.shape


def test_many_names_are_held_for_as_long_as_somebody_else_holds_them(dataset, monkeypatch):
    monkeypatch.setattr("kithkin.core.dataset.KEPT_NAMES", 1)
    ds = kk.open(dataset.path)
    names = ds.obs_names
    assert ds.obs_names.to_numpy() is names.to_numpy()  # read once
    assert ds.obs.index.to_numpy() is names.to_numpy()
    assert pickle.loads(pickle.dumps(ds)).obs_names.equals(names)
    held = weakref.ref(names.to_numpy())
    del names
    gc.collect()
    assert held() is None
    assert ds.obs_names.equals(dataset.obs_names)
