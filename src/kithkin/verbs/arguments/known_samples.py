"""Samples of the cells that are in a dataset, and those that are to come below them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import FormatError, check
from kithkin.core.keys import Key
from kithkin.core.remote import is_address
from kithkin.io.formats.samples import Samples, find_samples, names_of
from kithkin.io.read import check_readable


def label_of(ds: Dataset, sample: str | None) -> str:
    """Find the column of obs with the names of samples."""
    if sample is None:
        named: dict[str, list[str]] = {verb: [] for verb in ("read", "append")}
        for entry in ds.lineage.entries:
            if entry.parameters.get("sample"):
                named.get(entry.verb, []).append(str(entry.parameters["sample"]))
        usual = ["obs/sample"] if "obs/sample" in ds else []
        sample = [*named["read"], *usual, *named["append"], "obs/sample"][0]
    label = Key.parse(sample, "obs", option="sample").name
    taken = label.startswith(("n_counts", "n_genes", "n_cells", "pct_", "_index"))
    check(bool(label) and "/" not in label and not taken, f"sample must be a free column of obs, got {sample!r}")
    return label


@dataclass(frozen=True)
class KnownSamples:
    """Samples of the cells that are there: the column of obs with their names, and how many cells each has."""

    label: str
    column: pd.Series[Any] | None  # of all cells, missing where a cell has none; None where there is no such column
    sizes: Mapping[str, int]

    @staticmethod
    def of(ds: Dataset, label: str) -> KnownSamples:
        """Read them from a dataset."""
        if f"obs/{label}" not in ds:
            return KnownSamples(label, None, {ds.path.stem: ds.n_obs})
        column = ds.read(f"obs/{label}")
        sizes = {str(name): int(size) for name, size in column.value_counts().items() if size}
        return KnownSamples(label, column, sizes)

    @property
    def names(self) -> list[str]:
        """Names of the samples."""
        return list(self.sizes)


def samples_of(ds: Dataset, source: Any) -> Samples:
    """Find the samples that a source stands for, and refuse the dataset itself; unnamed objects go by their place."""
    source = source.path if isinstance(source, Dataset) else source
    samples = find_samples(source)
    if samples is None:
        path = Path(source).expanduser() if isinstance(source, (str, Path)) else None
        samples = Samples({"0" if path is None else names_of([path])[0]: source})
    for one in samples.sources.values():
        if not isinstance(one, (str, Path)):
            check_readable(one)
            continue
        path = Path(one).expanduser()
        if not path.exists() and not is_address(one):
            raise FormatError(f"{path} does not exist")
        check(
            path.resolve() != ds.path.resolve(),
            f"source must be another path than {ds.path}, to which it would be appended",
        )
    return samples


def numbered_after(samples: Samples, source: Any, there: KnownSamples) -> Samples:
    """Number the objects in memory that have no name after the samples that are there."""
    if isinstance(source, (Mapping, Samples)):
        return samples
    sources, number = dict[str, Any](), len(there.names)
    for name, one in samples.sources.items():
        if isinstance(one, (str, Path)):
            sources[name] = one
            continue
        while str(number) in {*there.names, *sources}:
            number += 1
        sources[str(number)] = one
    return replace(samples, sources=sources)


def check_names(ds: Dataset, samples: Samples, there: KnownSamples) -> None:
    """Refuse a sample with the name of one that is there."""
    clash = [name for name in samples.sources if name in there.names]
    has = f"the cells of {ds.name} become" if there.column is None else f"obs/{there.label} of {ds.name} has"
    check(
        not clash,
        f"{has} a sample {clash[0] if clash else ''!r} already: give the new one another name, by a sheet with the "
        "columns path and sample or, in Python, a mapping of names to sources",
    )
