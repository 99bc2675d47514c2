"""The file of a page: its shell, style and script, the policy by which nothing else runs, and the data between."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import math
from functools import cache
from importlib.resources import files
from typing import Any

# files of the page's script, in the order in which they are joined
SCRIPTS = (
    "elements",
    "data",
    "state",
    "download",
    "colors",
    "points",
    "labels",
    "map",
    "legend",
    "chooser",
    "selection",
    "hover",
    "theme",
    "tabs",
    "tables",
    "drawings",
    "clusters",
    "tree",
    "dots",
    "compare",
    "samples",
    "figures",
    "quality",
    "history",
    "main",
)
STYLES = ("viewer", "panels")
POLICY = "default-src 'none'; script-src '{digest}'; style-src 'unsafe-inline'; img-src data: blob:"


@cache
def _source(name: str) -> str:
    return files("kithkin.reports").joinpath("page", name).read_text(encoding="utf-8")


@cache
def script() -> str:
    """Join the files of the script into one function, whose names nothing else sees."""
    parts = "\n".join(_source(f"{name}.js") for name in SCRIPTS)
    return f'(() => {{\n"use strict";\n{parts}\n}})();\n'


def policy() -> str:
    """Return the content security policy: only this very script runs, and nothing is fetched."""
    digest = base64.b64encode(hashlib.sha256(script().encode()).digest()).decode()
    return POLICY.format(digest=f"sha256-{digest}")


def head(title: str) -> bytes:
    """Return the page up to where its data begin."""
    style = "\n".join(_source(f"{name}.css") for name in STYLES)
    shell = _source("template.html")
    begin, _, _ = shell.partition("{{data}}")
    texts = {"policy": html.escape(policy(), quote=True), "style": style, "title": html.escape(title)}
    for name, text in texts.items():
        begin = begin.replace(f"{{{{{name}}}}}", text)
    return begin.encode("utf-8", "replace")


def to_json(value: Any) -> Any:
    """Return contents as JSON can hold them: null for numbers that are missing or infinite.

    Examples
    --------
    >>> to_json({"p": [0.5, float("nan"), float("inf")]})
    {'p': [0.5, None, None]}
    """
    if isinstance(value, dict):
        return {key: to_json(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def tail(contents: dict[str, Any]) -> bytes:
    """Return the page from where its data end: what they are, and the script."""
    _, _, end = _source("template.html").partition("{{data}}")
    # no text of the data can end the block: < is written as its number
    text = json.dumps(to_json(contents), allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    block = f'<script type="application/json" id="contents">{text}</script>\n'
    return (block + end.replace("{{script}}", script())).encode()
