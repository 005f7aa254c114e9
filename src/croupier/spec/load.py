"""YAML to model values, with every problem at its place: ``file:line:col CODE message, hint``.

pydantic says what is wrong and where in the value; the nodes say where that stands in the file. Types are strict: a
quoted number is a string, ``yes`` is not a boolean, keys are camelCase and nothing else.
"""

from __future__ import annotations

import json
import pathlib
import re
from collections.abc import Callable, Iterable, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, TypeVar, get_args

from pydantic import BaseModel, JsonValue, ValidationError
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from croupier.errors import Problem, SpecError
from croupier.model.address import Address, Cidr, Hostname
from croupier.model.base import (
    Cpu,
    Cron,
    Digest,
    Group,
    KmsKey,
    LabelKey,
    LabelValue,
    Memory,
    Name,
    Remote,
    ServiceName,
)
from croupier.model.container import IMAGE
from croupier.model.events import LocalTime, Zone
from croupier.model.gitops import Branch, Folder, GitAddress
from croupier.model.kafka import TopicName
from croupier.model.monitoring import Page
from croupier.model.mysql import Setting, Variable
from croupier.model.postgres import PostgresImage
from croupier.model.providers import Method
from croupier.model.release_policy import PortName
from croupier.model.service import Path
from croupier.model.service_spec import EnvName, Runbook, SecretKey
from croupier.model.stores import AwsRegion, Bucket, KafkaVersion, Provisioner
from croupier.spec.files import read_text
from croupier.spec.partial import Change
from croupier.spec.yaml12 import Mark, Node, old_boolean, parse

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]


class Flaw(NamedTuple):
    """Something wrong that needs more than one field to see. ``location``: keys and indices from the top."""

    location: Location
    code: str
    message: str
    hint: str = ""


Check = Callable[[Model], Iterable[Flaw]]

