"""Tables and figures of models and samples say what their results hold."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk

from .decoding import ReadPage


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A dataset with a mixture, topics, a card, doublets, propagation and tests between conditions."""
    cells = kk.datasets.simulate_counts(480, 200, 3, seed=2)
    number = np.arange(480)
    cells.obs["sample"] = [f"s{k % 6}" for k in number]
    cells.obs["condition"] = np.array(["ctrl", "stim"])[number % 6 // 3]
    ds = kk.run(cells, to=tmp_path_factory.mktemp("many") / "m.zarr", cells="n_genes >= 10", n_components=8)
    kk.count_mixture(ds, 3)
    kk.topics(ds, 3)
    kk.card(ds, "obs/leiden")
    kk.doublets(ds, by="obs/sample")
    known = ds.read("obs/group").where(np.arange(ds.n_obs) % 8 == 0)
    kk.propagate(ds, known, method="iterative", history=True)
    kk.harmonize(ds, batch="obs/sample")
    kk.mixing(ds, batch="obs/sample", labels="obs/leiden")
    kk.composition(ds, "obs/condition", sample="obs/sample")
    kk.contrast(ds, "obs/condition", sample="obs/sample", within="obs/leiden")
    return ds


@pytest.fixture(scope="module")
def contents(many, tmp_path_factory):
    return ReadPage(kk.report(many, tmp_path_factory.mktemp("page") / "r.html")).contents


def table(contents, title):
    found = next(one["table"] for one in contents["figures"] if one["title"] == title)
    return pd.DataFrame(found["rows"], columns=found["columns"])


def test_a_mixture_is_listed_with_its_weights_and_highest_genes(contents, many):
    listed = table(contents, "Mixture of counts")
    assert np.allclose(listed["weight"], many.read("uns/mixture")["weights"], atol=1e-5)
    means = np.exp(many.read("varm/mixture_log_mean"))
    first = [many.var_names.get_loc(genes.split(", ")[0]) for genes in listed["highest genes"]]
    for k, gene in enumerate(first):
        assert means[gene, k] == means[gene].max()


def test_clusters_in_latent_space_are_listed_by_what_is_decoded(many, tmp_path):
    pytest.importorskip("torch")
    kk.latent_clusters(many, 3, n_epochs=3)
    listed = table(ReadPage(kk.report(many, tmp_path / "r.html")).contents, "Latent clusters, as decoded")
    means, names = np.exp(many.read("varm/latent_log_mean")), many.read("obs/latent").cat.categories
    assert listed["cluster"].tolist() == names.tolist()
    for k, genes in enumerate(listed["highest genes"]):
        gene = many.var_names.get_loc(genes.split(", ")[0])
        assert means[gene, k] > np.delete(means[gene], k).mean()


def test_topics_and_cards_are_those_that_are_stored(contents, many):
    genes = many.read("uns/topics")["genes"]
    assert [row.split(", ")[0] for row in table(contents, "Genes of the topics")["genes"]] == genes.iloc[0].tolist()
    assert len(table(contents, "Card of leiden")) == len(many.read("uns/leiden_card")["rules"])
    assert table(contents, "Doublets")["sample"].tolist() == [f"s{k}" for k in range(6)]


def test_tests_between_conditions_come_with_the_smallest_p_first(contents, many):
    samples = contents["samples"]
    contrast = pd.DataFrame(samples["contrast"]["rows"], columns=samples["contrast"]["columns"])
    stored = many.read("uns/contrast")
    assert len(contrast) == min(2000, len(stored["pval"]))
    assert contrast["pval_adj"].is_monotonic_increasing
    row = contrast.iloc[0]
    match = (np.asarray(stored["gene"]) == row["gene"]) & (np.asarray(stored["group"]).astype(str) == row["group"])
    assert np.isclose(np.asarray(stored["pval"])[match][0], row["pval"], rtol=1e-4)
    assert "(~ condition)" in samples["composition"]["title"]


def test_columns_of_samples_are_under_samples(contents):
    sections = {one["key"]: one["section"] for one in contents["columns"]}
    assert sections["obs/sample"] == sections["obs/condition"] == "samples"
    assert sections["obs/group"] == "other"


def test_figures_are_pictures_of_their_size(contents):
    titles = {one["title"] for one in contents["figures"] if "png" in one}
    assert titles >= {"Composition", "Volcano", "Mixing", "Topics", "Propagation: propagated"}
    moving = next(one for one in contents["figures"] if one.get("moves"))
    assert moving["png"].startswith("data:image/png;base64,")


def test_results_that_are_out_of_date_are_not_shown(many, tmp_path):
    import shutil

    shutil.copytree(many.path, tmp_path / "m.zarr")
    ds = kk.open(tmp_path / "m.zarr")
    ds["obs/sample"] = ds.read("obs/sample").astype(str).to_numpy()[::-1]
    contents = ReadPage(kk.report(ds, tmp_path / "r.html")).contents
    assert {"composition", "contrast"} & set(contents.get("samples", {})) == set()
