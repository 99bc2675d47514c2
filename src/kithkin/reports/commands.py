"""Command lines of the steps that are recorded."""

from __future__ import annotations

import inspect
import re
import shlex
from collections.abc import Callable, Mapping
from typing import Any

from kithkin.core.history import Entry
from kithkin.core.replay import PARTS, WRITES, arguments_of

COMMANDS = {"read": "convert"}  # verbs whose command has another name
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]+")
NONE = "none"  # typed where Python would say None
SOURCE = "SOURCE"  # stands for a file whose name is not recorded

Signature = Callable[[str], inspect.Signature]


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
    writes = entry.verb in WRITES
    command = COMMANDS.get(entry.verb, entry.verb).replace("_", "-")
    name = f"./{name}" if name.startswith("-") else name
    words = [*(sources_of(entry) or [source])] if writes else [name]
    words += (sources_of(entry) or [SOURCE]) if entry.verb == "append" else []
    given, unknown = arguments_of(entry, parameters)
    for key, value in (given | ({"to": name} if writes else {})).items():
        typed = option_of(key, value)
        unknown += [key] if typed is None else []
        words += typed or []
    said = f"  # to be given in Python or in a file: {', '.join(unknown)}" if unknown else ""
    return " ".join(["kithkin", command, *map(shlex.quote, words)]) + CONTROL.sub(" ", said)


def sources_of(entry: Entry) -> list[str]:
    """List the paths that were imported, as they were given; none where they are not recorded."""
    try:
        return [f"./{path}" if path.startswith("-") else path for path in shlex.split(entry.source)]
    except ValueError:  # no list of paths that kithkin wrote
        return []


def option_of(key: str, value: Any) -> list[str] | None:
    """Write an option as words of a command line; None where names hold what parts them there.

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
        names = [*value, *(part for one in value.values() if isinstance(one, list) for part in map(str, one))]
        if any("," in str(name) for name in names) or any("=" in str(name) for name in value):
            return None
        listed = {name: ",".join(map(str, one)) if isinstance(one, list) else one for name, one in value.items()}
        return [word for name, one in listed.items() for word in (flag, f"{name}={one}")]
    return [flag, NONE if value is None else str(value)]
