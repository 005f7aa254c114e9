"""NetworkPolicies by their meaning (S2.4): empty peers are all, empty selectors are all, policies add up."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from random import Random

import pytest

from croupier.core.policy.authorization import is_in_mesh
from croupier.core.policy.check import NOTHING_SET
from croupier.core.policy.matrix import matrix
from croupier.core.policy.objects import as_object
from croupier.core.policy.reach import Reach, pods_called, unread
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
{apiVersion: v1, kind: Namespace, metadata: {name: a, labels: {gw: ingress, istio-injection: enabled}}}
"""


def world(*specs: str) -> World:
    return made(_policies(specs))


def _policies(specs: Iterable[str]) -> Iterator[str]:
    for number, spec in enumerate(specs):
        yield (
            f"---\n{{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {{name: p{number}, namespace: "
            f"{spec[0]}}}, "
            f"spec: {{{spec[2:]}}}}}\n"
        )


def made(documents: Iterable[str]) -> World:
    read = read_text(PODS + "".join(documents), "f")
    assert read.state == "read", read.problem
    return World([as_object(index, each, NOTHING_SET) for index, each in enumerate(read.manifests)])


def reaches(held: World, source: str, target: str) -> bool:
    (one,), (other,) = list(pods_called(held, source)), list(pods_called(held, target))
    reach = Reach(held)
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
    held = world("b podSelector: {}, ingress: [{from: [{podSelector: {}}]}]")
    assert not reaches(held, "a/bets", "b/wallet")


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
    held = world(f"a {spec}")
    (bets,) = pods_called(held, "a/bets")
    assert Reach(held).to_address(bets, "192.0.2.0/28").open is answer


def test_the_cheap_question_rules_out_namespaces_that_no_policy_names() -> None:
    held = world("b podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {gw: other}}}]}]")
    bets, wallet = next(pods_called(held, "a/bets")), next(pods_called(held, "b/wallet"))
    assert not Reach(held).may_cross(bets, wallet)


def test_an_answer_names_the_policies_it_rests_on() -> None:
    held = world("a podSelector: {}", "a podSelector: {}, ingress: [{}]")
    bets, wallet = next(pods_called(held, "a/bets")), next(pods_called(held, "pod/a/wallet"))
    answer = Reach(held).between(bets, wallet)
    assert (answer.egress.policies, answer.ingress.policies) == ((), ("p1",))


def test_a_port_has_to_be_open_at_both_ends() -> None:
    """Prevents: the one lets out to 9090 and the other lets in at 8080, and the answer is yes."""
    held = world(
        "a podSelector: {matchLabels: {app: bets}}, egress: [{ports: [{port: 9090}]}]",
        "a podSelector: {matchLabels: {app: wallet}}, ingress: [{ports: [{port: 8080}]}]",
    )
    bets, wallet = next(pods_called(held, "a/bets")), next(pods_called(held, "a/wallet"))
    assert not Reach(held).between(bets, wallet).reaches
    ports = wallet.containers[0].value["ports"]
    ports.append({"containerPort": 9090})
    answer = Reach(held).between(bets, wallet)
    assert (answer.reaches, answer.egress.open, answer.ingress.open) == (False, True, True)


def test_a_port_of_another_protocol_is_another_port() -> None:
    assert not reaches(
        world("a podSelector: {}, ingress: [{ports: [{port: 8080, protocol: UDP}]}]"), "a/bets", "a/wallet"
    )


def test_pods_in_the_network_of_their_node_are_governed_by_none() -> None:
    held = world("a podSelector: {}, policyTypes: [Ingress, Egress]")
    next(pods_called(held, "a/bets")).spec["hostNetwork"] = True
    assert Reach(held).outside(next(pods_called(held, "a/bets"))) is None


@pytest.mark.parametrize(
    ("specs", "cidr", "answer"),
    [
        (["egress: [{to: [{ipBlock: {cidr: 0.0.0.0/1}}, {ipBlock: {cidr: 128.0.0.0/1}}]}]"], "0.0.0.0/0", True),
        (["egress: [{to: [{ipBlock: {cidr: 0.0.0.0/1}}]}]"], "0.0.0.0/0", False),
        (
            ["egress: [{to: [{ipBlock: {cidr: '::/1'}}]}]", "egress: [{to: [{ipBlock: {cidr: '8000::/1'}}]}]"],
            "::/0",
            True,
        ),
        (
            [
                "egress: [{to: [{ipBlock: {cidr: 192.0.2.0/24, except: [192.0.2.8/32]}}]}]",
                "egress: [{to: [{ipBlock: {cidr: 192.0.2.8/31}}]}]",
            ],
            "192.0.2.0/24",
            True,
        ),
    ],
)
def test_addresses_are_reached_by_what_policies_allow_together(specs: list[str], cidr: str, answer: bool) -> None:
    held = world(*(f"a podSelector: {{}}, {spec}" for spec in specs))
    way = Reach(held).to_address(next(pods_called(held, "a/bets")), cidr)
    assert way.open is answer
    assert way.policies == tuple(f"p{n}" for n in range(len(specs)))


