"""Base class of the models: parameters as scikit-learn's tools read and set them, and a representation."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from reprlib import Repr
from typing import Any, Self

from kithkin.core.calls import answer_calls
from kithkin.core.errors import NotFittedError, check, check_seed

SHORT = Repr()
SHORT.maxstring = SHORT.maxother = 80  # an array or a long list is told from another by its beginning and end


class Estimator:
    """Model whose parameters are those of `__init__`, kept unchanged under their own names.

    `sklearn.base.clone`, grid searches and pipelines work on it; scikit-learn is not imported for that.

    Examples
    --------
    >>> from kithkin.models import KMeans, Leiden
    >>> model = KMeans(3).set_params(seed=1)
    >>> model, model.get_params()["n_clusters"]
    (KMeans(n_clusters=3, seed=1), 3)
    >>> Leiden().set_params(k=4)
    Traceback (most recent call last):
    kithkin.core.errors.ParameterError: Leiden has no parameter 'k': resolution, max_iter, objective, seed
    """

    def __init_subclass__(cls, **settings: Any) -> None:
        """Have a model with a seed check it before it fits, and answer wrong calls in a sentence."""
        super().__init_subclass__(**settings)
        answer_calls(cls)
        for name in ("fit", "fit_transform"):
            if name in vars(cls) and "seed" in inspect.signature(cls).parameters:
                setattr(cls, name, _with_seed(vars(cls)[name]))

    def __getattr__(self, name: str) -> Any:
        """Say that the model is not fitted where `fit` has not set what is asked for."""
        kind, learnt = type(self).__name__, name.startswith("_") or name.endswith("_")
        if learnt and not name.startswith("__") and not any(one.endswith("_") for one in vars(self)):
            raise NotFittedError(f"{kind} is not fitted: call its fit first")
        raise AttributeError(f"{kind!r} object has no attribute {name!r}")

    @classmethod
    def _defaults(cls) -> dict[str, Any]:
        """Map the names of the parameters to their defaults."""
        parameters = list(inspect.signature(cls).parameters.values())
        return {parameter.name: parameter.default for parameter in parameters}

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name.

        Parameters
        ----------
        deep
            Whether to add the parameters of parameters that are models, as `name__parameter`.
        """
        found = {name: getattr(self, name) for name in self._defaults()}
        inner = [(name, value) for name, value in found.items() if deep and isinstance(value, Estimator)]
        return found | {f"{name}__{key}": value for name, model in inner for key, value in model.get_params().items()}

    def set_params(self, **parameters: Any) -> Self:
        """Set parameters by name, for the next fit.

        Raises
        ------
        ParameterError
            If there is no such parameter; nothing is set then.
        """
        known = self.get_params()
        for name in parameters:
            names = ", ".join(known)
            check(name in known, f"{type(self).__name__} has no parameter {name!r}: {names}")
        for name, value in parameters.items():
            owner, _, inner = name.partition("__")
            if inner:
                nested: dict[str, Any] = {inner: value}
                getattr(self, owner).set_params(**nested)
            else:
                setattr(self, name, value)
        return self

    def __repr__(self) -> str:
        """Return the call that makes the model, with the parameters that differ from their defaults."""
        defaults = {name: " ".join(SHORT.repr(value).split()) for name, value in self._defaults().items()}
        values = {name: " ".join(SHORT.repr(getattr(self, name)).split()) for name in defaults}
        given = [f"{name}={value}" for name, value in values.items() if value != defaults[name]]
        return f"{type(self).__name__}({', '.join(given)})"


def _with_seed(fit: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(fit)
    def call(self: Any, *args: Any, **settings: Any) -> Any:
        check_seed(self.seed)
        return fit(self, *args, **settings)

    return call
