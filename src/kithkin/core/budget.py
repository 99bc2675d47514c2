"""Memory as a setting: "4GB" to bytes, bytes to rows, and what the machine or its container allows."""

from __future__ import annotations

import os
import re
from pathlib import Path

from kithkin.core.errors import ParameterError, check

UNITS = {"": 1, "B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
SMALLEST = 50 * 10**6
BLOCK_BYTES = (
    8 * 2**20
)  # a decoded block that stays in a shared cache: larger ones gain nothing, see benchmarks/layout.py


def parse_memory(memory: str | int) -> int:
    """Parse a size such as "256MB" or 2_000_000_000.

    Parameters
    ----------
    memory
        A number of bytes, or a number with one of B, KB, MB, GB, TB, KiB, MiB, GiB.

    Raises
    ------
    ParameterError
        If the text is not a size, or less than 50 MB.
    """
    text = str(memory).strip()
    match = re.fullmatch(r"([0-9]*\.?[0-9]+)\s*([A-Za-z]*)", text)
    if not match or match[2].upper() not in UNITS:
        raise ParameterError(f"memory must be a size such as '2GB', got {memory!r}")
    size = int(float(match[1]) * UNITS[match[2].upper()])
    check(size >= SMALLEST, f"memory must be at least 50MB, got {memory!r}")
    return size


def memory_limit() -> int:
    """Find the bytes that this process may use: physical memory, or the container's limit where that is lower."""
    limit = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        file = Path(path)
        if file.is_file():
            text = file.read_text().strip()
            if text.isdigit():
                limit = min(limit, int(text))
    return limit


def default_memory() -> int:
    """Choose the budget when the user sets none: a quarter of what there is, and no more than 2 GB."""
    return max(SMALLEST, min(2 * 10**9, memory_limit() // 4))


def rows_per_block(bytes_per_row: float, memory: int, threads: int) -> int:
    """Choose the rows of a block, so that all blocks in flight take a quarter of the budget at most.

    Parameters
    ----------
    bytes_per_row
        Mean bytes of one decoded row.
    memory
        The budget in bytes.
    threads
        Blocks in flight at a time, less one.
    """
    target = min(BLOCK_BYTES, memory // (4 * (threads + 1)))
    return max(1, int(target / max(bytes_per_row, 1e-9)))
