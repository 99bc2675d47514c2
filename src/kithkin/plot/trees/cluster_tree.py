"""The tree above the groups of any partition, each node a picture of what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import MissingResultError, ParameterError, check, check_choice
from kithkin.core.execute import map_blocks
from kithkin.core.group_support import current_support, support_of_nodes
from kithkin.metrics.hierarchy import checked_weights, group_weights, leaf_order, paris_linkage
from kithkin.plot.data import Groups, describe, groups
from kithkin.plot.look.legends import BETWEEN, column_size, groups_entry, sizes_entry, stack, values_entry
from kithkin.plot.look.matching import color_together
from kithkin.plot.look.palette import MISSING
from kithkin.plot.look.style import INK, TEXT, Picture, shorten, text_inches
from kithkin.plot.trees.layout import Tree, fit
from kithkin.plot.trees.page import LINE as LINES
from kithkin.plot.trees.page import Placed, Radial, Rectangular
from kithkin.plot.trees.pies import Pies, Sizes

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from kithkin.core.dataset import Dataset

MOST = 400  # groups: more leaves cannot be read on one page
# inches of the largest node, and share of its room that the largest leaf takes: from the best to the last resort
RADII = ((0.3, 1.0), (0.26, 0.9), (0.23, 0.8), (0.2, 0.7), (0.17, 0.62), (0.15, 0.55), (0.12, 0.5))
HEAD, EDGE, GUTTER = 0.3, 0.15, 0.35  # inches: for the title, around the page, and before the legends
LINE, SMALL_PRINT, NOTE = 0.14, 7.0, "#6E6E6E"  # inches, points and colour of a note
COLORS = {"yes": LINES, "weak": "#E69F00", "none": "#D55E00"}  # of the lines of splits, by their support
SAID = {"yes": "supported", "weak": "weakly supported", "none": "not supported"}
LEAST = 3.6  # inches that legends may take in height


def cluster_tree(
    ds: Dataset,
    by: Any = "obs/leiden",
    fill: Any = None,
    *,
    shape: str = "rectangular",
    on: str = "obsp/connectivities",
    palette: str | Sequence[Any] | Mapping[str, Any] | None = None,
    normalize: str | None = "log1p",
    support: bool = False,
) -> Figure:
    r"""Draw the tree above the groups of a partition, each node with the composition or mean of another column.

    The groups are joined by the distance of Paris, :math:`d(a, b) = \mathrm{vol}(a) \mathrm{vol}(b) / (W w(a, b))`: how
    many links chance would give for each that the graph has. The axis is logarithmic, the same for all nodes. A merge
    so near to others that its picture would touch theirs has none, and a note counts them. Broken lines lead to parts
    that no link connects. Areas of the nodes are proportional to their numbers of observations, but for very small and
    very large ones, as the legend says.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key of any column, also a relabelled or hand-made one, or an array with one entry per observation.
        Those without a group are left out.
    fill
        Content of the nodes: a key, an obs column, the name of a gene, or an array. Groups are drawn as pies, values as
        the colour of their mean. None: the groups of `by`.
    shape
        "rectangular": leaves side by side; "radial": around a circle.
    on
        Key of the graph, n x n symmetric weights.
    palette
        Colours of the groups of `fill`, in order or by name; colour-blind-safe ones when None.
    normalize
        Normalisation of the counts of a gene: "log1p" or None.
    support
        Draw splits that counts support only weakly, or not at all, in colours; `by` must be what `kithkin.support`
        tested.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the column, the graph, or the tests of the support are not in the dataset.
    ParameterError
        If there is but one group, `by` holds numbers, or the graph is not one of these observations.

    References
    ----------
    Bonald, Charpentier, Galland and Hollocou, Hierarchical graph clustering using node pair sampling (2018),
    arXiv:1806.01664.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> from kithkin.core.blocks import InMemory
    >>> from kithkin.core.execute import Execution
    >>> graph = np.kron(np.eye(3), np.ones((2, 2))) + 0.1
    >>> ds = SimpleNamespace(n_obs=6, blocks=lambda key: InMemory(graph), execution=Execution(threads=1))
    >>> figure = cluster_tree(ds, list("aabbcc"), fill=list("xyxxyy"))
    >>> [text.get_text() for text in figure.axes[0].texts][:3]
    ['a', 'b', 'c']
    """
    check_choice("shape", shape, ("rectangular", "radial"))
    tests = stored_support(ds, by) if support else {}
    given = groups(ds, by)
    present = np.flatnonzero(given.sizes())
    check(len(present) > 1, f"by must hold at least two groups, got only {given.names[present[0]]!r}")
    check(len(present) <= MOST, f"by must hold at most {MOST} groups, got {len(present)}")
    labels = without_empty(given)
    content = given if fill is None else describe(ds, fill, normalize, name="fill")
    if isinstance(content, Groups) and fill is not None and palette is None:  # as on a map beside the groups
        content = color_together([given, content])[1]
    if isinstance(content, Groups) and fill is not None:
        check(len(content.names) <= MOST, f"fill must hold at most {MOST} groups, got {len(content.names)}")
    counts = labels.sizes()
    linkage, order = tree_above(ds, labels, on)
    tree = Tree.of(linkage, order)
    pies = Pies.of(content, labels.codes, tree.members, palette)
    if fill is None:  # the names of the leaves say what the colours are
        pies = replace(pies, names=[])

    names = [shorten(labels.names[i], 32) for i in np.argsort(tree.places[: tree.n_leaves])]
    page = Rectangular(names) if shape == "rectangular" else Radial(names)
    counts = tree.members @ counts
    sizes = [Sizes.of(counts, tree.n_leaves, fraction * page.widest, largest) for largest, fraction in RADII]
    depth, taken, room = fit(tree, page.frame, [some.radii(counts) for some in sizes], page.depth)
    layout = Placed(tree, page.frame, depth, np.where(room, sizes[taken].radii(counts), 0.0))
    missing = [(int((labels.codes < 0).sum()), labels.title or "a group", "left out")]
    if fill is not None:
        missing.append((pies.n_missing, pies.title or "a value", "not in the colours"))
    notes = [f"{count:,} observations without {title}: {what}" for count, title, what in missing if count]
    if not room.all():
        notes.append(f"merges without a picture, as others are too near: {(~room).sum():,}")
    nodes = range(tree.n_leaves, len(tree.heights))
    below = {node: frozenset(labels.names[i] for i in np.flatnonzero(tree.members[node])) for node in nodes}
    found = {node: tests[some] for node, some in below.items() if some in tests}
    return _assemble(page, layout, pies, sizes[taken].examples(counts), labels.title, notes, found)


def without_empty(labels: Groups) -> Groups:
    """Leave out groups without members."""
    present = np.flatnonzero(labels.sizes())
    numbers = np.full(len(labels.names) + 1, -1)
    numbers[present] = np.arange(len(present))
    return Groups(labels.title, numbers[labels.codes], [labels.names[i] for i in present])


def tree_above(ds: Dataset, labels: Groups, on: str) -> tuple[Array, Array]:
    """Join groups, none of them empty, by their links in a graph: linkage as SciPy's, and the order of the leaves.

    Raises ParameterError if `on` is not a graph of undirected links between the observations.
    """
    graph, n_groups = ds.blocks(on), len(labels.names)
    got = " x ".join(map(str, graph.shape))
    check(tuple(graph.shape) == (ds.n_obs, ds.n_obs), f"on must name a graph of {ds.n_obs} observations, got {got}")
    sums = map_blocks(partial(_sum_block, codes=labels.codes), graph, ds.execution, "links between groups")
    weights = sum(sums, np.zeros((n_groups, n_groups)))
    try:
        weights = checked_weights(weights)
    except ValueError as error:
        raise ParameterError(f"on must name a graph of undirected links, and of {on} the {error}") from error
    linkage = paris_linkage(weights, labels.sizes())
    return linkage, leaf_order(weights, linkage)


def stored_support(ds: Dataset, by: Any) -> dict[frozenset[str], str]:
    """Return the support of each split of a column, by the groups below it.

    Raises MissingResultError if it was not tested, or the column or the counts have changed since.
    """
    tests = current_support(ds, by) if isinstance(by, str) else None
    if tests is None:
        raise MissingResultError(f"the support of {by} is not in {ds.name}. Run kithkin.support(ds, by={by!r}) first")
    return support_of_nodes(tests)


def _sum_block(block: Any, start: int, codes: Array) -> Array:
    return group_weights(block, codes, start)


def _assemble(
    page: Rectangular | Radial,
    placed: Placed,
    pies: Pies,
    areas: list[tuple[str, float]],
    title: str,
    left_out: list[str],
    support: Mapping[int, str],
) -> Picture:
    """Draw the tree, its legends on the right, the title above and the notes below."""
    x0, x1, y0, y1 = page.extent(placed)
    left, right, below, above = page.margins(placed)
    width, height = x1 - x0, y1 - y0
    figure = Picture(left + width + right + 4, above + height + below)
    ax = figure.add_axes((0, 0, 1, 1), label="tree")
    ax.set(xlim=(x0, x1), ylim=(y0, y1))
    notes = [*page.draw(ax, placed), *left_out]
    placed.draw_lines(ax, {node: COLORS[one] for node, one in support.items()})
    pies.draw(ax, placed.centers, placed.radii)

    legends = [sizes_entry(figure, "observations", areas)]
    present = [one for one in COLORS if one in support.values()]
    if present:
        named = [SAID[one] for one in present]
        legends.append(groups_entry(figure, "splits", named, [COLORS[one] for one in present], LEAST))
    if pies.scale is not None:
        legends.insert(0, values_entry(figure, f"mean {pies.title}".strip(), pies.scale, pies.unit))
    elif pies.names:
        names, colors = [*pies.names], list[Any](pies.colors)
        if not pies.shares.any(axis=1).all():
            names, colors = [*names, "missing"], [*colors, MISSING]
        room = max(max(height + above + below, LEAST) - legends[0].height - BETWEEN, 1.0)
        legends.insert(0, groups_entry(figure, pies.title, names, colors, room))
    beside, tall = column_size(legends)
    foot = EDGE + LINE * len(notes) + (0.06 if notes else 0.0)
    total = EDGE + HEAD + max(above + height + below, tall) + foot
    whole = EDGE + left + width + right + GUTTER + beside + EDGE
    if notes:
        whole = max(whole, 2 * EDGE + float(text_inches(notes, SMALL_PRINT)[:, 0].max()))
    figure.set_size_inches(whole, total)
    figure.place(ax, EDGE + left, total - EDGE - HEAD - above - height, width, height)
    stack(figure, legends, EDGE + left + width + right + GUTTER, total - EDGE - HEAD)
    start = EDGE if isinstance(page, Radial) else EDGE + left
    figure.text(start / whole, 1 - EDGE / total, shorten(title), fontsize=TEXT + 1, color=INK, va="top")
    for i, note in enumerate(reversed(notes)):
        figure.text(EDGE / whole, (EDGE + LINE * i) / total, note, fontsize=SMALL_PRINT, color=NOTE, va="bottom")
    return figure
