"""Doublets of each sample, and the groups that they are made of."""

from __future__ import annotations

import logging
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, ChosenRows
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_choice, check_range, listed
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.core.totals import totals_key, totals_of
from kithkin.models.doublets.doublets import FEWEST_CELLS, METHODS, RATES, Doublets
from kithkin.verbs.arguments.labels import as_labels, label_texts
from kithkin.verbs.quality import refuse_values

log = logging.getLogger("kithkin")
BETWEEN = " + "  # the names of the two groups of a doublet


def doublets(
    ds: Dataset,
    *,
    by: str | None = "auto",
    method: Literal["simulate", "mixture"] = "simulate",
    groups: str | None = None,
    rate: float | None = None,
    on: str = "X",
    key: str | None = "obs/doublet",
    seed: int = 0,
) -> pd.DataFrame:
    """Doublets: cells that look like two cells of their sample counted as one, and of which groups these are.

    Each sample is scored by itself, so that it has the same scores whatever other samples there are. Doublets are
    simulated by adding the counts of two cells. "simulate" is Scrublet: a cell scores by the simulated doublets among
    its neighbours, with its number of counts as a further coordinate. "mixture" compares the likelihood of a cell as a
    sum of two cells with that as one cell, in a negative binomial model of the groups. The share of doublets is
    estimated for each sample, and cells are called from the score on at which true calls exceed false ones by most.
    Doublets of two cells of one kind are hard to tell, and many of them are not called.

    Parameters
    ----------
    ds
        The dataset, before normalisation and with cells of poor quality removed.
    by
        Column of obs with the samples; "auto" takes obs/sample if there is one, else all cells are one sample.
    method
        "simulate" or "mixture".
    groups
        Column of obs with groups that doublets are made of, such as "obs/leiden". By default they are found among the
        cells of each sample, and each is named by the gene that tells it from the others.
    rate
        Share of doublets, where it is known: 0.001 to 0.5. It is estimated by default.
    on
        Table of counts to read.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the cells that others are compared with, and of the simulated doublets.

    Returns
    -------
    DataFrame
        n rows: doublet (booleans), doublet_score, and doublet_of, the two groups of a doublet, missing for other cells.
        Stored in obs; `attrs["text"]` has a sentence for each sample. uns/doublet has the cells of each, its doublets,
        rate and threshold, and the share of all doublets that can be told. Samples of fewer than 30 cells have no
        scores.

    Raises
    ------
    MissingResultError
        If there are no such samples or groups.
    ParameterError
        If the table does not hold counts, or rate is out of range.

    References
    ----------
    Wolock, Lopez and Klein 2019, doi:10.1016/j.cels.2018.11.005.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> cells = kk.datasets.simulate_counts(300, 400, 3)
    >>> pairs = cells[:15].copy()
    >>> pairs.X = cells.X[:15] + cells.X[100:115]
    >>> ds = kk.read({"s1": cells, "s2": pairs}, to=tempfile.mkdtemp() + "/a.zarr")
    >>> found = kk.doublets(ds, by=None)
    >>> found.columns.tolist(), bool(found["doublet_score"][300:].mean() > 3 * found["doublet_score"][:300].mean())
    (['doublet', 'doublet_score', 'doublet_of'], True)
    """
    check_choice("method", method, METHODS)
    if rate is not None:
        check_range("rate", rate, *RATES)
    if by == "auto":
        by = "obs/sample" if "obs/sample" in ds else None
    by = None if by is None else str(Key.parse(by, "obs", option="by"))
    groups = None if groups is None else str(Key.parse(groups, "obs", option="groups"))
    target = Key.of(key, "obs/doublet")
    score, of, about = target.beside("obs", "_score"), target.beside("obs", "_of"), target.beside("uns")
    outputs = tuple(map(str, (target, score, of, about)))
    parameters = {"by": by, "method": method, "groups": groups, "rate": rate, "on": on, "seed": seed}
    known = totals_key(ds, on)
    inputs = (on, *(one for one in (by, groups, known) if one is not None))

    def compute() -> dict[str, Any]:
        refuse_values(ds, on, "doublets", "it needs counts of molecules")
        called, scores, texts, table = find_doublets(ds, by, groups, Doublets(method, rate=rate, seed=seed), on)
        settings = {name: value for name, value in parameters.items() if value is not None}
        record = {"params": settings, "samples": table}
        return dict(zip(outputs, (called, scores, pd.Categorical(texts), record), strict=True))

    found = ds.results(Step("doublets", 1, parameters, inputs, outputs), compute, store=key is not None)
    columns = {"doublet": target, "doublet_score": score, "doublet_of": of}
    frame = pd.DataFrame({name: np.asarray(found[str(one)]) for name, one in columns.items()}, index=ds.obs_names)
    frame = frame.astype({"doublet_of": "category"})
    frame.attrs["text"] = {str(row.Index): sentence_of(row) for row in found[str(about)]["samples"].itertuples()}
    return frame


