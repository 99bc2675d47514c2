"""Values are smoothed by a mean over the graph."""

import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.smooth import smooth


def test_smoothing_is_a_mean_over_the_graph(finished):
    genes = finished.var_names[:3].tolist()
    table = smooth(finished, [*genes, "obs/n_counts", "obsm/X_pca"], alpha=0.8)
    assert table.columns.tolist() == [*genes, "n_counts", *(f"X_pca[{i}]" for i in range(10))]
    pd.testing.assert_frame_equal(table, finished.read("obsm/smoothed"))
    W = finished.read("obsp/connectivities").toarray().astype(float)
    P = W / W.sum(axis=1, keepdims=True)
    totals = finished.read("obs/n_counts").to_numpy()
    values = np.log1p(finished.genes(genes) / totals[:, None] * 1e4)
    expected = np.linalg.solve(np.eye(600) - 0.8 * P, 0.2 * values)
    np.testing.assert_allclose(table[genes], expected, rtol=1e-4, atol=1e-4)
    counts = finished.read("obs/n_counts")
    assert table["n_counts"].between(counts.min() * 0.9999, counts.max() * 1.0001).all()


def test_smoothing_takes_numbers_and_marked_genes_and_zeros(finished):
    table = smooth(finished, np.column_stack([np.ones(600), np.zeros(600)]), key=None)
    np.testing.assert_allclose(table[["0", "1"]], [[1, 0]] * 600, rtol=1e-5)
    assert smooth(finished, "var/highly_variable", key=None).shape == (600, 200)
    raw = smooth(finished, finished.var_names[0], normalize=None, key=None)
    assert raw.shape == (600, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ("no_such_gene", "not in var of cells.zarr: no_such_gene"),
        ([], "at least one"),
        ("obs/group", "numbers"),
        (np.ones(5), "600 rows"),
        (["obs/n_counts", "obs/n_counts"], "twice"),
        (np.full(600, np.nan), "missing or infinite"),
    ],
)
def test_values_that_cannot_be_are_refused(finished, values, message):
    finished.write({"obs/group": pd.Categorical(["a", "b"] * 300)})
    with pytest.raises(kk.ParameterError, match=message):
        smooth(finished, values)


def test_threads_and_budget_change_nothing(finished):
    other = kk.open(finished.path, threads=3, memory="50MB")
    np.testing.assert_array_equal(smooth(finished, "obsm/X_pca", key=None), smooth(other, "obsm/X_pca", key=None))


def test_numbers_with_names_go_by_their_names(finished):
    counts = finished.obs["n_counts"]
    expected = smooth(finished, counts.to_numpy(), key=None)
    np.testing.assert_array_equal(smooth(finished, counts.sample(frac=1, random_state=0), key=None), expected)
    with pytest.raises(kk.ParameterError, match="values is indexed by other names than the dataset"):
        smooth(finished, counts.set_axis([f"other {k}" for k in range(600)]), key=None)
