"""Whatever parts of a file are asked for, by whom and in which order: they are right, and each byte is fetched once."""

from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kithkin.core.fetched import RemoteFile, _merged, _missing
from kithkin.core.host import Host, RemoteError

pytest.importorskip("obstore", reason="the extra remote is not installed")
RANGES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=12)


def places(ranges):
    return {place for start, stop in ranges for place in range(start, stop)}


@given(RANGES, RANGES)
def test_ranges_are_joined_and_subtracted_as_sets_are(wanted, there):
    joined, known = _merged(wanted), _merged(there)
    assert places(joined) == places(wanted)
    assert all(a[1] < b[0] for a, b in pairwise(joined))
    assert places(_missing(joined, known)) == places(wanted) - places(there)
    assert all(start < stop for start, stop in _missing(joined, known))


@pytest.fixture
def content(tmp_path):
    (tmp_path / "served").mkdir()
    content = np.random.default_rng(0).bytes(50_000)
    (tmp_path / "served/file").write_bytes(content)
    return content


def test_many_threads_fetch_each_byte_once(content, serve, tmp_path):
    host = serve(tmp_path / "served")
    source, rng = Host(host.url), np.random.default_rng(1)

    def ask(start, length):
        return RemoteFile(source, "file", tmp_path / "kept/file").read(length, start)

    asked = [(int(start), int(length)) for start, length in rng.integers(0, (50_000, 5_000), (60, 2))]
    RemoteFile(source, "file", tmp_path / "kept/file").tail(100)
    with ThreadPoolExecutor(8) as threads:
        for (start, length), got in zip(asked, threads.map(lambda one: ask(*one), asked), strict=True):
            assert got == content[start : start + length]
    assert host.twice() == 0
    expected = [(start, min(50_000, start + length)) for start, length in asked]
    assert host.n_bytes == len(places([*expected, (49_900, 50_000)]))


def test_neighbouring_parts_come_in_one_request(content, serve, tmp_path):
    host = serve(tmp_path / "served")
    file = RemoteFile(Host(host.url), "file", tmp_path / "kept/file")
    assert file.tail(10) == (content[-10:], 49_990)
    file.fetch([(100, 50), (150, 50), (200, 1)])
    assert [(start, stop) for _, start, stop in host.requests] == [(49_990, 50_000), (100, 201)]
    assert file.read(60, 140) == content[140:200]
    assert len(host.requests) == 2


def test_a_part_that_was_not_listed_is_fetched_again(content, serve, tmp_path):
    """A process that was killed between the bytes and their list."""
    host = serve(tmp_path / "served")
    source, kept = Host(host.url), tmp_path / "kept/file"
    RemoteFile(source, "file", kept).read(100, 0)
    listed = kept.with_name("file.ranges").read_text().splitlines()
    kept.with_name("file.ranges").write_text(f"{listed[0]}\n0 1")  # not a whole line
    kept.write_bytes(bytes(50_000))
    assert RemoteFile(source, "file", kept).read(100, 0) == content[:100]
    assert RemoteFile(source, "file", kept).read(90, 5) == content[5:95]
    assert kept.with_name("file.ranges").read_text().splitlines() == [listed[0], "0 100"]


def test_a_file_that_changes_is_noticed(content, serve, tmp_path):
    host = serve(tmp_path / "served")
    source, kept = Host(host.url), tmp_path / "kept/file"
    RemoteFile(source, "file", kept).tail(100)
    (tmp_path / "served/file").write_bytes(content[::-1])
    with pytest.raises(RemoteError, match=r"/file was changed while it was read: open it again"):
        RemoteFile(source, "file", kept).read(100, 0)


def test_a_file_that_is_not_there(content, serve, tmp_path):
    host = serve(tmp_path / "served", absent=403)
    with pytest.raises(FileNotFoundError, match="no file, or one that is not public"):
        RemoteFile(Host(host.url), "other", tmp_path / "kept/other").read(1, 0)
