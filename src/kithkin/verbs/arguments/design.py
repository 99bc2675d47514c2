"""Designs: which samples are compared by their condition, and what else about them is taken into account."""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.dataset import Dataset
from kithkin.core.errors import ParameterError, brief, check, check_known
from kithkin.core.keys import Key
from kithkin.verbs.arguments.labels import Labels, as_labels, few, label_texts
from kithkin.verbs.arguments.samples import groups_of

log = logging.getLogger("kithkin")
FEWEST = 2  # samples of a condition
TERM = re.compile(r"`([^`]+)`|([\w./]+)")
PLUS = re.compile(r"\+(?=(?:[^`]*`[^`]*`)*[^`]*$)")  # within backticks it belongs to a name
EXAMPLE = "'~ donor + condition'"


@dataclass(frozen=True)
class SampleDesign:
    """Samples with their condition and covariates.

    Attributes
    ----------
    samples
        Sample of each cell; -1 where the sample or its condition is missing.
    by
        Key of the condition, such as "obs/condition".
    levels
        Its labels, the reference first.
    terms
        Keys of the covariates.
    table
        A row for each sample: its condition, and its covariates as labels or as numbers.
    """

    samples: Labels
    by: str
    levels: list[str]
    terms: list[str]
    table: pd.DataFrame

    @property
    def formula(self) -> str:
        """The design as a formula, such as "~ donor + condition"."""
        return "~ " + " + ".join(Key.parse(key).name for key in (*self.terms, self.by))

    @property
    def parameters(self) -> dict[str, Any]:
        """Parameters of tests over these samples, as they are recorded."""
        said = {"by": self.by, "sample": self.samples.key, "design": self.formula}
        return said | {"reference": self.levels[0]}

    def named_table(self) -> pd.DataFrame:
        """Return the table with the names of its columns in place of their keys."""
        table = self.table.rename(columns=lambda key: Key.parse(key).name)
        return table.rename_axis(Key.parse(self.samples.key).name)

    def sides(self, used: Array) -> dict[str, int]:
        """Count the samples with each condition among those that are used."""
        counts = self.table[self.by][used].value_counts()
        return {level: int(counts.get(level, 0)) for level in self.levels}

    def testable(self, used: Array) -> tuple[Array, str]:
        """Find the samples to compare among those that are used, and the reason why they cannot be compared, or "".

        Conditions that two samples or more have are compared, the reference among them.
        """
        sides = self.sides(used)
        enough = [level for level, n in sides.items() if n >= FEWEST]
        kept: Array = used & self.table[self.by].isin(enough).to_numpy()
        if self.levels[0] not in enough or len(enough) < FEWEST:
            return kept, numbers_of(sides)
        columns = self.columns(kept)
        k = columns.shape[1]
        if np.linalg.matrix_rank(columns) < k:
            return kept, self.confounded(kept)
        if kept.sum() <= k:
            return (
                kept,
                f"{self.formula} has {k} coefficients for {kept.sum()} samples: name fewer columns in the design",
            )
        return kept, ""

    def columns(self, used: Array, terms: list[str] | None = None) -> Array:
        """Make the columns of the design: an intercept, the covariates, and one for each condition but the reference.

        Numbers are centred and scaled. A label or number that all samples share has no column.
        """
        table = self.table[used]
        parts = [np.ones((len(table), 1))]
        for term in self.terms if terms is None else terms:
            values = table[term]
            if values.dtype.kind == "f":
                scaled = (values - values.mean()) / values.std()
                parts += [scaled.to_numpy()[:, None]] if len(values.unique()) > 1 else []
            else:
                parts.append(indicators(values, list(values.cat.remove_unused_categories().cat.categories[1:])))
        parts.append(indicators(table[self.by], self.compared(used)))
        return np.concatenate(parts, axis=1)

    def compared(self, used: Array) -> list[str]:
        """List the conditions that samples have, without the reference: the last columns of the design."""
        return [level for level, n in self.sides(used).items() if n and level != self.levels[0]]

    def confounded(self, used: Array) -> str:
        """Say which covariate the condition cannot be told from."""
        for term in self.terms:
            alone = self.columns(used, [term])
            if np.linalg.matrix_rank(alone) < alone.shape[1]:
                return f"{self.by} cannot be told from {term}, which determines it: leave {term} out of the design"
        return f"the columns of {self.formula} determine one another: leave one out"


def listed_tests(stored: Mapping[str, Any], names: Sequence[str]) -> pd.DataFrame:
    """List stored tests of conditions in one table, with the reference behind the group and the level.

    Examples
    --------
    >>> stored = {"group": ["a"], "level": ["drug"], "pval": [0.5], "params": {"reference": "none"}}
    >>> listed_tests(stored, ("group", "level", "pval")).to_numpy().tolist()
    [['a', 'drug', 'none', 0.5]]
    """
    table = pd.DataFrame({name: stored[name] for name in names})
    table.insert(2, "reference", pd.Series([str(stored["params"]["reference"])] * len(table), dtype="category"))
    return table


