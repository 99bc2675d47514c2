"""Steps that made a dataset, as the command lines that make it again."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from kithkin.core.dataset import Dataset
from kithkin.core.dataset import open as open_dataset
from kithkin.core.errors import KithkinError
from kithkin.core.history import Entry

COMMANDS = {"read": "convert"}  # verbs whose command has another name
PARTS = {"paris_tree", "publish"}  # steps of which another verb is the command, or that make no result
OWN_KEYS = {"quality", "explain", "enrich", "neighborhood_enrichment", "card"}  # named by what is read
DIGEST = re.compile(r" [0-9a-f]{20}$")  # ends what stands for arrays and files in a record
NONE = "none"  # typed where Python would say None
SOURCE = "SOURCE"  # stands for a file whose name is not recorded

Signature = Callable[[str], inspect.Signature]


def steps_of(ds: Dataset, signature: Signature) -> list[dict[str, Any]]:
    """List the steps that made a dataset, those of the dataset before filtering first, with their command lines.

    Parameters
    ----------
    ds
        The dataset.
    signature
        Gives the signature of a verb, by whose defaults it is decided what a command line must say.
    """
    out = []
    parent = parent_of(ds)
    if parent is not None:
        out += [
            step for step in steps_of(parent, signature) if step["verb"] in ("read", "append", "quality", "annotate")
        ]
    for entry in ds.lineage.entries:
        if parent is not None and entry.verb == "quality" and not entry.seconds:
            continue  # of the dataset before filtering, taken along
        out.append(step_of(entry, ds, parent, signature))
    return out


def parent_of(ds: Dataset) -> Dataset | None:
    """Open the dataset beside this one of which it is a subset; None if it is not one, or the other is gone."""
    name = str(ds.read("uns/subset").get("parent", "")) if "uns/subset" in ds else ""
    path = ds.path.with_name(name) if name else ds.path
    if path == ds.path or not path.exists():
        return None
    try:
        before = open_dataset(path)
    except KithkinError:
        return None
    made_from = next((entry.inputs.get("file:parent") for entry in ds.lineage.entries if entry.verb == "subset"), None)
    return before if before.lineage.identity("X") == made_from else None


def step_of(entry: Entry, ds: Dataset, parent: Dataset | None, signature: Signature) -> dict[str, Any]:
    """Describe one step."""
    line = command_of(entry, ds.path.name, parent.path.name if parent is not None else SOURCE, signature)
    step = {"verb": entry.verb, "outputs": entry.outputs, "command": line, "seconds": entry.seconds}
    step |= {"current": not ds.lineage.is_stale(entry), "finished": entry.finished, "parameters": entry.parameters}
    return step | ({"peak": entry.peak} if entry.peak else {})


def command_of(entry: Entry, name: str, source: str, signature: Signature) -> str:
    """Write the command line of a step; "" where it is part of another one.

    A comment at its end names what was given as an array or in a file, of which the record has a hash only.

    Parameters
    ----------
    entry
        Record of the step.
    name
        Name of the dataset.
    source
        What an import or a filter reads, where its record does not name it.
    signature
        Gives the signature of a verb.

    Examples
    --------
    >>> import kithkin as kk
    >>> entry = Entry("leiden", 1, {"resolution": 2.0, "seed": 0}, {}, ["obs/fine"], "", 0.1)
    >>> command_of(entry, "my cells.zarr", "", lambda verb: inspect.signature(getattr(kk, verb)))
    "kithkin leiden 'my cells.zarr' --resolution 2.0 --key obs/fine"
    """
    if not entry.verb or entry.verb in PARTS:
        return ""
    try:
        parameters = signature(entry.verb).parameters
    except AttributeError:
        return ""
    writes = entry.verb in ("read", "subset")
    command = COMMANDS.get(entry.verb, entry.verb).replace("_", "-")
    read = (entry.source or shlex.quote(source)) if writes else shlex.quote(name)
    words: list[str] = []
    given = dict(entry.parameters)
    if entry.verb == "pseudotime":  # as it was given: a number, a name or a condition
        given["root"] = given.pop("from", given.get("root"))
    if writes:
        given["to"] = name
    elif "key" in parameters and entry.verb not in OWN_KEYS:
        given["key"] = key_of(entry, parameters["key"].default)
    unknown = []
    for key, value in given.items():
        if key not in parameters or is_default(value, parameters[key].default):
            continue
        if isinstance(value, str) and DIGEST.search(value):
            unknown.append(f"{key} ({DIGEST.sub('', value)})")
        else:
            words += option_of(key, value)
    said = f"  # not recorded, as it was given in Python or in a file: {', '.join(unknown)}" if unknown else ""
    return " ".join(["kithkin", command, read, *map(shlex.quote, words)]) + said


def key_of(entry: Entry, default: Any) -> str:
    """Find the key that was given to a step: its first result, or the name by which all of its results are called.

    Examples
    --------
    >>> outputs = ["obsp/fine_connectivities", "obsp/fine_distances", "uns/fine"]
    >>> key_of(Entry("neighbors", 1, {}, {}, outputs, "", 0.0), "neighbors")
    'fine'
    """
    named = isinstance(default, str) and default != "auto" and "/" not in default
    records = [key.removeprefix("uns/") for key in entry.outputs if key.startswith("uns/")]
    return records[0] if named and records else entry.outputs[0]


def is_default(value: Any, default: Any) -> bool:
    """Tell whether an option need not be said; a column of obs may be named without its place."""
    if isinstance(default, tuple):
        default = list(default)
    return bool(value == default or (isinstance(value, str) and value == f"obs/{default}"))


def option_of(key: str, value: Any) -> list[str]:
    """Write an option as words of a command line.

    Examples
    --------
    >>> option_of("n_clusters", 4), option_of("scale", False), option_of("groups", {"both": ["0", "1"]})
    (['--n-clusters', '4'], ['--no-scale'], ['--groups', 'both=0,1'])
    """
    flag = f"--{key.strip('_').replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no{flag[1:]}"]
    if isinstance(value, list):
        return [word for one in value for word in (flag, str(one))]
    if isinstance(value, Mapping):
        listed = {name: ",".join(map(str, one)) if isinstance(one, list) else one for name, one in value.items()}
        return [word for name, one in listed.items() for word in (flag, f"{name}={one}")]
    return [flag, NONE if value is None else str(value)]
