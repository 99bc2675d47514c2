"""Propagation over a neighbour graph: CPU seconds and memory beside the plain loop in SciPy.

Usage: python benchmarks/propagation.py small.zarr [large.zarr]

small.zarr and large.zarr are datasets with obsp/connectivities, of 100,000 and of a million cells. Two random cells are
the seeds, alpha is 0.999. Each line runs in a process of its own, so that its peak memory is its own: what it needs
beyond the graph as it is stored.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

import kithkin as kk
from kithkin.core.blocks import Array
from kithkin.core.execute import Execution
from kithkin.models import Propagation
from timing import markdown, peak_memory

ALPHA = 0.999
ONE = Execution(threads=1)


def seeds_of(n: int, s: int) -> Array:
    """Two seeds for each of s sets."""
    rng = np.random.default_rng(0)
    table = np.zeros((n, s), bool)
    for column in range(s):
        table[rng.choice(n, 2, replace=False), column] = True
    return table


def plain_loop(graph, table: Array, most: int, tol: float) -> int:
    """Iterate in double precision with SciPy's product, as a notebook does."""
    from scipy import sparse

    Y = table.astype(float)
    strength = np.asarray(graph.sum(axis=1)).ravel()
    root = sparse.diags(1 / np.sqrt(np.maximum(strength, 1e-12)))
    S, F = (root @ graph @ root).tocsr().astype(np.float64), Y
    for step in range(most):
        new = ALPHA * (S @ F) + (1 - ALPHA) * Y
        change = np.linalg.norm(new - F) / np.linalg.norm(new)
        F = new
        if change <= tol:
            return step + 1
    return most


def fitted(graph, table: Array, **settings) -> int:
    """Steps that the model makes."""
    return int(Propagation(ALPHA, **settings).fit(graph, table, ONE).n_iter_.max())


TASKS: dict[str, tuple[str, int, Callable[..., int]]] = {
    "SciPy float64, 10 steps": ("small", 1, lambda g, Y: plain_loop(g, Y, 10, 0)),
    "kithkin, 10 steps": ("small", 1, lambda g, Y: fitted(g, Y, method="iterative", max_iter=10, tolerance=1e-6)),
    "SciPy float64, to 1%": ("small", 1, lambda g, Y: plain_loop(g, Y, 1000, 0.01)),
    "kithkin, to 1%": ("small", 1, lambda g, Y: fitted(g, Y, method="iterative", tolerance=0.01)),
    "SciPy, 16 sets, 10 steps": ("small", 16, lambda g, Y: plain_loop(g, Y, 10, 0)),
    "kithkin, 16 sets, 10 steps": (
        "small",
        16,
        lambda g, Y: fitted(g, Y, method="iterative", max_iter=10, tolerance=1e-6),
    ),
    "kithkin, exact to 1e-6": ("small", 1, fitted),
    "kithkin, 16 sets, exact to 1e-6": ("small", 16, fitted),
    "SciPy float64, a million, 10 steps": ("large", 1, lambda g, Y: plain_loop(g, Y, 10, 0)),
    "kithkin, a million, 10 steps": (
        "large",
        1,
        lambda g, Y: fitted(g, Y, method="iterative", max_iter=10, tolerance=1e-6),
    ),
    "kithkin, a million, exact to 1e-6": ("large", 1, fitted),
    "kithkin, a million, 16 sets, exact to 1e-6": ("large", 16, fitted),
}


def child(name: str, path: str) -> None:
    """Run one task and print its figures."""
    graph = kk.open(path).read("obsp/connectivities")
    _, s, task = TASKS[name]
    table = seeds_of(graph.shape[0], s)
    few = graph[:200][:, :200]
    task(few, seeds_of(200, s))  # compiles
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak begins anew
    before, seconds = peak_memory(), []
    for _ in range(1 if s > 1 and graph.shape[0] > 500_000 else 3):
        start = time.process_time()
        steps = task(graph, table)
        seconds.append(time.process_time() - start)
    print(json.dumps({"steps": steps, "cpu_s": min(seconds), "MB": peak_memory() - before}))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("small")
    parser.add_argument("large", nargs="?")
    parser.add_argument("--child", choices=list(TASKS))
    options = parser.parse_args()
    if options.child:
        child(options.child, options.small)
        return
    rows = []
    for name, (which, _, _) in TASKS.items():
        path = getattr(options, which)
        if path:
            command = [sys.executable, "-W", "ignore", __file__, path, "--child", name]
            found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
            rows.append([name, str(found["steps"]), f"{found['cpu_s']:.3f}", f"{found['MB']:.0f}"])
            print(" ".join(rows[-1]), flush=True)
    print(markdown(["", "steps", "CPU s", "MB beyond the graph"], rows))


if __name__ == "__main__":
    main()