_DIGEST: str = Digest.__metadata__[0].pattern  # type: ignore[attr-defined]  # of Annotated
_MEMORY: str = Memory.__metadata__[0].pattern  # type: ignore[attr-defined]
_NAMES = frozenset(kind.__metadata__[0].pattern for kind in (Name, ServiceName))  # type: ignore[attr-defined]
_DIGEST_HINT = "name a version by digest, sha256: and 64 hex digits; a tag can move and is never used"
_NAME_HINT = "lower-case letters, digits and hyphens, a letter first, at most 63"
_FORMS: dict[str, tuple[str, str]] = {
    kind.__metadata__[0].pattern: told  # type: ignore[attr-defined]
    for kind, told in (
        (Cpu, ("{} is not an amount of CPU", "cores like 2 or 0.5, or thousandths like 300m")),
        (Memory, ("{} is not an amount of memory or disk", "a whole number and Ki, Mi, Gi or Ti, like 512Mi")),
        (PostgresImage, ("{} is no image of PostgreSQL", "like registry/postgresql:17.6@sha256:…: tag and digest")),
        (Variable, ("{} is not the name of a variable of MySQL", "lower case, with _, like innodb_io_capacity")),
        (Setting, ("{} is not the value of a variable of MySQL", "one line, without quotes, braces, # and ;")),
        (AwsRegion, ("{} is not the name of a region of an object store", "like eu-north-1")),
        (KafkaVersion, ("{} is no version of Kafka", "like 4.2.0")),
        (TopicName, ("{} is not the name of a topic", "lower case, with dashes and dots, like bets.settled")),
        (Cron, ("{} is no schedule", "minute, hour, day, month and day of the week, like 0 2 * * *")),
        (Bucket, ("{} is not the name of a bucket", "like s3://name or s3://name/folder")),
        (Cidr, ("{} is no range of addresses", "like 10.0.0.1/32")),
        (LocalTime, ("{} is no time", "like 2030-07-14T18:00: what clocks in its zone show")),
        (Zone, ("{} is no time zone", "like Europe/Stockholm or UTC")),
        (Hostname, ("{} is not the name of a host", "like api.example.com: lower case, no scheme, port, path or *")),
        (Group, ("{} is not the name of a group", "no spaces, at most 200 characters")),
        (GitAddress, ("{} is not the address of a repository", "like https://host/path or ssh://user@host/path")),
        (Branch, ("{} is not the name of a branch", "like main: no spaces, no patterns")),
        (Folder, ("{} is not a folder of the repository", "like clusters or a/b: no / first, nothing upwards")),
        (EnvName, ("{} is not the name of a variable", "letters, digits and _, no digit first")),
        (Path, ("{} is not a path", "it begins with / and is ASCII without spaces")),
        (Address, ("{} is no address", "IPv4, like 203.0.113.8")),
        (Page, ("{} is not the address of a page", "like https://host/page: no anchor, no braces")),
        (Runbook, ("{} is not the address of a page", "like https://host/page; of braces only {service} and {cell}")),
        (Method, ("{} is no method of HTTP", "capitals, like GET")),
        (LabelKey, ("{} is not the name of a label", "like app or example.net/app")),
        (LabelValue, ("{} is not the value of a label", "letters, digits, ., _ and -, at most 63")),
        (SecretKey, ("{} is not the key of a secret", "letters, digits, ., _ and -")),
        (Remote, ("{} is no place in a secret store", "no spaces, no braces, at most 500 characters")),
        (KmsKey, ("{} is not the name of a key", "no spaces, at most 500 characters")),
        (Provisioner, ("{} is not the name of a driver", "like ebs.csi.aws.com")),
        (PortName, ("{} is not the name of a port", "lower-case letters, digits and hyphens, at most 15")),
    )
}
_RANGE = re.compile(r"(greater|less)_than|too_(long|short)|finite")
_FOREIGN: dict[str, tuple[str, str]] = {
    word: (key, said)
    for words, key, said in (
        ("env envFrom", "config", "variables are config, values of Secrets are files by secrets"),
        ("tag digest", "image", "it is a part of image, registry/name@sha256:…"),
        ("requests limits", "cpuLimit", "requests are cpu and memory, limits cpuLimit and memoryLimit"),
        ("minReplicas minReplicaCount", "min", "it is min here"),
        ("maxReplicas maxReplicaCount", "max", "it is max here"),
        ("targetCPUUtilizationPercentage", "cpuPercent", "it is cpuPercent here"),
        ("autoscaling hpa", "scaling", "it is a part of scaling"),
        ("livenessProbe startupProbe", "probes", "it is a part of probes"),
        ("readinessProbe", "readinessPath", "where it is asked is readinessPath, how often probes"),
        ("terminationGracePeriodSeconds preStop lifecycle", "drainSeconds", "it follows from drainSeconds"),
        ("nodeSelector tolerations affinity", "pool", "it follows from pool, which the region declares"),
        ("ingress paths", "routes", "routes are the paths; hosts are hostnames of cells"),
        ("host hosts", "hostnames", "it is hostnames here, a list"),
        ("command entrypoint", "args", "the image's own command runs, with args"),
        ("volumeMounts emptyDir", "writable", "a disk is one of volumes, a folder to write to one of writable"),
        ("securityContext runAsUser", "user", "every pod is restricted by itself; user and writable say the rest"),
        ("serviceAccount serviceAccountName", "dependsOn", "every service has an account of its own"),
        ("storageClass storageClassName", "storage", "it is storage here"),
    )
    for word in words.split()
}
"""Keys of Kubernetes, Helm and KEDA -> the key that says it here, and how."""
_UNITS = {"ms": 0.001, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86400}
"""Seconds in what people write after a number."""
_KEYS_IN = {"Seconds": 1, "Minutes": 60, "Hours": 3600, "Days": 86400}
"""Ending of a key -> seconds in its unit."""
_MEASURED = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*(ms|s|min|m|h|d|%)")
_BYTES = re.compile(r"([0-9]+)\s*([KMGTkmgt])(?:i?[Bb])?")
_SHAPES = {"model_type": "a mapping", "dict_type": "a mapping", "tuple_type": "a list"}
_LONGEST_SHOWN = 60
_FEW = 8
"""Keys that are listed to who gave no mapping."""


def load(path: pathlib.Path, model: type[Model], check: Check[Model] | None = None) -> Model:
    """Read one file into ``model``.

    ``check`` finds what no single field shows; it runs on a valid value. Raises ``SpecError`` with all problems.
    """
    name = str(path)
    root, problems = parse(read_text(path), name)
    value, wrong = validated(name, root, root.value, model)
    if value is None:
        raise SpecError([*problems, *wrong])
    if check is not None:
        problems += [Problem(name, *place(root, flaw.location), *flaw[1:]) for flaw in check(value)]
    if problems:
        raise SpecError(problems)
    return value


