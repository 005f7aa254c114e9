"""What ``kubectl croupier`` writes into the cluster takes nothing away that it wrote before."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from croupier.adapters.kubernetes_api import RELEASE_POLICIES, RELEASES
from croupier.adapters.kubernetes_memory import MemoryKubernetes
from croupier.cli import kubectl
from croupier.core.render.version import intent_digest
from croupier.engine.checklist import assess
from croupier.errors import Refused, Unreachable
from croupier.model.checklist import ChecklistSource
from croupier.model.digest import short
from croupier.model.release_calendar import OVERRIDE_FREEZE, FreezeOverride
from croupier.operator.calendar import override_of


async def annotated(*written: dict[str, str]) -> dict[str, Any]:
    server = MemoryKubernetes()
    kind = {"apiVersion": RELEASE_POLICIES.api_version, "kind": RELEASE_POLICIES.kind}
    metadata = {"name": "payments-api", "namespace": "casino", "annotations": {"team": "payments"}}
    await server.acting_as("git").apply({**kind, "metadata": metadata, "spec": {"deployment": "payments-api"}})
    for each in written:
        await kubectl._annotate(server.acting_as("kubectl-croupier"), "casino", "payments-api", each)  # type: ignore[arg-type]
    found = await server.get(RELEASE_POLICIES, "payments-api", namespace="casino")
    assert found is not None
    return dict(found["metadata"]["annotations"])


async def test_a_retry_does_not_call_a_service_back_that_is_leaving() -> None:
    """An apply gives up the fields that it leaves out."""
    found = await annotated({kubectl.LEAVE: "true"}, {kubectl.RETRY: "r-0002"})
    assert found == {"team": "payments", kubectl.LEAVE: "true", kubectl.RETRY: "r-0002"}


async def test_another_retry_takes_the_place_of_the_one_before() -> None:
    found = await annotated({kubectl.RETRY: "r-0002"}, {kubectl.RETRY: "r-0003"})
    assert found == {"team": "payments", kubectl.RETRY: "r-0003"}


async def test_a_retry_keeps_the_checklist_that_was_shown() -> None:
    found = await annotated({kubectl.CHECKLIST: "shown"}, {kubectl.RETRY: "r-0002"})
    assert found[kubectl.CHECKLIST] == "shown"


def test_a_checklist_with_a_red_line_is_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    file.write_text(assess("bets", ChecklistSource(), now=1.8e9).model_dump_json(by_alias=True))
    words = ["checklist", "bets", "--context", "none", "--result", str(file), "--until", "2030-01-01"]
    answer = CliRunner().invoke(kubectl.kubectl, words)
    assert answer.exit_code == 1
    assert "bets is not ready for production: 9 of 9 lines are red" in answer.stderr
    file.write_text("{}")
    assert CliRunner().invoke(kubectl.kubectl, words).exit_code == 2


class Served:
    """A policy and its runs, which change while somebody waits."""

    def __init__(self) -> None:
        self.server = MemoryKubernetes()
        self.looks = 0
        self.then: dict[int, Callable[[], Awaitable[None]]] = {}

    async def policy(self, run: str, wanted: str, message: str = "") -> None:
        conditions = [{"type": "Reconciling", "status": "True", "message": message}]
        status = {"run": run, "stable": "aaa", "wanted": wanted, "conditions": conditions}
        await self._is(RELEASE_POLICIES, "payments-api", {"deployment": "payments-api"}, status)

    async def run(self, run: str, canary: str, outcome: str = "") -> None:
        status = {"canary": canary, "phase": "x", **({"outcome": outcome} if outcome else {})}
        await self._is(RELEASES, f"payments-api-{run}", {"policy": "payments-api", "run": run}, status)

    async def _is(self, kind: Any, name: str, spec: dict[str, str], status: dict[str, Any]) -> None:
        metadata = {"name": name, "namespace": "casino"}
        head = {"apiVersion": kind.api_version, "kind": kind.kind, "metadata": metadata}
        await self.server.acting_as("operator").apply({**head, "spec": spec})
        await self.server.acting_as("operator").patch_status({**head, "status": status})

    async def sleep(self, seconds: float) -> None:
        self.looks += seconds == kubectl._LOOK_SECONDS
        if seconds and self.looks in self.then:
            await self.then[self.looks]()


@pytest.fixture
async def served(monkeypatch: pytest.MonkeyPatch) -> Served:
    """One release has ended, and nothing else is wanted."""
    made = Served()
    monkeypatch.setattr(kubectl.asyncio, "sleep", made.sleep)
    await made.run("r-0001", "aaa", "promoted")
    await made.policy("r-0001", "aaa")
    return made


async def _watched(served: Served) -> str:
    found = await kubectl._coming(served.server.acting_as("somebody"), "casino", "payments-api")  # type: ignore[arg-type]
    return str(found["spec"]["run"])


def test_a_release_is_taken_back_by_a_user_without_a_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a container a user may be a number only."""
    served = Served()

    async def begun() -> None:
        await served.run("r-0001", "aaa")
        await served.policy("r-0001", "aaa")

    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1000670000")

    asyncio.run(begun())
    monkeypatch.setattr("getpass.getuser", nameless)
    monkeypatch.setattr(kubectl, "_ANSWER_SECONDS", 0.0)
    client = served.server.acting_as("kubectl-croupier")
    monkeypatch.setattr(kubectl, "_ask", lambda _place, question: asyncio.run(question(client)))
    words = ["abort", "payments-api", "--context", "none", "-n", "casino"]
    answer = CliRunner().invoke(kubectl.kubectl, words)
    assert "the request stands in payments-api-r-0001" in answer.stderr
    found = asyncio.run(served.server.get(RELEASES, "payments-api-r-0001", namespace="casino"))
    assert found is not None
    assert found["spec"]["command"]["who"] == f"uid {os.getuid()}"


