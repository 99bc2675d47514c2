"""Matrix Market: the directories that 10x Genomics' and STAR's counting writes, or one file alone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array, Block, SparseRows
from kithkin.core.budget import BLOCK_BYTES
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.io.formats.features import FeatureSplit
from kithkin.io.formats.mtx_entries import BANNER, EntryReader, Header, read_header
from kithkin.io.source import Source
from kithkin.io.streams.checks import Place, tidy_rows, whole_values
from kithkin.io.streams.textfile import head, read_lines
from kithkin.io.streams.transpose import sort_triplets

ENTRY_BYTES = 32  # an entry in the reader's buffers, and again in the block that is made of it
MATRIX = re.compile(r"matrix\.mtx(\.gz)?$")
INTERVAL = ("chromosome", "start", "end")


class OutOfOrder(FormatError):  # noqa: N818  (a message to the caller more than an error)
    """Rows that were handed out already turned out not to be whole: ask the same source for X again.

    A file whose head is sorted by cell is streamed as it is read. If a later line goes back to an earlier cell, this is
    raised once, and from then on the source sorts the entries on disk.

    Examples
    --------
    >>> issubclass(OutOfOrder, FormatError)
    True
    """


@dataclass(frozen=True)
class _Files:
    matrix: Path
    features: Path | None
    barcodes: Path | None


def _is_matrix(path: Path) -> bool:
    return path.is_file() and head(path, len(BANNER)).lower() == BANNER


def sniff(source: Any) -> bool:
    r"""Whether a path is a Matrix Market file or a folder that holds one.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n1 1 0\n")
    >>> sniff(folder), sniff(folder / "matrix.mtx"), sniff(folder / "absent")
    (True, True, False)
    """
    if not isinstance(source, (str, Path)):
        return False
    path = Path(source)
    return any(map(_is_matrix, path.iterdir())) if path.is_dir() else _is_matrix(path)


def _find_matrix(path: Path) -> Path:
    """The one matrix of a folder; the one with 10x Genomics' name where there are others."""
    if not path.is_dir():
        return path
    found = sorted(filter(_is_matrix, path.iterdir()))
    if len(found) > 1:
        found = [file for file in found if MATRIX.fullmatch(file.name)] or found
    if len(found) != 1:
        names = ", ".join(file.name for file in found)
        raise FormatError(
            f"{path.name} holds {len(found)} matrices, name one of them: {names or 'no Matrix Market file'}"
        )
    return found[0]


def _find_files(path: Path) -> _Files:
    matrix = _find_matrix(path)
    prefix = MATRIX.sub("", matrix.name) if MATRIX.search(matrix.name) else ""

    def beside(*names: str) -> Path | None:
        ends = (".gz", "") if matrix.name.endswith(".gz") else ("", ".gz")
        candidates = [matrix.parent / f"{prefix}{name}.tsv{end}" for name in names for end in ends]
        return next(filter(Path.is_file, candidates), None)

    return _Files(matrix, beside("features", "genes"), beside("barcodes"))


def _read_rows(path: Path | None) -> list[list[str]] | None:
    if path is None:
        return None
    lines = list(read_lines(path))
    while lines and not lines[-1]:
        lines.pop()
    return [line.split("\t") for line in lines]


def _cells_first(header: Header, files: _Files, n_features: int | None, n_barcodes: int | None) -> bool:
    """Whether the first number of a line names the cell; 10x Genomics' files name the gene first."""
    n_first, n_second = header.shape

    def fits(genes: int, cells: int) -> bool:
        return n_features in (None, genes) and n_barcodes in (None, cells)

    if fits(n_first, n_second):
        return False
    if fits(n_second, n_first):
        return True
    if n_features is not None and (n_features not in header.shape or n_barcodes in (None, n_second)):
        raise FormatError(f"{files.features.name} names {n_features} features, but {header.name} promises {n_first}")  # type: ignore[union-attr]
    raise FormatError(f"{files.barcodes.name} names {n_barcodes} cells, but {header.name} promises {n_second}")  # type: ignore[union-attr]


def _frame_of_features(rows: list[list[str]] | None, n_genes: int) -> pd.DataFrame:
    """Columns gene_ids, feature_types and, where given, the interval; the index holds the symbols."""
    if rows is None:
        return pd.DataFrame(index=pd.Index([str(k) for k in range(n_genes)], dtype=object))

    def column(number: int, default: str) -> list[str]:
        return [row[number] if len(row) > number else default for row in rows]

    ids = column(0, "")
    symbols = [row[1] if len(row) > 1 and row[1] else row[0] for row in rows]
    columns = {"gene_ids": ids, "feature_types": column(2, "Gene Expression")}
    if max(map(len, rows)) >= 6:
        columns |= {name: column(3 + k, "") for k, name in enumerate(INTERVAL)}
    return pd.DataFrame(columns, index=pd.Index(symbols, dtype=object), dtype=object)


def _frame_of_cells(rows: list[list[str]] | None, n_cells: int) -> pd.DataFrame:
    names = [str(k) for k in range(n_cells)] if rows is None else [row[0] for row in rows]
    return pd.DataFrame(index=pd.Index(names, dtype=object))


