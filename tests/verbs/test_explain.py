import logging
import shutil

import numpy as np
import pandas as pd
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.errors import MissingResultError, ParameterError
from kithkin.core.history import Step
from kithkin.models.gates import label_gates
from kithkin.verbs.explain import explain


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
    assert table.columns.tolist() == [
        "group",
        "feature",
        "gate",
        "mean",
        "mean_rest",
        "pct",
        "pct_rest",
        "effect",
        "sentence",
    ]
    assert table["group"].value_counts().to_dict() == {str(k): 12 for k in range(4)}
    place = dataset.var_names.get_indexer(table["feature"].astype(str))
    for row, j in zip(table.itertuples(), place, strict=True):
        inside = X[codes == int(row.group), j]
        assert gates[j, int(row.group)] == row.gate == 1
        assert (row.mean, row.pct) == pytest.approx((inside.mean(), (inside > 0).mean()))
    assert (table["mean"] > table["mean_rest"]).mean() > 0.9
    first = table.iloc[0]
    assert first["sentence"] == f"high {first['feature']} ({first['mean']:.3g}, elsewhere {first['mean_rest']:.3g})"
    assert "sentence" not in explain(dataset, "obs/deep", normalize="log1p", key=None)
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
    with pytest.raises(ParameterError, match=r"threshold must be in 0.0..1.0, got 3"):
        explain(dataset, threshold=3)
    with pytest.raises(ParameterError, match="on must be X or a layer"):
        explain(dataset, on="obsm/X_pca")
    with pytest.raises(ParameterError, match="1 names of names are not in obs"):
        explain(dataset, names=["nobody"])
    with pytest.raises(ParameterError, match="n_features has no effect: varm/deep_gates came with the clusters"):
        explain(dataset, n_features=5)
    with pytest.raises(MissingResultError, match="uns/rank_genes_groups is not in"):
        explain(dataset, markers=True)
    with pytest.raises(MissingResultError, match="layers/group_gates"):
        explain(dataset, "obs/group", names=dataset.obs_names[:1].tolist())
    kk.annotate(dataset, "deep", [f"k{i % 5}" for i in range(dataset.n_obs)])
    with pytest.raises(ParameterError, match="varm/deep_gates has 4 clusters, but obs/deep has 5"):
        explain(dataset)


@pytest.fixture
def short(monkeypatch):
    """A training that is too short to be good."""
    pytest.importorskip("torch")
    monkeypatch.setattr(label_gates, "STEPS", {"gates": 60, "scores": 20})


@pytest.fixture(scope="module")
def _trained_path(_dataset_path, tmp_path_factory):
    pytest.importorskip("torch")
    path = tmp_path_factory.mktemp("trained") / "cells.zarr"
    shutil.copytree(_dataset_path, path)
    explain(kk.open(path), "group", n_features=12)
    return path


@pytest.fixture
def trained(_trained_path, copy_of):
    """A dataset whose known groups are explained by gates that are trained for them."""
    ds = copy_of(_trained_path)
    return ds, explain(ds, "group", n_features=12)  # looked up


def test_clusters_without_gates_get_them(trained):
    dataset, table = trained
    gates, about = dataset.read("varm/group_gates"), dataset.read("uns/group_gates")
    assert gates.shape == (500, 4)
    assert about["accuracy"] > 0.9
    assert len(about["recall"]) == 4
    assert table["group"].value_counts().between(8, 16).all()
    known = dataset.var["marker_of"].astype(str)
    right = known.loc[table["feature"].astype(str)].to_numpy() == table["group"].astype(str).to_numpy()
    assert right.mean() > 0.8
    assert table.columns.tolist()[:3] == ["group", "feature", "gate"]


def test_trained_gates_are_looked_up_until_the_labels_change(trained, short):
    dataset, table = trained
    before = dataset.history().set_index("results")["finished"]
    assert explain(dataset, "group", n_features=12).equals(table)
    assert dataset.history().set_index("results")["finished"].equals(before)
    few = explain(dataset, "group", n_features=12, threshold=0.9)
    assert len(few) < len(table)
    assert (
        dataset.history().set_index("results")["finished"]["varm/group_gates, uns/group_gates"]
        == (before["varm/group_gates, uns/group_gates"])
    )
    groups = dataset.read("obs/group").astype(str)
    gates = dataset.read("varm/group_gates")
    dataset.write({"obs/group": pd.Categorical(np.where(groups == "3", "2", groups))})
    explain(dataset, "group", n_features=12)
    assert dataset.read("varm/group_gates").shape == (500, 3)
    assert gates.shape == (500, 4)


def test_without_a_key_nothing_is_stored(dataset, short):
    before = dataset.keys()
    assert len(explain(dataset, "group", n_features=5, key=None)) > 3
    assert dataset.keys() == before


def test_gates_choose_from_the_given_features(dataset, short):
    dataset.write({"var/some": np.arange(500) % 2 == 0})
    table = explain(dataset, "group", features="some", normalize=None)
    assert (dataset.var_names.get_indexer(table["feature"].astype(str)) % 2 == 0).all()
    assert np.isnan(dataset.read("varm/group_gates")[1::2]).all()


