"""Opened inputs, which every reader hands to the import."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from kithkin.core.blocks import Block
from kithkin.core.execute import Execution

BlockStream: TypeAlias = Callable[[Execution], Iterator[Block]]


@dataclass(frozen=True)
class Deferred:
    """An element that is read when its turn comes.

    Attributes
    ----------
    read
        Function without arguments that gives its value.
    """

    read: Callable[[], Any]


@dataclass
class Source:
    """An input whose header has been checked and whose tables can be streamed.

    Attributes
    ----------
    name
        File name as messages show it, such as "matrix.mtx.gz".
    n_columns
        Columns (genes) of X.
    tables
        Key ("X", "layers/spliced") to a function that streams the row blocks in order, within execution.memory.
        Sparse rows are sorted, without duplicates and without stored zeros; values are exact.
    obs
        One row per row of X, indexed by name. Valid once the stream of X has ended.
    var
        One row per column of X, indexed by name. Valid once the stream of X has ended.
    elements
        Other keys ("obsm/protein", "uns/batch") to values that anndata can store, or to a `Deferred` one. Valid once
        the stream of X has ended.
    notes
        Messages for the user, one sentence each.
    total
        Sum of X if the file itself promises one, to check after the import.
    stored
        Number of stored values of X if the file promises one.
    close
        Function that releases the file.
    scratch
        Folder for the temporary files of a transposition, set by the import; None: the system's temporary folder.

    Examples
    --------
    >>> import numpy as np
    >>> names = pd.DataFrame(index=["a", "b"])
    >>> source = Source("eye.npz", 2, {"X": lambda execution: iter([np.eye(2)])}, names, names)
    >>> next(source.tables["X"](Execution())).shape
    (2, 2)
    """

    name: str
    n_columns: int
    tables: dict[str, BlockStream]
    obs: pd.DataFrame
    var: pd.DataFrame
    elements: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    total: float | None = None
    stored: int | None = None
    close: Callable[[], None] = lambda: None
    scratch: Path | None = None
