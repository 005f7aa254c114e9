"""What stands in the configuration of services and should stand elsewhere (S10.6)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from croupier.model.platform import PlacedCell
from croupier.model.secret_look import looks_secret
from croupier.spec.load import and_more
from croupier.spec.merge import Merged


def config_notes(cells: Iterable[PlacedCell], merged: Mapping[tuple[str, str], Merged]) -> Iterator[str]:
    """Values of ``config`` that look like secrets. ``merged``: by name of cell and service.

    No problem, because a name proves nothing: ``policy check`` finds what is rendered, and takes waivers.
    """
    found: dict[tuple[str, str], list[str]] = {}
    for placed in cells:
        for service in placed.services:
            for name in (name for name, value in service.config.items() if looks_secret(name, value)):
                winner = merged[placed.cell.name, service.name].winner(("config", name))
                at = winner.place if winner else ""
                found.setdefault((at, name), []).append(f"{service.name} in {placed.cell.name}")
    for (at, name), where in sorted(found.items()):
        who = and_more(where)
        yield (
            f"{name} of config ({at}) looks like a secret of {who}: Git and everybody who may read a ConfigMap would "
            "know it; keep it in the secret store, and name it under secrets"
        )
