"""Where players' data is, as text for a terminal and as Markdown to keep with an audit."""

from __future__ import annotations

from croupier.model.whereabouts import MarketWhereabouts, Whereabout, Whereabouts
from croupier.report.markdown import cell

_MOST_NAMED = 4


def whereabouts_text(told: Whereabouts) -> str:
    return "\n\n".join(_market_text(each) for each in told.markets)


def _market_text(market: MarketWhereabouts) -> str:
    lines = [f"{market.market}: {market.title} ({market.place})", f"  {_rule(market)}"]
    rows = [(each.data, each.what, each.where, _allowed(each), _whose(each, _MOST_NAMED)) for each in market.places]
    widths = [max(map(len, column)) for column in list(zip(*rows, strict=True))[:4]]
    lines += ["  " + "  ".join([*map(str.ljust, row, widths), row[4]]) for row in rows]
    return "\n".join(lines if rows else [*lines, "  no cell keeps anything"])


def whereabouts_markdown(told: Whereabouts) -> str:
    """A table a market, with everybody whose data it is."""
    lines = ["# Where players' data is"]
    for market in told.markets:
        lines += ["", f"## {cell(market.title)} (`{market.market}`)", ""]
        lines += [f"Declared at `{market.place}`: {cell(_rule(market))}.", ""]
        if not market.places:
            lines.append("No cell keeps anything.")
            continue
        lines += ["| data | what | where | the market says | whose |", "| --- | --- | --- | --- | --- |"]
        for each in market.places:
            row = (each.data, each.what, each.where, _allowed(each), _whose(each, len(each.of)))
            lines.append(f"| {' | '.join(map(cell, row))} |")
    return "\n".join(lines)


def _rule(market: MarketWhereabouts) -> str:
    if market.source is None:
        return "no residency is declared: nothing is held against a rule"
    return f"{market.source}; {f'reviewed on {market.reviewed_on}' if market.reviewed_on else 'reviewed by nobody'}"


def _allowed(each: Whereabout) -> str:
    return "no rule" if each.allowed is None else f"may be in {', '.join(each.allowed) or 'no region'}"


def _whose(each: Whereabout, most: int) -> str:
    more = len(each.of) - most
    return ", ".join(each.of[:most]) + (f" and {more} more" if more > 0 else "")
