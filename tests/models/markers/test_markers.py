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
    return np.log1p(dense / scale[:, None]).astype(float)  # scipy computes in the type of its input


def assert_same(a, b):
    for name in ATTRIBUTES:
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)


def test_against_the_rest_is_scipys_mann_whitney(data):
    X, labels = data
    model, values = Markers().fit(X, labels), log_values(X)
    for row, group in enumerate(model.groups_):
        a, b = values[labels == group], values[labels != group]
        expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
        np.testing.assert_allclose(model.pvals_[row], np.nan_to_num(expected.pvalue, nan=1.0), rtol=1e-9)
        np.testing.assert_allclose(model.auc_[row], expected.statistic / (len(a) * len(b)), rtol=1e-6)
        np.testing.assert_allclose(model.pct_[row], (a > 0).mean(0), rtol=1e-6)
        np.testing.assert_allclose(model.pct_rest_[row], (b > 0).mean(0), rtol=1e-6)
    assert model.references_.tolist() == ["rest"] * 5


@pytest.mark.parametrize("settings", [{"reference": 3}, {"pairs": [(0, 3), (3, 0), (1, 4)]}])
def test_pairwise_is_scipys_mann_whitney(data, settings):
    X, labels = data
    model, values = Markers(**settings).fit(X, labels), log_values(X)
    for row, (group, reference) in enumerate(zip(model.groups_, model.references_, strict=True)):
        a, b = values[labels == group], values[labels == reference]
        expected = stats.mannwhitneyu(a, b, use_continuity=False, method="asymptotic")
        np.testing.assert_allclose(model.pvals_[row], np.nan_to_num(expected.pvalue, nan=1.0), rtol=1e-9)
        np.testing.assert_allclose(model.auc_[row], expected.statistic / (len(a) * len(b)), rtol=1e-6)


def test_t_test_is_scipys_welch(data):
    X, labels = data
    model, values = Markers("t-test").fit(X, labels), log_values(X)
    for row, group in enumerate(model.groups_):
        with np.errstate(all="ignore"):
            expected = stats.ttest_ind(values[labels == group], values[labels != group], equal_var=False)
        np.testing.assert_allclose(model.scores_[row], np.nan_to_num(expected.statistic), rtol=1e-8, atol=1e-9)
        np.testing.assert_allclose(model.pvals_[row], np.nan_to_num(expected.pvalue, nan=1.0), rtol=1e-7, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8])
def test_values_of_any_sign_and_dense_tables(dtype):
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
            expected = stats.mannwhitneyu(
                X[labels == group].astype(float), X[other].astype(float), use_continuity=False, method="asymptotic"
            )
            np.testing.assert_allclose(dense.pvals_[row], expected.pvalue, rtol=1e-9)


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


def test_more_groups_than_a_byte_holds():
    rng = np.random.default_rng(5)
    labels, X = np.arange(900) % 300, rng.poisson(1.0, (900, 4))
    model = Markers(normalize=None).fit(X, labels)
    expected = stats.mannwhitneyu(X[labels == 299], X[labels != 299], use_continuity=False, method="asymptotic")
    np.testing.assert_allclose(model.pvals_[299], expected.pvalue, rtol=1e-9)


def test_equals_scanpy_on_pbmc(pbmc):
    scanpy = pytest.importorskip("scanpy")
    few = pbmc[:, ::4].copy()
    X, labels = few.X.astype(np.uint16), np.asarray(few.obs["celltype"].astype(str))
    few.obs["celltype"] = few.obs["celltype"].astype("category")
    scanpy.pp.normalize_total(few, target_sum=1e4)
    scanpy.pp.log1p(few)
    for method, peer in {"wilcoxon": {"tie_correct": True}, "t-test": {}}.items():
        scanpy.tl.rank_genes_groups(few, "celltype", method=method, pts=True, **peer)
        model = Markers(method).fit(X, labels)
        for row, group in enumerate(model.groups_):
            frame = scanpy.get.rank_genes_groups_df(few, group).set_index("names").loc[few.var_names]
            for name in ("scores", "pvals", "pvals_adj", "logfoldchanges"):
                mine = getattr(model, f"{name}_")[row]
                np.testing.assert_allclose(mine, frame[name], rtol=1e-6, atol=1e-5, err_msg=f"{method} {name}")


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
