"""Whether what is on disk is what was written: every chunk is decoded against its checksum."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import zarr

from kithkin.core.blocks import Array
from kithkin.core.checksums import PLACE, read_headers, survey
from kithkin.core.execute import Execution, map_tasks
from kithkin.core.layout import open_array, open_group


def verify(path: Path, execution: Execution | None = None) -> list[str]:
    """What is damaged in a dataset: one sentence for each element, none if all is well.

    Parameters
    ----------
    path
        The dataset.
    execution
        Threads.

    Raises
    ------
    KithkinError
        If the dataset cannot be opened at all.

    Examples
    --------
    >>> verify(Path("nowhere.zarr"))
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: nowhere.zarr is not a Zarr dataset: ...
    """
    group = open_group(path)
    problems = _headers(path, group)
    arrays = list(_arrays(path, group, "", problems))
    for key, problem in map_tasks(lambda key: (key, _decode(path, key)), arrays, execution, "check"):
        if problem:
            problems.append(f"{key} is damaged: {problem}")
    return problems


def _headers(path: Path, group: zarr.Group) -> list[str]:
    """What is wrong with the headers, held against the checksums that were taken when they were written."""
    try:
        written = read_headers(group)
    except Exception as error:
        return [f"{PLACE} is damaged: {_first_line(error)}"]
    found = survey(path)
    return [
        f"{key or 'the root'} is damaged: its zarr.json is {'not what was written' if key in found else 'missing'}"
        for key, crc in written.items()
        if found.get(key) != crc
    ]


def _arrays(path: Path, group: zarr.Group, prefix: str, problems: list[str]) -> Iterator[str]:
    """Keys of all arrays below a group; what cannot be opened becomes a problem."""
    for folder in sorted(child for child in (path / prefix).iterdir() if child.is_dir()):
        key = f"{prefix}/{folder.name}" if prefix else folder.name
        try:
            node = group[key]
        except Exception as error:
            if not any(problem.startswith(f"{key} is damaged") for problem in problems):
                problems.append(f"{key} is damaged: its zarr.json is missing or cannot be read ({_first_line(error)})")
            continue
        if isinstance(node, zarr.Group):
            yield from _arrays(path, group, key, problems)
        else:
            yield key


def _decode(path: Path, key: str) -> str:
    """Decode a whole array, file by file; what went wrong, or nothing."""
    try:
        array = open_array(path, key, compiled=False)
        step = (array.shards or array.chunks or (1,))[0]
        if array.ndim == 0:
            array[...]
        for start in range(0, array.shape[0] if array.ndim else 0, step):
            array[start : start + step]
        if key.endswith("/indptr"):
            return _rows(path, key.removesuffix("/indptr"), np.asarray(array[...]))
    except Exception as error:
        return _first_line(error)
    return ""


def _rows(path: Path, key: str, indptr: Array) -> str:
    n_stored = open_array(path, f"{key}/data").shape[0]
    ordered = indptr[0] == 0 and indptr[-1] == n_stored and bool(np.all(np.diff(indptr) >= 0))
    return "" if ordered else f"its rows do not cover the {n_stored} stored values"


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
