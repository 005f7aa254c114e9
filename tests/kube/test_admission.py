"""What ``croupier policy export`` makes is asked by a real API server: it refuses what the rules refuse (S3.6, S10.1).

Everything is offered as a dry run: admission is the same, and nothing is made. All rules are in force at once, bound to
the test's own namespace, and warn: a refusal names one policy only. Their names and messages are cut short for that,
because the API server gives no more than 4 KiB of warnings with one answer; the last test applies what is exported as
it is.
"""

from __future__ import annotations

import json
import lzma
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any

import pytest
from tests.support import crds
from tests.support.cluster import Cluster
from tests.support.offers import Answer, Offers, offering
from tests.support.policy_cases import FILES, cases
from tests.support.policy_objects import CORPORA, is_asked

from croupier.core.policy.admission import Place, exported
from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.cel import Said, said
from croupier.core.policy.check import check
from croupier.core.policy.objects import Settings
from croupier.core.render.emit import documents
from croupier.model.manifest import Manifest, Source
from croupier.operator.crds import custom_resources
from croupier.spec.manifests import read_text

pytestmark = pytest.mark.timeout(600)

DECIDED = Settings(registries=("registry.example", "k8s.gcr.io", "registry.k8s.io"), labels=("app",))
EXPORTED = {rule.id: found for rule in RULES.values() if isinstance(found := said(rule, DECIDED), Said)}
SHORT = {id: f"p{number}" for number, id in enumerate(EXPORTED)}
RULE_OF = {name: id for id, name in SHORT.items()}
NAMED = re.compile(r"ValidatingAdmissionPolicy '(p\d+)'")
LABEL = "croupier.dev/asked"
"""Of the namespaces in which the rules are asked."""
IN_DEFAULT = "default-namespace"
"""The rule that finds something in that namespace only."""
STANDARD = [rule.id for rule in chosen("restricted")]
UNHEARD: Mapping[str, str] = {
    "proc-mount": "this version of the API server takes Unmasked only with hostUsers: false, where it is allowed",
}
"""Rules that find fault with nothing that this API server takes, and why."""
WHOLE = """
{apiVersion: v1, kind: Pod, metadata: {name: bets, labels: {sidecar.istio.io/inject: 'false'}}, spec: {containers: [{
  name: app, image: registry.example/bets}]}}
---
{apiVersion: networking.k8s.io/v1, kind: Ingress, metadata: {name: bets, annotations: {
  nginx.ingress.kubernetes.io/server-snippet: return 200;}}, spec: {defaultBackend: {service: {name: bets, port: {
  number: 80}}}}}
"""
"""Of rules of which no example or case is an object that the API server takes."""
DEFINED = (*(crds.KEDA, crds.EXTERNAL_SECRETS, crds.ISTIO, crds.CLOUDNATIVE_PG, crds.ARGO_ROLLOUTS, crds.FLAGGER),)
ANYTHING = (
    crds.anything("acid.zalan.do/v1", "postgresql", "postgresqls"),
    crds.anything("postgres-operator.crunchydata.com/v1beta1", "PostgresCluster", "postgresclusters"),
    crds.anything("security.openshift.io/v1", "SecurityContextConstraints", "securitycontextconstraints", "Cluster"),
)
BAD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bad"},
    "spec": {
        "hostNetwork": True,
        "containers": [{"name": "app", "image": "elsewhere.example/bets", "securityContext": {"privileged": True}}],
    },
}


@dataclass(frozen=True)
class Door:
    """The API server with every exported rule in force in ``namespace``."""

    cluster: Cluster
    offers: Offers
    namespace: str

    def offer(self, value: Any, namespace: str = "") -> Answer | None:
        """What it says to ``value``, in its own namespace or another."""
        where = namespace or self.namespace
        return self.offers.offer(self.placed(value, where), where)

    def named(self, answer: Answer) -> set[str]:
        """The rules that warn of an object."""
        return {RULE_OF[name] for warning in answer.warnings for name in NAMED.findall(warning)}

    def placed(self, value: Any, namespace: str) -> Any:
        """``value`` as it would be made in ``namespace``, and where the rules are asked."""
        metadata = {"name": "case", **(value.get("metadata") or {})}
        if value["kind"] == "Namespace":
            labels = {**(metadata.get("labels") or {}), LABEL: self.namespace}
            return {**value, "metadata": {**metadata, "name": f"{self.namespace}-it", "labels": labels}}
        if self.offers.is_namespaced(value):
            return {**value, "metadata": {**metadata, "namespace": namespace}}
        return {**value, "metadata": metadata}


