"""The parser of Matrix Market entries against Python's own."""

import numpy as np
import pytest

from kithkin.kernels.text import DONE, ODD, parse_entries, parse_fields


def parse(text, *, real=True, value=True, capacity=1000, hard=10, shape=(1000, 1000)):
    data = np.frombuffer(text.encode(), np.uint8)
    a, b, v = np.zeros(capacity, np.int32), np.zeros(capacity, np.int32), np.zeros(capacity)
    places = np.zeros((hard, 3), np.int64)
    position, filled, lines, n_hard, status = parse_entries(data, 0, len(data), value, real, *shape, a, b, v, 0, places)
    for entry, begin, end in places[:n_hard].tolist():
        v[entry] = float(text[begin:end])
    return (
        position,
        lines,
        status,
        list(zip(a[:filled].tolist(), b[:filled].tolist(), v[:filled].tolist(), strict=True)),
    )


@pytest.mark.parametrize("seed", range(3))
def test_numbers_are_correct_to_the_last_bit(seed):
    rng = np.random.default_rng(seed)
    values = np.exp(rng.uniform(-40, 40, 200))
    texts = [
        f"{x:{f}}" for x, f in zip(values, rng.choice([".3f", ".17g", ".6e", ".0f", ".1E", ".15g"], 200), strict=True)
    ]
    text = "".join(f"{k % 900 + 1} {k % 7 + 1} {t}\n" for k, t in enumerate(texts))
    _, lines, status, entries = parse(text, hard=200)
    assert (lines, status) == (200, DONE)
    assert entries == [(k % 900, k % 7, float(t)) for k, t in enumerate(texts)]


@pytest.mark.parametrize(
    "line",
    [
        "1 1 1 1",
        "1 1",
        "1",
        "0 1 1",
        "1 1001 1",
        "1001 1 1",
        "a 1 1",
        "1 1 x",
        "1 1 --1",
        "1 1 -",
        "1 1 1e",
        "1 1 1.5.2",
        "1 1 .",
        "1,1,1",
    ],
)
def test_odd_lines_stop_the_parser_where_they_begin(line):
    position, lines, status, entries = parse(f"2 3 4\n{line}\n5 6 7\n")
    assert (position, lines, status, entries) == (6, 1, ODD, [(1, 2, 4.0)])


def test_integers_have_no_fraction_and_stay_exact():
    assert parse("1 1 1.0\n", real=False)[2] == ODD
    assert parse("1 1 9007199254740993\n", real=False)[2] == ODD
    assert parse("1 1 9007199254740992\n", real=False)[3] == [(0, 0, 2.0**53)]


def test_entries_without_values_count_one():
    assert parse("3 4\r\n\n% no\n 5\t6 \n", value=False)[3] == [(2, 3, 1.0), (4, 5, 1.0)]


def test_full_buffers_stop_the_parser():
    position, lines, status, entries = parse("1 1 1\n2 2 2\n3 3 3\n", capacity=2)
    assert (position, lines, status, len(entries)) == (12, 2, DONE, 2)
    position, _, status, entries = parse("1 1 0.1234567890123456789\n" * 3, hard=2)
    assert (status, len(entries)) == (DONE, 2)


def fields(text, target, delimiter=",", rows=50, start=0, missing=()):
    data = np.frombuffer(text.encode(), np.uint8)
    numbers, texts = max(target) + 1, -min(target)
    values, spans = np.zeros((rows, max(numbers, 0))), np.zeros((rows, max(texts, 0), 2), np.int64)
    hard = np.zeros((200, 4), np.int64)
    words = np.array([[*word.encode().ljust(3, b"\0")] for word in missing], np.uint8).reshape(len(missing), 3)
    position, filled, lines, n_hard, status = parse_fields(
        data, start, len(data), ord(delimiter), ord("."), np.array(target), values, spans, 0, hard, words
    )
    for row, column, begin, end in hard[:n_hard].tolist():
        values[row, column] *= float(text[begin:end])
    return (
        position,
        lines,
        status,
        values[:filled].tolist(),
        [[text[a:b] for a, b in row] for row in spans[:filled].tolist()],
    )


@pytest.mark.parametrize("delimiter", [",", "\t", ";", " "])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_fields(delimiter, end):
    values = np.random.default_rng(0).normal(size=(20, 3)) * np.array([1, 1e30, 1e-30])
    text = "".join(
        delimiter.join([repr(float(a)), f"n{k}", *(repr(float(x)) for x in b)]) + end
        for k, (a, *b) in enumerate(values)
    )
    _, lines, status, got, names = fields(text, [0, -1, 1, 2], delimiter)
    assert (lines, status) == (20, DONE)
    assert got == values.tolist()
    assert [name[0] for name in names] == [f"n{k}" for k in range(20)]


def test_quotes_and_blanks():
    text = '"a, ""b""" , "-1" ,+2.5 \n\n"", 7,-0\n'
    _, lines, status, values, names = fields(text, [-1, 0, 1])
    assert (lines, status) == (3, DONE)
    assert values == [[-1, 2.5], [7, 0]]
    assert names == [['"a, ""b"""'], ['""']]


def test_words_that_stand_for_nothing_are_nan_where_they_are_allowed():
    text = 'a,NA,2\nb, ? ,\r\nc,"NA","5"\nd,1,NAN\n'
    position, lines, status, values, _ = fields(text, [-1, 0, 1], missing=("NA", "?", ""))
    np.testing.assert_array_equal(values, [[np.nan, 2], [np.nan, np.nan], [np.nan, 5]])
    assert (position, lines, status) == (text.index("d"), 3, ODD)
    assert fields(text, [-1, 0, 1])[:3] == (0, 0, ODD)


@pytest.mark.parametrize(
    "line", ["x,1", "x,1,2,3", "x,,2", "x,1,y", "x,1,9007199254740993", '"x,1,2', 'x,"1,2', "x,1 1,2", "x,nan,1"]
)
def test_odd_fields_stop_the_parser_where_they_begin(line):
    position, lines, status, values, _ = fields(f"a,1,2\n{line}\nb,3,4\n", [-1, 0, 1])
    assert (position, lines, status, values) == (6, 1, ODD, [[1, 2]])
