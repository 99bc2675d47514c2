"""Checkpoints of an import of several samples: what was kept of each that is finished, and how far X had come.

They lie in the staging folder of the import: `checkpoint.json` with the state of X, `<number>-*.npy` with what its
arrays had not yet written, and `samples`, an AnnData mapping with an entry for each finished sample.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from kithkin.core.arrays import open_group
from kithkin.core.elements import read_element, write_element
from kithkin.core.errors import KithkinError
from kithkin.core.transaction import CHECKPOINT, write_text

SAMPLES = "samples"


class CheckpointError(KithkinError):
    """A checkpoint that does not hold what was imported, as after a loss of power: the import has to begin again."""


class Checkpoints:
    """Checkpoints in a folder, each of which replaces the one before.

    Parameters
    ----------
    folder
        Staging folder of the import, which exists.

    Examples
    --------
    >>> import tempfile
    >>> checkpoints = Checkpoints(Path(tempfile.mkdtemp()))
    >>> checkpoints.load() is None
    True
    >>> checkpoints.save(0, {"n_rows": 3}, {"notes": "none"})
    >>> checkpoints.load()
    ({'n_rows': 3}, [{'notes': 'none'}])
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def save(self, number: int, table: Mapping[str, Any], sample: Mapping[str, Any]) -> None:
        """Keep the state of X after sample `number` (from 0) and what is kept of the sample itself."""
        folder = self.folder / SAMPLES
        group = open_group(folder, "a")
        if (folder / str(number)).exists():  # of an import that was killed here
            shutil.rmtree(folder / str(number))
        write_element(group, str(number), sample)
        write_text(self.folder / CHECKPOINT, json.dumps({"n_samples": number + 1, "table": dict(table)}))

    def load(self) -> tuple[dict[str, Any], list[dict[str, Any]]] | None:
        """Read the state of X and what was kept of each finished sample; None if no sample was finished.

        Raises
        ------
        CheckpointError
            If it is damaged.
        """
        if not (self.folder / CHECKPOINT).is_file():
            return None
        try:
            state: Any = json.loads((self.folder / CHECKPOINT).read_text(encoding="utf-8"))
            group = open_group(self.folder / SAMPLES)
            return dict(state["table"]), [read_element(group, str(n)) for n in range(int(state["n_samples"]))]
        except Exception as error:
            raise CheckpointError(f"{self.folder / CHECKPOINT} is damaged: {error}") from error

    def forget(self) -> None:
        """Make the checkpoint invalid, as the dataset is about to be moved away."""
        (self.folder / CHECKPOINT).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all that is in the folder."""
        self.forget()
        for path in self.folder.iterdir():
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
