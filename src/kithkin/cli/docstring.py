"""Docstrings, read for the help of the commands."""

from __future__ import annotations

import inspect
from itertools import pairwise


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
