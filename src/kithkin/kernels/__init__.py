"""Compiled loops: arrays in, arrays out. Importing the package chooses where compiled functions are kept."""

from __future__ import annotations

import logging
import os
import stat
import tempfile
from collections.abc import Iterable
from pathlib import Path

import numba
from numba.misc.appdirs import AppDirs

log = logging.getLogger("kithkin")


def is_writable(folder: Path) -> bool:
    """Check that a file can be created in a folder, which is made if it is missing."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def temporary_cache() -> Path:
    """Return this user's folder for compiled functions below the folder for temporary files.

    The cache holds code, so a folder that another user could have prepared is not taken.
    """
    folder = Path(tempfile.gettempdir()) / f"kithkin-kernels-{os.geteuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        about = folder.lstat()
        own = stat.S_ISDIR(about.st_mode) and about.st_uid == os.geteuid() and not about.st_mode & 0o022
    except OSError:
        own = False
    return folder if own and is_writable(folder) else Path(tempfile.mkdtemp(prefix="kithkin-kernels-"))


def choose_cache(folders: Iterable[Path]) -> Path | None:
    """Return a temporary folder for compiled functions if none of the given ones can be written, else None."""
    tried = list(folders)
    if any(map(is_writable, tried)):
        return None
    folder = temporary_cache()
    log.warning("compiled functions are kept in %s: %s cannot be written", folder, " and ".join(map(str, tried)))
    return folder


if not numba.config.CACHE_DIR:
    _folder = choose_cache([Path(__file__).parent / "__pycache__", Path(AppDirs("numba", False).user_cache_dir)])
    if _folder is not None:
        numba.config.CACHE_DIR = str(_folder)  # numba refuses to compile where it finds no place for its cache
