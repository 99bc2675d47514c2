"""Columns of several samples: matched by name, identifier or symbol, and joined."""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import islice

import anndata as ad
import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, ParameterError
from kithkin.core.keys import SYMBOLS
from kithkin.io.source import Source
from kithkin.io.streams.annotation import plain_frame, texts, unique_names

IDS = ("gene_ids", "gene_id", "ensembl_id", "feature_id")  # columns with identifiers of genes
MEASURED = ("n_cells", "mean_counts", "n_missing")  # columns of var that every import measures again
NAME = "kithkin name"  # column for the names of genes that are matched by something else
FEW = 100  # names by which a list is told
ENSEMBL = r"ENS[A-Z]*G\d{6,}"
WITH_VERSION = re.compile(rf"({ENSEMBL})(?:\.\d+)?")
WITH_SYMBOL = re.compile(
    rf"(?P<symbol>.+)[_|](?P<id>{ENSEMBL})(?:\.\d+)?|(?P<id2>{ENSEMBL})(?:\.\d+)?[_|](?P<symbol2>.+)"
)
GENOME = re.compile(r"(?:GRC[a-z]\d+|hg\d+|mm\d+|rn\d+)[_.:-]+")


@dataclass
class GeneNames:
    """Names of the genes of a sample, without the name of a genome, and their identifiers where these are known."""

    names: Array
    ids: Array | None

    @staticmethod
    def of(frame: pd.DataFrame) -> GeneNames:
        """Take the names and identifiers from var.

        Examples
        --------
        >>> found = GeneNames.of(pd.DataFrame(index=["hg19_CD3D_ENSG00000167286", "hg19_LYZ_ENSG00000090382.7"]))
        >>> found.names.tolist(), found.ids.tolist()
        (['CD3D', 'LYZ'], ['ENSG00000167286', 'ENSG00000090382'])
        >>> GeneNames.of(pd.DataFrame(index=["hg19_CD3D", "mm10_Cd3d"])).names.tolist()  # of two genomes
        ['hg19_CD3D', 'mm10_Cd3d']
        """
        names = _without_genome(frame.index.to_numpy(object))
        column = next((key for key in IDS if key in frame), None)
        ids = None if column is None else _without_genome(texts(frame[column].to_numpy(object)))
        if all(WITH_SYMBOL.fullmatch(name) for name in islice(names, FEW)):
            pairs = [symbol_and_id(name) for name in names]
            names = np.array([symbol for symbol, _ in pairs], object)
            ids = np.array([one for _, one in pairs], object) if ids is None else ids
        if ids is None and all(WITH_VERSION.fullmatch(name) for name in islice(names, FEW)):
            ids = names
        if ids is not None:
            ids = np.array([one[1] if (one := WITH_VERSION.fullmatch(text)) else text for text in ids], object)
        return GeneNames(names, ids)


def symbol_and_id(name: str) -> tuple[str, str]:
    """Take a name such as CD3D_ENSG00000167286 apart; any other stands for both.

    Examples
    --------
    >>> symbol_and_id("CD3D_ENSG00000167286.4"), symbol_and_id("LYZ")
    (('CD3D', 'ENSG00000167286'), ('LYZ', 'LYZ'))
    """
    found = WITH_SYMBOL.fullmatch(name)
    return (name, name) if found is None else (found["symbol"] or found["symbol2"], found["id"] or found["id2"])


def _without_genome(names: Array) -> Array:
    """Drop the name of a genome before every name, where it is the same for all."""
    first = GENOME.match(names[0]) if len(names) else None
    if first is None or not all(name.startswith(first[0]) and len(name) > len(first[0]) for name in names):
        return names
    return np.array([name[len(first[0]) :] for name in names], object)


def matched_names(
    sources: Mapping[str, Source], match: str, first_stays: bool = False
) -> tuple[dict[str, pd.DataFrame], bool]:
    """Index the columns of each source by what they are matched by; tell whether that is symbols.

    Where that is not their names, these are in the column `NAME`. With `first_stays` those of the first source stay.
    """
    frames: dict[str, pd.DataFrame] = {}
    for name, source in sources.items():
        if len(source.var) != source.n_columns:
            raise FormatError(
                f"sample {name}: the columns of {source.name} are known at its end only: import it alone first, and "
                "give the dataset instead"
            )
        frame = plain_frame(source.var).drop(columns=list(MEASURED), errors="ignore")
        frames[name] = frame.set_axis(unique_names(frame.index))
    if match == "names":
        return frames, False
    found = {name: GeneNames.of(frame) for name, frame in frames.items()}
    if match == "auto":
        match = "names" if any(one.ids is None for one in found.values()) else "ids"
    changed = any((found[name].names != frame.index.to_numpy(object)).any() for name, frame in frames.items())
    if match == "names" and not changed:
        return frames, False
    for number, (name, frame) in enumerate(frames.items()):
        names, by = found[name].names, found[name].ids
        if by is None and match == "ids":
            raise ParameterError(f"match='ids' needs a column of identifiers in every sample, but {name} has none")
        if match == "symbols":
            column = next((key for key in SYMBOLS if key in frame), None)
            names = by = names if column is None else texts(frame[column].to_numpy(object))
        elif match == "names" or by is None:
            by = names
        elif changed and not set(IDS) & set(frame):  # of which the names no longer tell the identifier
            frame = frame.assign(gene_ids=by)  # noqa: PLW2901
        labels = frame.index if first_stays and not number else unique_names(pd.Index(names, dtype=object))
        frames[name] = frame.assign(**dict.fromkeys([NAME], labels)).set_axis(unique_names(pd.Index(by, dtype=object)))
    return frames, match != "ids"


