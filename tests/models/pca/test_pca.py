from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pytest
from scipy import sparse
from scipy.linalg import subspace_angles
from sklearn import decomposition

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.pca.pca import PCA


def counts(n=400, p=90, seed=0):
    rng = np.random.default_rng(seed)
    groups = rng.gamma(0.4, 1.0, (5, p))
    return sparse.csr_matrix(rng.poisson(groups[rng.integers(0, 5, n)] * rng.gamma(5, 0.2, (n, 1))).astype(np.uint8))


def normalised(X):
    dense = X.toarray().astype(np.float64)
    return np.log1p(dense * (1e3 / dense.sum(axis=1))[:, None])


def close(model, scores, reference, Z, angle=1e-6):
    assert subspace_angles(reference.components_.T, model.components_.T).max() < angle
    assert np.allclose(model.explained_variance_, reference.explained_variance_, rtol=1e-7)
    assert np.allclose(model.explained_variance_ratio_, reference.explained_variance_ratio_, rtol=1e-7)
    assert np.allclose(np.abs(scores), np.abs(reference.transform(Z)), atol=2e-4)
    assert scores.dtype == np.float32


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_matrix.toarray])
def test_equals_sklearn_on_normalised_counts(scale, make):
    X = counts()
    columns = np.arange(90) % 3 > 0
    Z = normalised(X)[:, columns]
    if scale:
        Z = Z / Z.std(axis=0, ddof=1)
    model = PCA(4, scale=scale)
    scores = model.fit_transform(InMemory(make(X), rows=33), columns)
    close(model, scores, decomposition.PCA(4, svd_solver="full").fit(Z), Z)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.float64])
def test_equals_sklearn_on_plain_values(dtype):
    X = (np.random.default_rng(0).random((200, 30)) * np.linspace(1, 250, 30)).astype(dtype)
    model = PCA(3, normalize=None)
    scores = model.fit_transform(InMemory(X, rows=64))
    close(model, scores, decomposition.PCA(3, svd_solver="full").fit(X.astype(np.float64)), X)


def test_equals_sklearn_on_pbmc(pbmc):
    pbmc = pbmc[::4]
    columns = np.argsort(-np.asarray(pbmc.X.sum(axis=0)).ravel(), kind="stable")[:300]
    model = PCA(20)
    scores = model.fit_transform(pbmc.X, columns)
    totals = np.asarray(pbmc.X.sum(axis=1), np.float64)
    Z = np.log1p(pbmc.X[:, np.sort(columns)].toarray() * (np.median(totals) / totals))
    reference = decomposition.PCA(20, svd_solver="full").fit(Z)
    close(model, scores, reference, Z, angle=2e-5)  # the last two of the values are near, and the table is rounded


def test_equals_sklearn_where_some_columns_are_dense_and_the_basis_is_grown():
    rng = np.random.default_rng(0)
    X = sparse.csr_matrix(rng.poisson(rng.gamma(0.3, 0.7, (6, 500))[rng.integers(0, 6, 900)]).astype(np.uint8))
    Z = normalised(X)
    model = PCA(6)
    scores = model.fit_transform(InMemory(X, rows=200))
    close(model, scores, decomposition.PCA(6, svd_solver="full").fit(Z), Z)


def test_truncated_and_lsi_equal_a_full_svd():
    X = counts(p=120)
    Z = normalised(X)
    idf = np.log1p(400 / np.maximum((X.toarray() > 0).sum(axis=0), 1))
    for method, table in (("truncated", Z), ("lsi", Z * idf)):
        model = PCA(4, method=method)
        scores = model.fit_transform(InMemory(X, rows=50))
        _, sizes, vectors = np.linalg.svd(table, full_matrices=False)
        assert subspace_angles(vectors[:4].T, model.components_.T).max() < 1e-3
        assert np.allclose(model.singular_values_, sizes[:4], rtol=1e-6)
        assert np.allclose(model.explained_variance_, scores.var(axis=0, ddof=1), rtol=1e-4)
        share = model.explained_variance_ / table.var(axis=0, ddof=1).sum()
        assert np.allclose(model.explained_variance_ratio_, share)
        assert np.allclose(scores, table @ model.components_.T, atol=1e-4)


