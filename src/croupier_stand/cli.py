"""``croupier stand``: run a small real casino on this machine, look at it, check its money.

Found by the entry point group ``croupier.commands``. Each command imports what it needs when it runs.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from croupier.cli.options import EXIT_NO, Output, output_option, print_json, say

if TYPE_CHECKING:
    from croupier.model.service import Version
    from croupier_stand.home import Home, StandRecord

Command = TypeVar("Command", bound=Callable[..., Any])


def _name_option(command: Command) -> Command:
    return click.option(
        "--name",
        default="default",
        envvar="CROUPIER_STAND",
        show_default=True,
        show_envvar=True,
        metavar="NAME",
        help="Which stand; several can live side by side.",
    )(command)


class _Seconds(click.ParamType[int]):
    """A duration as people write it, ``45s`` or ``2m``, in seconds."""

    name = "duration"

    def __init__(self, least: int, most: int) -> None:
        self._least, self._most = least, most

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        match = re.fullmatch(r"([0-9]{1,6})(s|m)", str(value))
        if match is None:
            self.fail(f"{value!r} is not a duration; write 45s or 2m.", param, ctx)
        seconds = int(match[1]) * (60 if match[2] == "m" else 1)
        if not self._least <= seconds <= self._most:
            self.fail(f"{value} is not between {self._least}s and {self._most}s.", param, ctx)
        return seconds


class _Rate(click.FloatRange):
    """A number in a range. ``nan`` compares with nothing, so a plain range lets it through."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        rate = float(super().convert(value, param, ctx))
        if math.isnan(rate):
            self.fail(f"{value!r} is not a number.", param, ctx)
        return rate


@click.group(help="Run a small real casino on this machine, or services of your own.")
def stand() -> None:
    """Group of the stand's commands."""


@stand.command()
@_name_option
@click.option("--seed", type=int, default=1, show_default=True, help="Decides who plays what, and when.")
@click.option("--players", type=click.IntRange(1, 100_000), default=4000, show_default=True)
@click.option("--deposits-per-second", type=_Rate(0, 500), default=40.0, show_default=True)
@click.option("--bets-per-second", type=_Rate(0, 500), default=35.0, show_default=True)
@click.option(
    "--platform",
    type=click.Path(exists=True, path_type=Path),
    metavar="PATH",
    help="Services of your own instead of the casino: platform.yaml, or the folder it stands in.",
)
@click.option("--path", "paths", multiple=True, metavar="/PATH", help="With --platform: what visitors ask for.")
@click.option(
    "--requests-per-second",
    type=_Rate(0, 2000, min_open=True),
    default=60.0,
    show_default=True,
    help="With --platform: of all visitors together.",
)
@click.option("--desk/--no-desk", default=True, show_default=True, help="Whether the stand runs its desk too.")
@output_option
@click.pass_context
def up(
    context: click.Context,
    /,
    *,
    name: str,
    desk: bool,
    platform: Path | None,
    paths: tuple[str, ...],
    output: Output,
    **load: Any,
) -> None:
    """Start a stand in the background: PostgreSQL, Envoy, the casino, its providers and its players.

    With --platform: Envoy, your services, and visitors who ask for their routes (--players is how many there are). The
    platform file declares the services; versions/*.yaml beside it say how each version is started.

    It begins empty: players, money and books of an earlier stand of that name are gone; the desk's journal stays.
    """
    _only_for(context, is_own=platform is not None)
    from croupier_stand import control
    from croupier_stand.home import Home
    from croupier_stand.load import Load

    home = Home.of(name)
    load["paths"] = ",".join(paths)
    say(f"Starting stand {name!r} in {home.root}")
    with control.interrupted_by_sigterm():
        record = control.up(home, Load(**load), lambda line: say(f"  {line}"), with_desk=desk, platform=platform)
    if output == "json":
        print_json(_document(home, record))
        return
    click.echo(f"Stand {name!r} is up: players come in at http://127.0.0.1:{record.ports['edge']}")
    option = "" if name == "default" else f" --name {name}"
    say(f"What can be released: croupier stand versions{option}")
    say(f"End it:               croupier stand down{option}")


def _only_for(context: click.Context, *, is_own: bool) -> None:
    """Raises UsageError for an option that does nothing on this kind of stand, and for a path that is none."""
    from click.core import ParameterSource

    from croupier.errors import UsageError

    names = ("deposits_per_second", "bets_per_second") if is_own else ("paths", "requests_per_second")
    for option in context.command.params:
        if option.name in names and context.get_parameter_source(option.name) is ParameterSource.COMMANDLINE:
            kind = "the casino; you have given --platform" if is_own else "services of your own: add --platform"
            raise UsageError(f"{option.opts[0]} is for {kind}")
    for path in context.params["paths"]:
        if not path.startswith("/") or "," in path or any(letter.isspace() for letter in path):
            raise UsageError(f"{path!r} is not a path", hint="it begins with /, without commas and spaces")


