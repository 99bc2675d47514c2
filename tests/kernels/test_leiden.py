"""Steps of Leiden: orders are permutations, parts lie within communities, and sums of links are those of matrices."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.leiden import aggregate, merge_within, move_nodes, node_strengths, quality, shuffle, split_parts
from kithkin.models.graphs.weighted_graph import links_of


def graph_of(n=200, density=0.05, seed=0):
    upper = sparse.triu(sparse.random(n, n, density, random_state=seed, format="csr"), 1)
    matrix = sparse.csr_matrix(upper + upper.T)
    strength = np.zeros(n)
    assert node_strengths(*links_of(matrix, np.float64), strength) == matrix.nnz
    np.testing.assert_allclose(strength, np.asarray(matrix.sum(1)).ravel())
    return matrix, links_of(matrix, np.float64), strength


def shuffled(n, seed):
    order = np.empty(n, np.int32)
    shuffle(order, np.array([seed], np.uint64))
    return order


def test_orders_are_permutations_that_differ_by_seed_and_favour_no_place():
    assert sorted(shuffled(1000, 3)) == list(range(1000))
    assert (shuffled(1000, 3) == shuffled(1000, 3)).all()
    assert (shuffled(1000, 3) != shuffled(1000, 4)).any()
    first = np.bincount([shuffled(10, seed)[0] for seed in range(5000)], minlength=10)
    assert np.square(first - 500).sum() / 500 < 28  # chi-squared, 9 degrees of freedom: p of 0.001


def test_moves_raise_the_quality_and_number_without_gaps():
    _, links, strength = graph_of()
    resolution, member = 1 / strength.sum(), np.arange(200, dtype=np.int32)
    before = quality(*links, strength, resolution, member, 200)
    assert move_nodes(*links, strength, resolution, member, shuffled(200, 1)) > 0
    assert set(member) == set(range(member.max() + 1))
    assert quality(*links, strength, resolution, member, member.max() + 1) > before
    again = [move_nodes(*links, strength, resolution, member, shuffled(200, seed)) for seed in range(5)]
    assert again[0] < 10  # only nodes without a link to what moved
    assert again[-1] == 0


@pytest.mark.parametrize("theta", [1e-9, 0.01, 10.0])
def test_parts_are_connected_within_communities_and_their_links_add_up(theta):
    matrix, links, strength = graph_of()
    member = (np.arange(200) // 50).astype(np.int32)
    order, part = shuffled(200, 5), np.empty(200, np.int32)
    count = merge_within(*links, strength, 1 / strength.sum(), theta, member, order, np.array([9], np.uint64), part)
    assert set(part) == set(range(count))
    assert 4 < count < 200
    assert len(np.unique(np.stack([part, member]), axis=1).T) == count
    assert split_parts(*links, part.copy(), np.empty(200, np.int32)) == count
    assert sorted(order) == list(range(200))
    assert (np.diff(part[order]) >= 0).all()
    weights, ends, pointers, mass = aggregate(*links, strength, part, order, count)
    sums = sparse.csr_matrix((weights, ends.astype(int), pointers.astype(int)), shape=(count, count)).toarray()
    of = np.eye(count)[part]
    expected = of.T @ matrix.toarray() @ of
    np.fill_diagonal(expected, 0)
    np.testing.assert_allclose(sums, expected, atol=1e-12)
    np.testing.assert_allclose(mass, of.T @ strength)


def test_communities_in_pieces_are_divided():
    one = np.zeros(200, np.int32)
    matrix = sparse.block_diag([np.ones((3, 3)), np.ones((2, 2))], format="csr")
    assert split_parts(*links_of(matrix, np.float64), one[:5], one[5:10].copy()) == 2
    assert one[:5].tolist() == [0, 0, 0, 1, 1]
