"""Judge mode: the counters of both arms of a service that another controller releases, and what is answered."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints

from croupier.model.base import Value
from croupier.model.release import GatePolicy
from croupier.model.service import By, Signal
from croupier.model.settings import HttpUrl
from croupier.model.verdict import GateReading

Selector = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_:][a-zA-Z0-9_:]*(\{[^{}\n]*\})?$")]
"""A plain selector of counters, ``name{label="value", …}``: no function, no range. ``$canary`` and ``$stable`` in it
stand for the revisions that the caller names, ``$edge`` for a latency edge."""

Revision = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]{0,47}$")]
"""A revision as a controller names it: pod-template-hash, checksum."""

JudgedName = Annotated[str, StringConstraints(pattern=r"^[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?$")]
"""``name.namespace`` as Flagger sends it, or whatever an Argo Rollouts template names."""


LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


_MATCHER = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)\s*(=~|!~|!=|=)\s*("(?:[^"\\]|\\.)*")')


def metric_of(selector: Selector) -> str:
    """The name before the braces."""
    return selector.partition("{")[0]


Matcher = tuple[str, str, str]
"""Label, operator, value in its quotes."""

_STATUSES = (*map(str, range(100, 600)), *(f"{each}xx" for each in range(1, 6)))


def _matchers(selector: Selector) -> list[Matcher]:
    return _MATCHER.findall(selector)


def _takes(matcher: Matcher, value: str) -> bool:
    _, operator, quoted = matcher
    wanted = re.sub(r"\\(.)", r"\1", quoted[1:-1])
    is_match = re.fullmatch(wanted, value) is not None if "~" in operator else wanted == value
    return is_match != operator.startswith("!")


def _takes_failures(matcher: Matcher, of_bad: list[Matcher]) -> bool:
    """Whether the statuses that failures are told by are all in what this matcher of the total takes: one that leaves
    mistakes of clients out (``code!~"4.."``) leaves no failure out."""
    same = [each for each in of_bad if each[0] == matcher[0]]
    try:
        failures = [status for status in _STATUSES if all(_takes(each, status) for each in same)]
        return 0 < len(failures) < len(_STATUSES) and all(_takes(matcher, status) for status in failures)
    except re.error:
        return False


class ArmSelectors(Value):
    """The counters of one arm. Exactly one of ``bad`` and ``good``."""

    total: Selector
    bad: Selector | None = None
    good: Selector | None = None
    """Where only what went well is counted, like requests below an edge: the failures are the rest."""

    @property
    def bad_is_part(self) -> bool:
        """Whether failures are a part of the total, the same metric: then no series of them means none."""
        return self.bad is not None and metric_of(self.bad) == metric_of(self.total)

    @property
    def missing_matchers(self) -> list[str]:
        """What the total is narrowed by, and failures that are to be a part of it are not: a slip in one of the two."""
        if self.bad is None or not self.bad_is_part:
            return []
        of_bad = _matchers(self.bad)
        lacks = [each for each in _matchers(self.total) if each not in of_bad]
        return ["".join(each) for each in lacks if not _takes_failures(each, of_bad)]

    @property
    def always_told_by(self) -> list[str]:
        """The labels that each series of the total has to have, or nobody can tell whether it counts failures."""
        if not self.bad_is_part:
            return []
        of_total, of_bad = _matchers(self.total), _matchers(self.bad or "")
        return list(dict.fromkeys(each[0] for each in of_bad if each not in of_total and not _takes(each, "")))


class JudgedSignal(Value):
    """One signal of a service, for both arms."""

    signal: Signal
    canary: ArmSelectors
    stable: ArmSelectors
    strata: dict[By, LabelName] = Field(default_factory=dict)
    """``provider``, ``market`` -> the label of the counters that bears their names; for what the gate declares."""


class JudgedService(Value):
    """One service whose releases are judged."""

    name: JudgedName
    policy: GatePolicy
    signals: Annotated[tuple[JudgedSignal, ...], Field(min_length=1)]
    weight: Selector | None = None
    """A gauge with the percent of traffic that the canary is meant to get. None: not known, and then a canary whose
    traffic vanishes is not told from one with little."""


class JudgeSettings(Value):
    """All that ``croupier judge`` needs (``judge.yaml``). Relative paths are relative to the file."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65_535)] = 8899
    prometheus: HttpUrl
    scrape_seconds: Annotated[float, Field(ge=1.0, le=60.0)] = 15.0
    """How often Prometheus scrapes the services."""
    state: Path
    """Folder of the evidence."""
    token_file: Path
    """What callers must send stands in it."""
    pod_label: LabelName = "pod"
    """The label that tells pods apart."""
    services: Annotated[tuple[JudgedService, ...], Field(min_length=1)]

    def anchored(self, directory: Path) -> Self:
        """The same with paths below ``directory``; absolute paths stay."""
        return self.model_copy(update={"state": directory / self.state, "token_file": directory / self.token_file})


class Case(Value):
    """One release of one service under judgement. All of it is fixed when it is opened."""

    id: str
    service: JudgedName
    canary: Revision
    stable: Revision | None
    began_at: float
    policy: GatePolicy
    scrape_seconds: float
    dispersion: dict[str, float]
    """Series -> dispersion of the stable arm before it was opened; a series that is missing gets the prior."""
    few_pods: tuple[str, ...] = ()
    """As in a plan."""


class Judgement(Value):
    """What the judge answers."""

    verdict: Literal["pass", "fail", "inconclusive"]
    code: str
    reason: str
    """One sentence with numbers."""
    service: str
    canary: str
    case: str
    began_at: float
    samples: int
    """Scrapes judged so far."""
    needs_seconds: float | None
    """Time still needed for a pass at the present pace; None when decided, or when it cannot be told."""
    gates: tuple[GateReading, ...]
