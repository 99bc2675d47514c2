"""The tree above the groups of any partition, each node a picture of what it is made of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, check, check_choice
from kithkin.core.execute import map_blocks
from kithkin.metrics.hierarchy import checked_weights, group_weights, leaf_order, paris_linkage
from kithkin.plot.data import Groups, describe, groups
from kithkin.plot.look.legends import BETWEEN, Entry, column_size, groups_entry, sizes_entry, stack, values_entry
from kithkin.plot.look.palette import MISSING
from kithkin.plot.look.style import INK, TEXT, Picture, shorten, text_inches
from kithkin.plot.trees.layout import Tree, fit, is_stretched
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
LEAST = 3.6  # inches that legends may take in height


def cluster_tree(
    ds: Dataset,
    by: Any = "obs/leiden",
    fill: Any = None,
    *,
    shape: str = "rectangular",
    on: str = "obsp/connectivities",
    palette: Sequence[Any] | Mapping[str, Any] | None = None,
    normalize: str | None = "log1p",
) -> Figure:
    r"""Draw the tree above the groups of a partition, each node with the composition or mean of another column.

    The groups are joined by the distance of Paris, :math:`d(a, b) = \mathrm{vol}(a) \mathrm{vol}(b) / (W w(a, b))`: how
    many links chance would give for each that the graph has. The axis is logarithmic, and stretched where nodes would
    touch; it is one axis for all nodes. Broken lines lead to parts that no link connects. Areas of the nodes are
    proportional to their numbers of observations, but for very small and very large ones, which the legend tells.

    Parameters
    ----------
    ds
        The dataset.
    by
        The groups: a key of any column, also a relabelled or hand-made one, or an array with one entry per observation.
        Those without a group are left out.
    fill
        What the nodes show: a key, an obs column, the name of a gene, or an array. Groups are drawn as pies, values as
        the colour of their mean. None: the groups of `by`.
    shape
        "rectangular": leaves side by side; "radial": around a circle.
    on
        Key of the graph, n x n symmetric weights.
    palette
        Colours of the groups of `fill`, in order or by name; colour-blind-safe ones when None.
    normalize
        What is done to the counts of a gene: "log1p" or None.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    MissingResultError
        If the column or the graph is not in the dataset.
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
    given = groups(ds, by)
    found = _without_empty(given)
    filled = given if fill is None else describe(ds, fill, normalize, name="fill")
    if isinstance(filled, Groups) and fill is not None:
        check(len(filled.names) <= MOST, f"fill must hold at most {MOST} groups, got {len(filled.names)}")
    weights, counts = _weights(ds, found, on), found.sizes()
    linkage = paris_linkage(weights, counts)
    tree = Tree.of(linkage, leaf_order(weights, linkage))
    pies = Pies.of(filled, found.codes, tree.members, palette)
    if fill is None:  # the names of the leaves say what the colours are
        pies = replace(pies, names=[])

    names = [shorten(found.names[i], 32) for i in np.argsort(tree.places[: tree.n_leaves])]
    page = Rectangular(names) if shape == "rectangular" else Radial(names)
    counts = tree.members @ counts
    sizes = [Sizes.of(counts, tree.n_leaves, share * page.widest, largest) for largest, share in RADII]
    depth, taken, slope = fit(tree, page.frame, [some.radii(counts) for some in sizes], page.depth)
    placed = Placed(tree, page.frame, depth, sizes[taken].radii(counts), is_stretched(tree, depth, slope))
    notes = _left_out(found, pies if fill is not None else None)
    return _assemble(page, placed, pies, (sizes[taken], counts), (found.title, notes))


def _without_empty(found: Groups) -> Groups:
    present = np.flatnonzero(found.sizes())
    check(len(present) > 1, f"by must hold at least two groups, got only {found.names[present[0]]!r}")
    numbers = np.full(len(found.names) + 1, -1)
    numbers[present] = np.arange(len(present))
    check(len(present) <= MOST, f"by must hold at most {MOST} groups, got {len(present)}")
    return Groups(found.title, numbers[found.codes], [found.names[i] for i in present])


def _weights(ds: Dataset, found: Groups, on: str) -> Array:
    """Links between the groups, from the blocks of the graph."""
    graph = ds.blocks(on)
    n = ds.n_obs
    check(
        tuple(graph.shape) == (n, n),
        f"on must name a graph of {n} observations, got {' x '.join(map(str, graph.shape))}",
    )
    sums = map_blocks(partial(_of_block, codes=found.codes), graph, ds.execution, "links between groups")
    weights = sum(sums, np.zeros((len(found.names), len(found.names))))
    try:
        return checked_weights(weights)
    except ValueError as error:
        raise ParameterError(f"on must name a graph of undirected links, and of {on} the {error}") from error


def _of_block(block: Any, start: int, codes: Array) -> Array:
    return group_weights(block, codes, start)


def _left_out(found: Groups, pies: Pies | None) -> list[str]:
    """Say how many observations are missing in the columns."""
    missing = [(int((found.codes < 0).sum()), found.title or "a group", "left out")]
    if pies is not None:
        missing.append((pies.n_missing, pies.title or "a value", "not in the colours"))
    return [f"{count:,} observations without {title}: {what}" for count, title, what in missing if count]


def _assemble(
    page: Rectangular | Radial, placed: Placed, pies: Pies, sized: tuple[Sizes, Array], words: tuple[str, list[str]]
) -> Picture:
    """Draw the tree, its legends on the right, the title above and the notes below."""
    x0, x1, y0, y1 = page.extent(placed)
    left, right, below, above = page.margins(placed)
    width, height = x1 - x0, y1 - y0
    figure = Picture(left + width + right + 4, above + height + below)
    ax = figure.add_axes((0, 0, 1, 1), label="tree")
    ax.set(xlim=(x0, x1), ylim=(y0, y1))
    notes = [*page.draw(ax, placed), *words[1]]
    placed.draw_lines(ax)
    pies.draw(ax, placed.centers, placed.radii)

    room = max(height + above + below, LEAST)
    legends = _legends(figure, pies, sized, room)
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
    figure.text(start / whole, 1 - EDGE / total, shorten(words[0]), fontsize=TEXT + 1, color=INK, va="top")
    for i, note in enumerate(reversed(notes)):
        figure.text(EDGE / whole, (EDGE + LINE * i) / total, note, fontsize=SMALL_PRINT, color=NOTE, va="bottom")
    return figure


def _legends(figure: Picture, pies: Pies, sized: tuple[Sizes, Array], room: float) -> list[Entry]:
    """What the colours and the areas stand for."""
    areas = sizes_entry(figure, "observations", sized[0].examples(sized[1]))
    if pies.scale is not None:
        return [values_entry(figure, f"mean {pies.title}".strip(), pies.scale, pies.unit), areas]
    if not pies.names:
        return [areas]
    room = max(room - areas.height - BETWEEN, 1.0)
    names, colors = [*pies.names], list[Any](pies.colors)
    if not pies.shares.any(axis=1).all():
        names, colors = [*names, "missing"], [*colors, MISSING]
    return [groups_entry(figure, pies.title, names, colors, room), areas]
