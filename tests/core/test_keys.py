"""Keys name a place of AnnData and stay inside it."""

import pytest

from kithkin.core.errors import ParameterError
from kithkin.core.keys import MADE_BY, PLACES, Key, made_by


@pytest.mark.parametrize("place", PLACES[1:])
def test_keys_are_split_at_the_first_slash(place):
    assert Key.parse(f"{place}/a") == Key(place, "a")
    assert Key.parse(f"{place}/a/b c") == Key(place, "a/b c")
    assert str(Key(place, "a/b c")) == f"{place}/a/b c"


@pytest.mark.parametrize(
    "key", ["", "X/", "X/data", "obs", "obs/", "leiden", "obs//a", "obs/../var", "/obs/a", "obs/.", "obs/a/", "OBS/a"]
)
def test_what_is_no_key_is_refused(key):
    with pytest.raises(ParameterError, match="key must be a key such as"):
        Key.parse(key)


def test_every_listed_key_is_a_key_and_every_call_a_verb():
    import kithkin as kk

    for key, call in MADE_BY.items():
        assert Key.parse(key).place in PLACES
        assert callable(getattr(kk, call.partition("(")[0]))
    assert made_by("obs/pct_anything") == "quality(ds)"
    assert made_by("obs/leiden_fine") is None


@pytest.mark.parametrize(
    ("key", "place", "expected"),
    [
        ("leiden", "obs", "obs/leiden"),
        ("obs/leiden", "obs", "obs/leiden"),
        ("mine", "var", "var/mine"),
        ("T/NK", "obs", "obs/T/NK"),
        ("uns", "obs", "obs/uns"),
    ],
)
def test_a_column_gets_its_place(key, place, expected):
    assert str(Key.parse(key, place)) == expected


def test_a_column_elsewhere_is_refused():
    with pytest.raises(ParameterError, match=r"^key must lie in obsm, such as 'obsm/x', got 'uns/x'$"):
        Key.parse("uns/x", "obsm")


def test_a_key_may_lie_in_several_places():
    assert str(Key.parse("mine", "uns", "obsp")) == "uns/mine"
    assert str(Key.parse("obsp/mine", "uns", "obsp")) == "obsp/mine"
    with pytest.raises(ParameterError, match=r"^by must lie in uns or obsp, such as 'uns/x', got 'obs/x'$"):
        Key.parse("obs/x", "uns", "obsp", option="by")


@pytest.mark.parametrize(("given", "expected"), [(None, "obs/leiden"), ("fine", "obs/fine"), ("obs/fine", "obs/fine")])
def test_a_result_lies_where_it_usually_does(given, expected):
    assert str(Key.of(given, "obs/leiden")) == expected


@pytest.mark.parametrize("text", ["", "obs/"])
def test_a_key_without_a_name_is_refused(text):
    with pytest.raises(ParameterError, match=f"^key must be a name such as 'obs/leiden', got '{text}'$"):
        Key.of(text, "obs/leiden")
