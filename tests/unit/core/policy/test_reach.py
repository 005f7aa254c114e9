"""NetworkPolicies by their meaning (S2.4): empty peers are all, empty selectors are all, policies add up."""

from __future__ import annotations

import pytest

from croupier.core.policy.check import NOTHING_SET
from croupier.core.policy.objects import as_object
from croupier.core.policy.reach import Reach, pods_called
from croupier.core.policy.world import World
from croupier.spec.manifests import read_text

PODS = """\
{apiVersion: v1, kind: Pod, metadata: {name: bets, namespace: a, labels: {app: bets}},
 spec: {containers: [{name: x, ports: [{name: http, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: wallet, namespace: a, labels: {app: wallet}},
 spec: {containers: [{name: x, ports: [{name: http, containerPort: 8080}]}]}}
---
{apiVersion: v1, kind: Pod, metadata: {name: wallet, namespace: b, labels: {app: wallet}},
 spec: {containers: [{name: x}]}}
---
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {gw: ingress}}}
"""


def world(*specs: str) -> World:
    text = PODS + "".join(
        f"---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{n}, namespace: "
        f"{spec[0]}}}, "
        f"spec: {{{spec[2:]}}}}}\n"
        for n, spec in enumerate(specs)
    )
    read = read_text(text, "f")
    assert read.state == "read", read.problem
    return World([as_object(index, each, NOTHING_SET) for index, each in enumerate(read.manifests)])


def reaches(made: World, source: str, target: str) -> bool:
    (one,), (other,) = list(pods_called(made, source)), list(pods_called(made, target))
    reach = Reach(made)
    answer = reach.between(one, other).reaches
    assert reach.may_cross(one, other) or not answer  # the cheap question never rules out what is so
    return answer


@pytest.mark.parametrize(
    ("policies", "answer"),
    [
        ([], True),
        (["a podSelector: {}"], False),
        (["a podSelector: {}, policyTypes: [Egress]"], False),
        (["b podSelector: {}"], True),
        (["a podSelector: {}, ingress: [{}]"], True),
        (["a podSelector: {}, ingress: []"], False),
        (["a podSelector: {}, ingress: [{from: []}]"], True),
        (["a podSelector: {}, ingress: [{from: [{podSelector: {}}]}]"], True),
        (["a podSelector: {}, ingress: [{from: [{podSelector: {matchLabels: {app: other}}}]}]"], False),
        (["a podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {gw: ingress}}}]}]"], True),
        (["a podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 0.0.0.0/0}}]}]"], False),
        (["a podSelector: {}, ingress: [{ports: [{port: 8080}]}]"], True),
        (["a podSelector: {}, ingress: [{ports: [{port: http}]}]"], True),
        (["a podSelector: {}, ingress: [{ports: [{port: 9090}]}]"], False),
        (["a podSelector: {}, ingress: [{ports: [{port: 8000, endPort: 9000}]}]"], True),
        (["a podSelector: {}", "a podSelector: {matchLabels: {app: wallet}}, ingress: [{}]"], True),
        (["a podSelector: {matchLabels: {app: bets}}, egress: [{to: [{podSelector: {}}]}]"], True),
        (["a podSelector: {matchLabels: {app: bets}}, egress: []"], False),
        (["a podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [wallet]}]}"], True),
    ],
)
def test_who_reaches_whom_in_a_namespace(policies: list[str], answer: bool) -> None:
    assert reaches(world(*policies), "a/bets", "a/wallet") is answer


def test_a_peer_by_pods_alone_is_of_the_same_namespace() -> None:
    made = world("b podSelector: {}, ingress: [{from: [{podSelector: {}}]}]")
    assert not reaches(made, "a/bets", "b/wallet")


def test_a_peer_by_namespace_and_pods_asks_for_both() -> None:
    both = "namespaceSelector: {matchLabels: {gw: ingress}}, podSelector: {matchLabels: {app: %s}}"
    assert reaches(world(f"b podSelector: {{}}, ingress: [{{from: [{{{both % 'bets'}}}]}}]"), "a/bets", "b/wallet")
    assert not reaches(world(f"b podSelector: {{}}, ingress: [{{from: [{{{both % 'x'}}}]}}]"), "a/bets", "b/wallet")


@pytest.mark.parametrize(
    ("spec", "answer"),
    [
        ("podSelector: {}", True),
        ("podSelector: {}, egress: []", False),
        ("podSelector: {}, egress: [{}]", True),
        ("podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24}}]}]", True),
        ("podSelector: {}, egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.8/32]}}]}]", False),
        ("podSelector: {}, egress: [{to: [{ipBlock: {cidr: 10.0.0.0/8}}]}]", False),
        ("podSelector: {}, egress: [{to: [{ipBlock: {cidr: nonsense}}]}]", False),
    ],
)
def test_who_reaches_addresses_outside(spec: str, answer: bool) -> None:
    made = world(f"a {spec}")
    (bets,) = pods_called(made, "a/bets")
    assert Reach(made).to_address(bets, "192.0.2.0/28").open is answer


def test_the_cheap_question_rules_out_namespaces_that_no_policy_names() -> None:
    made = world("b podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {gw: other}}}]}]")
    bets, wallet = next(pods_called(made, "a/bets")), next(pods_called(made, "b/wallet"))
    assert not Reach(made).may_cross(bets, wallet)


def test_an_answer_names_the_policies_it_rests_on() -> None:
    made = world("a podSelector: {}", "a podSelector: {}, ingress: [{}]")
    bets, wallet = next(pods_called(made, "a/bets")), next(pods_called(made, "pod/a/wallet"))
    answer = Reach(made).between(bets, wallet)
    assert (answer.egress.policies, answer.ingress.policies) == ((), ("p1",))
