"""Samples as one source: rows below each other, in the columns of the whole."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import anndata as ad
import numpy as np
import pandas as pd
from scipy import sparse

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.errors import FormatError, KithkinError, ParameterError
from kithkin.core.execute import Execution
from kithkin.core.layout import index_dtype
from kithkin.io.source import Deferred, Source
from kithkin.io.streams.annotation import plain_frame, texts, unique_names
from kithkin.io.streams.columns import NAME, clash_notes, column_notes, joined_axis, matched_names, strangers
from kithkin.io.streams.dense import sparse_rows
from kithkin.io.streams.totals import Totals, check_promise


@dataclass(frozen=True)
class Above:
    """Rows of a dataset, below which samples are joined: they are not read, and stay as they are."""

    source: Source  # its name, width and var; of tables and elements the keys count
    names: pd.Index[str]  # of the rows
    is_sparse: bool
    is_whole: bool  # whether all values of X are integers
    is_suffixed: bool  # whether the sample stands behind the names of its rows


@dataclass
class Sample:
    """Source with its place in the whole."""

    name: str
    source: Source
    columns: Array  # for each of its columns the column of the whole, or -1 where that is left out
    is_whole: bool = True  # whether all values of X that were streamed are integers

    def blocks(
        self, key: str, width: int, execution: Execution, is_sparse: bool | None, zeros: bool
    ) -> Iterator[Block]:
        """Stream a table in the columns of the whole, as sparse rows or arrays; None: as the first block is.

        Columns that the sample lacks are 0 in sparse rows, and 0 (`zeros`) or missing in arrays.
        """
        n_columns, n_rows, totals = self.source.n_columns, 0, Totals()
        ordered = bool((np.diff(self.columns[self.columns >= 0]) > 0).all())
        same = n_columns == width and ordered and not (self.columns < 0).any()
        promised = key == "X" and (self.source.stored is not None or self.source.total is not None)
        with named_errors(self.name):
            for block in self.source.tables[key](execution):
                if block.shape[1] != n_columns:
                    raise FormatError(f"{self.source.name}: {key} has {block.shape[1]} columns, not {n_columns}")
                n_rows += block.shape[0]
                if key == "X":
                    self.is_whole &= block.dtype.kind != "f"
                if promised:
                    totals.add(block)
                is_sparse = isinstance(block, SparseRows) if is_sparse is None else is_sparse
                if is_sparse and isinstance(block, np.ndarray) and block.dtype.kind == "f" and np.isnan(block).any():
                    raise FormatError(
                        f"{self.source.name}: values of {key} are missing, but the samples before it are sparse, where "
                        "none can be: give this sample first, or fill them in"
                    )
                block = like(block, is_sparse)  # noqa: PLW2901
                yield block if same else placed(block, self.columns, width, ordered, 0 if zeros else np.nan)
            if n_rows != len(self.source.obs):
                raise FormatError(f"{self.source.name}: {key} has {n_rows} rows, but {len(self.source.obs)} are named")
            if promised:
                source = self.source
                source.notes += check_promise(totals, source.name, source.stored, source.total)

    def keep(self, is_sparse: bool) -> dict[str, Any]:
        """Return what is needed of the sample once its rows were streamed, in a form that AnnData can store."""
        elements = {key: value for key, value in self.source.elements.items() if key.startswith("obsm/")}
        about = {"is_whole": self.is_whole, "is_sparse": is_sparse, "notes": self.source.notes}
        read = {key: value for key, value in elements.items() if not isinstance(value, Deferred)}
        return {
            "obs": plain_frame(self.source.obs),
            "obsm": {key.partition("/")[2]: value for key, value in read.items()},
            "about": json.dumps(about),
        }

    def take_back(self, kept: Mapping[str, Any]) -> bool:
        """Take what `keep` returned, in place of streaming the rows; tell whether they were sparse."""
        about = json.loads(str(kept["about"]))
        self.is_whole, self.source.notes = about["is_whole"], about["notes"]
        self.source.obs = kept["obs"]
        self.source.elements |= {f"obsm/{name}": value for name, value in kept["obsm"].items()}
        return bool(about["is_sparse"])


def join_sources(
    sources: Mapping[str, Source],
    *,
    join: str = "outer",
    match: str = "auto",
    label: str = "sample",
    columns: pd.DataFrame | None = None,
    above: Above | None = None,
) -> Source:
    """Join opened sources, one below the other, into one source.

    Rows and columns are those of `anndata.concat`: names of rows that occur in several samples get the name of their
    sample behind them, and a value that a sample does not have is 0 in a sparse table and missing in a dense one. Of
    genes it is 0 in both.

    Parameters
    ----------
    sources
        Opened sources by the names of their samples.
    join
        "outer": columns of any sample; "inner": those of every sample; of obs likewise.
    match
        Equal are columns with the same names ("names"), identifiers ("ids") or symbols ("symbols"); "auto" takes
        identifiers where all samples have them, else names.
    label
        Column of obs for the name of the sample.
    columns
        Further columns of obs: a row for each sample.
    above
        Dataset that receives the rows: its columns come first, and its names stay.

    Raises
    ------
    FormatError
        If the names of columns are known only at the end of a source, no column is in every sample, or the columns of
        the dataset above would have to change.
    ParameterError
        If a sample has no identifiers or symbols, where they are asked for.

    Examples
    --------
    >>> def source(name, genes):
    ...     var, obs = pd.DataFrame(index=genes), pd.DataFrame(index=["cell"])
    ...     return Source(name, len(genes), {"X": lambda _: iter([np.ones((1, len(genes)), np.uint8)])}, obs, var)
    >>> both = join_sources({"s1": source("a.csv", ["A", "B"]), "s2": source("b.csv", ["B", "C"])}, join="inner")
    >>> [block.tolist() for block in both.tables["X"](Execution())], both.obs.index.tolist()
    ([[[1]], [[1]]], ['cell-s1', 'cell-s2'])
    """
    # Long: the whole is a source like any other, whose parts are made here side by side
    every = dict(sources) if above is None else {above.source.name: above.source, **sources}
    frames, by_names = matched_names(every, match, first_stays=above is not None)
    var = joined_axis(frames, join, first_stays=above is not None)
    if not len(var):
        raise FormatError("no column is in every sample: their names differ, so try join='outer' or match='symbols'")
    numbers = {name: var.index.get_indexer(frame.index).astype(np.int64) for name, frame in frames.items()}
    if above is not None:
        check_columns(above, numbers, var.index)
    samples = [Sample(name, source, numbers[name]) for name, source in sources.items()]
    notes = strangers(numbers, frames, len(var))
    notes += [f"{name}: {note}" for name, source in sources.items() for note in source.notes]
    of_counts = all(one.of_counts for one in every.values())
    notes += column_notes(numbers, len(var), join, "genes" if of_counts else "columns")
    for source in sources.values():
        source.notes = []
    if NAME in var:
        notes += clash_notes(frames, by_names)
        var = var.set_axis(unique_names(pd.Index(texts(var[NAME].to_numpy(object)), dtype=object))).drop(columns=NAME)
    if columns is not None and label in columns:
        raise ParameterError(f"sample must be another column than {label}, which the sheet of samples has")
    kinds = {source.kind["name"] for source in every.values() if source.kind is not None}
    if len(kinds) > 1:
        told = ", ".join(f"{name} {source.kind['name']}" for name, source in every.items() if source.kind)
        raise FormatError(f"samples hold different things: {told}")
    whole = Source(
        samples[0].source.name if above is not None and len(samples) == 1 else f"the table of {len(samples)} samples",
        len(var),
        {},
        pd.DataFrame(index=np.zeros(sum(len(one.source.obs) for one in samples))),
        var,
        notes=notes,
        of_counts=of_counts,
        narrow=all(one.source.narrow for one in samples),
        kind=samples[0].source.kind if all(one.source.kind for one in samples) else None,
        is_joined=True,
    )

    def stream(execution: Execution) -> Iterator[Block]:
        is_sparse = None if above is None else above.is_sparse
        for number, one in enumerate(samples):
            if number < len(whole.kept_samples):
                is_sparse = one.take_back(whole.kept_samples[number])
                continue
            one.source.scratch, one.is_whole = whole.scratch, True
            for block in one.blocks("X", len(var), execution, is_sparse, whole.zeros):
                is_sparse = isinstance(block, SparseRows)
                yield block
            if whole.of_counts:
                whole_numbers = {} if above is None else {above.source.name: above.is_whole}
                check_kinds(whole_numbers | {one.name: one.is_whole for one in samples[: number + 1]})
            if whole.after_sample is not None:
                whole.after_sample(one.keep(bool(is_sparse)))
        finish_rows(whole, samples, join, label, columns, above)

    whole.tables["X"] = stream
    layers = {name: [key for key in one.tables if key.startswith("layers/")] for name, one in every.items()}
    for key in next(iter(layers.values())):
        if all(key in others for others in layers.values()):
            whole.tables[key] = partial(stream_layer, whole, samples, key)
    left = {f"{key} of {name}" for name in sources for key in layers[name]}
    left -= {f"{key} of {one.name}" for one in samples for key in whole.tables}
    whole.notes += [f"{key} was left out: not every sample has it" for key in sorted(left)]

    def close() -> None:
        for one in samples:
            one.source.close()

    whole.close = close
    return whole


@contextmanager
def named_errors(name: str) -> Iterator[None]:
    """Put the name of the sample before what is wrong with it."""
    try:
        yield
    except KithkinError as error:
        error.args = (f"sample {name}: {error}",)
        raise


def placed(block: Block, columns: Array, width: int, ordered: bool, fill: float) -> Block:
    """Put the columns of a block where they are in the whole; the others of an array get the value `fill`.

    Examples
    --------
    >>> placed(np.array([[1, 2]]), np.array([2, -1]), 3, True, np.nan).tolist()
    [[nan, nan, 1.0]]
    >>> rows = SparseRows(np.array([1, 2]), np.array([0, 1]), np.array([0, 2]), 2)
    >>> placed(rows, np.array([2, 0]), 3, False, 0).to_dense().tolist()
    [[2, 0, 1]]
    """
    if not isinstance(block, SparseRows):
        kept = columns >= 0
        complete = int(kept.sum()) == width or fill == 0
        wide = np.float64 if block.dtype.itemsize > 2 else np.float32
        dtype = block.dtype if complete or block.dtype.kind == "f" else wide
        out: Array = np.full((len(block), width), 0 if complete else fill, dtype)
        out[:, columns[kept]] = block[:, kept]
        return out
    rows = block.renumbered(columns, width)
    if ordered:
        return rows
    # transposed twice: a counting sort, which takes half the time of sorting each row
    matrix = rows.to_scipy().tocsc().tocsr()
    return SparseRows(matrix.data, matrix.indices.astype(index_dtype(width)), matrix.indptr.astype(np.int64), width)


def like(block: Block, is_sparse: bool) -> Block:
    """Return a block as sparse rows or as an array."""
    if is_sparse and not isinstance(block, SparseRows):
        return sparse_rows(block)
    return block.to_dense() if isinstance(block, SparseRows) and not is_sparse else block


def stream_layer(whole: Source, samples: list[Sample], key: str, execution: Execution) -> Iterator[Block]:
    """Stream a layer of all samples."""
    is_sparse: bool | None = None
    for one in samples:
        for block in one.blocks(key, whole.n_columns, execution, is_sparse, whole.zeros):
            is_sparse = isinstance(block, SparseRows)
            yield block


def check_columns(above: Above, numbers: Mapping[str, Array], names: pd.Index[str]) -> None:
    """Refuse columns that the dataset above would lose, or cannot be given."""
    given, name = numbers[above.source.name], above.source.name
    lost = np.flatnonzero(given < 0)
    if len(lost):
        poorest = min(numbers, key=lambda one: len(numbers[one]))
        first = above.source.var.index[lost[0]]
        raise ParameterError(
            f"join='inner' would take {len(lost):,} columns from the rows of {name} that {poorest} lacks, such as "
            f"{first}: use join='outer', or make a new dataset of both with kithkin.read([...], join='inner', to=...)"
        )
    if len(names) > len(given) and not above.is_sparse:
        raise ParameterError(
            f"{name} is a dense table of {len(given):,} columns, and cannot be given {len(names) - len(given):,} more, "
            f"such as {names[len(given)]}: leave them out with join='inner'"
        )


def check_kinds(whole_numbers: Mapping[str, bool]) -> None:
    """Refuse counts beside values that are not integers, as no step could treat them alike."""
    real, counts = ([name for name, is_whole in whole_numbers.items() if is_whole is kind] for kind in (False, True))
    if real and counts:
        raise FormatError(
            f"sample {real[0]} holds values that are not integers, but {counts[0]} holds counts: take the counts of "
            "each, with layer= or raw=True where they are not X"
        )


def finish_rows(
    whole: Source, samples: list[Sample], join: str, label: str, columns: pd.DataFrame | None, above: Above | None
) -> None:
    """Join what is known once all rows were read: obs, notes, and tables in obsm."""
    tables = {one.name: plain_frame(one.source.obs) for one in samples}
    given = pd.Index(np.concatenate([table.index.to_numpy(object) for table in tables.values()]))
    twice = bool(given.duplicated().any())
    if above is not None:
        twice = twice or above.is_suffixed or bool(above.names.isin(given).any())
    moved = _set_aside(tables, label, columns)
    parts = {name: ad.AnnData(obs=table.set_axis(unique_names(table.index))) for name, table in tables.items()}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of names that occur in several samples
        obs: pd.DataFrame = ad.concat(parts, join=join, label=label, index_unique="-" if twice else None).obs
    while above is not None and (clash := above.names[above.names.isin(obs.index)]).size:
        again = obs.index.astype(str) + "-" + obs[label].astype(str)
        obs = obs.set_axis(obs.index.where(~obs.index.isin(clash), again))
    if twice and (above is None or not above.is_suffixed):
        things = "cells" if whole.of_counts else "rows"
        whole.notes.append(
            f"some {things} of different samples have the same name, so that the sample is added to all: {obs.index[0]}"
        )
    for name, values in {} if columns is None else columns.items():
        told = values.loc[obs[label].astype(str)].set_axis(obs.index)
        obs[str(name)] = told if pd.api.types.is_numeric_dtype(told.dtype) else told.astype("category")
    whole.obs = obs
    said = ("the sheet has a column of this name", "it now tells the sample")
    whole.notes += [
        f"obs/{old} of the samples is kept as obs/{new}, because {said[old == label]}"
        for old, new in moved.items()
        if new in obs
    ]
    whole.notes += [f"{one.name}: {note}" for one in samples for note in dict.fromkeys(one.source.notes)]
    present = [[key for key in one.source.elements if key.startswith("obsm/")] for one in samples]
    there = present if above is None else [[*above.source.elements], *present]
    everywhere = [key for key in present[0] if all(key in others for others in there)]
    for key in everywhere:
        whole.elements[key] = Deferred(partial(stack_elements, samples, key))
    lost = sorted({key for keys in present for key in keys} - set(everywhere))
    whole.notes += [f"{key} was left out: not every sample has it" for key in lost]


def _set_aside(tables: dict[str, pd.DataFrame], label: str, columns: pd.DataFrame | None) -> dict[str, str]:
    """Rename columns of obs in the place of names of samples or of what a sheet says, unless they say the same."""
    moved: dict[str, str] = {}
    for column in (label, *(() if columns is None else map(str, columns.columns))):
        told = {name: name if columns is None or column == label else columns.loc[name, column] for name in tables}
        having = {name: table for name, table in tables.items() if column in table}
        if all((table[column].astype(str) == str(told[name])).all() for name, table in having.items()):
            continue
        new = f"source_{column}"
        while any(new in table for table in tables.values()):
            new = f"source_{new}"
        moved[column] = new
        for name, table in having.items():
            tables[name] = table.rename(columns={column: new})
    return moved


def stack_elements(samples: list[Sample], key: str) -> Any:
    """Read an element of each sample and stack them."""
    values = [one.source.elements[key] for one in samples]
    values = [value.read() if isinstance(value, Deferred) else value for value in values]
    if all(isinstance(value, pd.DataFrame) for value in values):
        return pd.concat(values)
    values = [value.to_numpy() if isinstance(value, pd.DataFrame) else value for value in values]
    widths = {value.shape[1:] for value in values}
    if len(widths) > 1:
        raise FormatError(f"{key} has different columns in the samples")
    return sparse.vstack(values, format="csr") if any(map(sparse.issparse, values)) else np.concatenate(values)
