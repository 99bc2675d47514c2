import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex

from kithkin import plot
from kithkin.core.errors import MissingResultError, ParameterError

NAMES = ["T cells", "B cells", "monocytes that are a long name"]


def stored(n_samples=6, names=NAMES, seed=0):
    """Make what composition() stores."""
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(200, rng.dirichlet(np.full(len(names), 2.0)), n_samples)
    condition = np.array(["drug", "none"])[np.arange(n_samples) % 2]
    samples = pd.DataFrame({"condition": condition}, index=[f"sample {k}" for k in range(n_samples)])
    levels = pd.Index(["none", "drug"], dtype=object)
    return {
        "counts": counts,
        "groups": np.array(names, dtype=object),
        "samples": samples,
        "used": np.ones(n_samples, bool),
        "group": pd.Categorical(names, names),
        "level": pd.Categorical(["drug"] * len(names), levels),
        "pval_adj": np.array([0.004, 0.3, 1e-7, *([0.5] * len(names))])[: len(names)],
        "params": {"by": "obs/condition", "on": "obs/kind", "reference": "none", "sample": "obs/sample"},
    }


def made(table, **settings):
    held = stored(**settings)
    kinds = list(held["groups"])
    return table(len(kinds), {"kind": pd.Categorical(kinds, kinds)}, uns__composition=held)


def test_bars_add_up_and_stand_by_condition(table):
    ds = made(table)
    bars = plot.composition(ds).axes[0]
    assert [label.get_text() for label in bars.get_xticklabels()] == [f"sample {k}" for k in (1, 3, 5, 0, 2, 4)]
    heights = np.array([patch.get_height() for patch in bars.patches]).reshape(3, 6)
    np.testing.assert_allclose(heights.sum(axis=0), 100)
    counts = ds.read("uns/composition")["counts"]
    np.testing.assert_allclose(heights[:, 0], counts[1] / 2)
    assert len({to_hex(patch.get_facecolor()) for patch in bars.patches}) == 3


def test_dots_are_samples_and_lines_are_means(table):
    ds = made(table)
    dots = plot.composition(ds).axes[2]
    counts = ds.read("uns/composition")["counts"]
    drawn = np.concatenate([one.get_offsets() for one in dots.collections if len(one.get_offsets()) == 9])
    np.testing.assert_allclose(sorted(drawn[:, 1]), sorted(np.maximum(counts / 2, 0.25).ravel()))
    assert dots.get_yscale() == "log"


def test_adjusted_p_is_written_and_what_is_sure_is_bold(table):
    texts = {text.get_text(): text for text in plot.composition(made(table)).axes[2].texts}
    assert set(texts) == {"adj. p", "0.004", "0.30", "1e-7"}
    assert texts["0.004"].get_fontweight() == "bold"
    assert texts["0.30"].get_fontweight() == "normal"
    again = {text.get_text(): text for text in plot.composition(made(table), threshold=0.001).axes[2].texts}
    assert again["0.004"].get_fontweight() == "normal"


def test_clusters_have_the_colours_of_other_figures(table):
    ds = made(table)
    ds.elements["uns/kind_colors"] = np.array(["#112233", "#445566", "#778899"])
    bars = plot.composition(ds).axes[0]
    assert to_hex(bars.patches[0].get_facecolor()) == "#112233"
    chosen = plot.composition(ds, palette={"T cells": "red", "B cells": "blue", NAMES[2]: "black"}).axes[0]
    assert to_hex(chosen.patches[0].get_facecolor()) == "#ff0000"


@pytest.mark.parametrize(("n_samples", "n_clusters"), [(4, 2), (30, 5), (6, 25)])
def test_nothing_overlaps(table, apart, n_samples, n_clusters):
    ds = made(table, n_samples=n_samples, names=[f"cluster of cells {k}" for k in range(n_clusters)])
    figure = plot.composition(ds)
    bars, _, dots, *_ = figure.axes
    legends = [text for ax in figure.axes if ax.get_legend() for text in ax.get_legend().get_texts()]
    labels = [*bars.get_xticklabels(), *dots.get_xticklabels(), *bars.get_yticklabels(), *dots.texts]
    assert apart(figure, [*labels, *legends, bars.yaxis.label, dots.yaxis.label])


def test_a_sample_that_was_left_out_is_not_drawn(table):
    held = stored()
    held["used"][0] = False
    ds = table(3, {"kind": pd.Categorical(NAMES, NAMES)}, uns__composition=held)
    assert len(plot.composition(ds).axes[0].get_xticklabels()) == 5


def test_wrong_input_is_one_sentence(table):
    ds = made(table)
    with pytest.raises(MissingResultError, match="uns/other is not in"):
        plot.composition(ds, "uns/other")
    ds.elements["uns/pca"] = {"variance": np.ones(3)}
    with pytest.raises(ParameterError, match=r"key must be that of a result of kithkin\.composition, got 'uns/pca'"):
        plot.composition(ds, "uns/pca")
