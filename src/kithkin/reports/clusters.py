"""Clusters of a page: their table with markers and support, the dot plot, gates, and the tree above them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, check
from kithkin.core.group_support import current_support, support_lines
from kithkin.core.group_tests import current_tests, has_current_tests, held_out_lines, traits
from kithkin.core.keys import Key
from kithkin.plot.data import Groups, choose_genes, groups
from kithkin.plot.trees.cluster_tree import MOST, tree_above, without_empty
from kithkin.plot.trees.layout import Tree
from kithkin.reports.genes import GroupMeans
from kithkin.reports.partition import usual_partition
from kithkin.reports.points import unshowable

MARKERS = 10  # of a cluster, in its row
DOTS = 3  # genes of a cluster in the dot plot
MOST_DOTS = 60  # clusters with genes of their own there
GATES = 8  # features of a cluster
GRAPH = "obsp/connectivities"


def partition_of(ds: Dataset, by: str) -> str | None:
    """Choose the clusters that a page opens with: those named, or with "auto" the first usual ones; None of none.

    Raises
    ------
    MissingResultError
        If the clusters that are named are not there.
    ParameterError
        If they are numbers, or nearly every row has another.
    """
    if by != "auto":
        key = str(Key.parse(by, "obs", option="by"))
        reason = unshowable(groups(ds, key), ds.n_obs)
        check(not reason, f"by: {key} cannot be shown: {reason}")
        return key
    return usual_partition(ds)


def markers_to_show(ds: Dataset, by: str | None, n_genes: int) -> dict[str, list[str]]:
    """Choose the best markers of each cluster, together about as many as asked for; none where nothing was tested."""
    if by is None or not n_genes or not has_current_tests(ds, by):
        return {}
    labels = groups(ds, by)
    each = max(1, -(-n_genes // max(1, int((labels.sizes() > 0).sum()))))
    try:
        return choose_genes(ds, labels, None, each)
    except ParameterError:  # no group of the tests is left, or no gene
        return {}


def genes_to_show(ds: Dataset, markers: dict[str, list[str]], asked: Sequence[str], n_genes: int) -> dict[str, str]:
    """Choose the genes of a page, each with the cluster whose marker it is: those asked for, then the best markers.

    Of a table of values also its first columns.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> genes_to_show(SimpleNamespace(kind="counts"), {"0": ["CD3D", "CD2"], "1": ["MS4A1"]}, ["ACTB"], 2)
    {'ACTB': '', 'CD3D': '0', 'MS4A1': '1'}
    """
    owners = dict.fromkeys(asked, "")
    ranked = [(place, group, gene) for group, names in markers.items() for place, gene in enumerate(names)]
    for _, group, gene in sorted(ranked, key=lambda one: one[0])[:n_genes]:
        owners[gene] = group
    if ds.kind == "values":
        for name in ds.var_labels[: max(0, n_genes - len(owners))]:
            owners.setdefault(str(name), "")
    return owners


def rows_of_clusters(ds: Dataset, key: str, labels: Groups) -> dict[str, Any]:
    """Tabulate the clusters of a partition: size, share, markers, and what the tests of their splits found."""
    tests, support = current_tests(ds, key), current_support(ds, key)
    symbols = dict(zip(ds.var_names, ds.var_labels, strict=True))
    held = {} if support is None else dict(support["groups"].astype(str).to_numpy().tolist())
    placed = {} if support is None else accuracy_of_leaves(support)
    rows = []
    for name, size in zip(labels.names, labels.sizes().tolist(), strict=True):
        row: dict[str, Any] = {"name": name, "size": size, "share": size / max(1, ds.n_obs)}
        if name in placed:
            row |= {"support": placed[name], "held": held.get(name, name)}
        found = traits(tests, name, MARKERS, symbols) if tests is not None else []
        row["markers"] = [
            {
                "name": one.column,
                "sentence": one.sentence,
                "fold": one.effect,
                "p": one.pval_adj,
                "score": one.score,
            }
            for one in found
        ]
        rows.append(row)
    notes = [line for line in (support_lines(support) if support is not None else []) if line]
    notes += [line for line in (held_out_lines(tests) if tests is not None else []) if line]
    return {"rows": rows, "support_note": notes}


def accuracy_of_leaves(support: dict[str, Any]) -> dict[str, float]:
    """Map each cluster to the accuracy of the split that parts it from the nearest other cluster."""
    clusters = [str(name) for name in support["groups"]["cluster"]]
    table = support["table"]
    accuracy = table["accuracy"].to_numpy(float)[::-1]  # as the children: that of all cells last
    found: dict[str, float] = {}
    for (first, second), share in zip(np.asarray(support["children"]).tolist(), accuracy.tolist(), strict=True):
        for child in (first, second):
            if child < len(clusters) and np.isfinite(share):
                found[clusters[child]] = share
    return found


def genes_of_dots(markers: dict[str, list[str]]) -> dict[str, str]:
    """Take the genes of the dot plot, a few of each cluster; none of very many clusters.

    Examples
    --------
    >>> genes_of_dots({"0": ["CD3D", "CD2", "CD3E", "IL7R"], "1": ["MS4A1"]})
    {'CD3D': '0', 'CD2': '0', 'CD3E': '0', 'MS4A1': '1'}
    """
    few = markers if len(markers) <= MOST_DOTS else {}
    return {gene: group for group, names in few.items() for gene in names[:DOTS]}


def dots_of(means: GroupMeans, labels: Groups, wanted: dict[str, str], unit: str) -> dict[str, Any] | None:
    """Take the means and shares of the genes of the dot plot; None if there are none."""
    at = {gene: place for place, gene in enumerate(means.genes)}
    genes = [gene for gene in wanted if gene in at]
    present = np.flatnonzero(labels.sizes())
    if not genes or len(present) < 2:
        return None
    columns = np.array([at[gene] for gene in genes])
    mean, share = (_rounded(table[np.ix_(present, columns)]) for table in (means.mean, means.share))
    listed = [{"name": gene, "of": wanted[gene]} for gene in genes]
    return {"genes": listed, "groups": [labels.names[i] for i in present], "mean": mean, "share": share, "unit": unit}


def _rounded(table: Array) -> list[list[float]]:
    rows: list[list[float]] = np.round(table.astype(float), 4).tolist()
    return rows


def gates_of(ds: Dataset, key: str) -> list[dict[str, Any]]:
    """List the features by which each cluster was explained, and how many of its members these place rightly."""
    parsed = Key.parse(key)
    explained, quality = str(parsed.beside("uns", "_explanation")), str(parsed.beside("uns", "_gates"))
    if explained not in ds or ds.lineage.is_stale_key(explained):
        return []
    table = ds.read(explained)
    if not {"group", "feature", "gate", "mean", "mean_rest"} <= set(getattr(table, "columns", ())):
        return []
    symbols = dict(zip(ds.var_names, ds.var_labels, strict=True))
    names = [str(name) for name in groups(ds, key).names]
    recall = np.asarray(ds.read(quality).get("recall", [])) if quality in ds else np.zeros(0)
    out = []
    for group, part in table.groupby(table["group"].astype(str), sort=False):
        features = [
            {
                "name": str(symbols.get(str(row.feature), row.feature)),
                "gate": round(float(row.gate), 3),
                "mean": round(float(row.mean), 4),
                "mean_rest": round(float(row.mean_rest), 4),
            }
            for row in part.head(GATES).itertuples()
        ]
        place = names.index(group) if group in names else -1
        known = {"recall": float(recall[place])} if 0 <= place < len(recall) else {}
        out.append({"group": group, "features": features, "n_features": len(part), **known})
    return out


def tree_of(ds: Dataset, key: str, column: int) -> dict[str, Any] | None:
    """Describe the tree above the clusters, leaves from left to right; None without a graph, or where there is none."""
    labels = without_empty(groups(ds, key))
    stale = GRAPH in ds and ds.lineage.is_stale_key(GRAPH)
    if GRAPH not in ds or stale or not 2 <= len(labels.names) <= MOST:
        return None
    try:
        linkage, order = tree_above(ds, labels, GRAPH)
    except ParameterError:  # a graph of another program, with directed or missing links
        return None
    tree = Tree.of(linkage, order)
    k = tree.n_leaves
    leaves = [labels.names[leaf] for leaf in order]
    renumbered = np.concatenate([np.argsort(order), np.arange(k, len(tree.heights))])
    sizes_of = np.zeros(len(tree.heights), np.int64)
    sizes_of[renumbered] = tree.members @ labels.sizes()
    merges: list[list[float | None]] = []
    for node in range(k, len(tree.heights)):
        height = float(tree.heights[node])
        joined, *others = (int(renumbered[child]) for child in tree.children[node])
        size = int(sizes_of[joined])
        for other in others:  # more than two where nothing connects them: one after the other
            size += int(sizes_of[other])
            merges.append([joined, other, height if np.isfinite(height) else None, size])
            joined = k + len(merges) - 1
    return {"column": column, "leaves": leaves, "merges": merges}
