"""Table of the cells of an image: their ids and centroids, by the names that programs give them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError
from kithkin.io.streams.sequential import reason_of
from kithkin.io.streams.textfile import TextFile, compression_of, encoding_of
from kithkin.optional import need

log = logging.getLogger("kithkin")
# id, x, y: mcmicro (and kithkin); steinbock with centroids; regionprops, whose last axes are y and x in any number of
# dimensions; CellProfiler; QuPath in pixels; plain
CONVENTIONS = (
    ("CellID", "X_centroid", "Y_centroid"),
    ("label", "centroid-3", "centroid-2"),
    ("label", "centroid_3", "centroid_2"),
    ("Object", "centroid-2", "centroid-1"),
    ("label", "centroid-2", "centroid-1"),
    ("label", "centroid_2", "centroid_1"),
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
DECIMAL_COMMA = r"\s*-?\d+,\d+\s*"
SHOWN = 10  # ids named in a message
IMAGES = ("Image", "image", "image_name", "fov", "FOV", "roi", "ROI", "region", "library_id", "sample", "sample_id")
IDS = ("CellID", "cell_id", "instance_id", "region_id", "label", "Object", "ObjectNumber")


@dataclass(frozen=True)
class Cells:
    """Cells in the order of their table."""

    name: str  # of the table, for messages
    ids: Array  # labels in the mask, int64, each once
    x: Array  # centroids in pixels, float64
    y: Array


def listed(ids: Any) -> str:
    """List the first few ids, and say how many more there are."""
    ids = list(ids)
    more = f" and {len(ids) - SHOWN:,} more" if len(ids) > SHOWN else ""
    return ", ".join(str(k) for k in ids[:SHOWN]) + more


def counted(ids: Sequence[Any] | Array, one: str) -> str:
    """Say how many cells have a fault: a cell, or 3 cells."""
    return f"{len(ids):,} {one}{'' if len(ids) == 1 else 's'}"


def read_cells(
    source: Any,
    columns: Sequence[str | None] = (None, None, None),
    image_column: str | None = None,
    images: Sequence[str] = (),
) -> Cells:
    """Read ids and centroids of cells.

    The source is CSV, TSV (gzipped or not), Parquet, h5ad, AnnData in Zarr, a DataFrame or an AnnData. `columns` names
    the ids, X and Y; None: the usual names of mcmicro, steinbock, CellProfiler, QuPath and squidpy. In a table of
    several images `image_column` tells the image of each cell, None: one of the usual names, if it has the name of this
    image; `images` are the names by which the table may call this image. Raises FormatError if it cannot be read,
    columns are missing, there are no cells, or ids or centroids are missing or twice there.
    """
    name = Path(source).name if isinstance(source, (str, Path)) else f"the {type(source).__name__}"
    table = _open_table(source, name)
    rows = _rows_of_image(table, name, image_column, images)
    if table.spatial is not None and columns[1] is None and columns[2] is None:
        named = [column for column in (columns[:1] if columns[0] else IDS) if column in table.columns]
        obs = table.read(named[:1])
        if not named and (columns[0] is not None or pd.to_numeric(pd.Series(obs.index), errors="coerce").isna().any()):
            raise FormatError(
                f"{name} has no column {columns[0] or IDS[0]} with the ids of its cells in obs: name it with id_column"
            )
        ids = np.asarray(obs[named[0]] if named else obs.index)
        return _check_cells(name, ids[rows], *table.spatial[rows, :2].T)
    for convention in CONVENTIONS:
        wanted = [given or usual for given, usual in zip(columns, convention, strict=True)]
        if set(wanted) <= set(table.columns):
            read = table.read(wanted)
            if columns[1] is None and columns[2] is None:
                _check_plane(table, wanted, rows, name)
            return _check_cells(name, *(np.asarray(read[column])[rows] for column in wanted))
    given = [column for column in columns if column is not None]
    missing = [column for column in given or CONVENTIONS[0] if column not in table.columns]
    raise FormatError(
        f"{name} has no column {', '.join(missing or given)}: cells need an id and the X and Y of a centroid, such as "
        f"{', '.join(CONVENTIONS[0])}; it has {listed(table.columns)}. Name them with id_column, x_column and y_column"
    )


def _check_plane(table: _Table, wanted: list[str], rows: Any, name: str) -> None:
    """Refuse centroids in three dimensions or more, unless all cells lie in the first plane."""
    _, x, y = wanted
    stem, number = y[:-1], y[-1]
    axes = [f"{stem}{axis}" for axis in range(int(number))] if x[:-1] == stem and number.isdigit() else []
    deep = [
        axis for axis in axes if axis in table.columns and np.asarray(table.read([axis])[axis], dtype=float)[rows].any()
    ]
    if deep:
        raise FormatError(
            f"{name} has centroids in {len(axes) + 2} dimensions, and cells outside the first plane ({deep[0]} is not "
            f"0): for the plane of an image name its columns, with x_column={x!r} and y_column={y!r}"
        )


@dataclass(frozen=True)
class _Table:
    """Columns of a table, to be read when they are chosen: it may have hundreds, of which three are needed."""

    columns: list[str]
    read: Callable[[list[str]], pd.DataFrame]
    spatial: Array | None = None


def _rows_of_image(table: _Table, name: str, column: str | None, images: Sequence[str]) -> Any:
    """Select the rows of one image in a table of several."""
    everything = slice(None)
    if column is not None and column not in table.columns:
        raise FormatError(f"{name} has no column {column}, which should name the image of each cell")
    column_ = column or next((usual for usual in IMAGES if usual in table.columns), None)
    if column_ is None or not images:
        return everything
    values = table.read([column_])[column_].astype(str).to_numpy(dtype=object)
    rows: Array = np.isin(values, list(images))
    distinct = list(dict.fromkeys(values))
    if not rows.any() and column is not None:
        raise FormatError(f"{name} has no cell with {column} {' or '.join(images)}: it has {listed(distinct)}")
    if not rows.any() and len(distinct) > 1:
        log.warning("%s: no %s is called %s, so all of its cells are taken", name, column_, " or ".join(images))
    if rows.any() and not rows.all():
        log.warning("%s: %d of %d cells are of %s", name, rows.sum(), len(rows), values[rows.argmax()])
    return rows if rows.any() else everything


def _of_frame(frame: pd.DataFrame, spatial: Any = None, name: str = "") -> _Table:
    """Make a table of a DataFrame, and of coordinates if there are any."""
    place = None if spatial is None else np.asarray(spatial, float)
    if place is not None and (place.ndim != 2 or place.shape[1] < 2 or len(place) != len(frame)):
        raise FormatError(f"{name}: obsm/spatial has the shape {place.shape}, not {len(frame)} x 2")
    frame = frame.set_axis([str(column) for column in frame.columns], axis=1)
    return _Table(list(frame.columns), lambda columns: frame[columns], place)


def _open_table(source: Any, name: str) -> _Table:
    """Open a table of any kind; files and folders are told by their content."""
    if isinstance(source, pd.DataFrame):
        return _of_frame(source)
    if hasattr(source, "obs") and hasattr(source, "obsm"):
        return _of_frame(source.obs, source.obsm.get("spatial"), name)
    if not isinstance(source, (str, Path)):
        raise FormatError(f"{name} is not a table of cells: give a path, a DataFrame or an AnnData")
    path = Path(source).expanduser()
    if not path.exists():
        raise FormatError(f"{path} does not exist")
    try:
        from kithkin.io.images import zarr

        if path.is_dir() or zarr.is_zarr(path):
            from kithkin.core.arrays import open_group

            return _of_anndata(open_group(path), path.name)
        with path.open("rb") as file:
            start = file.read(8)
        if start == HDF5:
            import h5py

            with h5py.File(path) as group:
                return _of_anndata(group, path.name)
        if start[:4] == PARQUET:
            parquet = need("pyarrow.parquet", "all", "reading Parquet")
            reading = partial(pd.read_parquet, path)
            return _Table(list(parquet.read_schema(path).names), lambda columns: _read(reading, path, columns=columns))
        if not start:
            raise FormatError(f"{path.name} is empty")
        with TextFile(path) as text:
            separator = max(",\t;", key=text.readline().decode().count)
        settings: dict[str, Any] = {
            "sep": separator,
            "compression": compression_of(path),
            "encoding": encoding_of(path),
        }
        header = pd.read_csv(path, nrows=0, **settings)
        text_reading: Any = partial(pd.read_csv, path, float_precision="round_trip", **settings)

        def read(columns: list[str]) -> pd.DataFrame:
            table: pd.DataFrame = _read(text_reading, path, usecols=columns)
            for column in table.columns if separator == ";" else []:
                if table[column].dtype.kind == "O" and table[column].astype(str).str.fullmatch(DECIMAL_COMMA).any():
                    table[column] = table[column].astype(str).str.replace(",", ".")
            return table

        return _Table([str(column) for column in header.columns], read)
    except FormatError:
        raise
    except Exception as error:  # every format has errors of its own
        raise FormatError(f"{name} cannot be read as a table: {reason_of(error)}") from error


def _read(reading: Callable[..., pd.DataFrame], path: Path, **columns: list[str]) -> pd.DataFrame:
    """Read columns; damage beyond the header is met only now."""
    try:
        return reading(**columns)
    except Exception as error:  # every format has errors of its own
        raise FormatError(f"{path.name} cannot be read as a table: {reason_of(error)}") from error


def _of_anndata(group: Any, name: str) -> _Table:
    """Make a table of the obs and the coordinates of an AnnData on disk."""
    import anndata

    spatial = anndata.io.read_elem(group["obsm/spatial"]) if "obsm/spatial" in group else None
    return _of_frame(anndata.io.read_elem(group["obs"]), spatial, name)


def _check_cells(name: str, ids: Any, x: Any, y: Any) -> Cells:
    """Check ids and centroids."""
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
        raise FormatError(
            f"{name} names {counted(twice, 'id')} more than once: {listed(twice)}. "
            "In a table of several images, name the column of the image with image_column"
        )
    centres = [pd.to_numeric(values, errors="coerce").to_numpy(float) for values in (x, y)]
    lost = whole[~np.isfinite(centres[0]) | ~np.isfinite(centres[1])]
    if len(lost):
        raise FormatError(f"{name}: {counted(lost, 'cell')} without a centroid: {listed(lost)}")
    return Cells(name, whole, centres[0], centres[1])
