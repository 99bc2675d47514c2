"""Matrix Market: the directories that 10x Genomics' and STAR's counting writes, or one file alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array, Block, SparseRows, even_ranges
from kithkin.core.budget import BLOCK_BYTES
from kithkin.core.errors import FormatError
from kithkin.core.execute import Execution
from kithkin.core.layout import index_dtype
from kithkin.io.formats.features import FeatureSplit
from kithkin.io.formats.mtx_entries import BANNER, EntryReader, Header, read_header
from kithkin.io.formats.mtx_names import MATRIX, find_names, frame_of_cells, frame_of_features
from kithkin.io.source import Source
from kithkin.io.streams.checks import Place, tidy_rows, whole_values
from kithkin.io.streams.textfile import head
from kithkin.io.streams.transpose import sort_triplets

ENTRY_BYTES = 32  # an entry in the reader's buffers, and again in the block that is made of it
EMPTY_ROWS = 1 << 20


class OutOfOrder(FormatError):  # noqa: N818  (a message to the caller more than an error)
    """Raised if rows that were handed out turn out not to be whole: stream X of the same source again.

    A file whose head is sorted by cell is streamed as it is read. If a later line goes back to an earlier cell, this is
    raised once, and from then on the source sorts the entries on disk.
    """


def _is_matrix(path: Path) -> bool:
    return path.is_file() and head(path, len(BANNER)).lower() == BANNER


def sniff(source: Any) -> bool:
    """Tell whether a path is a Matrix Market file or a folder that holds one."""
    path = Path(source)
    return any(map(_is_matrix, path.iterdir())) if path.is_dir() else _is_matrix(path)


class _Matrix:
    """The matrix as rows of cells, whatever the order of its entries."""

    def __init__(self, header: Header, cells_first: bool) -> None:
        self._header, self._cells_first = header, cells_first
        self.n_cells, self.n_genes = header.shape if cells_first else header.shape[::-1]
        self._place = Place(header.name, "X", line="cell", across="gene", base=1)
        self._on_disk = False  # whether entries are known to be out of order

    def _filled(self, reader: EntryReader) -> tuple[Array, Array, Array]:
        first, second = reader.first[: reader.filled], reader.second[: reader.filled]
        cells, genes = (first, second) if self._cells_first else (second, first)
        return cells, genes, reader.values[: reader.filled]

    def stream(self, execution: Execution, scratch: Path | None) -> Iterator[SparseRows]:
        capacity = min(4 * BLOCK_BYTES, execution.memory // 8) // ENTRY_BYTES
        sides = ("cell", "gene") if self._cells_first else ("gene", "cell")
        # a cell has at most one entry for each gene, so that a buffer this long always holds a whole one
        capacity = min(max(capacity, self.n_genes + 1), self._header.most_entries + 1)
        reader = EntryReader(self._header, sides, capacity)
        try:
            if not self._on_disk:
                yield from self._in_order(reader)
            if self._on_disk:
                shape = self.n_cells, self.n_genes
                yield from sort_triplets(self._chunks(reader), *shape, execution, scratch=scratch, place=self._place)
        finally:
            reader.close()

    def _in_order(self, reader: EntryReader) -> Iterator[SparseRows]:
        """Stream rows as they come; end early, with the entries still in the reader, if they are out of order."""
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
            # cells without entries are handed out in steps: a header may promise very many
            stop = int(cells[-1]) + (not more) if len(cells) else start
            indptr = np.searchsorted(cells, np.arange(start, stop + 1, dtype=np.int32))
            count = int(indptr[-1])
            if more and not count:  # more entries than genes in a cell: one of them is given twice
                tidy_rows(values, genes, np.array([0, len(genes)]), self.n_genes, self._place.moved(int(cells[0])))
            yield tidy_rows(values[:count], genes[:count], indptr, self.n_genes, self._place.moved(start))
            reader.drop(count)
            start = stop
        for first, last in even_ranges(self.n_cells - start, EMPTY_ROWS):
            data, indices = np.zeros(0, np.uint8), np.zeros(0, index_dtype(self.n_genes))
            yield SparseRows(data, indices, np.zeros(last - first + 1, np.int64), self.n_genes)

    def _chunks(self, reader: EntryReader) -> Iterator[tuple[Array, Array, Array]]:
        while reader.fill() or reader.filled:
            cells, genes, values = self._filled(reader)
            yield cells, genes, whole_values(values, str)[0]
            reader.drop(reader.filled)


def open_mtx(source: str | Path) -> Source:
    r"""Open a Matrix Market file with its tables of features and cells.

    A folder holds `matrix.mtx`, `features.tsv` (version 3) or `genes.tsv` (version 2), and `barcodes.tsv`; each may be
    gzipped, and all may share a prefix, as in `GSM123_matrix.mtx.gz`. Other files of names are found by what they are
    called (`cells_x_genes.barcodes.txt`, `quants_mat_rows.txt`, `all_genes.csv`) and by the number of their lines.
    Without them, cells and genes are numbered from 0. Rows of the matrix are genes, unless the numbers of names say
    otherwise. The source is the folder, or the matrix file. `var` has gene_ids and feature_types and is indexed by
    symbol. Features of other types than Gene Expression are in `elements` as obsm/<type>, once X has been streamed.
    Raises FormatError if the head of the matrix cannot hold counts, or the tables and the matrix disagree.

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
    path = Path(source)
    matrices = sorted(filter(_is_matrix, (path if path.is_dir() else path.parent).iterdir()))
    if path.is_dir():
        # the one with 10x Genomics' name where there are others
        chosen = [file for file in matrices if len(matrices) == 1 or MATRIX.fullmatch(file.name)] or matrices
        if len(chosen) != 1:
            names = ", ".join(file.name for file in chosen)
            raise FormatError(
                f"{path.name} holds {len(chosen)} matrices, name one of them: {names or 'no Matrix Market file'}"
            )
        path = chosen[0]
    header = read_header(path)
    names_beside = find_names(path, header.shape, matrices)
    matrix = _Matrix(header, names_beside.cells_first)
    obs, every = frame_of_cells(names_beside, matrix.n_cells), frame_of_features(names_beside, matrix.n_genes)
    split = FeatureSplit(every.index, every.get("feature_types"))
    elements: dict[str, Any] = {}

    def stream(execution: Execution) -> Iterator[Block]:
        split.clear()
        for block in matrix.stream(execution, opened.scratch):
            yield split.take(block)
        elements.update(split.elements(obs.index))

    var = every[split.mask]
    opened = Source(header.name, len(var), {"X": stream}, obs, var, elements, [*names_beside.notes, *split.notes])
    return opened
