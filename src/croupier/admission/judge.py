"""One review -> one answer. Plain functions of values: no clock, no network, nothing of the cluster but the review.

Rules on bundles need to see other objects, so they are not asked here; they are CI's (``croupier policy check``).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import islice
from typing import Any, Literal

from croupier.admission.body import Unfit
from croupier.core.policy.check import Asked, Finding, check, found
from croupier.core.policy.fingerprint import written
from croupier.core.policy.objects import Settings, at, items, listed, mapping, text
from croupier.core.policy.rule import Level, Rule, Scope
from croupier.core.policy.waivers import waiver_for
from croupier.model.manifest import Manifest, Source
from croupier.model.objects import JsonObject

Mode = Literal["warn", "enforce"]
Outcome = Literal["allowed", "refused", "would-refuse", "excluded", "failed"]
REVIEW, IMAGE_REVIEW = "admission.k8s.io/v1", "imagepolicy.k8s.io/v1alpha1"
OF_FILES = frozenset(("secret-in-git", "duplicate-key"))
"""Rules on what stands in Git; in a cluster a Secret with values is as it must be."""
IMAGE_RULES = ("image-tag", "image-digest", "image-registry")
MOST_FINDINGS = 1_000
"""In one object. People's have tens; who brings more wants to see how long it takes."""
_WEIGHT = {Level.NOTE: 0, Level.WARNING: 1, Level.ERROR: 2}
_MOST_WARNINGS = 10
_LONGEST_WARNING = 240
"""Characters; API servers cut what is longer than 256."""


class TooMuch(Exception):
    """The object cannot be judged in bounded time and memory. The text holds nothing of it."""


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked, and what becomes of the answer.

    Attributes:
        rules: on pods and single objects.
        image_rules: those of them that an image review is asked.
        mode: ``warn`` lets everything in and says what ``enforce`` would refuse.
        fail_on: least level that refuses; what is below is a warning.
        excluded: namespaces that are never judged: croupier's own, or nothing could be repaired when it is down.
        allow_on_failure: what is answered where nothing can be judged (S3.6: fails as configured).
        heeds_waivers: whether annotations of an object excuse it.
    """

    rules: Asked
    image_rules: Asked
    mode: Mode
    fail_on: Level
    settings: Settings
    excluded: frozenset[str]
    allow_on_failure: bool
    heeds_waivers: bool


@dataclass(frozen=True, slots=True)
class Review:
    """What an API server asks. ``old``: the object before an update; None: there was none."""

    uid: str
    operation: str
    kind: str
    namespace: str
    name: str
    user: str
    subresource: str
    value: JsonObject | None
    old: JsonObject | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What is answered, and for the log: ``rules`` that refuse, or would."""

    uid: str
    outcome: Outcome
    allowed: bool
    message: str = ""
    warnings: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()

    def as_json(self) -> JsonObject:
        """An AdmissionReview."""
        response: JsonObject = {"uid": self.uid, "allowed": self.allowed}
        if self.warnings:
            response["warnings"] = list(self.warnings)
        if not self.allowed:
            reason = "InternalError" if self.outcome == "failed" else "Forbidden"
            code = 500 if self.outcome == "failed" else 403
            response["status"] = {"status": "Failure", "code": code, "reason": reason, "message": self.message}
        return {"apiVersion": REVIEW, "kind": "AdmissionReview", "response": response}


def at_the_door(rules: Iterable[Rule]) -> Asked:
    """Those of ``rules`` that one object alone can be asked."""
    return Asked([each for each in rules if each.scope is not Scope.BUNDLE and each.id not in OF_FILES])


def on_images(rules: Iterable[Rule]) -> Asked:
    """Those of ``rules`` that an image review is asked."""
    return Asked([each for each in rules if each.id in IMAGE_RULES])


