"""Memory of this process: settings of the C library's allocator, on which no result depends, and the peak."""

from __future__ import annotations

import ctypes
import os
import resource
import sys
from functools import cache
from pathlib import Path
from threading import Lock

SYSTEM_BYTES = 2**25  # where the rule of glibc for what comes from the system ends
LARGE_BYTES = 2**22  # from which arrays come from the system where steps make larger ones than that
SETTINGS = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "GLIBC_TUNABLES")


@cache
def share_one_heap() -> bool:
    """Let all threads of this process allocate from one heap, where the C library is glibc; tell whether that was done.

    By default each thread gets a heap of its own, and what one thread frees is lost to the others: streaming the same
    blocks then takes two thirds more memory (benchmarks/main_job.py shows the peak), and is not faster.
    """
    library, arena_max = _glibc(), -8  # M_ARENA_MAX of malloc.h
    return library is not None and library.mallopt(arena_max, 1) == 1


class KeptHeap:
    """Context manager that keeps freed memory in the allocator, where the C library is glibc.

    By default large arrays come from the system each time, which clears every page of them: steps that make and drop
    many of them spend a fifth of their time on that. When the last holder lets go, what is free goes back, and arrays
    of more than 32 MB come from the system again; glibc's own rule, by which that size grows from 128 kB to these 32 MB
    with what is freed, is then over. Nothing is changed where the environment has settings for malloc.

    Parameters
    ----------
    largest
        Bytes of the largest arrays that the steps make. From 32 MB on, arrays of 4 MB and more come from the system all
        the same: pieces of so many sizes leave gaps in the heap that together take more than the arrays themselves.
    """

    _lock, _holders = Lock(), 0

    def __init__(self, largest: int = 0) -> None:
        self._limit = 2**30 if largest < SYSTEM_BYTES else LARGE_BYTES

    def __enter__(self) -> None:
        with KeptHeap._lock:
            KeptHeap._holders += 1
            if KeptHeap._holders == 1:
                _set_heap(self._limit, self._limit)

    def __exit__(self, *_: object) -> None:
        with KeptHeap._lock:
            KeptHeap._holders -= 1
            if KeptHeap._holders == 0:
                _set_heap(SYSTEM_BYTES, 2 * SYSTEM_BYTES)


def return_memory() -> None:
    """Give what is free in the allocator back to the system, where the C library is glibc.

    What a step frees lies between what it leaves, and is otherwise part of the peak of the next step.
    """
    library = _glibc()
    with KeptHeap._lock:
        if library is not None and not KeptHeap._holders:
            library.malloc_trim(0)


def _set_heap(mmap_from: int, trim_from: int) -> None:
    """Set the size from which arrays come from the system and what must be free to go back; give back what is free."""
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


def peak_memory() -> int:
    """Largest resident size of this process so far, in bytes."""
    status = Path("/proc/self/status")
    text = status.read_text(encoding="utf-8") if status.is_file() else ""
    if "VmHWM:" in text:  # on Linux getrusage would count the process that started this one, too
        return int(text.partition("VmHWM:")[2].split()[0]) * 1024
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(peak if sys.platform == "darwin" else peak * 1024)
