import anndata as ad
import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.core.totals import totals_key, totals_of


@pytest.fixture
def layered(tmp_path):
    counts = np.random.default_rng(0).poisson(2.0, (30, 12)).astype(np.float32)
    data = ad.AnnData(sparse.csr_matrix(np.log1p(counts)), layers={"counts": sparse.csr_matrix(counts)})
    return kk.read(data, to=tmp_path / "a.zarr", progress=False), counts


def test_totals_are_those_of_the_table(layered):
    ds, counts = layered
    assert totals_key(ds, "X") == "obs/n_counts"
    assert totals_key(ds, "layers/counts") is None
    np.testing.assert_allclose(totals_of(ds, "X"), np.log1p(counts).sum(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(totals_of(ds, "layers/counts"), counts.sum(axis=1))
    kk.quality(ds, on="layers/counts", key="raw_")
    assert totals_key(ds, "layers/counts") == "obs/raw_n_counts"
    np.testing.assert_array_equal(totals_of(ds, "layers/counts"), counts.sum(axis=1))


def test_a_column_of_another_hand_is_no_total(layered):
    ds, counts = layered
    kk.quality(ds, on="layers/counts")  # over the columns of X
    assert totals_key(ds, "X") is None
    assert totals_key(ds, "layers/counts") == "obs/n_counts"
    ds.write({"obs/n_counts": np.ones(30)})
    assert totals_key(ds, "layers/counts") is None
    np.testing.assert_array_equal(totals_of(ds, "layers/counts"), counts.sum(axis=1))


def test_totals_of_a_table_that_has_changed_are_taken_anew(layered):
    ds, counts = layered
    kk.quality(ds, on="layers/counts", key="raw_")
    ds.write({"layers/counts": sparse.csr_matrix(2 * counts)})
    assert totals_key(ds, "layers/counts") is None
    np.testing.assert_array_equal(totals_of(ds, "layers/counts"), 2 * counts.sum(axis=1))


@pytest.mark.parametrize(("value", "said"), [(np.nan, "missing values, .*: fill them in"), (-9.0, "negative values, ")])
def test_values_that_are_no_counts_have_no_totals(value, said, tmp_path):
    X = np.array([[0.5, 2.0], [1.0, value], [3.0, 1.5]])
    ds = kk.read(X, to=tmp_path / "a.zarr")
    with pytest.raises(kk.ParameterError, match=f"X of a.zarr holds {said}.*kithkin.scale"):
        totals_of(ds, "X")
