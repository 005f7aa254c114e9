"""Showing a run while it lasts: a screen on a terminal, lines in a pipe, JSON lines for programs."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator

import click

from croupier.cli.follow import follow
from croupier.cli.options import Output, say
from croupier.model.view import RunView
from croupier.report.run import change_lines


def show_run(stand: str, run: str, output: Output, *, until_held: bool, stream_json: bool) -> RunView | None:
    """Show the run until it ends, Ctrl-C, or (``until_held``) it waits for a person. Returns the last view, or None.

    ``stream_json``: with ``--output json``, print each view as a line; else print nothing and let the caller.
    """
    views = follow(stand, run)
    if output == "json":
        return _drain(views, until_held, stream=stream_json)
    if sys.stdout.isatty() and _has_rich():
        return _on_screen(views, until_held)
    return _lines(views, run, until_held)


def _is_over(view: RunView, until_held: bool) -> bool:
    return view.ended_at is not None or (until_held and view.phase == "held")


def _drain(views: Iterator[RunView | None], until_held: bool, *, stream: bool) -> RunView | None:
    last = None
    try:
        for view in views:
            if view is None:
                continue
            last = view
            if stream:
                click.echo(view.model_dump_json(by_alias=True))
                sys.stdout.flush()
            if _is_over(view, until_held):
                break
    except KeyboardInterrupt:
        pass
    return last


def _lines(views: Iterator[RunView | None], run: str, until_held: bool) -> RunView | None:
    """Plain lines, one a change."""
    last = None
    was_lost = False
    try:
        for view in views:
            if view is None:
                if not was_lost:
                    say(f"{run} the desk does not answer; looking for it")
                was_lost = True
                continue
            if was_lost:
                say(f"{run} the desk answers again")
            was_lost = False
            for line in change_lines(last, view):
                click.echo(line)
            sys.stdout.flush()
            last = view
            if _is_over(view, until_held):
                break
    except KeyboardInterrupt:
        pass
    return last


def _on_screen(views: Iterator[RunView | None], until_held: bool) -> RunView | None:
    """The live screen; the terminal is as it was before when it ends."""
    from rich.console import Console, RenderableType
    from rich.live import Live
    from rich.text import Text

    from croupier.cli.screen import Screen

    last: RunView | None = None
    seen_at = time.monotonic()
    lost = False

    def picture() -> RenderableType:
        if last is None:
            return Text("Looking for the release …")
        return Screen(last, age_seconds=time.monotonic() - seen_at, lost=lost)

    with Live(get_renderable=picture, console=Console(), screen=True, refresh_per_second=2) as live:
        try:
            for view in views:
                lost = view is None
                if view is not None:
                    last, seen_at = view, time.monotonic()
                live.refresh()
                if view is not None and _is_over(view, until_held):
                    break
        except KeyboardInterrupt:
            pass
    return last


def _has_rich() -> bool:
    from importlib.util import find_spec

    return find_spec("rich") is not None
