"""What is recommended, as text."""

from __future__ import annotations

from croupier.model.quantity import size
from croupier.model.recommendation import Recommendation, Recommendations

_MEBIBYTE = 2**20


def recommendations_text(found: Recommendations) -> str:
    lines = [_line(each) for each in found.recommendations]
    lines += [f"{each}: nothing is recommended yet" for each in found.unknown]
    wrong = sum(each.fit != "fits" for each in found.recommendations)
    others = f"; VerticalPodAutoscalers not of this platform: {found.others}" if found.others else ""
    lines.append(f"{len(found.recommendations)} requests compared, {wrong} not fitting{others}")
    return "\n".join(lines)


def _line(each: Recommendation) -> str:
    asked, target, lower, upper = (
        _amount(each.resource, amount) for amount in (each.asked, each.target, each.lower, each.upper)
    )
    return (
        f"{each.service} in {each.cell}: {each.resource} {asked} {each.fit}, "
        f"recommended {target}, between {lower} and {upper}"
    )


def _amount(resource: str, amount: str) -> str:
    """Rounded to what people write: the recommender says bytes."""
    held = size(amount)
    return f"{float(held / _MEBIBYTE):.0f}Mi" if resource == "memory" else f"{float(held * 1000):.0f}m"
