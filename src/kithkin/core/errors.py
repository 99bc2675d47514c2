"""Error classes, and the checks that raise them with one clear sentence."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from reprlib import Repr
from typing import Any

from kithkin.core.suggest import did_you_mean

MOST_LISTED = 12  # names in a message
SHORT = Repr()  # of a value in a message
SHORT.maxstring = SHORT.maxother = 60


class KithkinError(Exception):
    """Refusal of kithkin, in one sentence for a person.

    Examples
    --------
    >>> raise KithkinError("the disk is full")
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: the disk is full
    """


class ParameterError(KithkinError, ValueError):
    """Value that a caller gave and that is not possible.

    Examples
    --------
    >>> issubclass(ParameterError, ValueError)
    True
    """


class KeyFormError(ParameterError):
    """Key of an element without its place.

    Parameters
    ----------
    given
        The text that was given for a key.
    near
        Sentence with the keys that were probably meant, or "".
    name
        Parameter that it was given for, where that is known.

    Examples
    --------
    >>> str(KeyFormError("X_pca", ". Did you mean 'obsm/X_pca'?", "on"))
    "on must be a key such as 'obsm/X_pca', got 'X_pca'. Did you mean 'obsm/X_pca'?"
    """

    def __init__(self, given: Any, near: str = "", name: str = "key") -> None:
        self.given, self.near, self.name = given, near, name
        super().__init__(f"{name} must be a key such as 'obsm/X_pca', got {brief(given)}{near}")

    def __reduce__(self) -> tuple[type[KeyFormError], tuple[Any, str, str]]:
        return type(self), (self.given, self.near, self.name)


class CallError(KithkinError, TypeError):
    """Call with parameters that are not there, or without one that is needed.

    Examples
    --------
    >>> issubclass(CallError, TypeError)
    True
    """


class MissingResultError(KithkinError, KeyError):
    """Result that a step needs and that is not in the dataset yet.

    Examples
    --------
    >>> str(MissingResultError("obsm/X_pca is not in a.zarr"))
    'obsm/X_pca is not in a.zarr'
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class NotFittedError(KithkinError, ValueError, AttributeError):
    """Question to a model that only a fitted one can answer, as scikit-learn's error of this name.

    Examples
    --------
    >>> from kithkin.models import KMeans
    >>> KMeans(3).predict([[0.0, 1.0]])
    Traceback (most recent call last):
    kithkin.core.errors.NotFittedError: KMeans is not fitted: call its fit first
    """


class FormatError(KithkinError, ValueError):
    """File that does not hold what its format promises.

    Examples
    --------
    >>> issubclass(FormatError, ValueError)
    True
    """


def check(condition: bool, message: str) -> None:
    """Raise ParameterError with the message unless the condition holds."""
    if not condition:
        raise ParameterError(message)


def check_range(name: str, value: Any, low: float, high: float) -> None:
    """Raise ParameterError unless value is a number in low..high, and a whole one where both bounds are integers.

    Examples
    --------
    >>> check_range("n_clusters", 0, 2, 3774)
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: n_clusters must be in 2..3774, got 0
    """
    kind = str(getattr(getattr(value, "dtype", None), "kind", ""))
    single = isinstance(value, (int, float)) or (kind != "" and getattr(value, "ndim", 1) == 0)
    boolean = isinstance(value, bool) or kind == "b"
    within = single and not boolean and bool(low <= value <= high)
    bounds: list[Any] = [low, high]
    whole = not any(isinstance(bound, float) for bound in bounds)
    fraction = within and whole and (isinstance(value, float) or kind == "f")
    check(
        within and not fraction,
        f"{name} must be {'a whole number ' if fraction else ''}in {low}..{high}, got {brief(value)}",
    )


def check_seed(seed: Any) -> None:
    """Raise ParameterError unless a seed of random numbers is a whole number that NumPy takes.

    Examples
    --------
    >>> check_seed(-1)
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: seed must be in 0..4294967295, got -1
    """
    check_range("seed", seed, 0, 2**32 - 1)


def check_choice(name: str, value: Any, choices: Sequence[Any]) -> None:
    """Raise ParameterError unless value is one of the choices; the message asks for what was probably meant.

    Examples
    --------
    >>> check_choice("method", "ttest", ("wilcoxon", "t-test"))
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: method must be one of 'wilcoxon', 't-test', got 'ttest'. Did you mean 't-test'?
    """
    known = not isinstance(value, (list, dict, set)) and getattr(value, "ndim", 0) == 0 and value in choices
    check(known, f"{name} must be one of {listed(choices)}, got {brief(value)}{_near(value, choices)}")


def check_known(names: Iterable[Any], there: Iterable[str] | Mapping[str, str], said: str) -> None:
    """Raise ParameterError unless all names are there; the message asks for what was meant, or lists what there is.

    Parameters
    ----------
    names
        Names that were given.
    there
        Names that there are; or a mapping of words to them, as in `suggest`.
    said
        Beginning of the message, to which the first unknown name is added.

    Examples
    --------
    >>> check_known(["T cels"], ["B cells", "T cells"], "obs/celltype has no label")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: obs/celltype has no label 'T cels'. Did you mean 'T cells'?
    >>> check_known(["x"], ["B cells", "T cells"], "obs/celltype has no label")
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: obs/celltype has no label 'x': there are 'B cells', 'T cells'
    """
    known = list(there)
    unknown = next((name for name in names if not isinstance(name, str) or name not in there), None)
    if unknown is not None:
        near = _near(unknown, there)
        raise ParameterError(f"{said} {brief(unknown)}{near or f': there are {listed(known)}'}")


def listed(names: Iterable[Any], *, quoted: bool = True) -> str:
    """List names in a sentence: the first ones, and how many more there are.

    Examples
    --------
    >>> listed(["a", "b"]), listed(range(100)), listed([])
    ("'a', 'b'", '0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11 and 88 more', 'none')
    >>> listed(["obs/a", "obs/b"], quoted=False)
    'obs/a, obs/b'
    """
    found = [repr(name) if quoted else str(name) for name in names]
    more = f" and {len(found) - MOST_LISTED:,} more" if len(found) > MOST_LISTED else ""
    return ", ".join(found[:MOST_LISTED]) + more if found else "none"


def brief(value: Any) -> str:
    """Show a value in a message: on one line, and not all of a long one.

    Examples
    --------
    >>> brief("a"), brief(list(range(100)))
    ("'a'", '[0, 1, 2, 3, 4, 5, ...]')
    """
    try:
        return " ".join(SHORT.repr(value).split())
    except ValueError:  # an integer of more than 4,300 digits, which Python refuses to write
        return "a number of too many digits"


def _near(value: Any, there: Iterable[Any] | Mapping[str, str]) -> str:
    if not isinstance(value, str):
        return ""
    words = there if isinstance(there, Mapping) else [one for one in there if isinstance(one, str)]
    return did_you_mean(value, words)
