import numpy as np
import pytest
from scipy import sparse
from sklearn.neighbors import NearestNeighbors

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.metrics.embedding import recall
from kithkin.models.neighbors import neighbors
from kithkin.models.neighbors.neighbors import Neighbors, fuzzy_graph


def groups(n, d=10, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(n, d)) + 4 * rng.normal(size=(12, d))[rng.integers(0, 12, n)]).astype(np.float32)


def exact(X, k, metric="euclidean"):
    distances, indices = NearestNeighbors(n_neighbors=k + 1, algorithm="brute", metric=metric).fit(X).kneighbors(X)
    return indices[:, 1:], distances[:, 1:]


@pytest.mark.parametrize("metric", ["euclidean", "cosine"])
@pytest.mark.parametrize("n", [40, 3000])
def test_exact_search_is_sklearns(n, metric):
    X = groups(n).astype(np.float64)
    model = Neighbors(11, metric=metric).fit(X)
    indices, distances = exact(X, 10, metric)
    assert model.indices_.dtype == np.int32
    assert recall(model.indices_, indices) > 0.9999
    np.testing.assert_allclose(model.distances_, distances, rtol=2e-4, atol=1e-6)
    assert (np.diff(model.distances_, axis=1) >= 0).all()


def test_partitioned_search_finds_nearly_all():
    X = groups(20_000, 20)
    model = Neighbors(15, method="partitioned").fit(X)
    full = Neighbors(15, method="exact").fit(X)
    true = recall(model.indices_, full.indices_)
    assert true > 0.98
    assert full.recall_ == 1
    assert abs(model.recall_ - true) < 0.01
    assert all(len(set(row)) == 14 for row in model.indices_[:500])
    assert (model.indices_ != np.arange(len(X))[:, None]).all()


@pytest.mark.parametrize("far", [0, 1e4])
def test_recall_of_data_without_structure_is_told_and_far_rows_do_not_spoil_it(far):
    rng = np.random.default_rng(5)
    X = rng.normal(size=(12_000, 20))
    X[rng.choice(len(X), 20, replace=False)] += far * rng.normal(size=(20, 20))
    model = Neighbors(15, method="partitioned").fit(X)
    true = recall(model.indices_, Neighbors(15, method="exact").fit(X).indices_)
    assert true > 0.93
    assert abs(model.recall_ - true) < 0.02


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_threads_and_blocks_do_not_change_a_bit(method):
    X = groups(4000)
    one = Neighbors(8, method=method).fit(X, Execution(threads=1))
    for found in (
        Neighbors(8, method=method).fit(X, Execution(threads=4)),
        Neighbors(8, method=method).fit(InMemory(X, rows=4000), Execution(threads=3)),
    ):
        assert found.indices_.tobytes() == one.indices_.tobytes()
        assert found.distances_.tobytes() == one.distances_.tobytes()
        assert found.connectivities_.data.tobytes() == one.connectivities_.data.tobytes()
        assert found.recall_ == one.recall_
    small = Neighbors(8, method=method).fit(InMemory(X, rows=77))
    np.testing.assert_allclose(small.distances_, one.distances_, rtol=1e-5)


def test_groups_far_apart_keep_their_neighbours():
    X = np.vstack([groups(1000, 5, seed) + 1e4 * seed for seed in range(3)]).astype(np.float64)
    assert recall(Neighbors(6).fit(X).indices_, exact(X, 5)[0]) > 0.995


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_units_do_not_matter(scale):
    X = groups(300).astype(np.float64)
    one, other = Neighbors(6).fit(X), Neighbors(6).fit(X * scale)
    np.testing.assert_array_equal(one.indices_, other.indices_)
    np.testing.assert_allclose(other.distances_ / np.float32(scale), one.distances_, rtol=1e-5)


