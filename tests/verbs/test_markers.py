"""Markers are scanpy's tie-corrected Wilcoxon, whatever the clusters are called."""

import shutil
from dataclasses import replace
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import kithkin as kk
from kithkin.core.spill import Spill


@pytest.fixture(scope="module")
def by_celltype(blood):
    return kk.markers(blood, "celltype")


@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_markers_are_scanpys(blood, normalised):
    scanpy = pytest.importorskip("scanpy")
    few = normalised[:, ::12].copy()  # a test of its own for each gene, so a twelfth of them will do
    scanpy.tl.rank_genes_groups(few, "celltype", method="t-test", pts=True)
    by_celltype = kk.markers(blood, "celltype", method="t-test", key=None)
    for group in few.obs["celltype"].cat.categories:
        theirs = scanpy.get.rank_genes_groups_df(few, group).set_index("names")
        every = by_celltype[by_celltype["group"] == group].set_index("gene")
        ours = every.loc[few.var_names]
        for name, column in {"score": "scores", "logfoldchange": "logfoldchanges"}.items():
            np.testing.assert_allclose(ours[name], theirs.loc[few.var_names, column], rtol=1e-5, atol=1e-5)
        assert (ours["pval"] >= theirs.loc[few.var_names, "pvals"] * (1 - 1e-5)).all()
        np.testing.assert_allclose(ours["pct"], few.uns["rank_genes_groups"]["pts"][group], rtol=1e-6)
        np.testing.assert_allclose(ours["pct_rest"], few.uns["rank_genes_groups"]["pts_rest"][group], rtol=1e-6)
        np.testing.assert_allclose(every["pval_adj"], stats.false_discovery_control(every["pval"]), rtol=1e-9)
        order = every.index[every.index.isin(few.var_names)][:40].astype(str)
        apart = theirs["scores"].round(4).drop_duplicates(keep=False).index  # genes of equal score come in any order
        assert [g for g in order if g in apart] == [g for g in theirs.index[:40] if g in apart]


@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_scanpy_reads_the_stored_tables(blood, by_celltype):
    scanpy = pytest.importorskip("scanpy")
    frame = scanpy.get.rank_genes_groups_df(blood.to_anndata(), "CD8+ Cytotoxic T")
    ours = by_celltype[by_celltype["group"] == "CD8+ Cytotoxic T"]
    assert frame["names"].tolist() == ours["gene"].astype(str).tolist()
    for name, column in {"score": "scores", "pval_adj": "pvals_adj", "pct": "pct_nz_group"}.items():
        np.testing.assert_allclose(ours[name], frame[column], rtol=1e-6)


def test_the_table_is_what_is_stored(blood, by_celltype):
    groups = blood.read("obs/celltype").cat.categories
    assert len(by_celltype) == len(groups) * blood.n_vars
    assert by_celltype["reference"].unique().tolist() == ["rest"]
    for _, part in by_celltype.groupby("group", observed=True):
        assert np.all(np.diff(part["score"]) <= 0)
        assert np.all(part["pval_adj"] >= part["pval"] - 1e-12)
        assert part[["pct", "pct_rest", "auc"]].to_numpy().min() >= 0
        assert part[["pct", "pct_rest", "auc"]].to_numpy().max() <= 1


@pytest.mark.parametrize("fails", [False, True])
def test_a_small_budget_puts_values_aside_and_leaves_nothing(blood, tmp_path, monkeypatch, fails):
    expected = kk.markers(blood, "celltype", key=None)
    shutil.copytree(blood.path, tmp_path / "b.zarr")
    ds, asked = kk.open(tmp_path / "b.zarr"), []
    ds.execution = replace(ds.execution, memory=1 << 20)

    def prepare(spill, n_bytes, executor):
        asked.append(n_bytes)
        return original(spill, n_bytes, executor)

    def read(spill, number, part):
        raise ZeroDivisionError

    original = Spill.prepare
    monkeypatch.setattr(Spill, "prepare", prepare)
    if fails:
        monkeypatch.setattr(Spill, "read", read)
        with pytest.raises(ZeroDivisionError):
            kk.markers(ds, "celltype", key="uns/again")
    else:
        pd.testing.assert_frame_equal(kk.markers(ds, "celltype", key="uns/again"), expected)
    assert len(asked) == 1
    assert ds.spill is None
    assert [path.name for path in tmp_path.iterdir()] == ["b.zarr"]


