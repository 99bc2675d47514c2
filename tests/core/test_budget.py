"""Sizes as people write them."""

import pytest

from kithkin.core.budget import BLOCK_BYTES, default_memory, memory_limit, parse_memory, rows_per_block
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
