"""Sets of genes that the markers or the open gates of each cluster are rich in."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.group_tests import SIGNIFICANT, TESTS, current_tests
from kithkin.core.history import Step, digest
from kithkin.core.keys import Key, fields_by_group
from kithkin.metrics.open_gates import CLUSTER_OPEN
from kithkin.models.sets.set_enrichment import METHODS, SetEnrichment
from kithkin.verbs.arguments.labels import as_labels
from kithkin.verbs.arguments.sets import find_sets, read_sets
from kithkin.verbs.markers import against_rest


def enrich(
    ds: Dataset,
    by: str,
    sets: Mapping[str, Sequence[str]] | Sequence[str] | str | Path,
    *,
    method: Literal["fisher", "rank"] = "fisher",
    n_genes: int = 200,
    on: str = TESTS,
    key: str | None = "auto",
) -> pd.DataFrame:
    """Sets of genes that the markers or the open gates of each cluster are rich in.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    sets
        A .gmt file, or a name and genes such as "T cells=CD3D,CD3E". In Python also a mapping such as
        {"T cells": ["CD3D", "CD3E"]}, or the genes of one set. Genes go by their name, symbol or identifier; all
        variables of one symbol count.
    method
        "fisher": are there more genes of the set among the markers of a cluster, or its open features, than among all
        tested genes? "rank": do the genes of the set have higher scores than the others? It takes no threshold, and
        allows for genes of a set that vary together.
    n_genes
        Markers of a cluster at most, the best ones whose adjusted p is up to 0.05.
    on
        Tests of `kithkin.markers` of these clusters against the rest, which are computed where they are not stored; or
        gates, such as varm/leiden_gates of `kithkin.explain`.
    key
        Key under which the result is stored; without one it is only returned. "auto": in uns under the name of the
        clusters, such as uns/leiden_enrichment.

    Returns
    -------
    DataFrame
        One row per cluster and set, by ascending p: group, set, n_set (genes of the set among the tested ones), n_found
        (of them markers or open), expected, ratio (found over expected); with "rank" auc (probability that a gene of
        the set has a higher score than another) in place of the last two; pval (one-sided), pval_adj (Benjamini and
        Hochberg, over all clusters and sets), genes (those found). Tested genes are those that some cell has; of gates
        those that could be chosen.

    Raises
    ------
    MissingResultError
        If the clusters or the gates are not there.
    ParameterError
        If no gene of the sets is in the dataset, or the tests or gates are of other clusters.

    References
    ----------
    Rivals et al. 2007, doi:10.1093/bioinformatics/btl633. Wu and Smyth 2012, doi:10.1093/nar/gks461.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> cells = kk.datasets.simulate_counts(200, 300, 2)
    >>> ds = kk.read(cells, to=tempfile.mkdtemp() + "/a.zarr")
    >>> sets = {f"of {k}": list(cells.var_names[cells.var["marker_of"] == k]) for k in "01"}
    >>> best = kk.enrich(ds, "obs/group", sets).groupby("group", observed=True).first()
    >>> best["set"].tolist(), bool((best["pval_adj"] < 1e-6).all())
    (['of 0', 'of 1'], True)
    """
    clusters = Key.parse(by, "obs", option="by")
    place = Key.parse(on, option="on").place
    check(
        place in ("uns", "varm"), f"on must be tests such as '{TESTS}' or gates such as 'varm/leiden_gates', got {on!r}"
    )
    check_choice("method", method, METHODS)
    check_range("n_genes", n_genes, 1, ds.n_vars)
    named = read_sets(sets)
    ds.need(str(clusters))
    stored = place == "varm" or on != TESTS or has_tests(ds, str(clusters))
    source = on if stored else "X"
    ds.need(source)
    uns = str(Key.of(None if key == "auto" else key, str(clusters.beside("uns", "_enrichment"))))
    parameters: dict[str, Any] = {
        "by": str(clusters),
        "sets": f"{len(named)} sets {digest(list(named.items()))}",
        "method": method,
    }
    parameters |= {"n_genes": n_genes, "on": on}

    def compute() -> dict[str, Any]:
        found = find_sets(ds, named, "X")
        read = of_gates if place == "varm" else of_tests
        groups, scores, chosen, background = read(ds, str(clusters), on, n_genes)
        fisher = method == "fisher"
        model = SetEnrichment(found.columns, method).fit(chosen if fisher else scores, background)
        return {
            uns: tests_table(
                model, groups, found.columns, np.where(chosen & background, scores, -np.inf), ds.var_labels
            )
        }

    step = Step("enrich", 2, parameters, (source, str(clusters)), (uns,))
    table: pd.DataFrame = ds.result(step, compute, store=key is not None)
    return table.reset_index(drop=True)


def has_tests(ds: Dataset, by: str) -> bool:
    """Tell whether the stored tests are of these clusters against the rest."""
    tests = current_tests(ds, by)
    return tests is not None and tests["params"].get("reference") == "rest"


def of_tests(ds: Dataset, by: str, on: str, n_genes: int) -> tuple[list[str], Array, Array, Array]:
    """Return the groups, the scores and the markers of each (groups x genes), and the genes that some cell has."""
    tests = against_rest(ds, by) if on == TESTS else ds.read(on)
    known = isinstance(tests, dict) and "params" in tests and "pts" in tests
    check(known, f"on must be tests that kithkin.markers made, got {on!r}")
    params = tests["params"]
    same = params.get("groupby") == Key.parse(by).name and params.get("reference") == "rest"
    about = f"{params.get('groupby')} against {params.get('reference')}"
    check(same, f"on must be tests of {by} against the rest, but {on} holds those of {about}")
    check(
        set(tests["pts"].index) <= set(ds.var_names), f"on must be tests of the variables, but {on} is of another table"
    )
    fields = fields_by_group(tests)
    shape = (len(fields), ds.n_vars)
    scores, chosen = np.zeros(shape), np.zeros(shape, bool)
    for row, field in enumerate(fields.values()):
        columns = ds.var_names.get_indexer(pd.Index(tests["names"][field].astype(str), dtype=object))
        score = np.asarray(tests["scores"][field], np.float64)
        markers = (np.asarray(tests["pvals_adj"][field]) <= SIGNIFICANT) & (score > 0)
        scores[row, columns] = score
        chosen[row, columns[np.flatnonzero(markers)[:n_genes]]] = True
    shares = pd.concat([tests["pts"], tests["pts_rest"]], axis=1).reindex(ds.var_names)
    background = np.asarray((shares.to_numpy() > 0).max(axis=1))
    return list(fields), scores, chosen, background


def of_gates(ds: Dataset, by: str, on: str, _n_genes: int) -> tuple[list[str], Array, Array, Array]:
    """Return the groups, the gates and which are open (groups x genes), and the genes that gates could choose."""
    gates = np.asarray(ds.read(on), np.float64).T
    groups = [str(name) for name in as_labels(ds.read(by), by, "by").cat.categories]
    check(len(groups) == len(gates), f"{on} has gates of {len(gates)} clusters, but {by} has {len(groups)}")
    background = np.asarray(~np.isnan(gates).any(axis=0))
    check(bool(background.any()), f"{on} holds no gates that were trained")
    closed = np.nan_to_num(gates)
    return groups, closed, closed > CLUSTER_OPEN, background


def tests_table(
    model: SetEnrichment, groups: list[str], columns: Mapping[str, Array], scores: Array, labels: pd.Index[str]
) -> pd.DataFrame:
    """List the tests, of each group by ascending p; scores are those of the genes that were found, others -inf."""
    names, parts = list(columns), []
    for row, group in enumerate(groups):
        inside = [places[places >= 0] for places in columns.values()]
        ranked = [places[np.argsort(-scores[row, places], kind="stable")] for places in inside]
        hits = [places[scores[row, places] > -np.inf] for places in ranked]
        part = {"group": group, "set": names, "n_set": model.sizes_, "n_found": [len(hit) for hit in hits]}
        if model.auc_ is not None:
            part["auc"] = model.auc_[row]
        elif model.expected_ is not None:
            part["expected"] = expected = model.expected_[row]
            found = np.array(part["n_found"], np.float64)
            part["ratio"] = np.divide(found, expected, out=np.full(len(found), np.nan), where=expected > 0)
        part |= {"pval": model.pvals_[row], "pval_adj": model.pvals_adj_[row]}
        part["genes"] = [", ".join(map(str, labels[hit])) for hit in hits]
        parts.append(pd.DataFrame(part).sort_values("pval", kind="stable"))
    table = pd.concat(parts, ignore_index=True)
    return table.assign(group=pd.Categorical(table["group"], groups), set=pd.Categorical(table["set"], names))
