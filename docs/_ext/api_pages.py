"""Pages of the API: one for every public name, written before the build from `__all__` and the list of commands."""

from __future__ import annotations

import inspect
import shutil
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import kithkin as kk
from kithkin.cli.commands import GROUPS

if TYPE_CHECKING:
    from sphinx.application import Sphinx

ROOMS = {
    "models": "Algorithms on arrays, sparse matrices and row blocks, with `fit` and fitted attributes.",
    "plot": "Figures of what is in a dataset, each a matplotlib figure, and animations.",
    "metrics": "Quality of partitions, embeddings, hierarchies and explanations: arrays in, numbers out.",
    "datasets": "Data to try things on.",
    "images": "Thumbnails of cells, cut out of images of any size.",
}
# types that parameters and results have, and that nobody makes by name
TYPES = [
    "kithkin.core.blocks.SparseRows",
    "kithkin.core.execute.Execution",
    "kithkin.core.history.Step",
    "kithkin.core.lineage.Lineage",
    "kithkin.core.loader.Batch",
    "kithkin.core.loader.Loader",
    "kithkin.core.spill.Spill",
    "kithkin.core.stored.StoredDense",
    "kithkin.core.stored.StoredRows",
    "kithkin.models.gates.card.Condition",
    "kithkin.models.gates.card.Rule",
    "kithkin.models.images.pixels.PixelScale",
    "kithkin.models.paris.dendrogram.Dendrogram",
    "kithkin.models.samples.composition.ShareChanges",
    "kithkin.models.samples.deseq.FoldChanges",
    "kithkin.models.samples.trend.DispersionTrend",
    "kithkin.plot.animation.animate.Animation",
    "kithkin.verbs.compare.Comparison",
    "kithkin.verbs.means.Means",
]
FIRST = {"Datasets": ["Dataset", "open"], "Errors": [name for name in kk.__all__ if name.endswith("Error")]}


def groups() -> dict[str, list[str]]:
    """Sort the public functions and classes of the package under the headings of the command line.

    A name that no heading has goes to the last one, so that none is left out.
    """
    found = {"Datasets": FIRST["Datasets"]}
    for heading, commands in GROUPS.items():
        names = [listed.public for listed in commands.values()]
        found[heading] = list(dict.fromkeys(name for name in names if name in kk.__all__))
    listed = {name for names in [*found.values(), FIRST["Errors"], list(ROOMS)] for name in names}
    rest = [name for name in kk.__all__ if name not in listed]
    return found | ({"More": rest} if rest else {}) | {"Errors": FIRST["Errors"]}


def heading(text: str, line: str = "=") -> str:
    """Underline a title."""
    return f"{text}\n{line * len(text)}\n\n"


def listing(names: list[str], caption: str = "") -> str:
    """Table of names with the first lines of their docstrings, and the tree of their pages."""
    rows = "".join(f"   {name}\n" for name in names)
    pages = "".join(f"   {name.removeprefix('kithkin.')} <{name}>\n" for name in names)
    title = heading(caption, "-") if caption else ""
    return f"{title}.. autosummary::\n   :nosignatures:\n\n{rows}\n.. toctree::\n   :hidden:\n\n{pages}\n"


def page_of(name: str, value: object) -> str:
    """Page of one public name."""
    if inspect.isclass(value):
        members = "" if issubclass(value, Exception) else "   :members:\n   :inherited-members: dict,tuple,object\n"
        return heading(name) + f".. autoclass:: {name}\n{members}"
    if isinstance(value, ModuleType):
        table = "".join(f"   {one}\n" for one in value.__all__)  # of the current module
        parts = "".join(f".. auto{kind_of(value, one)}:: {name}.{one}\n\n" for one in value.__all__)
        summary = f".. autosummary::\n   :nosignatures:\n\n{table}\n"
        return heading(name) + f".. automodule:: {name}\n\n{summary}{parts}"
    return heading(name) + f".. autofunction:: {name}\n"


def members(name: str) -> str:
    """Option that lists the members of a type, but for those of the core, which the inner layers call."""
    return "" if name.startswith("kithkin.core.") else "   :members:\n"


def kind_of(module: ModuleType, name: str) -> str:
    """Directive that describes a member of a module."""
    value = getattr(module, name)
    return "class" if inspect.isclass(value) else "function" if callable(value) else "data"


def pages() -> dict[str, str]:
    """Map the file names of all pages to their text."""
    written = {}
    for name in kk.__all__:
        if name not in ROOMS:
            written[f"kithkin.{name}"] = page_of(f"kithkin.{name}", getattr(kk, name))
    parts = [listing([f"kithkin.{name}" for name in names], title) for title, names in groups().items()]
    written["kithkin"] = heading("kithkin") + "Datasets, steps and errors.\n\n" + "".join(parts)
    for room, line in ROOMS.items():
        module = getattr(kk, room)
        names = {f"kithkin.{room}.{name}": getattr(module, name) for name in sorted(module.__all__, key=str.lower)}
        written |= {name: page_of(name, value) for name, value in names.items()}
        written[f"kithkin.{room}"] = heading(f"kithkin.{room}") + f"{line}\n\n{listing(list(names))}"
    written["types"] = (
        heading("Types")
        + "Types that parameters and results have. Calls make them; their places may change.\n\n"
        + "".join(f".. autoclass:: {name}\n{members(name)}\n" for name in TYPES)
    )
    toctree = "".join(f"   {room}\n" for room in ["kithkin", *(f"kithkin.{room}" for room in ROOMS), "types"])
    said = "Every public name, with parameters, units, errors, sources and an example that the tests run.\n\n"
    written["index"] = heading("API") + f"{said}.. toctree::\n   :maxdepth: 1\n\n{toctree}"
    return written


def write(app: Sphinx) -> None:
    """Write the pages that have changed, and remove those of names that are gone."""
    folder, wanted = Path(app.srcdir) / "api", pages()
    folder.mkdir(exist_ok=True)
    for path in folder.iterdir():
        if path.stem not in wanted:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    for name, text in wanted.items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    """Write the pages before the sources are looked for."""
    from sphinx.domains.python import PyObject

    app.connect("builder-inited", write)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"  # as the docstrings say
    return {"parallel_read_safe": True, "parallel_write_safe": True}
