"""Clusters are named by size, and each row lies with the nearest centre."""

import numpy as np
import pytest

import kithkin as kk


def test_kmeans_gives_nearest_centres_by_size(finished, assert_named_by_size):
    labels = kk.kmeans(finished, 4)
    assert_named_by_size(labels, finished)
    X, about = finished.read("obsm/X_pca").astype(float), finished.read("uns/kmeans")
    squared = ((X[:, None] - about["centers"][None]) ** 2).sum(2)
    assert np.array_equal(squared.argmin(1), labels.cat.codes)
    assert about["inertia"] == pytest.approx(squared.min(1).sum(), rel=1e-4)
    means = np.stack([X[labels == str(i)].mean(0) for i in range(4)])
    np.testing.assert_allclose(means, about["centers"], atol=0.05)


def test_kmeans_of_equal_rows_has_no_empty_cluster(finished, assert_named_by_size):
    finished.write({"obsm/equal": np.ones((600, 3), np.float32)})
    assert kk.kmeans(finished, 5, on="obsm/equal", key="equal").nunique() >= 1
    assert_named_by_size(finished.read("obs/equal"), finished)


def test_what_is_missing_names_the_verb(dataset):
    with pytest.raises(kk.MissingResultError, match=r"Run kithkin.pca\(ds\) first"):
        kk.kmeans(dataset)


def test_what_is_wrong_is_named(finished):
    with pytest.raises(kk.ParameterError, match=r"n_clusters must be in 1\.\.600, got 601"):
        kk.kmeans(finished, 601)


def test_the_number_of_starts_is_a_setting(finished):
    kk.kmeans(finished, 4, n_starts=3)
    assert finished.read("uns/kmeans")["params"]["n_starts"] == 3
    with pytest.raises(kk.ParameterError, match=r"n_starts must be in 1\.\.1000, got 0"):
        kk.kmeans(finished, 4, n_starts=0)
