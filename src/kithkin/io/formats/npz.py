"""NumPy's files, read as streams: .npz with a dense X or a SciPy matrix, and .npy with one table."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, SparseRows
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats.npz_member import ENDING, Flat, Member
from kithkin.io.formats.pixel_names import numbered, pixel_table
from kithkin.io.source import BlockStream, Deferred, Source
from kithkin.io.streams.annotation import texts
from kithkin.io.streams.checks import Place, check_shape, check_size
from kithkin.io.streams.compressed import open_compressed
from kithkin.io.streams.dense import dense_rows
from kithkin.io.streams.sequential import read_slice
from kithkin.io.streams.stored_table import transposed
from kithkin.io.streams.transpose import sort_triplets, values_at_once

NPY, ZIP = b"\x93NUMPY", b"PK\x03\x04"


def sniff(source: Any) -> bool:
    """Tell whether a path is a .npy file, or a .npz archive, by its content."""
    if not Path(source).is_file():
        return False
    with Path(source).open("rb") as file:
        start = file.read(512)
    # the name of the first member follows the fixed 30 bytes of its header: a truncated archive is still known by it
    length = int.from_bytes(start[26:28], "little")
    return start.startswith(NPY) or (start.startswith(ZIP) and start[30 : 30 + length].endswith(ENDING.encode()))


def _dense(array: Any, name: str, key: str) -> Source:
    notes, shape = [], array.shape
    is_image = len(shape) > 2 and min(shape) > 0
    if is_image:
        notes.append(f"{key} is {' x '.join(map(str, shape))}: each row is {int(np.prod(shape[1:]))} numbers")
        array = Flat(array)
    if array.dtype.kind not in "buif":
        raise FormatError(f"{name}: {key} must hold numbers, it holds {array.dtype}")
    n_rows, n_columns = check_shape(array.shape, name, key)
    place = Place(name, key, missing=not is_image)
    tables: dict[str, BlockStream] = {"X": partial(dense_rows, array, place)}
    obs = numbered(n_rows, "image" if is_image else "")
    var = pixel_table(shape[1:]) if is_image else numbered(n_columns)
    return Source(name, n_columns, tables, obs, var, notes=notes, of_counts=False)


def _open_arrays(path: Path, arrays: dict[str, Member]) -> Source:
    tables = [key for key, array in arrays.items() if len(array.shape) >= 2]
    if "X" not in arrays and len(tables) != 1:
        present = ", ".join(tables) or "none"
        raise FormatError(f"{path.name} must hold an array X, or one table only. Tables: {present}")
    key = "X" if "X" in arrays else tables[0]
    source = _dense(arrays.pop(key), path.name, key)
    n_rows, left = len(source.obs), []
    for other, array in arrays.items():
        if array.shape[:1] != (n_rows,) or len(array.shape) > 2 or array.dtype.kind not in "buifUS":
            left.append(other)
        elif len(array.shape) == 1:
            values = read_slice(array, slice(None), path.name, other)
            source.obs[other] = texts(values) if values.dtype.kind in "US" else values.copy()
        else:
            read = partial(read_slice, array, slice(None), path.name, other)
            source.elements[f"obsm/{other}"] = Deferred(read)
    if left:
        source.notes.append(f"left out, because they do not have {n_rows} rows: {', '.join(left)}")
    return source


def _open_sparse(path: Path, arrays: dict[str, Member]) -> Source:
    name = path.name
    with np.load(path, allow_pickle=False) as archive:
        text = archive["format"].item()
    form = text.decode() if isinstance(text, bytes) else str(text)
    n_rows, n_columns = check_shape(read_slice(arrays["shape"], slice(None), name, "shape"), name)
    needed = ("row", "col", "data") if form == "coo" else ("data", "indices", "indptr")
    if form not in ("csr", "csc", "coo") or not set(needed) <= set(arrays):
        raise FormatError(f"{name} holds a SciPy matrix of format {form!r}; save it as csr, csc or coo")
    lengths = {key: array.shape for key, array in arrays.items() if key in needed and key != "indptr"}
    if len(set(lengths.values())) > 1 or any(len(shape) != 1 for shape in lengths.values()):
        listed = ", ".join(f"{key} has {' x '.join(map(str, shape)) or 'no'}" for key, shape in lengths.items())
        raise FormatError(f"{name}: its arrays must have one length: {listed}")
    check_size((n_rows, n_columns), len(arrays["data"]), name)
    source = Source(name, n_columns, {}, numbered(n_rows), numbered(n_columns))
    if form == "coo":
        source.tables["X"] = partial(_stream_triplets, arrays, source, (n_rows, n_columns))
        return source
    lines, width = (n_rows, n_columns) if form == "csr" else (n_columns, n_rows)
    place = Place(name, "X") if form == "csr" else Place(name, "X", line="column", across="row")
    table = open_compressed(arrays, lines, width, place)
    source.tables["X"] = table.blocks if form == "csr" else partial(transposed, source, table)
    return source


def _stream_triplets(
    arrays: dict[str, Member], source: Source, shape: tuple[int, int], execution: Execution
) -> Iterator[SparseRows]:
    for key, kinds in (("row", "iu"), ("col", "iu"), ("data", "buif")):
        if arrays[key].dtype.kind not in kinds:
            raise FormatError(f"{source.name}: {key} must hold numbers, it holds {arrays[key].dtype}")

    def chunks() -> Iterator[tuple[Array, Array, Array]]:
        step, length = values_at_once(execution), len(arrays["data"])
        for start in range(0, length, step):
            rows, columns, values = (
                read_slice(arrays[key], slice(start, start + step), source.name, key) for key in ("row", "col", "data")
            )
            for places, limit, what in ((rows, shape[0], "row"), (columns, shape[1], "column")):
                wrong = (places < 0) | (places >= limit)
                if wrong.any():
                    k = int(wrong.argmax())
                    raise FormatError(
                        f"{source.name}: entry {start + k} names {what} {places[k]}, but {what}s are 0 to {limit - 1}"
                    )
            yield rows, columns, values

    yield from sort_triplets(chunks(), *shape, execution, scratch=source.scratch, place=Place(source.name, "X"))


def open_npz(source: str | Path) -> Source:
    """Open a .npz or .npy file.

    A .npz holds a dense array X (or one table of any name), with arrays of the same length going to obs (one dimension)
    or obsm (two) under their own names; or it is as scipy.sparse.save_npz writes it (csr, csc or coo). A .npy holds one
    table. Rows with several dimensions, such as images, become rows of numbers, named image0, image1, ...; the pixels
    of n x rows x columns are named pixel_0_0, pixel_0_1, ... with var["row"] and var["column"]. Raises FormatError if
    it is damaged, or holds no table of numbers or several.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "digits.npz"
    >>> np.savez(path, X=np.eye(2), y=np.array([4, 7]))
    >>> opened = open_npz(path)
    >>> next(opened.tables["X"](Execution())).tolist(), opened.obs["y"].tolist()
    ([[1, 0], [0, 1]], [4, 7])
    """
    path = Path(source)
    with path.open("rb") as file:
        is_npy = file.read(len(NPY)) == NPY
    if is_npy:
        try:
            array = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise FormatError(f"{path.name} cannot be read, the file is truncated or damaged: {error}") from error
        return _dense(array, path.name, "the array")
    try:
        with zipfile.ZipFile(path) as archive:
            keys = [name.removesuffix(ENDING) for name in archive.namelist() if name.endswith(ENDING)]
    except zipfile.BadZipFile as error:
        raise FormatError(f"{path.name} is truncated or damaged: {error}") from error
    arrays = {key: Member(path, key) for key in keys}
    is_sparse = {"format", "shape", "data"} <= set(keys) and arrays["format"].shape == ()
    opened = _open_sparse(path, arrays) if is_sparse else _open_arrays(path, dict(arrays))

    def close() -> None:
        for array in arrays.values():
            array.close()

    opened.close = close
    return opened
