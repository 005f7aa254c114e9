"""What one update of the gates costs: one metric, twenty pods, folded and as the engine calls it.

    python bench/gate_update.py

Exit 1 if a fold takes more than 50 microseconds (best of the repeats: the machine's noise is not the gate's).
"""

from __future__ import annotations

import argparse
import sys
import time
from random import Random

from croupier.core.gates import assess, fold, new_evidence
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts
from croupier.model.release import GatePolicy, GateSpec, Margin

BAR_MICROSECONDS = 50.0
SCRAPE, UPDATES = 15.0, 2000


def samples(seed: int, count: int) -> list[Sample]:
    """A healthy canary on one pod beside nineteen, 1000 requests a second, 0.1 % failing."""
    random = Random(seed)
    totals = {("canary", 0): [0.0, 0.0]} | {("stable", pod): [0.0, 0.0] for pod in range(19)}
    made = []
    for number in range(count):
        for counter in totals.values():
            counter[0] += 750.0
            counter[1] += random.random() < 0.75
        arms = {
            arm: ArmSample(
                {
                    "errors": SeriesCounts(
                        {f"{arm}-{pod}": Count(*counter) for (of, pod), counter in totals.items() if of == arm}
                    )
                }
            )
            for arm in ("canary", "stable")
        }
        made.append(Sample(at=number * SCRAPE, weight=5, canary=arms["canary"], stable=arms["stable"]))
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=7)
    repeats = parser.parse_args().repeats
    policy = GatePolicy(gates=(GateSpec(signal="errors", role="required", margin=Margin(ratio=2.0)),))
    stream = samples(1, UPDATES)
    best_fold = best_assess = float("inf")
    for _ in range(repeats):
        evidence = new_evidence(policy, SCRAPE, {"errors": 1.0})
        began = time.process_time()
        for sample in stream:
            fold(evidence, sample)
        best_fold = min(best_fold, (time.process_time() - began) / UPDATES * 1e6)
        began = time.process_time()
        for _ in range(UPDATES):
            assess(evidence, weight=5, now=stream[-1].at)
        best_assess = min(best_assess, (time.process_time() - began) / UPDATES * 1e6)
    print(f"fold   {best_fold:6.1f} µs an update (bar {BAR_MICROSECONDS:.0f})")
    print(f"assess {best_assess:6.1f} µs a verdict")
    return 0 if best_fold <= BAR_MICROSECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
