"""Labels from elsewhere arrive at the right rows, in a plain form, or are refused in one sentence."""

import gzip

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.annotate import annotate

GIVEN = {
    "integers": (lambda n: list(range(n)), "int64"),
    "integers, some missing": (lambda n: [1, None] * (n // 2), "Int64"),
    "small integers": (lambda n: np.arange(n, dtype=np.uint16), "uint16"),
    "numbers": (lambda n: np.linspace(0, 1, n), "float64"),
    "numbers, some missing": (lambda n: [0.5, None] * (n // 2), "float64"),
    "booleans": (lambda n: [True, False] * (n // 2), "bool"),
    "booleans, some missing": (lambda n: [True, None] * (n // 2), "boolean"),
    "texts": (lambda n: ["b", "a"] * (n // 2), "category"),
    "texts, some missing": (lambda n: ["b", None] * (n // 2), "category"),
    "texts, all different": (lambda n: [f"cell {k}" for k in range(n)], "object"),
    "strings of pandas": (lambda n: pd.array(["b", None] * (n // 2), "string"), "category"),
    "fixed-length texts": (lambda n: np.array(["b", "a"] * (n // 2)), "category"),
    "categories": (lambda n: pd.Categorical(["x", "y"] * (n // 2), ["y", "x"], ordered=True), "category"),
    "categories of numbers": (lambda n: pd.Categorical([3, 1] * (n // 2)), "category"),
    "a generator": (lambda n: (k % 3 for k in range(n)), "int64"),
    "nothing known": (lambda n: [None] * n, "category"),
}


@pytest.mark.parametrize("kind", GIVEN)
def test_every_kind_of_values_is_stored_as_it_is(dataset, kind):
    make, dtype = GIVEN[kind]
    returned = annotate(dataset, "obs/mine", make(600))
    assert returned.dtype.name == dtype
    assert returned.index.equals(dataset.obs_names)
    wanted = pd.Series(list(make(600)), dtype=object)
    assert np.array_equal(returned.isna(), wanted.isna())
    assert [a == b for a, b in zip(returned, wanted, strict=True) if not pd.isna(b)].count(False) == 0
    pd.testing.assert_series_equal(dataset.read("obs/mine"), returned)
    pd.testing.assert_series_equal(annotate(dataset, "obs/mine", make(600)), returned)
    pd.testing.assert_series_equal(annotate(dataset, "obs/mine", make(600), key=None), returned)
    assert list(dataset.to_anndata().obs["mine"].isna()) == list(wanted.isna())


@pytest.mark.parametrize("how", ["Series", "mapping", "table"])
def test_names_decide_where_values_go(dataset, how, caplog):
    names = dataset.obs_names[::-1][:400]
    values = pd.Series(np.arange(400), index=names)
    given = {"Series": values, "mapping": values.to_dict(), "table": values.to_frame("only")}[how]
    column = annotate(dataset, "mine", given)
    assert column[names].tolist() == list(range(400))
    assert column.isna().sum() == 200
    assert column.dtype == "Int64"
    assert "200 of 600 values of obs/mine are missing" in caplog.text
    assert "missing=200" in dataset.history().iloc[-1]["parameters"]


def test_variables_are_annotated_too(dataset):
    column = annotate(dataset, "var/pathway", {dataset.var_names[7]: "glycolysis"})
    assert column.dropna().to_dict() == {dataset.var_names[7]: "glycolysis"}
    assert dataset.read("var/pathway").notna().sum() == 1


def test_the_same_again_is_a_look_up_and_other_values_are_not(dataset, listing):
    annotate(dataset, "mine", ["a", "b"] * 300)
    before = listing(dataset)
    annotate(dataset, "mine", ["a", "b"] * 300)
    annotate(dataset, "mine", ["c", "b"] * 300, key=None)
    assert listing(dataset) == before
    turned = pd.Categorical(["a", "b"] * 300, ["b", "a"])
    assert annotate(dataset, "mine", turned).cat.categories.tolist() == ["b", "a"]
    assert annotate(dataset, "mine", turned, key="other").name == "other"
    assert dataset.read("obs/other").cat.categories.tolist() == ["b", "a"]


def test_what_is_computed_from_labels_becomes_stale_with_them(finished, states):
    annotate(finished, "mine", ["a", "b"] * 300)
    kk.markers(finished, "mine", key="uns/of_mine")
    annotate(finished, "mine", ["a", "a", "b"] * 200)
    assert states(finished)["markers"] == "stale"


FILES = {
    "comma": "cell,type,age\n{0},T cell,61\n{1},NA,58\n",
    "tab, commas in the values": 'cell\ttype\tage\n{0}\tT cell\t61\n"{1}"\t\t58\n',
    "semicolon": "cell;type;age\n{0};T cell;61\n{1};NA;58\n",
    "as R writes it": '"type","age"\n"{0}","T cell",61\n"{1}",NA,58\n',
    "no header": "{0},T cell,61\n{1},,58\n",
}


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_files_go_by_their_names(dataset, tmp_path, kind, compressed):
    text = FILES[kind].format(*dataset.obs_names[[5, 3]])
    path = tmp_path / "labels"
    path.write_bytes(gzip.compress(text.encode()) if compressed else text.encode())
    first, second = ("1", "2") if kind == "no header" else ("type", "age")
    column = annotate(dataset, "type", path, on=first)
    assert column.dropna().to_dict() == {dataset.obs_names[5]: "T cell"}
    ages = annotate(dataset, "age", str(path), on=second)
    assert ages.dtype == "Int64"
    assert ages.dropna().to_dict() == {dataset.obs_names[5]: 61, dataset.obs_names[3]: 58}


def test_parquet_goes_by_its_index_or_its_first_column(dataset, tmp_path):
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"type": ["T", "B"] * 300, "age": range(600)}, index=dataset.obs_names[::-1])
    frame.to_parquet(tmp_path / "a")
    frame.reset_index(names="cell").to_parquet(tmp_path / "b")
    for name in ("a", "b"):
        column = annotate(dataset, "age", tmp_path / name, on="age")
        assert column.tolist() == list(range(600))[::-1]


def test_a_file_with_one_column_needs_no_name_of_it(dataset, tmp_path):
    path = tmp_path / "labels.csv"
    dataset.read("obs/group").to_csv(path)
    assert annotate(dataset, "again", path).astype(str).tolist() == dataset.read("obs/group").astype(str).tolist()


def refused(ds, values, **settings):
    with pytest.raises(kk.ParameterError) as error:
        annotate(ds, "mine", values, **settings)
    assert "obs/mine" not in ds
    return str(error.value)


def test_what_does_not_fit_is_refused(dataset):
    names = dataset.obs_names
    assert refused(dataset, [1, 2]) == "values must be 600, one for each row of obs of cells.zarr, got 2"
    assert "got 600 x 2" in refused(dataset, np.zeros((600, 2)))
    assert refused(dataset, 3, on="age") == "on has an effect on files and tables only"
    assert "got set" in refused(dataset, set(range(600)))
    unknown = pd.Series([1, 2, 3], index=["x", names[0], "y"])
    assert refused(dataset, unknown) == "2 names of values are not in obs of cells.zarr: x, y"
    assert "Give an array to go by position" in refused(dataset, pd.Series(range(600), index=range(1000, 1600)))
    assert refused(dataset, pd.Series([1, 2], index=names[[4, 4]])) == f"values name {names[4]} more than once"
    assert refused(dataset, [1] * 600, on="age") == "on has an effect on files and tables only"
    table = pd.DataFrame({"a": range(600), "b": 1}, index=names)
    assert refused(dataset, table) == "values has 2 columns beside the names (a, b): choose one of them with on="
    assert refused(dataset, table, on="c") == "values has 2 columns beside the names (a, b): 'c' is not one"
    assert "key must lie in obs" in refused(dataset, [1] * 600, key="var/mine")


def test_what_is_no_table_is_refused(dataset, tmp_path):
    with pytest.raises(kk.KithkinError, match=r"nowhere\.csv does not exist"):
        annotate(dataset, "mine", tmp_path / "nowhere.csv")
    with pytest.raises(kk.KithkinError, match="is a folder, not a table"):
        annotate(dataset, "mine", tmp_path)
    path = tmp_path / "labels.csv"
    for content in (b"", b"just a text\nin lines\n", b"\x00\x01\x02,\x00\n1,2\n"):
        path.write_bytes(content)
        with pytest.raises(kk.FormatError, match=r"labels.csv is not a table"):
            annotate(dataset, "mine", path)
    path.write_text(f"cell,type\n{dataset.obs_names[0]},T\n{dataset.obs_names[1]},T,B\n")
    with pytest.raises(kk.FormatError, match=r"labels.csv is not a whole table: .*line 3"):
        annotate(dataset, "mine", path)


def test_a_table_of_more_cells_than_there_are(dataset, tmp_path, caplog):
    names = [*dataset.obs_names, *(f"gone {k}" for k in range(40))]
    text = "".join(f"{name},{'T' if k % 2 else 'B'},\n" for k, name in enumerate(names))
    (tmp_path / "meta.csv").write_text(f"# made by cellxgene\n\ncell,type,\n{text}")
    column = annotate(dataset, "type", tmp_path / "meta.csv")
    assert column.tolist() == ["B", "T"] * 300
    assert "40 names of values are not in obs of" in caplog.text
    with pytest.raises(kk.ParameterError, match="1 names of values are not in obs"):
        annotate(dataset, "other", {"nobody": 1})


@pytest.fixture
def samples(tmp_path):
    frame = pd.DataFrame({"x": range(6), "y": 1.5}, index=list("abcdef"))
    ds = kk.read(frame, to=tmp_path / "samples.zarr", progress=False)
    ds["obs/leiden"] = pd.Categorical(list("001122"))
    ds["obs/sample"] = pd.Categorical(["s1", "s2", "s1", "s2", "s1", None])
    return ds


def test_a_mapping_names_the_labels_of_a_column(samples):
    cells = kk.annotate(samples, "ct", {"0": "T cells", 1: "B cells", "2": "NK"}, by="obs/leiden")
    assert cells.tolist() == ["T cells"] * 2 + ["B cells"] * 2 + ["NK"] * 2
    assert samples["obs/ct"].tolist() == cells.tolist()
    some = kk.annotate(samples, "n", {"s1": 3}, by="sample")
    assert some.tolist() == [3, pd.NA, 3, pd.NA, 3, pd.NA]
    with pytest.raises(kk.ParameterError, match=r"obs/leiden of samples.zarr has no label 7: there are 0, 1, 2"):
        kk.annotate(samples, "ct", {"0": "T cells", "7": "B"}, by="leiden")
    with pytest.raises(kk.ParameterError, match=r"has no label S1. Did you mean 's1'"):
        kk.annotate(samples, "ct", {"S1": "T cells"}, by="sample")
    states = samples.history().set_index("step")["state"]
    assert set(states["annotate"]) == {"current"}
    samples["obs/leiden"] = pd.Categorical(list("111111"))
    assert "stale" in set(samples.history().set_index("step")["state"]["annotate"])


def test_a_table_is_joined_on_a_column(samples, tmp_path, caplog):
    sheet = tmp_path / "sheet.csv"
    sheet.write_text("sample,donor,age\ns2,anna,61\ns1,ben,58\ns9,carl,70\n")
    added = kk.annotate(samples, str(sheet), by="obs/sample")
    assert added["donor"].astype(object).where(added["donor"].notna(), None).tolist() == [
        *("ben", "anna", "ben", "anna", "ben"),
        None,
    ]
    assert samples["obs/age"].tolist()[:5] == [58, 61, 58, 61, 58]
    assert "1 names of values are not in obs/sample of samples.zarr, and were left out" in caplog.text
    one = kk.annotate(samples, "years", sheet, by="sample", on="age")
    assert one.tolist()[:2] == [58, 61]
    frame = pd.DataFrame({"age": [58.5, 61.5], "sample": ["s1", "s2"]})
    assert kk.annotate(samples, "exact", frame, by="sample", on="age").tolist()[:2] == [58.5, 61.5]
    with pytest.raises(kk.ParameterError, match=r"are not in obs/sample of samples.zarr: t1, t2"):
        kk.annotate(samples, pd.DataFrame({"age": [1, 2]}, index=["t1", "t2"]), by="sample")


def test_a_table_of_all_cells_goes_by_name(samples, caplog):
    everything = pd.DataFrame({"batch": range(26), "kind": "x"}, index=list("zyxwvutsrqponmlkjihgfedcba"))
    added = kk.annotate(samples, everything)
    assert added["batch"].tolist() == [25, 24, 23, 22, 21, 20]
    assert "20 names of values are not in obs of samples.zarr, and were left out" in caplog.text


def test_a_constant_is_a_value_and_a_path_is_a_file(samples):
    assert set(kk.annotate(samples, "batch", "s1")) == {"s1"}
    assert kk.annotate(samples, "var/kept", True).tolist() == [True, True]
    with pytest.raises(kk.KithkinError, match=r"meta.csv does not exist"):
        kk.annotate(samples, "batch", "meta.csv")
    with pytest.raises(kk.ParameterError, match=r"annotate needs values for a column, as in annotate\(ds, 'batch', v"):
        kk.annotate(samples, "batch")
