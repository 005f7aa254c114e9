"""Releases on a real cluster, with real traffic; the operator runs as a pod with the rights of its manifests."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.operated import Casino
from tests.support.websocket import opened

from croupier.adapters.clock import SystemClock
from croupier.model.release_calendar import OVERRIDE_FREEZE, FreezeOverride

pytestmark = pytest.mark.timeout(900)

DRAIN_SECONDS = 20
"""Long enough for a look at what is still open after a promotion."""


def test_a_good_version_is_promoted_and_a_bad_one_taken_back_without_a_failed_request(
    casino: Casino, tmp_path: Path
) -> None:
    """S4.5, S4.6, S5.1. Prevents: a release that loses players' requests, and a bad version that stays."""
    casino.open()
    with casino.players(tmp_path / "players.log") as players:
        first = casino.status()["stable"]
        casino.commit(BUILD="2")
        good = casino.outcome("a good version is promoted")
        assert good["status"]["outcome"] == "promoted", good["status"]
        second = casino.status()["stable"]
        assert second != first
        casino.commit(BUILD="2", DEFECT="deposit-loss", DEFECT_SHARE="0.2")
        bad = casino.outcome("a version that loses deposits is taken back")
        assert bad["status"]["outcome"] == "rolled-back", bad["status"]
        assert casino.status()["stable"] == second
        assert "deposits" in bad["status"]["reason"]
        totals = players.stop()
    assert totals["failed"] == 0, totals["causes"]
    assert totals["requests"] > 500
    reasons = {each["reason"] for each in casino.items("events") if each.get("reportingComponent", "").startswith("cr")}
    assert {"StepEntered", "StepPassed", "RollingBack"} <= reasons


def test_the_old_version_keeps_one_percent_through_the_bake_and_is_gone_back_to(casino: Casino, tmp_path: Path) -> None:
    """S4.6. Prevents: a bake of a money service in which nothing is left to compare with, or to go back to."""
    casino.open()
    old = casino.status()["stable"]
    lasting = {**casino.policy()["spec"]["strategy"], "bakeSeconds": 600}
    casino.cluster.apply(casino.policy(strategy=lasting), namespace=casino.namespace)
    with casino.players(tmp_path / "players.log") as players:
        casino.commit(BUILD="2")
        casino.until("the new version bakes", lambda: casino.status().get("weight") == 99)
        new = casino.status()["wanted"]
        backends = casino.get("httproute")["spec"]["rules"][0]["backendRefs"]
        assert {each["name"]: each["weight"] for each in backends} == {
            f"payments-api-{new}": 99,
            f"payments-api-{old}": 1,
        }
        assert casino.get("service")["spec"]["selector"]["croupier.dev/version"] == new
        casino.until("the bake is under way", lambda: casino.status().get("phase") == "holding")
        assert casino.get("deployment", f"payments-api-{old}")["status"]["readyReplicas"] == 2
        casino.commit()
        casino.until_ready("the revert goes back")
        totals = players.stop()
    assert casino.status()["stable"] == old
    assert casino.get("service")["spec"]["selector"]["croupier.dev/version"] == old
    assert totals["failed"] == 0, totals["causes"]


@pytest.mark.parametrize("defect", ["errors", "slow", "never-ready", "crash-loop"])
def test_every_bad_version_is_taken_back(casino: Casino, tmp_path: Path, defect: str) -> None:
    """S4.6. Prevents: a gate that exists on paper."""
    casino.open()
    stable = casino.status()["stable"]
    share = {"errors": "0.2", "slow": "0.5"}.get(defect, "1")
    with casino.players(tmp_path / "players.log") as players:
        casino.commit(DEFECT=defect, DEFECT_SHARE=share)
        run = casino.outcome(f"{defect} is taken back")
        totals = players.stop()
    assert run["status"]["outcome"] == "rolled-back", run["status"]
    assert casino.status()["stable"] == stable
    assert casino.condition("Stalled")["reason"] == "RolledBack"
    caused = {cause: count for cause, count in totals["causes"].items() if defect != "errors" or "500" not in cause}
    assert not caused


