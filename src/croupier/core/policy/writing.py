"""What is wrong with how a manifest is written, before it means anything."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.objects import Object
from croupier.core.policy.rule import Hit, Level, object_rule


@object_rule(
    "duplicate-key",
    "No key is written twice",
    level=Level.ERROR,
    source="S15.2; YAML 1.2.2 §3.2.1.3; the API server's strict field validation refuses it",
    why="The last one counts and the other is lost without a word, which is rarely what both were written for.",
    fix="Remove one of the two.",
    bad="""
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: bets, namespace: casino}
        data:
          LIMIT: "100"
          LIMIT: "1000"
        """,
    good="""
        apiVersion: v1
        kind: ConfigMap
        metadata: {name: bets, namespace: casino}
        data:
          LIMIT: "1000"
        """,
)
def duplicate_key(each: Object) -> Iterator[Hit]:
    for remark in each.manifest.remarks:
        yield Hit(remark.path, remark.message)


RULES = (duplicate_key,)
