"""Seeds of a propagation: conditions, names, columns or tables, as a table of numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.alignment import align
from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import ParameterError, check
from kithkin.core.execute import Execution
from kithkin.core.history import digest
from kithkin.core.keys import PLACES, Key
from kithkin.core.named import with_named
from kithkin.core.query import select
from kithkin.models.neighbors.transfer import Votes
from kithkin.models.propagation.calibration import held_out_labels, held_out_votes
from kithkin.models.propagation.propagation import Propagation
from kithkin.models.propagation.seeds import are_rows, seed_rows
from kithkin.models.table.expression import projected

log = logging.getLogger("kithkin")


@dataclass(frozen=True)
class Seeds:
    """Seeds of one or several sets.

    Attributes
    ----------
    read
        Function that returns n x s booleans or numbers.
    classes
        Labels that the columns stand for; None for sets that are no labels.
    single
        True for one set.
    parameters
        Parameters of the step that identify the seeds.
    inputs
        Keys that are read.
    held_out
        Function that holds labels out of a propagation with the settings of a model, over a graph, with a seed, and
        returns the scores of those rows and their codes; None for sets that are no labels.
    """

    read: Callable[[], Array]
    classes: list[str] | None = None
    single: bool = False
    parameters: dict[str, Any] = field(default_factory=dict)
    inputs: tuple[str, ...] = ()
    held_out: Callable[[Propagation, Any, int], tuple[Array, Array]] | None = None


def seeds_of(ds: Dataset, seeds: Any) -> Seeds:
    """Resolve seeds as `kithkin.propagate` takes them.

    Raises
    ------
    ParameterError
        If there is no seed, a name or column is unknown, or the length is wrong.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> seeds_of(ds, "n_counts > 0").read().ravel().tolist(), seeds_of(ds, ["1"]).read().ravel().tolist()
    ([True, True, True], [False, True, False])
    """
    if isinstance(seeds, str):
        return _from_text(ds, seeds)
    if isinstance(seeds, (list, tuple, set, frozenset, pd.Index)) and all(isinstance(seed, str) for seed in seeds):
        listed = list(seeds)
        if set(listed) <= set(ds.obs_names) or len(listed) != ds.n_obs:
            return _from_names(ds, listed)
        seeds = pd.Series(listed, index=ds.obs_names)
    seeds = align(seeds, ds.obs_names, "seeds")
    seeds = seeds.toarray() if hasattr(seeds, "toarray") else seeds
    if isinstance(seeds, (pd.Series, pd.Categorical)) or np.asarray(seeds).dtype.kind in "OUT":
        check(np.ndim(seeds) == 1, "seeds must be one column of labels, or numbers")
        return _from_column(ds, pd.Series(np.asarray(seeds) if isinstance(seeds, list) else seeds), {}, ())
    table = np.asarray(seeds)
    if are_rows(table, ds.n_obs):
        table = seed_rows(table, ds.n_obs)
    parameters = {"seeds": f"array {table.shape} {digest(table)}"}
    return Seeds(lambda: table[:, None] if table.ndim == 1 else table, None, table.ndim == 1, parameters)


def _from_text(ds: Dataset, text: str) -> Seeds:
    """Read a key, the name of an observation or a column, or a query."""
    if text.startswith(tuple(f"{place}/" for place in PLACES)):
        key, value = Key.parse(text, option="seeds"), ds.read(text)
        if key.place == "obs":
            return _from_column(ds, value, {"seeds": text}, (text,))
        check(key.place == "obsm", f"seeds must lie in obs or obsm, got {text!r}")
        return Seeds(lambda: np.asarray(value), None, False, {"seeds": text}, (text,))
    if text in set(ds.obs_names):
        return _from_names(ds, [text])
    column = str(Key.parse(text, "obs", option="seeds"))
    if column in ds:
        return _from_text(ds, column)
    try:
        obs, inputs = with_named(ds, ds.obs, text)
        mask = select(obs, text)
    except ParameterError as error:
        raise ParameterError(str(error).replace("query", "seeds", 1)) from error
    check(bool(mask.any()), f"seeds: no observation of {ds.name} meets {text!r}")
    return Seeds(lambda: mask[:, None], None, True, {"seeds": text}, tuple(inputs))


def _from_names(ds: Dataset, names: list[str]) -> Seeds:
    check(bool(names), "seeds must name at least one observation, got none")
    mask = np.zeros(ds.n_obs, bool)
    mask[ds.positions(names, "obs", "seeds")] = True
    return Seeds(lambda: mask[:, None], None, True, {"seeds": f"{mask.sum()} names {digest(mask)}"})


def _from_column(ds: Dataset, column: pd.Series[Any], parameters: dict[str, Any], inputs: tuple[str, ...]) -> Seeds:
    """Take booleans and numbers as one set, anything else as labels."""
    check(len(column) == ds.n_obs, f"seeds must have {ds.n_obs} values, one for each observation, got {len(column)}")
    boolean = pd.api.types.is_bool_dtype(column.dtype)
    if boolean or (pd.api.types.is_numeric_dtype(column.dtype) and not column.isna().any()):
        table = column.to_numpy(bool if boolean else np.float64)
        return Seeds(lambda: table[:, None], None, True, parameters or {"seeds": f"column {digest(table)}"}, inputs)
    codes, classes = encode(column)
    check(bool(classes), "seeds must have at least one label, but all are missing")
    parameters = parameters or {"seeds": f"labels {digest([classes, digest(codes)])}"}
    held_out = partial(_held_out, codes=codes, execution=ds.execution) if len(classes) > 1 else None
    return Seeds(lambda: codes[:, None] == np.arange(len(classes)), classes, False, parameters, inputs, held_out)


def _held_out(model: Propagation, graph: Any, seed: int, codes: Array, execution: Execution) -> tuple[Array, Array]:
    return held_out_labels(model, graph, codes, seed, execution)


def encode(column: pd.Series[Any]) -> tuple[Array, list[str]]:
    """Turn labels into codes, -1 where they are missing, and the list of the labels.

    Examples
    --------
    >>> [list(part) for part in encode(pd.Series(["b", None, "a"]))]
    [[np.int64(1), np.int64(-1), np.int64(0)], ['a', 'b']]
    """
    labels = column.astype("category").cat.remove_unused_categories()
    codes: Array = labels.cat.codes.to_numpy().astype(np.int64)
    return codes, [str(name) for name in labels.cat.categories]


def seeds_from(ds: Dataset, reference: str | Dataset, column: Any, n_neighbors: int, seed: int) -> Seeds:
    """Count votes for the labels of a reference, by its nearest observations in its principal components.

    Both datasets are normalised over the genes that they share and projected on the reference's loadings of these.

    Raises
    ------
    MissingResultError
        If the reference has no such column or no principal components.
    ParameterError
        If the components cannot be made from other counts, or hardly any gene is shared.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=tempfile.mkdtemp() + "/a.zarr")
    >>> _ = kk.pca(ds, 5)
    >>> votes = seeds_from(ds, ds, "obs/group", n_neighbors=3, seed=0)
    >>> votes.classes, votes.read().shape
    (['0', '1'], (100, 2))
    """
    check(isinstance(column, str), "seeds must be a column of the reference, such as 'obs/celltype'")
    other = open_dataset(reference) if isinstance(reference, str) else reference
    key = str(Key.parse(column, "obs", option="seeds"))
    other.need(key, "varm/PCs", "uns/pca")
    params = dict(other.read("uns/pca")["params"])
    plain = params.get("method") in ("covariance", "truncated") and not params.get("scale", False)
    check(plain, f"reference: the components of {other.name} must be made by kithkin.pca without scale or 'lsi'")
    codes, classes = encode(other.read(key))
    inputs = [key, "varm/PCs", "uns/pca"]
    identities = [other.lineage.identity(name) for name in inputs]
    target = params["target_sum"] if params.get("normalize") == "log1p" else None
    own, theirs, loadings = _shared_genes(ds, other)

    @cache
    def base() -> Array:
        return projected(other.blocks(str(params.get("on", "X"))), theirs, loadings, target, other.execution)

    def table() -> Array:
        rows = projected(ds.blocks("X"), own, loadings, target, ds.execution)
        return Votes(n_neighbors, seed=seed).fit(base(), codes, rows, ds.execution).votes_

    def held_out(model: Propagation, graph: Any, seed: int) -> tuple[Array, Array]:  # noqa: ARG001
        return held_out_votes(model, base(), codes, ds.n_obs, n_neighbors, seed, ds.execution)

    parameters = {"seeds": key, "reference": other.name, "from": digest(identities), "n_neighbors": n_neighbors}
    trial = held_out if len(classes) > 1 else None
    return Seeds(table, classes, False, parameters | {"seed": seed}, ("X",), trial)


def _shared_genes(ds: Dataset, other: Dataset) -> tuple[Array, Array, Array]:
    """Find the genes of the reference's components that both datasets have: positions in each, and their loadings."""
    loadings = np.asarray(other.read("varm/PCs"))
    used = np.flatnonzero(loadings.any(axis=1))
    by_name = [(ds.var_names, other.var_names), (ds.var_labels, other.var_labels)]
    matches = [mine.get_indexer(theirs[used]) if mine.is_unique else np.full(len(used), -1) for mine, theirs in by_name]
    own = max(matches, key=lambda positions: int((positions >= 0).sum()))
    shared = own >= 0
    count, k = int(shared.sum()), loadings.shape[1]
    message = f"{ds.name} and {other.name} share {count} of the {len(used)} genes of the components"
    check(count >= max(2, k // 2), message)
    if count < len(used):
        log.warning("%s of %s genes of the reference's components are in %s", f"{count:,}", f"{len(used):,}", ds.name)
    return own[shared], used[shared], loadings[used[shared]]
