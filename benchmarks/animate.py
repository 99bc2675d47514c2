"""Seconds of processor time, bytes and memory of animations, in the files that people use.

Run: python benchmarks/animate.py DATASET.zarr [n_frames [n_points]]. Colours spread from two points along the
neighbour graph. Every figure is from a process of its own; importing packages is not counted, but everything
that the first animation of a process does is. With matplotlib's own way (a scatter per frame) as the peer:
python benchmarks/animate.py DATASET.zarr 10 100000 peer. In place of a dataset, noise: a cloud that fills the picture
with values of which no two are equal, the hardest case.
"""

from __future__ import annotations

import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

ENDINGS = (".mp4", ".html", ".gif", ".png", ".webm")


def material(dataset: str, n_frames: int, n_points: int, folder: Path) -> None:
    """Write places of points, n x 2, and what has reached each from two of them after every step, frames x n."""
    if dataset == "noise":
        noise(n_frames, n_points, folder)
        return
    import kithkin as kk

    ds = kk.open(dataset)
    coords = np.asarray(ds.read("obsm/X_umap"), np.float64)[:n_points]
    links = ds.read("obsp/connectivities")[:n_points, :n_points]
    share = links.multiply(1 / np.maximum(links.sum(axis=1), 1e-9)).tocsr()
    first = np.zeros(len(coords))
    first[np.random.default_rng(0).integers(len(coords), size=2)] = 1
    np.save(folder / "coords.npy", coords)
    history = np.lib.format.open_memmap(folder / "history.npy", "w+", np.float32, (n_frames, len(coords)))
    now = first
    for k in range(n_frames):
        history[k] = now
        now = 0.999 * (share @ now) + 0.001 * first


def noise(n_frames: int, n_points: int, folder: Path) -> None:
    """Write the hardest case: a cloud that fills the picture, with values of which no two are equal."""
    rng = np.random.default_rng(0)
    coords = rng.normal(size=(n_points, 2))
    np.save(folder / "coords.npy", coords)
    history = np.lib.format.open_memmap(folder / "history.npy", "w+", np.float32, (n_frames, n_points))
    squared = ((coords - coords[0]) ** 2).sum(axis=1)
    for k in range(n_frames):
        history[k] = -squared * rng.normal(1, 0.3, n_points) / (k + 1)


def ours(coords: np.ndarray, history: np.ndarray, to: str) -> None:
    """One call of animate()."""
    from kithkin import plot

    plot.animate(coords, history, to=to, label="nearness", titles=lambda k: f"step {k}")


def peer(coords: np.ndarray, history: np.ndarray, to: str) -> None:
    """Draw a scatter per frame with matplotlib, saved by its own writers."""
    import matplotlib as mpl
    from matplotlib import animation
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 8), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    dots = ax.scatter(*coords.T, s=1, linewidths=0, c=np.zeros(len(coords)), vmin=0, vmax=1)

    def step(k: int) -> list[object]:
        dots.set_array(history[k].argsort().argsort() / len(coords))
        return [dots]

    film = animation.FuncAnimation(figure, step, frames=len(history), interval=100)
    if to.endswith(".html"):
        mpl.rcParams["animation.embed_limit"] = 500
        Path(to).write_text(film.to_jshtml(), encoding="utf-8")
    else:
        film.save(to, writer="pillow" if to.endswith(".gif") else "ffmpeg", fps=10)


def one(folder: Path, ending: str, who: str) -> None:
    """Measure one file, and print a line about it."""
    import matplotlib.figure  # noqa: F401
    from PIL import GifImagePlugin, ImageDraw, ImageFont  # noqa: F401

    from kithkin import plot

    plot.animate  # noqa: B018  (imports it)
    if ending in {".mp4", ".webm"}:
        import av  # noqa: F401
    coords, history = np.load(folder / "coords.npy"), np.load(folder / "history.npy", mmap_mode="r")
    to = folder / f"{who}{ending}"
    start = time.process_time(), time.perf_counter()
    {"ours": ours, "peer": peer}[who](coords, history, str(to))
    cpu, wall = time.process_time() - start[0], time.perf_counter() - start[1]
    children = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    # not ru_maxrss, in which a process begins with what the one that started it held
    status = Path("/proc/self/status").read_text().split()
    peak = int(status[status.index("VmHWM:") + 1]) / 1024
    print(
        f"{who} {len(history)} x {len(coords):,} {ending:5} {cpu + children:7.3f} CPU s {wall:7.2f} s "
        f"{to.stat().st_size / 1e6:7.3f} MB, peak {peak:,.0f} MB"
    )


def main() -> None:
    """Make what is shown, then write every kind of file in a process of its own."""
    if sys.argv[1] == "one":
        one(Path(sys.argv[2]), *sys.argv[3:])
        return
    dataset, *rest = sys.argv[1:]
    n_frames, n_points = (int(x) for x in (rest + ["10", "100000"][len(rest) :])[:2])
    who = rest[2] if len(rest) > 2 else "ours"
    with tempfile.TemporaryDirectory() as folder:
        material(dataset, n_frames, n_points, Path(folder))
        for ending in ENDINGS if who == "ours" else (".html", ".gif"):
            subprocess.run([sys.executable, __file__, "one", folder, ending, who], check=True)


if __name__ == "__main__":
    main()
