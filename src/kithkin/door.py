"""Front door of a package: public names that load on first use, and calls that say what to do where they are wrong."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from functools import cache, wraps
from importlib import import_module
from types import FunctionType
from typing import Any

import lazy_loader  # type: ignore[import-untyped]

# the rooms of kithkin whose names are suggested too
ROOMS = ("models", "plot", "metrics", "datasets", "images")


def open_door(
    package: str, file: str, instead: Mapping[str, str] | None = None
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Make `__getattr__`, `__dir__` and `__all__` of a package from the stub beside its file.

    An unknown name is answered with what to use instead, and functions are those of `guarded`.

    Parameters
    ----------
    package
        Name of the package, such as "kithkin.plot".
    file
        Its `__init__.py`.
    instead
        Names of other programs, and what to do here.

    Examples
    --------
    >>> import kithkin as kk
    >>> kk.Leiden
    Traceback (most recent call last):
    AttributeError: kithkin has no 'Leiden'. Did you mean 'kithkin.leiden'?
    """
    load, listing, public = lazy_loader.attach_stub(package, file)

    def find(name: str) -> Any:
        if name not in public:
            if name.startswith("_"):
                raise AttributeError(f"module {package!r} has no attribute {name!r}")
            from kithkin.core.words import no_name

            within = {"kithkin": ROOMS, "kithkin.metrics": public}.get(package, ())
            rooms = {room: import_module(f"{package}.{room}") for room in within}
            inner = [f"{room}.{one}" for room, module in rooms.items() for one in module.__all__]
            raise AttributeError(no_name(package, name, [*public, *inner], instead or {}))
        value = load(name)
        if isinstance(value, FunctionType):
            value = guarded(value, package)
        sys.modules[package].__dict__[name] = value
        return value

    return find, listing, public


def guard(module: dict[str, Any]) -> None:
    """Make the public functions of a module those of `guarded`: called with its `globals()` at its end.

    Examples
    --------
    >>> import kithkin as kk
    >>> kk.metrics.partition.purity(tabel=1)
    Traceback (most recent call last):
    kithkin.core.errors.CallError: purity() has no parameter 'tabel'. Did you mean 'table'?
    """
    for name in module["__all__"]:
        if isinstance(module[name], FunctionType):
            module[name] = guarded(module[name], module["__name__"])


@cache
def _signature(function: Callable[..., Any]) -> Any:
    import inspect

    return inspect.signature(function)


def signature_of(name: str) -> Any:
    """Return the signature of a public function of kithkin by its name.

    Examples
    --------
    >>> list(signature_of("umap").parameters)[:2]
    ['ds', 'n_epochs']

    Raises
    ------
    AttributeError
        If there is none of that name.
    """
    return _signature(getattr(import_module("kithkin"), name))


def guarded(function: Callable[..., Any], package: str) -> Callable[..., Any]:
    """Wrap a public function so that a wrong call is answered in one sentence, and a path of a dataset is opened.

    Parameters
    ----------
    function
        The function; where its first parameter is `ds`, that is a dataset.
    package
        The package in which the public finds it.

    Examples
    --------
    >>> import kithkin as kk
    >>> kk.leiden("a.zarr", res=2)
    Traceback (most recent call last):
    kithkin.core.errors.CallError: leiden() has no parameter 'res'. Did you mean 'resolution'?
    """

    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        from kithkin.core.argument_types import wrong_type
        from kithkin.core.errors import CallError, KeyFormError, KithkinError, ParameterError, check_seed
        from kithkin.core.words import wrong_call

        signature = _signature(function)
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            sentence = wrong_call(function, signature, len(args), list(kwargs))
            raise CallError(sentence or f"{function.__name__}() {error}") from None
        given = bound.arguments
        if next(iter(signature.parameters), "") == "ds":
            given["ds"] = as_dataset(given["ds"], function.__name__, strict=not figure)
        if figure:
            if sentence := wrong_type(function, given):
                raise ParameterError(sentence)
            check_seed(given.get("seed", 0))
        try:
            return function(*bound.args, **bound.kwargs)
        except KeyFormError as error:
            name = next((one for one, value in given.items() if value is error.given), error.name)
            raise KeyFormError(error.given, error.near, name) from error
        except (KithkinError, MemoryError, OSError):
            raise
        except Exception as error:
            if sentence := wrong_type(function, given):
                raise ParameterError(sentence) from error
            raise

    figure = package == "kithkin.plot"
    call.__module__ = package  # where pickle finds this one again
    return call


def as_dataset(value: Any, name: str, *, strict: bool = True) -> Any:
    """Take a dataset as it is, and open a path; unless strict, also what can be read like a dataset.

    Raises
    ------
    ParameterError
        If it is anything else, such as an AnnData.
    """
    from pathlib import Path

    from kithkin.core.dataset import Dataset
    from kithkin.core.dataset import open as open_dataset
    from kithkin.core.errors import ParameterError
    from kithkin.core.words import not_a_dataset

    if isinstance(value, (str, Path)):
        return open_dataset(value)
    if not isinstance(value, Dataset) and (strict or not hasattr(value, "read")):
        raise ParameterError(not_a_dataset(name, value))
    return value
