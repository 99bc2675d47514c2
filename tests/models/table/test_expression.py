from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from scipy import sparse

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.models.table.expression import column_values, projected


def counts():
    rng = np.random.default_rng(0)
    return rng.poisson(rng.gamma(0.5, 1, (200, 40))).astype(np.uint16)


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, partial(InMemory, rows=17)])
def test_values_are_those_of_the_columns_in_the_order_asked_for(layout):
    X, chosen = counts(), np.array([30, 2, 2, 17])
    raw = column_values(layout(X), chosen)
    assert raw.dtype == np.float32
    np.testing.assert_array_equal(raw, X[:, chosen])
    totals = X.sum(axis=1)
    expected = np.log1p(X[:, chosen] / np.maximum(totals, 1)[:, None] * 100)
    np.testing.assert_allclose(column_values(layout(X), chosen, totals, target_sum=100), expected, rtol=1e-6)
    with pytest.raises(ParameterError, match="200 numbers"):
        column_values(layout(X), chosen, totals[:3])


@pytest.mark.parametrize("layout", [np.asarray, sparse.csr_matrix, partial(InMemory, rows=17)])
def test_rows_are_projected_from_the_shared_columns_alone(layout):
    X, chosen = counts(), np.array([30, 2, 17, 5])
    loadings = np.random.default_rng(1).normal(size=(4, 3))
    np.testing.assert_allclose(projected(layout(X), chosen, loadings, None), X[:, chosen] @ loadings, rtol=1e-5)
    part = X[:, chosen].astype(float)
    normal = np.log1p(part / np.maximum(part.sum(axis=1), 1)[:, None] * 50)
    np.testing.assert_allclose(projected(layout(X), chosen, loadings, 50.0), normal @ loadings, rtol=1e-5, atol=1e-5)
    with pytest.raises(ParameterError, match="negative"):
        projected(layout(-X.astype(int) - 1), chosen, loadings, 50.0)