def values(small_counts):
    dense = small_counts.X.toarray().astype(np.float32)
    quotients = (dense / (dense.sum(1, keepdims=True) / np.float32(1e4))).astype(float)
    return np.log1p(quotients).astype(np.float32).astype(float)


@pytest.mark.parametrize("reference", ["2", "pairwise"])
def test_pairs_are_scipys(dataset, small_counts, raised, reference):
    table = kk.markers(dataset, "group", reference=reference)
    labels, Z = small_counts.obs["group"].astype(str).to_numpy(), values(small_counts)
    pairs = set(table[["group", "reference"]].astype(str).itertuples(index=False, name=None))
    names = sorted(set(labels))
    every = {(a, b) for a in names for b in names if a != b}
    assert pairs == (every if reference == "pairwise" else {(a, "2") for a in names if a != "2"})
    for group, other in sorted(pairs)[:3]:
        part = table[(table["group"] == group) & (table["reference"] == other)].set_index("gene")
        part = part.loc[small_counts.var_names]
        a, b = Z[labels == group], Z[labels == other]
        expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
        np.testing.assert_allclose(part["pval"], raised(expected.pvalue, a, b), rtol=0.02)
        np.testing.assert_allclose(part["pval_adj"], stats.false_discovery_control(part["pval"]), rtol=1e-7)
        np.testing.assert_allclose(part["auc"], expected.statistic / (len(a) * len(b)), rtol=1e-5)
        first, second = np.expm1(a.mean(0)), np.expm1(b.mean(0))
        change = np.log2((first + 1e-9) / (second + 1e-9))
        np.testing.assert_allclose(part["logfoldchange"], change, rtol=1e-3, atol=1e-3)


def test_the_t_test_is_welchs(dataset, small_counts):
    table = kk.markers(dataset, "group", method="t-test", key=None)
    labels, Z = small_counts.obs["group"].astype(str).to_numpy(), values(small_counts)
    part = table[table["group"] == "1"].set_index("gene").loc[small_counts.var_names]
    with np.errstate(all="ignore"):
        expected = stats.ttest_ind(Z[labels == "1"], Z[labels != "1"], equal_var=False)
    np.testing.assert_allclose(part["score"], np.nan_to_num(expected.statistic), rtol=1e-4, atol=1e-5)


def test_the_planted_markers_come_first(dataset, small_counts):
    table = kk.markers(dataset, "group")
    for group, part in table.groupby("group", observed=True):
        planted = set(small_counts.var_names[small_counts.var["marker_of"].astype(str) == group])
        assert len(planted & set(part["gene"].astype(str)[:20])) >= 15


@pytest.mark.parametrize("names", [("NK/T", "B cell"), ("a.b", "a..b"), ("1", "10")])
def test_clusters_may_have_any_name(dataset, names):
    dataset.write({"obs/kind": pd.Categorical(np.where(np.arange(600) % 3 == 0, *names))})
    table = kk.markers(dataset, "kind")
    assert set(table["group"]) == set(names)
    assert set(kk.open(dataset.path).to_anndata().uns["rank_genes_groups"]["names"].dtype.names) == set(names)
    pd.testing.assert_frame_equal(table, kk.markers(dataset, "kind"))
    n_cells = (dataset.read("obs/kind") == names[0]).sum()
    best = table[table["group"] == names[0]].iloc[0]
    column = dataset.genes([best["gene"]])[:, 0]
    assert best["pct"] == pytest.approx((column[dataset.read("obs/kind") == names[0]] > 0).sum() / n_cells)


def test_numbers_truths_and_missing_labels(dataset, tmp_path):
    third = np.arange(600) % 3
    dataset.write({"obs/number": third, "obs/truth": third == 1})
    assert list(kk.markers(dataset, "number", key=None)["group"].cat.categories) == ["0", "1", "2"]
    assert list(kk.markers(dataset, "truth", key=None)["group"].cat.categories) == ["False", "True"]
    codes = np.where(np.arange(600) < 100, -1, third)
    dataset.write({"obs/known": pd.Categorical.from_codes(codes, ["x", "y", "z"])})
    ours = kk.markers(dataset, "known", key=None)
    part = kk.subset(dataset, cells=codes >= 0, to=tmp_path / "part.zarr")
    pd.testing.assert_frame_equal(ours, kk.markers(part, "known", key=None))


