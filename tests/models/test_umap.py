import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_digits
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models import umap
from kithkin.models.umap import UMAP, similarity_curve


def neighbour_graph(X, k=15):
    """Fuzzy union of exponential weights, near enough to UMAP's own."""
    distances, indices = NearestNeighbors(n_neighbors=k + 1).fit(X).kneighbors(X)
    distances, indices = distances[:, 1:], indices[:, 1:]
    weights = np.exp(-(distances - distances[:, :1]) / (distances[:, -1:] - distances[:, :1] + 1e-9) * 2)
    rows = np.repeat(np.arange(len(X)), k)
    directed = sparse.csr_matrix((weights.ravel(), (rows, indices.ravel())), shape=(len(X), len(X)))
    return sparse.csr_matrix(directed + directed.T - directed.multiply(directed.T))


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    X = X - X.mean(axis=0)
    components = np.linalg.svd(X, full_matrices=False)[2][:20]
    return X @ components.T, y, neighbour_graph(X)


def two_groups(n=10):
    return np.kron(np.eye(2), np.ones((n, n))), np.random.default_rng(0).normal(size=(2 * n, 2))


def test_a_graph_in_blocks_gives_the_same_map(digits):
    X, _, graph = digits
    looped = graph.copy()
    looped.setdiag(2)  # of vertices to themselves, which are left out
    maps = [UMAP(n_epochs=30).fit(one, X).embedding_ for one in (graph, InMemory(graph, 100), InMemory(looped, 333))]
    assert np.array_equal(maps[0], maps[1])
    assert np.array_equal(maps[0], maps[2])
    directed = sparse.csr_matrix(sparse.triu(graph))
    for wrong, message in ((InMemory(directed, 100), "symmetric"), (InMemory(-graph, 100), "not negative")):
        with pytest.raises(ParameterError, match=message):
            UMAP().fit(wrong, X)
    with pytest.raises(ParameterError, match="must be sparse, got dense row blocks"):
        UMAP().fit(InMemory(graph.toarray()), X)


@pytest.mark.parametrize("init", ["pca", "kmeans"])
def test_digits_keep_their_neighbours(digits, init):
    X, y, graph = digits
    embedding = UMAP(init=init).fit(graph, X).embedding_
    assert embedding.shape == (1797, 2)
    assert embedding.dtype == np.float32
    assert trustworthiness(X, embedding, n_neighbors=15) > 0.975
    near = NearestNeighbors(n_neighbors=2).fit(embedding).kneighbors(embedding, return_distance=False)[:, 1]
    assert (y[near] == y).mean() > 0.95


def test_result_does_not_depend_on_threads(digits, monkeypatch):
    X, _, graph = digits
    monkeypatch.setattr(umap, "SMALL", 0)
    one, two, five = (UMAP(n_epochs=30).fit(graph, X, Execution(threads=t)).embedding_ for t in (1, 2, 5))
    assert np.array_equal(one, two)
    assert np.array_equal(one, five)


def test_seed_decides(digits):
    X, _, graph = digits
    first, again, other = (UMAP(n_epochs=5, seed=s).fit(graph, X).embedding_ for s in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_callback_sees_every_epoch():
    graph, start = two_groups()
    seen = []
    model = UMAP(n_epochs=7, init=start, callback=lambda epoch, points: seen.append((epoch, points.copy())))
    model.fit(graph)
    assert [epoch for epoch, _ in seen] == list(range(7))
    assert np.array_equal(seen[-1][1], model.embedding_)
    assert not np.array_equal(seen[0][1], seen[1][1])


def test_callback_can_interrupt():
    graph, start = two_groups()

    def stop(epoch, points):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        UMAP(init=start, callback=stop).fit(graph)


def test_vertices_without_edges_stay_and_nothing_is_nan():
    graph, start = two_groups()
    graph[:, 3] = graph[3, :] = 0
    embedding = UMAP(init=start).fit(graph).embedding_
    assert np.isfinite(embedding).all()
    assert np.array_equal(embedding[3], start[3].astype(np.float32))


def test_a_hub_is_not_thrown_away():
    n = 2000
    spokes = np.arange(1, n)
    graph = sparse.csr_matrix((np.ones(n - 1), (np.zeros(n - 1, int), spokes)), shape=(n, n))
    start = np.random.default_rng(0).normal(size=(n, 2))
    seen = []
    UMAP(init=start, callback=lambda _, points: seen.append(np.abs(points).max())).fit(graph + graph.T)
    assert max(seen) < 100


def test_self_links_do_nothing():
    graph, start = two_groups()
    with_loops = UMAP(init=start).fit(graph).embedding_
    np.fill_diagonal(graph, 0)
    assert np.array_equal(with_loops, UMAP(init=start).fit(graph).embedding_)


def test_weak_edges_are_left_out():
    graph, start = two_groups()
    weak = graph.copy()
    weak[0, 15] = weak[15, 0] = 0.001
    for n_epochs, left_out in ((500, True), (2000, False)):
        layouts = [UMAP(n_epochs=n_epochs, init=start).fit(links).embedding_ for links in (graph, weak)]
        assert np.array_equal(*layouts) == left_out


def test_default_epochs_follow_the_size():
    graph, start = two_groups()
    assert UMAP(init=start).fit(graph).n_epochs_ == 500
    n = 10_001
    ring = sparse.diags([np.ones(n - 1)] * 2, [-1, 1], format="csr")
    assert UMAP(init=np.zeros((n, 2))).fit(ring).n_epochs_ == 200


# values of umap.umap_.find_ab_params
@pytest.mark.parametrize(("min_dist", "a", "b"), [(0.1, 1.57694, 0.89506), (0.5, 0.58303, 1.33417)])
def test_curve_is_umaps(min_dist, a, b):
    np.testing.assert_allclose(similarity_curve(min_dist, 1.0), (a, b), rtol=1e-3)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_components": 3}, "n_components must be one of 2, got 3"),
        ({"n_epochs": 0}, "n_epochs must be in 1"),
        ({"min_dist": 2.0}, "min_dist must be in"),
        ({"init": "spectral"}, "init must be one of 'pca', 'kmeans'"),
        ({"init": np.zeros((3, 2))}, "init must be 20 x 2, got 3 x 2"),
        ({"init": np.full((20, 2), np.nan)}, "init must be finite"),
        ({}, "needs X"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        UMAP(**settings).fit(two_groups()[0])


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (np.ones((3, 4)), "graph must be square, got 3 x 4"),
        (np.zeros((3, 3)), "graph must have edges"),
        (np.eye(3), "graph must have edges"),
        (np.triu(np.ones((3, 3))), "graph must be symmetric"),
        (-np.ones((3, 3)), "weights that are finite and not negative"),
        (np.full((3, 3), np.inf), "weights that are finite and not negative"),
    ],
)
def test_impossible_graphs_are_refused(graph, message):
    with pytest.raises(ParameterError, match=message):
        UMAP(init=np.zeros((3, 2))).fit(graph)


def test_x_must_fit_the_graph():
    graph, _ = two_groups()
    with pytest.raises(ParameterError, match="X must have the graph's 20 rows"):
        UMAP().fit(graph, np.zeros((5, 3)))
    with pytest.raises(ParameterError, match="at least 2 columns"):
        UMAP().fit(graph, np.zeros((20, 1)))
    with pytest.raises(ParameterError, match="must vary in its first two columns"):
        UMAP().fit(graph, np.ones((20, 3)))