def validated(name: str, root: Node, given: JsonValue, model: type[Model]) -> tuple[Model | None, list[Problem]]:
    """``given`` as a value of ``model``, or None and what is wrong with it.

    Args:
        name: the file, for problems.
        root: where the parts of ``given`` stand.
        given: what to validate: the value of ``root``, or what was made of it.
        model: what it must be.
    """
    try:
        return read_value(given, model), []
    except ValidationError as error:
        return None, [problem_of_error(name, root, model, detail) for detail in first_causes(error)]


def read_value(given: JsonValue, model: type[Model]) -> Model:
    """``given`` as a value of ``model``. Raises pydantic's ``ValidationError``."""
    # JSON mode is where strict types fit a file: lists become tuples, "5" does not become 5.
    return model.model_validate_json(json.dumps(given), strict=True, by_alias=True, by_name=False)


def first_causes(error: ValidationError) -> list[ErrorDetails]:
    """Without complaints that a list is too short only because its items are wrong."""
    details = error.errors(include_url=False)
    return [
        detail
        for detail in details
        if detail["type"] != "too_short"
        or not any(len(other["loc"]) > len(at := detail["loc"]) and other["loc"][: len(at)] == at for other in details)
    ]


def place(root: Node, location: Location, *, key: bool = False) -> Mark:
    """Where a location stands, or its nearest parent that does. ``key``: the place of the last key, not of its value.

    Parts that are not in the file (which member of a union was tried) are passed over.
    """
    node, mark = root, root.mark
    for part in location:
        child = node.children.get(part)
        if child is None:
            continue
        mark = node.keys[part] if key and isinstance(part, str) else child.mark
        node = child
    return mark


def problem_of_error(name: str, root: Node, model: type[BaseModel], detail: ErrorDetails) -> Problem:
    """What pydantic says of ``model``, at its place in the file ``name``."""
    location = location_of(detail)
    kind = detail["type"]
    context = detail.get("ctx", {})
    if kind == "extra_forbidden":
        known = _known_keys(model, location[:-1])
        unknown = str(location[-1])
        hint = _instead(unknown, known) if unknown != "<<" else "merge keys are not part of YAML 1.2"
        return Problem(name, *place(root, location, key=True), "UNKNOWN_KEY", f"unknown key {unknown!r}", hint)
    if kind == "missing":
        return Problem(name, *place(root, location[:-1]), "MISSING_KEY", f"{location[-1]!r} is missing")
    code, message, hint = explain(kind, detail["msg"], context, detail["input"])
    hint = _better(str(location[-1]) if location else "", kind, detail["input"]) or hint
    if kind == "model_type" and detail["input"] is not None and 0 < len(keys := _known_keys(model, location)) <= _FEW:
        hint = f"its keys are {', '.join(keys)}"
    return Problem(name, *place(root, location), code, message, hint)


def _instead(unknown: str, known: Sequence[str]) -> str:
    key, said = _FOREIGN.get(unknown, ("", ""))
    return said if key in known else did_you_mean(unknown, known)


def _better(key: str, kind: str, given: JsonValue) -> str:
    """How to write what is meant, where a value that does not fit tells that; "" otherwise."""
    if key == "default" and kind == "string_type" and isinstance(given, bool):
        return "name a variant, like on"
    if not isinstance(given, str):
        return ""
    if kind in ("int_type", "float_type") and (found := _MEASURED.fullmatch(given)):
        number, unit = float(found[1]), found[2]
        if unit == "%":
            return f"a share from 0 to 1: {number / 100:g}" if key.endswith("Ratio") else f"write {number:g}"
        seconds = next((seconds for ending, seconds in _KEYS_IN.items() if key.endswith(ending)), None)
        return f"write {number * _UNITS[unit] / seconds:g}, without a unit" if seconds is not None else ""
    return ""


def location_of(detail: ErrorDetails) -> Location:
    """Where the fault lies; a validator may know which element of its value is at fault."""
    at = detail.get("ctx", {}).get("at")
    return detail["loc"] if at is None else (*detail["loc"], at)


