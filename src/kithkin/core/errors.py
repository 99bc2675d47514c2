"""Error classes, and the checks that raise them with one clear sentence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


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

    def __init__(self, given: str, near: str = "", name: str = "key") -> None:
        self.given, self.near, self.name = given, near, name
        super().__init__(f"{name} must be a key such as 'obsm/X_pca', got {given!r}{near}")

    def __reduce__(self) -> tuple[type[KeyFormError], tuple[str, str, str]]:
        return type(self), (self.given, self.near, self.name)


class MissingResultError(KithkinError, KeyError):
    """Result that a step needs and that is not in the dataset yet.

    Examples
    --------
    >>> str(MissingResultError("obsm/X_pca is not in a.zarr"))
    'obsm/X_pca is not in a.zarr'
    """

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


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
        f"{name} must be {'a whole number ' if fraction else ''}in {low}..{high}, got {value!r}",
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
    """Raise ParameterError unless value is one of the choices.

    Examples
    --------
    >>> check_choice("method", "ttest", ("wilcoxon", "t-test"))
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: method must be one of 'wilcoxon', 't-test', got 'ttest'
    """
    check(value in choices, f"{name} must be one of {', '.join(repr(c) for c in choices)}, got {value!r}")
