"""Prometheus' HTTP API: instant vectors and ranges as values. One client for all who read from a Prometheus."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, TypeVar

import httpx
from prometheus_client.samples import Sample as Reading

from croupier.errors import Unreachable

PATIENCE_SECONDS = 5.0
LARGEST_BYTES = 64 * 1024 * 1024

Answer = TypeVar("Answer")


class Series(NamedTuple):
    """One element of a vector. ``labels`` are without the metric's name."""

    name: str
    labels: Mapping[str, str]
    value: float

    @property
    def source(self) -> tuple[str, str]:
        """Which scrape it comes from."""
        return self.labels.get("job", ""), self.labels.get("instance", "")

    @property
    def reading(self) -> Reading:
        return Reading(self.name, dict(self.labels), self.value)


class Ranged(NamedTuple):
    """One element of a matrix: ``values`` are (epoch seconds, value), oldest first, without those that are missing."""

    labels: Mapping[str, str]
    values: tuple[tuple[float, float], ...]


class PrometheusApi:
    """One Prometheus, or what answers like it. ``url``: its address, to which ``/api/v1/…`` is added."""

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self._client = httpx.AsyncClient(timeout=PATIENCE_SECONDS, trust_env=False, follow_redirects=False)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def vector(self, query: str, at: float) -> list[Series]:
        """The vector that an expression has at a time. Raises ``Unreachable`` for anything else."""
        form = {"query": query, "time": f"{at:.3f}", "timeout": f"{PATIENCE_SECONDS:g}s"}
        return await self._ask("query", form, read_vector)

    async def matrix(self, query: str, begin: float, end: float, step_seconds: float) -> list[Ranged]:
        """What an expression was from ``begin`` to ``end``, at every step. Raises ``Unreachable`` for anything else."""
        form = {
            "query": query,
            "start": f"{begin:.3f}",
            "end": f"{end:.3f}",
            "step": f"{step_seconds:g}",
            "timeout": f"{PATIENCE_SECONDS:g}s",
        }
        return await self._ask("query_range", form, read_matrix)

    async def _ask(self, what: str, form: Mapping[str, str], read: Callable[[bytes], Answer]) -> Answer:
        try:
            return await asyncio.to_thread(read, await self._fetch(what, form))
        except httpx.HTTPError as error:
            raise Unreachable(f"Prometheus at {self.url} does not answer: {error or type(error).__name__}") from error
        except ValueError as error:
            raise Unreachable(f"Prometheus at {self.url} does not give metrics: {error}") from error

    async def _fetch(self, what: str, form: Mapping[str, str]) -> bytes:
        async with self._client.stream("POST", f"{self.url}/api/v1/{what}", data=form) as answer:
            body = bytearray()
            async for chunk in answer.aiter_bytes():
                body += chunk
                if len(body) > LARGEST_BYTES:
                    raise ValueError(f"more than {LARGEST_BYTES} bytes")
            if answer.status_code != httpx.codes.OK:
                raise ValueError(f"status {answer.status_code}: {_words(bytes(body))}")
            return bytes(body)


def read_vector(body: bytes) -> list[Series]:
    """A vector from Prometheus' answer. Raises ``ValueError`` for anything else, and for an answer it warns of."""
    try:
        return [_series(element) for element in _result(body, "vector")]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no answer of a Prometheus: {body[:80]!r}") from error


def read_matrix(body: bytes) -> list[Ranged]:
    """A matrix from Prometheus' answer. Raises ``ValueError`` for anything else, and for an answer it warns of."""
    try:
        return [
            Ranged(dict(element["metric"]), tuple((float(at), float(value)) for at, value in element["values"]))
            for element in _result(body, "matrix")
        ]
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(f"no answer of a Prometheus: {body[:80]!r}") from error


def _result(body: bytes, kind: str) -> list[Mapping[str, Any]]:
    answer = json.loads(body)
    if answer.get("warnings"):
        raise ValueError(f"a part is missing: {'; '.join(map(str, answer['warnings']))[:300]}")
    data = answer["data"]
    if answer["status"] != "success" or data["resultType"] != kind:
        raise ValueError(f"no {kind}: {str(answer)[:80]}")
    result: list[Mapping[str, Any]] = data["result"]
    return result


def _series(element: Mapping[str, Any]) -> Series:
    labels = dict(element["metric"])
    return Series(labels.pop("__name__", ""), labels, float(element["value"][1]))


def _words(body: bytes) -> str:
    """Prometheus' own reason, or the beginning of what somebody else has answered."""
    try:
        return str(json.loads(body)["error"])[:300]
    except (ValueError, KeyError, TypeError):
        return body.decode(errors="replace").strip()[:80]