def explain(kind: str, message: str, context: dict[str, Any], given: JsonValue) -> tuple[str, str, str]:
    """(code, message, hint) for a value that does not fit."""
    shown = _shown(given)
    if kind == "string_pattern_mismatch":
        if context["pattern"] == _DIGEST:
            return "DIGEST", f"{shown} is not a digest", _DIGEST_HINT
        if context["pattern"] == IMAGE:
            return "DIGEST", f"{shown} is not an image with its digest", f"registry/name@sha256:…; {_DIGEST_HINT}"
        if context["pattern"] in _NAMES:
            return "NAME", f"{shown} is not a name", _NAME_HINT
        if context["pattern"] in _FORMS:
            said, hint = _FORMS[context["pattern"]]
            if context["pattern"] == _MEMORY and (found := _BYTES.fullmatch(str(given))):
                hint = f"a whole number and Ki, Mi, Gi or Ti, like {found[1]}{found[2].upper()}i"
            return "VALUE", said.format(shown), hint
        return "VALUE", f"{shown} does not match {context['pattern']}", ""
    if kind in ("literal_error", "enum", "union_tag_invalid"):
        expected = context.get("expected") or context.get("expected_tags", "")
        known = re.findall(r"'([^']*)'", str(expected))
        wrong = given.get("kind") if isinstance(given, dict) else given
        return "VALUE", f"{_shown(wrong)} is not one of the known values", did_you_mean(str(wrong), known)
    if kind in _SHAPES:
        return "TYPE", f"should be {_SHAPES[kind]}, got {shown}", "leave the key out" if given is None else ""
    if kind == "too_short":
        return "RANGE", f"should have at least {context['min_length']} item, got {context['actual_length']}", ""
    text = message.removeprefix("Value error, ")
    if text[1:2].islower():
        text = text[:1].lower() + text[1:]
    if text.startswith("input should"):
        text = f"{text.removeprefix('input ')}, got {shown}"
    code = "TYPE" if kind.endswith(("_type", "_parsing")) else "RANGE" if _RANGE.search(kind) else "VALUE"
    hint = ""
    if kind == "string_type" and isinstance(given, int | float):
        hint = "quote it"
    elif kind == "bool_type" and isinstance(given, str) and (meant := old_boolean(given)):
        hint = f"write {meant}"
    elif code == "TYPE" and given is None:
        hint = "leave the key out"
    elif kind in ("int_type", "float_type") and isinstance(given, str) and given.strip("-+.0123456789") == "" and given:
        hint = "write it without quotes"
    return code, text, hint


def _shown(value: JsonValue) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_SHOWN else text[:_LONGEST_SHOWN] + "…"


def and_more(names: Sequence[str]) -> str:
    """The first of ``names`` for all of them, of which there is one at least."""
    return f"{min(names)} and {len(names) - 1} more" if len(names) > 1 else names[0]


def did_you_mean(wrong: str, known: Sequence[str]) -> str:
    if not known:
        return ""
    listing = f"known: {', '.join(sorted(known))}"
    meant = nearest(wrong, known)
    return f"did you mean {meant}? {listing}" if meant else listing


def nearest(wrong: str, known: Sequence[str]) -> str:
    """The one of ``known`` that was probably meant; "" if none."""
    camel = to_camel(wrong.replace("-", "_"))
    near = [each for each in (camel, wrong.removesuffix("s"), f"{wrong}s") if each in known]
    near = near or get_close_matches(wrong, known, n=1)
    return near[0] if near else ""


def _known_keys(model: type[BaseModel], location: Location) -> list[str]:
    """Keys that may stand at ``location`` of a file of ``model``."""
    models = [model]
    for part in location:
        inner = [
            found
            for each in models
            for name, field in each.model_fields.items()
            if (field.alias or name) == part
            for found in _models_in(field.annotation)
        ]
        if part in ("list", "change"):
            inner = [each for each in models if issubclass(each, Change) == (part == "change")]
        tagged = [each for each in models if any(part in get_args(f.annotation) for f in each.model_fields.values())]
        models = inner or tagged or models
    return [field.alias or name for each in models for name, field in each.model_fields.items()]


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for inner in get_args(annotation) for found in _models_in(inner)]
