"""Attempts per visit, two-sided (release-gates §1.1 c, §1.9, §2.6). Rates are measured by the bench."""

from __future__ import annotations

from math import exp, log
from random import Random

import pytest

from croupier.core.gates import assess, fold, new_evidence
from croupier.core.gates.volume import VolumeShift
from croupier.model.evidence import ArmSample, Count, Sample, SeriesCounts, Spread
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.model.verdict import Outcome
from croupier_kit.tally_visits import Visits

BETS = GatePolicy(gates=(GateSpec(signal="bets", role="required", margin=Margin(points=2.0)),))
SCRAPE = 5.0


class Casino:
    """Players come, bet a few times a visit, and go; some come often. All under one run, counted as the tally does."""

    def __init__(self, *, players: int = 800, seed: int = 1, kept: float = 1.0, times: int = 1) -> None:
        self.random = Random(seed)
        self.kept, self.times = kept, times
        self.eager = [exp(self.random.gauss(0.0, 0.7)) for _ in range(players)]
        self.slots = [self.random.random() * 100.0 for _ in range(players)]
        self.left: dict[int, int] = {}
        self.visits = Visits()
        self.bets = {"canary": 0.0, "stable": 0.0}
        self.at = 0.0

    def scrape(self, weight: int, *, stable_works: bool = True) -> Sample:
        random, self.at = self.random, self.at + SCRAPE
        for player in random.choices(range(len(self.eager)), self.eager, k=10):
            if player not in self.left:
                self.left[player] = int(log(random.random()) / log(0.85))
                self.visits.request(self.arm(player, weight), f"p{player}", self.at)
        for player in [player for player in self.left if random.random() < 0.6]:
            arm = self.arm(player, weight)
            self.left[player] -= 1
            if self.left[player] < 0:
                del self.left[player]
            elif arm == "stable":
                self.bet(arm, player, int(stable_works))
            else:
                self.bet(arm, player, self.times * (random.random() < self.kept))
        return self.sample(weight)

    def arm(self, player: int, weight: int) -> str:
        return "canary" if self.slots[player] < weight else "stable"

    def bet(self, arm: str, player: int, times: int) -> None:
        for _ in range(times):
            self.bets[arm] += 1.0
            self.visits.attempt(arm, f"p{player}", "bets")

    def sample(self, weight: int) -> Sample:
        arms = {}
        for name, bets in self.bets.items():
            arm = self.visits.arms[name]
            spread = Spread(arm.visits, arm.squares["bets"], arm.products["bets"], arm.visit_squares)
            counts = {"pod": Count(bets, 0.0)}
            arms[name] = ArmSample({"bets": SeriesCounts(counts, counts, spread)})
        return Sample(self.at, weight, arms["canary"], arms["stable"])


def play(casino: Casino, seconds: float, weight: int = 25, **more: bool):
    evidence, verdict = new_evidence(BETS, SCRAPE, {"bets": 1.05}), None
    for _ in range(int(seconds / SCRAPE)):
        fold(evidence, casino.scrape(weight, **more))
        verdict = assess(evidence, weight=weight, now=casino.at)
        if verdict.outcome is Outcome.FAIL:
            break
    return verdict


def test_a_version_whose_visits_place_two_fifths_fewer_bets_is_taken_back_though_all_succeed():
    verdict = play(Casino(kept=0.6), 900.0)
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "fewer")
    assert "expected (-" in verdict.reason
    assert "attempt less per visit" in verdict.reason


def test_a_version_that_bets_six_times_where_once_was_asked_is_taken_back():
    verdict = play(Casino(seed=2, times=6), 900.0)
    assert (verdict.outcome, verdict.code) == (Outcome.FAIL, "more")


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weight", [5, 25])
def test_clustered_bets_of_a_good_version_are_not_evidence(seed, weight):
    assert play(Casino(seed=seed), 900.0, weight).outcome is not Outcome.FAIL


def test_a_few_players_who_play_all_the_time_are_no_fault_of_the_version_they_were_drawn_to():
    casino = Casino(players=400, seed=5)
    for player in range(4):
        casino.eager[player] = 40.0
        casino.slots[player] = 0.0
    assert play(casino, 900.0, 10).outcome is not Outcome.FAIL


def test_when_stable_loses_its_bets_the_canary_is_not_too_busy():
    casino, evidence = Casino(seed=3), new_evidence(BETS, SCRAPE, {"bets": 1.05})
    for number in range(120):
        fold(evidence, casino.scrape(25, stable_works=number < 40))
        assert assess(evidence, weight=25, now=casino.at).outcome is not Outcome.FAIL


def test_counters_that_begin_anew_bound_how_players_differ():
    """What was known of players is gone, so the two lives are taken to be about the same ones."""
    volume, life = VolumeShift(), Spread(100.0, 5000.0, 3000.0, 3200.0)
    volume.read(Spread(0.0, 0.0, 0.0, 0.0), Spread(0.0, 0.0, 0.0, 0.0))
    volume.read(life, life)
    volume.update(125.0, 125.0, weight=50, seconds=5.0, telling=True)
    once = volume.phi
    volume.read(Spread(1.0, 1.0, 1.0, 1.0), Spread(1.0, 1.0, 1.0, 1.0))
    volume.read(life, life)
    volume.update(125.0, 125.0, weight=50, seconds=5.0, telling=True)
    assert volume.phi >= 1.9 * once


def test_without_players_nothing_is_said_of_volume():
    evidence = new_evidence(BETS, SCRAPE, {"bets": 1.05})
    for number in range(1, 50):
        counts = [{"pod": Count(total * number, 0.0)} for total in (10.0, 400.0)]
        arms = [ArmSample({"bets": SeriesCounts(each)}) for each in counts]
        fold(evidence, Sample(5.0 * number, 5, *arms))
    assert evidence.gates[0].series[0].volume.log_evidence <= 0.0


def test_few_players_of_whom_few_come_are_not_taken_for_attempts_that_vanish():
    """Fifteen players were drawn to the canary, and the eager ones to stable."""
    casino = Casino(players=300, seed=8)
    for player, slot in enumerate(casino.slots):
        if slot < 5.0:
            casino.eager[player] = 0.05
    assert play(casino, 900.0, 5).outcome is not Outcome.FAIL


def test_a_version_that_answers_visits_and_places_no_bet_has_lost_them():
    verdict = play(Casino(kept=0.0), 300.0)
    assert verdict.outcome is Outcome.FAIL
    assert verdict.code in ("vanished", "fewer")
