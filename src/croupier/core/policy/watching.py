"""Whether people see what a service does, can switch parts of it off, and know what to do at night (S9.1, S9.3, S12.1,
S15.7, S15.9).

Who monitors nothing here does so elsewhere, or not yet: a service is asked whether it is seen where some of its
namespace are, one of the money tier where any is. The release checklist asks of each (S15.7).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from croupier.core.policy.facts import PREFIX, annotation, is_batch, is_money, listening
from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import World
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

ROLLBACK, PROVIDER_SWITCH, ON_CALL = (
    f"{PREFIX}runbook-rollback",
    f"{PREFIX}runbook-provider-switch",
    f"{PREFIX}on-call",
)
"""Annotations of a workload or its pods: where it is written how to go back, how to switch a provider, whom to call."""
ADDRESS = re.compile(r"https?://\S+")
CALL = re.compile(r"(https?://|mailto:|tel:)\S+")
RUNBOOKS = ((ROLLBACK, ADDRESS), (PROVIDER_SWITCH, ADDRESS), (ON_CALL, CALL))
TRACING = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
INJECTED = "instrumentation.opentelemetry.io/inject-"
SIGNALS = ("deposit", "bet", "withdrawal")
"""What alerts have to be on (S15.7)."""
HEAVY = f"{PREFIX}heavy-features"
"""Annotation: names of the flags that switch off what costs most, apart by commas; ``none``: there is nothing such."""
_MONITORS = ("ServiceMonitor", "PodMonitor", "VMServiceScrape", "VMPodScrape", "PodMonitoring")
BETS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets, namespace: casino}, spec: {replicas: 3, template: "
    "{metadata: {labels: {app: bets, tier: money}%s}, spec: {containers: [{name: app, ports: [{containerPort: "
    "8080}]%s}]}}}}\n"
)
WEB = (
    "---\n{apiVersion: v1, kind: Pod, metadata: {name: web, namespace: front, annotations: {prometheus.io/scrape: "
    f"'true', {INJECTED}python: 'true'}}}}, spec: {{containers: [{{name: app, ports: [{{containerPort: 8080}}]}}]}}}}\n"
)
MONITOR = (
    "---\n{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: bets, namespace: casino}, spec: "
    "{selector: {matchLabels: {app: bets}}, podMetricsEndpoints: [{port: http}]}}\n"
)


def is_traced(world: World, pod: Pod) -> bool:
    """Whether spans of the pod have somewhere to go."""
    if any(str(key).startswith(INJECTED) and value in ("true", True) for key, value in pod.annotations.items()):
        return True
    for container in pod.containers:
        if any(text(each.get("name")) in TRACING for _, each in items(container.value.get("env"))):
            return True
        for _, each in items(container.value.get("envFrom")):
            held = world.named("ConfigMap", pod.owner.namespace, text(at(each, "configMapRef", "name")))
            if held is not None and any(key in TRACING for key in mapping(held.value.get("data"))):
                return True
    return False


def _serving(world: World) -> Iterator[Pod]:
    return (pod for pod in world.pods if not is_batch(pod) and any(True for _ in listening(pod)))


def _unseen(pods: list[Pod], seen: set[int]) -> Iterator[Pod]:
    """Pods not in ``seen``: of a namespace where any is; of the money tier, where any is at all."""
    spaces = {pod.owner.namespace for pod in pods if id(pod) in seen}
    return (
        pod for pod in pods if id(pod) not in seen and (pod.owner.namespace in spaces or (spaces and is_money(pod)))
    )


@bundle_rule(
    "traced", "What players do can be followed through every service", level=Level.WARNING, source="S9.1, S15.7",
    why="A deposit that hangs leaves a trace that ends before the service that holds it.",
    fix=f"Set {TRACING[0]}, or the annotation {INJECTED}….",
    bad=BETS % ("", "") + WEB,
    good=BETS % ("", f", env: [{{name: {TRACING[0]}, value: 'http://collector:4317'}}]") + WEB,
)  # fmt: skip
def traced(world: World) -> Iterator[Found]:
    pods = list(_serving(world))
    seen = {id(pod) for pod in pods if is_traced(world, pod)}
    for pod in _unseen(pods, seen):
        yield Found(pod.owner, pod.path, "its spans have nowhere to go")


@bundle_rule(
    "scraped", "The numbers of every service are read", level=Level.WARNING, source="S9.3, S15.7",
    why="Nobody sees its errors, and no gate can judge its next version.",
    fix="Add a PodMonitor or ServiceMonitor that selects it, the annotation prometheus.io/scrape, or metrics.pods of "
    "its ReleasePolicy.",
    bad=BETS % ("", "") + WEB, good=BETS % ("", "") + MONITOR + WEB,
)  # fmt: skip
def scraped(world: World) -> Iterator[Found]:
    pods = list(_serving(world))
    seen = {id(pod) for each in world.of(*_MONITORS) for pod in _monitored(world, each)}
    seen |= {id(pod) for pod in pods if _is_scraped_unasked(world, pod)}
    seen |= {id(pod) for each in world.of("ReleasePolicy") for pod in _tally(world, each)}
    for pod in _unseen(pods, seen):
        yield Found(pod.owner, pod.meta or pod.path, "nobody reads its metrics")


def _monitored(world: World, each: Object) -> Iterator[Pod]:
    wanted = each.spec.get("selector")
    chosen = mapping(each.spec.get("namespaceSelector"))
    spaces = [text(name) for name in listed(chosen.get("matchNames"))] or [each.namespace]
    if chosen.get("any") is True:
        spaces = list({pod.owner.namespace for pod in world.pods})
    for space in spaces:
        if "Service" not in each.kind:
            yield from world.selected(space, wanted)
            continue
        for service in world.of("Service"):
            selector = mapping(service.spec.get("selector"))
            if service.namespace == space and selector and matches(wanted, service.labels):
                yield from world.selected(space, {"matchLabels": selector})


def _is_scraped_unasked(world: World, pod: Pod) -> bool:
    if pod.annotations.get("prometheus.io/scrape") in ("true", True):
        return True
    policy = world.release_policy_of(pod.owner)
    return policy is not None and at(policy.spec, "metrics", "pods") is not None


def _tally(world: World, policy: Object) -> list[Pod]:
    """Pods of the tally that a ReleasePolicy names by address."""
    try:
        host = urlsplit(text(at(policy.spec, "metrics", "tally"))).hostname or ""
    except ValueError:  # "http://[": no address
        return []
    name, _, rest = host.partition(".")
    return world.behind(rest.partition(".")[0] or policy.namespace, name)


ALERT = (
    "{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: bets, namespace: casino}, spec: "
    "{groups: [{name: slo, rules: [%s]}]}}\n"
)
ON_ALL = ", ".join(f"{{alert: {each.title()}sFail, expr: up == 0}}" for each in SIGNALS)


def alerts_on(world: World) -> list[str]:
    """Name and expression of each alert among the PrometheusRules, in small letters and words."""
    found = []
    for each in world.of("PrometheusRule"):
        for _, group in items(each.spec.get("groups")):
            for _, rule in items(group.get("rules")):
                if name := text(rule.get("alert")):
                    apart = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name)
                    found.append(f"{apart} {text(rule.get('expr'))}".lower())
    return found


def without_alert(world: World) -> list[str]:
    """Those of ``SIGNALS`` that no alert speaks of."""
    told = alerts_on(world)
    return [each for each in SIGNALS if not any(re.search(rf"(?<![a-z]){each}", name) for name in told)]


@bundle_rule(
    "slo-alerts", "Somebody is called when deposits, bets or withdrawals fail", level=Level.WARNING,
    source="S9.4, S15.7",
    why="Alerts on errors and CPU stay silent while every deposit is lost with status 200.",
    fix="Add an alert on the share of deposits, bets and withdrawals that succeed.",
    bad=ALERT % "{alert: HighErrorRate, expr: up == 0}", good=ALERT % ON_ALL,
)  # fmt: skip
def slo_alerts(world: World) -> Iterator[Found]:
    first = next((each for each in world.of("PrometheusRule") if alerts_on(world)), None)
    if first is not None and (missing := without_alert(world)):
        yield Found(first, ("spec", "groups"), f"no alert among the manifests is on {' or '.join(missing)}")


RAW = "{alert: DepositsFail, expr: 'rate(deposits_failed[5m]) / rate(deposits[5m]) > 0.05'}"
RECORDED = (
    "{record: 'deposits:failed:ratio_rate5m', expr: 'rate(deposits_failed[5m]) / rate(deposits[5m])'}, {alert: "
    "DepositsFail, expr: 'deposits:failed:ratio_rate5m > 0.05'}"
)
_COUNTS = re.compile(r"\b(i?rate|increase|histogram_quantile)\s*\(")


@bundle_rule(
    "sli-recorded", "What alerts on money count is recorded once", level=Level.WARNING, source="S9.4, S15.7",
    why="An alert, a dashboard and a gate that each count deposits their own way disagree when it matters, "
    "and a window of days is counted anew every half minute.",
    fix="Record the share that fails (record: deposits:failed:ratio_rate5m), and let alerts read that.",
    bad=ALERT % RAW, good=ALERT % RECORDED,
)  # fmt: skip
def sli_recorded(world: World) -> Iterator[Found]:
    rules = [
        (each, ("spec", "groups", place, "rules", index), rule)
        for each in world.of("PrometheusRule")
        for place, group in items(each.spec.get("groups"))
        for index, rule in items(group.get("rules"))
    ]
    for signal in SIGNALS:
        speaks = re.compile(rf"(?<![a-z]){signal}", re.IGNORECASE)
        if any(text(rule.get("record")) and speaks.search(_words(rule)) for _, _, rule in rules):
            continue
        for each, path, rule in rules:
            if text(rule.get("alert")) and speaks.search(_words(rule)) and _COUNTS.search(text(rule.get("expr"))):
                said = f"{text(rule['alert'])} counts by itself how many {signal}s fail, and nothing records it"
                yield Found(each, (*path, "expr"), said)


def _words(rule: JsonObject) -> str:
    """Name, labels and expression of a rule; of names in capitals each word apart."""
    labels = " ".join(map(text, mapping(rule.get("labels")).values()))
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", text(rule.get("record")) or text(rule.get("alert")))
    return f"{name} {labels} {text(rule.get('expr'))}"


class Flag(NamedTuple):
    """A feature flag, and where it is declared. ``problem``: why it switches nothing off; "": it does."""

    object: Object
    path: Path
    problem: str


def flags(world: World) -> dict[str, Flag]:
    """Flags by name: of OpenFeature's FeatureFlags, and of flagd's JSON in ConfigMaps."""
    found: dict[str, Flag] = {}
    for each in world.of("FeatureFlag"):
        declared = mapping(at(each.spec, "flagSpec", "flags"))
        for name, flag in declared.items():
            found[name] = Flag(each, ("spec", "flagSpec", "flags", name), _problem(mapping(flag)))
    for each in world.of("ConfigMap"):
        for key, value in mapping(each.value.get("data")).items():
            for name, flag in _in_text(value).items():
                found.setdefault(name, Flag(each, ("data", key), _problem(mapping(flag))))
    return found


def _in_text(value: Any) -> dict[str, Any]:
    if type(value) is not str or '"flags"' not in value:
        return {}
    try:
        return mapping(mapping(json.loads(value)).get("flags"))
    except (ValueError, RecursionError):
        return {}


def _problem(flag: dict[str, Any]) -> str:
    variants = mapping(flag.get("variants"))
    if flag.get("state") == "DISABLED":
        return "is DISABLED: what the code does without it is all there is"
    is_off = any(held is False or str(key).lower() in ("off", "false", "disabled") for key, held in variants.items())
    return "" if is_off else "has no variant that is off"


def heavy_features(pod: Pod) -> list[str] | None:
    """Names of the flags that the pod declares; empty: it has nothing to switch off; None: it does not say."""
    written = annotation(pod, HEAVY)
    if written is None:
        return None
    names = [each.strip() for each in text(written).split(",") if each.strip()]
    return [] if names == ["none"] else names


FLAG = (
    "---\n{apiVersion: core.openfeature.dev/v1beta1, kind: FeatureFlag, metadata: {name: flags, namespace: casino}, "
    "spec: {flagSpec: {flags: {live-stats: {state: ENABLED, variants: {%s}, defaultVariant: 'on'}}}}}\n"
)
DECLARES = f", annotations: {{{HEAVY}: live-stats}}"


@bundle_rule(
    "kill-switch", "What costs most can be switched off", level=Level.ERROR, source="S12.1, S15.6",
    why="In an accident the statistics of the match would take the room of the bets on it, until somebody has built "
    "and released a version without them.",
    fix=f"Declare each name of {HEAVY} as a flag with a variant that is off: an OpenFeature FeatureFlag, or flagd's "
    "JSON in a ConfigMap.",
    bad=BETS % (DECLARES, "") + FLAG % "'on': true", good=BETS % (DECLARES, "") + FLAG % "'on': true, 'off': false",
)  # fmt: skip
def kill_switch(world: World) -> Iterator[Found]:
    declared = [(pod, names) for pod in world.pods if (names := heavy_features(pod))]
    known = flags(world) if declared else {}
    for pod, names in declared:
        for name in names:
            if name not in known:
                said = f"{HEAVY} names {name}, which is no flag among the manifests"
                yield Found(pod.owner, pod.meta or pod.path, said)
            elif known[name].problem:
                yield Found(known[name].object, known[name].path, f"{name} {known[name].problem}")


NOTED = (
    f"{{apiVersion: apps/v1, kind: Deployment, metadata: {{name: bets, annotations: {{{ROLLBACK}: 'https://wiki/back', "
    f"{PROVIDER_SWITCH}: 'https://wiki/psp', {ON_CALL}: %s}}}}, spec: {{template: {{spec: "
    f"{{containers: [{{name: app}}]}}}}}}}}"
)


@object_rule(
    "runbook", "Who is called at night finds what to do", level=Level.WARNING, source="S15.9",
    why="An address that leads nowhere is found out at three in the morning.",
    fix=f"Give the workload or its pods all three annotations: {ROLLBACK} and {PROVIDER_SWITCH} (an https:// address), "
    f"{ON_CALL} (https://, mailto: or tel:).",
    bad=NOTED % "ask Ann", good=NOTED % "'tel:+46850012345'",
)  # fmt: skip
def runbook(each: Object) -> Iterator[Hit]:
    for pod in each.pods:
        held = {key: annotation(pod, key) for key, _ in RUNBOOKS}
        place = ("metadata", "annotations") if set(held) & set(each.annotations) else (pod.meta or pod.path)
        for key, form in RUNBOOKS if any(value is not None for value in held.values()) else ():
            if held[key] is None:
                yield Hit(place, f"{key} is not there, others are")
            elif not form.fullmatch(text(held[key]).strip()):
                yield Hit(place, f"{key} is no address")


RULES = (traced, scraped, slo_alerts, sli_recorded, kill_switch, runbook)
