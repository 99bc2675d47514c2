import logging

import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.verbs.explanation import explain


def give_gates(ds, name="deep", n_open=12):
    """Gates for the known groups: open where the group's mean is highest."""
    X = ds.rows(np.arange(ds.n_obs)).to_dense()
    group = ds.read("obs/group").astype("category")
    codes = group.cat.codes.to_numpy()
    K = len(group.cat.categories)
    lift = np.array([np.log1p(X[codes == k]).mean(0) - np.log1p(X[codes != k]).mean(0) for k in range(K)])
    gates = np.zeros((ds.n_vars, K), np.float32)
    for k in range(K):
        gates[np.argsort(-lift[k])[:n_open], k] = 1.0
        gates[np.argsort(-lift[k])[n_open : 2 * n_open], k] = 0.5
    local = sparse.csr_matrix(gates.T[codes] * (X > 0))
    layer = "layers/gates" if name == "deep" else f"layers/{name}_gates"
    kk.annotate(ds, name, [str(k) for k in codes])
    ds.write({f"varm/{name}_gates": gates, layer: local})
    return gates, local, codes, X


def test_open_features_of_each_cluster_with_their_values(dataset):
    gates, _, codes, X = give_gates(dataset)
    table = explain(dataset, "obs/deep", normalize=None)
    assert table.columns.tolist() == ["group", "feature", "gate", "mean", "mean_rest", "pct", "pct_rest", "effect"]
    assert table["group"].value_counts().to_dict() == {str(k): 12 for k in range(4)}
    place = dataset.var_names.get_indexer(table["feature"].astype(str))
    for row, j in zip(table.itertuples(), place, strict=True):
        inside = X[codes == int(row.group), j]
        assert gates[j, int(row.group)] == row.gate == 1
        assert (row.mean, row.pct) == pytest.approx((inside.mean(), (inside > 0).mean()))
    assert (table["mean"] > table["mean_rest"]).mean() > 0.9
    assert explain(dataset, threshold=0.4)["group"].value_counts().tolist() == [24] * 4


def test_the_table_is_kept_and_looked_up(dataset):
    give_gates(dataset)
    table = explain(dataset)
    assert "uns/deep_explanation" in dataset
    before = dataset.history()["finished"].tolist()
    assert explain(dataset).equals(table)
    assert dataset.history()["finished"].tolist() == before
    assert explain(dataset, key=None).astype(str).equals(table.astype(str))
    explain(dataset, key="uns/why", threshold=0.0)
    assert len(dataset.read("uns/why")) > len(dataset.read("uns/deep_explanation"))
    import anndata

    assert len(anndata.read_zarr(dataset.path).uns["deep_explanation"]) == len(table)


def test_other_gates_make_it_stale(dataset):
    gates, *_ = give_gates(dataset)
    first = explain(dataset)
    dataset.write(
        {"varm/deep_gates": np.where(np.arange(len(gates))[:, None] < 3, 1, 0).astype(np.float32) * gates[:1]}
    )
    dataset.write({"varm/deep_gates": np.roll(gates, 7, axis=0)})
    assert not explain(dataset)["feature"].astype(str).equals(first["feature"].astype(str))


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_and_budget_change_nothing(dataset, threads):
    give_gates(dataset)
    other = kk.open(dataset.path, threads=threads, memory="50MB")
    assert explain(other, key=None).equals(explain(dataset, key=None))


def test_open_features_of_observations(dataset):
    _, local, _, X = give_gates(dataset)
    names = dataset.obs_names[[7, 3]].tolist()
    table = explain(dataset, names=names, normalize=None)
    assert table["observation"].unique().tolist() == names
    for name, i in zip(names, (7, 3), strict=True):
        part = table[table["observation"] == name]
        j = dataset.var_names.get_indexer(part["feature"])
        assert sorted(j) == sorted(local[i].indices)
        np.testing.assert_array_equal(part["gate"], local[i].toarray()[0, j])
        np.testing.assert_array_equal(part["value"], X[i, j])
        assert part["gate"].is_monotonic_decreasing
        assert set(part["group"]) == {dataset.read("obs/deep").iloc[i]}
    logged = explain(dataset, names=names[0])
    total = dataset.read("obs/n_counts").iloc[7]
    part = table[table["observation"] == names[0]]
    np.testing.assert_allclose(logged["value"], np.log1p(1e4 * part["value"] / total), rtol=1e-6)
    assert "uns/deep_explanation" not in dataset


def test_labels_that_are_gone_keep_their_column(dataset):
    give_gates(dataset)
    labels = np.where(dataset.read("obs/deep") == "1", "3", dataset.read("obs/deep").astype(str))
    kk.annotate(dataset, "deep", labels)
    assert explain(dataset)["group"].unique().tolist() == ["0", "2", "3"]


def test_features_that_were_left_out_are_closed(dataset):
    gates, *_ = give_gates(dataset)
    gates = gates.copy()
    gates[::2] = np.nan
    dataset.write({"varm/deep_gates": gates})
    table = explain(dataset)
    assert (dataset.var_names.get_indexer(table["feature"].astype(str)) % 2 == 1).all()
    dataset.write({"varm/deep_gates": np.full_like(gates, np.nan)})
    with pytest.raises(ParameterError, match="varm/deep_gates were not trained"):
        explain(dataset)


def test_gates_that_say_nothing_are_warned_of(dataset, caplog):
    gates, *_ = give_gates(dataset)
    gates = gates.copy()
    gates[:, 0], gates[:, 1] = 0.5, 0.9
    dataset.write({"varm/deep_gates": gates})
    with caplog.at_level(logging.WARNING, "kithkin"):
        table = explain(dataset)
    assert "0" not in set(table["group"])
    assert "no gate is open in 0" in caplog.text
    assert "more than 50 of the 500 features are open in 1" in caplog.text


def test_what_cannot_be_explained_is_refused_in_one_sentence(dataset):
    with pytest.raises(MissingResultError, match="obs/deep"):
        explain(dataset)
    give_gates(dataset)
    with pytest.raises(ParameterError, match=r"threshold must be in 0..1, got 3"):
        explain(dataset, threshold=3)
    with pytest.raises(ParameterError, match="on must be X or a layer"):
        explain(dataset, on="obsm/X_pca")
    with pytest.raises(ParameterError, match="names: nobody not in obs"):
        explain(dataset, names=["nobody"])
    with pytest.raises(ParameterError, match=r"varm/group_gates is not in .*: only clusters that have gates"):
        explain(dataset, "obs/group")
    with pytest.raises(MissingResultError, match="layers/group_gates"):
        explain(dataset, "obs/group", names=dataset.obs_names[:1].tolist())
    kk.annotate(dataset, "deep", [f"k{i % 5}" for i in range(dataset.n_obs)])
    with pytest.raises(ParameterError, match="varm/deep_gates has 4 clusters, but obs/deep has 5"):
        explain(dataset)
