"""Cards: a rule for each cluster, of a few features with thresholds, as text, as JSON and as a panel."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from kithkin.core.blocks import Array
from kithkin.core.errors import FormatError, brief, listed

FORMAT = "kithkin card 1"
COUNTS, LOGARITHMS, PLAIN = "log1p of counts per 10,000", "logarithms of counts", "as they are"
UNITS = (COUNTS, LOGARITHMS, PLAIN)
NONE = "none"  # label of a row for which no rule holds
LONGEST = 1_000_000  # characters of a card
MOST_POINTS = 99
CONDITION = re.compile(r"(?P<feature>.+)(?P<sign>>|<=)(?P<threshold>-?\d+(?:\.\d+)?(?:e[+-]?\d+)?)", re.DOTALL)
FEW = math.log1p(1.0)  # logarithms of counts below it are of less than one in 10,000
HALF = 0.5  # of the points of a rule: with fewer to be had it is not used


@dataclass(frozen=True)
class Condition:
    """Condition of a rule, and the points that it gives.

    Examples
    --------
    >>> str(Condition("CD3D", False, 0.4, 2)), Condition("CD3D", False, 0.4, 2).words(COUNTS)
    ('CD3D<=0.4', 'no CD3D')
    >>> Condition("age", True, 40.0, 1).words(PLAIN), Condition("returns", False, 0.0, 1).words(PLAIN)
    ('age above 40', 'no returns')
    """

    feature: str
    above: bool
    threshold: float
    points: int

    def __str__(self) -> str:
        return f"{self.feature}{'>' if self.above else '<='}{number(self.threshold)}"

    @property
    def n_bytes(self) -> int:
        """Bytes that the condition takes in JSON."""
        return len(json.dumps(str(self), ensure_ascii=False).encode()) + len(f":{self.points},")

    def words(self, unit: str) -> str:
        """Say the condition in words."""
        few = FEW if unit == COUNTS else 0.0
        if self.above:
            return f"some {self.feature}" if self.threshold == 0 else f"{self.feature} above {number(self.threshold)}"
        none = self.threshold == 0 or 0 < self.threshold < few
        return f"no {self.feature}" if none else f"{self.feature} at most {number(self.threshold)}"


@dataclass(frozen=True)
class Rule:
    """Rule of a cluster: it holds for a row whose conditions give enough points.

    Attributes
    ----------
    name
        Name of the cluster.
    conditions
        Conditions, by descending points.
    need
        Points that are needed.
    precision, recall
        On held-out rows, 0 to 1; None where there were none to judge by.

    Examples
    --------
    >>> conditions = Condition("MS4A1", True, 0.7, 3), Condition("CD3D", False, 0.4, 2)
    >>> Rule("B", conditions, 4, 0.98, 0.95).text(COUNTS)
    'B: MS4A1 above 0.7 (3), no CD3D (2): 4 of 5 points; precision 0.98, recall 0.95'
    """

    name: str
    conditions: tuple[Condition, ...]
    need: int
    precision: float | None = None
    recall: float | None = None

    @property
    def total(self) -> int:
        """Points of all conditions."""
        return sum(one.points for one in self.conditions)

    def text(self, unit: str) -> str:
        """Say the rule in words."""
        equal = len({one.points for one in self.conditions}) == 1
        words = [one.words(unit) + ("" if equal else f" ({one.points})") for one in self.conditions]
        share = self.conditions[0].points if equal else 1
        needed, most = math.ceil(self.need / share), self.total // share
        kind = "" if equal else " points"
        held = "all of them" if needed == most else f"{needed} of {most}{kind}"
        judged = [
            f"{name} {value:.2f}"
            for name, value in (("precision", self.precision), ("recall", self.recall))
            if value is not None
        ]
        return f"{self.name}: {', '.join(words)}: {held}" + (f"; {', '.join(judged)}" if judged else "")


@dataclass(frozen=True)
class Card:
    """Rules that name the clusters of any dataset with the same features, as text, as JSON and as a panel.

    For each cluster at most a few conditions give points: a feature above a threshold, or at most that. The rule with
    the most points beyond those that it needs names a row; where none has enough, the row is "none".

    Attributes
    ----------
    by
        Column whose labels the rules give.
    unit
        Unit of the thresholds: "log1p of counts per 10,000", "logarithms of counts" or "as they are".
    rules
        A rule for each cluster.

    Examples
    --------
    >>> tall = Rule("tall", (Condition("height", True, 180.0, 1), Condition("returns", False, 0.0, 1)), 2, 1.0, 0.9)
    >>> small = Rule("small", (Condition("height", False, 165.0, 1),), 1)
    >>> card = Card("obs/kind", PLAIN, (tall, small))
    >>> print(card.text)
    tall: height above 180, no returns: all of them; precision 1.00, recall 0.90
    small: height at most 165: all of them
    >>> Card.from_json(card.json) == card, len(card.json)
    (True, 245)
    >>> card.panel["feature"].tolist(), card.panel["share"].tolist()
    (['height', 'returns'], [0.75, 1.0])
    """

    by: str
    unit: str
    rules: tuple[Rule, ...]

    def __str__(self) -> str:
        return self.text

    @property
    def labels(self) -> list[str]:
        """Names of the clusters."""
        return [rule.name for rule in self.rules]

    @property
    def features(self) -> list[str]:
        """Features that the rules use, in the order in which they come."""
        return list(dict.fromkeys(one.feature for rule in self.rules for one in rule.conditions))

    @property
    def text(self) -> str:
        """The rules in words, one a line."""
        return "\n".join(rule.text(self.unit) for rule in self.rules)

    @property
    def json(self) -> str:
        """The card as JSON, a rule a line."""
        head = {"format": FORMAT, "by": self.by, "unit": self.unit}
        lines = [f'"{name}":{_packed(value)},' for name, value in head.items()]
        rules = [f"{_packed(rule.name)}:{_packed(plain_rule(rule))}" for rule in self.rules]
        return "{" + "\n".join([*lines, '"rules":{', ",\n".join(rules), "}}"])

    @property
    def panel(self) -> pd.DataFrame:
        """Suggestion of a panel: the features in an order in which the first few serve the rules best.

        Columns: feature; clusters that it speaks for, and against; share: mean share of the points of the rules that
        this feature and those before it can give, 0 to 1.
        """
        gives = np.zeros((len(self.features), len(self.rules)))
        place = {feature: i for i, feature in enumerate(self.features)}
        for k, rule in enumerate(self.rules):
            for one in rule.conditions:
                gives[place[one.feature], k] += one.points / rule.total
        order, served = list[int](), np.zeros(len(self.rules))
        for _ in self.features:  # a rule that is served by half already gains less from the next feature
            gain = np.round((np.sqrt(served + gives) - np.sqrt(served)).sum(axis=1), 9)
            gain[order] = -1
            order.append(int(gain.argmax()))
            served = np.minimum(served + gives[order[-1]], 1.0)
        sides = [self._clusters(self.features[i]) for i in order]
        return pd.DataFrame(
            {
                "feature": [self.features[i] for i in order],
                "clusters": [", ".join(speak) for speak, _ in sides],
                "against": [", ".join(speak) for _, speak in sides],
                "share": np.round(np.cumsum(gives[order].mean(axis=1)), 4),
            }
        )

    @property
    def table(self) -> pd.DataFrame:
        """One row for each rule: rule in words, points needed and of all conditions, precision and recall."""
        rows = [(one.text(self.unit), one.need, one.total, one.precision, one.recall) for one in self.rules]
        columns = ["rule", "need", "points", "precision", "recall"]
        table = pd.DataFrame(rows, columns=columns, index=pd.Index(self.labels, dtype=object, name="cluster"))
        return table.astype({"precision": float, "recall": float})

    def margins(self, values: Array) -> Array:
        """Return the points of each rule beyond those that it needs, rows x rules float64.

        Values of the features, rows x features in their order, NaN where one is missing: a rule then needs the same
        share of the points that can be had, and does not hold (-inf) where these are less than half of all.
        """
        place = {feature: i for i, feature in enumerate(self.features)}
        out = np.empty((len(values), len(self.rules)))
        for k, rule in enumerate(self.rules):
            got, there = np.zeros(len(values)), np.zeros(len(values))
            for one in rule.conditions:
                column = values[:, place[one.feature]]
                got += one.points * (column > one.threshold if one.above else column <= one.threshold)
                there += one.points * ~np.isnan(column)
            out[:, k] = np.where(there < HALF * rule.total, -np.inf, got - rule.need * there / rule.total)
        return out

    def _clusters(self, feature: str) -> tuple[list[str], list[str]]:
        """List the clusters that a feature speaks for, and those that it speaks against."""
        sides = list[str](), list[str]()
        for rule in self.rules:
            for one in rule.conditions:
                if one.feature == feature:
                    sides[0 if one.above else 1].append(rule.name)
        return sides

    @staticmethod
    def from_json(text: str, name: str = "card") -> Card:
        """Read a card, after checking all of it; nothing in it is run.

        Raises
        ------
        FormatError
            If the text is not JSON, or not a card of this version; the message begins with `name`.
        """
        held = _object(parse(text, name), ("format", "by", "unit", "rules"), name)
        rules = held["rules"]
        _refuse(isinstance(held["by"], str), f"{name}: by must be a text, got {brief(held['by'])}")
        _refuse(held["unit"] in UNITS, f"{name}: unit must be one of {listed(UNITS)}, got {brief(held['unit'])}")
        _refuse(isinstance(rules, dict) and bool(rules), f"{name}: rules must hold at least one rule")
        _refuse(NONE not in rules, f"{name}: no rule may be named {NONE!r}, the label of rows for which none holds")
        return Card(
            held["by"], held["unit"], tuple(read_rule(one, rules[one], f"{name}: rule {one!r}") for one in rules)
        )


def best_rules(margins: Array) -> Array:
    """Return the number of the rule that holds by the largest margin, the first on ties, rows int32; -1 for none.

    >>> best_rules(np.array([[1.0, 2.0], [-1.0, -2.0], [0.0, 0.0]])).tolist()
    [1, -1, 0]
    """
    best = margins.argmax(axis=1)
    largest = np.take_along_axis(margins, best[:, None], 1)[:, 0]
    return np.where(largest >= 0, best, -1).astype(np.int32)


def number(value: float) -> str:
    """Write a number in as few characters as tell it from others.

    >>> number(40.0), number(0.71), number(1e-7), number(1234567.5)
    ('40', '0.71', '1e-07', '1234567.5')
    """
    return f"{value:.0f}" if float(value).is_integer() and abs(value) < 1e15 else repr(float(value))


def _packed(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain_rule(rule: Rule) -> dict[str, Any]:
    """Take a rule apart for JSON."""
    points = {str(one): one.points for one in rule.conditions}
    return {"need": rule.need, "points": points, "precision": rule.precision, "recall": rule.recall}


def _refuse(condition: bool, message: str) -> None:
    if not condition:
        raise FormatError(message)


def parse(text: Any, name: str) -> Any:
    """Parse JSON of a reasonable length, without keys that come twice and numbers that are none."""
    _refuse(isinstance(text, str) and len(text) <= LONGEST, f"{name} must be a text of at most {LONGEST:,} characters")

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        keys = [key for key, _ in pairs]
        twice = next((key for key in keys if keys.count(key) > 1), None) if len(set(keys)) < len(keys) else None
        _refuse(twice is None, f"{name} names {twice!r} twice")
        return dict(pairs)

    def no_number(word: str) -> Any:
        raise FormatError(f"{name} holds {word}, which is no number")

    try:
        return json.loads(text, object_pairs_hook=unique, parse_constant=no_number)
    except FormatError:
        raise
    except (ValueError, RecursionError) as error:
        said = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise FormatError(f"{name} is no card, as it is not JSON: {said}") from error


def _object(held: Any, keys: Sequence[str], name: str) -> dict[str, Any]:
    """Check that something is an object with exactly these keys."""
    _refuse(isinstance(held, dict), f"{name} must be an object with {listed(keys)}, got {brief(held)}")
    if "format" in keys:
        form = held.get("format")
        _refuse(form == FORMAT, f"{name} must have the format {FORMAT!r}, got {brief(form)}")
    missing = [key for key in keys if key not in held]
    _refuse(not missing, f"{name} lacks {listed(missing)}")
    other = [key for key in held if key not in keys]
    _refuse(not other, f"{name} must have {listed(keys)} alone, and has {listed(other)}")
    return dict(held)


def read_rule(cluster: str, held: Any, name: str) -> Rule:
    """Check the rule of a cluster."""
    held = _object(held, ("need", "points", "precision", "recall"), name)
    points = held["points"]
    _refuse(isinstance(points, dict) and bool(points), f"{name} must give points for at least one condition")
    conditions = tuple(read_condition(text, given, name) for text, given in points.items())
    features = [one.feature for one in conditions]
    _refuse(len(set(features)) == len(features), f"{name} names a feature twice")
    need, total = held["need"], sum(one.points for one in conditions)
    right = isinstance(need, int) and not isinstance(need, bool) and 1 <= need <= total
    _refuse(right, f"{name} must need 1..{total} points, got {brief(need)}")
    for word in ("precision", "recall"):
        share = held[word]
        known = isinstance(share, (int, float)) and not isinstance(share, bool) and 0 <= share <= 1
        _refuse(share is None or known, f"{name}: {word} must be in 0..1 or null, got {brief(share)}")
    return Rule(cluster, conditions, need, held["precision"], held["recall"])


def read_condition(text: str, points: Any, name: str) -> Condition:
    """Take a condition such as "CD3D>0.7" apart."""
    found = CONDITION.fullmatch(text)
    said = f"{name}: a condition must read like 'CD3D>0.7' or 'CD3D<=0.7', got {brief(text)}"
    if found is None or not math.isfinite(float(found["threshold"])):
        raise FormatError(said)
    right = isinstance(points, int) and not isinstance(points, bool) and 1 <= points <= MOST_POINTS
    _refuse(right, f"{name}: {brief(text)} must give 1..{MOST_POINTS} points, got {brief(points)}")
    return Condition(found["feature"], found["sign"] == ">", float(found["threshold"]), points)
