"""Faults planted into services drawn by chance are found; in the services alone nothing is (``bench.corpus``)."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from bench.corpus import ALONE, own, peer, write
from bench.planted import FAULTS, cases
from bench.sound import REGISTRY, TEAM

from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import Asked, check
from croupier.core.policy.objects import Settings
from croupier.core.schemas.validator import Validator
from croupier.spec.manifests import read_text
from croupier.spec.schemas import load_schemas

SEED = 11


def test_what_was_planted_is_found_and_nothing_else_is_touched() -> None:
    asked = Asked([RULES[name] for name in ALONE])
    settings = Settings((REGISTRY,), (TEAM,), schemas=Validator(load_schemas()))
    for each in cases(SEED, len(FAULTS), 30, ALONE):
        read = read_text(each.text, each.name)
        assert read.state == "read", (each.rule, read.problem)
        found = {hit.rule.id for hit in check(read.manifests, asked, settings)}
        assert each.rule in found if each.rule else not found, (each.rule, found, each.text)


def test_every_rule_that_is_planted_is_a_rule() -> None:
    assert {each.rule for each in FAULTS} <= set(ALONE)


def test_the_same_seed_gives_the_same_files_and_another_one_others() -> None:
    assert cases(SEED, 5, 5, ALONE) == cases(SEED, 5, 5, ALONE)
    assert not {each.text for each in cases(SEED, 5, 5, ALONE)} & {each.text for each in cases(12, 5, 5, ALONE)}


def test_the_command_line_finds_the_same(tmp_path: Path) -> None:
    held = cases(SEED, 8, 8, ALONE)
    write(tmp_path, held)
    assert own(tmp_path, held)[:2] == ((), ())


def test_a_checker_that_finds_nothing_or_everything_is_told(tmp_path: Path) -> None:
    held = cases(SEED, 2, 2, ALONE)
    write(tmp_path, held)
    blind, frightened = peer(["true"], tmp_path, held), peer(["false"], tmp_path, held)
    assert (len(blind.missed), len(blind.touched)) == (2, 0)
    assert (len(frightened.missed), len(frightened.touched)) == (0, 2)


@pytest.mark.parametrize("form", ["json", "yaml"])
def test_files_are_of_several_forms(form: str) -> None:
    def is_json(text: str) -> bool:
        try:
            return bool(json.loads(text))
        except ValueError:
            return False

    assert any(is_json(each.text) == (form == "json") for each in cases(SEED, 0, 30, ALONE))
