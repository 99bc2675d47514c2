"""Parsers of numbers in text: the entries of a Matrix Market file and the fields of a table."""

from __future__ import annotations

import numpy as np
from numba import njit

NEWLINE, RETURN, SPACE, TAB, QUOTE, PERCENT, DOT, PLUS, MINUS, ZERO = 10, 13, 32, 9, 34, 37, 46, 43, 45, 48
BACKSLASH = 92
EXACT = 2**53  # below this every integer is a float64
TOO_LONG = 4 * EXACT
POWERS = 10.0 ** np.arange(23)  # these are exact in float64, so that one rounding makes a product or quotient correct

DONE, ODD = 0, 1
NO_NUMBER, WHOLE, REAL, LONG_REAL, LONG_WHOLE = 0, 1, 2, 3, 4


@njit(cache=True, nogil=True)
def parse_number(text, position, dot):
    r"""Read an unsigned decimal number.

    text: uint8; something else than a digit must follow the number.
    position: its first byte.
    dot: the byte before a fraction: a dot, or a comma.
    Returns position, first byte behind it; value, correct to the last bit for WHOLE and REAL; kind, NO_NUMBER; WHOLE
        without fraction and exponent, or REAL; LONG_WHOLE and LONG_REAL for those with more digits than can be
        converted here.

    >>> parse_number(np.frombuffer(b"0.25\n", np.uint8), 0, ord("."))
    (4, 0.25, 2)
    """
    mantissa, n_digits, exponent, kind = np.int64(0), 0, 0, WHOLE
    digit = np.int64(text[position]) - ZERO
    while 0 <= digit <= 9:
        mantissa = mantissa * 10 + digit if mantissa < EXACT else TOO_LONG
        n_digits += 1
        position += 1
        digit = np.int64(text[position]) - ZERO
    if text[position] == dot:
        kind = REAL
        position += 1
        digit = np.int64(text[position]) - ZERO
        while 0 <= digit <= 9:
            mantissa = mantissa * 10 + digit if mantissa < EXACT else TOO_LONG
            exponent -= 1
            n_digits += 1
            position += 1
            digit = np.int64(text[position]) - ZERO
    if n_digits == 0:
        return position, 0.0, NO_NUMBER
    if text[position] | 32 == 101:
        kind = REAL
        position += 1
        sign, power = 1, 0
        if text[position] == MINUS:
            sign = -1
            position += 1
        elif text[position] == PLUS:
            position += 1
        digit = np.int64(text[position]) - ZERO
        if not 0 <= digit <= 9:
            return position, 0.0, NO_NUMBER
        while 0 <= digit <= 9:
            power = min(power * 10 + digit, 100000)
            position += 1
            digit = np.int64(text[position]) - ZERO
        exponent += sign * power
    if mantissa > EXACT or exponent < -22 or exponent > 22:
        return position, 0.0, LONG_WHOLE if kind == WHOLE else LONG_REAL
    return position, mantissa / POWERS[-exponent] if exponent < 0 else mantissa * POWERS[exponent], kind


