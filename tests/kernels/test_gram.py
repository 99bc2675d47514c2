import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.gram import add_gram, add_transposed, split_columns, times_vectors


@pytest.fixture
def rows():
    X = sparse.random(40, 9, 0.3, format="csr", random_state=np.random.default_rng(1))
    X.sort_indices()
    return X.toarray(), (X.data, X.indices.astype(np.int32), X.indptr.astype(np.int64))


def test_gram_adds_to_a_triangle_without_gaps_and_to_the_products_with_a_panel(rows):
    dense, parts = rows
    panel = np.random.default_rng(3).normal(size=(40, 5))
    packed, across = np.ones(45), np.ones((9, 5))
    add_gram(*parts, panel, packed, across)
    assert np.allclose(packed, 1 + (dense.T @ dense)[np.triu_indices(9)])
    assert np.allclose(across, 1 + dense.T @ panel)


def test_split_moves_columns_to_the_panel(rows):
    dense, (values, places, starts) = rows
    slot = np.array([0, 6, 1, 2, 7, 3, 4, 5, 8], np.int32)
    panel = np.zeros((40, 3))
    split_columns(values, places, starts, slot, 6, panel)
    assert np.array_equal(panel, dense[:, [1, 4, 8]])
    rest = sparse.csr_matrix((values[: starts[-1]], places[: starts[-1]], starts), shape=(40, 6))
    assert np.array_equal(rest.toarray(), dense[:, [0, 2, 3, 5, 6, 7]])


def test_products_with_vectors(rows):
    dense, parts = rows
    vectors = np.random.default_rng(2).normal(size=(9, 4))
    out = np.full((40, 4), np.nan)
    times_vectors(*parts, vectors, out)
    assert np.allclose(out, dense @ vectors)
    back = np.ones((9, 4))
    add_transposed(*parts, out, back)
    assert np.allclose(back, 1 + dense.T @ out)


def test_rows_without_values():
    packed, across = np.zeros(6), np.zeros((3, 2))
    add_gram(np.empty(0), np.empty(0, np.int32), np.zeros(4, np.int64), np.ones((3, 2)), packed, across)
    assert not packed.any()
    assert not across.any()
