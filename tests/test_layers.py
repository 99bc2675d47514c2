"""The layers of the package: imports point down only, and the house rules that can be read from the source."""

from __future__ import annotations

import ast
import inspect
import sys
from pathlib import Path

import pytest

import kithkin as kk

SOURCE = Path(__file__).parents[1] / "src" / "kithkin"
FILES = sorted(SOURCE.rglob("*.py"))
IDS = [str(path.relative_to(SOURCE)) for path in FILES]
EACH_FILE = pytest.mark.parametrize("path", FILES, ids=IDS)

# layer -> what of kithkin it may import (a layer, or one module of it) besides itself
MAY_IMPORT = {
    "kernels": set(),
    "metrics": {"kernels"},
    "core": set(),
    "models": {"kernels", "metrics", "core.blocks", "core.execute", "core.errors"},
    "io": {"core", "kernels"},  # kernels: parsing text and transposing are loops over bytes and numbers
    "verbs": {"core", "models", "metrics", "io"},
    "plot": {"core", "metrics"},
    "report": {"core", "metrics", "plot"},  # plot: a page is made of figures
    "cli": {"", "docstring", "printed", "cut_cells"},
    "cut_cells": {"images", "core"},
    "images": {"io", "verbs"},
    "docstring": set(),
    "printed": set(),
    "demonstration": {""},
    "optional": {"core.errors"},
    "datasets": {"core.errors"},
    "__init__": None,  # names everything, for type checkers only
}

# file -> what it may import beyond its layer, and why
ALSO: dict[str, dict[str, str]] = {
    "verbs/animate.py": {"plot": "it hands what models find to pictures, frame by frame"},
}

# layer -> the only packages it may import from elsewhere
ONLY_PACKAGES = {
    "kernels": {"numpy", "numba"},
    "metrics": {"numpy", "scipy"},
    "core": {"numpy", "scipy", "pandas", "zarr", "zarrs", "numcodecs", "anndata", "tqdm"},
}

# package -> where alone it may be imported
ONLY_IN = {
    "torch": "models/deep_torch.py",
    "matplotlib": "plot/",
    "datashader": "plot/",
    "h5py": "io/",
    "tifffile": "io/",
    "click": "cli.py",
}

LONGEST_FILE = 500
LONGEST_FUNCTION = 40

# function -> why it cannot be shorter
LONG_FUNCTIONS = {
    "kernels/text.py:parse_fields": "one pass over bytes with a dozen running positions, not worth passing around",
    "kernels/text.py:parse_entries": "one pass over bytes with a dozen running positions, not worth passing around",
}

STANDARD = set(sys.stdlib_module_names)


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def imports_of(path: Path) -> list[str]:
    """Dotted names of all that a file imports anywhere: `kithkin.core.errors`, `numpy`."""
    found = []
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name_of(path)}:{node.lineno}: imports are absolute"
            named = [f"{node.module}.{alias.name}" for alias in node.names]
            found += named if is_package(node.module or "") else [node.module or ""]
    return found


def is_package(module: str) -> bool:
    """Whether `from module import name` may name a module: true of kithkin's own packages."""
    parts = module.split(".")
    return parts[0] == "kithkin" and SOURCE.joinpath(*parts[1:]).is_dir()


def permitted(inner: str, path: Path) -> bool:
    """Whether a file may import the module `inner` of kithkin, such as `core.errors`."""
    layer, allowed = layer_of(path), MAY_IMPORT[layer_of(path)]
    if allowed is None or inner.split(".", maxsplit=1)[0] == layer:
        return True
    allowed = allowed | set(ALSO.get(name_of(path), {}))
    allowed = allowed | ({"optional"} if layer not in {"kernels", "metrics", "core"} else set())
    return any(inner == one or (one and inner.startswith(f"{one}.")) for one in allowed)


def test_every_layer_has_its_rule():
    assert {layer_of(path) for path in FILES} <= set(MAY_IMPORT)


@EACH_FILE
def test_imports_point_down_only(path):
    inner = [name.removeprefix("kithkin").strip(".") for name in imports_of(path) if name.startswith("kithkin")]
    assert [name for name in inner if not permitted(name, path)] == []


@EACH_FILE
def test_low_layers_import_only_their_packages(path):
    packages = {name.split(".")[0] for name in imports_of(path)} - STANDARD - {"kithkin"}
    assert packages - ONLY_PACKAGES.get(layer_of(path), packages) == set()


@EACH_FILE
def test_packages_stay_in_their_rooms(path):
    packages = {name.split(".")[0] for name in imports_of(path)} & set(ONLY_IN)
    assert [package for package in packages if not name_of(path).startswith(ONLY_IN[package])] == []


@EACH_FILE
def test_assert_is_not_validation(path):
    assert [node.lineno for node in ast.walk(tree_of(path)) if isinstance(node, ast.Assert)] == []


@EACH_FILE
def test_files_are_short_and_named_by_what_they_hold(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= LONGEST_FILE
    assert path.stem not in {"utils", "helpers", "misc", "common"}


def functions_of(path: Path) -> list[ast.FunctionDef]:
    return [node for node in ast.walk(tree_of(path)) if isinstance(node, ast.FunctionDef)]


def length_of(function: ast.FunctionDef) -> int:
    """Lines of a function below its signature and docstring."""
    documented = ast.get_docstring(function) is not None
    above = function.body[0].end_lineno if documented else function.body[0].lineno - 1
    return function.end_lineno - above


@EACH_FILE
def test_functions_are_short(path):
    long = {f"{name_of(path)}:{f.name}": length_of(f) for f in functions_of(path) if length_of(f) > LONGEST_FUNCTION}
    assert {name: lines for name, lines in long.items() if name not in LONG_FUNCTIONS} == {}


def test_exceptions_for_long_functions_are_still_needed():
    long = {
        f"{name_of(path)}:{f.name}" for path in FILES for f in functions_of(path) if length_of(f) > LONGEST_FUNCTION
    }
    assert set(LONG_FUNCTIONS) <= long


MODELS = [path for path in FILES if layer_of(path) in {"models", "metrics", "datasets"}]


@pytest.mark.parametrize("path", MODELS, ids=map(name_of, MODELS))
def test_algorithms_have_a_docstring_with_an_example(path):
    kinds = (ast.FunctionDef, ast.ClassDef)
    public = [n for n in tree_of(path).body if isinstance(n, kinds) and not n.name.startswith("_")]
    assert [node.name for node in public if ">>>" not in (ast.get_docstring(node) or "")] == []


def test_public_names_have_a_docstring_with_an_example():
    members = [(kk, name) for name in kk.__all__] + [(kk.plot, name) for name in kk.plot.__all__]
    public = {f"{module.__name__}.{name}": getattr(module, name) for module, name in members}
    callables = {name: value for name, value in public.items() if not inspect.ismodule(value)}
    assert [name for name, value in callables.items() if ">>>" not in (inspect.getdoc(value) or "")] == []
