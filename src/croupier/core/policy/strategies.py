"""How a new version gets its players: the steps of a canary and who judges them, and the two stacks of a blue-green
switch (S4.3, S4.5, S4.6, S9.7, S15.4). Of Argo Rollouts, Flagger, and croupier's own ReleasePolicy.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from croupier.core.policy.facts import PREFIX
from croupier.core.policy.objects import Object, at, items, listed, mapping, text
from croupier.core.policy.quantities import number, whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule
from croupier.core.policy.world import World
from croupier.model.manifest import Path
from croupier.model.objects import JsonObject

LADDER = (5, 10, 25, 50, 100)
DECIDED = f"{PREFIX}canary-steps"
"""Annotation: other steps that somebody has decided on."""
LEAST_KEPT_SECONDS = 300
ARGO, FLAGGER, OURS = "argoproj.io", "flagger.app", "croupier.dev"
COLOURS = ("blue", "green")
SAMPLED = ("prometheus", "datadog", "newRelic", "wavefront", "cloudWatch", "graphite", "influxdb", "skywalking")
"""Providers whose answer is one number of one moment."""
ROLLOUT = (
    "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: bets}, spec: {strategy: {canary: {steps: "
    "[%s]}}}}"
)
STEPS = ", ".join(
    f"{{setWeight: {weight}}}, {{analysis: {{templates: [{{templateName: bets}}]}}}}" for weight in (5, 10, 25, 50)
)
BLUE_GREEN = (
    "{apiVersion: argoproj.io/v1alpha1, kind: Rollout, metadata: {name: bets}, spec: {strategy: {blueGreen: "
    "{activeService: bets, previewService: bets-next, autoPromotionEnabled: false%s}}}}"
)
ANALYSIS = (
    "{apiVersion: argoproj.io/v1alpha1, kind: AnalysisTemplate, metadata: {name: bets}, spec: {metrics: [{name: "
    "errors, provider: {prometheus: {query: 'bets:errors:ratio'}}%s}]}}"
)


class Weights(NamedTuple):
    """Percent of players, step by step, to the last; ``path``: where that is written."""

    path: Path
    percents: tuple[int, ...]


def weights(each: Object) -> Weights | None:
    """The steps that a Rollout, a Canary or a ReleasePolicy writes down; None for what is no canary, or leaves them
    to croupier.
    """
    if each.group == ARGO:
        canary = at(each.spec, "strategy", "canary")
        if type(canary) is not dict:
            return None
        told = [percent for _, step in items(canary.get("steps")) if (percent := whole(step.get("setWeight")))]
        return Weights(("spec", "strategy", "canary", "steps"), _to_all(told))
    if each.group == FLAGGER:
        analysis = mapping(each.spec.get("analysis"))
        if analysis.get("iterations") or analysis.get("match"):
            return None
        told = [percent for value in listed(analysis.get("stepWeights")) if (percent := whole(value))]
        step, most = whole(analysis.get("stepWeight")) or 0, whole(analysis.get("maxWeight")) or 100
        if not told and step > 0:
            told = list(islice(range(step, most + 1, step), 100))
        return Weights(("spec", "analysis"), _to_all(told))
    written = at(each.spec, "strategy", "steps")
    told = [percent for value in listed(written) if (percent := whole(value))]
    return Weights(("spec", "strategy", "steps"), tuple(told)) if written is not None and told != [100] else None


def _to_all(told: list[int]) -> tuple[int, ...]:
    return (*told, *(() if told and told[-1] >= 100 else (100,)))


def _percents(steps: tuple[int, ...]) -> str:
    return " → ".join(f"{each} %" for each in steps[:12]) + (" → …" if len(steps) > 12 else "")


@object_rule(
    "canary-steps", "A canary goes 5, 10, 25, 50, 100 %, or as somebody decided", level=Level.WARNING,
    source="S4.5, S15.4",
    why="The first step decides how many players meet a fault that no test found; a leap from a few to all of them "
    "shows it when it is too late.",
    fix=f"Use the steps 5, 10, 25, 50, 100; where others are wanted, name them in the annotation {DECIDED}.",
    kinds=("Rollout", "Canary", "ReleasePolicy"),
    bad=ROLLOUT % "{setWeight: 50}, {pause: {duration: 10m}}", good=ROLLOUT % STEPS,
)  # fmt: skip
def canary_steps(each: Object) -> Iterator[Hit]:
    told = weights(each) if each.group in (ARGO, FLAGGER, OURS) else None
    if told is None:
        return
    decided = each.annotations.get(DECIDED)
    if decided is not None:
        wanted = tuple(value for found in re.findall(r"[0-9]+", text(decided)) if (value := number(found)) is not None)
        if wanted != told.percents:
            yield Hit(told.path, f"it goes {_percents(told.percents)}, {DECIDED} says {_percents(wanted) or 'nothing'}")
    elif told.percents != LADDER:
        yield Hit(told.path, f"it goes {_percents(told.percents)}, not {_percents(LADDER)}")


@object_rule(
    "canary-gates", "Each step of a canary is judged before the next", level=Level.ERROR,
    source="S4.6, S9.7, S15.4",
    why="A step that nobody judges is a delay: the fault reaches everybody a few minutes later.",
    fix="Put an analysis after each setWeight (or one in the background, and a pause after each); in Flagger, give "
    "analysis.metrics with thresholds; in a ReleasePolicy, objectives.",
    kinds=("Rollout", "Canary", "ReleasePolicy"),
    bad=ROLLOUT % "{setWeight: 5}, {pause: {duration: 10m}}, {setWeight: 50}, {pause: {}}", good=ROLLOUT % STEPS,
)  # fmt: skip
def canary_gates(each: Object) -> Iterator[Hit]:
    match each.group:
        case "argoproj.io":
            canary = at(each.spec, "strategy", "canary")
            if type(canary) is dict:
                yield from _unjudged(canary)
        case "flagger.app":
            yield from _unwatched(each)
        case "croupier.dev" if not listed(each.spec.get("objectives")) and not listed(each.spec.get("gates")):
            yield Hit(("spec",), "no objective and no gate: errors alone take a version back, no deposits")


def _unjudged(canary: JsonObject) -> Iterator[Hit]:
    """Steps of an Argo Rollout that are passed unjudged, or at once."""
    path: Path = ("spec", "strategy", "canary")
    background = mapping(canary.get("analysis"))
    watched_from = (whole(background.get("startingStep")) or 0) if listed(background.get("templates")) else None
    steps = list(items(canary.get("steps")))
    starts = [(index, percent) for index, step in steps if (percent := whole(step.get("setWeight")))]
    ends = [*(index for index, _ in starts[1:]), len(steps)]
    for (index, percent), end in zip(starts, ends, strict=False):
        if percent >= 100:
            continue
        within = [step for _, step in steps[index:end]]
        is_judged = any("analysis" in step or at(step, "experiment", "analyses") for step in within)
        if not is_judged and (watched_from is None or watched_from > index):
            yield Hit((*path, "steps", index), f"nothing is judged at {percent} %")
        elif not is_judged and not any("pause" in step for step in within):
            yield Hit((*path, "steps", index), f"{percent} % are passed at once: there is no time to judge them")
    if not starts and watched_from is None:
        yield Hit(path, "it has no steps: all pods change over, and nothing is judged")


def _unwatched(each: Object) -> Iterator[Hit]:
    """What makes a Flagger Canary pass whatever happens."""
    analysis = mapping(each.spec.get("analysis"))
    if each.spec.get("skipAnalysis") is True:
        yield Hit(("spec", "skipAnalysis"), "the analysis is skipped")
    asks = any(text(hook.get("type")) == "rollout" for _, hook in items(analysis.get("webhooks")))
    if not listed(analysis.get("metrics")) and not asks:
        yield Hit(("spec", "analysis"), "no metric and no webhook of type rollout: nothing takes a version back")
    for index, metric in items(analysis.get("metrics")):
        if metric.get("threshold") is None and not mapping(metric.get("thresholdRange")):
            said = f"metric {text(metric.get('name')) or index} has no threshold"
            yield Hit(("spec", "analysis", "metrics", index), said)


@object_rule(
    "analysis-decides", "An analysis can fail, and does not rest on one sample", level=Level.ERROR,
    source="S4.6, S9.7",
    why="A metric without a condition passes whatever it is, one that is asked once passes when nobody played in that "
    "minute.",
    fix="Give each metric a successCondition or a failureCondition, and an interval with a count.",
    kinds=("AnalysisTemplate", "ClusterAnalysisTemplate"),
    bad=ANALYSIS % "",
    good=ANALYSIS % ", interval: 1m, count: 5, successCondition: 'result[0] < 0.01', failureLimit: 1",
)  # fmt: skip
def analysis_decides(each: Object) -> Iterator[Hit]:
    dry = [text(held.get("metricName")) for _, held in items(each.spec.get("dryRun"))]
    for index, metric in items(each.spec.get("metrics")):
        name, path = text(metric.get("name")), ("spec", "metrics", index)
        provider = mapping(metric.get("provider"))
        if not metric.get("successCondition") and not metric.get("failureCondition") and "job" not in provider:
            yield Hit(path, f"{name or index} has no condition: it passes whatever it is")
        elif (whole(metric.get("failureLimit")) or 0) < 0:
            yield Hit((*path, "failureLimit"), f"{name or index} may fail for ever")
        elif name in dry or ".*" in dry:
            yield Hit(("spec", "dryRun"), f"{name or index} is only tried: its failure changes nothing")
        is_once = metric.get("interval") is None and (number(metric.get("count")) or 1) < 2
        if is_once and any(kind in provider for kind in SAMPLED):
            yield Hit(path, f"{name or index} is asked once: one sample decides")


@object_rule(
    "blue-green-way-back", "After the switch the old stack is there to go back to", level=Level.ERROR,
    source="S4.3, S4.4",
    why="The fault shows a minute after the switch, when the old pods are gone: the way back is a cold start under "
    "full load.",
    fix=f"Set scaleDownDelaySeconds to {LEAST_KEPT_SECONDS} or more, a previewService of its own, and an analysis or a "
    "person before the switch.",
    kinds=("Rollout",),
    bad=BLUE_GREEN % "", good=BLUE_GREEN % ", scaleDownDelaySeconds: 1800",
)  # fmt: skip
def blue_green_way_back(each: Object) -> Iterator[Hit]:
    held = at(each.spec, "strategy", "blueGreen")
    if each.group != ARGO or type(held) is not dict:
        return
    path = ("spec", "strategy", "blueGreen")
    kept = number(held.get("scaleDownDelaySeconds"))
    kept = 30 if kept is None else kept
    if kept < LEAST_KEPT_SECONDS:
        yield Hit((*path, "scaleDownDelaySeconds"), f"the old stack is gone {kept} s after the switch")
    if held.get("scaleDownDelayRevisionLimit") == 0:
        yield Hit((*path, "scaleDownDelayRevisionLimit"), "no old stack is kept")
    active, preview = text(held.get("activeService")), text(held.get("previewService"))
    if not preview:
        yield Hit(path, "no previewService: nobody can look at the new stack before players do")
    elif active == preview:
        yield Hit((*path, "previewService"), f"{active} leads to both stacks")
    if held.get("autoPromotionEnabled") is not False and not mapping(held.get("prePromotionAnalysis")):
        yield Hit(path, "it switches as soon as pods are ready: neither an analysis nor a person is asked before")


STACK = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: bets-%s}, spec: {replicas: %s, template: {metadata: "
    "{labels: {app: bets, slot: %s}}, spec: {containers: [{name: app}]}}}}\n---\n"
)
SWITCH = "{apiVersion: v1, kind: Service, metadata: {name: bets}, spec: {selector: {app: bets%s}}}"


@bundle_rule(
    "blue-green-stacks", "Both stacks are there, and one place says which one players use", level=Level.ERROR,
    source="S4.3, S4.4",
    why="Two Services that disagree split players between two schemas; a stack without pods is no way back.",
    fix="Keep both stacks running, and let one Service select one of them.",
    bad=STACK % ("blue", 3, "blue") + STACK % ("green", 3, "green") + SWITCH % "",
    good=STACK % ("blue", 3, "blue") + STACK % ("green", 3, "green") + SWITCH % ", slot: green",
)  # fmt: skip
def blue_green_stacks(world: World) -> Iterator[Found]:
    stacks: dict[tuple[str, str, frozenset[tuple[str, str]]], dict[str, Object]] = defaultdict(dict)
    for owner in world.controllers:
        for pod in owner.pods:
            labels = {key: value for key, value in pod.labels.items() if type(value) is str}
            for key, value in labels.items():
                if value in COLOURS:
                    rest = frozenset((other, told) for other, told in labels.items() if told not in COLOURS)
                    stacks[owner.namespace, key, rest][value] = owner
    for (namespace, key, rest), held in stacks.items():
        services = [each for each in world.of("Service") if each.namespace == namespace and _leads(each, key, rest)]
        if len(held) == 2:
            yield from _switched(key, held, services)
            continue
        (colour,) = held
        if any(text(at(each.spec, "selector", key)) == colour for each in services):
            said = f"{key} is {colour}, and there is no other stack to switch or go back to"
            yield Found(held[colour], ("spec", "template", "metadata", "labels"), said)


def _leads(service: Object, key: str, rest: frozenset[tuple[str, str]]) -> bool:
    """Whether ``service`` selects pods of the stacks that bear ``rest`` beside their colour."""
    wanted = mapping(service.spec.get("selector"))
    return bool(wanted) and all(
        name == key or (type(told) is str and (name, told) in rest) for name, told in wanted.items()
    )


def _switched(key: str, stacks: dict[str, Object], services: list[Object]) -> Iterator[Found]:
    used: dict[str, Object] = {}
    for each in services:
        colour = text(at(each.spec, "selector", key))
        if not colour:
            if each.spec.get("clusterIP") != "None":
                yield Found(each, ("spec", "selector"), f"selects both stacks: {key} is not named")
        elif not any(word in each.name for word in (*COLOURS, "preview", "next", "idle", "standby", "test", "stage")):
            used.setdefault(colour, each)
    if len(used) > 1:
        first, other = used.values()
        yield Found(other, ("spec", "selector", key), f"leads to the one stack, {first.manifest.name} to the other")
    for owner in stacks.values():
        if owner.spec.get("replicas") == 0:
            yield Found(owner, ("spec", "replicas"), "this stack has no pods: there is nothing to switch or go back to")


RULES = (canary_steps, canary_gates, analysis_decides, blue_green_way_back, blue_green_stacks)
