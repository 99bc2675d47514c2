"""Genes that differ between conditions are found over samples, the same in every budget, and what cannot is skipped."""

import anndata
import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin import models

SETTINGS = {"sample": "sample", "within": "kind", "reference": "none"}


@pytest.fixture(scope="module")
def _cells():
    """720 cells of eight samples and three kinds; the drug raises ten genes in kind a, ten others in b, none in c."""
    rng = np.random.default_rng(0)
    sample, kind = np.arange(720) % 8, np.arange(720) // 8 % 3
    means = np.exp(rng.normal(-0.5, 1.0, 150)) * np.exp(rng.normal(0, 0.2, (8, 150)))[sample]
    drug = sample % 2 == 1
    means[drug & (kind == 0), :10] *= 3
    means[drug & (kind == 1), 10:20] *= 3
    obs = pd.DataFrame(
        {
            "sample": [f"s{k}" for k in sample],
            "condition": np.array(["none", "drug"])[drug.astype(int)],
            "donor": [f"d{k // 2}" for k in sample],
            "kind": np.array(list("abc"))[kind],
        },
        index=[f"cell{k}" for k in range(720)],
    )
    return anndata.AnnData(
        rng.poisson(means).astype(np.float32), obs, pd.DataFrame(index=[f"g{k}" for k in range(150)])
    )


@pytest.fixture(scope="module")
def _path(_cells, tmp_path_factory):
    path = tmp_path_factory.mktemp("contrast") / "cells.zarr"
    kk.read(_cells.copy(), to=path)
    return path


@pytest.fixture
def cells(_path, copy_of):
    return copy_of(_path)


def test_changed_genes_are_found_within_their_cluster(cells):
    table = kk.contrast(cells, "condition", **SETTINGS)
    assert set(table["level"]) == {"drug"}
    assert set(table["reference"]) == {"none"}
    found = table[table["pval_adj"] < 0.05]
    genes = {group: {int(gene[1:]) for gene in part["gene"]} for group, part in found.groupby("group", observed=False)}
    assert len(genes["a"] & set(range(10))) > 7
    assert len(genes["b"] & set(range(10, 20))) > 7
    assert len(genes["a"] - set(range(10))) + len(genes["b"] - set(range(10, 20))) + len(genes["c"]) < 4
    assert all(part["pval"].is_monotonic_increasing for _, part in table.groupby("group", observed=True))


def test_a_contrast_is_that_of_the_pseudobulks(cells):
    table = kk.contrast(cells, "condition", **SETTINGS, design="~ donor + condition")
    bulk = kk.pseudobulk(cells, ["sample", "kind"])
    part = bulk[bulk.obs["kind"] == "b"]
    donors = pd.get_dummies(part.obs["donor"], drop_first=True, dtype=float).to_numpy()
    design = np.c_[np.ones(8), donors, part.obs["condition"] == "drug"]
    found = models.DESeq().fit(part.X, design).test(4)
    expected = pd.Series(found.logfoldchanges, part.var_names)
    rows = table[table["group"] == "b"].set_index("gene")
    np.testing.assert_allclose(rows["logfoldchange"], expected[rows.index.astype(str)])
    np.testing.assert_allclose(rows["pval"], pd.Series(found.pvals, part.var_names)[rows.index.astype(str)])


def test_another_reference_turns_the_sign(cells):
    one = kk.contrast(cells, "condition", sample="sample", reference="none", key=None).set_index("gene")
    two = kk.contrast(cells, "condition", sample="sample", reference="drug", key=None).set_index("gene").loc[one.index]
    np.testing.assert_allclose(one["logfoldchange"], -two["logfoldchange"], atol=1e-4)
    np.testing.assert_allclose(one["pval"], two["pval"], rtol=1e-3)
    assert set(one["group"]) == {"all"}