def review_in(body: JsonObject) -> Review:
    """Raises ``Unfit`` for a body that is no AdmissionReview v1 with a request."""
    if body.get("kind") != "AdmissionReview" or body.get("apiVersion") != REVIEW:
        raise Unfit(400, "no-review", f"the body is no AdmissionReview of {REVIEW}")
    asked = body.get("request")
    if type(asked) is not dict:
        raise Unfit(400, "no-review", "the review holds no request")
    for key in ("uid", "operation"):
        if type(asked.get(key)) is not str or not asked[key]:
            raise Unfit(400, "no-review", f"request.{key} is no text")
    for key in ("object", "oldObject"):
        if type(asked.get(key)) not in (dict, type(None)):
            raise Unfit(400, "no-review", f"request.{key} is no object")
    value = asked.get("object")
    return Review(
        uid=asked["uid"],
        operation=asked["operation"],
        kind=text(at(asked, "kind", "kind")),
        namespace=text(asked.get("namespace")),
        name=text(asked.get("name")) or text(at(value, "metadata", "generateName")),
        user=text(at(asked, "userInfo", "username")),
        subresource=text(asked.get("subResource")),
        value=value,
        old=asked.get("oldObject"),
    )


def judge(door: Door, review: Review, today: date) -> Answer:
    """What ``door`` answers.

    What an object had against it before an update does not keep the update out: otherwise nobody could scale, repair or
    delete what was there before the rules were.

    Raises ``TooMuch``, and whatever a rule stumbles over.
    """
    if review.namespace in door.excluded:
        return Answer(review.uid, "excluded", allowed=True)
    if not _is_judged(review):
        return Answer(review.uid, "allowed", allowed=True)
    assert review.value is not None
    against = _findings(door, review.value, review.namespace, door.rules, today)
    refusing = [each for each in against if _WEIGHT[each.rule.level] >= _WEIGHT[door.fail_on]]
    if refusing and review.old is not None:
        before = {_key(each) for each in _findings(door, review.old, review.namespace, door.rules, today)}
        refusing = [each for each in refusing if _key(each) not in before]
    return _answered(door, review.uid, against, refusing)


def _is_judged(review: Review) -> bool:
    """Whether it brings an object that somebody made or changed, and that is to stay."""
    return (
        review.operation in ("CREATE", "UPDATE")
        and review.value is not None
        and review.subresource in ("", "ephemeralcontainers")
        and at(review.value, "metadata", "deletionTimestamp") is None
    )


def _findings(door: Door, value: JsonObject, namespace: str, rules: Asked, today: date) -> list[Finding]:
    """What is found and not excused. The namespace of a request counts where the object does not repeat it; of a
    Namespace, API servers say that it is in itself.

    Raises ``TooMuch``.
    """
    metadata = mapping(value.get("metadata"))
    if namespace and not metadata.get("namespace") and value.get("kind") != "Namespace":
        value = {**value, "metadata": {**metadata, "namespace": namespace}}
    manifest = Manifest(Source("", 0, ""), (), value)
    findings = list(islice(found([manifest], rules, door.settings), MOST_FINDINGS + 1))
    if len(findings) > MOST_FINDINGS:
        raise TooMuch(f"there are more than {MOST_FINDINGS} findings")
    return [each for each in findings if not _excused(door, each, manifest, today)]


def _excused(door: Door, finding: Finding, manifest: Manifest, today: date) -> bool:
    held = waiver_for(finding.rule.id, manifest, ()) if door.heeds_waivers else None
    return held is not None and today <= held.until


def _key(finding: Finding) -> tuple[str, str, str]:
    return finding.rule.id, written(finding.path), finding.message


def _answered(door: Door, uid: str, against: Sequence[Finding], refusing: Sequence[Finding]) -> Answer:
    rules = tuple(dict.fromkeys(each.rule.id for each in refusing))
    message = _message(refusing)
    if refusing and door.mode == "enforce":
        return Answer(
            uid, "refused", allowed=False, message=message, warnings=_warnings(against, refusing), rules=rules
        )
    if refusing:
        return Answer(uid, "would-refuse", allowed=True, message=message, warnings=_warnings(against, ()), rules=rules)
    return Answer(uid, "allowed", allowed=True, warnings=_warnings(against, ()))


