"""What a pod's own counters of requests say, from wherever they were read. Counters, as Prometheus names them:

http_requests_total{code}                    errors: codes from 500 on; counted by no status (``404``, ``4xx``, or ``0``
                                             for who did not wait for one), failures are not known
http_request_duration_seconds_bucket{le}     latency: requests slower than each edge
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from prometheus_client.samples import Sample as Reading

from croupier.errors import CroupierError
from croupier.model.evidence import Count, SeriesCounts
from croupier.ports.metrics import Target
from croupier.ports.traffic import Traffic

REQUESTS = "http_requests_total"
BUCKET = "http_request_duration_seconds_bucket"
_STATUS = re.compile("[1-9][0-9][0-9]|[1-5]xx|0+")
_ABSENT = Count(math.nan, math.nan)

PodCounts = dict[str, Count]
"""Series -> counts of one pod."""


def count_requests(readings: Iterable[Reading]) -> PodCounts:
    """Counts of one pod; other readings are ignored, and what the page does not count is missing, never zero.

    Raises ``ValueError`` for an edge that is no number.
    """
    total = bad = 0.0
    has_codes = True
    counts: PodCounts = {}
    edges: dict[float, float] = {}
    for reading in readings:
        if reading.name == REQUESTS:
            code = reading.labels.get("code", "").lower()
            has_codes &= _STATUS.fullmatch(code) is not None
            total += reading.value
            bad += reading.value if code.startswith("5") else 0.0
            counts["errors"] = Count(total, bad if has_codes else math.nan)
        elif reading.name == BUCKET:
            edge = float(reading.labels["le"]) if "le" in reading.labels else math.nan
            edges[edge] = edges.get(edge, 0.0) + reading.value
    count = edges.pop(math.inf, math.nan)
    counts |= {f"latency:{edge:g}": Count(count, count - below) for edge, below in sorted(edges.items())}
    return counts


def by_series(pods: Mapping[str, PodCounts | None]) -> dict[str, SeriesCounts]:
    """Series -> pods. One without an answer (None) is told as absent; one that has answered, and has counted nothing of
    a series yet, is left out of it. Empty when none answered."""
    names = sorted({name for counts in pods.values() if counts is not None for name in counts})
    return {
        name: SeriesCounts(
            {
                pod: _ABSENT if counts is None else counts[name]
                for pod, counts in sorted(pods.items())
                if counts is None or name in counts
            }
        )
        for name in names
    }


@dataclass(slots=True)
class _Seen:
    """Requests of each pod when a revision of the split was first counted."""

    split: tuple[str, int]
    base: dict[str, float] = field(default_factory=dict)


class SeenUnderSplit:
    """Who was seen under the split in force, by requests, where players are not known.

    Args:
        traffic: tells which revision is in force.
    """

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._seen: dict[str, _Seen] = {}

    async def note(self, service: str, targets: Sequence[Target], requests: Mapping[str, float]) -> int | None:
        """The revision of the split in force; None outside a run, or when it is not known.

        Args:
            service: of ``targets``.
            targets: what is read.
            requests: pod -> its counter of requests now. Where it stood when a revision was first seen is remembered.
        """
        if all(target.run == "-" for target in targets):
            self._seen.pop(service, None)
            return None
        try:
            split = await self._traffic.observe(service)
        except CroupierError:
            return None
        key = (split.run, split.revision)
        if service not in self._seen or self._seen[service].split != key:
            self._seen[service] = _Seen(key, dict(requests))
        return split.revision

    def since(self, service: str, pods: Iterable[str], requests: Mapping[str, float]) -> int:
        """Requests of these pods since the revision that ``note`` has told."""
        base = self._seen[service].base
        return int(sum(max(0.0, requests[pod] - base.get(pod, 0.0)) for pod in pods if pod in requests))
