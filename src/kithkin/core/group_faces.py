"""Stored shares of clusters that each modality gives back, as sentences that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from kithkin.core.keys import Key

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

TOGETHER, ALL = "together", "(all)"  # names of the modality and of the group that sum up
NEAR = 0.05  # share by which one modality may be below all together and yet be said to do it alone
NAMED = 4  # features of a sentence


def current_faces(ds: Dataset, by: str) -> dict[str, Any] | None:
    """Return the stored shares of the clusters of a column of obs as they are now; None where there are none."""
    key = str(Key.parse(by, "obs", option="by").beside("uns", "_faces"))
    if key not in ds:
        return None
    return None if ds.lineage.is_stale_key(key) else ds.read(key)


def short_name(on: str) -> str:
    """Name a modality by its key without the place.

    >>> short_name("obsm/thumbnails"), short_name("X"), short_name("obsp/spatial_connectivities")
    ('thumbnails', 'X', 'spatial neighbours')
    """
    place, _, name = on.partition("/")
    return f"{name.removesuffix('_connectivities')} neighbours" if place == "obsp" else name or place


def sentences_of_faces(table: pd.DataFrame) -> dict[str, str]:
    """Say for each cluster which modality gives it back, from the table of kithkin.explain.

    Examples
    --------
    >>> rows = [["3", "X", 0.95, 0.1], ["3", "obsm/thumbnails", 0.4, 0.1], ["3", "together", 0.96, 0.1]]
    >>> table = pd.DataFrame(rows, columns=["group", "on", "share", "chance"]).assign(features=["high CD3D", "", ""])
    >>> sentences_of_faces(table)["3"]
    '3 is given back by X alone (0.95: high CD3D), by thumbnails 0.40; together 0.96 (chance 0.10)'
    """
    return {
        str(name): sentence_of(str(name), part.set_index("on"))
        for name, part in table.groupby("group", observed=True, sort=False)
    }


def sentence_of(name: str, part: pd.DataFrame) -> str:
    """Say which modality gives back a cluster, from its rows of the table by modality."""
    if part["share"].isna().all():
        return f"{name} has too few cells to hold some out"
    shares = part["share"].drop(TOGETHER).sort_values(ascending=False, kind="stable")
    whole, chance, first = float(part["share"][TOGETHER]), float(part["chance"].iloc[0]), float(shares.iloc[0])
    best = str(shares.index[0])
    features = ", ".join(str(part["features"][best]).split(", ")[:NAMED])
    rest = "".join(f", by {short_name(str(on))} {share:.2f}" for on, share in shares.iloc[1:].items())
    brackets = f" ({features})" if features else ""
    if max(whole, first) < chance + NEAR:
        said = f"none of them: by {short_name(best)} {first:.2f}{rest}; together {whole:.2f}"
    elif whole - first > NEAR:
        said = f"all together ({whole:.2f}), by {short_name(best)} {first:.2f}{brackets}{rest}"
    else:
        why = f": {features}" if features else ""
        said = f"{short_name(best)} alone ({first:.2f}{why}){rest}; together {whole:.2f}"
    who = "a cluster on average" if name == ALL else name
    return f"{who} is given back by {said} (chance {chance:.2f})"


def face_lines(faces: Mapping[str, Any]) -> list[str]:
    """List the sentences of all clusters."""
    table: pd.DataFrame = faces["table"]
    return list(sentences_of_faces(table).values())


def features_text(effects: Any, names: Any, n: int) -> str:
    """Name the features of the largest effects, with their direction.

    >>> features_text(np.array([0.1, -2.0, 3.0, 0.0]), ["a", "b", "c", "d"], 2)
    'high c, low b'
    """
    effects = np.nan_to_num(np.asarray(effects, float))
    order = np.argsort(-np.abs(effects), kind="stable")[:n]
    return ", ".join(f"{'high' if effects[k] > 0 else 'low'} {names[k]}" for k in order if effects[k])
