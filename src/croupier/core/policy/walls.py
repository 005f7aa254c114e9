"""What network policies have to mean, taken together (S1.4, S2.4, S2.5)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator

from croupier.core.policy.addresses import EVERY, Ranges
from croupier.core.policy.facts import EGRESS, REACHES, annotation, keeps_room
from croupier.core.policy.network import directions, policies
from croupier.core.policy.objects import Pod, listed, mapping, text
from croupier.core.policy.reach import Reach, boundary, likeness, unread
from croupier.core.policy.rule import Found, Level, bundle_rule
from croupier.core.policy.selectors import is_empty
from croupier.core.policy.world import World

POD = (
    "{apiVersion: v1, kind: Pod, metadata: {name: %s, namespace: %s, labels: {brand: %s}}, spec: {containers: "
    "[{name: app}]}}\n"
)
POLICY = (
    "---\n{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: %s, namespace: a}, spec: "
    "{podSelector: {}, %s}}\n"
)
DENY = POLICY % ("default-deny", "policyTypes: [Ingress, Egress]")
DNS = POLICY % ("allow-dns", "policyTypes: [Egress], egress: [{ports: [{port: 53, protocol: UDP}]}]")


@bundle_rule(
    "default-deny", "Every namespace denies what is not allowed, in both directions", level=Level.ERROR, source="S2.4",
    why="A pod that is added tomorrow and forgotten in the policies is open to everybody.",
    fix="Add a NetworkPolicy with podSelector: {}, both policyTypes and no rules.",
    bad=POD % ("bets", "a", "a"), good=POD % ("bets", "a", "a") + DENY,
)  # fmt: skip
def default_deny(world: World) -> Iterator[Found]:
    denied: dict[str, set[str]] = defaultdict(set)
    for policy in policies(world):
        if is_empty(policy.spec.get("podSelector")):
            denied[policy.namespace] |= directions(policy)
    first: dict[str, Pod] = {}
    for pod in world.pods:
        first.setdefault(pod.owner.namespace, pod)
    for namespace, pod in first.items():
        missing = {"Ingress", "Egress"} - denied[namespace]
        if missing:
            said = " and ".join(sorted(each.lower() for each in missing))
            yield Found(pod.owner, ("metadata",), f"namespace {namespace or 'unnamed'} denies no {said} by default")


def _asks_names(rule: object) -> bool:
    ports = listed(mapping(rule).get("ports"))
    return not ports or any(
        mapping(each).get("port") in (53, "53", "dns", None) and mapping(each).get("protocol", "TCP") in ("UDP", "TCP")
        for each in ports
    )


@bundle_rule(
    "dns-egress", "Pods whose way out is governed may look up names", level=Level.ERROR, source="S2.4, S8.10",
    why="Denying all also denies DNS: nothing that is called by name is found.",
    fix="Allow UDP and TCP port 53 to the DNS of the cluster.",
    bad=POD % ("bets", "a", "a") + DENY, good=POD % ("bets", "a", "a") + DENY + DNS,
)  # fmt: skip
def dns_egress(world: World) -> Iterator[Found]:
    governed: dict[int, bool] = {}
    for policy in policies(world):
        if "Egress" not in directions(policy):
            continue
        allows = any(_asks_names(rule) for rule in listed(policy.spec.get("egress")))
        for pod in world.selected(policy.namespace, mapping(policy.spec.get("podSelector"))):
            governed[id(pod)] = governed.get(id(pod), False) or allows
    for pod in world.pods:
        if governed.get(id(pod)) is False and pod.spec.get("dnsPolicy") != "None" and not keeps_room(pod):
            yield Found(pod.owner, pod.meta or pod.path, "may go out, but not ask the DNS")


@bundle_rule(
    "brand-wall", "No pod reaches another brand's or market's", level=Level.ERROR, source="S1.4, S2.2, S8.8",
    why="What one brand's pods can reach, whoever breaks into them can, and a regulator asks who may.",
    fix="Close the way with NetworkPolicies or Istio's AuthorizationPolicies, or declare it: "
    "croupier.dev/reaches on the caller names the other brand or market.",
    bad=POD % ("bets", "a", "red") + "---\n" + POD % ("wallet", "b", "blue"),
    good=POD % ("bets", "a", "red") + "---\n" + POD % ("wallet", "b", "blue") + DENY,
)  # fmt: skip
def brand_wall(world: World) -> Iterator[Found]:
    groups: dict[tuple[str, str], dict[tuple[object, ...], list[Pod]]] = defaultdict(lambda: defaultdict(list))
    for pod in world.pods:
        told = boundary(world, pod)
        if any(told):
            groups[told][likeness(world, pod)].append(pod)
    reach = Reach(world)
    for mine, sources in groups.items():
        for theirs, targets in groups.items():
            apart = [other for own, other in zip(mine, theirs, strict=True) if own and other and own != other]
            if apart:
                yield from _ways(reach, sources.values(), targets.values(), apart)


def _ways(
    reach: Reach, sources: Iterable[list[Pod]], targets: Iterable[list[Pod]], apart: list[str]
) -> Iterator[Found]:
    """Ways from pods to pods of another brand or market that nobody declared; like pods are one list."""
    in_space: dict[str, list[Pod]] = defaultdict(list)
    for alike in targets:
        in_space[alike[0].owner.namespace].append(alike[0])
    for alike in sources:
        for target in (pod for pods in in_space.values() if reach.may_leave(alike[0], pods[0]) for pod in pods):
            if not reach.may_cross(alike[0], target) or not reach.between(alike[0], target).reaches:
                continue
            for source in alike:
                declared = text(annotation(source, REACHES)).replace(" ", "").split(",")
                if not set(apart) <= set(declared):
                    said = f"reaches {target.owner.manifest.name} of {' '.join(apart)}"
                    yield Found(source.owner, source.meta or source.path, said)


@bundle_rule(
    "walls-unread", "What keeps pods apart is of a kind that is judged", level=Level.NOTE, source="S2.4, S2.5",
    why="The rules on who reaches whom go by NetworkPolicies and Istio's AuthorizationPolicies, and so does policy "
    "reach: what others open or close is not in their answer.",
    fix="Say the same with a NetworkPolicy, or judge this one by hand and waive it.",
    bad="{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: bets, namespace: a}, spec: "
    "{endpointSelector: {}, ingress: [{}]}}",
    good=DENY.removeprefix("---\n"),
)  # fmt: skip
def walls_unread(world: World) -> Iterator[Found]:
    for each in unread(world):
        said = f"this {each.kind} says who reaches whom, and is not judged"
        yield Found(each, ("kind",), said)


MOST = (2**24, 2**112)
"""How many addresses, of IPv4 (a /8) and of IPv6 (a /16), are as good as all, where nobody declares which."""
_SHOWN = 4
OUT = POLICY % ("out", "policyTypes: [Egress], egress: [{to: [%s]}]")


@bundle_rule(
    "egress-beyond", "No pod reaches addresses beyond those that are declared", level=Level.ERROR, source="S2.5, S8.9",
    why="Policies add up: 0.0.0.0/1 in one and 128.0.0.0/1 in another are everywhere, and each looks like a range.",
    fix="Let pods out to an egress gateway, or to the ranges of the provider; say which those are where they are many: "
    f"{EGRESS} of the pods, what makes them or their namespace lists ranges, and nothing beyond them may be reached.",
    bad=POD % ("bets", "a", "a") + OUT % "{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}",
    good=POD % ("bets", "a", "a") + OUT % "{ipBlock: {cidr: 192.0.2.0/25}}, {ipBlock: {cidr: 192.0.2.128/25}}",
)  # fmt: skip
def egress_beyond(world: World) -> Iterator[Found]:
    reach = Reach(world)
    for pod in world.pods:
        place = pod.meta or pod.path
        written = _declared(world, pod)
        found = reach.outside(pod)
        if keeps_room(pod) or (found is None and not written):
            continue  # What no policy governs is asked by default-deny and network-policy.
        try:
            declared = Ranges.of(*filter(None, (each.strip() for each in written.split(","))))
        except ValueError as error:
            yield Found(pod.owner, place, f"{EGRESS} is no list of ranges: {error}")
            continue
        beyond = (EVERY if found is None else found) - declared
        if written and beyond:
            yield Found(pod.owner, place, f"reaches {_shown(beyond)} beyond what {EGRESS} declares")
        elif not written and any(size >= most for size, most in zip(beyond.sizes(), MOST, strict=True)):
            yield Found(pod.owner, place, f"reaches {_shown(beyond)}: that is as good as everywhere")


def _declared(world: World, pod: Pod) -> str:
    space = world.named("Namespace", "", pod.owner.namespace)
    own = text(annotation(pod, EGRESS))
    return own or (text(space.annotations.get(EGRESS)) if space is not None else "")


def _shown(ranges: Ranges) -> str:
    cidrs = ranges.cidrs()
    more = f" and {len(cidrs) - _SHOWN} more ranges" if len(cidrs) > _SHOWN else ""
    return ", ".join(cidrs[:_SHOWN]) + more


RULES = (default_deny, dns_egress, brand_wall, walls_unread, egress_beyond)
