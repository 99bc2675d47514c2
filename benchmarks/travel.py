"""Bytes that travel between the driver and its workers, and the share of the work that the driver does, step by step.

    python benchmarks/travel.py counts.h5ad [--workers 2] [--memory 256MB] [--folder SCRATCH]

The workers are processes of this machine. What is sent to them and comes back is counted as it is pickled for them.
Map, clusters and tree run in the driver and send nothing.
"""

from __future__ import annotations

import argparse
import os
import pickle
import tempfile
import time
from concurrent.futures import Future, ProcessPoolExecutor
from multiprocessing import get_context
from typing import Any

from timing import markdown, peak_memory


class Weighed(ProcessPoolExecutor):
    """Processes that weigh what is sent to them and what comes back."""

    tasks = sent = returned = 0

    def submit(self, function: Any, /, *arguments: Any, **settings: Any) -> Future[Any]:
        """Send one task."""
        self.tasks += 1
        self.sent += len(pickle.dumps((function, arguments, settings)))
        future = super().submit(function, *arguments, **settings)
        future.add_done_callback(self._weigh)
        return future

    def _weigh(self, future: Future[Any]) -> None:
        if not future.cancelled() and future.exception() is None:
            self.returned += len(pickle.dumps(future.result()))


def worker_seconds(pool: Weighed) -> float:
    """CPU seconds of the workers so far."""
    ticks = os.sysconf("SC_CLK_TCK")
    found = 0.0
    for pid in pool._processes or ():
        with open(f"/proc/{pid}/stat") as file:
            fields = file.read().rpartition(")")[2].split()
        found += (int(fields[11]) + int(fields[12])) / ticks
    return found


def main() -> None:
    """Run every step and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("source")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--memory", default="256MB")
    parser.add_argument("--folder", default=None)
    options = parser.parse_args()
    import kithkin as kk

    rows: list[list[str]] = []
    ds: Any = None
    with (
        tempfile.TemporaryDirectory(dir=options.folder) as folder,
        Weighed(options.workers, mp_context=get_context("spawn")) as pool,
    ):

        def imported() -> None:
            nonlocal ds
            ds = kk.read(options.source, to=f"{folder}/raw.zarr", memory=options.memory, threads=2, executor=pool)

        def part() -> None:
            nonlocal ds
            ds = kk.subset(ds, cells="n_genes >= 200", genes="n_cells >= 3", to=f"{folder}/a.zarr")

        steps = {
            "read": imported,
            "quality": lambda: kk.quality(ds, mito="^MTRNR"),
            "subset": part,
            "variable_genes": lambda: kk.variable_genes(ds),
            "pca": lambda: kk.pca(ds),
            "neighbors": lambda: kk.neighbors(ds),
            "kmeans": lambda: kk.kmeans(ds, 30),
            "markers": lambda: kk.markers(ds, "obs/kmeans"),
            "markers, t-test": lambda: kk.markers(ds, "obs/kmeans", method="t-test", key="uns/t"),
            "count_mixture": lambda: kk.count_mixture(ds, 10, max_iter=10),
            "topics": lambda: kk.topics(ds, 10, max_iter=5),
        }
        for name, step in steps.items():
            pool.tasks = pool.sent = pool.returned = 0
            before, cpu = worker_seconds(pool), time.process_time()
            step()
            driver, workers = time.process_time() - cpu, worker_seconds(pool) - before
            share = f"{driver / max(driver + workers, 1e-9):.0%}"
            weights = [f"{pool.sent / 1e6:.2f}", f"{pool.returned / 1e6:.2f}"]
            rows.append([name, str(pool.tasks), *weights, f"{driver:.1f}", f"{workers:.1f}", share])
            print("  ".join(rows[-1]), flush=True)
        stored = ds.blocks("X").n_stored * (ds.blocks("X").dtype.itemsize + 2)
        print(f"\nX holds {stored / 1e6:.0f} MB of values and columns; peak of the driver {peak_memory():.0f} MB\n")
    heads = ["step", "tasks", "MB sent", "MB returned", "driver, CPU s", "workers, CPU s", "driver's share"]
    print(markdown(heads, rows))


if __name__ == "__main__":
    main()
