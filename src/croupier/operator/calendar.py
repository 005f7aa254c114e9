"""The freeze windows of a cluster: what its ``ReleaseCalendar`` objects say, as the desk understands it.

A calendar counts for the policies of its own namespace. What cannot be read of it freezes them until it is mended:
nobody knows when players were not to meet anything new, and a person may override that as any other freeze. The same
holds for all policies while the API server does not let the operator follow calendars at all.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import chain

from pydantic import ValidationError

from croupier.adapters.kubernetes_cluster import Cluster, Policy
from croupier.model.base import NAME
from croupier.model.digest import short
from croupier.model.freeze import Freeze
from croupier.model.objects import JsonObject
from croupier.model.release_calendar import OVERRIDE_FREEZE, FreezeOverride, PolicyFreeze, ReleaseCalendarSpec
from croupier.spec.freezes import flaws, freezes_of

NEVER = 253_402_300_799.0
"""The last second that calendars know, epoch seconds: the end of what only a person can end."""
_LONGEST_TITLE = 200


def current_freezes(cluster: Cluster, policies: Iterable[Policy]) -> tuple[Freeze, ...]:
    """The windows that the cluster's calendars have for these policies, as they are known now."""
    names: dict[str, list[str]] = defaultdict(list)
    for policy in policies:
        if policy.known is not None:
            names[policy.known.namespace].append(policy.known.name)
    found = freezes_of_cluster(cluster.calendars(), names)
    everything = tuple(chain.from_iterable(_services(each, namespace) for namespace, each in names.items()))
    if cluster.knows_calendars() or not everything:
        return found
    title = (
        "the API server does not let the operator follow ReleaseCalendars: are their definition and the right to watch "
        "them there? croupier operator manifests"
    )
    unknown = Freeze(
        name="unknown-calendars",
        title=title,
        from_at=0.0,
        until_at=NEVER,
        until="they are followed again",
        services=everything,
    )
    return (*found, unknown)


def freezes_of_cluster(calendars: Iterable[JsonObject], policies: Mapping[str, Sequence[str]]) -> tuple[Freeze, ...]:
    """All windows, each with the services that it freezes.

    Args:
        calendars: the ``ReleaseCalendar`` objects.
        policies: namespace -> names of its policies.
    """
    ordered = sorted(calendars, key=lambda each: (each["metadata"]["namespace"], each["metadata"]["name"]))
    return tuple(chain.from_iterable(_freezes(each, policies) for each in ordered))


def override_of(annotations: Mapping[str, str], wanted: str | None) -> str:
    """Who lets ``wanted`` start in spite of a freeze, and why; "": nobody does.

    Args:
        annotations: of a policy.
        wanted: digest of what it is to release now.
    """
    try:
        found = FreezeOverride.model_validate_json(annotations.get(OVERRIDE_FREEZE, ""))
    except ValidationError:  # nobody said anything that could be understood: the freeze counts
        return ""
    return f"{found.who}: {found.reason}" if found.version == short(wanted or "") else ""


def _freezes(calendar: JsonObject, policies: Mapping[str, Sequence[str]]) -> Iterator[Freeze]:
    namespace, name = calendar["metadata"]["namespace"], calendar["metadata"]["name"]
    present = policies.get(namespace, ())
    if not present:
        return  # a window without services would freeze other namespaces
    try:
        spec = ReleaseCalendarSpec.model_validate(calendar.get("spec", {}))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("spec", *first["loc"])))
        called = name if re.fullmatch(NAME, name) else "calendar"  # calendars may have dots in their names
        yield _unread(called, name, f"{where}: {first['msg']}", _services(present, namespace))
        return
    for each in spec.freezes:
        services = _services(each.policies or present, namespace)
        flaw = next(flaws({each.name: each.window}), None)
        if flaw is not None:
            yield _unread(each.name, name, flaw.message, services)
        else:
            yield _read(each, name, services)


def _read(freeze: PolicyFreeze, calendar: str, services: tuple[str, ...]) -> Freeze:
    (found,) = freezes_of({freeze.name: freeze.window})
    return found.model_copy(update={"calendar": calendar, "services": services})


def _unread(name: str, calendar: str, why: str, services: tuple[str, ...]) -> Freeze:
    title = f"ReleaseCalendar {calendar} cannot be read: {why}"
    if len(title) > _LONGEST_TITLE:
        title = f"{title[: _LONGEST_TITLE - 1]}…"
    return Freeze(
        name=name,
        calendar=calendar,
        title=title,
        from_at=0.0,
        until_at=NEVER,
        until="it is mended",
        services=services,
    )


def _services(policies: Iterable[str], namespace: str) -> tuple[str, ...]:
    return tuple(f"{each}.{namespace}" for each in policies)
