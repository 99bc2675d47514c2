"""Tables and their normalisation that a verb is asked for, held against what is there."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np

from kithkin.core.blocks import SparseRows
from kithkin.core.dataset import Dataset
from kithkin.core.errors import check
from kithkin.core.keys import Key
from kithkin.models.table.normalize import is_log_normalized

log = logging.getLogger("kithkin")
FIRST_ROWS = 1024  # of a table by which measurements are told from counts
OTHER = "name a layer of counts with on='layers/counts'"


def check_table(on: str, *, obsm: bool = False) -> None:
    """Raise ParameterError unless a key is that of a table of all variables, X or a layer, or of one in `obsm`."""
    place = Key.parse(on, option="on").place
    others = " or a table in obsm" if obsm else ""
    check(place in ("X", "layers") or (obsm and place == "obsm"), f"on must be X or a layer{others}, got {on!r}")


def resolve_normalize(ds: Dataset, on: str, normalize: str | None) -> Any:
    """Return the normalisation to carry out: none, with a warning, where values are log-normalised already.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> counts = np.random.default_rng(0).poisson(2.0, (30, 40))
    >>> ds = kk.read(np.log1p(counts / counts.sum(axis=1, keepdims=True)), to=tempfile.mkdtemp() + "/a.zarr")
    >>> resolve_normalize(ds, "X", "log1p") is None, resolve_normalize(ds, "X", "unit")
    (True, 'unit')
    """
    if normalize == "log1p" and is_log_normalized(ds.blocks(on)):
        log.warning("%s of %s is log-normalised already: its values are taken as they are", on, ds.name)
        return None
    return normalize


def holds_values(ds: Dataset, on: str, normalize: str | None) -> bool:
    """Tell whether a table holds values in units of their own, and neither counts nor logarithms of counts.

    X is what its import says, see `Dataset.kind`. Of other tables negative, missing and broken numbers say so, and that
    no normalisation is asked for.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.array([[0.5, -1.0], [2.0, 1.5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> holds_values(ds, "X", "log1p")
    True
    """
    blocks = ds.blocks(on)
    if on == "X" and ds.kind == "counts":
        measured = normalize is None
    elif normalize is None or (on == "X" and (ds.stores_kind or ds.kind == "images")):
        measured = True
    else:
        first = blocks.read(0, min(FIRST_ROWS, blocks.shape[0]))
        numbers = first.data if isinstance(first, SparseRows) else first
        broken = not blocks.is_sparse and bool(np.any(numbers != np.floor(numbers)))
        measured = broken or bool(np.any(~(numbers >= 0)))
    return measured and not is_log_normalized(blocks)


def holds_counts(ds: Dataset, on: str) -> bool:
    """Tell whether a table of all variables holds counts, as far as its kind and its first rows tell.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.array([[5, 1], [2, 0]]), to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> ds["obsm/X_half"] = np.array([[0.5, -1.0], [2.0, 1.5]])
    >>> holds_counts(ds, "X"), holds_counts(ds, "obsm/X_half")
    (True, False)
    """
    place = Key.parse(on, option="on").place
    return place != "obsm" and not is_log_normalized(ds.blocks(on)) and not holds_values(ds, on, "log1p")


def check_counts(ds: Dataset, on: str, verb: str, instead: str = OTHER) -> None:
    """Refuse a table that does not hold counts, as far as its kind and its first rows tell.

    Raises
    ------
    ParameterError
        Naming the verb that needs counts, and what is there.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.array([[0.5, -1.0], [2.0, 1.5]]), to=tempfile.mkdtemp() + "/a.zarr")
    >>> check_counts(ds, "X", "contrast")  # doctest: +NORMALIZE_WHITESPACE
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: contrast needs counts, and X of a.zarr holds negative values in 2 columns:
    name a layer of counts with on='layers/counts'
    """
    logarithms = is_log_normalized(ds.blocks(on))
    if holds_counts(ds, on):
        return
    held = "logarithms of counts" if logarithms else "numbers that are not integers, or are negative"
    if on == "X" and ds.stores_kind and ds.kind != "counts":
        held = ds.kind_and_reason[1]
    check(False, f"{verb} needs counts, and {on} of {ds.name} holds {held}: {instead}")
