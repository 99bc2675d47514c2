"""Explain clusters and cells by the few features on which their gates are open, or by what their modalities tell."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.elements import columns_of
from kithkin.core.errors import check, check_choice, check_range
from kithkin.core.group_tests import TESTS, phrase_of_values
from kithkin.core.history import Step
from kithkin.core.keys import Key, fields_by_group
from kithkin.core.totals import totals_of
from kithkin.metrics.mean_effects import above_others
from kithkin.metrics.open_gates import CLUSTER_OPEN, OPEN
from kithkin.models.gates.label_gates import LabelGates
from kithkin.models.gates.table import gates_table, open_of_rows
from kithkin.models.table.columns import choose
from kithkin.optional import need
from kithkin.verbs.arguments.faces import explain_modalities
from kithkin.verbs.arguments.labels import as_labels, note_missing
from kithkin.verbs.arguments.normalization import check_table, resolve_normalize

log = logging.getLogger("kithkin")
TESTED = {"score": "scores", "logfoldchange": "logfoldchanges", "pval_adj": "pvals_adj"}  # and where they are stored
TESTED_VALUES = {"score": "scores", "pval_adj": "pvals_adj"}  # the difference is there already
HALF = 0.5  # fraction of the rows of a cluster that its gates should give back at least
MANY, ALWAYS_FEW = 0.1, 50  # a cluster with more open features than this fraction of all, or number, is not explained


def explain(
    ds: Dataset,
    by: str = "obs/deep",
    *,
    names: Sequence[str] | None = None,
    threshold: float | None = None,
    n_features: float | Literal["auto"] = "auto",
    features: str | None = None,
    markers: bool | Literal["auto"] = "auto",
    normalize: Literal["auto", "log1p"] | None = "auto",
    device: str = "auto",
    on: str | Sequence[str] = "X",
    key: str | None = "auto",
    seed: int = 0,
) -> pd.DataFrame:
    """Features that define each cluster, by its gates, with their values inside and outside; or those of a few rows.

    With several tables in `on`, each a modality of the cells, it tells which of them makes a cluster: the share of its
    held-out cells that each modality gives back, alone and together with the others, and the features that do it. No
    gates are trained then. Three quarters of the cells teach a classifier that calls the fourth, in turn; all clusters
    weigh the same, so that chance is one over their number. In Python `kithkin.models.Faces` does this for arrays.

    Gates that came with the clusters, such as varm/deep_gates, are used as they are. For clusters of any other
    method gates are trained with the labels held fixed. In Python `kithkin.models.LabelGates` does this for arrays.
    A missing value (NaN) is left out of means and shares, and is the median of its column in training.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters.
    names
        Names of observations: the open features of these are listed instead of those of the clusters, and nothing is
        stored.
    threshold
        Value above which a gate is open, 0 to 1. By default 0.55 for clusters, whose gates rest at one half where
        nothing was learned, and 0.1 for observations.
    n_features
        Number of open features wanted in a cluster, where gates are trained; "auto": three for each doubling of the
        number of features, a tenth of them at most.
    features
        Boolean column of var with the features that gates may choose, where gates are trained; all features by default.
    markers
        Put beside each feature what the stored tests of markers say of it, for the same clusters against the rest;
        "auto": where they are there. No tests are computed.
    normalize
        "log1p": values are log1p(count / total * 10,000). "auto": as deep_clusters scaled them for these clusters; for
        other clusters "log1p" for sparse counts that are no images. Without normalisation values stay as they are.
    device
        Device on which gates are trained: "auto", "cpu" or "cuda".
    on
        Table to read: X or a layer. Several modalities: any of X, a layer, a table in obsm, thumbnails in obsm, and a
        graph in obsp, of which the clusters of the neighbours are read. Of thumbnails levels, rings, texture, a coarse
        grid and the agreement of channels are measured, within obsm/masks where these are there.
    key
        Key under which the result is stored; without one it is only returned. "auto": in uns under the name of the
        clusters, such as uns/leiden_explanation, or uns/leiden_faces for several modalities. Gates that are trained go
        to varm/leiden_gates, and how well they distinguish the clusters to uns/leiden_gates.
    seed
        Seed of the training, of the quarters, and of a sample of 100,000 cells where there are more.

    Returns
    -------
    DataFrame
        One row per cluster and open feature, by descending gate and then by the size of the effect: group, feature,
        gate (0 to 1), mean and mean_rest (inside and outside), pct and pct_rest (share of observations where the
        feature is not zero, 0 to 1), effect (difference of the means in standard deviations), and of values that are
        not normalised a sentence, such as "low proline (507, elsewhere 820)"; with markers also marker_rank (1 for the
        best of the cluster), score, logfoldchange (of counts), pval_adj and auc, NaN where a cluster was not tested.
        For clusters of count_mixture and latent_clusters also model_logfoldchange: log2 of the share of the gene in the
        counts of the cluster, as the mixture fits or the autoencoder decodes it, over its geometric mean in the others.
        With names: one row per observation and open feature: observation, group, feature, gate, value.

        With several modalities: one row per cluster and modality, and for all together: group, on, share (of the cells
        of the cluster that were called rightly, 0 to 1), low and high (95 % interval for its number of cells), n_cells
        (that were called), chance, mistaken_for (the cluster that most of the others are called), features (high or
        low in the cluster, the clearest first). The rows of "(all)" are means over clusters. NaN for clusters of fewer
        than 8 cells. `attrs["text"]` says it in sentences. Also stored: the effects of features, the cells that each
        modality gives back with most certainty, and the numbers of calls.

    Raises
    ------
    MissingResultError
        If the clusters, the totals of the cells, (with names) the gates of observations, or (with markers=True) the
        tests are not there.
    ParameterError
        If there are fewer than two clusters, gates or tests belong to other clusters, gates of observations were too
        many to keep, a modality is none, or a setting is not possible or of no effect.
    KithkinError
        If gates are to be trained, and torch is not installed.

    References
    ----------
    Svirsky and Lindenbaum 2024, arXiv:2306.04785. Wolpert 1992, doi:10.1016/S0893-6080(05)80023-1.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.array([[4, 0], [3, 1], [0, 5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.annotate(ds, "deep", ["0", "0", "1"])
    >>> ds.write({"varm/deep_gates": np.array([[0.9, 0.0], [0.0, 1.0]], np.float32)})
    >>> explain(ds, "deep", normalize=None)[["group", "feature", "mean", "mean_rest"]].to_numpy().tolist()
    [['0', '0', 3.5, 0.0], ['1', '1', 5.0, 0.5]]
    >>> rng = np.random.default_rng(0)
    >>> ds = kk.read(rng.normal(size=(90, 3)), to=tempfile.mkdtemp() + "/b.zarr")
    >>> ds.write({"obs/kind": np.repeat(["a", "b"], 45), "obsm/size": np.repeat([[1.0], [9.0]], 45, axis=0)})
    >>> explain(ds, "kind", on=["X", "obsm/size"]).attrs["text"]["a"]
    'a is given back by size alone (1.00: low size_0), by X 0...; together 1.00 (chance 0.50)'
    """
    # Long: each block is a column of the table that is returned
    clusters = Key.parse(by, "obs", option="by")
    by, own_gates = str(clusters), str(clusters.beside("varm", "_gates"))
    check_choice("normalize", normalize, ("auto", "log1p", None))
    asked = {"n_features": n_features, "features": features}
    if not isinstance(on, str):
        return explain_modalities(
            ds,
            clusters,
            on,
            {"names": names, "threshold": threshold, **asked, "markers": markers, "device": device},
            normalize=normalize,
            key=key,
            seed=seed,
        )
    check_table(on)
    threshold = (CLUSTER_OPEN if names is None else OPEN) if threshold is None else threshold
    check_range("threshold", threshold, 0.0, 1.0)
    ds.need(by, on)
    if normalize == "auto":  # as in the training of the clusters, or else by the kind of the values
        info = _training_info(ds, clusters, by)
        params = info.get("params", {})
        scale = info.get("scale", params.get("scale", "auto")) if params.get("on") == on else "auto"
        if scale == "auto":
            values, images = ds.blocks(on), "var/row" in ds and "var/column" in ds
            counts = values.is_sparse and values.dtype.kind == "u" and not images and "obs/n_counts" in ds
            scale = "log1p" if counts else "none"
        normalize = "log1p" if scale == "log1p" else None
    else:
        normalize = resolve_normalize(ds, on, normalize)
    if names is not None:
        check(list(asked.values()) == ["auto", None], "n_features and features have no effect with names")
        return _explain_cells(ds, clusters, names, threshold, on, normalize)
    gates = _gates(ds, clusters, asked, {"normalize": normalize, "on": on, "seed": seed}, device, key is not None)
    tests, means = _has_tests(ds, clusters, markers), _model_means(ds, clusters)
    uns = str(Key.of(None if key == "auto" else key, str(clusters.beside("uns", "_explanation"))))
    parameters: dict[str, Any] = {"by": by, "threshold": threshold, "normalize": normalize, "on": on}
    parameters |= ({"markers": True} if tests else {}) | ({"model": True} if means else {})
    inputs = (on, by, *((own_gates,) if key is not None else ()), *((TESTS,) if tests else ()), *means)

    def compute() -> dict[str, Any]:
        column, n_groups = ds.read(by).astype("category"), gates.shape[1]
        note_missing(column, by)
        groups, codes = [str(category) for category in column.cat.categories], column.cat.codes.to_numpy()
        if len(groups) < n_groups and all(label.isdecimal() and int(label) < n_groups for label in groups):
            # clusters without rows may have no label
            codes = np.append([int(label) for label in groups], -1)[codes]
            groups = [str(k) for k in range(n_groups)]
        changed = f"{own_gates} has {n_groups} clusters, but {by} has {len(groups)}: it has changed since"
        check(len(groups) == n_groups, changed)
        totals = totals_of(ds, on) if normalize else None
        values = ds.blocks(on)
        table = gates_table(values, codes, gates, threshold=threshold, totals=totals, execution=ds.execution)
        counted = np.bincount(table["group"], minlength=len(groups))
        sizes = np.bincount(codes[codes >= 0], minlength=len(groups))
        none = [label for label, n, size in zip(groups, counted, sizes, strict=True) if n == 0 and size]
        most = int(max(MANY * ds.n_vars, min(ALWAYS_FEW, ds.n_vars / 2)))
        many = ", ".join(label for label, n in zip(groups, counted, strict=True) if n > most)
        if none:
            log.warning("no gate is open in %s", ", ".join(none))
        if many and ds.n_vars > 4:
            log.warning("more than %s of the %s features are open in %s", f"{most:,}", f"{ds.n_vars:,}", many)
        table["group"] = pd.Categorical.from_codes(table["group"].to_numpy(), pd.Index(groups, dtype=object))
        table["feature"] = ds.var_names.to_numpy()[table["feature"].to_numpy()]
        beside = (_tests_beside(table, ds.read(TESTS)) if tests else {}) | _model_beside(ds, means, table)
        return {uns: table.assign(**beside).astype({"feature": "category"})}

    step = Step("explain", 3, parameters, inputs, (uns,))
    table: pd.DataFrame = ds.result(step, compute, store=key is not None)
    table = table.reset_index(drop=True)
    if normalize is None:
        said = zip(table["feature"], table["mean"], table["mean_rest"], strict=True)
        place = table.columns.tolist().index("effect") + 1
        table.insert(place, "sentence", [phrase_of_values(*one) for one in said])
    return table


def _training_info(ds: Dataset, by: Key, result: str) -> dict[str, Any]:
    """Read the information that deep_clusters stored about the training of a result; empty if another step made it."""
    key = str(by.beside("uns"))
    info = ds.read(key) if key in ds and ds.lineage.belongs(key, result) else None
    return info if isinstance(info, dict) else {}


def _gates(
    ds: Dataset, clusters: Key, asked: dict[str, Any], settings: dict[str, Any], device: str, store: bool
) -> Array:
    """Return the gates of the clusters, p x K: those that came with them, or trained and looked up again."""
    by, key, about = (
        str(one) for one in (clusters, clusters.beside("varm", "_gates"), clusters.beside("uns", "_gates"))
    )
    maker = ds.lineage.maker(key)
    # what another step made belongs to the clusters that it made with it; they may have been replaced since
    if key in ds and (maker is None or (maker.verb != "explain" and ds.lineage.belongs(key, by))):
        given = [name for name, value in asked.items() if value not in ("auto", None)]
        check(not given, f"{' and '.join(given)} has no effect: {key} came with the clusters")
        gates = np.asarray(ds.read(key))
        check(not np.isnan(gates).all(), f"{key} were not trained: run deep_clusters with its classifier")
        closed: Array = np.nan_to_num(gates)
        return closed
    mask = None if asked["features"] is None else str(Key.parse(asked["features"], "var", option="features"))

    def compute() -> dict[str, Any]:
        column = as_labels(ds.read(by), by, "by")
        need("torch", "deep", f"explaining {by}, which has no gates yet,")
        if "var/n_missing" in ds and settings["on"] == "X":
            log.warning("missing values are filled in with the median of their column while gates are trained")
        scale, names = "log1p" if settings["normalize"] else "minmax", [str(name) for name in column.cat.categories]
        check(len(names) <= max(2, ds.n_obs // 2), f"{by} has {len(names):,} different values: these are not clusters")
        chosen = choose(None if mask is None else ds.read(mask).to_numpy().astype(bool), ds.n_vars)
        model = LabelGates(
            len(names), n_features=asked["n_features"], scale=scale, device=device, seed=settings["seed"]
        )
        model.fit(ds.blocks(settings["on"]), column.cat.codes.to_numpy(), chosen, ds.execution)
        missed = [name for name, recall in zip(names, model.recall_, strict=True) if recall < HALF]
        if missed:
            log.warning(
                "less than half of %s are distinguished from other clusters by their features", ", ".join(missed)
            )
        everywhere = np.full((ds.n_vars, len(names)), np.nan, np.float32)
        everywhere[chosen] = model.global_gates_.T
        quality = {"accuracy": model.accuracy_, "recall": model.recall_, "n_features": model.n_features_}
        quality |= {"history": columns_of(model.history_)}
        return {key: everywhere, about: quality}

    inputs = (settings["on"], by, *(() if mask is None else (mask,)))
    step = Step("explain", 1, {"by": by} | asked | settings | {"features": mask}, inputs, (key, about))
    closed = np.nan_to_num(np.asarray(ds.result(step, compute, store=store or ds.lineage.is_current(step))))
    return closed


def _model_means(ds: Dataset, by: Key) -> tuple[str, ...]:
    """Name the log means and the record of the model that made these clusters; nothing where another step did."""
    means, record = str(by.beside("varm", "_log_mean")), str(by.beside("uns"))
    there = all(key in ds and ds.lineage.belongs(key, str(by)) for key in (means, record))
    return (means, record) if there and ds.lineage.maker(means) is not None else ()


def _model_beside(ds: Dataset, means: tuple[str, ...], table: pd.DataFrame) -> dict[str, Array]:
    """Look up what the model says of each feature of a table of gates, if a model made the clusters."""
    if not means:
        return {}
    log_mean, weights = np.asarray(ds.read(means[0])), np.asarray(ds.read(means[1])["weights"])
    genes, groups = ds.var_names.get_indexer(pd.Index(table["feature"])), table["group"].cat.codes.to_numpy()
    return {"model_logfoldchange": above_others(log_mean, weights)[genes, groups] / np.log(2)}


def _has_tests(ds: Dataset, by: Key, markers: bool | str) -> bool:
    """Tell whether there are tests of the same clusters against the rest to put beside the gates."""
    check_choice("markers", markers, (True, False, "auto"))
    if markers is True:
        ds.need(TESTS)
    if not markers or TESTS not in ds:
        return False
    params = ds.read(f"{TESTS}/params")
    groups, against = str(params.get("groupby")), str(params.get("reference"))
    stale, call = ds.lineage.is_stale_key(TESTS), f"run kithkin.markers(ds, {str(by)!r})"
    if markers is True:
        check(groups == by.name and against == "rest", f"{TESTS} holds tests of {groups} against {against}: {call}")
        check(not stale, f"{TESTS} is of clusters or values that have changed: {call}")
    return groups == by.name and against == "rest" and not stale


def _tests_beside(table: pd.DataFrame, stored: dict[str, Any]) -> dict[str, Array]:
    """Look up the tests of each feature of a table of gates."""
    tested = TESTED_VALUES if "effects" in stored else TESTED
    out = {name: np.full(len(table), np.nan) for name in ("marker_rank", *tested, "auc")}
    fields = fields_by_group(stored)
    for group in table["group"].unique():
        if group not in fields:
            continue
        own = fields[group]
        rows = np.flatnonzero(table["group"] == group)
        names = table["feature"].to_numpy()[rows]
        rank = pd.Index(stored["names"][own].astype(str)).get_indexer(names)
        rows, names, rank = rows[rank >= 0], names[rank >= 0], rank[rank >= 0]
        out["marker_rank"][rows] = rank + 1
        for name, field in tested.items():
            out[name][rows] = stored[field][own][rank] if field in stored else np.nan
        if "auc" in stored:
            out["auc"][rows] = stored["auc"].iloc[:, list(fields).index(group)].reindex(names).to_numpy()
    return out


def _explain_cells(
    ds: Dataset, clusters: Key, names: Sequence[str], threshold: float, on: str, normalize: str | None
) -> pd.DataFrame:
    """List the open features of a few cells."""
    by = str(clusters)
    local = "layers/gates" if by == "obs/deep" else str(clusters.beside("layers", "_gates"))
    ds.need(local)
    call = "kithkin.deep_clusters(ds)" if by == "obs/deep" else f"kithkin.deep_clusters(ds, key={by!r})"
    ds.lineage.check_belongs(local, by, call)
    info = _training_info(ds, clusters, local)
    many = f"{float(info.get('feature_counts', {}).get('open', np.nan)):,.0f} gates were open in a row"
    lost = f"{local} holds none, as {many}, too many to keep: ask for fewer n_features in {call}"
    check(info.get("gates_kept", True), lost)
    wanted = [names] if isinstance(names, str) else [str(name) for name in names]
    positions = ds.positions(wanted, "obs", "names")
    gates, values = ds.rows(positions, local), ds.rows(positions, on)
    totals = totals_of(ds, on)[positions] if normalize else None
    row, feature, gate, value = open_of_rows(gates, values, threshold, totals)
    groups = ds.read(by).astype(str).to_numpy()[positions[row]]
    cells = {"observation": np.array(wanted, dtype=object)[row], "group": groups}
    return pd.DataFrame(cells | {"feature": ds.var_names.to_numpy()[feature], "gate": gate, "value": value})
