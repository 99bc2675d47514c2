"""Answers to calls with wrong arguments, and errors within a method, which stay as they are."""

import inspect

import pytest

from kithkin.core.calls import answer_calls
from kithkin.core.errors import CallError, KithkinError


@answer_calls
class Book:
    """Pages.

    Parameters
    ----------
    title
        What is on its cover.
    """

    def __init__(self, title="", *, year=0):
        self.title, self.year = title, int(year)

    def read(self, page, *, lines=1):
        """Read a page."""
        return [page] * lines

    def _hidden(self):
        return None


def test_right_calls_and_signatures_are_as_before():
    assert Book().read(3, lines=2) == [3, 3]
    assert list(inspect.signature(Book.read).parameters) == ["self", "page", "lines"]
    assert Book.read.__doc__ == "Read a page."


@pytest.mark.parametrize(("given", "said"), [({}, "needs 'page'"), ({"page": 1, "line": 2}, "Did you mean 'lines'")])
def test_wrong_calls_are_refused(given, said):
    with pytest.raises(CallError, match=said) as caught:
        Book().read(**given)
    assert isinstance(caught.value, (KithkinError, TypeError))


def test_wrong_constructions_are_refused_in_the_name_of_the_class():
    with pytest.raises(CallError, match=r"^Book\(\) has no parameter 'yaer'\. Did you mean 'year'\?$"):
        Book(yaer=1)
    with pytest.raises(CallError, match=r"^Book\(\) takes title by position, got 2 values"):
        Book("a", 1)
    assert list(inspect.signature(Book).parameters) == ["title", "year"]


def test_errors_within_a_method_are_its_own():
    with pytest.raises(TypeError, match="multiply") as caught:
        Book().read(3, lines="x")
    assert not isinstance(caught.value, KithkinError)
    with pytest.raises(TypeError, match="positional") as caught:
        Book()._hidden(1)
    assert not isinstance(caught.value, KithkinError)
