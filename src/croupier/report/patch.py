"""Changed texts as a unified diff that ``git apply`` and ``patch -p1`` take, and what it does and does not mend."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from difflib import unified_diff

from croupier.model.policy import FixReport
from croupier.report.format import plain

_NO_NEWLINE = "\n\\ No newline at end of file\n"


def diff(name: str, old: str, new: str) -> str:
    """The change of one file, called ``name`` from where the patch is applied; line ends are kept as they are."""
    # git ends a name with spaces by a tab, as a time would follow.
    end = "\t" if " " in name else ""
    lines = unified_diff(_lines(old), _lines(new), f"a/{name}{end}", f"b/{name}{end}")
    return "".join(each if each.endswith("\n") else each + _NO_NEWLINE for each in lines)


def _lines(text: str) -> list[str]:
    """Lines with their ends. Only a line feed ends one, for git as for patch."""
    return [f"{each}\n" for each in text.split("\n")[:-1]] + ([last] if (last := text.rpartition("\n")[2]) else [])


def fix_text(report: FixReport) -> str:
    """For people, beside the patch: what it mends, and what it leaves and why."""
    return "\n".join(_told(report))


def _told(report: FixReport) -> Iterator[str]:
    done = Counter(each.rule for each in report.fixed)
    yield f"{_findings(len(report.fixed))} mended by the patch:" if done else "nothing is mended: the patch is empty"
    for rule, count in done.items():
        yield f"  {count} {plain(rule)}"
    if report.left:
        yield f"{_findings(len(report.left))} left:"
    for (rule, why), count in Counter((each.rule, each.why) for each in report.left).items():
        yield f"  {count} {plain(rule)}: {plain(why)}"


def _findings(count: int) -> str:
    return f"{count} finding{'s' if count != 1 else ''}"
