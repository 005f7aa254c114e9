"""``croupier stand``: run a small real casino on this machine, look at it, check its money.

Found by the entry point group ``croupier.commands``. Each command imports what it needs when it runs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from croupier.cli.options import EXIT_NO, Output, output_option, print_json, say

if TYPE_CHECKING:
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


@click.group(help="Run a small real casino on this machine.")
def stand() -> None:
    """Group of the stand's commands."""


@stand.command()
@_name_option
@click.option("--seed", type=int, default=1, show_default=True, help="Decides who plays what, and when.")
@click.option("--players", type=click.IntRange(1, 100_000), default=4000, show_default=True)
@click.option("--deposits-per-second", type=click.FloatRange(0, 500), default=40.0, show_default=True)
@click.option("--bets-per-second", type=click.FloatRange(0, 500), default=35.0, show_default=True)
@click.option("--desk/--no-desk", default=True, show_default=True, help="Whether the stand runs its desk too.")
@output_option
def up(name: str, desk: bool, output: Output, **load: Any) -> None:
    """Start a stand in the background: PostgreSQL, Envoy, the casino, its providers and its players.

    It begins empty: players, money and books of an earlier stand of that name are gone; the desk's journal stays.
    """
    from croupier_stand import control
    from croupier_stand.home import Home
    from croupier_stand.load import Load

    home = Home.of(name)
    say(f"Starting stand {name!r} in {home.root}")
    record = control.up(home, Load(**load), lambda line: say(f"  {line}"), with_desk=desk)
    if output == "json":
        print_json(_document(home, record))
        return
    click.echo(f"Stand {name!r} is up: players come in at http://127.0.0.1:{record.ports['edge']}")
    option = "" if name == "default" else f" --name {name}"
    say(f"What can be released: croupier stand versions{option}")
    say(f"End it:               croupier stand down{option}")


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
def logs(name: str, process: str | None, follow: bool, lines: int) -> None:
    """Show the log of PROCESS; without it, which logs there are."""
    from croupier.errors import UnknownName
    from croupier_stand.home import Home

    home = Home.of(name)
    known = {path.stem: path for path in sorted([*home.logs.glob("*.log"), *home.root.glob(home.supervisor_log.name)])}
    if process is None:
        for stem, path in known.items():
            click.echo(f"{stem:<34} {path.stat().st_size:>10,} bytes")
        return
    if process not in known:
        raise UnknownName("log", process, list(known))
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
        print_json(
            [{"label": v.label, "digest": v.digest, "service": v.service, "description": v.description} for v in rows]
        )
        return
    width = max(len(version.label) for version in rows)
    for version in rows:
        click.echo(f"{version.label:<{width}}  {version.digest}  {version.service}")
        click.echo(f"{'':<{width}}  {version.description}")


@stand.command()
@click.option("--repeat", type=click.IntRange(0, 100), default=3, show_default=True, help="Runs of each scenario.")
@click.option("--healthy", type=click.IntRange(0, 1000), default=10, show_default=True, help="A/A runs at the end.")
@click.option("--seed", type=int, default=1, show_default=True, help="Decides who plays what, and when.")
@click.option(
    "--results",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("out/soak.json"),
    show_default=True,
    help="JSON file with the results, written anew after every run.",
)
@output_option
def soak(repeat: int, healthy: int, seed: int, results: Path, output: Output) -> None:
    """Release every version again and again on a stand of its own, then healthy ones in a row.

    Takes about two hours. Failed runs are listed and never repeated. Exits 1 when anything did not come out right.
    """
    from croupier_stand import soak as soaking

    found = soaking.run(repeat=repeat, healthy=healthy, seed=seed, results=results.absolute(), say=say)
    if output == "json":
        print_json(found.model_dump(mode="json", by_alias=True))
    else:
        for line in soaking.lines(found):
            click.echo(line)
    if not found.right:
        raise click.exceptions.Exit(EXIT_NO)


def _document(home: Home, record: StandRecord) -> dict[str, Any]:
    from croupier_stand.status import document

    return document(home, record)


def _status_lines(home: Home, record: StandRecord) -> list[str]:
    from croupier_stand.status import lines

    return lines(home, record)


def _tail(path: Path, lines: int, follow: bool) -> Iterator[str]:
    """The last ``lines`` lines; then, if asked, each new one as it is written."""
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
                wait_for(lambda: path.stat().st_size > stream.tell(), 60.0)
