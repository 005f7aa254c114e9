"""Rules that installed packages bring along, by the entry points ``croupier.policy.rules``."""

from __future__ import annotations

from collections.abc import Collection
from importlib.metadata import entry_points

from croupier.core.policy.rule import Rule
from croupier.errors import EnvironmentFault

GROUP = "croupier.policy.rules"


def installed_rules(taken: Collection[str]) -> tuple[Rule, ...]:
    """Every entry point names an iterable of rules. ``taken``: ids of other rules.

    Raises ``EnvironmentFault`` for a package whose rules cannot be had: a check without them would be no whole one.
    """
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
