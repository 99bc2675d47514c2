"""A dataset on disk: open it, stream it, read results from it and write results into it. It never analyses."""

# Long: one class is what users meet, and its methods are short

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from weakref import ref

import numpy as np
import pandas as pd
import zarr

from kithkin.core.alignment import align
from kithkin.core.arrays import attributes, open_child, open_group, read_header
from kithkin.core.blocks import Array, Block, SparseRows, widened
from kithkin.core.calls import answer_calls
from kithkin.core.checksums import (
    MARK,
    PLACE,
    find_damage,
    fingerprint_of_changes,
    read_checksums,
    survey,
    update,
    with_columns,
    write_checksums,
)
from kithkin.core.chunks import DamageError
from kithkin.core.elements import create_dict, listed_column, load_element, plain_texts, write_element
from kithkin.core.errors import KeyFormError, KithkinError, MissingResultError, ParameterError, brief, check, listed
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.heap import return_memory
from kithkin.core.history import Entry, Step, entry_of, read_history, write_history
from kithkin.core.keys import MADE_BY, PLACES, SYMBOLS, Key, made_by
from kithkin.core.lineage import Lineage, as_table
from kithkin.core.loader import CHUNK, Loader, plan_order
from kithkin.core.nodes import exists
from kithkin.core.published import copies_by_gene, without_copies
from kithkin.core.query import select
from kithkin.core.remote import address_of, attach, is_address
from kithkin.core.shown_dataset import html_of
from kithkin.core.shown_table import ShownTable
from kithkin.core.spill import Spill
from kithkin.core.stored import StoredColumns, StoredDense, StoredFrame, StoredRows, pick_columns
from kithkin.core.suggest import did_you_mean
from kithkin.core.transaction import commit, recover, writing
from kithkin.core.words import no_attribute
from kithkin.optional import need

if TYPE_CHECKING:
    from anndata import AnnData

    from kithkin.models.nn.torch_loader import TorchLoader

FRAMES = ("obs", "var")
KIND = "uns/kithkin/kind"  # name and reason
KEPT_NAMES = 1 << 20  # of rows or columns, which stay in memory once they were read
ATTEMPTS = 20  # to read an element whole while a writer replaces it


def open(
    path: str | Path | Dataset,
    *,
    memory: str | int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    cache: str | Path | None = None,
) -> Dataset:
    """Open a dataset that kithkin or anndata wrote as Zarr, on disk, on a web server or in a bucket of an S3 store.

    Of a dataset at an address, as `kithkin.publish` writes it, only what is asked for is fetched, each byte once. It
    is not written to, nor is a ZIP file: what was fetched, and results, lie in the folder `cache`. The store of a
    bucket and the credentials are those of the AWS command line: the variables AWS_ENDPOINT_URL, AWS_REGION,
    AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or its files; without any, requests are not signed.

    Parameters
    ----------
    path
        The folder, such as "pbmc.zarr"; its address, such as "https://example.org/pbmc.zarr" or
        "s3://bucket/pbmc.zarr"; the ZIP file that it was published as; or an open dataset, to work on it with other
        settings.
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    executor
        Any concurrent.futures.Executor for the work on blocks, such as `client.get_executor()` of dask.distributed.
    progress
        Progress bars; by default they are shown on a terminal only.
    cache
        Folder for what is fetched from an address, and for results of such a dataset or a ZIP file; by default
        `kithkin/` and the name of the dataset in the user's cache ($XDG_CACHE_HOME, else ~/.cache, or ~/Library/Caches
        on macOS).

    Raises
    ------
    KithkinError
        If there is no AnnData-on-Zarr dataset at the path, the server does not answer or refuses, or the dataset there
        has changed since results were written.

    Examples
    --------
    >>> open("nowhere.zarr")
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: nowhere.zarr does not exist
    """
    given: Any = path.path if isinstance(path, Dataset) else path
    if not isinstance(given, (str, os.PathLike)):
        made = f"{type(path).__name__}: make a dataset of it with kithkin.read(source, to='name.zarr')"
        raise ParameterError(f"path must be the folder of a dataset, such as 'pbmc.zarr', got {made}")
    if is_address(given) or (str(given).endswith(".zip") and Path(given).expanduser().is_file()):
        given = attach(str(given), cache)
    else:
        check(
            cache is None, "cache is for a dataset at an address, such as https://example.org/a.zarr, or in a ZIP file"
        )
    path = Path(given).expanduser().absolute()
    recover(path)
    if not path.exists():
        near = [one.name for one in path.parent.iterdir()] if path.parent.is_dir() else []
        raise KithkinError(f"{given} does not exist{did_you_mean(path.name, near)}")
    try:
        header = read_header(path)
    except DamageError as error:
        if (path / "zarr.json").exists():
            raise
        old = (path / ".zgroup").exists()
        kind = "in Zarr format 2" if old else "a folder without a dataset" if path.is_dir() else "a file, not a dataset"
        raise KithkinError(f"{path.name} is {kind}. Import it: kithkin.read(source, to=...)") from error
    if header["attributes"].get("encoding-type") != "anndata" or header.get("zarr_format") != 3:
        raise KithkinError(
            f"{path} is not an AnnData dataset in Zarr format 3. Import it: kithkin.read(source, to=...)"
        )
    return Dataset(path, Execution.of(memory, threads, executor, progress))


