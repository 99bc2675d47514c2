"""Row blocks give the rows that are there, however they are cut."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory, Mapped, SparseRows, as_blocks, even_ranges
from kithkin.core.errors import ParameterError


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, sparse.csc_matrix, sparse.coo_matrix])
@pytest.mark.parametrize("rows", [1, 3, 7, 100])
def test_blocks_put_together_are_the_table(layout, rows):
    X = np.random.default_rng(0).poisson(0.5, (7, 5))
    blocks = InMemory(layout(X), rows=rows)
    parts = [blocks.read(*r) for r in blocks.ranges]
    parts = [p.to_dense() if isinstance(p, SparseRows) else p for p in parts]
    assert np.array_equal(np.concatenate(parts), X)


def test_duplicate_entries_of_a_sparse_matrix_are_summed():
    X = sparse.coo_matrix(([1, 2], ([0, 0], [1, 1])), shape=(1, 2))
    assert InMemory(X).read(0, 1).to_dense().tolist() == [[0, 3]]


def test_unsorted_indices_become_ascending_and_leave_the_input_alone():
    X = sparse.csr_matrix((np.array([1, 2]), np.array([1, 0]), np.array([0, 2])), shape=(1, 2))
    assert InMemory(X).read(0, 1).indices.tolist() == [0, 1]
    assert X.indices.tolist() == [1, 0]


def test_take_and_to_scipy_agree():
    X = sparse.random(20, 6, 0.4, format="csr", random_state=0)
    rows = InMemory(X).read(0, 20).take(5, 12)
    assert (rows.to_scipy() != X[5:12]).nnz == 0


def test_mapped_blocks_apply_the_function_with_the_first_row():
    blocks = Mapped(InMemory(np.zeros((4, 2)), rows=3), lambda block, start: block + start)
    assert [blocks.read(*r)[0, 0] for r in blocks.ranges] == [0.0, 3.0]


@pytest.mark.parametrize("bad", [np.zeros(3), np.zeros((2, 2, 2)), np.array([["a"]]), [["a", 1]]])
def test_what_is_no_table_of_numbers_is_refused(bad):
    with pytest.raises(ParameterError):
        as_blocks(bad)


def test_even_ranges_cover_the_rows_once():
    assert even_ranges(0, 5) == []
    assert even_ranges(10, 4) == [(0, 4), (4, 8), (8, 10)]
    with pytest.raises(ParameterError):
        even_ranges(10, 0)


def test_scattered_rows_and_stacked_blocks_are_those_of_scipy():
    X = sparse.random(40, 30, 0.2, "csr", random_state=0)
    block = InMemory(X).read(0, 40)
    picked = np.random.default_rng(1).integers(0, 40, 70)
    np.testing.assert_array_equal(block.rows(picked).to_dense(), X[picked].toarray())
    assert block.rows(np.empty(0, int)).shape == (0, 30)
    together = SparseRows.stack([block.take(3, 9), block.take(0, 0), block.rows(picked)])
    np.testing.assert_array_equal(together.to_dense(), sparse.vstack([X[3:9], X[picked]]).toarray())
    assert together.indptr.dtype == np.int64
