"""What Envoy says about itself: reads its admin interface (loopback, GET only). Never reads our own files.

Called by ``EnvoyTraffic``, to confirm in the data plane what was written to disk.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import httpx
from pydantic import JsonValue

from croupier.errors import Unreachable
from croupier.model.traffic import WHOLE, Endpoint, ObservedSplit

_COUNTERS = r"^(cluster_manager\.cds|http\.\w+\.rds\.\w+|cluster\..*)\.update_(rejected|failure)$"
_LOG_TAIL_BYTES = 262_144


class EnvoyAdmin:
    """Reads of one Envoy. All methods raise ``Unreachable``."""

    def __init__(self, url: str, log: Path | None = None, *, transport: httpx.AsyncBaseTransport | None = None) -> None:
        self._url = url.rstrip("/")
        self._log = log
        self._client = httpx.AsyncClient(base_url=self._url, timeout=2.0, trust_env=False, transport=transport)

    async def aclose(self) -> None:
        await self._client.aclose()

    async def hosts(self) -> dict[str, dict[Endpoint, bool]]:
        """Active clusters: name -> endpoint -> healthy. A cluster that is still warming is not among them."""
        answer = await self._get("/clusters?format=json")
        found: dict[str, dict[Endpoint, bool]] = {}
        for status in _objects(answer, "cluster_statuses"):
            hosts: dict[Endpoint, bool] = {}
            for host in _objects(status, "host_statuses"):
                address = _object(_object(host, "address"), "socket_address")
                health = _object(host, "health_status")
                endpoint = Endpoint(host=_text(address, "address"), port=_number(address, "port_value"))
                hosts[endpoint] = not health.get("failed_active_health_check")
            found[_text(status, "name")] = hosts
        return found

    async def digests(self) -> dict[str, str]:
        """Active clusters: name -> full digest of the version behind it."""
        answer = await self._get("/config_dump?resource=dynamic_active_clusters")
        found: dict[str, str] = {}
        for config in _objects(answer, "configs"):
            cluster = _object(config, "cluster")
            ours = _object(_object(_object(cluster, "metadata"), "filter_metadata"), "croupier")
            found[_text(cluster, "name")] = _text(ours, "digest")
        return found

    async def open_streams(self, clusters: Iterable[str]) -> dict[str, int]:
        """Active clusters among ``clusters``: name -> requests under way and upgraded connections. Health checks and
        connections that rest are not among them."""
        names = "|".join(re.escape(cluster) for cluster in clusters)
        answer = await self._get("/stats", {"format": "json", "filter": rf"^cluster\.({names})\.upstream_rq_active$"})
        return {
            _text(stat, "name").removeprefix("cluster.").removesuffix(".upstream_rq_active"): _number(stat, "value")
            for stat in _objects(answer, "stats")
            if "name" in stat
        }

    async def route_versions(self) -> dict[str, str]:
        """Listener -> version of its routes; a listener that has not loaded any is missing."""
        answer = await self._get("/config_dump?resource=dynamic_route_configs&mask=version_info,route_config.name")
        return {
            _text(_object(config, "route_config"), "name"): _text(config, "version_info")
            for config in _objects(answer, "configs")
        }

    async def routes(self) -> dict[str, dict[str, ObservedSplit]]:
        """Listener -> service -> split. Digests are the twelve digits that the arm carries."""
        answer = await self._get("/config_dump?resource=dynamic_route_configs")
        found: dict[str, dict[str, ObservedSplit]] = {}
        for config in _objects(answer, "configs"):
            table = _object(config, "route_config")
            entries = [route for host in _objects(table, "virtual_hosts") for route in _objects(host, "routes")]
            services = {name: route for route in entries if ":" not in (name := _text(route, "name"))}
            found[_text(table, "name")] = {name: _split(name, route) for name, route in services.items()}
        return found

    async def refusals(self) -> dict[str, int]:
        """Counters of refused updates: resource (``cluster_manager.cds``, ``http.public.rds.public``,
        ``cluster.<name>``) -> how many were rejected or could not be read since Envoy started."""
        answer = await self._get("/stats", {"format": "json", "filter": _COUNTERS})
        found: dict[str, int] = {}
        for stat in _objects(answer, "stats"):
            if "name" in stat:
                resource = _text(stat, "name").rpartition(".")[0]
                found[resource] = found.get(resource, 0) + _number(stat, "value")
        return found

    async def refusal_since(self, before: Mapping[str, int]) -> str:
        """The resource that Envoy has refused since ``before``, and its own words if we have its log; or ""."""
        for resource, count in sorted((await self.refusals()).items()):
            if count > before.get(resource, 0):
                words = await asyncio.to_thread(_last_refusal, self._log) if self._log else ""
                return f"{resource}: {words or 'the reason stands in its log'}"
        return ""

    async def _get(self, path: str, parameters: Mapping[str, str] | None = None) -> dict[str, JsonValue]:
        try:
            answer = await self._client.get(path, params=parameters)
            answer.raise_for_status()
            body = json.loads(answer.content)
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(
                f"Envoy's admin interface at {self._url} does not answer: {error or type(error).__name__}",
                hint="is Envoy running? look at its log",
            ) from error
        if not isinstance(body, dict):
            raise _strange("an object", body)
        return body


def _split(service: str, route: Mapping[str, JsonValue]) -> ObservedSplit:
    """The split of one loaded route, from the weights and the headers that it stamps."""
    slots: dict[str, int] = {}
    stamps: set[tuple[str, int]] = set()
    for part in _weighted(route):
        arm = _text(_object(_objects(part, "request_headers_to_add")[0], "header"), "value")
        try:
            _, run, digest, revision = arm.split("/")
            stamps.add((run, int(revision)))
        except ValueError as error:
            raise _strange("an arm", arm) from error
        slots[digest] = slots.get(digest, 0) + _number(part, "weight")
    if len(stamps) != 1:
        raise _strange("one run and revision", sorted(map(str, stamps)))
    run, number = stamps.pop()
    weights = {digest: count * 100 // WHOLE for digest, count in slots.items()}
    return ObservedSplit(service=service, run=run, revision=number, weights=weights)


def _weighted(route: Mapping[str, JsonValue]) -> list[Mapping[str, JsonValue]]:
    return list(_objects(_object(_object(route, "route"), "weighted_clusters"), "clusters"))


def _last_refusal(log: Path) -> str:
    """Envoy logs the whole refused resource and, at the end of the record, why."""
    try:
        with log.open("rb") as stream:
            stream.seek(max(0, log.stat().st_size - _LOG_TAIL_BYTES))
            tail = stream.read().decode(errors="replace")
    except OSError:
        return ""  # without its log a refusal still has the name of the resource
    record = tail.rpartition("update rejected: ")[2].partition("\n[")[0].strip()
    return record.rpartition("\n")[2].rpartition("caused by ")[2].lstrip(": ")[:600]


# Envoy leaves out what is empty, and we ask for known fields only: anything else is another program's answer.


def _object(value: Mapping[str, JsonValue], key: str) -> Mapping[str, JsonValue]:
    found = value.get(key, {})
    if not isinstance(found, dict):
        raise _strange(f"an object in {key}", found)
    return found


def _objects(value: Mapping[str, JsonValue], key: str) -> list[Mapping[str, JsonValue]]:
    found = value.get(key, [])
    if not isinstance(found, list):
        raise _strange(f"a list in {key}", found)
    return list(_only_objects(found, key))


def _only_objects(items: list[JsonValue], key: str) -> Iterator[Mapping[str, JsonValue]]:
    for item in items:
        if not isinstance(item, dict):
            raise _strange(f"objects in {key}", item)
        yield item


def _text(value: Mapping[str, JsonValue], key: str) -> str:
    found = value.get(key)
    if not isinstance(found, str):
        raise _strange(f"text in {key}", found)
    return found


def _number(value: Mapping[str, JsonValue], key: str) -> int:
    found = value.get(key, 0)
    if not isinstance(found, int):
        raise _strange(f"a number in {key}", found)
    return found


def _strange(wanted: str, found: object) -> Unreachable:
    return Unreachable(f"Envoy's admin interface answered strangely: {wanted} expected, got {str(found)[:80]!r}")
