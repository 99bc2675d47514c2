"""Propagation of labels or scores from seeds over the neighbour graph."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.history import Step
from kithkin.core.keys import Key
from kithkin.models.propagation.calibration import Calibration, calibrate
from kithkin.models.propagation.propagation import Propagation
from kithkin.models.propagation.seeds import winners
from kithkin.verbs.arguments.seeds import Seeds, seeds_from, seeds_of

log = logging.getLogger("kithkin")

ALPHA = {"set": 0.9, "labels": 0.7, "reference": 0.5}


def propagate(
    ds: Dataset,
    seeds: str | Any,
    *,
    alpha: float | None = None,
    method: Literal["exact", "iterative"] = "exact",
    normalize: Literal["symmetric", "row", "column"] = "symmetric",
    tolerance: float | None = None,
    max_iter: int = 1000,
    clamp: bool = False,
    history: bool = False,
    reference: str | Dataset | None = None,
    n_neighbors: int | None = None,
    on: str = "obsp/connectivities",
    key: str | None = "propagated",
    seed: int = 0,
    say: Callable[[str], None] | None = None,
) -> pd.Series[Any] | Array:
    """Spread labels or scores from a few cells to all, over the neighbour graph.

    From one set of seeds every cell gets a score, by which cells can be ranked by closeness to the set. From a column
    in which some cells have a label, every cell gets the label that reaches it most, with its probability. Where all
    cells have a label, such as clusters, this cleans them up: without `clamp` a cell is outvoted by its neighbours.
    With a `reference`, the labels are those of another dataset: each cell begins with the votes of the reference cells
    that are nearest in the reference's principal components, over the genes that both datasets have.

    Probabilities of labels are calibrated: up to 500 known labels, or as many cells of the reference as this dataset
    has, are held out, and a temperature is chosen under which those are most likely. They hold for cells without a
    label that are like those with one; of a kind that no label names they say nothing.

    Parameters
    ----------
    ds
        The dataset.
    seeds
        One set: a condition on obs such as "celltype == 'B'", or the name of a cell. Labels: a column such as
        "obs/celltype", missing where not known. Several sets: a table such as "obsm/topics". With a reference: its
        column of labels. In Python also a list of names or of row numbers, and n booleans, weights or labels, or n x s
        of them.
    alpha
        Share of a score that comes from the neighbours, above 0 and below 1: the higher, the farther seeds reach. Near
        1 a label with many seeds wins over those with few. By default 0.9 for scores of sets, 0.7 for labels, and 0.5
        with a reference, where every cell has votes of its own.
    method
        "exact": the limit of the walk. "iterative": step by step until little changes; it can stop on the way.
    normalize
        "symmetric": hubs count less. "row": means over neighbours. "column": sums are kept (PageRank).
    tolerance
        Relative accuracy; by default 1e-6 if "exact", else steps until 1% changes.
    max_iter
        Steps at most.
    clamp
        Keep the seeds as they were given.
    history
        Also store the scores after each step as uns/propagated_history, for animation; needs the iterative method.
    reference
        Another dataset or its path: one with principal components, from which labels are taken.
    n_neighbors
        Number of cells of the reference that vote; 15 by default.
    on
        Graph of neighbours.
    key
        Key under which the result is stored; without one it is only returned. It names a column of obs, a table of
        obsm, or both.
    seed
        Seed of the choice of labels that are held out, and of the search in a large reference.
    say
        Function such as print, called with a line after each step: how much the scores still change. A look-up says the
        lines of the steps that were done.

    Returns
    -------
    Series or ndarray
        One set: n scores, stored in obs. Labels: n labels, categorical, in obs with name_probability and name_entropy
        (nats), and the scores for each label (n x labels) in obsm. Several sets: n x s scores, in obsm. There is no
        score (NaN) and no label in parts of the graph without a seed, which a note counts. Also stored, in uns: the
        residuals and, of labels, the temperature, how many labels were held out, the fraction of them that was told
        right (held_out_accuracy), and the expected calibration error without and with the temperature.

    Raises
    ------
    MissingResultError
        If there is no graph, or no such column.
    ParameterError
        If a setting is out of range, there is no seed, or seeds have the wrong length.

    References
    ----------
    Zhou, Bousquet, Lal, Weston and Schölkopf, Learning with local and global consistency (NIPS 2003).
    Guo, Pleiss, Sun and Weinberger, On calibration of modern neural networks (2017), doi:10.48550/arXiv.1706.04599.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(200, 300, 3, seed=1), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds)
    >>> known = ds.read("obs/group").where(np.arange(200) % 10 == 0)
    >>> bool((propagate(ds, known) == ds.read("obs/group")).mean() > 0.95)
    True
    >>> propagate(ds, "group == '0'", key="obs/close").name
    'close'
    """
    check(n_neighbors is None or reference is not None, "n_neighbors has an effect with a reference only")
    given = seeds_of(ds, seeds) if reference is None else seeds_from(ds, reference, seeds, n_neighbors or 15, seed)
    target = Key.parse("propagated" if key is None else key, "obs", "obsm").beside("obs")
    usual = ALPHA["set"] if given.classes is None else ALPHA["labels"] if reference is None else ALPHA["reference"]
    settings: dict[str, Any] = {"alpha": usual if alpha is None else alpha, "method": method, "normalize": normalize}
    settings |= {"max_iter": max_iter, "clamp": clamp, "tolerance": tolerance}
    ends = ("", "_probability", "_entropy")
    columns = (*(str(target.beside("obs", end)) for end in ends), str(target.beside("obsm")))
    outputs = columns if given.classes else columns[:1] if given.single else columns[3:]
    outputs = (*outputs, str(target.beside("uns")), *((str(target.beside("uns", "_history")),) if history else ()))
    parameters = settings | given.parameters | {"on": on, "history": history}
    parameters |= {"seed": seed} if given.held_out is not None else {}

    computed: list[Propagation] = []

    def compute() -> dict[str, Any]:
        graph, table = ds.read(on), given.read()
        # a reference may have labels that nothing here votes for
        sets: Array = np.ones(table.shape[1], bool) if given.classes is None else np.asarray(table.any(axis=0))
        listen = None if say is None else lambda step, change: say(_of_step(step, change))
        model = Propagation(**settings, history=history).fit(graph, table[:, sets], ds.execution, listen)
        computed.append(model)
        scores = _of_all(model.scores_, sets, 0)
        missing = np.isnan(scores)
        rows = missing.any(axis=1) if given.classes is None else missing.all(axis=1)
        if rows.any():
            parts, count, of = len(np.unique(model.parts_[rows])), f"{rows.sum():,}", f"{ds.n_obs:,}"
            missed = "score of some set" if given.classes is None and not given.single else "score"
            log.warning(
                "%s of %s cells have no %s: %s parts of the graph have no seed", count, of, missed, f"{parts:,}"
            )
        if not model.converged_.all():
            late = int((~model.converged_).sum())
            log.warning("%s of %s sets changed still after %s steps", late, len(model.converged_), model.max_iter)
        record: dict[str, Any] = {"params": {key: value for key, value in parameters.items() if value is not None}}
        record |= {
            "residuals": _of_all(model.residuals_, sets, np.nan),
            "n_iterations": _of_all(model.n_iter_, sets, 0),
            "converged": _of_all(model.converged_, sets, True),
        }
        found = Calibration()
        if given.classes:
            record["classes"] = np.array(given.classes, dtype=object)
        if given.held_out is not None:
            found = calibrate(*given.held_out(model, graph, seed))
            record |= _told(found)
        values = [
            *_results(ds, scores, given, target.name, found.temperature),
            record,
            *([_of_all(np.asarray(model.history_), sets, 0)] if history else []),
        ]
        return dict(zip(outputs, values, strict=True))

    step = Step("propagate", 2 if given.classes else 1, parameters, (on, *given.inputs), outputs)
    result = ds.result(step, compute, store=key is not None)
    if say is not None and not computed:
        for number, changes in enumerate(ds.read(str(target.beside("uns")))["residuals"], 1):
            say(_of_step(number, float(np.nanmax(changes))))
    return result  # type: ignore[no-any-return]


def _of_step(step: int, change: float) -> str:
    """Say how much a step changed.

    Examples
    --------
    >>> _of_step(3, 0.0123)
    'step 3: relative change 0.0123'
    """
    return f"step {step}: relative change {change:.3g}"


def _of_all(values: Array, sets: Array, empty: float) -> Array:
    """Put values of the sets that were propagated in their columns, and another value in those of the others."""
    if sets.all():
        return values
    out = np.full((*values.shape[:-1], len(sets)), empty, values.dtype)
    out[..., sets] = values
    return out


def _told(found: Calibration) -> dict[str, Any]:
    """Say how good the labels are that were held out, and list it for the record."""
    if found.n_held_out:
        said = "%s labels were held out: %.1f%% of them told right, expected calibration error %.3f (%.3f before)"
        log.info(said, f"{found.n_held_out:,}", 100 * found.accuracy, found.error, found.error_before)
    else:
        log.info("there are too few labels to hold some out: probabilities are not calibrated")
    return {
        "temperature": found.temperature,
        "n_held_out": found.n_held_out,
        "held_out_accuracy": found.accuracy,
        "calibration_error": found.error,
        "calibration_error_before": found.error_before,
    }


def _results(ds: Dataset, scores: Array, given: Seeds, name: str, temperature: float) -> list[Any]:
    """List the columns of obs and the table of obsm that hold the scores, in the order of the outputs."""
    if given.single:
        return [pd.Series(scores[:, 0], index=ds.obs_names, name=name)]
    if given.classes is None:
        return [scores]
    reached = np.isfinite(scores).any(axis=1, keepdims=True)  # by one label: the others score 0 there
    scores = np.where(reached & np.isnan(scores), np.float32(0), scores)
    codes, probability, entropy = winners(scores, temperature)
    labels = pd.Categorical.from_codes(codes, pd.Index(given.classes))
    columns = {name: labels, f"{name}_probability": probability, f"{name}_entropy": entropy}
    return [*(pd.Series(column, index=ds.obs_names, name=title) for title, column in columns.items()), scores]
