"""Lineage of results: their identities, and which of them are stale."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.errors import MissingResultError, check
from kithkin.core.history import Entry, Step, digest, identify, replace
from kithkin.core.keys import made_by

IMPORTS = ("read", "subset", "append")  # verbs that write X
COLUMNS = ["step", "results", "state", "seconds", "parameters", "finished"]


class Lineage:
    """The records of a dataset, oldest first, and the questions one asks of them.

    A result's identity is that of the step that wrote it. What no step wrote is known by a hash of its content.

    Parameters
    ----------
    entries
        The records.
    present
        Tells whether there is anything at a key.
    content
        Gives the value at a key.
    changes
        Gives a text for the present content of a key that another program has changed, "" for any other.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr", kind="counts")
    >>> [entry.verb for entry in ds.lineage.entries]
    ['read', 'quality']
    """

    def __init__(
        self,
        entries: list[Entry],
        present: Callable[[str], bool],
        content: Callable[[str], Any],
        changes: Callable[[str], str] = lambda key: "",  # noqa: ARG005
    ) -> None:
        self.entries, self._present, self._content = entries, present, content
        self._changes = cache(changes)
        self._by_key = {key: entry for entry in entries for key in entry.outputs}

    def identity(self, key: str) -> str:
        """Return the identity of what is at a key now."""
        changes = self._changes(key)
        if changes:
            return digest(changes)
        if key in self._by_key:
            return f"{self._by_key[key].identity}:{key}"
        return digest(_hashable(self._content(key))) if self._present(key) else "missing"

    def identities(self, keys: tuple[str, ...]) -> dict[str, str]:
        """Return the identity of each key."""
        return {key: self.identity(key) for key in keys}

    def is_stale(self, entry: Entry) -> bool:
        """Tell whether an output of a step, or anything it was computed from however far back, has changed since."""
        if any(self._by_key.get(key) is entry and self._changes(key) for key in entry.outputs):
            return True
        for key, identity in entry.inputs.items():
            if key.startswith("file:"):
                continue  # where it was imported from may move or change; the dataset keeps what it read
            source = self._by_key.get(key)
            if self.identity(key) != identity or (source is not None and self.is_stale(source)):
                return True
        return False

    def maker(self, key: str) -> Entry | None:
        """Return the record of the step that wrote what is at a key; None where it was written by hand."""
        return self._by_key.get(key)

    def is_stale_key(self, key: str) -> bool:
        """Tell whether what is at a key is stale; what no step wrote is not."""
        maker = self._by_key.get(key)
        return maker is not None and self.is_stale(maker)

    def check_rows(self, key: str) -> None:
        """Refuse a result for each row that was computed before further rows were appended, and has none for these.

        Raises
        ------
        MissingResultError
            Naming the call that makes it again.
        """
        maker = self._by_key.get(key)
        rows = key.startswith(("obs/", "obsm/", "obsp/", "layers/"))
        if not rows or maker is None or maker.verb in IMPORTS:
            return
        if any(entry.verb == "append" for entry in self.entries[self.entries.index(maker) + 1 :]):
            said = f"{key} was computed before rows were appended, and has nothing for them"
            raise MissingResultError(f"{said}. Run kithkin.{made_by(key) or f'{maker.verb}(ds)'} again first.")

    def belongs(self, key: str, to: str) -> bool:
        """Tell whether one result goes with what is at another key now: a step wrote both, or read that one as it is.

        A result that no step wrote is assumed to match.
        """
        maker = self._by_key.get(key)
        return maker is None or to in maker.outputs or maker.inputs.get(to) == self.identity(to)

    def check_belongs(self, key: str, to: str, call: str) -> None:
        """Refuse a result that does not go with what is at another key now.

        Raises
        ------
        ParameterError
            Naming the call that makes it again.
        """
        check(self.belongs(key, to), f"{key} was made with another {to} than there is now: run {call}")

    def is_current(self, step: Step) -> bool:
        """Tell whether the results of a step are there and would be the same again."""
        entry = self._by_key.get(step.outputs[0])
        if entry is None or any(self._by_key.get(key) is not entry for key in step.outputs):
            return False
        there = all(self._present(key) for key in step.outputs)
        return there and entry.identity == identify(step, self.identities(step.inputs)) and not self.is_stale(entry)

    def clash(self, step: Step) -> str | None:
        """Name a part of another verb's result that a step would write over in passing; None if there is none."""
        for key in step.outputs[1:]:
            entry = self._by_key.get(key)
            if entry and entry.verb not in (step.verb, *IMPORTS) and entry.outputs[0] not in step.outputs:
                return f"{key} belongs to a result of {entry.verb}: give {step.verb} another key"
        return None

    def after(self, entry: Entry | None, keys: list[str]) -> list[Entry]:
        """Return the records after keys were removed or written by hand, and after a step where there was one."""
        by_hand = Entry("", 0, {}, {}, keys, "", 0.0)
        kept = replace(self.entries, by_hand)[:-1]
        return kept if entry is None else replace(kept, entry)


def _hashable(value: Any) -> Any:
    if isinstance(value, pd.Series):
        values = value.to_numpy()
        return values if values.dtype.kind in "biuf" else values.astype(str).astype(object)
    if isinstance(value, pd.DataFrame):
        return {str(name): digest(_hashable(value[name])) for name in value.columns}
    if hasattr(value, "indptr"):
        return [digest(value.data), digest(value.indices), digest(value.indptr)]
    if isinstance(value, dict):
        return {key: digest(_hashable(item)) for key, item in value.items()}
    return value if isinstance(value, np.ndarray) else str(value)


def as_table(lineage: Lineage) -> pd.DataFrame:
    """Return the records as a table, oldest first: step, results, state, seconds, parameters, finished."""
    rows = [
        {
            "step": entry.verb,
            "results": ", ".join(entry.outputs),
            "state": "stale" if lineage.is_stale(entry) else "current",
            "seconds": entry.seconds,
            "parameters": ", ".join(f"{name}={value!r}" for name, value in entry.parameters.items()),
            "finished": entry.finished,
        }
        for entry in lineage.entries
    ]
    return pd.DataFrame(rows, columns=COLUMNS)
