"""What is let in, and what is refused with its place."""

import numpy as np
import pytest

from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.streams.checks import Place, check_pointers, check_size, tidy_dense, tidy_rows
from kithkin.io.streams.dense import band
from kithkin.io.streams.table_chunk import stack_columns

PLACE = Place("a.h5ad", "X", first=100)
INDPTR = np.array([0, 2, 2, 4])


@pytest.mark.parametrize(
    ("values", "expected", "dtypes"),
    [
        ([1, 255], "uint8", "u1 u2 i4 i8 f2 f4 f8"),
        ([1, 256], "uint16", "u2 i4 i8 f2 f4 f8"),
        ([1, 65536], "uint32", "u4 i4 i8 f4 f8"),
        ([1, -1], "int8", "i1 i2 i8 f2 f4 f8"),
        ([1, -129], "int16", "i2 i8 f4 f8"),
        ([1, 2**40], "uint64", "u8 i8 f4 f8"),
        ([2**63, 1], "uint64", "u8"),
        ([True, False], "uint8", "?"),
        ([1.5, 2], "float32", "f2 f4"),
        ([1.5, 2], "float64", "f8"),
        ([1e300, 2], "float64", "f8"),  # whole, but beyond what integers hold
    ],
)
def test_values_are_exact_in_the_smallest_type(values, expected, dtypes):
    for dtype in dtypes.split():
        out = tidy_dense(np.array([values], dtype), PLACE)
        assert out.tolist() == [values]
        assert out.dtype == expected


@pytest.mark.skipif(np.finfo(np.longdouble).nmant <= 52, reason="long double is double here")
def test_numbers_wider_than_64_bits_are_kept_or_refused():
    assert tidy_dense(np.array([[1.5, 2]], np.longdouble), PLACE).tolist() == [[1.5, 2]]
    with pytest.raises(FormatError, match="row 100, column 1 is more exact than a 64-bit float can keep"):
        tidy_dense(np.array([[1, 1 + np.longdouble(2) ** -60]]), PLACE)


@pytest.mark.parametrize("kind", [np.float16, np.float32, np.int16, np.uint8, np.int64])
@pytest.mark.parametrize("index", [np.int32, np.int64, np.uint16, np.uint32])
def test_rows_are_sorted_and_without_zeros(kind, index):
    rows = tidy_rows(np.array([3, 1, 0, 2], kind), np.array([4, 1, 0, 3], index), INDPTR, 5, PLACE)
    assert rows.to_dense().tolist() == [[0, 1, 0, 0, 3], [0] * 5, [0, 0, 0, 2, 0]]
    assert rows.indices.tolist() == [1, 4, 3]
    assert (rows.dtype, rows.indices.dtype) == (np.uint8, np.int32)


@pytest.mark.parametrize(
    ("data", "indices", "message"),
    [
        ([1, 1, 1, 1], [0, 1, 0, 5], "a.h5ad: X, row 102 names column 5, but columns are 0 to 4"),
        ([1, 1, 1, 1], [-1, 1, 0, 4], "a.h5ad: X, row 100 names column -1, but columns are 0 to 4"),
        ([1, 1, 1, 1], [0, 1, 3, 3], "a.h5ad: X, row 102, column 3 is stored twice"),
        ([1, 1, 1, 1], [1, 0, 3, 3], "a.h5ad: X, row 102, column 3 is stored twice"),
        ([1, 1, np.nan, 1], [0, 1, 2, 3], r"a.h5ad: X, row 102, column 2 is not a finite number \(nan\)"),
        ([1, -np.inf, 1, 1], [0, 1, 2, 3], r"a.h5ad: X, row 100, column 1 is not a finite number \(-inf\)"),
    ],
)
def test_what_is_wrong_is_refused_with_its_place(data, indices, message):
    with pytest.raises(FormatError, match=f"^{message}$"):
        tidy_rows(np.array(data), np.array(indices), INDPTR, 5, PLACE)


def test_the_same_column_at_the_border_of_two_rows_is_no_duplicate():
    rows = tidy_rows(np.ones(4), np.array([3, 0, 3, 1]), np.array([0, 0, 2, 4]), 4, PLACE)
    assert rows.indices.tolist() == [0, 3, 1, 3]
    rows = tidy_rows(np.ones(3), np.array([3, 1, 1]), np.array([0, 2, 3, 3]), 4, PLACE)
    assert rows.indices.tolist() == [1, 3, 1]


@pytest.mark.parametrize(
    ("indptr", "stored", "message"),
    [
        ([0, 1, 2], (2, 3), "3 values .data. but 2 positions"),
        ([0, 2], (2, 2), "indptr has 2 entries, but its shape promises 3"),
        ([0, 1, 3], (2, 2), "indptr runs from 0 to 3, but 2 values are stored"),
        ([1, 1, 2], (2, 2), "indptr runs from 1 to 2"),
        ([0, 3, 2], (2, 2), "indptr falls after entry 1: 3 to 2"),
    ],
)
def test_pointers_that_disagree_are_refused(indptr, stored, message):
    with pytest.raises(FormatError, match=message):
        check_pointers(np.array(indptr), 2, stored, "a.h5ad", "X")


def test_a_shape_beyond_what_is_stored_is_refused():
    check_size((2**22, 3), 10, "a.npz")
    with pytest.raises(FormatError, match=r"^a.npz: X promises 1099511627776 rows, but holds 10 values at most$"):
        check_size((2**40, 3), 10, "a.npz")


def test_bands_are_whole_chunks_if_the_budget_allows():
    execution = Execution(memory=10**9, threads=2)
    assert band(1000, 1e5, 64, execution) == 64
    assert band(1000, 1e9, 64, execution) == 1


def test_columns_are_stacked_exactly():
    assert stack_columns([np.array([1, 2]), np.array([0.5, 1])], "a.csv").tolist() == [[1.0, 0.5], [2.0, 1.0]]
    with pytest.raises(FormatError, match=r"^a.csv: whole numbers of 2\*\*63 and more beside signed ones"):
        stack_columns([np.array([2**63], np.uint64), np.array([-1])], "a.csv")
