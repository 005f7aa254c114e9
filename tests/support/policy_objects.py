"""Every object of every policy case that there is: other projects', our own, each rule's examples."""

from __future__ import annotations

import json
import lzma
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from tests.support.policy_cases import FILES, cases

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.kinds import PODS, Resource
from croupier.core.policy.objects import TEMPLATE_AT, Settings, as_object
from croupier.model.manifest import Manifest
from croupier.spec.manifests import read_text

CORPORA = Path(__file__).parents[1] / "corpora" / "policy"


def _texts() -> Iterator[str]:
    for rule in RULES.values():
        yield rule.bad
        yield rule.good
    for file in FILES:
        yield from (text for _, _, text in cases(file))
    for corpus in sorted(CORPORA.glob("*.jsonl.xz")):
        with lzma.open(corpus, "rt", encoding="utf-8") as lines:
            yield from (json.loads(line)["doc"] for line in lines)


@cache
def manifests() -> tuple[Manifest, ...]:
    """Each once."""
    found: dict[str, Manifest] = {}
    for text in _texts():
        for each in read_text(text, "case.yaml").manifests:
            found.setdefault(json.dumps(each.value, sort_keys=True), each)
    return tuple(found.values())


def is_asked(resources: tuple[Resource, ...], manifest: Manifest) -> bool:
    """Whether the API server would take it, and then ask about it. It takes no pod without a container."""
    group, _, version = str(manifest.value["apiVersion"]).rpartition("/")
    if not any((each.group, each.kind) == (group, manifest.kind) and version in each.versions for each in resources):
        return False
    return resources is not PODS or any(
        each.path == (*TEMPLATE_AT[manifest.kind], "spec") and each.spec.get("containers")
        for each in as_object(0, manifest, Settings()).pods
    )