def sentence_of(row: Any) -> str:
    """Say how many cells of a sample were called, and how many doublets there may be.

    Examples
    --------
    >>> table = pd.DataFrame({"n_cells": [4075], "n_doublets": [244], "rate": [0.073], "detectable": [0.7]}, ["s1"])
    >>> [sentence_of(row) for row in table.itertuples()]
    ['s1: 244 doublets of 4,075 cells (6.0 %); about 7.3 % may be doublets, of which 70 % can be told']
    """
    if np.isnan(row.rate):
        return f"{row.Index}: not scored, as it has {row.n_cells} cells"
    called = f"{row.n_doublets:,} doublet{'s' * (row.n_doublets != 1)}"
    share = f"{called} of {row.n_cells:,} cells ({100 * row.n_doublets / row.n_cells:.1f} %)"
    told = f"about {100 * row.rate:.1f} % may be doublets, of which {100 * row.detectable:.0f} % can be told"
    return f"{row.Index}: {share}; {told}"


def find_doublets(
    ds: Dataset, by: str | None, groups: str | None, model: Doublets, on: str
) -> tuple[Array, Array, list[str | None], pd.DataFrame]:
    """Fit the model to each sample; return calls, scores, names of the two groups, and a table of the samples."""
    n, blocks, totals = ds.n_obs, ds.blocks(on), totals_of(ds, on)
    column = None if by is None else as_labels(ds.read(by), by, "by")
    samples = ["all"] if column is None else [str(one) for one in column.cat.categories]
    codes = np.zeros(n, np.int64) if column is None else column.cat.codes.to_numpy()
    labels = None if groups is None else as_labels(ds.read(groups), groups, "groups")
    called, scores = np.zeros(n, bool), np.full(n, np.nan)
    texts: list[str | None] = [None] * n
    rows, few = [], []
    symbols = None if labels is not None else ds.var_labels
    for number, name in enumerate(samples):
        own = np.flatnonzero(codes == number)
        if len(own) < FEWEST_CELLS:
            few.append(name)
            rows.append([len(own), 0, np.nan, np.nan, np.nan])
            continue
        given = None if labels is None else labels.cat.codes.to_numpy()[own]
        model.fit(blocks if len(own) == n else ChosenRows(blocks, own), given, totals[own], ds.execution)
        called[own], scores[own] = model.is_doublet_, model.scores_
        rows.append([len(own), int(model.is_doublet_.sum()), model.rate_, model.threshold_, model.detectable_])
        if labels is None:
            words = [str(symbols[one]) if one >= 0 else "" for one in model.markers_]  # type: ignore[index]
        else:
            words = label_texts(labels.cat.categories.to_series())
        for row in np.flatnonzero(model.is_doublet_):
            texts[own[row]] = BETWEEN.join(words[one] for one in model.parents_[row])
    least = f"{by or 'X'} must have a sample of at least {FEWEST_CELLS} cells"
    check(len(few) < len(samples), f"{least}, but {'all have fewer' if by else f'has {n}'}")
    if few:
        log.warning("not scored, as they have fewer than %d cells: %s", FEWEST_CELLS, listed(few, quoted=False))
    names = ["n_cells", "n_doublets", "rate", "threshold", "detectable"]
    table = pd.DataFrame(rows, index=pd.Index(samples, dtype=object, name="sample"), columns=names)
    return called, scores, texts, table.astype({"n_cells": np.int64, "n_doublets": np.int64})
