"""Animations of what happens in a dataset: propagation, the map while it settles, sweeps of clusters, an order."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Literal

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import MissingResultError, ParameterError, check, check_choice, check_range, check_seed
from kithkin.core.keys import Key
from kithkin.models.leiden import Leiden
from kithkin.models.paris.dendrogram import Dendrogram
from kithkin.models.paris.paris import grow
from kithkin.models.propagation.propagation import Propagation
from kithkin.verbs.arguments.seeds import seeds_of
from kithkin.verbs.umap import umap

if TYPE_CHECKING:
    from kithkin.plot.animation.animate import Animation

Story = Literal["propagation", "umap", "leiden", "paris", "order", "training"]
USUAL_FRAMES = {"propagation": 60, "umap": 60, "leiden": 16, "paris": 24, "order": 60, "training": 60}
COLOURED = ("umap", "order", "training")
USUAL_MAP, USUAL_TRAINING = "obsm/X_umap", "uns/deep"
TURN = 5  # pictures between a partition and the next
FINEST, COARSEST = 3.0, 0.1  # resolutions of Leiden


def animate(
    ds: Dataset,
    what: Story = "propagation",
    *,
    to: str | Path,
    from_: str | Any = None,
    by: str | None = None,
    n_frames: int | None = None,
    fps: float = 10,
    size: tuple[int, int] = (800, 800),
    dark: bool = False,
    alpha: float = 0.999,
    order: str = "obs/pseudotime",
    on: str = "obsm/X_umap",
    graph: str = "obsp/connectivities",
    seed: int = 0,
) -> Animation:
    """Write an animation of a dataset: .gif, .mp4, .webm, .html (a player) or .png.

    Parameters
    ----------
    ds
        The dataset; nothing is stored in it.
    what
        "propagation": closeness to chosen cells, spreading over the graph until a step changes less than 1 %. "umap":
        the map while it settles. "leiden": clusters from resolution 0.1 to 3. "paris": cuts of the tree of the graph,
        from two clusters on. "order": cells in the order of pseudotime or another number. "training": the embedding of
        deep clusters while it is trained, from the snapshots that deep_clusters keeps if its configuration says so,
        such as "frames: 40".
    to
        Path of the file, whose ending decides the format.
    from_
        For "propagation", the cells to begin with, as `kithkin.propagate` takes its seeds: a condition such as
        "celltype == 'B'", a column of labels or a table of sets, of which each cell takes the colour of the one that
        reaches it most. In Python also names, row numbers, and n booleans, weights or labels, or n x s of them.
    by
        For "umap", "order" and "training", what colours the cells: a key, a column of obs or a gene.
    n_frames
        Number of steps, epochs, resolutions, cuts, snapshots or pictures to show; by default 60, of partitions 16
        (leiden) or 24 (paris).
    fps
        Pictures per second.
    size
        Width and height of the picture in pixels.
    dark
        Draw light letters on a nearly black background.
    alpha
        For "propagation", the share of a score that comes from the neighbours.
    order
        Key of the numbers for "order".
    on
        Map of the cells; not read for "umap". For "training" the snapshots, uns/deep by default.
    graph
        Graph of neighbours.
    seed
        Seed of the random numbers of "umap" and "leiden".

    Returns
    -------
    Animation
        Its path, number of frames and size. A notebook plays it.

    Raises
    ------
    MissingResultError
        If the map, the graph or the snapshots are not there yet.
    ParameterError
        If the ending is unknown, no cell meets the condition, or a setting has no effect on what is shown.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> ds = kk.read(kk.datasets.simulate_counts(100, 200, 2), to=folder + "/a.zarr")
    >>> _ = kk.pca(ds, 5), kk.neighbors(ds), kk.umap(ds, n_epochs=20)
    >>> animate(ds, "paris", to=folder + "/cuts.gif", n_frames=3).n_frames
    11
    """
    from kithkin.plot.animation.writers import check_ending

    check_choice("what", what, tuple(USUAL_FRAMES))
    check(from_ is None or what == "propagation", f"from_ has no effect on {what!r}: it is for 'propagation'")
    check(by is None or what in COLOURED, f"by has no effect on {what!r}: it is for {', '.join(map(repr, COLOURED))}")
    count = USUAL_FRAMES[what] if n_frames is None else n_frames
    check_range("n_frames", count, 2, 10_000)
    check_seed(seed)
    check_ending(Path(to), size, fps)  # before hours of work, not after
    look: dict[str, Any] = {"to": to, "fps": fps, "size": size, "dark": dark}
    if what == "propagation":
        return _propagation(ds, from_, on, graph, alpha, count, look)
    if what == "umap":
        return _umap(ds, by, graph, count, seed, look)
    if what == "order":
        from kithkin.plot.animation.stories import animate_order

        numbers = Key.parse(order, "obs", option="order")
        look["label"] = numbers.name if by is None else by
        when, values = np.asarray(ds.read(str(numbers)), float), None if by is None else _read_color(ds, by)
        coords = _read_map(ds, on)
        return animate_order(coords, when, values, n_frames=count, execution=ds.execution, **look)
    if what == "training":
        return _training(
            ds, by, USUAL_TRAINING if on == USUAL_MAP else str(Key.parse(on, "uns", option="on")), count, look
        )
    return _partitions(ds, what, on, graph, count, seed, look)


def _read_map(ds: Dataset, on: str) -> Array:
    """Read the first two columns of the coordinates."""
    coords = np.asarray(ds.read(str(Key.parse(on, "obsm", option="on"))))
    got = " x ".join(map(str, coords.shape))
    check(coords.ndim == 2 and coords.shape[1] >= 2, f"on must be n x 2 or more, got {got}")
    return coords[:, :2]


def _propagation(
    ds: Dataset, from_: Any, on: str, graph: str, alpha: float, count: int, look: dict[str, Any]
) -> Animation:
    from kithkin.plot.animation.stories import animate_propagation

    check(from_ is not None, "from_ must name the cells to begin with, such as \"leiden == '3'\"")
    coords = _read_map(ds, on)
    model = Propagation(alpha, method="iterative", tolerance=0.01, history=True)
    try:
        seeds = seeds_of(ds, from_)
        history = model.fit(ds.read(graph), seeds.read(), ds.execution).history_
    except ParameterError as error:
        raise ParameterError(str(error).replace("seeds", "from_", 1)) from error
    look["label"] = from_ if isinstance(from_, str) else "closeness"
    if seeds.classes is not None and len(seeds.classes) > 1:
        look["names"] = seeds.classes
    return animate_propagation(coords, history, most=count, execution=ds.execution, **look)


def _umap(ds: Dataset, by: str | None, graph: str, count: int, seed: int, look: dict[str, Any]) -> Animation:
    from kithkin.plot.animation.animate import animate as draw
    from kithkin.plot.animation.stories import one_scale

    with Epochs(count, ds.n_obs) as epochs:
        umap(ds, on=graph, key=None, seed=seed, callback=epochs)
        numbers, layouts = epochs.choose()
        titles = [f"epoch {number}" for number in numbers]
        color = None if by is None else _read_color(ds, by)
        look |= one_scale(color) if isinstance(color, np.ndarray) else {}
        return draw(layouts, color, titles=titles, label=by or "", execution=ds.execution, **look)


def _read_color(ds: Dataset, what: str) -> Any:
    """Read values as floats, or groups as a categorical."""
    import pandas as pd

    from kithkin.plot.data import Groups, describe

    color = describe(ds, what, name="by")
    if isinstance(color, Groups):
        return pd.Categorical.from_codes(color.codes, pd.Index(color.names))
    return np.asarray(color.values, float)


def _training(ds: Dataset, by: str | None, on: str, count: int, look: dict[str, Any]) -> Animation:
    from kithkin.plot.animation.stories import one_scale
    from kithkin.plot.animation.training import animate_training

    ds.need(on)
    stored = ds.read(on)
    if not isinstance(stored, dict) or "frames" not in stored:
        hint = 'run kithkin.deep_clusters(ds, config={"frames": 40})'
        raise MissingResultError(f"{on} of {ds.name} holds no snapshots of a training: {hint}")
    frames = stored["frames"]
    check(int(frames["rows"].max()) < ds.n_obs, f"the snapshots in {on} are of another dataset")
    color = None if by is None else _read_color(ds, by)[frames["rows"]]
    look |= one_scale(color) if isinstance(color, np.ndarray) else {}
    look |= {} if by is None else {"label": by}
    return animate_training(frames, color, n_frames=count, execution=ds.execution, **look)


def _partitions(ds: Dataset, what: str, on: str, graph: str, count: int, seed: int, look: dict[str, Any]) -> Animation:
    from kithkin.plot.animation.stories import animate_partitions

    partition: Callable[[int], Array]
    if what == "leiden":
        links, resolutions = ds.read(graph), np.geomspace(COARSEST, FINEST, count)
        labels = [Leiden(float(r), seed=seed).fit(links).labels_.astype(np.int32) for r in resolutions]
        partition, look["titles"] = labels.__getitem__, [f"resolution {r:.2f}" for r in resolutions]
    else:
        key = "uns/paris_tree"
        stored = graph == "obsp/connectivities" and key in ds and not ds.lineage.is_stale_key(key)
        tree = Dendrogram.of(ds.read(key)) if stored else grow(ds.read(graph), "shared", ds.execution)
        check(count < tree.n_leaves, f"n_frames must be below the number of cells, {tree.n_leaves}, got {count}")

        def partition(k: int) -> Array:
            return tree.cut(k + 2)

    coords = _read_map(ds, on)
    return animate_partitions(coords, partition, n_frames=count, between=TURN - 1, execution=ds.execution, **look)


class Epochs:
    """Keep layouts of epochs in a temporary file: evenly spaced ones, at most twice as many as wanted, and the last.

    Parameters
    ----------
    wanted
        Number of layouts that are chosen in the end, where there are that many epochs.
    n
        Number of points in a layout.

    Examples
    --------
    >>> with Epochs(3, 2) as epochs:
    ...     for epoch in range(10):
    ...         epochs(epoch, np.full((2, 2), epoch))
    ...     numbers, layouts = epochs.choose()
    ...     print(numbers, [float(layout[0, 0]) for layout in layouts])
    [0, 4, 9] [0.0, 4.0, 9.0]
    """

    def __init__(self, wanted: int, n: int) -> None:
        self._kept: list[tuple[int, int]] = []  # epochs, and their positions in the file
        self._last: tuple[int, Array] | None = None
        self._wanted, self._shape, self._every = wanted, (n, 2), 1
        self._file: IO[bytes] = tempfile.TemporaryFile(prefix="kithkin")  # noqa: SIM115  (closed on leaving the block)

    def __enter__(self) -> Epochs:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def __call__(self, epoch: int, layout: Array) -> None:
        """Keep a layout, if its turn has come; thin out what is kept when there is too much."""
        self._last = epoch, np.array(layout, np.float32, order="C")
        if epoch % self._every:
            return
        if len(self._kept) == 2 * self._wanted:
            self._every, self._kept = 2 * self._every, self._kept[::2]
            if epoch % self._every:
                return
        taken = {position for _, position in self._kept}
        self._keep(epoch, self._last[1], next(p for p in range(2 * self._wanted) if p not in taken))

    def _keep(self, epoch: int, layout: Array, position: int) -> None:
        self._file.seek(position * layout.nbytes)
        self._file.write(layout.tobytes())
        self._kept.append((epoch, position))

    def choose(self) -> tuple[list[int], list[Array]]:
        """Choose as many epochs as wanted, the first and the last among them; their layouts stay on disk."""
        if self._last is not None and self._kept[-1][0] != self._last[0]:
            self._keep(*self._last, 2 * self._wanted)
        self._file.flush()
        size = 4 * self._shape[0] * self._shape[1]
        numbers = np.array([epoch for epoch, _ in self._kept])
        even = np.linspace(0, numbers[-1], min(self._wanted, len(numbers)))
        picks = np.unique(np.abs(numbers[:, None] - even).argmin(axis=0))
        kept = [self._kept[pick] for pick in picks]
        maps: list[Array] = [np.memmap(self._file, np.float32, "r", at * size, self._shape) for _, at in kept]
        return [epoch for epoch, _ in kept], maps
