"""Files that hold others, or what only another program reads: what they are, and what to do with them."""

from __future__ import annotations

import zipfile
from pathlib import Path

from kithkin.io.streams.textfile import head

POINTER = b"version https://git-lfs.github.com/spec/"
WEB_PAGE = (b"<!doctype html", b"<html")
TAB = 9  # the least character of a text
LISTED = 3  # members of an archive in a message
TAR = slice(257, 262)  # place of the mark of a tar archive
SIGNATURES = {
    b"\xd0\xcf\x11\xe0": "an Excel workbook: save the sheet as CSV",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first, with zstd -d",
    b"7z\xbc\xaf": "a 7z archive: unpack it, and read the file in it",
    b"Rar!": "a rar archive: unpack it, and read the file in it",
    b"ARROW1": "a Feather file: save the table as Parquet or CSV",
    b"FEA1": "a Feather file: save the table as Parquet or CSV",
    b"RDX": "a file of R: write it there with DropletUtils::write10xCounts, and read that folder",
    b"X\n\0\0": "a file of R: write it there with DropletUtils::write10xCounts, and read that folder",
    b"\x80\x04\x95": "a pickle, which runs code when it is read: save the table as h5ad, npz, Parquet or CSV",
    b"\x80\x05\x95": "a pickle, which runs code when it is read: save the table as h5ad, npz, Parquet or CSV",
}


def pointer_sentence(path: Path) -> str | None:
    r"""Say that a file only stands for the one that was to be downloaded; None if it does not.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.h5ad"
    >>> _ = path.write_bytes(b"version https://git-lfs.github.com/spec/v1\nsize 12345\n")
    >>> pointer_sentence(path)
    'a.h5ad is a pointer to a file that Git LFS keeps: fetch the file first, with git lfs pull'
    """
    start = head(path, 512)
    if start.startswith(POINTER):
        return f"{path.name} is a pointer to a file that Git LFS keeps: fetch the file first, with git lfs pull"
    if start.lstrip().lower().startswith(WEB_PAGE):
        return f"{path.name} is a web page, not the file that was to be downloaded: open it in a browser to see why"
    return None


def archive_sentence(path: Path) -> str | None:
    r"""Say what a file is that cannot be read as it is, and what to do with it; None if it is nothing of the kind.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "counts.rds"
    >>> _ = path.write_bytes(b"X\n\0\0\0\x03")
    >>> archive_sentence(path)
    'counts.rds is a file of R: write it there with DropletUtils::write10xCounts, and read that folder'
    """
    if not path.is_file():
        return None
    start = head(path, 512)
    if start[TAR] == b"ustar":
        return f"{path.name} is a tar archive: unpack it, and read the file or folder in it"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            names = [name for name in archive.namelist() if not name.endswith("/")]
        if any(name.startswith("xl/") for name in names):
            return f"{path.name} is an Excel workbook: save the sheet as CSV"
        listed = ", ".join(names[:LISTED]) + (", ..." if len(names) > LISTED else "")
        return f"{path.name} is a zip archive of {listed or 'nothing'}: unpack it, and read the file or folder in it"
    if start.startswith(b"PK"):
        return f"{path.name} is a zip archive that is truncated or damaged"
    letters = start.replace(b"\0", b"")
    if letters and min(letters) >= TAB and 0.4 * len(start) <= len(letters) <= 0.6 * len(start):
        return f"{path.name} is text in UTF-16 or UTF-32 without its mark at the beginning: save it as UTF-8"
    what = next((what for magic, what in SIGNATURES.items() if start.startswith(magic)), None)
    return None if what is None else f"{path.name} is {what}"
