"""What the server remembers, bounded: verdicts on images for a while, and who would break if it enforced."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from croupier.admission.judge import Answer, ImageVerdict, Review

MOST_IMAGES = 10_000
IMAGE_SECONDS = 300.0
"""How long a verdict on an image counts: rules change with the process, what is behind a tag at any time."""
MOST_BREAKING = 5_000


class ImageVerdicts:
    """Image reference -> verdict, for a time; the least asked for goes first when there is no more room."""

    def __init__(
        self, judge: Callable[[str], ImageVerdict], now: Callable[[], float], *, seconds: float = IMAGE_SECONDS
    ) -> None:
        self._judge = judge
        self._now = now
        self._seconds = seconds
        self._held: OrderedDict[str, tuple[float, ImageVerdict]] = OrderedDict()
        self.hits = 0
        self.misses = 0

    def of(self, image: str) -> ImageVerdict:
        """The verdict on one image. A failure of ``judge`` is raised, and not remembered."""
        now = self._now()
        held = self._held.get(image)
        if held is not None and now < held[0]:
            self.hits += 1
            self._held.move_to_end(image)
            return held[1]
        self.misses += 1
        verdict = self._judge(image)
        self._held[image] = now + self._seconds, verdict
        self._held.move_to_end(image)
        if len(self._held) > MOST_IMAGES:
            self._held.popitem(last=False)
        return verdict

    def __len__(self) -> int:
        return len(self._held)


@dataclass(slots=True)
class _Breaking:
    rules: set[str] = field(default_factory=set)
    times: int = 0
    first_at: float = 0.0
    last_at: float = 0.0


class WhoBreaks:
    """Who would be refused, or was: one row an object and who brought it."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._held: OrderedDict[tuple[str, str, str, str], _Breaking] = OrderedDict()
        self.left_out = 0
        """Rows that were given up for newer ones."""

    def note(self, review: Review, answer: Answer) -> None:
        key = review.namespace, review.kind, review.name, review.user
        row = self._held.setdefault(key, _Breaking(first_at=self._now()))
        row.rules.update(answer.rules)
        row.times += 1
        row.last_at = self._now()
        self._held.move_to_end(key)
        if len(self._held) > MOST_BREAKING:
            self._held.popitem(last=False)
            self.left_out += 1

    def rows(self) -> Iterator[dict[str, object]]:
        """By namespace, kind, name, user."""
        for (namespace, kind, name, user), row in sorted(self._held.items(), key=lambda each: each[0]):
            yield {
                "namespace": namespace,
                "kind": kind,
                "name": name,
                "user": user,
                "rules": sorted(row.rules),
                "times": row.times,
                "firstAt": row.first_at,
                "lastAt": row.last_at,
            }
