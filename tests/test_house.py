"""The house rules that can be read from the source: words, lengths, names and examples."""

from __future__ import annotations

import ast
import inspect
import re
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from types import ModuleType

import kithkin as kk

SOURCE = Path(__file__).parents[1] / "src" / "kithkin"
FILES = sorted(SOURCE.rglob("*.py"))

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
REASON = "# Long: "  # stands before the first statement of a file or function that is longer, and says why in one line
MOST_USED_ONCE = 0.45  # of the private functions
PARAPHRASE = re.compile(r"(What|How|Where|Which|Of|Who|Whether)\b")
PAGES = SOURCE.parents[1] / "docs"
ARCHAIC = re.compile(
    r"\b(anew|behold|forthwith|hence|hitherto|in haste|lest|thereof|thence|thus|upon|whence|whereof|whilst)\b"
    r"|or say `?\w+="
)
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def nodes_of(path: Path) -> list[ast.AST]:
    """List all nodes of a file, of which the first is the file itself; every worker collects, few of them ask."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def functions_of(path: Path) -> list[ast.FunctionDef]:
    return [node for node in nodes_of(path) if isinstance(node, FUNCTIONS)]


def says_why(lines: list[str], node: ast.Module | ast.FunctionDef) -> bool:
    """Whether a line before the first statement below the docstring gives the reason for the length."""
    body = node.body[1:] if ast.get_docstring(node) is not None else node.body
    begin = 0 if isinstance(node, ast.Module) else node.lineno
    return any(line.strip().startswith(REASON) for line in lines[begin : body[0].lineno])


def length_of(function: ast.FunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    documented = ast.get_docstring(function) is not None
    above = function.body[0].end_lineno if documented else function.body[0].lineno - 1
    return function.end_lineno - above


def offences(rule: Callable[[Path], object]) -> dict[str, object]:
    """Map each file that breaks a rule to what the rule says of it."""
    said = {str(path.relative_to(SOURCE)): rule(path) for path in FILES}
    return {name: found for name, found in said.items() if found}


def test_long_files_and_functions_say_why():
    def unexplained(path: Path) -> list[str]:
        lines = path.read_text(encoding="utf-8").splitlines()
        long: list[ast.Module | ast.FunctionDef] = [nodes_of(path)[0]] if len(lines) > LONGEST_FILE else []
        long += [function for function in functions_of(path) if length_of(function) > LONGEST_FUNCTION]
        return [getattr(node, "name", "the file") for node in long if not says_why(lines, node)]

    assert offences(unexplained) == {}


def test_files_are_named_by_what_they_hold():
    assert {path.stem for path in FILES} & {"utils", "helpers", "misc", "common"} == set()


def test_docstrings_open_with_a_verb_or_a_noun():
    def paraphrasing(path: Path) -> list[str]:
        documented = [node for node in nodes_of(path) if isinstance(node, (ast.Module, ast.ClassDef, *FUNCTIONS))]
        opening = [(getattr(node, "name", "module"), ast.get_docstring(node) or "") for node in documented]
        return [name for name, text in opening if PARAPHRASE.match(text)]

    assert offences(paraphrasing) == {}


def test_assert_is_not_validation():
    assert offences(lambda path: [node.lineno for node in nodes_of(path) if isinstance(node, ast.Assert)]) == {}


def test_arguments_are_not_hidden_in_tuples():
    """Refuse calls that unpack literals, by which a reader and a type checker lose the names of the arguments."""

    def unpacking(path: Path) -> list[int]:
        calls = [node for node in nodes_of(path) if isinstance(node, ast.Call)]
        unpacked = [one.value for call in calls for one in call.args if isinstance(one, ast.Starred)]
        unpacked += [one.value for call in calls for one in call.keywords if one.arg is None]
        return [node.lineno for node in unpacked if isinstance(node, (ast.Tuple, ast.List, ast.Dict))]

    assert offences(unpacking) == {}


def used_once(path: Path) -> tuple[list[str], list[str]]:
    """List the private functions of a file, and those among them that the file uses at one place only."""
    used = Counter(name for node in nodes_of(path) for name in (getattr(node, "id", None), getattr(node, "attr", None)))
    private = [f.name for f in functions_of(path) if f.name.startswith("_") and not f.name.endswith("__")]
    return private, [name for name in private if used[name] <= 1]


def test_most_private_functions_are_used_more_than_once():
    counts = [used_once(path) for path in FILES]
    private, once = (sum(len(names) for names in kind) for kind in zip(*counts, strict=True))
    assert once <= MOST_USED_ONCE * private, f"{once} of {private} private functions are used at one place only"


def public_names(face: ModuleType) -> dict[str, object]:
    """Map the functions and classes that a module offers to their values."""
    names = getattr(face, "__all__", None) or [name for name in vars(face) if not name.startswith("_")]
    values = {name: getattr(face, name) for name in names}
    own = {
        name
        for name, value in values.items()
        if hasattr(face, "__all__") or getattr(value, "__module__", "") == face.__name__
    }
    return {name: values[name] for name in own if inspect.isfunction(values[name]) or inspect.isclass(values[name])}


FACES = [kk, kk.models, kk.plot, *(getattr(kk.metrics, name) for name in kk.metrics.__all__)]
PUBLIC = {f"{face.__name__}.{name}": value for face in FACES for name, value in public_names(face).items()}


def test_public_names_have_a_docstring_with_an_example():
    assert [name for name, value in PUBLIC.items() if ">>>" not in (inspect.getdoc(value) or "")] == []


def test_words_are_those_of_today():
    def archaic(path: Path) -> list[str]:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if ARCHAIC.search(line)]

    assert offences(archaic) == {}
    pages = [*PAGES.glob("*.md"), *PAGES.glob("coming-from/*.md"), PAGES.parent / "README.md"]
    assert {page.name: found for page in pages if (found := archaic(page))} == {}
