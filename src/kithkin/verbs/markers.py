"""Why a cluster is a cluster."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from itertools import permutations
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice
from kithkin.core.group_tests import current_tests
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.markers.markers import Markers
from kithkin.models.support.held_out import held_out_pvals
from kithkin.verbs.arguments.columns import column_names
from kithkin.verbs.arguments.labels import Labels, as_labels, note_missing
from kithkin.verbs.arguments.normalization import check_counts, check_table, holds_values, resolve_normalize

log = logging.getLogger("kithkin")
RANKED = {"scores": "f4", "pvals": "f8", "pvals_adj": "f8", "logfoldchanges": "f4"}
SHARES = {"pts": "pct_", "pts_rest": "pct_rest_", "auc": "auc_"}
COUNTS = {"score": "scores", "logfoldchange": "logfoldchanges", "pval": "pvals", "pval_adj": "pvals_adj",
          "pct": "pts", "pct_rest": "pts_rest", "auc": "auc"}  # fmt: skip
VALUES = {"score": "scores", "difference": "differences", "effect": "effects", "pval": "pvals",
          "pval_adj": "pvals_adj", "mean": "means", "mean_rest": "means_rest", "auc": "auc"}  # fmt: skip
HELD_OUT = "pvals_adj_held_out"
OF_VALUES = {"differences": "f4", "effects": "f4"}, {"means": "means_", "means_rest": "means_rest_"}  # beside these


def markers(
    ds: Dataset,
    by: str,
    *,
    method: Literal["wilcoxon", "t-test"] = "wilcoxon",
    groups: Sequence[str] | None = None,
    reference: str = "rest",
    normalize: Literal["log1p"] | None = "log1p",
    held_out: bool = False,
    on: str = "X",
    key: str | None = "uns/rank_genes_groups",
) -> pd.DataFrame:
    """Genes or columns that distinguish each cluster from the rest, tested over all of them and all rows.

    p is never smaller than that of permuting the labels, so that small clusters and rare genes raise no false alarm: of
    groups drawn at random at most 5 % of the genes have a p below 0.05, however small the groups are.

    Genes are listed by descending score, columns of a table of values by its size, since both high and low ones tell
    what a cluster is. A missing value (NaN) is left out of the tests of its column.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    method
        "wilcoxon": rank sums with tie correction. "t-test": Welch's.
    groups
        Clusters to test, such as "0"; all by default. The rest are all other cells, as without it.
    reference
        "rest": each cluster against all other cells, also if a cluster has that name. A cluster: each of the others
        against it.
        "pairwise": each cluster against each other one.
    normalize
        "log1p": compare log1p(count / total * 10,000). Without normalisation, and in a table of values, values are
        compared as they are.
    held_out
        Test genes also by counts that did not place the cells: each half of the genes in a sample of 20,000 cells that
        the other half calls, with depth as offset. Needs counts, and the rest as reference.
    on
        Table to read: X, a layer, or a table in obsm, such as "obsm/Antibody Capture".
    key
        Key under which the result is stored; without one it is only returned. The tables in it are scanpy's.

    Returns
    -------
    DataFrame
        One row per test and gene: group, reference, gene, score, logfoldchange (log2), pval, pval_adj (Benjamini and
        Hochberg), pct and pct_rest (share of cells with the gene, 0 to 1), auc, and with `held_out` pval_adj_held_out.
        Of values: group, reference, column, score, difference (mean in the group less mean elsewhere, in the units of
        the table), effect (the difference in pooled standard deviations: Cohen's d), pval, pval_adj, mean, mean_rest,
        auc.

    Raises
    ------
    MissingResultError
        If the clusters are not there.
    ParameterError
        If there are fewer than two clusters, or `held_out` is asked for without counts or with another reference.

    References
    ----------
    Mann and Whitney 1947, doi:10.1214/aoms/1177730491. Cohen 1988, doi:10.4324/9780203771587.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 100, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.kmeans(ds, 2)
    >>> kk.markers(ds, "obs/kmeans").columns.tolist()[:4]
    ['group', 'reference', 'gene', 'score']
    >>> table = pd.DataFrame({"size": [1.0, 2.5, 8.0, 9.5], "kind": ["a", "a", "b", "b"]})
    >>> rows = kk.read(table[["size"]], to=tempfile.mkdtemp() + "/b.zarr")
    >>> _ = kk.annotate(rows, "kind", table["kind"].tolist())
    >>> kk.markers(rows, "kind").loc[0, ["group", "column", "difference"]].astype(str).tolist()
    ['a', 'size', '-7.0']
    """
    by, uns = str(Key.parse(by, "obs", option="by")), str(Key.of(key, "uns/rank_genes_groups"))
    check_table(on, obsm=True)
    ds.need(on)
    reference = str(reference)
    parameters = {"by": by, "method": method, "reference": reference} | _treatment(ds, on, normalize)
    if held_out:
        check(reference == "rest", f"held_out tests against the rest, got reference={reference!r}")
        check_counts(ds, on, "held_out=True")
        parameters |= {"held_out": True}
    if groups is not None:
        present = as_labels(ds.read(by), by, "by").cat.remove_unused_categories().cat
        labels = Labels(by, present.codes.to_numpy(), [str(name) for name in present.categories])
        chosen = labels.require(*([groups] if isinstance(groups, (str, int)) else groups))
        only = [name for name in labels.names if name in chosen and name != reference]
        check(bool(only), f"groups must name at least one cluster beside the reference {reference!r}, got {groups!r}")
        parameters |= {"groups": only}
    step = Step("markers", 4, parameters, (on, by), (uns,))
    return as_table(ds.result(step, lambda: {uns: _tested(ds, parameters)}, store=key is not None))


def against_rest(ds: Dataset, by: str) -> dict[str, Any]:
    """Return the tests of each group against the rest: those that are stored and current, or computed and not stored.

    Raises
    ------
    MissingResultError
        If there is no such column.
    ParameterError
        If it has fewer than two groups.
    """
    by = str(Key.parse(by, "obs", option="by"))
    ds.need(by)
    stored = current_tests(ds, by)
    if stored is not None and stored["params"].get("reference") == "rest" and "only" not in stored["params"]:
        return stored
    parameters = {"by": by, "method": "wilcoxon", "reference": "rest"} | _treatment(ds, "X", "log1p")
    return _tested(ds, parameters)


def _treatment(ds: Dataset, on: str, normalize: Literal["log1p"] | None) -> dict[str, Any]:
    """Return the table, the normalisation to carry out, and the kind of the table where it holds values."""
    if holds_values(ds, on, normalize):
        return {"normalize": None, "on": on, "kind": "values"}
    return {"normalize": resolve_normalize(ds, on, normalize), "on": on}


def _tested(ds: Dataset, parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Compute the tests, as they are stored."""
    by, on, reference, normalize = (parameters[name] for name in ("by", "on", "reference", "normalize"))
    labels = as_labels(ds.read(by), by, "by").cat.remove_unused_categories()
    note_missing(labels, by)
    labels = labels.cat.remove_categories([""] if "" in labels.cat.categories else [])
    names = [str(name) for name in labels.cat.categories]
    check_choice("reference", reference, ("rest", "pairwise", *names))
    if reference in {"rest", "pairwise"} and reference in names:
        log.warning("%s has a cluster named %r: reference=%r does not mean that one", by, reference, reference)
    chosen = parameters.get("groups", names)
    pairs = list(permutations(map(names.index, chosen), 2)) if reference == "pairwise" else None
    against = "rest" if reference in {"rest", "pairwise"} else names.index(reference)
    if "groups" in parameters and reference in names and against != "rest":
        pairs = [(names.index(name), names.index(reference)) for name in chosen]
    kind = parameters.get("kind", "counts")
    model = Markers(parameters["method"], kind=kind, reference=against, pairs=pairs, normalize=normalize)
    totals = totals_of(ds, on) if normalize else None
    known = "var/n_cells" in ds and on == "X" and kind == "counts"
    n_cells = ds.read("var/n_cells").to_numpy() if known else None
    codes = labels.cat.codes.to_numpy()
    spill, how = ds.spill, ds.execution
    model.fit(ds.blocks(on), codes, totals=totals, n_cells=n_cells, spill=spill, execution=how)
    tested = np.isin([names[group] for group in model.groups_], chosen)
    for name, values in vars(model).items():
        if name.endswith("_") and not tested.all():
            setattr(model, name, values[tested])
    columns = ds.var_names if Key.parse(on).place != "obsm" else pd.Index(column_names(ds, on, model.scores_.shape[1]))
    stored = as_stored(model, columns, names, parameters)
    if parameters.get("held_out"):
        pvals = held_out_pvals(ds.blocks(on), codes.astype(np.int64), execution=ds.execution)
        stored[HELD_OUT] = pd.DataFrame(pvals[model.groups_].T, index=columns, columns=stored["pts"].columns)
    return stored


def as_stored(
    model: Markers, genes: pd.Index[str], names: Sequence[str], parameters: Mapping[str, Any]
) -> dict[str, Any]:
    """Lay out the tests as scanpy does: a field per test in structured arrays by rank, and tables by gene.

    Groups and references of the model are numbers in `names`, except "rest". Values have no fold change: it is NaN.
    """
    groups = [names[group] for group in model.groups_]
    references = [str(other) if parameters["reference"] == "rest" else names[other] for other in model.references_]
    many = len(set(references)) > 1
    tests = [f"{g} against {r}" if many else g for g, r in zip(groups, references, strict=True)]
    tests = make_index_unique(pd.Index([test or "(empty)" for test in tests])).tolist()  # a field must have a name
    order = model.top(len(genes))
    width = max(1, *(len(name) for name in genes))
    stored: dict[str, Any] = {"names": _ranked(tests, genes.to_numpy(dtype=f"U{width}"), order)}
    ranked, tables = (RANKED | OF_VALUES[0], SHARES | OF_VALUES[1]) if model.kind == "values" else (RANKED, SHARES)
    for name, dtype in ranked.items():
        unknown = name == "logfoldchanges" and model.kind == "values"
        values = np.full(order.shape, np.nan) if unknown else getattr(model, f"{name}_")
        stored[name] = _ranked(tests, values, order, dtype)
    for name, attribute in tables.items():
        # anndata allows no slash in the name of a column; the arrays above keep it, and rows here follow their order
        columns = make_index_unique(pd.Index([test.replace("/", "|") for test in tests]))
        stored[name] = pd.DataFrame(getattr(model, attribute).T, index=genes, columns=columns)
    about = {
        "groupby": Key.parse(parameters["by"]).name,
        "reference": parameters["reference"],
        "corr_method": "benjamini-hochberg",
        "groups": groups,
        "references": references,
    }
    about |= {"kind": model.kind} if model.kind == "values" else {}
    about |= {"only": list(parameters["groups"])} if "groups" in parameters else {}
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
    genes, values = stored["pts"].index, "effects" in stored
    codes = genes.get_indexer(np.concatenate([stored["names"][test] for test in tests]).astype(object))
    test_of = np.repeat(np.arange(len(tests)), len(codes) // len(tests))
    columns: dict[str, Any] = {"group": _repeated([group for group, _ in pairs], test_of)}
    columns["reference"] = _repeated([reference for _, reference in pairs], test_of)
    columns["column" if values else "gene"] = pd.Categorical.from_codes(codes, genes)
    fields = (VALUES if values else COUNTS) | ({"pval_adj_held_out": HELD_OUT} if HELD_OUT in stored else {})
    for name, field in fields.items():
        at = stored[field]
        by_gene = isinstance(at, pd.DataFrame)
        columns[name] = at.to_numpy()[codes, test_of] if by_gene else np.concatenate([at[test] for test in tests])
    return pd.DataFrame(columns)


def _repeated(names: list[str], test_of: Array) -> pd.Series[Any]:
    """Return the name of each test for each of its rows."""
    categories, codes = np.unique(np.array(names, dtype=object), return_inverse=True)
    return pd.Series(pd.Categorical.from_codes(codes[test_of], pd.Index(categories)))
