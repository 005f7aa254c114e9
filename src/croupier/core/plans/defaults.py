"""The gates a release gets when it brings none: made from the objectives the service declares (S4.6, S9.4, S9.7).

Required is only what can be decided. Failures of a healthy service are close to none, so a ratio ("at most twice as
many") can never be shown: required gates have a margin in percentage points, which needs about ln(1/beta) / margin
clean canary events. Ratios are for gates that only veto. Business signals that happen seldom (withdrawals) and latency
veto: they may take a release back, and never keep a healthy one waiting.
"""

from __future__ import annotations

from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.service import LATENCY_EDGES, Service, Signal

_GATES: dict[Signal, GateSpec] = {
    "deposits": GateSpec(signal="deposits", role="required", importance=3.0, margin=Margin(points=2.0)),
    "bets": GateSpec(signal="bets", role="required", importance=3.0, margin=Margin(points=2.0)),
    "logins": GateSpec(signal="logins", role="required", importance=2.0, margin=Margin(points=2.0)),
    "errors": GateSpec(signal="errors", role="required", importance=2.0, margin=Margin(points=1.0)),
    "withdrawals": GateSpec(signal="withdrawals", role="veto", importance=1.0, margin=Margin(points=5.0)),
    "calls": GateSpec(signal="calls", role="veto", importance=1.0, margin=Margin(points=2.0)),
    "latency": GateSpec(signal="latency", role="veto", importance=1.0, margin=Margin(ratio=2.0)),
}


def default_policy(service: Service) -> GatePolicy:
    """The gates for one service: one for each declared objective, in the order of importance, and always ``errors``.

    An objective's ``success_ratio`` becomes the gate's absolute objective, its strata the gate's. Latency is judged at
    ``LATENCY_EDGES``.
    """
    objectives = {objective.signal: objective for objective in service.objectives}
    gates = tuple(
        gate.model_copy(
            update={"objective_ratio": objectives[signal].success_ratio, "strata": objectives[signal].strata}
        )
        if signal in objectives
        else gate
        for signal, gate in _GATES.items()
        if signal in objectives or signal == "errors"
    )
    has_latency = "latency" in objectives
    return GatePolicy(gates=gates, latency_edges=LATENCY_EDGES if has_latency else ())