@answer_calls
class Dataset:
    """A table of observations and variables on disk, with everything that was found out about it.

    Open one with `kithkin.open`, make one with `kithkin.read`.

    Attributes
    ----------
    path
        Where it lies.
    execution
        Budget, threads and executor with which verbs work on it.
    spill
        Where a step can put arrays aside while it is computed to be stored; None at any other time.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.shape, "obsm/X_pca" in ds
    ((3, 3), False)
    """

    def __init__(self, path: Path, execution: Execution) -> None:
        self.path, self.execution = Path(path), execution
        self._names: dict[str, tuple[tuple[Any, ...], Any]] = {}
        self.spill: Spill | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_names": {}, "spill": None}

    def __repr__(self) -> str:
        lines = [f"Dataset {self.name}: {self.n_obs:,} observations x {self.n_vars:,} variables"]
        if "X" in self:
            lines.append(f"  X: {self.kind}, {self.kind_and_reason[1]}")
        present = self.keys()
        for place in ("layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns"):
            names = [key.partition("/")[2] for key in present if key.startswith(f"{place}/")]
            if names:
                lines.append(f"  {place}: {', '.join(names)}")
        address = address_of(self.path)
        lines += [f"  read from {address}; results go to {self.path}"] if address is not None else []
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        kind = ": ".join(self.kind_and_reason) if "X" in self else "no X"
        return html_of(self.path, self.shape, kind, self.keys(), self.lineage)

    # ---- what there is

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def obs_names(self) -> pd.Index[str]:
        """Names of the observations."""
        return self._index("obs")

    @property
    def var_names(self) -> pd.Index[str]:
        """Names of the variables."""
        return self._index("var")

    @property
    def var_labels(self) -> pd.Index[str]:
        """Labels of the variables: the symbol where var has one that stands for that variable alone, else the name."""
        columns = self._columns("var")
        symbols = next((name for name in SYMBOLS if name in columns), None)
        if symbols is None:
            return self.var_names
        given = pd.Index(self.read(f"var/{symbols}").astype(object).astype(str), dtype=object)
        alone = ~given.duplicated(keep=False) & ~given.isin(self.var_names)
        return pd.Index(np.where(alone, given, self.var_names), dtype=object)

    def _columns(self, frame: str) -> list[str]:
        """List the columns of obs or var, as they are on disk now."""
        found = attributes(self.path, frame).get("column-order", [])
        if not isinstance(found, list):
            raise DamageError(f"{self.name}: {frame} is damaged: its columns are not listed")
        return [str(name) for name in found]

    def _names_key(self, frame: str) -> str:
        return f"{frame}/{attributes(self.path, frame).get('_index', '_index')}"

    def _index(self, frame: str) -> pd.Index[str]:
        key = self._names_key(frame)
        stamp = self._stamp(key)
        known = self._known_names(frame, stamp)
        if known is None:
            known = pd.Index(np.asarray(self._load(key)).astype(object, copy=False), dtype=object)
            self._keep_names(frame, stamp, known)
        return known

    def _known_names(self, frame: str, stamp: tuple[Any, ...]) -> pd.Index[str] | None:
        """Return the names of a table if they are in memory, and still those on disk."""
        kept, names = self._names.get(frame, ((), None))
        names = names() if isinstance(names, ref) else names
        return None if names is None or kept != stamp else pd.Index(names, dtype=object)

    def _keep_names(self, frame: str, stamp: tuple[Any, ...], names: pd.Index[str]) -> None:
        """Keep names in memory; many only for as long as something else holds them, as each takes some 65 bytes."""
        if stamp:
            held = names.to_numpy()
            self._names[frame] = stamp, held if len(held) <= KEPT_NAMES else ref(held)

    def _table(self, frame: str) -> pd.DataFrame:
        """Read obs or var, with the names of the rows that are in memory already."""
        key = self._names_key(frame)
        stamp = self._stamp(key)
        table: pd.DataFrame = self._load(frame)
        known = self._known_names(frame, stamp)
        if known is None and table.index.dtype == object and self._stamp(key) == stamp:
            self._keep_names(frame, stamp, table.index)
        elif known is not None and known.equals(table.index):
            table.index = known.rename(table.index.name)
        return table

    def _length(self, frame: str) -> int:
        """Return the number of rows of a table, without its names where its header tells."""
        names = self.path / self._names_key(frame) / "zarr.json"
        shape = read_header(names.parent).get("shape") if names.exists() else None
        return int(shape[0]) if shape else len(self._index(frame))

    def _stamp(self, key: str) -> tuple[Any, ...]:
        """Return what tells an element from one that takes its place: the identities of its folder and its parts."""
        folder = self.path / key
        try:
            parts = [folder, folder / "zarr.json", *(child for child in folder.iterdir() if child.is_dir())]
            stats = [(part.name, os.stat(part)) for part in sorted(parts)]
        except (FileNotFoundError, NotADirectoryError):
            return ()
        return tuple((name, status.st_ino, status.st_mtime_ns) for name, status in stats)

    def _load(self, key: str) -> Any:
        """Read an element whole: the old or the new one where a writer replaces it meanwhile."""
        for _ in range(ATTEMPTS):
            before = self._stamp(key)
            try:
                recorded = read_checksums(self.path)
                problems = find_damage(self.path, key, recorded)
                if problems:
                    raise DamageError(f"{self.name}: {problems[0]}")
                value = load_element(self.path, key, {name: one.n_files for name, one in recorded.items()})
            except Exception as error:
                if self._stamp(key) != before:
                    continue
                if isinstance(error, DamageError) and not str(error).startswith(f"{self.name}: "):  # of a chunk
                    raise DamageError(f"{self.name}: {key} is damaged on disk: {error}") from error
                if isinstance(error, (KithkinError, MemoryError)):
                    raise
                raise KithkinError(f"{self.name}: {key} is damaged on disk: {error}") from error
            if self._stamp(key) == before:
                return value
        raise KithkinError(f"{self.name}: {key} is being written again and again: wait until its writer is done")

    @property
    def n_obs(self) -> int:
        """Number of observations."""
        return self.shape[0]

    @property
    def n_vars(self) -> int:
        """Number of variables."""
        return self.shape[1]

    @property
    def shape(self) -> tuple[int, int]:
        """Observations and variables."""
        return self._length("obs"), self._length("var")

    @property
    def obs(self) -> pd.DataFrame:
        """Table of observations, as it is on disk now: a copy. `ds["obs/name"] = values` writes a column."""
        return ShownTable.of(self._table("obs"), "obs")

    @property
    def var(self) -> pd.DataFrame:
        """Table of variables, as it is on disk now: a copy. `ds["var/name"] = values` writes a column."""
        return ShownTable.of(self._table("var"), "var")

    @property
    def kind(self) -> str:
        """Kind of X as its import decided it: "counts", "values" or "images".

        Where none is stored: images if var has the row and column of each pixel, counts if X holds integers of which
        none is negative, and values otherwise.
        """
        return self.kind_and_reason[0]

    @property
    def kind_and_reason(self) -> tuple[str, str]:
        """Kind of X, and the reason for it, such as "integers 0 to 16 in 64 columns that are not named like genes"."""
        if self.stores_kind:
            stored = self._load(KIND)
            return str(stored["name"]), str(stored["reason"])
        if {"row", "column"} <= set(self._columns("var")):
            return "images", "var has the row and the column of each pixel"
        if "X" in self and self.blocks().dtype.kind == "u":
            return "counts", "integers of which none is negative"
        return "values", "numbers that are not integers, or are negative"

    @property
    def stores_kind(self) -> bool:
        """True if the import has stored the kind of X."""
        return (self.path / KIND / "zarr.json").exists()

    def keys(self) -> list[str]:
        """List everything that can be read, such as "X", "obs/leiden" and "obsm/X_pca"."""
        found = []
        for place in self._members(""):
            if place == "X":
                found.append("X")
            elif place in FRAMES:
                found += [f"{place}/{name}" for name in self._columns(place)]
            elif place in PLACES:
                found += [f"{place}/{name}" for name in self._members(place) if name != "kithkin"]
        return found

    def _members(self, key: str) -> list[str]:
        """List the groups and arrays in a group, in order."""
        with os.scandir(self.path / key) as entries:
            return sorted(entry.name for entry in entries if os.path.exists(f"{entry.path}/zarr.json"))

    if not TYPE_CHECKING:  # or every misspelled attribute would pass the check of types

        def __getattr__(self, name: str) -> Any:
            raise AttributeError(no_attribute(name, [one for one in dir(type(self)) if not one.startswith("_")]))

    def __setattr__(self, name: str, value: Any) -> None:
        if name in FRAMES:
            advice = f"write a column with ds['{name}/name'] = values or kithkin.annotate(ds, '{name}/name', values)"
            raise AttributeError(f"{name} of a dataset cannot be replaced: {advice}")
        object.__setattr__(self, name, value)

    def __len__(self) -> int:
        """Number of observations."""
        return self.n_obs

    def __bool__(self) -> bool:
        """Every dataset is true, also while its names cannot be read."""
        return True

    __iter__ = None  # its length and its elements by key do not make it a sequence

    def __getitem__(self, key: Any) -> Any:
        """Read a result into memory, as `read` does.

        Examples
        --------
        >>> import kithkin as kk, numpy as np, tempfile
        >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
        >>> ds["obs/donor"] = ["x", "y", "x"]
        >>> ds["obs/donor"].tolist(), len(ds)
        (['x', 'y', 'x'], 3)
        """
        if not isinstance(key, str):
            advice = "read rows with ds.rows([0, 1]), or make a smaller one with kithkin.subset(ds, cells=..., to=...)"
            raise ParameterError(f"a dataset is read by keys, such as ds['obs/leiden'], and not by rows: {advice}")
        return self.read(key)

    def __setitem__(self, key: str, values: Any) -> None:
        """Write an element, as `write` does."""
        self.write({key: values})

    def __delitem__(self, key: str) -> None:
        """Remove an element, as `delete` does."""
        self.delete(key)

    def __contains__(self, key: str) -> bool:
        parsed = Key.parse(key)
        if parsed.place in FRAMES:
            return parsed.name in self._columns(parsed.place)
        return (self.path / key / "zarr.json").exists()

    # ---- reading

    def need(self, *keys: str) -> None:
        """Raise MissingResultError, naming the verb to run, unless all keys are there."""
        for key in keys:
            if not isinstance(key, str):
                raise KeyFormError(key)
            if key == "X" or "/" in key:
                there = key in self
            else:
                tables = [one for one in (*self.keys(), *MADE_BY) if not one.startswith("uns/") and "*" not in one]
                known = {one: one for one in tables}  # not of uns, which holds records
                near = did_you_mean(key, {**{one.replace("/X_", "/"): one for one in known}, **known})
                raise KeyFormError(key, near)
            if not there:
                if key in read_checksums(self.path):
                    raise DamageError(f"{self.name}: {key} is damaged: it was written, and is not there any more")
                call = made_by(key)
                hint = f". Run kithkin.{call} first." if call else did_you_mean(key, self.keys()) or "."
                beside = [other for other in self.keys() if other.partition("/")[0] == key.partition("/")[0]]
                there_are = beside or sorted({other.partition("/")[0] for other in self.keys()})
                present = listed(there_are, quoted=False)
                raise MissingResultError(f"{key} is not in {self.name}{hint} Present: {present}")

    def read(self, key: str) -> Any:
        """Read a result into memory.

        Parameters
        ----------
        key
            Such as "obsm/X_pca", "obs/leiden", "uns/pca".

        Returns
        -------
        Any
            A column of obs or var as a Series with the names as its index; arrays, matrices, mappings as they are.

        Raises
        ------
        MissingResultError
            If it is not there; the message names the verb that makes it.
        """
        self.need(key)
        parsed, value = Key.parse(key), self._load(key)
        if parsed.place in FRAMES:
            kind: Any = getattr(value, "dtype", None)  # pandas makes texts of objects otherwise
            return pd.Series(value, index=self._index(parsed.place), name=parsed.name, dtype=kind)
        return value

    def blocks(self, key: str = "X", rows: int | None = None) -> StoredRows | StoredDense:
        """Open a table as row blocks for streaming.

        Parameters
        ----------
        key
            "X", a layer, or a table in obsm; of a DataFrame its columns of numbers.
        rows
            Rows per block; from the budget when None.

        Raises
        ------
        ParameterError
            If the element is no table of numbers by rows.
        """
        self.need(key)
        encoding = attributes(self.path, key).get("encoding-type")
        kind: type[StoredRows] | type[StoredDense]
        if encoding == "csr_matrix":
            kind = StoredRows
        elif encoding == "array":
            kind = StoredDense
        elif encoding == "dataframe" and "/" in key:
            kind = StoredFrame
        else:
            said = f"{key} of {self.name} is stored as {encoding} and cannot be read in blocks of rows"
            raise ParameterError(f"{said}: name a table of numbers, such as X or obsm/X_pca")
        return kind(self.path, key, self.execution.memory, self.execution.threads, rows)

    def positions(self, names: str | Iterable[str], place: str = "obs", option: str = "") -> Array:
        """Find observations or variables by their names, or variables by their labels.

        Parameters
        ----------
        names
            One or several names.
        place
            "obs" or "var".
        option
            Name of the parameter that gives the names, for messages.

        Raises
        ------
        ParameterError
            If a name is unknown; the message names what is near, also by another column of names, such as gene_ids.

        Examples
        --------
        >>> import kithkin as kk, numpy as np, tempfile
        >>> ds = kk.read(pd.DataFrame({"CD3D": [1, 0], "CD19": [0, 2]}), to=tempfile.mkdtemp() + "/a.zarr")
        >>> ds.positions(["CD19"], "var").tolist()
        [1]
        >>> ds.positions("cd19", "var")
        Traceback (most recent call last):
        kithkin.core.errors.ParameterError: 1 names are not in var of a.zarr: cd19. Did you mean 'CD19'?
        """
        many = isinstance(names, Iterable)
        check(many, f"{option or 'names'} must be one or several names, got {brief(names)}")
        sought = [names] if isinstance(names, str) else list(names)
        wanted = pd.Index(sought, dtype=object)
        found = self._index(place).get_indexer(wanted)
        if place == "var" and (found < 0).any():
            found = np.where(found < 0, self.var_labels.get_indexer(wanted), found)
        unknown = [str(name) for name, position in zip(sought, found, strict=True) if position < 0]
        if unknown:
            near = did_you_mean(unknown[0], self.words(place))
            said = f"{len(unknown)} names {f'of {option} ' if option else ''}are not in {place} of {self.name}"
            raise ParameterError(f"{said}: {', '.join(unknown[:5])}{near}")
        return np.asarray(found, np.int64)

    def words(self, place: str = "obs") -> dict[str, str]:
        """Map words by which a row of obs or var may be looked up to its name, or of a variable to its label.

        Examples
        --------
        >>> import kithkin as kk, tempfile
        >>> cells = kk.datasets.simulate_counts(50, 100, 2)
        >>> cells.var["gene_ids"] = [f"ENSG{k:04}" for k in range(100)]
        >>> ds = kk.read(cells, to=tempfile.mkdtemp() + "/a.zarr")
        >>> ds.words("var")["ENSG0000"] == ds.var_names[0]
        True
        """
        own = self._index(place)
        if place == "obs":
            return dict(zip(own, own, strict=True))
        shown, other = list(self.var_labels), self.var.select_dtypes(exclude="number")
        columns = [other[one] for one in other if other[one].nunique() > len(own) / 2]  # such as identifiers
        found = {str(word): name for one in columns for word, name in zip(one, shown, strict=True)}
        return found | dict(zip(own, own, strict=True)) | dict(zip(shown, shown, strict=True))

    def genes(self, names: str | Iterable[str], key: str = "X") -> Array:
        """Read the values of a few variables for all observations: of a published dataset, only these.

        Parameters
        ----------
        names
            Names of variables, or their labels.
        key
            "X" or a layer.

        Returns
        -------
        ndarray
            n x len(names), dense; integers as int64, so that arithmetic on them does not overflow.

        Raises
        ------
        ParameterError
            If a name is unknown.
        """
        found = self.positions(names, "var")
        unique, inverse = np.unique(found, return_inverse=True)
        self.need(key)
        copy = copies_by_gene(self.path, read_checksums(self.path)).get(key)
        if copy is not None:
            columns = StoredColumns(self.path, copy, self.execution.memory, self.execution.threads)
            return widened(columns.take(unique).to_dense().T)[:, inverse]
        position = np.full(self.n_vars, -1, np.int64)
        position[unique] = np.arange(len(unique))
        pick = partial(_pick, position=position, width=len(unique))
        parts = list(map_blocks(pick, self.blocks(key), self.execution))
        return widened(np.concatenate(parts))[:, inverse]

    def rows(self, indices: Any, key: str = "X") -> Block:
        """Read rows, in the order given; each chunk of the table that they lie in is read once.

        Parameters
        ----------
        indices
            Row numbers, names of observations, a slice, or n booleans; a row may come more than once.
        key
            "X", a layer, or an array in obsm.

        Returns
        -------
        SparseRows or ndarray
            len(indices) x p; integers as int64.

        Raises
        ------
        ParameterError
            If a number or name is not there.
        """
        wanted = self._row_numbers(indices, "indices")
        taken = self.blocks(key).take(wanted)
        if not isinstance(taken, SparseRows):
            return widened(taken)
        return SparseRows(widened(taken.data), taken.indices, taken.indptr, self.n_vars)

    def _row_numbers(self, chosen: Any, option: str) -> Array:
        """Return the numbers of rows that are given by number, name, slice or booleans."""
        if isinstance(chosen, slice):
            chosen = np.arange(self.n_obs)[chosen]
        wanted = np.atleast_1d(np.asarray(chosen))
        if wanted.dtype == bool:
            check(wanted.shape == (self.n_obs,), f"{option} must be row numbers, names or {self.n_obs} booleans")
            wanted = np.flatnonzero(wanted)
        if wanted.dtype.kind in "OUST":
            wanted = self.positions(wanted, "obs", option)
        in_range = wanted.size == 0 or (wanted.dtype.kind in "iu" and 0 <= wanted.min() <= wanted.max() < self.n_obs)
        check(bool(in_range), f"{option} must be rows of {self.name}, 0..{self.n_obs - 1}, got {brief(chosen)}")
        return wanted.astype(np.int64)

    def batches(
        self,
        size: int = 512,
        on: str = "X",
        *,
        shuffle: bool = False,
        seed: int = 0,
        columns: str | Iterable[str] = (),
        cells: Any = None,
        chunk: int = CHUNK,
        buffer: int | None = None,
        drop_last: bool = False,
        dense: bool = False,
        dtype: Any = "float32",
    ) -> Loader:
        """Draw mini-batches for training: every row once an epoch, and each chunk on disk decoded once for many rows.

        Shuffled, runs of `chunk` rows that follow one another are drawn at random without replacement into a buffer,
        whose rows are shuffled. The order depends on the table, the parameters and the number of the epoch, never on
        threads; on the budget only where it is below 192 MB and no `buffer` is given.

        Parameters
        ----------
        size
            Rows of a batch; the last of an epoch may have fewer.
        on
            "X", a layer, or a table in obsm, such as "obsm/thumbnails".
        shuffle
            False: rows come in their order. True: in another order each epoch.
        seed
            Seed of the order.
        columns
            Columns of obs that come with the rows; categories and texts as codes.
        cells
            Rows that are drawn: a condition on obs such as "n_genes > 200", row numbers, names, a slice, or n booleans;
            each row once.
        chunk
            Rows of a run: 1 mixes best, more cost less.
        buffer
            Rows that are held and shuffled together: more mix better, and cost less. None: as many as take 64 MB as
            they are stored, or a third of the budget.
        drop_last
            Leave out rows that do not fill a batch.
        dense
            Whether rows of a sparse table come as an array.
        dtype
            Type of the values; None: as they are stored, which is integers of one byte for most counts.

        Returns
        -------
        Loader
            Iterable of `Batch` (X, rows, obs); it has a length, `categories` and `set_epoch`.

        Raises
        ------
        MissingResultError
            If the table or a column is not there.
        ParameterError
            If no row is chosen, or a batch or the buffer is beyond the budget.

        Examples
        --------
        >>> import kithkin as kk, numpy as np, tempfile
        >>> ds = kk.read(np.diag([1, 2, 3, 4, 5]), to=tempfile.mkdtemp() + "/a.zarr")
        >>> ds["obs/donor"] = ["x", "y", "x", "y", "y"]
        >>> for batch in ds.batches(2, shuffle=True, seed=1, columns="donor", cells="donor == 'y'"):
        ...     print(batch.rows, batch.X.sum(axis=1), batch.obs["donor"])
        [3 1] [4. 2.] [1 1]
        [4] [5.] [1]
        """
        try:
            place = Key.parse(on, option="on").place
            check(place in ("X", "layers", "obsm", "obsp"), f"on must be X, a layer or a table in obsm, got {on!r}")
            blocks = self.blocks(on)
        except KeyFormError as error:
            raise KeyFormError(error.given, error.near, "on") from error
        rows = None
        if cells is not None:
            chosen = select(self.obs, cells) if isinstance(cells, str) else cells
            rows = np.unique(self._row_numbers(chosen, "cells"))
        n_rows = self.n_obs if rows is None else len(rows)
        check(n_rows > 0, f"cells must choose at least one row of {self.name}, got {brief(cells)}")
        listed_columns = [columns] if isinstance(columns, str) else columns
        names = [Key.parse(name, "obs", option="columns") for name in listed_columns]
        try:
            stored = np.dtype(blocks.dtype if dtype is None else dtype)
        except TypeError:
            stored = np.dtype(object)
        check(stored.kind in "biuf", f"dtype must be a type of numbers, got {brief(dtype)}")
        width = float(np.prod(blocks.shape[1:])) * stored.itemsize
        order = plan_order(
            blocks,
            n_rows,
            self.execution.memory,
            size=size,
            shuffle=shuffle,
            seed=seed,
            chunk=chunk,
            buffer=buffer,
            drop_last=drop_last,
            row_bytes=width if dense or not blocks.is_sparse else 0.0,
        )
        taken = {name.name: self.read(str(name)) for name in names}
        return Loader(blocks, rows, taken, order, dense=dense, dtype=stored)

    def torch(self, batch_size: int = 512, on: str = "X", *, dense: bool = True, **settings: Any) -> TorchLoader:
        """Draw mini-batches for training as an iterable dataset of torch, for a DataLoader with workers, too.

        Workers, and the ranks of a distributed training, share the rows: each comes once. A DataLoader takes the
        batches as they are with `batch_size=None`.

        Parameters
        ----------
        batch_size
            Rows of a batch.
        on
            "X", a layer, or a table in obsm, such as "obsm/thumbnails".
        dense
            Whether a batch of a sparse table is a dense tensor, or one in torch's CSR layout.
        settings
            shuffle, seed, columns, cells, chunk, buffer, drop_last and dtype, as in `batches`.

        Returns
        -------
        torch.utils.data.IterableDataset
            Gives `Batch` (X, rows, obs) of tensors; it has a length, `categories` and `set_epoch`.

        Raises
        ------
        KithkinError
            If torch is not installed.
        """
        need("torch", "deep", "ds.torch")
        from kithkin.models.nn.torch_loader import TorchLoader

        return TorchLoader(self.batches(batch_size, on, dense=dense, **settings))

    def to_anndata(self) -> AnnData:
        """Read the whole dataset into memory, as scanpy expects it: X in float32 where that is exact, else float64."""
        for _ in range(ATTEMPTS):
            whole = os.stat(self.path).st_ino
            try:
                adata = self._load_all()
            except Exception:
                if os.stat(self.path).st_ino == whole:
                    raise
                continue
            if os.stat(self.path).st_ino == whole:  # else rows were appended meanwhile
                return adata
        raise KithkinError(f"{self.name} is being written again and again: wait until its writer is done")

    def _load_all(self) -> AnnData:
        from anndata import AnnData

        recorded = read_checksums(self.path)
        problems = find_damage(self.path, "", recorded)
        if problems:
            raise DamageError(f"{self.name}: {problems[0]}")
        n_files = {name: one.n_files for name, one in recorded.items()}
        parts: dict[str, Any] = {}
        for place in set(self._members("")) & set(PLACES):
            if place in ("layers", "obsm", "varm", "obsp", "varp"):
                members = without_copies(self.path, (f"{place}/{name}" for name in self._members(place)))
                keys = {key.partition("/")[2]: key for key in members}
                parts[place] = {name: load_element(self.path, key, n_files) for name, key in keys.items()}
            else:
                parts[place] = load_element(self.path, place, n_files)
        adata = AnnData(**parts)
        if adata.X is not None and adata.X.dtype.kind in "iu":  # written by another program, or before 0.2
            data = adata.X.data if hasattr(adata.X, "indptr") else adata.X
            exact = data.size == 0 or max(abs(int(data.min())), abs(int(data.max()))) <= 2**24
            X = adata.X.astype(np.float32 if exact else np.float64)
            if hasattr(X, "indptr"):
                wide = np.int32 if X.nnz < 2**31 else np.int64
                X.indices, X.indptr = X.indices.astype(wide), X.indptr.astype(wide)
            adata.X = X
        return adata

    # ---- writing

    @property
    def lineage(self) -> Lineage:
        """Records of what was done, and which results are stale."""
        recorded = read_checksums(self.path)

        def content(key: str) -> Any:
            if Key.parse(key).place in ("X", "layers"):  # of a large table its shape and type only
                blocks = self.blocks(key)
                return [list(blocks.shape), str(blocks.dtype), getattr(blocks, "n_stored", None)]
            return self.read(key)

        def changes(key: str) -> str:
            return fingerprint_of_changes(self.path, key, recorded)

        return Lineage(read_history(self.path), self.__contains__, content, changes)

    def history(self) -> pd.DataFrame:
        """Tabulate what was done: a row per step with its results, parameters, seconds, and whether it is current."""
        return as_table(self.lineage)

    def result(
        self,
        step: Step,
        compute: Callable[[], Mapping[str, Any]],
        *,
        store: bool = True,
        removed: Iterable[str] = (),
    ) -> Any:
        """Return the first output of a step: looked up if it is there and current, else computed and stored.

        Parameters
        ----------
        step
            What the answer depends on.
        compute
            Gives the outputs by key.
        store
            False: compute and return, write nothing.
        removed
            Keys of a former result of the step that this one does not have, removed in the same change.

        Raises
        ------
        MissingResultError
            If an input is not there, or not there for rows that were appended.
        """
        wanted = step.outputs[:1]
        return self.results(step, compute, store=store, wanted=wanted, removed=removed)[step.outputs[0]]

    def results(
        self,
        step: Step,
        compute: Callable[[], Mapping[str, Any]],
        *,
        store: bool = True,
        wanted: Iterable[str] = (),
        removed: Iterable[str] = (),
    ) -> Mapping[str, Any]:
        """Return all outputs of a step by key, as `result`; a look-up reads those wanted, or all if none is named."""
        inputs_here = [key for key in step.inputs if not key.startswith("file:")]
        self.need(*inputs_here)
        lineage = self.lineage
        for key in inputs_here:
            lineage.check_rows(key)
        if not store:
            return cast("Mapping[str, Any]", plain_texts(compute()))
        if lineage.is_current(step):
            return {key: self.read(key) for key in wanted or step.outputs}
        clash = lineage.clash(step)
        check(clash is None, str(clash))
        with writing(self.path) as staging:
            inputs = self.lineage.identities(step.inputs)
            return_memory()  # of the step before
            began, self.spill = time.perf_counter(), Spill(staging / "spill")
            try:
                values: Mapping[str, Any] = plain_texts(compute())
            finally:
                self.spill = None
            return_memory()
            self._store(staging, values, entry_of(step, inputs, time.perf_counter() - began), removed)
        return values

    def write(self, values: Mapping[str, Any]) -> None:
        """Write elements by key, all or none; a Series or DataFrame goes by its names, an array by position.

        Raises
        ------
        KithkinError
            If somebody else is writing, or the disk is full.
        """
        check(isinstance(values, Mapping), f"values must be a mapping of keys to values, got {brief(values)}")
        for key in values:
            if not isinstance(key, str) or "/" not in key:
                check(key != "X", "X of a dataset cannot be replaced: import another table with kithkin.read")
                raise KeyFormError(key)
        axes = {"obs": self.obs_names, "var": self.var_names}
        columns = {key: listed_column(one) if key[:4] in ("obs/", "var/") else one for key, one in values.items()}
        aligned = {key: align(one, axes[key[:3]], key) if key[:3] in axes else one for key, one in columns.items()}
        with writing(self.path) as staging:
            self._store(staging, aligned, None)

    def delete(self, *keys: str) -> None:
        """Remove elements by key, all or none; what was computed from them becomes stale.

        Parameters
        ----------
        keys
            Such as "obs/leiden" and "obsm/X_pca".

        Raises
        ------
        MissingResultError
            If one is not there.
        ParameterError
            If it is X, or a whole place such as "obs".

        Examples
        --------
        >>> import kithkin as kk, numpy as np, tempfile
        >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
        >>> ds["obs/donor"] = ["x", "y", "x"]
        >>> ds.delete("obs/donor")
        >>> "obs/donor" in ds
        False
        """
        for key in keys:
            target = Key.parse(key)
            own = (target.place in ("X", "raw"), key == "uns/kithkin" or key.startswith("uns/kithkin/"))
            check(not any(own), f"{key} cannot be deleted: delete elements such as 'obs/leiden' or 'obsm/X_pca'")
        self.need(*keys)
        if not keys:
            return
        with writing(self.path) as staging:
            self._store(staging, {}, None, keys)

    def _store(
        self, staging: Path, values: Mapping[str, Any], entry: Entry | None, removed: Iterable[str] = ()
    ) -> None:
        """Stage the elements with the records of how they came about, and move them in as one change."""
        elements = staging / "elements"
        group, columns = open_group(elements, "w"), dict[str, list[str]]()
        for key, value in values.items():
            target = Key.parse(key)
            self._check_fit(target, value)
            if target.place in FRAMES:
                order = columns.setdefault(target.place, self._columns(target.place))
                order += [target.name] if target.name not in order else []
            write_element(_child(group, target.place), target.name, value)
        for key in removed:
            target = Key.parse(key)
            (elements / key).mkdir(parents=True)
            if target.place in FRAMES:
                columns.setdefault(target.place, self._columns(target.place)).remove(target.name)
        records = _child(_child(group, "uns"), "kithkin")
        write_history(records, self.lineage.after(entry, [*removed] if entry else [*values, *removed]))
        texts = {place: with_columns(self.path / place / "zarr.json", order) for place, order in columns.items()}
        root = read_header(self.path)
        if MARK not in root["attributes"] or "consolidated_metadata" in root:
            # a copy of all headers in one file would be wrong from now on
            kept = {name: value for name, value in root.items() if name != "consolidated_metadata"}
            texts[""] = json.dumps({**kept, "attributes": {**root["attributes"], MARK: {"checksums": PLACE}}})
        moved = set()
        for key in (
            *values,
            *removed,
            "uns/kithkin/history",
            PLACE,
        ):  # with the first group above that is not there yet
            parts = key.split("/")
            paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
            moved.add(next((path for path in paths if not (self.path / path / "zarr.json").exists()), key))
        keys = sorted(moved)
        checksums = update(read_checksums(self.path), survey(elements), keys, texts)
        write_checksums(records, checksums)
        commit(self.path, elements, keys, texts)
        for key in removed:  # an empty folder took the place of the element, in the same change
            with suppress(OSError):
                (self.path / key).rmdir()

    def _check_fit(self, key: Key, value: Any) -> None:
        """Refuse what would keep anndata from opening the dataset, and a column where the names of the rows are."""
        if key.place in FRAMES:
            names = ("_index", attributes(self.path, key.place).get("_index"))
            check(key.name not in names, f"{key} is where the names of {key.place} are: choose another key")
        axes = {"obs": (0,), "var": (1,), "obsm": (0,), "varm": (1,), "obsp": (0, 0), "varp": (1, 1), "layers": (0, 1)}
        for axis, own in enumerate(axes.get(key.place, ())):
            shape = np.shape(value) if not hasattr(value, "shape") else value.shape
            length = self._length(FRAMES[own])
            fits = len(shape) > axis and shape[axis] == length
            what = "values" if key.place in FRAMES else "rows" if axis == 0 else "columns"
            check(fits, f"{key} must have {length} {what}, got {shape[axis] if len(shape) > axis else brief(value)}")


def _child(group: zarr.Group, name: str) -> zarr.Group:
    return open_child(group, name) if exists(group, name) else create_dict(group, name)


def _pick(block: Block, start: int, position: Array, width: int) -> Array:  # noqa: ARG001  (map_blocks gives it)
    return pick_columns(block, position, width)
