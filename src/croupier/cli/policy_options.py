"""What several commands of ``croupier policy`` share: which rules are asked, and what only people can decide."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

import click

from croupier.cli.options import not_blank, say

if TYPE_CHECKING:
    from croupier.core.policy.rule import Rule

_Command = TypeVar("_Command", bound=Callable[..., Any])

own_rules_option = click.option(
    "--rules",
    "directory",
    type=click.Path(file_okay=False, exists=True),
    metavar="DIR",
    help="A folder of rules of your own, in CEL.",
)


def files_of(paths: Iterable[str], exclude: Sequence[str]) -> list[str]:
    """The manifests in ``paths``. Raises ``UsageError`` where there are none: of nothing every answer is a yes."""
    from croupier.errors import UsageError
    from croupier.spec.manifests import find_files

    files = list(find_files(paths, exclude, lambda told: say(f"note: {told}")))
    if not files:
        raise UsageError("there is no file to check", hint="files end in .yaml, .yml or .json")
    return files


def which_rules(command: _Command) -> _Command:
    """Options that choose rules."""
    for each in (
        own_rules_option,
        click.option("--disable", multiple=True, metavar="RULE", help="Do not ask this rule. Repeat."),
        click.option("--enable", multiple=True, metavar="RULE", help="Ask this rule, too. Repeat."),
        click.option(
            "--profile",
            default="default",
            show_default=True,
            metavar="NAME",
            help="Which rules: default, baseline, restricted, all.",
        ),
    ):
        command = each(command)
    return command


def decided(command: _Command) -> _Command:
    """Options for what only people can decide."""
    for names, metavar, told in (
        (("--priority-class", "priority_classes"), "NAME", "A class that pods may have. Repeat."),
        (("--require-label", "labels"), "KEY", "What runs must bear this label. Repeat."),
        (("--registry", "registries"), "PREFIX", "Where images may come from. Repeat."),
    ):
        command = click.option(*names, multiple=True, metavar=metavar, callback=not_blank, help=told)(command)
    return command


def own_rules(directory: str | None) -> tuple[Rule, ...]:
    """Rules that are not in the catalogue: those of installed packages, then those in ``directory``."""
    from pathlib import Path

    from croupier.adapters.installed_rules import installed_rules
    from croupier.core.policy.catalogue import RULES

    installed = installed_rules(RULES)
    if directory is None:
        return installed
    from croupier.engine.custom_rules import read_rules

    return installed + read_rules(Path(directory), {*RULES, *(each.id for each in installed)})


def print_view(view: object) -> None:
    """A view, or a mapping of them, as JSON on stdout."""
    from croupier.report.values import json_text

    click.echo(json_text(view))
