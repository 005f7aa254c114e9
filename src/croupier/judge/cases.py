"""Releases under judgement: one case a (service, canary revision), its evidence on disk, its verdict on request.

Nothing runs between two questions: a question reads from Prometheus what was counted since the last one, folds it, and
answers. So answers are the same however often somebody asks, and a judge that was down catches up. A case ends when its
release does (``close``), or when nobody has asked for an hour: then the same revision is judged anew.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from croupier.adapters.files import replace_file
from croupier.adapters.journal.evidence import FileEvidence
from croupier.adapters.metrics.ranges import UNKNOWN_WEIGHT, RangedCounters
from croupier.core import gates
from croupier.errors import UnknownName, Unreachable
from croupier.model.evidence import Sample
from croupier.model.judge import Case, JudgedService, Judgement, JudgeSettings
from croupier.model.verdict import Outcome, Verdict
from croupier.ports.clock import Clock

FORGET_SECONDS = 3600.0
"""A case that nobody has asked about for so long is over. Also the longest time that is caught up."""
HISTORY_SECONDS = 3600.0
"""How far back stable is looked at, for how bursty its failures are."""
SETTLE_SECONDS = 2.0
"""How long after its time a scrape may still be on its way into the database."""
MOST_CASES = 200
"""Kept in memory; the others are folded from their files again when somebody asks."""

log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Open:
    """A case in memory."""

    case: Case
    evidence: gates.Evidence
    samples: int = 0
    last_at: float = float("-inf")
    asked_at: float = float("-inf")
    weight: int = UNKNOWN_WEIGHT
    failed: Verdict | None = None
    """The first verdict against the canary, whoever asked then. It stands: evidence sinks again while a canary behaves,
    and the chance that a good one is taken back needlessly holds for the highest that it ever was."""
    told: tuple[str, str] = ("", "")
    """Verdict and code as the log has them."""
    let_in_at: float = float("-inf")
    """When the canary's first traffic was last allowed; what was scraped until a scrape later need not show it yet."""

    def fold(self, sample: Sample) -> None:
        gates.fold(self.evidence, sample)
        self.samples += 1
        self.last_at = sample.at
        self.weight = sample.weight
        if self.failed is None and gates.fails(self.evidence):
            self.failed = gates.assess(self.evidence, weight=sample.weight, now=sample.at)

    @property
    def is_untouched(self) -> bool:
        """Whether the canary is known to get nothing: not let in lately, weight 0, nothing counted."""
        is_newer = self.last_at > self.let_in_at + self.case.scrape_seconds
        counted = any(series.totals.canary_total > 0 for gate in self.evidence.gates for series in gate.series)
        return self.samples > 0 and is_newer and self.weight == 0 and not counted


@dataclass(slots=True)
class Answer:
    """``is_untouched``: the controller is known to send the canary nothing, and nothing of it was counted."""

    judgement: Judgement
    is_untouched: bool


@dataclass(slots=True)
class _Slot:
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    open: _Open | None = None


