"""Results of a dataset or a page, made again from the source and compared bit by bit."""

from __future__ import annotations

import inspect
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from kithkin.core.argument_types import wrong_type
from kithkin.core.content import content_of
from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError, brief, check, listed
from kithkin.core.history import Entry, present_versions
from kithkin.core.records import Recorded, Records, is_page, records_of, records_on
from kithkin.core.replay import PARTS, arguments_of
from kithkin.metrics.difference import difference
from kithkin.verbs.read import read
from kithkin.verbs.subset import subset

Say = Callable[[str], None]
# verbs whose steps are taken again; no other name of a record is looked at
AGAIN = {
    "cell_cycle",
    "composition",
    "contrast",
    "count_mixture",
    "deep_clusters",
    "diffusion_map",
    "doublets",
    "enrich",
    "explain",
    "graph_score",
    "harmonize",
    "kmeans",
    "latent",
    "latent_clusters",
    "leiden",
    "markers",
    "merge_labels",
    "mixing",
    "neighbors",
    "paris",
    "pca",
    "propagate",
    "pseudotime",
    "quality",
    "relabel",
    "scale",
    "score",
    "smooth",
    "spatial_neighbors",
    "support",
    "topics",
    "umap",
    "variable_genes",
}
ELSEWHERE = {
    "annotate": "its values were given by hand or in a file",
    "append": "further samples were appended",
    "read_image": "it was made of an image and a mask",
    "split": "it changed labels that another step had made",
    "apply": "the card is not in the record",
    "map_to": "the reference is not in the record",
}
FILES = ("Path", "Callable", "Executor")  # in the type of a parameter that no record may give


def verify(
    target: str | Path | Dataset,
    *,
    against: str | Sequence[str] | Any,
    memory: str | int | None = None,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | None = None,
    say: Say | None = None,
) -> pd.DataFrame:
    """Make results again from their source, and compare them bit by bit with those of a dataset or a page.

    Every recorded step is taken again in a temporary dataset, with the parameters of the record. A page gives the
    hash of each result, so that one that differs is only said to differ. Nothing that a target says is run or opened:
    of a record count the names of known verbs and their parameters, and no path of it is read. On every x86-64
    processor equal results are the same bits, with equal versions of the packages.

    Parameters
    ----------
    target
        A dataset, on disk or in a ZIP file, or a page that `kithkin.report` wrote.
    against
        The source from which the target was made: a file, a folder, or a dataset; several samples one by one. In Python
        also an object in memory.
    memory
        Budget for what is held at a time, such as "2GB".
    threads
        Threads of this process; one for each processor by default.
    executor
        Any concurrent.futures.Executor for the work on blocks.
    progress
        Progress bars; by default they are shown on a terminal only.
    say
        Function such as print, called with a line after each step.

    Returns
    -------
    DataFrame
        One row for each result: result, step, state ("equal", "different", "not re-run"), and how: in what it differs,
        or why it was not made again. `attrs["text"]` says it in lines, `attrs["versions"]` lists the packages that had
        another version at the time.

    Raises
    ------
    FormatError
        If the target is a page without records.
    KithkinError
        If the target or the source cannot be opened.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> counts, folder = kk.datasets.simulate_counts(80, 60, 2), tempfile.mkdtemp()
    >>> ds = kk.read(counts, to=folder + "/a.zarr")
    >>> _ = kk.pca(ds, 5, genes=None), kk.kmeans(ds, 2)
    >>> table = kk.verify(ds, against=counts)
    >>> set(table["state"]), "obs/kmeans" in set(table["result"])
    ({'equal'}, True)
    >>> ds.write({"obs/kmeans": ["0"] * 80})
    >>> table = kk.verify(kk.report(ds, folder + "/a.html"), against=counts)
    >>> "obs/kmeans" in set(table["result"])
    False
    """
    recorded = records_in(target)
    check(len(recorded.steps) > 0, f"{recorded.name} has no records: no step of kithkin made it")
    execution = {"memory": memory, "threads": threads, "executor": executor, "progress": progress}
    with tempfile.TemporaryDirectory(prefix="kithkin-verify-") as folder:
        one = isinstance(against, tuple) and len(against) == 1
        again = Rerun(Path(folder), against[0] if one else against, execution, say or (lambda _: None))
        for step in recorded.steps:
            again.take(step)
        made = again.datasets.get(recorded.name)
        rows = [row_of(key, recorded, again, made) for key in recorded.contents]
    table = pd.DataFrame(rows, columns=["result", "step", "state", "how"])
    table.attrs["versions"] = other_versions(recorded)
    table.attrs["text"] = lines_of(table)
    return table


def records_in(target: Any) -> Records:
    """Read the records of a dataset, at a path or open, or of a page."""
    if isinstance(target, Dataset):
        return records_of(target)
    right = isinstance(target, (str, Path))
    check(right, f"target must be a dataset, or a dataset or page at a path, got {brief(target)}")
    path = Path(target).expanduser()
    return records_on(path) if is_page(path) else records_of(open_dataset(target))


