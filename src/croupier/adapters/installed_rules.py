"""Rules that installed packages bring along, by the entry points ``croupier.policy.rules``."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from importlib.machinery import PathFinder

from croupier.core.policy.rule import Rule
from croupier.errors import EnvironmentFault

GROUP = "croupier.policy.rules"


def installed_rules(taken: Collection[str]) -> tuple[Rule, ...]:
    """Every entry point names an iterable of rules. ``taken``: ids of other rules.

    Raises ``EnvironmentFault`` for a package whose rules cannot be had: a check without them would be no whole one.
    """
    if not _may_be_found():
        return ()
    from importlib.metadata import entry_points  # noqa: PLC0415 a seventh of the start, and next to nobody has any

    found: list[Rule] = []
    ids = set(taken)
    for point in sorted(entry_points(group=GROUP), key=lambda each: (each.name, each.value)):
        named = f"the rules {point.name!r} ({point.value})"
        try:
            rules = tuple(point.load())
        except Exception as error:  # other people's code may raise anything
            raise EnvironmentFault(f"{named} cannot be loaded: {error}", hint="mend or remove the package") from error
        for each in rules:
            if not isinstance(each, Rule):
                raise EnvironmentFault(
                    f"{named} are no rules: {each!r}", hint="make them with croupier.core.policy.rule"
                )
            if each.id in ids:
                raise EnvironmentFault(f"{named} hold another rule called {each.id}", hint="give it another id")
            ids.add(each.id)
            found.append(each)
    return tuple(found)


def _may_be_found() -> bool:
    """Whether any package speaks of the group. Where packages may be that are no folders, nobody knows: true."""
    if any(hasattr(each, "find_distributions") and each is not PathFinder for each in sys.meta_path):
        return True
    for place in dict.fromkeys(sys.path):
        try:
            names = os.listdir(place or ".")
        except NotADirectoryError:  # packages in an archive
            return True
        except OSError:
            continue
        for name in names:
            if name.lower().endswith(("dist-info", "egg-info")) and _speaks_of_it(os.path.join(place, name)):
                return True
    return False


def _speaks_of_it(package: str) -> bool:
    try:
        with open(os.path.join(package, "entry_points.txt"), "rb") as file:
            return GROUP.encode() in file.read()
    except OSError:
        return False
