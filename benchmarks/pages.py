"""Functions for benchmarks that run a page of the documentation."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

from timing import Steps, total

DOCS = Path(__file__).parents[1] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TITLE = re.compile(r"^## (.*)$", re.MULTILINE)


def sections(page: Path) -> list[tuple[str, str]]:
    """Read heading and code of each section of a page."""
    text = page.read_text(encoding="utf-8")
    starts = [(match.start(), match[1]) for match in TITLE.finditer(text)]
    found = []
    for (start, title), (stop, _) in zip(starts, [*starts[1:], (len(text), "")], strict=True):
        code = "".join(match[1] for match in BLOCK.finditer(text, start, stop))
        found += [(title, code)] if code else []
    return found


def run_page(name: str, figures: Path | None) -> None:
    """Run the blocks of a page as they stand in this folder, say what each section took, and keep its pictures."""
    page = DOCS / f"{name}.md"
    steps, names = Steps(), {"__name__": name}
    for title, code in sections(page):
        steps(title, lambda code=code: exec(compile(code, str(page), "exec"), names))  # noqa: S102
    print({key: round(value, 1) for key, value in total(steps.rows).items()})
    if figures:
        figures.mkdir(exist_ok=True)
        for picture in Path().glob("*.png"):
            shutil.copy(picture, figures / picture.name)
