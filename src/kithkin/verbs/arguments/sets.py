"""Sets of genes that a verb is given: as a mapping, a file, or texts; found among the columns of a table."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, brief, check, listed
from kithkin.core.keys import Key
from kithkin.core.suggest import did_you_mean
from kithkin.io.formats.gmt import read_gmt
from kithkin.verbs.arguments.columns import column_names

log = logging.getLogger("kithkin")
FORM = "sets must be a mapping such as {'T cells': ['CD3D', 'CD3E']}, texts such as 'T cells=CD3D,CD3E', or a .gmt file"
HALF = 0.5  # of the genes of all sets: if fewer are there, the names may be of another kind


@dataclass(frozen=True)
class FoundSets:
    """Sets of genes as columns of a table.

    Attributes
    ----------
    genes
        Names of the genes of each set, as they were given, each once.
    columns
        Column of each of them, -1 where it is absent.
    against
        Likewise of genes that speak against a set; only of sets that have any.
    """

    genes: dict[str, list[str]]
    columns: dict[str, Array]
    against: dict[str, Array]

    def listed(self) -> pd.DataFrame:
        """List the sets: number of genes, how many of them were found, and their names with commas between."""
        found = {name: int((columns >= 0).sum()) for name, columns in self.columns.items()}
        for name, columns in self.against.items():
            found[name] += int((columns >= 0).sum())
        genes = list(self.genes.values())
        table = {"n_genes": [len(some) for some in genes], "n_found": list(found.values())}
        return pd.DataFrame(table | {"genes": [", ".join(some) for some in genes]}, index=list(found))


def read_sets(sets: Mapping[str, Sequence[str]] | Sequence[str] | str | Path) -> dict[str, list[str]]:
    """Read sets by name: from a mapping, a .gmt file, texts such as "T cells=CD3D,CD3E", or the genes of one set.

    Raises
    ------
    ParameterError
        If it is none of these, a set is empty, or a name comes twice.

    Examples
    --------
    >>> read_sets(["T=CD3D,CD3E", "B=CD19"]), read_sets(["CD3D", "CD3D", "CD3E"])
    ({'T': ['CD3D', 'CD3E'], 'B': ['CD19']}, {'score': ['CD3D', 'CD3E']})
    """
    if isinstance(sets, Mapping):
        return _checked(sets)
    single = isinstance(sets, (str, Path))
    texts: list[Any] = [sets] if single else list(sets) if isinstance(sets, Iterable) else []
    check(bool(texts) and all(isinstance(one, (str, Path)) for one in texts), f"{FORM}, got {brief(sets)}")
    if len(texts) == 1 and "=" not in str(texts[0]) and (single or ".gmt" in Path(str(texts[0])).suffixes):
        return read_gmt(texts[0])
    if not any("=" in str(one) for one in texts):
        return _checked({"score": texts})
    named: dict[str, list[str]] = {}
    for text in texts:
        name, sign, genes = str(text).partition("=")
        check(bool(name.strip() and sign and genes.strip(" ,")), f"{FORM}, got {brief(text)}")
        check(name.strip() not in named, f"sets names {name.strip()!r} twice")
        named[name.strip()] = [gene.strip() for gene in genes.split(",") if gene.strip()]
    return _checked(named)


def _checked(sets: Mapping[Any, Any]) -> dict[str, list[str]]:
    """Check that each set has a name and is a list of names; each name is kept once."""
    check(len(sets) > 0, f"{FORM}, got none")
    out: dict[str, list[str]] = {}
    for name, genes in sets.items():
        many = isinstance(genes, Iterable) and not isinstance(genes, (str, bytes, Mapping))
        listed_genes = list(genes) if many else []
        texts = many and all(isinstance(gene, str) for gene in listed_genes)
        check(texts, f"sets[{name!r}] must be a list of genes such as ['CD3D', 'CD3E'], got {brief(genes)}")
        check(len(listed_genes) > 0, f"sets[{name!r}] must name at least one gene, got none")
        check(str(name).strip() not in ("", ".", ".."), f"sets must have names such as 'T cells', got {name!r}")
        out[str(name)] = list(dict.fromkeys(listed_genes))
    check(len(out) == len(sets), f"sets must have different names, got {listed(sets)}")
    return out


def find_sets(
    ds: Dataset, sets: dict[str, list[str]], on: str, *, signed: bool = False, any_case: bool = False
) -> FoundSets:
    """Find the genes of sets among the columns of a table; sets without any are left out with a warning.

    Parameters
    ----------
    sets
        Names of genes by set.
    on
        X, a layer, or a table in obsm.
    signed
        A gene that ends in "-" speaks against its set, unless there is a column of that very name; an end of "+" is
        left out likewise.
    any_case
        Match capitals and small letters where fewer than half of the genes are there under the names given.

    Raises
    ------
    ParameterError
        If no gene of any set is there, or one ends in "-" where all genes speak for their set.
    """
    names, labels = _names_of(ds, on)
    present = {str(name): place for place, name in reversed([*enumerate(names)])}
    if labels is not None:
        present = {str(name): place for place, name in enumerate(labels)} | present
    if any_case and np.mean([gene in present for genes in sets.values() for gene in genes]) < HALF:
        folded = {name.casefold(): name for name in present}
        sets = {one: [folded.get(gene.casefold(), gene) for gene in genes] for one, genes in sets.items()}
    columns: dict[str, Array] = {}
    against: dict[str, Array] = {}
    for one, genes in sets.items():
        sides: dict[bool, list[int]] = {False: [], True: []}
        for gene in genes:
            marked = gene not in present and gene[-1:] in ("+", "-") and len(gene) > 1
            bad = f"sets[{one!r}] holds {gene!r}: only method='ucell' takes genes that speak against a set"
            check(signed or not marked or gene[-1] == "+", bad)
            sides[marked and gene[-1] == "-"].append(present.get(gene[:-1] if marked else gene, -1))
        columns[one] = _once(sides[False])
        if sides[True]:
            against[one] = _once(sides[True])
    empty = [one for one, found in columns.items() if not (found >= 0).any()]
    if len(empty) == len(columns):
        first = next(gene for genes in sets.values() for gene in genes)
        where = f"{'var' if labels is not None else on} of {ds.name}"
        near = did_you_mean(first, ds.words("var") if labels is not None else present)
        raise ParameterError(f"sets must name genes that are in {where}, but none is: {listed(_all(sets))}{near}")
    if empty:
        log.warning("sets without a gene that is there were left out: %s", listed(empty))
    kept = {one: genes for one, genes in sets.items() if one not in empty}
    named = _all(kept)
    absent = [gene for gene in named if gene not in present and gene.rstrip("+-") not in present]
    if absent:
        said = listed(absent, quoted=False)
        log.info("%s of %s genes of the sets are not there: %s", f"{len(absent):,}", f"{len(named):,}", said)
    return FoundSets(kept, {one: columns[one] for one in kept}, {one: against[one] for one in kept if one in against})


def _names_of(ds: Dataset, on: str) -> tuple[list[str], pd.Index[str] | None]:
    """Return the names of the columns of a table, and the labels of the variables where it has those."""
    key = Key.parse(on)
    if key.place in ("X", "layers"):
        return list(ds.var_names), ds.var_labels
    return column_names(ds, on, ds.blocks(on).shape[1]), None


def _once(columns: list[int]) -> Array:
    """Keep each column once, and -1 as often as it comes."""
    found = np.array(columns, np.int64).reshape(-1)
    there = np.array(list(dict.fromkeys(found[found >= 0].tolist())), np.int64)
    return np.concatenate([there, found[found < 0]])


def _all(sets: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(gene for genes in sets.values() for gene in genes))
