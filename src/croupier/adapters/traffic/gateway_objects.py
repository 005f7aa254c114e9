"""What the objects of a split say, as an API server holds them: digests, weights, and whether somebody changed them."""

from __future__ import annotations

from croupier.adapters.kubernetes_api import BACKEND_TLS_POLICIES, DESTINATION_RULES, HTTP_ROUTES
from croupier.core.render.route import REVISION
from croupier.model.objects import JsonObject
from croupier.model.traffic import Split


def weights_of(split: Split) -> dict[str, int]:
    backends = [split.stable, *([split.canary] if split.canary is not None else [])]
    return {backend.digest: backend.weight for backend in backends}


def annotation(obj: JsonObject | None, name: str) -> str:
    return str(((obj or {}).get("metadata") or {}).get("annotations", {}).get(name, ""))


def revision(obj: JsonObject) -> int:
    text = annotation(obj, REVISION)
    return int(text) if text.isdecimal() else -1


def says(known: JsonObject, wanted: JsonObject) -> bool:
    """Whether writing ``wanted`` would change nothing of a route, of what says how it is gone, or of a Service."""
    have, need = known["metadata"], wanted["metadata"]
    is_marked = all((have.get(part) or {}).items() >= need[part].items() for part in ("labels", "annotations"))
    is_owned = have.get("ownerReferences") == need.get("ownerReferences")
    spec, made = known["spec"], wanted["spec"]
    if wanted["kind"] in (HTTP_ROUTES.kind, BACKEND_TLS_POLICIES.kind, DESTINATION_RULES.kind):
        return is_marked and is_owned and covers(spec, made)
    selects = spec.get("selector") == made["selector"] and covers(spec.get("ports"), made["ports"])
    return is_marked and is_owned and selects


def covers(found: object, wanted: object) -> bool:
    """Whether ``found`` says what ``wanted`` says and adds nothing but defaults: lists have the same length, and a part
    of a route that was not asked for (a filter, a timeout) is a change."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        strange = found.keys() - wanted.keys() - _DEFAULTED
        return not strange and all(key in found and covers(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        return len(found) == len(wanted) and all(map(covers, found, wanted))
    return found == wanted


_DEFAULTED = frozenset({"group", "kind", "namespace", "weight", "matches", "name"})
