from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.diffusion import DiffusionMap, diffusion_pseudotime
from kithkin.models.neighbors.neighbors import Neighbors


def curve(n=600, seed=0):
    t = np.sort(np.random.default_rng(seed).uniform(0, 1, n))
    noise = np.random.default_rng(seed + 1).normal(0, 0.02, (n, 3))
    return t, Neighbors(15).fit(np.column_stack([np.cos(3 * t), np.sin(3 * t), t**2]) + noise).connectivities_


def transitions(graph):
    W = graph.toarray().astype(float)
    K = W / np.outer(W.sum(0), W.sum(0))
    return K / np.sqrt(np.outer(K.sum(0), K.sum(0)))


@pytest.mark.parametrize("n", [200, 600])
def test_columns_are_the_leading_eigenvectors_of_the_normalised_graph(n):
    _, graph = curve(n)
    model = DiffusionMap(8).fit(graph)
    T = transitions(graph)
    V, values = model.embedding_, model.eigenvalues_
    assert np.linalg.norm(T @ V - V * values, axis=0).max() < 1e-5
    np.testing.assert_allclose(V.T @ V, np.eye(8), atol=1e-7)
    np.testing.assert_allclose(values, np.linalg.eigvalsh(T)[::-1][:8], atol=1e-6)
    assert (V[np.abs(V).argmax(axis=0), np.arange(8)] > 0).all()
    assert model.n_parts_ == 1


def test_equals_scanpy():
    sc = pytest.importorskip("scanpy")
    _, graph = curve(150)  # scanpy does not weigh eigenvalues from 0.9994 on, of which a longer curve has some
    adata = sc.AnnData(np.zeros((150, 1), np.float32))
    adata.obsp["connectivities"], adata.obsp["distances"] = graph, graph
    keys = {"connectivities_key": "connectivities", "distances_key": "distances"}
    adata.uns["neighbors"] = {**keys, "params": {"n_neighbors": 15, "method": "umap"}}
    sc.tl.diffmap(adata, 10)
    adata.uns["iroot"] = 0
    sc.tl.dpt(adata, n_dcs=10)
    model = DiffusionMap(10).fit(graph)
    np.testing.assert_allclose(model.eigenvalues_, adata.uns["diffmap_evals"], atol=1e-5)
    along = np.abs((model.embedding_ * adata.obsm["X_diffmap"]).sum(axis=0))
    np.testing.assert_allclose(along, 1, atol=1e-3)
    time = diffusion_pseudotime(model.embedding_, model.eigenvalues_, 0)
    assert np.corrcoef(time, adata.obs["dpt_pseudotime"])[0, 1] > 0.9999


def test_pseudotime_follows_a_curve():
    t, graph = curve()
    model = DiffusionMap(10).fit(graph)
    time = diffusion_pseudotime(model.embedding_, model.eigenvalues_, 0, model.parts_)
    assert time[0] == 0
    assert time.max() == 1
    assert np.corrcoef(np.argsort(np.argsort(time)), np.arange(len(t)))[0, 1] > 0.99


def test_parts_share_the_first_column_and_others_show_what_is_within():
    _, one = curve(500)
    graph = sparse.block_diag([one, curve(60, 7)[1], sparse.csr_matrix((2, 2))]).tocsr()
    model = DiffusionMap(6).fit(graph)
    assert model.n_parts_ == 4
    alone = DiffusionMap(3).fit(one)
    assert (model.eigenvalues_[1:] < 1 - 1e-4).all()
    np.testing.assert_allclose(model.eigenvalues_[1:3], alone.eigenvalues_[1:3], atol=1e-7)
    assert np.abs(model.embedding_[:500, 1] @ alone.embedding_[:, 1]) == pytest.approx(1, abs=1e-5)
    time = diffusion_pseudotime(model.embedding_, model.eigenvalues_, 0, model.parts_)
    assert np.isnan(time[500:]).all()
    assert np.isfinite(time[:500]).all()


def test_threads_change_nothing(monkeypatch):
    monkeypatch.setattr("kithkin.models.graphs.walk.ROWS", 100)
    _, graph = curve(450)
    one, three = (DiffusionMap(5).fit(graph, Execution(threads=threads)) for threads in (1, 3))
    np.testing.assert_array_equal(one.embedding_, three.embedding_)
    other = DiffusionMap(5, seed=3).fit(graph)
    np.testing.assert_allclose(one.eigenvalues_, other.eigenvalues_, atol=1e-9)


def test_what_cannot_be_is_said_in_one_sentence():
    _, graph = curve(50)
    for number in (1, 50):
        with pytest.raises(ParameterError, match="n_components must be in"):
            DiffusionMap(number).fit(graph)
    with pytest.raises(ParameterError, match="root must be in"):
        diffusion_pseudotime(np.ones((3, 2)), np.array([1, 0.5]), 3)
    with pytest.raises(ParameterError, match="below 1"):
        diffusion_pseudotime(np.ones((3, 2)), np.array([1, 1.0]), 0)