@stand.command()
@_name_option
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@output_option
def add(name: str, file: Path, output: Output) -> None:
    """Add a version of a service to a running stand; says the digest that it is released by.

    FILE says how the program is started and which files it consists of. They are copied and hashed: what is added does
    not change any more, and the same content again is the same version.
    """
    from croupier.spec.platform import load_platform
    from croupier_stand.home import Home
    from croupier_stand.programs import freeze

    home = Home.of(name)
    home.require()
    version = freeze(file, load_platform(home.platform), home)
    if output == "json":
        print_json(_version(version))
        return
    click.echo(f"{version.digest}  {version.service}  {version.label}")
    option = "" if name == "default" else f" --stand {name}"
    say(f"Release it: croupier release start {version.service} --version {version.digest[:19]}{option}")


@stand.command()
@_name_option
@output_option
def down(name: str, output: Output) -> None:
    """End a stand: no process, no port and no database stay; logs and the journal do."""
    from croupier_stand import control
    from croupier_stand.home import Home

    say(f"Ending stand {name!r}")
    ended = control.down(Home.of(name))
    if output == "json":
        print_json({"name": name, "ended": ended})
    else:
        click.echo(f"Stand {name!r} is down" if ended else f"Stand {name!r} was not up")


@stand.command()
@_name_option
@output_option
def status(name: str, output: Output) -> None:
    """What runs: processes, pods, restarts, ports, and the rates the players measure. Exits 1 when it is not up."""
    from croupier_stand.home import Home

    home = Home.of(name)
    record = home.running()
    if record is None:
        if output == "json":
            print_json({"name": name, "phase": "down"})
        else:
            click.echo(f"Stand {name!r} is down")
        raise click.exceptions.Exit(EXIT_NO)
    if output == "json":
        print_json(_document(home, record))
        return
    for line in _status_lines(home, record):
        click.echo(line)


@stand.command()
@_name_option
@click.argument("process", required=False)
@click.option("-f", "--follow", is_flag=True, help="Go on until interrupted.")
@click.option("-n", "--lines", type=click.IntRange(0, 100_000), default=50, show_default=True)
@output_option
def logs(name: str, process: str | None, follow: bool, lines: int, output: Output) -> None:
    """Show the log of PROCESS; without it, which logs there are.

    A log that has grown to 8 MB is begun anew; the part before it is in the file of that name with .1 at its end.
    """
    from croupier.errors import UnknownName, UsageError
    from croupier_stand.home import Home

    home = Home.of(name)
    known = {path.stem: path for path in home.all_logs()}
    if output == "json" and follow:
        raise UsageError("--follow never ends, and JSON has an end", hint="leave out one of the two")
    if process is None:
        rows = [{"process": stem, "file": str(path), "bytes": path.stat().st_size} for stem, path in known.items()]
        if output == "json":
            print_json(rows)
            return
        for row in rows:
            click.echo(f"{row['process']:<34} {row['bytes']:>10,} bytes")
        return
    if process not in known:
        raise UnknownName("log", process, list(known))
    if output == "json":
        path = known[process]
        print_json({"process": process, "file": str(path), "lines": list(_tail(path, lines, follow=False))})
        return
    for line in _tail(known[process], lines, follow):
        click.echo(line)


@stand.command()
@_name_option
@output_option
def audit(name: str, output: Output) -> None:
    """Check everybody's money: players' memory, partners' books and ledger against each other.

    Shows what is open, lets the reconciler go over it once, and checks again. Exits 1 when anything is left then. What
    is younger than ten seconds is not judged, because it may still be under way.
    """
    from croupier_stand import money
    from croupier_stand.home import Home

    say("Reading players' memory, partners' books and the ledger")
    reckoning = money.reckon(Home.of(name))
    if output == "json":
        print_json(money.document(reckoning))
    else:
        for line in money.lines(reckoning):
            click.echo(line)
    if not reckoning.is_right:
        raise click.exceptions.Exit(EXIT_NO)


@stand.command()
@_name_option
@output_option
def versions(name: str, output: Output) -> None:
    """Versions that can be released, with the digest that names each. Works without a running stand."""
    from croupier_stand.builds import listed
    from croupier_stand.home import Home

    rows = listed(Home.of(name))
    if output == "json":
        print_json([_version(row) for row in rows])
        return
    width = max(len(version.label) for version in rows)
    for version in rows:
        click.echo(f"{version.label:<{width}}  {version.digest}  {version.service}")
        click.echo(f"{'':<{width}}  {version.description}")


