"""Steps that made a dataset, from the import on, each after those that made what it reads."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError
from kithkin.core.history import Entry

FROM_FILE = "file:"  # begins an input that is none of the dataset itself


class Taken(NamedTuple):
    """A step that was taken, the dataset in which, and the one that was filtered to that; None if there is none."""

    entry: Entry
    ds: Dataset
    parent: Dataset | None


def steps_taken(ds: Dataset, wanted: set[str] | None = None) -> list[Taken]:
    """List the steps that made a dataset, each after those that made what it reads.

    The steps of the dataset that was filtered, where it is still there, come first: those that made what the filter
    read or took along.

    Parameters
    ----------
    ds
        The dataset.
    wanted
        Keys whose steps are wanted, with all that they came from; all of them by default.
    """
    entries = ds.lineage.entries
    parent, out = parent_of(ds), list[Taken]()
    if parent is not None:
        made = next(entry for entry in entries if entry.verb == "subset")
        read = {key.removeprefix(FROM_FILE) for key in made.inputs} - {"parent"}
        out = steps_taken(parent, {"X", *read})
        entries = [one for one in entries if one.verb != "quality" or one.seconds]  # else it was measured on the way
    kept = entries if wanted is None else needed(entries, wanted)
    return [*out, *(Taken(entry, ds, parent) for entry in in_order(kept))]


def needed(entries: list[Entry], wanted: set[str]) -> list[Entry]:
    """Keep the entries that made what is wanted, and what these read.

    Examples
    --------
    >>> pca = Entry("pca", 1, {}, {"X": ""}, ["obsm/X_pca"], "", 0.0)
    >>> leiden = Entry("leiden", 1, {}, {"obsp/connectivities": ""}, ["obs/leiden"], "", 0.0)
    >>> neighbors = Entry("neighbors", 1, {}, {"obsm/X_pca": ""}, ["obsp/connectivities"], "", 0.0)
    >>> [one.verb for one in needed([pca, leiden, neighbors], {"obsp/connectivities"})]
    ['pca', 'neighbors']
    """
    keys, kept = set(wanted), set[int]()
    while True:
        more = {k for k, entry in enumerate(entries) if keys & set(entry.outputs)} - kept
        if not more:
            return [entries[k] for k in sorted(kept)]
        kept |= more
        keys |= {key for k in more for key in entries[k].inputs}


def in_order(entries: list[Entry]) -> list[Entry]:
    """Sort entries so that each comes after those that made what it reads, and otherwise as they were recorded.

    A step that was done again stands behind those that read its result.

    Examples
    --------
    >>> neighbors = Entry("neighbors", 1, {}, {"obsm/X_pca": ""}, ["obsp/connectivities"], "", 0.0)
    >>> pca = Entry("pca", 1, {}, {"X": ""}, ["obsm/X_pca"], "", 0.0)
    >>> [one.verb for one in in_order([neighbors, pca])]
    ['pca', 'neighbors']
    """
    waiting, out = list(entries), list[Entry]()
    while waiting:
        to_come = {key for entry in waiting for key in entry.outputs}
        ready = next((one for one in waiting if not (to_come - set(one.outputs)) & set(one.inputs)), waiting[0])
        waiting.remove(ready)
        out.append(ready)
    return out


def parent_of(ds: Dataset) -> Dataset | None:
    """Open the dataset beside this one of which it is a subset; None if it is not one, or the other is gone."""
    record = ds.read("uns/subset") if "uns/subset" in ds else None
    name = str(record.get("parent", "")) if isinstance(record, dict) else ""
    made = next((entry for entry in ds.lineage.entries if entry.verb == "subset"), None)
    if made is None or not name or Path(name).name != name or name == ds.path.name:
        return None
    path = ds.path.with_name(name)
    try:
        before = open_dataset(path) if path.exists() else None
    except KithkinError:  # another thing has this name now
        return None
    return before if before is not None and before.lineage.identity("X") == made.inputs.get("file:parent") else None
