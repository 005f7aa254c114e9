"""``croupier release`` against a desk in memory: what is asked of the desk, what is printed, how it exits."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest
from click.testing import CliRunner, Result

from croupier.cli import follow as follow_module
from croupier.cli import watch as watch_module
from croupier.cli.client import DeskClient
from croupier.cli.root import cli
from croupier.errors import Unreachable
from croupier.model.digest import short
from croupier.model.view import RunView
from croupier.report import example
from croupier.web.app import create_app
from croupier.web.memory import MemoryDesk

TOKEN = "t" * 43
PREFIX = example.CANARY[: len("sha256:") + 12]
Run = Callable[..., Result]


class Here(httpx.BaseTransport):
    """Requests of a synchronous client to an application in this process."""

    def __init__(self, desk: MemoryDesk) -> None:
        self._app = create_app(desk, TOKEN, who="marta")

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        loop = asyncio.new_event_loop()
        try:
            return loop.run_until_complete(self._answer(request))
        finally:
            loop.close()

    async def _answer(self, request: httpx.Request) -> httpx.Response:
        answer = await httpx.ASGITransport(self._app).handle_async_request(request)
        content = await answer.aread()
        return httpx.Response(answer.status_code, headers=answer.headers, content=content)


@pytest.fixture
def desk() -> MemoryDesk:
    return MemoryDesk()


@pytest.fixture
def run(desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs ``croupier release …`` with a client that talks to the desk in memory."""

    def client(stand: str) -> DeskClient:
        headers = {"Authorization": f"Bearer {TOKEN}"}
        http = httpx.Client(transport=Here(desk), base_url="http://127.0.0.1", headers=headers)
        return DeskClient(http, stand=stand)

    monkeypatch.setattr("croupier.cli.address.address_of", lambda stand: None)
    monkeypatch.setattr(DeskClient, "of", staticmethod(client))

    def call(*words: str, **more: str) -> Result:
        return CliRunner().invoke(cli, ["release", *words], **more)  # type: ignore[arg-type]

    return call


def test_plan_shows_the_steps_and_the_next_command_and_starts_nothing(run: Run, desk: MemoryDesk) -> None:
    done = run("plan", "payments-api", "--version", PREFIX)
    assert done.exit_code == 0, done.output
    assert "100 %" in done.stdout
    assert "3 % of deposits fail" in done.stdout
    assert f"croupier release start payments-api --version {PREFIX}" in done.stderr
    assert not desk.started


def test_plan_as_json_is_the_preview(run: Run) -> None:
    told = json.loads(run("plan", "payments-api", "--version", PREFIX, "--output", "json").stdout)
    assert told["plan"]["canary"] == example.CANARY
    assert told["forecast"]["decidable"] is True


@pytest.mark.parametrize("wanted", ["payments-api:2026.2.4", "2026.2.4", "latest", "sha256:9b07", PREFIX.upper()])
def test_a_tag_is_refused_with_the_digests_it_might_mean(run: Run, desk: MemoryDesk, wanted: str) -> None:
    """S3.7: a release names its version by digest."""
    done = run("start", "payments-api", "--version", wanted, "--yes")
    assert done.exit_code == 2
    for version in (example.STABLE_VERSION, example.CANARY_VERSION):
        assert short(version.digest) in done.stderr
        assert version.label in done.stderr
    assert not desk.started


def test_a_digest_that_no_version_has_is_refused(run: Run, desk: MemoryDesk) -> None:
    done = run("start", "payments-api", "--version", "sha256:000000000000", "--yes")
    assert done.exit_code == 2
    assert "unknown version of payments-api" in done.stderr
    assert not desk.started


@pytest.mark.parametrize(
    ("wanted", "said"), [("sha256:12ab", "too short"), (f"sha256:{'b' * 65}", "64 hex"), ("sha256:zzzz", "64 hex")]
)
def test_a_digest_of_another_form_is_refused_by_what_is_wrong_with_it(run: Run, wanted: str, said: str) -> None:
    done = run("plan", "payments-api", "--version", wanted)
    assert done.exit_code == 2
    assert said in done.stderr


