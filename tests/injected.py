"""Faults of the system at the k-th call: the old value or the new one is whole, and nothing is left behind.

    python tests/injected.py [--all | --step N] [--operation NAME ...] [--kind NAME ...] [--error NAME ...]
        [--plain-renames] [--json FILE]
    python tests/injected.py --only cut:rename:EIO:2

Every call of an operation that opens, writes, renames, flushes, makes, removes or locks something in its folder counts
(`faults.py`). Then the operation runs again in a forked process in which call k fails with ENOSPC (all calls of
that kind from k on), EIO or EACCES. Afterwards the old or the new value must be there as kithkin, `kk.check` and
anndata read it, nothing beside it, no descriptor open, and the same call must give what an uninterrupted one gives.
Zarr's own codecs are used, as calls of compiled ones cannot be made to fail from here. Linux only.
"""

# ruff: noqa: E402, T201  (a package is hidden before kithkin is imported; it reports on the terminal)

from __future__ import annotations

import argparse
import errno
import gc
import json
import logging
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
import traceback
import warnings
import zlib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anndata
import numpy as np
import pandas as pd
import zarr.registry
from scipy import sparse

import faults

zarr.registry.get_pipeline_class()  # loads what is registered, of which this package is then hidden:
sys.modules["zarrs"] = None  # type: ignore[assignment]  # its writes are compiled, and no call of Python could fail

import kithkin as kk

ERRORS = ("ENOSPC", "EIO", "EACCES")
SECONDS = 60.0  # after which an operation is taken to hang
QUIET: dict[str, Any] = {"threads": 1, "progress": False}
DEFECTS = ("neither", "silent", "left", "descriptors", "again", "traceback", "crash", "hang")


@dataclass(frozen=True)
class Operation:
    """What is done in a folder, with what is there before.

    Attributes
    ----------
    prepare
        Writes the inputs, and the old value if there is one.
    run
        The call that is made to fail.
    read
        Digests of what is at the destination.
    """

    prepare: Callable[[Path], Any]
    run: Callable[[Path], Any]
    read: Callable[[Path], Any]


@dataclass
class Case:
    """One fault and what became of it."""

    operation: str
    kind: str
    error: str
    k: int
    defects: list[str] = field(default_factory=list)
    raised: str = ""
    said: str = ""

    def __str__(self) -> str:
        return f"{self.operation}:{self.kind}:{self.error}:{self.k}"


# ---- operations


def _counts(folder: Path) -> Path:
    adata = kk.datasets.simulate_counts(n_cells=120, n_genes=60, n_groups=3, seed=0)
    adata.layers["twice"] = adata.X * 2
    adata.write_h5ad(folder / "counts.h5ad")
    return folder / "counts.h5ad"


def _clustered(folder: Path) -> kk.Dataset:
    ds = kk.read(_counts(folder), to=folder / "a.zarr", **QUIET)
    kk.pca(ds, 5, genes=None)
    kk.neighbors(ds, 8)
    kk.leiden(ds, resolution=0.5)
    return ds


def _converted(folder: Path) -> None:
    kk.read(_counts(folder), to=folder / "a.zarr", **QUIET)


def _counted(folder: Path) -> None:
    ds = kk.read({"a": _counts(folder)}, to=folder / "a.zarr", **QUIET)
    kk.pca(ds, 5, genes=None)


def _images(folder: Path) -> None:
    import tifffile

    labels = np.zeros((60, 60), np.uint16)
    for k, (y, x) in enumerate(np.ndindex(5, 5)):
        labels[10 * y + 4 : 10 * y + 10, 10 * x + 4 : 10 * x + 9] = k + 1
    tifffile.imwrite(folder / "image.tif", (np.arange(2 * 60 * 60).reshape(2, 60, 60) % 251).astype(np.uint8))
    tifffile.imwrite(folder / "labels.tif", labels)
    _cut(folder, 6)


def _cut(folder: Path, window_size: int) -> Any:
    return kk.images.cut(
        folder / "image.tif",
        folder / "labels.tif",
        to=folder / "cells.zarr",
        window_size=window_size,
        masks=True,
        cells_per_chunk=5,
        overwrite=True,
        **QUIET,
    )


