"""Mutants: damaged inputs of every format, each refused in a sentence or read as it is.

    python benchmarks/mutants.py [--format NAME ...] [--n 300] [--seed 0] [--jobs 1] [--json FILE]
    python benchmarks/mutants.py --only h5ad:17

Small valid inputs are changed by `mutant_changes`, and tried in a worker process that is replaced when it dies or does
not answer for 20 s. `--only` tries one mutant in this process and shows the whole traceback. Linux only.

Outcomes: refused (one of kithkin's errors, in one sentence), equal (accepted, and the totals of X are those of another
library or of the original), unheld (accepted with other totals, and no library to hold them against). Defects:
different (another library reads other totals; of kithkin's own datasets: anything read that was not written), message
(an error of several lines, or none), traceback (any other exception), crash, hang, memory (beyond the budget and
450 MB), left (something stays beside the destination). The exit status is 1 if there is a defect.
"""

from __future__ import annotations

import argparse
import contextlib
import faulthandler
import json
import math
import multiprocessing
import os
import queue
import re
import resource
import shutil
import sys
import tempfile
import threading
import time
import traceback
import zlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

GOOD = ("refused", "equal", "unheld")
DEFECTS = ("different", "message", "traceback", "crash", "hang", "memory", "left")
SECONDS = {"ready": 300.0, "begun": 60.0, "tried": 20.0, "held": 20.0}
BEYOND_BUDGET = (100 + 450) * 10**6  # the budget is MEMORY of mutant_inputs
ADDRESSES = 4 * 10**9  # that a mutant may reserve before it is told that there is no memory
LONGEST_SENTENCE = 600
FRAME = re.compile(r'/kithkin/(\S+\.py)", line \d+,? in (\S+)')


@dataclass
class Outcome:
    """What became of one mutant."""

    format: str
    seed: int
    outcome: str = "refused"
    kind: str = ""
    frame: str = ""
    message: str = ""
    change: str = ""


def prepared(name: str, folder: Path) -> Path:
    """The valid input of a format, made on first use."""
    from mutant_inputs import KINDS

    place, listed = folder / "inputs" / name, folder / "inputs" / f"{name}.path"
    if not listed.exists():
        shutil.rmtree(place, ignore_errors=True)
        place.mkdir(parents=True)
        listed.write_text(str(KINDS[name].make(place)))
    return Path(listed.read_text())


def mutant(name: str, seed: int, folder: Path) -> tuple[Path, Path, str]:
    """A damaged copy of the input, an empty folder for what is written, and what was changed."""
    import numpy as np

    from mutant_changes import damage

    source, work = prepared(name, folder), folder / f"work-{os.getpid()}"
    shutil.rmtree(work, ignore_errors=True)
    (work / "in").mkdir(parents=True)
    (work / "out").mkdir()
    copy = work / "in" / source.name
    (shutil.copytree if source.is_dir() else shutil.copyfile)(source, copy)
    change = damage(copy, np.random.default_rng([zlib.crc32(name.encode()), seed]))
    return copy, work / "out", change


# ---- in the worker


def _peak(mark: str) -> int:
    status = Path("/proc/self/status").read_text()
    return int(status.partition(f"{mark}:")[2].split()[0]) * 1024


def innermost_frame(error: BaseException) -> str:
    """File and function of kithkin in which an exception was raised or passed through last."""
    frames = FRAME.findall("".join(traceback.format_tb(error.__traceback__)))
    return ":".join(frames[-1]) if frames else "outside"


def attempt(name: str, path: Path, out: Path) -> tuple[dict[str, str], Any]:
    """Read a mutant: the outcome if it is settled, and what was found."""
    import kithkin as kk
    from mutant_inputs import KINDS

    Path("/proc/self/clear_refs").write_text("5")
    before, found, said = _peak("VmRSS"), None, {"outcome": "equal"}
    try:
        found = KINDS[name].read(path, out / "out.zarr")
    except kk.KithkinError as error:
        sentence = 0 < len(str(error)) <= LONGEST_SENTENCE and "\n" not in str(error)
        said = {"outcome": "refused" if sentence else "message"} | _about(error)
    except MemoryError as error:
        said = {"outcome": "memory"} | _about(error)
    except BaseException as error:  # compiled code raises its panics above Exception
        said = {"outcome": "traceback"} | _about(error)
    beyond = _peak("VmHWM") - before
    left = sorted(p.name for p in out.iterdir() if not (p.name == "out.zarr" and said["outcome"] == "equal"))
    if beyond > BEYOND_BUDGET and said["outcome"] in ("refused", "equal"):
        said = {"outcome": "memory", "kind": f"{beyond // 10**6} MB"}
    elif left and said["outcome"] in ("refused", "equal"):
        said |= {"outcome": "left", "kind": re.sub(r"[0-9a-f]{6,}", "*", ", ".join(left))}
    return said, found


