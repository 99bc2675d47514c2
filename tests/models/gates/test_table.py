from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory, SparseRows
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.gates.table import gates_table, group_values, open_of_rows

N, P, K = 200, 30, 4


@pytest.fixture(scope="module")
def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(rng.gamma(0.6, 2.0, (N, P))).astype(np.uint16)


@pytest.fixture(scope="module")
def codes():
    return np.random.default_rng(1).integers(-1, K, N)


@pytest.fixture(scope="module")
def gates():
    rng = np.random.default_rng(2)
    return np.where(rng.random((P, K)) < 0.2, rng.choice([0.6, 0.8, 1.0], (P, K)), 0.3)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("normalize", [False, True])
def test_the_table_is_that_of_plain_arrays(counts, codes, gates, layout, normalize):
    totals = counts.sum(axis=1).astype(float) if normalize else None
    table = gates_table(layout(counts), codes, gates, totals=totals)
    X = np.log1p(1e4 * counts / totals[:, None]) if normalize else counts.astype(float)
    assert len(table) == (gates > 0.55).sum()
    for row in table.itertuples():
        values = X[:, row.feature]
        inside, outside = values[codes == row.group], values[(codes >= 0) & (codes != row.group)]
        assert row.gate == gates[row.feature, row.group]
        known = values[codes >= 0]
        expected = inside.mean(), outside.mean(), (inside != 0).mean(), (outside != 0).mean()
        expected += ((inside.mean() - outside.mean()) / known.std(),)
        assert (row.mean, row.mean_rest, row.pct, row.pct_rest, row.effect) == pytest.approx(expected)


def test_within_a_cluster_gates_descend_and_then_effects(counts, codes, gates):
    table = gates_table(counts, codes, gates)
    assert table["group"].is_monotonic_increasing
    for _, part in table.groupby("group"):
        order = np.lexsort((-part["effect"].abs(), -part["gate"]))
        assert order.tolist() == list(range(len(part)))


def test_blocks_threads_and_executors_change_nothing(counts, codes, gates):
    X = sparse.csr_matrix(counts)
    whole = gates_table(X, codes, gates)
    for rows in (1, 7, 64):
        found = gates_table(InMemory(X, rows=rows), codes, gates, execution=Execution(threads=1))
        np.testing.assert_allclose(found.to_numpy(), whole.to_numpy(), rtol=1e-12)
        assert found.equals(gates_table(InMemory(X, rows=rows), codes, gates, execution=Execution(threads=3)))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        assert found.equals(gates_table(InMemory(X, rows=64), codes, gates, execution=Execution(executor=pool)))


def test_clusters_without_rows_or_open_gates_have_no_features(counts, gates):
    codes = np.where(np.arange(N) % 2, 0, 2)
    assert set(gates_table(counts, codes, gates)["group"]) == {0, 2}
    empty = gates_table(counts, codes, np.full((P, K), 0.5))
    assert len(empty) == 0
    assert "effect" in empty


def test_one_cluster_has_no_outside(counts):
    table = gates_table(counts, np.zeros(N, int), np.ones((P, 1)))
    assert table["mean_rest"].isna().all()
    assert np.isfinite(table["effect"]).all()


def test_groups_are_summed_over_the_chosen_columns_only(counts, codes):
    found = group_values(counts, codes, K, np.array([3, 7]))
    assert found.sums.shape == (K, 2)
    np.testing.assert_allclose(found.deviation(), counts[codes >= 0][:, [3, 7]].std(axis=0))


def test_open_features_of_rows(counts):
    local = np.where(np.random.default_rng(3).random((5, P)) < 0.3, 0.7, 0.05)
    stored = sparse.csr_matrix(local)
    gates = SparseRows(stored.data, stored.indices, stored.indptr.astype(np.int64), P)
    totals = counts[:5].sum(axis=1)
    row, feature, gate, value = open_of_rows(gates, counts[:5], totals=totals)
    expected = np.argwhere(local > 0.1)
    np.testing.assert_array_equal(np.column_stack([row, feature]), expected)
    assert set(gate) == {0.7}
    np.testing.assert_allclose(value, np.log1p(1e4 * counts[:5] / totals[:, None])[row, feature], rtol=1e-6)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"gates": np.ones((3, K))}, "gates must be 30 features x clusters"),
        ({"codes": np.zeros(3, int)}, "codes must be 200, one for each row"),
        ({"codes": np.full(N, K)}, "codes must be below the 4 clusters"),
        ({"threshold": 2}, "threshold must be in 0.0..1.0"),
    ],
)
def test_wrong_input_is_one_sentence(counts, codes, gates, settings, message):
    given = {"codes": codes, "gates": gates} | settings
    with pytest.raises(ParameterError, match=message):
        gates_table(counts, **given)


def test_missing_values_count_for_nothing():
    rng = np.random.default_rng(0)
    codes, X = np.repeat([0, 1, -1], [30, 40, 10]), rng.normal(size=(80, 3))
    X[rng.random(X.shape) < 0.2] = np.nan
    X[:30, 2] = np.nan
    table = gates_table(X, codes, np.ones((3, 2))).set_index(["group", "feature"])
    inside, outside, whole = X[:30], X[30:70], X[:70]
    for group, own, other in ((0, inside, outside), (1, outside, inside)):
        for feature in range(2):
            row = table.loc[(group, feature)]
            means = np.nanmean(own[:, feature]), np.nanmean(other[:, feature])
            np.testing.assert_allclose([row["mean"], row["mean_rest"]], means)
            np.testing.assert_allclose(row["effect"], (means[0] - means[1]) / np.nanstd(whole[:, feature]))
            assert row["pct"] == 1
    assert np.isnan(table.loc[(0, 2), "mean"])
    np.testing.assert_allclose(table.loc[(1, 2), "mean"], np.nanmean(outside[:, 2]))
