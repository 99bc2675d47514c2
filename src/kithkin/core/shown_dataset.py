"""A dataset as a notebook shows it: sizes, keys with their shapes, the step that made each, and stale marks."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from pathlib import Path

from kithkin.core.arrays import read_header
from kithkin.core.keys import Key
from kithkin.core.lineage import Lineage

STYLE = (
    "border-collapse: collapse; font-size: 0.9em; text-align: left",
    "padding: 0.15em 1.2em 0.15em 0; text-align: left; vertical-align: top; font-weight: normal; opacity: 0.65",
    "padding: 0.15em 1.2em 0.15em 0; text-align: left; vertical-align: top",
)
LONGEST = 60  # letters of a name
MOST = 40  # keys of one place; a table of obs may have hundreds of columns


def html_of(path: Path, shape: tuple[int, int], kind: str, keys: Iterable[str], lineage: Lineage) -> str:
    """Write a dataset as HTML; all that comes from it is escaped.

    Parameters
    ----------
    path
        Where it lies.
    shape
        Observations and variables.
    kind
        Kind of X, and the reason for it.
    keys
        Keys of all elements.
    lineage
        Records of what was done.
    """
    makers = {key: entry.verb for entry in lineage.entries for key in entry.outputs}
    table, head, cell = STYLE
    lines = [
        f"<div><strong>{escape(shortened(path.name))}</strong> {shape[0]:,} observations × {shape[1]:,} variables"
        f"<br><small>{escape(kind)}</small></div>",
        f'<table style="{table}"><thead><tr>',
        *(f'<th style="{head}">{title}</th>' for title in ("key", "shape", "made by", "state")),
        "</tr></thead><tbody>",
    ]
    places = dict[str, list[str]]()
    for key in keys:
        places.setdefault(Key.parse(key).place, []).append(key)
    for beside in places.values():
        for key in beside[:MOST]:
            state = "stale: run it again" if lineage.is_stale_key(key) else ""
            words = (shortened(key), shape_of(path, key), makers.get(key, ""), state)
            cells = "".join(f'<td style="{cell}">{escape(word)}</td>' for word in words)
            lines.append(f"<tr>{cells}</tr>")
        if len(beside) > MOST:
            lines.append(f'<tr><td style="{cell}" colspan="4">and {len(beside) - MOST:,} more</td></tr>')
    return "".join([*lines, "</tbody></table>"])


def shortened(name: str) -> str:
    """Cut a long name."""
    return name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"


def shape_of(path: Path, key: str) -> str:
    """Read shape and type of an element from its headers; "" of a record.

    Examples
    --------
    >>> import kithkin as kk, numpy as np, tempfile
    >>> ds = kk.read(np.eye(3), to=tempfile.mkdtemp() + "/a.zarr")
    >>> shape_of(ds.path, "X")
    '3 × 3 float32'
    """
    header = read_header(path, key)
    attributes = header.get("attributes", {})
    shape, kind = header.get("shape") or attributes.get("shape"), header.get("data_type", "")
    encoding = str(attributes.get("encoding-type", ""))
    if encoding in ("csr_matrix", "csc_matrix"):
        kind = f"{encoding[:3].upper()} {read_header(path, f'{key}/data').get('data_type', '')}"
    if encoding == "categorical":
        n = read_header(path, f"{key}/categories").get("shape") or ["?"]
        return f"{n[0]:,} categories"
    if encoding == "dataframe":
        return f"{len(attributes.get('column-order', [])):,} columns"
    if not shape:
        return ""
    return f"{' × '.join(f'{n:,}' for n in shape)} {kind if isinstance(kind, str) else kind.get('name', '')}".strip()
