"""Means of groups against NumPy, for every layout, cut and number of threads."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.execute import Execution
from kithkin.models.table.group_means import group_means, group_sums

N = 200
CODES = np.random.default_rng(0).integers(-1, 4, N)


@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("rows", [1, 13, 200])
def test_means_are_those_of_numpy(layout, rows, dtype):
    X = np.random.default_rng(1).integers(0, 250, (N, 7)).astype(dtype)
    X[np.random.default_rng(2).random(X.shape) < 0.5] = 0
    for threads in (1, 3):
        means, sizes = group_means(InMemory(layout(X), rows), CODES, 5, execution=Execution(threads=threads))
        expected = [X[k == CODES].astype(float).mean(axis=0) for k in range(4)]
        np.testing.assert_allclose(means[:4], expected, rtol=1e-12)
        assert np.isnan(means[4]).all()
        assert sizes.tolist() == [*np.bincount(CODES[CODES >= 0]), 0]


def test_sums_of_integers_are_exact():
    X = np.full((N, 1), 2**53 + 1, np.int64)
    codes = np.r_[0, np.full(N - 1, -1)]
    assert group_sums(X, codes, 1).tolist() == [[2**53 + 1]]


def test_a_missing_value_is_missing_in_its_column_and_group_alone():
    X = np.ones((4, 2))
    X[1, 0] = np.nan
    means, _ = group_means(X, np.array([0, 0, 1, 1]), 2)
    np.testing.assert_array_equal(means, [[np.nan, 1], [1, 1]])


def test_padding_is_not_counted():
    images = np.random.default_rng(3).random((N, 2, 4, 5))
    inside = np.tile([0, 4, 0, 5], (N, 1))
    inside[::3] = [1, 4, 0, 3]
    masked = np.full_like(images, np.nan)
    for image, kept, (top, bottom, left, right) in zip(images, masked, inside, strict=True):
        kept[:, top:bottom, left:right] = image[:, top:bottom, left:right]
    images = np.nan_to_num(masked)

    class Pictures(InMemory):
        def __init__(self):
            self.shape, self.dtype, self.is_sparse = images.shape, images.dtype, False
            self.ranges = [(0, 70), (70, N)]

        def read(self, start, stop):
            return images[start:stop]

    means, _ = group_means(Pictures(), CODES, 4, inside)
    for k in range(4):
        np.testing.assert_allclose(means[k], np.nanmean(masked[k == CODES], axis=0))