def authorized(spec: str, *, action: str = "ALLOW", root: bool = False, source: str = "a/bets") -> bool:
    """Whether an AuthorizationPolicy of the namespace a, or of the root, lets ``source`` call a/wallet."""
    space = "istio-system" if root else "a"
    held = made(
        [
            f"---\n{{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {{name: p, namespace: "
            f"{space}}}, spec: {{action: {action}, {spec}}}}}\n"
        ]
    )
    bets, wallet = next(pods_called(held, source)), next(pods_called(held, "a/wallet"))
    answer = Reach(held).between(bets, wallet)
    assert answer.mesh is not None
    return answer.reaches


OWN = "cluster.local/ns/a/sa/default"


@pytest.mark.parametrize(
    ("rules", "allowed", "denied"),
    [
        ("", False, False),
        ("rules: []", False, False),
        ("rules: [{}]", True, True),
        (f"rules: [{{from: [{{source: {{principals: [{OWN}]}}}}]}}]", True, True),
        ("rules: [{from: [{source: {principals: ['*']}}]}]", True, True),
        ("rules: [{from: [{source: {principals: ['*/sa/default']}}]}]", True, True),
        ("rules: [{from: [{source: {principals: [cluster.local/ns/b/*]}}]}]", False, False),
        # Another trust domain may be an alias of ours: let in perhaps, refused not for certain.
        ("rules: [{from: [{source: {principals: [other.example/ns/a/sa/default]}}]}]", True, False),
        ("rules: [{from: [{source: {notPrincipals: [other.example/ns/a/sa/default]}}]}]", True, False),
        (f"rules: [{{from: [{{source: {{notPrincipals: [{OWN}]}}}}]}}]", False, False),
        ("rules: [{from: [{source: {namespaces: [a]}}]}]", True, True),
        ("rules: [{from: [{source: {namespaces: [a], principals: [x]}}]}]", False, False),
        ("rules: [{from: [{source: {namespaces: [b]}}, {source: {namespaces: [a]}}]}]", True, True),
        ("rules: [{from: [{source: {notNamespaces: [a]}}]}]", False, False),
        ("rules: [{from: [{source: {notNamespaces: [b]}}]}]", True, True),
        ("rules: [{from: [{source: {serviceAccounts: [a/default]}}]}]", True, True),
        ("rules: [{from: [{source: {serviceAccounts: [b/default]}}]}]", False, False),
        ("rules: [{from: [{source: {notServiceAccounts: [a/default]}}]}]", False, False),
        ("rules: [{from: [{source: {ipBlocks: [192.0.2.0/24]}}]}]", False, False),
        ("rules: [{from: [{source: {ipBlocks: [10.1.0.0/16]}}]}]", True, False),
        ("rules: [{from: [{source: {remoteIpBlocks: [0.0.0.0/0, '::/0']}}]}]", True, True),
        ("rules: [{from: [{source: {notIpBlocks: [192.0.2.0/24]}}]}]", True, True),
        ("rules: [{from: [{source: {notIpBlocks: [10.1.0.0/16]}}]}]", True, False),
        ("rules: [{from: [{source: {notIpBlocks: [0.0.0.0/0, '::/0']}}]}]", False, False),
        ("rules: [{from: [{source: {requestPrincipals: ['*']}}]}]", True, False),
        ("rules: [{to: [{operation: {ports: ['8080']}}]}]", True, True),
        ("rules: [{to: [{operation: {ports: ['9090']}}]}]", False, False),
        ("rules: [{to: [{operation: {notPorts: ['9090']}}]}]", True, True),
        ("rules: [{to: [{operation: {methods: [GET]}}]}]", True, False),
        ("rules: [{when: [{key: source.namespace, values: [a]}]}]", True, True),
        ("rules: [{when: [{key: source.namespace, notValues: [a]}]}]", False, False),
        ("rules: [{when: [{key: source.principal, values: ['*/ns/b/*']}]}]", False, False),
        ("rules: [{when: [{key: source.ip, values: [192.0.2.1]}]}]", False, False),
        ("rules: [{when: [{key: source.serviceAccount, values: [a/default]}]}]", True, True),
        ("rules: [{when: [{key: destination.port, values: ['8080']}]}]", True, True),
        ("rules: [{when: [{key: 'request.headers[x]', values: [y]}]}]", True, False),
        ("rules: [{when: [{key: source.namespace, values: [a]}, {key: source.namespace, values: [b]}]}]", False, False),
    ],
)
def test_what_an_authorization_policy_lets_in_and_refuses(rules: str, allowed: bool, denied: bool) -> None:
    """S2.5, S8.8: one set of rules lets in whom it may be about, and refuses whom it is about for certain."""
    assert authorized(rules) is allowed
    assert authorized(rules, action="DENY") is not denied
    assert authorized(rules, root=True) is allowed


