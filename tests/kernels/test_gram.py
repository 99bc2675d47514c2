import numpy as np
import pytest
from scipy import sparse

from kithkin.kernels.gram import add_gram, add_transposed, times_vectors


@pytest.fixture
def rows():
    X = sparse.random(40, 9, 0.3, format="csr", random_state=np.random.default_rng(1))
    X.sort_indices()
    return X.toarray(), (X.data, X.indices.astype(np.int32), X.indptr.astype(np.int64))


def test_gram_adds_to_the_upper_triangle(rows):
    dense, parts = rows
    gram = np.ones((9, 9))
    add_gram(*parts, gram)
    assert np.allclose(np.triu(gram), np.triu(1 + dense.T @ dense))
    assert np.all(np.tril(gram, -1) == np.tril(np.ones((9, 9)), -1))


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
    gram = np.zeros((3, 3))
    add_gram(np.empty(0), np.empty(0, np.int32), np.zeros(4, np.int64), gram)
    assert not gram.any()
