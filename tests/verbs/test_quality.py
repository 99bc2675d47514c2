"""Quality is sums over the table, with patterns that a user can set."""

import warnings

import anndata as ad
import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.verbs.quality import MITO, RIBO, gene_sets


def share(dense, mask):
    """Percent of each row's sum in some columns; 0 where the row is empty."""
    total = dense.sum(1)
    return np.divide(100.0 * dense[:, mask].sum(1), total, out=np.zeros(len(dense)), where=total > 0)


def test_quality_is_numpys_sums(dataset, small_counts):
    dense = small_counts.X.toarray().astype(float)
    found = kk.quality(dataset)
    names = small_counts.var_names
    assert np.array_equal(found["n_counts"], dense.sum(1))
    assert np.array_equal(found["n_genes"], (dense > 0).sum(1))
    np.testing.assert_allclose(found["pct_mito"], share(dense, names.str.startswith("MT-")), rtol=1e-12)
    np.testing.assert_allclose(found["pct_ribo"], share(dense, names.str.match("RP[SL]")), rtol=1e-12)
    assert found["pct_mito"].max() > 0
    assert np.array_equal(dataset.read("var/n_cells"), (dense > 0).sum(0))
    np.testing.assert_allclose(dataset.read("var/mean_counts"), dense.mean(0), rtol=1e-12)
    assert found.index.equals(dataset.obs_names)


def test_quality_is_scanpys(pbmc, blood):
    scanpy = pytest.importorskip("scanpy")
    pbmc.var["mito"] = np.array([name.upper().startswith("MT-") for name in pbmc.var["symbol"]])
    pbmc.var["ribo"] = np.array([name.upper().startswith(("RPS", "RPL")) for name in pbmc.var["symbol"]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # scanpy's own
        cells, genes = scanpy.pp.calculate_qc_metrics(pbmc, qc_vars=["mito", "ribo"], percent_top=None, log1p=False)
    found = kk.quality(blood)
    for ours, theirs in {
        "n_counts": "total_counts",
        "n_genes": "n_genes_by_counts",
        "pct_mito": "pct_counts_mito",
        "pct_ribo": "pct_counts_ribo",
    }.items():
        np.testing.assert_allclose(found[ours], cells[theirs], rtol=1e-5, atol=1e-6)
    assert np.array_equal(blood.read("var/n_cells"), genes["n_cells_by_counts"])
    np.testing.assert_allclose(blood.read("var/mean_counts"), genes["mean_counts"], rtol=1e-5)


def test_reading_took_it_already(dataset, listing):
    before = listing(dataset)
    kk.quality(dataset)
    assert listing(dataset) == before


def test_patterns_and_names_can_be_set(dataset, small_counts, states):
    dense = small_counts.X.toarray().astype(float)
    found = kk.quality(dataset, mito="^GENE1", ribo="1$")
    np.testing.assert_allclose(found["pct_mito"], share(dense, small_counts.var_names.str.match("GENE1")), rtol=1e-12)
    np.testing.assert_allclose(found["pct_ribo"], share(dense, small_counts.var_names.str.endswith("1")), rtol=1e-12)
    assert np.allclose(dataset.read("obs/pct_mito"), found["pct_mito"])
    dataset.write({"var/other": np.where(np.arange(500) < 9, "mt-x", "y").astype(object)})
    found = kk.quality(dataset, names="other", key=None)
    np.testing.assert_allclose(found["pct_mito"], share(dense, np.arange(500) < 9), rtol=1e-12)
    assert states(dataset)["quality"] == "current"


def test_symbols_in_var_are_matched_rather_than_ids(small_counts, tmp_path):
    symbols = small_counts.var_names
    small_counts.var["gene_symbols"] = list(symbols)
    small_counts.var_names = [f"ENSG{i}" for i in range(500)]
    ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    expected = share(small_counts.X.toarray().astype(float), symbols.str.startswith("MT-"))
    np.testing.assert_allclose(ds.read("obs/pct_mito"), expected, rtol=1e-12)


def test_another_layer_and_prefix_stand_beside_the_first(small_counts, tmp_path):
    small_counts.layers["thrice"] = small_counts.X * 3
    ds = kk.read(small_counts, to=tmp_path / "a.zarr")
    found = kk.quality(ds, on="layers/thrice", key="thrice_")
    assert np.array_equal(ds.read("obs/thrice_n_counts"), 3 * ds.read("obs/n_counts"))
    assert np.array_equal(found["thrice_n_genes"], ds.read("obs/n_genes"))


def test_what_is_wrong_is_named(dataset):
    with pytest.raises(kk.ParameterError, match=r"mito must be a regular expression, got '\('"):
        kk.quality(dataset, mito="(")
    with pytest.raises(kk.ParameterError, match="names must be a column of var, got 'nothing'"):
        kk.quality(dataset, names="nothing")
    with pytest.raises(kk.MissingResultError, match=r"layers/nothing is not in cells\.zarr"):
        kk.quality(dataset, on="layers/nothing")


@pytest.mark.parametrize("name", ["MT-ND1", "mt-Nd1", "GRCh38_MT-ND1", "mm10___mt-Nd1", "hg19_mt-co1"])
def test_mitochondrial_genes_with_a_genome_before_their_name(name):
    var = pd.DataFrame(index=[name, "MTOR", "AMT-1", "RPS6", "GRCh38_RPL3", "CORPS"])
    sets = gene_sets(var, MITO, RIBO, None)
    assert sets["mito"].tolist() == [True, False, False, False, False, False]
    assert sets["ribo"].tolist() == [False, False, False, True, True, False]


MITOCHONDRIAL = [
    "MT-ND1",
    "mt-Nd1",
    "GRCh38_MT-ND1",
    "hg19_MT-CO1",
    "mm10___mt-Nd1",
    "GRCh38-MT-ND1",
    "GRCm39.p1_mt-Co1",
]
RIBOSOMAL = ["RPS3", "Rpl4", "GRCh38_RPL4", "mm10___Rps2"]
OTHERS = ["MTOR", "GRCh38_MTOR", "MT1X", "EMT-1", "TRPS1", "GRCh38_TRPS1", "ACTB"]


def test_genes_of_several_genomes_carry_its_name(tmp_path):
    names = [*MITOCHONDRIAL, *RIBOSOMAL, *OTHERS]
    X = ad.AnnData(np.ones((3, len(names)), np.float32), var=pd.DataFrame(index=names))
    table = kk.quality(kk.read(X, to=tmp_path / "a.zarr", progress=False))
    np.testing.assert_allclose(table["pct_mito"], 100 * len(MITOCHONDRIAL) / len(names))
    np.testing.assert_allclose(table["pct_ribo"], 100 * len(RIBOSOMAL) / len(names))