async def test_watching_a_run_that_is_deleted_ends(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    """With its policy, for one: nothing more is told of it."""
    await served.run("r-0002", "bbb")
    await served.policy("r-0002", "bbb")
    client = served.server.acting_as("somebody")
    watch = client.watch

    async def told(*kind: Any, **more: Any) -> AsyncIterator[Any]:
        await served.server.delete(RELEASES, "payments-api-r-0002", namespace="casino")
        async for each in watch(*kind, **more):
            yield each

    monkeypatch.setattr(client, "watch", told)
    with pytest.raises(Refused, match="payments-api-r-0002 was deleted"):
        async with asyncio.timeout(5):
            await kubectl._followed(client, "casino", "payments-api")  # type: ignore[arg-type]


async def test_watching_right_after_a_commit_shows_what_the_commit_began(
    served: Served, capsys: pytest.CaptureFixture[str]
) -> None:
    """Prevents: the end of yesterday's release read as the verdict on today's."""

    async def began() -> None:
        await served.run("r-0002", "bbb")
        await served.policy("r-0002", "bbb")

    served.then = {2: lambda: served.policy("r-0001", "bbb", "nothing is known of stable yet"), 30: began}
    assert await _watched(served) == "r-0002"
    assert capsys.readouterr().out == "bbb waits  nothing is known of stable yet\n"


async def test_watching_when_nothing_is_to_come_tells_how_the_last_one_ended(served: Served) -> None:
    assert await _watched(served) == "r-0001"
    assert served.looks == kubectl._NOTICED_SECONDS / kubectl._LOOK_SECONDS


async def test_a_version_that_was_taken_back_is_not_waited_for(served: Served) -> None:
    await served.run("r-0002", "bbb", "rolled-back")
    await served.policy("r-0002", "bbb")
    assert await _watched(served) == "r-0002"


async def test_waiting_ends(served: Served) -> None:
    await served.policy("r-0001", "bbb", "the quota is full")
    with pytest.raises(Unreachable, match="no release began within 10 minutes") as raised:
        await _watched(served)
    assert raised.value.hint == "bbb waits  the quota is full"


async def test_an_override_is_of_the_version_that_waits_and_keeps_what_was_written_before(served: Served) -> None:
    await served.policy("r-0001", "0123456789ab")
    client = served.server.acting_as("kubectl-croupier")
    for reason in ("Marta decided", "and again"):
        said = await kubectl._override(client, namespace="casino", name="payments-api", reason=reason)  # type: ignore[arg-type]
        assert "0123456789ab starts in spite of the freeze" in said
        await kubectl._annotate(client, "casino", "payments-api", {kubectl.RETRY: "r-0001"})  # type: ignore[arg-type]
        found = await served.server.get(RELEASE_POLICIES, "payments-api", namespace="casino")
        assert found is not None
        written = FreezeOverride.model_validate_json(found["metadata"]["annotations"][OVERRIDE_FREEZE])
        assert (written.version, written.reason) == ("0123456789ab", reason)


async def test_an_override_of_a_service_that_leaves_is_of_its_own_pods(served: Served) -> None:
    """Prevents: a service that cannot leave croupier in a freeze, though its status says how."""
    await served.policy("r-0001", "aaa")
    client = served.server.acting_as("kubectl-croupier")
    await kubectl._annotate(client, "casino", "payments-api", {kubectl.LEAVE: "true"})  # type: ignore[arg-type]
    said = await kubectl._override(client, namespace="casino", name="payments-api", reason="why")  # type: ignore[arg-type]
    own = short(intent_digest("casino", "payments-api"))
    assert f"{own} starts in spite of the freeze" in said
    found = await served.server.get(RELEASE_POLICIES, "payments-api", namespace="casino")
    assert found is not None
    assert override_of(found["metadata"]["annotations"], intent_digest("casino", "payments-api")).endswith(": why")


def test_a_reason_that_is_too_long_is_said_to_be() -> None:
    words = ["override", "bets", "--context", "none", "--reason", "x" * 301]
    answer = CliRunner().invoke(kubectl.kubectl, words)
    assert answer.exit_code == 2
    assert "--reason has 301 characters" in answer.stderr


async def test_nothing_is_overridden_where_nothing_waits(served: Served) -> None:
    client = served.server.acting_as("kubectl-croupier")
    with pytest.raises(Refused, match="no version of payments-api waits to start"):
        await kubectl._override(client, namespace="casino", name="payments-api", reason="why")  # type: ignore[arg-type]
