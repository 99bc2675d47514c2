import numpy as np
import pytest
from scipy import sparse, stats

from kithkin.core.blocks import InMemory
from kithkin.core.errors import ParameterError
from kithkin.core.execute import Execution
from kithkin.models.quality import Quality, outliers


def counts(dtype, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 250, (41, 17)) * (rng.random((41, 17)) < 0.4)).astype(dtype)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int64, np.float32, np.float64])
@pytest.mark.parametrize("make", [sparse.csr_matrix, sparse.csc_matrix, np.asarray, np.asfortranarray])
def test_equals_numpy_whatever_the_type_and_layout(dtype, make):
    X = counts(dtype)
    X[3] = 0
    mask = np.arange(17) < 4
    model = Quality({"mito": mask, "none": np.zeros(17, bool)}).fit(InMemory(make(X), rows=7))
    wide = X.astype(np.int64)
    totals = wide.sum(axis=1)
    share = 100 * wide[:, mask].sum(axis=1) / np.maximum(totals, 1)
    assert np.array_equal(model.n_counts_, totals)
    assert np.array_equal(model.n_genes_, (X > 0).sum(axis=1))
    assert np.array_equal(model.percent_["mito"], share)
    assert not model.percent_["none"].any()
    assert np.array_equal(model.n_cells_, (X > 0).sum(axis=0))
    assert np.array_equal(model.mean_counts_, wide.sum(axis=0) / 41)


@pytest.mark.parametrize("rows", [1, 5, 41])
def test_update_in_order_equals_fit(rows):
    X = InMemory(sparse.csr_matrix(counts(np.uint16)), rows=rows)
    one, other = Quality({"a": np.arange(17) == 2}), Quality({"a": np.arange(17) == 2})
    for start, stop in X.ranges:
        one.update(X.read(start, stop), start)
    other.fit(X, Execution(threads=3))
    assert np.array_equal(one.n_counts_, other.n_counts_)
    assert np.array_equal(one.percent_["a"], other.percent_["a"])
    assert np.array_equal(one.mean_counts_, other.mean_counts_)


def test_large_dense_blocks_are_cut_into_pieces():
    X = np.random.default_rng(0).poisson(0.5, (3000, 800)).astype(np.uint8)
    model = Quality({"a": np.arange(800) < 9}).fit(InMemory(X, rows=3000))
    assert np.array_equal(model.n_counts_, X.sum(axis=1))
    assert np.array_equal(model.n_cells_, (X > 0).sum(axis=0))


def test_refuses_wrong_masks_and_order():
    with pytest.raises(ParameterError, match="sets\\['mito'\\] must be 17 booleans, got int64 of shape \\(3,\\)"):
        Quality({"mito": np.array([0, 1, 2])}).fit(counts(np.uint8))
    model = Quality()
    with pytest.raises(ParameterError, match="must start at row 0, got 5"):
        model.update(counts(np.uint8), 5)
    model.update(counts(np.uint8), 0)
    with pytest.raises(ParameterError, match="must have 17 genes as those before it, got 3"):
        model.update(np.eye(3), 41)


def test_no_rows_give_empty_results():
    model = Quality({"a": np.array([True])}).fit(np.zeros((0, 1)))
    assert model.n_counts_.shape == model.percent_["a"].shape == (0,)
    assert model.mean_counts_.tolist() == [0.0]


def test_outliers_are_those_of_scipy_in_each_group():
    rng = np.random.default_rng(0)
    groups = rng.choice(["a", "b", "c"], 600)
    values = rng.normal(0, 1, 600) + 9.0 * (groups == "c")
    values[::50] += 12 * rng.choice([-1, 1], 12)
    for low in (True, False):
        found = outliers(values, groups, 3, low=low)
        for group in "abc":
            own = values[groups == group]
            scores = (own - np.median(own)) / stats.median_abs_deviation(own, scale="normal")
            assert (found[groups == group] == ((np.abs(scores) if low else scores) > 3)).all()
    assert outliers(values, groups).sum() == 12
    assert not outliers(np.array([0.0, 0, 0, 0, 7])).any(), "a deviation of 0 tells nothing"
