"""The files croupier reads beside the platform: release, settings of the desk, build descriptor. One loader each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from croupier.errors import Problem, SpecError
from croupier.model.judge import JudgeSettings
from croupier.model.release import GatePolicy, ReleaseFile
from croupier.model.service import BuildDescriptor, Platform
from croupier.model.settings import DeskSettings
from croupier.spec.files import read_text
from croupier.spec.freezes import flaws
from croupier.spec.load import Flaw, Location, did_you_mean, load, place
from croupier.spec.yaml12 import parse


def load_release(path: Path) -> ReleaseFile:
    """A release as a person wrote it; ``ReleaseFile.complete`` makes a ``Release`` of it."""
    return load(path, ReleaseFile)


def load_settings(path: Path) -> DeskSettings:
    """Settings of a desk (``desk.yaml``); relative paths in it are relative to the file and come back absolute."""
    return load(path, DeskSettings, _desk_flaws).anchored(path.absolute().parent)


def refuse_unknown_services(path: Path, settings: DeskSettings, platform: Platform) -> None:
    """Raises ``SpecError`` for services that the settings name and the platform does not have: they would be frozen and
    described for nothing."""
    known = [service.name for service in platform.services]
    named: list[tuple[Location, str, bool]] = [(("checklists", name), name, True) for name in settings.checklists]
    named += [
        (("freezes", window, "services", index), name, False)
        for window, each in settings.freezes.items()
        for index, name in enumerate(each.services)
    ]
    root, _ = parse(read_text(path), str(path))
    problems = [
        Problem(
            str(path),
            *place(root, at, key=is_key),
            "UNKNOWN_NAME",
            f"{name!r} is no service of {settings.platform.name}",
            did_you_mean(name, known),
        )
        for at, name, is_key in named
        if name not in known
    ]
    if problems:
        raise SpecError(problems)


def _desk_flaws(settings: DeskSettings) -> Iterator[Flaw]:
    for flaw in flaws(settings.freezes):
        yield flaw._replace(location=("freezes", *flaw.location))


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
                if missing_matchers := selectors.missing_matchers:
                    yield Flaw(
                        (*here, arm, "bad"),
                        "SELECTORS",
                        f"bad is no part of total: it lacks {missing_matchers[0]}",
                        "it must have all that total has, and more: where bad has no series, nothing has failed",
                    )
