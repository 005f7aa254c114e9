"""What a plan may be expected to do: time to promotion, time to notice harm, and what harm would cost."""

from __future__ import annotations

from croupier.model.base import Value
from croupier.model.service import By, stratum_words


class StepForecast(Value):
    weight: int
    seconds: float | None
    """From entering the step to the pass of all required gates, for a healthy canary; None: not before the deadline."""
    waits_for: str
    """The gate that takes longest, or "dwell"."""


class FaultForecast(Value):
    """How soon a reference fault would be noticed at the first step."""

    gate: str
    fault: str
    """In words: ``2 % of requests fail``."""
    seconds: float | None
    """Until the verdict; None: not before the deadline."""
    bad: float | None
    """Failures of the canary until the verdict, in the gate's unit."""


class StratumForecast(Value):
    """What can be seen of one provider or market at the first step."""

    gate: str
    by: By
    name: str
    required: bool
    attempts_per_second: float
    """Of stable now, all players; 0: nothing of it was seen."""
    fault: str
    """In words: ``10 % of them are lost``."""
    fault_seconds: float | None
    """Until the verdict; None: not before the deadline."""
    bad: float | None
    """Failures of the canary until then."""
    pass_seconds: float | None
    """Until it is shown to be no worse by itself; None: not before the step's deadline."""

    @property
    def words(self) -> str:
        return stratum_words(self.by, self.name)


class Forecast(Value):
    decidable: bool
    """False: some required gate cannot pass before a step's deadline even if the canary is as good as stable."""
    seconds: float | None
    """Sum over the steps before the last; None when not decidable."""
    steps: tuple[StepForecast, ...]
    faults: tuple[FaultForecast, ...]
    strata: tuple[StratumForecast, ...] = ()
    problems: tuple[str, ...] = ()
    """Why it is not decidable, with the numbers."""
    options: tuple[str, ...] = ()
    """What would make it decidable, each complete in itself."""
