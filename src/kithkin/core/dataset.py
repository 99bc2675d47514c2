"""A dataset on disk: open it, stream it, read results from it and write results into it. It never analyses."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Executor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import zarr

from kithkin.core.blocks import Array, Block, SparseRows, widened
from kithkin.core.checksums import PLACE, after, read_headers, survey, with_columns, write_headers
from kithkin.core.elements import create_dict, read_element, write_element
from kithkin.core.errors import KithkinError, MissingResultError, ParameterError, check
from kithkin.core.execute import Execution, map_blocks
from kithkin.core.history import Entry, Step, entry_of, read_history, write_history
from kithkin.core.keys import SYMBOLS, Key, made_by
from kithkin.core.layout import open_group
from kithkin.core.lineage import Lineage, as_table
from kithkin.core.stored import StoredDense, StoredRows, pick_columns
from kithkin.core.transaction import commit, recover, writing

if TYPE_CHECKING:
    from anndata import AnnData

FRAMES = ("obs", "var")


def open(
    path: str | Path,
    *,
    memory: str | int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
) -> Dataset:
    """Open a dataset that kithkin or anndata wrote as Zarr.

    Parameters
    ----------
    path
        The folder, such as "pbmc.zarr".
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    executor
        Any concurrent.futures.Executor for the work on blocks, such as `client.get_executor()` of dask.distributed.
    progress
        Progress bars; by default they are shown on a terminal only.

    Raises
    ------
    KithkinError
        If there is no AnnData-on-Zarr dataset at the path.

    Examples
    --------
    >>> open("nowhere.zarr")
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: nowhere.zarr does not exist
    """
    given, path = path, Path(path).expanduser().absolute()
    recover(path)
    if not path.exists():
        raise KithkinError(f"{given} does not exist")
    group = open_group(path)
    if group.attrs.get("encoding-type") != "anndata" or group.metadata.zarr_format != 3:
        raise KithkinError(
            f"{path} is not an AnnData dataset in Zarr format 3. Import it: kithkin.read(source, to=...)"
        )
    return Dataset(path, Execution.of(memory, threads, executor, progress))


class Dataset:
    """A table of observations and variables on disk, with everything that was found out about it.

    Open one with `kithkin.open`, make one with `kithkin.read`.

    Attributes
    ----------
    path
        Where it lies.
    execution
        Budget, threads and executor with which verbs work on it.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> ds.shape, "obsm/X_pca" in ds
    ((3, 3), False)
    """

    def __init__(self, path: Path, execution: Execution) -> None:
        self.path, self.execution = Path(path), execution
        self._names: dict[str, pd.Index[str]] = {}

    def __repr__(self) -> str:
        lines = [f"Dataset {self.name}: {self.n_obs:,} observations x {self.n_vars:,} variables"]
        present = self.keys()
        for place in ("layers", "obs", "var", "obsm", "varm", "obsp", "varp", "uns"):
            names = [key.partition("/")[2] for key in present if key.startswith(f"{place}/")]
            if names:
                lines.append(f"  {place}: {', '.join(names)}")
        return "\n".join(lines)

    # ---- what there is

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def _group(self) -> zarr.Group:
        return open_group(self.path)

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
        """What to call each variable: its symbol where var has one that stands for it alone, or its name."""
        columns = [str(name) for name in self._group["var"].attrs["column-order"]]  # type: ignore[union-attr]
        symbols = next((name for name in SYMBOLS if name in columns), None)
        if symbols is None:
            return self.var_names
        given = pd.Index(self.read(f"var/{symbols}").astype(object).astype(str), dtype=object)
        alone = ~given.duplicated(keep=False) & ~given.isin(self.var_names)
        return pd.Index(np.where(alone, given, self.var_names), dtype=object)

    def _index(self, frame: str) -> pd.Index[str]:
        if frame not in self._names:
            group = self._group[frame]
            values = read_element(group, str(group.attrs["_index"]))  # type: ignore[arg-type]
            self._names[frame] = pd.Index(np.asarray(values).astype(object), dtype=object)
        return self._names[frame]

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
        return len(self.obs_names), len(self.var_names)

    @property
    def obs(self) -> pd.DataFrame:
        """The table of observations, as it is on disk now."""
        frame: pd.DataFrame = read_element(self._group, "obs")
        return frame

    @property
    def var(self) -> pd.DataFrame:
        """The table of variables, as it is on disk now."""
        frame: pd.DataFrame = read_element(self._group, "var")
        return frame

    def keys(self) -> list[str]:
        """Everything that can be read, such as "X", "obs/leiden" and "obsm/X_pca"."""
        group, found = self._group, []
        for place in sorted(group.keys()):
            if place == "X":
                found.append("X")
            elif place in FRAMES:
                found += [f"{place}/{name}" for name in group[place].attrs["column-order"]]  # type: ignore[union-attr]
            else:
                found += [f"{place}/{name}" for name in sorted(group[place].keys()) if name != "kithkin"]  # type: ignore[union-attr]
        return found

    def __contains__(self, key: str) -> bool:
        place, name = Key.parse(key).place, Key.parse(key).name
        if place in FRAMES:
            return name in self._group[place].attrs["column-order"]  # type: ignore[operator]
        return key in self._group

    # ---- reading

    def need(self, *keys: str) -> None:
        """Raise MissingResultError, naming the verb to run, unless all keys are there."""
        for key in keys:
            if key not in self:
                call = made_by(key)
                hint = f"Run kithkin.{call} first. " if call else ""
                beside = [other for other in self.keys() if other.partition("/")[0] == key.partition("/")[0]]
                present = ", ".join(beside or sorted({other.partition("/")[0] for other in self.keys()}))
                raise MissingResultError(f"{key} is not in {self.name}. {hint}Present: {present}")

    def read(self, key: str) -> Any:
        """A result in memory.

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
        place, name = Key.parse(key).place, Key.parse(key).name
        value = read_element(self._group, key)
        if place in FRAMES:
            return pd.Series(value, index=self._index(place), name=name)
        return value

    def blocks(self, key: str = "X", rows: int | None = None) -> StoredRows | StoredDense:
        """A table as row blocks for streaming.

        Parameters
        ----------
        key
            "X", a layer, or an array in obsm.
        rows
            Rows per block; from the budget when None.

        Raises
        ------
        ParameterError
            If the element is neither a dense array nor a CSR matrix.
        """
        self.need(key)
        encoding = self._group[key].attrs.get("encoding-type")
        kind: type[StoredRows] | type[StoredDense]
        if encoding == "csr_matrix":
            kind = StoredRows
        elif encoding == "array":
            kind = StoredDense
        else:
            raise ParameterError(f"{key} of {self.name} is stored as {encoding} and cannot be read in blocks of rows")
        return kind(self.path, key, self.execution.memory, self.execution.threads, rows)

    def genes(self, names: Iterable[str], key: str = "X") -> Array:
        """Values of a few variables for all observations.

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
        names = [names] if isinstance(names, str) else list(names)
        found = self.var_names.get_indexer(pd.Index(names, dtype=object))
        if (found < 0).any():
            found = np.where(found < 0, self.var_labels.get_indexer(pd.Index(names, dtype=object)), found)
        unknown = [name for name, place in zip(names, found, strict=True) if place < 0]
        check(not unknown, f"{len(unknown)} names are not in var of {self.name}: {', '.join(map(str, unknown[:5]))}")
        unique, inverse = np.unique(found, return_inverse=True)
        position = np.full(self.n_vars, -1, np.int64)
        position[unique] = np.arange(len(unique))
        pick = partial(_pick, position=position, width=len(unique))
        parts = list(map_blocks(pick, self.blocks(key), self.execution))
        return widened(np.concatenate(parts))[:, inverse]

    def rows(self, indices: Any, key: str = "X") -> Block:
        """A few rows, in the order given.

        Parameters
        ----------
        indices
            Row numbers, or names of observations.
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
        wanted = np.asarray(indices)
        if wanted.dtype.kind in "OUST":
            wanted = self.obs_names.get_indexer(pd.Index(wanted, dtype=object))
        in_range = wanted.size == 0 or (wanted.min() >= 0 and wanted.max() < self.n_obs)
        check(bool(in_range), f"indices must name rows of {self.name}, 0..{self.n_obs - 1}")
        order = np.argsort(wanted, kind="stable")
        stored = self.blocks(key).take(wanted[order])
        back = np.empty(len(order), np.int64)
        back[order] = np.arange(len(order))
        if not isinstance(stored, SparseRows):
            return widened(stored[back])
        matrix = stored.to_scipy()[back]
        return SparseRows(widened(matrix.data), matrix.indices, matrix.indptr.astype(np.int64), self.n_vars)

    def to_anndata(self) -> AnnData:
        """The whole dataset in memory, as scanpy expects it: X in float32 where that is exact, else float64."""
        import anndata
        from anndata import AnnData as Whole

        adata: Whole = anndata.read_zarr(self.path)
        if adata.X is not None and adata.X.dtype.kind in "iu":
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
        """The records of what was done, and which results are stale."""
        group = self._group
        entries = read_history(group["uns/kithkin"]) if "uns/kithkin" in group else []  # type: ignore[arg-type]
        return Lineage(entries, self.__contains__, self._content)

    def _content(self, key: str) -> Any:
        """What is at a key that no step wrote, for its hash; of a large table its shape and type only."""
        if key == "X" or key.startswith("layers/"):
            blocks = self.blocks(key)
            return [list(blocks.shape), str(blocks.dtype), getattr(blocks, "n_stored", None)]
        return self.read(key)

    def history(self) -> pd.DataFrame:
        """What was done: one row per step with its results, parameters, seconds, and whether it is current or stale."""
        return as_table(self.lineage)

    def result(self, step: Step, compute: Callable[[], Mapping[str, Any]], *, store: bool = True) -> Any:
        """The first output of a step: looked up if it is there and current, else computed and stored.

        Parameters
        ----------
        step
            What the answer depends on.
        compute
            Gives the outputs by key.
        store
            False: compute and return, write nothing.

        Raises
        ------
        MissingResultError
            If an input is not there.
        """
        return self.results(step, compute, store=store, wanted=step.outputs[:1])[step.outputs[0]]

    def results(
        self, step: Step, compute: Callable[[], Mapping[str, Any]], *, store: bool = True, wanted: Iterable[str] = ()
    ) -> Mapping[str, Any]:
        """All outputs of a step by key, as `result`; a look-up reads the wanted ones only, or all if none is named."""
        self.need(*(key for key in step.inputs if not key.startswith("file:")))
        if not store:
            return compute()
        if self.lineage.is_current(step):
            return {key: self.read(key) for key in wanted or step.outputs}
        clash = self.lineage.clash(step)
        check(clash is None, str(clash))
        with writing(self.path) as staging:
            inputs = self.lineage.identities(step.inputs)
            began = time.perf_counter()
            values = compute()
            self._store(staging, values, entry_of(step, inputs, time.perf_counter() - began))
        return values

    def write(self, values: Mapping[str, Any]) -> None:
        """Write elements by key, all or none; a column of obs or var may be a Series or an array.

        Raises
        ------
        KithkinError
            If somebody else is writing, or the disk is full.
        """
        with writing(self.path) as staging:
            self._store(staging, values, None)

    def _topmost_new(self, key: str) -> str:
        """The key, or the first group above it that the dataset does not have yet."""
        parts = key.split("/")
        paths = ["/".join(parts[: depth + 1]) for depth in range(len(parts))]
        return next((path for path in paths if path not in self._group), key)

    def _store(self, staging: Path, values: Mapping[str, Any], entry: Entry | None) -> None:
        """Stage the elements with the records of how they came about, and move them in as one change."""
        elements = staging / "elements"
        group, orders = open_group(elements, "w"), dict[str, list[str]]()
        for key, value in values.items():
            place, name = Key.parse(key).place, Key.parse(key).name
            self._check_fit(key, place, value)
            if place in FRAMES:
                present = [str(column) for column in self._group[place].attrs["column-order"]]  # type: ignore[union-attr]
                order = orders.setdefault(place, present)
                order += [name] if name not in order else []
            write_element(_child(group, place), name, value)
        about = _child(_child(group, "uns"), "kithkin")
        write_history(about, self.lineage.after(entry, list(values)))
        texts = {place: with_columns(self.path / place / "zarr.json", order) for place, order in orders.items()}
        keys = sorted({self._topmost_new(key) for key in (*values, "uns/kithkin/history", PLACE)})
        before = read_headers(self._group) or survey(self.path)
        write_headers(about, after(before, survey(elements), keys, texts))
        commit(self.path, keys, texts)

    def _check_fit(self, key: str, place: str, value: Any) -> None:
        """Refuse what would keep anndata from opening the dataset, and a column where the names of the rows are."""
        if place in FRAMES:
            names = ("_index", self._group[place].attrs["_index"])
            check(key.partition("/")[2] not in names, f"{key} is where the names of {place} are: choose another key")
        axes = {"obs": (0,), "var": (1,), "obsm": (0,), "varm": (1,), "obsp": (0, 0), "varp": (1, 1), "layers": (0, 1)}
        for axis, own in enumerate(axes.get(place, ())):
            shape = np.shape(value) if not hasattr(value, "shape") else value.shape
            length = len(self._index(FRAMES[own]))
            fits = len(shape) > axis and shape[axis] == length
            what = "values" if place in FRAMES else "rows" if axis == 0 else "columns"
            check(fits, f"{key} must have {length} {what}, got {shape[axis] if len(shape) > axis else 'none'}")


def _child(group: zarr.Group, name: str) -> zarr.Group:
    return group[name] if name in group else create_dict(group, name)  # type: ignore[return-value]


def _pick(block: Block, start: int, position: Array, width: int) -> Array:  # noqa: ARG001  (map_blocks gives it)
    return pick_columns(block, position, width)
