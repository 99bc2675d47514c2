"""Files and folders outside a dataset, written whole or not at all."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kithkin.core.errors import KithkinError
from kithkin.core.transaction import flush_tree, is_full_disk, place


@contextmanager
def whole(target: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a hidden path beside the target to write a file or folder at; it takes its name once it is whole.

    After an error nothing is left, and what was at the target is there still. Only a file is replaced by a file, and a
    folder by a folder.

    Raises
    ------
    KithkinError
        If the target exists and `overwrite` is not set, it cannot be written to, or the disk is full.

    Examples
    --------
    >>> import tempfile
    >>> target = Path(tempfile.mkdtemp()) / "a.txt"
    >>> with whole(target) as staged:
    ...     _ = staged.write_text("all of it")
    >>> target.read_text(), len(list(target.parent.iterdir()))
    ('all of it', 1)
    """
    target = Path(target).expanduser().absolute()
    if os.path.lexists(target) and not overwrite:
        raise KithkinError(f"{target} exists already. Choose another name, or use overwrite=True to replace it.")
    if not target.parent.is_dir():
        raise KithkinError(f"the folder {target.parent} does not exist")
    staged = target.with_name(f".{secrets.token_hex(4)}.{target.name}")  # keeps the suffix, which says the format
    try:
        yield staged
        if target.exists() and target.is_dir() != staged.is_dir():
            kinds = ("folder", "file") if target.is_dir() else ("file", "folder")
            raise KithkinError(f"{target} is a {kinds[0]}, which no {kinds[1]} replaces: choose another name")
        flush_tree(staged)
        place(staged, target)
    except OSError as error:
        if is_full_disk(error):
            raise KithkinError(f"the disk is full: {target.name} is as it was before") from error
        if isinstance(error, PermissionError):
            raise KithkinError(f"{target.parent} cannot be written to: {error.strerror}") from error
        raise
    finally:
        if staged.is_dir():
            shutil.rmtree(staged)
        else:
            staged.unlink(missing_ok=True)
