from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.markers.markers import Markers, encode

ATTRIBUTES = ("scores_", "pvals_", "pvals_adj_", "logfoldchanges_", "pct_", "pct_rest_", "auc_")


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 5, 400)
    means = rng.gamma(0.4, 2.0, (5, 60))
    counts = rng.poisson(means[labels] * rng.lognormal(0, 0.3, (400, 1)))
    counts[:, 7] = 0
    return sparse.csr_matrix(counts.astype(np.uint16)), labels


def log_values(X, target_sum=1e4):
    dense = X.toarray().astype(np.float32)
    scale = dense.sum(1) / np.float32(target_sum)
    logarithms = np.log1p((dense / scale[:, None]).astype(float)).astype(np.float32)
    return logarithms.astype(float)  # scipy computes in the type of its input


def assert_same(a, b):
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_against_the_rest_is_scipys_mann_whitney(data, raised):
    X, labels = data
    model, values = Markers().fit(X, labels), log_values(X)
    for row, group in enumerate(model.groups_):
        a, b = values[labels == group], values[labels != group]
        expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
        np.testing.assert_allclose(model.pvals_[row], raised(expected.pvalue, a, b), rtol=1e-7)
        np.testing.assert_allclose(model.auc_[row], expected.statistic / (len(a) * len(b)), rtol=1e-6)
        z = np.sign(model.auc_[row] - 0.5) * stats.norm.isf(np.nan_to_num(expected.pvalue, nan=1.0) / 2)
        np.testing.assert_allclose(model.scores_[row], z, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(model.pct_[row], (a > 0).mean(0), rtol=1e-6)
        np.testing.assert_allclose(model.pct_rest_[row], (b > 0).mean(0), rtol=1e-6)
    assert model.references_.tolist() == ["rest"] * 5


@pytest.mark.parametrize("settings", [{"reference": 3}, {"pairs": [(0, 3), (3, 0), (1, 4)]}])
def test_pairwise_is_scipys_mann_whitney(data, raised, settings):
    X, labels = data
    model, values = Markers(**settings).fit(X, labels), log_values(X)
    for row, (group, reference) in enumerate(zip(model.groups_, model.references_, strict=True)):
        a, b = values[labels == group], values[labels == reference]
        expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
        np.testing.assert_allclose(model.pvals_[row], raised(expected.pvalue, a, b), rtol=0.1)  # few ties but zeros
        np.testing.assert_allclose(model.auc_[row], expected.statistic / (len(a) * len(b)), rtol=1e-6)


def test_t_test_is_scipys_welch(data, raised):
    X, labels = data
    model, values = Markers("t-test").fit(X, labels), log_values(X)
    for row, group in enumerate(model.groups_):
        with np.errstate(all="ignore"):
            expected = stats.ttest_ind(values[labels == group], values[labels != group], equal_var=False)
        wanted = raised(expected.pvalue, values[labels == group], values[labels != group], ranks=False)
        np.testing.assert_allclose(model.scores_[row], np.nan_to_num(expected.statistic), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(model.pvals_[row], wanted, rtol=1e-6, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_values_of_any_sign_and_dense_tables(dtype, raised):
    rng = np.random.default_rng(4)
    labels = rng.integers(0, 3, 150)
    X = (rng.integers(-4, 5, (150, 12)) + labels[:, None]).astype(dtype)
    if dtype == np.float64:
        X = X + 1e-12 * rng.integers(0, 2, X.shape)  # apart in double precision only
    for reference in ("rest", 0):
        dense = Markers(normalize=None, reference=reference).fit(X, labels)
        assert_same(dense, Markers(normalize=None, reference=reference).fit(sparse.csr_matrix(X), labels))
        for row, group in enumerate(dense.groups_):
            other = labels != group if reference == "rest" else labels == reference
            a, b = X[labels == group].astype(float), X[other].astype(float)
            expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
            # of pairs the skewness of ranks is not known where others than zeros tie
            np.testing.assert_allclose(
                dense.pvals_[row], raised(expected.pvalue, a, b), rtol=1e-7 if reference == "rest" else 0.2
            )


@pytest.mark.parametrize("settings", [{}, {"method": "t-test"}, {"pairs": [(0, 1), (2, 4)]}])
def test_blocks_budget_and_threads_do_not_change_a_bit(data, settings, monkeypatch):
    X, labels = data
    expected = Markers(**settings).fit(X, labels, execution=Execution(threads=1))
    for rows, memory, threads in [(1, 10**9, 2), (33, 5000, 2), (400, 20_000, 1), (400, 100, 3)]:
        execution = Execution(memory=memory, threads=threads)
        assert_same(expected, Markers(**settings).fit(InMemory(X, rows=rows), labels, execution=execution))
    monkeypatch.setattr("kithkin.models.markers.comparisons.VALUES_AT_A_TIME", 100)
    monkeypatch.setattr("kithkin.models.markers.comparisons.TERMS_AT_A_TIME", 10)
    assert_same(expected, Markers(**settings).fit(X, labels))


def test_an_executor_of_processes_gives_the_same(data):
    X, labels = data
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        model = Markers().fit(InMemory(X, rows=150), labels, execution=Execution(executor=pool))
    assert_same(model, Markers().fit(X, labels))


def test_known_totals_and_counts_save_passes_and_change_nothing(data):
    X, labels = data
    totals, n_cells = np.asarray(X.sum(1)).ravel(), np.asarray((X > 0).sum(0)).ravel()
    assert_same(Markers().fit(X, labels), Markers().fit(X, labels, totals=totals, n_cells=n_cells))


def test_cells_without_a_label_are_as_if_absent(data):
    X, labels = data
    some = np.where(np.arange(400) % 7 == 0, -1, labels)
    assert_same(Markers().fit(X, some), Markers().fit(X[some >= 0], some[some >= 0]))
    text = np.array([None if label < 0 else f"type {label}" for label in some], object)
    model = Markers().fit(X, text)
    assert_same(model, Markers().fit(X, some))
    assert model.groups_.tolist() == [f"type {k}" for k in range(5)]


def test_zeros_that_are_stored_are_still_zeros(data):
    X, labels = data
    padded = sparse.csr_matrix(X.toarray() + np.uint16(1))
    padded.data -= 1
    assert padded.nnz > X.nnz
    assert_same(Markers().fit(padded, labels), Markers().fit(X, labels))


def test_a_group_of_one_cell_is_tested_by_ranks_only(data):
    X, labels = data
    lonely = np.where(np.arange(400) == 5, 9, labels)
    ranked, t_tested = Markers().fit(X, lonely), Markers("t-test").fit(X, lonely)
    assert np.isfinite(ranked.scores_).all()
    assert np.all(t_tested.scores_[-1] == 0)
    assert np.all(t_tested.pvals_[-1] == 1)


def test_more_groups_than_a_byte_holds(raised):
    rng = np.random.default_rng(5)
    labels, X = np.arange(900) % 300, rng.poisson(1.0, (900, 4))
    model = Markers(normalize=None).fit(X, labels)
    a, b = X[labels == 299], X[labels != 299]
    expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
    np.testing.assert_allclose(model.pvals_[299], raised(expected.pvalue, a, b), rtol=1e-7)


def test_equals_scanpy_on_pbmc(pbmc):
    scanpy = pytest.importorskip("scanpy")
    few = pbmc[:, ::8].copy()
    X, labels = few.X.astype(np.uint16), np.asarray(few.obs["celltype"].astype(str))
    few.obs["celltype"] = few.obs["celltype"].astype("category")
    scanpy.pp.normalize_total(few, target_sum=1e4)
    scanpy.pp.log1p(few)
    scanpy.tl.rank_genes_groups(few, "celltype", method="t-test", pts=True)
    model = Markers("t-test").fit(X, labels)
    for row, group in enumerate(model.groups_):
        frame = scanpy.get.rank_genes_groups_df(few, group).set_index("names").loc[few.var_names]
        for name in ("scores", "logfoldchanges"):
            mine = getattr(model, f"{name}_")[row]
            np.testing.assert_allclose(mine, frame[name], rtol=1e-6, atol=1e-5, err_msg=name)
        larger = frame["pvals"] >= 0.1
        np.testing.assert_allclose(model.pvals_[row][larger], frame["pvals"][larger], rtol=1e-6)
        assert (model.pvals_[row] >= frame["pvals"] * 0.99).all()


def test_table_and_top_are_sorted_by_score(data):
    X, labels = data
    names = [f"g{k}" for k in range(60)]
    model = Markers().fit(X, labels)
    frame = model.table(2, names)
    assert frame.index.name == "gene"
    assert np.all(np.diff(frame["scores"]) <= 0)
    assert frame.index[:3].tolist() == [names[k] for k in model.top(3)[2]]
    assert frame.loc["g7", ["scores", "pvals", "auc"]].tolist() == [0.0, 1.0, 0.5]
    pair = Markers(pairs=[(0, 1), (0, 2)]).fit(X, labels)
    np.testing.assert_array_equal(pair.table((0, 2)).sort_index()["auc"], pair.auc_[1])
    with pytest.raises(ParameterError, match=r"\(0, 1\), \(0, 2\)"):
        pair.table(0)
    with pytest.raises(ParameterError, match="got 'x'"):
        model.table("x")


@pytest.mark.parametrize(
    ("settings", "labels", "message"),
    [
        ({"method": "logreg"}, [0, 1, 0, 1], "method"),
        ({"normalize": "cpm"}, [0, 1, 0, 1], "normalize"),
        ({"target_sum": 0}, [0, 1, 0, 1], "target_sum"),
        ({"reference": 7}, [0, 1, 0, 1], "reference must be one of 'rest', 0, 1"),
        ({"pairs": []}, [0, 1, 0, 1], "at least one pair"),
        ({"pairs": [(0, 0)]}, [0, 1, 0, 1], "different groups"),
        ({"pairs": [(0, 5)]}, [0, 1, 0, 1], "got 5"),
        ({}, [0, 1, 0], "labels must be 4, one for each row, got 3"),
        ({}, [0, 0, 0, 0], "groups, got 1"),
        ({}, [-1, -1, -1, 2], "groups, got 1"),
        ({}, [0.5, 1.0, 2.0, 3.0], "integers or text"),
    ],
)
def test_refuses_what_cannot_be_tested(settings, labels, message):
    with pytest.raises(ParameterError, match=message):
        Markers(**settings).fit(np.eye(4), labels)


def test_refuses_negative_counts_and_sizes_that_do_not_fit():
    with pytest.raises(ParameterError, match="negative"):
        Markers().fit(-np.eye(4), [0, 0, 1, 1])
    with pytest.raises(ParameterError, match="n_cells must hold 4 numbers"):
        Markers().fit(np.eye(4), [0, 0, 1, 1], n_cells=np.ones(3))
    with pytest.raises(ParameterError, match="totals must hold 4"):
        Markers().fit(np.eye(4), [0, 0, 1, 1], totals=np.ones(3))


def test_encode_leaves_out_missing_labels_and_sorts_names():
    names, codes = encode(np.array(["b", np.nan, None, "a"], object), 4)
    assert names.tolist() == ["a", "b"]
    assert codes.tolist() == [1, -1, -1, 0]


@pytest.fixture(scope="module")
def measured():
    """Columns in their own units, a tenth of them missing, with one that is constant and one that is large and even."""
    rng = np.random.default_rng(3)
    labels = rng.integers(0, 4, 300)
    scales = np.array([1e-3, 1.0, 50.0, 1e4, 1.0, 1.0, 1.0, 1.0])
    X = (rng.normal(0, 1, (300, 8)) + rng.normal(0, 1, (4, 8))[labels]) * scales
    X[:, 4] = np.round(X[:, 4])  # ties and zeros
    X[rng.random(X.shape) < 0.1] = np.nan
    X[:, 5], X[:, 6] = 0.1, 1e9 + 0.25 * rng.integers(0, 4, 300)
    X[labels == 2, 7] = np.nan  # a group without any value
    return X, labels


def sides(X, labels, group, reference="rest"):
    return X[labels == group], X[labels != group if reference == "rest" else labels == reference]


@pytest.mark.parametrize("reference", ["rest", 1])
@pytest.mark.parametrize("convert", [np.asarray, sparse.csr_matrix])
def test_values_are_tested_by_those_that_are_there(measured, raised, reference, convert):
    X, labels = measured
    offset = np.where(np.arange(8) == 6, 1e9, 0.0)  # exact to take away, and SciPy's moments need it
    ranked = Markers(kind="values", reference=reference).fit(convert(X), labels)
    tested = Markers("t-test", kind="values", reference=reference).fit(convert(X), labels)
    for row, group in enumerate(ranked.groups_):
        a, b = sides(X - offset, labels, group, reference)
        there = np.arange(7) if group == 2 else np.arange(8)
        varies = np.setdiff1d(there, [5])
        with np.errstate(all="ignore"):
            expected = stats.mannwhitneyu(
                a[:, there], b[:, there], use_continuity=False, method="asymptotic", nan_policy="omit"
            )
            welch = stats.ttest_ind(a[:, varies], b[:, varies], equal_var=False, nan_policy="omit")
        by_ranks = raised(expected.pvalue, a[:, there], b[:, there])
        by_means = raised(np.ma.filled(welch.pvalue, np.nan), a[:, varies], b[:, varies], ranks=False)
        exact = {"rtol": 1e-6} if reference == "rest" else {"rtol": 0.1}
        np.testing.assert_allclose(ranked.pvals_[row, there], by_ranks, **exact)
        n, m = (~np.isnan(a)).sum(0), (~np.isnan(b)).sum(0)
        np.testing.assert_allclose(ranked.auc_[row, there], expected.statistic / (n * m)[there], rtol=1e-6)
        for mine, theirs in ((tested.scores_, welch.statistic), (tested.pvals_, by_means)):
            np.testing.assert_allclose(mine[row, varies], np.ma.filled(theirs, np.nan), rtol=1e-6)
        assert (tested.scores_[row, 5], tested.pvals_[row, 5], ranked.effects_[row, 5]) == (0, 1, 0), "constant"
        for column in varies:
            x, y = (side[~np.isnan(side[:, column]), column] for side in (a, b))
            pooled = np.sqrt(((len(x) - 1) * x.var(ddof=1) + (len(y) - 1) * y.var(ddof=1)) / (len(x) + len(y) - 2))
            found = (ranked.differences_, ranked.effects_, ranked.means_, ranked.means_rest_)
            wanted = (x.mean() - y.mean(), (x.mean() - y.mean()) / pooled, x.mean() + offset[column],
                      y.mean() + offset[column])  # fmt: skip
            np.testing.assert_allclose([one[row, column] for one in found], wanted, rtol=2e-5)


def test_a_group_without_any_value_of_a_column_is_not_tested_in_it(measured):
    X, labels = measured
    for method in ("wilcoxon", "t-test"):
        model = Markers(method, kind="values").fit(X, labels)
        assert (model.scores_[2, 7], model.pvals_[2, 7]) == (0, 1)
        assert np.isnan([model.means_[2, 7], model.differences_[2, 7], model.effects_[2, 7], model.auc_[2, 7]]).all()
        assert np.isfinite(model.scores_).all()
        assert np.isfinite(model.pvals_adj_).all()


def test_values_do_not_depend_on_blocks_budget_or_threads(measured):
    X, labels = measured
    for settings in ({}, {"method": "t-test"}, {"pairs": [(0, 1), (2, 3)]}):
        model = Markers(**settings, kind="values")
        expected = model.fit(X, labels, execution=Execution(threads=1)).__dict__.copy()
        for rows, memory, threads in [(1, 10**9, 2), (33, 5000, 2), (300, 100, 3)]:
            model.fit(InMemory(X, rows=rows), labels, execution=Execution(memory=memory, threads=threads))
            for name in ("scores_", "pvals_", "auc_", "means_", "differences_", "effects_"):
                np.testing.assert_array_equal(expected[name], getattr(model, name))


def test_columns_of_values_are_listed_by_the_size_of_the_score(measured):
    X, labels = measured
    model = Markers(kind="values").fit(X, labels)
    frame = model.table(1, list("abcdefgh"))
    assert frame.index.name == "column"
    assert frame.columns.tolist() == ["scores", "differences", "effects", "means", "means_rest", "pvals", "pvals_adj",
                                      "auc"]  # fmt: skip
    assert np.all(np.diff(np.abs(frame["scores"])) <= 0)
    assert (frame["scores"] < 0).any()
    assert frame.index[0] == "abcdefgh"[model.top(1)[1, 0]]


def test_values_that_differ_between_groups_only_have_an_infinite_effect():
    model = Markers(kind="values").fit(np.array([[1.0, 3.0]] * 4 + [[0.0, 3.0]] * 5), [0] * 4 + [1] * 5)
    assert model.effects_.tolist() == [[np.inf, 0.0], [-np.inf, 0.0]]


def test_missing_counts_and_infinite_values_are_refused(measured):
    X, labels = measured
    with pytest.raises(ParameterError, match="finite"):
        Markers(normalize=None).fit(np.abs(X), labels)
    with pytest.raises(ParameterError, match="finite"):
        Markers(kind="values").fit(np.where(np.isnan(X), np.inf, X), labels)
    with pytest.raises(ParameterError, match="kind must be one of 'counts', 'values'"):
        Markers(kind="images").fit(X, labels)
