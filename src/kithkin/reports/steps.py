"""Steps that made a dataset, with the command lines that make it again and the records that `verify` reads."""

from __future__ import annotations

from typing import Any

from kithkin.core.dataset import Dataset
from kithkin.core.records import record_of
from kithkin.core.sequence import Taken, steps_taken
from kithkin.reports.commands import SOURCE, Signature, command_of


def steps_of(ds: Dataset, signature: Signature) -> list[dict[str, Any]]:
    """List the steps that made a dataset, each after those that made what it reads.

    Parameters
    ----------
    ds
        The dataset.
    signature
        Gives the signature of a verb, by whose defaults it is decided what a command line must say.
    """
    return [step_of(taken, signature) for taken in steps_taken(ds)]


def step_of(taken: Taken, signature: Signature) -> dict[str, Any]:
    """Describe one step."""
    entry, ds, parent = taken
    source = parent.path.name if parent is not None else SOURCE
    step = {"verb": entry.verb, "outputs": entry.outputs, "seconds": entry.seconds, "finished": entry.finished}
    step |= {"command": command_of(entry, ds.path.name, source, signature), "record": record_of(entry, ds)}
    step |= {"current": not ds.lineage.is_stale(entry)}
    return step | ({"peak": entry.peak} if entry.peak else {})