@pytest.mark.parametrize("method", ["covariance", "truncated"])
def test_threads_change_nothing_and_block_sizes_nothing_of_a_covariance(method):
    X = counts()
    one, two = (
        PCA(4, method=method).fit_transform(InMemory(X, rows=9), execution=Execution(threads=t)) for t in (1, 4)
    )
    other = PCA(4, method=method).fit_transform(InMemory(X, rows=400))
    assert np.array_equal(one, two)
    assert np.array_equal(one, other) if method == "covariance" else np.allclose(one, other, atol=1e-4)


def test_dense_blocks_do_not_depend_on_threads():
    X = np.random.default_rng(0).normal(size=(500, 40))
    one, two = (
        PCA(4, normalize=None).fit_transform(InMemory(X, rows=9), execution=Execution(threads=t)) for t in (1, 4)
    )
    assert np.array_equal(one, two)


def test_processes_give_the_same():
    X = InMemory(counts(), rows=50)
    with ProcessPoolExecutor(1, get_context("forkserver")) as pool:
        there = PCA(4).fit_transform(X, execution=Execution(threads=1, executor=pool))
    assert np.array_equal(there, PCA(4).fit_transform(X, execution=Execution(threads=1)))


def test_constant_columns_and_signs():
    X = np.random.default_rng(0).normal(size=(50, 6))
    X[:, 2] = 7.0
    model = PCA(6, normalize=None, scale=True).fit(X)
    assert np.all(np.isfinite(model.components_))
    assert np.isclose(model.explained_variance_.sum(), 5)
    assert model.weights_[2] == 0
    assert np.all(model.components_[np.arange(6), np.abs(model.components_).argmax(axis=1)] > 0)


def test_transform_of_new_rows_uses_the_totals_given():
    X = counts()
    totals = np.asarray(X.sum(axis=1)).ravel()
    model = PCA(3).fit(X, np.arange(40), totals)
    assert np.allclose(model.transform(X[:7], totals[:7]), model.transform(X, totals)[:7], atol=1e-5)
    with pytest.raises(ParameterError, match="X must have 90 columns as in fit, got 40"):
        model.transform(X[:, :40])


@pytest.mark.parametrize("depth", [1, 400])
def test_distances_are_of_the_median_total_and_at_least_a_thousand(depth):
    X = sparse.csr_matrix(counts().toarray().astype(np.int64) * depth * (np.arange(400) != 3)[:, None])
    totals = np.ravel(X.sum(axis=1))
    median = np.median(totals[totals > 0])
    assert (median < 1000) == (depth == 1)
    for parts in (X, InMemory(X, rows=33)):
        model = PCA(4).fit(parts)
        assert model.target_sum_ == max(median, 1000)
    given = PCA(4, target_sum=model.target_sum_).fit(X)
    np.testing.assert_allclose(given.components_, model.components_, atol=1e-12)
    few = np.flatnonzero(totals > np.quantile(totals, 0.9))
    scores = model.transform(X[few])
    assert np.allclose(scores, model.transform(X)[few], atol=1e-4), "other rows are brought to the sum of the fit"


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"n_components": 91}, "n_components must be in 1..90, got 91"),
        ({"method": "svd"}, "method must be one of"),
        ({"normalize": "sqrt"}, "normalize must be one of"),
        ({"method": "truncated", "scale": True}, "scale needs method='covariance'"),
        ({"method": "lsi", "normalize": None}, "method='lsi' needs normalize='log1p'"),
        ({"target_sum": -1.0}, "target_sum must be above 0"),
        ({"target_sum": np.inf}, "target_sum must be above 0 and finite, got inf"),
    ],
)
def test_refuses_impossible_parameters(parameters, message):
    with pytest.raises(ParameterError, match=message):
        PCA(**{"n_components": 2, **parameters}).fit(counts())


