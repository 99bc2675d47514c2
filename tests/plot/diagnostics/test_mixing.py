import numpy as np
import pandas as pd
import pytest

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError


def result(labels=True, before=True):
    rng = np.random.default_rng(0)
    rows = {"before": [1.0, 1.9, 0.5], "after": [1.7, 1.9, 0.9]} if before else {"after": [1.7, 1.9, 0.9]}
    names = ["ilisi", "ilisi_at_random", "silhouette_batch"]
    if labels:
        rows = {space: [*row, 1.0, 0.7, 1.0] for space, row in rows.items()}
        names += ["clisi", "silhouette_labels", "graph_connectivity"]
    cells = {
        space: {"ilisi": rng.uniform(1, 2, 300), "clisi": np.append(rng.uniform(1, 3, 299), np.nan)} for space in rows
    }
    return {"table": pd.DataFrame(rows, index=names).T, **cells}


def test_distributions_hold_all_cells_and_mark_the_medians(table):
    found = result()
    figure = plot.mixing(table(3, uns__mixing=found))
    assert [ax.get_label() for ax in figure.axes] == ["ilisi", "clisi", "scores"]
    for ax, name in zip(figure.axes, ("ilisi", "clisi"), strict=False):
        shares = [patch.get_data().values for patch in ax.patches]
        assert [share.sum() for share in shares] == pytest.approx([100] * 4)
        medians = [line.get_xdata()[0] for line in ax.lines[:2]]
        assert medians == pytest.approx([np.nanmedian(found[space][name]) for space in ("before", "after")])
    assert figure.axes[0].lines[2].get_xdata()[0] == 1.9
    ends = [line.get_xdata() for line in figure.axes[2].lines if len(line.get_xdata()) == 2]
    assert [0.5, 0.9] in [list(end) for end in ends]


def test_one_table_without_labels(table):
    figure = plot.mixing(table(3, uns__mine=result(labels=False, before=False)), "uns/mine")
    figure.canvas.draw()
    assert [ax.get_label() for ax in figure.axes] == ["ilisi", "scores"]
    assert [text.get_text() for text in figure.axes[0].texts] == ["● after", "╌ shuffled"]


def test_wrong_input_is_one_sentence(table):
    with pytest.raises(MissingResultError, match="uns/mixing"):
        plot.mixing(table(3))
    with pytest.raises(ParameterError, match=r"key must be that of a result of kithkin\.mixing, got 'uns/pca'"):
        plot.mixing(table(3, uns__pca={"variance": 1}), "uns/pca")


def test_what_was_not_measured_is_said_and_shuffled_stays_in_sight(table):
    found = result()
    found["table"].loc[:, "silhouette_labels"] = np.nan
    found["table"].loc["before", "silhouette_batch"] = np.nan
    figure = plot.mixing(table(3, uns__mixing=found))
    assert [text.get_text() for text in figure.axes[2].texts] == ["before: not measured", "not measured"]
    for random, said in ((1.0, "╌ shuffled"), (2.9, "╌ shuffled"), (180.0, "shuffled: 180, beyond this axis")):
        found["table"]["ilisi_at_random"] = random
        ax = plot.mixing(table(3, uns__mixing=found)).axes[0]
        assert ax.texts[-1].get_text() == said
        low, high = ax.get_xlim()
        assert (low <= random <= high) == ("beyond" not in said)
        assert high < 4


def test_few_high_values_do_not_stretch_the_axis(table):
    found = result()
    found["after"]["ilisi"][0] = 9.0
    ax = plot.mixing(table(3, uns__mixing=found)).axes[0]
    assert ax.get_xlim()[1] < 2.1
    assert [patch.get_data().values.sum() for patch in ax.patches] == pytest.approx([100] * 4)