def found_in(value: Any, ids: Iterable[str] = EXPORTED) -> set[str]:
    """Those rules among ``ids`` that find fault with one object."""
    manifest = Manifest(Source("kube.json", 0, ""), (), value)
    rules = [RULES[id] for id in ids if is_asked(EXPORTED[id].resources, manifest)]
    return {each.rule.id for each in check([manifest], rules, DECIDED)}


def objects_in(*texts: str) -> list[Any]:
    """Each once."""
    found = [each.value for text in texts for each in read_text(text, "case.yaml").manifests]
    return list({json.dumps(value, sort_keys=True): value for value in found}.values())


def examples() -> list[Any]:
    """Each rule's own, good and bad."""
    return objects_in(*(text for rule in RULES.values() for text in (rule.bad, rule.good)))


def own_cases() -> list[Any]:
    return objects_in(*(text for file in FILES for _, _, text in cases(file)))


def corpus(name: str) -> list[Any]:
    """The objects of other projects' test cases."""
    with lzma.open(CORPORA / f"{name}.jsonl.xz", "rt", encoding="utf-8") as lines:
        return objects_in(*(json.loads(line)["doc"] for line in lines))


SOURCES: Mapping[str, Callable[[], list[Any]]] = {
    "examples": examples,
    "cases": own_cases,
    **{name: partial(corpus, name) for name in ("kube-linter", "polaris", "kyverno-best-practices", "pss")},
}


def policies(ids: Iterable[str], namespace: str, place: Place, binding: str = "") -> str:
    """Rules as they are exported, their names and messages cut short, labelled with ``namespace``. ``binding``: what
    the name of that ends in.
    """
    labels = {LABEL: namespace}
    objects = []
    for id in ids:
        policy, bound = exported("vap", [RULES[id]], DECIDED, place)[0]
        asked = [{**each, "message": "-"} for each in policy["spec"]["validations"]]
        objects.append(_called(policy, SHORT[id], labels, {"validations": asked}))
        objects.append(_called(bound, f"{SHORT[id]}{binding}", labels, {"policyName": SHORT[id]}))
    return documents(objects)


def _called(value: Any, name: str, labels: Any, spec: Any) -> Any:
    metadata = {"name": name, "labels": labels}
    return {**value, "metadata": metadata, "spec": {**value["spec"], **spec}}


def _define(cluster: Cluster) -> None:
    """Every kind that a rule is about."""
    asked = {(each.group, each.kind) for found in EXPORTED.values() for each in found.resources}
    known = [each for source in DEFINED for each in crds.definitions(*source)]
    wanted = [
        each
        for each in (*known, *crds.strimzi(), *ANYTHING, *custom_resources())
        if (each["spec"]["group"], each["spec"]["names"]["kind"]) in asked
    ]
    cluster.define(wanted)


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace that lets every pod in by itself, with the account that pods have."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "privileged", LABEL: name}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    account = ("serviceaccounts", "--namespace", name)
    cluster.until("pods have an account", lambda: bool(cluster.get(*account)["items"]))
    yield name
    cluster.kubectl("delete", "namespace", name, f"--wait={'false' if cluster.is_stand else 'true'}")


@pytest.fixture(scope="module")
def door(cluster: Cluster, place: str) -> Iterator[Door]:
    """Every rule in force: each finds fault with an object."""
    _define(cluster)
    everywhere = policies(EXPORTED, place, Place("warn", {LABEL: place}))
    elsewhere = policies([IN_DEFAULT], place, Place("warn", {"kubernetes.io/metadata.name": "default"}), "-default")
    try:
        with offering(cluster) as offers:
            cluster.apply(everywhere, elsewhere)
            made = Door(cluster, offers, place)
            probes = {id: found for id in EXPORTED if (found := _probe(made, id)) is not None}
            assert EXPORTED.keys() - probes.keys() == UNHEARD.keys()
            heard: set[str] = set()

            def are_heard() -> bool:
                for id in sorted(probes.keys() - heard):
                    answer = made.offer(probes[id], where(id))
                    if answer is not None and id in made.named(answer):
                        heard.add(id)
                return probes.keys() == heard

            try:
                cluster.until("each rule finds fault with an object", are_heard, 60.0)
            except AssertionError as late:
                raise AssertionError(f"{late}: {sorted(probes.keys() - heard)}") from late
            yield made
    finally:
        for kind in ("validatingadmissionpolicybindings", "validatingadmissionpolicies"):  # one request each
            path = f"/apis/admissionregistration.k8s.io/v1/{kind}?labelSelector={LABEL}%3D{place}"
            cluster.kubectl("delete", "--raw", path)


def where(id: str) -> str:
    """The namespace in which a rule has something to find; "" for any."""
    return "default" if id == IN_DEFAULT else ""


