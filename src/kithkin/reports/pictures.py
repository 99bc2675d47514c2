"""Figures of a page that are drawn by kithkin.plot: those of what not every dataset holds."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kithkin import plot
from kithkin.core.dataset import Dataset
from kithkin.core.group_faces import current_faces
from kithkin.core.group_tests import SIGNIFICANT
from kithkin.core.sample_tests import current_results

DPI = 110
MOST_PIXELS = 4000  # of a side of a figure
MOST_GENES = 4  # latent distributions of the mixture


def pictures_of(ds: Dataset, by: str | None, colors: Mapping[str, Mapping[str, str]]) -> list[dict[str, Any]]:
    """Draw the figures that a dataset can give beyond the map, tree, dot plot and quality of the page."""
    out = list[dict[str, Any]]()
    for section, title, caption, make in makers_of(ds, by, colors):
        figure = make()
        inches = figure.get_size_inches()
        dpi = min(DPI, MOST_PIXELS / float(inches.max()))
        file = io.BytesIO()
        figure.savefig(file, format="png", dpi=dpi)
        picture = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
        width, height = (round(float(side) * dpi) for side in inches)
        entry: dict[str, Any] = {"section": section, "title": title, "caption": caption, "png": picture}
        out.append(entry | {"width": width, "height": height})
    return out


def makers_of(
    ds: Dataset, by: str | None, colors: Mapping[str, Mapping[str, str]]
) -> list[tuple[str, str, str, Callable[[], Any]]]:
    """List section, title, caption and function of each figure that is possible."""
    # Long: a list with an entry for each figure
    shares, contrasts = (current_results(ds, verb) for verb in ("composition", "contrast"))
    clusters = str(ds.read(shares[-1])["params"].get("on")) if shares else ""
    drawn: list[tuple[bool, str, str, str, Callable[[], Any]]] = [
        (
            bool(shares),
            "samples",
            "Composition",
            "Share of each cluster in the samples of each condition.",
            lambda: plot.composition(ds, shares[-1], palette=colors.get(clusters)),
        ),
        (
            bool(contrasts),
            "samples",
            "Volcano",
            "Fold change and p of every gene between conditions, within clusters.",
            lambda: plot.volcano(ds, contrasts[-1]),
        ),
        (
            is_current(ds, "uns/mixing"),
            "samples",
            "Mixing",
            "Batches and kinds around each cell.",
            lambda: plot.mixing(ds),
        ),
        (
            is_current(ds, "obsm/topics"),
            "topics",
            "Topics",
            "Weights of the topics in every cell, cells that are alike beside each other.",
            lambda: plot.structure(ds),
        ),
        (has_training(ds), "training", "Training", "Loss and open gates by epoch.", lambda: plot.training(ds)),
        (
            is_current(ds, "varm/deep_gates") and ds.kind != "images",
            "gates",
            "Gates of the deep clusters",
            "Features that define each cluster.",
            lambda: plot.gates(ds, "obs/deep"),
        ),
        (
            by is not None and ds.kind == "images" and {"row", "column"} <= set(ds.var.columns),
            "images",
            "Mean images",
            "Mean of the images of each cluster.",
            lambda: plot.mean_image(ds, by=by),
        ),
        (
            by is not None and current_faces(ds, by) is not None,
            "modalities",
            "Modalities of the clusters",
            "Share of each cluster that a modality gives back alone, on cells that were held out.",
            lambda: plot.faces(ds, str(by)),
        ),
        (
            by is not None and "obsm/thumbnails" in ds,
            "images",
            "Typical cells",
            "Cells nearest to the mean of each cluster.",
            lambda: plot.gallery(ds, by=by, palette=colors.get(str(by))),
        ),
    ]
    for key in ds.keys():  # noqa: SIM118
        by_sets = f"obs/{key.removeprefix('uns/').removesuffix('_enrichment')}"
        if key.startswith("uns/") and key.endswith("_enrichment") and "nhood" not in key and by_sets in ds:
            caption = f"Sets of genes in which the markers of {by_sets.removeprefix('obs/')} are rich."
            make = partial(plot.enrichment, ds, by_sets)
            drawn.append((has_enriched_sets(ds, key), "sets", "Enriched sets of genes", caption, make))
    return [(section, title, caption, make) for possible, section, title, caption, make in drawn if possible]


def is_current(ds: Dataset, key: str) -> bool:
    """Tell whether a result is there and not out of date."""
    return key in ds and not ds.lineage.is_stale_key(key)


def has_enriched_sets(ds: Dataset, key: str) -> bool:
    """Tell whether a current result of `enrich` has a set that is significant, of which a figure can be drawn."""
    return is_current(ds, key) and bool((ds.read(key)["pval_adj"] <= SIGNIFICANT).any())


def has_training(ds: Dataset) -> bool:
    """Tell whether the training of the deep clusters was recorded."""
    info = ds.read("uns/deep") if "uns/deep" in ds else None
    return isinstance(info, dict) and "history" in info
