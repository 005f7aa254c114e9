"""A plan before it starts: what it would do, how long it may take, and whether its gates can decide at all."""

from __future__ import annotations

from croupier.core import gates
from croupier.errors import Refused
from croupier.model.forecast import Forecast
from croupier.model.release import Release
from croupier.model.service import Version
from croupier.model.view import FaultForecast, ForecastView, StepForecast

START_SECONDS = 5.0
"""What the canary's pods usually need until they are ready; only for the forecast of the whole."""

YOUNG_SECONDS = 30.0
"""A desk that has watched for less says "not yet" instead of "not decidable"."""

SCRAPES_TO_SETTLE = 1.0
"""A split is confirmed within moments; the first complete block of a step ends up to one scrape later."""


def forecast_release(release: Release, history: gates.DispersionHistory, *, needs_pass: bool = True) -> Forecast:
    """What the gates expect at the present traffic of the stable arm. ``needs_pass``: whether one has to pass."""
    return gates.forecast(
        release.policy,
        release.steps,
        dwell=max(release.dwell_seconds, 2 * release.scrape_seconds),
        deadline=release.deadline_seconds,
        scrape_seconds=release.scrape_seconds,
        traffic=history.rates(),
        dispersion=history.dispersions(),
        few_pods=history.few_pods(),
        needs_pass=needs_pass,
    )


def refuse_undecidable(release: Release, forecast: Forecast, *, watched_seconds: float) -> None:
    """Raises ``Refused`` with the numbers and the options when a required gate cannot pass before its deadline.

    ``watched_seconds``: how long this desk has counted; a young desk knows too little to be sure of what it says.
    """
    if release.steps[0] == 100:
        raise Refused("a canary that begins at 100 % is compared with nothing", hint="begin with a step below 100")
    if not forecast.decidable and watched_seconds < YOUNG_SECONDS:
        raise Refused(
            f"this desk has watched {release.service} for {watched_seconds:.0f} s only: "
            + "; ".join(forecast.problems),
            hint=f"try again when it has watched for {YOUNG_SECONDS:g} s",
        )
    if not forecast.decidable:
        raise Refused(
            "the required gates cannot be decided before the deadline: " + "; ".join(forecast.problems),
            hint="options: " + "; ".join(forecast.options),
        )


def refuse_unreadable(stable: Version, canary: Version) -> None:
    """Raises ``Refused`` unless each of the two reads what the other writes.

    They serve side by side and take over each other's unfinished work, and the old one must be able to take everything
    back: a release without a way back does not start.
    """
    for writer, reader, meaning, hint in (
        (
            canary,
            stable,
            "there would be no way back",
            "first release a version that reads both and still writes {old}",
        ),
        (stable, canary, "it could not go on with what is stored", "choose a version that reads {new}"),
    ):
        if writer.data.writes not in reader.data.reads:
            reads = ", ".join(map(str, reader.data.reads))
            raise Refused(
                f"{writer.label} writes format {writer.data.writes} of the stored data, which {reader.label} cannot "
                f"read (it reads {reads}): {meaning}",
                hint=hint.format(old=reader.data.writes, new=writer.data.writes),
            )


def forecast_view(release: Release, found: Forecast, *, hold_back: int, bake_seconds: float) -> ForecastView:
    """The forecast of the gates and of what surrounds them: starting the pods, settling each split, the bake.

    ``hold_back``: percent of players that stay with the old version through the bake, which lasts ``bake_seconds``.
    """
    bake = max(bake_seconds, 2 * release.scrape_seconds)
    settle = SCRAPES_TO_SETTLE * release.scrape_seconds
    last = 100 - hold_back
    steps = (
        *(
            StepForecast(
                name=f"{step.weight} %",
                weight=step.weight,
                seconds=None if step.seconds is None else step.seconds + settle,
                waits_for=step.waits_for,
            )
            for step in found.steps
            if step.weight < 100
        ),
        StepForecast(name=f"{last} %", weight=last, seconds=bake, waits_for="bake"),
    )
    known = [step.seconds for step in steps if step.seconds is not None]
    return ForecastView(
        decidable=found.decidable,
        seconds=START_SECONDS + sum(known) if found.decidable and len(known) == len(steps) else None,
        steps=steps,
        faults=tuple(
            FaultForecast(signal=fault.gate, fault=fault.fault, seconds=fault.seconds, bad_events=fault.bad)
            for fault in found.faults
        ),
        strata=found.strata,
        problems=found.problems,
        options=found.options,
    )
