"""Requests, bytes and seconds of a published dataset behind a web server of this machine, beside the folder itself.

Run: python benchmarks/publish.py DATASET.zarr [GENE]. The dataset, which has obs/leiden, is published beside itself and
served by a process of its own, with ranges (`tests/web_server.py`). Every figure is from a process of its own, whose
kernels are compiled already; seconds of the processor are those of the reader, without those of the server and without
the import of packages. Each read over HTTP begins with an empty cache.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SERVER = Path(__file__).parents[1] / "tests" / "web_server.py"
TASKS = ("open", "gene", "second gene", "obs", "markers", "check")
REPEATS = 3


def cpu() -> float:
    """Return the seconds of the processor that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def work(task: str, where: str, cache: str, gene: str) -> None:
    """Do one task, and print its seconds; before it begins, the other process is waited for, which counts requests."""
    import anndata.experimental  # noqa: F401  (packages are no part of what is measured)
    import obstore  # noqa: F401
    import zarrs  # noqa: F401

    import kithkin as kk
    import kithkin.core.dataset
    import kithkin.verbs.markers

    more = {"cache": cache} if "://" in where else {}

    def begin() -> tuple[float, float]:
        print("begin", flush=True)
        sys.stdin.readline()
        return cpu(), time.perf_counter()

    start = begin() if task == "open" else (0.0, 0.0)
    ds = kk.open(where, progress=False, **more)
    if task == "second gene":
        ds.genes(gene)
        gene = str(ds.var_names[ds.n_vars // 3])
    if task != "open":
        start = begin()
    if task in ("gene", "second gene"):
        ds.genes(gene)
    elif task == "obs":
        ds.obs  # noqa: B018
    elif task == "markers":
        kk.markers(ds, by="obs/leiden", key=None)
    elif task == "check":
        problems = kk.check(ds)
        assert problems == [], problems
    seconds = {"cpu": cpu() - start[0], "wall": time.perf_counter() - start[1]}
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    seconds["peak"] = int(status.partition("VmHWM:")[2].split()[0]) / 1024  # ru_maxrss begins with that of the parent
    print(json.dumps(seconds), flush=True)


def measure(task: str, where: str, gene: str, server: subprocess.Popen[str] | None) -> dict[str, float]:
    """Do a task in a process of its own, and return its figures."""
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, __file__, "work", task, where, cache, gene]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdin is not None
            assert process.stdout is not None
            assert process.stdout.readline() == "begin\n"
            if server is not None:
                ask(server, "forget")
            process.stdin.write("go\n")
            process.stdin.flush()
            found: dict[str, float] = json.loads(process.stdout.readline())
        return found | (ask(server, "counts") if server is not None else {})


def ask(server: subprocess.Popen[str], what: str) -> dict[str, float]:
    """Ask the server for its counts, or to forget them."""
    assert server.stdin is not None
    assert server.stdout is not None
    server.stdin.write(f"{what}\n")
    server.stdin.flush()
    answer: dict[str, float] = json.loads(server.stdout.readline())
    return answer


def main(path: str, gene: str = "") -> None:
    """Publish a dataset, and print the figures of each task."""
    import kithkin as kk

    ds = kk.open(path, progress=False)
    gene = gene or str(ds.var_names[ds.n_vars // 2])
    target = ds.path.with_name("published.zarr")
    before, began = cpu(), time.perf_counter()
    kk.publish(ds, target, overwrite=True)
    seconds = f"{cpu() - before:.1f} CPU s, {time.perf_counter() - began:.1f} s"
    files = [file for file in target.rglob("*") if file.is_file()]
    own = sum(file.stat().st_size for file in files if file.stat().st_nlink == 1)
    print(
        f"published {ds.n_obs:,} x {ds.n_vars:,}: {seconds}, {len(files)} files, {own / 1e6:.0f} MB beyond the dataset"
    )
    command = [sys.executable, str(SERVER), str(target)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        print(f"{'task':<12} {'where':<7} {'CPU s':>8} {'s':>8} {'MB peak':>8} {'requests':>8} {'MB':>8} {'twice':>6}")
        for task in TASKS:
            for where, place in (("folder", str(target)), ("http", url)):
                measure(task, place, gene, server)  # compiles, and warms what the system keeps of files
                runs = [measure(task, place, gene, server) for _ in range(REPEATS)]
                run = sorted(runs, key=lambda one: one["cpu"])[REPEATS // 2]
                line = f"{task:<12} {where:<7} {run['cpu']:>8.3f} {run['wall']:>8.3f} {run['peak']:>8.0f}"
                print(f"{line} {run['requests']:>8.0f} {run['bytes'] / 1e6:>8.2f} {run['twice']:>6.0f}", flush=True)
        server.stdin.close()


if __name__ == "__main__":
    if sys.argv[1] == "work":
        work(*sys.argv[2:])
    else:
        main(*sys.argv[1:])
