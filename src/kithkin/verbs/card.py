"""Cards: a rule of a few features with thresholds for each cluster, to carry to other datasets."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
from anndata.utils import make_index_unique

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice, check_range, listed
from kithkin.core.files import whole
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.gates.card import COUNTS, LOGARITHMS, PLAIN, Card
from kithkin.models.gates.scorecard import Scorecard
from kithkin.models.table.normalize import is_log_normalized
from kithkin.verbs.arguments.columns import column_names
from kithkin.verbs.arguments.labels import labels_of, note_missing
from kithkin.verbs.arguments.normalization import check_table, holds_values, resolve_normalize

log = logging.getLogger("kithkin")
POOR = 0.5  # precision or recall below which a rule is warned of


def card(
    ds: Dataset,
    by: str = "obs/leiden",
    *,
    n_features: int = 8,
    features: str | None = None,
    normalize: Literal["auto", "log1p"] | None = "auto",
    to: str | Path | None = None,
    on: str = "X",
    key: str | None = "auto",
    overwrite: bool = False,
    seed: int = 0,
) -> Card:
    """Card of clusters: for each a rule of at most eight features with thresholds, with precision and recall.

    The rules say in words what a cluster is ("MS4A1 above 0.7, CD79A above 1.1, no CD3D"; of a table "age above 40, no
    returns"), and `kithkin.apply` names the rows of any other dataset by them, with no training. Three quarters of the
    rows teach the rules, and the others, which are chosen by a hash of their number, judge them.

    Parameters
    ----------
    ds
        The dataset.
    by
        Column of obs with the clusters, of any method.
    n_features
        Features of a rule, at most.
    features
        Boolean column of var with the features that rules may use; all features by default.
    normalize
        "log1p": thresholds are of log1p(count / total * 10,000). "auto": that for counts, and values as they are for
        others. Without normalisation values stay as they are.
    to
        File for the card, such as card.json; without one it is only stored.
    on
        Table to read: X, a layer, or a table in obsm such as obsm/features.
    key
        Key under which the result is stored; without one it is only returned. "auto": in uns under the name of the
        clusters, such as uns/leiden_card.
    overwrite
        Replace the file, once the new one is whole.
    seed
        Seed of the rows that are held out, and of the sample of 6,000 rows that the rules are fitted on.

    Returns
    -------
    Card
        Its rules as `text`, as `json` (under 2,000 bytes for up to 13 clusters), as `table` with the points that each
        rule needs, its precision and recall on held-out rows (0 to 1), and as `panel`: the features in an order in
        which the first few serve the rules best.

    Raises
    ------
    MissingResultError
        If the clusters are not there.
    ParameterError
        If there are fewer than two clusters, more than 200, or nothing that tells them apart.
    KithkinError
        If the file exists.

    References
    ----------
    Ustun and Rudin 2016, doi:10.1007/s10994-015-5528-6.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> rng = np.random.default_rng(0)
    >>> shoppers = pd.DataFrame({"age": rng.integers(20, 40, 200), "returns": rng.integers(1, 5, 200)})
    >>> shoppers.loc[:99, "age"] += 25
    >>> shoppers.loc[:99, "returns"] = 0
    >>> ds = kk.read(shoppers, to=folder + "/a.zarr", kind="values")
    >>> _ = kk.annotate(ds, "kind", ["settled"] * 100 + ["young"] * 100)
    >>> found = kk.card(ds, "kind", n_features=1, to=folder + "/card.json")
    >>> print(found.text)
    settled: no returns: all of them; precision 1.00, recall 1.00
    young: some returns: all of them; precision 1.00, recall 1.00
    >>> kk.apply(ds, folder + "/card.json")["label"].value_counts().to_dict()
    {'settled': 100, 'young': 100, 'none': 0}
    """
    clusters = Key.parse(by, "obs", option="by")
    by, uns = str(clusters), str(Key.of(None if key == "auto" else key, str(clusters.beside("uns", "_card"))))
    mask = None if features is None else str(Key.parse(features, "var", option="features"))
    check_choice("normalize", normalize, ("auto", "log1p", None))
    check_range("n_features", n_features, 1, 64)
    check_table(on, obsm=True)
    ds.need(by, on)
    check(mask is None or Key.parse(on).place != "obsm", "features names variables of X, and has no effect with obsm")
    unit = unit_of(ds, on, normalize)
    parameters = {"by": by, "n_features": n_features, "features": mask, "unit": unit, "on": on, "seed": seed}

    def compute() -> dict[str, Any]:
        labels = labels_of(ds, by)
        note_missing(ds.read(by), by)
        chosen = None if mask is None else marked(ds, mask)
        blocks, treatment = ds.blocks(on), "log1p" if unit == COUNTS else None
        totals = totals_of(ds, on) if treatment else None
        model = Scorecard(n_features, normalize=treatment, seed=seed)
        names = feature_names(ds, on, blocks.shape[1])
        model.fit(blocks, labels.codes, names, labels.names, totals, chosen, ds.execution)
        made = replace(model.card_, by=by, unit=unit)
        tell(made, labels.names)
        said = {name: value for name, value in parameters.items() if value is not None}
        return {uns: {"json": made.json, "rules": made.table, "panel": made.panel, "f1": model.f1_, "params": said}}

    inputs = (on, by, *(() if mask is None else (mask,)))
    stored = ds.result(Step("card", 1, parameters, inputs, (uns,)), compute, store=key is not None)
    found = Card.from_json(str(stored["json"]), uns)
    if to is not None:
        with whole(to, overwrite=overwrite) as staged:
            staged.write_text(found.json + "\n", encoding="utf-8")
    return found


def unit_of(ds: Dataset, on: str, normalize: str | None) -> str:
    """Choose the unit of the thresholds by what a table holds and what is asked for."""
    if Key.parse(on).place == "obsm":
        check(normalize != "log1p", f"normalize must be None for {on}, which is no table of counts, got 'log1p'")
        return PLAIN
    if normalize == "log1p":
        return COUNTS if resolve_normalize(ds, on, normalize) else LOGARITHMS
    if is_log_normalized(ds.blocks(on)):
        return LOGARITHMS
    return PLAIN if normalize is None or holds_values(ds, on, "log1p") else COUNTS


def feature_names(ds: Dataset, on: str, width: int) -> list[str]:
    """List names of the columns of a table that are unique: symbols, and names of variables where these share one."""
    names = pd.Index(column_names(ds, on, width), dtype=object)
    if not names.is_unique and Key.parse(on).place != "obsm":
        names = names.where(~names.duplicated(keep=False), ds.var_names)
    return [str(name) for name in (names if names.is_unique else make_index_unique(names))]


def marked(ds: Dataset, mask: str) -> Array:
    """Read a column of var that marks features."""
    column = ds.read(mask).to_numpy()
    right = column.dtype == bool and bool(column.any())
    check(right, f"{mask} must be a column of booleans that marks at least one feature")
    return np.asarray(column)


def tell(made: Card, names: list[str]) -> None:
    """Warn of clusters without a rule, and of rules that do not hold well."""
    absent = [name for name in names if name not in made.labels]
    if absent:
        log.warning("there is no rule for %s, which have too few rows", listed(absent))
    shares = made.table[["precision", "recall"]].min(axis=1)
    poor = [str(name) for name in shares.index[shares < POOR]]
    if poor:
        log.warning("less than half is right by the rules of %s: precision or recall on held-out rows", listed(poor))