@njit(cache=True, nogil=True)
def parse_entries(text, start, stop, has_value, is_real, n_first, n_second, first, second, values, filled, hard):
    r"""Read lines "first second value" until the text ends, a buffer is full or a line is odd.

    text: uint8; text[stop - 1] must be a newline.
    start, stop: range of whole lines in text.
    has_value: False where lines hold two numbers and each entry counts one.
    is_real: whether values may have a fraction and an exponent.
    n_first, n_second: largest first and second number that a line may name, from 1.
    first, second: written from `filled`: the coordinates, from 0.
    values: float64, written from `filled`. Every value is correct to the last bit, or its place is in `hard`.
    filled: entries in the buffers so far.
    hard: int64, k x 3: entry, first byte and end of a number with more digits than can be converted here.
    Returns position, first byte that was not read; filled, entries in the buffers; lines, whole lines read, blank and
        comment lines included; n_hard, rows of `hard` in use; status, ODD if the line at `position` is not of the plain
        form; DONE otherwise.
    """
    # Long: one pass over bytes with a dozen running positions, not worth passing around
    position, lines, n_hard = start, 0, 0
    while position < stop and filled < len(values) and n_hard < len(hard):
        begin = position
        byte = text[position]
        while byte in (SPACE, TAB, RETURN):
            position += 1
            byte = text[position]
        if byte in (NEWLINE, PERCENT):
            while byte != NEWLINE:
                position += 1
                byte = text[position]
            position += 1
            lines += 1
            continue

        row = np.int64(0)
        digit = np.int64(byte) - ZERO
        while 0 <= digit <= 9 and row <= n_first:
            row = row * 10 + digit
            position += 1
            digit = np.int64(text[position]) - ZERO
        byte = text[position]
        if row < 1 or row > n_first or byte not in (SPACE, TAB):
            return begin, filled, lines, n_hard, ODD
        while byte in (SPACE, TAB):
            position += 1
            byte = text[position]

        column = np.int64(0)
        digit = np.int64(byte) - ZERO
        while 0 <= digit <= 9 and column <= n_second:
            column = column * 10 + digit
            position += 1
            digit = np.int64(text[position]) - ZERO
        byte = text[position]
        if column < 1 or column > n_second:
            return begin, filled, lines, n_hard, ODD

        value = 1.0
        if has_value:
            if byte not in (SPACE, TAB):
                return begin, filled, lines, n_hard, ODD
            while byte in (SPACE, TAB):
                position += 1
                byte = text[position]
            begin_of_value, sign = position, 1.0
            if byte == MINUS:
                sign = -1.0
                position += 1
            number = position
            count = np.int64(0)
            digit = np.int64(byte) - ZERO
            while 0 <= digit <= 9 and count < EXACT:
                count = count * 10 + digit
                position += 1
                digit = np.int64(text[position]) - ZERO
            byte = text[position]
            value = sign * count
            if byte > SPACE or count > EXACT or position == number:  # not the short integer that most lines end with
                position, value, kind = parse_number(text, number, DOT)
                value *= sign
                byte = text[position]
                if kind == NO_NUMBER or byte > SPACE or (kind != WHOLE and not is_real):
                    return begin, filled, lines, n_hard, ODD
                if kind >= LONG_REAL:
                    hard[n_hard, 0], hard[n_hard, 1], hard[n_hard, 2] = filled, begin_of_value, position
                    n_hard += 1

        while byte in (SPACE, TAB, RETURN):
            position += 1
            byte = text[position]
        if byte != NEWLINE:
            return begin, filled, lines, n_hard, ODD
        first[filled] = row - 1
        second[filled] = column - 1
        values[filled] = value
        filled += 1
        position += 1
        lines += 1
    return position, filled, lines, n_hard, DONE


@njit(cache=True, nogil=True)
def is_listed(text, start, stop, words):
    """Tell whether a range of bytes is one of some words, which are rows of bytes that end in zeros.

    Examples
    --------
    >>> words = np.array([[78, 65, 0]], np.uint8)
    >>> [is_listed(np.frombuffer(b"NA,", np.uint8), 0, stop, words) for stop in (1, 2, 3)]
    [False, True, False]
    """
    length = stop - start
    for word in words:
        if length < len(word) and word[length] == 0:
            same = True
            for k in range(length):
                if word[k] != text[start + k]:
                    same = False
            if same:
                return True
    return False


