import numpy as np
import pandas as pd
import pytest
from scipy.stats import false_discovery_control, hypergeom

import kithkin as kk


@pytest.fixture
def sets(small_counts):
    """Genes that mark each group, and any genes."""
    of = small_counts.var["marker_of"].astype(str)
    marks = {f"of {group}": small_counts.var_names[of == group].tolist() for group in "0123"}
    return marks | {"any": small_counts.var_names[::25].tolist(), "absent": ["x1", "x2"]}


@pytest.mark.parametrize("method", ["fisher", "rank"])
def test_groups_are_rich_in_the_genes_that_mark_them(dataset, sets, method):
    kk.markers(dataset, "group")
    table = kk.enrich(dataset, "group", sets, method=method)
    best = table.groupby("group", observed=True).first()
    assert [best.loc[group, "set"] for group in "0123"] == [f"of {group}" for group in "0123"]
    assert (best["pval_adj"] < 1e-6).all()
    assert (table.loc[table["set"] == "any", "pval_adj"] > 0.05).all()
    assert set(table["set"]) == set(sets) - {"absent"}
    pd.testing.assert_frame_equal(dataset["uns/group_enrichment"].reset_index(drop=True), table)
    pd.testing.assert_frame_equal(kk.enrich(dataset, "group", sets, method=method), table)
    in_order = table.groupby("group", observed=True)["pval"].agg(lambda p: bool((p.diff().dropna() >= 0).all()))
    assert in_order.all()


def test_fisher_is_the_hypergeometric_test_of_the_best_markers(dataset, sets):
    tests = kk.markers(dataset, "group")
    table = kk.enrich(dataset, "group", sets, n_genes=30)
    some_cell = dataset["var/n_cells"] > 0
    for _, row in table.iterrows():
        of = tests[(tests["group"] == row["group"]) & (tests["pval_adj"] <= 0.05) & (tests["score"] > 0)]
        best, inside = set(of["gene"].astype(str)[:30]), set(sets[row["set"]]) & set(some_cell.index[some_cell])
        assert row["n_set"] == len(inside)
        assert set(filter(None, row["genes"].split(", "))) == best & inside
        assert row["n_found"] == len(best & inside)
        p = hypergeom.sf(row["n_found"] - 1, int(some_cell.sum()), len(inside), len(best))
        assert row["pval"] == pytest.approx(p)
        assert row["expected"] == pytest.approx(len(best) * len(inside) / some_cell.sum())
    np.testing.assert_allclose(table["pval_adj"], false_discovery_control(table["pval"]))


def test_tests_that_are_not_stored_are_computed(dataset, sets):
    without = kk.enrich(dataset, "group", sets)
    assert "uns/rank_genes_groups" not in dataset
    kk.markers(dataset, "group")
    pd.testing.assert_frame_equal(kk.enrich(dataset, "group", sets, key="again"), without)
    kk.markers(dataset, "group", reference="0")  # of no use here
    pd.testing.assert_frame_equal(kk.enrich(dataset, "group", sets, key=None), without)


def test_open_gates_are_tested_against_those_that_could_be_chosen(dataset, sets):
    gates = np.full((dataset.n_vars, 4), 0.5)
    gates[dataset.var_names.get_indexer(sets["of 2"][:5]), 2] = 0.9
    gates[::7] = np.nan
    dataset.write({"varm/group_gates": gates})
    table = kk.enrich(dataset, "group", sets, on="varm/group_gates")
    row = table[(table["group"] == "2") & (table["set"] == "of 2")].iloc[0]
    could = ~np.isnan(gates[:, 0])
    open_ = (gates[:, 2] > 0.55) & could
    inside = np.isin(dataset.var_names, sets["of 2"]) & could
    assert row["n_found"] == (open_ & inside).sum()
    assert row["pval"] == pytest.approx(hypergeom.sf(row["n_found"] - 1, could.sum(), inside.sum(), open_.sum()))
    others = table[table["group"] != "2"]
    assert (others["n_found"] == 0).all()
    assert (others["pval"] == 1).all()


def test_it_is_stale_once_the_clusters_change(dataset, sets, states):
    kk.kmeans(dataset, 3, on="X")
    kk.enrich(dataset, "kmeans", sets)
    assert states(dataset)["enrich"] == "current"
    kk.kmeans(dataset, 2, on="X")
    assert states(dataset)["enrich"] == "stale"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"by": "grup"}, r"obs/grup is not in .*Did you mean 'obs/group'"),
        ({"sets": {"a": ["gene1"]}}, r"sets must name genes that are in var of .*Did you mean 'GENE1'"),
        ({"sets": "no.gmt"}, r"no\.gmt does not exist"),
        ({"method": "gsea"}, r"method must be one of 'fisher', 'rank', got 'gsea'"),
        ({"n_genes": 0}, r"n_genes must be in 1\.\.500, got 0"),
        (
            {"on": "X"},
            r"on must be tests such as 'uns/rank_genes_groups' or gates such as 'varm/leiden_gates', got 'X'",
        ),
        ({"on": "varm/group_gates"}, r"varm/group_gates is not in .* Run kithkin\.explain\(ds\) first"),
        ({"on": "uns/tests"}, r"uns/tests is not in"),
        ({"key": "obs/x"}, r"key must lie in uns"),
        ({"by": "n_counts"}, r"labels such as obs/leiden, but obs/n_counts holds"),
    ],
)
def test_mistakes_are_answered_in_a_sentence(dataset, sets, settings, said):
    with pytest.raises(kk.KithkinError, match=said) as caught:
        kk.enrich(dataset, **{"by": "group", "sets": sets} | settings)
    assert "\n" not in str(caught.value)


def test_tests_of_other_clusters_are_refused(dataset, sets):
    kk.kmeans(dataset, 3, on="X")
    kk.markers(dataset, "kmeans", key="uns/tests")
    with pytest.raises(kk.ParameterError, match=r"tests of obs/group against the rest, but uns/tests holds .* kmeans"):
        kk.enrich(dataset, "group", sets, on="uns/tests")
    dataset.write({"varm/two": np.full((500, 2), 0.5)})
    with pytest.raises(kk.ParameterError, match=r"varm/two has gates of 2 clusters, but obs/group has 4"):
        kk.enrich(dataset, "group", sets, on="varm/two")
