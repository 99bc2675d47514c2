"""Harmony as its papers define it: against a dense implementation of the formulas, and on real cell lines."""

import anndata
import numpy as np
import pytest

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.harmony.assignment import PARTS, PartedRows
from kithkin.models.harmony.harmony import ROUNDS, Harmony
from kithkin.models.kmeans import KMeans


def table(n=400, n_batches=3, seed=0):
    """Rows of four kinds in batches, each with a shift of its own, and one kind that a batch does not have."""
    rng = np.random.default_rng(seed)
    kinds, batches = rng.integers(0, 4, n), rng.integers(0, n_batches, n)
    batches[(kinds == 3) & (batches == 0)] = 1
    shift = rng.normal(size=(n_batches, 6))
    return 5 * np.eye(4, 6)[kinds] + shift[batches] + rng.normal(0, 0.7, (n, 6)), batches, kinds


def unit(rows):
    return rows / np.linalg.norm(rows, axis=1, keepdims=True)


class Dense:
    """Harmony with all responsibilities at once, double precision, and a regression that solves its equations."""

    def __init__(self, X, batches, n_clusters, theta, n_iter, seed=0):
        values = unit(X)
        phi = np.eye(batches.max() + 1)[batches]
        share = phi.mean(axis=0)
        centers = KMeans(n_clusters, max_iter=0, seed=seed).fit(values.astype(np.float32)).cluster_centers_
        members = PartedRows(values, batches.astype(np.int32), phi.shape[1], np.random.default_rng(seed)).members
        self.objectives = []
        for iteration in range(n_iter):
            distance = 2 * (1 - values @ unit(centers).T)
            R = np.exp(-distance / 0.1)
            R /= R.sum(axis=1, keepdims=True)
            if iteration == 0:
                self.note(R, distance, phi, share, theta)
            for _ in range(ROUNDS):
                for own in members:
                    others = np.setdiff1d(np.arange(len(X)), own)
                    O = R[others].T @ phi[others]  # noqa: E741  (as in the paper)
                    E = np.outer(R[others].sum(axis=0), share)
                    new = np.exp(-distance[own] / 0.1) * (((2 * E + 1) / (O + E + 1)) ** theta @ phi[own].T).T
                    R[own] = new / new.sum(axis=1, keepdims=True)
            self.note(R, distance, phi, share, theta)
            Z, centers = X.copy(), np.zeros_like(centers)
            for k in range(n_clusters):
                counts = R[:, k] @ phi
                kept = counts / phi.sum(axis=0) > 1e-5
                assert kept.sum() > 1
                rows = phi[:, kept].any(axis=1)
                design = np.column_stack([np.ones(rows.sum()), phi[rows][:, kept]])
                ridge = np.diag([0, *(0.2 * share[kept] * R[:, k].sum())])
                weighted = design * R[rows, k, None]
                W = np.linalg.solve(design.T @ weighted + ridge, weighted.T @ X[rows])
                centers[k] = W[0]
                Z[rows] -= weighted[:, 1:] @ W[1:]
            values = unit(Z)
        self.Z, self.R = Z, R

    def note(self, R, distance, phi, share, theta):
        O, E = R.T @ phi, np.outer(R.sum(axis=0), share)  # noqa: E741
        divergence = 0.1 * (R * (theta * np.log((O + E + 1) / (2 * E + 1)) @ phi.T).T).sum()
        self.objectives.append((R * distance).sum() + 0.1 * (R * np.log(R)).sum() + divergence)


# without a weight of mixing, later corrections follow the last bits of the processor
@pytest.mark.parametrize(("theta", "n_iter"), [(0.0, 1), (0.5, 3), (2.0, 3)])
def test_the_formulas_at_once_give_the_same(theta, n_iter):
    X, batches, _ = table()
    dense = Dense(X, batches, 6, theta, n_iter)
    model = Harmony(6, theta=theta, max_iter=n_iter, tolerance=0.0).fit(InMemory(X, rows=90), batches)
    np.testing.assert_allclose(model.embedding_, dense.Z, atol=2e-3)
    np.testing.assert_allclose(model.objective_, np.array(dense.objectives) / len(X), rtol=1e-3)
    np.testing.assert_allclose(model.sizes_, dense.R.sum(axis=0), rtol=2e-3)
    np.testing.assert_allclose(model.sums_, dense.R.T @ dense.Z, atol=0.5, rtol=2e-3)


def test_batches_come_together_and_kinds_stay_apart():
    X, batches, kinds = table(900)
    Z = Harmony().fit_transform(X, batches)

    def means(T, kind):
        return np.stack([T[(kinds == kind) & (batches == b)].mean(axis=0) for b in np.unique(batches[kinds == kind])])

    for kind in range(3):
        assert np.ptp(means(Z, kind), axis=0).max() < 0.35 * np.ptp(means(X, kind), axis=0).max()
    centers = np.stack([Z[kinds == kind].mean(axis=0) for kind in range(4)])
    apart = np.linalg.norm(centers[:, None] - centers, axis=2)[np.triu_indices(4, 1)]
    assert apart.min() > 4


