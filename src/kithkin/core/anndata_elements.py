"""AnnData's encodings of columns, tables, mappings and scalars, written and read as anndata does."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import zarr
from numcodecs import VLenUTF8  # type: ignore[import-untyped]
from scipy import sparse
from zarr.errors import UnstableSpecificationWarning

from kithkin.core.arrays import LARGEST, open_array, open_group, read_header, stored_header
from kithkin.core.blocks import Array
from kithkin.core.chunks import NUMBERS, ChunkFiles, DamageError, read_chunk
from kithkin.core.layout import ARRAY, compressors, write_array
from kithkin.core.nodes import HEADER, WRITTEN, create_group

TEXTS = {"encoding-type": "string-array", "encoding-version": "0.2.0"}


@contextmanager
def anndata_io() -> Iterator[Any]:
    """Give anndata's readers and writers of elements; imported when asked for, as streaming does without them."""
    import anndata

    wanted = {"zarr_write_format": 3, "auto_shard_zarr_v3": False, "allow_write_nullable_strings": True}
    there = set(dir(anndata.settings))  # newer versions of anndata have left the first out
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="This setting will be removed", category=DeprecationWarning)
        settings = anndata.settings.override(**{name: value for name, value in wanted.items() if name in there})
        # structured and fixed-length text arrays, AnnData's form for marker tables, are an extension of Zarr 3
        warnings.filterwarnings("ignore", category=UnstableSpecificationWarning)
        with settings:
            yield anndata.io


def encoded(kind: str, version: str) -> dict[str, Any]:
    """Return the attributes that tell AnnData's encoding of an element."""
    return {"encoding-type": kind, "encoding-version": version}


def is_plain(frame: pd.DataFrame) -> bool:
    """Tell whether the names in a table need none of anndata's checks."""
    names = [*frame.columns, "_index" if frame.index.name is None else frame.index.name]
    plain = all(type(name) is str and "/" not in name and name not in ("", ".", "..") for name in names)
    return plain and len(set(names)) == len(names) and "_index" not in frame.columns


def write_frame(group: zarr.Group, name: str, frame: pd.DataFrame, n_rows: int) -> None:
    """Write a table with names as `is_plain` asks for, with so many rows in a chunk."""
    index = "_index" if frame.index.name is None else str(frame.index.name)
    about = {"column-order": list(frame.columns), "_index": index}
    table = create_group(group, name, {**about, **encoded("dataframe", "0.2.0")})
    named: list[tuple[Any, Any]] = [(index, frame.index), *frame.items()]
    for key, column in named:
        numpy = isinstance(column.dtype, np.dtype) and column.dtype.kind not in "mM"  # there is no form for dates
        write_column(table, str(key), column.to_numpy() if numpy else column.array, n_rows)


def write_column(group: zarr.Group, name: str, value: Any, n_rows: int) -> None:
    """Write a column, an array or a scalar as anndata does; what is rare is left to it.

    Parameters
    ----------
    group, name
        Group that receives it, and its name.
    value
        The column.
    n_rows
        Rows in a chunk.
    """
    if type(value) is np.ndarray and value.ndim and value.dtype.kind in "biuf" and value.dtype.isnative:
        write_array(group, name, value, n_rows, ARRAY)
    elif type(value) is np.ndarray and value.ndim and value.dtype.kind == "U":
        write_array(group, name, value.astype(object), n_rows, TEXTS)
    elif (
        type(value) is np.ndarray
        and value.ndim
        and value.dtype == object
        and pd.api.types.infer_dtype(value.reshape(-1), skipna=False) in ("string", "empty")
    ):
        write_array(group, name, value, n_rows, TEXTS)
    elif isinstance(value, pd.Categorical):
        column = create_group(group, name, {"ordered": bool(value.ordered), **encoded("categorical", "0.2.0")})
        write_column(column, "codes", value.codes, n_rows)
        write_column(column, "categories", value.categories.to_numpy(), n_rows)
    elif isinstance(value, (pd.arrays.IntegerArray, pd.arrays.BooleanArray)):
        kind = "nullable-integer" if isinstance(value, pd.arrays.IntegerArray) else "nullable-boolean"
        column = create_group(group, name, encoded(kind, "0.1.0"))
        plain = value.to_numpy(na_value=0, dtype=value.dtype.numpy_dtype)  # type: ignore[union-attr]
        write_column(column, "values", plain, n_rows)
        write_column(column, "mask", value.isna(), n_rows)
    elif type(value) in (str, np.str_):
        write_array(group, name, np.array(str(value), object), 1, encoded("string", "0.2.0"))
    elif (type(value) in (bool, int, float) or isinstance(value, np.generic)) and np.array(value).dtype.kind in "biuf":
        write_array(group, name, np.array(value), 1, encoded("numeric-scalar", "0.2.0"))
    else:
        codecs: dict[str, Any] = {"compressors": compressors(), "config": WRITTEN}
        if hasattr(value, "__len__") and not isinstance(value, bytes):
            widths = value.shape[1:] if isinstance(value, np.ndarray) else ()
            codecs["chunks"] = (n_rows, *(max(1, size) for size in widths))
        with anndata_io() as io:
            io.write_elem(group, name, value, dataset_kwargs=codecs)


