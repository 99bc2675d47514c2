"""The page that plays an animation, and the HTML that shows one in a notebook."""

from __future__ import annotations

import base64
import json
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import Any

MOST_SHOWN = 50_000_000  # bytes that a notebook takes in with a cell's output
KINDS = {".gif": "image/gif", ".png": "image/png", ".mp4": "video/mp4", ".webm": "video/webm"}
CONTROLS = 52  # pixels below the picture of a page


def page(title: str, size: tuple[int, int], settings: dict[str, Any]) -> tuple[str, str]:
    """Make the text before and behind the frames in a page.

    Settings of the player: fps, loop, `every` (so many frames one is whole), and the `start` and `end` of a PNG file.
    """
    text = files("kithkin.plot.animation").joinpath("player.html").read_text(encoding="utf-8")
    values = {"width": str(size[0]), "height": str(size[1]), "settings": json.dumps(settings)}
    for name, value in values.items():
        text = text.replace("{{" + name + "}}", value)
    head, tail = text.split("{{frames}}")
    return head.replace("{{title}}", escape(title)), tail


def to_html(path: Path, size: tuple[int, int], loop: bool) -> str:
    """Make the HTML that shows an animation in a notebook. The file is part of it; a large one is only named."""
    name = escape(path.name)
    if not path.is_file() or path.stat().st_size > MOST_SHOWN:
        why = "is too large to show here" if path.is_file() else "is no longer there"
        return f"<p>{escape(str(path))} {why}</p>"
    width, height = size
    if path.suffix.lower() == ".html":
        inner = escape(path.read_text(encoding="utf-8"))
        return (
            f'<iframe srcdoc="{inner}" width="{width}" height="{height + CONTROLS}" '
            f'sandbox="allow-scripts" style="border:0" title="{name}"></iframe>'
        )
    kind = KINDS[path.suffix.lower()]
    data = f"data:{kind};base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"
    if kind.startswith("image"):
        return f'<img src="{data}" width="{width}" height="{height}" alt="{name}">'
    again = " loop" if loop else ""
    return f'<video src="{data}" width="{width}" height="{height}" controls autoplay muted{again}></video>'
