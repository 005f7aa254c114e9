"""What happens around a release on a real cluster: GitOps loops, killed operators, a lost API server, quotas."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.cluster import Cluster
from tests.support.operated import OPERATOR_NAMESPACE, Casino

pytestmark = pytest.mark.timeout(900)


class Git:
    """A GitOps loop: applies what it holds every few seconds, under its own field manager, without force."""

    def __init__(self, casino: Casino) -> None:
        self._casino = casino
        self.holds: list[dict[str, Any]] = []
        self.refusals: list[str] = []
        self.applied = 0

    def sync(self) -> None:
        try:
            self._casino.cluster.apply(*self.holds, namespace=self._casino.namespace, manager="git", force=False)
            self.applied += 1
        except AssertionError as error:
            self.refusals.append(str(error))

    def diff(self) -> str:
        """What a tool would show as out of sync."""
        return self._casino.cluster.diff(*self.holds, namespace=self._casino.namespace, manager="git")


@contextmanager
def syncing(git: Git, seconds: float = 5.0) -> Iterator[Git]:
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(seconds):
            git.sync()

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield git
    finally:
        stop.set()
        thread.join()


def test_a_gitops_loop_and_croupier_do_not_fight(casino: Casino, tmp_path: Path) -> None:
    """progressive-delivery §2.1 row 21. Prevents: two controllers that undo each other, and a diff that never goes."""
    casino.cluster.apply(*casino.books(), namespace=casino.namespace)
    casino.cluster.rollout("books", casino.namespace)
    git = Git(casino)
    git.holds = [casino.config(), casino.intent(), casino.policy()]
    git.sync()
    with syncing(git):
        casino.until_ready("the first version serves")
        with casino.players(tmp_path / "players.log") as players:
            git.holds = [casino.config(), casino.intent(BUILD="2"), casino.policy()]
            run = casino.outcome("the version in Git is released")
            git.sync()
            difference = git.diff()
            assert difference == "", difference
            totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert git.refusals == []
    assert git.applied > 3
    assert totals["failed"] == 0, totals["causes"]


def test_an_operator_whose_pod_is_taken_away_goes_on_in_another(casino: Casino, tmp_path: Path) -> None:
    """S4.6. Prevents: a release that is promoted twice, or stands for ever, because a node was drained."""
    casino.open()
    with casino.players(tmp_path / "players.log") as players:
        casino.commit(BUILD="2")
        casino.until("players are on the canary", _is_in(casino, "holding"))
        _kill_operator(casino.cluster)
        run = casino.outcome("the release comes to its end")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]
    ends = [each for each in casino.items("events.events.k8s.io") if each["reason"] in ("Promoted", "Ended")]
    assert len({each["note"] for each in ends if "r-0002" in each["note"]}) <= 1


def test_a_lost_api_server_holds_a_release_and_harms_nobody(casino: Casino, tmp_path: Path) -> None:
    """S9.7. Prevents: decisions on what was true a while ago."""
    casino.open()
    with casino.players(tmp_path / "players.log") as players:
        casino.commit(BUILD="2")
        casino.until("the canary has players", _is_in(casino, "holding"))
        casino.cluster.crash("kube-apiserver")
        casino.cluster.until("the API answers again", lambda: casino.cluster.answers("/readyz"))
        run = casino.outcome("the release comes to its end")
        totals = players.stop()
    assert run["status"]["outcome"] == "promoted", run["status"]
    assert totals["failed"] == 0, totals["causes"]


def test_a_quota_that_forbids_the_canary_is_told_and_the_release_goes_back(casino: Casino, tmp_path: Path) -> None:
    """progressive-delivery §2.1 row 8. Prevents: a release that waits for pods that nobody can make."""
    casino.open()
    quota = {"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"}, "spec": {"hard": {"pods": "3"}}}
    casino.cluster.apply(quota, namespace=casino.namespace)
    with casino.players(tmp_path / "players.log"):
        casino.commit(BUILD="2")
        run = casino.outcome("the release goes back")
    assert run["status"]["outcome"] == "rolled-back"
    assert "exceeded quota" in run["status"]["reason"], run["status"]["reason"]


def test_a_service_without_a_route_is_switched_and_a_canary_of_it_is_refused_at_the_door(
    casino: Casino,
) -> None:
    """DESIGN §7. Prevents: a split that nobody carries out on a cluster that cannot split."""
    with pytest.raises(AssertionError, match=r"strategy.steps must be \[100\]"):
        casino.cluster.apply(casino.policy(route=None), namespace=casino.namespace)
    for steps, said in ([[50, 20, 100], "steps must rise"], [[20, 50], "the last step must be 100"]):
        strategy = {**casino.policy()["spec"]["strategy"], "steps": steps}
        with pytest.raises(AssertionError, match=str(said)):
            casino.cluster.apply(casino.policy(strategy=strategy), namespace=casino.namespace)


def test_a_deleted_namespace_takes_its_release_along_and_leaves_the_operator_at_work(
    casino: Casino, tmp_path: Path
) -> None:
    """Prevents: an operator that is stuck on what does not exist any more."""
    casino.open()
    with casino.players(tmp_path / "players.log"):
        casino.commit(BUILD="2", DEFECT="never-ready")
        casino.until("the release is under way", _is_in(casino, "preparing"))
    casino.cluster.kubectl("delete", "namespace", casino.namespace, "--timeout=60s")
    casino.cluster.kubectl("create", "namespace", casino.namespace)
    again = Casino(casino.cluster, casino.namespace)
    again.open()


def _is_in(casino: Casino, *phases: str) -> Callable[[], bool]:
    return lambda: casino.status().get("phase") in phases


def _kill_operator(cluster: Cluster) -> None:
    words = ("delete", "pod", "--selector", "app.kubernetes.io/name=croupier", "--namespace", OPERATOR_NAMESPACE)
    cluster.kubectl(*words, "--grace-period=0", "--force")
    cluster.rollout("croupier", OPERATOR_NAMESPACE)
