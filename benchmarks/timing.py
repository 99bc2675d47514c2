"""What the benchmarks share: timed steps, programs in processes of their own, a small sample to warm up on, and tables.

Nothing is imported here but the standard library, so that every interpreter can run a script that uses it.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SAMPLE = 9000  # cells: from 8,192 on scanpy searches neighbours as it does for a million


def peak_memory() -> float:
    """Largest resident size of this process so far, in MB."""
    status = Path("/proc/self/status")
    if status.is_file():  # what getrusage gives begins at the size of the process that started this one
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024) / 1e6


@dataclass
class Steps:
    """Seconds of processor and of the clock for each step, and the peak memory at its end."""

    loud: bool = True
    rows: dict[str, dict[str, float]] = field(default_factory=dict)

    def __call__(self, name: str, do: Callable[[], Any]) -> Any:
        """Do one step, note what it took and say so."""
        wall, cpu = time.perf_counter(), time.process_time()
        result = do()
        row = {"cpu_s": time.process_time() - cpu, "wall_s": time.perf_counter() - wall, "peak_MB": peak_memory()}
        self.rows[name] = row
        if self.loud:
            print(
                f"  {name:<24}{row['cpu_s']:9.2f} CPU s{row['wall_s']:9.2f} s   peak {row['peak_MB']:6.0f} MB",
                flush=True,
            )
        return result


def total(rows: dict[str, dict[str, float]]) -> dict[str, float]:
    """All steps together."""
    sums = {name: sum(row[name] for row in rows.values()) for name in ("cpu_s", "wall_s")}
    return sums | {"peak_MB": max(row["peak_MB"] for row in rows.values())}


def run_apart(python: str, script: str, child: str, arguments: Sequence[str], threads: int) -> dict[str, Any]:
    """Run `script --child ...` with an interpreter of its own; what it prints is shown, its last line is the result."""
    names = ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "NUMBA_NUM_THREADS")
    limits = dict.fromkeys(names, str(threads))
    command = [python, "-W", "ignore", script, *arguments, "--child", child, "--threads", str(threads)]
    last = ""
    with subprocess.Popen(command, env={**os.environ, **limits}, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            if line.startswith("{"):
                last = line
            else:
                print(line, end="", flush=True)
    if process.returncode:
        raise SystemExit(f"{child} ended with {process.returncode}")
    result: dict[str, Any] = json.loads(last)
    return result


def write_sample(source: str, target: Path, n_cells: int = SAMPLE) -> None:
    """Write the first cells of an h5ad file; the largest count of the whole file is put in, which decides its type."""
    import anndata as ad
    import h5py
    from scipy.sparse import csr_matrix

    with h5py.File(source) as file:
        X, n_genes = file["X"], int(file["X"].attrs["shape"][1])
        indptr = X["indptr"][: n_cells + 1]
        parts = [X[name][: indptr[-1]] for name in ("data", "indices")]
        stored = X["data"]
        parts[0][0] = max(stored[start : start + 2**24].max() for start in range(0, len(stored), 2**24))
        obs, var = (ad.io.read_elem(file[name]) for name in ("obs", "var"))
    rows = csr_matrix((*parts, indptr), shape=(len(indptr) - 1, n_genes))
    ad.settings.allow_write_nullable_strings = True
    ad.AnnData(rows, obs=obs.iloc[: rows.shape[0]], var=var).write_h5ad(target, compression="lzf")


def markdown(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Lay rows of text out as a Markdown table, numbers to the right."""
    head = list(head)
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