def _message(findings: Sequence[Finding]) -> str:
    told = [f"{each.rule.id}: {each.message} ({written(each.path)}). {each.rule.fix}" for each in findings]
    shown = told[:_MOST_WARNINGS]
    more = len(told) - len(shown)
    return "; ".join([*shown, *([f"and {more} more"] if more else [])])


def _warnings(against: Sequence[Finding], but: Sequence[Finding]) -> tuple[str, ...]:
    left = [each for each in against if each not in but and each.rule.level is not Level.NOTE]
    told = [f"croupier {each.rule.id}: {each.message} ({written(each.path)})" for each in left[:_MOST_WARNINGS]]
    if len(left) > len(told):
        told.append(f"croupier: and {len(left) - len(told)} more")
    return tuple(each if len(each) <= _LONGEST_WARNING else f"{each[: _LONGEST_WARNING - 1]}…" for each in told)


def failed(door: Door, uid: str, why: str) -> Answer:
    """Where nothing could be judged: as configured, and said."""
    told = f"croupier could not judge this: {why}"
    if door.mode == "warn" or door.allow_on_failure:
        return Answer(uid, "failed", allowed=True, message=told, warnings=(told,))
    return Answer(uid, "failed", allowed=False, message=told)


# --- images -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ImageReview:
    """What an API server's ImagePolicyWebhook asks (imagepolicy.k8s.io/v1alpha1)."""

    images: tuple[str, ...]
    namespace: str
    value: JsonObject


def image_review_in(body: JsonObject) -> ImageReview:
    """Raises ``Unfit`` for a body that is no ImageReview with images."""
    if body.get("kind") != "ImageReview" or body.get("apiVersion") != IMAGE_REVIEW:
        raise Unfit(400, "no-review", f"the body is no ImageReview of {IMAGE_REVIEW}")
    spec = mapping(body.get("spec"))
    images: list[Any] = [each.get("image") for _, each in items(spec.get("containers"))]
    if not images or any(type(each) is not str for each in images) or len(listed(spec.get("containers"))) > 1000:
        raise Unfit(400, "no-review", "spec.containers names no images")
    return ImageReview(tuple(images), text(spec.get("namespace")), body)


@dataclass(frozen=True, slots=True)
class ImageVerdict:
    """What the rules have against one image; "" and () where nothing."""

    message: str = ""
    rules: tuple[str, ...] = ()


def judge_image(door: Door, image: str) -> ImageVerdict:
    """What the rules on images have against a reference."""
    pod = {"apiVersion": "v1", "kind": "Pod", "spec": {"containers": [{"name": "app", "image": image}]}}
    against = check([Manifest(Source("", 0, ""), (), pod)], door.image_rules, door.settings)
    refusing = [each for each in against if _WEIGHT[each.rule.level] >= _WEIGHT[door.fail_on]]
    told = "; ".join(f"{image}: {each.rule.id}: {each.message}" for each in refusing)
    return ImageVerdict(told, tuple(each.rule.id for each in refusing))


def answer_images(door: Door, review: ImageReview, verdicts: Iterable[ImageVerdict]) -> tuple[JsonObject, Outcome]:
    """The ImageReview with its status, and the outcome for log and metrics."""
    against = [each for each in verdicts if each.rules]
    outcome: Outcome = "allowed"
    if review.namespace in door.excluded:
        outcome = "excluded"
    elif against:
        outcome = "refused" if door.mode == "enforce" else "would-refuse"
    status: JsonObject = {"allowed": outcome != "refused"}
    if against and outcome != "excluded":
        status["reason"] = "; ".join(each.message for each in against[:_MOST_WARNINGS])
    return {**review.value, "status": status}, outcome
