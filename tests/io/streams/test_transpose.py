"""Out-of-core transposition against NumPy's transpose."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.streams import transpose as module
from kithkin.io.streams.checks import Place
from kithkin.io.streams.compressed import Compressed
from kithkin.io.streams.transpose import sort_triplets, transpose


def table(n_rows, n_columns, dtype, seed=0):
    rng = np.random.default_rng(seed)
    dense = rng.poisson(0.3, (n_rows, n_columns)).astype(dtype)
    return dense * dtype(0.5) if np.dtype(dtype).kind == "f" else dense


@pytest.mark.parametrize("shape", [(1, 1), (7, 7), (50, 3), (3, 50), (2100, 6)])
@pytest.mark.parametrize("dtype", [np.uint8, np.int32, np.float32, np.float64])
@pytest.mark.parametrize("values", [1, 13, 10**6])
def test_transpose_equals_numpy(shape, dtype, values, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 40 * values)
    dense = table(*shape, dtype)
    csc = sparse.csc_matrix(dense)
    columns = Compressed(csc.data, csc.indices, csc.indptr.astype(np.int64), shape[0], Place("a", "X"))
    blocks = list(transpose(columns.lines(values), *shape, Execution(), tmp_path))
    assert np.array_equal(np.concatenate([block.to_dense() for block in blocks]), dense)
    assert all(
        (np.diff(b.indices)[np.diff(np.repeat(np.arange(b.shape[0]), np.diff(b.indptr))) == 0] > 0).all()
        for b in blocks
    )
    assert list(tmp_path.iterdir()) == []


def test_triplets_come_in_any_order_and_type(tmp_path):
    dense = table(300, 40, np.int64)
    rows, columns = np.nonzero(dense)
    order = np.random.default_rng(1).permutation(len(rows))
    parts = [*np.array_split(order, 5), np.zeros(0, int)]
    kinds = [np.uint8, np.int64, np.uint16, np.uint8, np.int64, np.uint8]
    chunks = [
        (rows[p], columns[p], dense[rows[p], columns[p]].astype(kind)) for p, kind in zip(parts, kinds, strict=True)
    ]
    found = [block.to_dense() for block in sort_triplets(chunks, 300, 40, Execution(), scratch=tmp_path)]
    assert np.array_equal(np.concatenate(found), dense)


def test_a_place_given_twice_is_refused_and_scratch_is_removed(tmp_path):
    chunks = [(np.array([1]), np.array([2]), np.array([5]))] * 2
    with pytest.raises(FormatError, match="row 1, column 2 is stored twice"):
        list(sort_triplets(chunks, 3, 3, Execution(), scratch=tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_scratch_is_removed_when_the_reader_stops_early(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "LARGEST", 40)
    csc = sparse.csc_matrix(table(2000, 5, np.int32))
    columns = Compressed(csc.data, csc.indices, csc.indptr.astype(np.int64), 2000, Place("a", "X"))
    stream = transpose(columns.lines(10), 2000, 5, Execution(), tmp_path)
    next(stream)
    assert len(list(tmp_path.iterdir())) == 1
    stream.close()
    assert list(tmp_path.iterdir()) == []


def test_no_values_at_all():
    blocks = list(sort_triplets([], 5, 3, Execution()))
    assert sum(block.shape[0] for block in blocks) == 5
