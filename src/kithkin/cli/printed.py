"""Text for a terminal: results as lines, paths and messages as they would be typed."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

WIDTH = 100  # characters of a line
PYTHON_ONLY = re.compile(r"(?:^|(?<=[.:])\s+|(?<=\n))In Python\b.*?\.(?=\s|$)", re.DOTALL)  # a sentence of a docstring
# positional parameters, which have no option -> their names in the help
ARGUMENTS = {"ds": "DATASET", "source": "INPUT", "target": "TARGET", "card": "CARD"}
ARGUMENTS |= {"image": "IMAGE", "mask": "MASK", "cells": "CELLS"}
TABLE_ROWS, FULL_TABLE = 10, 30  # rows shown of a long table; the longest that is shown whole


def lines_of(result: Any) -> list[str]:
    """Print a result in a few lines: sizes of tables and arrays, not their values.

    Examples
    --------
    >>> import numpy as np
    >>> lines_of(np.zeros((3, 2)))
    ['3 x 2 float64']
    """
    if result is None:
        return []
    if isinstance(result, (list, tuple)):
        return [line for item in result for line in lines_of(item)] or ["nothing"]
    if isinstance(result, dict):
        return [f"{key}: {' '.join(lines_of(value))}" for key, value in result.items()]
    if hasattr(result, "to_string"):  # a table or a column
        return table_lines(result)
    if hasattr(result, "shape") and hasattr(result, "dtype") and result.shape:
        stored = f", {result.nnz:,} values stored" if hasattr(result, "nnz") else ""
        return [f"{' x '.join(f'{length:,}' for length in result.shape)} {result.dtype}{stored}"]
    return str(result).splitlines()


def table_lines(table: Any) -> list[str]:
    """List the head of a table or of its groups, the sizes of the clusters of a partition, or the spread of numbers."""
    if table.ndim == 2:
        head = table
        if len(table) > FULL_TABLE:
            grouped = "group" in table.columns
            head = table.groupby("group", observed=True, sort=False).head(3) if grouped else table.head(TABLE_ROWS)
        more = [f"... {len(table):,} rows"] if len(table) > len(head) else []
        return [*head.to_string(index=head.index.dtype.kind != "i").splitlines(), *more]
    if table.dtype.kind in "iuf":
        return [f"{table.name}: median {table.median():.4g}, from {table.min():.4g} to {table.max():.4g}"]
    sizes = table.value_counts()
    listed = [f"{label}: {size:,}" for label, size in sizes.head(3 * TABLE_ROWS).items()]
    return [f"{table.name}: {len(sizes)} groups of {len(table):,}", *(f"  {line}" for line in listed)]


def sums_lines(bulk: Any) -> list[str]:
    r"""List the samples of a pseudobulk, and the size of the table of their sums.

    Examples
    --------
    >>> import anndata, numpy as np, pandas as pd
    >>> obs = pd.DataFrame({"sample": ["a", "b"], "n_cells": [20, 30]}, index=["a", "b"])
    >>> print("\n".join(sums_lines(anndata.AnnData(np.ones((2, 1500), int), obs))))
      sample  n_cells
    a      a       20
    b      b       30
    sums: 2 x 1,500 int64
    """
    return [*table_lines(bulk.obs), f"sums: {' '.join(lines_of(bulk.X))}"]


def history_lines(table: Any) -> list[str]:
    r"""A step to a few lines, since its results and parameters are wider than a terminal.

    Examples
    --------
    >>> import pandas as pd
    >>> step = {"step": "pca", "state": "stale", "seconds": 2.2, "finished": "2026-01-31T12:00:00"}
    >>> print("\n".join(history_lines(pd.DataFrame([step | {"results": "obsm/X_pca", "parameters": "seed=0"}]))))
    pca              stale         2.2 s   2026-01-31T12:00:00
        makes  obsm/X_pca
        with   seed=0
    """
    lines = []
    for step in table.itertuples():
        lines.append(f"{step.step:<16} {step.state:<9} {step.seconds:7.1f} s   {step.finished}")
        for what, text in (("makes", step.results), ("with", step.parameters)):
            indent = " " * 11
            lines += (
                textwrap.wrap(str(text), WIDTH, initial_indent=f"    {what:<7}", subsequent_indent=indent)
                if text
                else []
            )
    return lines or ["nothing was done yet"]


def shown(path: Path | str) -> str:
    """Write a path as one would type it in this folder, and an address as it is.

    Examples
    --------
    >>> shown(Path.cwd() / "pbmc.zarr"), shown(Path("/data/pbmc.zarr")), shown("s3://lab/pbmc.zarr")
    ('pbmc.zarr', '/data/pbmc.zarr', 's3://lab/pbmc.zarr')
    """
    if isinstance(path, str):
        return path
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)


def as_help(text: str, flags: Mapping[str, str] | None = None) -> str:
    """Put the text of a docstring in the words of the command line: commands, and options for parameters.

    Sentences that begin with "In Python" are left out.

    Examples
    --------
    >>> as_help("Names of cells. In Python also n booleans. All by default.")
    'Names of cells. All by default.'
    >>> as_help("`kithkin.graph_score` reads what `on` names.", {"on": "--on"})
    'kithkin graph-score reads what --on names.'
    """
    text = PYTHON_ONLY.sub("", text)
    text = re.sub(r"`?\bkithkin\.([a-z_]+)\b(?!\.\w)`?", lambda name: f"kithkin {_dashed(name[1])}", text)
    return re.sub(r"`([^`]*)`", lambda quoted: (flags or {}).get(quoted[1], quoted[1]), text)


def as_typed(message: str) -> str:
    """Put a message of the library in the words of the command line.

    Examples
    --------
    >>> as_typed("Run kithkin.umap(ds) first, or use overwrite=True.")
    'Run kithkin umap DATASET first, or use --overwrite.'
    >>> as_typed("list candidates with kithkin.markers(ds, by='obs/condition')")
    'list candidates with kithkin markers DATASET --by obs/condition'
    >>> as_typed("Run kithkin.read_image(image, mask, to=...) first.")
    'Run kithkin read-image IMAGE MASK --to DATASET first.'
    """

    def command(call: re.Match[str]) -> str:
        """Write a call with its inputs, destination, and settings that are texts; others are left out."""
        given, words = call[2].split(", "), ["kithkin", _dashed(call[1])]
        named = [name for name in given if name.isidentifier()]
        words += [ARGUMENTS.get(name, f"--{_dashed(name)} {name.upper()}") for name in named]
        words += [f"--{_dashed(name)} {value}" for name, value in re.findall(r"\b(\w+)='([^'\s]*)'", call[2])]
        return " ".join([*words, *(["--to DATASET"] if "to=..." in given else [])])

    message = re.sub(r"\bkithkin\.([a-z_]+)\(((?:ds|image|source)\b[^)]*)\)", command, message)
    message = re.sub(r"\b(overwrite|raw|transpose)=True", r"--\1", message)
    message = re.sub(
        r"\b(?:window_size|mask_plane|pixel_size|(?:id|x|y|image)_column)\b",
        lambda name: f"--{_dashed(name[0])}",
        message,
    )
    message = re.sub(r"\b(z|t|position)(?==1\.\.)", r"--\1", message)
    message = re.sub(r"\b(cells|genes)=(\"[^\"]*\")", r"--\1 \2", message)
    listed = "genome|layer|kind|method|missing|scale|columns|ignore|id|batch|flavor|on|join|match"
    return re.sub(rf"\b({listed})='([^']*)'", r"--\1 \2", message)


def with_flags(message: str, flags: Mapping[str, str]) -> str:
    """Write the parameters that a message speaks of as options.

    Examples
    --------
    >>> with_flags("max_iter must be at least 1; n_clusters has no effect", {"max_iter": "--max-iter"})
    '--max-iter must be at least 1; n_clusters has no effect'
    >>> with_flags("a.zarr cannot be written to: /data is read-only", {"to": "--to"})
    'a.zarr cannot be written to: /data is read-only'
    """
    about = r"(?=:| must\b| has no effect| have no effect| needs?\b| cannot\b)"
    return re.sub(rf"(?<![\w./'`-])(?<!written )(\w+){about}", lambda name: flags.get(name[1], name[1]), message)


def _dashed(name: str) -> str:
    return "convert" if name == "read" else name.replace("_", "-")
