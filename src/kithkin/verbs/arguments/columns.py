"""Names of the columns of a table, for messages and notes."""

from __future__ import annotations

from kithkin.core.dataset import Dataset
from kithkin.core.keys import Key
from kithkin.core.stored import StoredFrame


def column_names(ds: Dataset, on: str, width: int) -> list[str]:
    """List the names of the columns of X, a layer, or a table in obsm.

    Columns in obsm have their own names in a DataFrame, or those that `kithkin.scale` or `kithkin.features`
    recorded for them, else the key
    and a number from 0.
    """
    key = Key.parse(on)
    if key.place in ("X", "layers"):
        return [str(name) for name in ds.var_labels]
    blocks = ds.blocks(on)
    if isinstance(blocks, StoredFrame):
        return blocks.columns
    record = str(Key("uns", key.name.removeprefix("X_")))
    about = ds.read(record) if record in ds else {}
    names = about.get("columns", about.get("names")) if isinstance(about, dict) else None
    return (
        [str(name) for name in names]
        if names is not None and len(names) == width
        else [f"{key.name}_{i}" for i in range(width)]
    )