def test_what_is_changed_by_hand_is_put_back_and_nothing_unseen_gets_traffic(casino: Casino) -> None:
    """S5.1. Prevents: kubectl scale or edit as a way round the gates (tests/kube/test_doors.py has what is refused)."""
    casino.open()
    stable = casino.status()["stable"]
    name = f"payments-api-{stable}"
    casino.cluster.kubectl("scale", f"deploy/{name}", "--replicas=1", "--namespace", casino.namespace)
    casino.until(
        "the scaled version has its pods again", lambda: casino.get("deployment", name)["spec"]["replicas"] == 2
    )
    casino.cluster.kubectl("scale", "deploy/payments-api", "--replicas=1", "--namespace", casino.namespace)
    casino.until("the intent is at rest again", lambda: casino.get("deployment")["spec"]["replicas"] == 0)
    patch = '{"spec":{"selector":{"croupier.dev/version":"000000000000"}}}'
    casino.cluster.kubectl(
        "patch", "service/payments-api", "--type=merge", "-p", patch, "--namespace", casino.namespace
    )
    casino.until(
        "the Service follows the stable version again",
        lambda: casino.get("service")["spec"]["selector"].get("croupier.dev/version") == stable,
    )
    told = [each["note"] for each in casino.items("events.events.k8s.io") if each["reason"] == "PutBack"]
    assert len(told) >= 3


def test_a_config_map_alone_is_a_release_and_stable_pods_keep_the_old_content(casino: Casino, tmp_path: Path) -> None:
    """S12.2. Prevents: a configuration that reaches every pod at once, behind the gates' back."""
    casino.open()
    before = casino.status()["stable"]
    with casino.players(tmp_path / "players.log"):
        casino.cluster.apply(casino.config(COLOUR="blue"), namespace=casino.namespace)
        run = casino.outcome("a new configuration is released")
    assert run["status"]["outcome"] == "promoted", run["status"]
    after = casino.status()["stable"]
    assert after != before
    assert casino.get("configmap", f"payments-api-{before}")["data"].get("COLOUR") is None
    assert casino.get("configmap", f"payments-api-{after}")["data"]["COLOUR"] == "blue"


def test_a_revert_in_git_ends_the_release_and_a_newer_template_replaces_it(casino: Casino, tmp_path: Path) -> None:
    """progressive-delivery §2.1 rows 8, 21. Prevents: a release that goes on although nobody wants it any more."""
    casino.open()
    stable = casino.status()["stable"]
    with casino.players(tmp_path / "players.log"):
        casino.commit(BUILD="2", DEFECT="never-ready")
        casino.until("the release is under way", lambda: casino.status().get("phase") == "preparing")
        casino.commit()
        casino.until_ready("the revert is the end of it")
        assert casino.status()["stable"] == stable
        casino.commit(BUILD="3", DEFECT="never-ready")
        casino.until("the next release is under way", lambda: casino.status().get("phase") == "preparing")
        casino.commit(BUILD="4")
        run = casino.outcome("the newer template is released in its place")
    assert run["status"]["outcome"] == "promoted", run["status"]


def test_a_running_deployment_is_adopted_and_given_back_without_a_failed_request(
    casino: Casino, tmp_path: Path
) -> None:
    """DESIGN §7. Prevents: an outage on the day croupier comes, or on the day it goes."""
    labels = {"app.kubernetes.io/name": "payments-api"}
    service = {"selector": labels, "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}
    parent = casino.cluster.gateway.parent_ref
    backend = [{"backendRefs": [{"name": "payments-api", "port": 80}]}]
    casino.cluster.apply(
        *casino.books(),
        casino.config(),
        casino.intent(replicas=2),
        {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "payments-api"}, "spec": service},
        {
            "apiVersion": "gateway.networking.k8s.io/v1",
            "kind": "HTTPRoute",
            "metadata": {"name": "before"},
            "spec": {"parentRefs": [parent], "hostnames": [casino.host], "rules": backend},
        },
        namespace=casino.namespace,
    )
    casino.cluster.rollout("payments-api", casino.namespace)
    casino.cluster.rollout("books", casino.namespace)
    with casino.players(tmp_path / "players.log") as players:
        casino.cluster.apply(casino.policy(), namespace=casino.namespace)
        casino.until_ready("what runs is adopted")
        casino.until("the intent is at rest", lambda: casino.get("deployment")["spec"]["replicas"] == 0)
        casino.cluster.kubectl("delete", "httproute", "before", "--namespace", casino.namespace)
        annotation = "croupier.dev/leave=true"
        casino.cluster.kubectl("annotate", "rp", "payments-api", annotation, "--namespace", casino.namespace)
        casino.until("the Deployment serves again", lambda: casino.condition("Ready").get("reason") == "Left")
        selector = casino.get("service")["spec"]["selector"]
        totals = players.stop()
    assert selector == labels
    assert totals["failed"] == 0, totals["causes"]


