"""A checklist for people: as text, and as one HTML page without scripts or anything from elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from html import escape

from croupier.model.checklist import Checklist, LineView, LineWaiver, Proof
from croupier.report.format import plain, readable, timestamp

STATES: Mapping[str, str] = {"green": "green", "red": "RED", "waived": "waived"}
PROOFS: Mapping[str, str] = {"pass": "pass", "fail": "FAIL", "no-evidence": "no evidence"}


def checklist_text(found: Checklist) -> str:
    """A paragraph a line, then what was read and what was not, then the answer."""
    parts = ["\n".join(_line(each)) for each in found.lines]
    return "\n\n".join([*parts, "\n".join(_sources(found)), answer(found)])


def _line(each: LineView) -> Iterator[str]:
    yield f"{each.id}  {STATES[each.state]:<6}  {each.title}"
    for proof in each.proofs:
        yield f"  {PROOFS[proof.state]:<11}  {plain(proof.what)}: {readable(proof.result)}"
        if proof.link:
            yield f"               {plain(proof.link)}"
    if each.waiver is not None:
        yield f"  {readable(waiver_text(each.waiver, is_over=each.state == 'red'))}"


def waiver_text(waiver: LineWaiver, *, is_over: bool) -> str:
    """Who answers for a red line, until when, and why."""
    verb = "was waived" if is_over else "waived"
    told = f"{verb} until {waiver.until.isoformat()} by {waiver.owner}: {waiver.reason}"
    return f"{told} (journal entry {waiver.entry}, written by {waiver.who})"


def _sources(found: Checklist) -> Iterator[str]:
    yield f"read at {timestamp(found.at)}: {plain(', '.join(found.sources)) or 'nothing'}"
    yield from (f"not checked: {readable(each)}" for each in found.not_checked)
    yield from (f"could not be read: {readable(each)}" for each in found.unread)


def answer(found: Checklist) -> str:
    """The last line."""
    red, waived = len(found.red), sum(each.state == "waived" for each in found.lines)
    told = f"{len(found.lines) - red - waived} green, {waived} waived, {red} red"
    return f"{plain(found.service)} is {'ready' if found.ready else 'NOT READY'} for production: {told}"


_STYLE = """
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; color: #1b1b1b;
  background: #fff; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem; border-bottom: 1px solid #c8c8c8;
  overflow-wrap: anywhere; }
caption { text-align: left; font-weight: 600; padding: 1.2rem 0 .3rem; }
.green, .pass { color: #0b5d1e; } .red, .fail, .no-evidence { color: #a40000; } .waived { color: #6b4b00; }
.green, .red, .waived, .pass, .fail, .no-evidence { font-weight: 600; white-space: nowrap; }
@media (prefers-color-scheme: dark) { body { color: #e6e6e6; background: #16181d; } th, td { border-color: #4a4f59; }
  .green, .pass { color: #7ebe76; } .red, .fail, .no-evidence { color: #ff8f8a; } .waived { color: #e0b85c; }
  a { color: #8fb8f0; } }
"""


def checklist_html(found: Checklist) -> str:
    """One page: the answer, a table of the nine lines, then a table a line with its proofs.

    States are words, colour only repeats them; every table has a caption and headed columns and rows.
    """
    title = f"Release checklist of {plain(found.service)}"
    overview = "".join(
        f'<tr><th scope="row"><a href="#{each.id}">{each.id}</a></th><td>{escape(each.title)}</td>'
        f'<td class="{each.state}">{STATES[each.state]}</td></tr>'
        for each in found.lines
    )
    notes = "".join(f"<li>{escape(readable(each))}</li>" for each in _sources(found))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        f"<h1>{escape(title)}</h1>\n<p><strong>{escape(answer(found))}</strong></p>\n<ul>{notes}</ul>\n"
        '<table>\n<caption>The nine lines</caption>\n<thead><tr><th scope="col">Line</th><th scope="col">What</th>'
        f'<th scope="col">State</th></tr></thead>\n<tbody>{overview}</tbody>\n</table>\n'
        + "".join(_section(each) for each in found.lines)
        + "</main>\n</body>\n</html>\n"
    )


def _section(each: LineView) -> str:
    rows = "".join(_row(proof) for proof in each.proofs)
    waiver = ""
    if each.waiver is not None:
        waiver = f"<p>{escape(readable(waiver_text(each.waiver, is_over=each.state == 'red')))}</p>\n"
    return (
        f'<section id="{each.id}">\n<h2>{each.id} {escape(each.title)}</h2>\n'
        f'<p>State: <span class="{each.state}">{STATES[each.state]}</span></p>\n{waiver}<table>\n'
        f"<caption>Evidence of {each.id}</caption>\n"
        '<thead><tr><th scope="col">Looked at</th><th scope="col">When</th><th scope="col">Answer</th>'
        f'<th scope="col">Result</th><th scope="col">Where</th></tr></thead>\n<tbody>{rows}</tbody>\n'
        "</table>\n</section>\n"
    )


def _row(proof: Proof) -> str:
    link = escape(plain(proof.link))
    if proof.link.startswith(("https://", "http://", "mailto:", "tel:")):
        link = f'<a href="{escape(proof.link, quote=True)}" rel="noreferrer">{link}</a>'
    when = datetime.fromtimestamp(proof.at, UTC).isoformat(timespec="seconds")
    return (
        f'<tr><th scope="row">{escape(plain(proof.what))}</th>'
        f'<td><time datetime="{when}">{timestamp(proof.at)}</time></td>'
        f'<td class="{proof.state}">{PROOFS[proof.state]}</td><td>{escape(readable(proof.result))}</td>'
        f"<td>{link}</td></tr>"
    )
