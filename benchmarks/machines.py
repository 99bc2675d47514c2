"""The same answers on every machine: one job with the instructions of three processors, beside threads and executors.

    python benchmarks/machines.py SOURCE [SOURCE ...] [--threads 1 2 8] [--memory 200MB 2GB] [--executors threads dask]

Each source is analysed by `kithkin.run` and `kithkin.paris` for every combination of a processor, threads, memory and
executor. A processor is played by a process whose programs are told not to use newer instructions: those that numba
compiles, NumPy, OpenBLAS and the C library. "generic" has those of every x86-64 machine, "avx2" vectors of 256 bits and
fused multiplication, "native" all that are there. Compared are SHA-256 of every array that is stored; the table says in
how many of the cases all of them are those of the first case of this machine, and which are not.

`--short` leaves out filters, the tree, markers and tests, and takes few epochs: it is what the tests run.
"""

from __future__ import annotations

import argparse
import hashlib
import itertools
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from timing import markdown

MACHINES = ("generic", "avx2", "native")
EXECUTORS = ("threads", "processes", "dask")
CORE = {"generic": "Prescott", "avx2": "Haswell"}  # as OpenBLAS calls them
NUMBA = {"generic": "generic", "avx2": "haswell"}
LIBRARY = {"generic": "-AVX512F,-AVX2,-AVX,-FMA,-FMA4", "avx2": "-AVX512F"}


def environment(machine: str) -> dict[str, str]:
    """Variables with which programs use the instructions of a machine alone."""
    if machine == "native":
        return {}
    from numpy._core._multiarray_umath import __cpu_dispatch__, __cpu_features__

    there = [name for name in __cpu_dispatch__ if __cpu_features__.get(name)]
    newer = [name for name in there if machine == "generic" or "AVX512" in name or "V4" in name]
    return {
        "NUMBA_CPU_NAME": NUMBA[machine],
        "OPENBLAS_CORETYPE": CORE[machine],
        "GLIBC_TUNABLES": f"glibc.cpu.hwcaps={LIBRARY[machine]}",
        "NPY_DISABLE_CPU_FEATURES": " ".join(newer),
    }


def can_play(machine: str) -> bool:
    """Whether this processor has the instructions of a machine."""
    from numpy._core._multiarray_umath import __cpu_features__

    if machine == "native":
        return True
    return platform.machine() == "x86_64" and (machine == "generic" or bool(__cpu_features__.get("AVX2", False)))


@contextmanager
def executor_of(kind: str, workers: int = 2) -> Iterator[Executor | None]:
    """Start an executor; None for threads of this process."""
    if kind == "threads":
        yield None
    elif kind == "processes":
        with ProcessPoolExecutor(workers, get_context("forkserver")) as pool:
            yield pool
    else:
        import distributed

        settings = {"n_workers": workers, "threads_per_worker": 1, "dashboard_address": None}
        with distributed.LocalCluster(**settings) as cluster, distributed.Client(cluster) as client:
            yield client.get_executor()


def job(source: str, folder: Path, short: bool, execution: dict[str, Any]) -> Any:
    """Analyse a source, from the file to clusters and a map."""
    import kithkin as kk

    if not short:
        ds = kk.run(source, to=folder / "a.zarr", progress=False, **execution)
        kk.paris(ds)
        return ds
    ds = kk.read(source, to=folder / "a.zarr", progress=False, **execution)
    if ds.kind == "counts":
        kk.variable_genes(ds, min(300, ds.n_vars))
    kk.pca(ds, min(20, ds.n_vars - 1), normalize="log1p" if ds.kind == "counts" else None)
    kk.neighbors(ds)
    kk.umap(ds, n_epochs=60)
    kk.leiden(ds)
    return ds


