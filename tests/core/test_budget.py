"""Sizes as people write them."""

import resource
from types import SimpleNamespace

import numpy as np
import pytest

from kithkin.core import budget
from kithkin.core.budget import BLOCK_BYTES, KeptHeap, default_memory, memory_limit, parse_memory, rows_per_block
from kithkin.core.errors import ParameterError


@pytest.mark.parametrize(
    ("text", "size"),
    [("256MB", 256 * 10**6), ("1.5 GB", 15 * 10**8), ("1GiB", 2**30), (10**9, 10**9), ("2gb", 2 * 10**9)],
)
def test_sizes_are_read(text, size):
    assert parse_memory(text) == size


@pytest.mark.parametrize("text", ["", "much", "-1GB", "1XB", "10MB", "1e9e9", None])
def test_what_is_no_size_or_too_small_is_refused(text):
    with pytest.raises(ParameterError, match="memory must be"):
        parse_memory(text)


def test_blocks_in_flight_stay_within_a_quarter_of_the_budget():
    for memory in (10**8, 10**9, 10**12):
        for threads in (1, 2, 16):
            rows = rows_per_block(1000.0, memory, threads)
            assert rows * 1000 <= BLOCK_BYTES
            assert rows * 1000 * (threads + 1) <= memory / 4
    assert rows_per_block(10**12, 10**8, 2) == 1


def test_the_default_fits_the_machine():
    assert default_memory() <= max(memory_limit(), 5 * 10**7)


def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(megabytes * 2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(budget._glibc() is None, reason="the C library is not glibc")
def test_a_kept_heap_gives_the_same_pages_again_until_the_last_holder_lets_go(monkeypatch):
    for name in budget.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    fresh = faults(128)
    with KeptHeap():
        faults(24)  # every version of glibc can be told to keep so much
        with KeptHeap():
            assert faults(24) < fresh / 20
        assert faults(24) < fresh / 20
    assert faults(128) > fresh / 2


@pytest.mark.skipif(budget._glibc() is None, reason="the C library is not glibc")
def test_settings_of_malloc_in_the_environment_stay(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *given: calls.append(given) or 1, malloc_trim=lambda _: None)
    monkeypatch.setattr(budget, "_glibc", lambda: library)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    with KeptHeap():
        assert calls == []
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    with KeptHeap():
        assert calls == [(-3, 2**30), (-1, 2**30)]
    assert calls[2:] == [(-3, 2**25), (-1, 2**26)]


def test_an_old_library_that_refuses_a_large_threshold_gets_its_largest(monkeypatch):
    calls = []

    def mallopt(name, value):
        calls.append((name, value))
        return int(name != -3 or value <= 2**25)

    monkeypatch.setattr(budget, "_glibc", lambda: SimpleNamespace(mallopt=mallopt, malloc_trim=lambda _: None))
    for name in budget.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with KeptHeap():
        assert calls == [(-3, 2**30), (-3, 2**25), (-1, 2**30)]
