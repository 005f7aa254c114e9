"""The group behind ``croupier``: commands are loaded when called, and one place turns errors into exit codes."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import IO, Any

import click

from croupier import __version__
from croupier.cli.main import ABOUT, COMMANDS, page
from croupier.cli.options import EXIT_WAITING, asks_for_json, colour_allowed, wants_json
from croupier.errors import CroupierError, EnvironmentFault, SpecError, UsageError
from croupier.report.problems import error_body

ENTRY_POINTS = "croupier.commands"
_WORDS = "croupier.words"
_NO_RIGHT = "name a place where you may write, or ask its owner"
_NO_PLACE = "a part of the path is missing or is no folder; name another place"
_HINTS: Mapping[int, str] = {
    errno.EACCES: _NO_RIGHT,
    errno.EPERM: _NO_RIGHT,
    errno.EROFS: _NO_RIGHT,
    errno.ENOENT: _NO_PLACE,
    errno.ENOTDIR: _NO_PLACE,
    errno.EEXIST: _NO_PLACE,
    errno.EISDIR: "it is a folder; name a file",
    errno.ENOSPC: "make room on the disk, and run it again",
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


def _fault(known: OSError) -> EnvironmentFault:
    """What the system refused: the place and what to do about it, where they are known."""
    if known.filename is None:
        return EnvironmentFault(str(known))
    hint = _HINTS.get(known.errno or 0, "")
    return EnvironmentFault(f"{known.filename}: {known.strerror}", hint=hint)


class Guarded(click.Group):
    """A group at the outermost edge: errors become exit codes and words here, and nowhere else."""

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except OSError as known:  # of what is printed before anything is invoked: help, the version
            failure = Failure(_fault(known), as_json=False)
            failure.show()
            sys.exit(failure.exit_code)

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[_WORDS] = tuple(args)
        return super().parse_args(ctx, args)

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
            raise Failure(_fault(known), as_json=wants_json(ctx)) from known
        except click.UsageError as wrong:
            if wants_json(ctx) or asks_for_json(ctx.meta[_WORDS]):
                raise Failure(UsageError(wrong.format_message()), as_json=True) from wrong
            raise
        except (click.ClickException, click.exceptions.Exit, click.Abort, EOFError):
            raise
        except Exception as error:
            raise Bug(error, debug=bool(ctx.params.get("debug"))) from error


class Root(Guarded):
    """The group behind ``croupier``: commands from the table."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        target, _ = COMMANDS.get(cmd_name, ("", ""))
        if target:
            module, _, attribute = target.partition(":")
            command = getattr(import_module(module), attribute)
        else:
            command = _from_entry_point(cmd_name)
        if command is None or isinstance(command, click.Command):
            return command
        raise TypeError(f"{cmd_name}: the entry point gives {type(command).__name__}, not a click command")

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """click suggests commands that are imported already: here none is."""
        name = args[0]
        if not (ctx.resilient_parsing or name.startswith("-") or name in COMMANDS):
            near = get_close_matches(name, COMMANDS, n=1)
            if near:
                ctx.fail(f"No such command {name!r}. Did you mean {near[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_help(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        formatter.write(page())


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
    help=ABOUT,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(__version__, prog_name="croupier", message="%(prog)s %(version)s")
@click.option("--debug", is_flag=True, envvar="CROUPIER_DEBUG", help="Show tracebacks.")
@click.pass_context
def cli(ctx: click.Context, debug: bool) -> None:
    if not colour_allowed():
        ctx.color = False
