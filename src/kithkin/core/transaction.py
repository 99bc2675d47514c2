"""Transactions on a dataset: one writer at a time, and changes that are whole or not there.

Beside `pbmc.zarr` a writer keeps the hidden folder `.pbmc.zarr.kithkin`: a lock, a journal, and a staging folder with a
random name. It is gone when nobody writes. A finished result is flushed to the disk and listed in the journal first,
and moved second, so that a kill or a loss of power between two moves is repaired by the next one who opens the dataset.

The hidden folder must be a real folder of this user, and its files are opened without following links: a journal names
elements of its own dataset only, whoever wrote it.
"""

# Long: lock, journal, moves and recovery are read together, as one protocol
from __future__ import annotations

import ctypes
import errno
import fcntl
import json
import logging
import os
import secrets
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kithkin.core.errors import KithkinError
from kithkin.core.keys import PLACES

log = logging.getLogger("kithkin")
EXCHANGE = 2  # RENAME_EXCHANGE of renameat2 on Linux, RENAME_SWAP of renamex_np on macOS
ATTEMPTS = 100  # to make a lock while other writers come and go
REMOVALS = 6  # attempts to remove a folder in which threads of a failed step may still write
TABLES = ("", "obs", "var")  # groups whose headers a change may replace; "" is the root
KEPT, CHECKPOINT = "staging-kept-", "checkpoint.json"  # staging folder of an import that can be continued from there

_LOCKS: set[int] = set()  # descriptors of the locks that this process holds


def _leave_locks() -> None:
    """Close the locks in a forked child, which would keep them beyond the death of the writer."""
    for handle in _LOCKS:
        with suppress(OSError):
            os.close(handle)
    _LOCKS.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_locks)


def workspace(path: Path) -> Path:
    """Return the hidden folder beside a dataset in which its writer works; links to one dataset have the same."""
    real = Path(os.path.realpath(path))
    return real.parent / f".{real.name}.kithkin"


def _exchange(a: Path, b: Path) -> bool:
    """Swap two paths in one step where the system can; return False where it cannot."""
    libc = ctypes.CDLL(None, use_errno=True)
    if hasattr(libc, "renameat2"):
        result = libc.renameat2(-100, os.fsencode(a), -100, os.fsencode(b), EXCHANGE)
    elif sys.platform == "darwin" and hasattr(libc, "renamex_np"):
        result = libc.renamex_np(os.fsencode(a), os.fsencode(b), EXCHANGE)
    else:
        return False
    if result == 0:
        return True
    if ctypes.get_errno() in (errno.EINVAL, errno.ENOSYS, errno.ENOTSUP):
        return False
    raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), str(b))


def place(staged: Path, final: Path) -> None:
    """Move a staged file or folder to its final name; what was there before ends up at the staged name.

    Where two names cannot be exchanged in one step, the old value waits beside the staged name.
    """
    final = Path(os.path.realpath(final))
    if not final.exists():
        os.rename(staged, final)
    elif not _exchange(staged, final):
        old = _waiting(staged)
        os.rename(final, old)
        try:
            os.rename(staged, final)
        except OSError:
            os.rename(old, final)
            raise
        os.rename(old, staged)


def flush(path: Path) -> None:
    """Flush a file or folder to the disk."""
    handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def flush_tree(folder: Path) -> None:
    """Flush every file and folder at or below a path to the disk."""
    if not folder.is_dir():
        flush(folder)
    for where, _, names in os.walk(folder):
        for name in names:
            flush(Path(where, name))
        flush(Path(where))


