"""Why a cluster is a cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from itertools import permutations
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check_choice
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.markers.markers import Markers
from kithkin.verbs.arguments.labels import as_labels
from kithkin.verbs.arguments.normalization import check_table, resolve_normalize

log = logging.getLogger("kithkin")
RANKED = {"scores": "f4", "pvals": "f8", "pvals_adj": "f8", "logfoldchanges": "f4"}
SHARES = {"pts": "pct_", "pts_rest": "pct_rest_", "auc": "auc_"}


def markers(
    ds: Dataset,
    by: str,
    *,
    method: Literal["wilcoxon", "t-test"] = "wilcoxon",
    reference: str = "rest",
    normalize: Literal["log1p"] | None = "log1p",
    on: str = "X",
    key: str | None = "uns/rank_genes_groups",
) -> pd.DataFrame:
    """Genes that distinguish each cluster from the rest, with exact tests over all genes and cells.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    method
        "wilcoxon": rank sums with tie correction. "t-test": Welch's.
    reference
        "rest": each cluster against all other cells, also if a cluster bears that name. A cluster: each of the others
        against it.
        "pairwise": each cluster against each other one.
    normalize
        "log1p": compare log1p(count / total * 10,000). Without normalisation values are compared as they are.
    on
        Table to read: X or a layer.
    key
        Key under which the result is stored; without one it is only returned. The tables in it are scanpy's.

    Returns
    -------
    DataFrame
        One row per test and gene, by descending score within a test: group, reference, gene, score, logfoldchange
        (log2), pval, pval_adj (Benjamini and Hochberg), pct and pct_rest (share of cells with the gene, 0 to 1), auc.

    Raises
    ------
    MissingResultError
        If the clusters are not there.
    ParameterError
        If there are fewer than two clusters.

    References
    ----------
    Mann and Whitney 1947, doi:10.1214/aoms/1177730491.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 100, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.kmeans(ds, 2)
    >>> kk.markers(ds, "obs/kmeans").columns.tolist()[:4]
    ['group', 'reference', 'gene', 'score']
    """
    by, uns = str(Key.parse(by, "obs", option="by")), str(Key.of(key, "uns/rank_genes_groups"))
    check_table(on)
    normalize = resolve_normalize(ds, on, normalize)
    parameters = {"by": by, "method": method, "reference": reference, "normalize": normalize, "on": on}

    def compute() -> dict[str, Any]:
        labels = as_labels(ds.read(by), by, "by").cat.remove_unused_categories()
        if (labels == "").any():
            log.warning("%s cells without a label in %s were left out", f"{(labels == '').sum():,}", by)
            labels = labels.cat.remove_categories("")
        names = [str(name) for name in labels.cat.categories]
        check_choice("reference", reference, ("rest", "pairwise", *names))
        if reference in {"rest", "pairwise"} and reference in names:
            log.warning("%s has a cluster named %r: reference=%r does not mean that one", by, reference, reference)
        pairs = list(permutations(range(len(names)), 2)) if reference == "pairwise" else None
        against = "rest" if reference in {"rest", "pairwise"} else names.index(reference)
        model = Markers(method, reference=against, pairs=pairs, normalize=normalize)
        totals = totals_of(ds, on) if normalize else None
        n_cells = ds.read("var/n_cells").to_numpy() if "var/n_cells" in ds and on == "X" else None
        codes = labels.cat.codes.to_numpy()
        model.fit(ds.blocks(on), codes, totals=totals, n_cells=n_cells, execution=ds.execution)
        model.groups_ = np.array(names, dtype=object)[model.groups_]
        if reference != "rest":
            model.references_ = np.array(names, dtype=object)[model.references_]
        return {uns: _stored(model, ds.var_names, parameters)}

    stored = ds.result(Step("markers", 2, parameters, (on, by), (uns,)), compute, store=key is not None)
    return as_table(stored)


def _stored(model: Markers, genes: pd.Index[str], parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Lay out the tests as scanpy does: a field per test in structured arrays by rank, and tables by gene."""
    many = len(set(model.references_)) > 1
    tests = [f"{g} against {r}" if many else g for g, r in zip(model.groups_, model.references_, strict=True)]
    tests = make_index_unique(pd.Index([test or "(empty)" for test in tests])).tolist()  # a field must have a name
    order = model.top(len(genes))
    width = max(1, *(len(name) for name in genes))
    stored: dict[str, Any] = {"names": _ranked(tests, genes.to_numpy(dtype=f"U{width}"), order)}
    for name, dtype in RANKED.items():
        stored[name] = _ranked(tests, getattr(model, f"{name}_"), order, dtype)
    for name, attribute in SHARES.items():
        # anndata allows no slash in the name of a column; the arrays above keep it, and rows here follow their order
        columns = make_index_unique(pd.Index([test.replace("/", "|") for test in tests]))
        stored[name] = pd.DataFrame(getattr(model, attribute).T, index=genes, columns=columns)
    about = {
        "groupby": Key.parse(parameters["by"]).name,
        "reference": parameters["reference"],
        "corr_method": "benjamini-hochberg",
        "groups": [str(name) for name in model.groups_],
        "references": [str(name) for name in model.references_],
    }
    stored["params"] = {"method": parameters["method"], "use_raw": False, "layer": "", **about}
    return stored


def _ranked(tests: list[str], values: Array, order: Array, dtype: str | None = None) -> Array:
    out = np.empty(order.shape[1], [(test, dtype or values.dtype) for test in tests])
    for row, test in enumerate(tests):
        out[test] = values[order[row]] if values.ndim == 1 else values[row, order[row]]
    return out


def as_table(stored: Mapping[str, Any]) -> pd.DataFrame:
    """List the tests of uns/rank_genes_groups in one long table, best genes of each test first."""
    tests, params = list(stored["names"].dtype.names), stored["params"]
    pairs = [
        (group, other or params["reference"]) for group, _, other in (test.partition(" against ") for test in tests)
    ]
    if "groups" in params:
        pairs = list(zip(params["groups"], params["references"], strict=True))
    genes = stored["pts"].index
    position = {str(name): place for place, name in enumerate(genes)}
    parts = []
    for number, test in enumerate(tests):
        codes = np.fromiter((position[str(name)] for name in stored["names"][test]), np.int64, len(genes))
        part = {
            "group": pairs[number][0],
            "reference": pairs[number][1],
            "gene": pd.Categorical.from_codes(codes, genes),
            "score": stored["scores"][test],
            "logfoldchange": stored["logfoldchanges"][test],
            "pval": stored["pvals"][test],
            "pval_adj": stored["pvals_adj"][test],
            "pct": stored["pts"].to_numpy()[codes, number],
            "pct_rest": stored["pts_rest"].to_numpy()[codes, number],
            "auc": stored["auc"].to_numpy()[codes, number],
        }
        parts.append(pd.DataFrame(part))
    table = pd.concat(parts, ignore_index=True)
    return table.astype({"group": "category", "reference": "category"})