def test_an_open_socket_stays_with_its_version_through_a_release_and_has_the_drain_seconds_after_it(
    casino: Casino, tmp_path: Path
) -> None:
    """Prevents: a change of the split, or a promotion, that cuts the sockets which players hold to the old version."""
    casino.open(drainSeconds=DRAIN_SECONDS, traffic="websocket")
    old = casino.status()["stable"]
    gateway = casino.cluster.gateway.url
    with casino.players(tmp_path / "players.log") as players, opened(gateway, host=casino.host) as socket:
        casino.until("the socket speaks", lambda: bool(socket.said))
        casino.commit(BUILD="2")
        run = casino.outcome("the new version is promoted")
        assert run["status"]["outcome"] == "promoted", run["status"]
        told = [each.get("note", "") for each in casino.items("events.events.k8s.io")]
        assert any("1 socket was still open to the old version" in each for each in told), told
        note = casino.get("deployment", f"payments-api-{old}")["metadata"]["annotations"]["croupier.dev/retire-at"]
        with opened(gateway, host=casino.host) as later:
            casino.until("a later socket speaks", lambda: bool(later.said))
            assert later.versions == {run["status"]["canary"]}
        casino.until("the old version ends, and its socket with it", lambda: socket.closed_at is not None)
        totals = players.stop()
    assert socket.versions == {old}
    assert socket.closed_at is not None
    assert socket.closed_at >= float(note), "it was cut before its drainSeconds were over"
    assert totals["failed"] == 0, totals["causes"]


def test_a_version_waits_for_a_freeze_and_starts_when_it_is_lifted_or_overridden(
    casino: Casino, tmp_path: Path
) -> None:
    """Prevents: a calendar that the operator may not read, so that a release meets the final."""
    for fields in ({"ends": "2020-01-01T00:00"}, {"starts": "2020-02-31T00:00"}):
        with pytest.raises(AssertionError, match=r"a freeze starts and ends on days that there are|day out of range"):
            casino.cluster.apply(_calendar(**fields), namespace=casino.namespace)
    casino.open()
    with casino.players(tmp_path / "players.log") as players:
        casino.cluster.apply(_calendar(), namespace=casino.namespace)
        casino.commit(BUILD="2")
        casino.until("it waits", lambda: _is_frozen(casino))
        said = casino.condition("Reconciling")["message"]
        assert "waits for the end of the freeze football/cup-final (Cup final) until" in said
        casino.cluster.kubectl("delete", "cal", "football", "--namespace", casino.namespace)
        run = casino.outcome("it is released once the freeze is lifted")
        assert run["status"]["outcome"] == "promoted", run["status"]
        casino.cluster.apply(_calendar(), namespace=casino.namespace)
        casino.commit(BUILD="3")
        casino.until("the next one waits", lambda: _is_frozen(casino))
        decided = FreezeOverride(version=casino.status()["wanted"], who="ann", reason="deposits fail without it")
        note = f"{OVERRIDE_FREEZE}={decided.model_dump_json(by_alias=True)}"
        casino.cluster.kubectl("annotate", "rp", "payments-api", note, "--namespace", casino.namespace)
        run = casino.outcome("it is released in spite of the freeze")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]


def _calendar(**fields: str) -> dict[str, Any]:
    """One window around now."""
    now = datetime.fromtimestamp(SystemClock().now(), UTC)
    starts, ends = ((now + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M") for hours in (-1, 12))
    window = {"name": "cup-final", "title": "Cup final", "starts": starts, "ends": ends, "zone": "UTC", **fields}
    return {
        "apiVersion": "croupier.dev/v1alpha1",
        "kind": "ReleaseCalendar",
        "metadata": {"name": "football"},
        "spec": {"freezes": [window]},
    }


def _is_frozen(casino: Casino) -> bool:
    found = casino.condition("Reconciling")
    return (found.get("status"), found.get("reason")) == ("True", "Freeze")