@pytest.mark.parametrize("method", ["exact", "partitioned"])
def test_equal_points_are_neighbours_at_distance_zero(method):
    X = np.repeat(groups(50), 40, axis=0)
    X[:1200] = X[0]
    model = Neighbors(15, method=method).fit(X)
    assert (model.distances_ == 0).all()
    assert (X[model.indices_] == X[:, None]).all()
    assert all(len(set(row)) == 14 for row in model.indices_)
    assert model.distances_graph_.nnz == 2000 * 14
    assert (model.connectivities_.data == 1).all()


def test_constant_data_and_all_rows_as_neighbours():
    assert (Neighbors(5).fit(np.full((20, 3), 7)).distances_ == 0).all()
    model = Neighbors(4).fit(np.array([[0.0], [1.0], [3.0], [7.0]]))
    assert model.indices_.tolist() == [[1, 2, 3], [0, 2, 3], [1, 0, 3], [2, 1, 0]]
    assert Neighbors(2).fit(np.eye(2)).connectivities_.toarray().tolist() == [[0, 1], [1, 0]]


def test_graphs_have_the_form_of_scanpys():
    model = Neighbors(7).fit(groups(200))
    distances, weights = model.distances_graph_, model.connectivities_
    assert distances.dtype == weights.dtype == np.float32
    assert (np.diff(distances.indptr) == 6).all()
    np.testing.assert_array_equal(distances.toarray()[3, model.indices_[3]], model.distances_[3])
    assert abs(weights - weights.T).max() == 0
    assert weights.diagonal().sum() == 0
    assert weights.has_canonical_format
    assert 0 < weights.data.min() <= weights.data.max() <= 1


def test_fuzzy_graph_is_that_of_the_definition(pbmc, fuzzy_union):
    counts = np.log1p(sparse.csr_matrix(pbmc.X[::8], dtype=np.float64))
    many = counts[:, np.argsort(-np.asarray(counts.mean(0)).ravel())[:100]].toarray()
    for X in (groups(300), many):
        model = Neighbors(15).fit(X)
        expected = fuzzy_union(model.indices_, model.distances_)
        np.testing.assert_allclose(model.connectivities_.toarray(), expected, atol=2e-5)
        assert abs(model.connectivities_.nnz - np.count_nonzero(np.rint(expected * 2**20))) <= 2
        assert abs(fuzzy_graph(model.indices_, model.distances_) - model.connectivities_).max() == 0


def test_the_graph_does_not_depend_on_the_rows_that_are_transposed_at_a_time(monkeypatch):
    X = groups(300)
    whole = Neighbors(15).fit(X)
    monkeypatch.setattr(neighbors, "PART", 7)
    parts = Neighbors(15).fit(X)
    for name in ("connectivities_", "distances_graph_"):
        one, other = getattr(whole, name), getattr(parts, name)
        assert all(np.array_equal(getattr(one, part), getattr(other, part)) for part in ("data", "indices", "indptr"))


def test_equally_near_neighbours_are_listed_by_number():
    assert Neighbors(4).fit(np.array([[0.0], [1], [-1], [1], [5]])).indices_[0].tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("model", "X", "message"),
    [
        (Neighbors(4), np.eye(3), "n_neighbors must be in 2..3, got 4"),
        (Neighbors(1), np.eye(3), "n_neighbors must be in 2..3, got 1"),
        (Neighbors(2, method="fast"), np.eye(3), "method must be one of"),
        (Neighbors(2, metric="manhattan"), np.eye(3), "metric must be one of"),
        (Neighbors(2), sparse.eye(3, format="csr"), "X must be dense"),
        (Neighbors(2), np.array([[0.0], [1.0], [np.inf]]), "row 2 holds NaN or infinity"),
        (Neighbors(2, metric="cosine"), np.array([[1.0], [0.0]]), "row 1 of X is zero"),
        (Neighbors(2), np.zeros((1, 3)), "at least 2 rows"),
    ],
)
def test_bad_values_are_refused(model, X, message):
    with pytest.raises(ParameterError, match=message):
        model.fit(X)
