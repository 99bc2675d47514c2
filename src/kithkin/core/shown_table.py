"""Table of obs or var as a dataset shows it: read as any DataFrame, and not written to."""

from __future__ import annotations

from typing import Any, ClassVar, NoReturn

import pandas as pd

from kithkin.core.errors import ParameterError


class ShownTable(pd.DataFrame):
    """DataFrame that is a copy of what is on disk, and says how to write where somebody assigns to it.

    All that is made of it, such as `.copy()`, `[["a"]]` and `.assign(b=1)`, is a plain DataFrame.

    Examples
    --------
    >>> table = ShownTable.of(pd.DataFrame({"a": [1, 2]}), "obs")
    >>> table["b"] = 1
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: ds.obs is a copy: write ds['obs/b'] = values, or edit ds.obs.copy()
    >>> table.assign(b=1)["b"].tolist(), type(table.copy()).__name__
    ([1, 1], 'DataFrame')
    """

    _metadata: ClassVar[list[str]] = ["_place"]

    @classmethod
    def of(cls, frame: pd.DataFrame, place: str) -> ShownTable:
        """Show a table as the one of a place, "obs" or "var"."""
        shown = cls(frame, copy=False)
        object.__setattr__(shown, "_place", place)
        return shown

    @property
    def _constructor(self) -> type[pd.DataFrame]:
        return pd.DataFrame

    def _refuse(self, name: Any = "name") -> NoReturn:
        place = getattr(self, "_place", "obs")
        column = name if isinstance(name, str) else "name"
        advice = f"write ds['{place}/{column}'] = values, or edit ds.{place}.copy()"
        raise ParameterError(f"ds.{place} is a copy: {advice}")

    def __setitem__(self, key: Any, value: Any) -> None:
        """Refuse to write a column."""
        self._refuse(key)

    def __delitem__(self, key: Any) -> None:  # type: ignore[misc]  # final in the stubs only
        """Refuse to delete a column."""
        place = getattr(self, "_place", "obs")
        raise ParameterError(f"ds.{place} is a copy: delete a column with del ds['{place}/{key}']")

    def __setattr__(self, name: str, value: Any) -> None:
        """Refuse a new column, and other names of rows and columns."""
        if name in ("columns", "index") or (not name.startswith("_") and name not in vars(type(self))):
            self._refuse("name" if name in ("columns", "index") else name)
        object.__setattr__(self, name, value)

    def insert(self, loc: int, column: Any, value: Any, allow_duplicates: Any = False) -> None:  # noqa: ARG002
        """Refuse to insert a column."""
        self._refuse(column)

    def pop(self, item: Any) -> Any:
        """Refuse to take a column out."""
        del self[item]

    def _update_inplace(self, *args: Any, **settings: Any) -> NoReturn:  # noqa: ARG002
        """Refuse what changes a table in place, such as `drop(columns=..., inplace=True)`."""
        self._refuse()

    @property
    def loc(self) -> Any:
        """Look rows and columns up by name."""
        return _Looked(self, "loc")

    @property
    def iloc(self) -> Any:
        """Look rows and columns up by position."""
        return _Looked(self, "iloc")

    @property
    def at(self) -> Any:
        """Look a value up by name."""
        return _Looked(self, "at")

    @property
    def iat(self) -> Any:
        """Look a value up by position."""
        return _Looked(self, "iat")


class _Looked:
    """Indexer of a table that reads and does not write."""

    def __init__(self, table: ShownTable, name: str) -> None:
        self._table, self._name = table, name

    def _plain(self) -> Any:
        return getattr(pd.DataFrame(self._table, copy=False), self._name)

    def __getitem__(self, key: Any) -> Any:
        return self._plain()[key]

    def __call__(self, *args: Any, **settings: Any) -> Any:
        return self._plain()(*args, **settings)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain(), name)

    def __setitem__(self, key: Any, value: Any) -> None:
        column = key[-1] if isinstance(key, tuple) and len(key) > 1 else "name"
        self._table[column] = value
