"""Names of genes and cells beside a Matrix Market file, whatever the files are called that hold them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import product, takewhile
from pathlib import Path

import pandas as pd

from kithkin.core.errors import FormatError
from kithkin.io.formats.dialect import split_line
from kithkin.io.formats.gene_names import SAMPLE, STABLE_ID, are_ids
from kithkin.io.formats.pixel_names import numbered
from kithkin.io.streams.textfile import ENDINGS, read_lines

MATRIX = re.compile(rf"matrix\.mtx{ENDINGS}$")
LIST = re.compile(rf"(\.(tsv|txt|csv|bed)|rows|cols){ENDINGS}$", re.IGNORECASE)
GENE_FILE = re.compile(r"gene|feature|peak", re.IGNORECASE)
CELL_FILE = re.compile(r"barcode|cell|spot", re.IGNORECASE)
ROW_FILE = re.compile(r"rows?(?![a-z])|row[_.-]?names?", re.IGNORECASE)
COLUMN_FILE = re.compile(r"col(umn)?s?(?![a-z])|col(umn)?[_.-]?names?", re.IGNORECASE)
BARCODE = re.compile(r"[ACGTN]{8,}([-_.]\w+)?")
CELLS_FIRST = re.compile(r"cells_x_|quants_mat")  # kb-python, alevin-fry
IDS, SYMBOLS = ("gene_id", "gene_ids", "id", "feature_id"), ("gene_name", "gene_names", "symbol", "name", "gene")
TYPES = {"Gene Expression", "Antibody Capture", "CRISPR Guide Capture", "Multiplexing Capture", "Custom", "Peaks"}
TYPES |= {"Antigen Capture", "VDJ-T", "VDJ-B", "Blacklist", "Negative Control Probe", "Negative Control Codeword"}
INTERVAL = ("chromosome", "start", "end")
LARGEST_LIST = 1 << 28  # bytes of a file of names


@dataclass
class NameList:
    """A file of names: the fields of its lines, of which the first may be a header."""

    path: Path
    rows: list[list[str]]  # fields of each line

    def penalty(self, size: int) -> int | None:
        """Return 0 if there are `size` names, 1 if there are with a header above them, else None."""
        return {0: 0, 1: 1}.get(len(self.rows) - size)

    def fit(self, size: int) -> tuple[list[str], list[list[str]]]:
        """Return the header, empty if there is none, and the rows."""
        return (self.rows[0], self.rows[1:]) if len(self.rows) > size else ([], self.rows)


@dataclass
class Names:
    """Names of a matrix."""

    genes: NameList | None  # None: not found
    cells: NameList | None  # None: not found
    cells_first: bool  # the first number of a line of the matrix names the cell
    symbols: NameList | None = None  # another file, with the symbols of the genes
    notes: list[str] = field(default_factory=list)  # names that were not found, one sentence each


def find_names(matrix: Path, shape: tuple[int, int], matrices: Sequence[Path]) -> Names:
    """Find the names of a matrix: the numbers of names tell which of its sides they belong to.

    `shape` is what its header promises. Where its folder has several `matrices`, only files whose names begin as that
    of this one do, and no other's for longer, are considered. Raises FormatError if the files of 10x Genomics' names do
    not fit the shape.
    """
    prefix = MATRIX.sub("", matrix.name) if MATRIX.search(matrix.name) else ""

    def beside(*names: str) -> NameList | None:
        own = re.search(ENDINGS + "$", matrix.name)
        ends = sorted(("", ".gz", ".bz2", ".xz"), key=lambda end: own is None or end != own[0])
        candidates = [matrix.parent / f"{prefix}{name}.tsv{end}" for name in names for end in ends]
        path = next(filter(Path.is_file, candidates), None)
        return None if path is None else read_names(path)

    hint = CELLS_FIRST.match(matrix.name) is not None
    genes, cells = beside("features", "genes"), beside("barcodes")
    gene_lists: list[NameList | None] = [genes]
    cell_lists: list[NameList | None] = [cells]
    for is_gene_list, candidate in _candidates(matrix, prefix, matrices, hint):
        if genes is None and is_gene_list:
            gene_lists.append(candidate)
        elif cells is None and not is_gene_list:
            cell_lists.append(candidate)
    best: tuple[tuple[int, int, int], NameList | None, NameList | None, bool] | None = None
    for gene_list, cell_list, cells_first in product(gene_lists, cell_lists, (hint, not hint)):
        n_genes, n_cells = shape[::-1] if cells_first else shape
        penalties = [0 if n is None else n.penalty(size) for n, size in ((gene_list, n_genes), (cell_list, n_cells))]
        if None not in penalties:
            missing = (gene_list is None) + (cell_list is None)
            rank = (missing, sum(filter(None, penalties)), int(cells_first != hint))
            if best is None or rank < best[0]:
                best = rank, gene_list, cell_list, cells_first
    if best is None:
        found, named = (None if names is None else len(names.rows) for names in (genes, cells))
        if genes is not None and (found not in shape or named in (None, shape[1])):
            raise FormatError(f"{genes.path.name} names {found} features, but {matrix.name} promises {shape[0]}")
        file = cells.path.name if cells is not None else "the file of cells"
        raise FormatError(f"{file} names {named} cells, but {matrix.name} promises {shape[1]}")
    _, gene_list, cell_list, cells_first = best
    chosen = Names(gene_list, cell_list, cells_first)
    n_genes = shape[int(cells_first)]
    others = [one for one in gene_lists if one is not None and one is not gene_list and one.penalty(n_genes) == 0]
    chosen.symbols = next((one for one in others if re.search(r"names?\b|symbol", one.path.name)), None)
    lacking = [what for what, one in (("genes", gene_list), ("cells", cell_list)) if one is None]
    if lacking:
        taken = f", and its rows were read as {'cells' if cells_first else 'genes'}" if len(lacking) == 2 else ""
        note = f"no names of {' and '.join(lacking)} were found beside {matrix.name}: they are numbered{taken}"
        chosen.notes.append(note)
    return chosen


def _candidates(matrix: Path, prefix: str, matrices: Sequence[Path], hint: bool) -> Iterator[tuple[bool, NameList]]:
    """Yield whether they are genes, and the names, of each file that may hold names, best first."""
    stem = _stem(matrix.name)
    files = []
    for path in sorted(matrix.parent.iterdir()):
        alike = max((_alikeness(path.name, one.name) for one in matrices), default=0)
        start = next((part for part in (stem, prefix) if part and path.name.startswith(part)), "")
        common = _alikeness(path.name, matrix.name)
        if common == alike:
            start = max(start, _common_start(path.name, matrix.name), key=len)
        rest = path.name[len(start) :]
        if not LIST.search(path.name) or path == matrix or path.name.startswith(".") or not path.is_file():
            continue
        belongs = bool(start) or (common == alike and common > 0)
        if path.stat().st_size <= LARGEST_LIST and (belongs or len(matrices) <= 1):
            files.append((not belongs, path, rest))
    for _, path, rest in sorted(files):
        is_gene, is_cell = GENE_FILE.search(rest), CELL_FILE.search(rest)
        if not (is_gene or is_cell or ROW_FILE.search(rest) or COLUMN_FILE.search(rest)):
            continue
        try:
            names = read_names(path)
        except FormatError:
            continue  # a log or a picture has no place among names
        if is_gene or is_cell:
            yield is_gene is not None, names
            continue
        first = [row[0] for row in names.rows[:100]]
        n_ids, n_barcodes = (sum(form.match(text) is not None for text in first) for form in (STABLE_ID, BARCODE))
        is_row = ROW_FILE.search(rest) is not None
        yield (n_ids > n_barcodes if n_ids != n_barcodes else is_row != hint), names


def _stem(name: str) -> str:
    """Return the name of a file without its ending."""
    return re.sub(rf"\.(mtx|tsv|txt|csv|bed){ENDINGS}$", "", name)


def _alikeness(first: str, second: str) -> int:
    """Return the number of letters that two file names have in common at their start and at their end.

    Parts between dots, dashes and underscores count as wholes.

    Examples
    --------
    >>> _alikeness("barcodes_A.tsv", "matrix_A.mtx"), _alikeness("barcodes_A.tsv", "matrix_B.mtx")
    (2, 0)
    """
    ends = [re.split(r"(?=[._-])", _stem(name))[::-1] for name in (first, second)]
    same = takewhile(lambda pair: pair[0] == pair[1], zip(*ends, strict=False))
    return len(_common_start(first, second)) + sum(len(part) for part, _ in same)


def _common_start(first: str, second: str) -> str:
    """Return the start that two file names have in common, up to a dot, dash or underscore."""
    parts = zip(*(re.split(r"(?<=[._-])", name) for name in (first, second)), strict=False)
    return "".join(a for a, _ in takewhile(lambda pair: pair[0] == pair[1], parts))


def read_names(path: Path) -> NameList:
    r"""Read a file of names: fields set apart by tab, comma or (in quotes) space; numbers of rows as R writes them go.

    Raises FormatError if a line is empty, lacks fields that the others have, or is not text.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "barcodes.tsv"
    >>> _ = path.write_text('"x"\n"1" "AAAC-1"\n"2" "AAAG-1"\n')
    >>> read_names(path).rows
    [['x'], ['AAAC-1'], ['AAAG-1']]
    """
    lines = list(read_lines(path))
    while lines and not lines[-1].strip():
        lines.pop()
    if not lines:
        return NameList(path, [])
    sample = lines[min(1, len(lines) - 1)]
    quoted = sample.startswith('"')
    delimiter = next((mark for mark in "\t," if mark in sample), " " if quoted else "\t")
    rows = [split_line(line, delimiter) if '"' in line[:1] or quoted else line.split(delimiter) for line in lines]
    if re.search(rf"\.bed{ENDINGS}$", path.name):
        rows = [[f"{row[0]}:{row[1]}-{row[2]}"] if len(row) > 2 else row for row in rows]
    numbers = [row[0] for row in rows[1:] if len(row) > 1]
    counted = len(numbers) == len(rows) - 1 and numbers in (
        [str(k + s) for k in range(len(numbers))] for s in (0, 1, 2)
    )
    if (
        len(rows) > 1
        and counted
        and (quoted or len(rows[0]) < len(rows[1]) or rows[0][0] in ("", str(int(numbers[0]) - 1)))
    ):
        rows = [row if len(row) < len(rows[1]) and k == 0 else row[1:] for k, row in enumerate(rows)]
    width = min(3, Counter(map(len, rows)).most_common(1)[0][0])
    for number, row in enumerate(rows, 1):
        if not row or not any(cell.strip() for cell in row):
            raise FormatError(f"{path.name}: line {number} is empty")
        if len(row) < width and number > 1:
            raise FormatError(f"{path.name}: line {number} has {len(row)} fields, but others have {width}")
    return NameList(path, rows)


def frame_of_features(names: Names, n_genes: int) -> pd.DataFrame:
    """Make a table of genes, indexed by symbol, with gene_ids, feature_types and what else the file tells."""
    if names.genes is None:
        return numbered(n_genes)
    header, rows = names.genes.fit(n_genes)
    if header:
        table = _table(header, rows)
        ids, symbols = (next((key for key in keys if key in table), table.columns[0]) for keys in (IDS, SYMBOLS))
        index, first = table[symbols], {"gene_ids": table[ids], "feature_types": "Gene Expression"}
        others = table.drop(columns=[ids, symbols], errors="ignore")
        frame = pd.concat([pd.DataFrame(first), others], axis=1)
        return frame.set_axis(pd.Index(index.to_numpy(object), dtype=object))

    rows = _in_order(rows, names)
    symbols_of = [row[1] if len(row) > 1 and row[1] else row[0] for row in rows]
    if names.symbols is not None and max(map(len, rows)) == 1:
        symbols_of = [new[0] or old for new, old in zip(names.symbols.rows, symbols_of, strict=True)]

    def column(number: int, default: str) -> list[str]:
        return [row[number] if len(row) > number else default for row in rows]

    columns = {"gene_ids": column(0, ""), "feature_types": column(2, "Gene Expression")}
    if max(map(len, rows)) >= 6:
        columns |= {name: column(3 + k, "") for k, name in enumerate(INTERVAL)}
    return pd.DataFrame(columns, index=pd.Index(symbols_of, dtype=object), dtype=object)


def _in_order(rows: list[list[str]], names: Names) -> list[list[str]]:
    """Return the fields of genes as id, symbol and type, told by what they hold; a note says if they were otherwise."""
    width = min(map(len, rows))
    if width < 2 or names.genes is None:
        return rows
    places = range(min(width, 3))
    first = [[row[k] for row in rows[:SAMPLE]] for k in places]
    ids = [are_ids(texts) for texts in first]
    types = [all(text in TYPES for text in texts) for texts in first]
    one_id = ids.index(True) if sum(ids) == 1 else None
    one_type = types.index(True) if sum(types) == 1 else None
    if width == 2 and one_type is not None:  # a type and one name
        names.notes.append(f"{names.genes.path.name} has types in column {one_type + 1}, and names in the other")
        return [[row[1 - one_type], row[1 - one_type], row[one_type]] for row in rows]
    if one_id is None and one_type != 0 and len({row[0] for row in rows}) < len(rows):
        distinct = [k for k in places[1:] if k != one_type and len({row[k] for row in rows}) == len(rows)]
        one_id = distinct[0] if len(distinct) == 1 else None
    order = sorted(places, key=lambda k: 0 if k == one_id else 2 if k == one_type else 1)
    if order == [*places]:
        return rows
    found = {"ids": one_id, "types": one_type}
    fields = " and ".join(f"{what} in column {k + 1}" for what, k in found.items() if k is not None)
    names.notes.append(f"{names.genes.path.name} has {fields}, which its content tells, and was read so")
    return [[*(row[k] for k in order), *row[len(places) :]] for row in rows]


def frame_of_cells(names: Names, n_cells: int) -> pd.DataFrame:
    """Make a table of cells, with the other columns of the file if it has a header."""
    if names.cells is None:
        return numbered(n_cells)
    header, rows = names.cells.fit(n_cells)
    index = pd.Index([row[0] for row in rows], dtype=object)
    if len(header) < 2:
        return pd.DataFrame(index=index)
    return _table(header, rows).iloc[:, 1:].set_axis(index)


def _table(header: list[str], rows: list[list[str]]) -> pd.DataFrame:
    width = len(header)
    table = pd.DataFrame([(row + [""] * width)[:width] for row in rows], columns=header, dtype=object)
    for k in range(1, width):
        numbers = pd.to_numeric(table.iloc[:, k], errors="coerce")
        if not numbers.isna().any():
            table.isetitem(k, numbers.to_numpy())
    return table