def test_the_objective_falls_and_tells_when_to_stop():
    X, batches, _ = table(900)
    model = Harmony(max_iter=20).fit(X, batches)
    assert model.converged_
    assert len(model.objective_) == model.n_iter_ + 1 <= 20
    assert np.all(np.diff(model.objective_[:-1]) < 0)
    short = Harmony(max_iter=1, tolerance=0.0).fit(X, batches)
    assert (short.n_iter_, short.converged_) == (1, False)
    np.testing.assert_array_equal(short.objective_, model.objective_[:2])


def test_cell_lines_mix_by_data_set(shared_data):
    cells = anndata.read_h5ad(shared_data / "samples" / "cell_lines_pcs.h5ad")
    batches = cells.obs["dataset"].astype("category").cat.codes.to_numpy()
    line = cells.obs["cell_type"].to_numpy()
    Z = Harmony().fit_transform(cells.X, batches)
    for one in np.unique(line):  # both data sets of a line come to one place, and the lines do not
        places = [Z[(line == one) & (batches == b)].mean(axis=0) for b in np.unique(batches[line == one])]
        given = [cells.X[(line == one) & (batches == b)].mean(axis=0) for b in np.unique(batches[line == one])]
        assert np.linalg.norm(places[0] - places[1]) < 0.35 * np.linalg.norm(given[0] - given[1])
    centers = [Z[line == one].mean(axis=0) for one in np.unique(line)]
    given = [cells.X[line == one].mean(axis=0) for one in np.unique(line)]
    assert np.linalg.norm(centers[0] - centers[1]) > 0.9 * np.linalg.norm(given[0] - given[1])


def test_a_cluster_of_one_batch_is_not_moved():
    X, batches, _ = table(300, 2)
    opposite = np.array([0, 0, 0, 0, 0, 20.0])
    alone = np.vstack([X + opposite, np.random.default_rng(1).normal(size=(60, 6)) - 2 * opposite])
    Z = Harmony(8).fit_transform(alone, np.append(batches, np.zeros(60, int)))
    np.testing.assert_allclose(Z[300:], alone[300:], atol=1e-3)


def test_few_rows_are_one_cluster_and_rows_of_zeros_stay_finite():
    X = np.vstack([np.zeros((1, 3)), np.eye(3), 2 * np.eye(3)])
    model = Harmony().fit(X, np.array([0, 0, 1, 0, 1, 1, 0]))
    assert model.sizes_.shape == (1,)
    assert model.sizes_[0] == pytest.approx(7)
    assert np.isfinite(model.embedding_).all()


def test_threads_and_precision_do_not_matter():
    X, batches, _ = table()
    model = Harmony(7, seed=3).fit(InMemory(X, rows=50), batches, Execution(threads=1))
    for other in (InMemory(X, rows=50), InMemory(X.astype(np.float32), rows=400)):
        again = Harmony(7, seed=3).fit(other, batches.astype(np.uint8), Execution(threads=3))
        np.testing.assert_allclose(again.embedding_, model.embedding_, atol=2e-4)
    same = Harmony(7, seed=3).fit(InMemory(X, rows=50), batches, Execution(threads=3))
    assert same.embedding_.tobytes() == model.embedding_.tobytes()


def test_parts_hold_each_row_once():
    rows = PartedRows(np.zeros((107, 2), np.float32), np.arange(107, dtype=np.int32) % 4, 4, np.random.default_rng(0))
    assert len(rows.members) == PARTS
    assert sorted(np.concatenate(rows.members)) == list(range(107))
    assert np.array_equal(rows.codes % 4, rows.batches)
    for part, own in enumerate(rows.members):
        assert set(rows.codes[own] // 4) == {part}


@pytest.mark.parametrize(
    ("settings", "X", "codes", "said"),
    [
        ({}, np.ones((4, 2)), [0, 1, 0], r"codes must hold 4 integers, one for each row"),
        ({}, np.ones((4, 2)), [0, 0, 0, 0], r"codes must name two batches or more"),
        ({}, np.ones((4, 2)), [0, 2, 2, 0], r"codes must name two batches or more, each with a row, got \[2 0 2\]"),
        ({}, np.ones((4, 2)), [-1, 0, 1, 0], r"codes must be batches from 0, got -1"),
        ({}, np.ones((4, 2)), [0.5, 0, 1, 0], r"codes must hold 4 integers"),
        ({}, np.array([[1.0, np.nan], [1, 2]]), [0, 1], r"X must be finite, but row 0 holds NaN or infinity"),
        ({"theta": 11}, np.ones((4, 2)), [0, 1, 0, 1], r"theta must be in 0\.0\.\.10\.0, got 11"),
        ({"n_clusters": 5}, np.ones((4, 2)), [0, 1, 0, 1], r"n_clusters must be in 1\.\.4, got 5"),
        ({"max_iter": 0}, np.ones((4, 2)), [0, 1, 0, 1], r"max_iter must be in 1\.\.1000, got 0"),
    ],
)
def test_what_is_wrong_is_named(settings, X, codes, said):
    with pytest.raises(ParameterError, match=said):
        Harmony(**settings).fit(X, np.array(codes))