@njit(cache=True, nogil=True)
def parse_fields(text, start, stop, delimiter, dot, target, values, spans, filled, hard, words):
    r"""Read lines of delimited fields until the text ends, a buffer is full or a line is odd.

    text: uint8; text[stop - 1] must be a newline.
    start, stop: range of whole lines in text.
    delimiter: the byte between fields; several spaces count as one.
    dot: the byte before a fraction: a dot, or a comma.
    target: int64, one for each field: k >= 0 for column k of values, and -1 - k for column k of spans.
    values: float64, rows x numbers, written from row `filled`.
    spans: int64, rows x texts x 2: first byte and end of the other fields, with their quotes.
    filled: rows in the buffers so far.
    hard: int64, k x 4: row, column of values, first byte and end of a number that cannot be converted here.
    words: uint8, words x bytes, each with a zero at its end: what may stand for a missing value, which is NaN.
    Returns position, filled, lines, n_hard, status: as for parse_entries. ODD also for a line with more or fewer fields
        than there are targets, and for an integer that float64 does not hold.
    """
    # Long: one pass over bytes with a dozen running positions, not worth passing around
    position, lines, n_hard, width = start, 0, 0, len(target)
    while position < stop and filled < len(values) and n_hard + width <= len(hard):
        begin, hard_before = position, n_hard
        while text[position] in (SPACE, TAB, RETURN):
            position += 1
        if text[position] == NEWLINE:
            position += 1
            lines += 1
            continue
        position = begin
        for field in range(width):
            while text[position] == SPACE:
                position += 1
            first = position
            quoted = text[position] == QUOTE
            column = target[field]
            if column >= 0:
                if quoted:
                    position += 1
                sign = 1.0
                if text[position] == MINUS:
                    sign = -1.0
                    position += 1
                elif text[position] == PLUS:
                    position += 1
                number = position
                position, value, kind = parse_number(text, position, dot)
                if kind == NO_NUMBER:
                    position = first + 1 if quoted else first
                    word = position
                    while text[position] not in (delimiter, NEWLINE, RETURN, QUOTE):
                        position += 1
                    end = position
                    while end > word and text[end - 1] == SPACE:
                        end -= 1
                    if not is_listed(text, word, end, words):
                        return begin, filled, lines, hard_before, ODD
                    value = np.nan
                elif kind == LONG_WHOLE:
                    return begin, filled, lines, hard_before, ODD
                elif kind == LONG_REAL:
                    hard[n_hard, 0], hard[n_hard, 1] = filled, column
                    hard[n_hard, 2], hard[n_hard, 3] = number, position
                    n_hard += 1
                    value = 1.0  # keeps the sign until the number is known
                values[filled, column] = sign * value
                if quoted:
                    if text[position] != QUOTE:
                        return begin, filled, lines, hard_before, ODD
                    position += 1
            elif quoted:
                position += 1
                # a doubled quote stands for one, and looks like the end of one text and the start of another
                while text[position] != NEWLINE and (text[position] != QUOTE or text[position + 1] == QUOTE):
                    after = text[position + 1]
                    escaped = text[position] == BACKSLASH and after == QUOTE
                    if escaped:  # R writes so; a quote right before a delimiter ends the text all the same
                        escaped = text[position + 2] not in (delimiter, NEWLINE, RETURN)
                    position += 2 if text[position] == QUOTE or escaped else 1
                if text[position] == NEWLINE:
                    return begin, filled, lines, hard_before, ODD
                position += 1
            else:
                while text[position] not in (delimiter, NEWLINE):
                    position += 1
            if column < 0:
                spans[filled, -1 - column, 0], spans[filled, -1 - column, 1] = first, position
            while text[position] == SPACE or (text[position] == RETURN and text[position + 1] == NEWLINE):
                if text[position] == delimiter and text[position + 1] not in (SPACE, RETURN, NEWLINE):
                    break
                position += 1
            byte = text[position]
            if field + 1 < width:
                if byte != delimiter:
                    return begin, filled, lines, hard_before, ODD
                position += 1
            elif byte != NEWLINE:
                return begin, filled, lines, hard_before, ODD
        filled += 1
        position += 1
        lines += 1
    return position, filled, lines, n_hard, DONE
