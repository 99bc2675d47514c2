"""References in files: what maps cells onto them, and nothing else of the cells that they were made from."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import FormatError, check
from kithkin.io.formats.tensors import read_tensors, write_tensors
from kithkin.models.harmony.label_map import GroupScales, LabelMap, Scale
from kithkin.models.harmony.label_profiles import LabelProfiles

FORMAT, VERSION = "kithkin reference", 2
LARGEST = 5_000_000  # bytes of a file
HEADER = 3_000  # bytes beside the arrays and the names of genes
ARRAYS = ("loadings", "mean", "sizes", "sums", "coef", "intercept", "layout")  # of the map, in single precision


@dataclass
class Reference:
    """Reference onto which other cells are mapped.

    Attributes
    ----------
    genes
        Names of the genes of the components, p.
    symbols
        Labels of the same genes, where they differ from the names.
    target_sum
        Counts of a cell after normalisation; None: values are taken as they are.
    labels
        Names of the labels, L.
    map
        Maps and labels components.
    about
        What the reference was made of, and how its labels did in batches that were left out.
    """

    genes: list[str]
    symbols: list[str]
    target_sum: float | None
    labels: list[str]
    map: LabelMap
    about: dict[str, Any] = field(default_factory=dict)

    @property
    def size(self) -> int:
        """Size of the file in bytes, or a little less than a header more."""
        texts = (self.genes, self.symbols, self.labels, self.about)
        written = sum(len(json.dumps(json.dumps(one))) for one in texts)
        return HEADER + written + sum(array.nbytes for array in self._arrays().values())

    def _arrays(self) -> dict[str, Array]:
        found = self.map
        halves = {"profile_mean": found.profiles.mean, "profile_weight": found.profiles.weight, "places": found.places}
        arrays = {name: np.asarray(getattr(found, name), np.float32) for name in ARRAYS}
        for name, values in halves.items():  # in units of their largest value, so that none is lost
            unit = float(np.abs(values).max(initial=0)) or 1.0
            arrays[name] = (values / unit).astype(np.float16)
            arrays[f"{name}_unit"] = np.array([unit])
        return arrays

    def write(self, path: str | Path, *, overwrite: bool = False) -> None:
        """Write the file, whole or not at all."""
        found = self.map
        scales = {
            "weakness": [found.weakness.middle, found.weakness.spread],
            "difference": [found.difference.middle, found.difference.spread],
        }
        numbers: dict[str, Any] = {
            "temperature": found.temperature,
            "limit": found.limit,
            "target_sum": self.target_sum,
            **scales,
        }
        numbers["floor"] = found.profiles.floor
        if (groups := found.groups) is not None:
            both = [[one.middle, one.spread] for one in (groups.weakness, groups.excess)]
            numbers["groups"] = [*both, groups.limit, groups.n_groups]
        texts: dict[str, Any] = {
            "genes": self.genes,
            "symbols": self.symbols,
            "labels": self.labels,
            "about": self.about,
        }
        texts |= {"numbers": numbers, "version": VERSION}
        packed = {name: json.dumps(value) for name, value in texts.items()}
        write_tensors(path, self._arrays(), {"format": FORMAT, **packed}, overwrite=overwrite)

    @staticmethod
    def read(path: str | Path) -> Reference:
        """Read a file, after checking that it is whole and that its parts fit.

        Raises
        ------
        FormatError
            If it is no reference, was written by a later version, or is damaged.
        """
        name = Path(path).name
        arrays, texts = read_tensors(path)
        if texts.get("format") != FORMAT:
            raise FormatError(f"{name} holds arrays, but is no reference: make one with kithkin.reference(ds, labels)")
        try:
            said = {key: json.loads(text) for key, text in texts.items() if key != "format"}
            if said["version"] not in (1, VERSION):
                raise FormatError(f"{name} was written by a later version of kithkin, as version {said['version']}")
            for half in ("profile_mean", "profile_weight", "places"):
                arrays[half] = arrays[half].astype(np.float32) * np.float32(arrays[f"{half}_unit"][0])
            numbers = said["numbers"]
            # files of version 1 have neither: their cells are told from what they held one by one
            profiles = LabelProfiles(arrays["profile_mean"], arrays["profile_weight"], numbers.get("floor", 1.0))
            scales = numbers.get("groups")
            groups = scales and GroupScales(Scale(*scales[0]), Scale(*scales[1]), *scales[2:])
            learned = LabelMap(
                **{name: arrays[name] for name in ARRAYS},
                temperature=numbers["temperature"],
                profiles=profiles,
                weakness=Scale(*numbers["weakness"]),
                difference=Scale(*numbers["difference"]),
                limit=numbers["limit"],
                places=arrays["places"],
                groups=groups,
            )
            found = Reference(
                said["genes"], said["symbols"], numbers["target_sum"], said["labels"], learned, said["about"]
            )  # fmt: skip
            fits = found._fits()
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise error if isinstance(error, FormatError) else FormatError(f"{name} is damaged: {error}") from error
        if not fits:
            raise FormatError(f"{name} is damaged: its arrays do not fit each other")
        return found

    def _fits(self) -> bool:
        """Tell whether the shapes of all parts agree, and all numbers are finite."""
        found, (p, d), n_labels = self.map, self.map.loadings.shape, len(self.labels)
        of_genes, of_labels, k, m = (p, d), (n_labels, p), len(found.sizes), len(found.places)
        shapes = [
            (found.loadings, of_genes), (found.mean, (p,)), (found.sums, (k, d)), (found.sizes, (k,)),
            (found.coef, (n_labels, d)), (found.intercept, (n_labels,)), (found.layout, (m, 2)),
            (found.places, (m, d)), (found.profiles.mean, of_labels), (found.profiles.weight, of_labels),
        ]  # fmt: skip
        right = all(array.shape == shape and bool(np.isfinite(array).all()) for array, shape in shapes)
        return right and len(self.genes) == p and len(self.symbols) in (0, p)

    def genes_in(self, ds: Dataset) -> tuple[Array, Array]:
        """Find the genes of the reference in a dataset: their numbers there, ascending, and in the reference.

        Raises
        ------
        ParameterError
            If hardly any is there.
        """
        names = [self.genes, *([self.symbols] if self.symbols else [])]
        matches = [
            own.get_indexer(theirs)  # type: ignore[arg-type]
            for theirs in names for own in (ds.var_names, ds.var_labels) if own.is_unique
        ]  # fmt: skip
        best = max(matches, key=lambda positions: int((positions >= 0).sum()), default=np.full(len(self.genes), -1))
        shared = np.flatnonzero(best >= 0)
        needed = max(2, self.map.loadings.shape[1] // 2)
        said = f"{ds.name} has {len(shared)} of the {len(self.genes):,} genes of the reference, and {needed} are needed"
        check(len(shared) >= needed, f"{said}: are its genes named like {', '.join(self.genes[:3])}?")
        order = np.argsort(best[shared], kind="stable")
        return best[shared][order], shared[order]