def _about(error: BaseException) -> dict[str, str]:
    return {"kind": type(error).__name__, "frame": innermost_frame(error), "message": str(error)[:300]}


def serve(pipe: Any, folder: Path) -> None:
    """Answer for one mutant after the other, in four messages: ready, begun, tried, held."""
    with (folder / f"trace-{os.getpid()}").open("w", buffering=1) as traces:
        faulthandler.enable(traces)
        try:
            _serve(pipe, folder, traces)
        except BaseException:
            traceback.print_exc(file=traces)
            raise


def _serve(pipe: Any, folder: Path, traces: Any) -> None:
    from mutant_inputs import KINDS

    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, 1)
    os.dup2(silence, 2)
    originals: dict[str, Any] = {}
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while True:
        name, seed = pipe.recv()
        if name not in originals:  # imports and compiled code first, without a limit
            resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY,) * 2)
            with tempfile.TemporaryDirectory(dir=folder) as scratch:
                originals[name] = KINDS[name].read(prepared(name, folder), Path(scratch) / "out.zarr")
            resource.setrlimit(resource.RLIMIT_AS, (_peak("VmSize") + ADDRESSES, resource.RLIM_INFINITY))
        pipe.send(originals[name])
        path, out, change = mutant(name, seed, folder)
        pipe.send(change)
        faulthandler.dump_traceback_later(SECONDS["tried"] - 1, file=traces)
        said, found = attempt(name, path, out)
        faulthandler.cancel_dump_traceback_later()
        pipe.send((said, found))
        held = None
        if said["outcome"] == "equal" and KINDS[name].hold is not None and found != originals[name]:
            with contextlib.suppress(Exception):
                held = KINDS[name].hold(path)
        pipe.send(originals[name] if KINDS[name].sealed else held)


# ---- around the worker


