"""Numbers as tables write them: a dot or a comma before the fraction, and marks between thousands."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

NUMBER = re.compile(r"\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*")
WITH_COMMA = re.compile(r"\s*[+-]?\d+(,\d+)+(\.\d+)?([eE][+-]?\d+)?\s*")
THOUSANDS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(,\d{3})+(\.\d+)?\s*")  # 1,200.5
POINTS = re.compile(r"\s*[+-]?[1-9]\d{0,2}(\.\d{3})+(,\d+)?\s*")  # 1.200,5

# fields of any column that stand for a value that is missing, and those that do so in a column of numbers only
MISSING = ("", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaN", "nan", "NAN", "None", "null", "NULL", "Null", "?")
NO_NUMBER = (*MISSING, "na", "none", "-nan", "NaT", ".")


@dataclass(frozen=True)
class Marks:
    """Marks in the numbers of a table."""

    decimal: str = "."  # before a fraction; empty where numbers such as 1,500 may mean thousands or a fraction
    # columns with a mark between thousands to that mark, which is a comma beside decimal dots and a dot beside commas
    thousands: Mapping[int, str] = field(default_factory=dict)
    doubtful: tuple[int, str] | None = None  # a column of numbers such as 1,500, and one of them


def is_number(text: str, decimal: str = ".") -> bool:
    """Tell whether a field is a decimal number."""
    if decimal == ",":
        text = text.replace(",", ".")
    return NUMBER.fullmatch(text) is not None


def find_marks(columns: Sequence[Sequence[str]], delimiter: str = "\t") -> Marks:
    """Find the marks of a table by the first fields of its columns; a column counts if all its fields are numbers.

    One column with a comma that cannot stand between thousands (1,5) shows that commas stand before fractions, unless a
    number of the table has a dot there. Where all commas may stand between thousands, they do if a number has a dot
    before its fraction or two commas, or if the comma is also the delimiter, so that these numbers were quoted.

    Examples
    --------
    >>> find_marks([["1,5", "2"], ["1,250", "3,500"]]).decimal
    ','
    >>> find_marks([["0.5", "2"], ["1,250", "3,500"]]).thousands
    {1: ','}
    >>> find_marks([["1,250", "3,500"]]).doubtful
    (0, '1,250')
    """
    fractions, grouped, pointed = False, dict[int, str](), list[int]()
    certain, dots = delimiter == ",", False
    for k, column in enumerate(columns):
        cells = [cell for cell in column if cell.strip() not in NO_NUMBER]
        if not all(NUMBER.fullmatch(c) or WITH_COMMA.fullmatch(c) or POINTS.fullmatch(c) for c in cells):
            continue
        marked = [cell for cell in cells if "," in cell]
        if marked and all(THOUSANDS.fullmatch(cell) for cell in marked):
            grouped[k] = marked[0].strip()
            certain = certain or any(cell.count(",") > 1 for cell in marked)
        elif marked:
            fractions = fractions or all(cell.count(",") == 1 for cell in marked)
        with_dot = [cell for cell in cells if "." in cell]
        if with_dot and all(POINTS.fullmatch(cell) for cell in with_dot):
            pointed.append(k)
        else:
            dots = dots or bool(with_dot)
    if fractions and not dots:
        # 1,250 is a fraction here, and 1.250 stands for 1250
        return Marks(",", dict.fromkeys(pointed, "."))
    if grouped and not (certain or dots or pointed):
        return Marks("", {}, next(iter(grouped.items())))
    return Marks(".", dict.fromkeys(grouped, ","))


def plain_number(text: str, thousands: str) -> float | None:
    """Convert a number with marks between thousands; None if it is none, NaN if the field stands for a missing value.

    Examples
    --------
    >>> plain_number("1,200.5", ","), plain_number("1.200,5", "."), plain_number("12,5", ",")
    (1200.5, 1200.5, None)
    """
    text = text.strip()
    if text in NO_NUMBER:
        return float("nan")
    if thousands in text and (THOUSANDS if thousands == "," else POINTS).fullmatch(text) is None:
        return None
    text = text.replace(thousands, "")
    return float(text.replace(",", ".")) if is_number(text, "," if thousands == "." else ".") else None
