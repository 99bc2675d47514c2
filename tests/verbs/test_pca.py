"""Components are scikit-learn's, and are kept with what they follow from."""

import numpy as np
import pytest
from scipy.linalg import subspace_angles
from sklearn import decomposition

import kithkin as kk


def log_values(adata, target_sum=1000.0):
    dense = adata.X.toarray().astype(float)
    return np.log1p(dense / dense.sum(1, keepdims=True) * target_sum)


def assert_components(scores, loadings, about, Z):
    """Scores, loadings and variances are those of scikit-learn's PCA of the dense table Z, up to signs."""
    k = scores.shape[1]
    model = decomposition.PCA(k, svd_solver="full").fit(Z)
    assert subspace_angles(model.components_.T, loadings.astype(float)).max() < 1e-3
    expected = model.transform(Z)
    signs = np.sign((expected * scores).sum(0))
    np.testing.assert_allclose(scores * signs, expected, atol=2e-3 * expected.std())
    np.testing.assert_allclose(about["variance"], model.explained_variance_, rtol=1e-5)
    np.testing.assert_allclose(about["variance_ratio"], model.explained_variance_ratio_, rtol=1e-5)


def test_components_of_the_variable_genes_are_sklearns(finished, small_counts):
    mask = finished.read("var/highly_variable").to_numpy()
    loadings = finished.read("varm/PCs")
    assert loadings.shape == (500, 10)
    assert np.all(loadings[~mask] == 0)
    scores = kk.pca(finished, 10)
    assert scores.dtype == np.float32
    assert np.array_equal(scores, finished.read("obsm/X_pca"))
    assert_components(scores, loadings[mask], finished.read("uns/pca"), log_values(small_counts)[:, mask])


def test_scaled_components_are_sklearns_on_unit_variances(dataset, small_counts):
    mask = np.arange(500) % 5 == 0
    dataset.write({"var/some": mask})
    scores = kk.pca(dataset, 6, genes="some", scale=True, target_sum=1e4, key="X_scaled")
    Z = log_values(small_counts, 1e4)[:, mask]
    deviation = Z.std(0, ddof=1)
    Z = (Z - Z.mean(0)) / np.where(deviation > 0, deviation, 1)
    assert_components(scores, dataset.read("varm/X_scaled_PCs")[mask], dataset.read("uns/X_scaled"), Z)


@pytest.mark.parametrize("depth", [1, 30])
def test_counts_are_brought_to_the_median_total_and_its_record_is_kept(small_counts, tmp_path, depth):
    deep = small_counts.copy()
    deep.X = deep.X * depth
    ds = kk.read(deep, to=tmp_path / "deep.zarr")
    scores = kk.pca(ds, 4)
    expected = max(1000, np.median(np.ravel(deep.X.sum(axis=1))))
    assert ds.read("uns/pca")["params"]["target_sum"] == expected
    kk.quality(ds)
    assert np.array_equal(kk.pca(ds, 4, key=None), scores), "the totals of quality give the same sum"
    np.testing.assert_allclose(kk.pca(ds, 4, target_sum=expected, key=None), scores, atol=1e-5)
    assert not np.allclose(kk.pca(ds, 4, target_sum=expected / 3, key=None), scores, atol=0.1)
    part = kk.subset(ds, cells="n_counts > 0", to=tmp_path / "part.zarr")
    kk.pca(part, 4)
    held = part.read("uns/pca")["params"]["target_sum"]
    kk.append(part, deep[:300])
    assert part.read("uns/pca")["params"]["target_sum"] == held, "what was computed stays, and is told to be stale"
    kk.pca(part, 4)
    totals = np.concatenate([np.ravel(X.sum(axis=1)) for X in (deep.X, deep.X[:300])])
    assert part.read("uns/pca")["params"]["target_sum"] == max(1000, np.median(totals))


def test_components_of_values_are_sklearns(tmp_path):
    digits = kk.datasets.digits()
    ds = kk.read(digits, to=tmp_path / "digits.zarr")
    scores = kk.pca(ds, 12, normalize=None)
    Z = digits.X.astype(float)
    assert_components(scores, ds.read("varm/PCs"), ds.read("uns/pca"), Z)
    assert "normalize" not in ds.read("uns/pca")["params"]
    again = kk.pca(ds, 5, normalize=None, on="obsm/X_pca", key="X_twice")
    np.testing.assert_allclose(np.abs(again), np.abs(scores[:, :5]), atol=1e-3)
    assert "varm/X_twice_PCs" not in ds, "loadings over components do not fit varm"


def test_tables_in_obsm_are_not_taken_for_counts(dataset):
    dataset.write({"obsm/features": np.random.default_rng(0).normal(size=(dataset.n_obs, 8)).astype(np.float32)})
    found = kk.pca(dataset, 3, on="obsm/features", key=None)
    assert np.array_equal(found, kk.pca(dataset, 3, on="obsm/features", normalize=None, key=None))
    assert np.array_equal(kk.pca(dataset, 3, key=None), kk.pca(dataset, 3, normalize="log1p", key=None))


@pytest.mark.parametrize("method", ["truncated", "lsi"])
def test_the_other_methods_are_a_truncated_svd(dataset, small_counts, method):
    Z = log_values(small_counts)
    if method == "lsi":
        n_cells = (small_counts.X > 0).sum(0).A1
        Z = Z * np.log1p(600 / np.maximum(n_cells, 1))
    scores = kk.pca(dataset, 4, method=method, key=None)
    left, values, _ = np.linalg.svd(Z, full_matrices=False)
    first = 0 if scores.shape[1] == 4 else 1
    assert subspace_angles(left[:, first:4] * values[first:4], scores.astype(float)).max() < 1e-2


def test_a_layer_is_reduced_like_x(small_counts, tmp_path):
    small_counts.layers["same"] = small_counts.X.copy()
    ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    assert np.array_equal(kk.pca(ds, 4), kk.pca(ds, 4, on="layers/same", key="X_layer"))


def test_auto_means_all_genes_until_some_are_marked(dataset):
    every = kk.pca(dataset, 4)
    assert np.array_equal(every, kk.pca(dataset, 4, genes=None, key=None))
    kk.variable_genes(dataset, 50)
    assert not np.array_equal(every, kk.pca(dataset, 4))
    assert np.count_nonzero(np.abs(dataset.read("varm/PCs")).sum(1)) == 50


def test_calling_again_is_a_look_up_and_a_change_makes_dependants_stale(finished, listing, states):
    before = listing(finished)
    kk.variable_genes(finished, 200)
    kk.pca(finished, 10)
    assert listing(finished) == before
    kk.variable_genes(finished, 100)
    stale = {"pca", "neighbors", "leiden", "markers"}
    assert {step for step, state in states(finished).items() if state == "stale"} == stale
    kk.pca(finished, 10)
    kk.neighbors(finished)
    kk.leiden(finished, 0.5)
    kk.markers(finished, "leiden")
    assert set(states(finished).values()) == {"current"}


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.ParameterError, match=r"n_components must be in 1\.\.500, got 501"):
        kk.pca(dataset, 501)
    with pytest.raises(kk.MissingResultError, match="var/some is not in"):
        kk.pca(dataset, 5, genes="some")
    kk.pca(dataset, 5)
    with pytest.raises(kk.ParameterError, match="genes must be None for obsm/X_pca"):
        kk.pca(dataset, 2, on="obsm/X_pca", genes="some")