def _existing(folder: Path) -> None:
    kk.read(np.eye(5), to=folder / "a.zarr", **QUIET)
    _counts(folder)


def _dataset(path: Path) -> Any:
    """Digests of a dataset as kithkin and anndata read it, and what `check` says."""
    if not path.exists() and not list(path.parent.glob(f".{path.name}*")):
        return "absent"
    try:
        ds = kk.open(path, **QUIET)
    except kk.KithkinError:
        return "absent" if not path.exists() else "cannot be opened"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        adata = anndata.read_zarr(path)
    theirs = {name: digest(getattr(adata, name)) for name in ("X", "obs", "var", "layers", "obsm", "obsp", "uns")}
    theirs["uns"].pop("kithkin", None)
    ours = {key: digest(ds.read(key)) for key in sorted(ds.keys())}
    return {"ours": ours, "theirs": theirs, "check": kk.check(ds), "files": _files(path)}


def _files(path: Path) -> list[str]:
    return sorted(file.relative_to(path).as_posix() for file in path.rglob("*"))


def _thumbnails(path: Path) -> Any:
    """Digests of an array of thumbnails, its masks and its table."""
    cells = kk.images.open_thumbnails(path)
    mask = path.with_name(f"{path.stem}_mask.zarr")
    arrays = {place.name: digest(zarr.open_array(place, mode="r")[...]) for place in (path, mask)}
    return arrays | {"table": digest(cells.cells), "files": _files(path), "mask files": _files(mask)}


def digest(value: Any) -> Any:
    """A number for an array, matrix, column or table, and for each part of a mapping."""
    if isinstance(value, Mapping):
        return {str(key): digest(item) for key, item in value.items()}
    if isinstance(value, pd.DataFrame):
        return {"": digest(value.index)} | {str(name): digest(value[name]) for name in value.columns}
    if sparse.issparse(value):
        return [list(value.shape), *(digest(part) for part in (value.data, value.indices, value.indptr))]
    array = np.asarray(value)
    if array.dtype.kind in "biufV":
        return [str(array.dtype), list(array.shape), zlib.crc32(np.ascontiguousarray(array).tobytes())]
    return zlib.crc32("\0".join(map(str, array.ravel())).encode())


OPERATIONS = {
    "convert": Operation(
        _counts,
        lambda folder: kk.read(folder / "counts.h5ad", to=folder / "a.zarr", overwrite=True, **QUIET),
        lambda folder: _dataset(folder / "a.zarr"),
    ),
    "overwrite": Operation(
        _existing,
        lambda folder: kk.read(folder / "counts.h5ad", to=folder / "a.zarr", overwrite=True, **QUIET),
        lambda folder: _dataset(folder / "a.zarr"),
    ),
    "publish": Operation(
        _converted,
        lambda folder: kk.publish(kk.open(folder / "a.zarr", **QUIET), folder / "b.zarr", overwrite=True),
        lambda folder: _dataset(folder / "b.zarr"),
    ),
    "subset": Operation(
        _converted,
        lambda folder: kk.subset(
            kk.open(folder / "a.zarr", **QUIET), cells="n_genes > 10", to=folder / "b.zarr", overwrite=True
        ),
        lambda folder: _dataset(folder / "b.zarr"),
    ),
    "leiden": Operation(
        _clustered,
        lambda folder: kk.leiden(kk.open(folder / "a.zarr", **QUIET), resolution=2.0),
        lambda folder: _dataset(folder / "a.zarr"),
    ),
    "append": Operation(
        _counted,
        lambda folder: kk.append(kk.open(folder / "a.zarr", **QUIET), {"b": folder / "counts.h5ad"}),
        lambda folder: _dataset(folder / "a.zarr"),
    ),
    "cut": Operation(_images, lambda folder: _cut(folder, 8), lambda folder: _thumbnails(folder / "cells.zarr")),
}

KEPT = {".cells.zarr.cut"}  # on a full disk: the next cut goes on from there
REPLACING = ("overwrite", "leiden", "append", "cut")  # what has an old value

# ---- one fault


