import numpy as np
import pandas as pd
import pytest

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError


def found(kind="ratio", groups=("0", "1", "2")):
    sets = [f"set {k}" for k in range(6)]
    rng = np.random.default_rng(0)
    rows = [(group, one) for group in groups for one in sets]
    table = pd.DataFrame(rows, columns=["group", "set"])
    table[kind] = rng.uniform(1, 30, len(rows)) if kind == "ratio" else rng.uniform(0.5, 1, len(rows))
    table["pval_adj"] = 10.0 ** rng.uniform(-14, 0, len(rows))
    return table


def rows_of(figure):
    return [label.get_text() for label in figure.axes[0].get_yticklabels()]


@pytest.mark.parametrize("kind", ["ratio", "auc"])
def test_dots_grow_with_the_evidence(table, kind):
    results = found(kind)
    figure = plot.enrichment(table(5, uns__leiden_enrichment=results), sets=[f"set {k}" for k in range(6)])
    dots = figure.axes[0].collections[0]
    area, (x, y) = dots.get_sizes(), dots.get_offsets().T
    p = results.pivot_table(index="set", columns="group", values="pval_adj").to_numpy()
    assert len(area) == (p <= 0.05).sum()
    drawn = p[y.astype(int), x.astype(int)]
    assert (drawn <= 0.05).all()
    np.testing.assert_allclose(area / area.max(), np.minimum(-np.log10(drawn), 10) / 10, rtol=1e-6)


def test_the_best_sets_of_each_group_are_drawn(table):
    results = found()
    figure = plot.enrichment(table(5, uns__mine=results), on="uns/mine", n_sets=1)
    best = results.sort_values("pval_adj").groupby("group")["set"].first()
    assert rows_of(figure) == list(dict.fromkeys(best))


def test_names_neither_overlap_nor_leave_the_page(table, apart):
    groups = [f"a group with a name of some length {k}" for k in range(12)]
    results = found(groups=groups).replace({"set 0": "a set with quite a long name, as gene ontologies have them"})
    figure = plot.enrichment(table(5, uns__leiden_enrichment=results), n_sets=6)
    assert apart(figure, figure.axes[0].get_yticklabels())
    assert apart(figure, figure.axes[0].get_xticklabels())
    titles = [ax.title for ax in figure.axes[1:]] + [ax._left_title for ax in figure.axes[1:]]
    assert apart(figure, [title for title in titles if title.get_text()])
    bar = figure.axes[2]
    low, high = bar.get_xlim()
    assert apart(figure, [label for label in bar.get_xticklabels() if low <= label.get_position()[0] <= high])


def test_what_cannot_be_drawn_is_refused(table):
    with pytest.raises(MissingResultError, match="uns/leiden_enrichment is not in"):
        plot.enrichment(table(5))
    nothing = found().assign(pval_adj=0.5)
    with pytest.raises(ParameterError, match=r"no set has an adjusted p up to 0\.05"):
        plot.enrichment(table(5, uns__leiden_enrichment=nothing))
    with pytest.raises(ParameterError, match="sets must be among those that were tested, got 'set 9'"):
        plot.enrichment(table(5, uns__leiden_enrichment=found()), sets=["set 9"])
    with pytest.raises(ParameterError, match="on must be a result of"):
        plot.enrichment(table(5, uns__other={"a": 1}), on="uns/other")
