"""Records of the steps that wrote results: parameters, inputs, outputs, versions."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr

from kithkin.core.anndata_elements import read_array
from kithkin.core.chunks import DamageError
from kithkin.core.elements import write_element
from kithkin.core.errors import check_seed
from kithkin.core.heap import peak_memory
from kithkin.core.host import identity_at
from kithkin.core.remote import is_address

PACKAGES = ("kithkin", "anndata", "numpy", "numba", "scipy", "zarr")


@dataclass(frozen=True)
class Step:
    """Step that a verb is about to take: everything that its answer depends on, and nothing else.

    Attributes
    ----------
    verb
        Name of the verb.
    revision
        Raised when a fix changes the verb's answers.
    parameters
        The scientific parameters: no threads, no budget, no executor.
    inputs
        Keys that are read.
    outputs
        Keys that are written; the first is what the verb returns.
    """

    verb: str
    revision: int
    parameters: Mapping[str, Any]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]

    def __post_init__(self) -> None:
        check_seed(self.parameters.get("seed", 0))


@dataclass(frozen=True)
class Entry:
    """Record of a step that was carried out."""

    verb: str
    revision: int
    parameters: dict[str, Any]
    inputs: dict[str, str]
    outputs: list[str]
    identity: str
    seconds: float
    versions: dict[str, str] = field(default_factory=dict)
    finished: str = ""
    peak: int = 0  # largest resident size of the process so far, in bytes; 0 where it was not recorded
    source: str = ""  # path of what was read, as it was given


def digest(value: Any) -> str:
    """Compute a short hash of anything that JSON can hold, or of an array's bytes."""
    found = hashlib.blake2b(digest_size=10)
    if not isinstance(value, np.ndarray):
        found.update(json.dumps(value, sort_keys=True, default=plain).encode())
        return found.hexdigest()
    found.update(str((value.dtype, value.shape)).encode())
    if value.dtype == object:
        found.update("\0".join(map(str, value)).encode(errors="surrogatepass"))
    elif value.nbytes:
        found.update(np.ascontiguousarray(value).reshape(-1).view(np.uint8).data)  # no copy of a large array
    return found.hexdigest()


def plain(value: Any) -> Any:
    """Return a parameter as JSON can hold it; arrays by their hash."""
    if isinstance(value, np.ndarray):
        return f"array {value.shape} {digest(value)}"
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [plain(item) for item in value]
    return value if value is None or isinstance(value, (str, int, float, bool)) else str(value)


def identify(step: Step, inputs: Mapping[str, str]) -> str:
    """Identify a result by the hash of verb, revision, parameters and the identities of what it reads."""
    return digest([step.verb, step.revision, plain(step.parameters), dict(inputs), list(step.outputs)])


def entry_of(step: Step, inputs: Mapping[str, str], seconds: float, source: str = "") -> Entry:
    """Make the record of a step that has just been carried out; source is the path of what it read, if any."""
    return Entry(
        step.verb,
        step.revision,
        plain(step.parameters),
        dict(inputs),
        list(step.outputs),
        identify(step, inputs),
        round(seconds, 3),
        present_versions(),
        datetime.now(UTC).isoformat(timespec="seconds"),
        peak_memory(),
        source,
    )


def present_versions() -> dict[str, str]:
    """Return the versions of the packages that a record names, as they are now."""
    return {name: _version(name) for name in PACKAGES}


@cache
def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def fingerprint(source: Any) -> str:
    """Compute a hash that tells whether a source has changed.

    Parameters
    ----------
    source
        A path: names, sizes and times of the files count. An address: with the size and version of the file. An
        AnnData, DataFrame, array or sparse matrix: its values.
    """
    if getattr(source, "isbacked", False):
        source = source.filename
    if not isinstance(source, (str, Path)):
        return digest(_values(source))
    if is_address(source):
        return digest(identity_at(str(source)))
    path = Path(source).expanduser()
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    return digest([(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files])


def _values(source: Any) -> Any:
    """Hash all numbers and names of an object in memory; of an array of dask part by part, as it is streamed."""
    if hasattr(source, "compute") and hasattr(source, "chunks"):
        edges = np.cumsum([0, *source.chunks[0]]).tolist()
        return [digest(_values(source[a:b].compute())) for a, b in pairwise(edges)]
    if hasattr(source, "to_memory") and hasattr(source, "columns"):
        return _values(source.to_memory())
    if hasattr(source, "indptr"):
        return [list(source.shape), digest(source.data), digest(source.indices), digest(source.indptr)]
    if hasattr(source, "tocsr"):
        return _values(source.tocsr())
    if isinstance(source, pd.DataFrame):
        return {str(name): digest(np.asarray(source[name])) for name in source.columns} | {
            "": digest(np.asarray(source.index))
        }
    if hasattr(source, "obs") and hasattr(source, "var"):
        layers = [table for name, table in source.layers.items() if name is not None]  # None: X, since anndata 0.13
        tables = [source.X, source.obs, source.var, *layers]
        return [digest(_values(table)) for table in tables if table is not None]
    return digest(np.asarray(source))


def write_history(group: zarr.Group, entries: Iterable[Entry]) -> None:
    """Write the records as an array of JSON texts named "history"."""
    texts = [json.dumps(asdict(entry)) for entry in entries]
    write_element(group, "history", np.array(texts, dtype=object))


def read_history(path: Path) -> list[Entry]:
    """Read the records of a dataset, oldest first; none where kithkin has not written it.

    Raises
    ------
    KithkinError
        If they are damaged.
    """
    try:
        status = os.stat(path / "uns/kithkin/history/c/0")
    except (FileNotFoundError, NotADirectoryError):
        return []
    return list(_parsed(path, status.st_ino, status.st_size, status.st_mtime_ns))


@lru_cache(maxsize=64)
def _parsed(path: Path, *status: int) -> tuple[Entry, ...]:  # noqa: ARG001  (a changed file has another)
    try:
        texts = read_array(path, "uns/kithkin/history", {})
        return tuple(Entry(**json.loads(str(text))) for text in texts)
    except DamageError:
        raise
    except Exception as error:
        raise DamageError(f"{path.name}: uns/kithkin/history is damaged: {error}") from error


def replace(entries: list[Entry], entry: Entry) -> list[Entry]:
    """Append a record to others; it takes the place of those whose results it wrote over."""
    kept = []
    for old in entries:
        outputs = [key for key in old.outputs if key not in entry.outputs]
        if outputs:
            kept.append(dataclasses.replace(old, outputs=outputs))
    return [*kept, entry]
