"""Memory as a setting: "4GB" to bytes, bytes to rows, and what the machine or its container allows."""

from __future__ import annotations

import ctypes
import os
import re
import sys
from functools import cache
from pathlib import Path
from threading import Lock

from kithkin.core.errors import ParameterError, check

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
SMALLEST = 50 * 10**6
SYSTEM_BYTES = 2**25  # where the rule of glibc for what comes from the system ends
SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")
BLOCK_BYTES = (
    8 * 2**20
)  # a decoded block that stays in a shared cache: larger ones gain nothing, see benchmarks/layout.py


def parse_memory(memory: str | int) -> int:
    """Bytes of a size such as "256MB" or 2_000_000_000.

    Parameters
    ----------
    memory
        A number of bytes, or a number with one of B, KB, MB, GB, TB, KiB, MiB, GiB.

    Raises
    ------
    ParameterError
        If the text is not a size, or less than 50 MB.

    Examples
    --------
    >>> parse_memory("1.5GB")
    1500000000
    """
    text = str(memory).strip()
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Za-z]*)", text)
    if not match or match[2].upper() not in UNITS:
        raise ParameterError(f"memory must be a size such as '2GB', got {memory!r}")
    size = int(float(match[1]) * UNITS[match[2].upper()])
    check(size >= SMALLEST, f"memory must be at least 50MB, got {memory!r}")
    return size


def memory_limit() -> int:
    """Bytes this process may use: physical memory, or the container's limit where that is lower.

    Examples
    --------
    >>> memory_limit() > 0
    True
    """
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        file = Path(path)
        if file.is_file():
            text = file.read_text().strip()
            if text.isdigit():
                limit = min(limit, int(text))
    return limit


def default_memory() -> int:
    """The budget when the user sets none: a quarter of what there is, and no more than 2 GB.

    Examples
    --------
    >>> default_memory() <= 2 * 10**9
    True
    """
    return max(SMALLEST, min(2 * 10**9, memory_limit() // 4))


@cache
def share_one_heap() -> bool:
    """Let all threads of this process allocate from one heap, where the C library is glibc; whether that was done.

    By default each thread gets a heap of its own, and what one thread frees is lost to the others: streaming the same
    blocks then takes two thirds more memory (benchmarks/main_job.py shows the peak), and is not faster.

    Examples
    --------
    >>> share_one_heap() in (True, False)
    True
    """
    library, arena_max = _glibc(), -8  # M_ARENA_MAX of malloc.h
    return library is not None and library.mallopt(arena_max, 1) == 1


class KeptHeap:
    """While it is held, what is freed stays for what is asked for next, where the C library is glibc.

    By default large arrays come from the system each time, which clears every page of them: steps that make and drop
    many of them spend a fifth of their time on that. When the last holder lets go, what is free goes back, and arrays
    of more than 32 MB come from the system again; glibc's own rule, by which that size grows from 128 kB to these 32 MB
    with what is freed, is then over. Nothing is changed where the environment has settings for malloc.

    Examples
    --------
    >>> with KeptHeap():
    ...     sum(range(3))
    3
    """

    _lock, _holders = Lock(), 0

    def __enter__(self) -> None:
        with KeptHeap._lock:
            KeptHeap._holders += 1
            if KeptHeap._holders == 1:
                _set_heap(2**30, 2**30)

    def __exit__(self, *_: object) -> None:
        with KeptHeap._lock:
            KeptHeap._holders -= 1
            if KeptHeap._holders == 0:
                _set_heap(SYSTEM_BYTES, 2 * SYSTEM_BYTES)


def _set_heap(mmap_from: int, trim_from: int) -> None:
    """From which size arrays come from the system, and how much must be free to go back; give back what is free now."""
    library = _glibc()
    if library is None or any(name in os.environ for name in SETTINGS):
        return
    mmap_threshold, trim_threshold = -3, -1  # M_MMAP_THRESHOLD and M_TRIM_THRESHOLD of malloc.h
    # versions before 2.35 refuse more than 32 MB, and keep what there was
    if library.mallopt(mmap_threshold, mmap_from) == 1 or library.mallopt(mmap_threshold, SYSTEM_BYTES) == 1:
        library.mallopt(trim_threshold, trim_from)
        library.malloc_trim(0)


@cache
def _glibc() -> ctypes.CDLL | None:
    library = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return library if hasattr(library, "mallopt") and hasattr(library, "malloc_trim") else None


def rows_per_block(bytes_per_row: float, memory: int, threads: int) -> int:
    """How many rows a block has, so that all blocks in flight take a quarter of the budget at most.

    Parameters
    ----------
    bytes_per_row
        Mean bytes of one decoded row.
    memory
        The budget in bytes.
    threads
        Blocks in flight at a time, less one.

    Examples
    --------
    >>> rows_per_block(1000.0, 10**9, 2)
    8388
    """
    target = min(BLOCK_BYTES, memory // (4 * (threads + 1)))
    return max(1, int(target / max(bytes_per_row, 1e-9)))
