"""A card reads back as it was written, says its rules in words, and refuses all that is no card."""

import json

import numpy as np
import pytest

from kithkin.core.errors import FormatError
from kithkin.models.gates.card import COUNTS, PLAIN, Card, Condition, Rule, best_rules


def card(unit=COUNTS):
    b = Rule("CD19+ B", (Condition("MS4A1", True, 0.7, 3), Condition("CD3D", False, 0.4, 2)), 4, 0.98, 0.9)
    t = Rule('T, "naive" ü', (Condition("CD3D", True, 1.1, 1), Condition("a > b", False, -2.5, 1)), 2, None, 0.5)
    return Card("obs/kind", unit, (b, t))


def test_a_card_reads_back_as_it_was_written():
    for unit in (COUNTS, PLAIN):
        assert Card.from_json(card(unit).json) == card(unit)
    assert json.loads(card().json)["rules"]["CD19+ B"]["points"] == {"MS4A1>0.7": 3, "CD3D<=0.4": 2}


@pytest.mark.parametrize("feature", ["a>1", "a<=2", "x y", "é", "a>", "1e5", 'q"uote', "new\nline", "\\"])
@pytest.mark.parametrize("threshold", [0.0, -1.0, 1e-300, 12345678.9, 1e22, -2.5e-7, 0.1])
def test_any_name_and_number_reads_back(feature, threshold):
    rule = Rule("k", (Condition(feature, True, threshold, 1), Condition("z", False, threshold, 9)), 1)
    made = Card("", PLAIN, (rule,))
    assert Card.from_json(made.json) == made


def test_rules_are_said_in_words():
    lines = card().text.splitlines()
    assert lines[0] == "CD19+ B: MS4A1 above 0.7 (3), no CD3D (2): 4 of 5 points; precision 0.98, recall 0.90"
    assert lines[1].startswith('T, "naive" ü: CD3D above 1.1, a > b at most -2.5: all of them; recall 0.50')
    assert "CD3D at most 0.4" in card(PLAIN).text  # no log of counts


def test_margins_by_hand():
    values = np.array([[1.0, 0.0, 0.0], [0.5, 2.0, -3.0], [1.0, np.nan, 0.0], [np.nan, 0.0, 0.0]])
    margins = card().margins(values)  # MS4A1, CD3D, a > b
    np.testing.assert_allclose(margins[:, 0], [5 - 4, 0 - 4, 3 - 4 * 3 / 5, -np.inf])
    np.testing.assert_allclose(margins[:, 1], [0 - 2, 2 - 2, 0 - 2 / 2, 0 - 2])
    assert best_rules(margins).tolist() == [0, 1, 0, -1]


def test_the_panel_lists_each_feature_once_and_ends_with_all_points():
    panel = card().panel
    assert sorted(panel["feature"]) == sorted(card().features)
    assert panel["share"].is_monotonic_increasing
    assert panel["share"].iloc[-1] == 1
    assert panel.set_index("feature").loc["CD3D", ["clusters", "against"]].tolist() == ['T, "naive" ü', "CD19+ B"]


def changed(**changes):
    held = json.loads(card().json)
    rule = held["rules"]["CD19+ B"]
    for name, value in changes.items():
        target = held if name in held else rule
        if value is KeyError:
            del target[name]
        else:
            target[name] = value
    return json.dumps(held)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "no card, as it is not JSON: line 1"),
        ("{", "not JSON: line 1"),
        ("[" * 100_000, "not JSON"),
        ("[1, 2]", r"card must be an object with .*, got \[1, 2\]"),
        ("{}", "must have the format 'kithkin card 1', got None"),
        (changed(format="kithkin card 2"), "must have the format 'kithkin card 1', got 'kithkin card 2'"),
        (changed(unit="counts"), "unit must be one of .*, got 'counts'"),
        (changed(by=3), "by must be a text, got 3"),
        (changed(by=KeyError), "card lacks 'by'"),
        (changed(rules={}), "at least one rule"),
        (changed(rules={"none": {}}), "no rule may be named 'none'"),
        (changed(rules={"a": 1}), "rule 'a' must be an object"),
        (changed(need=0), r"must need 1\.\.5 points, got 0"),
        (changed(need=6), r"must need 1\.\.5 points, got 6"),
        (changed(need=True), r"must need 1\.\.5 points, got True"),
        (changed(need="4"), r"must need 1\.\.5 points, got '4'"),
        (changed(recall=2), r"recall must be in 0\.\.1 or null, got 2"),
        (changed(precision=KeyError), "lacks 'precision'"),
        (changed(points={}), "at least one condition"),
        (changed(points={"MS4A1": 3}), "must read like 'CD3D>0.7' or 'CD3D<=0.7', got 'MS4A1'"),
        (changed(points={"MS4A1>1e999": 3}), "must read like"),
        (changed(points={"MS4A1>__import__('os')": 3}), "must read like"),
        (changed(points={"MS4A1>0.7": 2.5}), r"must give 1\.\.99 points, got 2.5"),
        (changed(points={"MS4A1>0.7": 3, "MS4A1<=2": 3}), "names a feature twice"),
        ('{"format":"kithkin card 1","format":"kithkin card 1"}', "names 'format' twice"),
        (card().json.replace("0.98", "NaN"), "holds NaN, which is no number"),
        (json.dumps(json.loads(card().json) | {"extra": 1}), "alone, and has 'extra'"),
        (" " * 2_000_000, "at most 1,000,000 characters"),
        (7, "must be a text"),
    ],
)
def test_what_is_no_card_is_refused_in_one_sentence(text, said):
    with pytest.raises(FormatError, match=said) as caught:
        Card.from_json(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
