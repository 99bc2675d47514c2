"""Simulated counts follow the distribution that they promise; the digits are the real ones."""

from __future__ import annotations

import numpy as np
import pytest

import kithkin as kk


def test_the_same_seed_gives_the_same_counts():
    first, again, other = (kk.datasets.simulate_counts(200, 300, 3, seed=seed) for seed in (5, 5, 6))
    assert (first.X != again.X).nnz == 0
    assert first.obs.equals(again.obs)
    assert (first.X != other.X).nnz > 0


def test_counts_are_whole_numbers_with_more_variance_than_poisson():
    cells = kk.datasets.simulate_counts(3000, 100, 1, seed=1)
    X = cells.X.toarray().astype(float)
    assert X.min() == 0
    assert np.array_equal(X, X.round())
    frequent = X.mean(0) > 1
    assert np.mean(X.var(0)[frequent] > 1.2 * X.mean(0)[frequent]) > 0.9


def test_markers_are_higher_in_their_group():
    cells = kk.datasets.simulate_counts(1500, 800, 4, seed=2)
    X = cells.X.toarray() / np.asarray(cells.X.sum(1))
    for group in cells.obs["group"].cat.categories:
        mine = (cells.obs["group"] == group).to_numpy()
        genes = (cells.var["marker_of"] == group).to_numpy()
        assert genes.sum() == 40
        assert X[mine][:, genes].sum() / mine.sum() > 2 * X[~mine][:, genes].sum() / (~mine).sum()


def test_every_group_has_cells_and_gene_names_are_unique():
    cells = kk.datasets.simulate_counts(20, 200, 8)
    assert cells.obs["group"].nunique() == 8
    assert cells.var_names.is_unique
    assert cells.var_names.str.startswith("MT-").sum() == 13
    assert cells.var_names.str.match("RP[LS]").sum() == 40


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_cells": 0}, "n_cells must be in 10"),
        ({"n_genes": 10}, "n_genes must be in 60"),
        ({"n_genes": 60, "n_groups": 9}, r"n_groups must be in 1\.\.3, got 9"),
    ],
)
def test_impossible_numbers_are_refused(settings, message):
    with pytest.raises(kk.ParameterError, match=message):
        kk.datasets.simulate_counts(**settings)


def test_digits_are_images_with_labels():
    images = kk.datasets.digits()
    assert images.shape == (1797, 64)
    assert images.obs["digit"].value_counts().min() >= 170
    assert images.X.max() == 16
    zeros = images.X[(images.obs["digit"] == "0").to_numpy()].mean(0).reshape(8, 8)
    assert zeros[3:5, 3:5].mean() < 2  # the hole of a zero
