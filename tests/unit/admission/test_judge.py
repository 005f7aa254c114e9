"""Reviews at the door: what is refused, what only warned of, what is never judged (S3.6, S10.1)."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from typing import Any

import pytest
from tests.support.reviews import DIGEST, images, pod, review, sent

from croupier.admission.body import DEEPEST, MOST_VALUES, Unfit, parsed
from croupier.admission.held import MOST_BREAKING, MOST_IMAGES, ImageVerdicts, WhoBreaks
from croupier.admission.judge import (
    IMAGE_RULES,
    OF_FILES,
    Answer,
    Door,
    ImageVerdict,
    TooMuch,
    answer_images,
    at_the_door,
    failed,
    image_review_in,
    judge,
    judge_image,
    on_images,
    review_in,
)
from croupier.core.policy.catalogue import RULES, chosen
from croupier.core.policy.objects import Settings
from croupier.core.policy.rule import Level, Scope

DOOR = Door(
    rules=at_the_door(chosen("default")),
    image_rules=on_images(chosen("default")),
    mode="enforce",
    fail_on=Level.ERROR,
    settings=Settings(),
    excluded=frozenset(("croupier", "kube-system")),
    allow_on_failure=False,
    heeds_waivers=True,
)
TODAY = date(2026, 11, 29)


def judged(body: dict[str, Any], door: Door = DOOR) -> Answer:
    return judge(door, review_in(body), TODAY)


def made_by(kind: str, value: dict[str, Any]) -> dict[str, Any]:
    """``value`` as the controller of that kind makes it."""
    owner = {"apiVersion": "batch/v1", "kind": kind, "name": "bets", "uid": "1", "controller": True}
    return {**value, "metadata": {**value["metadata"], "ownerReferences": [owner]}}


def test_the_pods_of_a_job_come_in_where_the_job_does() -> None:
    """Prevents: a Job is taken, and each of its pods is refused for want of a readiness probe."""
    value = pod(readinessProbe=None, lifecycle=None)
    assert judged(review(value)).rules == ("readiness-probe",)
    assert judged(review(made_by("Job", value))).outcome == "allowed"


def test_a_pod_is_not_asked_what_people_say_of_its_controller() -> None:
    """Labels and annotations of a Deployment are not those of its template; it was asked itself when it came."""
    door = replace(DOOR, fail_on=Level.WARNING, settings=Settings(labels=("team",)))
    value = pod(env=[{"name": "KEY", "valueFrom": {"secretKeyRef": {"name": "bets", "key": "key"}}}])
    asked = {"required-labels", "secret-env-rotation"}
    assert asked <= set(judged(review(value), door).rules)
    assert not asked & set(judged(review(made_by("ReplicaSet", value)), door).rules)


def test_a_pod_of_a_controller_is_asked_all_that_it_could_harm_with() -> None:
    value = made_by("ReplicaSet", pod(securityContext={"privileged": True}))
    assert {"privileged", "read-only-root"} <= set(judged(review(value)).rules)


@pytest.mark.parametrize(
    ("name", "outcome", "rules"),
    [
        ("deployment-good", "allowed", ()),
        ("pod-of-replicaset", "allowed", ()),
        ("deployment-privileged", "refused", ("privileged",)),
        ("deployment-latest", "refused", ("image-tag",)),
        ("deployment-made-bad", "refused", ("privileged",)),
        ("pod-debugged", "refused", ("image-tag",)),
        ("config-map-with-secret", "refused", ("secret-in-config-map",)),
        ("deployment-scaled-that-was-bad", "allowed", ()),
        ("deployment-deleted", "allowed", ()),
        ("deployment-going", "allowed", ()),
    ],
)
def test_what_api_servers_send_is_answered(name: str, outcome: str, rules: tuple[str, ...]) -> None:
    body = sent(name)
    answer = judged(body)
    assert (answer.outcome, set(rules) - set(answer.rules)) == (outcome, set())
    told = answer.as_json()
    assert told["response"]["uid"] == body["request"]["uid"]
    assert told["response"]["allowed"] is (outcome == "allowed")


def test_a_refusal_says_the_rule_the_place_and_the_fix() -> None:
    told = judged(sent("deployment-privileged")).as_json()["response"]["status"]
    assert (told["code"], told["reason"]) == (403, "Forbidden")
    assert "privileged: container app is privileged" in told["message"]
    assert "spec.template.spec.containers[0].securityContext.privileged" in told["message"]
    assert RULES["privileged"].fix in told["message"]


def test_in_warn_mode_everything_comes_in_and_is_told() -> None:
    answer = judged(sent("deployment-privileged"), replace(DOOR, mode="warn"))
    assert (answer.outcome, answer.allowed) == ("would-refuse", True)
    assert "privileged" in answer.rules
    assert any("privileged" in each for each in answer.warnings)


def test_warnings_are_few_and_short_enough_for_api_servers() -> None:
    many = pod()
    many["spec"]["containers"] = [{"name": f"c{number}" + "x" * 300, "image": "a"} for number in range(40)]
    answer = judged(review(many), replace(DOOR, mode="warn"))
    assert len(answer.warnings) == 11
    assert all(len(each) <= 256 for each in answer.warnings)
    assert answer.warnings[-1].startswith("croupier: and ")


@pytest.mark.parametrize("namespace", ["croupier", "kube-system"])
def test_its_own_namespace_is_never_judged(namespace: str) -> None:
    assert judged(review(pod(image="x:latest"), namespace=namespace)).outcome == "excluded"


def test_the_namespace_of_the_request_counts() -> None:
    """An object may leave it out; then it is not in the namespace default."""
    value = pod()
    del value["metadata"]["namespace"]
    assert judged(review(value)).outcome == "allowed"
    assert "default-namespace" in judged(review(value, namespace="default")).rules


def test_a_namespace_is_judged_and_does_not_lie_in_itself() -> None:
    """API servers name a Namespace as the namespace of its own review: the exclusions count for it, too."""
    made = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "default"}}
    kind = {"group": "", "version": "v1", "kind": "Namespace"}
    found = judged(review(made, kind=kind, name="default", namespace="default"))
    assert (found.outcome, found.rules) == ("allowed", ())
    assert [each.partition(":")[0] for each in found.warnings] == ["croupier pod-security-label"]
    own = {**made, "metadata": {"name": "croupier"}}
    assert judged(review(own, kind=kind, name="croupier", namespace="croupier")).outcome == "excluded"


@pytest.mark.parametrize(("until", "outcome"), [("2026-11-29", "allowed"), ("2026-11-28", "refused")])
def test_a_waiver_excuses_to_its_last_day_where_waivers_are_heeded(until: str, outcome: str) -> None:
    value = pod(ports=[{"containerPort": 80, "hostPort": 80}])
    value["metadata"]["annotations"] = {"waive.croupier.dev/host-ports": f"owner=ann until={until} reason=the PSP"}
    assert judged(review(value)).outcome == outcome
    assert judged(review(value), replace(DOOR, heeds_waivers=False)).outcome == "refused"


def test_an_update_is_refused_for_what_it_brings_and_not_for_what_was_there() -> None:
    old = pod(image="registry.example/bets:latest")
    assert judged(review(pod(image="registry.example/bets:latest"), old=old)).outcome == "allowed"
    worse = pod(image="registry.example/bets:latest", securityContext={"privileged": True})
    assert "image-tag" not in judged(review(worse, old=old)).rules
    assert "privileged" in judged(review(worse, old=old)).rules


def test_only_rules_on_one_object_are_asked() -> None:
    assert all(each.scope is not Scope.BUNDLE and each.id not in OF_FILES for each in DOOR.rules.rules)
    assert len(DOOR.rules.rules) > 60
    assert RULES.keys() >= {*OF_FILES, *IMAGE_RULES}


@pytest.mark.parametrize(
    "changes",
    [
        {"kind": "Pod"},
        {"apiVersion": "admission.k8s.io/v1beta1"},
        {"request": None},
        {"request": []},
        {"request": {"uid": 7, "operation": "CREATE"}},
        {"request": {"uid": "a", "operation": None}},
        {"request": {"uid": "a", "operation": "CREATE", "object": "text"}},
        {"request": {"uid": "a", "operation": "CREATE", "object": {}, "oldObject": [1]}},
    ],
)
def test_what_is_no_review_is_no_answer(changes: dict[str, Any]) -> None:
    with pytest.raises(Unfit):
        review_in({**review(pod()), **changes})


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"kind": 7, "metadata": [], "spec": "x"},
        {"kind": "Pod", "spec": {"containers": {"a": 1}}},
        {"kind": "Pod", "spec": {"containers": [None, 3, "x", {"image": 5, "ports": {}, "env": [[]]}]}},
        {"kind": "Deployment", "apiVersion": 1, "spec": {"template": {"spec": {"containers": [{"image": []}]}}}},
        {"kind": "Ingress", "spec": {"rules": [None, {"host": {}}], "tls": 7}},
        {"kind": "NetworkPolicy", "spec": {"egress": [{"to": [{"ipBlock": 4}]}], "podSelector": []}},
    ],
)
def test_objects_of_wrong_types_are_judged_all_the_same(odd: dict[str, Any]) -> None:
    assert judged(review(odd)).outcome in ("allowed", "refused")


def test_an_object_with_findings_without_end_is_not_judged() -> None:
    many = pod()
    many["spec"]["containers"] = [{}] * 40_000
    with pytest.raises(TooMuch, match="more than 1000 findings"):
        judged(review(many))


def test_failing_is_as_configured() -> None:
    refused = failed(DOOR, "u", "TypeError")
    assert (refused.allowed, refused.as_json()["response"]["status"]["code"]) == (False, 500)
    allowed = failed(replace(DOOR, allow_on_failure=True), "u", "TypeError")
    assert allowed.as_json()["response"] == {
        "uid": "u",
        "allowed": True,
        "warnings": ["croupier could not judge this: TypeError"],
    }
    assert failed(replace(DOOR, mode="warn"), "u", "x").allowed


# --- bodies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        (b"", "no-json"),
        (b"\xff\xfe", "no-json"),
        (b'{"a": NaN}', "no-json"),
        (b'{"a": -Infinity}', "no-json"),
        (b'{"a": 1e999}', "no-json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no-json"),
        (b'{"a": ' + b"9" * 400 + b"}", "no-json"),
        (b'{"a": [-18446744073709551616]}', "no-json"),
        (b"[]", "no-object"),
        (b'"AdmissionReview"', "no-object"),
        (b'{"a":' * (DEEPEST + 1) + b"1" + b"}" * (DEEPEST + 1), "too-deep"),
        (b"[" * 1_000_000, "too-deep"),
        (b'{"a":' * 1_000_000, "too-deep"),
        (json.dumps({"a": [0] * MOST_VALUES}).encode(), "too-many"),
    ],
)
def test_hostile_bodies_are_unfit(raw: bytes, reason: str) -> None:
    with pytest.raises(Unfit) as caught:
        parsed(raw)
    assert caught.value.reason == reason


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "allowed"),
    [
        (f"registry.example/bets@{DIGEST}", True),
        (f"registry.example/bets:v2@{DIGEST}", True),
        ("registry.example/bets:v2", False),
        ("registry.example/bets", False),
        ("registry.example/bets@sha256:0f", False),
        (f"registry.example.evil/bets@{DIGEST}", False),
    ],
)
def test_an_image_review_is_answered_by_the_rules_on_images(image: str, allowed: bool) -> None:
    door = replace(DOOR, settings=Settings(registries=("registry.example",)))
    asked = image_review_in(images(image))
    told, outcome = answer_images(door, asked, [judge_image(door, each) for each in asked.images])
    assert told["status"]["allowed"] is allowed
    assert (outcome == "allowed") is allowed
    assert (told["apiVersion"], told["kind"]) == ("imagepolicy.k8s.io/v1alpha1", "ImageReview")
    assert allowed or image in told["status"]["reason"]


def test_an_image_review_in_warn_mode_or_of_an_excluded_namespace_is_let_in() -> None:
    verdict = judge_image(DOOR, "bets:latest")
    told, outcome = answer_images(replace(DOOR, mode="warn"), image_review_in(images("bets:latest")), [verdict])
    assert (told["status"]["allowed"], outcome) == (True, "would-refuse")
    told, outcome = answer_images(DOOR, image_review_in(images("bets:latest", namespace="kube-system")), [verdict])
    assert (told["status"], outcome) == ({"allowed": True}, "excluded")


@pytest.mark.parametrize("spec", [None, {}, {"containers": []}, {"containers": [{"image": 4}]}, {"containers": ["a"]}])
def test_an_image_review_without_images_is_no_answer(spec: object) -> None:
    with pytest.raises(Unfit):
        image_review_in({**images("a"), "spec": spec})


def test_verdicts_on_images_are_held_for_a_time_and_never_without_bound() -> None:
    now, asked = 0.0, []

    def look(image: str) -> ImageVerdict:
        asked.append(image)
        return ImageVerdict()

    verdicts = ImageVerdicts(look, lambda: now, seconds=300.0)
    for _ in range(3):
        verdicts.of("a")
    assert (asked, verdicts.hits, verdicts.misses) == (["a"], 2, 1)
    now = 300.0
    verdicts.of("a")
    assert asked == ["a", "a"]
    for number in range(MOST_IMAGES + 50):
        verdicts.of(f"image-{number}")
    assert len(verdicts) == MOST_IMAGES


def test_a_verdict_that_failed_is_not_held() -> None:
    def look(_image: str) -> ImageVerdict:
        raise OSError("the registry does not answer")

    verdicts = ImageVerdicts(look, lambda: 0.0)
    for _ in range(2):
        with pytest.raises(OSError, match="registry"):
            verdicts.of("a")
    assert (len(verdicts), verdicts.misses) == (0, 2)


def test_who_would_break_is_one_row_an_object_and_bounded() -> None:
    breaks = WhoBreaks(lambda: 5.0)
    door = replace(DOOR, mode="warn")
    asked = review_in(sent("deployment-privileged"))
    for _ in range(3):
        breaks.note(asked, judge(door, asked, TODAY))
    (row,) = breaks.rows()
    assert (row["namespace"], row["kind"], row["name"], row["times"]) == ("lucky-se", "Deployment", "payments-api", 3)
    assert row["user"] == "lucky-releases@example"
    for number in range(MOST_BREAKING + 10):
        breaks.note(replace(asked, name=f"d{number}"), judge(door, asked, TODAY))
    assert (len(list(breaks.rows())), breaks.left_out) == (MOST_BREAKING, 11)