@dataclass
class Rerun:
    """Steps that are taken again, and why others were not.

    datasets: those that were made again, by the names of the recorded ones. missing: reason by dataset and key.
    """

    folder: Path
    against: Any
    execution: dict[str, Any]
    say: Say
    datasets: dict[str, Dataset] = field(default_factory=dict)
    missing: dict[tuple[str, str], str] = field(default_factory=dict)

    def take(self, step: Recorded) -> None:
        """Take a step again, or note for each of its results why not."""
        entry, began = step.entry, time.perf_counter()
        if entry.verb in PARTS:
            return
        try:
            reason = self.attempt(step)
        except (KithkinError, TypeError, ValueError, ArithmeticError, LookupError, OSError, MemoryError) as error:
            if not self.datasets:  # the source itself: there is nothing to compare with
                raise
            reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        self.say(
            f"{entry.verb:<16} {f'not taken again: {reason}' if reason else f'{time.perf_counter() - began:7.1f} s'}"
        )
        if reason:
            self.missing |= {(step.dataset, key): reason for key in entry.outputs}

    def attempt(self, step: Recorded) -> str:
        """Take a step; return why it cannot be, or ""."""
        entry, made = step.entry, self.datasets.get(step.dataset)
        if entry.verb in ("read", "subset"):
            return self.make(step) if made is None else "X was made of more than one import"
        if entry.verb not in AGAIN:
            return ELSEWHERE.get(entry.verb, f"{brief(entry.verb)} is no step that can be taken again")
        if made is None:
            return "the table was not made again"
        if not step.current:
            return "what it was made from has changed since"
        function = getattr(import_module(f"kithkin.verbs.{entry.verb}"), entry.verb)
        arguments, reason = checked_arguments(entry, function)
        if not reason:
            function(made, **arguments)
        return reason

    def make(self, step: Recorded) -> str:
        """Import the source, or filter what was made before."""
        function = read if step.entry.verb == "read" else subset
        arguments, reason = checked_arguments(step.entry, function)
        if reason:
            return reason
        to = self.folder / f"{len(self.datasets)}.zarr"
        if function is read:
            made = read(self.against, **arguments, to=to, **self.execution)
        else:
            before = next(reversed(self.datasets.values()), None)
            if before is None:  # the dataset that was filtered is gone, and with it how it was imported
                before = read(self.against, to=self.folder / "source.zarr", **self.execution)
            made = subset(before, **arguments, to=to)
        self.datasets[step.dataset] = made
        return ""


def checked_arguments(entry: Entry, function: Callable[..., Any]) -> tuple[dict[str, Any], str]:
    """Take the arguments of a step from its record, unless one is not in it, of a wrong type or could name a file.

    Examples
    --------
    >>> from kithkin.verbs.score import score
    >>> entry = Entry("score", 2, {"sets": "/etc/passwd"}, {}, ["obsm/scores"], "", 0.0)
    >>> checked_arguments(entry, score)[1]
    'sets was given in a file'
    """
    parameters = inspect.signature(function).parameters
    arguments, unknown = arguments_of(entry, parameters)
    if unknown:
        return {}, f"{listed(unknown, quoted=False)} was given in Python or in a file"
    for name, value in arguments.items():
        annotation = str(parameters[name].annotation)
        if isinstance(value, str) and any(word in annotation for word in FILES):
            return {}, f"{name} was given in a file"
    return arguments, wrong_type(function, arguments)


def row_of(key: str, recorded: Records, again: Rerun, made: Dataset | None) -> tuple[str, str, str, str]:
    """Compare one result."""
    step = recorded.makers.get(key)
    verb = step.entry.verb if step is not None else ""
    reason = again.missing.get((recorded.name, key), "")
    if not reason and (made is None or key not in made):
        reason = "it was not made again"
    if not reason and step is not None and not step.current:
        reason = "what it was made from has changed since"
    if reason or made is None:
        return key, verb, "not re-run", reason
    if content_of(made.path, key) == recorded.contents[key]:
        return key, verb, "equal", ""
    source = recorded.source  # of a page there are hashes only
    return key, verb, "different", "" if source is None else difference(source.read(key), made.read(key))


def other_versions(recorded: Records) -> list[str]:
    """List the packages that had another version at the time of a step than now.

    Examples
    --------
    >>> step = Recorded("a.zarr", Entry("pca", 1, {}, {}, ["obsm/X_pca"], "", 0.0, {"numpy": "1.0"}), True)
    >>> other_versions(Records("a.zarr", (step,), {}))[0].partition(", now")[0]
    'numpy 1.0'
    """
    now, then = present_versions(), dict[str, list[str]]()
    for step in recorded.steps:
        for name, version in step.entry.versions.items():
            if now.get(name, version) != version and version not in then.setdefault(name, []):
                then[name].append(version)
    return [f"{name} {' and '.join(before)}, now {now[name]}" for name, before in then.items() if before]


def lines_of(table: pd.DataFrame) -> dict[str, str]:
    """Write a line for each result, one for each package of another version, and a sum, by what they are about.

    Examples
    --------
    >>> rows = [("obs/leiden", "leiden", "equal", ""), ("obs/mine", "annotate", "not re-run", "given by hand")]
    >>> list(lines_of(pd.DataFrame(rows, columns=["result", "step", "state", "how"])).values())
    ['equal       obs/leiden', 'not re-run  obs/mine: given by hand', '1 equal, 0 different, 1 not re-run']
    """
    rows = zip(table["result"], table["state"], table["how"], strict=True)
    texts = {str(result): f"{state:<11} {result}{f': {how}' if how else ''}" for result, state, how in rows}
    texts |= {one: f"version     {one}" for one in table.attrs.get("versions", [])}
    counts = ", ".join(f"{(table['state'] == state).sum()} {state}" for state in ("equal", "different", "not re-run"))
    return texts | {"": counts}
