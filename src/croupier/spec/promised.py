"""What is promised of a service although no layer says so, and whether money is promised less (S1.5-S1.8).

``promised.yaml`` has the numbers. Each is there unless a layer gives an objective on its signal, or takes it away: a
list of objectives that names other signals takes nothing away.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cache
from importlib.resources import files
from typing import Any, NamedTuple

from croupier.model.base import Value
from croupier.model.service import Objective, Traffic
from croupier.model.service_spec import Journey, ServiceSpec
from croupier.spec.load import Flaw, read_value
from croupier.spec.merge import Layer, Merged, Statement, complete
from croupier.spec.yaml12 import parse

SOURCE = "croupier/promised.yaml"
"""What people are told the file is called."""
OBJECTIVES = ("objectives",)


class _When(Value):
    """One of both."""

    journey: Journey | None = None
    traffic: Traffic | None = None


class _Promise(Value):
    when: _When
    set: Objective


class _File(Value):
    promises: tuple[_Promise, ...]


class _Preset(NamedTuple):
    """``said``: what a layer of croupier's own says."""

    when: _When
    objective: Objective
    said: Statement

    def fits(self, journeys: Collection[str], traffic: str, *, is_reached: bool) -> bool:
        """Whether it is of such a service."""
        if self.when.journey is not None:
            return self.when.journey in journeys
        return is_reached and self.when.traffic == traffic


def with_promises(merged: Merged, declared: Any) -> Merged:
    """``merged`` with what nobody says otherwise, changed in place. ``declared``: the service as it is declared."""
    tree = merged.tree()
    is_reached = bool(tree.get("routes")) and not tree.get("internal")
    for each in _presets():
        if each.fits(declared.journeys or (), declared.traffic or "http", is_reached=is_reached):
            complete(merged, each.said)
    return merged


def promise_flaws(service: ServiceSpec) -> Iterator[Flaw]:
    """Where money is promised less than croupier's presets do, and nobody says why. Locations are paths in it."""
    if service.tier != "money":
        return
    held = {objective.signal: (number, objective) for number, objective in enumerate(service.objectives)}
    for each in _presets():
        if not each.fits(service.journeys, service.traffic, is_reached=service.is_reached):
            continue
        label, usual = each.said.layer.label, each.objective
        signal = usual.signal
        if signal not in held:
            message = f"money is at stake, and nothing is promised of {signal}"
            hint = f"{label} promises {_bound(usual)}: give a looser one, and why, instead of taking it away"
            yield Flaw(OBJECTIVES, "OBJECTIVE", message, hint)
            continue
        number, objective = held[signal]
        if objective.why is None and _is_looser(objective, usual):
            message = f"money is at stake, and {signal} has {_bound(objective)}, looser than {_bound(usual)}"
            yield Flaw(
                (*OBJECTIVES, number), "OBJECTIVE", message, f"{label} promises that: say why, or promise it, too"
            )


def _is_looser(one: Objective, other: Objective) -> bool:
    if one.p95_seconds is not None and other.p95_seconds is not None:
        return one.p95_seconds > other.p95_seconds
    return one.success_ratio is not None and other.success_ratio is not None and one.success_ratio < other.success_ratio


def _bound(objective: Objective) -> str:
    return f"{objective.p95_seconds:g} s" if objective.p95_seconds is not None else f"{objective.success_ratio:g}"


@cache
def _presets() -> tuple[_Preset, ...]:
    root, problems = parse(files("croupier.spec").joinpath("promised.yaml").read_text(), SOURCE)
    assert not problems, problems
    made = []
    for number, each in enumerate(read_value(root.value, _File).promises):
        node = root.children["promises"].children[number].children["set"]
        trait = " ".join(f"{key}={value}" for key, value in each.when if value is not None)
        layer = Layer(f"croupier's preset {trait}", (0, 0), SOURCE, node.mark, is_own=True)
        made.append(_Preset(each.when, each.set, Statement(layer, OBJECTIVES, "default", [node.value], node)))
    return tuple(made)
