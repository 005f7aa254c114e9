"""The command line: one table of commands, loaded when called, and one place where errors become exit codes.

``croupier --help`` reads the table only, so it stays fast however much the commands import. ``stand`` and ``demo`` are
found by the entry point group ``croupier.commands``; this package never imports the stand.
"""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Mapping
from importlib import import_module
from typing import IO, Any, NamedTuple

import click

from croupier import __version__
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


class Lazy(NamedTuple):
    """A command that is not imported yet. ``target`` is ``module:attribute``, or "" for the entry point of its name."""

    section: str
    target: str
    help: str


COMMANDS = {
    "release": Lazy("Releases", "croupier.cli.release:release", "Plan, start, watch and steer releases."),
    "journal": Lazy("Releases", "croupier.cli.journal:journal", "Read and verify what was decided, and why."),
    "gate": Lazy("Releases", "croupier.cli.gate:gate", "Why a verdict fell; what other gates would have said."),
    "init": Lazy("The platform", "croupier.cli.platform:init", "Write a small platform to begin with."),
    "check": Lazy("The platform", "croupier.cli.platform:check", "Everything that is wrong with it, by line."),
    "explain": Lazy("The platform", "croupier.cli.platform:explain", "Where a value comes from."),
    "plan": Lazy("The platform", "croupier.cli.platform:plan", "What changes between two states of it."),
    "render": Lazy("The platform", "croupier.cli.platform:render", "Hardened manifests for every cell, for Git."),
    "propose": Lazy("The platform", "croupier.cli.propose:propose", "Manifests to a branch, with the review."),
    "template": Lazy("The platform", "croupier.cli.platform:template", "The plain manifests of a service, to read."),
    "schema": Lazy("The platform", "croupier.cli.platform:schema", "The form of its files, for editors."),
    "policy": Lazy("Manifests", "croupier.cli.policy:policy", "Check Kubernetes manifests against the rules."),
    "desk": Lazy("The desk", "croupier.cli.desk:desk", "Run the desk: the engine and its JSON API."),
    "judge": Lazy("On a cluster", "croupier.cli.judge:judge", "Verdicts for Argo Rollouts and Flagger."),
    "admission": Lazy("On a cluster", "croupier.cli.admission:admission", "The rules at the door of a cluster."),
    "operator": Lazy("On a cluster", "croupier.cli.operator:operator", "Release on a Kubernetes cluster."),
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


def _fault(known: OSError) -> EnvironmentFault:
    """What the system refused: the place and what to do about it, where they are known."""
    if known.filename is None:
        return EnvironmentFault(str(known))
    hint = _HINTS.get(known.errno or 0, "")
    return EnvironmentFault(f"{known.filename}: {known.strerror}", hint=hint)


class Guarded(click.Group):
    """A group at the outermost edge: errors become exit codes and words here, and nowhere else."""

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
