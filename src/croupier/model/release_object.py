"""What a cluster shows of a service and of each run: status of ``ReleasePolicy``, and ``Release`` (DESIGN §7).

Conditions follow kstatus: Ready, and Reconciling or Stalled when it is not.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from croupier.model.base import Digest, Name, Value
from croupier.model.view import CommandName


class Condition(Value):
    """One condition as Kubernetes writes it. ``last_transition_time``: RFC 3339."""

    type: str
    status: Literal["True", "False", "Unknown"]
    reason: str
    message: str
    observed_generation: int
    last_transition_time: str


class RouteStatus(Value):
    """One HTTPRoute as it stands. ``name``: its own. ``split``: short digests with their percent, apart by commas.
    ``message``: why it is not accepted."""

    name: str
    moves: Literal["players", "callers"]
    """Who comes by it: players through gateways, or callers in the cluster through a mesh."""
    accepted: bool
    """Whether those who read it serve it as it stands."""
    split: str = ""
    message: str = ""


class PolicyStatus(Value):
    """``stable``, ``wanted``: short digests. ``run``: the live run, or the last one."""

    observed_generation: int = 0
    stable: str = ""
    wanted: str = ""
    run: str = ""
    phase: str = ""
    step: str = ""
    weight: int = 0
    gate: str = ""
    routes: tuple[RouteStatus, ...] = ()
    conditions: tuple[Condition, ...] = ()


class CommandRequest(Value):
    """What a person wants of a run. A new ``id`` makes a new request."""

    id: Annotated[str, Field(min_length=1, max_length=63)]
    name: CommandName
    reason: Annotated[str, Field(max_length=300)] = ""
    who: Annotated[str, Field(max_length=120)] = ""


class ReleaseSpec(Value):
    """One run. All but ``command`` is the operator's."""

    policy: Name
    run: str
    digest: Digest
    command: CommandRequest | None = None


class CommandAnswer(Value):
    id: str
    accepted: bool
    message: str


class GateStatus(Value):
    """One gate as it stands. ``message`` holds its numbers."""

    name: str
    outcome: str
    message: str


class ReleaseStatus(Value):
    """One run as it stands. ``weight``: percent of requests. Times: RFC 3339."""

    observed_generation: int = 0
    phase: str
    step: str
    weight: int
    gate: str = ""
    """The verdict in one word: pass, fail, inconclusive."""
    outcome: str = ""
    code: str = ""
    reason: str = ""
    waiting_for: str = ""
    next: str = ""
    stable: str
    canary: str
    started_at: str
    ended_at: str = ""
    gates: tuple[GateStatus, ...] = ()
    command: CommandAnswer | None = None
    conditions: tuple[Condition, ...] = ()
