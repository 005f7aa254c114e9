"""A desk that opens with a snapshot knows what it would know if it had folded everything."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import JsonValue
from tests.support.records import insert_rows, raw, rows_of
from tests.support.world import HEALTHY, IDENTITY, PAYMENTS, World, release

from croupier.adapters.journal.chain import canonical, digest
from croupier.adapters.journal.memory import MemoryJournal
from croupier.adapters.journal.sqlite import SqliteJournal
from croupier.core.group import told
from croupier.core.plans.release import plan_release
from croupier.core.roll import SNAPSHOT, group_id, run_id
from croupier.engine import register
from croupier.engine.register import DESK, Register
from croupier.errors import IntegrityError
from croupier.model.journal import Draft, Entry
from croupier.model.service import Service

SERVICES = [Service(name=name, replicas=1, routes=(f"/{name}/",)) for name in ("wallet", "bets", "identity")]
STABLE = "sha256:" + "5" * 64


class Forgetful(MemoryJournal):
    """A journal in which no snapshot is ever found."""

    def newest(self, kind: str, subject: str) -> Entry | None:
        return None


class Author:
    """Writes a history through a register: runs and groups that begin, go on and end, whichever is drawn."""

    def __init__(self) -> None:
        self.journal = MemoryJournal()
        self.register = Register(self.journal)
        self.at = 1000.0

    async def write(self, *drafts: tuple[str, str, Mapping[str, JsonValue]]) -> None:
        self.at += 1.0
        await self.register.write([Draft(kind, subject, self.at, body) for kind, subject, body in drafts])

    async def step(self, what: str, pick: int) -> None:
        live, groups = list(self.register.live()), self.register.live_groups()
        service = SERVICES[pick % len(SERVICES)]
        run = live[pick % len(live)] if live else ""
        match what:
            case "start" if self.register.live_run_of(service.name) is None:
                await self.start(service, {"owner": f"uid-{pick}"} if pick % 2 else {})
            case "member" if groups and self.register.live_run_of(service.name) is None:
                await self.start(service, {"group": groups[pick % len(groups)].group})
            case "fault" if run:
                await self.write(("fault", run, {"port": "traffic", "message": f"no {pick}" if pick % 3 else ""}))
            case "end" if run:
                why = {"code": "aborted", "reason": f"{pick}"}
                await self.write(("run.rolling-back", run, why), ("run.ended", run, {"outcome": "rolled-back", **why}))
            case "group":
                await self.write(
                    (
                        "group.planned",
                        group_id(self.register.next_group),
                        {"releases": [], "supersede": False, "fixForward": False, "who": "ann", "reason": ""},
                    )
                )
            case "end group" if groups:
                state = groups[pick % len(groups)]
                runs = {
                    name: await self.register.run(each) for name, each in self.register.members(state.group).items()
                }
                if not any(each.is_live for each in runs.values()):
                    said = {"outcome": "aborted", "reason": "", "runs": told(runs)}
                    await self.write(("group.ended", state.group, said))
            case "note":
                await self.write(("drift", DESK, {"text": f"{pick}"}))

    async def start(self, service: Service, said: Mapping[str, JsonValue]) -> None:
        number = self.register.next_run
        asked = release(HEALTHY, service.name)
        plan = plan_release(
            run=run_id(number),
            service=service,
            stable=STABLE,
            canary=HEALTHY,
            release=asked,
            ordinal=number - 1,
            dispersion={},
        )
        planned: dict[str, JsonValue] = {
            "plan": plan.model_dump(mode="json", by_alias=True),
            "forecast": None,
            "stable": "first",
            "canary": "second",
        }
        await self.write(
            ("run.planned", plan.run, planned),
            ("run.started", plan.run, {"restarts": {}, "who": "ann", "reason": "", **said}),
        )


async def known(journal: MemoryJournal) -> dict[str, object]:
    """All that a register tells, once it is open."""
    opened = Register(journal)
    await opened.catch_up()
    return await told_by(opened)


async def told_by(opened: Register) -> dict[str, object]:
    runs = opened.runs_before(None, 1000)
    groups = opened.newest_groups(1000)
    services = [service.name for service in SERVICES]
    return {
        "live": opened.live(),
        "live groups": opened.live_groups(),
        "members": {group: opened.members(group) for group in groups},
        "next": (opened.next_run, opened.next_group),
        "of": {service: opened.live_run_of(service) for service in services},
        "newest": {
            (service, owner): opened.newest_run(service, owner)
            for service in services
            for owner in ("", "uid-1", "uid-3", "uid-9")
        },
        "runs": [await opened.run(run) for run in runs],
        "groups": [await opened.group(group) for group in groups],
    }


WHAT = ("start", "start", "member", "fault", "end", "group", "end group", "note")


@settings(deadline=None, max_examples=60)
@given(
    st.lists(st.tuples(st.sampled_from(WHAT), st.integers(0, 9)), max_size=60), st.integers(1, 20), st.integers(1, 4)
)
def test_opening_with_a_snapshot_is_opening_by_folding_everything(
    history: list[tuple[str, int]], every: int, recent: int
) -> None:
    async def play() -> None:
        author = Author()
        await author.register.catch_up()
        for what, pick in history:
            await author.step(what, pick)
        forgetful = Forgetful()
        forgetful._rows = author.journal._rows
        wanted = await known(forgetful)
        assert await known(author.journal) == wanted
        assert await told_by(author.register) == wanted
        assert author.journal.verify() == len(author.journal._rows)
        written = sum(row.kind == SNAPSHOT for row in author.journal._rows)
        assert written >= (len(author.journal._rows) - 2) // (every + 3)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(register, "SNAPSHOT_EVERY", every)
        patch.setattr(register, "RECENT", recent)
        asyncio.run(play())


async def written_with_snapshots(monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(register, "SNAPSHOT_EVERY", 5)
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    for service in (PAYMENTS, IDENTITY):
        await world.play(desk, await desk.start(release(service=service.name), who="ann"))
    await desk.start(release(STABLE, PAYMENTS.name), who="ann")
    await world.rounds(desk, 20)
    return world


async def read_at_open(world: World) -> int:
    """How many entries a desk reads when it opens."""
    read, count = world.journal.read, 0

    def counted(**options: object):  # type: ignore[no-untyped-def]
        nonlocal count
        for entry in read(**options):  # type: ignore[arg-type]
            count += 1
            yield entry

    world.journal.read = counted  # type: ignore[method-assign]
    opened = Register(world.journal)
    await opened.catch_up()
    world.journal.read = read  # type: ignore[method-assign]
    return count


async def test_a_desk_reads_what_came_since_its_oldest_live_run_and_after_the_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await written_with_snapshots(monkeypatch)
    entries = list(world.journal.read())
    newest = max(entry.seq for entry in entries if entry.kind == SNAPSHOT)
    begun = next(entry.seq for entry in entries if entry.subject == "r-0003")
    assert begun < newest
    looked_for = 1
    assert await read_at_open(world) == looked_for + len(entries) - begun + 1 < len(entries) / 2


@pytest.mark.parametrize(
    "lie",
    [
        {},
        {"entries": 3},
        {"runs": "many"},
        {"live": [["r-0001", "payments-api"]]},
        {"live": [["r-0009", "payments-api"]]},
        {"liveGroups": {"g-0001": {}}},
        {"liveGroups": {"r-0003": {}}},
        {"trusted": True},
    ],
)
async def test_a_snapshot_that_is_not_what_came_before_it_costs_only_time(
    monkeypatch: pytest.MonkeyPatch, lie: dict[str, JsonValue]
) -> None:
    """Chained and signed, and wrong all the same."""
    world = await written_with_snapshots(monkeypatch)
    wanted = await known(world.journal)
    true = next(entry.body for entry in reversed(list(world.journal.read())) if entry.kind == SNAPSHOT)
    entries = len(world.journal._rows)
    world.journal.append([Draft(SNAPSHOT, DESK, 1.0, {**true, "entries": entries, **lie} if lie else {})])
    assert await read_at_open(world) >= entries
    assert await known(world.journal) == wanted


async def test_a_snapshot_that_leaves_out_a_live_run_is_found_by_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever has the key could write one, and a desk that opens would have to read everything to see it."""
    world = await written_with_snapshots(monkeypatch)
    true = next(entry.body for entry in reversed(list(world.journal.read())) if entry.kind == SNAPSHOT)
    (entry,) = world.journal.append([Draft(SNAPSHOT, DESK, 1.0, {**true, "live": []})])
    with pytest.raises(IntegrityError, match=f"entry {entry.seq}: the snapshot says other"):
        world.journal.verify()


