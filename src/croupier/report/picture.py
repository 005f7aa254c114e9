"""A run explained in one picture: plain SVG without scripts, fonts or anything from elsewhere.

From top to bottom on one time axis: how many players were on the canary, all gates together, then each gate: on the
left its evidence against the canary and in its favour, on the right the failures of both versions. Bars to reach are
dashed; the verdict is one line through all of it.
"""

from __future__ import annotations

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from croupier.model.explanation import Explanation, GateStory
from croupier.report.explain import THINGS, headline, one_of, too_bad, why
from croupier.report.format import bad_ratio, count, duration, percent, readable, short_count, version

WIDTH = 960
MARGIN = 24
LEFT_X, LEFT_WIDTH = 150, 386
RIGHT_X, RIGHT_WIDTH = 616, 320
ROW, GAP = 92, 40
HEADROOM = 1.25
"""How far above its bar evidence is drawn; what is higher is cut off."""
TICKS = (1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 43200, 86400)
MOST_TICKS = 7
LINE_CHARACTERS = 132

BACK, PANEL, GRID = "#16181d", "#1d2026", "#343a45"
TEXT, FAINT = "#d0d4dc", "#8d95a3"
RED, GREEN, BLUE, YELLOW = "#e8605c", "#7ebe76", "#68a0e8", "#e0b85c"

Values = Sequence[tuple[float, float]]
"""(seconds since the epoch, value), in order."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart. ``begin`` and ``end`` are the ends of the time axis, ``top`` the value at its upper edge."""

    x: float
    y: float
    width: float
    height: float
    begin: float
    end: float
    top: float

    def at_x(self, at: float) -> float:
        share = (at - self.begin) / (self.end - self.begin)
        return self.x + self.width * min(1.0, max(0.0, share))

    def at_y(self, value: float) -> float:
        return self.y + self.height * (1.0 - min(1.0, max(0.0, value / self.top)))

    def frame(self) -> str:
        return f'<rect x="{self.x}" y="{self.y}" width="{self.width}" height="{self.height}" fill="{PANEL}"/>'

    def line(self, values: Values, colour: str, *, width: float = 2.0) -> str:
        if not values:
            return ""
        points = " ".join(f"{self.at_x(at):.1f},{self.at_y(value):.1f}" for at, value in values)
        if len(values) == 1:
            at, value = values[0]
            return f'<circle cx="{self.at_x(at):.1f}" cy="{self.at_y(value):.1f}" r="3" fill="{colour}"/>'
        return f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="{width}"/>'

    def stairs(self, values: Values, colour: str) -> str:
        """A filled staircase: each value holds from its time to the next one's, the last one to the end."""
        bottom = self.y + self.height
        steps = [f"M{self.x:.1f},{bottom:.1f}"]
        level = bottom
        for at, value in values:
            steps.append(f"L{self.at_x(at):.1f},{level:.1f}")
            level = self.at_y(value)
            steps.append(f"L{self.at_x(at):.1f},{level:.1f}")
        steps.append(f"L{self.x + self.width:.1f},{level:.1f} L{self.x + self.width:.1f},{bottom:.1f} Z")
        return f'<path d="{" ".join(steps)}" fill="{colour}" fill-opacity="0.35" stroke="{colour}"/>'

    def bar(self, value: float, colour: str) -> str:
        y = self.at_y(value)
        right = self.x + self.width
        return (
            f'<line x1="{self.x}" y1="{y:.1f}" x2="{right}" y2="{y:.1f}" stroke="{colour}" stroke-dasharray="5 4" '
            'stroke-opacity="0.8"/>'
        )

    def moment(self, at: float, colour: str) -> str:
        x, bottom = self.at_x(at), self.y + self.height
        return f'<line x1="{x:.1f}" y1="{self.y}" x2="{x:.1f}" y2="{bottom}" stroke="{colour}" stroke-width="1.5"/>'


def text(x: float, y: float, words: str, *, colour: str = TEXT, size: int = 12, anchor: str = "start") -> str:
    """A line of words. Small ones may lie over a curve, so they are set off from it by an edge drawn first."""
    words = escape(readable(words))
    where = f'x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}"'
    edge = f'<text {where} stroke="{PANEL}" stroke-width="3" aria-hidden="true">{words}</text>' if size < 12 else ""
    return f'{edge}<text {where} fill="{colour}">{words}</text>'


