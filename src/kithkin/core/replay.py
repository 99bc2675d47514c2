"""Arguments with which a recorded step is taken again."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from kithkin.core.history import Entry

PARTS = {"paris_tree", "publish"}  # steps that are part of another verb's, or that make no result
OWN_KEYS = {"quality", "explain", "enrich", "neighborhood_enrichment", "card"}  # named by what is read
WRITES = {"read", "subset"}  # a dataset of their own
DIGEST = re.compile(r"(?:^| )[0-9a-f]{20}$")  # ends what stands for arrays and files in a record


def arguments_of(entry: Entry, parameters: Mapping[str, inspect.Parameter]) -> tuple[dict[str, Any], list[str]]:
    """List the arguments of a step that are not the defaults, and name those of which the record has a hash only.

    Parameters
    ----------
    entry
        Record of the step.
    parameters
        Those of its verb.

    Examples
    --------
    >>> import kithkin as kk
    >>> entry = Entry("score", 2, {"sets": "2 sets 0123456789abcdef0123", "method": "mean"}, {}, ["obsm/few"], "", 0.0)
    >>> arguments_of(entry, inspect.signature(kk.score).parameters)
    ({'method': 'mean', 'key': 'obsm/few'}, ['sets (2 sets)'])
    """
    given = dict(entry.parameters)
    if entry.verb == "pseudotime":  # as it was given: a number, a name or a condition
        given["root"] = given.pop("from", given.get("root"))
    if "key" in parameters and entry.verb not in OWN_KEYS | WRITES:
        given["key"] = key_of(entry, parameters["key"].default)
    known, unknown = dict[str, Any](), list[str]()
    for key, value in given.items():
        if key not in parameters or is_default(value, parameters[key].default):
            continue
        if isinstance(value, str) and DIGEST.search(value):
            about = DIGEST.sub("", value)
            unknown.append(f"{key} ({about})" if about else key)
        else:
            known[key] = value
    return known, unknown


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