def test_calling_again_is_a_look_up_and_a_change_is_computed(finished, listing):
    before = listing(finished)
    first = kk.markers(finished, "leiden")
    assert listing(finished) == before
    changed = kk.markers(finished, "leiden", method="t-test")
    assert listing(finished) != before
    assert not np.allclose(first["score"], changed["score"])


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.leiden\(ds\) first"):
        kk.markers(dataset, "leiden")
    with pytest.raises(kk.ParameterError, match="reference must be one of 'rest', 'pairwise', '0', '1', '2', '3'"):
        kk.markers(dataset, "group", reference="9")
    dataset.write({"obs/one": np.zeros(600, int)})
    with pytest.raises(kk.ParameterError, match="must name 2"):
        kk.markers(dataset, "one")
    kk.pca(dataset, 3)
    with pytest.raises(kk.ParameterError, match="on must be X or a layer"):
        kk.markers(dataset, "group", on="obs/group")
    with pytest.raises(kk.ParameterError, match="by must lie in obs"):
        kk.markers(dataset, "uns/x")


def test_clusters_called_rest_and_cells_without_a_label(dataset, caplog):
    groups = dataset.obs["group"].astype(str)
    known = sorted(groups.unique())
    expected = kk.markers(dataset, "obs/group", key=None)
    dataset.write({"obs/renamed": groups.replace({known[0]: "rest"}).to_numpy(object)})
    found = kk.markers(dataset, "obs/renamed", key=None)
    one = expected[expected["group"] == known[0]].reset_index(drop=True)
    other = found[found["group"] == "rest"].reset_index(drop=True)
    assert np.array_equal(one["score"], other["score"])
    assert set(found["reference"]) == {"rest"}
    dataset.write({"obs/unlabelled": groups.replace({known[0]: ""}).to_numpy(object)})
    assert set(kk.markers(dataset, "obs/unlabelled", key=None)["group"]) == set(known[1:])
    assert "rows without a label in obs/unlabelled were left out" in caplog.text
    missing = int((groups == known[0]).sum())
    dataset.write({"obs/absent": groups.where(groups != known[0]).astype("category")})
    caplog.clear()
    without = kk.markers(dataset, "obs/absent", key=None)
    assert f"{missing} rows without a label in obs/absent were left out" in caplog.text
    same = kk.markers(dataset, "obs/unlabelled", key=None)
    pd.testing.assert_frame_equal(without, same)


NAMES = ["rest", "a/b", "a|b", "a against b", "pairwise"]


@pytest.mark.parametrize("key", ["auto", None])
def test_clusters_may_be_called_rest(tmp_path, key):
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(5), 20)
    counts = rng.poisson(1.0, (100, 8)).astype(np.uint16)
    counts[np.arange(100), codes] += 30  # gene k is that of cluster k
    ds = kk.read(counts, to=tmp_path / "a.zarr", kind="counts", progress=False)
    kk.annotate(ds, "plain", codes.astype(str).tolist())
    ds.write({"obs/odd": pd.Categorical.from_codes(codes, NAMES)})
    expected = kk.markers(ds, "obs/plain", key=None)
    table = kk.markers(ds, "obs/odd", key=key)
    first = table.groupby("group", observed=True).first()
    assert set(first.index) == set(NAMES)
    assert first.loc[NAMES, "gene"].astype(str).tolist() == list("01234")
    assert set(table["reference"]) == {"rest"}
    for _, row in expected.iterrows():
        own = table[(table["group"] == NAMES[int(row["group"])]) & (table["gene"] == row["gene"])]
        assert own["score"].tolist() == [row["score"]]
    pairs = kk.markers(ds, "obs/odd", reference="pairwise", key=None)
    assert set(zip(pairs["group"], pairs["reference"], strict=True)) == set(permutations(NAMES, 2))
    if key is not None:
        pd.testing.assert_frame_equal(kk.markers(kk.open(ds.path), "obs/odd"), table)
        pytest.importorskip("matplotlib")
        from kithkin.plot.data import choose_genes, groups

        best = choose_genes(ds, groups(ds, "obs/odd"), None, 1)
        assert best == {name: [str(k)] for k, name in enumerate(NAMES)}