def test_a_command_to_an_unknown_run_lists_those_that_are_live(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED.model_copy(update={"run": "r-0008"}))
    done = run("pause", "r-9999")
    assert done.exit_code == 2
    assert "r-0008" in done.stderr
    assert "r-0007" not in done.stderr  # has ended


def test_an_unknown_service_is_refused_and_the_known_are_listed(run: Run, desk: MemoryDesk) -> None:
    done = run("start", "payment-api", "--version", PREFIX, "--yes")
    assert done.exit_code == 2
    assert "did you mean payments-api?" in done.stderr
    assert not desk.started


def test_a_release_file_is_read_and_gets_the_services_gates(run: Run, desk: MemoryDesk, tmp_path: Path) -> None:
    file = tmp_path / "release.yaml"
    file.write_text(f"service: payments-api\ndigest: {example.CANARY}\nsteps: [5, 100]\n")
    done = run("start", "-f", str(file), "--yes")
    assert done.exit_code == 0, done.output
    (started,) = desk.started
    assert started.policy == example.POLICY
    assert started.steps == (5, 100)
    assert run("start", "payments-api", "-f", str(file), "--yes").exit_code == 2


def test_every_problem_of_a_release_file_has_its_place_and_nothing_is_started(
    run: Run, desk: MemoryDesk, tmp_path: Path
) -> None:
    file = tmp_path / "release.yaml"
    file.write_text("service: payments-api\ndigest: payments-api:healthy\nsteps: [5, 101]\nspeed: fast\n")
    done = run("start", "-f", str(file), "--yes")
    assert done.exit_code == 2
    for place in (":2:", ":3:", ":4:"):
        assert f"release.yaml{place}" in done.stderr
    assert not desk.started


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ("5,101", "--steps"),
        ("10,5,100", "steps must rise"),
        ("5,50", "last step must be 100"),
        ("five", "whole percents"),
    ],
)
def test_bad_steps_are_refused_by_name_and_nothing_is_started(
    run: Run, desk: MemoryDesk, steps: str, said: str
) -> None:
    done = run("start", "payments-api", "--version", PREFIX, "--steps", steps, "--yes")
    assert done.exit_code == 2
    assert said in done.stderr
    assert not desk.started


def test_start_resolves_the_prefix_takes_the_services_gates_and_says_what_comes_next(
    run: Run, desk: MemoryDesk
) -> None:
    done = run("start", "payments-api", "--version", PREFIX, "--steps", "5,100", "--bake", "30", "--yes")
    assert done.exit_code == 0, done.output
    (started,) = desk.started
    assert started.digest == example.CANARY
    assert started.policy == example.POLICY
    assert started.steps == (5, 100)
    assert started.bake_seconds == 30.0
    assert done.stdout.startswith("r-0007 started: payments-api")
    assert "croupier release watch r-0007" in done.stderr
    assert "croupier release abort r-0007" in done.stderr


def test_start_without_a_person_to_ask_needs_yes(run: Run, desk: MemoryDesk) -> None:
    for words in ((), ("--no-input",)):
        done = run("start", "payments-api", "--version", PREFIX, *words)
        assert done.exit_code == 2
        assert "--yes" in done.stderr
    assert not desk.started


