"""End of a command: exit codes, notes, and one sentence for each error."""

from __future__ import annotations

import logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.exceptions import NoArgsIsHelpError, NoSuchOption

from kithkin.cli.commands import OTHER_OPTIONS, suggestion
from kithkin.core.errors import KithkinError
from kithkin.core.transaction import is_full_disk

DONE, FAILED, USAGE, INTERRUPTED = 0, 1, 2, 130


class Notes(logging.Handler):
    """Print what the package logs, such as names that were made unique, as lines on standard error."""

    def __init__(self, typed: Callable[[str], str]) -> None:
        super().__init__()
        self.typed = typed

    def emit(self, record: logging.LogRecord) -> None:
        """Print one note."""
        sys.stderr.write(f"note: {self.typed(record.getMessage())}\n")


def explain(error: BaseException, typed: Callable[[str], str], less_memory: str) -> str:
    """Say one sentence for a person about an error.

    `typed` puts a message of the library in the words of the command line; `less_memory` is advice for want of memory.

    Examples
    --------
    >>> explain(KithkinError("mask_cells needs a mask"), str.upper, "")
    'MASK_CELLS NEEDS A MASK'
    >>> explain(FileNotFoundError(2, "No such file or directory", "a.csv"), str, "")
    'a.csv: No such file or directory'
    """
    if is_full_disk(error):
        return "the disk is full: what was finished is kept; make room and run the same command again"
    if isinstance(error, KithkinError):
        return typed(str(error))
    if isinstance(error, OSError):
        reason = error.strerror or str(error)
        return f"{error.filename}: {reason}" if error.filename else reason
    if isinstance(error, MemoryError):
        return f"there is not enough memory: {less_memory}"
    return f"{type(error).__name__}: {error} (this should not happen: run it again with --debug and report it)"


def run(program: str, command: Callable[[], Any], typed: Callable[[str], str], less_memory: str, *, debug: bool) -> int:
    """Run a command with its notes, print the sentence of an error, and return the exit code.

    Examples
    --------
    >>> run("kithkin", lambda: None, str, "", debug=False)
    0
    """
    notes, log = Notes(typed), logging.getLogger("kithkin")
    level = log.level
    log.addHandler(notes)
    log.setLevel(logging.INFO)  # what a step did is said too
    try:
        result = command()
    except BrokenPipeError:  # who read the output, such as head, has enough of it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    except KeyboardInterrupt:
        sys.stderr.write("interrupted: what was finished is kept; run the same command again to continue\n")
        return INTERRUPTED
    except Exception as error:
        if debug:
            raise
        sys.stderr.write(f"{program}: {explain(error, typed, less_memory)}\n")
        return FAILED
    finally:
        log.removeHandler(notes)
        log.setLevel(level)
    return result if isinstance(result, int) else DONE


def run_line(
    command: click.Command,
    program: str,
    arguments: Sequence[str] | None,
    typed: Callable[[str], str],
    less_memory: str,
) -> int:
    """Read an argument line, by default that of the process, run its command and return the exit code.

    Examples
    --------
    >>> run_line(click.Command("kithkin"), "kithkin", ["leyden"], str, "")
    2
    """
    words = list(sys.argv[1:] if arguments is None else arguments)

    def call() -> Any:
        try:
            return command.main(words, prog_name=program, standalone_mode=False)
        except NoArgsIsHelpError as error:
            error.show()
            return error.exit_code
        except click.ClickException as error:
            path = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else program
            message = " ".join(error.format_message().split()).rstrip(".")
            if isinstance(error, NoSuchOption):
                there = [name for one in error.ctx.command.params for name in one.opts] if error.ctx else []
                message = f"there is no option {error.option_name!r}"
                message += suggestion(error.option_name, there, OTHER_OPTIONS)
            elif isinstance(error, click.BadParameter) and error.param and isinstance(error.param.type, click.Choice):
                choices = [str(one) for one in error.param.type.choices]
                given = next((word for word in re.findall(r"'([^']*)'", message) if word not in error.param.opts), "")
                message = f"{error.param.opts[0]} must be one of {', '.join(map(repr, choices))}, got {given!r}"
                message += suggestion(given, choices, {})
            sys.stderr.write(
                f"{path}: {message}\n" if message[-1] == "?" else f"{path}: {message}; see {path} --help\n"
            )
            return error.exit_code
        except click.Abort as error:
            raise KeyboardInterrupt from error

    return run(program, call, typed, less_memory, debug="--debug" in words)