@pytest.fixture
def rows(tmp_path):
    """90 rows of values in three kinds, some of which are missing."""
    rng = np.random.default_rng(1)
    kind = np.arange(90) % 3
    X = rng.normal(0, 1, (90, 6)) * [1, 10, 100, 1, 1, 1] + np.outer(kind == 0, [2, -20, 0, 0, 0, 0])
    X[rng.random(X.shape) < 0.05] = np.nan
    ds = kk.read(pd.DataFrame(X, columns=list("uvwxyz")), to=tmp_path / "rows.zarr", progress=False)
    kk.annotate(ds, "kind", kind.astype(str).tolist())
    return ds


@pytest.mark.parametrize("method", ["wilcoxon", "t-test"])
def test_values_are_compared_by_difference_and_effect(rows, raised, method):
    table = kk.markers(rows, "kind", method=method)
    assert table.columns.tolist() == [
        *("group", "reference", "column", "score", "difference", "effect", "pval", "pval_adj", "mean", "mean_rest"),
        "auc",
    ]
    assert np.all(np.diff(table[table["group"] == "0"]["score"].abs()) <= 0)
    X, kind = rows.to_anndata().X.astype(float), rows.read("obs/kind").to_numpy().astype(str)
    for group in "012":
        part = table[table["group"] == group].set_index("column").loc[list("uvwxyz")]
        a, b = X[kind == group], X[kind != group]
        if method == "t-test":
            expected = stats.ttest_ind(a, b, equal_var=False, nan_policy="omit")
            np.testing.assert_allclose(part["score"], np.asarray(expected.statistic), rtol=1e-5)
        else:
            expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic", nan_policy="omit")
        wanted = raised(np.ma.filled(expected.pvalue, np.nan), a, b, ranks=method != "t-test")
        np.testing.assert_allclose(part["pval"], wanted, rtol=1e-5)
        n, m = (~np.isnan(a)).sum(0), (~np.isnan(b)).sum(0)
        pooled = ((n - 1) * np.nanvar(a, axis=0, ddof=1) + (m - 1) * np.nanvar(b, axis=0, ddof=1)) / (n + m - 2)
        difference = np.nanmean(a, axis=0) - np.nanmean(b, axis=0)
        np.testing.assert_allclose(part["difference"], difference, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(part["effect"], difference / np.sqrt(pooled), rtol=1e-4, atol=1e-6)
    first = table[table["group"] == "0"].iloc[:2]
    assert dict(zip(first["column"], first["difference"] > 0, strict=True)) == {"u": True, "v": False}
    pd.testing.assert_frame_equal(table, kk.markers(kk.open(rows.path), "kind", method=method))


@pytest.mark.filterwarnings("ignore")  # scanpy's own
def test_scanpy_reads_the_markers_of_values(rows):
    scanpy = pytest.importorskip("scanpy")
    ours = kk.markers(rows, "kind")
    frame = scanpy.get.rank_genes_groups_df(rows.to_anndata(), "1")
    part = ours[ours["group"] == "1"]
    assert frame["names"].tolist() == part["column"].astype(str).tolist()
    np.testing.assert_allclose(frame["scores"], part["score"], rtol=1e-6)
    assert frame["logfoldchanges"].isna().all()


def test_a_layer_of_values_beside_counts_is_compared_as_values(dataset):
    dataset.write({"layers/scaled": np.random.default_rng(0).normal(size=dataset.shape).astype(np.float32)})
    assert "difference" in kk.markers(dataset, "group", on="layers/scaled", key=None)
    assert "logfoldchange" in kk.markers(dataset, "group", key=None)


def test_some_groups_are_tested_as_they_are_among_all(dataset):
    kk.annotate(dataset, "kind", np.array(list("abcd"))[np.arange(dataset.n_obs) % 4])
    for reference in ("rest", "c"):
        whole = kk.markers(dataset, "kind", reference=reference, key=None)
        some = kk.markers(dataset, "kind", groups=["b", "a"], reference=reference, key=None)
        expected = whole[whole["group"].isin(["a", "b"])].reset_index(drop=True)
        assert some["group"].unique().tolist() == ["a", "b"]
        for column in ("gene", "score", "pval_adj", "logfoldchange", "auc"):
            assert some[column].tolist() == expected[column].tolist()
        assert set(some["reference"]) == {reference}
    pairs = kk.markers(dataset, "kind", groups=["a", "d"], reference="pairwise", key=None)
    assert set(zip(pairs["group"], pairs["reference"], strict=True)) == {("a", "d"), ("d", "a")}
    with pytest.raises(kk.ParameterError, match="obs/kind has no label 'e': there are 'a', 'b', 'c', 'd'"):
        kk.markers(dataset, "kind", groups=["e"])
    with pytest.raises(kk.ParameterError, match="groups must name at least one cluster beside the reference 'c'"):
        kk.markers(dataset, "kind", groups=["c"], reference="c")


def test_a_frame_in_obsm_is_a_table_like_x(tmp_path):
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 60)
    proteins = pd.DataFrame(rng.poisson(5 + 30 * np.eye(2)[group] @ np.array([[1, 0, 0], [0, 1, 0]])))
    proteins.columns = ["CD3", "CD19", "isotype"]
    ds = kk.read(rng.poisson(1.0, (120, 40)).astype(np.uint8), to=tmp_path / "a.zarr", progress=False)
    ds["obsm/Antibody Capture"] = proteins.assign(lot="x").set_axis(ds.obs_names)
    ds["obs/group"] = group.astype(str)
    blocks = ds.blocks("obsm/Antibody Capture", rows=50)
    assert blocks.columns == ["CD3", "CD19", "isotype"]
    assert np.array_equal(np.concatenate([blocks.read(*rows) for rows in blocks.ranges]), proteins)
    assert np.array_equal(blocks.take(np.array([5, 2])), proteins.iloc[[5, 2]])
    found = kk.markers(ds, "group", on="obsm/Antibody Capture")
    first = found.groupby("group", observed=True).first()
    assert first["gene"].tolist() == ["CD3", "CD19"]
    plain = kk.read(proteins, to=tmp_path / "b.zarr", kind="counts", progress=False)
    plain["obs/group"] = group.astype(str)
    same = kk.markers(plain, "group")
    np.testing.assert_allclose(found["score"], same["score"], rtol=1e-6)
    kk.pca(ds, 2, on="obsm/Antibody Capture", key="X_protein")
    kk.neighbors(ds, on="obsm/Antibody Capture")
    assert len(set(zip(kk.kmeans(ds, 2, on="obsm/Antibody Capture", key="k"), group, strict=True))) == 2
    ds["obsm/words"] = pd.DataFrame({"a": ["x"] * 120}, index=ds.obs_names)
    with pytest.raises(kk.ParameterError, match="obsm/words holds no column of numbers, but a"):
        kk.neighbors(ds, on="obsm/words")


def test_log_normalised_genes_have_fold_changes_whatever_the_kind_of_the_table(dataset, small_counts, tmp_path):
    logs = kk.read(values(small_counts), to=tmp_path / "logs.zarr", progress=False)
    assert logs.kind == "values"
    kk.annotate(logs, "group", small_counts.obs["group"].astype(str).tolist())
    ours = kk.markers(logs, "group", key=None)
    assert "logfoldchange" in ours
    theirs = kk.markers(dataset, "group", key=None)
    np.testing.assert_allclose(ours["score"].to_numpy()[:50], theirs["score"].to_numpy()[:50], rtol=0.02)


def test_integers_that_are_values_are_compared_as_values(tmp_path):
    answers = np.random.default_rng(0).integers(1, 6, (40, 4))
    ds = kk.read(pd.DataFrame(answers, columns=["q1", "q2", "q3", "q4"]), to=tmp_path / "a.zarr", progress=False)
    kk.annotate(ds, "half", ["x", "y"] * 20)
    assert "difference" in kk.markers(ds, "half")
