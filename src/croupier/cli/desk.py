"""``croupier desk``: wires a desk from its settings and runs it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from croupier.cli.options import home_of, stand_option
from croupier.errors import CroupierError, EnvironmentFault, UsageError

if TYPE_CHECKING:
    import logging


@click.command()
@stand_option
@click.option(
    "--home",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Folder with desk.yaml; instead of --stand.",
)
def desk(*, stand: str, home: Path | None) -> None:
    """Run the desk: the engine and its JSON API.

    Runs until SIGTERM or Ctrl-C. While it is stopped, players stay where they are and no gate watches; live releases
    go on when it starts again. `croupier stand up` starts a desk for you.
    """
    place = (home or home_of(stand)).absolute()
    if not (place / "desk.yaml").is_file():
        raise UsageError(f"there is no desk.yaml in {place}", hint="`croupier stand up` makes a stand with a desk")
    _run(place)


def _one_line(form: str) -> logging.Formatter:
    """Log lines whose message cannot steer a terminal or look like two lines: a reason is what somebody typed."""
    import logging

    from croupier.report.format import readable

    class OneLine(logging.Formatter):
        def formatMessage(self, record: logging.LogRecord) -> str:
            return readable(super().formatMessage(record))

    return OneLine(form)


def _run(home: Path) -> None:
    import asyncio
    import logging

    try:
        from croupier.web.server import serve
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"`croupier desk` needs {error.name}, which is not installed",
            hint='install the extra: pip install "croupier[web]"',
        ) from error
    from croupier.bootstrap import wire

    logging.basicConfig(level=logging.INFO)
    for handler in logging.getLogger().handlers:
        handler.setFormatter(_one_line("%(asctime)s %(levelname)s %(name)s %(message)s"))
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    async def wired() -> None:
        await serve(wire(home), home / "desk")

    try:
        asyncio.run(wired())
    except CroupierError:
        raise
    except Exception:
        logging.getLogger(__name__).exception("the desk died")
        raise