def read_encoded(path: Path, key: str, header: Mapping[str, Any], n_files: Mapping[str, int]) -> Any:
    """Read an array, sparse matrix, column, table, mapping or scalar; None if its encoding is another.

    Parameters
    ----------
    path
        The dataset.
    key
        The element.
    header
        Its header.
    n_files
        Number of files of each array that were written, where it is known.
    """
    attributes = header["attributes"]
    encoding = attributes.get("encoding-type"), attributes.get("encoding-version")

    def part(name: str) -> Any:
        below = f"{key}/{name}"
        value = read_encoded(path, below, read_header(path, below), n_files)
        if value is None:
            with anndata_io() as io:
                value = io.read_elem(open_group(path)[below])
        return value

    match encoding:
        case ("array", _) if header.get("data_type") in NUMBERS and header["shape"]:
            return read_array(path, key, n_files)
        case ("string-array", "0.2.0") if header.get("data_type") == "string" and header["shape"]:
            return read_array(path, key, n_files)
        case ("csr_matrix" | "csc_matrix", _):
            names = [f"{key}/{name}" for name in ("data", "indices", "indptr")]
            parts = [read_array(path, name, n_files) for name in names]
            matrix = sparse.csr_matrix if encoding[0] == "csr_matrix" else sparse.csc_matrix
            return matrix((parts[0], parts[1], parts[2]), shape=tuple(attributes["shape"]))
        case ("categorical", "0.2.0"):
            categories = part("categories")
            if categories.dtype == object:  # or pandas would choose another type for texts
                categories = pd.Index(categories, dtype=object)
            return pd.Categorical.from_codes(part("codes"), categories, ordered=bool(attributes["ordered"]))
        case ("nullable-integer", "0.1.0"):
            return pd.arrays.IntegerArray(part("values"), mask=part("mask"))
        case ("nullable-boolean", "0.1.0"):
            return pd.arrays.BooleanArray(part("values"), mask=part("mask"))
        case ("dataframe", "0.2.0"):
            order, index = list(attributes["column-order"]), attributes["_index"]
            columns = {name: part(name) for name in order}
            frame = pd.DataFrame(columns, index=part(index), columns=order or None)
            frame.index.name = None if index == "_index" else index
            return frame
        case ("dict", "0.1.0") if header.get("node_type") == "group":
            names = sorted(one.name for one in Path(path, key).iterdir() if (one / HEADER).exists())
            return {name: part(name) for name in names}
        case ("string", "0.2.0") | ("numeric-scalar", "0.2.0"):
            return read_scalar(path, key, header)
    return None


def read_array(path: Path, key: str, n_files: Mapping[str, int]) -> Array:
    """Read an array of numbers or texts: in one piece what is one file in kithkin's codecs, the rest through Zarr.

    Parameters
    ----------
    path
        The dataset.
    key
        The array.
    n_files
        Number of files of each array that were written, where it is known.

    Raises
    ------
    DamageError
        If its header or a file is not what was written.
    """
    header = read_header(path, key)
    stored, texts = stored_header(header), header.get("data_type") == "string"
    files = ChunkFiles.of(stored)
    out: Array = np.empty(files.shape, object if texts else files.values or np.uint8)
    if files.n_files == 1 and out.size <= LARGEST and _is_plain(stored) and (texts or files.decodes(out)):
        file = "/".join((str(path), key, "c", *("0" for _ in files.shape)))
        try:
            if texts:
                out = VLenUTF8().decode(read_chunk(file)).reshape(files.outer)[: files.shape[0]]
            else:
                files.decode(file, slice(0, files.shape[0]), out)
        except FileNotFoundError:
            if n_files.get(key):
                raise DamageError("its file 0 is missing") from None
            out[...] = "" if texts else 0
    else:
        array = open_array(path, key, n_files=n_files.get(key))
        out = np.asarray(array[...]) if array.size else np.empty(array.shape, array.dtype)
    return out.astype(object if texts else np.dtype(str(header["data_type"])), copy=False)


def _is_plain(header: Mapping[str, Any]) -> bool:
    """Tell whether the files of an array have the names that Zarr gives by default, and texts the codecs of kithkin."""
    names = dict(header.get("chunk_key_encoding", {}))
    codecs = [codec["name"] for codec in header["codecs"]]
    texts = codecs == ["vlen-utf8", "blosc", "crc32c"] or header.get("data_type") != "string"
    return texts and names == {"name": "default", "configuration": {"separator": "/"}}


def read_scalar(path: Path, key: str, header: Mapping[str, Any]) -> Any:
    """Read a scalar in kithkin's codecs; None if they are others."""
    files, texts = ChunkFiles.of(header), header.get("data_type") == "string"
    if files.shape or not _is_plain(header) or not (texts or files.values):
        return None
    content = read_chunk(f"{path}/{key}/c")
    return VLenUTF8().decode(content)[0] if texts else np.frombuffer(content, files.values)[0].item()