def arrays(name: str, value: Any) -> Iterator[tuple[str, np.ndarray]]:
    """List the arrays of a result, whatever it is."""
    if hasattr(value, "columns"):
        value = {column: value[column] for column in value.columns}
    if isinstance(value, dict):
        for part, inner in value.items():
            yield from arrays(f"{name}/{part}", inner)
    elif hasattr(value, "indptr"):
        for part in ("data", "indices", "indptr"):
            yield f"{name}/{part}", np.asarray(getattr(value, part))
    else:
        array = np.asarray(value.astype(str) if str(getattr(value, "dtype", "")) == "category" else value)
        if array.dtype.names:
            for part in array.dtype.names:
                yield from arrays(f"{name}/{part}", array[part])
        else:
            yield name, array.astype("U") if array.dtype.kind in "OT" else array


def digests(ds: Any) -> dict[str, str]:
    """SHA-256 of every array that a step has stored."""
    found = {}
    for entry in ds.lineage.entries:
        for key in entry.outputs:
            if key != "X" and key in ds and key != "uns/subset":  # which names the files
                for name, array in arrays(key, ds.read(key)):
                    found[name] = hashlib.sha256(np.ascontiguousarray(array).tobytes()).hexdigest()
    return found


def child(options: argparse.Namespace) -> None:
    """Do all jobs of one machine, and print a line for each."""
    for kind in options.executors:
        with executor_of(kind) as pool:
            for source, threads, memory in itertools.product(options.sources, options.threads, options.memory):
                execution = {"threads": threads, "memory": memory, "executor": pool}
                with tempfile.TemporaryDirectory(dir=options.folder) as folder:
                    ds = job(source, Path(folder), options.short, execution)
                    case = f"{threads} threads, {memory}, {kind}"
                    print(json.dumps({"source": source, "case": case, "digests": digests(ds)}), flush=True)


def run(machine: str, arguments: list[str], cache: Path | None) -> list[dict[str, Any]]:
    """Run the jobs on a machine; numba's code for other machines than this one goes to a folder of its own."""
    own = {} if machine == "native" or cache is None else {"NUMBA_CACHE_DIR": str(cache / machine)}
    command = [sys.executable, "-W", "ignore", __file__, *arguments, "--child", machine]
    done = subprocess.run(
        command, env={**os.environ, **environment(machine), **own}, stdout=subprocess.PIPE, check=False
    )
    if done.returncode:
        raise SystemExit(f"{machine} ended with {done.returncode}")
    return [json.loads(line) for line in done.stdout.splitlines() if line.startswith(b"{")]


def main() -> int:
    """Print the table; return 1 if anything differs."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--machines", nargs="+", choices=MACHINES, default=list(MACHINES))
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2, 8])
    parser.add_argument("--memory", nargs="+", default=["200MB", "2GB"])
    parser.add_argument("--executors", nargs="+", choices=EXECUTORS, default=list(EXECUTORS))
    parser.add_argument("--folder", help="where the temporary datasets go")
    parser.add_argument(
        "--cache", type=Path, help="where code for other processors is kept; a temporary folder if not given"
    )
    parser.add_argument("--short", action="store_true", help="few steps and epochs")
    parser.add_argument("--child", choices=MACHINES, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options)
        return 0
    arguments, machines = sys.argv[1:], [one for one in options.machines if can_play(one)]
    with tempfile.TemporaryDirectory() as folder:
        cases = {machine: run(machine, arguments, options.cache or Path(folder)) for machine in machines}
    rows, wrong = [], 0
    for source in options.sources:
        first = next(one["digests"] for one in cases[machines[-1]] if one["source"] == source)
        for machine, found in cases.items():
            own = [one for one in found if one["source"] == source]
            other = {n for one in own for n in {*one["digests"], *first} if one["digests"].get(n) != first.get(n)}
            equal = sum(one["digests"] == first for one in own)
            wrong += len(own) - equal
            rows.append([Path(source).name, machine, f"{equal} of {len(own)}", ", ".join(sorted(other)) or "none"])
    print(markdown(("source", "processor", "cases that are equal", "results that differ"), rows))
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
