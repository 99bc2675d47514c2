"""The layers and families of the package: imports point down only, not in circles, and not at inner files."""

from __future__ import annotations

import ast
import sys
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "kithkin"
FILES = sorted(SOURCE.rglob("*.py"))

# layer -> what of kithkin it may import (a layer, or one module of it) besides itself
MAY_IMPORT = {
    "kernels": set(),
    "metrics": {"kernels", "core.errors", "door"},
    "core": set(),
    "models": {
        *("kernels", "metrics", "door"),
        *(f"core.{one}" for one in ("blocks", "calls", "errors", "execute", "heap", "loader", "own_rows", "spill")),
    },
    "io": {"core", "kernels"},  # kernels: parsing text and transposing are loops over bytes and numbers
    "verbs": {"core", "models", "metrics", "io"},
    "plot": {"core", "metrics", "models.table.normalize", "door"},  # one normalisation for tests and figures
    # plot: a page is made of figures; the normalisation is that of figures; door: commands are said by their defaults
    "reports": {"core", "metrics", "plot", "models.table.normalize", "door"},
    "images": {"io", "verbs", "door"},
    "demonstration": {"core", "datasets", "verbs", "reports", "plot"},
    "cli": {"", "core", "images"},
    "optional": {"core.errors"},
    "door": {"core"},
    "datasets": {"core.errors", "door"},
    "__init__": {"door"},
}

# file -> what it may import beyond its layer, and why
ALSO: dict[str, dict[str, str]] = {
    "core/dataset.py": {"optional": "ds.torch needs torch", "models.nn.torch_loader": "and hands batches to it"},
    "plot/images/label_image.py": {"io": "the mask of a tissue may be a path"},
    "plot/images/mean_image.py": {"models.table.group_means": "the means of kithkin.means, as pictures"},
    "verbs/publish.py": {"reports.build": "a published dataset has its page"},
    "verbs/animate.py": {"plot": "it hands what models find to pictures, frame by frame"},
}

# layer -> the only packages it may import from elsewhere; above core, every hard dependency may be used
ONLY_PACKAGES = {
    "kernels": {"numpy", "numba"},
    "metrics": {"numpy", "scipy", "sklearn", "lazy_loader"},
    # obstore, of which zarr's own store of this kind is made: files over HTTP, where a dataset lies there
    "core": {"numpy", "scipy", "pandas", "zarr", "zarrs", "numcodecs", "google_crc32c", "anndata", "tqdm", "obstore"},
}

# package -> where alone it may be imported
ONLY_IN = {
    "torch": tuple(f"models/{one}" for one in ("deep/", "gates/", "images/", "latent/", "mixture/encoder", "nn/")),
    "matplotlib": ("plot/",),
    "datashader": ("plot/",),
    "h5py": ("io/",),
    "tifffile": ("io/",),
    "click": ("cli/",),
}

# family -> its files that others may import; a family that is not listed here is a shelf of tools, open to its layer
DOORS = {
    "io/cutting": {"cell_writer", "cells", "cutter", "gauge", "inputs", "job", "mask", "output"},
    "io/formats": {"column", "gmt", "h5ad_writer", "kind", "mtx", "samples", "tenx_writer", "tensors"},
    "io/images": {"image", "open", "zarr"},
    "io/thumbnails": {"layout", "reader", "shards", "writer"},
    "kernels/mixture": {"left_out", "likelihood", "m_step", "sums"},
    "models/doublets": {"doublets"},
    "models/deep": {"config", "gated_clustering"},
    "models/gates": {"card", "label_gates", "rows", "scorecard", "table"},
    "models/images": {"encoder", "features", "numbers", "pca"},
    "models/harmony": {"harmony", "label_classifier", "label_map", "label_profiles", "symphony"},
    "models/markers": {"markers"},
    "models/latent": {"count_gmvae", "count_vae"},
    "models/mixture": {"count_mixture", "given", "pairs"},
    "models/neighbors": {"neighbors", "surroundings", "transfer"},
    "models/paris": {"dendrogram", "paris"},
    "models/pca": {"eigen", "pca"},
    "models/propagation": {"calibration", "propagation", "seeds"},
    "models/samples": {"composition", "deseq", "pseudobulk"},
    "models/sets": {"cell_cycle", "set_enrichment", "set_scores"},
    "models/support": {"faces", "group_tree", "halves", "held_out", "support", "value_support"},
    "models/topics": {"topics"},
    "plot/animation": {"animate", "stories", "training", "writers"},
    "plot/diagnostics": {"quality"},
    "plot/explanation": set(),
    "plot/expression": set(),
    "plot/images": {"mean_image", "picture_grid"},
    "plot/partitions": {"contingency"},
    "plot/points": {"raster", "scatter"},
    "plot/trees": {"cluster_tree", "layout"},
}
SHELVES = {"io/streams", "models/graphs", "models/nn", "models/table", "plot/look", "verbs/arguments"}

