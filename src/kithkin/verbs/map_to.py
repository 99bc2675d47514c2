"""Labels and places of cells by a reference."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import check, check_range
from kithkin.core.history import Step, digest
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.table.normalize import Normalized, is_log_normalized
from kithkin.verbs.arguments.batches import batches_of
from kithkin.verbs.arguments.labels import label_column
from kithkin.verbs.arguments.normalization import check_table
from kithkin.verbs.arguments.reference_file import Reference

log = logging.getLogger("kithkin")
UNKNOWN = "unknown"
COLUMNS = {"label": "", "probability": "_probability", "distance": "_distance"}
FEW = 0.5  # part of the genes of the reference


def map_to(
    ds: Dataset,
    reference: str | Path,
    *,
    batch: str | None = None,
    threshold: float | None = 1.0,
    on: str = "X",
    key: str | None = "mapped",
) -> pd.DataFrame:
    """Map cells onto a reference: each gets a label, its probability, its distance, and a place on the reference's map.

    The reference stays as it is, and cells of different datasets that are mapped onto it can be compared. Differences
    between the batches of the new cells and the reference are taken out as by Symphony.

    The distance tells kinds of cells that the reference lacks. A cell by itself is too noisy to be told from near kin
    that the reference has, so the cells of each batch are parted into groups, whose means are held against the labels
    after what sets the whole batch apart is taken out. So it depends on the cells that are mapped together. Cells of
    batches with fewer than 100 cells, or whose groups are like fewer than three labels, are told one by one.

    Parameters
    ----------
    ds
        The dataset, of counts if the reference was made of counts.
    reference
        File that `kithkin.reference` wrote.
    batch
        Column of obs with the batches of the new cells; all are one by default.
    threshold
        Distance beyond which a cell is "unknown"; 1 is what one in forty cells of the reference exceeded when its batch
        was left out. Without a threshold all are labelled.
    on
        Table of counts or values: X or a layer.
    key
        Key under which the result is stored; without one it is only returned. "mapped" stands for obs/mapped,
        obs/mapped_probability, obs/mapped_distance, the components obsm/X_mapped and, where the reference has a map,
        the places obsm/X_mapped_umap.

    Returns
    -------
    DataFrame
        n rows: label (categorical, with "unknown"); probability of the label among those of the reference, 0 to 1;
        distance from what the reference held, a half at its median and 1 at its limit.

    Raises
    ------
    FormatError
        If the file is no reference, or damaged.
    ParameterError
        If hardly any gene of the reference is in the dataset, or one holds counts and the other values.

    References
    ----------
    Kang et al. 2021, doi:10.1038/s41467-021-25957-x.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> cells = kk.datasets.simulate_counts(400, 200, 3)
    >>> ds = kk.read(cells[:300].copy(), to=folder + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.reference(ds, "group", to=folder + "/a.kin", on="obsm/X_pca")
    >>> others = kk.read(cells[300:].copy(), to=folder + "/b.zarr")
    >>> found = map_to(others, folder + "/a.kin", threshold=None)
    >>> bool((found["label"] == others.read("obs/group")).mean() > 0.95), found.columns.tolist()
    (True, ['label', 'probability', 'distance'])
    """
    path = Path(reference).expanduser()
    wanted = (
        f"reference must be a file that kithkin.reference(ds, labels, to='name.kin') wrote, and {path.name} is a folder"
    )
    check(not path.is_dir(), wanted)
    held = Reference.read(path)
    if threshold is not None:
        check_range("threshold", threshold, 0.0, 1e6)
    check_table(on)
    _check_kind(ds, on, held, path.name)
    target = Key.parse("mapped" if key is None else key, "obs").beside("obs")
    batches = None if batch is None else batches_of(ds, batch, alone=True)
    tables = [str(target.beside("obsm")).replace("obsm/", "obsm/X_")]
    tables += [f"{tables[0]}_umap"] if len(held.map.places) else []
    columns = [str(target.beside("obs", end)) for end in COLUMNS.values()]
    about, made = str(target.beside("uns")), {"reference": path.name, "from": digest(path.read_bytes().hex())}
    parameters = {**made, "batch": batches.key if batches else None, "threshold": threshold, "on": on}

    def compute() -> dict[str, Any]:
        own, theirs = held.genes_in(ds)
        if len(own) < len(held.genes):
            missing = (
                f"{len(held.genes) - len(own):,} of the {len(held.genes):,} genes of {path.name} are not in {ds.name}"
            )
            log.warning("%s%s", missing, ": labels may be poor" if len(own) < FEW * len(held.genes) else "")
        totals = None if held.target_sum is None else totals_of(ds, on)
        log1p = {"normalize": "log1p", "totals": totals, "target_sum": held.target_sum} if held.target_sum else {}
        source = Normalized(ds.blocks(on), columns=own, **log1p)  # type: ignore[arg-type]
        rows = held.map.project(source, theirs, ds.execution)
        codes = np.zeros(ds.n_obs, np.int32) if batches is None else batches.codes
        novelty = held.map.novelty(rows, codes, source, theirs, ds.execution)
        found = held.map.label(rows, codes, ds.execution)
        found.novelty = novelty
        distance = held.map.distance(found, source, theirs, ds.execution)
        beyond = np.zeros(ds.n_obs, bool) if threshold is None else distance > threshold
        labels = np.where(beyond, len(held.labels), found.codes)
        names = [*held.labels, *([UNKNOWN] if threshold is not None else [])]
        values = [label_column(ds, columns[0], labels, names), found.probability, distance]
        table = pd.DataFrame(
            {"n_cells": np.bincount(labels, minlength=len(names))}, index=pd.Index(names, dtype=object)
        )
        record = {"params": {name: value for name, value in parameters.items() if value is not None}, "labels": table}
        places = [held.map.place(rows, ds.execution)] if len(tables) == 2 else []
        return dict(zip([*columns, *tables, about], [*values, rows, *places, record], strict=True))

    outputs = (*columns, *tables, about)
    step = Step("map_to", 2, parameters, (on, *([batches.key] if batches else [])), outputs)
    found = ds.results(step, compute, store=key is not None, wanted=columns)
    series = [pd.Series(found[column], index=ds.obs_names) for column in columns]
    return pd.DataFrame(dict(zip(COLUMNS, series, strict=True)))


def _check_kind(ds: Dataset, on: str, held: Reference, name: str) -> None:
    """Refuse values for a reference of counts, and counts for one of values."""
    ds.need(on)
    logarithms = is_log_normalized(ds.blocks(on))
    counts = ds.kind == "counts" and not logarithms if on == "X" else not logarithms
    advice = "counts, which it normalises itself" if held.target_sum else "values that are normalised in the same way"
    held_words = "counts" if held.target_sum else "values that were normalised before"
    wrong = f"{name} was made of {held_words}, and {on} of {ds.name} holds {'counts' if counts else 'other values'}"
    check(counts == bool(held.target_sum), f"{wrong}: give it {advice}")
