"""The files croupier reads beside the platform: release, settings of the desk, build descriptor. One loader each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from croupier.model.judge import JudgeSettings
from croupier.model.release import GatePolicy, ReleaseFile
from croupier.model.service import BuildDescriptor
from croupier.model.settings import DeskSettings
from croupier.spec.load import Flaw, load


def load_release(path: Path) -> ReleaseFile:
    """A release as a person wrote it; ``ReleaseFile.complete`` makes a ``Release`` of it."""
    return load(path, ReleaseFile)


def load_settings(path: Path) -> DeskSettings:
    """Settings of a desk (``desk.yaml``); relative paths in it are relative to the file and come back absolute."""
    return load(path, DeskSettings).anchored(path.absolute().parent)


def load_policy(path: Path) -> GatePolicy:
    """The gates of a release in a file of their own."""
    return load(path, GatePolicy)


def load_judge(path: Path) -> JudgeSettings:
    """Settings of the judge (``judge.yaml``). Every gate has its counters, every counter a gate."""
    return load(path, JudgeSettings, _judge_flaws).anchored(path.absolute().parent)


def load_descriptor(path: Path) -> BuildDescriptor:
    """One build of a service."""
    return load(path, BuildDescriptor)


def _judge_flaws(settings: JudgeSettings) -> Iterator[Flaw]:
    names = [service.name for service in settings.services]
    for index, service in enumerate(settings.services):
        at: tuple[str | int, ...] = ("services", index)
        if service.name in names[:index]:
            yield Flaw((*at, "name"), "DUPLICATE_NAME", f"service {service.name!r} is declared twice")
        gated = [gate.signal for gate in service.policy.gates]
        counted = [each.signal for each in service.signals]
        if missing := [signal for signal in gated if signal not in counted]:
            yield Flaw((*at, "signals"), "MISSING_SIGNAL", f"the gate on {missing[0]} has no counters")
        if "latency" in gated and not service.policy.latency_edges:
            yield Flaw((*at, "policy"), "LATENCY_EDGES", "a latency gate needs latencyEdges", "seconds, like 0.25")
        for number, each in enumerate(service.signals):
            here = (*at, "signals", number)
            if each.signal not in gated:
                yield Flaw((*here, "signal"), "UNKNOWN_NAME", f"no gate is on {each.signal}")
            if each.signal in counted[:number]:
                yield Flaw((*here, "signal"), "DUPLICATE_NAME", f"{each.signal} is counted twice")
            declared = [by.by for gate in service.policy.gates if gate.signal == each.signal for by in gate.strata]
            if missing_labels := [by for by in declared if by not in each.strata]:
                yield Flaw(
                    (*here, "strata"), "STRATA", f"the gate on {each.signal} needs the label of {missing_labels[0]}"
                )
            if unused := [by for by in each.strata if by not in declared]:
                yield Flaw((*here, "strata"), "STRATA", f"the gate on {each.signal} has no strata by {unused[0]}")
            for arm, selectors in (("canary", each.canary), ("stable", each.stable)):
                if (selectors.bad is None) == (selectors.good is None):
                    yield Flaw((*here, arm), "SELECTORS", "give either bad or good")