def test_stored_tests_stand_beside_the_gates(dataset):
    give_gates(dataset)
    alone = explain(dataset, key=None)
    tests = kk.markers(dataset, "deep")
    table = explain(dataset, key=None)
    assert table[alone.columns].astype(str).equals(alone.astype(str))
    assert table.columns.tolist()[len(alone.columns) :] == ["marker_rank", "score", "logfoldchange", "pval_adj", "auc"]
    for group, part in table.groupby("group", observed=True):
        of_group = tests[tests["group"] == group].reset_index(drop=True)
        wanted = of_group.set_index(of_group["gene"].astype(str)).loc[part["feature"].astype(str)]
        np.testing.assert_array_equal(part["score"], wanted["score"])
        np.testing.assert_array_equal(part["auc"], wanted["auc"])
        first = of_group["gene"].astype(str).tolist()
        assert [first[int(rank) - 1] for rank in part["marker_rank"]] == part["feature"].astype(str).tolist()
    assert explain(dataset, markers=False, key=None).astype(str).equals(alone.astype(str))
    assert len(explain(dataset, markers=True)) == len(table)


def test_tests_of_other_clusters_do_not(dataset):
    give_gates(dataset)
    kk.markers(dataset, "group")
    assert "auc" not in explain(dataset, key=None)
    with pytest.raises(ParameterError, match="uns/rank_genes_groups holds tests of group against rest: run"):
        explain(dataset, markers=True)


def test_one_cluster_is_refused_and_a_missing_package_named(dataset, monkeypatch):
    kk.annotate(dataset, "all", ["a"] * 600)
    pytest.importorskip("torch")
    with pytest.raises(ParameterError, match="there must be two with rows at least, got 1"):
        explain(dataset, "all")
    with pytest.raises(ParameterError, match=r"by must name labels .* obs/n_counts holds \d+ different numbers"):
        explain(dataset, "n_counts")

    def gone(module, extra, purpose):
        raise kk.KithkinError(f"{purpose} needs {module}: pip install 'kithkin[{extra}]'")

    monkeypatch.setitem(explain.__globals__, "need", gone)
    with pytest.raises(kk.KithkinError, match=r"explaining obs/group, .* needs torch: pip install 'kithkin\[deep\]'"):
        explain(dataset, "group")


def test_gates_of_rows_belong_to_the_clusters_that_came_with_them(dataset):
    _, local, codes, _ = give_gates(dataset)
    outputs = ("obs/deep", "layers/gates")
    labels = np.array([str(k) for k in codes], dtype=object)
    dataset.result(
        Step("deep_clusters", 1, {}, ("X",), outputs), lambda: dict(zip(outputs, (labels, local), strict=True))
    )
    names = dataset.obs_names[:3].tolist()
    assert len(explain(dataset, names=names))
    kk.annotate(dataset, "deep", [f"new {k}" for k in codes])
    with pytest.raises(
        ParameterError, match=r"layers/gates was made with another obs/deep .* kithkin.deep_clusters\(ds\)"
    ):
        explain(dataset, names=names)


def values_of(ds, **settings):
    """How explain() took the values, by its record."""
    explain(ds, **settings)
    return ds.lineage.maker("uns/deep_explanation").parameters["normalize"]


@pytest.mark.parametrize(("scale", "taken"), [("minmax", None), ("standard", None), ("log1p", "log1p")])
def test_values_are_scaled_as_in_the_training_of_the_clusters(dataset, scale, taken):
    give_gates(dataset)
    dataset.write({"uns/deep": {"params": {"scale": "auto", "on": "X"}, "scale": scale}})
    assert values_of(dataset) == taken
    dataset.write({"uns/deep": {"params": {"scale": scale, "on": "X"}}})
    assert values_of(dataset) == taken
    assert values_of(dataset, normalize=None) is None
    assert values_of(dataset, normalize="log1p") == "log1p"
    dataset.write({"uns/deep": {"params": {"scale": "minmax", "on": "obsm/X_pca"}, "scale": "minmax"}})
    assert values_of(dataset) == "log1p", "another table was scaled so"


def test_values_of_other_clusters_are_scaled_if_they_are_sparse_counts(dataset, tmp_path):
    give_gates(dataset)
    assert values_of(dataset) == "log1p"
    dense = kk.read(np.array([[4, 0], [3, 1], [0, 5]]), to=tmp_path / "a.zarr")
    kk.annotate(dense, "deep", ["0", "0", "1"])
    dense.write({"varm/deep_gates": np.array([[0.9, 0.0], [0.0, 1.0]], np.float32)})
    assert values_of(dense) is None
    shares = kk.read(sparse.csr_matrix([[0.4, 0], [0.3, 0.1], [0, 0.5]]), to=tmp_path / "b.zarr")
    kk.annotate(shares, "deep", ["0", "0", "1"])
    shares.write({"varm/deep_gates": np.array([[0.9, 0.0], [0.0, 1.0]], np.float32)})
    assert values_of(shares) is None
    dataset.write({"var/row": np.arange(500) // 25, "var/column": np.arange(500) % 25})
    assert values_of(dataset) is None, "these are pixels"


def test_what_the_model_says_of_a_gene_stands_beside_its_gate(dataset):
    pytest.importorskip("torch")
    kk.count_mixture(dataset, 3)
    table = kk.explain(dataset, "obs/mixture")
    log_mean, weights = dataset.read("varm/mixture_log_mean").astype(float), dataset.read("uns/mixture")["weights"]
    for row in table.head(20).itertuples():
        gene, k = dataset.var_names.get_loc(row.feature), int(row.group)
        others = [j for j in range(3) if j != k]
        expected = (log_mean[gene, k] - np.average(log_mean[gene, others], weights=weights[others])) / np.log(2)
        assert row.model_logfoldchange == pytest.approx(expected, rel=1e-3)
    kk.kmeans(dataset, 3, on="X", key="obs/mixture")  # labels of another step: the means are not theirs
    assert "model_logfoldchange" not in kk.explain(dataset, "obs/mixture")
