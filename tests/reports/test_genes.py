"""The values of genes are those of the dataset for every budget, block size and kind of table."""

import io
from dataclasses import replace

import numpy as np
import pytest
from scipy import sparse

import kithkin as kk
from kithkin.plot.data import groups
from kithkin.reports.encoding import BlockWriter
from kithkin.reports.genes import slabs_of, write_genes


def written(ds, genes, order=None):
    file = io.BytesIO()
    order = np.arange(ds.n_obs) if order is None else order
    entries, means = write_genes(ds, dict.fromkeys(genes, ""), groups(ds, "obs/group"), order, BlockWriter(file))
    return entries, means, file.getvalue()


def test_no_budget_changes_a_byte(finished):
    ds = kk.open(finished.path)
    ds["obs/group"] = ds.read("obs/leiden")
    genes = list(ds.var_names[:12])
    small = kk.Dataset(ds.path, replace(ds.execution, memory=8 * 4 * ds.n_obs, threads=1))
    assert len(slabs_of(small, small.positions(genes, "var"))) > 3
    whole, means, text = written(ds, genes)
    parts, same, again = written(small, genes)
    assert (whole, text) == (parts, again)
    assert np.array_equal(means.mean, same.mean)
    ds.delete("obs/group")


@pytest.mark.parametrize("dense", [False, True])
def test_values_that_are_no_counts_stay_as_they_are(tmp_path, dense):
    rng = np.random.default_rng(0)
    X = np.where(rng.random((60, 4)) < 0.4, rng.normal(size=(60, 4)), 0.0).astype(np.float32)
    ds = kk.read(X if dense else sparse.csr_matrix(X), to=tmp_path / "a.zarr", kind="values")
    ds["obs/group"] = np.array(["a", "b"])[np.arange(60) % 2]
    entries, means, _ = written(ds, list(ds.var_names))
    assert all(entry["dense"] for entry in entries), "negative values have levels of their own"
    for k, group in enumerate("ab"):
        assert np.allclose(means.mean[k], X[ds.read("obs/group") == group].mean(axis=0), atol=1e-6)


def test_rows_that_are_not_shown_count_in_the_means_only(finished):
    ds = kk.open(finished.path)
    ds["obs/group"] = ds.read("obs/leiden")
    gene = [str(ds.var_names[0])]
    _, whole, _ = written(ds, gene)
    entries, means, _ = written(ds, gene, np.arange(10)[::-1].copy())
    assert np.array_equal(whole.mean, means.mean)
    assert entries[0]["n_stored"] == int((ds.genes(gene)[:10] > 0).sum())
    ds.delete("obs/group")
