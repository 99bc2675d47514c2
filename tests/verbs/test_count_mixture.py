"""kk.count_mixture stores what the model found, under AnnData's names."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.models.mixture.count_mixture import CountMixture
from kithkin.verbs.count_mixture import count_mixture


def test_what_is_stored(dataset):
    labels = count_mixture(dataset, 4)
    assert labels.equals(dataset.read("obs/mixture"))
    assert labels.value_counts().index.tolist() == ["0", "1", "2", "3"]
    probability = dataset.read("obsm/mixture_probability")
    assert probability.dtype == np.float32
    assert np.array_equal(probability.argmax(axis=1).astype(str), labels.to_numpy().astype(str))
    log_mean = dataset.read("varm/mixture_log_mean")
    model = CountMixture(4).fit(dataset.blocks("X"))
    assert np.allclose(log_mean, model.log_mean_.T, rtol=1e-5)
    assert dataset.read("varm/mixture_log_dispersion").shape == (500, 4)
    about = dataset.read("uns/mixture")
    assert np.allclose(about["trace"], model.trace_)
    assert set(about["criteria"]) == set(model.criteria_)
    assert kk.open(dataset.path).to_anndata().obsm["mixture_probability"].shape == (600, 4)


def test_groups_are_those_simulated(dataset):
    labels = count_mixture(dataset, 4, key=None)
    assert pd.crosstab(labels, dataset.obs["group"]).max(axis=1).sum() > 0.98 * len(labels)
    assert "obs/mixture" not in dataset


def test_start_from_labels_and_shares(dataset):
    first = count_mixture(dataset, 4)
    again = count_mixture(dataset, 4, init="group", key="again")
    assert pd.crosstab(first, again).max(axis=1).sum() > 0.98 * len(first)
    shares = count_mixture(dataset, 4, init="obsm/mixture_probability", key="obs/shares")
    assert shares.astype(str).equals(first.astype(str).rename("shares"))
    assert dataset.read("uns/shares")["params"]["init"] == "obsm/mixture_probability"


def test_start_from_means(dataset):
    first = count_mixture(dataset, 4)
    kk.topics(dataset, 4, max_iter=30)
    means = count_mixture(dataset, 4, init="varm/topics", key="obs/means")
    assert pd.crosstab(first, means).max(axis=1).sum() > 0.98 * len(first)
    # clusters keep the order of the topics
    main = dataset.read("obs/topics")
    assert (means.astype(str).to_numpy() == main.astype(str).to_numpy()).mean() > 0.9


def test_calibrated_probabilities_have_a_key_of_their_own(dataset):
    count_mixture(dataset, 4)
    exact = dataset.read("obsm/mixture_probability")
    assert "obsm/mixture_calibrated" not in dataset
    labels = count_mixture(dataset, 4, calibrate=True)
    calibrated, about = dataset.read("obsm/mixture_calibrated"), dataset.read("uns/mixture")
    assert np.array_equal(dataset.read("obsm/mixture_probability"), exact)
    assert calibrated.dtype == np.float32
    assert np.array_equal(calibrated.argmax(axis=1).astype(str), labels.to_numpy().astype(str))
    model = CountMixture(4).fit(dataset.blocks("X")).calibrate(dataset.blocks("X"))
    assert np.isclose(about["temperature"], model.temperature_, rtol=1e-6)
    assert about["agreement"] == model.agreement_ > 0.9
    assert np.allclose(calibrated, model.predict_proba(dataset.blocks("X")), atol=1e-6)
    count_mixture(dataset, 3)  # of other clusters: what was calibrated is not theirs
    assert "obsm/mixture_calibrated" not in dataset


def test_genes_sizes_and_a_range(dataset):
    kk.variable_genes(dataset, 200)
    labels = count_mixture(dataset, "2-4", genes="highly_variable", size="n_counts", criterion="bic")
    assert 2 <= labels.nunique() <= 4
    log_mean = dataset.read("varm/mixture_log_mean")
    assert np.array_equal(np.isfinite(log_mean[:, 0]), dataset.var["highly_variable"].to_numpy())
    curve = dataset.read("uns/mixture")["curve"]
    assert curve["n_clusters"].tolist() == [2, 3, 4]


def test_refusals(dataset):
    with pytest.raises(kk.ParameterError, match="n_clusters must be a number, a range such as '2-12', or 'auto'"):
        count_mixture(dataset, "few")
    with pytest.raises(kk.MissingResultError, match="obs/unknown"):
        count_mixture(dataset, 2, init="unknown")
    with pytest.raises(kk.ParameterError, match=r"n_starts must be in 1\.\.1000, got 0"):
        count_mixture(dataset, 2, n_starts=0)
