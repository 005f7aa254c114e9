"""Secrets: where they are kept and how they reach a process (S10.6, S10.7, S16.3)."""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.objects import Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.rule import Hit, Level, object_rule, pod_rule
from croupier.model.secret_look import looks_secret

APP = "containers: [{name: app, image: registry.example/bets, %s}]"


@pod_rule(
    "secret-in-env", "No secret is written in a manifest", level=Level.ERROR, source="S10.6",
    why="Git keeps it for ever, and everybody who may read the manifest may use it.",
    fix="Keep it in the secret manager and mount it; change it now, it is known.",
    bad=APP % "env: [{name: DB_PASSWORD, value: hunter2}]",
    good=APP % "env: [{name: DB_PASSWORD_FILE, value: /secrets/db}]",
)  # fmt: skip
def secret_in_env(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        for index, variable in items(each.value.get("env")):
            name, value = text(variable.get("name")), variable.get("value")
            if type(value) is str and looks_secret(name, value):
                yield Hit((*each.path, "env", index), f"{name} of {each.called} looks like a secret")


@pod_rule(
    "secret-env-name", "No variable called a secret has its value in the manifest", level=Level.WARNING, source="S10.6",
    why="A variable of such a name usually holds one.", fix="Keep it in the secret manager and mount it.",
    bad=APP % "env: [{name: MY_SECRET, value: hunter2}]", good=APP % "env: [{name: GREETING, value: hello}]",
    usual=False,
)  # fmt: skip
def secret_env_name(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        for index, held in items(each.value.get("env")):
            if "secret" in text(held.get("name")).lower() and (held.get("value") or held.get("valueFrom")):
                yield Hit((*each.path, "env", index), f"{held['name']} of {each.called} is called a secret")


@object_rule(
    "secret-in-config-map", "No secret is kept in a ConfigMap", level=Level.ERROR, source="S10.6",
    why="ConfigMaps are readable by far more people than Secrets, and are not encrypted at rest.",
    fix="Keep it in the secret manager and mount it; change it now, it is known.", kinds=("ConfigMap",),
    bad="{apiVersion: v1, kind: ConfigMap, metadata: {name: bets}, data: {db_password: hunter2}}",
    good="{apiVersion: v1, kind: ConfigMap, metadata: {name: bets}, data: {db_user: bets}}",
)  # fmt: skip
def secret_in_config_map(each: Object) -> Iterator[Hit]:
    for key, value in mapping(each.value.get("data")).items():
        if type(value) is str and looks_secret(key, value):
            yield Hit(("data", key), f"{key} looks like a secret")


@pod_rule(
    "secret-env", "Secrets are mounted as files, not put into the environment", level=Level.WARNING,
    source="S10.7, S16.3",
    why="The environment is shown by debuggers, crash reports and child processes, and keeps the old value after "
    "a rotation.",
    fix="Mount the Secret as a volume; the kubelet writes the new value there.",
    bad=APP % "env: [{name: DB, valueFrom: {secretKeyRef: {name: db, key: dsn}}}]",
    good="volumes: [{name: db, secret: {secretName: db}}]",
)  # fmt: skip
def secret_env(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        for index, variable in items(each.value.get("env")):
            if at(variable, "valueFrom", "secretKeyRef") is not None:
                name = text(variable.get("name"))
                yield Hit((*each.path, "env", index, "valueFrom"), f"{name} of {each.called} comes from a Secret")
        for index, source in items(each.value.get("envFrom")):
            if "secretRef" in source:
                path = (*each.path, "envFrom", index, "secretRef")
                yield Hit(path, f"a whole Secret is in the environment of {each.called}")


@pod_rule(
    "env-from", "A container takes one set of variables at most", level=Level.NOTE, source="S10.7",
    why="envFrom gives a process everything that anybody ever adds; of two sets, the last one wins.",
    fix="Name the variables with valueFrom, or mount the files.",
    bad=APP % "envFrom: [{configMapRef: {name: bets}}, {configMapRef: {name: shared}}]",
    good=APP % "envFrom: [{configMapRef: {name: bets}}]",
)  # fmt: skip
def env_from(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        if len(listed(each.value.get("envFrom"))) > 1:
            yield Hit((*each.path, "envFrom"), f"{each.called} takes several sets of variables")


@object_rule(
    "secret-in-git", "No Secret with values is in Git", level=Level.ERROR, source="S5.4, S10.6",
    why="Base64 is no encryption: whoever reads the repository reads the secret, for ever.",
    fix="Use an ExternalSecret or the Secrets Store CSI driver; change the value now, it is known.", kinds=("Secret",),
    bad="{apiVersion: v1, kind: Secret, metadata: {name: db}, data: {password: aHVudGVyMg==}}",
    good="{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: db}, spec: "
    "{refreshInterval: 1h}}",
)  # fmt: skip
def secret_in_git(each: Object) -> Iterator[Hit]:
    for key in ("data", "stringData"):
        if any(mapping(each.value.get(key)).values()):
            yield Hit((key,), f"the Secret holds {', '.join(sorted(mapping(each.value[key])))}")


@pod_rule(
    "duplicate-env", "No variable is set twice", level=Level.ERROR, source="S12.2",
    why="The last one counts, whichever was meant.", fix="Remove one.",
    bad=APP % "env: [{name: A, value: '1'}, {name: A, value: '2'}]", good=APP % "env: [{name: A, value: '1'}]",
)  # fmt: skip
def duplicate_env(pod: Pod) -> Iterator[Hit]:
    for each in pod.containers:
        seen: set[str] = set()
        for index, variable in items(each.value.get("env")):
            name = text(variable.get("name"))
            if name in seen:
                yield Hit((*each.path, "env", index), f"{name} of {each.called} is set twice")
            seen.add(name)


RULES = (
    secret_in_env, secret_env_name, secret_in_config_map, secret_env, env_from, secret_in_git, duplicate_env,
)  # fmt: skip
