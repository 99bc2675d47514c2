"""Files at addresses, which are brought to this disk for as long as they are imported."""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from kithkin.core.errors import KithkinError
from kithkin.core.execute import Execution, track
from kithkin.core.fetched import RemoteFile
from kithkin.core.host import RemoteError, look_at
from kithkin.core.remote import is_address, name_of

PIECE = 1 << 24  # bytes of a request, and what an interruption costs at most


@contextmanager
def downloaded(sources: Mapping[str, Any], to: Path, execution: Execution) -> Iterator[dict[str, Any]]:
    """Bring the files at the addresses among sources to a hidden folder beside a dataset, until the block ends.

    Each byte is fetched once. What an interrupted download has brought stays there for the next, which goes on from
    there if the file is still the same; a download that is whole is removed with the end of the block.

    Parameters
    ----------
    sources
        Sources by name; one that is at no address is returned as it is.
    to
        Dataset that will be made of them.
    execution
        Says whether to show progress.

    Raises
    ------
    FormatError
        If there is no such file.
    KithkinError
        If the server does not answer or refuses, or another process downloads for the same dataset.
    """
    urls = [one for one in sources.values() if is_address(one)]
    if not urls:
        yield dict(sources)
        return
    to = to.expanduser().absolute()
    if not to.parent.is_dir():
        raise KithkinError(f"the folder {to.parent} does not exist")
    folder = to.parent / f".{to.name}.download"
    with _alone(folder, to):
        places = {url: _bring(url, folder, execution) for url in dict.fromkeys(urls)}
        try:
            yield {name: places[one] if is_address(one) else one for name, one in sources.items()}
        finally:
            shutil.rmtree(folder)


@contextmanager
def _alone(folder: Path, to: Path) -> Iterator[None]:
    """Make a folder, and be the one who uses it."""
    try:
        folder.mkdir(exist_ok=True)
        handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise KithkinError(f"{folder} cannot be made: {error.strerror}") from error
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise KithkinError(f"{to} is being imported by another process: wait until that is done") from error
        try:
            yield
        finally:
            with suppress(OSError):  # something is here for the next call
                folder.rmdir()
    finally:
        os.close(handle)


def _bring(url: str, folder: Path, execution: Execution) -> Path:
    """Fetch what is missing of a file."""
    host, name, found = look_at(url)
    kept = folder / hashlib.sha256(f"{host.url}/{name}".encode()).hexdigest()[:16] / name_of(url)
    if kept.exists() and (not found.version or RemoteFile(host, name, kept).state != (found.size, found.version)):
        shutil.rmtree(kept.parent)  # it is not the same file any more, or nobody knows
    file = RemoteFile(host, name, kept, durable=True)
    try:
        file.tail(1)
        for start in track(
            range(0, file.size, PIECE), execution, name, unit="B", total=file.size, size=lambda _: PIECE
        ):
            file.fetch([(start, PIECE)])
    except RemoteError as error:
        if not file.n_bytes:
            raise
        raise RemoteError(f"{error}; {file.n_bytes:,} bytes are here, from which the same call goes on") from error
    return kept
