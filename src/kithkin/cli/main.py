"""The command line: one command per verb, made from its signature and its docstring."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from pathlib import Path
from types import NoneType, SimpleNamespace, UnionType
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import click

import kithkin
from kithkin.cli import outcome
from kithkin.cli.docstring import describe, first_line, public_homes
from kithkin.cli.printed import as_help, as_typed, history_lines, lines_of, shown, with_flags

# command -> public name, in the order of a day's work
COMMANDS = {
    "run": "run",
    "demo": "demo",
    "convert": "read",
    "read-image": "read_image",
    "info": "info",
    "check": "check",
    "history": "history",
    "summary": "summary",
    "figures": "figures",
    "quality": "quality",
    "subset": "subset",
    "variable-genes": "variable_genes",
    "scale": "scale",
    "pca": "pca",
    "neighbors": "neighbors",
    "umap": "umap",
    "leiden": "leiden",
    "paris": "paris",
    "kmeans": "kmeans",
    "count-mixture": "count_mixture",
    "deep-clusters": "deep_clusters",
    "topics": "topics",
    "propagate": "propagate",
    "smooth": "smooth",
    "diffusion-map": "diffusion_map",
    "pseudotime": "pseudotime",
    "graph-score": "graph_score",
    "features": "features",
    "image-embedding": "image_embedding",
    "spatial-neighbors": "spatial_neighbors",
    "neighborhood-enrichment": "neighborhood_enrichment",
    "annotate": "annotate",
    "relabel": "relabel",
    "merge-labels": "merge_labels",
    "split": "split",
    "compare": "compare",
    "animate": "animate",
    "markers": "markers",
    "explain": "explain",
}


class OwnLine(NamedTuple):
    """A command of cut_cells, which has an argument line of its own: command, function and line of help."""

    command: str
    run: str
    help: str


CUT = "kithkin.cli.cut_cells"  # imported when it is used: it also runs as a module
OTHERS = {
    "cut": OwnLine("CUT_CELLS", "main", "Cut thumbnails of cells out of an image."),
    "cut-tiles": OwnLine("CUT_TILES", "main_tiles", "Cut an image into tiles."),
}
# positional parameters -> their names in the help
ARGUMENTS = {"ds": "DATASET", "source": "INPUT", "image": "IMAGE", "mask": "MASK", "cells": "CELLS"}
NONE = "none"  # typed where Python would say None
KINDS = {int: "an integer", float: "a number", str: "text"}  # in the order in which they are tried


class Commands(click.Group):
    """The group of all commands. A verb is imported when its command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the commands, in the order of a day's work."""
        return [*COMMANDS, *OTHERS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Make the command of a name; underscores count as dashes."""
        name = cmd_name.replace("_", "-")
        if name in OTHERS:
            command: click.Command = getattr(import_module(CUT), OTHERS[name].command)
            return command
        return make_command(name, getattr(kithkin, COMMANDS[name])) if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands with the first line of each docstring, read without importing anything."""
        with formatter.section("Commands"):
            homes = public_homes()
            named = [(name, first_line(homes[public])) for name, public in COMMANDS.items()]
            formatter.write_dl([*named, *((name, own.help) for name, own in OTHERS.items())])


class Value(click.ParamType):  # type: ignore[type-arg]  # only generic in newer releases
    """Text to the first of several types that takes it: `auto` or 12 for `int | str`."""

    def __init__(self, kinds: Sequence[type], *, optional: bool) -> None:
        self.kinds, self.optional = kinds, optional
        self.name = "|".join(KINDS[kind].split()[-1] for kind in kinds)

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
    >>> types_of(first_line)
    {'home': <class 'str'>}
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
        shown_default = f"  [default: {said}{none}]"
    settings["help"] = f"{text}{shown_default}"
    if bool in members and not kinds:
        return click.Option([f"{flag}/--no{flag[1:]}"], default=None, **settings)
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


def make_command(name: str, function: Callable[..., Any]) -> click.Command:
    """Make a command from a function: its parameters become options, its docstring the help.

    Raises
    ------
    TypeError
        If a parameter without a default has a type that cannot be typed on a command line.
    """
    text, texts = describe(function.__doc__ or "")
    types = types_of(function)
    options: list[click.Parameter] = []
    for key, parameter in inspect.signature(function).parameters.items():
        if key in ("memory", "threads"):
            continue
        required, said = parameter.default is inspect.Parameter.empty, texts.get(key, "")
        if key in ARGUMENTS and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            metavar = ARGUMENTS[key] if required else f"[{ARGUMENTS[key]}]"
            options.append(click.Argument([key], metavar=metavar, required=required))
            text += f"\n\n{ARGUMENTS[key]}: {said}" if key != "ds" and said else ""
            continue
        option = make_option(key, types.get(key), parameter.default, as_help(said))
        if option is None and required:
            raise TypeError(f"{name}: the parameter {key} cannot be given on a command line")
        options += [option] if option is not None else []
    options += [
        click.Option(["--memory"], metavar="SIZE", help="Memory to stay within, such as 2GB."),
        click.Option(["--threads"], type=click.IntRange(1), help="Threads to use; one for each processor by default."),
        click.Option(["--debug"], is_flag=True, help="Show where in the program an error arose."),
    ]

    def call(**given: Any) -> None:
        finish = FINISH.get(name, lines_of)
        try:
            lines = finish(invoke(function, given))
        except kithkin.KithkinError as error:
            named = [option for option in options if isinstance(option, click.Option)]
            raise type(error)(with_flags(str(error), {str(one.name): one.opts[0] for one in named})) from error
        for line in lines:
            click.echo(line)

    text = as_help(text)
    return click.Command(name, params=options, callback=call, help=text, short_help=text.partition("\n")[0])


def invoke(function: Callable[..., Any], given: dict[str, Any]) -> Any:
    """Call the function with what was typed: opens the dataset, leaves out what was not given."""
    parameters = inspect.signature(function).parameters
    given.pop("debug")
    setting = {key: given.pop(key) for key in ("memory", "threads")}
    values = {key: None if value == NONE else value for key, value in given.items() if value not in (None, ())}
    if "ds" in values:
        values["ds"] = kithkin.open(str(values["ds"]), **setting)
    values |= {key: value for key, value in setting.items() if key in parameters and value is not None}
    if "say" in parameters:
        values["say"] = partial(click.echo, err=True)
    return function(**values)


def after_run(ds: kithkin.Dataset) -> list[str]:
    """Draw the figures of a finished run beside its dataset, and list the summary and where everything is."""
    folder = ds.path.with_suffix(".figures")
    kithkin.figures(ds, folder)
    return ["", *kithkin.summary(ds).splitlines(), "", f"dataset: {shown(ds.path)}", f"figures: {shown(folder)}"]


def after_check(damaged: list[str]) -> list[str]:
    """Fail if anything is damaged."""
    if damaged:
        raise kithkin.KithkinError("\n".join(damaged))
    return ["nothing is damaged"]


FINISH: dict[str, Callable[[Any], list[str]]] = {
    "run": after_run,
    "check": after_check,
    "history": history_lines,
    "demo": lambda _: [],
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["leyden"])
    2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words and words[0].replace("_", "-") in OTHERS:
        own: Callable[[list[str]], int] = getattr(import_module(CUT), OTHERS[words[0].replace("_", "-")].run)
        return own(words[1:])
    return outcome.run_line(group, "kithkin", words, as_typed, "give a smaller --memory, or fewer --threads")


group = Commands(
    "kithkin",
    help="Turn a large table of cells, images or rows into groups that a person can understand, out of core.",
    params=[],
)
group = click.version_option(kithkin.__version__, message="%(prog)s %(version)s")(group)
