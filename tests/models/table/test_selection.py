"""A selection cuts every block as indexing cuts the whole table."""

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory, SparseRows
from kithkin.core.errors import ParameterError
from kithkin.models.table.selection import Selection

RNG = np.random.default_rng(0)
DENSE = RNG.poisson(0.7, (61, 23)).astype(np.uint8)
ROWS, COLUMNS = RNG.random(61) < 0.4, RNG.random(23) < 0.5


@pytest.mark.parametrize("make", [np.asarray, sparse.csr_matrix])
@pytest.mark.parametrize("rows", [1, 7, 61])
def test_blocks_add_up_to_the_part(make, rows):
    selection, blocks = Selection(ROWS, COLUMNS), InMemory(make(DENSE), rows=rows)
    parts = [selection(blocks.read(*r), r[0]) for r in blocks.ranges]
    found = np.concatenate([part.to_dense() if isinstance(part, SparseRows) else part for part in parts])
    assert np.array_equal(found, DENSE[np.ix_(ROWS, COLUMNS)])
    assert selection.shape == found.shape
    assert all(part.dtype == np.uint8 for part in parts)
    assert all(isinstance(part, SparseRows) == (make is sparse.csr_matrix) for part in parts)


def test_nothing_left_is_refused():
    with pytest.raises(ParameterError, match="no rows are left"):
        Selection(np.zeros(3, bool), np.ones(2, bool))
    with pytest.raises(ParameterError, match="no columns are left"):
        Selection(np.ones(3, bool), np.zeros(2, bool))
