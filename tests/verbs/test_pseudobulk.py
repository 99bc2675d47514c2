"""One row for each sample and cluster, with what is the same in all of its cells."""

import anndata
import numpy as np
import pandas as pd
import pytest

import kithkin as kk


@pytest.fixture
def sampled(dataset):
    """The small counts with samples, a condition that follows them, and a column that differs within them."""
    number = np.arange(600) % 3
    dataset["obs/sample"] = [f"s{k}" for k in number]
    dataset["obs/condition"] = pd.Categorical.from_codes(number // 2, ["none", "drug"])
    dataset["obs/age"] = 30.5 + number
    return dataset


def test_rows_are_samples_and_clusters(sampled, small_counts):
    bulk = kk.pseudobulk(sampled, ["sample", "obs/group"])
    assert bulk.obs_names.tolist() == [f"s{s}_{g}" for s in range(3) for g in range(4)]
    sample, group = sampled["obs/sample"].to_numpy(), sampled["obs/group"].astype(str).to_numpy()
    for name in bulk.obs_names:
        cells = (sample == name[:2]) & (group == name[3:])
        assert np.array_equal(bulk[name].X.ravel(), np.asarray(small_counts.X[cells].sum(axis=0)).ravel())
        assert bulk.obs.loc[name, "n_cells"] == cells.sum()
    assert bulk.var_names.equals(small_counts.var_names)
    assert list(bulk.var["marker_of"]) == list(small_counts.var["marker_of"])


def test_what_is_the_same_in_a_sample_comes_along(sampled):
    obs = kk.pseudobulk(sampled, "sample").obs
    assert list(obs.columns) == ["sample", "n_cells", "condition", "age"]
    assert obs["condition"].tolist() == ["none", "none", "drug"]
    assert obs["age"].tolist() == [30.5, 31.5, 32.5]


def test_cells_without_a_label_are_left_out(sampled, caplog):
    labels = sampled["obs/sample"].astype(object)
    labels.iloc[:10], labels.iloc[10:15] = None, ""
    sampled["obs/partly"] = labels
    bulk = kk.pseudobulk(sampled, "partly")
    assert int(bulk.obs["n_cells"].sum()) == 585
    assert int(bulk.X.sum()) == int(sampled["obs/n_counts"].iloc[15:].sum())
    assert "15 rows without a label in obs/partly left out" in caplog.text


def test_a_file_holds_the_same(sampled, tmp_path):
    bulk = kk.pseudobulk(sampled, ["sample", "group"], to=tmp_path / "bulk.h5ad")
    read = anndata.read_h5ad(tmp_path / "bulk.h5ad")
    assert np.array_equal(read.X, bulk.X)
    assert read.obs["n_cells"].tolist() == bulk.obs["n_cells"].tolist()
    kk.pseudobulk(sampled, ["sample", "group"], to=tmp_path / "bulk.csv")
    table = pd.read_csv(tmp_path / "bulk.csv", index_col=0)
    assert np.array_equal(table[bulk.var_names].to_numpy(), bulk.X)
    assert list(table.columns[:3]) == ["sample", "group", "n_cells"]


def test_what_is_wrong_is_named(sampled, tmp_path):
    with pytest.raises(kk.MissingResultError, match=r"obs/smaple is not in cells\.zarr\. Did you mean 'obs/sample'"):
        kk.pseudobulk(sampled, "smaple")
    with pytest.raises(kk.ParameterError, match="by must name labels such as obs/leiden, but obs/age holds numbers"):
        kk.pseudobulk(sampled, ["sample", "age"])
    with pytest.raises(kk.ParameterError, match="by must name at least one column of obs, got none"):
        kk.pseudobulk(sampled, [])
    with pytest.raises(kk.ParameterError, match=r"to must end in \.h5ad, \.tsv, .* got 'bulk\.xlsx'"):
        kk.pseudobulk(sampled, "sample", to="bulk.xlsx")
    with pytest.raises(kk.ParameterError, match="on must be X or a layer, got 'obsm/X_pca'"):
        kk.pseudobulk(sampled, "sample", on="obsm/X_pca")
    sampled["layers/logs"] = np.full(sampled.shape, 0.1)
    with pytest.raises(kk.ParameterError, match=r"pseudobulk needs counts, and layers/logs of .* holds numbers"):
        kk.pseudobulk(sampled, "sample", on="layers/logs")
    values = kk.read(np.random.default_rng(0).normal(size=(6, 3)), to=tmp_path / "v.zarr")
    values["obs/sample"] = list("aabbcc")
    with pytest.raises(kk.ParameterError, match=r"pseudobulk needs counts, and X of v\.zarr holds negative values"):
        kk.pseudobulk(values, "sample")
    (tmp_path / "there.csv").write_text("x")
    with pytest.raises(kk.KithkinError, match=r"there\.csv exists already"):
        kk.pseudobulk(sampled, "sample", to=tmp_path / "there.csv")
    small = kk.open(sampled, memory="50MB")
    small["obs/each"] = [f"c{k}" for k in range(600)]
    small.execution.__dict__["memory"] = 10**6  # what 50 MB are to 30,000 genes
    with pytest.raises(kk.ParameterError, match="600 combinations of 500 genes, which need memory=7MB, and 1MB are"):
        kk.pseudobulk(small, "each")
