from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.graphs.walk import Walk
from kithkin.models.propagation import propagation
from kithkin.models.propagation.propagation import Propagation


def random_graph(n=60, density=0.15, seed=0):
    rng = np.random.default_rng(seed)
    upper = sparse.random(n, n, density, random_state=rng, data_rvs=lambda size: rng.uniform(0.1, 1.0, size))
    upper = sparse.triu(upper, 1)
    ring = sparse.diags([np.full(n - 1, 0.2)], [1])
    return sparse.csr_matrix(upper + upper.T + ring + ring.T).astype(np.float32)


def dense_end(graph, Y, alpha, normalize):
    W = graph.toarray().astype(float)
    d = W.sum(axis=1)
    S = {"symmetric": W / np.sqrt(np.outer(d, d)), "row": W / d[:, None], "column": W / d}[normalize]
    return np.linalg.solve(np.eye(len(W)) - alpha * S, (1 - alpha) * Y)


def seeds(n=60, s=3, seed=1):
    Y = np.zeros((n, s))
    Y[np.random.default_rng(seed).choice(n, s, replace=False), np.arange(s)] = 1
    return Y


@pytest.mark.parametrize("alpha", [0.3, 0.9, 0.999])
@pytest.mark.parametrize("normalize", ["symmetric", "row", "column"])
@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_end_of_the_walk_is_the_solution_of_its_equation(alpha, normalize, method):
    graph, Y = random_graph(), seeds()
    model = Propagation(alpha, method=method, normalize=normalize, tolerance=1e-6, max_iter=20_000).fit(graph, Y)
    expected = dense_end(graph, Y, alpha, normalize)
    assert model.converged_.all()
    np.testing.assert_allclose(model.scores_, expected, rtol=2e-3, atol=2e-4 * expected.max())


@pytest.mark.parametrize("alpha", [0.2, 0.8])
def test_equals_label_spreading_of_scikit_learn(alpha):
    semi = pytest.importorskip("sklearn.semi_supervised")
    rng = np.random.default_rng(3)
    X = rng.normal(size=(40, 2)) + 3 * np.repeat(np.eye(2), 20, axis=0)
    labels = np.full(40, -1)
    labels[[0, 1, 20]] = [0, 0, 1]
    graph = np.exp(-((X[:, None] - X[None]) ** 2).sum(-1))
    np.fill_diagonal(graph, 0)
    peer = semi.LabelSpreading(kernel=lambda a, b: graph, alpha=alpha, max_iter=2000, tol=1e-12).fit(X, labels)
    F = Propagation(alpha, tolerance=1e-12).fit(graph, labels[:, None] == [0, 1]).scores_
    np.testing.assert_allclose(F / F.sum(axis=1, keepdims=True), peer.label_distributions_, rtol=1e-4)


@pytest.mark.parametrize("alpha", [0.5, 0.85, 0.99])
def test_equals_personalised_pagerank_of_igraph(alpha):
    igraph = pytest.importorskip("igraph")
    graph = random_graph(seed=5)
    upper = sparse.triu(graph).tocoo()
    peer = igraph.Graph(60, list(zip(upper.row.tolist(), upper.col.tolist(), strict=True)))
    chosen = [4, 17]
    rank = peer.personalized_pagerank(damping=alpha, reset_vertices=chosen, weights=upper.data.tolist())
    Y = np.zeros(60)
    Y[chosen] = 0.5
    found = Propagation(alpha, normalize="column", tolerance=1e-10).fit(graph, Y).scores_[:, 0]
    np.testing.assert_allclose(found, rank, rtol=1e-4)


def test_equals_pagerank_of_scikit_network():
    ranking = pytest.importorskip("sknetwork.ranking")
    graph = random_graph(seed=6)
    Y = np.zeros(60)
    Y[7] = 1
    found = Propagation(0.85, normalize="column", tolerance=1e-10).fit(graph, Y).scores_[:, 0]
    peer = ranking.PageRank(damping_factor=0.85, solver="RH", n_iter=500).fit_predict(graph, weights=Y)
    np.testing.assert_allclose(found, peer, atol=1e-5)


