"""Sets of genes that a verb is given: as a mapping, a file, or texts; found among the columns of a table."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, brief, check, listed
from kithkin.core.keys import SYMBOLS, Key
from kithkin.core.suggest import did_you_mean
from kithkin.io.formats.gmt import read_gmt
from kithkin.io.streams.columns import WITH_VERSION, GeneNames
from kithkin.verbs.arguments.columns import column_names

log = logging.getLogger("kithkin")
FORM = "sets must be a mapping such as {'T cells': ['CD3D', 'CD3E']}, texts such as 'T cells=CD3D,CD3E', or a .gmt file"
NO_NAMES = ("", ".", "..", "_index")  # of no column of a table on disk
HALF = 0.5  # of the genes of all sets: if fewer are there, the names may be of another kind


class NamedSets(dict[str, list[str]]):
    """Sets of genes by name, with the descriptions that a .gmt file gives them."""

    def __init__(self, sets: Mapping[str, list[str]], descriptions: Mapping[str, str] | None = None) -> None:
        super().__init__(sets)
        self.descriptions = {} if descriptions is None else dict(descriptions)


@dataclass(frozen=True)
class FoundSets:
    """Sets of genes as columns of a table.

    Attributes
    ----------
    genes
        Names of the genes of each set, as they were given, each once.
    columns
        Columns of each of them, several where they share a symbol, and -1 for each that is absent.
    against
        Likewise of genes that speak against a set; only of sets that have any.
    """

    genes: dict[str, list[str]]
    columns: dict[str, Array]
    against: dict[str, Array]

    def listed(self) -> pd.DataFrame:
        """List the sets: number of genes, how many of them were found, and their names with commas between."""
        found = {name: len(self.genes[name]) - int((columns < 0).sum()) for name, columns in self.columns.items()}
        for name, columns in self.against.items():
            found[name] -= int((columns < 0).sum())
        genes = list(self.genes.values())
        table = {"n_genes": [len(some) for some in genes], "n_found": list(found.values())}
        return pd.DataFrame(table | {"genes": [", ".join(some) for some in genes]}, index=list(found))


def read_sets(sets: Mapping[str, Sequence[str]] | Sequence[str] | str | Path) -> NamedSets:
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
    given: Any = sets
    single = isinstance(given, (str, Path))
    texts: list[Any] = [given] if single else list(given) if _is_list(given) else []
    got = "a DataFrame" if isinstance(given, pd.DataFrame) else brief(given)
    check(bool(texts) and all(isinstance(one, (str, Path)) for one in texts), f"{FORM}, got {got}")
    check(all(str(one).strip() for one in texts), f"{FORM}, got an empty text")
    files = [one for one in texts if _is_file(one)]
    if len(texts) == 1 and (files or (single and "=" not in texts[0])):
        read, descriptions = read_gmt(texts[0])
        return NamedSets(_checked(read), descriptions)
    check(not files, f"sets must be one .gmt file, or none, got {listed(files)} among {len(texts)}")
    if not any("=" in str(one) for one in texts):
        return _checked({"score": texts})
    named: dict[str, list[str]] = {}
    for text in texts:
        name, sign, genes = str(text).partition("=")
        check(bool(name.strip() and sign and genes.strip(" ,")), f"{FORM}, got {brief(text)}")
        check(name.strip() not in named, f"sets names {name.strip()!r} twice")
        named[name.strip()] = [gene.strip() for gene in genes.split(",") if gene.strip()]
    return _checked(named)


def _is_list(given: Any) -> bool:
    """Tell whether something gives one value after another; a table would give the names of its columns."""
    return isinstance(given, Iterable) and not isinstance(given, (str, bytes, Mapping, pd.DataFrame))


def _is_file(given: str | Path) -> bool:
    """Tell a .gmt file from a text: by its end, or because it is there."""
    return isinstance(given, Path) or ".gmt" in Path(given).suffixes or ("=" in given and os.path.isfile(given))


def _checked(sets: Mapping[Any, Any]) -> NamedSets:
    """Check that each set has a name and is a list of names; each name is kept once."""
    check(len(sets) > 0, f"{FORM}, got none")
    out: dict[str, list[str]] = {}
    for name, genes in sets.items():
        listed_genes = list(genes) if _is_list(genes) else []
        texts = _is_list(genes) and all(isinstance(gene, str) for gene in listed_genes)
        check(texts, f"sets[{name!r}] must be a list of genes such as ['CD3D', 'CD3E'], got {brief(genes)}")
        check(len(listed_genes) > 0, f"sets[{name!r}] must name at least one gene, got none")
        check(str(name).strip() not in NO_NAMES, f"sets must have names such as 'T cells', got {name!r}")
        out[str(name)] = list(dict.fromkeys(listed_genes))
    check(len(out) == len(sets), f"sets must have different names, got {listed(sets)}")
    return NamedSets(out)


def find_sets(
    ds: Dataset, sets: NamedSets, on: str, *, signed: bool = False, any_case: bool = False, needed: str = ""
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
    needed
        Advice for the sentence that refuses a set without any gene that is there. Such sets are left out without it.

    Raises
    ------
    ParameterError
        If no gene of any set is there, or one ends in "-" where all genes speak for their set.
    """
    present = columns_by_name(ds, on)
    for one, description in sets.descriptions.items():
        if description in present and description not in sets.get(one, [description]):
            said = "%r of the set %r was read as its description, not as a gene: a line is name, description, genes"
            log.warning(said, description, one)
    if any_case and np.mean([gene in present for genes in sets.values() for gene in genes]) < HALF:
        folded = {name.casefold(): name for name in reversed(present)}
        sets = NamedSets({one: [folded.get(gene.casefold(), gene) for gene in genes] for one, genes in sets.items()})
    columns: dict[str, Array] = {}
    against: dict[str, Array] = {}
    for one, genes in sets.items():
        sides: dict[bool, list[int]] = {False: [], True: []}
        for gene in genes:
            marked = _is_marked(gene, present)
            bad = f"sets[{one!r}] holds {gene!r}: only method='ucell' takes genes that speak against a set"
            check(signed or not marked or gene[-1] == "+", bad)
            sides[marked and gene[-1] == "-"] += _columns(gene[:-1] if marked else gene, present) or [-1]
        columns[one] = _once(sides[False])
        if sides[True]:
            against[one] = _once(sides[True])
    empty = [one for one, found in columns.items() if not (found >= 0).any()]
    _refuse_or_tell(ds, sets, on, empty, [one for one in empty if not len(columns[one])], needed)
    kept = {one: genes for one, genes in sets.items() if one not in empty}
    _tell_genes(kept, present)
    return FoundSets(kept, {one: columns[one] for one in kept}, {one: against[one] for one in kept if one in against})


