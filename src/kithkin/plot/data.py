"""Data of figures: groups, values, and normalised expression of a few genes."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import pandas as pd
from matplotlib.colors import is_color_like, to_rgba_array

from kithkin.core.alignment import align
from kithkin.core.blocks import Array
from kithkin.core.errors import ParameterError, brief, check, check_choice, check_range
from kithkin.core.keys import Key, fields_by_group
from kithkin.core.named import columns_of_tables, named_values
from kithkin.core.suggest import did_you_mean
from kithkin.core.totals import totals_of
from kithkin.models.table.normalize import is_log_normalized, row_scale

if TYPE_CHECKING:
    from kithkin.core.dataset import Dataset

NAMED = "a key, an obs column, a gene, or a column of a table such as 'obsm/X_pca/0'"
MOST_GENES = 1000  # of a group in a figure
MOST_CLASSES, MOST_IN_TURN = 20, 100  # whole numbers that are classes: any, and those that count up without a gap

Genes: TypeAlias = Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True)
class Numbers:
    """One value per observation; NaN where missing."""

    title: str
    values: Array
    unit: str = ""


@dataclass(frozen=True)
class Groups:
    """One group per observation: a code into the names, -1 where missing."""

    title: str
    codes: Array
    names: list[str]
    colors: Array | None = None  # k x 4, where they are stored or have been chosen
    computed: bool = False  # whether a step of this dataset made them

    def sizes(self) -> Array:
        """Count the observations in each group."""
        return np.bincount(self.codes[self.codes >= 0], minlength=len(self.names))


def value_range(values: Array, percentiles: tuple[float, float]) -> tuple[float, float]:
    """Find the ends of a scale: percentiles, or the smallest and largest value where they are equal; 0, 1 of none."""
    if not len(values):
        return 0.0, 1.0
    low, high = (float(end) for end in np.percentile(values, percentiles))
    # equal: a gene that fewer cells express than are clipped away
    return (low, high) if low < high else (float(values.min()), float(values.max()))


def describe(
    ds: Dataset, what: Any, normalize: str | None = "log1p", *, name: str = "color", classes: bool = True
) -> Numbers | Groups:
    """Read values or groups, one per observation, from a key, the name of a gene, or an array.

    Text, booleans, categoricals and whole numbers that are classes (`are_classes`) are groups, all other numbers are
    values. A Series is brought into the order of the observations by its index. `name` is that of the parameter, for
    messages. Without `classes` all numbers are values.

    Raises
    ------
    ParameterError
        If there is nothing of that name, not one entry per observation, or other names in the index.
    MissingResultError
        If the key names a result that is not there.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> ds = SimpleNamespace(n_obs=3)
    >>> describe(ds, np.array(["T", "B", "T"])).names
    ['B', 'T']
    """
    if isinstance(what, str):
        if what.startswith("obsm/"):
            held = named_values(ds, what)
            if held is None:
                raise ParameterError(f"{name} must be {NAMED}, got {what!r}{_near(ds, what)}")
            return _classify(ds, held[1], str(held[1].name), name, classes=classes)
        key = Key.parse(what, "obs", option=name) if what else None  # a variable may have no name
        if key is not None and str(key) in ds:
            found = _classify(ds, ds.read(str(key)), key.name, name, classes=classes)
            return found if isinstance(found, Numbers) else _with_colors(ds, found)
        if what in ds.var_names or what in ds.var_labels:
            _, values = next(gene_slabs(ds, [what], normalize))
            if is_plain(ds):
                return Numbers(what, values[:, 0])
            return Numbers(what, values[:, 0], "counts" if normalize is None else "log(1 + counts per 10,000)")
        if hasattr(ds, "keys") and (column := named_values(ds, what)) is not None:  # of a table in obsm
            return _classify(ds, column[1], what, name, classes=classes)
        if str(key) == what:
            ds.read(what)  # raises the error that names the verb
        raise ParameterError(f"{name} must be {NAMED}, got {what!r}{_near(ds, what)}")
    return _classify(ds, by_name(ds, what, name), str(getattr(what, "name", None) or ""), name, classes=classes)


def _near(ds: Dataset, what: str) -> str:
    """Ask for what was probably meant: a column of obs or of a table in obsm, or a gene."""
    tables = {one: one for one in columns_of_tables(ds)} if hasattr(ds, "keys") else {}
    return did_you_mean(what, {**words_of_genes(ds), **tables, **{str(column): str(column) for column in ds.obs}})


def words_of_genes(ds: Dataset) -> dict[str, str]:
    """Map words by which a variable may be looked up to what it is called in figures."""
    return ds.words("var") if hasattr(ds, "words") else dict(zip(ds.var_names, ds.var_names, strict=True))


def is_plain(ds: Dataset) -> bool:
    """Tell whether X holds values that are no expression of genes, and that nothing is to be done to."""
    return getattr(ds, "kind", "counts") != "counts" and not is_log_normalized(ds.blocks("X"))


def _with_colors(ds: Dataset, labels: Groups) -> Groups:
    """Add the colours that are stored as scanpy does, and whether there are settings of the step that made them."""
    colors, stored = None, f"uns/{labels.title}_colors"
    if stored in ds:
        listed = np.asarray(ds.read(stored)).astype(str).ravel().tolist()
        if len(listed) >= len(labels.names) and all(map(is_color_like, listed)):
            colors = np.asarray(to_rgba_array(listed[: len(labels.names)]), float)
    return replace(labels, colors=colors, computed=f"uns/{labels.title}" in ds)


def by_name(ds: Dataset, values: Any, name: str) -> Any:
    """Bring a Series or DataFrame into the order of the observations by its index; anything else stays as it is.

    Raises
    ------
    ParameterError
        If the index has as many entries, but other ones than the names of the observations.
    """
    return align(values, ds.obs_names, name) if isinstance(values, (pd.Series, pd.DataFrame)) else values


def are_classes(column: pd.Series[Any]) -> bool:
    """Tell whether whole numbers are the labels of classes, such as digits, and not measurements.

    They are where none is negative, each stands in two rows or more, and there are at most 20 of them, or at most 100
    that count up from 0 or 1 without a gap; a single one is none.

    Examples
    --------
    >>> are_classes(pd.Series([3, 8, 8, 3])), are_classes(pd.Series([3, 8, 9])), are_classes(pd.Series([0.0, 1.0] * 2))
    (True, False, False)
    """
    if not pd.api.types.is_integer_dtype(column.dtype):
        return False
    sizes = column.value_counts()
    if len(sizes) < 2 or sizes.min() < 2 or sizes.index.min() < 0:
        return False
    in_turn = sizes.index.min() <= 1 and sizes.index.max() - sizes.index.min() == len(sizes) - 1
    return len(sizes) <= (MOST_IN_TURN if in_turn else MOST_CLASSES)


def _classify(ds: Dataset, values: Any, title: str, name: str, *, classes: bool = True) -> Numbers | Groups:
    """Take text, booleans, categoricals and classes as groups, and all other numbers as values."""
    series = pd.Series(values) if np.ndim(values) == 1 else None
    if series is None or len(series) != ds.n_obs:
        shape = " x ".join(map(str, np.shape(values))) or "a single value"
        raise ParameterError(f"{name} must have one value per observation: {ds.n_obs}, got {shape}")
    if not isinstance(series.dtype, pd.CategoricalDtype):
        numeric = pd.api.types.is_numeric_dtype(series) and not pd.api.types.is_bool_dtype(series)
        if numeric and not (classes and are_classes(series)):
            return Numbers(title, series.to_numpy(dtype=float, na_value=np.nan))
        # in the order that a person expects: 2 before 10
        text = series.astype("string")
        order = sorted(text.dropna().unique().tolist(), key=lambda t: (0, int(t), "") if t.isdecimal() else (1, 0, t))
        series = text.astype(pd.CategoricalDtype(order))
    names = [str(category) for category in series.cat.categories]
    return Groups(title, series.cat.codes.to_numpy(dtype=np.int64), names)


def groups(ds: Dataset, by: Any) -> Groups:
    """Read the groups that `by` names, or that it lists for every observation.

    Raises
    ------
    ParameterError
        If `by` holds numbers, or no group at all.
    """
    if isinstance(by, str):
        key = Key.parse(by, "obs", option="by")
        labels = _classify(ds, ds.read(str(key)), key.name, "by")
        labels = labels if isinstance(labels, Numbers) else _with_colors(ds, labels)
    else:
        labels = _classify(ds, by_name(ds, by, "by"), str(getattr(by, "name", None) or ""), "by")
    if isinstance(labels, Numbers):
        raise ParameterError("by must be groups, got numbers: make them a pandas Categorical if they are labels")
    check(bool((labels.codes >= 0).any()), "by must hold at least one group, got only missing values")
    return labels


def gene_slabs(
    ds: Dataset, genes: Sequence[str], normalize: str | None = "log1p", rows: Array | None = None
) -> Iterator[tuple[slice, Array]]:
    """Yield values of genes for every observation, a few genes at a time so that they fit in the memory budget.

    Each part is a slice of `genes`, and float32 observations x genes: log(1 + 10,000 x count / total of the cell), but
    for values that are log-normalised already; as stored where `normalize` is None. `rows` are the only observations
    to read.

    Raises
    ------
    ParameterError
        If a gene is not in the dataset.
    MissingResultError
        If counts are to be normalised and nobody has measured the cells yet.
    """
    check_choice("normalize", normalize, ("log1p", None))
    known = {*ds.var_names, *ds.var_labels}
    absent = [gene for gene in genes if not isinstance(gene, str) or gene not in known]
    if absent:
        near = did_you_mean(str(absent[0]), words_of_genes(ds))
        found = ", ".join(map(str, absent[:5]))
        raise ParameterError(f"genes must be names of the dataset's variables, not found: {found}{near}")
    width = max(1, int(ds.execution.memory // (32 * max(1, ds.n_obs))))
    factor = None
    if normalize is not None and not is_plain(ds) and not is_log_normalized(ds.blocks("X")):
        if "obs/n_counts" not in ds:
            ds.read("obs/n_counts")  # raises the error that names the verb
        totals = totals_of(ds, "X")
        totals = totals if rows is None else totals[rows]
        factor = row_scale(totals).astype(np.float32)[:, None]
    for start in range(0, len(genes), width):
        names = list(genes[start : start + width])
        counts = ds.genes(names)
        values = np.asarray(counts if rows is None else counts[rows], dtype=np.float32)
        yield slice(start, start + len(names)), values if factor is None else np.log1p(values * factor)


def choose_genes(ds: Dataset, labels: Groups, genes: Genes, n_genes: int) -> dict[str, list[str]]:
    """Choose the genes to show under the name of the group they belong to, each gene once; a list of names is under "".

    None chooses the best `n_genes` markers of every group in uns/rank_genes_groups. One that several groups share goes
    where its score is highest, and the others take their next ones.

    Raises
    ------
    ParameterError
        If there is no gene, or the markers were made for other groups.
    MissingResultError
        If there are no markers and no genes were given.
    """
    if genes is None:
        check_range("n_genes", n_genes, 1, MOST_GENES)
        symbols = dict(zip(ds.var_names, ds.var_labels, strict=True))
        markers = ds.read("uns/rank_genes_groups")
        names, scores, fields = markers["names"], markers.get("scores"), fields_by_group(markers)
        known = [group for group in labels.names if group in fields]
        made_for = str(markers.get("params", {}).get("groupby", "")).rpartition("/")[2]
        other = bool(made_for and labels.title and made_for != labels.title)  # "0", "1" are names in many a partition
        if other or not known:
            made_for = made_for or "other groups"
            raise ParameterError(
                f"uns/rank_genes_groups was made for {made_for}, not for {labels.title!r}: "
                "run kithkin.markers(ds, by=...) for these groups, or give genes"
            )
        ranked = {group: [str(gene) for gene in names[fields[group]]] for group in known}
        levels = {
            group: [-float(rank) for rank in range(len(listed))] if scores is None else scores[fields[group]].tolist()
            for group, listed in ranked.items()
        }
        if "effects" in markers:  # columns of values may be low
            levels = {group: [abs(level) for level in some] for group, some in levels.items()}
        owner: dict[str, tuple[float, str]] = {}
        first = dict.fromkeys(known, 0)
        waiting = [group for group in known for _ in range(n_genes)]
        while waiting:  # a group asks for its next best gene where another one has a higher score for the last
            group = waiting.pop(0)
            while (rank := first[group]) < len(ranked[group]):
                first[group] += 1
                gene, level = ranked[group][rank], levels[group][rank]
                if gene not in owner or level > owner[gene][0]:
                    if gene in owner:
                        waiting.append(owner[gene][1])
                    owner[gene] = (level, group)
                    break
        sets = {
            group: [symbols.get(gene, gene) for gene in listed if owner.get(gene, (0, ""))[1] == group]
            for group, listed in ranked.items()
        }
    else:
        given = genes if isinstance(genes, Mapping) else {"": genes}
        for names in given.values():
            good = isinstance(names, Iterable) and not isinstance(names, (str, Mapping))
            check(good, f"genes must be a list of names, or of lists by group, got {brief(genes)}")
        sets = {str(group): [str(gene) for gene in names] for group, names in given.items()}
    seen: set[str] = set()
    once = {group: [g for g in names if not (g in seen or seen.add(g))] for group, names in sets.items()}  # type: ignore[func-returns-value]
    once = {group: names for group, names in once.items() if names}
    check(bool(once), "genes must name at least one gene")
    return once
