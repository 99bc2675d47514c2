"""Choice of rows and columns for the gates of clusters, and the scores of clusters."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from kithkin.core.blocks import InMemory  # noqa: E402
from kithkin.models.gates.rows import (  # noqa: E402
    choose_rows,
    first_gates,
    largest_equal,
    narrow_scale,
    read_rows,
    room_of,
    separation,
    wanted_features,
)
from kithkin.models.gates.scores import LabelScores, one_against_rest  # noqa: E402
from kithkin.models.nn.batches import Scale  # noqa: E402


def test_more_features_are_wanted_of_wider_tables_but_ever_fewer():
    found = [round(wanted_features(p), 1) for p in (2, 13, 64, 784, 20_000)]
    assert found == [1.0, 3.0, 5.1, 28.8, 42.9]


def test_fewer_rows_are_trained_on_where_they_are_long():
    assert room_of(InMemory(np.zeros((3, 2)))) == 12_000
    assert room_of(InMemory(np.zeros((3, 20_000), np.float32))) == 1677


def test_small_clusters_are_trained_on_whole():
    codes = np.repeat([0, 1, 2, -1], [4, 10, 1000, 7])
    train, held = choose_rows(codes, 60)
    assert [(codes[train] == k).sum() for k in (0, 1, 2, -1)] == [4, 9, 47, 0]
    assert len(held) == 16


@pytest.mark.parametrize(("sizes", "room", "number"), [([4, 10, 1000], 60, 46), ([5, 5], 100, 100), ([5, 5], 1, 1)])
def test_largest_equal_number(sizes, room, number):
    assert largest_equal(np.array(sizes), room) == number


def test_rows_are_read_across_blocks():
    assert read_rows(InMemory(np.eye(4), rows=2), np.array([1, 3])).tolist() == np.eye(4)[[1, 3]].tolist()


def test_separation_finds_the_column_that_differs():
    X = np.tile(np.array([[0.0, 1.0], [0.0, 0.0], [9.0, 1.0], [9.0, 0.0]]), (9, 1))
    apart = separation(X, np.tile([0, 0, 1, 1], 9), 2, Scale.of(X, "none"))
    assert apart.argmax(axis=1).tolist() == [0, 0]
    assert apart[:, 1].tolist() == [0.0, 0.0]


def test_a_scaling_is_narrowed_to_some_of_its_columns():
    X = np.array([[0.0, 0.0, 0.0], [1.0, 2.0, 4.0]])
    scale = narrow_scale(Scale.of(X, "minmax", np.array([0, 2])), np.array([1]), 2)
    assert scale.dense(X).tolist() == [[0.0], [1.0]]


def test_initial_gates_are_open_for_the_best_columns():
    found = first_gates(np.array([[8.0, 4.0, 2.0, 1.0]]), 3)
    np.testing.assert_allclose(found, [[1.0, 0.71, 0.565, 0.275]], atol=1e-3)


def test_each_cluster_scores_each_row():
    scores = LabelScores(np.array([[0, 1], [1, 2]]), np.ones((2, 2)))
    assert scores(torch.ones(5, 3), scores.open_gates()).shape == (5, 2)


def test_entropy_without_knowledge_is_that_of_a_coin():
    found = one_against_rest(torch.zeros(2, 2), torch.tensor([0, 1]))
    np.testing.assert_allclose(found.numpy(), np.log(2), rtol=1e-6)