def columns_by_name(ds: Dataset, on: str) -> dict[str, list[int]]:
    """Map each name by which a column of a table is known to the columns that bear it.

    Of X and layers these are the names of the variables, before their symbols, before their identifiers, such as
    var/gene_ids; several variables may have one symbol.
    """
    key = Key.parse(on)
    if key.place not in ("X", "layers"):
        return {name: [place] for place, name in reversed([*enumerate(column_names(ds, on, ds.blocks(on).shape[1]))])}
    var = ds.var
    column = next((name for name in SYMBOLS if name in var), None)
    own = GeneNames.of(var)
    kinds = [np.asarray(ds.var_names, object), None if column is None else var[column], own.names, own.ids]
    present: dict[str, list[int]] = {}
    for kind in kinds:
        found: dict[str, list[int]] = {}
        for place, name in enumerate([] if kind is None else pd.Series(kind, dtype=object).array):
            if isinstance(name, str) and name and name not in present:
                found.setdefault(name, []).append(place)
        present |= found
    return present


def _columns(gene: str, present: Mapping[str, list[int]]) -> list[int]:
    """Look up the columns of a gene; of an identifier also without its version."""
    stable = WITH_VERSION.fullmatch(gene)
    return present.get(gene) or (present.get(stable[1], []) if stable else [])


def _is_marked(gene: str, present: Mapping[str, list[int]]) -> bool:
    """Tell whether a gene ends in a sign that is no part of its name."""
    return gene not in present and gene[-1:] in ("+", "-") and len(gene) > 1


def _refuse_or_tell(ds: Dataset, sets: NamedSets, on: str, empty: list[str], signs: list[str], needed: str) -> None:
    """Refuse sets without a gene that is there where all are so or each is needed; else tell which are left out.

    Those of `signs` hold nothing but genes that speak against them.
    """
    of_genes = Key.parse(on).place in ("X", "layers")
    where = f"{'var' if of_genes else on} of {ds.name}"
    if signs and len(empty) == len(sets):
        raise ParameterError(f"sets must hold genes that speak for them, but {listed(signs)} has only genes with '-'")
    if len(empty) == len(sets):
        first = next(gene for genes in sets.values() for gene in genes)
        words = ds.words("var") if of_genes else {one: one for one in column_names(ds, on, ds.blocks(on).shape[1])}
        if WITH_VERSION.fullmatch(first):  # numbers of identifiers that look alike are of other genes
            words = {word: name for word, name in words.items() if word == first}
        near = did_you_mean(first, words)
        said = f"sets must name genes that are in {where}, but none is: {listed(_all(sets))}"
        raise ParameterError(f"{said}{near or (needed and f': {needed}')}")
    if empty and needed:
        said = f"sets[{empty[0]!r}] has no gene that is in {where}: {listed(sets[empty[0]])}"
        raise ParameterError(f"{said}: {needed}")
    absent = [one for one in empty if one not in signs]
    if absent:
        log.warning("sets without a gene that is there were left out: %s", listed(absent))
    if signs:
        log.warning("sets of which all genes end in '-' were left out, as none speaks for them: %s", listed(signs))


def _tell_genes(sets: Mapping[str, list[str]], present: Mapping[str, list[int]]) -> None:
    """Tell which genes are not there, and which stand for several columns."""
    named = {gene: _columns(gene[:-1] if _is_marked(gene, present) else gene, present) for gene in _all(sets)}
    absent = [gene for gene, columns in named.items() if not columns]
    if absent:
        said = listed(absent, quoted=False)
        log.info("%s of %s genes of the sets are not there: %s", f"{len(absent):,}", f"{len(named):,}", said)
    several = [gene for gene, columns in named.items() if len(columns) > 1]
    if several:
        log.info("symbols of several genes, of which each counts: %s", listed(several, quoted=False))


def _once(columns: list[int]) -> Array:
    """Keep each column once, and -1 as often as it comes."""
    found = np.array(columns, np.int64).reshape(-1)
    there = np.array(list(dict.fromkeys(found[found >= 0].tolist())), np.int64)
    return np.concatenate([there, found[found < 0]])


def _all(sets: Mapping[str, Sequence[str]]) -> list[str]:
    return list(dict.fromkeys(gene for genes in sets.values() for gene in genes))
