"""Options made from the parameters of a function, and the layout of the help."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import click
from click.shell_completion import CompletionItem

from kithkin.cli.commands import LISTED
from kithkin.cli.completion import KEYS, complete_keys

NONE = "none"  # typed where Python would say None
KINDS = {int: "an integer", float: "a number", str: "text"}  # in the order in which they are tried
COMMON = {"memory", "threads", "dask", "format", "output", "debug"}  # of every command
LAST = ("on", "key", "seed", "overwrite", "progress")  # what few change stands last in the help


class Verb(click.Command):
    """A command made from a function: required options first, those of every command last, examples at the end."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options of this command, and those of output, memory and debugging."""
        options = [one for one in self.get_params(ctx) if isinstance(one, click.Option)]
        common = [one for one in options if one.name in COMMON or "--help" in one.opts]
        rank = {name: place for place, name in enumerate(LAST, 1)}
        own = sorted(
            (one for one in options if one not in common),
            key=lambda one: -1 if one.required else rank.get(str(one.name), 0),
        )
        for heading, group in (("Options", own), ("Output and resources", common)):
            records = [record for one in group if (record := one.get_help_record(ctx)) is not None]
            if records:
                with formatter.section(heading):
                    formatter.write_dl(records)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the examples."""
        if self.name in LISTED:
            several = len(LISTED[self.name].examples) > 1
            with formatter.section("Examples" if several else "Example"):
                for line in LISTED[self.name].examples:
                    formatter.write(f"  kithkin {line}\n")


class Switch(click.Option):
    """A setting that is off by default: the help shows only how to turn it on."""

    def get_help_record(self, ctx: click.Context) -> tuple[str, str] | None:
        """Give the option and its text."""
        record = super().get_help_record(ctx)
        return (self.opts[0], record[1]) if record else None


class Value(click.ParamType):  # type: ignore[type-arg]  # only generic in newer releases
    """Text to the first of several types that takes it: `auto` or 12 for `int | str`."""

    def __init__(self, kinds: Sequence[type], *, optional: bool) -> None:
        self.kinds, self.optional = kinds, optional
        self.name = "|".join(KINDS[kind].split()[-1] for kind in kinds)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        """Complete keys of the dataset of the line, and other texts as the files and folders that they may be."""
        if param.name in KEYS and (found := complete_keys(ctx, incomplete)):
            return found
        return [CompletionItem(incomplete, type="file")] if str in self.kinds else []

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the value in the first type that takes it; the word `none` where None is allowed."""
        if self.optional and value == NONE:
            return value
        for kind in self.kinds:
            try:
                return kind(value)
            except ValueError:
                continue
        return self.fail(f"{value!r} is not {' or '.join(KINDS[kind] for kind in self.kinds)}", param, ctx)


def types_of(function: Callable[..., Any]) -> dict[str, Any]:
    """Resolve the types of a function's parameters; the type that it returns is not looked at.

    Examples
    --------
    >>> types_of(members_of)
    {'hint': typing.Any}
    """
    parameters = inspect.signature(function).parameters.values()
    given = {one.name: one.annotation for one in parameters if one.annotation is not one.empty}
    return get_type_hints(SimpleNamespace(__annotations__=given), inspect.unwrap(function).__globals__)


def members_of(hint: Any) -> list[Any]:
    """List the types that a union allows.

    Examples
    --------
    >>> members_of(int | None)
    [<class 'int'>, <class 'NoneType'>]
    """
    return list(get_args(hint)) if get_origin(hint) in (Union, UnionType) else [hint]


def make_option(name: str, hint: Any, default: Any, text: str) -> click.Option | None:
    """Make an option from a parameter's type; None if that cannot be typed on a command line, such as a callback."""
    members = members_of(hint)
    optional = NoneType in members
    kinds = [kind for kind in KINDS if kind in members] or ([str] if Path in members else [])
    choices = [str(choice) for one in members if get_origin(one) is Literal for choice in get_args(one)]
    several = next((one for one in members if get_origin(one) in (list, tuple, Sequence, Iterable)), None)
    flag = f"--{name.strip('_').replace('_', '-')}"
    names = [flag, name] if name.endswith("_") else [flag]  # from_ is --from
    settings: dict[str, Any] = {"required": default is inspect.Parameter.empty}
    shown_default = ""  # where the text does not say what holds if the option is not given
    if default not in (None, "", inspect.Parameter.empty):
        said = ("yes" if default else "no") if isinstance(default, bool) else default
        said = " ".join(map(str, said)) if isinstance(said, tuple) else said
        none = f", or {NONE}" if optional and not isinstance(default, bool) else ""
        shown_default = f"  [default: {said}{none}]" if default is not False else ""
    settings["help"] = f"{text}{shown_default}"
    if bool in members and not kinds:
        return (Switch if default is False else click.Option)([f"{flag}/--no{flag[1:]}"], default=None, **settings)
    if choices and not kinds:
        return click.Option(names, type=click.Choice([*choices, NONE] if optional else choices), **settings)
    if several is not None:
        items = [one for one in get_args(several) if one is not Ellipsis]
        typed = [kind for item in items for kind in members_of(item)]
        values = Value([kind for kind in KINDS if kind in typed] or [str], optional=False)
        if get_origin(several) is tuple and Ellipsis not in get_args(several):
            return click.Option(names, type=values, nargs=len(items), **settings)
        settings["help"] += "  [may be repeated]"
        return click.Option(names, type=values, multiple=True, **settings)
    kinds += [str] if choices and str not in kinds else []
    return click.Option(names, type=Value(kinds, optional=optional), **settings) if kinds else None
