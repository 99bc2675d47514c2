import numpy as np
import pandas as pd
import pytest

import kithkin as kk

SETS = {"a/b": [f"GENE{k}" for k in range(1, 12)], "second": [f"GENE{k}" for k in range(30, 60)] + ["none"]}


def test_scores_are_stored_as_a_table_with_the_best_set(dataset):
    scores = kk.score(dataset, SETS)
    assert scores.columns.tolist() == ["a|b", "second"]
    assert scores.index.equals(dataset.obs_names)
    assert set(scores.dtypes) == {np.dtype(np.float32)}
    pd.testing.assert_frame_equal(dataset["obsm/scores"], scores)
    standard = (scores - scores.mean()) / scores.std()
    assert (dataset["obs/scores"].astype(str) == standard.idxmax(axis=1)).mean() > 0.99
    sets = dataset["uns/scores"]["sets"]
    assert sets["n_found"].tolist() == [11, 30]
    assert sets.loc["second", "genes"].split(", ")[-1] == "none"


def test_other_sets_or_settings_are_computed_again(dataset, states):
    first = kk.score(dataset, SETS, key="mine")
    assert kk.score(dataset, SETS, key="mine", seed=5).equals(first)  # no draw takes part in UCell
    assert not kk.score(dataset, SETS, key="mine", max_rank=100).equals(first)
    turned = kk.score(dataset, dict(reversed(SETS.items())), key="mine")
    assert turned.columns.tolist() == ["second", "a|b"]
    assert states(dataset)["score"] == "current"


def test_one_list_of_genes_is_one_set_without_a_best(dataset):
    assert kk.score(dataset, SETS["second"]).columns.tolist() == ["score"]
    assert "obs/scores" not in dataset


def test_one_set_takes_the_place_of_several_without_their_labels(dataset, states):
    kk.score(dataset, SETS, key="mine")
    kk.score(dataset, {"second": SETS["second"]}, key=None)
    assert "obs/mine" in dataset
    kk.score(dataset, {"second": SETS["second"]}, key="mine")
    assert "obs/mine" not in dataset
    assert "mine" not in dataset.to_anndata().obs
    assert dataset["obsm/mine"].columns.tolist() == ["second"]
    kept = [entry.outputs for entry in dataset.lineage.entries if entry.verb == "score"]
    assert kept == [["obsm/mine", "uns/mine"]]
    assert states(dataset)["score"] == "current"
    dataset["obs/mine"] = ["of mine"] * dataset.n_obs
    kk.score(dataset, {"second": SETS["second"][:5]}, key="mine")
    assert set(dataset["obs/mine"]) == {"of mine"}


def test_genes_of_one_symbol_score_as_if_each_were_named(dataset):
    dataset["var/symbol"] = [f"S{k // 2}" for k in range(dataset.n_vars)]
    names = dataset.var_names
    by_symbol = kk.score(dataset, {"a": ["S3", "S8"], "b": ["S5"]}, key=None)
    by_name = kk.score(dataset, {"a": [*names[6:8], *names[16:18]], "b": list(names[10:12])}, key=None)
    pd.testing.assert_frame_equal(by_symbol, by_name)


@pytest.mark.parametrize("method", ["ucell", "aucell", "mean"])
def test_a_file_gives_the_same_as_a_mapping(dataset, tmp_path, method):
    lines = ["\t".join([name, "about", *genes]) for name, genes in SETS.items()]
    (tmp_path / "s.gmt").write_text("\n".join(lines))
    one, other = (kk.score(dataset, sets, method=method, key=None) for sets in (SETS, tmp_path / "s.gmt"))
    assert one.equals(other)


def test_means_equal_scanpy(dataset, small_counts):
    scanpy = pytest.importorskip("scanpy")
    scanpy.pp.normalize_total(small_counts, target_sum=1e4)
    scanpy.pp.log1p(small_counts)
    for seed in (0, 7):
        scores = kk.score(dataset, SETS, method="mean", seed=seed)
        for column, genes in zip(scores, SETS.values(), strict=True):
            there = [gene for gene in genes if gene in small_counts.var_names]
            scanpy.tl.score_genes(small_counts, there, random_state=seed)
            np.testing.assert_allclose(scores[column], small_counts.obs["score"], atol=1e-6)


