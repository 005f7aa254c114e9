"""Who may look at a cell and who may steer its releases (S1.3). What runs changes by Git alone: nobody may write here.

Steering is pausing, promoting and aborting a release. Trying one again and giving a service back change the policy, and
whoever may patch that may loosen its gates: this stays with administrators and Git.
"""

from __future__ import annotations

from croupier.core.render.names import of_cell
from croupier.model.objects import JsonObject
from croupier.model.platform import Brand, Cell, PlacedCell
from croupier.model.release_policy import GROUP
from croupier.model.service_spec import People

_API = "rbac.authorization.k8s.io/v1"
_GROUP = "rbac.authorization.k8s.io"
_LOOK = ["get", "list", "watch"]


def access(placed: PlacedCell) -> list[JsonObject]:
    """Roles and who has them: groups of the brand, and the teams of its services. Nothing where neither names anybody,
    no releases where the operator makes none."""
    cell = placed.cell
    named: list[Brand | People] = [placed.brand, *(each.people for each in placed.services if each.people is not None)]
    releasers = sorted({group for each in named for group in each.releasers})
    lookers = sorted({*releasers, *(group for each in named for group in each.readers)})
    if not lookers:
        return []
    if placed.region.released_by != "croupier":
        return [_bound(cell, "reader", "ClusterRole", "view", lookers)]
    read = {"apiGroups": [GROUP], "resources": ["releasecalendars", "releasepolicies", "releases"], "verbs": _LOOK}
    steer = {"apiGroups": [GROUP], "resources": ["releases"], "verbs": ["patch"]}
    made = [
        of_cell(cell, _API, "Role", "release-reader", {"rules": [read]}),
        _bound(cell, "reader", "ClusterRole", "view", lookers),
        _bound(cell, "release-reader", "Role", "release-reader", lookers),
    ]
    if releasers:
        made += [
            of_cell(cell, _API, "Role", "releaser", {"rules": [steer]}),
            _bound(cell, "releaser", "Role", "releaser", releasers),
        ]
    return made


def _bound(cell: Cell, name: str, kind: str, role: str, groups: list[str]) -> JsonObject:
    body = {
        "roleRef": {"apiGroup": _GROUP, "kind": kind, "name": role},
        "subjects": [{"apiGroup": _GROUP, "kind": "Group", "name": group} for group in groups],
    }
    return of_cell(cell, _API, "RoleBinding", name, body)
