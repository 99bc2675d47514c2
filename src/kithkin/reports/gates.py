"""Gates of single observations on a page: how open each cell keeps the features that define its cluster."""

from __future__ import annotations

from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.keys import Key
from kithkin.reports.encoding import BlockWriter, to_levels

EACH, MOST = 3, 40  # features of a cluster, and of all
OPEN = 0.05  # gate of a cluster from which a feature is one of its own


def write_gates(ds: Dataset, by: str, order: Array, blocks: BlockWriter) -> list[dict[str, Any]]:
    """Write the gates of the features that are most open in each cluster, as columns of the page.

    Nothing where the clusters have no gates of single observations, which `kithkin.deep_clusters` stores.
    """
    key = Key.parse(by)
    local = "layers/gates" if by == "obs/deep" else str(key.beside("layers", "_gates"))
    whole = str(key.beside("varm", "_gates"))
    if local not in ds or whole not in ds or not ds.lineage.belongs(local, by):
        return []
    gates = np.nan_to_num(np.asarray(ds.read(whole), float))
    ranked = np.argsort(-gates, axis=0)[:EACH]
    best = [column for k, columns in enumerate(ranked.T.tolist()) for column in columns if gates[column, k] > OPEN]
    names, labels = ds.var_names, ds.var_labels
    out = []
    for column in list(dict.fromkeys(best))[:MOST]:
        values = ds.genes([names[column]], local)[:, 0].astype(np.float32)
        entry: dict[str, Any] = {
            "key": f"{local}/{names[column]}",
            "name": f"gate of {labels[column]}",
            "section": "gates",
        }
        entry |= {"kind": "numbers", "low": 0.0, "high": 1.0, "unit": "0 closed, 1 open"}
        out.append({**entry, "block": blocks.add(to_levels(values[order], 0.0, 1.0))})
    return out