async def test_a_snapshot_that_was_changed_is_acted_on_as_little_as_any_other_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    world = await written_with_snapshots(monkeypatch)
    rows = world.journal._rows
    place = max(number for number, row in enumerate(rows) if row.kind == SNAPSHOT)
    rows[place] = rows[place]._replace(body=canonical({}))
    with pytest.raises(IntegrityError, match=f"entry {place + 1}: its content does not give its hash"):
        await known(world.journal)


@pytest.mark.parametrize("hashed_again", [1, 2, 4])
async def test_a_live_run_from_before_the_snapshot_that_was_changed_and_hashed_again_is_not_acted_on(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, hashed_again: int
) -> None:
    """What follows it says what its hash was: of that run or not."""
    monkeypatch.setattr(register, "SNAPSHOT_EVERY", 7)
    path = tmp_path / "journal.sqlite"
    with SqliteJournal(path) as journal:
        author = Author()
        author.register = Register(journal)
        await author.register.catch_up()
        for what in ("note", "start", "note", "note", "note", "note", "note"):
            await author.step(what, 0)
        assert journal.newest(SNAPSHOT, DESK) is not None
        assert author.register.is_live("r-0001")
    rows = rows_of(path)
    assert rows[1].kind == "run.planned"
    rows[1] = rows[1]._replace(body=rows[1].body.replace(HEALTHY.encode(), STABLE.encode()))
    for place in range(1, 1 + hashed_again):
        linked = rows[place]._replace(previous=rows[place - 1].hash)
        rows[place] = linked._replace(hash=digest(linked))
    connection = raw(path)
    connection.execute("DELETE FROM entries")
    insert_rows(connection, rows)
    connection.commit()
    connection.close()
    with SqliteJournal(path) as journal, pytest.raises(IntegrityError, match=f"entry {2 + hashed_again}: its content"):
        await Register(journal).catch_up()


async def test_a_desk_without_a_snapshot_folds_everything_and_writes_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """A journal of before there were snapshots."""
    world = await World.begin()
    desk = world.desk()
    await world.warm(desk)
    await world.play(desk, await desk.start(release(), who="ann"))
    assert not world.entries(SNAPSHOT)
    entries = len(world.journal._rows)
    monkeypatch.setattr(register, "SNAPSHOT_EVERY", entries)
    assert await read_at_open(world) == entries
    await world.desk().open()
    assert [entry.seq for entry in world.entries(SNAPSHOT)] == [entries + 1]
    assert await read_at_open(world) == 1, "desk.started, in the same commit"
    assert world.journal.verify() == entries + 2


async def test_the_way_back_carries_no_snapshot(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(register, "SNAPSHOT_EVERY", 1)
    journal = MemoryJournal()
    opened = Register(journal)
    await opened.catch_up()
    await opened.write([Draft("drift", DESK, 1.0, {})])
    await opened.write([Draft("drift", DESK, 2.0, {})], way_back=True)
    await opened.write([Draft("drift", DESK, 3.0, {})])
    assert [entry.kind for entry in journal.read()] == ["drift", "drift", SNAPSHOT, "drift"]
