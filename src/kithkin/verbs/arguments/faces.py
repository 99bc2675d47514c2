"""Shares of clusters that each modality of the cells gives back, as a result with its tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.group_faces import ALL, TOGETHER, features_text, sentences_of_faces
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.support.faces.faces import Faces
from kithkin.verbs.arguments.labels import Labels, labels_of, note_missing, without_empty
from kithkin.verbs.arguments.modalities import feature_names, modalities_of

N_NAMED, N_LISTED, N_CELLS = 5, 20, 12  # features of a row, of a cluster and modality in the table of them, and cells


def check_usual(given: Mapping[str, Any]) -> None:
    """Raise ParameterError if one of the settings of gates is not its default.

    >>> check_usual({"names": None, "threshold": 0.5})
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: threshold has no effect with several modalities in on
    """
    unusual = [name for name, value in given.items() if value is not None and value != "auto"]
    says = "has" if len(unusual) == 1 else "have"
    check(not unusual, f"{' and '.join(unusual)} {says} no effect with several modalities in on")


def explain_modalities(
    ds: Dataset,
    clusters: Key,
    on: Sequence[str],
    of_gates: Mapping[str, Any],
    *,
    normalize: str | None,
    key: str | None,
    seed: int,
) -> pd.DataFrame:
    """Tell which modality gives back each cluster; settings of gates must be their defaults."""
    check_usual(of_gates)
    by = str(clusters)
    ds.need(by)
    found = modalities_of(ds, on, normalize)
    uns = str(Key.of(None if key == "auto" else key, str(clusters.beside("uns", "_faces"))))
    kinds = {one.key: one.kind for one in found}
    parameters = {"by": by, "on": list(kinds), "kinds": list(kinds.values()), "seed": seed}

    def compute() -> dict[str, Any]:
        labels = without_empty(labels_of(ds, by))
        note_missing(ds.read(by), by)
        check(
            len(labels.names) <= max(2, ds.n_obs // 2),
            f"{by} has {len(labels.names):,} different values: these are not clusters",
        )
        model = Faces(seed=seed).fit({one.key: one.face(ds) for one in found}, labels.codes, ds.execution)
        names = [
            feature_names(ds, one, table.shape[1], labels.names)
            for one, table in zip(found, model.effects_, strict=True)
        ]
        return {uns: faces_result(ds, labels, model, names, list(kinds)) | {"params": parameters}}

    inputs = (by, *dict.fromkeys(name for one in found for name in one.inputs))
    stored = ds.result(Step("explain", 1, parameters, inputs, (uns,)), compute, store=key is not None)
    table: pd.DataFrame = stored["table"].reset_index(drop=True)
    table.attrs["text"] = sentences_of_faces(table)
    return table


def faces_result(
    ds: Dataset, labels: Labels, model: Faces, names: Sequence[Sequence[str]], keys: Sequence[str]
) -> dict[str, Any]:
    """Make the tables of shares, features and cells, and the numbers of calls."""
    modalities = [*keys, TOGETHER]
    return {
        "table": table_of_shares(labels.names, model, names, modalities),
        "features": table_of_features(labels.names, model, names, keys),
        "cells": table_of_cells(ds, labels, model, modalities),
        "calls": model.calls_,
        "groups": np.array(labels.names, dtype=object),
    }


def table_of_shares(
    groups: Sequence[str], model: Faces, names: Sequence[Sequence[str]], modalities: Sequence[str]
) -> pd.DataFrame:
    """List the shares, a row for each cluster and modality; those of all clusters last."""
    judged = model.n_cells_ > 0
    chance, rows = 1 / judged.sum(), []
    for k, group in enumerate(groups):
        for m, on in enumerate(modalities):
            others = model.calls_[m, k].copy()
            others[k] = 0
            mistaken = groups[int(others.argmax())] if others.max() > 0 else ""
            said = features_text(model.effects_[m][k], names[m], N_NAMED) if m < len(names) and judged[k] else ""
            place = float(model.shares_[k, m]), float(model.low_[k, m]), float(model.high_[k, m])
            rows.append([group, on, *place, int(model.n_cells_[k]), chance, mistaken, said])
    for m, on in enumerate(modalities):
        share = model.shares_[judged, m]
        error = float(np.sqrt((share * (1 - share) / model.n_cells_[judged]).sum())) / judged.sum()
        mean = float(share.mean())
        low, high = max(0.0, mean - 1.96 * error), min(1.0, mean + 1.96 * error)
        rows.append([ALL, on, mean, low, high, int(model.n_cells_.sum()), chance, "", ""])
    columns = ["group", "on", "share", "low", "high", "n_cells", "chance", "mistaken_for", "features"]
    table = pd.DataFrame(rows, columns=columns)
    for name, known in (("group", [*groups, ALL]), ("on", list(modalities))):
        table[name] = pd.Categorical(table[name], pd.Index(list(dict.fromkeys(known)), dtype=object))
    return table


def table_of_features(
    groups: Sequence[str], model: Faces, names: Sequence[Sequence[str]], keys: Sequence[str]
) -> pd.DataFrame:
    """List the features of each cluster and modality by the size of their effect."""
    parts = []
    for m, key in enumerate(keys):
        for k in np.flatnonzero(model.n_cells_ > 0).tolist():
            effect = np.nan_to_num(model.effects_[m][k])
            order = np.argsort(-np.abs(effect), kind="stable")[:N_LISTED]
            order = order[effect[order] != 0]
            columns: dict[str, Any] = {"group": groups[k], "on": key, "feature": np.asarray(names[m], object)[order]}
            tables = (model.effects_, model.means_, model.rests_)
            columns |= {
                name: table[m][k, order] for name, table in zip(("effect", "mean", "mean_rest"), tables, strict=True)
            }
            parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def table_of_cells(ds: Dataset, labels: Labels, model: Faces, modalities: Sequence[str]) -> pd.DataFrame:
    """List the cells of each cluster that each modality gives back with most certainty."""
    names, codes = ds.obs_names, labels.codes[model.rows_]
    parts = []
    for m, on in enumerate(modalities):
        certainty: Array = model.certainty_[:, m]
        order = np.lexsort((-certainty, codes))
        bounds = np.searchsorted(codes[order], np.arange(len(labels.names) + 1))
        for k, group in enumerate(labels.names):
            best = order[bounds[k] : min(bounds[k + 1], bounds[k] + N_CELLS)]
            cells = np.asarray(names[model.rows_[best]], object)
            parts.append(pd.DataFrame({"group": group, "on": on, "cell": cells, "probability": certainty[best]}))
    return pd.concat(parts, ignore_index=True)
