"""Labels of the rows of any dataset by the rules of a card."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.dataset import Dataset
from kithkin.core.errors import FormatError, KithkinError, ParameterError, brief, check, listed
from kithkin.core.history import Step, digest
from kithkin.core.keys import Key
from kithkin.core.suggest import did_you_mean
from kithkin.core.totals import totals_of
from kithkin.io.streams.columns import WITH_VERSION
from kithkin.models.gates.card import COUNTS, HALF, LOGARITHMS, LONGEST, NONE, Card
from kithkin.models.gates.scorecard import label_rows
from kithkin.models.table.normalize import is_log_normalized
from kithkin.verbs.arguments.labels import label_column
from kithkin.verbs.arguments.normalization import check_table, holds_values
from kithkin.verbs.arguments.sets import columns_by_name

log = logging.getLogger("kithkin")
WANTED = "card must be a card that kithkin.card(ds, by) returned, or the file that it wrote"


def apply(
    ds: Dataset,
    card: Card | str | Path,
    *,
    on: str = "X",
    key: str | None = "obs/card",
) -> pd.DataFrame:
    """Label the rows of a dataset by the rules of a card, with no training and no reference.

    A rule holds for a row whose conditions give as many points as it needs. Of several that hold the one with the most
    points beyond that names the row, the first on ties; where none holds the row is "none". Where features of the card
    are not in the dataset, or values are missing, a rule needs the same share of the points that can still be had, and
    is not used if these are less than half of all.

    Parameters
    ----------
    ds
        The dataset, with counts for a card of counts; genes go by their name, symbol or identifier.
    card
        What `kithkin.card` returned, or the file that it wrote. In Python also its JSON as text.
    on
        Table to read: X, a layer, or a table in obsm.
    key
        Key under which the result is stored; without one it is only returned. "obs/card" stands for obs/card,
        obs/card_margin, and uns/card with the number of rows of each label.

    Returns
    -------
    DataFrame
        n rows: label (categorical, with "none"); margin: points of the best rule beyond those that it needs, negative
        where none holds, NaN where no rule can be used.

    Raises
    ------
    FormatError
        If the file is no card, or damaged.
    ParameterError
        If no rule can be used with the features of the dataset, or it holds values and the card is of counts.

    Examples
    --------
    >>> import kithkin as kk, tempfile
    >>> folder = tempfile.mkdtemp()
    >>> cells = kk.datasets.simulate_counts(800, 200, 3)
    >>> ds = kk.read(cells[:500].copy(), to=folder + "/a.zarr")
    >>> others = kk.read(cells[500:].copy(), to=folder + "/b.zarr")
    >>> found = apply(others, kk.card(ds, "group"))
    >>> right = found["label"].astype(str) == others.read("obs/group").astype(str)
    >>> bool(right.mean() > 0.95), found["label"].cat.categories.tolist()
    (True, ['0', '1', '2', 'none'])
    """
    rules, source = read_card(card)
    check_table(on, obsm=True)
    ds.need(on)
    counts = holds_counts(ds, on, rules, source)
    places, missing = found_features(ds, on, rules, source)
    target = Key.parse("card" if key is None else key, "obs")
    columns, about = [str(target), str(target.beside("obs", "_margin"))], str(target.beside("uns"))
    parameters = {"card": f"{len(rules.rules)} rules {digest(rules.json)}", "on": on}

    def compute() -> dict[str, Any]:
        tell_missing(ds, rules, missing)
        totals = totals_of(ds, on) if counts else None
        codes, margins = label_rows(rules, ds.blocks(on), places, totals, ds.execution)
        codes = np.where(codes >= 0, codes, len(rules.rules))
        names = [*rules.labels, NONE]
        sizes = pd.DataFrame({"n": np.bincount(codes, minlength=len(names))}, index=pd.Index(names, dtype=object))
        record = {"json": rules.json, "labels": sizes, "missing": np.array(missing, dtype=object), "params": parameters}
        margin = pd.Series(np.where(np.isfinite(margins), margins, np.nan), index=ds.obs_names, dtype=np.float32)
        return {columns[0]: label_column(ds, columns[0], codes, names), columns[1]: margin, about: record}

    step = Step("apply", 1, parameters, (on,), (*columns, about))
    found = ds.results(step, compute, store=key is not None, wanted=columns)
    label, margin = (pd.Series(found[column], index=ds.obs_names) for column in columns)
    return pd.DataFrame({"label": label, "margin": margin})


def read_card(card: Any) -> tuple[Card, str]:
    """Take a card as it is, from its JSON or from a file; return it with a name for messages.

    Raises
    ------
    FormatError
        If it is no card.
    KithkinError
        If the file is not there.

    Examples
    --------
    >>> read_card("no_such.json")
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: no_such.json is not there: write a card with kithkin.card(ds, by, to='card.json')
    """
    if isinstance(card, Card):
        return card, "the card"
    check(isinstance(card, (str, Path)), f"{WANTED}, got {brief(card)}")
    if isinstance(card, str) and card.lstrip().startswith("{"):
        return Card.from_json(card), "the card"
    path = Path(card).expanduser()
    check(not path.is_dir(), f"{WANTED}, and {path.name} is a folder")
    if not path.is_file():
        raise KithkinError(f"{path.name} is not there: write a card with kithkin.card(ds, by, to='card.json')")
    if path.stat().st_size > 4 * LONGEST:
        raise FormatError(f"{path.name} is no card: it takes {path.stat().st_size:,} bytes")
    try:
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise FormatError(f"{path.name} is no card, as it is not text") from error
    return Card.from_json(text, path.name), path.name


def holds_counts(ds: Dataset, on: str, rules: Card, source: str) -> bool:
    """Tell whether values are to be normalised; refuse a table in another unit than that of the card.

    Logarithms of counts are taken as they are, with a warning, as they may be per another total than 10,000.
    """
    if rules.unit not in (COUNTS, LOGARITHMS):
        return False
    logarithms = is_log_normalized(ds.blocks(on))
    if rules.unit == LOGARITHMS:
        said = f"{source} is of logarithms of counts, and {on} of {ds.name} does not hold such"
        check(logarithms, f"{said}: give it values that are normalised in the same way")
        return False
    if logarithms:
        log.warning("%s of %s is log-normalised: its values are taken as log1p of counts per 10,000", on, ds.name)
        return False
    values = Key.parse(on).place == "obsm" or holds_values(ds, on, "log1p")
    check(
        not values, f"{source} is of counts, and {on} of {ds.name} holds other values: name a table of counts with on"
    )
    return True


def found_features(ds: Dataset, on: str, rules: Card, source: str) -> tuple[list[int], list[str]]:
    """Find the features of a card among the columns of a table: their places, -1 for those that are missing, and these.

    Raises
    ------
    ParameterError
        If so many are missing that no rule can be used.
    """
    present = columns_by_name(ds, on)
    places = []
    for feature in rules.features:
        stable = WITH_VERSION.fullmatch(feature)
        own = present.get(feature) or (present.get(stable[1]) if stable else None)
        places.append(own[0] if own else -1)
    missing = [feature for feature, place in zip(rules.features, places, strict=True) if place < 0]
    if len(unusable(rules, missing)) == len(rules.rules):
        said = f"no rule of {source} can be used, as {ds.name} lacks {len(missing)} of its {len(places)} features"
        near = did_you_mean(missing[0], {name: name for name in present})
        raise ParameterError(f"{said}: {listed(missing, quoted=False)}{near}")
    return places, missing


def unusable(rules: Card, missing: list[str]) -> list[str]:
    """Name the rules of which less than half of the points can be had without some features."""
    gone = set(missing)
    left = {
        rule.name: sum(one.points for one in rule.conditions if one.feature not in gone) / rule.total
        for rule in rules.rules
    }
    return [name for name, share in left.items() if share < HALF]


def tell_missing(ds: Dataset, rules: Card, missing: list[str]) -> None:
    """Name the features that are missing in one sentence, and the rules that are weaker for it or not used."""
    if not missing:
        return
    gone, refused = set(missing), unusable(rules, missing)
    weaker = [
        rule.name
        for rule in rules.rules
        if rule.name not in refused and any(one.feature in gone for one in rule.conditions)
    ]
    ends = [(weaker, "weaker for it: the rules of"), (refused, "not used, with less than half of their points left:")]
    said = "; ".join(f"{words} {listed(names, quoted=False)}" for names, words in ends if names)
    what = f"{len(missing)} of the {len(rules.features)} features of the card are not in {ds.name}"
    log.warning("%s: %s; %s", what, listed(missing, quoted=False), said)