def _probe(door: Door, id: str) -> Any:
    """An object that the API server takes, and with which a rule finds fault; None: there is none."""
    own = objects_in(RULES[id].bad, WHOLE)
    others = (value for name in SOURCES for value in SOURCES[name]())
    for value in chain(own, others):
        if not found_in(door.placed(value, where(id) or door.namespace), [id]):
            continue
        answer = door.offer(value, where(id))
        if answer is not None and answer.kept is not None and found_in(answer.kept, [id]):
            return value
    return None


@pytest.mark.parametrize(
    ("source", "least"),
    [
        *(("examples", 150), ("cases", 400), ("kube-linter", 50), ("polaris", 190)),
        *(("kyverno-best-practices", 50), ("pss", 100)),
    ],
)
def test_the_cluster_finds_exactly_what_the_rules_find(door: Door, source: str, least: int) -> None:
    """Neither more nor less, of own examples and of other projects' cases. Compared is what the API server would keep:
    it completes objects, and drops fields that its version does not have. What it takes not at all is left out.
    """
    taken, different = 0, []
    for value in SOURCES[source]():
        answer = door.offer(value)
        if answer is None or answer.kept is None:
            continue
        taken += 1
        theirs, ours = door.named(answer), found_in(answer.kept)
        if theirs != ours:
            different.append(
                f"only the cluster {sorted(theirs - ours)}, only the rules {sorted(ours - theirs)}: {value}"
            )
    assert different == []
    assert taken >= least


@contextmanager
def refusing(door: Door, ids: Sequence[str]) -> Iterator[None]:
    """Those rules refuse, where they warned."""
    bad = objects_in(*(RULES[id].bad for id in ids))

    def warns() -> bool:
        answers = [answer for value in bad if (answer := door.offer(value)) is not None]
        return any(door.named(answer).intersection(ids) for answer in answers)

    try:
        door.cluster.apply(policies(ids, door.namespace, Place("deny", {LABEL: door.namespace})))
        door.cluster.until("the rules warn no more, but refuse", lambda: not warns())
        yield
    finally:
        door.cluster.apply(policies(ids, door.namespace, Place("warn", {LABEL: door.namespace})))


def test_the_cluster_refuses_what_the_rules_refuse_and_takes_what_they_take(door: Door) -> None:
    refused = taken = 0
    with refusing(door, STANDARD):
        for value in corpus("pss"):
            answer = door.offer(value)
            assert answer is not None
            if answer.kept is not None:
                assert found_in(answer.kept, STANDARD) == set(), value
                taken += 1
            elif (named := NAMED.search(answer.said)) is not None:
                assert RULE_OF[named[1]] in found_in(door.placed(value, door.namespace), STANDARD), (value, answer.said)
                refused += 1
        answer = door.offer(BAD, "default")
        assert answer is not None
        assert not NAMED.search(answer.said), "it is asked in one namespace only"
    assert refused >= 50
    assert taken >= 10


def test_the_form_for_kyverno_is_taken_as_it_is(door: Door) -> None:
    """By Kyverno's own definition; what it knows not would be dropped."""
    door.cluster.define(crds.definitions(*crds.KYVERNO))
    for each in exported("kyverno", RULES.values(), DECIDED, Place("deny", {"tier": "money"}))[0]:
        answer = door.offers.offer(each, "")
        assert answer is not None
        assert answer.kept is not None, answer.said
        assert {key: answer.kept["spec"][key] for key in each["spec"]} == each["spec"]


def test_what_was_there_before_the_rules_can_still_be_cleared_away(cluster: Cluster, place: str) -> None:
    """A Deployment that would not be taken any more cannot be changed so that it stays bad, but noted and deleted. By
    rules as ``policy export`` prints them.
    """
    labels = {"app": "old"}
    template = {"metadata": {"labels": labels}, "spec": BAD["spec"]}
    old = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "old", "namespace": place, "labels": labels},
        "spec": {"replicas": 0, "selector": {"matchLabels": labels}, "template": template},
    }
    cluster.apply(old)
    there = ("deployment/old", "--namespace", place)
    rules = [RULES[id] for id in STANDARD]
    text = documents(exported("vap", rules, DECIDED, Place("deny", {LABEL: place}))[0])
    try:
        cluster.apply(text)
        cluster.until("the rules refuse", lambda: "'croupier-" in cluster.offer(BAD, place)[1])
        cluster.kubectl("annotate", *there, "note=kept")
        with pytest.raises(AssertionError, match=r"croupier-"):
            cluster.kubectl("set", "image", *there, "app=elsewhere.example/bets:2")
        cluster.kubectl("delete", *there, "--timeout=60s")
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--filename", "-", stdin=text)
