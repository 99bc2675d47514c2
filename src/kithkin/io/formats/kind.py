"""Kind of a table, told by its names and values: counts, values or images."""

from __future__ import annotations

import math
from collections.abc import Mapping

import pandas as pd

from kithkin.io.formats.gene_names import FEW, genes_among
from kithkin.io.formats.pixel_names import AXES, pixel_places
from kithkin.io.source import Source
from kithkin.io.streams.totals import Totals

KINDS = ("counts", "values", "images")
WIDE = 200  # columns of a table that is taken as counts if most of its values are zero
# least side of images without names of pixels, and the least brightness of their brightest pixel; in a format of counts
SIDE, BRIGHT, WHITE = 16, 200, 255


def find_kind(source: Source, totals: Totals, var: pd.DataFrame, n_missing: int, given: str = "auto") -> dict[str, str]:
    """Decide what X holds, with the reason: {"name": "values", "reason": "integers 0 to 16 in 64 columns ..."}.

    Images, if var has the row and column of each pixel, or the table clearly is a list of square images. Counts, if all
    values are integers and none is negative, and the format is one of counts, or the columns are named like genes, or
    the table is wide and mostly zero. Values otherwise.
    """
    n_rows, n_columns = totals.rows, len(var)
    if given != "auto":
        return {"name": given, "reason": f"as kind={given!r} says"}
    if source.kind is not None:
        return {key: str(source.kind[key]) for key in ("name", "reason")}
    if {*AXES[:2]} <= set(var.columns):
        return {"name": "images", "reason": f"var has the row and the column of {n_columns:,} pixels"}
    columns = f"in {n_columns:,} column{'s' * (n_columns != 1)}"
    if totals.low < 0:
        return {"name": "values", "reason": f"negative values {columns}"}
    if totals.real:
        return {"name": "values", "reason": f"numbers that are not integers {columns}"}
    integers = f"integers {totals.least:,.0f} to {totals.high:,.0f} {columns}"
    if n_missing:
        integers += ", some of them missing,"
    examples = genes_among(var)
    if source.of_counts:
        return {"name": "counts", "reason": f"{integers} of a format that holds counts"}
    if examples:
        return {
            "name": "counts",
            "reason": f"{integers} that are named like genes, such as {', '.join(examples[:FEW])}",
        }
    zeros = 1 - totals.stored / max(1, n_rows * n_columns)
    if n_columns >= WIDE and zeros > 0.5:
        return {"name": "counts", "reason": f"{integers}, {100 * zeros:.0f} % of them zero"}
    return {"name": "values", "reason": f"{integers} that are not named like genes"}


def takes_zeros(source: Source, given: str) -> bool:
    """Tell whether columns that one of several samples lacks are 0: those of counts and genes, not of other values."""
    if given in ("counts", "values"):
        return given == "counts"
    return source.of_counts or bool(genes_among(source.var))


def sentence_of_kind(name: str, reason: str) -> str:
    """Say what a table holds, why, and how to say otherwise where it may be something else.

    Examples
    --------
    >>> sentence_of_kind("values", "integers 0 to 16 in 64 columns that are not named like genes")
    "values: integers 0 to 16 in 64 columns that are not named like genes; kind='counts' takes them as counts"
    >>> sentence_of_kind("values", "negative values in 3 columns")
    'values: negative values in 3 columns'
    """
    if name == "values" and not reason.startswith("integers"):
        return f"{name}: {reason}"
    other = "counts" if name == "values" else "values"
    return f"{name}: {reason}; kind={other!r} takes them as {other}"


def square_pixels(source: Source, totals: Totals, var: pd.DataFrame) -> pd.DataFrame | None:
    """Return var with the row and the column of each pixel, if a plain table clearly is a list of square images.

    It is, if its columns are named like pixels; or if they have no names, their number is a square, and the values are
    integers from 0 to 255 of which the largest comes near, or in a format of counts, is 255.
    """
    if {*AXES[:2]} & set(var.columns):
        return None
    places = pixel_places(list(var.index))
    if places is None:
        side = math.isqrt(len(var))
        unnamed = side * side == len(var) and list(var.index) in (
            [str(k + one) for k in range(len(var))] for one in (0, 1)
        )
        least = WHITE if source.of_counts else BRIGHT
        bright = totals.low >= 0 and not totals.real and least <= totals.high <= WHITE
        if side < SIDE or not unnamed or not bright:
            return None
        places = pixel_places([f"pixel{k}" for k in range(len(var))])
    return None if places is None else var.assign(row=places[0], column=places[1])


def missing_note(n_missing: Mapping[str, int]) -> str:
    """Say how many values are missing in which columns, most first.

    Examples
    --------
    >>> missing_note({"a": 1000, "b": 0, "c": 1})
    '1,001 values are missing in 2 columns: a (1,000), c (1)'
    """
    counts = sorted(((name, number) for name, number in n_missing.items() if number), key=lambda one: -one[1])
    listed = ", ".join(f"{name} ({number:,})" for name, number in counts[:5]) + (", ..." if len(counts) > 5 else "")
    total = sum(number for _, number in counts)
    values = "1 value is" if total == 1 else f"{total:,} values are"
    return f"{values} missing in {len(counts):,} column{'s' * (len(counts) != 1)}: {listed}"
