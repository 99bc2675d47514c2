import numpy as np
import pytest

from kithkin.metrics.hierarchy import leaf_order, paris_linkage
from kithkin.plot.trees.layout import Frame, Tree, depths, fit, ticks


def tree_of(k, seed=0, parts=1):
    rng = np.random.default_rng(seed)
    weights = rng.random((k, k)) ** 12 + 1e-4
    part = np.sort(rng.integers(0, parts, k))
    weights = (weights + weights.T) * (part[:, None] == part)
    linkage = paris_linkage(weights)
    return Tree.of(linkage, leaf_order(weights, linkage))


def touching(centers, radii):
    apart = np.linalg.norm(centers[:, None] - centers[None], axis=2) - radii[:, None] - radii[None]
    np.fill_diagonal(apart, 1.0)
    return (apart <= 0).sum()


def test_parts_become_one_joint():
    tree = tree_of(12, parts=3)
    assert len(tree.children[-1]) == len({tuple(tree.members[c]) for c in tree.children[-1]})
    assert np.isinf(tree.heights[-1])
    assert np.isfinite(tree.heights[:-1]).all()
    assert tree.members[-1].all()
    assert (tree.parents[:-1] > np.arange(len(tree.parents) - 1)).all()
    assert tree.parents[-1] == -1


def test_leaves_below_a_node_are_side_by_side():
    tree = tree_of(20)
    assert sorted(tree.places[:20]) == list(range(20))
    for node in range(20, 39):
        below = np.sort(tree.places[:20][tree.members[node]])
        assert np.array_equal(below, np.arange(below[0], below[0] + len(below)))
        assert below[0] <= tree.places[node] <= below[-1]


@pytest.mark.parametrize("spacing", [0.3, None])
@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("seed", range(4))
def test_depth_is_the_logarithm_of_the_height_and_drawn_nodes_do_not_touch(spacing, parts, seed):
    k = 25
    tree, frame = tree_of(k, seed, parts), Frame(k, spacing)
    radii = np.minimum(0.04 * np.sqrt(tree.members.sum(axis=1)), 0.2)
    found, taken, room = fit(tree, frame, [radii, 0.7 * radii], 3.0)
    radii = [radii, 0.7 * radii][taken]
    assert touching(frame.at(tree.places, found)[room], radii[room]) == 0
    assert room[:k].all()
    assert room[-1]
    assert (found[:k] == 3.0).all()
    assert found[0] > found[k:].max()
    merges = np.flatnonzero(np.isfinite(tree.heights) & (tree.heights > 0))
    logs = np.log(tree.heights[merges])
    np.testing.assert_allclose(
        np.diff(found[merges]), -depths(tree, 3.0, radii[:k].max())[1] * np.diff(logs), atol=1e-9
    )


def test_radii_with_which_most_nodes_can_be_drawn_are_taken():
    tree, frame = tree_of(10), Frame(10, 0.3)
    assert fit(tree, frame, [np.full(19, 0.02), np.full(19, 0.01)], 3.0)[1] == 0
    large, small = (fit(tree, frame, [np.full(19, r)], 3.0)[2].sum() for r in (0.14, 0.02))
    assert large < small
    assert fit(tree, frame, [np.full(19, 0.14), np.full(19, 0.02)], 3.0)[1] == 1


@pytest.mark.parametrize("parts", [1, 3, 30])
def test_ticks_are_apart_and_ascend(parts):
    tree = tree_of(30, parts=parts)
    found, _, _ = fit(tree, Frame(30, 0.2), [np.full(len(tree.places), 0.05)], 3.0)
    labels, at = ticks(tree, found)
    assert (np.diff(at) <= -0.28).all()
    assert ("∞" in labels) == (parts > 1)
    values = [float(label.replace(",", "")) for label in labels if label != "∞"]
    assert values == sorted(values)


def test_ticks_of_a_single_merge():
    tree = Tree.of(np.array([[0, 1, 8.76, 2]]), np.arange(2))
    assert ticks(tree, np.array([2.0, 2.0, 0.0]))[0] == ["8.8"]
