"""Clusters are described by what differs, in their own units, of tables, counts and columns of obs."""

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import kithkin as kk
from kithkin.cli.main import main


@pytest.fixture
def rows(tmp_path):
    """120 rows in three kinds: "long" is high in a, "late" low in a, "noise" nowhere; some values are missing."""
    rng = np.random.default_rng(0)
    kind = np.repeat(["a", "b", "c"], 40)
    table = pd.DataFrame(rng.normal([5.0, 2000.0, 1.0], [1.0, 100.0, 1.0], (120, 3)), columns=["long", "late", "noise"])
    table.loc[kind == "a", ["long", "late"]] += [4.0, -400.0]
    table["noise"] = np.resize(table["noise"][:40], 120)  # the same in each kind
    table.iloc[::9, 0] = np.nan
    ds = kk.read(table, to=tmp_path / "rows.zarr", progress=False)
    kk.annotate(ds, "kind", kind.tolist())
    kk.annotate(ds, "farm", np.where(kind == "b", "north", np.where(rng.random(120) < 0.2, "north", "south")).tolist())
    ds.write({"obs/age": np.where(kind == "c", 60.0, 30.0) + rng.normal(0, 3, 120)})
    return ds


def column(ds, name):
    return np.asarray(ds.genes([name]), float)[:, 0], ds.read("obs/kind").to_numpy() == "a"


def test_values_are_described_by_their_means_high_and_low(rows):
    table = kk.describe(rows, "kind")
    of_a = table[table["group"] == "a"].set_index("column")
    assert of_a["direction"].to_dict() == {"long": "high", "late": "low"}
    values, inside = column(rows, "long")
    assert of_a.loc["long", "mean"] == pytest.approx(np.nanmean(values[inside]), rel=1e-6)
    assert of_a.loc["long", "elsewhere"] == pytest.approx(np.nanmean(values[~inside]), rel=1e-6)
    x, y = (side[~np.isnan(side)] for side in (values[inside], values[~inside]))
    pooled = np.sqrt(((len(x) - 1) * x.var(ddof=1) + (len(y) - 1) * y.var(ddof=1)) / (len(x) + len(y) - 2))
    assert of_a.loc["long", "effect"] == pytest.approx((x.mean() - y.mean()) / pooled, rel=1e-5)
    sentence = table.attrs["text"]["a"]
    assert sentence == f"cluster a (40 rows): {', '.join(of_a['sentence'])}"
    assert "low late (1,6" in sentence
    assert "noise" not in sentence
    assert (table["pval_adj"] <= 0.05).all()


def test_the_stored_markers_are_used_while_they_are_current(rows):
    fresh = kk.describe(rows, "kind")
    assert "uns/rank_genes_groups" not in rows
    kk.markers(rows, "kind")
    pd.testing.assert_frame_equal(kk.describe(rows, "kind"), fresh)
    kk.markers(rows, "kind", method="t-test")
    stored = kk.markers(rows, "kind", method="t-test").set_index(["group", "column"])["pval_adj"]
    one = kk.describe(rows, "kind").iloc[0]
    assert one["pval_adj"] == stored[one["group"], one["column"]]
    for some in ({"reference": "a"}, {"groups": ["a"]}):  # of which no tests of all groups against the rest are left
        kk.markers(rows, "kind", **some)
        pd.testing.assert_frame_equal(kk.describe(rows, "kind"), fresh)


def test_columns_of_obs_belong_by_surplus_and_numbers_by_their_means(rows):
    table = kk.describe(rows, "kind", columns=["farm", "obs/age"])
    farm, kind, age = (rows.read(f"obs/{name}") for name in ("farm", "kind", "age"))
    of_b = table[(table["group"] == "b") & (table["column"] == "farm north")].iloc[0]
    north = (farm == "north").to_numpy()
    here = (kind == "b").to_numpy()
    assert (of_b["mean"], of_b["elsewhere"]) == (1.0, pytest.approx(north[~here].mean()))
    assert of_b["sentence"] == f"farm north in 100 %, elsewhere {100 * north[~here].mean():.0f} %"
    assert "farm north" not in table.attrs["text"]["a"]
    of_c = table[(table["group"] == "c") & (table["column"] == "age")].iloc[0]
    assert of_c["direction"] == "high"
    expected = stats.mannwhitneyu(age[kind == "c"], age[kind != "c"], use_continuity=False, method="asymptotic")
    assert of_c["pval_adj"] == pytest.approx(expected.pvalue, rel=1e-6)


def test_counts_are_described_by_the_cells_that_have_a_gene(dataset, small_counts):
    text = kk.describe(dataset, "group", 2).attrs["text"]
    best = kk.markers(dataset, "group")
    first = best[best["group"] == "0"].iloc[0]
    assert text["0"].startswith(f"cluster 0 ({(small_counts.obs['group'].astype(str) == '0').sum()} cells): high ")
    assert str(first["gene"]) in text["0"]


def test_groups_that_do_not_differ_say_so(tmp_path):
    ds = kk.read(np.random.default_rng(0).normal(size=(30, 2)), to=tmp_path / "a.zarr", progress=False)
    kk.annotate(ds, "half", ["x", "y"] * 15)
    table = kk.describe(ds, "half")
    assert len(table) == 0
    assert table.attrs["text"]["x"] == "cluster x (15 rows): it differs in nothing (adjusted p <= 0.05)"


def test_the_command_prints_a_sentence_for_each_cluster(rows, capsys):
    assert main(["describe", str(rows.path), "--by", "kind", "--columns", "farm"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(" (")[0] for line in lines] == ["cluster a", "cluster b", "cluster c"]
    assert lines == list(kk.describe(rows, "kind", columns=["farm"]).attrs["text"].values())


def test_what_cannot_be_described_is_named(rows, monkeypatch):
    with pytest.raises(kk.MissingResultError, match="obs/nothing"):
        kk.describe(rows, "kind", columns=["nothing"])
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.leiden\(ds\) first"):
        kk.describe(rows)
    rows.write({"obs/id": np.array([f"row {i}" for i in range(120)], dtype=object)})
    monkeypatch.setattr("kithkin.verbs.describe.MOST", 50)
    with pytest.raises(kk.ParameterError, match="columns must name categories or numbers, but obs/id has 120"):
        kk.describe(rows, "kind", columns=["id"])
