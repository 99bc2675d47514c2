"""Stored tests of the splits of a partition, as sentences that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd

from kithkin.core.keys import Key

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

SUPPORT = "uns/support"
MOST_NAMED = 6  # weak splits that a summary lists
# by which test: what tells clusters apart, and what places some of the rows rightly
APART = {"halves": "counts that did not place the cells", "dip": "a gap between the rows"}
PLACED = {"halves": "half of the genes places {:.0f} % of the cells", "dip": "a line places {:.0f} % of the rows"}


def current_support(ds: Dataset, by: str) -> dict[str, Any] | None:
    """Return the stored tests of the splits of a column of obs as it is now; None where there are none."""
    if SUPPORT not in ds:
        return None
    tests: dict[str, Any] = ds.read(SUPPORT)
    stale = ds.lineage.is_stale_key(SUPPORT)
    return None if stale or tests["params"].get("by") != str(Key.parse(by, "obs", option="by")) else tests


def merges_of(tests: Mapping[str, Any]) -> dict[str, list[str]]:
    """Map the name of each group of clusters that are not told apart to its clusters.

    >>> table = pd.DataFrame({"cluster": ["0", "1", "2"], "supported": ["0+2", "1", "0+2"]})
    >>> merges_of({"groups": table})
    {'0+2': ['0', '2']}
    """
    groups: pd.DataFrame = tests["groups"]
    found: dict[str, list[str]] = {}
    for cluster, name in zip(groups["cluster"].astype(str), groups["supported"].astype(str), strict=True):
        found.setdefault(name, []).append(cluster)
    return {name: clusters for name, clusters in found.items() if len(clusters) > 1}


def support_of_nodes(tests: Mapping[str, Any]) -> dict[frozenset[str], str]:
    """Map the clusters below each node of the tree to the support of the split there: "yes", "weak" or "none".

    >>> groups = pd.DataFrame({"cluster": ["a", "b", "c"]})
    >>> table = pd.DataFrame({"support": ["yes", "none"]})  # that of all cells first
    >>> found = support_of_nodes({"groups": groups, "children": [[0, 2], [1, 3]], "table": table})
    >>> found[frozenset("ac")], found[frozenset("abc")]
    ('none', 'yes')
    """
    below = [frozenset([str(cluster)]) for cluster in tests["groups"]["cluster"]]
    found = {}
    for (first, second), support in zip(tests["children"], tests["table"]["support"][::-1], strict=True):
        below.append(below[first] | below[second])
        found[below[-1]] = str(support)
    return found


def support_lines(tests: Mapping[str, Any]) -> list[str]:
    """Say which clusters are not told apart, with the line that merges them, and which only weakly.

    >>> groups = pd.DataFrame({"cluster": ["0", "1", "2"], "supported": ["0+2", "1", "0+2"]})
    >>> table = pd.DataFrame({"left": ["0, 2"], "right": ["1"], "support": ["weak"], "accuracy": [0.7]})
    >>> lines = support_lines({"groups": groups, "table": table, "params": {"by": "obs/leiden"}})
    >>> print(lines[0])
    0 and 2 are not told apart by counts that did not place the cells: merge?
    >>> print(lines[1])
        kk.merge_labels(ds, "obs/leiden", groups={"0+2": ["0", "2"]})
    >>> print(lines[2])
    weakly told apart: 0, 2 | 1 (half of the genes places 70 % of the cells rightly)
    """
    by, test, lines = tests["params"]["by"], str(tests["params"].get("test", "halves")), list[str]()
    for name, clusters in merges_of(tests).items():
        named = f"{', '.join(clusters[:-1])} and {clusters[-1]}"
        quoted = ", ".join(f'"{cluster}"' for cluster in clusters)
        lines.append(f"{named} are not told apart by {APART[test]}: merge?")
        lines.append(f'    kk.merge_labels(ds, "{by}", groups={{"{name}": [{quoted}]}})')
    table = tests["table"]
    weak = table[table["support"] == "weak"].sort_values("accuracy")
    for row in weak.head(MOST_NAMED).itertuples():
        share = PLACED[test].format(100 * row.accuracy)
        lines.append(f"weakly told apart: {row.left} | {row.right} ({share} rightly)")
    return lines
