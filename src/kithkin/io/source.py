"""Opened inputs, which every reader hands to the import."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from kithkin.core.blocks import Block
from kithkin.core.execute import Execution

BlockStream: TypeAlias = Callable[[Execution], Iterator[Block]]
RowRanges: TypeAlias = Callable[[Execution], Any]  # FileRows or None


@dataclass(frozen=True)
class Deferred:
    """An element that is read when its turn comes."""

    read: Callable[[], Any]  # gives its value


@dataclass
class Source:
    """An input whose header has been checked and whose tables can be streamed."""

    name: str  # as messages show it, such as "matrix.mtx.gz"
    n_columns: int  # columns (genes) of X
    # key ("X", "layers/spliced") to a function that streams the row blocks in order, within execution.memory; sparse
    # rows are sorted, without duplicates and without stored zeros, values are exact
    tables: dict[str, BlockStream]
    obs: pd.DataFrame  # one row per row of X, indexed by name; valid once the stream of X has ended
    var: pd.DataFrame  # one row per column of X, likewise
    # other keys ("obsm/protein", "uns/batch") to values that anndata can store, or to a `Deferred` one; valid once the
    # stream of X has ended
    elements: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)  # messages for the user, one sentence each
    total: float | None = None  # sum of X if the file itself promises one, to check after the import
    stored: int | None = None  # number of stored values of X if the file promises one
    close: Callable[[], None] = lambda: None  # releases the file
    # the format holds counts as a rule, as 10x, Matrix Market and AnnData do; a plain table may hold anything
    of_counts: bool = True
    narrow: bool = False  # store fractions in float32, as they were written as text
    kind: Mapping[str, str] | None = None  # kind of X and the reason for it, where an earlier import has stored them
    # folder for the temporary files of a transposition, set by the import; None: the system's temporary folder
    scratch: Path | None = None
    is_joined: bool = False  # whether it is made of several samples, one below the other
    # several samples: whether values of a column that a sample lacks are 0 in a dense table too, not missing
    zeros: bool = False
    # several samples: called after all rows of X of one were streamed, with what is to be kept of it beside X; and what
    # was kept of the first ones, whose rows need not be streamed again. Both are set by the import
    after_sample: Callable[[Mapping[str, Any]], None] | None = None
    kept_samples: Sequence[Mapping[str, Any]] = ()
    # key of a table to a function that gives the same blocks, for other processes to read, or None; only of tables that
    # can be read by ranges of rows
    ranges: dict[str, RowRanges] = field(default_factory=dict)
