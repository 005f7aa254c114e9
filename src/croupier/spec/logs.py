"""What pods are told of logs although ``logging`` says otherwise (S9.5)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from croupier.model.platform import PlacedCell
from croupier.spec.load import and_more
from croupier.spec.merge import Merged


def log_notes(cells: Iterable[PlacedCell], merged: Mapping[tuple[str, str], Merged]) -> Iterator[str]:
    """Variables of ``config`` that outweigh ``logging``. ``merged``: by name of cell and service."""
    found: dict[tuple[str, str, str], list[str]] = {}
    for placed in cells:
        for service in placed.services:
            if service.logging is None:
                continue
            said = {"LOG_FORMAT": ("format", service.logging.format), "LOG_LEVEL": ("level", service.logging.level)}
            for name, (key, value) in said.items():
                if service.variables.get(name, value) == value:
                    continue
                winner = merged[placed.cell.name, service.name].winner(("config", name))
                at = winner.place if winner else ""
                found.setdefault((at, name, key), []).append(f"{service.name} in {placed.cell.name}")
    for (at, name, key), where in sorted(found.items()):
        who = and_more(where)
        yield f"{name} of config ({at}) outweighs logging.{key} for {who}: leave it out there"