def joined_axis(frames: Mapping[str, pd.DataFrame], join: str, first_stays: bool = False) -> pd.DataFrame:
    """Join the columns as `anndata.concat` does; what is told of one is taken from the first sample that has it.

    With `first_stays` the columns of the first sample come first and in their order, before those of the others.

    Examples
    --------
    >>> a = pd.DataFrame({"symbol": ["x", "y"]}, index=["A", "B"])
    >>> b = pd.DataFrame({"symbol": ["y", "z"], "length": [3, 4]}, index=["B", "C"])
    >>> joined_axis({"a": a, "b": b}, "outer").to_dict("list")
    {'symbol': ['x', 'y', 'z'], 'length': [nan, 3.0, 4.0]}
    """
    none = pd.DataFrame(index=pd.Index([], dtype=object))
    parts = [ad.AnnData(obs=none, var=pd.DataFrame(index=frame.index)) for frame in frames.values()]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of tables without a row
        index = ad.concat(parts, join=join).var_names
    if first_stays:
        given = pd.Index(np.concatenate([frame.index.to_numpy(object) for frame in frames.values()])).unique()
        index = given[given.isin(index)]
    columns = {}
    for name in dict.fromkeys(column for frame in frames.values() for column in frame.columns):
        told = pd.concat([frame[name] for frame in frames.values() if name in frame])
        columns[name] = told[~told.index.duplicated()].reindex(index)
    return pd.DataFrame(columns, index=index)


def strangers(places: Mapping[str, Array], frames: Mapping[str, pd.DataFrame], width: int) -> list[str]:
    """Name the samples that have no column in common with any other: they may be named in another way.

    `places` has for each sample the column of the whole for each of its columns, or -1.
    """
    counts = _counts(places, width)
    notes = []
    for name, columns in places.items() if len(places) > 1 else ():
        if not (counts[columns[columns >= 0]] > 1).any():
            other = next(one for one in frames if one != name)
            first, beside = frames[name].index[0], frames[other].index[0]
            notes.append(
                f"sample {name} has no column that another sample has: its first is {first}, that of {other} is "
                f"{beside}; if they are named in another way, try match='symbols'"
            )
    return notes


def _counts(places: Mapping[str, Array], width: int) -> Array:
    counts = np.zeros(width, np.int64)
    for columns in places.values():
        counts[columns[columns >= 0]] += 1
    return counts


def column_notes(places: Mapping[str, Array], width: int, join: str, things: str) -> list[str]:
    """Say how many columns (`things`) are not in every sample, and which sample is the poorest."""
    lost = {name: int((columns < 0).sum()) for name, columns in places.items()}
    if join == "inner":
        most = max(lost, key=lambda name: lost[name])
        if not lost[most]:
            return []
        return [f"{width:,} {things} are in every sample; the others are left out, {lost[most]:,} of them from {most}"]
    everywhere = int((_counts(places, width) == len(places)).sum())
    if everywhere == width:
        return []
    poorest = min(places, key=lambda name: len(places[name]))
    absent = width - len(np.unique(places[poorest]))
    return [f"{everywhere:,} of {width:,} {things} are in every sample; {poorest} lacks {absent:,}"]


def clash_notes(frames: Mapping[str, pd.DataFrame], by_names: bool) -> list[str]:
    """Say how many genes have another name in different samples."""
    if by_names:
        return []
    names = pd.concat([frame[NAME] for frame in frames.values()])
    pairs = pd.DataFrame({"id": names.index, "name": names.to_numpy()}).drop_duplicates()
    renamed = pairs["id"].duplicated(keep=False)
    notes = []
    if renamed.any():
        n, first = pairs.loc[renamed, "id"].nunique(), pairs[renamed].iloc[0]
        others = pairs.loc[renamed & (pairs["id"] == first["id"]), "name"].tolist()
        notes.append(
            f"{n:,} gene{'s have' if n != 1 else ' has'} different names in different samples, such as {first['id']} "
            f"({' and '.join(map(str, others[:2]))}): the first name is kept"
        )
    return notes
