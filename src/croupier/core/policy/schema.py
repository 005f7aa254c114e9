"""Rules that ask whether an object is what the API server takes for its kind."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.objects import Object, text
from croupier.core.policy.rule import Hit, Level, object_rule
from croupier.core.policy.served import removed_since

_SERVICE = """
    apiVersion: v1
    kind: Service
    metadata: {name: bets, namespace: casino}
    spec:
      selector: {app: bets}
      ports: [{port: 80, %s: 8080}]
    """
_CUSTOM = """
    apiVersion: %s
    kind: %s
    metadata: {name: bets, namespace: casino}
    """


@object_rule(
    "schema", "Every object is what the API server takes for its kind", level=Level.ERROR,
    source="S2, S15.2; OpenAPI of Kubernetes",
    why="The API server refuses it, or drops without a word a field that somebody relies on.",
    fix="Write it as the API has it; kubectl explain KIND shows its fields.",
    bad=_SERVICE % "targetport", good=_SERVICE % "targetPort",
)  # fmt: skip
def schema(each: Object) -> Iterator[Hit]:
    held = each.settings.schemas
    if held is None or removed_since(text(each.value.get("apiVersion")), each.kind, held.kubernetes) is not None:
        return
    for flaw in held.check(each.value):
        yield Hit(flaw.path, flaw.message)


@object_rule(
    "schema-known", "Of every kind the fields are known", level=Level.NOTE, source="S15.2", usual=False,
    why="Of an object of another kind nobody can say before it is applied whether its fields are right.",
    fix="Give the file with its CustomResourceDefinition: --crd PATH.",
    bad=_CUSTOM % ("unknown.example/v1", "Table"), good=_CUSTOM % ("v1", "ServiceAccount"),
)  # fmt: skip
def schema_known(each: Object) -> Iterator[Hit]:
    held = each.settings.schemas
    version = text(each.value.get("apiVersion"))
    if held is not None and not held.covers(each.value) and removed_since(version, each.kind, held.kubernetes) is None:
        yield Hit(("apiVersion",), f"no schema is known of {each.kind} in {version}")


RULES = (schema, schema_known)
