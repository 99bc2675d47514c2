"""One writer at a time, and changes that are whole or not there: a lock, a staging folder and a journal.

Beside `pbmc.zarr` a writer keeps the hidden folder `.pbmc.zarr.kithkin`: a lock, and what is not finished yet.
It is gone when nobody writes. A finished result is listed in a journal first and moved second, so that a kill
between two moves is repaired by the next one who opens the dataset.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kithkin.core.errors import KithkinError

EXCHANGE = 2  # RENAME_EXCHANGE of renameat2 on Linux, RENAME_SWAP of renamex_np on macOS


def workspace(path: Path) -> Path:
    """The hidden folder beside a dataset in which its writer works.

    Examples
    --------
    >>> workspace(Path("/data/pbmc.zarr")).name
    '.pbmc.zarr.kithkin'
    """
    return path.parent / f".{path.name}.kithkin"


def _exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step where the system can; False where it cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        result = libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), EXCHANGE)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        result = libc.renamex_np(os.fsencode(a), os.fsencode(b), EXCHANGE)
    else:
        return False
    if result == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))


def place(staged: Path, final: Path) -> None:
    """Move a staged file or folder to its final name; what was there before ends up at the staged name.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "new").write_text("new"), (folder / "x").write_text("old")
    >>> place(folder / "new", folder / "x"); (folder / "x").read_text(), (folder / "new").read_text()
    ('new', 'old')
    """
    if not final.exists():
        os.rename(staged, final)
    elif not _exchange(staged, final):
        old = final.with_name(f".{final.name}.old")
        os.rename(final, old)
        os.rename(staged, final)
        os.rename(old, staged)


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader sees the old text or the new one, never a part.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a"
    >>> write_text(path, "whole"); path.read_text()
    'whole'
    """
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    beside.write_text(text, encoding="utf-8")
    os.replace(beside, path)


def is_full_disk(error: BaseException) -> bool:
    """Tell whether an error means that the disk is full; compiled codecs say so under an exception of their own.

    Examples
    --------
    >>> is_full_disk(OSError(errno.ENOSPC, "No space left on device")), is_full_disk(ValueError("no"))
    (True, False)
    """
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def _is_open_file(path: Path, handle: int) -> bool:
    return path.exists() and os.stat(path).st_ino == os.fstat(handle).st_ino


def _acquire(folder: Path, name: str) -> int:
    while True:
        try:
            folder.mkdir(exist_ok=True)
            handle = os.open(folder / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            if folder.parent.is_dir():
                continue  # the last writer removed the folder between the two calls
            raise KithkinError(f"the folder {folder.parent} does not exist") from None
        except OSError as error:
            raise KithkinError(f"{folder.parent} cannot be written to: {error.strerror}") from error
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            owner = os.read(handle, 32).decode() or "unknown"
            os.close(handle)
            raise KithkinError(
                f"{name} is being written by another process (id {owner}). Wait until it is done, or stop it."
            ) from None
        if _is_open_file(folder / "lock", handle):
            break
        os.close(handle)  # the writer that just finished removed it: start over with a new lock file
    os.ftruncate(handle, 0)
    os.pwrite(handle, str(os.getpid()).encode(), 0)
    return handle


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Be the one writer of the dataset at path; gives an empty staging folder and repairs what a kill left.

    Raises
    ------
    KithkinError
        If somebody else is writing it, or the disk becomes full.

    Examples
    --------
    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "a.zarr"
    >>> with writing(path) as staging:
    ...     with writing(path):
    ...         pass
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: a.zarr is being written by another process (id ...
    """
    folder = workspace(path)
    handle = _acquire(folder, path.name)
    try:
        roll_forward(path)
        staging = folder / "staging"
        shutil.rmtree(staging, ignore_errors=True)
        staging.mkdir()
        yield staging
    except Exception as error:
        if is_full_disk(error):
            raise KithkinError(f"the disk is full: {path.name} is as it was before") from error
        raise
    finally:
        if not (folder / "journal.json").exists():
            shutil.rmtree(folder, ignore_errors=True)
        os.close(handle)


def commit(path: Path, keys: list[str], headers: dict[str, str]) -> None:
    """Move what lies in the folder "elements" of the staging folder into the dataset, as one change.

    Parameters
    ----------
    path
        The dataset.
    keys
        Elements to move, such as "obsm/X_pca".
    headers
        New texts of the headers of "obs" or "var", where they change.
    """
    moves = [[key, os.stat(workspace(path) / "staging" / "elements" / key).st_ino] for key in keys]
    write_text(workspace(path) / "journal.json", json.dumps({"moves": moves, "headers": headers}))
    roll_forward(path)


def recover(path: Path) -> None:
    """Finish a change that a kill interrupted, unless its writer is still at work.

    Examples
    --------
    >>> recover(Path("nowhere.zarr"))
    """
    if not (workspace(path) / "journal.json").exists():
        return
    try:
        with writing(path):
            return
    except KithkinError:
        return  # its writer lives and will finish the change itself


def roll_forward(path: Path) -> None:
    """Carry out the journal. A move is done when the staged name no longer holds what was staged."""
    journal = workspace(path) / "journal.json"
    if not journal.exists():
        return
    change: dict[str, Any] = json.loads(journal.read_text(encoding="utf-8"))
    staging = workspace(path) / "staging" / "elements"
    for key, inode in change["moves"]:
        staged = staging / key
        if staged.exists() and os.stat(staged).st_ino == inode:
            (path / key).parent.mkdir(exist_ok=True)
            place(staged, path / key)
    for key, text in change["headers"].items():
        write_text(path / key / "zarr.json", text)
    journal.unlink()
