"""Options that commands share, and how their answers reach the terminal.

Imported by every command module, the stand's too, so it imports nothing but click when it is loaded. Results go to
stdout, talk to stderr; colours only where a person reads and ``NO_COLOR`` is not set.
"""

from __future__ import annotations

import functools
import gc
import itertools
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeVar, cast

import click

from croupier.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from pydantic import BaseModel

Output = Literal["text", "json"]
Command = TypeVar("Command", bound=Callable[..., Any])

EXIT_NO = 1
"""The answer is no: rolled back, aborted, findings."""
EXIT_WAITING = 3
"""No answer yet."""

KUBERNETES = ("1.35", "1.36", "1.37")
"""``croupier.model.schemas.VERSIONS``, which is not imported just to print help."""

_STAND_NAME = re.compile(r"[a-z]([a-z0-9-]{0,30}[a-z0-9])?")
_JSON_WANTED = "croupier.output-json"


def state_root() -> Path:
    """Where state is kept: ``$CROUPIER_HOME``, else ``croupier`` in ``$XDG_STATE_HOME`` or ``~/.local/state``.

    Raises ``UsageError`` for a user without a home.
    """
    from pathlib import Path

    if home := os.environ.get("CROUPIER_HOME"):
        return Path(home).expanduser().absolute()
    if state := os.environ.get("XDG_STATE_HOME"):
        return Path(state).expanduser().absolute() / "croupier"
    try:
        return Path.home() / ".local" / "state" / "croupier"
    except RuntimeError as error:  # a container whose user is only a number
        raise UsageError("you have no home directory", hint="say where state is kept: CROUPIER_HOME=…") from error


def home_of(name: str) -> Path:
    """Folder of the stand ``name``; it need not exist."""
    return state_root() / "stands" / name


def _stand_name(_ctx: click.Context, _param: click.Parameter, value: str) -> str:
    if not _STAND_NAME.fullmatch(value):
        raise click.BadParameter(f"{value!r} is not a name: lower-case letters, digits and hyphens, at most 32.")
    return value


def remember_output(ctx: click.Context, _param: click.Parameter, value: str) -> str:
    """Callback of an option for the form of the answer: errors are JSON if the answer is."""
    ctx.meta[_JSON_WANTED] = value == "json"
    return value


def not_blank(_ctx: click.Context, _param: click.Parameter, value: tuple[str, ...]) -> tuple[str, ...]:
    """Callback of an option of names: an empty one is a variable of a shell that is not set, and means nothing."""
    for each in value:
        if not each or any(character.isspace() for character in each):
            raise click.BadParameter(f"{each!r} is empty or has blanks.")
    return value


def stand_option(command: Command) -> Command:
    """``--stand NAME``, argument ``stand``: which stand's desk to talk to."""
    return click.option(
        "--stand",
        default="default",
        envvar="CROUPIER_STAND",
        show_default=True,
        show_envvar=True,
        callback=_stand_name,
        metavar="NAME",
        help="Which stand.",
    )(command)


def output_option(command: Command) -> Command:
    """``--output text|json``, argument ``output``. With json, errors on stderr are JSON too."""
    return output_as("text", "json", help="Text for people, or JSON with documented fields.")(command)


def review_option(command: Command) -> Command:
    """``--output text|json|markdown``, argument ``output``, of what goes into a pull request or a record of changes."""
    said = "Text for people, JSON with documented fields, or Markdown for a review."
    return output_as("text", "json", "markdown", help=said)(command)


def output_as(*forms: str, help: str) -> Callable[[Command], Command]:
    """``--output`` with these forms; the first where nothing is said."""
    return click.option(
        "-o",
        "--output",
        type=click.Choice(forms),
        default=forms[0],
        show_default=True,
        is_eager=True,
        callback=remember_output,
        help=help,
    )


def kubernetes_option(command: Command) -> Command:
    """``--kubernetes-version VERSION``, argument ``kubernetes``: whose API objects are meant for."""
    return click.option(
        "--kubernetes-version",
        "kubernetes",
        type=click.Choice(KUBERNETES),
        default=KUBERNETES[-1],
        show_default=True,
        help="Which Kubernetes the objects are meant for.",
    )(command)


def form_option(command: Command) -> Command:
    """``--as FORM``, argument ``form``: how objects are written."""
    return click.option(
        "--as",
        "form",
        type=click.Choice(["manifests", "helm", "kustomize"]),
        default="manifests",
        show_default=True,
        help="Plain manifests, or the same objects as a chart or kustomizations.",
    )(command)


def no_input_option(command: Command) -> Command:
    """``--no-input``, argument ``no_input``: never ask; what needs an answer fails instead."""
    return click.option("--no-input", is_flag=True, help="Never ask a question.")(command)


def reason_option(command: Command) -> Command:
    """``--reason TEXT``, argument ``reason``; empty when not given."""
    return click.option("--reason", default="", metavar="TEXT", help="Why; goes into the journal.")(command)


def wait_option(command: Command) -> Command:
    """``--wait``, argument ``wait``."""
    return click.option("--wait", is_flag=True, help="Stay to the end: exit 0 promoted, 1 rolled back, 3 held.")(
        command
    )


def ends_soon(command: Command) -> Command:
    """Decorates what only builds values until it ends. Looking among them for garbage, of which there is next to none,
    takes a third of its time: it is left to the end.
    """

    @functools.wraps(command)
    def run(*args: Any, **kwargs: Any) -> Any:
        was_on = gc.isenabled()
        gc.disable()
        try:
            return command(*args, **kwargs)
        finally:
            if was_on:
                gc.enable()

    return cast(Command, run)


def wants_json(ctx: click.Context) -> bool:
    """Whether this call was given ``--output json`` (known as soon as the option is parsed)."""
    return bool(ctx.meta.get(_JSON_WANTED, False))


def asks_for_json(words: Sequence[str]) -> bool:
    """Whether ``--output json`` is among words that could not be parsed."""
    together = {"--output=json", "-ojson"}
    return any(word in together for word in words) or any(
        pair in {("--output", "json"), ("-o", "json")} for pair in itertools.pairwise(words)
    )


def may_ask(no_input: bool) -> bool:
    """Whether a person is there to answer a question."""
    return not no_input and sys.stdin.isatty()


def need_person(no_input: bool, to_confirm: str) -> None:
    """Raises ``UsageError`` when nobody is there to be asked."""
    if not may_ask(no_input):
        raise UsageError(f"nobody is there to confirm the {to_confirm}", hint="add --yes")


def colour_allowed() -> bool:
    """``NO_COLOR`` set to anything but "" switches colours off (no-color.org)."""
    return not os.environ.get("NO_COLOR")


def print_json(value: object) -> None:
    """One JSON document on stdout, keys as documented in docs/reference/json.md."""
    import json

    click.echo(json.dumps(value, ensure_ascii=False, indent=2))


def print_value(value: BaseModel) -> None:
    """A model value as JSON on stdout."""
    print_json(value.model_dump(mode="json", by_alias=True))


def say(message: str) -> None:
    """Talk, not result: to stderr."""
    click.echo(message, err=True)
