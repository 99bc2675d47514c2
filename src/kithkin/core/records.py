"""Records of steps as a page keeps them, and their checked return: what a page says is data, and never run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kithkin.core.content import content_of
from kithkin.core.dataset import Dataset
from kithkin.core.errors import FormatError
from kithkin.core.history import Entry
from kithkin.core.remote import address_of
from kithkin.core.sequence import steps_taken

BEGIN, END = b'<script type="application/json" id="contents">', b"</script>"
HTML = b"<!doctype html"  # begins a page
LARGEST = 2**30  # bytes of a page that is read
UNCOMPARED = ("X", "layers/", "uns/subset")  # tables, which quality tells of, and a record that names files


@dataclass(frozen=True)
class Recorded:
    """A step as it was recorded.

    dataset: name of the dataset in which it was taken. current: nothing that it came from has changed since.
    """

    dataset: str
    entry: Entry
    current: bool


@dataclass(frozen=True)
class Records:
    """Steps of a dataset and of those that were filtered to it, in order, and hashes of what it holds by key.

    source: dataset where there is one, None of a page.
    """

    name: str
    steps: tuple[Recorded, ...]
    contents: Mapping[str, str]
    source: Dataset | None = None

    @property
    def makers(self) -> dict[str, Recorded]:
        """The step that made each result of the dataset itself."""
        return {key: one for one in self.steps if one.dataset == self.name for key in one.entry.outputs}


def record_of(entry: Entry, ds: Dataset) -> dict[str, Any]:
    """Give what a page keeps of a step beside its verb and outputs."""
    return {
        "dataset": ds.path.name,
        "revision": entry.revision,
        "parameters": entry.parameters,
        "versions": entry.versions,
    }


def contents_of(ds: Dataset, *, whole: bool = False) -> dict[str, str]:
    """Hash each result of a dataset; unless whole not X and layers, and nothing of a dataset that lies elsewhere."""
    if address_of(ds.path) is not None and not whole:
        return {}
    keys = dict.fromkeys(key for entry in ds.lineage.entries for key in entry.outputs if key in ds)
    compared = [key for key in keys if (whole and key != UNCOMPARED[-1]) or not key.startswith(UNCOMPARED)]
    return {key: content_of(ds.path, key) for key in compared}


def records_of(ds: Dataset) -> Records:
    """Read the records of a dataset."""
    steps = [Recorded(one.ds.path.name, one.entry, not one.ds.lineage.is_stale(one.entry)) for one in steps_taken(ds)]
    return Records(ds.path.name, tuple(steps), contents_of(ds, whole=True), ds)


def is_page(path: Path) -> bool:
    """Tell whether a file begins like a page."""
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return file.read(200).lstrip().lower().startswith(HTML)


def records_on(path: Path) -> Records:
    """Read the records of a page that `kithkin.report` wrote.

    Raises
    ------
    FormatError
        If it has none, or they are not what a page of kithkin holds.
    """
    if path.stat().st_size > LARGEST:
        raise FormatError(f"{path.name} takes {path.stat().st_size:,} bytes, which no page does")
    _, found, rest = path.read_bytes().rpartition(BEGIN)
    none = f"{path.name} holds no records of steps: write the page again with kithkin.report(ds)"
    if not found:
        raise FormatError(none)
    try:
        told = json.loads(rest.partition(END)[0])
        contents = told.get("results")
        if contents is None:
            raise FormatError(none)
        steps = tuple(checked_step(step) for step in told["history"])
        return Records(steps[-1].dataset, steps, {str(key): str(one) for key, one in dict(contents).items()})
    except FormatError:
        raise
    except (ValueError, TypeError, KeyError, IndexError, AttributeError, RecursionError) as error:
        raise FormatError(f"{path.name}: its records of steps are damaged: {error}") from error


def checked_step(step: Mapping[str, Any]) -> Recorded:
    """Take what a page says of a step, part by part."""
    record, outputs = step["record"], step["outputs"]
    parameters, versions = record["parameters"], record["versions"]
    right = isinstance(parameters, dict) and isinstance(versions, dict) and isinstance(outputs, list)
    if not right or not outputs or not all(isinstance(key, str) for key in outputs):
        raise TypeError("a step has no outputs or parameters")
    versions = {str(name): str(one) for name, one in versions.items()}
    entry = Entry(str(step["verb"]), int(record["revision"]), parameters, {}, outputs, "", 0.0, versions)
    return Recorded(str(record["dataset"]), entry, step["current"] is True)