def write_text(path: Path, text: str) -> None:
    """Write a file so that a reader, also after a loss of power, sees the old text or the new one, never a part.

    After an error a file that was not there before is not there, even if only its folder could not be flushed.
    """
    new = not os.path.lexists(path)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    try:
        with open(beside, "x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
        flush(path.parent)
    except OSError:
        for made in (beside, path) if new else (beside,):
            made.unlink(missing_ok=True)
        raise


def is_full_disk(error: BaseException) -> bool:
    """Tell whether an error means that the disk is full; compiled codecs say so under an exception of their own.

    Examples
    --------
    >>> is_full_disk(OSError(errno.ENOSPC, "No space left on device")), is_full_disk(ValueError("no"))
    (True, False)
    """
    number = error.errno if isinstance(error, OSError) else None
    return number in (errno.ENOSPC, errno.EDQUOT) or "No space left" in str(error)


def _owned(path: Path, kind: int) -> bool:
    """Check that a path is a real folder or file (by `stat.S_IFMT`) of this user; False where there is nothing."""
    try:
        status = os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return False
    if stat.S_IFMT(status.st_mode) != kind or status.st_uid != os.geteuid():
        raise KithkinError(f"{path} is a link, or belongs to another user: remove it, or choose another destination")
    return True


def _acquire(folder: Path, name: str) -> int:
    # Long: each step of taking the lock can fail in its own way
    parent = folder.parent
    if not parent.is_dir():
        raise KithkinError(f"the folder {parent} does not exist")
    for _ in range(ATTEMPTS):
        try:
            with suppress(FileExistsError):
                folder.mkdir(mode=0o700)
            _owned(folder, stat.S_IFDIR)
            flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            handle = os.open(folder / "lock", flags, 0o600)
        except FileNotFoundError:
            continue  # the last writer removed the folder between the two calls
        except OSError as error:
            with suppress(OSError):
                folder.rmdir()
            if is_full_disk(error):
                raise KithkinError(f"the disk is full: {name} is as it was before") from error
            if error.errno == errno.ELOOP:
                raise KithkinError(f"{folder / 'lock'} is a link: remove it, or choose another destination") from error
            raise KithkinError(f"{parent} cannot be written to: {error.strerror}") from error
        try:
            _owned(folder / "lock", stat.S_IFREG)
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.exists(folder / "lock") and os.path.samestat(os.stat(folder / "lock"), os.fstat(handle)):
                os.ftruncate(handle, 0)
                os.pwrite(handle, str(os.getpid()).encode(), 0)
                _LOCKS.add(handle)
                return handle
        except BlockingIOError:
            owner = os.pread(handle, 32, 0).decode(errors="replace") or "unknown"
            os.close(handle)
            raise KithkinError(
                f"{name} is being written by another process (id {owner}). Wait until it is done, or stop it."
            ) from None
        except OSError as error:
            _discard(folder)
            os.close(handle)
            if is_full_disk(error):
                raise KithkinError(f"the disk is full: {name} is as it was before") from error
            reason = f"{parent} is on a file system that gives no locks ({error.strerror})"
            raise KithkinError(
                f"{reason}, so that nothing can be written safely: choose another destination"
            ) from error
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)  # the writer that just finished removed it: start over with a new lock file
    raise KithkinError(f"{parent} cannot be written to: no folder can be made in it")


def kept_staging(staging: Path, identity: str) -> Path:
    """Return the staging folder of an import that can be continued, beside the given one; the lock must be held.

    Those of other imports into the same dataset are removed.
    """
    own = staging.with_name(f"{KEPT}{identity}")
    drop_kept(staging, but=own)
    if not _owned(own, stat.S_IFDIR):
        own.mkdir(mode=0o700)
    return own


def _sweep(folder: Path) -> bool:
    """Remove what killed writers left in the hidden folder; tell whether an import that can be continued remains."""
    remains = False
    for left in folder.glob("staging-*"):
        if left.name.startswith(KEPT) and (left / CHECKPOINT).exists():
            remains = True
        else:
            remove_folder(left)
    return remains


def drop_kept(staging: Path, but: Path | None = None) -> None:
    """Remove the staging folders of imports that were interrupted, but one; the lock must be held."""
    for left in staging.parent.glob(f"{KEPT}*"):
        if left != but:
            shutil.rmtree(left)


def _discard(folder: Path) -> None:
    """Remove the hidden folder, unless it holds a journal that is to be carried out, or an import to be continued."""
    if (folder / "journal.json").exists():
        return
    try:
        if not _sweep(folder):
            remove_folder(folder)
    except OSError as error:
        log.warning("%s could not be removed: %s", folder, error.strerror)