def apart(work: Callable[[], Any]) -> Any:
    """What a function gives in a forked process; "hang", or "crash" with the signal, where it gives nothing."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)

    def send() -> None:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, 2)
        try:
            theirs.send(work())
        except BaseException:
            theirs.send(f"crash: {traceback.format_exc()[-1500:]}")

    process = context.Process(target=send)
    process.start()
    theirs.close()
    try:
        result = ours.recv() if ours.poll(SECONDS) else "hang"
    except EOFError:
        process.join(5)
        result = f"crash: signal {-(process.exitcode or 0)}"
    finally:
        process.kill()
        process.join()
        ours.close()
    return result


def _listed(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def _descriptors(folder: Path) -> list[str]:
    gc.collect()
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found.append(os.readlink(link))
        except FileNotFoundError:  # the descriptor with which the folder was listed
            continue
    return sorted(path for path in found if path.startswith(str(folder)))


def _state(read: Callable[[Path], Any], folder: Path, known: Mapping[str, Any]) -> str:
    """Which of the known values is there."""
    try:
        found = read(folder)
    except BaseException as error:
        return f"unreadable ({type(error).__name__}: {str(error)[:100]})"
    name = next((name for name, value in known.items() if value == found), None)
    if name is not None:
        return name
    if not isinstance(found, dict) or not isinstance(known["new"], dict):
        return str(found)
    whole = [value for value in known.values() if isinstance(value, dict)]
    parts = [key for key in found if all(found[key] != value.get(key) for value in whole)]
    return f"a mixture, neither old nor new in {', '.join(parts) or 'any one thing'} {found.get('check') or ''}"


def try_fault(case: Case, folder: Path, known: Mapping[str, Any], names: Mapping[str, set[str]], plain: bool) -> None:
    """Run an operation with a fault, look at what is there, run it once more, and note every defect."""
    operation = OPERATIONS[case.operation]

    def work() -> dict[str, Any]:
        out: dict[str, Any] = {"raised": "", "said": ""}
        with faults.injected(folder, case.kind, getattr(errno, case.error), case.k, plain=plain):
            try:
                operation.run(folder)
            except BaseException as error:
                out |= {"raised": type(error).__name__, "ours": isinstance(error, (kk.KithkinError, OSError))}
                out["said"] = str(error) if out["ours"] else traceback.format_exc()[-1000:]
        out["open"], out["beside"] = _descriptors(folder), _listed(folder)
        out["after"] = _state(operation.read, folder, known)
        try:
            operation.run(folder)
            out["again"] = _state(operation.read, folder, known)
        except BaseException as error:
            out["again"] = f"{type(error).__name__}: {str(error)[:150]}"
        out["open again"], out["beside again"] = _descriptors(folder), _listed(folder)
        return out

    found = apart(work)
    if isinstance(found, str):
        case.defects, case.said = [found.partition(":")[0]], found
        return
    case.raised, case.said = found["raised"], " ".join(found["said"].split())
    usual = names["old"] | names["new"]
    left, at_last = found["beside"] - usual, found["beside again"] - usual
    left -= KEPT if case.error == "ENOSPC" else set()
    if "is changed in part" in found["said"]:  # no name could be moved back, and the journal waits for the next opening
        left -= {name for name in left if name.endswith(".kithkin")}
    noted = {
        "neither": "" if found["after"] in known else found["after"],
        "silent": found["after"] if not found["raised"] and found["after"] != "new" else "",
        "left": ", ".join(sorted(at_last or (left if case.kind != "unlink" else ()))),  # what cannot be removed stays
        "descriptors": ", ".join(map(os.path.basename, found["open"] or found["open again"])),
        "again": found["again"] if found["again"] != "new" else "",
        "traceback": found["said"] if found["raised"] and not found["ours"] else "",
    }
    case.defects = [f"{name}: {said}" for name, said in noted.items() if said]


# ---- all faults


def chosen(name: str, counts: Counter[str], options: argparse.Namespace) -> list[Case]:
    """The faults of an operation: one of a few kinds, more where there is an old value; or every k-th call."""
    kinds = options.kind or faults.KINDS
    if options.step:
        calls = [(kind, k) for kind in kinds for k in range(1, counts[kind] + 1, options.step)]
        return [Case(name, kind, error, k) for kind, k in calls for error in options.error or ERRORS]
    few = [("write", "ENOSPC", counts["write"] // 2 + 1), ("rename", "EIO", counts["rename"])]
    few += [("fsync", "EIO", counts["fsync"])]
    if name in REPLACING:
        few += [("lock", "EACCES", 1), ("unlink", "EACCES", counts["unlink"])]
    return [Case(name, kind, error, k) for kind, error, k in few if kind in kinds and 0 < k <= counts[kind]]


def run(options: argparse.Namespace, root: Path) -> list[Case]:
    """Count the calls of every operation, and try faults at some or all of them."""
    only = Case(*options.only.split(":")[:3], int(options.only.split(":")[3])) if options.only else None
    tried = []
    for name in [only.operation] if only else options.operation or OPERATIONS:
        operation, before, folder = OPERATIONS[name], root / f"{name}-before", root / name
        before.mkdir()
        operation.prepare(before)
        shutil.copytree(before, folder)
        known = {"old": operation.read(folder) if name in REPLACING else "absent"}
        names = {"old": _listed(folder)}
        with faults.injected(folder, plain=options.plain_renames) as counted:
            operation.run(folder)
        known["new"], names["new"] = operation.read(folder), _listed(folder)
        print(f"{name}: {dict(sorted(counted.counts.items()))}", file=sys.stderr, flush=True)
        gc.freeze()  # a forked process that collects garbage would copy all that it looks at
        for case in [only] if only else chosen(name, counted.counts, options):
            shutil.rmtree(folder)
            shutil.copytree(before, folder)
            try_fault(case, folder, known, names, options.plain_renames)
            tried.append(case)
    return tried


def show(cases: list[Case], seconds: float) -> None:
    """Print how each operation and kind of call fared, and each kind of defect with a fault that shows it."""
    print(f"{'':<12}" + "".join(f"{kind:>12}" for kind in faults.KINDS) + "     (defects / faults)")
    for name in dict.fromkeys(case.operation for case in cases):
        mine = [[case for case in cases if (case.operation, case.kind) == (name, kind)] for kind in faults.KINDS]
        cells = [f"{sum(bool(case.defects) for case in some)} / {len(some)}" for some in mine]
        print(f"{name:<12}" + "".join(f"{cell:>12}" for cell in cells))
    raised = Counter(case.raised or "nothing" for case in cases)
    names = ", ".join(f"{n} x {name}" for name, n in raised.most_common())
    print(f"\n{len(cases)} faults in {seconds:.0f} s; raised: {names}")
    groups: dict[tuple[str, str, str], list[tuple[Case, str]]] = {}
    for case in cases:
        for defect in case.defects:
            groups.setdefault((defect.partition(":")[0], case.operation, case.kind), []).append((case, defect))
    for (defect, operation, kind), members in sorted(groups.items(), key=lambda item: item[0]):
        errors = ", ".join(f"{n} {error}" for error, n in Counter(case.error for case, _ in members).items())
        print(f"{len(members):5}  {defect} in {operation}, {kind} ({errors}), such as {members[0][0]}")
        print(f"       {members[0][1][:300]}\n       raised {members[0][0].raised}: {members[0][0].said[:200]}")


def main() -> int:
    """Read the arguments, try the faults and print what was found."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--all", action="store_const", const=1, dest="step", help="every call, with every error")
    parser.add_argument("--step", type=int, metavar="N", help="every N-th call, with every error")
    parser.add_argument("--error", nargs="+", choices=ERRORS, metavar="NAME")
    parser.add_argument("--operation", nargs="+", choices=OPERATIONS, metavar="NAME")
    parser.add_argument("--kind", nargs="+", choices=faults.KINDS, metavar="NAME")
    parser.add_argument("--plain-renames", action="store_true", help="as on file systems that cannot exchange names")
    parser.add_argument("--only", metavar="OPERATION:KIND:ERROR:K", help="one fault")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every case")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        cases = run(options, Path(root).resolve())
    show(cases, time.perf_counter() - began)
    if options.json:
        options.json.write_text(json.dumps([vars(case) for case in cases], indent=1))
    return int(any(case.defects for case in cases))


if __name__ == "__main__":
    sys.exit(main())
