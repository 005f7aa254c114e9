"""The command line: one table of commands, loaded when called, and one place where errors become exit codes.

``croupier --help`` reads the table only, so it stays fast however much the commands import. ``stand`` and ``demo`` are
found by the entry point group ``croupier.commands``; this package never imports the stand.
"""

from __future__ import annotations

import contextlib
import os
import sys
from importlib import import_module
from typing import IO, Any, NamedTuple

import click

from croupier import __version__
from croupier.cli.options import EXIT_WAITING, colour_allowed, wants_json
from croupier.errors import CroupierError, EnvironmentFault, SpecError, UsageError
from croupier.report.problems import error_body

ENTRY_POINTS = "croupier.commands"


class Lazy(NamedTuple):
    """A command that is not imported yet. ``target`` is ``module:attribute``, or "" for the entry point of its name."""

    section: str
    target: str
    help: str


COMMANDS = {
    "release": Lazy("Releases", "croupier.cli.release:release", "Plan, start, watch and steer releases."),
    "journal": Lazy("Releases", "croupier.cli.journal:journal", "Read and verify what was decided, and why."),
    "desk": Lazy("The desk", "croupier.cli.desk:desk", "Run the desk: the engine and its JSON API."),
    "stand": Lazy("A casino of your own", "", "Run a small real casino on this machine."),
    "demo": Lazy("A casino of your own", "", "A good release promoted, a bad one taken back."),
}


class Failure(click.ClickException):
    """A ``CroupierError`` as the command line shows it: on stderr, with what to do next."""

    def __init__(self, error: CroupierError, *, as_json: bool) -> None:
        super().__init__(error.message)
        self.error = error
        self.as_json = as_json

    @property
    def exit_code(self) -> int:  # type: ignore[override]  # click has one code a class, we have one an error
        return self.error.exit_code

    def show(self, file: IO[Any] | None = None) -> None:
        error = self.error
        if self.as_json:
            import json

            click.echo(json.dumps(error_body(error), ensure_ascii=False), file=file, err=True)
            return
        if isinstance(error, SpecError):
            count = len(error.problems)
            _talk("error:", "red", f"{count} problem{'s' if count != 1 else ''}", file)
            for problem in error.problems:
                click.echo(f"  {problem}", file=file, err=True)
        else:
            _talk("error:", "red", error.message, file)
        if error.hint:
            _talk("hint:", "cyan", error.hint, file)


def _talk(label: str, colour: str, text: str, file: IO[Any] | None) -> None:
    click.echo(
        f"{click.style(label, fg=colour, bold=True)} {text}",
        file=file,
        err=True,
        color=None if colour_allowed() else False,
    )


class Bug(click.ClickException):
    """An exception nobody foresaw. The traceback is for those who ask for it."""

    exit_code = 70

    def __init__(self, error: Exception, *, debug: bool) -> None:
        super().__init__(f"{type(error).__name__}: {error}")
        self.trace = _trace(error) if debug else ""

    def show(self, file: IO[Any] | None = None) -> None:
        if self.trace:
            click.echo(self.trace, file=file, err=True, nl=False)
        _talk("bug:", "red", self.message, file)
        if not self.trace:
            click.echo(
                "This is a fault in croupier, not in what you typed. "
                "Run it again with `croupier --debug …` and report the traceback.",
                file=file,
                err=True,
            )


def _trace(error: Exception) -> str:
    import traceback

    return "".join(traceback.format_exception(error))


class Root(click.Group):
    """The group behind ``croupier``: commands from the table, errors to exit codes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        lazy = COMMANDS.get(cmd_name)
        if lazy is not None and lazy.target:
            module, _, attribute = lazy.target.partition(":")
            command = getattr(import_module(module), attribute)
        else:
            command = _from_entry_point(cmd_name)
        if command is None or isinstance(command, click.Command):
            return command
        raise TypeError(f"{cmd_name}: the entry point gives {type(command).__name__}, not a click command")

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        width = max(map(len, COMMANDS))
        for section in dict.fromkeys(lazy.section for lazy in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [(name.ljust(width), lazy.help) for name, lazy in COMMANDS.items() if lazy.section == section]
                )

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except CroupierError as error:
            raise Failure(error, as_json=wants_json(ctx)) from error
        except KeyboardInterrupt as stopped:
            click.echo("interrupted", err=True)
            raise click.exceptions.Exit(EXIT_WAITING) from stopped
        except BrokenPipeError as stopped:
            _leave_stdout()
            raise click.exceptions.Exit(EXIT_WAITING) from stopped
        except OSError as known:
            raise Failure(EnvironmentFault(str(known)), as_json=wants_json(ctx)) from known
        except click.UsageError as wrong:
            if wants_json(ctx):
                raise Failure(UsageError(wrong.format_message()), as_json=True) from wrong
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            raise Bug(error, debug=bool(ctx.params.get("debug"))) from error


def _leave_stdout() -> None:
    """Write nothing more to a pipe that nobody reads, not at the end of the process either."""
    with contextlib.suppress(OSError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _from_entry_point(name: str) -> object:
    """The command a package offers under ``name``, or None. A missing optional dependency is said in plain words."""
    from importlib.metadata import entry_points

    found = next(iter(entry_points(group=ENTRY_POINTS, name=name)), None)
    if found is None:
        return None
    try:
        loaded: object = found.load()
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] in ("croupier", "croupier_kit", "croupier_stand"):
            raise
        raise EnvironmentFault(
            f"`croupier {name}` needs {error.name}, which is not installed",
            hint='install the extra: pip install "croupier[stand]"',
        ) from error
    return loaded


@click.group(
    cls=Root,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Start with `croupier demo`. Everything that answers takes --output json.",
)
@click.version_option(__version__, prog_name="croupier", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="CROUPIER_DEBUG", help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    """The release desk for iGaming: releases gated on what they do to money."""
    if not colour_allowed():
        ctx.color = False


def main() -> None:
    """Entry point of the ``croupier`` script."""
    cli(prog_name="croupier")