class Worker:
    """A process that tries mutants, and is replaced when it has died.

    Parameters
    ----------
    folder
        For inputs and mutants.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._process: Any = None

    def _start(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, self._folder), daemon=True)
        self._process.start()
        theirs.close()

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.join()
            shutil.rmtree(self._folder / f"work-{self._process.pid}", ignore_errors=True)
            self._process = None

    def _frame(self) -> str:
        found = FRAME.search((self._folder / f"trace-{self._process.pid}").read_text())
        return ":".join(found.groups()) if found else "outside"

    def ask(self, name: str, seed: int) -> Outcome:
        """Try one mutant."""
        if self._process is None:
            self._start()
        outcome, answers = Outcome(name, seed), dict[str, Any]()
        try:
            self._pipe.send((name, seed))
            for step, seconds in SECONDS.items():
                if not self._pipe.poll(seconds):
                    raise TimeoutError
                answers[step] = self._pipe.recv()
        except (TimeoutError, EOFError, OSError) as error:
            hung = isinstance(error, TimeoutError)
            if "tried" not in answers:
                self._process.join(1)
                if "begun" not in answers:
                    said = (self._folder / f"trace-{self._process.pid}").read_text()
                    raise RuntimeError(f"{name}: its valid input cannot be read, or not be changed\n{said}") from error
                outcome.outcome, outcome.frame = "hang" if hung else "crash", self._frame()
                outcome.kind = "20 s" if hung else f"signal {-(self._process.exitcode or 0)}"
            self.close()  # else the other library died of it, and holds nothing
        return _settled(outcome, answers)


def _settled(outcome: Outcome, answers: dict[str, Any]) -> Outcome:
    outcome.change = answers.get("begun", "")
    if "tried" not in answers:
        return outcome
    said, found = answers["tried"]
    for name, value in said.items():
        setattr(outcome, name, value)
    held = answers.get("held")
    if outcome.outcome == "equal" and not _same(found, answers["ready"]):
        outcome.outcome = "unheld" if held is None else "equal" if _same(found, held) else "different"
        outcome.message = f"{_short(found)} but {_short(held)}" if held is not None else ""
        if outcome.outcome == "different":
            outcome.kind = "totals" if isinstance(found, list) else ", ".join(_differing(found, held))
    return outcome


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list) and all(isinstance(value, float) for value in (*a, *b)):
        return all(math.isclose(x, y, rel_tol=1e-6, abs_tol=1e-9) for x, y in zip(a, b, strict=True))
    return bool(a == b)


def _differing(found: dict[str, Any], held: dict[str, Any]) -> list[str]:
    return [key for key in sorted({*found, *held}) if found.get(key) != held.get(key)][:4]


def _short(value: Any) -> str:
    return str(value) if isinstance(value, list) else "other values"


def run(names: Iterable[str], seeds: range, jobs: int, folder: Path) -> list[Outcome]:
    """Try mutants of some formats with a number of workers."""
    waiting: queue.SimpleQueue[tuple[str, int]] = queue.SimpleQueue()
    for name in names:
        for seed in seeds:
            waiting.put((name, seed))
    outcomes: list[Outcome] = []

    def work() -> None:
        worker = Worker(folder)
        while True:
            try:
                name, seed = waiting.get_nowait()
            except queue.Empty:
                break
            outcome = worker.ask(name, seed)
            if outcome.outcome in ("crash", "hang"):  # once more, in a process that no other mutant has been in
                worker.close()
                again = worker.ask(name, seed)
                if again.outcome == outcome.outcome:
                    outcome = again
                elif outcome.outcome == "hang":
                    outcome = again  # the machine was busy
                else:
                    outcome.kind += ", not by itself"
            outcomes.append(outcome)
            if len(outcomes) % 100 == 0:
                print(f"{len(outcomes)} mutants, {waiting.qsize()} to go", file=sys.stderr, flush=True)
        worker.close()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return outcomes


# ---- what is shown


def show(outcomes: list[Outcome], seconds: float) -> None:
    """Print the outcomes of each format, and each kind of defect with one mutant that shows it."""
    names, counts = list(dict.fromkeys(o.format for o in outcomes)), Counter((o.format, o.outcome) for o in outcomes)
    print(f"{'format':<12}" + "".join(f"{outcome:>10}" for outcome in (*GOOD, *DEFECTS)))
    for name in names:
        print(f"{name:<12}" + "".join(f"{counts[name, outcome]:>10}" for outcome in (*GOOD, *DEFECTS)))
    defects = [o for o in outcomes if o.outcome in DEFECTS]
    print(f"\n{len(outcomes)} mutants in {seconds:.0f} s, {len(defects)} defects")
    groups: dict[tuple[str, str, str], list[Outcome]] = {}
    for o in defects:
        groups.setdefault((o.outcome, o.kind, o.frame), []).append(o)
    for (outcome, kind, frame), members in sorted(groups.items(), key=lambda item: -len(item[1])):
        first = members[0]
        formats = ", ".join(f"{name} {n}" for name, n in Counter(o.format for o in members).items())
        print(f"{len(members):5}  {outcome}: {kind} in {frame or '-'}   ({formats})")
        print(f"       {first.format}:{first.seed}   {first.change}   {' '.join(first.message.split())[:160]}")


def show_one(name: str, seed: int, folder: Path) -> int:
    """Try one mutant in this process, and show what it does."""
    from mutant_inputs import KINDS

    faulthandler.enable()
    faulthandler.dump_traceback_later(SECONDS["tried"])
    path, out, change = mutant(name, seed, folder)
    print(f"{name}:{seed}   {change}   in {path}", flush=True)
    try:
        found = KINDS[name].read(path, out / "out.zarr")
    except BaseException:
        traceback.print_exc()
        print("beside the destination:", [p.name for p in out.iterdir()])
        return 1
    hold = KINDS[name].hold
    print("accepted:", found, "\noriginal:", KINDS[name].read(prepared(name, folder), out / "original.zarr"))
    print("held    :", hold(path) if hold else "by nobody")
    return 0


def main() -> int:
    """Read the arguments, try the mutants and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--format", nargs="+", metavar="NAME")
    parser.add_argument("--n", type=int, default=300, help="mutants of each format")
    parser.add_argument("--seed", type=int, default=0, help="mutants have the seeds from n * SEED on")
    parser.add_argument("--jobs", type=int, default=1, help="worker processes")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every outcome")
    parser.add_argument("--only", metavar="FORMAT:SEED", help="one mutant, with the whole traceback")
    options = parser.parse_args()
    began = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        if options.only:
            name, _, seed = options.only.partition(":")
            return show_one(name, int(seed), Path(folder))
        from mutant_inputs import KINDS

        unknown = sorted({*(options.format or ())} - {*KINDS})
        if unknown:
            parser.error(f"unknown: {', '.join(unknown)}; formats are {', '.join(KINDS)}")
        seeds = range(options.n * options.seed, options.n * (options.seed + 1))
        outcomes = run(options.format or KINDS, seeds, options.jobs, Path(folder))
    show(outcomes, time.perf_counter() - began)
    if options.json:
        options.json.write_text(json.dumps([asdict(o) for o in outcomes], indent=1))
    return int(any(o.outcome in DEFECTS for o in outcomes))


if __name__ == "__main__":
    sys.exit(main())