# folder -> entries that a reader has to choose from, at most
MOST_ENTRIES = {"models": 30, "io": 9, "plot": 12}

STANDARD = set(sys.stdlib_module_names)


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def layer_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@cache
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
    if inner.split(".", maxsplit=1)[0] == layer:
        return True
    allowed = allowed | set(ALSO.get(name_of(path), {}))
    allowed = allowed | ({"optional"} if layer not in {"kernels", "metrics", "core"} else set())
    return any(inner == one or (one and inner.startswith(f"{one}.")) for one in allowed)


def test_every_layer_has_its_rule():
    assert {layer_of(path) for path in FILES} <= set(MAY_IMPORT)


def test_imports_point_down_only():
    inner = {path: [name for name in imports_of(path) if name.startswith("kithkin")] for path in FILES}
    wrong = [
        f"{name_of(path)} imports {name}"
        for path, names in inner.items()
        for name in names
        if not permitted(name.removeprefix("kithkin").strip("."), path)
    ]
    assert wrong == []


def packages_of(path: Path) -> set[str]:
    """Names of the packages from elsewhere that a file imports."""
    return {name.split(".")[0] for name in imports_of(path)} - STANDARD - {"kithkin"}


def test_low_layers_import_only_their_packages():
    low = [path for path in FILES if layer_of(path) in ONLY_PACKAGES]
    assert {name_of(path): extra for path in low if (extra := packages_of(path) - ONLY_PACKAGES[layer_of(path)])} == {}


def test_packages_stay_in_their_rooms():
    wrong = [
        f"{name_of(path)} imports {package}"
        for path in FILES
        for package in packages_of(path) & set(ONLY_IN)
        if not name_of(path).startswith(ONLY_IN[package])
    ]
    assert wrong == []


MODULES = {
    ".".join(("kithkin", *path.relative_to(SOURCE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in FILES
}


def family_of(path: Path) -> str | None:
    """Name the folder of a file within its layer, such as `models/pca`; None for a file at the root of a layer."""
    parts = path.relative_to(SOURCE).parts
    return "/".join(parts[:2]) if len(parts) > 2 else None


def arrows(rooms: bool) -> dict[str, set[str]]:
    """Map each module to the modules that it imports; each family is one node if `rooms`."""
    node = {name: (family_of(path) if rooms else None) or name for name, path in MODULES.items()}
    graph: dict[str, set[str]] = {one: set() for one in node.values()}
    for name, path in MODULES.items():
        graph[node[name]] |= {node[other] for other in imports_of(path) if other in MODULES}
    return {one: others - {one} for one, others in graph.items()}


@pytest.mark.parametrize("rooms", [False, True], ids=["files", "families"])
def test_imports_make_no_circle(rooms):
    sorter = TopologicalSorter(arrows(rooms))
    sorter.prepare()  # raises CycleError, which names the circle
    assert sorter.is_active()


def test_families_keep_to_the_doors_of_others():
    families = {family_of(path) for path in FILES} - {None}
    assert families == set(DOORS) | SHELVES
    used: dict[str, set[str]] = {family: set() for family in DOORS}
    wrong = []
    for path in FILES:
        for module in imports_of(path):
            family = family_of(MODULES[module]) if module in MODULES else None
            if family in DOORS and family != family_of(path):
                used[family].add(module.rpartition(".")[2])
                if used[family] - DOORS[family]:
                    wrong.append(f"{name_of(path)} imports {module}")
    assert wrong == []
    assert {family: DOORS[family] - doors for family, doors in used.items() if DOORS[family] - doors} == {}


@pytest.mark.parametrize("folder", MOST_ENTRIES)
def test_a_folder_can_be_taken_in_at_a_glance(folder):
    entries = {path.relative_to(SOURCE / folder).parts[0] for path in SOURCE.joinpath(folder).rglob("*.py*")}
    assert len(entries - {"__pycache__"}) <= MOST_ENTRIES[folder]


def test_contributing_has_the_same_map():
    """Compare the table of rooms in CONTRIBUTING with the rules of this file."""
    text = (SOURCE.parents[1] / "CONTRIBUTING.md").read_text(encoding="utf-8")
    rows = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| `")]
    told = {name.strip("`/"): set(others.replace("`", "").split(", ")) for name, _, others in rows}
    others = {"the public names": "", "only itself": None}
    told = {name: {others.get(one, one) for one in rooms} - {None} for name, rooms in told.items()}
    assert told == {name: rooms for name, rooms in MAY_IMPORT.items() if name in told}
    assert set(MAY_IMPORT) - set(told) == {"optional", "datasets", "door", "__init__"}
