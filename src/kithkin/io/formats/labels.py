"""Columns of a table that hold no values: booleans, dates and texts, in the form in which obs keeps them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from kithkin.io.formats.numerals import MISSING

TRUE, FALSE = ("True", "TRUE", "true"), ("False", "FALSE", "false")
ISO = re.compile(r"\d{4}-\d{1,2}-\d{1,2}([T ]\d{1,2}:\d{2}(:\d{2}(\.\d+)?)?)?(Z|[+-]\d{2}:?\d{2})?")
ZONE = re.compile(r":\d{2}(\.\d+)?(Z|[+-]\d{2}:?\d{2})$")
DATE = re.compile(
    r"(\d{1,4}|[A-Za-z]{3,9})[-./ ]([A-Za-z]{3,9}|\d{1,2}),?[-./ ](\d{4}|\d{1,2})( \d{1,2}:\d{2}(:\d{2})?)?"
)
# each is tried on the whole column; the first two of a group that both fit leave it open which is meant
DAYS = (
    ("%Y/%m/%d",), ("%Y.%m.%d",), ("%d.%m.%Y",), ("%d/%m/%Y", "%m/%d/%Y"), ("%d-%m-%Y", "%m-%d-%Y"),
    ("%d %b %Y",), ("%d-%b-%Y",), ("%b %d, %Y",), ("%b %d %Y",), ("%d %B %Y",), ("%B %d, %Y",),
)  # fmt: skip
TIMES = ("", " %H:%M", " %H:%M:%S")
LISTED = 12  # columns in a note


def typed_column(column: pd.Series[Any]) -> tuple[pd.Series[Any], str]:
    """Convert a column to what it holds, and say what that is.

    Texts that are all True or False become booleans, dates become texts such as 2024-01-31 or 2024-01-31T12:30:00, and
    other texts become categories, unless each occurs once. Numbers, booleans and categories of numbers stay as they
    are.

    Examples
    --------
    >>> for texts in (["true", "false"], ["31.12.2024", "1.2.2025"], ["x", "x"]):
    ...     values, what = typed_column(pd.Series(texts))
    ...     print(values.tolist(), what)
    [True, False] booleans
    ['2024-12-31', '2025-02-01'] dates
    ['x', 'x'] text, 1 value
    """
    kind: Any = column.dtype
    if pd.api.types.is_bool_dtype(kind) and not isinstance(kind, pd.CategoricalDtype):
        return column, "booleans"
    if pd.api.types.is_numeric_dtype(kind):
        return _smallest(column), "numbers"
    if pd.api.types.is_datetime64_any_dtype(kind):
        return _iso_texts(column), "dates"
    if pd.api.types.is_timedelta64_dtype(kind):
        return _smallest(column.dt.total_seconds()), "durations, in seconds"
    if isinstance(kind, pd.CategoricalDtype) and pd.api.types.is_numeric_dtype(kind.categories):
        return column, f"categories, {column.nunique():,} values"
    present = column.dropna()
    if not len(present):
        return column, "nothing but missing values"
    if not isinstance(kind, pd.CategoricalDtype):
        if not present.map(lambda value: isinstance(value, str)).all():
            return _of_objects(column, present)
        column = column.astype(object).where(column.notna(), None).astype("category")
    labels = [str(label) for label in column.cat.categories]
    known = {label for label in labels if label not in MISSING}
    if known and known <= {*TRUE, *FALSE} and len(known) == len(labels):
        values = column.astype(object).map(lambda label: label in TRUE, na_action="ignore")
        return values.astype("boolean" if values.isna().any() else bool), "booleans"
    dates, doubtful = iso_dates(labels)
    if dates is not None:
        texts = np.array([*dates, None], object)[column.cat.codes]
        return _as_category(pd.Series(texts, index=column.index)), "dates"
    n_values = len(present.unique())
    what = (
        "text, day and month cannot be distinguished"
        if doubtful
        else f"text, {n_values:,} value{'s' * (n_values != 1)}"
    )
    return _as_category(column), what


def _as_category(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return texts as categories, or as plain texts where each occurs once."""
    n_values = column.nunique()
    if n_values == len(column):
        return column.astype(object)
    return column.astype("category")