def test_clusters_with_few_samples_are_skipped_and_named(cells, caplog):
    kind, sample = cells["obs/kind"].to_numpy(), cells["obs/sample"].to_numpy()
    cells["obs/rare"] = np.where((kind == "c") & (sample != "s0"), "a", kind)
    table = kk.contrast(cells, "condition", sample="sample", within="rare")
    assert set(table["group"]) == {"a", "b"}
    assert "1 of 3 clusters of obs/rare are not tested over samples with 10 cells or more: c: 0 samples" in caplog.text
    stored = cells["uns/contrast"]
    assert stored["skipped"].tolist() == ["c"]
    assert stored["n_cells"].shape == (8, 3)
    assert stored["samples"].loc["s1", "condition"] == "drug"
    with pytest.raises(kk.ParameterError, match="no cluster of obs/rare can be tested over samples with 500 cells"):
        kk.contrast(cells, "condition", sample="sample", within="rare", min_cells=500)


def test_three_conditions_are_compared_to_the_reference(cells):
    number = cells["obs/sample"].str[1:].astype(int)
    cells["obs/dose"] = np.array(["0", "0", "1", "1", "2", "2", "2", "2"])[number]
    table = kk.contrast(cells, "dose", sample="sample", within="kind")
    assert table.groupby(["group", "level"], observed=True).size().index.tolist() == [
        (group, level) for group in "abc" for level in "12"
    ]


@pytest.mark.parametrize(("memory", "threads"), [("50MB", 1), ("2GB", 3)])
def test_no_answer_depends_on_the_budget(cells, memory, threads, monkeypatch):
    whole = kk.contrast(cells, "condition", **SETTINGS, key=None)
    if threads == 1:  # a pass for each cluster
        monkeypatch.setattr("kithkin.verbs.contrast.SHARE", 1e-9)
    part = kk.contrast(kk.open(cells, memory=memory, threads=threads), "condition", **SETTINGS, key=None)
    pd.testing.assert_frame_equal(whole, part)


def test_a_second_call_looks_up_and_a_change_of_samples_makes_it_stale(cells, listing, states):
    first = kk.contrast(cells, "condition", **SETTINGS)
    before = listing(cells)
    pd.testing.assert_frame_equal(kk.contrast(cells, "condition", **SETTINGS), first)
    assert listing(cells) == before
    cells["obs/sample"] = cells["obs/sample"].to_numpy()[::-1].copy()
    assert states(cells)["contrast"] == "stale"


def test_what_holds_no_counts_is_refused(cells, tmp_path):
    values = kk.read(np.random.default_rng(0).normal(size=(8, 3)), to=tmp_path / "v.zarr")
    values["obs/sample"], values["obs/condition"] = list("abcdefgh"), list("xyxyxyxy")
    with pytest.raises(kk.ParameterError, match=r"contrast needs counts, and X of v\.zarr holds negative values"):
        kk.contrast(values, "condition", sample="sample")
    cells["layers/logs"] = np.full(cells.shape, 0.1)
    with pytest.raises(kk.ParameterError, match=r"contrast needs counts, and layers/logs of .* holds numbers"):
        kk.contrast(cells, "condition", sample="sample", on="layers/logs")
    with pytest.raises(kk.ParameterError, match=r"within must name clusters, and obs/condition is compared itself"):
        kk.contrast(cells, "condition", sample="sample", within="condition")
    with pytest.raises(kk.ParameterError, match=r"min_cells must be in 1\.\."):
        kk.contrast(cells, "condition", sample="sample", min_cells=0)


def test_interferon_is_found_in_every_kind_of_blood_cell(shared_data, tmp_path):
    source = shared_data / "samples" / "ifnb_four_samples.h5ad"
    if not source.is_file():
        pytest.skip("ifnb_four_samples.h5ad is not in ../shared/data/samples")
    ds = kk.read(source, to=tmp_path / "four.zarr")
    ds["obs/donor"] = ds["obs/sample"].str[-3:]
    table = kk.contrast(ds, "condition", sample="sample", within="cell_type", design="~ donor + condition")
    first = table.groupby("group", observed=True).head(3)
    assert set(first["gene"]) & {"ISG15", "IFI6", "ISG20", "IFIT3", "IFIT1", "CXCL10", "APOBEC3A"}
    assert (first["logfoldchange"] > 2).all()
    found = (table["pval_adj"] < 0.05).groupby(table["group"], observed=True).sum()
    # as pydeseq2 0.5.4: benchmarks/contrast.py
    assert found.to_dict() == {
        "B cells": 31, "CD14+ Monocytes": 335, "CD4 T cells": 78, "CD8 T cells": 2, "FCGR3A+ Monocytes": 147,
    }  # fmt: skip
