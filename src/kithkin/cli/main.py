"""The command line: one command per verb, made from its signature and its docstring."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import click

import kithkin
from kithkin.cli import outcome
from kithkin.cli.commands import (
    COMMANDS,
    CUT,
    FIRST_EXAMPLES,
    GROUPS,
    OTHER_WORDS,
    OTHERS,
    suggestion,
)
from kithkin.cli.docstring import describe
from kithkin.cli.options import NONE, Switch, Value, Verb, make_option, types_of
from kithkin.cli.printed import ARGUMENTS, as_help, as_typed, history_lines, lines_of, shown, sums_lines, with_flags
from kithkin.cli.whole_tables import check_form, gives_table, is_whole, plain_table, write_whole
from kithkin.core.tables import FORMATS
from kithkin.optional import need


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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that was typed, or refuse with the nearest one."""
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            nearest = suggestion(args[0].replace("_", "-").lower(), self.list_commands(ctx), OTHER_WORDS)
            raise click.UsageError(f"there is no command {args[0]!r}{nearest}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the commands in groups, a line each."""
        width = max(map(len, COMMANDS))
        for heading, commands in GROUPS.items():
            lines = {name: listed.line for name, listed in commands.items()}
            if heading == "Images":
                lines |= {name: own.help for name, own in OTHERS.items()}
            with formatter.section(heading):
                formatter.write_dl([(name.ljust(width), line) for name, line in lines.items()])

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        """Write the first examples, and where to read on."""
        with formatter.section("Examples"):
            for line in FIRST_EXAMPLES:
                formatter.write(f"  kithkin {line}\n")
        formatter.write_paragraph()
        formatter.write_text(
            "kithkin COMMAND --help describes a command. Tables that go to a file or a pipe are written whole. "
            "For completion with the Tab key put this into ~/.bashrc: "
        )
        formatter.write('  eval "$(_KITHKIN_COMPLETE=bash_source kithkin)"\n')


def make_command(name: str, function: Callable[..., Any]) -> click.Command:
    """Make a command from a function: its parameters become options, its docstring the help.

    Raises
    ------
    TypeError
        If a parameter without a default has a type that cannot be typed on a command line.
    """
    text, texts = describe(function.__doc__ or "")
    types, options = types_of(function), list[click.Parameter]()
    parameters = inspect.signature(function).parameters
    flags = {key: f"--{key.strip('_').replace('_', '-')}" for key in parameters if key not in ARGUMENTS}
    for key, parameter in parameters.items():
        if key in ("memory", "threads"):
            continue
        required, said = parameter.default is inspect.Parameter.empty, texts.get(key, "")
        if key in ARGUMENTS and parameter.kind is not inspect.Parameter.KEYWORD_ONLY:
            metavar = ARGUMENTS[key] if required else f"[{ARGUMENTS[key]}]"
            several = {"nargs": -1, "metavar": f"{metavar}..."} if key == "source" else {"metavar": metavar}
            options.append(click.Argument([key], required=required, type=click.Path(), **several))
            text += f"\n\n{ARGUMENTS[key]}: {said}" if key != "ds" and said else ""
            continue
        option = make_option(key, types.get(key), parameter.default, as_help(said, flags))
        if option is None and required:
            raise TypeError(f"{name}: the parameter {key} cannot be given on a command line")
        options += [option] if option is not None else []
    if gives_table(function):
        options += [
            click.Option(["--format"], type=click.Choice(FORMATS), help="Form of the table where it is written whole."),
            click.Option(["--output"], metavar="FILE", type=click.Path(), help="File for the whole table."),
        ]
    if "say" in parameters and name not in TELLING:
        options.append(Switch(["--say/--no-say"], default=None, help="Say on standard error what each step did."))
    options += [
        click.Option(["--memory"], metavar="SIZE", help="Memory to stay within, such as 2GB."),
        click.Option(["--threads"], type=Value([int], optional=False), help="Threads; by default one per processor."),
        click.Option(
            ["--dask"], metavar="ADDRESS", help="Scheduler of dask whose workers read the table, as tcp://host:8786."
        ),
        click.Option(["--debug"], is_flag=True, help="Show where in the program an error arose."),
    ]

    def call(**given: Any) -> None:
        form, output, address = given.pop("format", None), given.pop("output", None), given.pop("dask")
        try:
            check_form(form, output)
            with connected(address) as executor:
                ds, result = invoke(function, given, executor)
                written = given.get("to") if name in WRITES else None
                table, lines = plain_table(result), list[str]()
                if output is not None or (is_whole(table, form) and (written is None or form is not None)):
                    write_whole(table, ds, form, output)
                else:
                    lines = FINISH.get(name, lines_of)(result)
                    if name in WRITES:
                        lines.append(f"written to {shown(Path(written))}" if written else WRITES[name])
        except kithkin.KithkinError as error:
            named = {str(one.name): one.opts[0] for one in options if isinstance(one, click.Option)}
            error.args = (with_flags(str(error), named),)
            raise
        for line in lines:
            click.echo(line)
        if name in FAILED and FAILED[name](result):
            click.get_current_context().exit(1)

    text = as_help(text, flags)
    return Verb(name, params=options, callback=call, help=text, short_help=text.partition("\n")[0])


def invoke(function: Callable[..., Any], given: dict[str, Any], executor: Executor | None = None) -> tuple[Any, Any]:
    """Call the function with what was typed: opens the dataset, leaves out what was not given; give back both."""
    parameters = inspect.signature(function).parameters
    given.pop("debug")
    setting = {"executor": executor} | {key: given.pop(key) for key in ("memory", "threads")}
    values = {key: None if value == NONE else value for key, value in given.items() if value not in (None, ())}
    inputs = values.get("source")
    if isinstance(inputs, tuple):  # one, or several samples
        values["source"] = inputs[0] if len(inputs) == 1 else list(inputs)
    tables = values.get("on")
    if isinstance(tables, tuple) and len(tables) == 1:  # one table is not a list of modalities
        values["on"] = tables[0]
    if "ds" in values:
        opened = values["ds"] = kithkin.open(str(values["ds"]), **setting)
        if function.__name__ in BESIDE:
            values.setdefault("to", beside(opened.path, BESIDE[function.__name__]))
    values |= {key: value for key, value in setting.items() if key in parameters and value is not None}
    if "say" in parameters and values.pop("say", function.__name__ in TELLING):  # standard output is for results
        values["say"] = lambda line: click.echo(as_typed(line), err=True)
    return values.get("ds"), function(**values)


@contextmanager
def connected(address: str | None) -> Iterator[Executor | None]:
    """Give the executor of the workers of dask at an address, and none without one.

    Raises
    ------
    KithkinError
        If dask is not installed, or nothing answers at the address.
    """
    if address is None:
        yield None
        return
    distributed = need("distributed", "dask", "--dask")
    try:
        client = distributed.Client(address, set_as_default=False)
    except (OSError, ValueError) as error:
        raise kithkin.KithkinError(f"--dask: no scheduler answers at {address}") from error
    with client:
        yield client.get_executor()


def beside(path: Path, ending: str) -> Path:
    """Name what lies beside a dataset by its name.

    Examples
    --------
    >>> beside(Path("pbmc.2024.zarr"), ".html").name, beside(Path("pbmc.2024"), ".html").name
    ('pbmc.2024.html', 'pbmc.2024.html')
    """
    return path.with_name(path.name.removesuffix(".zarr") + ending)


def after_run(ds: kithkin.Dataset) -> list[str]:
    """Draw the figures and the page of a finished run beside its dataset, and list the summary and where all is."""
    folder = beside(ds.path, ".figures")
    kithkin.figures(ds, folder)
    page = beside(ds.path, BESIDE["report"])
    kithkin.report(ds, page)
    written = {"dataset": ds.path, "figures": folder, "page": page}
    return ["", *kithkin.summary(ds).splitlines(), "", *(f"{what}: {shown(path)}" for what, path in written.items())]


def after_check(damaged: list[str]) -> list[str]:
    """Fail if anything is damaged."""
    if damaged:
        raise kithkin.KithkinError("\n".join(damaged))
    return ["nothing is damaged"]


TELLING = {"run", "demo"}  # commands that say what each step did without being asked
# command whose file lies beside the dataset where none is named -> the end of its name
BESIDE = {"report": ".html"}
# commands whose result is kept nowhere but in a file -> what is said without one
WRITES = {"pseudobulk": "nothing is kept: add --to FILE or --output FILE"}
# commands that fail, with their lines, by what they found
FAILED: dict[str, Callable[[Any], bool]] = {"verify": lambda table: bool((table["state"] == "different").any())}
FINISH: dict[str, Callable[[Any], list[str]]] = {
    "run": after_run,
    "check": after_check,
    "history": history_lines,
    "verify": lambda table: list(table.attrs["text"].values()),
    "export": lambda path: [shown(path)],
    "publish": lambda path: [shown(path)],
    "report": lambda path: [shown(path)],
    "demo": lambda _: [],
    "pseudobulk": sums_lines,
    "describe": lambda table: list(table.attrs["text"].values()),
    "apply": lambda table: [line for column in table for line in lines_of(table[column])],
    "explain": lambda table: list(table.attrs["text"].values()) if "text" in table.attrs else lines_of(table),
    "doublets": lambda table: list(table.attrs["text"].values()),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return its exit code: 0 done, 1 error, 2 wrong usage, 130 interrupted.

    Examples
    --------
    >>> main(["leyden"])
    2
    """
    words = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if words and words[0].replace("_", "-") in OTHERS:
        own: Callable[[list[str]], int] = getattr(import_module(CUT), OTHERS[words[0].replace("_", "-")].run)
        return own(words[1:])
    return outcome.run_line(group, "kithkin", words, as_typed, "give a smaller --memory, or fewer --threads")


group = Commands(
    "kithkin",
    help="Turn a large table of cells, images or rows into groups that a person can understand.",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    params=[],
)
group = click.version_option(kithkin.__version__, message="%(prog)s %(version)s")(group)
