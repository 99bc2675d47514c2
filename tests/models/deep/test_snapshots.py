"""Snapshots of a training: maps that do not turn, and clusters that keep their numbers."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import special_ortho_group

from kithkin.models.deep.snapshots import Frames, align_labels, align_maps, choose_epochs, choose_rows


def test_turned_and_stretched_embeddings_give_one_map():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 6)) * np.arange(6, 0, -1)
    turns = [special_ortho_group.rvs(6, random_state=k) for k in range(4)]
    moved = [(k + 1) * points @ turn + k for k, turn in enumerate(turns)]
    mirrored = points * np.array([-1, 1, 1, 1, 1, 1])
    maps = align_maps([mirrored, *moved, points])
    assert maps.shape == (6, 200, 2)
    assert np.ptp(maps, axis=0).max() < 1e-5
    first = np.linalg.svd(points - points.mean(0), full_matrices=False)
    wanted = np.abs(first[0][:, :2] * first[1][:2])
    np.testing.assert_allclose(np.abs(maps[-1]) / np.abs(maps[-1]).max(), wanted / wanted.max(), atol=1e-4)


def test_small_moves_stay_small_though_the_components_swap():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(300, 4)) * [3, 2.02, 2, 1]
    embeddings = [points * [1, 1 - 0.01 * k, 1 + 0.01 * k, 1] for k in range(8)]
    steps = np.linalg.norm(np.diff(align_maps(embeddings), axis=0), axis=2)
    assert steps.max() < 0.05


@pytest.mark.parametrize(("d", "n"), [(1, 5), (2, 5), (5, 3), (3, 1)])
def test_narrow_embeddings_and_few_rows(d, n):
    found = align_maps([np.random.default_rng(k).normal(size=(n, d)) for k in range(3)])
    assert found.shape == (3, n, 2)
    assert np.isfinite(found).all()


def test_labels_end_as_they_are_and_keep_their_numbers():
    final = np.repeat([2, 0, 1], [5, 4, 3])
    renamed = np.array([1, 2, 0])[final]
    almost = renamed.copy()
    almost[0] = renamed[-1]
    found = align_labels([almost, renamed, final], final)
    np.testing.assert_array_equal(found[1:], [final, final])
    assert (found[0] != final).tolist() == [True] + [False] * 11


def test_which_epochs_and_rows():
    assert choose_epochs(1, 10).tolist() == [0]
    assert choose_epochs(5, 2).tolist() == [0, 1]
    assert choose_epochs(4, 10).tolist() == [0, 3, 6, 9]
    rows = choose_rows(50_000, 20_000)
    assert len(rows) == 838
    assert (np.diff(rows) > 0).all()
    np.testing.assert_array_equal(rows, choose_rows(50_000, 20_000))
    assert Frames().as_maps(np.arange(3), np.arange(3))["coords"].shape == (0, 0, 2)


def test_snapshots_become_maps():
    frames, points = Frames(), np.array([[-2.0, 0.0], [0.0, 1.0], [2.0, -1.0]])
    for angle in (0, 1, 2):
        turned = points @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        frames.add(turned, np.array([1, 0, 0]), angle, "gates")
    maps = frames.as_maps(np.arange(3), np.array([0, 1, 1]))
    assert np.ptp(maps["coords"], axis=0).max() < 1e-6
    assert maps["labels"].tolist() == [[0, 1, 1]] * 3
    assert maps["epoch"].tolist() == [0, 1, 2]
