"""Several samples that are read as one: a list, a mapping, a sheet, a pattern of names, or a folder of outputs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from glob import glob
from io import StringIO
from os.path import abspath
from pathlib import Path
from typing import Any

import pandas as pd
from natsort import natsorted

from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.remote import is_address
from kithkin.io.streams.textfile import TextFile

PATH, SAMPLE = "path", "sample"  # columns of a sheet
LONGEST_HEADER = 65_536  # bytes of a line in which the columns of a sheet are looked for
# outputs of Cell Ranger below a folder for each sample, and of several samples in one folder as in GEO; of several
# outputs of one sample the first is taken
OUTPUTS = (
    (
        "*/outs/filtered_feature_bc_matrix.h5",
        "*/filtered_feature_bc_matrix.h5",
        "*/outs/filtered_feature_bc_matrix",
        "*/filtered_feature_bc_matrix",
        "*/outs/filtered_gene_bc_matrices",
    ),
    ("*[_.-]filtered_feature_bc_matrix.h5", "*[_.-]filtered_gene_bc_matrices_h5.h5", "*[_.-]matrix.mtx*"),
    ("*.h5ad",),
)
OUTPUT = re.compile(r"[_.-](filtered_feature_bc_matrix\.h5|filtered_gene_bc_matrices_h5\.h5|matrix\.mtx.*)$|\.h5ad$")
ENDINGS = re.compile(r"(\.(h5ad|h5|hdf5|loom|zarr|csv|tsv|txt|parquet|npz|mtx|gz|bz2|xz))+$", re.IGNORECASE)
# names that programs give to every output
GENERAL = re.compile(r"(sample_)?(filtered|raw)_(feature|gene)_bc_matri(x|ces)(_h5)?|matrix|outs|counts|adata|data")


@dataclass(frozen=True)
class Samples:
    """Sources by the name of their sample, in their order, and what a sheet says of each."""

    sources: dict[str, Any]
    columns: pd.DataFrame = field(default_factory=pd.DataFrame)  # a row for each sample, by name; maybe no column


def find_samples(source: Any) -> Samples | None:
    """Find the samples that a source stands for; None if it is one source. Samples are returned as they are.

    Several are a list; a mapping from names to sources; a pattern such as "*.h5ad"; a folder with outputs of several
    samples; a sheet, which is a table as CSV or TSV with the columns "path" (from the sheet's folder) and "sample".

    Raises
    ------
    FormatError
        If nothing matches a pattern, or a sheet names what is not there, or a sample twice.
    ParameterError
        If a file is given twice, or two samples would have the same name.

    Examples
    --------
    >>> find_samples({"a": "a.h5ad", "b": "b.h5ad"}).sources
    {'a': 'a.h5ad', 'b': 'b.h5ad'}
    >>> list(find_samples(["run/s1/outs/matrix.h5", "run/s2/outs/matrix.h5"]).sources)
    ['s1', 's2']
    """
    if isinstance(source, Samples):
        return source
    if is_address(source):
        return None
    if isinstance(source, Mapping):
        sources = [getattr(one, "path", one) for one in source.values()]
        return _named([str(name) for name in source], sources, may_repeat=True)
    if isinstance(source, (list, tuple)):
        paths = [Path(one) if isinstance(one, (str, Path)) else getattr(one, "path", None) for one in source]
        known = iter(names_of([path for path in paths if path is not None]))
        return _named(
            [str(place) if path is None else next(known) for place, path in enumerate(paths)],
            [getattr(one, "path", one) for one in source],
        )
    if not isinstance(source, (str, Path)):
        return None
    path = Path(source).expanduser()
    if not path.exists() and any(mark in str(path) for mark in "*?["):
        found = [Path(one) for one in natsorted(glob(str(path), recursive=True))]
        if not found:
            raise FormatError(f"no file matches {source}")
        return _named(names_of(found), list(found))
    if path.is_dir():
        return _in_folder(path)
    separator = _sheet_separator(path) if path.is_file() else None
    return None if separator is None else _read_sheet(path, separator)


def _named(names: Sequence[str], sources: Sequence[Any], *, may_repeat: bool = False) -> Samples:
    """Check names and sources; a mapping may name one file twice, as it says so on purpose."""
    if not may_repeat:
        _check_different(names, sources)
    twice = [name for place, name in enumerate(names) if name in names[:place]]
    if twice:
        raise ParameterError(
            f"samples must have different names, but {twice[0]!r} comes twice: give a sheet, or in Python a mapping, "
            "with a name for each"
        )
    if not names:
        raise ParameterError("source must hold at least one sample, got none")
    if not all(name.strip() for name in names):
        raise ParameterError("each sample must have a name, but one is empty")
    return Samples(dict(zip(names, sources, strict=True)))


def _check_different(names: Sequence[str], sources: Sequence[Any]) -> None:
    """Refuse a file that is given twice, whose rows would count twice."""
    known: dict[Path, str] = {}
    for name, source in zip(names, sources, strict=True):
        if isinstance(source, (str, Path)):
            path = Path(source).expanduser().resolve()
            if path in known:
                of = f": as {known[path]!r} and as {name!r}" if name != known[path] else ""
                raise ParameterError(f"samples must be different, but {path.name} is given twice{of}")
            known[path] = name


def names_of(paths: Sequence[Path]) -> list[str]:
    """Name samples by the part of their paths in which they differ.

    Examples
    --------
    >>> names_of([Path("GSM1_matrix.mtx.gz"), Path("GSM2_matrix.mtx.gz")])
    ['GSM1', 'GSM2']
    >>> names_of([Path("runs/s1/outs/filtered_feature_bc_matrix.h5")]), names_of([Path("a/x.h5ad"), Path("b/x.h5ad")])
    (['s1'], ['a', 'b'])
    """
    parts = [[*Path(abspath(path)).parts[:-1], ENDINGS.sub("", path.name) or path.name] for path in paths]
    if len(parts) < 2:
        return [next((part for part in reversed(one) if not GENERAL.fullmatch(part)), one[-1]) for one in parts]
    _drop_common(parts, 0)
    _drop_common(parts, -1)
    names = ["-".join(one) for one in parts]
    alike = [len(set(letters)) == 1 for letters in zip(*(name[::-1] for name in names), strict=False)]
    n_alike = [*alike, False].index(False)
    ending = names[0][len(names[0]) - n_alike :]
    cut = re.search(r"[_.\- ]", ending)
    shorter = [name.removesuffix(ending[cut.start() :]) for name in names] if cut else names
    return shorter if all(shorter) and len(set(shorter)) == len(names) else names


def _drop_common(parts: list[list[str]], place: int) -> None:
    """Drop first (0) or last (-1) parts for as long as they are equal in all, and something is left of each."""
    while all(len(one) > 1 for one in parts) and len({one[place] for one in parts}) == 1:
        for one in parts:
            del one[place]


def _in_folder(folder: Path) -> Samples | None:
    """Find the outputs of two samples or more in a folder that is not an input itself."""
    if any((folder / name).exists() for name in ("zarr.json", ".zgroup", ".zattrs", ".zarray")):
        return None
    for patterns in OUTPUTS:
        found: dict[str, Path] = {}
        for path in (path for pattern in patterns for path in sorted(folder.glob(pattern))):
            found.setdefault(OUTPUT.sub("", path.relative_to(folder).parts[0]), path)
        if len(found) > 1:
            names = natsorted(found)
            return _named(names_of([folder / name for name in names]), [found[name] for name in names])
    return None


def _sheet_separator(path: Path) -> str | None:
    """Find what separates the columns of a sheet of samples; None if a file is none."""
    try:
        with TextFile(path) as file:
            text = _decoded(file.readline(LONGEST_HEADER))
    except FormatError:  # damaged: the reader of its format says so
        return None
    for separator in ",\t;|":
        names = [name.strip().strip("\"'") for name in text.split(separator)]
        if {PATH, SAMPLE} <= set(names):
            return separator
    return None


def _decoded(text: bytes) -> str:
    """Decode UTF-8, or what older programs write in western Europe."""
    try:
        return text.decode()
    except UnicodeDecodeError:
        return text.decode("latin-1")


def _read_sheet(path: Path, separator: str) -> Samples:
    """Read a sheet of samples."""
    with TextFile(path) as file:
        text = StringIO(_decoded(file.read()))
    try:
        sheet = pd.read_csv(text, sep=separator, dtype={PATH: str, SAMPLE: str}, skipinitialspace=True)
    except (ValueError, pd.errors.ParserError) as error:
        reason = str(error).removeprefix("Error tokenizing data. C error: ").strip()
        raise FormatError(f"{path.name} is not a sheet of samples that can be read: {reason}") from error
    sheet.columns = [str(name).strip().strip("'") for name in sheet.columns]
    if not isinstance(sheet.index, pd.RangeIndex):
        raise FormatError(f"{path.name}: line 2 has more values than the sheet has columns")
    sheet[[PATH, SAMPLE]] = sheet[[PATH, SAMPLE]].apply(lambda column: column.str.strip()).replace("", None)
    if sheet.empty:
        raise FormatError(f"{path.name} has the columns of a sheet of samples, but names none")
    gaps = sheet[[PATH, SAMPLE]].isna().any(axis=1).to_numpy().nonzero()[0]
    if len(gaps):
        raise FormatError(f"{path.name}: line {gaps[0] + 2} of the sheet has no path or no sample")
    twice = sheet[SAMPLE].duplicated().to_numpy().nonzero()[0]
    if len(twice):
        raise FormatError(f"{path.name}: line {twice[0] + 2} names the sample {sheet[SAMPLE][twice[0]]!r} again")
    sources = {
        name: path.parent / Path(text).expanduser() for name, text in zip(sheet[SAMPLE], sheet[PATH], strict=True)
    }
    absent = [str(one) for one in sources.values() if not one.exists()]
    if absent:
        more = f" and {len(absent) - 1} more" if len(absent) > 1 else ""
        raise FormatError(
            f"{path.name} names {absent[0]}{more}, not found from the folder of the sheet, {path.parent.absolute()}"
        )
    _check_different(list(sources), list(sources.values()))
    return Samples(sources, sheet.set_index(SAMPLE).drop(columns=PATH))
