"""The checklist of a release (S15): nine lines, each with what was looked at, when, and what it showed."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import StringConstraints, model_validator

from croupier.model.base import ServiceName, Value
from croupier.model.service import Tier

LineId = Literal["S15.1", "S15.2", "S15.3", "S15.4", "S15.5", "S15.6", "S15.7", "S15.8", "S15.9"]
LINES: tuple[LineId, ...] = get_args(LineId)
ProofState = Literal["pass", "fail", "no-evidence"]


ChecklistAsk = Literal["require", "warn"]


class ChecklistPolicy(Value):
    """What a red line of the checklist means for a release, by the tier of its service.

    `require`: no release starts while a line is red and not waived. `warn`: it starts, and plan and journal say
    what is red.
    """

    money: ChecklistAsk = "require"
    standard: ChecklistAsk = "require"

    def of(self, tier: Tier) -> ChecklistAsk:
        return self.money if tier == "money" else self.standard


class Proof(Value):
    """One thing that was looked at."""

    what: str
    """What was looked at."""
    at: float
    """When, seconds since the epoch, UTC."""
    state: ProofState
    """`no-evidence`: nobody has shown it. That is red too: what is not shown does not count."""
    result: str
    """What was seen there, one sentence."""
    link: str
    """Where to look: `file:line` or an address; "" where there is no place."""


class WaiverRequest(Value):
    """That a line of the checklist may stay red for a while, and who answers for it."""

    service: ServiceName
    line: LineId
    owner: Annotated[str, StringConstraints(pattern=r"^\S+$", max_length=100)]
    """The person who answers for it."""
    until: date
    """The last day, `YYYY-MM-DD`, UTC."""
    reason: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=500)]


class LineWaiver(WaiverRequest):
    """A waiver as the journal holds it. Of two for the same line of a service the later one counts."""

    who: str
    """Who wrote it down."""
    at: float
    """When."""
    entry: int
    """Number of its journal entry."""


class LineView(Value):
    """One line of the checklist."""

    id: LineId
    title: str
    state: Literal["green", "red", "waived"]
    """`green`: every proof passes. `waived`: red, and a waiver holds today."""
    proofs: tuple[Proof, ...]
    waiver: LineWaiver | None
    """The waiver that counts, also one that has ended; null where there is none."""

    @property
    def missing(self) -> tuple[Proof, ...]:
        """What keeps it from being green."""
        return tuple(each for each in self.proofs if each.state != "pass")


class Checklist(Value):
    """The checklist of one service at one moment."""

    service: str
    at: float
    ready: bool
    """Whether no line is red."""
    lines: tuple[LineView, ...]
    """The nine, in the order of S15."""
    sources: tuple[str, ...]
    """What was read: cells of a platform folder, manifests, the release itself, a desk."""
    not_checked: tuple[str, ...]
    """What was not looked at, and why, one sentence each."""
    unread: tuple[str, ...]
    """Files that could not be read: the answer may not be the whole one."""

    @property
    def red(self) -> tuple[LineView, ...]:
        return tuple(each for each in self.lines if each.state == "red")


class ChecklistResult(Value):
    """What the checklist said of one version, as it is shown to the operator of a cluster."""

    version: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{12}$")]
    """The version, by the short digest that the status of its policy shows as `wanted`."""
    ready: bool
    """Whether no line was red."""
    said: Annotated[str, StringConstraints(max_length=1000)]
    """The answer in words: what was green, or waived and by whom."""
    until: date
    """The last day it counts, UTC."""
    who: Annotated[str, StringConstraints(min_length=1, max_length=120)]
    """Who showed it."""


class ChecklistSource(Value):
    """Where a service is described, for its checklist: a platform folder, manifests, or both."""

    platform: Path | None = None
    """Folder of a platform; its manifests are rendered and looked at."""
    cell: str | None = None
    """The cell of the platform. None: every cell that has the service."""
    manifests: tuple[Path, ...] = ()
    """Files or folders of manifests, which make one bundle."""

    @model_validator(mode="after")
    def _cell_is_of_a_platform(self) -> Self:
        if self.cell is not None and self.platform is None:
            raise ValueError("cell is of a platform: give platform, too")
        return self

    def anchored(self, directory: Path) -> Self:
        """The same with paths below ``directory``; absolute paths stay."""
        return self.model_copy(
            update={
                "platform": self.platform and directory / self.platform,
                "manifests": tuple(directory / each for each in self.manifests),
            }
        )

    @property
    def is_empty(self) -> bool:
        return self.platform is None and not self.manifests


Sources = dict[ServiceName, ChecklistSource]
"""Service -> where it is described."""
