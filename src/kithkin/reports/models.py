"""Tables of a page that say of a model what it found: mixtures, topics, cards, doublets and modalities."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.group_faces import current_faces, face_lines
from kithkin.metrics.mean_effects import above_others
from kithkin.reports.quality import current_record
from kithkin.reports.samples import table_of

GENES = 10  # of a cluster of a mixture, or of a topic
MODELS = {"mixture": "Mixture of counts", "latent": "Latent clusters, as decoded"}
CAPTIONS = {
    "mixture": "Weight of each cluster, and the genes whose log mean is farthest above that of the other clusters.",
    "topics": "Genes that stand out in each topic.",
    "gates": "Points of features that a row of the cluster has; from so many points on it is called.",
    "samples": "Cells of each sample that are called two cells counted as one.",
    "modalities": "Share of each cluster that a modality gives back alone, on cells that were held out.",
}


def model_tables(ds: Dataset, by: str | None) -> list[dict[str, Any]]:
    """Tabulate the models of a dataset, each under the section of its figures."""
    found = [*mean_tables(ds), *topics_table(ds), *card_tables(ds), *doublets_table(ds), *faces_table(ds, by)]
    return [
        {"section": section, "title": table["title"], "caption": CAPTIONS[section], "table": table}
        for section, table in found
    ]


def mean_tables(ds: Dataset) -> list[tuple[str, dict[str, Any]]]:
    """List the clusters of models of counts with their weights, and the genes that are highest there.

    These are the genes whose log mean is farthest above its mean over the other clusters, by weight.
    """
    return [("mixture", table) for name, title in MODELS.items() if (table := _mean_table(ds, name, title)) is not None]


def _mean_table(ds: Dataset, name: str, title: str) -> dict[str, Any] | None:
    there = {f"uns/{name}", f"varm/{name}_log_mean", f"obs/{name}"} <= set(ds.keys())
    if not there or ds.lineage.is_stale_key(f"obs/{name}"):
        return None
    weights = np.asarray(ds.read(f"uns/{name}")["weights"], float)
    means = np.asarray(ds.read(f"varm/{name}_log_mean"), float)
    fitted = np.flatnonzero(np.isfinite(means).all(axis=1))
    if means.shape[1] != len(weights) or not len(fitted):
        return None
    above = above_others(means[fitted], weights)
    names = np.asarray(ds.var_labels)[fitted]
    best = [", ".join(map(str, names[np.argsort(-above[:, k])[:GENES]])) for k in range(len(weights))]
    labels = ds.read(f"obs/{name}").astype("category").cat.categories.astype(str)
    clusters = labels if len(labels) == len(weights) else np.arange(len(weights)).astype(str)
    return table_of(title, pd.DataFrame({"cluster": clusters, "weight": weights, "highest genes": best}))


def topics_table(ds: Dataset) -> list[tuple[str, dict[str, Any]]]:
    """List the genes of each topic."""
    genes = current_record(ds, "uns/topics").get("genes")
    if not isinstance(genes, (np.ndarray, pd.DataFrame)):
        return []
    listed = genes.to_numpy() if isinstance(genes, pd.DataFrame) else genes
    symbols = dict(zip(ds.var_names, ds.var_labels, strict=True))
    columns = listed.T if listed.dtype.names is None else [listed[name] for name in listed.dtype.names]
    rows = [", ".join(str(symbols.get(str(gene), gene)) for gene in column[:GENES]) for column in columns]
    table = pd.DataFrame({"topic": [str(k) for k in range(len(rows))], "genes": rows})
    return [("topics", table_of("Genes of the topics", table))]


def card_tables(ds: Dataset) -> list[tuple[str, dict[str, Any]]]:
    """List the rules of the cards that are current."""
    keys = [key for key in ds.keys() if key.startswith("uns/") and key.endswith("_card")]  # noqa: SIM118
    found = []
    for key in keys:
        rules = current_record(ds, key).get("rules")
        if isinstance(rules, pd.DataFrame):
            by = key.removeprefix("uns/").removesuffix("_card")
            found.append(("gates", table_of(f"Card of {by}", rules.reset_index(drop=rules.index.name is None))))
    return found


def doublets_table(ds: Dataset) -> list[tuple[str, dict[str, Any]]]:
    """List the doublets of each sample."""
    samples = current_record(ds, "uns/doublet").get("samples")
    if not isinstance(samples, pd.DataFrame):
        return []
    return [("samples", table_of("Doublets", samples.reset_index(drop=samples.index.name is None)))]


def faces_table(ds: Dataset, by: str | None) -> list[tuple[str, dict[str, Any]]]:
    """Say which modality gives back each cluster."""
    faces = current_faces(ds, by) if by is not None else None
    if faces is None:
        return []
    lines = [line.strip() for line in face_lines(faces) if line.strip()]
    return [("modalities", table_of("Modalities in words", pd.DataFrame({"found": lines})))]
