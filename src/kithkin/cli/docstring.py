"""Docstrings, read for the help of the commands."""

from __future__ import annotations

import ast
import inspect
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path

import kithkin


def public_homes() -> dict[str, str]:
    """Read from the stub of the package where each public function lives: "verbs.pca:pca" for "pca".

    Examples
    --------
    >>> public_homes()["pca"]
    'verbs.pca:pca'
    """
    stub = Path(kithkin.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    imports = [node for node in ast.parse(stub).body if isinstance(node, ast.ImportFrom) and node.module]
    return {alias.name: f"{node.module}:{alias.name}" for node in imports for alias in node.names}


def first_line(home: str) -> str:
    """Read the first line of the docstring of a function at "module:name" of the package, without importing it.

    Examples
    --------
    >>> first_line("core.dataset:open")[:4]
    'Open'
    """
    module, _, member = home.partition(":")
    spec = find_spec(f"kithkin.{module}")
    if spec is None or spec.origin is None:
        return ""
    for node in ast.parse(Path(spec.origin).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef) and node.name == member:
            return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def describe(docstring: str) -> tuple[str, dict[str, str]]:
    r"""Split a numpydoc docstring into its text and the descriptions of its parameters.

    Examples
    --------
    >>> describe("Do it.\n\nParameters\n----------\nn\n    How often.\n    Always.\nseed, key\n    Other.\n")
    ('Do it.', {'n': 'How often. Always.', 'seed': 'Other.', 'key': 'Other.'})
    """
    lines = inspect.cleandoc(docstring).splitlines()
    rules = [i - 1 for i, line in enumerate(lines) if line.startswith("---") and i]
    text = "\n".join(lines[: rules[0]] if rules else lines).strip()
    descriptions: dict[str, str] = {}
    for begin, end in pairwise([*rules, len(lines)]):
        names: list[str] = []
        for line in lines[begin + 2 : end] if lines[begin] == "Parameters" else []:
            if line and not line.startswith(" "):
                names = [name.strip() for name in line.partition(":")[0].split(",")]
            for name in names if line.startswith(" ") else []:
                descriptions[name] = f"{descriptions.get(name, '')} {line.strip()}".strip()
    return text, descriptions
