"""The site: links lead somewhere, tables of calls are true, and the API has every public name."""

from __future__ import annotations

import ast
import doctest
import importlib
import inspect
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import kithkin as kk

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
TABLES = sorted(path for path in (DOCS / "coming-from").glob("*.md") if path.stem != "index")
PAGES = [*sorted(DOCS.glob("*.md")), *sorted(DOCS.glob("coming-from/*.md")), *sorted(ROOT.glob("*.md"))]
ROOMS = {"models", "plot", "metrics", "datasets", "images"}
FENCE = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`[^`\n]*`")
LINK = re.compile(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]+))?\)")
HEADING = re.compile(r"^#{1,6} +(.+?)\s*$", re.MULTILINE)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def anchors(page: Path) -> set[str]:
    """Name the headings of a page as GitHub and MyST do: lower case, without punctuation, hyphens for spaces."""
    found: Counter[str] = Counter()
    named = set()
    for heading in HEADING.findall(FENCE.sub("", page.read_text(encoding="utf-8"))):
        slug = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()).replace(" ", "-")
        named.add(f"{slug}-{found[slug]}" if found[slug] else slug)
        found[slug] += 1
    return named


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_lead_somewhere(page):
    broken = []
    for file, anchor in LINK.findall(CODE.sub("", FENCE.sub("", page.read_text(encoding="utf-8")))):
        target = page.parent / file if file else page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append(f"{file}#{anchor}")
    assert broken == []


def test_a_link_to_a_heading_that_is_not_there_is_seen(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("# One *kind*, or two?\n\n```sh\n# no heading\n```\n\n## `X` and layers\n\n## `X` and layers\n")
    assert anchors(page) == {"one-kind-or-two", "x-and-layers", "x-and-layers-1"}


def rows(page: Path) -> Iterator[tuple[list[str], list[str]]]:
    """Calls of the other program and of kithkin in each row of the tables of calls of a page."""
    for line in page.read_text(encoding="utf-8").splitlines():
        cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
        if len(cells) == 3 and "(" in cells[0] + cells[1]:
            yield re.findall(r"`([^`]+)`", cells[0]), re.findall(r"`([^`]+)`", cells[1])


# steps that the calls of a page have done in the end, and a package that not everybody has
DONE = {
    "scanpy": {"pca", "neighbors", "umap", "leiden", "markers"},
    "scarf": {"pca", "neighbors", "umap", "leiden", "paris", "markers"},
    "idc": {"deep_clusters", "explain"},
    "propagation": {"neighbors", "propagate", "smooth", "graph_score"},
    "mpebpm": {"count_mixture"},
    "cellcutter": {"image_embedding", "neighbors", "leiden", "spatial_neighbors"},
}
NEEDED = {"idc": "torch"}


def outermost(code: str) -> tuple[str, ast.Call]:
    """Dotted name and first call of a line such as `ds = kk.read(...)`."""
    statement = ast.parse(code).body[0]
    assert isinstance(statement, (ast.Expr, ast.Assign)), code
    assert isinstance(statement.value, ast.Call), f"{code} is no call"
    call = statement.value  # of a chain of calls the first
    while inner := [node for node in ast.walk(call.func) if isinstance(node, ast.Call)]:
        call = inner[0]
    return ast.unparse(call.func), call


def check_call(code: str, begin: dict[str, object]) -> None:
    """Find the function of a call, and bind its parameters; names that are not in `begin` are left alone."""
    name, call = outermost(code)
    first, *rest = name.split(".")
    if first not in begin:
        return
    function = begin[first]
    for one in rest:
        function = getattr(function, one)
        if isinstance(function, property):
            return
    given = [None] * len(call.args)
    if inspect.isclass(begin[first]):
        given.append(None)  # self
    inspect.signature(function).bind(*given, **{str(one.arg): None for one in call.keywords})


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.stem)
def test_calls_of_the_tables_exist_with_these_parameters(page):
    calls = [code for _, ours in rows(page) for code in ours]
    assert len(calls) > 12
    for code in calls:
        check_call(code, {"kk": kk, "ds": kk.Dataset})
    with pytest.raises(TypeError):
        check_call("kk.leiden(ds, res=1)", {"kk": kk})


def test_calls_of_scanpy_exist_with_these_parameters():
    begin = {"sc": pytest.importorskip("scanpy"), "ad": pytest.importorskip("anndata")}
    calls = [code for theirs, _ in rows(DOCS / "coming-from" / "scanpy.md") for code in theirs]
    calls = [code for code in calls if not code.startswith("adata[")]
    assert len(calls) > 20
    for code in calls:
        check_call(code, begin)
    with pytest.raises(TypeError):
        check_call("sc.pp.neighbors(adata, k=1)", begin)


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.stem)
def test_calls_of_other_programs_can_be_read(page):
    calls = [code for theirs, _ in rows(page) for code in theirs]
    assert len(calls) > 10
    for code in calls:
        if not code.startswith(("cut_cells ", "cut_tiles ")):
            ast.parse(code)


@pytest.mark.parametrize("page", TABLES, ids=lambda page: page.stem)
def test_calls_of_the_tables_run_one_after_the_other(page, tmp_path, monkeypatch):
    if page.stem in NEEDED:
        pytest.importorskip(NEEDED[page.stem])
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {}
    exec(BLOCK.findall(page.read_text(encoding="utf-8"))[0], names)
    for code in [code for _, ours in rows(page) for code in ours]:
        exec(compile(code, code, "exec"), names)
    assert DONE.keys() == {page.stem for page in TABLES}
    done = {entry.verb for value in names.values() if isinstance(value, kk.Dataset) for entry in value.lineage.entries}
    assert done >= DONE[page.stem]


def extension(name: str, monkeypatch):
    monkeypatch.syspath_prepend(DOCS / "_ext")
    return importlib.import_module(name)


def test_the_api_has_a_page_for_every_public_name(monkeypatch):
    pages = extension("api_pages", monkeypatch).pages()
    names = [f"kithkin.{name}" for name in kk.__all__]
    names += [f"kithkin.{room}.{name}" for room in ROOMS for name in getattr(kk, room).__all__]
    assert [name for name in names if name not in pages] == []
    text = "".join(pages.values())
    inner = [f"kithkin.metrics.{part}.{name}" for part in kk.metrics.__all__ for name in vars(kk.metrics)[part].__all__]
    assert [name for name in inner if f":: {name}\n" not in text] == []
    listed = [name for name in names if name.removeprefix("kithkin.") not in ROOMS]
    assert [name for name in listed if f"<{name}>" not in text] == []


def test_the_api_sorts_every_name_under_one_heading(monkeypatch):
    groups = extension("api_pages", monkeypatch).groups()
    listed = sorted(name for names in groups.values() for name in names)
    assert listed == sorted(set(kk.__all__) - ROOMS)


def test_docstrings_are_read_as_plain_text(monkeypatch):
    assert doctest.testmod(extension("plain_docstrings", monkeypatch)).failed == 0


def test_the_reference_has_every_metric():
    text = (DOCS / "reference.md").read_text(encoding="utf-8")
    rows_of = dict(re.findall(r"^\| `(\w+)` \| [^|]+ \| (.+) \|$", text, re.MULTILINE))
    listed = {name: re.findall(r"`(\w+)`", rows_of.get(name, "")) for name in kk.metrics.__all__}
    assert listed == {name: getattr(kk.metrics, name).__all__ for name in kk.metrics.__all__}
