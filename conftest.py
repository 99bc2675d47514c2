"""Settings of the processes of all tests, and what is not collected without an extra."""

import atexit
import gc
import importlib.metadata
import os
import shutil
import tempfile
from collections.abc import Iterator
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest

# threads of two workers on two cores wait for each other in loops that cost more than the work
os.environ.setdefault("OMP_NUM_THREADS", "1")

# the programs that tests start would each compile the package anew, and so would the second worker
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# anndata reads the metadata of a package with every array that it writes, to learn its version
importlib.metadata.version = cache(importlib.metadata.version)

# the tests write and remove small files by the hundred thousand: in memory that takes half of the time
IN_MEMORY = Path("/dev/shm")
ROOM = 4 << 30  # bytes, several times what the tests keep at once


def has_room() -> bool:
    """Whether files may be kept in memory."""
    if not os.access(IN_MEMORY, os.W_OK) or shutil.disk_usage(IN_MEMORY).free < ROOM:
        return False
    return os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") > 2 * ROOM


if "TMPDIR" not in os.environ and has_room():
    os.environ["TMPDIR"] = tempfile.mkdtemp(prefix="kithkin-tests-", dir=IN_MEMORY)  # workers and programs inherit it
    atexit.register(shutil.rmtree, os.environ["TMPDIR"], ignore_errors=True)
    tempfile.tempdir = None

FOLDERS = ["deep/*", "gates/*", "nn/*"]
NEED_TORCH = [
    *FOLDERS,
    "images/encoder.py",
    "images/network.py",
    "images/store.py",
    "mixture/encoder.py",
    "mixture/encoder_network.py",
]
collect_ignore_glob = [] if find_spec("torch") else [f"src/kithkin/models/{name}" for name in NEED_TORCH]


def pytest_collection_finish() -> None:
    """Let the collector of garbage pass over what the modules of all tests have loaded."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_power_failure() -> Iterator[None]:
    """Do not wait until the disk has what is written: only a power failure, which no test has, would show it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        yield