@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_scores_are_not_negative_and_linear_in_the_seeds(method):
    graph, Y = random_graph(), seeds()
    model = Propagation(0.9, method=method, tolerance=1e-6)
    F = model.fit(graph, Y).scores_
    assert (F >= 0).all()
    mixed = model.fit(graph, Y @ [1.0, 2.0, 0.5]).scores_[:, 0]
    np.testing.assert_allclose(mixed, F @ [1.0, 2.0, 0.5], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_sums_are_kept_by_columns_and_constants_by_rows(method):
    graph, Y = random_graph(), seeds()
    kept = Propagation(0.95, method=method, normalize="column", tolerance=1e-6).fit(graph, Y).scores_
    np.testing.assert_allclose(kept.sum(axis=0), 1, rtol=1e-4)
    constant = Propagation(0.95, method=method, normalize="row", tolerance=1e-6).fit(graph, np.ones(60)).scores_
    np.testing.assert_allclose(constant, 1, rtol=1e-5)


@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_a_set_does_not_depend_on_the_sets_beside_it_nor_on_threads_nor_budget(method, monkeypatch):
    graph, Y = random_graph(300, 0.03), seeds(300, 5)
    Y[:, 0] = 1
    monkeypatch.setattr("kithkin.models.graphs.walk.ROWS", 64)
    model = Propagation(0.99, method=method, tolerance=1e-3)
    together = model.fit(graph, Y, Execution(threads=1))
    scores, counts = together.scores_, together.n_iter_
    assert len(set(counts)) > 1, "the sets should end at different steps"
    for execution in (Execution(threads=3), Execution(threads=2, memory=40_000)):
        again = model.fit(graph, Y, execution)
        np.testing.assert_array_equal(again.scores_, scores)
        np.testing.assert_array_equal(again.n_iter_, counts)
    for column in range(5):
        np.testing.assert_array_equal(model.fit(graph, Y[:, column]).scores_[:, 0], scores[:, column])


def test_iterations_stop_where_a_step_changes_little_and_every_residual_is_kept():
    graph, Y = random_graph(), seeds()
    model = Propagation(0.99, method="iterative", tolerance=0.01, history=True).fit(graph, Y)
    assert model.residuals_.shape == (model.n_iter_.max(), 3)
    W = graph.toarray().astype(float)
    S = W / np.sqrt(np.outer(W.sum(0), W.sum(0)))
    F, trace = Y.copy(), []
    for step in range(model.n_iter_[0]):
        new = 0.99 * S @ F + 0.01 * Y
        trace.append(np.linalg.norm(new[:, 0] - F[:, 0]) / np.linalg.norm(new[:, 0]))
        np.testing.assert_allclose(model.history_[step + 1][:, 0], new[:, 0], atol=1e-6)
        F = new
    assert trace[-1] <= 0.01 < trace[-2]
    np.testing.assert_allclose(model.residuals_[: len(trace), 0], trace, rtol=1e-3)
    np.testing.assert_allclose(model.scores_[:, 0], F[:, 0], atol=1e-6)
    short = Propagation(0.99, method="iterative", max_iter=2).fit(graph, Y)
    assert not short.converged_.any()
    assert short.n_iter_.tolist() == [2, 2, 2]


@pytest.mark.parametrize("limit", [10**9, 5_000])
def test_history_begins_with_the_seeds_and_ends_with_the_scores_in_memory_and_on_disk(limit):
    graph, Y = random_graph(), seeds()
    execution = Execution(memory=limit, threads=1)
    model = Propagation(0.9, method="iterative", tolerance=1e-3, history=True).fit(graph, Y, execution)
    assert isinstance(model.history_, np.memmap) == (limit == 5_000)
    assert model.history_.dtype == np.float32
    assert model.history_.shape == (1 + len(model.residuals_), 60, 3)
    np.testing.assert_allclose(model.history_[0], Y, rtol=1e-6)
    np.testing.assert_array_equal(model.history_[-1], model.scores_)
    assert Propagation().fit(graph, Y).history_ is None


def test_the_residual_of_conjugate_gradients_is_that_of_the_scores():
    graph, Y = random_graph(), seeds()
    model = Propagation(0.999, tolerance=1e-4).fit(graph, Y)
    W = graph.toarray().astype(float)
    S = W / np.sqrt(np.outer(W.sum(0), W.sum(0)))
    residual = np.linalg.norm(0.001 * Y - (np.eye(60) - 0.999 * S) @ model.scores_, axis=0) / 0.001
    last = [model.residuals_[count - 1, column] for column, count in enumerate(model.n_iter_)]
    np.testing.assert_allclose(residual, last, rtol=0.05)
    assert (residual <= 1.1e-4).all()


@pytest.mark.parametrize("method", ["exact", "iterative"])
@pytest.mark.parametrize("normalize", ["symmetric", "row"])
def test_clamped_seeds_stay_what_they_were_and_the_rest_follows(method, normalize):
    graph, Y = random_graph(), seeds()
    found = Propagation(0.9, method=method, normalize=normalize, tolerance=1e-6, clamp=True).fit(graph, Y).scores_
    held = Y.any(axis=1)
    np.testing.assert_allclose(found[held], Y[held], rtol=1e-5)
    W = graph.toarray().astype(float)
    d = W.sum(axis=1)
    S = W / np.sqrt(np.outer(d, d)) if normalize == "symmetric" else W / d[:, None]
    free = np.linalg.solve(np.eye((~held).sum()) - 0.9 * S[~held][:, ~held], 0.9 * S[~held][:, held] @ Y[held])
    np.testing.assert_allclose(found[~held], free, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_parts_without_a_seed_get_nan_and_are_counted(method):
    graph = sparse.block_diag([random_graph(20, seed=1), random_graph(30, seed=2), sparse.csr_matrix((1, 1))]).tocsr()
    Y = np.zeros((51, 2), bool)
    Y[0, 0] = Y[5, 1] = Y[25, 1] = Y[50, 1] = True
    model = Propagation(method=method, history=method == "iterative").fit(graph, Y)
    assert np.isnan(model.scores_[20:, 0]).all()
    assert np.isfinite(model.scores_[:20]).all()
    assert np.isfinite(model.scores_[:, 1]).all()
    assert model.scores_[50, 1] == pytest.approx(0.1)
    assert model.n_unseeded_.tolist() == [2, 0]
    assert model.n_unreached_.tolist() == [31, 0]
    if method == "iterative":
        assert np.isnan(model.history_[0][20:, 0]).all()


@pytest.mark.parametrize(
    ("settings", "given", "message"),
    [
        ({"alpha": 1.0}, np.ones(60), "alpha must be above 0 and below 1, got 1.0"),
        ({"alpha": 0}, np.ones(60), "alpha must be above 0 and below 1, got 0"),
        ({"alpha": True}, np.ones(60), "alpha must be"),
        ({"alpha": "0.5"}, np.ones(60), "alpha must be"),
        ({"method": "fast"}, np.ones(60), "method must be one of"),
        ({"normalize": "both"}, np.ones(60), "normalize must be one of"),
        ({"tolerance": 0}, np.ones(60), "tolerance must be in"),
        ({"max_iter": 0}, np.ones(60), "max_iter must be in"),
        ({"history": True}, np.ones(60), "history needs method='iterative'"),
        ({}, np.zeros(60), "set 0 has none"),
        ({}, np.eye(60)[:, :2] * [1, 0], "set 1 has none"),
        ({}, np.ones(59), "seeds must have 60 rows, one for each vertex, got 59"),
        ({}, np.full(60, np.nan), "finite"),
        ({}, np.array(["a"] * 60), "numbers"),
    ],
)
def test_what_cannot_be_is_said_in_one_sentence(settings, given, message):
    with pytest.raises(ParameterError, match=message):
        Propagation(**settings).fit(random_graph(), given)


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        (np.ones((2, 3)), "square"),
        (np.array([[0, 1], [0, 0]]), "symmetric"),
        (np.array([[0, -1], [-1, 0]]), "not negative"),
        (np.array([[0, np.nan], [np.nan, 0]]), "finite"),
    ],
)
def test_a_graph_that_is_none_is_refused(graph, message):
    with pytest.raises(ParameterError, match=message):
        Walk(graph)