def draw(told: Explanation) -> str:
    """The whole picture as SVG. Raises nothing: a run without evidence is drawn with its words only."""
    parts, y = _head(told)
    times = [point.at for point in told.together]
    if times:
        begin = min(told.started_at, times[0])
        end = max(times[-1], told.verdict_at or begin, begin + 1.0)
        if told.outcome == "promoted":
            end = max(end, told.ended_at or end)
        rows: list[Callable[[float], list[str]]] = [
            lambda y: _players(told, y, begin, end),
            *((lambda y, story=story: _gate(story, told, y, begin, end)) for story in told.gates),
        ]
        for row in rows:
            parts += row(y)
            y += ROW + GAP
        parts += _axis(told, y - GAP + 16, begin, end)
        y += 4
    else:
        parts.append(
            text(MARGIN, y + 10, "Nothing was counted under players: there is no evidence to draw.", colour=FAINT)
        )
        y += 30
    label = escape(f"{told.run} {told.service} {headline(told)}", {'"': "&quot;"})
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + 16:.0f}" role="img" ',
            f'aria-label="{label}">',
            "<g font-family=\"ui-sans-serif, system-ui, Helvetica, Arial, 'DejaVu Sans', sans-serif\">",
            f'<rect width="{WIDTH}" height="{y + 16:.0f}" rx="10" fill="{BACK}"/>',
            *(part for part in parts if part),
            "</g>",
            "</svg>",
            "",
        ]
    )


def _head(told: Explanation) -> tuple[list[str], float]:
    """Title and reasons; and where the charts begin."""
    colour = {"promoted": GREEN, "rolled-back": RED, "running": YELLOW}[told.outcome]
    parts = [
        text(MARGIN, 36, f"{told.run}  {told.service}", size=18),
        text(WIDTH - MARGIN, 36, headline(told), colour=colour, size=18, anchor="end"),
        text(MARGIN, 58, f"canary {version(told.canary)}   stable {version(told.stable)}", colour=FAINT),
    ]
    y = 82.0
    for sentence in why(told):
        for line in textwrap.wrap(sentence, LINE_CHARACTERS):
            parts.append(text(MARGIN, y, line))
            y += 17
    return parts, y + 22


def _players(told: Explanation, y: float, begin: float, end: float) -> list[str]:
    """Weights and steps on the left, all gates together on the right."""
    left = Panel(LEFT_X, y, LEFT_WIDTH, ROW, begin, end, 100.0)
    weights = [(point.at, float(point.weight)) for point in told.together]
    parts = [text(LEFT_X, y - 8, "players on the canary", colour=BLUE), left.frame(), left.stairs(weights, BLUE)]
    parts += [
        text(LEFT_X - 8, left.at_y(value) + 4, f"{value} %", colour=FAINT, size=11, anchor="end") for value in (0, 100)
    ]
    shown = -40.0
    for span in told.steps:
        x = left.at_x(span.entered_at)
        if span.weight and x - shown >= 40 and x < left.x + left.width - 24:
            parts.append(text(x + 3, max(y + 11, left.at_y(span.weight) - 4), span.name, size=11))
            shown = x
    verdict = told.verdict
    bar = verdict.against_bar if verdict is not None else 0.0
    if bar > 0.0:
        right = Panel(RIGHT_X, y, RIGHT_WIDTH, ROW, begin, end, bar * HEADROOM)
        parts += [
            text(RIGHT_X, y - 8, "all gates together against the canary", colour=RED),
            right.frame(),
            right.bar(bar, RED),
            text(RIGHT_X + 4, right.at_y(bar) - 4, f"bar: {one_of(bar)} releases", colour=FAINT, size=11),
            right.line([(point.at, point.against) for point in told.together], RED),
            *_verdict(told, right),
        ]
    return parts + _verdict(told, left)


def _gate(story: GateStory, told: Explanation, y: float, begin: float, end: float) -> list[str]:
    """One gate: its name and answer, its evidence, and the failures of both versions."""
    last = story.last
    colour = {"pass": GREEN, "fail": RED, "inconclusive": YELLOW}[last.outcome]
    role = "must pass" if story.role == "required" else "veto"
    parts = [
        text(MARGIN, y + 14, story.gate, size=14),
        text(MARGIN, y + 32, role, colour=FAINT, size=11),
        text(
            MARGIN,
            y + 50,
            last.outcome if last.outcome != "inconclusive" else last.code.replace("-", " "),
            colour=colour,
        ),
    ]
    if last.needs_seconds is not None and last.outcome != "fail":
        parts.append(text(MARGIN, y + 66, f"{duration(last.needs_seconds)} more", colour=FAINT, size=11))
    return parts + _evidence(story, told, y, begin, end) + _failures(story, told, y, begin, end)


