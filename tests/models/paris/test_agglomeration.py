import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from scipy import sparse
from scipy.cluster.hierarchy import cophenet, is_monotonic, is_valid_linkage
from scipy.linalg import block_diag
from scipy.sparse.csgraph import connected_components

from kithkin.models.paris.agglomeration import agglomerate


def random_graph(seed, n, density, whole=False, loops=False):
    rng = np.random.default_rng(seed)
    weights = rng.integers(1, 4, (n, n)).astype(float) if whole else rng.gamma(1.0, 1.0, (n, n))
    upper = np.triu(weights * (rng.random((n, n)) < density), 0 if loops else 1)
    return upper + np.triu(upper, 1).T


def by_definition(dense):
    """Join the nearest two again and again, distances taken anew from the definition; (left, right, height) each.

    None where two pairs are equally near: a leaf is as near to its only neighbour as any other leaf of it.
    """
    n, total = len(dense), dense.sum()
    clusters, merges = [[i] for i in range(n)], []
    while len(clusters) > 1:
        pairs = [(np.inf, 0, 1)]
        for i, a in enumerate(clusters):
            for j in range(i):
                weight = dense[np.ix_(a, clusters[j])].sum()
                if weight > 0:
                    pairs.append((dense[a].sum() * dense[clusters[j]].sum() / (total * weight), j, i))
        (height, j, i), *others = sorted(pairs)
        if others and others[0][0] < np.inf and others[0][0] <= height * (1 + 1e-9):
            return None
        merges.append((clusters[j], clusters[i], height))
        clusters[j] = clusters[j] + clusters.pop(i)
    return merges


def cophenetic(merges, n):
    out = np.zeros((n, n))
    for a, b, height in merges:
        out[np.ix_(a, b)] = out[np.ix_(b, a)] = height
    return out


def members(children, n):
    below = [[i] for i in range(n)]
    for a, b in children:
        below.append(below[a] + below[b])
    return below


@given(st.integers(0, 10**6), st.integers(2, 14), st.sampled_from([0.15, 0.4, 1.0]), st.booleans())
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
def test_the_tree_is_that_of_the_definition(seed, n, density, loops):
    dense = random_graph(seed, n, density, loops=loops)
    merges = by_definition(dense)
    assume(merges is not None)
    children, heights, sizes = agglomerate(sparse.csr_matrix(dense))
    assert np.allclose(heights, np.sort([height for _, _, height in merges]))
    below = members(children, n)
    ours = [(below[a], below[b], height) for (a, b), height in zip(children, heights, strict=True)]
    assert np.allclose(cophenetic(ours, n), cophenetic(merges, n))
    assert sizes.tolist() == [len(group) for group in below[n:]]


@given(st.integers(0, 10**6), st.integers(2, 25), st.booleans())
@settings(max_examples=60, deadline=None)
def test_it_is_a_linkage_as_scipy_knows_them(seed, n, whole):
    children, heights, sizes = agglomerate(sparse.csr_matrix(random_graph(seed, n, 0.3, whole)))
    finite = np.where(np.isinf(heights), 1e6, heights)
    linkage = np.column_stack([children.astype(float), finite, sizes])
    assert is_valid_linkage(linkage)
    assert is_monotonic(linkage)
    assert np.all(children[:, 0] < children[:, 1])


@given(st.integers(0, 10**6))
@settings(max_examples=40, deadline=None)
def test_ties_are_broken_so_that_a_scale_of_the_weights_changes_nothing(seed):
    dense = random_graph(seed, 12, 0.5, whole=True)
    first, again = (agglomerate(sparse.csr_matrix(factor * dense)) for factor in (1.0, 4.0))
    assert np.array_equal(first[0], again[0])
    assert np.allclose(first[1], again[1])


@pytest.mark.parametrize("parts", [1, 3])
def test_scikit_network_finds_the_same_heights(parts):
    hierarchy = pytest.importorskip("sknetwork.hierarchy", reason="scikit-network is not installed")
    for seed in range(5):
        dense = block_diag(*(random_graph(seed + 10 * part, 40, 0.3) for part in range(parts)))
        peer = hierarchy.Paris(reorder=False).fit_transform(sparse.csr_matrix(dense))
        children, heights, sizes = agglomerate(sparse.csr_matrix(dense))
        linkage = np.column_stack([children.astype(float), heights, sizes])
        assert np.allclose(np.sort(peer[:, 2]), heights)
        assert np.allclose(np.sort(cophenet(peer)), np.sort(cophenet(linkage)))
        finite = np.isfinite(cophenet(peer))
        assert np.allclose(cophenet(peer)[finite], cophenet(linkage)[finite])


@given(st.integers(0, 10**6))
@settings(max_examples=150, deadline=None)
def test_what_is_connected_is_joined_at_finite_height_also_where_rounding_breaks_ties(seed):
    rng = np.random.default_rng(seed)
    inside, between = rng.random((4, 4)), rng.random((4, 4))
    around = np.roll(np.eye(3), 1, axis=1)  # three like parts, each linked to the next in the same way
    dense = np.kron(np.eye(3), np.triu(inside, 1)) + np.kron(around, between)
    dense = dense + dense.T
    order = rng.permutation(12)
    graph = sparse.csr_matrix(dense[np.ix_(order, order)])
    _, heights, _ = agglomerate(graph)
    assert np.isinf(heights).sum() == connected_components(graph)[0] - 1


def test_of_equally_near_leaves_the_one_with_the_lowest_id_is_joined_first():
    star = np.zeros((5, 5))
    star[2, [0, 1, 3, 4]] = star[[0, 1, 3, 4], 2] = [0.7, 0.3, 0.9, 0.4]
    assert agglomerate(sparse.csr_matrix(star))[0].tolist() == [[0, 2], [1, 5], [3, 6], [4, 7]]


def test_parts_without_a_link_are_joined_last_the_smallest_first():
    dense = np.zeros((7, 7))
    for a, b in ((0, 1), (1, 2), (3, 4)):
        dense[a, b] = dense[b, a] = 1.0
    children, heights, sizes = agglomerate(sparse.csr_matrix(dense))
    assert np.isinf(heights).tolist() == [False] * 3 + [True] * 3
    assert children[3].tolist() == [5, 6]
    assert sizes[3:].tolist() == [2, 4, 7]


def test_a_star_and_a_path_are_done_as_well():
    star = np.zeros((300, 300))
    star[0, 1:] = star[1:, 0] = np.arange(1, 300)
    path = np.diag(np.arange(1.0, 300.0), 1)
    for dense in (star, path + path.T):
        _, heights, sizes = agglomerate(sparse.csr_matrix(dense))
        assert np.isfinite(heights).all()
        assert np.all(np.diff(heights) >= 0)
        assert sizes[-1] == 300


@pytest.mark.parametrize("n", [1, 2])
def test_without_links(n):
    children, heights, _ = agglomerate(sparse.csr_matrix((n, n)))
    assert len(children) == n - 1
    assert np.isinf(heights).all()


def test_single_precision_weights_and_stored_zeros():
    dense = random_graph(3, 20, 0.4)
    graph = sparse.csr_matrix(dense.astype(np.float32))
    graph.data[:3] = 0
    graph = graph.minimum(graph.T).tocsr()
    explicit = sparse.csr_matrix((dense.shape), dtype=np.float32) + graph
    assert np.array_equal(agglomerate(explicit)[0], agglomerate(sparse.csr_matrix(graph.toarray().astype(float)))[0])
