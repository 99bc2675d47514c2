import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from kithkin.core.execute import Execution
from kithkin.models.neighbors.search import found_fraction, nearest_of_sample, search


def blobs(n, d, n_groups, seed=0):
    rng = np.random.default_rng(seed)
    return (8 * rng.normal(size=(n_groups, d))[rng.integers(0, n_groups, n)] + rng.normal(size=(n, d))).astype(
        np.float32
    )


def true_fraction(rows, squares, k):
    """Return the fraction of neighbours that are no farther than the true k-th, by scikit-learn on some rows."""
    some = np.random.default_rng(1).choice(len(rows), 400, replace=False)
    far = NearestNeighbors(n_neighbors=k + 1, algorithm="brute").fit(rows).kneighbors(rows[some])[0][:, k]
    return float((squares[some, :k] <= np.square(far)[:, None] * (1 + 1e-4)).mean())


@pytest.mark.parametrize(("n", "d", "n_groups"), [(30_000, 30, 1), (30_000, 40, 5), (20_000, 8, 30)])
def test_nearly_all_are_found_also_in_groups_without_structure(n, d, n_groups):
    rows = blobs(n, d, n_groups)
    found, squares, recall = search(rows.copy(), 14, False, 0, Execution())
    assert true_fraction(rows, squares, 14) > 0.96
    assert recall == pytest.approx(true_fraction(rows, squares, 14), abs=0.015)
    np.testing.assert_allclose(squares, np.square(rows[found] - rows[:, None]).sum(axis=2), rtol=1e-4)
    assert (np.diff(squares, axis=1) >= 0).all()
    assert all(len(set(row)) == 14 for row in found[::50])
    assert (found != np.arange(n)[:, None]).all()


def test_more_neighbours_than_a_list_holds():
    rows = np.random.default_rng(1).normal(size=(1200, 3)).astype(np.float32)
    found, squares, recall = search(rows, 500, False, 0, Execution())
    true, _, whole = search(rows, 500, True, 0, Execution())
    assert whole == 1
    assert recall > 0.97
    assert found.shape == squares.shape == (1200, 500)
    assert (np.sort(found) == np.sort(true)).mean() > 0.97


def test_rows_far_from_all_others_have_their_neighbours():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(9000, 5)).astype(np.float32)
    rows[::300] *= 1e4  # each alone in its list
    found, squares, _ = search(rows.copy(), 10, False, 0, Execution())
    assert (found >= 0).all()
    far = NearestNeighbors(n_neighbors=11, algorithm="brute").fit(rows).kneighbors(rows[::300])[0]
    np.testing.assert_allclose(squares, np.square(rows[found] - rows[:, None]).sum(axis=2), rtol=1e-4)
    assert (squares[::300] <= np.square(far[:, -1:]) * (1 + 1e-4)).mean() > 0.9


@pytest.mark.parametrize("exact", [False, True])
def test_threads_do_not_change_a_bit(exact):
    rows = blobs(9000, 12, 4)
    one, other = (search(rows.copy(), 8, exact, 0, Execution(threads=threads)) for threads in (1, 4))
    assert one[0].tobytes() == other[0].tobytes()
    assert one[1].tobytes() == other[1].tobytes()
    assert one[2] == other[2]


def test_sample_has_the_neighbours_of_scikit_learn():
    rows = blobs(3000, 20, 3)
    sample = np.arange(0, 3000, 7)
    nearest, farthest = nearest_of_sample(rows, sample, 10, Execution(threads=3))
    far, true = NearestNeighbors(n_neighbors=11, algorithm="brute").fit(rows).kneighbors(rows[sample])
    assert (np.sort(nearest) == np.sort(true[:, 1:])).mean() > 0.999
    np.testing.assert_allclose(farthest, np.square(far[:, 10]), rtol=1e-4)


def test_found_fraction_counts_rows_that_are_as_near_as_the_true_ones():
    squares = np.array([[1, 2, 3], [1, 5, 6]], np.float32)
    assert found_fraction(squares, np.array([3, 5], np.float32)) == pytest.approx(5 / 6)
    assert found_fraction(np.zeros((4, 3), np.float32), np.zeros(4, np.float32)) == 1