def _smallest(column: pd.Series[Any]) -> pd.Series[Any]:
    """Return numbers as integers if all are whole."""
    if not isinstance(column.dtype, np.dtype) or column.dtype.kind != "f":
        return column
    known = column.dropna()
    if len(known) and (known == np.floor(known)).all() and known.abs().max() < 2.0**53:
        return column.astype("Int64" if len(known) < len(column) else np.int64)
    return column


def _of_objects(column: pd.Series[Any], present: pd.Series[Any]) -> tuple[pd.Series[Any], str]:
    """Convert Python objects: dates to texts, booleans to booleans, and mixtures to texts."""
    if present.map(lambda value: hasattr(value, "isoformat")).all():
        texts = present.map(lambda value: value.isoformat().removesuffix("T00:00:00"))
        return _as_category(texts.reindex(column.index)), "dates"
    if present.map(lambda value: isinstance(value, bool | np.bool_)).all():
        return column.astype("boolean"), "booleans"
    texts = present.map(str).reindex(column.index)
    return _as_category(texts), f"text, {present.map(str).nunique():,} values"


def _iso_texts(column: pd.Series[Any]) -> pd.Series[Any]:
    """Write times as ISO text, without the time of day where all are midnight."""
    known = pd.DatetimeIndex(column.dropna())
    midnight = bool((known == known.normalize()).all())
    texts = pd.Series([time.strftime("%Y-%m-%d") if midnight else time.isoformat() for time in known], dtype=object)
    return _as_category(texts.set_axis(column.dropna().index).reindex(column.index))


def iso_dates(texts: Sequence[str]) -> tuple[list[str] | None, bool]:
    """Read dates in one of the usual forms, the same for all; give them as ISO text, or None if they are none.

    The second value tells that the day and the month cannot be told apart.

    Examples
    --------
    >>> iso_dates(["31/12/2024", "01/02/2025"])[0], iso_dates(["02/12/2024", "01/02/2025"])
    (['2024-12-31', '2025-02-01'], (None, True))
    """
    if not texts or not all(ISO.fullmatch(text) or DATE.fullmatch(text) for text in texts[:100]):
        return None, False
    index = pd.Series(texts, dtype=object)
    if ISO.fullmatch(texts[0]):
        forms: Sequence[Sequence[str]] = (("ISO8601",),)
    else:
        forms = [tuple(f"{day}{time}" for day in days) for days in DAYS for time in TIMES]
    for group in forms:
        fits = []
        for form in group:
            if pd.isna(pd.to_datetime(texts[0], format=form, errors="coerce", utc=form == "ISO8601")):
                continue
            times = pd.to_datetime(index, format=form, errors="coerce", utc=form == "ISO8601")
            if times.notna().all():
                fits.append(times)
        if len(fits) == 2 and not fits[0].equals(fits[1]):
            return None, True
        if fits:
            times = fits[0].dt.tz_localize(None) if fits[0].dt.tz is not None else fits[0]
            midnight = bool((times == times.dt.normalize()).all())
            form = "%Y-%m-%d" if midnight else "%Y-%m-%dT%H:%M:%S" + ("Z" if ZONE.search(texts[0]) else "")
            return times.dt.strftime(form).tolist(), False
    return None, False


def note_of_labels(kinds: Sequence[tuple[str, str]], place: str = "obs") -> str:
    """Say which columns went to obs, or to var, and what they hold.

    Examples
    --------
    >>> note_of_labels([("colour", "text, 5 values"), ("joined", "dates")])
    'to obs: colour (text, 5 values), joined (dates)'
    """
    listed = ", ".join(f"{name} ({what})" for name, what in kinds[:LISTED])
    return f"to {place}: {listed}" + (f", and {len(kinds) - LISTED:,} more columns" if len(kinds) > LISTED else "")
