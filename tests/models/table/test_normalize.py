import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory, SparseRows
from kithkin.core.errors import ParameterError
from kithkin.models.table.normalize import (
    Normalized,
    Stored,
    check_counts,
    is_log_normalized,
    known_totals,
    pieces,
    row_scale,
    sparse_pieces,
    to_stored,
)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_values_do_not_depend_on_the_storage_type(dtype):
    X = np.random.default_rng(0).integers(0, 250, (20, 6)).astype(dtype)
    X[4] = 0
    totals = X.astype(np.int64).sum(axis=1)
    expected = np.log1p(X.astype(np.float64) * (1e4 / np.maximum(totals, 1))[:, None]).astype(np.float32)
    blocks = InMemory(sparse.csr_matrix(X))
    stored = Normalized(blocks, "log1p", totals=known_totals(blocks, None)).read(0, 20)
    dense = Normalized(InMemory(X), "log1p", totals=known_totals(InMemory(X), None)).read(0, 20)
    assert isinstance(stored, SparseRows)
    assert stored.dtype == dense.dtype == np.float32
    assert np.allclose(stored.to_dense(), expected, rtol=2e-7)
    assert np.allclose(dense, expected, rtol=2e-7)


def test_fractions_are_normalised_too():
    X = np.array([[0.25, 0.75], [16.0, 16.5]])
    rows = Normalized(InMemory(sparse.csr_matrix(X)), "log1p", totals=X.sum(axis=1), target_sum=10.0).read(0, 2)
    assert np.allclose(rows.to_dense(), np.log1p(10 * X / X.sum(1)[:, None]))


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("density", [0.1, 0.9])
def test_blocks_of_chosen_columns_and_their_parts_agree(make, density):
    rng = np.random.default_rng(0)
    X = rng.integers(1, 9, (60, 12)) * (rng.random((60, 12)) < density)
    chosen, totals = np.array([1, 4, 11]), X.sum(axis=1)
    length = np.maximum(np.linalg.norm(X, axis=1), 1e-300)[:, None]
    own = np.maximum(X[:, chosen].sum(axis=1), 1)[:, None]
    expected = {
        ("log1p", True): np.log1p(50 * X[:, chosen] / np.maximum(totals, 1)[:, None]),
        ("log1p", False): np.log1p(50 * X[:, chosen] / own),
        ("unit", False): X[:, chosen] / length,
        (None, False): X[:, chosen],
    }
    blocks = InMemory(make(X), rows=7)
    for (how, known), values in expected.items():
        source = Normalized(blocks, how, totals=totals if known else None, target_sum=50.0, columns=chosen)
        assert source.shape == (60, 3)
        for start, stop in source.ranges:
            rows = source.read(start, stop)
            rows = rows.to_dense() if isinstance(rows, SparseRows) else rows
            assert rows.dtype == np.float32
            np.testing.assert_allclose(rows, values[start:stop], rtol=1e-6, atol=1e-7)
            parts = [part for _, part in source.parts(blocks.read(start, stop), start)]
            parts = [part.to_dense() if isinstance(part, Stored) else part for part in parts]
            np.testing.assert_allclose(np.concatenate(parts), values[start:stop], rtol=1e-6, atol=1e-7)


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
        known_totals(InMemory(np.array([[1.0, -1.0]])), None)
    with pytest.raises(ParameterError, match="holds NaN or infinite values"):
        known_totals(InMemory(np.array([[1.0, np.nan]])), None)
    with pytest.raises(ParameterError, match="flavor='vst' needs counts, but X holds values that are not integers"):
        check_counts(np.array([[0.5]]), "flavor='vst'", integers=True)
    with pytest.raises(ParameterError, match="totals must hold 2 numbers, one for each row, got 1"):
        known_totals(InMemory(np.eye(2)), np.array([1.0]))
    with pytest.raises(ParameterError, match="totals must be finite and at least 0"):
        known_totals(InMemory(np.eye(2)), np.array([1.0, -1.0]))


COUNTS = np.random.default_rng(0).poisson(np.random.default_rng(1).gamma(0.3, 1.5, 500), (200, 500)).astype(float)
COUNTS[:5] = 0
SHARES = COUNTS / np.maximum(COUNTS.sum(axis=1, keepdims=True), 1)
FACTORS = np.random.default_rng(2).gamma(5, 1, (200, 1))
LOGARITHMS = {
    "natural": np.log1p(1e4 * SHARES),
    "to the median": np.log1p(np.median(COUNTS.sum(axis=1)) * SHARES),
    "of chosen genes": np.log1p(1e4 * SHARES)[:, ::5],
    "base 2, by size factors": np.log2(COUNTS / FACTORS + 1),
    "base 10": np.log10(1e4 * SHARES + 1),
    "rounded to half precision": np.log1p(1e4 * SHARES).astype(np.float16),
    "of counts as they are": np.log1p(COUNTS),
}
NO_LOGARITHMS = {
    "counts": COUNTS,
    "half counts": COUNTS / 2,
    "shares": SHARES,
    "counts per million": 1e6 * SHARES,
    "fractional counts": COUNTS * np.random.default_rng(3).uniform(0.5, 1, COUNTS.shape),
    "square roots": np.sqrt(COUNTS),
    "scores": np.random.default_rng(4).normal(size=(200, 20)),
    "intensities": np.random.default_rng(5).random((200, 50)),
    "nothing": np.zeros((4, 3)),
}


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("name", [*LOGARITHMS, *NO_LOGARITHMS])
def test_log_normalised_values_are_recognised(name, make):
    values = (LOGARITHMS | NO_LOGARITHMS)[name].astype(np.float32)
    assert is_log_normalized(InMemory(make(values))) == (name in LOGARITHMS)


def test_dense_blocks_are_cut_and_stored_without_zeros():
    assert [(a, piece.shape) for a, piece in pieces(np.ones((3000, 500)))] == [(0, (2097, 500)), (2097, (903, 500))]
    block = np.array([[0, 3], [1, 0]])
    [(offset, stored)] = sparse_pieces(block)
    assert offset == 0
    assert stored.data.tolist() == [3, 1]
    assert stored.indptr.tolist() == [0, 1, 2]
    assert np.array_equal(stored.to_dense(), block)
    assert np.array_equal(to_stored(block.astype(float)).to_dense(), block)
