"""Import of optional packages, with one clear error if they are not installed."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from kithkin.core.errors import KithkinError


def need(module: str, extra: str, purpose: str) -> Any:
    """Import an optional module.

    Parameters
    ----------
    module
        Name to import, such as "torch".
    extra
        Extra of kithkin that installs it.
    purpose
        Subject of the error message, which needs the module.

    Raises
    ------
    KithkinError
        If it is not installed; says how to install it.

    Examples
    --------
    >>> need("json", "all", "reading settings").__name__
    'json'
    >>> need("no_such_module", "deep", "deep_clusters")
    Traceback (most recent call last):
    kithkin.core.errors.KithkinError: deep_clusters needs no_such_module: pip install 'kithkin[deep]'
    """
    try:
        return import_module(module)
    except ImportError as error:
        raise KithkinError(f"{purpose} needs {module}: pip install 'kithkin[{extra}]'") from error
