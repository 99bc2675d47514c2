"""Groups and variables of any name: each is drawn as it is written, in every figure."""

import io

import numpy as np
import pandas as pd
import pytest
from matplotlib.text import Text

import kithkin as kk
from kithkin import plot

NAMES = ["", "$x_", "$\\frac{$", "two\nlines", "_hidden", "<b>&\"'", "{k}", "%s", "\\", "éß", " ", "a/b", "\t"]
N = 4 * len(NAMES)
GENES = ["$g_", "a\nb", "", "<i>", "\\x", "plain"]


HISTORY = {"epoch": [0, 1, 2], "phase": ["$x_", "_b", "two\nlines"], "lo$s_": [3.0, 2, 1], "$": [1.0, 2, 3]}


@pytest.fixture(scope="module")
def odd(tmp_path_factory):
    """Write a dataset whose groups and genes have odd names."""
    rng = np.random.default_rng(0)
    folder = tmp_path_factory.mktemp("odd")
    ds = kk.read(pd.DataFrame(rng.poisson(2, (N, 6)), columns=GENES), to=folder / "a.zarr", kind="counts")
    kk.quality(ds)
    groups = pd.Categorical(np.array(NAMES, dtype=object)[np.arange(N) % len(NAMES)], categories=NAMES)
    links = (rng.random((N, N)) < 0.3).astype(np.float32)
    ds.write(
        {
            "obs/odd": groups,
            "obs/k": pd.Categorical(np.array(list("abc"))[np.arange(N) % 3]),
            "obsm/X_umap": rng.normal(size=(N, 2)),
            "obsm/topics": rng.random((N, 3)),
            "obsm/thumbnails": rng.random((N, 2, 5, 5)),
            "obsm/spatial": rng.random((N, 2)) * 50,
            "obsp/connectivities": np.maximum(links, links.T),
            "varm/odd_gates": rng.random((6, len(NAMES))),
            "uns/deep": {"history": {name: np.array(values) for name, values in HISTORY.items()}},
        }
    )
    four = np.arange(N) % 4
    ds.write({"obs/one": np.array(["$s_", "_s", "s\ns", "<s>"])[four], "obs/$by": np.array(["$x_", "a\nb"])[four % 2]})
    kk.composition(ds, "$by", sample="one", on="odd", min_cells=1)
    kk.contrast(ds, "$by", sample="one", within="odd", min_cells=1)
    return ds


class Even:
    def pmf(self, x, size):
        return np.full(np.broadcast_shapes(np.shape(x), np.shape(size)), 0.25)


FIGURES = {
    "scatter": lambda ds: plot.scatter(ds, color=["odd", *GENES]),
    "names on data": lambda ds: plot.scatter(ds, color="odd", legend="on data"),
    "tree": lambda ds: plot.cluster_tree(ds, "odd"),
    "round tree": lambda ds: plot.cluster_tree(ds, "odd", shape="radial"),
    "pies": lambda ds: plot.cluster_tree(ds, "k", fill="odd"),
    "contingency": lambda ds: plot.contingency(ds, "obs/odd", "obs/k"),
    "sankey": lambda ds: plot.sankey(ds, "obs/odd", "obs/k"),
    "dots": lambda ds: plot.dotplot(ds, "odd", genes=GENES),
    "dots by group": lambda ds: plot.dotplot(ds, "k", genes={"": GENES[:2], "$x_": GENES[2:4], "a\nb": GENES[4:]}),
    "volcano": plot.volcano,
    "shares": plot.composition,
    "heat": lambda ds: plot.heatmap(ds, "odd", genes=GENES),
    "quality": lambda ds: plot.quality(ds, ["n_counts"], by="odd"),
    "structure": lambda ds: plot.structure(ds, by="odd"),
    "mean image": lambda ds: plot.mean_image(ds, "odd", shape=(2, 3)),
    "gallery": lambda ds: plot.gallery(ds, "odd", near="X", n_cells=2),
    "cells": lambda ds: plot.cells(ds, "odd"),
    "images": lambda ds: plot.cells(ds, "k", by="obs/odd"),
    "gates": lambda ds: plot.gates(ds, "odd", kind="heatmap"),
    "gates over images": lambda ds: plot.gates(ds, "odd", kind="image", shape=(2, 3)),
    "training": plot.training,
    "fit": lambda _: plot.count_fit(np.arange(4), {"$x_": Even(), "_b": Even()}, title="$x_$y"),
}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_can_be_drawn_and_no_name_is_a_formula(odd, name):
    figure = FIGURES[name](odd)
    figure.savefig(io.BytesIO(), format="png", dpi=40)
    assert [text.get_text() for text in figure.findobj(Text) if text.get_parse_math()] == []


def test_every_group_has_its_line_in_a_legend(odd):
    legend = plot.scatter(odd, color="odd").axes[0].get_legend()
    shown = [text.get_text() for text in legend.get_texts()]
    assert shown == [name.replace("\n", " ").replace("\t", " ") + " (4)" for name in NAMES]


def test_a_list_of_genes_belongs_to_no_group(odd):
    labels = {ax.get_label() for ax in plot.heatmap(odd, "odd", genes=GENES).axes}
    assert "groups of genes" not in labels


def test_the_page_of_an_animation_holds_text_as_text(tmp_path):
    label = "</title><script>alert(1)</script>{{frames}}{{settings}}\"'"
    film = plot.animate(
        np.eye(13)[:, :2], NAMES, to=tmp_path / "a.html", label=label, titles="</script>$x_", size=(64, 64)
    )
    page = film.path.read_text(encoding="utf-8")
    assert "<script>alert" not in page
    assert "&lt;/title&gt;&lt;script&gt;alert(1)" in page
    assert (
        page.count("{{frames}}") == page.count("{{settings}}") == 2
    )  # as written, in the title and the picture's label