def indicators(labels: pd.Series[Any], names: list[str]) -> Array:
    """Make a column of zeros and ones for each name."""
    return np.stack([np.zeros(len(labels)), *((labels == name).to_numpy(float) for name in names)], axis=1)[:, 1:]


def design_of(
    ds: Dataset, by: str, sample: str, design: str | None, reference: str | None, verb: str = "contrast"
) -> SampleDesign:
    """Resolve the condition, samples and covariates that a verb is asked for, and check that they can be compared.

    Raises
    ------
    MissingResultError
        If a column is not there.
    ParameterError
        If the formula cannot be read, a sample has several conditions or values of a covariate, a covariate is missing
        or infinite, a condition has fewer than two samples, or the condition cannot be told from a covariate.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> ds = kk.read(np.eye(8), to=tempfile.mkdtemp() + "/a.zarr")
    >>> for name, labels in (("s", "aabbccdd"), ("drug", "nnnnyyyy"), ("donor", "uuvvuuvv")):
    ...     _ = kk.annotate(ds, name, list(labels))
    >>> found = design_of(ds, "drug", "s", "~ donor + drug", None)
    >>> found.levels, found.columns(np.ones(4, bool)).astype(int).tolist()
    (['n', 'y'], [[1, 0, 0], [1, 1, 0], [1, 0, 1], [1, 1, 1]])
    >>> design_of(ds, "donor", "drug", None, None)
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: sample must name samples of one donor each, but n has u, v: ...
    """
    condition, samples = groups_of(ds, by, "by"), groups_of(ds, sample, "sample")
    apart = f"by must name a condition that several samples share, and {condition.key} is the column of the samples"
    check(condition.key != samples.key, apart)
    check(len(condition.names) >= 2, f"{condition.key} must have two conditions or more, got {few(condition.names)}")
    if reference is not None:
        (reference,) = label_texts(pd.Series([reference], dtype=object))
        check_known([reference], condition.names, f"reference: {condition.key} has no label")
    first = condition.names[0] if reference is None else reference
    levels = [first, *(name for name in condition.names if name != first)]
    codes = np.where(condition.codes < 0, -1, samples.codes).astype(np.int32)
    samples = Labels(samples.key, codes, samples.names)
    there = np.unique(codes[codes >= 0])
    pairs = samples.contingency(condition) > 0
    exchanged = bool((pairs.sum(axis=0) <= 1).all()) and not bool((pairs.sum(axis=1) <= 1).all())
    advice = f"by={samples.key!r} and sample={condition.key!r} may be what is meant"
    joined = advice if exchanged else "give each donor and condition a sample of its own, such as donor1_drug"
    each = f"sample must name samples of one {Key.parse(condition.key).name} each"
    found = {condition.key: labels_of_samples(samples, condition.codes, condition.names, each, joined)}
    terms = [key for key in terms_of(ds, design, condition.key) if key != condition.key]
    found |= {key: covariate(ds, samples, key) for key in terms}
    table = pd.DataFrame(found, index=pd.Index(samples.names, dtype=object, name=samples.key)).iloc[there]
    for key in terms:
        if len(table[key].unique()) == 1:
            log.warning("%s is the same in all samples, and is left out of the design", key)
    position = np.full(len(samples.names) + 1, -1, np.int32)
    position[there] = np.arange(len(there))
    resolved = SampleDesign(
        Labels(samples.key, position[codes], list(table.index)), condition.key, levels, terms, table
    )
    everyone = np.ones(len(table), bool)
    kept, reason = resolved.testable(everyone)
    if reason == numbers_of(resolved.sides(everyone)):
        advice = f"list candidates with kithkin.markers(ds, by={condition.key!r}), or add samples"
        raise ParameterError(f"{verb} compares samples, and {condition.key} has {reason}: {advice}")
    check(not reason, reason)
    if not kept.all():
        log.warning("conditions with one sample are left out: %s", numbers_of(resolved.sides(everyone)))
    return resolved


def numbers_of(sides: dict[str, int]) -> str:
    """Say how many samples each condition has, where two are needed.

    Examples
    --------
    >>> numbers_of({"none": 1, "drug": 3})
    '1 sample of none, and 3 of drug, where two of each are needed'
    """
    (first, n), *rest = sides.items()
    more = [f"{m} of {level}" for level, m in rest]
    said = more if len(more) <= 4 else [*more[:4], "..."]
    return f"{n} {'sample' if n == 1 else 'samples'} of {first}, and {', '.join(said)}, where two of each are needed"


