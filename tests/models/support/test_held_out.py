"""Markers of one kind of cells do not hold where counts that did not place the cells are asked."""

import numpy as np

from kithkin import models
from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.support.held_out import held_out_pvals


def test_invented_markers_do_not_hold():
    rng = np.random.default_rng(0)
    profile = rng.gamma(0.4, 1.0, 600)
    size = np.exp(rng.normal(0, 0.5, 800))
    X = rng.poisson(2 * size[:, None] * profile)
    shares = np.log1p(X / X.sum(axis=1, keepdims=True) * 1000)
    components = models.PCA(8, normalize=None).fit(shares).transform(shares)
    labels = models.KMeans(6).fit(components).labels_
    usual = models.Markers().fit(X.astype(np.uint8), labels).pvals_adj_
    held = held_out_pvals(X, labels)
    assert held.shape == usual.shape
    assert (usual <= 0.05).sum() > 100
    assert (held <= 0.05).sum() <= 3


def test_markers_of_kinds_hold_for_every_block_and_thread():
    rng = np.random.default_rng(1)
    truth = rng.integers(0, 3, 600)
    means = np.tile(np.concatenate([np.tile(rng.gamma(0.5, 2.0, 30), 3), rng.gamma(0.5, 2.0, 1910)]), (3, 1))
    for kind in range(3):
        means[kind, 30 * kind : 30 * kind + 30] *= 4
    X = rng.poisson(means[truth] + 0.1)
    held = held_out_pvals(X, truth)
    for kind in range(3):
        own = np.arange(30 * kind, 30 * kind + 30)
        assert (held[kind, own] <= 0.05).sum() >= 20
    assert (held[:, 90:] <= 0.05).mean() < 0.05
    for rows, threads in ((7, 1), (250, 3)):
        again = held_out_pvals(InMemory(X, rows=rows), truth, execution=Execution(threads=threads))
        assert np.array_equal(held, again)
