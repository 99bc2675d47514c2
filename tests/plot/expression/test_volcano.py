import numpy as np
import pandas as pd
import pytest

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError


def stored(n_genes=300, groups=("T", "B"), levels=("drug",), changed=20, seed=0):
    """Make what contrast() stores."""
    rng = np.random.default_rng(seed)
    parts = []
    for group in groups:
        for level in levels:
            change = rng.normal(0, 0.5, n_genes)
            change[:changed] = rng.normal(3, 1, changed) * rng.choice([-1, 1], changed)
            pval = np.where(
                np.arange(n_genes) < changed, 10 ** -rng.uniform(3, 30, n_genes), rng.uniform(0.01, 1, n_genes)
            )
            genes = [f"GENE{k}" for k in range(n_genes)]
            part = {"group": group, "level": level, "gene": genes, "logfoldchange": change, "pval": pval}
            parts.append(pd.DataFrame(part | {"pval_adj": np.minimum(1, pval * 10)}))
    table = pd.concat(parts, ignore_index=True).astype({"group": "category", "level": "category", "gene": "category"})
    found = {
        name: table[name].array if name in ("group", "level", "gene") else table[name].to_numpy() for name in table
    }
    return found | {"params": {"reference": "none"}}


@pytest.fixture
def ds(table):
    return table(3, var_names=[f"GENE{k}" for k in range(300)], uns__contrast=stored())


def test_a_panel_for_each_cluster_counts_what_differs(ds):
    figure = plot.volcano(ds)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["B", "T"]
    tests = pd.DataFrame({name: ds.read("uns/contrast")[name] for name in ("group", "logfoldchange", "pval_adj")})
    for ax, group in zip(figure.axes, ("B", "T"), strict=True):
        some = tests[(tests["group"] == group) & (tests["pval_adj"] < 0.05)]
        said = [text.get_text() for text in ax.texts]
        assert f"↑ {(some['logfoldchange'] > 0).sum()}" in said
        assert f"↓ {(some['logfoldchange'] < 0).sum()}" in said
        assert len(ax.collections[0].get_offsets()) == 300 - len(some)
    assert figure.axes[0].get_xlabel() == "log2 fold change, drug / none"


def test_the_surest_genes_are_named_and_no_name_covers_another(ds, apart):
    figure = plot.volcano(ds, n_genes=10)
    for ax, group in zip(figure.axes, ("B", "T"), strict=True):
        names = [text for text in ax.texts if text.get_text().startswith("GENE")]
        assert 8 <= len(names) <= 10
        assert apart(figure, [*names, *(text for text in ax.texts if text.get_text()[0] in "↑↓")])
        found = pd.DataFrame({name: ds.read("uns/contrast")[name] for name in ("group", "gene", "pval")})
        first = found[found["group"] == group].nsmallest(10, "pval")["gene"].astype(str)
        assert {text.get_text() for text in names} <= set(first)
        dots = np.concatenate([ax.transData.transform(one.get_offsets()) for one in ax.collections[1:]])
        for name in names:
            box = name.get_window_extent()
            inside = (dots > (box.x0 + 2, box.y0 + 2)).all(axis=1) & (dots < (box.x1 - 2, box.y1 - 2)).all(axis=1)
            assert not inside.any()
    assert not [text for text in plot.volcano(ds, n_genes=0).axes[0].texts if text.get_text().startswith("GENE")]


def test_chosen_clusters_and_several_conditions(table):
    ds = table(3, var_names=[f"GENE{k}" for k in range(300)], uns__contrast=stored(levels=("low", "high")))
    figure = plot.volcano(ds, groups=["T"])
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["T: high", "T: low"]


def test_a_gene_that_few_counts_throw_out_stays_at_the_edge(table):
    held = stored(groups=("T",), changed=5)
    held["logfoldchange"][100] = 25.0
    figure = plot.volcano(table(3, var_names=[f"GENE{k}" for k in range(300)], uns__contrast=held))
    right = figure.axes[0].get_xlim()[1]
    assert right < 10
    assert figure.axes[0].collections[0].get_offsets()[:, 0].max() == pytest.approx(right)


def test_zero_p_and_no_findings_can_be_drawn(table):
    held = stored(groups=("T",), changed=3)
    held["pval"][0] = held["pval_adj"][0] = 0.0
    figure = plot.volcano(table(3, var_names=[f"GENE{k}" for k in range(300)], uns__contrast=held))
    dots = np.concatenate([one.get_offsets() for one in figure.axes[0].collections])
    assert len(dots) == 300
    assert np.isfinite(dots).all()
    assert dots[:, 1].max() <= figure.axes[0].get_ylim()[1]
    none = stored(groups=("T",), changed=0)
    figure = plot.volcano(table(3, var_names=[f"GENE{k}" for k in range(300)], uns__contrast=none))
    assert [text.get_text() for text in figure.axes[0].texts] == ["↑ 0", "↓ 0"]


def test_wrong_input_is_one_sentence(ds):
    with pytest.raises(MissingResultError, match="uns/other is not in"):
        plot.volcano(ds, "uns/other")
    with pytest.raises(ParameterError, match="there is no 'NK': there are 'B', 'T'"):
        plot.volcano(ds, groups=["NK"])
    with pytest.raises(ParameterError, match=r"n_genes must be in 0\.\.1000, got -1"):
        plot.volcano(ds, n_genes=-1)
    with pytest.raises(ParameterError, match=r"threshold must be in 0\.0\.\.1\.0, got 5"):
        plot.volcano(ds, threshold=5)
    ds.elements["uns/pca"] = {"variance": np.ones(3)}
    with pytest.raises(ParameterError, match=r"key must be that of a result of kithkin\.contrast, got 'uns/pca'"):
        plot.volcano(ds, "uns/pca")
