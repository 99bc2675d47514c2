"""Scores of sets of genes, such as the markers of a kind of cell or the genes of a pathway, in each cell."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pandas as pd
from anndata.utils import make_index_unique

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check_choice
from kithkin.core.history import Step, digest
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.sets.set_scores import METHODS, SetScores
from kithkin.verbs.arguments.labels import label_column
from kithkin.verbs.arguments.normalization import check_table, holds_values, resolve_normalize
from kithkin.verbs.arguments.sets import find_sets, read_sets


def score(
    ds: Dataset,
    sets: Mapping[str, Sequence[str]] | Sequence[str] | str | Path,
    *,
    method: Literal["ucell", "aucell", "mean"] = "ucell",
    max_rank: int | None = None,
    normalize: Literal["log1p"] | None = "log1p",
    on: str = "X",
    key: str | None = "obsm/scores",
    seed: int = 0,
) -> pd.DataFrame:
    """Scores of sets of genes in each cell: UCell, AUCell, or the mean over that of control genes.

    Parameters
    ----------
    ds
        The dataset.
    sets
        A .gmt file, or a name and genes such as "T cells=CD3D,CD3E". For "ucell" a gene that ends in "-" speaks against
        its set. In Python also a mapping such as {"T cells": ["CD3D", "CD3E"]}, or the genes of one set. Genes go by
        their name, symbol or identifier; all variables of one symbol count.
    method
        "ucell": ranks of the genes within the cell, 0 to 1. "aucell": share of the set among the best genes of the
        cell, 0 to 1. "mean": mean of the set less that of control genes of like expression, as scanpy's score_genes.
    max_rank
        Rank up to which genes count, for "ucell" (1500 by default) and "aucell" (a twentieth of the genes).
    normalize
        "log1p": means are of log1p(count / total * 10,000). Without normalisation values stay as they are. The other
        two methods go by ranks, which it does not change.
    on
        Table to read: X, a layer, or a table in obsm.
    key
        Key under which the result is stored; without one it is only returned.
    seed
        Seed of the control genes, and of the order that breaks ties in "aucell".

    Returns
    -------
    DataFrame
        n rows, a column for each set, float32. Stored in obsm; uns gets under the same name the genes of each set, and
        obs, of several sets, the one with the highest score once each is standardised over the cells.

    Raises
    ------
    ParameterError
        If no gene of the sets is in the dataset, a set has more genes than max_rank, the table holds negative values
        that have no rank, or the scores do not fit the memory.
    KithkinError
        If the file is not there or no GMT file.

    References
    ----------
    Andreatta and Carmona 2021, doi:10.1016/j.csbj.2021.06.043. Aibar et al. 2017, doi:10.1038/nmeth.4463. Tirosh et al.
    2016, doi:10.1126/science.aad0501.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> counts = pd.DataFrame({"CD3D": [5, 4, 0], "CD3E": [3, 2, 0], "CD19": [0, 1, 7], "MS4A1": [0, 0, 9]})
    >>> ds = kk.read(counts, to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> scores = kk.score(ds, {"T": ["CD3D", "CD3E"], "B": ["CD19", "MS4A1"]}, max_rank=4)
    >>> scores["T"].round(2).tolist(), ds["obs/scores"].tolist()
    ([1.0, 1.0, 0.0], ['T', 'T', 'B'])
    """
    check_choice("method", method, METHODS)
    check_table(on, obsm=True)
    ds.need(on)
    named = read_sets(sets)
    target = Key.of(key, "obsm/scores")
    table, best, about = str(target), str(target.beside("obs")), str(target.beside("uns"))
    parameters: dict[str, Any] = {
        "sets": f"{len(named)} sets {digest(list(named.items()))}",
        "method": method,
        "on": on,
    }
    if method == "mean":
        plain = holds_values(ds, on, normalize)
        parameters["normalize"] = None if plain else resolve_normalize(ds, on, normalize)
    if method != "ucell":
        parameters["seed"] = seed
    if max_rank is not None:
        parameters["max_rank"] = max_rank

    def compute() -> dict[str, Any]:
        found = find_sets(ds, named, on, signed=method == "ucell")
        treatment = parameters.get("normalize")
        model = SetScores(
            found.columns, method, against=found.against, max_rank=max_rank, normalize=treatment, seed=seed
        )
        totals = totals_of(ds, on) if treatment else None
        model.fit(ds.blocks(on), totals, ds.execution)
        # anndata allows no slash in the name of a column
        names = make_index_unique(pd.Index([name.replace("/", "|") for name in found.genes]))
        scores = pd.DataFrame(model.scores_, index=ds.obs_names, columns=names)
        labels = {best: label_column(ds, best, model.labels_, names)} if several else {}
        return {table: scores, about: {"params": parameters, "sets": found.listed().set_axis(names)}} | labels

    several = len(named) > 1
    step = Step("score", 2, parameters, (on,), (table, about, best) if several else (table, about))
    maker = ds.lineage.maker(best)
    former = [best] if not several and best in ds and maker is not None and maker.verb == "score" else []
    return ds.result(step, compute, store=key is not None, removed=former)  # type: ignore[no-any-return]