def test_means_of_log_normalised_values_are_taken_as_they_are(dataset, small_counts, tmp_path):
    totals = np.asarray(small_counts.X.sum(axis=1)).ravel()
    small_counts.X = small_counts.X.multiply(1e4 / totals[:, None]).log1p().tocsr().astype(np.float32)
    logged = kk.read(small_counts, to=tmp_path / "logged.zarr")
    one, other = (kk.score(ds, SETS, method="mean", key=None) for ds in (dataset, logged))
    np.testing.assert_allclose(one, other, atol=1e-5)


def test_proteins_are_scored_by_their_own_names(dataset):
    proteins = pd.DataFrame(np.random.default_rng(0).poisson(5, (600, 8)), dataset.obs_names, list("ABCDEFGH"))
    dataset.write({"obsm/ADT": proteins})
    scores = kk.score(dataset, {"x": ["A", "B"], "y": ["C", "none"]}, on="obsm/ADT", max_rank=4, key="protein_scores")
    ranks = proteins.rank(axis=1, ascending=False).where(proteins > 0, 4).clip(upper=4)
    np.testing.assert_allclose(scores["x"], 1 - (ranks[["A", "B"]].sum(axis=1) - 3) / 5, atol=1e-6)


def test_marker_sets_of_one_half_name_the_other_half_of_sorted_cells(blood):
    kind = blood["obs/celltype"].astype(str).to_numpy()
    half = np.random.default_rng(0).random(len(kind)) < 0.5
    kk.annotate(blood, "half", pd.Series(np.where(half, kind, None), index=blood.obs_names))
    tests = kk.markers(blood, "half", key=None)
    sets = {name: part["gene"].astype(str).tolist()[:100] for name, part in tests.groupby("group", observed=True)}
    for method in ("ucell", "mean"):
        kk.score(blood, sets, method=method, key=f"by_{method}")
        named = blood[f"obs/by_{method}"].astype(str).to_numpy()
        names = pd.Series(sets, index=[name.replace("/", "|") for name in sets]).index
        right = np.array([name.replace("/", "|") for name in kind]) == named
        assert set(named) <= set(names)
        assert right[~half].mean() >= {"ucell": 0.77, "mean": 0.80}[method]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sets": {"a": ["gene1", "gene2"]}}, r"sets must name genes that are in var of \w+\.zarr, .*'GENE1'"),
        ({"sets": "GENE1"}, r"GENE1 does not exist: name a file of gene sets"),
        ({"method": "UCell"}, r"method must be one of 'ucell', 'aucell', 'mean', got 'UCell'\. Did you mean 'ucell'"),
        ({"max_rank": 1}, r"max_rank must be in 2\.\."),
        ({"max_rank": 10**7}, r"max_rank must be in 2\.\.1500, got 10000000"),
        ({"sets": {"a": ["GENE1-"]}}, r"sets must hold genes that speak for them, but 'a' has only genes with '-'"),
        ({"max_rank": 20}, r"max_rank must be at least 31, the number of genes of 'second'"),
        ({"on": "obs/n_counts"}, r"on must be X or a layer or a table in obsm, got 'obs/n_counts'"),
        ({"key": "obs/scores"}, r"key must lie in obsm"),
        ({"sets": {"a": ["GENE1", "GENE2-"]}, "method": "mean"}, r"only method='ucell' takes genes that speak against"),
        ({"seed": -1, "method": "mean"}, r"seed must be in 0"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(dataset, settings, said):
    with pytest.raises(kk.KithkinError, match=said) as caught:
        kk.score(dataset, **{"sets": SETS} | settings)
    assert "\n" not in str(caught.value)