class Cases:
    """All cases of one judge. ``settings.state`` holds ``cases/<id>.json`` and ``evidence/<id>.jsonl``."""

    def __init__(self, settings: JudgeSettings, counters: RangedCounters, clock: Clock) -> None:
        self._services = {service.name: service for service in settings.services}
        self._counters = counters
        self._clock = clock
        self._folder = settings.state / "cases"
        self._store = FileEvidence(settings.state / "evidence")
        self._slots: dict[tuple[str, str], _Slot] = {}

    def service(self, name: str) -> JudgedService:
        """Raises ``UnknownName``."""
        if name not in self._services:
            raise UnknownName("service", name, list(self._services))
        return self._services[name]

    async def ask(self, name: str, canary: str, stable: str | None) -> Answer:
        """The verdict on a canary now; opens a case with the first question.

        Raises:
            UnknownName: for a service that is not declared.
            Unreachable: when the evidence cannot be written. What cannot be read is a verdict: inconclusive.
        """
        service = self.service(name)
        slot = self._slot(name, canary)
        async with slot.lock:
            now = self._clock.now()
            if slot.open is None or now - max(slot.open.asked_at, slot.open.last_at) > FORGET_SECONDS:
                slot.open = await self._resumed(service, canary, now) or await self._opened(
                    service, canary, stable, now
                )
            current = slot.open
            current.asked_at = now
            problem = await self._catch_up(service, current, now)
            answer = self._answer(current, now, problem)
            _log(current, answer.judgement)
            return answer

    def let_in(self, name: str, canary: str) -> None:
        """The canary gets its first traffic now.

        The weight in Prometheus is older than that for a while: the second step would be taken for the first.
        """
        current = self._slot(name, canary).open
        if current is not None:
            current.let_in_at = self._clock.now()

    async def close(self, name: str, canary: str) -> None:
        """The release is over: the next question about this revision opens a new case. Harmless when repeated."""
        slot = self._slot(name, canary)
        async with slot.lock:
            current = slot.open or await self._resumed(self.service(name), canary, self._clock.now())
            if current is not None:
                closed = self._folder / f"{current.case.id}.closed"
                await asyncio.to_thread(replace_file, closed, f"{self._clock.now()}\n".encode())
            slot.open = None

    def _slot(self, name: str, canary: str) -> _Slot:
        key = (name, canary)
        if key not in self._slots and len(self._slots) >= MOST_CASES:
            idle = [
                (slot.open.asked_at if slot.open else 0.0, each)
                for each, slot in self._slots.items()
                if not slot.lock.locked()
            ]
            if idle:
                del self._slots[min(idle)[1]]
        return self._slots.setdefault(key, _Slot())

    # --- opening ------------------------------------------------------------------------------------------------------

    async def _resumed(self, service: JudgedService, canary: str, now: float) -> _Open | None:
        """The newest case of this revision that is on disk and not over."""
        return await asyncio.to_thread(self._from_disk, service.name, canary, now)

    def _from_disk(self, name: str, canary: str, now: float) -> _Open | None:
        mine = f"{name}.{canary}"
        began = {_began(path, mine): path for path in self._folder.glob(f"{mine}.*.json")}
        newest = max(began, default=0)
        # A suffix is appended, never replaced: the name has dots of its own.
        if newest == 0 or (self._folder / f"{mine}.{newest}.closed").exists():
            return None
        try:
            case = Case.model_validate_json(began[newest].read_bytes(), strict=True)
        except (OSError, ValidationError) as error:
            log.warning("case %s cannot be read, so the release is judged anew: %s", began[newest].name, error)
            return None
        # Whether somebody let it in just before the restart is not on disk.
        current = _Open(case, _evidence(case), let_in_at=now)
        for sample in self._store.read(case.id):
            current.fold(sample)
        alive = now - max(current.last_at, case.began_at) <= FORGET_SECONDS
        return current if alive else None

    async def _opened(self, service: JudgedService, canary: str, stable: str | None, now: float) -> _Open:
        past = await self._past(service, canary, stable, now)
        case = Case(
            id=f"{service.name}.{canary}.{int(1000 * now)}",
            service=service.name,
            canary=canary,
            stable=stable,
            began_at=now,
            policy=service.policy,
            scrape_seconds=self._counters.scrape_seconds,
            dispersion=past.dispersions(),
            few_pods=past.few_pods(),
        )
        await asyncio.to_thread(self._write, case)
        log.info("case %s opened", case.id)
        return _Open(case, _evidence(case))

    def _write(self, case: Case) -> None:
        try:
            self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            replace_file(self._folder / f"{case.id}.json", case.model_dump_json(by_alias=True).encode())
        except OSError as error:
            raise Unreachable(f"case {case.id} cannot be written: {error.strerror}") from error

    async def _past(
        self, service: JudgedService, canary: str, stable: str | None, now: float
    ) -> gates.DispersionHistory:
        """How bursty stable's failures were before. Empty when not known: the gates then assume the careful prior."""
        end = self._counters.grid(now - SETTLE_SECONDS)
        revisions = {"canary": canary, "stable": stable or ""}
        history = gates.DispersionHistory()
        try:
            past = await self._counters.read(service, revisions, end - self._counters.grid(HISTORY_SECONDS), end)
        except Unreachable as error:
            log.warning("the past of %s is not known: %s", service.name, error.message)
            return history
        for sample in past:
            if sample.stable is not None:
                history.add(sample.stable, sample.at)
        return history

    # --- judging ------------------------------------------------------------------------------------------------------

    async def _catch_up(self, service: JudgedService, current: _Open, now: float) -> str:
        """Fold what was counted since the last question; returns why it could not be read, or ""."""
        step = self._counters.scrape_seconds
        end = self._counters.grid(now - SETTLE_SECONDS)
        begin = max(current.last_at + step, self._counters.grid(current.case.began_at), end - FORGET_SECONDS)
        begin = self._counters.grid(begin)
        if begin <= current.last_at:
            begin += step
        if begin > end:
            return ""
        revisions = {"canary": current.case.canary, "stable": current.case.stable or ""}
        try:
            samples = await self._counters.read(service, revisions, begin, end)
        except Unreachable as error:
            return error.message
        await asyncio.to_thread(self._store_and_fold, current, samples)
        return ""

    def _store_and_fold(self, current: _Open, samples: Sequence[Sample]) -> None:
        for sample in samples:
            self._store.append(current.case.id, sample)
            current.fold(sample)

    def _answer(self, current: _Open, now: float, problem: str) -> Answer:
        case = current.case
        verdict = current.failed or gates.assess(current.evidence, weight=current.weight, now=now)
        code, reason = verdict.code, verdict.reason
        is_told = problem and verdict.outcome is not Outcome.FAIL
        if is_told:
            code, reason = "no-data", problem
        judgement = Judgement(
            verdict="inconclusive" if is_told else verdict.outcome.value,
            code=code,
            reason=reason,
            service=case.service,
            canary=case.canary,
            case=case.id,
            began_at=case.began_at,
            samples=current.samples,
            needs_seconds=None if is_told else verdict.needs_seconds,
            gates=verdict.gates,
        )
        return Answer(judgement, is_untouched=not problem and current.is_untouched)


def _evidence(case: Case) -> gates.Evidence:
    return gates.new_evidence(case.policy, case.scrape_seconds, case.dispersion, few_pods=case.few_pods)


def _log(current: _Open, judgement: Judgement) -> None:
    """Once a change: Argo Rollouts keeps the verdict alone, and Flagger drops the reason with most webhooks."""
    told = (judgement.verdict, judgement.code)
    if told != current.told:
        log.info("case %s: %s (%s): %s", judgement.case, *told, judgement.reason)
        current.told = told


def _began(path: Path, prefix: str) -> int:
    """When a case began, in milliseconds, from its name; 0 when it is another revision's."""
    rest = path.stem.removeprefix(f"{prefix}.")
    return int(rest) if rest.isdigit() else 0