@stand.command()
@_name_option
@click.argument("part", type=click.Choice(["psp-a", "psp-b", "tally", "envoy", "postgres", "desk", "stable"]))
@click.argument(
    "kind",
    type=click.Choice(["down", "slow", "duplicate-webhooks", "killed", "stopped", "nan", "text", "500", "huge", "off"]),
)
@click.option(
    "--for",
    "seconds",
    type=_Seconds(1, 600),
    metavar="DURATION",
    help="How long: 45s, 2m; at most 10m.  [default: 60s; what is killed starts again at once]",
)
@click.option("--service", default="", metavar="NAME", help="With stable: of which release, where several are live.")
@output_option
def fault(*, name: str, part: str, kind: str, seconds: int | None, service: str, output: Output) -> None:
    """Let a partner or a part of the stand be ill for a while; it recovers by itself.

    \b
    psp-a, psp-b     down (answers 503, tells nothing), slow, duplicate-webhooks
    tally            nan, text, 500, huge (50 MB), slow: what the desk reads; stopped: it says nothing
    envoy, postgres  killed
    desk             killed, stopped (stands still, and goes on later)
    stable           killed: all pods of the stable version under release, at once

    `off` ends it early. Whoever is ill, or the supervisor, keeps the deadline; `stand status` shows all faults.
    """
    from croupier.report.format import clock, duration
    from croupier_stand import faults
    from croupier_stand.home import Home
    from croupier_stand.status import suffers

    lasts = faults.usual_seconds(kind) if seconds is None else seconds
    begun = faults.begin(Home.of(name), part, kind, lasts, service=service)
    if output == "json":
        print_json(begun.model_dump(mode="json", by_alias=True))
    elif kind == "off":
        click.echo(f"{part} is well again")
    elif lasts:
        click.echo(f"{suffers(begun)} until {clock(begun.until)} UTC ({duration(lasts)}), then well by itself")
    else:
        click.echo(f"{suffers(begun, over=True)}; the supervisor starts it again")


@stand.command()
@click.option(
    "--repeat", type=click.IntRange(0, 100), default=3, show_default=True, help="Runs of each scenario and drill."
)
@click.option(
    "--healthy",
    type=click.IntRange(0, 1000),
    help="A/A runs: healthy releases in a row.  [default: 10; none with --only]",
)
@click.option("--only", metavar="LABEL,…", help="These scenarios and drills only; a wrong label lists all.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides who plays what, and when.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("out/soak.json"),
    show_default=True,
    help="JSON file with the results, written anew after every run.",
)
@output_option
def soak(*, repeat: int, healthy: int | None, only: str | None, seed: int, results: Path, output: Output) -> None:
    """Release every version again and again on a stand of its own, under every fault, then healthy ones in a row.

    At the end a desk is drilled as often, once at least: a second one on the same journal, a poisoned journal, a clock
    that jumps, a full disk. Then everybody's money is counted, the journal verified, and every verdict judged again.
    Takes more than an hour for each repetition. Failed runs are listed and never repeated. Exits 1 when anything did
    not come out right.
    """
    from croupier_stand import soak as soaking

    labels = () if only is None else tuple(label.strip() for label in only.split(","))
    in_a_row = healthy if healthy is not None else (0 if labels else 10)
    found = soaking.run(repeat=repeat, healthy=in_a_row, only=labels, seed=seed, results=results.absolute(), say=say)
    if output == "json":
        print_json(found.model_dump(mode="json", by_alias=True))
    else:
        for line in soaking.lines(found):
            click.echo(line)
    if not found.right:
        raise click.exceptions.Exit(EXIT_NO)


def _version(version: Version) -> dict[str, str]:
    return {
        "label": version.label,
        "digest": version.digest,
        "service": version.service,
        "description": version.description,
    }


def _document(home: Home, record: StandRecord) -> dict[str, Any]:
    from croupier_stand.status import document

    return document(home, record)


def _status_lines(home: Home, record: StandRecord) -> list[str]:
    from croupier_stand.status import lines

    return lines(home, record)


def _tail(path: Path, lines: int, follow: bool) -> Iterator[str]:
    """The last ``lines`` lines; then, if asked, each new one as it is written, also once the log was cut (rotation)."""
    from collections import deque

    from croupier_stand.process import wait_for

    with path.open(encoding="utf-8", errors="replace") as stream:
        for line in deque(stream, maxlen=lines):
            yield line.rstrip("\n")
        while follow:
            line = stream.readline()
            if line:
                yield line.rstrip("\n")
            else:
                wait_for(lambda: path.stat().st_size != stream.tell(), 60.0)
                if path.stat().st_size < stream.tell():
                    stream.seek(0)
