"""Refusal of a condition that nothing meets: the count that each part keeps, and a condition that keeps most."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from kithkin.core.query import conditions, names_of, select

LIMIT = re.compile(r"(?P<column>`[^`]+`|[\w.]+) (?P<sign>>=?|<=?) (?P<value>-?[\d.]+(?:e[+-]?\d+)?)")
KEPT = 0.9  # of the rows, by a limit that is proposed
SHOWN = 8  # labels of a column


def why_nothing(frame: pd.DataFrame, condition: str, name: str) -> str:
    """Say how many rows each part of a condition keeps, the median of its column, and a condition that keeps most.

    Parameters
    ----------
    frame
        obs or var.
    condition
        Condition that no row meets.
    name
        Parameter that held it: "cells" or "genes".

    Examples
    --------
    >>> why_nothing(pd.DataFrame({"n_genes": [21, 33, 40]}), "n_genes >= 200", "cells")
    'n_genes >= 200 keeps 0 of 3 cells; the median is 33: cells="n_genes >= 20"'
    """
    parts = conditions(condition)
    said: list[str] = []
    proposed: list[str] = []
    for part in parts:
        mask, columns = select(frame, part), [name for name in names_of(part) if name in frame.columns]
        kept = f"{part} keeps {mask.sum():,}{'' if said else f' of {len(frame):,} {name}'}"
        column = frame[columns[0]] if len(columns) == 1 else None
        if column is not None and pd.api.types.is_numeric_dtype(column):
            said.append(f"{kept}; the median is {column.median():.4g}")
        elif column is not None:
            labels = [str(label) for label in column.dropna().unique()[: SHOWN + 1]]
            more = ", ..." if len(labels) > SHOWN else ""
            said.append(f"{kept}; {columns[0]} holds {', '.join(sorted(labels[:SHOWN]))}{more}")
        else:
            said.append(kept)
        limit = LIMIT.fullmatch(part)
        if limit is None or mask.mean() > 0.5 or column is None:
            proposed.append(part)
            continue
        above = limit["sign"].startswith(">")
        bound = np.nanquantile(column.to_numpy(dtype=float, na_value=np.nan), 1 - KEPT if above else KEPT)
        proposed.append(f"{limit['column']} {limit['sign'][0]}= {_rounded(float(bound), up=not above):.10g}")
    text = " and ".join(proposed)
    if text != " and ".join(parts) and select(frame, text).any():
        return f'{", and ".join(said)}: {name}="{text}"'
    return f"{', and '.join(said)}, so that no {name} are left"


def _rounded(value: float, *, up: bool) -> float:
    """Round to one digit."""
    if value == 0 or not np.isfinite(value):
        return 0.0
    step = 10.0 ** np.floor(np.log10(abs(value)))
    return float((np.ceil if up else np.floor)(value / step) * step)
