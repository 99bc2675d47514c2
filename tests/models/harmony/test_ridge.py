import numpy as np

from kithkin.models.harmony.ridge import ridge_offsets


def drawn():
    rng = np.random.default_rng(0)
    R, Z = rng.random((50, 3)), rng.normal(size=(50, 4))
    batches = rng.integers(0, 4, 50)
    phi = np.eye(4)[batches]
    return R, Z, phi, (R.T @ phi).T, np.stack([(R * phi[:, [b]]).T @ Z for b in range(4)])


def test_the_closed_form_solves_the_equations():
    R, Z, phi, counts, sums = drawn()
    ridge = 0.1 + np.arange(12).reshape(4, 3) / 10
    offsets, expected, known = ridge_offsets(counts, sums, ridge, np.ones((4, 3), bool))
    assert known.all()
    for k in range(3):
        design = np.column_stack([np.ones(50), phi])
        weighted = design * R[:, [k]]
        W = np.linalg.solve(design.T @ weighted + np.diag([0, *ridge[:, k]]), weighted.T @ Z)
        np.testing.assert_allclose(expected[k], W[0])
        np.testing.assert_allclose(offsets[:, k], W[1:])


def test_rows_without_an_offset_take_part_in_the_intercept():
    R, Z, phi, counts, sums = drawn()
    rng = np.random.default_rng(1)
    base_R, base_Z = rng.random((30, 3)), rng.normal(size=(30, 4))
    base = base_R.sum(axis=0), base_R.T @ base_Z
    offsets, expected, _ = ridge_offsets(counts, sums, np.ones((4, 3)), np.ones((4, 3), bool), base)
    for k in range(3):
        design = np.vstack([np.column_stack([np.ones(50), phi]), np.eye(1, 5).repeat(30, axis=0)])
        weighted = design * np.append(R[:, k], base_R[:, k])[:, None]
        penalty = np.diag([0.0, 1, 1, 1, 1])
        W = np.linalg.solve(design.T @ weighted + penalty, weighted.T @ np.vstack([Z, base_Z]))
        np.testing.assert_allclose(expected[k], W[0])
        np.testing.assert_allclose(offsets[:, k], W[1:])


def test_an_absent_batch_has_no_offset_and_changes_nothing():
    counts, sums = drawn()[3:]
    present = np.ones((4, 3), bool)
    present[2] = False
    offsets, expected, _ = ridge_offsets(counts, sums, np.ones((4, 3)), present)
    others = [0, 1, 3]
    again = ridge_offsets(counts[others], sums[others], np.ones((3, 3)), np.ones((3, 3), bool))
    np.testing.assert_allclose(offsets[others], again[0])
    np.testing.assert_allclose(expected, again[1])
    assert np.all(offsets[2] == 0)


def test_a_cluster_without_rows_is_not_known():
    zeros = np.zeros((2, 1))
    offsets, _, known = ridge_offsets(zeros, np.zeros((2, 1, 3)), zeros, np.ones((2, 1), bool))
    assert not known.any()
    assert np.all(offsets == 0)
