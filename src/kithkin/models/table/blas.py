"""One BLAS thread inside blocks: blocks are the parallelism, and results must not depend on how BLAS splits work."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from threadpoolctl import threadpool_limits

_lock = Lock()
_holders: list[Any] = []
_limit: list[Any] = []


@contextmanager
def single_threaded() -> Iterator[None]:
    """Keep BLAS to one thread until the last of all callers in this process has left.

    A limit is a setting of the whole process: without counting, the first thread to leave would lift it for the others.
    """
    token = object()
    with _lock:
        if not _holders:
            _limit.append(threadpool_limits(1, user_api="blas"))
        _holders.append(token)
    try:
        yield
    finally:
        with _lock:
            _holders.remove(token)
            if not _holders:
                _limit.pop().restore_original_limits()
