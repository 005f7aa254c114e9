"""``croupier judge``: verdicts for releases that Argo Rollouts or Flagger carry out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from croupier.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    import socket

    from croupier.model.judge import JudgeSettings


@click.command()
@click.option(
    "--config",
    required=True,
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Settings: services, gates, and the counters of both arms.",
)
@click.option("--check", is_flag=True, help="Read the settings, say what is wrong with them, and end.")
def judge(*, config: Path, check: bool) -> None:
    """Judge the releases of another controller, on request.

    Argo Rollouts (web metric) and Flagger (webhooks) ask; the answer is pass, fail or inconclusive, from counters in a
    Prometheus, by the same gates as those of the desk. Runs until SIGTERM or Ctrl-C; evidence is kept across restarts.
    """
    from croupier.spec.documents import load_judge

    settings = load_judge(config)
    if check:
        click.echo(f"sound: {len(settings.services)} services")
        return
    try:
        token = settings.token_file.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise UsageError(
            f"tokenFile {settings.token_file}: {error.strerror}", hint="write a long random word"
        ) from error
    if not token:
        raise UsageError(f"tokenFile {settings.token_file} is empty", hint="write a long random word into it")
    _run(settings, token)


def _run(settings: JudgeSettings, token: str) -> None:
    import asyncio
    import logging
    import signal

    try:
        from croupier.judge.app import create_app
        from croupier.web.server import Server
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"`croupier judge` needs {error.name}, which is not installed",
            hint='install the extra: pip install "croupier[web]"',
        ) from error
    from croupier.adapters.clock import SystemClock
    from croupier.adapters.metrics.prometheus_api import PrometheusApi
    from croupier.adapters.metrics.ranges import RangedCounters
    from croupier.judge.cases import Cases

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "httpcore"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    async def served() -> None:
        api = PrometheusApi(settings.prometheus)
        counters = RangedCounters(api, pod_label=settings.pod_label, scrape_seconds=settings.scrape_seconds)
        app = create_app(Cases(settings, counters, SystemClock()), token)
        server = Server(app)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, server.handle_exit, number, None)
        try:
            await server.serve(sockets=[listener])
        finally:
            await api.aclose()

    with _listening(settings.host, settings.port) as listener:
        asyncio.run(served())


def _listening(host: str, port: int) -> socket.socket:
    """Bound here, because uvicorn would end the process with an exit code that means something else. Raises
    ``EnvironmentFault`` when the address is not to be had.
    """
    import socket

    try:
        return socket.create_server((host, port), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
    except OSError as error:
        raise EnvironmentFault(
            f"cannot listen on {host}, port {port}: {error.strerror}", hint="set another host or port in the settings"
        ) from error
