"""Faults of partners and of parts of a stand, from outside: begin one, and see which there are. For ``stand fault``,
``stand status``, the soak, tests.

Whoever is ill keeps the deadline, so that a fault ends although nobody is left to end it: a payment provider itself
(``providers.faults``), the tally's front for what metrics say (``tally_front``), the supervisor for what is killed or
stopped (``outages``).
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import httpx

from croupier.adapters.clock import SystemClock
from croupier.adapters.files import replace_file
from croupier.cli.client import DeskClient
from croupier.errors import EnvironmentFault, Refused, UsageError
from croupier.model.base import Value
from croupier.model.digest import short
from croupier.model.view import RunView
from croupier_stand.home import Home, OutageRecord, StandRecord
from croupier_stand.outages import Order
from croupier_stand.parts import PSPS, TALLY_FRONT, url
from croupier_stand.process import wait_for

OFF = "off"
STABLE = "stable"
KINDS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(PSPS, ("down", "slow", "duplicate-webhooks")),
    "tally": ("nan", "text", "500", "huge", "slow", "stopped"),
    "envoy": ("killed",),
    "postgres": ("killed",),
    "desk": ("killed", "stopped"),
    STABLE: ("killed",),
}
"""Part -> what it can suffer from. ``stable``: all pods of the stable version of the service under release."""
_OUTAGES = frozenset({"killed", "stopped"})
_PATIENCE_SECONDS = 2.0
_TAKEN_SECONDS = 10.0
"""The supervisor looks for orders five times a second, unless it waits for a probe."""


class StandFault(Value):
    """One fault of one part of a stand."""

    part: str
    kind: str
    """What it suffers from; ``off`` in the answer to what ended one."""
    began_at: float
    until: float
    """When it is over, or was ended; of what was killed and started again at once, when it began."""


def usual_seconds(kind: str) -> int:
    """How long a fault lasts unless it is said. What is killed is started again at once."""
    return 0 if kind in ("killed", OFF) else 60


def begin(home: Home, part: str, kind: str, seconds: int, *, service: str = "") -> StandFault:
    """Let a part be ill from now on, for so long; ``off`` ends what lasts.

    Args:
        service: whose stable pods, where several releases are live; "": of the one that is.

    Raises:
        UsageError: for a kind that this part does not know, or a service that does not say more.
        Refused: when what is to be hit does not run, or no release is live.
        EnvironmentFault: when the stand, the desk or the part does not answer.
    """
    if kind != OFF and kind not in KINDS[part]:
        raise UsageError(f"{part} cannot be {kind}", hint=f"{part}: {', '.join((*KINDS[part], OFF))}")
    if service and part != STABLE:
        raise UsageError(f"--service is for {STABLE}, not for {part}")
    record = home.require()
    if part in PSPS or (part == "tally" and kind not in _OUTAGES):
        told = _tell(home, record, part, kind, seconds)
        if part in PSPS or kind != OFF:
            return told
    if kind == OFF:
        processes: tuple[str, ...] = ()
    elif part == STABLE:
        with DeskClient.of(home.name) as desk:
            processes = stable_pods(record, desk.runs(), service)
    elif record.process(part) is None:
        raise Refused(f"{part} does not run on stand {home.name!r}", hint="`croupier stand status` shows what does")
    else:
        processes = (part,)
    return _order(home, Order.model_validate({"part": part, "kind": kind, "seconds": seconds, "processes": processes}))


def listed(record: StandRecord) -> Sequence[StandFault]:
    """All faults since the stand came up, the newest last, each until it was over or another took its place; without
    those of a partner or a front that is silent."""
    found = [_made(each) for each in record.outages]
    for part in (*PSPS, "tally"):
        if record.process(_teller(part)) is None:
            continue
        try:
            found += [_read(part, each) for each in _ask(record, "GET", part)["faults"]]
        except (httpx.HTTPError, ValueError, KeyError):  # its line among the processes says that it does not answer
            continue
    return sorted(found, key=lambda fault: fault.began_at)


def in_force(faults: Sequence[StandFault], now: float) -> Sequence[StandFault]:
    """The faults that last. Pure."""
    return [fault for fault in faults if fault.until > now]


def stable_pods(record: StandRecord, runs: Sequence[RunView], service: str) -> tuple[str, ...]:
    """Names of the running pods of the stable version of the service under release. Pure. Raises as ``begin``."""
    live = [run for run in runs if run.ended_at is None and service in ("", run.service)]
    if not live:
        raise Refused(
            f"no release{f' of {service}' if service else ''} is live: nobody can say which pods are stable",
            hint="start one first: croupier release start",
        )
    if len(live) > 1:
        raise UsageError(f"{len(live)} releases are live", hint=f"--service {' or '.join(run.service for run in live)}")
    run = live[0]
    name = f"{run.service}-{short(run.stable.digest)}-"
    pods = tuple(each.name for each in record.processes if each.name.startswith(name))
    if not pods:
        raise Refused(f"no pod of {run.service} {run.stable.label} runs", hint="croupier stand status")
    return pods


# --- what the supervisor does ---------------------------------------------------------------------------------------


def _order(home: Home, order: Order) -> StandFault:
    id_ = uuid.uuid4().hex
    file = home.faults / f"{id_}.json"
    replace_file(file, order.model_dump_json().encode())
    made: list[OutageRecord] = []

    def is_taken() -> bool:
        made[:] = [each for each in home.require().outages if each.id == id_]
        return bool(made) or (order.kind == OFF and not file.exists())

    if not wait_for(is_taken, _TAKEN_SECONDS):
        file.unlink(missing_ok=True)
        raise EnvironmentFault(
            f"{order.part} was not {order.kind}: {', '.join(order.processes)} may have ended meanwhile",
            hint=f"croupier stand status --name {home.name}; its supervisor.log says more",
        )
    if not made:
        now = SystemClock().now()
        return StandFault(part=order.part, kind=OFF, began_at=now, until=now)
    return _made(made[0])


def _made(each: OutageRecord) -> StandFault:
    return StandFault(part=each.part, kind=each.kind, began_at=each.began_at, until=each.until)


# --- what partners and the tally's front do themselves --------------------------------------------------------------


def _tell(home: Home, record: StandRecord, part: str, kind: str, seconds: int) -> StandFault:
    teller = _teller(part)
    if record.process(teller) is None:
        raise Refused(f"{teller} does not run on stand {home.name!r}", hint="`croupier stand status` shows what does")
    try:
        return _read(part, _ask(record, "POST", part, {"kind": kind, "seconds": seconds}))
    except (httpx.HTTPError, ValueError, KeyError) as error:
        raise EnvironmentFault(
            f"{part} did not take the fault: {error!r}", hint=f"croupier stand logs {teller} --name {home.name}"
        ) from error


def _teller(part: str) -> str:
    """The process that is told of a part's faults."""
    return TALLY_FRONT if part == "tally" else part


def _read(part: str, told: dict[str, Any]) -> StandFault:
    return StandFault(part=part, kind=told["kind"], began_at=told["at"], until=told["until"])


def _ask(record: StandRecord, method: Literal["GET", "POST"], part: str, body: object = None) -> dict[str, Any]:
    page = f"{url(record.ports, _teller(part))}/faults"
    answer = httpx.request(method, page, json=body, timeout=_PATIENCE_SECONDS, trust_env=False)
    answer.raise_for_status()
    return dict(answer.json())