def test_start_asks_a_person_after_showing_the_plan(
    run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("croupier.cli.options.may_ask", lambda no_input: not no_input)
    done = run("start", "payments-api", "--version", PREFIX, input="n\n")
    assert done.exit_code == 1
    assert "If it were bad" in done.stderr
    assert not desk.started
    assert run("start", "payments-api", "--version", PREFIX, input="y\n").exit_code == 0
    assert desk.started


def test_the_stand_is_part_of_the_next_command(run: Run) -> None:
    done = run("plan", "payments-api", "--version", PREFIX, "--stand", "second")
    assert "--stand second" in done.stderr


def test_a_stand_name_cannot_leave_its_folder(run: Run) -> None:
    assert run("list", "--stand", "../../etc").exit_code == 2


def test_list_shows_runs_or_says_that_there_are_none(run: Run, desk: MemoryDesk) -> None:
    assert run("list").stdout == "No releases yet.\n"
    desk.show(example.ROLLED_BACK)
    assert "r-0007" in run("list").stdout
    assert "r-0007" not in run("list", "--live").stdout
    assert [each["run"] for each in json.loads(run("list", "-o", "json").stdout)["runs"]] == ["r-0007"]


def test_status_without_a_run_shows_the_live_one_and_what_may_be_done(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.ROLLED_BACK.model_copy(update={"run": "r-0006"}))
    desk.show(example.WATCHED)
    done = run("status")
    assert done.stdout.startswith("r-0007")
    assert "9/1,214" in done.stdout
    assert "croupier release abort r-0007" in done.stderr
    assert run("status", "r-0006").stdout.startswith("r-0006")
    assert run("status", "payments-api").stdout.startswith("r-0007")


def test_status_of_two_live_runs_asks_which(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED)
    desk.show(example.WATCHED.model_copy(update={"run": "r-0008", "service": "bets"}))
    done = run("status")
    assert done.exit_code == 2
    assert "r-0008" in done.stderr


def test_abort_asks_nothing_and_carries_the_reason(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED)
    done = run("abort", "payments-api", "--reason", "PSP B is down")
    assert done.exit_code == 0, done.output
    assert desk.commands == [("r-0007", "abort", "marta", "PSP B is down")]
    assert "r-0007 payments-api: going back, 0 % of players" in done.stdout
    assert "croupier release watch r-0007" in done.stderr


def test_promote_needs_a_yes_and_pause_names_resume(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED)
    assert run("promote", "r-0007").exit_code == 2
    assert run("promote", "r-0007", "--yes").exit_code == 0
    paused = run("pause", "r-0007")
    assert "r-0007 payments-api: paused" in paused.stdout
    assert "croupier release resume r-0007" in paused.stderr
    assert [command for _, command, _, _ in desk.commands] == ["promote", "pause"]


def test_a_command_that_is_not_carried_out_at_once_is_said_to_be_pending(
    run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow_module, "COMMAND_LOOK_SECONDS", 0.0)
    monkeypatch.setattr("croupier.web.memory._AFTER", {"pause": {}})
    desk.show(example.WATCHED)
    done = run("pause", "r-0007")
    assert done.exit_code == 0
    assert "is written down" in done.stdout


def test_a_command_the_run_does_not_take_is_refused(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.ROLLED_BACK)
    done = run("pause", "r-0007")
    assert done.exit_code == 1
    assert "it takes: nothing" in done.stderr


def test_report_in_three_forms(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.ROLLED_BACK)
    text = run("report", "r-0007").stdout
    assert "16/1,310" in text
    assert "PSP B is in maintenance" in text
    assert run("report", "r-0007", "-o", "markdown").stdout.startswith("# r-0007")
    told = json.loads(run("report", "r-0007", "-o", "json").stdout)
    assert told["outcome"] == "rolled-back"
    assert told["deeds"][0]["who"] == "tomek"


@pytest.mark.parametrize(
    ("last", "exit_code", "said"),
    [(example.PROMOTED, 0, "serves everybody"), (example.ROLLED_BACK, 1, "worse than stable beyond chance")],
    ids=["promoted", "rolled back"],
)
def test_watch_exits_with_what_came_of_the_run(
    run: Run, desk: MemoryDesk, last: RunView, exit_code: int, said: str
) -> None:
    desk.show(last)
    done = run("watch", "r-0007")
    assert done.exit_code == exit_code
    assert said in done.stdout
    assert "croupier release report r-0007" in done.stderr


def _script(monkeypatch: pytest.MonkeyPatch, *views: RunView | type[KeyboardInterrupt] | None) -> None:
    def scripted(stand: str, run: str) -> Iterator[RunView | None]:
        for view in views:
            if view is KeyboardInterrupt:
                raise KeyboardInterrupt
            yield view  # type: ignore[misc]

    monkeypatch.setattr(watch_module, "follow", scripted)


def test_watch_in_a_pipe_prints_one_line_a_change(run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.show(example.WATCHED)
    _script(monkeypatch, example.WATCHED, example.WATCHED, None, None, example.ROLLED_BACK)
    done = run("watch")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "03:05:23 r-0007 payments-api: watching, 25 %"
    assert lines[1].startswith("03:05:33 r-0007 rolling back: failed deposits: canary 16 of 1,310 players")
    assert lines[2] == "03:05:33 r-0007 no player is sent to the canary any more"
    assert lines[3] == "03:05:41 r-0007 rolled-back"
    assert done.stderr.count("does not answer") == 1
    assert "answers again" in done.stderr


def test_watch_as_json_gives_one_view_a_line(run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.show(example.WATCHED)
    _script(monkeypatch, example.WATCHED, None, example.ROLLED_BACK)
    done = run("watch", "--output", "json")
    views = [RunView.model_validate_json(line) for line in done.stdout.splitlines()]
    assert views == [example.WATCHED, example.ROLLED_BACK]


def test_leaving_watch_leaves_the_release_alone(run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch) -> None:
    desk.show(example.WATCHED)
    _script(monkeypatch, example.WATCHED, KeyboardInterrupt)
    done = run("watch")
    assert done.exit_code == 3
    assert "goes on" in done.stderr
    assert not desk.commands


def test_start_and_wait_stops_when_a_person_must_decide(
    run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = example.WATCHED.model_copy(update={"phase": "held", "waiting_for": "a person"})
    _script(monkeypatch, example.WATCHED, held, example.PROMOTED)
    done = run("start", "payments-api", "--version", PREFIX, "--yes", "--wait", "-o", "json")
    assert done.exit_code == 3
    assert RunView.model_validate_json(done.stdout) == held


def test_a_desk_that_died_is_waited_for_and_one_that_never_was_is_started(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("CROUPIER_HOME", str(tmp_path))
    never = CliRunner().invoke(cli, ["release", "list"])
    assert (never.exit_code, "croupier stand up" in never.stderr) == (4, True)
    folder = tmp_path / "stands" / "default" / "desk"
    folder.mkdir(parents=True)
    (folder / "desk.json").write_text('{"url": "http://127.0.0.1:1", "pid": 1}')
    (folder / "token").write_text(TOKEN)
    died = CliRunner().invoke(cli, ["release", "list"])
    assert (died.exit_code, "in a few seconds" in died.stderr) == (4, True)


@pytest.mark.parametrize("body", [b"<html>", b"", b"{}", b"[]", b"null", b'{"runs": 1}', b'{"runs": [{"run": 1}]}'])
@pytest.mark.parametrize("words", [("list",), ("status",), ("watch", "r-0001"), ("abort", "r-0001")])
def test_another_program_at_the_desks_address_is_no_fault_of_croupier(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], body: bytes
) -> None:
    """A desk that was killed leaves its address behind, and its port may become anybody's."""
    answering(monkeypatch, lambda _request: httpx.Response(200, content=body))
    done = CliRunner().invoke(cli, ["release", *words])
    assert done.exit_code == 4
    assert "the desk's answer cannot be understood" in done.stderr
    assert "restart the desk" in done.stderr


@pytest.mark.parametrize("body", [b'{"error": "x"}', b'{"error": null}', b'{"error": {"problems": [1]}}', b"\xff"])
def test_an_error_that_cannot_be_read_is_said_to_be_one(monkeypatch: pytest.MonkeyPatch, body: bytes) -> None:
    answering(monkeypatch, lambda _request: httpx.Response(500, content=body))
    done = CliRunner().invoke(cli, ["release", "list"])
    assert (done.exit_code, "the desk answered 500" in done.stderr) == (4, True)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("abort", "r-0001"), "nobody knows whether it did it"),
        (("list",), "no desk answers for stand 'default' at its address"),
    ],
)
def test_a_request_without_an_answer_may_have_been_carried_out(
    monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], said: str
) -> None:
    def late(request: httpx.Request) -> httpx.Response:
        if request.method == "GET" and words[0] == "abort":
            return httpx.Response(200, content=example.WATCHED.model_dump_json(by_alias=True))
        raise httpx.ReadTimeout("timed out")

    answering(monkeypatch, late)
    done = CliRunner().invoke(cli, ["release", *words])
    assert (done.exit_code, said in done.stderr) == (4, True)


