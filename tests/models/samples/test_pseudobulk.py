"""Pseudobulks are the sums of the rows of each group, whatever the table is stored as."""

import numpy as np
import pytest
from scipy import sparse

from kithkin import models
from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution


@pytest.mark.parametrize("dtype", ["uint8", "int32", "float32"])
@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix])
def test_sums_are_those_of_the_rows(layout, dtype):
    rng = np.random.default_rng(0)
    X, groups = rng.poisson(2, (101, 7)), rng.integers(-1, 5, 101)
    bulk = models.Pseudobulk().fit(InMemory(layout(X.astype(dtype)), rows=9), groups, Execution(threads=2))
    expected = np.stack([X[groups == k].sum(axis=0) for k in range(5)])
    assert np.array_equal(bulk.sums_, expected)
    assert bulk.sums_.dtype == (np.float64 if dtype == "float32" else np.int64)
    assert np.array_equal(bulk.n_cells_, [(groups == k).sum() for k in range(5)])


def test_sums_do_not_overflow_the_type_of_the_counts():
    X = np.full((300, 2), 255, np.uint8)
    assert models.Pseudobulk().fit(X, np.zeros(300, np.int8)).sums_.tolist() == [[76500, 76500]]


def test_what_is_wrong_is_named():
    X = np.ones((3, 2))
    with pytest.raises(ParameterError, match="groups must be 3 integers, got int64 of shape"):
        models.Pseudobulk().fit(X, np.zeros(2, np.int64))
    with pytest.raises(ParameterError, match="groups must be 3 integers, got float64"):
        models.Pseudobulk().fit(X, np.zeros(3))
    with pytest.raises(ParameterError, match="at least one row, got none"):
        models.Pseudobulk().fit(X, np.full(3, -1))
    with pytest.raises(ParameterError, match="X must be finite"):
        models.Pseudobulk().fit(np.array([[np.nan]]), np.zeros(1, np.int64))
