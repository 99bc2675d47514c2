"""IDX, the format of MNIST and its kin: a big-endian header, then numbers; images and their labels are two files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, even_ranges
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats.pixel_names import numbered, pixel_table
from kithkin.io.source import Source
from kithkin.io.streams.checks import Place, check_shape, tidy_dense
from kithkin.io.streams.dense import band
from kithkin.io.streams.textfile import TextFile, compression_of, head, most_bytes

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MAGIC_BYTES, SIZE_BYTES = 4, 4
ENDING = re.compile(r"([-._]idx\d+)?([-._](u?byte|short|int|float|double))?(\.(idx|bin))?(\.gz)?$", re.IGNORECASE)
IMAGES = re.compile(r"images?|imgs?")


def _is_idx(path: Path) -> bool:
    magic = head(path, MAGIC_BYTES) if path.is_file() else b""
    return len(magic) == MAGIC_BYTES and magic[:2] == b"\0\0" and magic[2] in TYPES and magic[3] > 0


def sniff(source: Any) -> bool:
    """Tell whether a path is an IDX file, gzipped or not, or a folder that holds one."""
    path = Path(source)
    return any(map(_is_idx, path.iterdir())) if path.is_dir() else _is_idx(path)


def _head_bytes(n_dimensions: int) -> int:
    return MAGIC_BYTES + SIZE_BYTES * n_dimensions


@dataclass(frozen=True)
class Idx:
    """An IDX file whose header has been read."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]  # big-endian, as stored

    @property
    def row_bytes(self) -> int:
        """Bytes of one image."""
        return prod(self.shape[1:]) * self.dtype.itemsize

    def bands(self, rows: int) -> Iterator[Array]:
        """Stream so many rows at a time, in the machine's byte order, each row flat.

        Raises FormatError if the numbers break off, or go on after the last row; a plain file is held to its size
        before.
        """
        with TextFile(self.path) as file:
            header = bytearray(_head_bytes(len(self.shape)))
            self._fill(file, header, 0, len(header))
            for start, stop in even_ranges(self.shape[0], rows):
                data = bytearray((stop - start) * self.row_bytes)
                self._fill(file, data, start, self.row_bytes)
                values = np.frombuffer(data, self.dtype).reshape(stop - start, -1)
                yield values.astype(self.dtype.newbyteorder("="), copy=False)
            if self._more(file, memoryview(bytearray(1)), self.shape[0]):
                raise FormatError(f"{self.path.name} goes on after the {self._promise()}")

    def _fill(self, file: TextFile, data: bytearray, start: int, row_bytes: int) -> None:
        done, rest = 0, memoryview(data)
        while done < len(data):
            row = start + done // row_bytes
            count = self._more(file, rest[done:], row)
            if not count:
                raise FormatError(f"{self.path.name} is truncated: it ends in row {row:,} of the {self._promise()}")
            done += count

    def _more(self, file: TextFile, buffer: memoryview, row: int) -> int:
        try:
            return file.readinto(buffer)
        except FormatError as error:
            if not isinstance(error.__cause__, EOFError):
                raise
            what = f"its compressed stream breaks off at row {row:,} of the {self._promise()}"
            raise FormatError(f"{self.path.name} is truncated: {what}") from error

    def _promise(self) -> str:
        return f"{self.shape[0]:,} that its header promises"


def read_header(path: Path) -> Idx:
    """Read the header of an IDX file, and hold it against the size of the file.

    Raises FormatError if it is not IDX, or the sizes in the header do not agree with the size of the file.
    """
    if not _is_idx(path):
        begins = head(path, MAGIC_BYTES).hex(" ") or "nothing that can be unpacked"
        raise FormatError(f"{path.name} is not an IDX file: it begins with {begins}")
    magic = head(path, MAGIC_BYTES)
    length = _head_bytes(magic[3])
    sizes = head(path, length)[MAGIC_BYTES:]
    if len(sizes) < length - MAGIC_BYTES:
        raise FormatError(f"{path.name} is truncated: its header of {length} bytes breaks off")
    images = Idx(path, tuple(np.frombuffer(sizes, ">u4").tolist()), np.dtype(TYPES[magic[2]]))
    promised, size = length + prod(images.shape) * images.dtype.itemsize, path.stat().st_size
    says = f"its header promises {' x '.join(map(str, images.shape))} numbers"
    if compression_of(path) is not None:
        if promised > most_bytes(path) + length:
            raise FormatError(f"{path.name} is truncated or damaged: {says}, more than {size:,} packed bytes can hold")
    elif size != promised:
        what = "truncated" if size < promised else "damaged"
        raise FormatError(f"{path.name} is {what}: {says}, {promised:,} bytes in all, but it has {size:,}")
    return images


def _stem(path: Path) -> str:
    return ENDING.sub("", path.name).lower()


