"""Memory that stays with the process, and settings of others that are left alone."""

import resource
from types import SimpleNamespace

import numpy as np
import pytest

from kithkin.core import heap
from kithkin.core.heap import KeptHeap


def faults(megabytes):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(megabytes * 2**17)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(heap._glibc() is None, reason="the C library is not glibc")
def test_a_kept_heap_gives_the_same_pages_again_until_the_last_holder_lets_go(monkeypatch):
    for name in heap.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    fresh = faults(128)
    with KeptHeap():
        faults(24)  # every version of glibc can be told to keep so much
        with KeptHeap():
            assert faults(24) < fresh / 20
        assert faults(24) < fresh / 20
    assert faults(128) > fresh / 2


@pytest.mark.skipif(heap._glibc() is None, reason="the C library is not glibc")
def test_settings_of_malloc_in_the_environment_stay(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *given: calls.append(given) or 1, malloc_trim=lambda _: None)
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    monkeypatch.setenv("MALLOC_TRIM_THRESHOLD_", "65536")
    with KeptHeap():
        assert calls == []
    monkeypatch.delenv("MALLOC_TRIM_THRESHOLD_")
    with KeptHeap():
        assert calls == [(-3, 2**30), (-1, 2**30)]
    assert calls[2:] == [(-3, 2**25), (-1, 2**26)]


def test_steps_with_large_arrays_take_them_from_the_system(monkeypatch):
    calls = []
    library = SimpleNamespace(mallopt=lambda *given: calls.append(given) or 1, malloc_trim=lambda _: None)
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    for name in heap.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with KeptHeap(largest=2**26):
        assert calls == [(-3, 2**22), (-1, 2**22)]
    del calls[:]
    with KeptHeap(largest=2**20):
        assert calls == [(-3, 2**30), (-1, 2**30)]


def test_an_old_library_that_refuses_a_large_threshold_gets_its_largest(monkeypatch):
    calls = []

    def mallopt(name, value):
        calls.append((name, value))
        return int(name != -3 or value <= 2**25)

    monkeypatch.setattr(heap, "_glibc", lambda: SimpleNamespace(mallopt=mallopt, malloc_trim=lambda _: None))
    for name in heap.SETTINGS:
        monkeypatch.delenv(name, raising=False)
    with KeptHeap():
        assert calls == [(-3, 2**30), (-3, 2**25), (-1, 2**30)]


def test_memory_is_returned_unless_somebody_keeps_it(monkeypatch):
    trims = []
    library = SimpleNamespace(mallopt=lambda *_: 1, malloc_trim=trims.append)
    monkeypatch.setattr(heap, "_glibc", lambda: library)
    heap.return_memory()
    assert trims == [0]
    with KeptHeap():
        del trims[:]
        heap.return_memory()
        assert trims == []
    monkeypatch.setattr(heap, "_glibc", lambda: None)
    heap.return_memory()
