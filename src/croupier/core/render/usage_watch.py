"""What pods of a service use of what they may, who waits for more, and when somebody is called (S9.3, USE).

Kubelets count CPU and memory of containers, kube-state-metrics how they ended; who scrapes both is no matter of
croupier's (``prometheus.resources``).
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.render.alerts import Alert, called_about, rule_of
from croupier.core.render.slo import INTERVAL_SECONDS, matchers
from croupier.model.objects import JsonObject
from croupier.model.platform import PlacedCell
from croupier.model.quantity import size
from croupier.model.service_spec import ServiceSpec
from croupier.model.slo import BASE

CPU_USED = "croupier:cpu_used:ratio"
"""Of what a pod asks for, of all pods together."""
CPU_THROTTLED = "croupier:cpu_throttled:ratio"
"""Periods in which a limit refused more."""
CPU_WAITING = "croupier:cpu_waiting:ratio"
"""Share of time in which something in the worst pod waits for CPU: kernels and kubelets that count pressure."""
MEMORY_USED = "croupier:memory_used:ratio"
"""Of the limit, of the fullest pod."""
RESTARTS = "croupier:restarts:increase15m"
OOM_KILLS = "croupier:oom_kills:increase15m"
_RESTARTED = "kube_pod_container_status_restarts_total"
_ENDED = "kube_pod_container_status_last_terminated_reason"
_FULL, _THROTTLED = 0.9, 0.25
_MOST_RESTARTS = 3


def containers(placed: PlacedCell, service: ServiceSpec) -> str:
    """Matchers of the program in each pod of a service: of Deployments, of versions that croupier makes, and of
    StatefulSets; no other service's whose name begins alike."""
    pods = f'pod=~"{service.name}(-[0-9a-f]{{12}})?(-[0-9a-z]{{5,10}}-[0-9a-z]{{5}}|-[0-9]+)"'
    return matchers({"namespace": placed.cell.namespace, "container": "app"}, pods)


def usage_rules(placed: PlacedCell, service: ServiceSpec) -> list[JsonObject]:
    """One group; nothing where nobody scrapes what it reads."""
    prometheus = placed.region.prometheus
    if prometheus is None or not prometheus.resources:
        return []
    cell = placed.cell
    labels = {"brand": cell.brand, "cell": cell.name, "market": cell.market, "region": cell.region}
    labels |= {"service": service.name, "tier": service.tier}
    recorded: list[JsonObject] = [
        {"record": name, "expr": expression, "labels": labels} for name, expression in _recorded(placed, service)
    ]
    called = (
        [] if service.alerts is None else [rule_of(placed, service, labels, each) for each in _alerts(placed, service)]
    )
    name = f"{cell.name}/{service.name}/resources"
    return [{"name": name, "interval": f"{INTERVAL_SECONDS}s", "rules": [*recorded, *called]}]


def _recorded(placed: PlacedCell, service: ServiceSpec) -> Iterator[tuple[str, str]]:
    found = containers(placed, service)
    asked, limit = service.resources.cpu, service.resources.memory_limit or service.resources.memory

    def grown(counter: str) -> str:
        return f"rate({counter}{found}[{BASE}])"

    yield CPU_USED, f"avg({grown('container_cpu_usage_seconds_total')}) / {float(size(asked)):g}"
    throttled, periods = (grown(f"container_cpu_cfs_{name}periods_total") for name in ("throttled_", ""))
    yield CPU_THROTTLED, f"sum({throttled}) / (sum({periods}) > 0)"
    yield CPU_WAITING, f"max({grown('container_pressure_cpu_waiting_seconds_total')})"
    yield MEMORY_USED, f"max(container_memory_working_set_bytes{found}) / {float(size(limit)):.0f}"
    restarted = f"max by (pod) (increase({_RESTARTED}{found}[15m]))"
    yield RESTARTS, f"sum({restarted})"
    killed = f'max by (pod) ({_ENDED}{found[:-1]},reason="OOMKilled"}})'
    # How a container ended last is told long after: it counts while it is new.
    yield OOM_KILLS, f"sum({restarted} * on (pod) {killed}) or 0 * sum({restarted})"


def _alerts(placed: PlacedCell, service: ServiceSpec) -> Iterator[Alert]:
    which = matchers({"cell": placed.cell.name, "service": service.name})
    where = f"of {service.name} in {placed.cell.name}"
    yield Alert(
        "PodsKilledForMemory",
        called_about(service),
        f"{OOM_KILLS}{which} > 0.5",
        f"Pods {where} are killed because their memory is full",
        "{{ $value | humanize }} in a quarter of an hour. What they did is lost; find the leak, or raise the limit.",
    )
    yield Alert(
        "PodsRestart",
        called_about(service),
        f"{RESTARTS}{which} > {_MOST_RESTARTS - 0.5:g}",
        f"Pods {where} start again and again",
        "{{ $value | humanize }} times in a quarter of an hour: they crash, or do not answer their liveness probe.",
    )
    yield Alert(
        "MemoryNearlyFull",
        "ticket",
        f"{MEMORY_USED}{which} > {_FULL:g}",
        f"Memory of the fullest pod {where} is nearly used up",
        "{{ $value | humanizePercentage }} of the limit; at all of it the pod is killed.",
        lasting="10m",
    )
    yield Alert(
        "CpuRefused",
        "ticket",
        f"{CPU_THROTTLED}{which} > {_THROTTLED:g}",
        f"Pods {where} are refused CPU",
        "In {{ $value | humanizePercentage }} of periods they wanted more than their limit: raise cpuLimit, or take it "
        "away.",
        lasting="15m",
    )
    if service.traffic != "batch":
        yield Alert(
            "ResourcesUncounted",
            "ticket",
            f"absent({MEMORY_USED}{which}) or absent({RESTARTS}{which})",
            f"Nobody counts what pods {where} use",
            "Kubelets or kube-state-metrics are not scraped: no alert on memory, CPU or restarts can tell anything.",
            lasting="15m",
        )
