"""Neighbours in the tissue against brute force, and enrichment against counting one by one."""

import numpy as np
import pytest
from scipy import sparse
from scipy.spatial import Delaunay
from scipy.spatial.distance import cdist

from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models import NeighborhoodEnrichment, SpatialNeighbors

POINTS = np.random.default_rng(0).uniform(0, 100, (150, 2))
APART = cdist(POINTS, POINTS)


def is_graph(model):
    joined, apart = model.connectivities_, model.distances_
    assert (joined != joined.T).nnz == 0
    assert np.array_equal(joined.indices, apart.indices)
    assert np.array_equal(joined.indptr, apart.indptr)
    assert joined.has_canonical_format
    assert joined.diagonal().sum() == 0
    assert (joined.data == 1).all()
    assert joined.dtype == apart.dtype == np.float32
    return joined.toarray().astype(bool)


def test_radius():
    model = SpatialNeighbors("radius", radius=12.0).fit(POINTS)
    expected = (APART <= 12) & ~np.eye(150, dtype=bool)
    assert np.array_equal(is_graph(model), expected)
    np.testing.assert_allclose(model.distances_.toarray()[expected], APART[expected], rtol=1e-6)


@pytest.mark.parametrize("dims", [2, 3])
def test_nearest(dims):
    points = np.random.default_rng(1).normal(0, 1, (80, dims))
    nearest = np.argsort(cdist(points, points), axis=1)[:, 1:6]
    expected = np.zeros((80, 80), bool)
    expected[np.repeat(np.arange(80), 5), nearest.ravel()] = True
    assert np.array_equal(is_graph(SpatialNeighbors("knn", n_neighbors=5).fit(points)), expected | expected.T)


def test_delaunay_and_its_longest_edges():
    expected = np.zeros((150, 150), bool)
    for a, b, c in Delaunay(POINTS).simplices:
        expected[[a, b, c], [b, c, a]] = True
    expected |= expected.T
    assert np.array_equal(is_graph(SpatialNeighbors().fit(POINTS)), expected)
    assert np.array_equal(is_graph(SpatialNeighbors(radius=15).fit(POINTS)), expected & (APART <= 15))


@pytest.mark.parametrize("method", ["delaunay", "radius", "knn"])
def test_cells_of_different_groups_are_not_joined(method):
    groups = np.random.default_rng(2).choice(["b", "a"], 150)
    model = SpatialNeighbors(method, radius=20.0)
    whole = is_graph(model.fit(POINTS, groups))
    for group in "ab":
        alone = is_graph(model.fit(POINTS[groups == group]))
        assert np.array_equal(whole[np.ix_(groups == group, groups == group)], alone)
    assert not whole[np.ix_(groups == "a", groups == "b")].any()


@pytest.mark.parametrize("method", ["delaunay", "radius", "knn"])
def test_cells_at_one_place_on_a_line_or_alone(method):
    model = SpatialNeighbors(method, radius=1.5, n_neighbors=2)
    assert is_graph(model.fit(np.zeros((1, 2)))).sum() == 0
    assert is_graph(model.fit(np.zeros((0, 2)))).shape == (0, 0)
    line = np.outer(np.arange(6.0), [0.6, 0.8])
    assert is_graph(model.fit(line)).sum() >= 10
    twice = np.repeat(np.random.default_rng(3).uniform(0, 3, (10, 2)), 2, axis=0)
    joined = is_graph(model.fit(twice))
    assert joined[np.arange(0, 20, 2), np.arange(1, 20, 2)].all()
    assert is_graph(model.fit(np.zeros((4, 2)))).sum() > 0


@pytest.mark.parametrize(
    ("settings", "points", "message"),
    [
        ({"method": "near"}, POINTS, "method must be one of 'delaunay', 'radius', 'knn', got 'near'"),
        ({"method": "radius"}, POINTS, "radius must be given for 'radius'"),
        ({"radius": -1.0}, POINTS, "radius must be above 0, got -1.0"),
        ({"method": "knn", "n_neighbors": 0}, POINTS, "n_neighbors must be in 1..1048576, got 0"),
        ({}, np.ones((4, 3)), "X must have two columns for 'delaunay'"),
        ({}, np.ones(4), "X must be n x 2 or 3"),
        ({}, np.full((4, 2), np.nan), "4 cells have no coordinates"),
    ],
)
def test_what_is_not_possible_is_refused(settings, points, message):
    with pytest.raises(ParameterError, match=message):
        SpatialNeighbors(**settings).fit(points)


def counted(graph, labels, k):
    out = np.zeros((k, k), int)
    for i, j in zip(*graph.nonzero(), strict=True):
        if labels[i] >= 0 and labels[j] >= 0:
            out[labels[i], labels[j]] += 1
    return out


@pytest.mark.parametrize("symmetric", [True, False])
def test_counts_are_those_of_one_by_one(symmetric):
    graph = SpatialNeighbors("knn").fit(POINTS).connectivities_
    graph = graph if symmetric else sparse.csr_matrix(sparse.triu(graph) + sparse.eye(150))
    labels = np.random.default_rng(4).integers(-1, 4, 150)
    model = NeighborhoodEnrichment(5).fit(graph, labels)
    assert np.array_equal(model.counts_, counted(graph, labels, 4))


def test_scores_are_those_of_all_permutations_within_groups():
    graph = SpatialNeighbors().fit(POINTS).connectivities_
    rng = np.random.default_rng(5)
    labels, groups = rng.integers(-1, 3, 150), rng.integers(0, 2, 150)
    counts = []
    for number in range(20):
        dealt, stream = labels.copy(), np.random.default_rng([7, number])
        for group in (0, 1):
            members = np.flatnonzero((groups == group) & (labels >= 0))
            dealt[members] = labels[stream.permutation(members)]
        counts.append(counted(graph, dealt, 3))
    expected = (counted(graph, labels, 3) - np.mean(counts, axis=0)) / np.std(counts, axis=0)
    for threads in (1, 3):
        model = NeighborhoodEnrichment(20, seed=7).fit(graph, labels, groups, Execution(threads=threads))
        np.testing.assert_allclose(model.zscores_, expected, rtol=1e-9)


def test_halves_of_a_tissue_avoid_each_other_and_mixtures_do_not():
    graph = SpatialNeighbors().fit(POINTS).connectivities_
    halves = (POINTS[:, 0] > 50).astype(int)
    found = NeighborhoodEnrichment(200).fit(graph, halves).zscores_
    assert found[0, 1] < -5
    assert min(found[0, 0], found[1, 1]) > 5
    mixed = NeighborhoodEnrichment(200).fit(graph, np.random.default_rng(6).permutation(halves)).zscores_
    assert abs(mixed).max() < 4


def test_a_single_cluster_has_no_score():
    model = NeighborhoodEnrichment(10).fit(SpatialNeighbors().fit(POINTS).connectivities_, np.zeros(150, int))
    assert model.zscores_.tolist() == [[0.0]]


def test_labels_must_fit():
    graph = SpatialNeighbors().fit(POINTS).connectivities_
    with pytest.raises(ParameterError, match="labels must be 150"):
        NeighborhoodEnrichment().fit(graph, np.zeros(3, int))
    with pytest.raises(ParameterError, match="at least one cluster"):
        NeighborhoodEnrichment().fit(graph, np.full(150, -1))
