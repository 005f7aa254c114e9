"""A service that somebody else releases, its counters in virtual time, and a judge over them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from croupier.adapters.metrics.ranges import UNKNOWN_WEIGHT
from croupier.errors import Unreachable
from croupier.judge.app import create_app
from croupier.judge.cases import Cases
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.judge import JudgedService, JudgeSettings
from croupier.spec.documents import load_judge

TOKEN = "8d1f0c6a"
SCRAPE_SECONDS = 15.0
NAME = "podinfo.test"
NOW = 1_800_000_000.0

SETTINGS = """
prometheus: http://127.0.0.1:9
state: state
tokenFile: token
services:
  - name: podinfo.test
    policy:
      gates: [{signal: errors, role: required, margin: {points: 1.0}}]
    weight: flagger_canary_weight{workload="podinfo",namespace="test"}
    signals:
      - signal: errors
        canary:
          total: http_requests_total{namespace="test",pod=~"podinfo-[0-9a-f]+-.+"}
          bad: http_requests_total{namespace="test",pod=~"podinfo-[0-9a-f]+-.+",code=~"5.."}
        stable:
          total: http_requests_total{namespace="test",pod=~"podinfo-primary-.+"}
          bad: http_requests_total{namespace="test",pod=~"podinfo-primary-.+",code=~"5.."}
"""


class Counters:
    """Both arms, counted since ``began_at``: what a Prometheus would tell, at any time in the past or now."""

    def __init__(self) -> None:
        self.scrape_seconds = SCRAPE_SECONDS
        self.began_at = NOW
        """When traffic of the canary begins."""
        self.bad_ratio = 0.0
        """Of the canary; stable fails one in a thousand."""
        self.bad_until = math.inf
        """From then on it fails nothing any more."""
        self.weight: int | None = 10
        """None: nobody tells."""
        self.fault = ""
        """What Prometheus complains of."""
        self.reads = 0

    def grid(self, at: float) -> float:
        return math.floor(at / SCRAPE_SECONDS) * SCRAPE_SECONDS

    async def read(
        self, service: JudgedService, revisions: Mapping[str, str], begin: float, end: float
    ) -> Sequence[Sample]:
        self.reads += 1
        if self.fault:
            raise Unreachable(self.fault)
        count = round((end - begin) / SCRAPE_SECONDS) + 1
        return [self._sample(begin + index * SCRAPE_SECONDS) for index in range(count)]

    def _sample(self, at: float) -> Sample:
        since = max(0.0, at - self.began_at)
        weight = UNKNOWN_WEIGHT if self.weight is None else self.weight if since else 0
        failing = min(since, max(0.0, self.bad_until - self.began_at))
        canary = _arm(dict.fromkeys(("c-0", "c-1"), (since * 10, failing * 10 * self.bad_ratio)))
        stable = _arm({f"s-{pod}": ((at - NOW + 1e5) * 45, (at - NOW + 1e5) * 0.045) for pod in range(4)})
        return Sample(at, weight, canary if since else None, stable)


def _arm(pods: Mapping[str, tuple[float, float]]) -> ArmSample:
    return ArmSample(
        {"errors": SeriesCounts({pod: Count(math.floor(n), math.floor(k)) for pod, (n, k) in pods.items()})}
    )


class Clock:
    def __init__(self) -> None:
        self.time = NOW

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        raise AssertionError("a judge does not wait")


class Judged:
    """One judge. ``restart`` makes a new one on the same files."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        (folder / "judge.yaml").write_text(settings)
        self.settings: JudgeSettings = load_judge(folder / "judge.yaml")
        self.clock, self.counters = Clock(), Counters()
        self.restart()

    def restart(self) -> None:
        self.cases = Cases(self.settings, self.counters, self.clock)
        transport = httpx.ASGITransport(create_app(self.cases, TOKEN))
        self.client = httpx.AsyncClient(transport=transport, base_url="http://judge")

    async def argo(self, canary: str = "7bf84f9696", *, service: str = NAME, token: str = TOKEN) -> httpx.Response:
        """As Argo Rollouts' web metric asks: GET, the headers of the template, no body."""
        params = {"service": service, "canary": canary, "stable": "5c4d5b6f8f"}
        headers = {"Authorization": f"Bearer {token}", "User-Agent": "Go-http-client/1.1", "Accept-Encoding": "gzip"}
        return await self.client.get("/v1/argo", params=params, headers=headers)

    async def flagger(
        self, hook: str, *, phase: str = "Progressing", checksum: str = "5d9f8c7b6", token: str = TOKEN, **more: object
    ) -> httpx.Response:
        """As Flagger's CallWebhook posts: the fields of CanaryWebhookPayload, metadata from the Canary."""
        payload = {"name": "podinfo", "namespace": "test", "phase": phase, "checksum": checksum}
        payload |= {"metadata": {"token": token}, **more}
        return await self.client.post(f"/v1/flagger/{hook}", json=payload)
