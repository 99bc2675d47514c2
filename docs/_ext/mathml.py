"""Mathematics as MathML, which browsers draw by themselves: no fonts, no scripts, no network."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from docutils.utils.math import MathError
from docutils.utils.math.latex2mathml import tex2mathml
from sphinx.application import Sphinx
from sphinx.errors import ExtensionError


def mathml(node: nodes.Element, *, display: bool) -> str:
    """Translate the TeX of a node.

    Raises
    ------
    ExtensionError
        If it uses a command that has no translation.
    """
    try:
        return tex2mathml(node.astext(), as_block=display)
    except MathError as error:
        raise ExtensionError(f"{node.astext()!r} cannot be written as MathML: {error}") from error


def inline(writer: Any, node: nodes.Element) -> None:
    """Write a formula within a line."""
    writer.body.append(mathml(node, display=False))
    raise nodes.SkipNode


def block(writer: Any, node: nodes.Element) -> None:
    """Write a formula that has lines of its own."""
    writer.body.append(f'<div class="math">{mathml(node, display=True)}</div>\n')
    raise nodes.SkipNode


def setup(app: Sphinx) -> dict[str, bool]:
    """Make it the way in which pages draw mathematics."""
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
    app.config.html_math_renderer = "mathml"  # type: ignore[attr-defined]
    return {"parallel_read_safe": True, "parallel_write_safe": True}
