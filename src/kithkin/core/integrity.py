"""Comparison of a whole dataset with its checksums: every header, every list of files, every stored chunk."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import numpy as np

from kithkin.core.arrays import open_array, open_group, read_header
from kithkin.core.checksums import Checksum, find_damage, measure, read_checksums
from kithkin.core.chunks import ChunkFiles, DamageError, list_files
from kithkin.core.execute import Execution, map_tasks
from kithkin.core.host import RemoteError


def list_damage(path: Path, execution: Execution | None = None) -> list[str]:
    """Describe the damage in a dataset: one sentence for each element, none if all is well.

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
    """
    open_group(path)
    try:
        recorded = read_checksums(path)
    except DamageError as error:
        problems, recorded = [str(error).removeprefix(f"{path.name}: ")], {}
    else:
        problems = find_damage(path, "", recorded)
    damaged = {problem.partition(" is damaged")[0] for problem in problems}
    keys: list[str] = []
    waiting = [""]
    while waiting:
        key = waiting.pop()
        try:
            if read_header(path, key).get("node_type") == "array":
                keys += [key] if key not in damaged else []
                continue
        except DamageError as error:
            problem = str(error).removeprefix(f"{path.name}: ")
            problems += [problem] if problem not in problems else []
            continue
        waiting += [child.relative_to(path).as_posix() for child in (path / key).iterdir() if child.is_dir()]
    for key, problem in map_tasks(lambda key: (key, _decode(path, key, recorded)), sorted(keys), execution, "check"):
        if problem:
            problems.append(f"{key} is damaged: {problem}")
    return problems


def _decode(path: Path, key: str, recorded: Mapping[str, Checksum]) -> str:
    """Verify, or where there is no checksum decode, an array file by file; return the problem, or ""."""
    try:
        files, there = ChunkFiles.of(read_header(path, key)), list_files(f"{path}/{key}")
        for name in there:
            with suppress(FileNotFoundError):  # on a server; one that is missing is told by the checksums
                files.verify(f"{path}/{key}/{name}")
        if key in recorded and measure(path, key) != recorded[key]:
            return "it is not what was written: another program has changed it"
        if key not in recorded:
            array = open_array(path, key, compiled=False)
            for start in range(0, array.shape[0] if array.ndim else 0, files.outer[0] if files.outer else 1):
                array[start : start + files.outer[0]]
        if key.endswith("/indptr"):
            indptr = np.asarray(open_array(path, key)[...])
            n_stored = open_array(path, f"{key.removesuffix('/indptr')}/data").shape[0]
            if not (indptr[0] == 0 and indptr[-1] == n_stored and bool(np.all(np.diff(indptr) >= 0))):
                return f"its rows do not cover the {n_stored} stored values"
    except RemoteError:
        raise
    except Exception as error:
        return (str(error).strip().splitlines() or [type(error).__name__])[0].removeprefix(f"{path.name}: ")
    return ""
