"""Where pods run and who goes first when nodes are short (S13.2, S15.3)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.facts import is_batch, is_money, on_spot
from croupier.core.policy.objects import SEVERAL, Pod, at, mapping, text
from croupier.core.policy.quantities import of_total, whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, pod_rule
from croupier.core.policy.world import World

BETS = (
    "{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {replicas: 3, template: {metadata: {labels: "
    "{app: bets}}, spec: {priorityClassName: money, containers: [{name: app}]}}}}"
)
CLASS = "\n---\n{apiVersion: scheduling.k8s.io/v1, kind: PriorityClass, metadata: {name: %s}, value: 1000}"
BUDGET = (
    "\n---\n{apiVersion: policy/v1, kind: PodDisruptionBudget, metadata: {name: bets}, spec: {maxUnavailable: "
    "%s, selector: {matchLabels: {app: bets}}}}"
)
SERVICE = "\n---\n{apiVersion: v1, kind: Service, metadata: {name: bets}, spec: {selector: {app: bets}%s}}"


@pod_rule(
    "spot-money", "Only work that may be lost runs on spot capacity", level=Level.ERROR, source="S13.2",
    why="Spot nodes go with half a minute's notice, and most of them at once, at the busiest hour.",
    fix="Remove the node selector or the toleration; leave spot to what runs as a Job or has tier: batch.",
    bad="nodeSelector: {karpenter.sh/capacity-type: spot}",
    good="nodeSelector: {karpenter.sh/capacity-type: on-demand}",
)  # fmt: skip
def spot_money(pod: Pod) -> Iterator[Hit]:
    place = None if pod.is_made else on_spot(pod)
    if place is not None and (is_money(pod) or not is_batch(pod)):
        what = "money" if is_money(pod) else "a service that stays"
        yield Hit((*pod.path, *place), f"{what} is sent to capacity that may be taken away")


@bundle_rule(
    "priority-exists", "The PriorityClass of a pod exists, and batch ranks below money", level=Level.ERROR,
    source="S13.2, S15.3",
    why="A pod whose class does not exist is never made.", fix="Add the PriorityClass, or mend the name.",
    bad=BETS % "bets" + CLASS % "batch", good=BETS % "bets" + CLASS % "money",
)  # fmt: skip
def priority_exists(world: World) -> Iterator[Found]:
    values = {each.name: whole(each.value.get("value")) or 0 for each in world.of("PriorityClass")}
    if not values:
        return
    money: list[int] = []
    batch: list[tuple[Pod, int]] = []
    for pod in world.pods:
        name = text(pod.spec.get("priorityClassName"))
        if name and name not in values and not name.startswith("system-"):
            yield Found(pod.owner, (*pod.path, "priorityClassName"), f"there is no PriorityClass {name}")
        if name in values and is_money(pod):
            money.append(values[name])
        elif name in values and is_batch(pod):
            batch.append((pod, values[name]))
    for pod, value in batch:
        if money and value >= min(money):
            said = f"ranks at {value}, money at {min(money)}: it would not make room"
            yield Found(pod.owner, (*pod.path, "priorityClassName"), said)


@bundle_rule(
    "disruption-capacity", "A disruption and a rollout together leave pods that serve", level=Level.ERROR,
    source="S4.2, S15.3",
    why="A budget in percent of few pods may allow all of them to go at once.",
    fix="Set maxUnavailable: 1.",
    bad=BETS % "bets" + BUDGET % "100%", good=BETS % "bets" + BUDGET % "1",
)  # fmt: skip
def disruption_capacity(world: World) -> Iterator[Found]:
    for budget in world.of("PodDisruptionBudget"):
        written = budget.spec.get("maxUnavailable")
        if written is None:
            continue
        for pod in world.selected(budget.namespace, budget.spec.get("selector")):
            there = world.replicas(pod.owner)
            away = of_total(written, there, up=True)
            rolling = at(pod.owner.spec, "strategy", "rollingUpdate", "maxUnavailable")
            gone = of_total("25%" if rolling is None else rolling, there, up=False) or 0
            if pod.owner.kind in SEVERAL and there > 1 and away is not None and there - away - gone < 1:
                said = f"of {there} pods {away} may be evicted and {gone} changed at once: none is left"
                yield Found(budget, ("spec", "maxUnavailable"), said)


def _workloads(pods: list[Pod]) -> list[str]:
    """Names of what makes ``pods``. One name in two clusters is one workload, and so are versions that croupier makes
    side by side.
    """
    return sorted({pod.owner.manifest.name for pod in pods if "croupier.dev/version" not in pod.labels})


@bundle_rule(
    "one-workload", "A Service or a PodDisruptionBudget is about one workload", level=Level.WARNING, source="S15.2",
    why="Players reach another program's pods by chance; one program's disruptions use up the other's budget.",
    fix="Give each workload a label of its own and select by it.",
    bad=BETS % "bets" + "\n---\n" + BETS % "reports" + SERVICE % "", good=BETS % "bets" + SERVICE % "",
)  # fmt: skip
def one_workload(world: World) -> Iterator[Found]:
    for each in world.of("Service", "PodDisruptionBudget"):
        wanted = each.spec.get("selector")
        if each.kind == "Service" and not mapping(wanted):
            continue  # It selects nothing; an empty one of a budget takes all.
        selector = {"matchLabels": wanted} if each.kind == "Service" else wanted
        made = _workloads(world.selected(each.namespace, selector))
        if len(made) > 1:
            yield Found(each, ("spec", "selector"), f"selects {len(made)} workloads: {', '.join(made)}")


RULES = (spot_money, priority_exists, disruption_capacity, one_workload)