def test_refuses_impossible_data():
    with pytest.raises(ParameterError, match="NaN or infinite"):
        PCA(1, normalize=None).fit(np.array([[1.0, 2.0], [np.nan, 0.0], [1.0, 0.0]]))
    with pytest.raises(ParameterError, match="negative values"):
        PCA(1).fit(np.array([[1.0, 2.0], [-1.0, 0.0]]))
    for bad in (np.nan, np.inf):
        with pytest.raises(ParameterError, match="NaN or infinite"):
            PCA(1, normalize=None).fit(np.where(np.arange(60).reshape(3, 20) == 7, bad, 1.0))
    with pytest.raises(ParameterError, match="covariance of 2000 columns needs 64 MB"):
        PCA(1).fit(np.ones((1500, 2000), np.uint8), execution=Execution(memory=50 * 10**6))


@pytest.mark.parametrize("scale", [False, True])
@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csr_matrix.toarray])
def test_few_rows_of_many_columns_equal_sklearn(scale, make, monkeypatch):
    monkeypatch.setattr("kithkin.models.pca.row_gram.AT_A_TIME", 3000)
    dense = counts(60, 700).toarray()
    dense[:, 5] = 0
    X = sparse.csr_matrix(dense)
    Z = normalised(X)
    if scale:
        Z = Z / np.where(Z.std(axis=0, ddof=1) > 1e-9, Z.std(axis=0, ddof=1), 1)
    model = PCA(6, scale=scale)
    scores = model.fit_transform(InMemory(make(X), rows=13))
    close(model, scores, decomposition.PCA(6, svd_solver="full").fit(Z), Z)
    other = PCA(6, scale=scale).fit(InMemory(make(X), rows=60), execution=Execution(threads=3))
    assert np.allclose(other.components_, model.components_, atol=1e-12)
    monkeypatch.setattr("kithkin.models.pca.pca.RowGram.fits", lambda source, memory: False)
    by_columns = PCA(6, scale=scale).fit(make(X))
    for name in ("components_", "explained_variance_", "explained_variance_ratio_", "singular_values_", "mean_"):
        np.testing.assert_allclose(getattr(model, name), getattr(by_columns, name), rtol=1e-6, atol=1e-7)


def test_as_many_components_as_rows_are_orthonormal():
    X = np.random.default_rng(0).normal(size=(8, 300))
    model = PCA(8, normalize=None).fit(X)
    assert np.allclose(model.components_ @ model.components_.T, np.eye(8), atol=1e-9)
    assert model.explained_variance_[-1] == 0
    assert np.isclose(model.explained_variance_ratio_.sum(), 1)


def test_many_columns_need_no_covariance():
    X = sparse.random(90, 20_214, 0.05, format="csr", random_state=0)
    model = PCA(10, normalize=None).fit(X, execution=Execution(memory=10**9))
    assert np.allclose(model.explained_variance_, np.sort(np.linalg.svd(
        X.toarray() - X.toarray().mean(axis=0), compute_uv=False) ** 2 / 89)[::-1][:10])  # fmt: skip


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_rows_of_unit_length(layout, dtype):
    X = np.random.default_rng(0).integers(0, 255, (90, 12)).astype(dtype)
    X[4] = 0
    length = np.linalg.norm(X.astype(float), axis=1, keepdims=True)
    unit = X / np.where(length > 0, length, 1)
    model = PCA(4, normalize="unit")
    scores = model.fit_transform(layout(X))
    expected = PCA(4, normalize=None).fit_transform(unit)
    assert np.allclose(scores, expected, atol=1e-5)
    assert np.allclose(model.transform(layout(7 * X.astype(np.float32))), scores, atol=1e-5)


def test_few_sparse_rows_need_the_memory_of_their_stored_values():
    dense = counts(90, 4000).toarray()
    X = sparse.csr_matrix(np.where(np.random.default_rng(0).random(dense.shape) < 0.05, dense, 0))
    X = X[:, np.asarray(X.sum(axis=0)).ravel() > 0]
    Z = normalised(X)
    small = Execution(memory=2 * 10**6)  # dense rows take 2.9 MB, the covariance 200 MB, and stored values 0.1 MB
    model = PCA(6)
    close(model, model.fit_transform(X, execution=small), decomposition.PCA(6, svd_solver="full").fit(Z), Z)
    with pytest.raises(ParameterError, match="choose fewer, or method='truncated'"):
        PCA(6).fit(X.toarray(), execution=small)
    with pytest.raises(ParameterError, match="choose fewer, or method='truncated'"):
        PCA(6).fit(X, execution=Execution(memory=10**5))
