"""Modalities of the cells that a verb is given by their keys."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kithkin.core.dataset import Dataset
from kithkin.core.errors import KeyFormError, check
from kithkin.core.group_faces import TOGETHER
from kithkin.core.keys import Key
from kithkin.core.totals import totals_of
from kithkin.models.support.faces.faces import Face
from kithkin.verbs.arguments.columns import column_names
from kithkin.verbs.arguments.normalization import holds_counts, resolve_normalize

MASKS = "obsm/masks"
TABLE = 2  # dimensions of a table; images have more
POSSIBLE = "X, a layer, a table or thumbnails in obsm, or a graph of neighbours in obsp"


@dataclass(frozen=True)
class Modality:
    """Key of a modality, its kind, and what else is read with it.

    kind: of `Face`. masks: key of the masks, None where there are none.
    """

    key: str
    kind: str
    masks: str | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """Keys that are read."""
        return (self.key, *((self.masks,) if self.masks else ()))

    def face(self, ds: Dataset) -> Face:
        """Open the modality."""
        totals = totals_of(ds, self.key) if self.kind == "counts" else None
        masks = None if self.masks is None else ds.blocks(self.masks)
        return Face(ds.blocks(self.key), self.kind, totals=totals, masks=masks)


def modalities_of(ds: Dataset, keys: Sequence[str], normalize: str | None) -> list[Modality]:
    """Tell the kinds of modalities.

    Raises
    ------
    ParameterError
        If a key is named twice, or is no table of rows, thumbnails or graph.
    MissingResultError
        If it is not there.
    """
    names = [checked_key(key) for key in keys]
    check(bool(names), f"on must name one modality at least ({POSSIBLE}), got an empty list")
    twice = next((name for name in names if names.count(name) > 1), None)
    check(twice is None, f"on must name each modality once, got {twice!r} twice")
    found = []
    for name in names:
        place = Key.parse(name).place
        check(place in ("X", "layers", "obsm", "obsp") and name != TOGETHER, f"on must be {POSSIBLE}, got {name!r}")
        ds.need(name)
        if place == "obsp":
            found.append(Modality(name, "graph"))
        elif place == "obsm":
            images = len(ds.blocks(name).shape) > TABLE
            found.append(Modality(name, "images" if images else "table", MASKS if images and MASKS in ds else None))
        else:
            auto = normalize == "auto"
            counts = holds_counts(ds, name) if auto else resolve_normalize(ds, name, normalize) == "log1p"
            found.append(Modality(name, "counts" if counts else "table"))
    return found


def checked_key(key: str) -> str:
    """Read the key of a modality; one without its place raises KeyFormError, which names the parameter."""
    try:
        return str(Key.parse(key, option="on"))
    except KeyFormError as error:
        raise KeyFormError(error.given, error.near, "on") from error


def feature_names(ds: Dataset, one: Modality, width: int, clusters: Sequence[str]) -> list[str]:
    """Name the columns of a modality, the numbers of thumbnails, or the clusters of neighbours."""
    if one.kind == "graph":
        return [f"neighbours in {name}" for name in clusters]
    if one.kind != "images":
        return column_names(ds, one.key, width)
    from kithkin.models.images.numbers import PictureNumbers

    table = PictureNumbers(ds.blocks(one.key), None if one.masks is None else ds.blocks(one.masks))
    return table.names(channel_names(ds, table.channels))


def channel_names(ds: Dataset, n_channels: int) -> list[str]:
    """Name the channels of thumbnails as they were cut, or as the variables, or by their numbers."""
    cut = ds.read("uns/thumbnails").get("channels") if "uns/thumbnails" in ds else None
    known = [[str(name) for name in names] for names in (cut, ds.var_names) if names is not None]
    numbered = [f"channel {k + 1}" for k in range(n_channels)]
    return next((names for names in known if len(names) == n_channels), numbered)