def remove_folder(folder: Path) -> None:
    """Remove a folder in which threads or workers of a step that failed may still end the writing of a file."""
    for attempt in range(REMOVALS):
        try:
            shutil.rmtree(folder)
            return
        except OSError as error:
            if not folder.exists():
                return
            if error.errno not in (errno.ENOENT, errno.ENOTEMPTY, errno.EEXIST) or attempt == REMOVALS - 1:
                raise
        time.sleep(0.01 * 2**attempt)


@contextmanager
def writing(path: Path) -> Iterator[Path]:
    """Be the one writer of the dataset at path: give an empty staging folder, and repair what a kill left.

    Raises
    ------
    KithkinError
        If somebody else is writing it, it cannot be locked, or the disk becomes full.

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
    folder, process = workspace(path), os.getpid()
    handle = _acquire(folder, path.name)
    try:
        roll_forward(path)
        _sweep(folder)
        staging = folder / f"staging-{secrets.token_hex(8)}"
        staging.mkdir(mode=0o700)
        yield staging
    except Exception as error:
        if is_full_disk(error):
            raise KithkinError(f"the disk is full: {path.name} is as it was before") from error
        raise
    finally:
        if os.getpid() == process:  # not a child that was forked in between
            _discard(folder)
            _LOCKS.discard(handle)
            os.close(handle)


def commit(path: Path, staged: Path, keys: list[str], headers: dict[str, str]) -> None:
    """Move staged elements into the dataset as one change: after an error, a kill or a loss of power all or none.

    Parameters
    ----------
    path
        The dataset.
    staged
        Folder that holds the elements, in the staging folder.
    keys
        Elements to move, such as "obsm/X_pca"; "" for a whole dataset.
    headers
        New texts of the headers of the root, "obs" or "var", where they change.

    Raises
    ------
    KithkinError
        If a folder of the dataset cannot be written to.
    """
    # what could not be moved is refused before anything is listed in the journal
    for key in (*keys, *(f"{key}/zarr.json".lstrip("/") for key in headers)):
        _check_links(path, path / key)
        parent = (path / key).parent if key else Path(os.path.realpath(path)).parent
        while key and not parent.exists():
            parent = parent.parent
        # a folder that is moved needs to be written to as well, as it gets another parent
        folder = path / key if (path / key).is_dir() and not (path / key).is_symlink() else parent
        if not os.access(parent, os.W_OK | os.X_OK) or not os.access(folder, os.W_OK):
            raise KithkinError(f"{path.name} cannot be written to: {parent} is read-only")
    texts = staged.with_name("headers")
    texts.mkdir()
    for key, text in headers.items():
        (texts / (key or "root")).write_text(text, encoding="utf-8")
    flush_tree(staged.parent)
    listed = [(staged.name, key, staged / key) for key in keys]
    listed += [("headers", key, texts / (key or "root")) for key in headers]
    moves = [[folder, key, os.stat(source).st_ino] for folder, key, source in listed]
    write_text(workspace(path) / "journal.json", json.dumps({"staging": staged.parent.name, "moves": moves}))
    roll_forward(path)


def recover(path: Path) -> None:
    """Finish a change that a kill interrupted and remove what is left of it, unless its writer is still at work.

    Raises
    ------
    KithkinError
        If the journal is not one of kithkin, or belongs to another user.
    """
    folder = workspace(path)
    if not os.path.lexists(folder):
        return
    journal = os.path.lexists(folder / "journal.json")
    if journal:
        _owned(folder, stat.S_IFDIR)
        _read_journal(path)
    try:
        with writing(path):
            return
    except KithkinError as error:
        # its writer lives and will finish the change itself; what is no change is left where it cannot be removed
        if journal and "is being written by" not in str(error):
            raise


def _read_journal(path: Path) -> tuple[Path, list[tuple[str, str, int]]] | None:
    """Read the staging folder and the moves of a journal, and check that they stay inside; None if there is none.

    Raises
    ------
    KithkinError
        If it is not a journal of kithkin.
    """
    journal = workspace(path) / "journal.json"
    if not _owned(journal, stat.S_IFREG):
        return None
    try:
        change: Any = json.loads(journal.read_text(encoding="utf-8"))
        name, moves = str(change["staging"]), [(str(f), str(key), int(inode)) for f, key, inode in change["moves"]]
        if "/" in name or not name.startswith("staging-"):
            raise ValueError(name)
        for source, key, _ in moves:
            parts = key.split("/")
            inside = parts[0] in PLACES and not {"", ".", ".."} & set(parts)
            allowed = {"headers": key in TABLES, "elements": inside, "dataset": key == ""}
            if not allowed.get(source):
                raise ValueError(key)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        message = f"{journal} is not a journal that kithkin has written ({error}): remove {journal.parent}"
        raise KithkinError(message) from error
    return journal.parent / name, moves


def roll_forward(path: Path) -> None:
    """Carry out the journal; the lock must be held. If a move fails, all are undone.

    A move is done when the staged name no longer holds what was staged.

    Raises
    ------
    KithkinError
        If they cannot be undone either: the journal stays for the next who opens the dataset.
    """
    change = _read_journal(path)
    if change is None:
        return
    staging, listed = change
    moves: list[tuple[Path, Path, int]] = []
    for source, key, inode in listed:
        header = source == "headers"
        staged = staging / source / ((key or "root") if header else key)
        final = path / key / "zarr.json" if header else path / key if key else path
        _check_links(path, final)
        _check_links(staging.parent, staged)
        moves.append((staged, Path(os.path.realpath(final)), inode))
    try:
        for staged, final, inode in moves:
            for name in (staged, _waiting(staged)):
                if _holds(name, inode):
                    final.parent.mkdir(exist_ok=True)
                    place(name, final)
        for parent in {final.parent for _, final, _ in moves} | {Path(os.path.realpath(path))}:
            flush(parent)
    except OSError as error:
        try:
            new = [final for staged, final, inode in reversed(moves) if not _undo(staged, final, inode)]
        except OSError:
            reason, first = (
                ("the disk is full", "free some space and ") if is_full_disk(error) else (error.strerror, "")
            )
            message = f"{path.name} is changed in part ({reason}): {first}open it again, which finishes the change"
            raise KithkinError(message) from error
        (staging.parent / "journal.json").unlink()
        for final in new:  # nothing was there before; to remove it takes no space
            shutil.rmtree(final)
        raise
    (staging.parent / "journal.json").unlink()


def _waiting(staged: Path) -> Path:
    """Return the name at which the old value waits where two names cannot be exchanged in one step."""
    return staged.with_name(f".{staged.name}.old")


def _undo(staged: Path, final: Path, inode: int) -> bool:
    """Put back what was at a final name before a move, however far that came; False if nothing was there."""
    waiting = _waiting(staged)
    if _holds(staged, inode):
        if os.path.lexists(waiting):
            os.rename(waiting, final)
    elif _holds(waiting, inode):  # an earlier attempt to undo came this far
        if os.path.lexists(staged):
            os.rename(staged, final)
    elif os.path.lexists(staged):
        place(staged, final)
    elif os.path.lexists(waiting):
        os.rename(final, staged)
        os.rename(waiting, final)
    else:
        return False
    return True


def _holds(name: Path, inode: int) -> bool:
    return os.path.lexists(name) and os.lstat(name).st_ino == inode


def _check_links(path: Path, final: Path) -> None:
    """Refuse to move anything through a link within the dataset."""
    for parent in final.parents:
        if parent == path or path not in parent.parents:
            return
        if parent.is_symlink():
            raise KithkinError(f"{path.name}: {parent.relative_to(path)} is a link: nothing is written there")


def replace_dataset(staged: Path, path: Path) -> None:
    """Move a staged dataset, named "dataset", to its name in place of the one that has it; the lock must be held."""
    commit(path, staged, [""], {})