def _preferred(paths: list[Path], like: Path | None = None) -> list[Path]:
    """One path of each name: where a file lies there both plain and gzipped, the one like another, or the plain one."""
    gzipped = like is not None and like.name.endswith(".gz")
    order = sorted(paths, key=lambda path: (path.name.endswith(".gz") != gzipped, path.name))
    kept: dict[str, Path] = {}
    for path in order:
        kept.setdefault(path.name.removesuffix(".gz"), path)
    return sorted(kept.values())


def _labels_beside(images: Path) -> Path | None:
    """Find the labels that belong to images by their name: train-labels-idx1-ubyte to train-images-idx3-ubyte."""
    wanted = {IMAGES.sub(word, _stem(images)) for word in ("labels", "label")} - {_stem(images)}
    beside = [path for path in images.parent.iterdir() if _stem(path) in wanted and path.is_file()]
    return next(iter(_preferred(beside, images)), None)


def _find_pair(path: Path) -> tuple[Path, Path | None]:
    """Find the file of images and, if there is one, that of their labels."""
    if not path.is_dir():
        return path, _labels_beside(path)
    files = _preferred([file for file in path.iterdir() if _is_idx(file)])
    dimensions = {file: head(file, MAGIC_BYTES)[3] for file in files}
    highest = max(dimensions.values())
    images = [file for file in files if dimensions[file] == highest]
    if highest == 1:
        raise FormatError(f"{path.name} holds labels but no images: {', '.join(file.name for file in files)}")
    if len(images) > 1:
        raise FormatError(
            f"{path.name} holds {len(images)} files of images, name one of them: "
            + ", ".join(file.name for file in images)
        )
    labels = [file for file in files if dimensions[file] == 1]
    return images[0], _labels_beside(images[0]) or (labels[0] if len(labels) == 1 else None)


def open_idx(source: str | Path) -> Source:
    r"""Open the images of an IDX file, with their labels where they are found.

    Values stay as they are stored, dense. Images (three dimensions or more) are named image0, image1, ..., and their
    pixels pixel_0_0, pixel_0_1, ... with var["row"] and var["column"]; tables of two dimensions are only numbered. The
    source is the file of the images, or a folder that holds one, plain or gzipped. The labels are the file of the same
    name with "labels" for "images" beside it (train-labels-idx1-ubyte to train-images-idx3-ubyte), or the only file of
    labels in the folder: whole numbers become the categories of obs["label"], in their order. The format is described
    in Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database of handwritten digits". Raises FormatError if a file is
    damaged, holds no images, or there is not one label for each image.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "two-images").write_bytes(b"\0\0\x08\x03\0\0\0\x02\0\0\0\x01\0\0\0\x02" + bytes([7, 0, 0, 9]))
    >>> _ = (folder / "two-labels").write_bytes(b"\0\0\x08\x01\0\0\0\x02" + bytes([4, 1]))
    >>> opened = open_idx(folder / "two-images")
    >>> next(opened.tables["X"](Execution())).tolist(), opened.obs["label"].tolist(), opened.var["column"].tolist()
    ([[7, 0], [0, 9]], ['4', '1'], [0, 1])
    """
    path, beside = _find_pair(Path(source))
    images = read_header(path)
    name = path.name
    if len(images.shape) == 1:
        raise FormatError(f"{name} holds one number for each row, such as labels: name the file of the images")
    n_rows, n_columns = check_shape((images.shape[0], prod(images.shape[1:])), name)
    is_table = len(images.shape) == 2
    obs = numbered(n_rows, "" if is_table else "image")
    var = numbered(n_columns) if is_table else pixel_table(images.shape[1:])

    def stream(execution: Execution) -> Iterator[Array]:
        place, start = Place(name, "X"), 0
        for values in images.bands(band(n_rows, images.row_bytes, 1, execution)):
            yield tidy_dense(values.reshape(-1, n_columns), place.moved(start))
            start += len(values)

    opened = Source(name, n_columns, {"X": stream}, obs, var)
    labels = None if beside is None else read_header(beside)
    if labels is not None and len(labels.shape) != 1:
        what = f"{' x '.join(map(str, labels.shape))} numbers, not one for each image"
        opened.notes.append(f"{labels.path.name} was left out: it holds {what}")
    elif labels is not None:
        if labels.shape[0] != n_rows:
            raise FormatError(f"{labels.path.name} holds {labels.shape[0]:,} labels, but {name} {n_rows:,} images")
        numbers = np.concatenate(list(labels.bands(n_rows))).ravel()
        classes, codes = np.unique(numbers, return_inverse=True)
        names = pd.Index(classes.astype(str), dtype=object)
        obs["label"] = numbers if numbers.dtype.kind == "f" else pd.Categorical.from_codes(codes, categories=names)
    return opened
