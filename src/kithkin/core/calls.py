"""Calls of constructors and methods with wrong arguments, answered in one sentence."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from types import FunctionType
from typing import Any, TypeVar

from kithkin.core.errors import CallError
from kithkin.core.words import wrong_call

C = TypeVar("C", bound=type)


def answer_calls(owner: C) -> C:
    """Make a class and its public methods raise CallError where their arguments do not fit; use as a decorator.

    Examples
    --------
    >>> @answer_calls
    ... class Book:
    ...     def read(self, page, *, lines=None):
    ...         return page
    >>> Book().read(3, line=2)
    Traceback (most recent call last):
    kithkin.core.errors.CallError: read() has no parameter 'line'. Did you mean 'lines'?
    """
    public = {name: method for name, method in vars(owner).items() if not name.startswith("_")}
    for name, method in {**public, "__init__": owner.__init__}.items():  # type: ignore[misc]  # that of this very class
        if isinstance(method, FunctionType):
            setattr(owner, name, _answered(method, owner if name == "__init__" else method))
    return owner


def _answered(method: Callable[..., Any], called: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a method; `called` has the name and the docstring of what the caller wrote."""

    @wraps(method)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        try:
            return method(self, *args, **kwargs)
        except TypeError:
            signature = inspect.signature(method.__get__(self))
            try:
                signature.bind(*args, **kwargs)
            except TypeError as error:
                sentence = wrong_call(called, signature, len(args), list(kwargs))
                raise CallError(sentence or f"{called.__name__}() {error}") from None
            raise

    return call
