from __future__ import annotations

import numpy as np
import pytest
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from kithkin.kernels.walk import advance_rows, connected_parts, pair_sums, reorder, step_rows, strengths


def links(n=70, density=0.06, seed=0):
    upper = sparse.triu(sparse.random(n, n, density, random_state=np.random.default_rng(seed)), 1)
    graph = sparse.csr_matrix(upper + upper.T).astype(np.float32)
    return graph, (graph.data, graph.indices.view(np.uint32), graph.indptr.astype(np.uint64))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("s", [1, 2, 7, 16])
def test_a_step_is_a_product_and_its_sums(s, dtype):
    graph, parts = links()
    rng = np.random.default_rng(1)
    x, source = rng.normal(size=(2, 70, s)).astype(dtype)
    scale, weight = rng.uniform(size=70).astype(dtype), rng.uniform(size=70)
    out, sums = np.full((70, s), np.nan, dtype), np.empty((3, s))
    step_rows(*parts, 10, 50, scale, x, source, weight, out, sums)
    expected = (scale[:, None] * (graph.toarray().astype(float) @ x) + source)[10:50]
    np.testing.assert_allclose(out[10:50], expected, rtol=1e-4, atol=1e-5)
    assert np.isnan(out[:10]).all()
    assert np.isnan(out[50:]).all()
    new, old, w = out[10:50].astype(float), x[10:50].astype(float), weight[10:50, None]
    np.testing.assert_allclose(sums, [(w * t).sum(0) for t in ((new - old) ** 2, new**2, new * old)], rtol=1e-9)
    alone, sums_alone = np.empty((70, 1), dtype), np.empty((3, 1))
    step_rows(*parts, 10, 50, scale, x[:, :1].copy(), source[:, :1].copy(), weight, alone, sums_alone)
    np.testing.assert_array_equal(alone[10:50, 0], out[10:50, 0])
    np.testing.assert_array_equal(sums_alone[:, 0], sums[:, 0])


def test_parts_are_scipys_and_their_order_goes_outward():
    graph, parts = links(density=0.015)
    part, order = np.empty((2, 70), np.int32)
    count = connected_parts(*parts, part, order)
    expected = connected_components(graph)
    assert count == expected[0]
    np.testing.assert_array_equal(part, expected[1])
    assert sorted(order) == list(range(70))
    assert (np.diff(part[order]) >= 0).all()
    weightless = np.zeros_like(graph.data), *parts[1:]
    assert connected_parts(*weightless, part, order) == 70


def test_another_order_is_the_same_graph():
    graph, parts = links()
    order = np.random.default_rng(2).permutation(70)
    place = np.argsort(order)
    new = [np.empty_like(part) for part in parts]
    reorder(*parts, order, place, *new)
    found = sparse.csr_matrix((new[0], new[1].view(np.int32), new[2].astype(np.int64)), shape=(70, 70))
    np.testing.assert_array_equal(found.toarray(), graph[order][:, order].toarray())


def test_strengths_and_the_first_weight_that_is_none():
    graph, parts = links()
    out_of, into = np.zeros((2, 70))
    assert strengths(*parts, out_of, into) == -1
    np.testing.assert_allclose(out_of, graph.toarray().sum(axis=1), rtol=1e-5)
    np.testing.assert_allclose(into, out_of, rtol=1e-6)
    for bad in (-1, np.nan, np.inf):
        data = graph.data.copy()
        data[7] = bad
        assert strengths(data, *parts[1:], out_of, into) == 7


def test_pairs_and_moves():
    graph, parts = links()
    rng = np.random.default_rng(3)
    x = rng.normal(size=(70, 3))
    sums = np.empty(3)
    pair_sums(*parts, 0, 70, x, sums)
    np.testing.assert_allclose(sums, [v @ (graph.toarray() @ v) for v in x.T], rtol=1e-5)
    p, q, y, r = rng.normal(size=(4, 70, 3))
    before = y.copy(), r.copy()
    step, weight = np.array([0.5, 0.0, -1.0]), rng.uniform(size=70)
    advance_rows(0, 70, step, weight, p, q, y, r, sums)
    np.testing.assert_allclose(y, before[0] + step * p)
    np.testing.assert_allclose(r, before[1] - step * q)
    np.testing.assert_allclose(sums, (weight[:, None] * r**2).sum(0))
