"""Stored tests of groups against the rest, as phrases that a person reads: low proline (507, elsewhere 820)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from kithkin.core.keys import Key, fields_by_group

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

TESTS = "uns/rank_genes_groups"
SIGNIFICANT = 0.05  # adjusted p up to which a group differs
APART = 0.1  # difference of two shares from which they say more than the fold change does


@dataclass(frozen=True)
class Trait:
    """Column in which a group differs from all other rows.

    mean, elsewhere: mean in the group and in all other rows; of counts and categories the share of rows, 0..1.
    effect: difference in standard deviations (values, categories), or log2 fold change (counts).
    score: statistic of the test.
    """

    column: str
    direction: str
    mean: float
    elsewhere: float
    effect: float
    pval_adj: float
    sentence: str
    score: float = float("nan")


def current_tests(ds: Dataset, by: str) -> dict[str, Any] | None:
    """Return the stored tests of the groups of a column of obs as they are now; None where there are none.

    Tests of other groups or of some of them do not count, nor those made before the groups or the values changed.
    """
    return ds.read(TESTS) if has_current_tests(ds, by) else None


def has_current_tests(ds: Dataset, by: str) -> bool:
    """Tell whether there are tests of the groups of a column of obs as they are now, without reading them."""
    if TESTS not in ds:
        return False
    params = ds.read(f"{TESTS}/params")
    of_these = params.get("groupby") == Key.parse(by, "obs", option="by").name and "only" not in params
    return of_these and not ds.lineage.is_stale_key(TESTS)


def traits(tests: Mapping[str, Any], group: str, n: int, symbols: Mapping[str, str] | None = None) -> list[Trait]:
    """List the columns in which a group differs most from the rest, with an adjusted p of at most 0.05.

    Of counts only genes that are higher in the group, of values columns of either direction; a column whose ranks say
    the opposite of its means is left out.

    tests: value of uns/rank_genes_groups; params/kind "categories" makes the columns categories, and high ones only.
    symbols: names to write in place of those of the columns.

    >>> import pandas as pd
    >>> names, numbers = np.array([("proline",)], [("a", "U9")]), np.array([(-4.0,)], [("a", "f4")])
    >>> tests = {"names": names, "scores": numbers, "pvals_adj": np.array([(0.01,)], [("a", "f8")]), "params": {}}
    >>> tests |= {"differences": numbers, "effects": numbers}
    >>> tests |= {name: pd.DataFrame({"a": [x]}, ["proline"]) for name, x in (("means", 507.2), ("means_rest", 820))}
    >>> traits(tests, "a", 5)[0].sentence
    'low proline (507, elsewhere 820)'
    """
    fields = fields_by_group(tests)
    if group not in fields:
        return []
    field, number = fields[group], list(fields).index(group)
    kind = tests["params"].get("kind", "values" if "means" in tests else "counts")
    scores = np.asarray(tests["scores"][field], np.float64)
    pvals = np.asarray(tests["pvals_adj"][field]) if "pvals_adj" in tests else np.zeros(len(scores))
    chosen = (pvals <= SIGNIFICANT) & (scores > 0 if kind != "values" else scores != 0)
    if kind != "counts":
        chosen &= np.sign(tests["differences"][field]) == np.sign(scores)
    places = np.flatnonzero(chosen)[:n]
    names = tests["names"][field][places].astype(str)
    named = "logfoldchanges" if kind == "counts" else "effects"  # which other programs may leave out
    effects = tests[named][field][places] if named in tests else np.full(len(places), np.nan)
    tables = ("pts", "pts_rest") if kind == "counts" else ("means", "means_rest")
    sides = [
        tests[name].iloc[:, number].reindex(names).to_numpy(np.float64)
        if name in tests
        else np.full(len(names), np.nan)
        for name in tables
    ]
    found = []
    for name, place, effect, mean, elsewhere in zip(names, places, effects, *sides, strict=True):
        shown, direction = (symbols or {}).get(name, name), "high" if scores[place] > 0 else "low"
        if kind == "counts":
            sentence = phrase_of_counts(shown, float(mean), float(elsewhere), float(effect))
        else:
            say = phrase_of_values if kind == "values" else phrase_of_category
            sentence = say(shown, float(mean), float(elsewhere))
        numbers = float(effect), float(pvals[place])
        found.append(Trait(shown, direction, mean, elsewhere, *numbers, sentence, float(scores[place])))
    return found


def held_out_lines(tests: Mapping[str, Any]) -> list[str]:
    """Say how many markers hold in counts that did not place the cells; nothing where that was not tested.

    >>> import pandas as pd
    >>> names = np.array([("A",), ("B",)], [("0", "U9")])
    >>> numbers = {name: np.array([(x,), (x,)], [("0", "f8")]) for name, x in (("scores", 4.0), ("pvals_adj", 0.01))}
    >>> held_out = pd.DataFrame({"0": [0.2, 0.001]}, index=["A", "B"])
    >>> held_out_lines({"names": names, **numbers, "pvals_adj_held_out": held_out})[-1]
    'markers that hold in counts that did not place the cells: 1 of 2'
    """
    if "pvals_adj_held_out" not in tests:
        return []
    found = held = 0
    for number, field in enumerate(tests["names"].dtype.names):
        marks = (tests["pvals_adj"][field] <= SIGNIFICANT) & (tests["scores"][field] > 0)
        pvals = tests["pvals_adj_held_out"].iloc[:, number].reindex(tests["names"][field][marks].astype(str))
        found += int(marks.sum())
        held += int((pvals <= SIGNIFICANT).sum())
    return ["", f"markers that hold in counts that did not place the cells: {held:,} of {found:,}"]


def phrase_of_values(name: str, mean: float, elsewhere: float) -> str:
    """Say the means of a column in a group and elsewhere.

    >>> phrase_of_values("flavanoids", 2.98237, 1.4222)
    'high flavanoids (2.98, elsewhere 1.42)'
    """
    inside, outside = distinct(mean, elsewhere)
    return f"{'high' if mean > elsewhere else 'low'} {name} ({inside}, elsewhere {outside})"


def phrase_of_counts(name: str, share: float, elsewhere: float, log2_change: float) -> str:
    """Say the shares of cells with a gene, or where these are alike by how much the gene is higher.

    >>> phrase_of_counts("CD3D", 0.92, 0.21, 3.0), phrase_of_counts("RPS3", 1.0, 0.99, 1.0)
    ('high CD3D (in 92 % of cells, elsewhere 21 %)', 'high RPS3 (2 times elsewhere)')
    """
    if share - elsewhere >= APART:
        return f"high {name} (in {percent(share)} of cells, elsewhere {percent(elsewhere)})"
    return f"high {name} ({2.0**log2_change:.3g} times elsewhere)" if np.isfinite(log2_change) else f"high {name}"


def phrase_of_category(name: str, share: float, elsewhere: float) -> str:
    """Say the shares of rows that belong to a category.

    >>> phrase_of_category("kind barolo", 0.95, 0.03)
    'kind barolo in 95 %, elsewhere 3 %'
    """
    return f"{name} in {percent(share)}, elsewhere {percent(elsewhere)}"


def distinct(*numbers: float) -> list[str]:
    """Write numbers with three significant digits, or as many more as tell them apart.

    >>> distinct(1123.4, 507), distinct(2001.2, 2004.8), distinct(0.00012345, -7e9)
    (['1,120', '507'], ['2,001', '2,005'], ['0.000123', '-7e+09'])
    """
    texts = list[str]()
    for digits in range(3, 10):
        kept = [float(f"{number:.{digits}g}") + 0.0 for number in numbers]  # + 0.0: no minus zero
        texts = [f"{x:,.0f}" if 1e3 <= abs(x) < 1e7 and x.is_integer() else f"{x:.{digits}g}" for x in kept]
        if len(set(texts)) == len(set(numbers)):
            break
    return texts


def percent(share: float) -> str:
    """Write a share as a percentage; with a decimal where it is close to none or to all.

    >>> percent(0.923), percent(0.004), percent(0.9996), percent(1.0)
    ('92 %', '0.4 %', '>99.9 %', '100 %')
    """
    number = 100 * share
    if 1 <= number <= 99 or number in (0, 100):
        return f"{number:.0f} %"
    return "<0.1 %" if number < 0.1 else ">99.9 %" if number > 99.9 else f"{number:.1f} %"
