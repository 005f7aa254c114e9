"""What ``croupier policy export`` makes is asked by a real API server: it refuses what the rules refuse (S3.6, S10.1).

Everything is offered as a dry run: admission is the same, and nothing is made. The rules are bound to one namespace.
"""

from __future__ import annotations

import json
import lzma
import re
import secrets
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest
from tests.support.cluster import Cluster
from tests.support.policy_objects import CORPORA, is_asked

from croupier.core.policy.admission import Place, exported, name_of
from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.cel import Said, said
from croupier.core.policy.check import check
from croupier.core.policy.objects import Settings
from croupier.core.render.emit import documents
from croupier.model.manifest import Manifest, Source
from croupier.spec.manifests import read_text

pytestmark = pytest.mark.timeout(1200)

DECIDED = Settings(registries=("registry.example", "k8s.gcr.io", "registry.k8s.io"), labels=("app",))
EXPORTED = {rule.id: found for rule in RULES.values() if isinstance(found := said(rule, DECIDED), Said)}
NAMED = re.compile(r"ValidatingAdmissionPolicy '(croupier-[a-z0-9-]+)'")
BAD: dict[str, Any] = {
    "apiVersion": "v1",
    "kind": "Pod",
    "metadata": {"name": "bad"},
    "spec": {
        "hostNetwork": True,
        "containers": [{"name": "app", "image": "elsewhere.example/bets", "securityContext": {"privileged": True}}],
    },
}
STANDARD = [rule.id for rule in chosen("restricted")]
AT_ONCE = 9
"""Rules asked together: the API server gives no more than 4 KiB of warnings with one answer."""


def refused_by(value: Any, ids: Sequence[str]) -> set[str]:
    """Policies of those rules among ``ids`` that find fault with one object."""
    manifest = Manifest(Source("kube.json", 0, ""), (), value)
    rules = [RULES[id] for id in ids if is_asked(EXPORTED[id].resources, manifest)]
    return {name_of(each.rule) for each in check([manifest], rules, DECIDED)}


@pytest.fixture(scope="module")
def place(cluster: Cluster) -> Iterator[str]:
    """A namespace that lets every pod in by itself, with the account that pods have."""
    name = f"test-{secrets.token_hex(4)}"
    labels = {"pod-security.kubernetes.io/enforce": "privileged"}
    cluster.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    account = ("serviceaccounts", "--namespace", name)
    cluster.until("pods have an account", lambda: bool(cluster.get(*account)["items"]))
    yield name
    cluster.kubectl("delete", "namespace", name, f"--wait={'false' if cluster.is_stand else 'true'}")


def policies(ids: Sequence[str], namespace: str, action: str) -> str:
    only = {"kubernetes.io/metadata.name": namespace}
    return documents(exported("vap", [RULES[id] for id in ids], DECIDED, Place(action, only))[0])


@contextmanager
def in_force(cluster: Cluster, namespace: str, ids: Sequence[str], action: str) -> Iterator[None]:
    """The rules ``ids`` asked in ``namespace``, every one of them; gone at the end."""
    text = policies(ids, namespace, "warn")
    examples = [value for id in ids for value in objects_in(RULES[id].bad, namespace)]

    different: list[str] = []

    def are_asked() -> bool:
        for each in examples:
            kept, told = cluster.offer(each, namespace)
            if kept is not None and (named := set(NAMED.findall(told))) != (ours := refused_by(kept, ids)):
                different[:] = [f"the cluster says {sorted(named)}, the rules {sorted(ours)}, of {kept}"]
                return False
        return True

    def are_refusing() -> bool:
        kept, told = cluster.offer(in_namespace(BAD, namespace), namespace)
        return kept is None and bool(NAMED.search(told)) and "Warning: Validation failed" not in told

    try:
        cluster.apply(text)
        try:
            cluster.until("the cluster finds in the examples what the rules find", are_asked)
        except AssertionError as late:
            raise AssertionError(f"{late}: {different}") from late
        if action == "deny":
            cluster.apply(policies(ids, namespace, "deny"))
            cluster.until("the rules refuse", are_refusing)
        yield
    finally:
        cluster.kubectl("delete", "--ignore-not-found", "--filename", "-", stdin=text)


def in_namespace(value: Any, namespace: str) -> Any:
    """``value`` as it would be made in ``namespace``."""
    return {**value, "metadata": {"name": "case", **value.get("metadata", {}), "namespace": namespace}}


def objects_in(text: str, namespace: str) -> list[Any]:
    """The objects of a case that live in a namespace."""
    return [
        in_namespace(each.value, namespace)
        for each in read_text(text, "case.yaml").manifests
        if each.kind not in ("Namespace", "PriorityClass", "ClusterRole", "ClusterRoleBinding")
    ]


def standard_pods(namespace: str) -> list[Any]:
    """The pods by which Kubernetes tries its own Pod Security Standards."""
    with lzma.open(CORPORA / "pss.jsonl.xz", "rt", encoding="utf-8") as lines:
        return [value for line in lines for value in objects_in(json.loads(line)["doc"], namespace)]


def test_the_cluster_finds_exactly_what_the_rules_find(cluster: Cluster, place: str) -> None:
    """As warnings, because a refusal names one policy only. Compared is what the API server would keep: it completes
    objects, and drops fields that its version does not have.
    """
    ids = list(EXPORTED)
    seen: set[str] = set()
    for first in range(0, len(ids), AT_ONCE):
        asked = ids[first : first + AT_ONCE]
        taken = 0
        own = [value for id in ids for text in (RULES[id].bad, RULES[id].good) for value in objects_in(text, place)]
        with in_force(cluster, place, asked, "warn"):
            for value in own:
                kept, told = cluster.offer(value, place)
                if kept is None:  # no object of the API: it was refused before anybody was asked
                    assert not NAMED.search(told), told
                    continue
                found = set(NAMED.findall(told))
                assert found == refused_by(kept, asked), (value, told)
                seen |= found
                taken += 1
        assert taken >= 40
    assert len(seen) >= len(EXPORTED) / 2, sorted({name_of(RULES[id]) for id in EXPORTED} - seen)


def test_the_cluster_refuses_what_the_rules_refuse_and_takes_what_they_take(cluster: Cluster, place: str) -> None:
    refused = taken = 0
    with in_force(cluster, place, STANDARD, "deny"):
        for value in standard_pods(place):
            kept, told = cluster.offer(value, place)
            if kept is not None:
                assert refused_by(kept, STANDARD) == set(), value
                taken += 1
            elif NAMED.search(told):
                assert refused_by(value, STANDARD), (value, told)
                refused += 1
        _, told = cluster.offer(in_namespace(BAD, "default"), "default")
        assert not NAMED.search(told), "it is asked in one namespace only"
    assert refused >= 50
    assert taken >= 10


def test_what_was_there_before_the_rules_can_still_be_cleared_away(cluster: Cluster, place: str) -> None:
    """A Deployment that would not be taken any more cannot be changed so that it stays bad, but noted and deleted."""
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
    with in_force(cluster, place, STANDARD, "deny"):
        cluster.kubectl("annotate", *there, "note=kept")
        with pytest.raises(AssertionError, match=r"croupier-"):
            cluster.kubectl("set", "image", *there, "app=elsewhere.example/bets:2")
        cluster.kubectl("delete", *there, "--timeout=60s")
