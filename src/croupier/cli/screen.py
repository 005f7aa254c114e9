"""The live view of one run as rich renders it. A value in, a picture out: no clock, no network.

Made for 80×24 and everything wider: the story at the bottom gets the lines that are left. Every meaning that a colour
carries is carried by a sign or a word as well.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from rich.console import Console, ConsoleOptions, Group, RenderResult
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from croupier.model.digest import short
from croupier.model.verdict import GateReading, Outcome, StratumReading
from croupier.model.view import Phase, RunView, VersionView
from croupier.report.format import (
    UNKNOWN,
    bad_ratio,
    clock,
    duration,
    percent,
    readable,
    short_count,
    short_duration,
)
from croupier.report.run import evidence, phase_words, story

WIDE = 104
"""From this width on, meters are longer and carry their numbers."""
STALE_SECONDS = 20.0
"""Age of a view from which it is shown as old."""

_PHASE_STYLE: dict[Phase, str] = {
    "preparing": "cyan",
    "settling": "cyan",
    "holding": "cyan",
    "held": "yellow",
    "paused": "yellow",
    "promoting": "green",
    "promoted": "green",
    "rolling-back": "red",
    "rolled-back": "red",
}
_OUTCOME = {
    Outcome.PASS: ("✓ pass", "green"),
    Outcome.FAIL: ("✗ fail", "bold red"),
}
_WAITING = {
    "needs-time": ("…", "dim"),
    "no-data": ("? data", "yellow"),
    "partial": ("? pods", "yellow"),
    "still": ("? still", "yellow"),
    "silent": ("? silent", "yellow"),
    "slo-breach": ("! SLO", "yellow"),
    "set-aside": ("! 1 pod", "yellow"),
    "shared-incident": ("! both", "yellow"),
    "warming-up": ("warming", "dim"),
    "not-telling": ("can't say", "dim"),
    "too-few": ("too few", "dim"),
}
"""Reason code of an undecided gate -> what fits into its column."""


@dataclass(frozen=True, slots=True)
class Screen:
    """One picture. ``age_seconds``: since the view arrived. ``lost``: the desk does not answer at the moment."""

    view: RunView
    age_seconds: float = 0.0
    lost: bool = False

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        is_wide = options.max_width >= WIDE
        top = Padding(
            Group(
                self._head(),
                _versions(self.view),
                Text(),
                _steps(self.view),
                _share(self.view, options.max_width),
                Text(),
                _gates(self.view, is_wide),
                Text(),
                _words(self.view),
            ),
            (0, 1),
        )
        lines = console.render_lines(top, options, pad=False)
        yield Group(*(_Line(tuple(line)) for line in lines))
        room = (options.height or console.height) - len(lines) - 2
        moments = story(self.view.timeline)[-room:] if room > 0 else []
        yield Padding(Group(Text(), *(_moment(moment.at, moment.text) for moment in moments)), (0, 1))
        yield Padding(self._foot(), (0, 1))

    def _head(self) -> Table:
        view = self.view
        running = view.ended_at is None
        elapsed = (view.updated_at + self.age_seconds if view.ended_at is None else view.ended_at) - view.started_at
        left = Text.assemble((view.service, "bold"), "  ", (view.run, "dim"))
        right = Text.assemble(
            (f" {phase_words(view)} ", f"{_PHASE_STYLE[view.phase]} reverse bold"),
            f"  {duration(elapsed)}",
            (" since the start" if running else " in all", "dim"),
        )
        return _sides(left, right)

    def _foot(self) -> Table:
        if self.lost:
            return _sides(
                Text("The desk does not answer; looking for it. Players stay where they are.", style="yellow"), Text()
            )
        if self.view.ended_at is not None:
            return _sides(Text(), Text())
        stale = self.age_seconds >= STALE_SECONDS
        return _sides(
            Text.assemble(("Ctrl-C", "bold"), (" leaves; the release goes on   ● must pass   ○ may veto", "dim")),
            Text(f"{duration(self.age_seconds)} ago", style="yellow" if stale else "dim"),
        )


@dataclass(frozen=True, slots=True)
class _Line:
    """A line that has been rendered already."""

    segments: tuple[object, ...]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from rich.segment import Segment

        yield from (segment for segment in self.segments if isinstance(segment, Segment))
        yield Segment.line()


def _sides(left: Text, right: Text) -> Table:
    grid = Table.grid(expand=True)
    grid.add_column(ratio=1, no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(left, right)
    return grid


def _versions(view: RunView) -> Text:
    def named(version: VersionView) -> Iterable[tuple[str, str] | str]:
        return ((short(version.digest), ""), " ", (readable(version.label), "bold"))

    return Text.assemble(
        ("stable ", "dim"), *named(view.stable), ("   →   canary ", "dim"), *named(view.canary), overflow="ellipsis"
    )


def _steps(view: RunView) -> Text:
    """``✓ 5 %  ✓ 10 %  ● 25 %  · 50 %  · 100 %``; passed, present and coming steps."""
    weights = [step.weight for step in view.forecast.steps] if view.forecast else [view.peak_weight]
    back = view.phase in ("rolling-back", "rolled-back")
    text = Text()
    text.append("steps    ", "dim")
    for weight in weights:
        if view.phase == "promoted" or weight < view.peak_weight:
            text.append(f"✓ {weight} %", "green")
        elif weight == view.peak_weight:
            text.append(
                f"{'✗' if back else '●'} {weight} %", "bold red" if back else f"bold {_PHASE_STYLE[view.phase]}"
            )
        else:
            text.append(f"· {weight} %", "dim")
        text.append("   ")
    return text


def _share(view: RunView, width: int) -> Text:
    """The part of all players on the canary: set, seen, and the band it should lie in."""
    text = Text()
    text.append("players  ", "dim")
    text.append_text(meter(view.weight, 100, max(10, min(40, width - 60)), _PHASE_STYLE[view.phase]))
    text.append(f"  {view.weight} % set", "bold")
    if view.observed_share is not None and view.band is not None:
        inside = view.band.low <= view.observed_share <= view.band.high
        text.append(f", {percent(view.observed_share)} seen", "" if inside else "yellow")
        text.append(f" ({100 * view.band.low:.1f}–{100 * view.band.high:.1f})", "dim" if inside else "yellow")
    return text


def _gates(view: RunView, is_wide: bool) -> Table:
    grid = Table(box=None, padding=(0, 1, 0, 0), expand=False, header_style="dim", pad_edge=False, show_edge=False)
    grid.add_column("gate", no_wrap=True, width=13)
    for arm in ("bad on canary", "bad on stable"):
        grid.add_column(arm, justify="right", no_wrap=True, width=17 if is_wide else 16)
    for question in (" worse?", " as good?"):
        grid.add_column(question, no_wrap=True, width=21 if is_wide else 9)
    grid.add_column("", no_wrap=True, min_width=8)
    if view.verdict is None:
        grid.add_row(Text("no verdict yet", style="dim"))
        return grid
    for gate in view.verdict.gates:
        grid.add_row(
            Text(f"{'●' if gate.role == 'required' else '○'} {gate.gate}", style="bold" if _decides(gate) else ""),
            _bad(gate, of_canary=True),
            _bad(gate, of_canary=False),
            _evidence(gate.against, gate.against_bar, is_wide, against=True),
            _evidence(gate.favour, gate.favour_bar, is_wide, against=False),
            _outcome(gate),
        )
        for each in gate.strata:
            mark = "●" if each.required else "·"
            grid.add_row(
                Text(f"  {mark} {each.name}", style="bold" if _decides(each) else "dim"),
                _bad(each, of_canary=True),
                _bad(each, of_canary=False),
                _evidence(each.against, each.against_bar, is_wide, against=True),
                _evidence(each.favour, each.favour_bar, is_wide, against=False),
                _outcome(each),
            )
    merged = _evidence(view.verdict.against, view.verdict.against_bar, is_wide, against=True)
    numbers = Text() if is_wide else Text(f" {evidence(view.verdict.against, view.verdict.against_bar)}", style="dim")
    grid.add_row(Text("all together", style="dim"), "", "", merged, numbers, "")
    return grid


def _decides(gate: GateReading | StratumReading) -> bool:
    return gate.outcome is Outcome.FAIL


def _bad(gate: GateReading | StratumReading, *, of_canary: bool) -> Text:
    numbers = gate.canary if of_canary else gate.stable
    ratio = bad_ratio(numbers)
    counts = f"{short_count(numbers.bad)}/{short_count(numbers.total)}"
    if of_canary and gate.outcome is Outcome.FAIL:
        return Text(f"{counts} {ratio:>6}", style="bold red")
    return Text.assemble((counts, "dim"), f" {ratio:>6}")


def _outcome(gate: GateReading | StratumReading) -> Text:
    if gate.outcome in _OUTCOME:
        word, style = _OUTCOME[gate.outcome]
        return Text(word, style=style)
    if gate.needs_seconds is not None:
        return Text(f"… {short_duration(gate.needs_seconds)}", style="cyan")
    word, style = _WAITING.get(gate.code, (gate.code.replace("-", " "), "dim"))
    return Text(word, style=style)


def _evidence(value: float, bar: float, is_wide: bool, *, against: bool) -> Text:
    if bar <= 0:
        return Text(f" {UNKNOWN}", style="dim")
    share = value / bar
    if against:
        style = "bold red" if share >= 1 else "yellow" if share >= 0.5 else "white"
    else:
        style = "green" if share >= 1 else "cyan"
    text = Text(" ").append_text(meter(value, bar, 11 if is_wide else 8, style))
    if is_wide:
        text.append(f" {max(value, 0.0):>4.1f}/{bar:.1f}", "dim")
    return text


def _words(view: RunView) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column()
    told = (
        ("why", view.reason if view.ended_at is not None or view.phase == "rolling-back" else ""),
        ("waits for", view.waiting_for),
        ("next", view.next),
    )
    for name, text in told:
        if text:
            grid.add_row(name, Text(readable(text)))
    return grid


def _moment(at: float, what: str) -> Text:
    return Text.assemble((f"{clock(at)}  ", "dim"), what, no_wrap=True, overflow="ellipsis")


def meter(value: float, whole: float, width: int, style: str) -> Text:
    """A bar of ``width`` cells, filled in proportion: thick is done, thin is to go, so that it reads without colour."""
    halves = min(2 * width, max(0, round(2 * width * value / whole)))
    filled = "━" * (halves // 2) + ("╸" if halves % 2 else "")
    return Text.assemble((filled, style), ("─" * (width - len(filled)), "dim"))
