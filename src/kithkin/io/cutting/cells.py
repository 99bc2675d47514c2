"""The table that names the cells of an image: their ids and centroids, by the names that programs give them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.textfile import is_gzip
from kithkin.optional import need

# id, x, y: mcmicro (and kithkin); steinbock with centroids; regionprops; CellProfiler; QuPath in pixels; plain
CONVENTIONS = (
    ("CellID", "X_centroid", "Y_centroid"),
    ("Object", "centroid-1", "centroid-0"),
    ("label", "centroid-1", "centroid-0"),
    ("label", "centroid_1", "centroid_0"),
    ("ObjectNumber", "Location_Center_X", "Location_Center_Y"),
    ("ObjectNumber", "AreaShape_Center_X", "AreaShape_Center_Y"),
    ("Object ID", "Centroid X px", "Centroid Y px"),
    ("cell_id", "x", "y"),
    ("CellID", "X", "Y"),
    ("id", "x", "y"),
)
HDF5, PARQUET = b"\x89HDF\r\n\x1a\n", b"PAR1"
SHOWN = 10  # ids named in a message
IDS = ("CellID", "cell_id", "instance_id", "region_id", "label", "Object", "ObjectNumber")


@dataclass(frozen=True)
class Cells:
    """Cells in the order of their table.

    Attributes
    ----------
    name
        Of the table, for messages.
    ids
        int64, one of its own for each cell.
    x, y
        float64, centroids in pixels.
    """

    name: str
    ids: Array
    x: Array
    y: Array


def listed(ids: Any) -> str:
    """The first few ids, and that there are more.

    Examples
    --------
    >>> listed([3, 1]), listed(range(12))
    ('3, 1', '0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more')
    """
    ids = list(ids)
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return ", ".join(str(k) for k in ids[:SHOWN]) + more


def counted(ids: Sequence[Any] | Array, one: str) -> str:
    """Say how many cells have a fault: a cell, or 3 cells.

    Examples
    --------
    >>> counted([4, 5], "id")
    '2 ids'
    """
    return f"{len(ids):,} {one}{'' if len(ids) == 1 else 's'}"


def read_cells(source: Any, columns: Sequence[str | None] = (None, None, None)) -> Cells:
    r"""Read ids and centroids of cells.

    Parameters
    ----------
    source
        CSV, TSV (gzipped or not), Parquet, h5ad or AnnData in Zarr; or a DataFrame or AnnData.
    columns
        Names of the columns of ids, X and Y; None: the usual names of mcmicro, steinbock, CellProfiler, QuPath and
        squidpy.

    Raises
    ------
    FormatError
        If it cannot be read, columns are missing, there are no cells, or ids or centroids are missing or twice there.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "cells.csv"
    >>> _ = path.write_text("CellID,X_centroid,Y_centroid\n7,3.5,4\n2,8,9\n")
    >>> read_cells(path).ids.tolist()
    [7, 2]
    """
    name = Path(source).name if isinstance(source, (str, Path)) else f"the {type(source).__name__}"
    table = _open_table(source, name)
    if table.spatial is not None and columns[1] is None and columns[2] is None:
        return _checked(name, _ids(table, columns[0], name), table.spatial[:, 0], table.spatial[:, 1])
    for convention in CONVENTIONS:
        wanted = [given or usual for given, usual in zip(columns, convention, strict=True)]
        if set(wanted) <= set(table.columns):
            read = table.read(wanted)
            return _checked(name, *(read[column] for column in wanted))
    given = [column for column in columns if column is not None]
    missing = [column for column in given or CONVENTIONS[0] if column not in table.columns]
    raise FormatError(
        f"{name} has no column {', '.join(missing or given)}: cells need an id and the X and Y of a centroid, such as "
        f"{', '.join(CONVENTIONS[0])}; it has {listed(table.columns)}"
    )


@dataclass(frozen=True)
class _Table:
    """Columns of a table, to be read when they are chosen: it may have hundreds, of which three are needed."""

    columns: list[str]
    read: Callable[[list[str]], pd.DataFrame]
    spatial: Array | None = None


def _ids(table: _Table, given: str | None, name: str) -> Any:
    found = [column for column in ([given] if given else IDS) if column in table.columns]
    read = table.read(found[:1])
    if found:
        return read[found[0]]
    if given is None and pd.to_numeric(pd.Series(read.index), errors="coerce").notna().all():
        return read.index.to_series()
    raise FormatError(f"{name} has no column {given or IDS[0]} with the ids of its cells in obs")


def _of_frame(frame: pd.DataFrame, spatial: Any = None) -> _Table:
    place = None if spatial is None else np.asarray(spatial, float)
    return _Table([str(column) for column in frame.columns], lambda columns: frame[columns], place)


def _open_table(source: Any, name: str) -> _Table:
    if isinstance(source, pd.DataFrame):
        return _of_frame(source)
    if hasattr(source, "obs") and hasattr(source, "obsm"):
        return _of_frame(source.obs, source.obsm.get("spatial"))
    if not isinstance(source, (str, Path)):
        raise FormatError(f"{name} is no table of cells: give a path, a DataFrame or an AnnData")
    path = Path(source).expanduser()
    if not path.exists():
        raise FormatError(f"{path} does not exist")
    try:
        return _open_path(path)
    except FormatError:
        raise
    except Exception as error:  # every format has errors of its own
        raise FormatError(f"{name} cannot be read as a table: {error}") from error


def _open_path(path: Path) -> _Table:
    from kithkin.io.images import zarr

    if path.is_dir() or zarr.is_zarr(path):
        from kithkin.core.arrays import open_group

        return _of_anndata(open_group(path))
    with path.open("rb") as file:
        start = file.read(8)
    if start == HDF5:
        import h5py

        with h5py.File(path) as group:
            return _of_anndata(group)
    if start[:4] == PARQUET:
        parquet = need("pyarrow.parquet", "all", "reading Parquet")
        return _Table(list(parquet.read_schema(path).names), partial(_read_parquet, path))
    if not start:
        raise FormatError(f"{path.name} is empty")
    settings: dict[str, Any] = {
        "sep": _separator(path, is_gzip(path)),
        "compression": "gzip" if is_gzip(path) else None,
    }
    header = pd.read_csv(path, nrows=0, encoding="utf-8-sig", **settings)
    return _Table([str(column) for column in header.columns], partial(_read_text, path, settings))


def _read_parquet(path: Path, columns: list[str]) -> pd.DataFrame:
    return pd.read_parquet(path, columns=columns)


def _read_text(path: Path, settings: dict[str, Any], columns: list[str]) -> pd.DataFrame:
    try:
        read: pd.DataFrame = pd.read_csv(
            path, usecols=columns, float_precision="round_trip", encoding="utf-8-sig", **settings
        )
    except ValueError as error:  # the parser's own class is one
        raise FormatError(f"{path.name} cannot be read as a table: {error}") from error
    return read


def _separator(path: Path, packed: bool) -> str:
    import gzip

    opener: Any = gzip.open if packed else open
    with opener(path, "rt", encoding="utf-8-sig") as file:
        header = file.readline()
    return max(",\t;", key=header.count)


def _of_anndata(group: Any) -> _Table:
    import anndata

    spatial = anndata.io.read_elem(group["obsm/spatial"]) if "obsm/spatial" in group else None
    return _of_frame(anndata.io.read_elem(group["obs"]), spatial)


def _checked(name: str, ids: Any, x: Any, y: Any) -> Cells:
    ids, x, y = (pd.Series(np.asarray(values)) for values in (ids, x, y))
    if not len(ids):
        raise FormatError(f"{name} has no cells")
    numbers = pd.to_numeric(ids, errors="coerce")
    odd = numbers.isna() | (numbers % 1 != 0)
    if odd.any():
        raise FormatError(f"{name}: ids of cells must be whole numbers, got {listed(ids[odd])}")
    whole = numbers.astype(np.int64).to_numpy()
    twice = pd.unique(whole[pd.Series(whole).duplicated()])
    if len(twice):
        raise FormatError(f"{name} names {counted(twice, 'id')} more than once: {listed(twice)}")
    centres = [pd.to_numeric(values, errors="coerce").to_numpy(float) for values in (x, y)]
    lost = whole[~np.isfinite(centres[0]) | ~np.isfinite(centres[1])]
    if len(lost):
        raise FormatError(f"{name}: {counted(lost, 'cell')} without a centroid: {listed(lost)}")
    return Cells(name, whole, *centres)
