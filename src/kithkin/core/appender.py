"""Writer of further rows of a dataset, which takes the place of the old one whole."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import zarr

from kithkin.core.arrays import attributes, open_array, open_group, read_header
from kithkin.core.blocks import Block
from kithkin.core.checksums import MARK, PLACE
from kithkin.core.elements import create_dict, plain_strings
from kithkin.core.errors import KithkinError, check
from kithkin.core.extension import (
    add_missing_rows,
    extend_element,
    extend_frame,
    link_tree,
    remove_element,
    replace_element,
)
from kithkin.core.growing import GrowingTable
from kithkin.core.history import Entry, write_history
from kithkin.core.keys import Key
from kithkin.core.remote import address_of
from kithkin.core.writer import DatasetWriter


class DatasetAppender(DatasetWriter):
    """Writer of further rows of a dataset. The dataset is as it was until `finish`, and after an error.

    A new folder is made of hard links to the files of the old one, of which none is written to: the last file of each
    array is written again, with the rows that follow. `finish` exchanges both folders in one step, so that a reader
    finds the old dataset or the new one, and a kill leaves either.

    Parameters
    ----------
    target
        Path of the dataset.
    n_columns
        Width of X and the layers from now on: at least that of the dataset, and equal where X is dense.
    n_rows
        Number of rows that will come.
    identity
        As for `DatasetWriter`.

    Raises
    ------
    KithkinError
        If there is no dataset, or somebody else writes it, or the disk is full.

    Examples
    --------
    >>> import anndata, tempfile, numpy as np
    >>> target, names = Path(tempfile.mkdtemp()) / "a.zarr", pd.DataFrame(index=list("xyz"))
    >>> with DatasetWriter(target, 3) as writer:
    ...     writer.append(np.eye(3))
    ...     writer.finish(pd.DataFrame({"n": [1, 2, 3]}, index=list("abc")), names)
    >>> with DatasetAppender(target, 3, n_rows=1) as writer:
    ...     writer.append(np.full((1, 3), 5))
    ...     writer.finish(pd.DataFrame({"n": [4]}, index=["d"]), names)
    >>> both = anndata.read_zarr(target)
    >>> both.X.sum(axis=1).tolist(), both.obs["n"].tolist()
    ([1.0, 1.0, 1.0, 15.0], [1, 2, 3, 4])
    """

    def __init__(
        self, target: str | Path, n_columns: int, *, n_rows: int = 1 << 20, identity: str | None = None
    ) -> None:
        super().__init__(target, n_columns, overwrite=True, n_rows=n_rows, identity=identity)
        self._extended: set[str] = set()

    def check_target(self) -> None:
        """Refuse what is no dataset."""
        if not (self._target / "zarr.json").is_file():
            raise KithkinError(f"{self._target} is not a dataset, to which rows could be added")
        if (address := address_of(self._target)) is not None:
            raise KithkinError(
                f"{address} is only read: make a dataset of your own with kithkin.subset(ds, to=...) first"
            )

    def begin(self) -> None:
        """Make a folder of the files of the dataset."""
        link_tree(self._target, self._staging)
        self._count()

    def _count(self) -> None:
        """Take up the sizes of the old dataset."""
        self._group = open_group(self._staging, "r+")
        frames = (f"{axis}/{attributes(self._target, axis)['_index']}" for axis in ("obs", "var"))
        self._n_before, self._n_columns_before = (open_array(self._target, key).shape[0] for key in frames)
        self._n_rows += self._n_before

    def add_places(self) -> None:
        """Make the places that the dataset does not have."""
        for place in ("layers", "obsm", "varm", "obsp", "varp", "uns"):
            if place not in self._group:
                create_dict(self._group, place)

    def restore_table(self, folder: Path, state: Mapping[str, Any]) -> GrowingTable:
        """Take up X as a checkpoint has it, and all else from the dataset."""
        link_tree(self._target, self._staging, but="X")
        self._count()
        table = GrowingTable(self._group, "X", None, self._n_columns, self._n_rows)
        if (self._target / "X/indptr").exists():
            table.take_up_lengths(self._target / "X")
        table.restore(folder, state)
        return table

    def begin_table(self, group: zarr.Group, name: str, block: Block) -> GrowingTable:
        """Go on with a table that is there, or begin one."""
        if name not in group:
            return super().begin_table(group, name, block)
        table = GrowingTable(group, name, None, self._n_columns, self._n_rows)
        table.take_up()
        return table

    def element(self, key: str, value: Any) -> None:
        """Write an element of the new rows below that of the old ones, or one of uns in its place."""
        target = Key.parse(key)
        group: Any = self._group[target.place]
        if target.place == "uns":
            replace_element(group, target.name, value)
            return
        extend_element(group, target.name, value, len(value) if isinstance(value, pd.DataFrame) else value.shape[0])
        self._extended.add(key)

    def finish(
        self,
        obs: pd.DataFrame,
        var: pd.DataFrame,
        history: Sequence[Entry] = (),
        inspect: Callable[[Any], None] | None = None,
        kind: Mapping[str, str] | None = None,
        constants: Mapping[str, str] | None = None,
    ) -> None:
        """Write the tables, and exchange the old dataset for the new one.

        Parameters
        ----------
        obs
            The new rows only.
        var
            All columns, those of the old dataset first.
        history, inspect, kind
            As for `DatasetWriter`; without a kind that of the old dataset stays.
        constants
            Columns of obs that the old rows did not have, with the one text that all of these get.
        """
        check(bool(len(obs)), "there must be rows to append")
        self.close_tables(self._n_before + len(obs), len(var), inspect)
        obs, var = plain_strings(obs), plain_strings(var)
        self.extend_others(obs.index, var.index)
        for name, text in (constants or {}).items():
            table: Any = self._group["obs"]
            replace_element(table, name, pd.Categorical([text] * self._n_before))
            table.attrs["column-order"] = [*table.attrs["column-order"], name]
        extend_frame(self._group, "obs", obs)
        replace_element(self._group, "var", var)
        uns: Any = self._group["uns"]
        records = uns["kithkin"] if "kithkin" in uns else create_dict(uns, "kithkin")
        for name in ("history", "checksums", *(["kind"] if kind else [])):
            remove_element(records, name)
        write_history(records, history)
        if kind:
            replace_element(records, "kind", dict(kind))
        header = read_header(self._staging)
        header.pop("consolidated_metadata", None)  # which would be wrong
        header["attributes"][MARK] = {"checksums": PLACE}
        (self._staging / "zarr.json").write_text(json.dumps(header), encoding="utf-8")
        self._move(records)

    def extend_others(self, rows: pd.Index[str], columns: pd.Index[str]) -> None:
        """Let all elements have the new rows and columns that did not receive any: their values are missing."""
        n_rows, added = len(rows), columns[self._n_columns_before :]
        axes = {
            "layers": (n_rows, len(added)),
            "obsm": (n_rows, 0),
            "obsp": (n_rows, n_rows),
            "varm": (len(added), 0),
            "varp": (len(added), len(added)),
        }
        for place, size in axes.items():
            group: Any = self._group[place]
            for name in sorted(group.keys()) if any(size) else ():
                key = f"{place}/{name}"
                if key in self._extended or key in self._tables:
                    continue
                if attributes(self._staging, key).get("encoding-type") == "dataframe":
                    extend_frame(group, name, pd.DataFrame(index=rows if place == "obsm" else added))
                else:
                    add_missing_rows(group, name, *size)
