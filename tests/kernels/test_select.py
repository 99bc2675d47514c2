"""Chosen rows and columns are NumPy's."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.select import select_entries


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize(("rows", "columns"), [(0.5, 0.5), (1.0, 0.2), (0.1, 1.0), (0.0, 0.5), (0.5, 0.0)])
def test_select_entries_is_fancy_indexing(dtype, rows, columns):
    rng = np.random.default_rng(0)
    dense = rng.poisson(0.8, (40, 30)).astype(dtype)
    X = sparse.csr_matrix(dense)
    keep, chosen = rng.random(40) < rows, rng.random(30) < columns
    position = np.where(chosen, np.cumsum(chosen) - 1, -1).astype(np.int32)
    data, indices = np.empty_like(X.data), np.empty(len(X.data), np.uint16)
    indptr = np.empty(keep.sum() + 1, np.int64)
    used = select_entries(
        X.data, X.indices.astype(np.uint16), X.indptr.astype(np.int64), keep, position, data, indices, indptr
    )
    assert used == indptr[-1]
    shape = (int(keep.sum()), int(chosen.sum()))
    back = sparse.csr_matrix((data[:used], indices[:used].astype(np.int32), indptr.astype(np.int32)), shape=shape)
    assert back.has_sorted_indices
    assert np.array_equal(back.toarray(), dense[np.ix_(keep, chosen)])