def _evidence(story: GateStory, told: Explanation, y: float, begin: float, end: float) -> list[str]:
    """Both kinds of evidence, each as a part of its own bar, so that one dashed line serves both."""
    last = story.last
    panel = Panel(LEFT_X, y, LEFT_WIDTH, ROW, begin, end, HEADROOM)
    parts = [
        text(LEFT_X, y - 8, "evidence against", colour=RED),
        text(LEFT_X + 112, y - 8, "in favour", colour=GREEN),
        panel.frame(),
        panel.bar(1.0, TEXT),
        text(LEFT_X - 8, panel.at_y(1.0) + 4, "bar", colour=FAINT, size=11, anchor="end"),
    ]
    if last.favour_bar > 0.0:
        values = [(point.at, point.favour / last.favour_bar) for point in story.points]
        parts.append(panel.line(values, GREEN))
    if last.against_bar > 0.0:
        parts.append(panel.line([(point.at, point.against / last.against_bar) for point in story.points], RED))
    if last.outcome == "fail":
        note = f"in {one_of(last.against)} releases, if it were no worse" if last.against > 0.0 else last.code
    elif last.favour > 0.0:
        note = f"in {one_of(last.favour)} releases, if it {too_bad(story.margin)}"
    else:
        note = ""
    parts.append(text(LEFT_X + LEFT_WIDTH - 6, y + ROW - 6, note, colour=FAINT, size=11, anchor="end"))
    return parts + _verdict(told, panel)


def _failures(story: GateStory, told: Explanation, y: float, begin: float, end: float) -> list[str]:
    """Failure ratio of both versions since the first players came."""
    last = story.last
    ratios = {
        "canary": [(point.at, point.canary.bad / point.canary.total) for point in story.points if point.canary.total],
        "stable": [(point.at, point.stable.bad / point.stable.total) for point in story.points if point.stable.total],
    }
    top = max((value for values in ratios.values() for _, value in values), default=0.0)
    panel = Panel(RIGHT_X, y, RIGHT_WIDTH, ROW, begin, end, top * HEADROOM or 0.01)
    what = THINGS.get(story.gate, story.gate)
    canary, stable = (
        f"{short_count(each.bad)}/{short_count(each.total)} ({bad_ratio(each)})" for each in (last.canary, last.stable)
    )
    edge = RIGHT_X + RIGHT_WIDTH
    parts = [
        text(RIGHT_X, y - 8, f"canary {canary}", colour=YELLOW, size=11),
        text(edge, y - 8, f"stable {stable}", colour=BLUE, size=11, anchor="end"),
        panel.frame(),
        text(RIGHT_X - 8, panel.at_y(0.0) + 4, "0", colour=FAINT, size=11, anchor="end"),
        text(edge - 4, y + 14, what, colour=FAINT, size=11, anchor="end"),
        panel.line(ratios["stable"], BLUE),
        panel.line(ratios["canary"], YELLOW),
    ]
    if top > 0.0:
        parts.append(text(RIGHT_X - 8, panel.at_y(top) + 4, percent(top), colour=FAINT, size=11, anchor="end"))
    if story.tolerated is not None:
        parts.append(
            text(
                edge - 4,
                y + ROW - 6,
                f"up to {count(story.tolerated)} of the canary's {count(last.canary.bad)} would not have been a fail",
                colour=TEXT,
                size=11,
                anchor="end",
            )
        )
    return parts + _verdict(told, panel)


def _verdict(told: Explanation, panel: Panel) -> list[str]:
    if told.verdict is None or told.verdict_at is None:
        return []
    colour = {"pass": GREEN, "fail": RED, "inconclusive": YELLOW}[told.verdict.outcome]
    return [panel.moment(told.verdict_at, colour)]


def _axis(told: Explanation, y: float, begin: float, end: float) -> list[str]:
    """Seconds since the start under both columns."""
    every = next((step for step in TICKS if (end - begin) / step <= MOST_TICKS), TICKS[-1])
    parts = []
    for x, width in ((LEFT_X, LEFT_WIDTH), (RIGHT_X, RIGHT_WIDTH)):
        panel = Panel(x, y, width, 0.0, begin, end, 1.0)
        for tick in range(0, int(end - begin) + 1, every):
            at = panel.at_x(begin + tick)
            parts.append(f'<line x1="{at:.1f}" y1="{y - 14}" x2="{at:.1f}" y2="{y - 10}" stroke="{GRID}"/>')
            anchor = "end" if at > x + width - 16 else "middle"
            parts.append(text(at, y, _since(tick), colour=FAINT, size=11, anchor=anchor))
    parts.append(text(MARGIN, y, "since the start", colour=FAINT, size=11))
    return parts


def _since(seconds: int) -> str:
    """``45 s``, ``2 min``, ``2:30 min``, ``1:30 h``: ticks are whole minutes or hours, or parts of few digits."""
    if seconds < 60:
        return f"{seconds} s"
    unit, large = ("min", 60) if seconds < 3600 else ("h", 3600)
    whole, rest = divmod(seconds, large)
    return f"{whole} {unit}" if rest == 0 else f"{whole}:{rest * 60 // large:02d} {unit}"
