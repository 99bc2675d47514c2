"""Docstrings as they are written for `help`: bare names of fitted attributes, file patterns and bars are no markup."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sphinx.application import Sphinx

# formulas, literals, fields that napoleon has made, and examples stay as they are
MARKUP = re.compile(
    r"(\.\. math::.*?(?:\n\s*\n|\Z)|>>> .*?(?:\n\s*\n|\Z)|:math:`[^`]*`|``.*?``"
    r"|:?[\w:]*`[^`]*`_*|^\s*:[^:\n]+:|^\.\. .*?$)",
    re.DOTALL | re.MULTILINE,
)
FITTED = re.compile(r"(?<![\w\\.])((?:\w+\.)*[A-Za-z]\w*_)(?![\w`])")
ATTRIBUTES = re.compile(r"^(\s*:ivar )([^:\n]+):", re.MULTILINE)
PATTERN = re.compile(r"(?<=[\"'(/])\*(?=[.\w])")
BAR = re.compile(r"(?<!\\)\|(?=\S)|(?<=\S)\|")


def plain(text: str) -> str:
    r"""Escape what reStructuredText would take for markup.

    Examples
    --------
    >>> print(plain('labels_ of "*.h5ad": |x|, but `|x|` and :math:`a_ b` stay'))
    ``labels_`` of "\*.h5ad": \|x\|, but `|x|` and :math:`a_ b` stay
    """
    parts = MARKUP.split(text)
    for place in range(0, len(parts), 2):
        parts[place] = FITTED.sub(r"``\1``", PATTERN.sub(r"\*", BAR.sub(r"\|", parts[place])))
    return ATTRIBUTES.sub(joined, "".join(parts))


def joined(field: re.Match[str]) -> str:
    r"""Write several attributes of one description without spaces, since the first would be taken for a type.

    Examples
    --------
    >>> print(plain(":ivar mean_, weights_: Of the columns."))
    :ivar mean\_,weights\_: Of the columns.
    """
    names = [re.sub(r"\\?_$", r"\\_", name) for name in field[2].split(", ")]
    return f"{field[1]}{','.join(names)}:"


def process(_app: Sphinx, _what: str, _name: str, _obj: object, _options: Any, lines: list[str]) -> None:
    """Change a docstring in place, after napoleon."""
    lines[:] = plain("\n".join(lines)).split("\n")


def setup(app: Sphinx) -> dict[str, bool]:
    """Hear of every docstring."""
    app.connect("autodoc-process-docstring", process, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