def test_a_release_is_taken_back_by_its_id_whatever_the_others_are(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a desk that dies once it has written that down has written it down."""
    view = example.WATCHED.model_dump_json(by_alias=True)
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if len(asked) > 2:
            raise httpx.ConnectError("refused")
        return httpx.Response(200 if "runs/" in request.url.path else 500, content=view)

    answering(monkeypatch, answer)
    run = example.WATCHED.run
    done = CliRunner().invoke(cli, ["release", "abort", run])
    assert done.exit_code == 0, done.output
    assert asked[:2] == [f"/v1/runs/{run}", f"/v1/runs/{run}/commands"]
    assert "abort is written down, and will be carried out" in done.stdout


def answering(monkeypatch: pytest.MonkeyPatch, answer: Callable[[httpx.Request], httpx.Response]) -> None:
    """A desk that answers so, whatever it is asked."""

    def client(stand: str) -> DeskClient:
        return DeskClient(httpx.Client(transport=httpx.MockTransport(answer), base_url="http://desk"), stand=stand)

    monkeypatch.setattr("croupier.cli.address.address_of", lambda stand: None)
    monkeypatch.setattr(DeskClient, "of", staticmethod(client))


def test_a_list_of_releases_is_whole_however_many_there_are(run: Run, desk: MemoryDesk) -> None:
    for number in range(450):
        started_at = example.ROLLED_BACK.started_at + number
        desk.show(example.ROLLED_BACK.model_copy(update={"run": f"r-{number:04d}", "started_at": started_at}))
    listed = [each["run"] for each in json.loads(run("list", "-o", "json").stdout)["runs"]]
    assert listed == [f"r-{number:04d}" for number in reversed(range(450))]


def test_following_survives_a_desk_that_comes_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "RETRY_SECONDS", 0.0)
    parts: list[list[RunView]] = [[example.WATCHED], [], [example.ROLLED_BACK]]

    class Flaky:
        def __enter__(self) -> Flaky:
            return self

        def __exit__(self, *_: object) -> None:
            return None

        def events(self, run: str) -> Iterator[RunView]:
            yield from parts.pop(0)
            raise Unreachable("gone")

    monkeypatch.setattr(DeskClient, "of", staticmethod(lambda stand: Flaky()))
    assert list(follow_module.follow("default", "r-0007")) == [example.WATCHED, None, None, example.ROLLED_BACK]


def test_following_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(follow_module, "RETRY_SECONDS", 0.0)

    def gone(stand: str) -> DeskClient:
        raise Unreachable("gone")

    monkeypatch.setattr(DeskClient, "of", staticmethod(gone))
    with pytest.raises(Unreachable):
        list(follow_module.follow("default", "r-0007"))


def test_several_files_are_started_as_one_group_that_one_abort_ends(run: Run, desk: MemoryDesk, tmp_path: Path) -> None:
    files = []
    for number in (1, 2):
        file = tmp_path / f"{number}.yaml"
        file.write_text(f"service: payments-api\ndigest: {example.CANARY}\n")
        files += ["-f", str(file)]
    done = run("start", *files, "--yes")
    assert done.exit_code == 0, done.stderr
    assert "Waits for: r-0007 of payments-api" in done.stdout
    assert "croupier release abort g-0001" in done.stderr
    assert [len(asked.releases) for asked in desk.groups_asked] == [2]
    assert "wallet, payments-api, bets" in run("groups").stdout
    assert "1.  wallet" in run("status", "g-0001").stdout
    assert "aborted: wrong evening" in run("abort", "g-0001", "--reason", "wrong evening").stdout


def test_fix_forward_asks_for_a_reason_and_for_consent(run: Run, desk: MemoryDesk) -> None:
    words = ("start", "payments-api", "--version", PREFIX, "--fix-forward")
    assert "say who decided and why" in run(*words, "--yes").stderr
    unasked = run(*words, "--reason", "stable crashes", "--no-input")
    assert (unasked.exit_code, "nobody is there to confirm" in unasked.stderr) == (2, True)
    assert run(*words, "--reason", "stable crashes", "--yes").exit_code == 0
    assert desk.groups_asked[0].fix_forward


def test_plan_takes_one_file_at_a_time(run: Run, tmp_path: Path) -> None:
    file = tmp_path / "release.yaml"
    file.write_text(f"service: payments-api\ndigest: {example.CANARY}\n")
    assert "plan one release at a time" in run("plan", "-f", str(file), "-f", str(file)).stderr


def test_retry_starts_what_was_taken_back_once_more(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.ROLLED_BACK)
    done = run("retry", example.ROLLED_BACK.run)
    assert done.exit_code == 0, done.stderr
    assert "started: payments-api" in done.stdout
    assert "GATES" not in done.stdout


def test_undo_starts_the_version_before_after_showing_the_plan(
    run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run("undo", "payments-api").exit_code == 2, "nobody is there to ask"
    monkeypatch.setattr("croupier.cli.options.may_ask", lambda no_input: not no_input)
    done = run("undo", "payments-api", input="n\n")
    assert (done.exit_code, desk.started) == (1, [])
    assert "may only take back" in done.stderr
    done = run("undo", "payments-api", "--yes")
    assert done.exit_code == 0, done.stderr
    assert (desk.started[0].digest, desk.started[0].policy.needs_pass) == (example.STABLE, False)
    assert "started: payments-api" in done.stdout
    assert "croupier release watch" in done.stderr
    assert run("undo", "payment-api", "--yes").exit_code == 2, "a service that is not there"


def test_retry_of_a_fix_forward_says_that_no_gate_compares(
    run: Run, desk: MemoryDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(example, "WATCHED", example.WATCHED.model_copy(update={"fix_forward": True}))
    desk.show(example.ROLLED_BACK)
    done = run("retry", example.ROLLED_BACK.run, "--reason", "stable crashes again")
    assert "started WITHOUT GATES: payments-api" in done.stdout


def test_a_reason_that_is_too_long_is_refused_by_the_name_of_its_option(run: Run, desk: MemoryDesk) -> None:
    words = ("--version", PREFIX, "--supersede", "--yes", "--reason", "x" * 501)
    done = run("start", "payments-api", *words)
    assert (done.exit_code, "--reason" in done.stderr) == (2, True)
    assert not desk.groups_asked


def test_a_service_that_begins_like_a_group_is_a_service(run: Run, desk: MemoryDesk) -> None:
    desk.show(example.WATCHED.model_copy(update={"service": "g-slots"}))
    assert run("status", "g-slots").stdout.startswith("r-0007")
    assert run("abort", "g-slots").exit_code == 0
    assert [run for run, *_ in desk.commands] == ["r-0007"]
