"""Completion of keys such as obs/leiden with the Tab key, from the dataset that the line names."""

from __future__ import annotations

import json
from pathlib import Path

import click
from click.shell_completion import CompletionItem

# options that take a key of the dataset
KEYS = {"on", "by", "key", "graph", "order", "values", "init", "size", "genes", "features", "labels", "region", "masks"}
KEYS |= {"batch", "categories", "columns", "column", "what", "seeds"}
TABLES, FOLDERS = ("obs", "var"), ("layers", "obsm", "varm", "obsp", "varp", "uns")


def keys_on_disk(path: Path) -> list[str]:
    """List the keys of a dataset from the names of its files and the headers of obs and var; none of anything else.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds["obs/donor"] = ["x", "y", "x"]
    >>> "obs/donor" in keys_on_disk(ds.path), keys_on_disk(ds.path / "nowhere")
    (True, [])
    """
    found: list[str] = []
    for place in TABLES:
        try:
            columns = json.loads((path / place / "zarr.json").read_text())["attributes"]["column-order"]
        except (OSError, ValueError, KeyError, TypeError):  # no dataset, or one that is being written
            continue
        found += [f"{place}/{column}" for column in columns]
    for place in FOLDERS:
        found += sorted(f"{place}/{header.parent.name}" for header in (path / place).glob("*/zarr.json"))
    return ["X", *found] if found else []


def complete_keys(ctx: click.Context, incomplete: str) -> list[CompletionItem]:
    """Complete a key from the dataset that the line names before it; a name without its place finds its key too."""
    # an option without its value keeps click from reading the arguments before it
    path = ctx.params.get("ds") or next(iter(ctx.args), None)
    keys = [key for key in keys_on_disk(Path(str(path))) if key != "uns/kithkin"] if path else []
    begun = [key for key in keys if key.startswith(incomplete)]
    named = [key for key in keys if key.partition("/")[2].startswith(incomplete)]
    return [CompletionItem(key) for key in begun or named]
