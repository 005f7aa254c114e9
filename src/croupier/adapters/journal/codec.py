"""A sample as one line of JSON and back. Floats come back bit for bit; NaN (absent from a scrape) is written as null.

Line: ``{"at", "weight", "canary": arm | null, "stable": arm | null}``; arm: ``{"seen": int | null, "revision": int |
null, "violations": {invariant: count} | absent, "own": true | absent, "series": {name: {"e": {pod: [total, bad]}, "p":
{pod: [total, bad]} | absent, "s": [visits, squares, products, visit squares] | absent}}}``.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts, Spread

FORMAT = 1


def header(run: str) -> bytes:
    """First line of a segment. It depends on the run alone, so an empty segment has a hash as well."""
    return json.dumps({"croupier": "evidence", "format": FORMAT, "run": run}, separators=(",", ":")).encode() + b"\n"


def encode_sample(sample: Sample) -> bytes:
    """One line, newline included. Infinities are written as null too: no count is infinite."""
    value = {
        "at": sample.at,
        "weight": sample.weight,
        "canary": _arm(sample.canary),
        "stable": _arm(sample.stable),
    }
    return json.dumps(value, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _arm(arm: ArmSample | None) -> object:
    if arm is None:
        return None
    series: dict[str, object] = {}
    for name, counts in arm.series.items():
        entry: dict[str, object] = {"e": _counts(counts.events)}
        if counts.players is not None:
            entry["p"] = _counts(counts.players)
        if counts.spread is not None:
            entry["s"] = [_finite(value) for value in counts.spread]
        series[name] = entry
    encoded: dict[str, object] = {"seen": arm.players_seen, "revision": arm.players_revision, "series": series}
    if arm.violations:
        encoded["violations"] = {name: _finite(count) for name, count in arm.violations.items()}
    if arm.began_with_run:
        encoded["own"] = True
    return encoded


def _counts(counts: Mapping[str, Count]) -> dict[str, list[float | None]]:
    return {pod: [_finite(count.total), _finite(count.bad)] for pod, count in counts.items()}


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def decode_sample(line: bytes) -> Sample:
    """Raises ``ValueError`` for anything ``encode_sample`` would not have written."""
    try:
        value = json.loads(line)
        if value.keys() != {"at", "weight", "canary", "stable"}:
            raise ValueError("not a sample")
        return Sample(
            at=float(value["at"]),
            weight=int(value["weight"]),
            canary=_arm_of(value["canary"]),
            stable=_arm_of(value["stable"]),
        )
    except (AttributeError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a sample: {error!r}") from error


# The three below read JSON of unknown shape; ``decode_sample`` turns every misfit into ValueError.


def _arm_of(value: Any) -> ArmSample | None:
    if value is None:
        return None
    series = {
        name: SeriesCounts(
            events=_counts_of(counts["e"]),
            players=_counts_of(counts["p"]) if "p" in counts else None,
            spread=Spread(*map(_number, counts["s"])) if "s" in counts else None,
        )
        for name, counts in value["series"].items()
    }
    return ArmSample(
        series=series,
        players_seen=_whole(value["seen"]),
        players_revision=_whole(value["revision"]),
        violations={name: _number(count) for name, count in value.get("violations", {}).items()},
        began_with_run=value.get("own", False) is True,
    )


def _whole(value: Any) -> int | None:
    return None if value is None else int(value)


def _counts_of(value: Any) -> dict[str, Count]:
    return {pod: Count(_number(total), _number(bad)) for pod, (total, bad) in value.items()}


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
