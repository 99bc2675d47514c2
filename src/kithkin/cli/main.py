"""The command line: one command per verb, made from its signature and its docstring."""

from __future__ import annotations

import inspect
import logging
import sys
import types
import typing
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Literal, Union

import click

import kithkin
from kithkin.cli import cut_cells
from kithkin.cli.docstring import describe, first_line, public_homes
from kithkin.cli.printed import as_typed, history_lines, lines_of, shown

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
# commands with an argument line of their own: the function that reads it, and what it does
OTHERS = {
    "cut": ("main", "Cut thumbnails of cells out of an image."),
    "cut-tiles": ("main_tiles", "Cut an image into tiles."),
}
# parameters that are given by their place
ARGUMENTS = {"ds": "DATASET", "source": "INPUT", "image": "IMAGE", "mask": "MASK", "cells": "CELLS"}
DONE, FAILED, INTERRUPTED = 0, 1, 130
NONE = "none"  # what a user types where Python would say None
SIMPLE = (int, float, str)


class Commands(click.Group):
    """The group of all commands. A verb is imported when its command is used, not before."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        """Names of the commands, in the order of a day's work."""
        return [*COMMANDS, *OTHERS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Make the command of a name; underscores count as dashes."""
        name = cmd_name.replace("_", "-")
        if name in OTHERS:
            return passed_on(name)
        return make_command(name, getattr(kithkin, COMMANDS[name])) if name in COMMANDS else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the list of commands with the first line of each docstring, read without importing anything."""
        with formatter.section("Commands"):
            homes = public_homes()
            named = [(name, first_line(homes[public])) for name, public in COMMANDS.items()]
            formatter.write_dl([*named, *((name, text) for name, (_, text) in OTHERS.items())])


def passed_on(name: str) -> click.Command:
    """Make a command that hands its whole argument line, `--help` included, to the function that reads it.

    Examples
    --------
    >>> passed_on("cut").name
    'cut'
    """

    def run(words: tuple[str, ...]) -> int:
        done: int = getattr(cut_cells, OTHERS[name][0])(list(words))
        return done

    words = click.Argument(["words"], nargs=-1, type=click.UNPROCESSED)
    untouched = {"ignore_unknown_options": True}
    return click.Command(name, params=[words], callback=run, context_settings=untouched, add_help_option=False)


class Value(click.ParamType):  # type: ignore[type-arg]  # only generic in newer releases
    """Text to the first of several types that takes it: `auto` or 12 for `int | str`."""

    def __init__(self, kinds: Sequence[type], *, optional: bool) -> None:
        self.kinds, self.optional = kinds, optional
        self.name = "|".join({int: "integer", float: "number", str: "text"}[kind] for kind in kinds)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Read the value in the first type that takes it; the word `none` where None is allowed."""
        if self.optional and value == NONE:
            return value
        for kind in self.kinds:
            try:
                return kind(value)
            except ValueError:
                continue
        wanted = " or ".join(
            {"integer": "an integer", "number": "a number", "text": "text"}[k] for k in self.name.split("|")
        )
        return self.fail(f"{value!r} is not {wanted}", param, ctx)


def annotation(function: Callable[..., Any], parameter: inspect.Parameter) -> Any:
    """Find the type of a parameter; None if it names what is only known to a type checker."""
    if not isinstance(parameter.annotation, str):
        return parameter.annotation
    try:
        return eval(parameter.annotation, inspect.unwrap(function).__globals__)  # noqa: S307  an annotation of this package
    except NameError:
        return None


def make_option(name: str, hint: Any, default: Any, text: str) -> click.Option | None:
    """Make an option from a parameter's type; None if that cannot be typed on a command line, such as a callback."""
    members = list(typing.get_args(hint)) if typing.get_origin(hint) in (Union, types.UnionType) else [hint]
    optional = type(None) in members or default is None
    flag, required = f"--{name.strip('_').replace('_', '-')}", default is inspect.Parameter.empty
    names = [flag, name] if name.endswith("_") else [flag]  # from_ is --from
    shown = [] if required or default in (None, "") else [f"default: {default}"]
    shown += [f"or {NONE}"] if optional and default is not None else []
    settings: dict[str, Any] = {"required": required, "help": f"{text}  [{', '.join(shown)}]" if shown else text}
    choices = [str(choice) for m in members if typing.get_origin(m) is Literal for choice in typing.get_args(m)]
    kinds = [kind for kind in SIMPLE if kind in members]
    kinds += [str] if choices and kinds and str not in kinds else []
    several = next((m for m in members if typing.get_origin(m) in (list, tuple, Sequence, Iterable)), None)
    if bool in members and not kinds:
        return click.Option([f"{flag}/--no{flag[1:]}"], default=None, **settings)
    if choices and not kinds:
        return click.Option(names, type=click.Choice([*choices, NONE] if optional else choices), **settings)
    if several is not None:
        arguments = [a for a in typing.get_args(several) if a is not Ellipsis]
        typed = [kind for argument in arguments for kind in typing.get_args(argument) or (argument,)]
        kinds = [kind for kind in SIMPLE if kind in typed] or [str]
        count = (
            len(arguments) if typing.get_origin(several) is tuple and Ellipsis not in typing.get_args(several) else 1
        )
        settings["help"] += "" if count > 1 else "  [may be repeated]"
        return click.Option(names, type=Value(kinds, optional=False), nargs=count, multiple=count == 1, **settings)
    if Path in members and not kinds:
        kinds = [str]
    return click.Option(names, type=Value(kinds, optional=optional), **settings) if kinds else None


def make_command(name: str, function: Callable[..., Any]) -> click.Command:
    """Make a command from a function: its parameters become options, its docstring the help.

    Raises
    ------
    TypeError
        If a parameter without a default has a type that cannot be typed on a command line.
    """
    text, says = describe(function.__doc__ or "")
    parameters = inspect.signature(function).parameters
    options: list[click.Parameter] = []
    for key, parameter in parameters.items():
        if key in ("memory", "threads"):
            continue
        if key in ARGUMENTS and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            needed = parameter.default is inspect.Parameter.empty
            metavar = ARGUMENTS[key] if needed else f"[{ARGUMENTS[key]}]"
            options.append(click.Argument([key], metavar=metavar, required=needed))
            text += f"\n\n{ARGUMENTS[key]}: {says[key]}" if key != "ds" and key in says else ""
            continue
        option = make_option(key, annotation(function, parameter), parameter.default, says.get(key, ""))
        if option is None and parameter.default is inspect.Parameter.empty:
            raise TypeError(f"{name}: the parameter {key} cannot be given on a command line")
        options += [option] if option is not None else []
    options += [
        click.Option(["--memory"], metavar="SIZE", help="Memory to stay within, such as 2GB."),
        click.Option(["--threads"], type=click.IntRange(1), help="Threads to use; one per processor if not given."),
        click.Option(["--debug"], is_flag=True, help="Show where in the program an error arose."),
    ]

    def call(**given: Any) -> None:
        finish = FINISH.get(name, lines_of)
        for line in finish(invoke(function, given)):
            click.echo(line)

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
        values["say"] = click.echo
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


class Notes(logging.Handler):
    """What a step has to say beside its result, such as names that were made unique: a line on standard error."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one note."""
        click.echo(f"note: {record.getMessage()}", err=True)


def explain(error: BaseException) -> str:
    """One sentence for a person about an error."""
    if "No space left on device" in str(
        error
    ):  # compiled codecs wrap the system's message in an exception of their own
        return "the disk is full: what was finished is kept; make room and run the same command again"
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, MemoryError):
        return "there is not enough memory: give a smaller --memory, or fewer --threads"
    if isinstance(error, kithkin.KithkinError):
        return as_typed(str(error))
    return f"{type(error).__name__}: {error} (this should not happen: run it again with --debug and report it)"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["leyden"])
    2
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    notes, log = Notes(), logging.getLogger("kithkin")
    log.addHandler(notes)
    try:
        result = group.main(arguments, prog_name="kithkin", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted: what was finished is kept; run the same command again to continue", err=True)
        return INTERRUPTED
    except Exception as error:
        if "--debug" in arguments:
            raise
        click.echo(f"kithkin: {explain(error)}", err=True)
        return FAILED
    finally:
        log.removeHandler(notes)
    return result if isinstance(result, int) else DONE


group = Commands(
    "kithkin",
    help="Turns a large table of cells, images or rows into groups that a person can understand, out of core.",
    params=[],
)
group = click.version_option(kithkin.__version__, message="%(prog)s %(version)s")(group)