def test_an_account_without_a_namespace_is_of_that_of_the_policy() -> None:
    asked = "rules: [{from: [{source: {serviceAccounts: [default]}}]}]"
    assert (authorized(asked), authorized(asked, root=True)) == (True, False)


def test_a_policy_that_audits_or_asks_somebody_else_changes_nothing() -> None:
    assert authorized("rules: [{}]", action="AUDIT")
    held = made(
        [
            "---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, metadata: {name: p, namespace: a}, "
            "spec: {action: CUSTOM, rules: [{}]}}\n"
        ]
    )
    bets, wallet = next(pods_called(held, "a/bets")), next(pods_called(held, "a/wallet"))
    assert Reach(held).between(bets, wallet).mesh is None
    assert [each.name for each in unread(held)] == ["p"]


@pytest.mark.parametrize(
    ("where", "is_in"),
    [
        ("labels: {istio-injection: enabled}", True),
        ("labels: {istio-injection: disabled}", False),
        ("labels: {istio.io/dataplane-mode: ambient}", True),
        ("labels: {istio.io/rev: stable}", True),
        ("labels: {team: bets}", False),
    ],
)
def test_a_namespace_that_is_told_says_whether_its_pods_are_in_the_mesh(where: str, is_in: bool) -> None:
    held = made([f"---\n{{apiVersion: v1, kind: Namespace, metadata: {{name: b, {where}}}}}\n"])
    assert is_in_mesh(held, next(pods_called(held, "b/wallet"))) is is_in


def test_the_matrix_says_who_reaches_whom_which_namespaces_and_which_addresses() -> None:
    held = world(
        "b podSelector: {}, ingress: [{from: [{namespaceSelector: {matchLabels: {gw: ingress}}, podSelector: "
        "{matchLabels: {app: bets}}}]}]",
        "a podSelector: {matchLabels: {app: wallet}}, policyTypes: [Egress], egress: [{to: [{ipBlock: {cidr: "
        "192.0.2.0/25}}, {ipBlock: {cidr: 192.0.2.128/25}}]}]",
    )
    told = matrix(held)
    assert {each.name: each.reaches for each in told.workloads} == {
        "Pod/a/bets": ("Pod/a/wallet", "Pod/b/wallet"),
        "Pod/a/wallet": (),
        "Pod/b/wallet": ("Pod/a/bets", "Pod/a/wallet"),
    }
    assert [each.outside for each in told.workloads] == [
        ("0.0.0.0/0", "::/0"), ("192.0.2.0/24",), ("0.0.0.0/0", "::/0"),
    ]  # fmt: skip
    assert [each.from_outside for each in told.workloads][2] == ()
    assert [(each.source, each.target, each.open, each.pairs) for each in told.namespaces] == [
        ("a", "a", 1, 2), ("a", "b", 1, 2), ("b", "a", 2, 2),
    ]  # fmt: skip


def test_the_short_question_is_answered_as_the_long_one() -> None:
    """For policies that differ in all that is asked of them: spaces, pods, ports, accounts."""
    draw = Random(2)
    peers = ("{}", "{podSelector: {}}", "{podSelector: {matchLabels: {app: wallet}}}", "{namespaceSelector: {}}")
    peers += ("{namespaceSelector: {matchLabels: {gw: ingress}}}", "{ipBlock: {cidr: 10.0.0.0/8}}")
    ports = ("", ", ports: [{port: 8080}]", ", ports: [{port: http}]", ", ports: [{port: 1, endPort: 9000}]")
    callers = ("{principals: ['*']}", "{namespaces: [a]}", "{notNamespaces: [a]}", "{ipBlocks: [10.0.0.0/8]}")
    seen = set()
    for _ in range(150):
        specs = [
            f"{draw.choice('ab')} podSelector: {{}}, policyTypes: [{draw.choice(['Ingress', 'Egress'])}], "
            f"ingress: [{{from: [{draw.choice(peers)}]{draw.choice(ports)}}}], "
            f"egress: [{{to: [{draw.choice(peers)}]{draw.choice(ports)}}}]"
            for _ in range(draw.randrange(4))
        ]
        said = f"rules: [{{from: [{{source: {draw.choice(callers)}}}]}}], action: {draw.choice(['ALLOW', 'DENY'])}"
        mesh = (
            "---\n{apiVersion: security.istio.io/v1, kind: AuthorizationPolicy, "
            f"metadata: {{name: m, namespace: a}}, spec: {{{said}}}}}\n"
        )
        held = made([*_policies(specs), *([mesh] if draw.random() < 0.5 else [])])
        reach = Reach(held)
        for one in held.pods:
            for other in held.pods:
                seen.add(answer := reach.between(one, other).reaches)
                assert reach.is_open(one, other) == answer, (specs, said)
    assert seen == {True, False}