def test_a_graph_in_single_precision_is_not_copied_and_not_changed():
    graph = random_graph()
    before = graph.copy()
    assert np.shares_memory(Walk(graph).links[0], graph.data)
    Propagation().fit(graph, seeds())
    assert abs(graph - before).max() == 0
    wide = graph.copy()
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    np.testing.assert_array_equal(
        Propagation().fit(wide.astype(float), seeds()).scores_, Propagation().fit(graph, seeds()).scores_
    )


def test_a_seed_of_one_vertex_alone():
    assert Propagation(0.9).fit(np.zeros((1, 1)), [1]).scores_.tolist() == [[pytest.approx(0.1)]]
    assert propagation.COLUMNS >= 1


@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_seeds_in_any_layout_give_the_same(method):
    graph, Y = random_graph(), seeds()
    expected = Propagation(method=method).fit(graph, Y).scores_
    for layout in (np.asfortranarray(Y), Y.astype(bool), np.repeat(Y, 2, axis=1)[:, ::2], Y.tolist()):
        np.testing.assert_array_equal(Propagation(method=method).fit(graph, layout).scores_, expected)


@pytest.mark.parametrize("method", ["exact", "iterative"])
def test_bringing_neighbours_together_changes_the_rounding_only(method, monkeypatch):
    graph, Y = sparse.block_diag([random_graph(seed=8), random_graph(20, seed=9)]).tocsr(), np.zeros((80, 5))
    Y[[70, 3, 40, 22, 79], np.arange(5)] = 1
    model = Propagation(0.95, method=method, clamp=True, tolerance=1e-6, history=method == "iterative")
    plain, history = model.fit(graph, Y).scores_, model.history_
    monkeypatch.setattr(propagation, "WIDE", 1)
    np.testing.assert_allclose(model.fit(graph, Y).scores_, plain, rtol=1e-5, atol=1e-6)
    if method == "iterative":
        assert len(model.history_) == len(history)
        np.testing.assert_allclose(model.history_, history, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(Walk(graph).reordered(np.arange(80)).links[1], Walk(graph).links[1])