class _Matrix:
    """The matrix as rows of cells, whatever the order of its entries."""

    def __init__(self, header: Header, cells_first: bool) -> None:
        self._header, self._cells_first = header, cells_first
        self.n_cells, self.n_genes = header.shape if cells_first else header.shape[::-1]
        self._place = Place(header.name, "X", line="cell", across="gene", counts=True, base=1)
        self._on_disk = False  # whether entries are known to be out of order

    def _reader(self, execution: Execution) -> EntryReader:
        share = min(4 * BLOCK_BYTES, execution.memory // 8) // ENTRY_BYTES
        kinds = ("cell", "gene") if self._cells_first else ("gene", "cell")
        # a cell has at most one entry for each gene, so that a buffer this long always holds a whole one
        return EntryReader(self._header, kinds, max(share, self.n_genes + 1))

    def _filled(self, reader: EntryReader) -> tuple[Array, Array, Array]:
        first, second = reader.first[: reader.filled], reader.second[: reader.filled]
        cells, genes = (first, second) if self._cells_first else (second, first)
        return cells, genes, reader.values[: reader.filled]

    def stream(self, execution: Execution, scratch: Path | None) -> Iterator[SparseRows]:
        reader = self._reader(execution)
        try:
            if not self._on_disk:
                yield from self._in_order(reader)
            if self._on_disk:
                yield from self._sort(reader, execution, scratch)
        finally:
            reader.close()

    def _in_order(self, reader: EntryReader) -> Iterator[SparseRows]:
        """Rows as they come; ends early, with the entries still in the reader, if the first ones are out of order."""
        start, more = 0, True
        while more:
            more = reader.fill()
            cells, genes, values = self._filled(reader)
            if len(cells) and (cells[0] < start or (np.diff(cells) < 0).any()):
                self._on_disk = True
                if start:
                    raise OutOfOrder(
                        f"{self._header.name}: entries are not sorted by cell; read it again to sort them on disk"
                    )
                return
            stop = int(cells[-1]) if more else self.n_cells
            indptr = np.searchsorted(cells, np.arange(start, stop + 1, dtype=np.int32))
            count = int(indptr[-1])
            if more and not count:
                self._refuse_overfull(cells, genes, values)
            yield tidy_rows(values[:count], genes[:count], indptr, self.n_genes, self._place.moved(start))
            reader.drop(count)
            start = stop

    def _refuse_overfull(self, cells: Array, genes: Array, values: Array) -> None:
        """Find the gene that is given twice in a cell with more entries than there are genes."""
        tidy_rows(values, genes, np.array([0, len(genes)]), self.n_genes, self._place.moved(int(cells[0])))

    def _sort(self, reader: EntryReader, execution: Execution, scratch: Path | None) -> Iterator[SparseRows]:
        def chunks() -> Iterator[tuple[Array, Array, Array]]:
            while reader.fill() or reader.filled:
                cells, genes, values = self._filled(reader)
                yield cells, genes, whole_values(values, True, str)[0]
                reader.drop(reader.filled)

        yield from sort_triplets(chunks(), self.n_cells, self.n_genes, execution, scratch=scratch, place=self._place)


def open_mtx(source: str | Path) -> Source:
    r"""Open a Matrix Market file with its tables of features and cells.

    A folder holds `matrix.mtx`, `features.tsv` (version 3) or `genes.tsv` (version 2), and `barcodes.tsv`; each may be
    gzipped, and all may share a prefix, as in `GSM123_matrix.mtx.gz`. Without the tables, cells and genes are numbered
    from 0. Rows of the matrix are genes, unless the lengths of the tables say otherwise.

    Parameters
    ----------
    source
        The folder, or the matrix file.

    Returns
    -------
    Source
        X of cells x genes. `var` has gene_ids and feature_types and is indexed by symbol. Features of other types than
        Gene Expression are in `elements` as obsm/<type>, once X has been streamed.

    Raises
    ------
    FormatError
        If the head of the matrix cannot hold counts, or the tables and the matrix disagree.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "matrix.mtx").write_text("%%MatrixMarket matrix coordinate integer general\n2 1 1\n2 1 5\n")
    >>> _ = (folder / "genes.tsv").write_text("ID1\tCD3E\nID2\tCD8A\n")
    >>> source = open_mtx(folder)
    >>> next(source.tables["X"](Execution())).to_dense().tolist(), source.var.index.tolist()
    ([[0, 5]], ['CD3E', 'CD8A'])
    """
    files = _find_files(Path(source))
    header = read_header(files.matrix)
    features, barcodes = _read_rows(files.features), _read_rows(files.barcodes)
    counts = (None if rows is None else len(rows) for rows in (features, barcodes))
    matrix = _Matrix(header, _cells_first(header, files, *counts))
    obs, every = _frame_of_cells(barcodes, matrix.n_cells), _frame_of_features(features, matrix.n_genes)
    split = FeatureSplit(every.index, every.get("feature_types"))
    elements: dict[str, Any] = {}

    def stream(execution: Execution) -> Iterator[Block]:
        split.clear()
        for block in matrix.stream(execution, opened.scratch):
            yield split.take(block)
        elements.update(split.elements(obs.index))

    var = every[split.mask]
    opened = Source(header.name, len(var), {"X": stream}, obs, var, elements, list(split.notes))
    return opened
