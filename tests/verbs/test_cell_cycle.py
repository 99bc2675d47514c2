import numpy as np
import pandas as pd
import pytest

import kithkin as kk
from kithkin.models.sets.cell_cycle import GENES

SETS = {"S": [f"GENE{k}" for k in range(1, 12)], "G2M": [f"GENE{k}" for k in range(30, 45)]}


def test_phases_equal_scanpy(dataset, small_counts):
    scanpy = pytest.importorskip("scanpy")
    table = kk.cell_cycle(dataset, SETS)
    scanpy.pp.normalize_total(small_counts, target_sum=1e4)
    scanpy.pp.log1p(small_counts)
    scanpy.tl.score_genes_cell_cycle(small_counts, s_genes=SETS["S"], g2m_genes=SETS["G2M"])
    for name in ("S_score", "G2M_score"):
        np.testing.assert_allclose(table[name], small_counts.obs[name], atol=1e-6)
    assert (table["phase"].astype(str) == small_counts.obs["phase"]).all()
    assert table["phase"].cat.categories.tolist() == ["G1", "S", "G2M"]
    assert dataset["obs/phase"].equals(table["phase"])


def test_another_key_stands_before_the_scores(dataset):
    kk.cell_cycle(dataset, SETS, key="cycle")
    assert {"obs/cycle", "obs/cycle_S_score", "obs/cycle_G2M_score"} <= set(dataset.keys())


@pytest.fixture
def dividing(tmp_path):
    """Cells of a mouse, the first ten in S and the next ten in G2 or M, and one without counts."""
    names = [gene.capitalize() for genes in GENES.values() for gene in genes] + [f"Gene{k}" for k in range(400)]
    names[names.index("Cenpu")] = "Mlf1ip"
    X = np.random.default_rng(0).poisson(1.0, (101, len(names)))
    X[:10, :43] += 4
    X[10:20, 43:97] += 4
    X[-1] = 0
    return kk.read(pd.DataFrame(X, columns=names), to=tmp_path / "mouse.zarr", kind="counts")


def test_the_usual_sets_are_found_in_other_species_and_under_former_symbols(dividing, caplog):
    phase = kk.cell_cycle(dividing)["phase"]
    assert set(phase[:10]) == {"S"}
    assert set(phase[10:20]) == {"G2M"}
    assert phase.isna().tolist() == [False] * 100 + [True]
    assert "not there" not in caplog.text


def test_a_phase_without_genes_is_refused_without_a_note_to_the_contrary(dataset, caplog):
    with pytest.raises(kk.ParameterError, match=r"sets\['S'\] has no gene .*: give the genes of S and of G2M in sets"):
        kk.cell_cycle(dataset, {"S": ["none"], "G2M": SETS["G2M"]})
    assert "left out" not in caplog.text


def test_the_usual_sets_are_found_by_symbols_that_several_genes_share(dividing):
    named = dividing.var_names.tolist()
    by_name = kk.cell_cycle(dividing, key=None)
    other = kk.read(
        pd.DataFrame(dividing.genes(named), columns=[f"g{k}" for k in range(len(named))]),
        to=dividing.path.with_name("ids.zarr"),
        kind="counts",
    )
    other["var/symbol"] = named
    np.testing.assert_allclose(kk.cell_cycle(other, key=None)["S_score"], by_name["S_score"])
    named[named.index("Gene7")] = "Pcna"
    other["var/symbol"] = named
    assert not np.allclose(kk.cell_cycle(other, key=None)["S_score"], by_name["S_score"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({}, r"sets must name genes that are in var.* give the genes of S and of G2M in sets"),
        ({"sets": {"S": ["GENE1"]}}, r"sets must be two, named S and G2M, got S"),
        ({"sets": {"S": ["GENE1"], "M": ["GENE2"]}}, r"named S and G2M, got S, M"),
        (
            {"sets": {"S": ["GENE1"], "G2M": ["none"]}},
            r"sets\['G2M'\] has no gene .* in var of cells\.zarr: 'none': give",
        ),
        ({"sets": SETS, "on": "obsm/X_pca"}, r"on must be X or a layer"),
        ({"sets": SETS, "key": "obsm/phase"}, r"key must lie in obs"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(dataset, settings, said):
    with pytest.raises(kk.KithkinError, match=said) as caught:
        kk.cell_cycle(dataset, **settings)
    assert "\n" not in str(caught.value)


def test_a_table_of_values_has_no_cell_cycle(tmp_path):
    ds = kk.read(pd.DataFrame({"x": [0.5, -1.0, 2.0], "y": [1.0, 0.0, 3.5]}), to=tmp_path / "v.zarr")
    with pytest.raises(kk.ParameterError, match="cell_cycle is for counts"):
        kk.cell_cycle(ds)
