import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory, SparseRows
from kithkin.core.errors import ParameterError
from kithkin.models.table.normalize import cell_totals, known_totals, normalize_block, pieces, row_scale


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_values_do_not_depend_on_the_storage_type(dtype):
    X = np.random.default_rng(0).integers(0, 250, (20, 6)).astype(dtype)
    X[4] = 0
    totals = X.astype(np.int64).sum(axis=1)
    expected = np.log1p(X.astype(np.float64) * (1e4 / np.maximum(totals, 1))[:, None]).astype(np.float32)
    blocks = InMemory(sparse.csr_matrix(X))
    stored = normalize_block(blocks.read(0, 20), cell_totals(blocks))
    dense = normalize_block(X, cell_totals(InMemory(X)))
    assert isinstance(stored, SparseRows)
    assert stored.dtype == dense.dtype == np.float32
    assert np.allclose(stored.to_dense(), expected, rtol=2e-7)
    assert np.allclose(dense, expected, rtol=2e-7)


def test_fractions_are_normalised_too():
    X = np.array([[0.25, 0.75], [16.0, 16.5]])
    block = InMemory(sparse.csr_matrix(X)).read(0, 2)
    assert np.allclose(normalize_block(block, X.sum(axis=1), 10.0).to_dense(), np.log1p(10 * X / X.sum(1)[:, None]))


def test_empty_cells_have_scale_zero():
    assert row_scale(np.array([0, 4]), 2.0).tolist() == [0.0, 0.5]


def test_pieces_cover_a_block_once():
    X = sparse.random(5000, 900, 0.6, format="csr", dtype=np.float32, random_state=np.random.default_rng(0))
    block = InMemory(X, rows=5000).read(0, 5000)
    found = list(pieces(block))
    assert len(found) > 1
    assert np.array_equal(np.concatenate([piece.data for _, piece in found]), block.data)
    assert [offset for offset, _ in found] == np.cumsum([0, *(piece.shape[0] for _, piece in found)])[:-1].tolist()
    assert [piece.shape for _, piece in pieces(block.take(0, 0))] in ([], [(0, 900)])


def test_refuses_what_are_not_counts():
    with pytest.raises(ParameterError, match="holds negative values"):
        cell_totals(InMemory(np.array([[1.0, -1.0]])))
    with pytest.raises(ParameterError, match="holds NaN or infinite values"):
        cell_totals(InMemory(np.array([[1.0, np.nan]])))
    with pytest.raises(ParameterError, match="totals must be finite and at least 0"):
        known_totals(InMemory(np.eye(2)), np.array([1.0, -1.0]))