def terms_of(ds: Dataset, design: str | None, by: str) -> list[str]:
    """Read the columns that a formula names, as keys.

    Raises
    ------
    ParameterError
        If it is no list of columns, or does not name the condition.
    MissingResultError
        If a column is not there.
    """
    if design is None:
        return [by]
    keys, wanted = list[str](), f"design must be columns of obs joined by +, such as {EXAMPLE}, got {brief(design)}"
    check(isinstance(design, str), wanted)
    for part in PLUS.split(design.strip().removeprefix("~")):
        match = TERM.fullmatch(part.strip())
        check(match is not None, f"{wanted}{why_not(part.strip())}")
        name = match[1] or match[2] if match else ""
        check(name != "0", f"{wanted}: the intercept stays")
        if name != "1":
            keys.append(str(Key.parse(name, "obs", option="design")))
    name = Key.parse(by).name
    own = name if TERM.fullmatch(name) else f"`{name}`"
    check(by in keys, f"design must name {own}, which is compared, such as '{design} + {own}', got {brief(design)}")
    ds.need(*keys)
    return list(dict.fromkeys(keys))


def why_not(part: str) -> str:
    """Say what a part of a formula is that is no column, or "".

    Examples
    --------
    >>> why_not("my col"), why_not("a * b")
    (': put `my col` into backticks, if it is the name of a column', ': interactions, such as *, are not possible')
    """
    if not part:
        return ""
    if "(" in part:
        return ": functions, such as C(), are not possible; a categorical column is taken as labels"
    if re.search(r"[*:^%]", part):
        return ": interactions, such as *, are not possible"
    return f": put `{part}` into backticks, if it is the name of a column"


def covariate(ds: Dataset, samples: Labels, key: str) -> Any:
    """Read a covariate of each sample: numbers as float64, and texts, categories and booleans as labels.

    Raises
    ------
    ParameterError
        If it is missing or infinite in a cell of a sample, or differs within one.
    """
    column, advice = ds.read(key), f"leave {key} out of the design"
    said = f"design must name columns that do not change within a sample, and {key} does"

    def first_with(wrong: Array) -> str:
        """Name the first sample with a cell that is wrong, or ""."""
        found = samples.codes[wrong & (samples.codes >= 0)]
        return samples.names[found.min()] if len(found) else ""

    lacking = first_with((column.isna() | (column == "")).to_numpy(bool))
    check(not lacking, f"{key} is missing in {lacking}, which is compared: {advice}, or fill it in")
    if pd.api.types.is_numeric_dtype(column.dtype) and not pd.api.types.is_bool_dtype(column.dtype):
        codes, values = pd.factorize(column)
        numbers = np.asarray(values, np.float64)
        endless = first_with(np.append(np.isinf(numbers), False)[codes])
        check(not endless, f"{key} is infinite in {endless}, which is compared: {advice}, or give it a number")
        own = own_of_samples(samples, codes, short(numbers), said, advice)
        if (numbers == np.floor(numbers)).all():
            log.warning("the whole numbers of %s are a covariate: make it a categorical column to take labels", key)
        return np.where(own < 0, np.nan, numbers[own])
    labels = as_labels(column, key, "design").cat.remove_unused_categories()
    names = label_texts(pd.Series(labels.cat.categories))
    return labels_of_samples(samples, labels.cat.codes.to_numpy(), names, said, advice)


def short(numbers: Array) -> list[str]:
    """Write numbers with six digits, or with all of them where two would look alike.

    Examples
    --------
    >>> short(np.array([0.1257302210933933, 2])), short(np.array([1.00000001, 1]))
    (['0.12573', '2'], ['1.00000001', '1.0'])
    """
    texts = [f"{number:g}" for number in numbers]
    return texts if len(set(texts)) == len(texts) else [repr(float(number)) for number in numbers]


def labels_of_samples(samples: Labels, codes: Array, names: list[str], said: str, advice: str) -> pd.Categorical:
    """Take the label of each sample, missing of one without cells."""
    own = own_of_samples(samples, codes, names, said, advice)
    return pd.Categorical.from_codes(own, pd.Index(names, dtype=object))


def own_of_samples(samples: Labels, codes: Array, names: list[str], said: str, advice: str) -> Array:
    """Take the code of each sample, -1 of one without cells.

    Messages begin with `said`, and end with `advice`.

    Raises
    ------
    ParameterError
        If cells of one sample have several codes.
    """
    counts, known = np.zeros((len(samples.names), len(names)), np.int64), (samples.codes >= 0) & (codes >= 0)
    np.add.at(counts, (samples.codes[known], codes[known]), 1)
    mixed = np.flatnonzero((counts > 0).sum(axis=1) > 1)
    if len(mixed):
        held = few(np.array(names, dtype=object)[counts[mixed[0]] > 0])
        raise ParameterError(f"{said}, but {samples.names[mixed[0]]} has {held}: {advice}")
    own: Array = np.where(counts.any(axis=1), counts.argmax(axis=1), -1)
    return own
