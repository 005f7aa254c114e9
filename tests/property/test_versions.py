"""Names, digests and rewritten templates of versions, and the next move, for whatever people write."""

from __future__ import annotations

import re
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from croupier.core.intent import LastRun, LiveRun, Standing, next_move
from croupier.core.render.version import (
    config_map_names,
    labels,
    object_name,
    version_digest,
    version_template,
)
from croupier.model.base import NAME

DIGESTS = st.sampled_from(["sha256:" + letter * 64 for letter in "0123456789abcdef"])
NAMES = st.from_regex(NAME, fullmatch=True).map(str.strip)
CONFIG_NAMES = st.from_regex(r"[a-z0-9]([-a-z0-9.]{0,80}[a-z0-9])?", fullmatch=True)
LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
SUBDOMAIN = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@st.composite
def templates(draw: st.DrawFn) -> dict[str, Any]:
    names = st.sampled_from(draw(st.lists(CONFIG_NAMES, min_size=1, max_size=4, unique=True)))
    reference = st.fixed_dictionaries({"name": names}, optional={"optional": st.booleans(), "key": st.just("k")})
    source = st.one_of(
        st.fixed_dictionaries({"configMapRef": reference}), st.just({"secretRef": {"name": "keys"}}), st.just({})
    )
    variable = st.one_of(
        st.fixed_dictionaries(
            {"name": st.just("V"), "valueFrom": st.fixed_dictionaries({"configMapKeyRef": reference})}
        ),
        st.just({"name": "W", "value": "1"}),
    )
    container = st.fixed_dictionaries(
        {"name": st.just("app")},
        optional={"envFrom": st.lists(source, max_size=3), "env": st.lists(variable, max_size=3)},
    )
    projected = st.fixed_dictionaries(
        {"sources": st.lists(st.fixed_dictionaries({"configMap": reference}), max_size=2)}
    )
    volume = st.one_of(
        st.fixed_dictionaries({"name": st.just("v"), "configMap": reference}),
        st.fixed_dictionaries({"name": st.just("p"), "projected": projected}),
        st.just({"name": "e", "emptyDir": {}}),
    )
    spec = st.fixed_dictionaries(
        {"containers": st.lists(container, min_size=1, max_size=2)},
        optional={"initContainers": st.lists(container, max_size=1), "volumes": st.lists(volume, max_size=3)},
    )
    metadata = st.fixed_dictionaries({}, optional={"labels": st.dictionaries(NAMES, NAMES, max_size=2)})
    return draw(st.fixed_dictionaries({"spec": spec}, optional={"metadata": metadata}))


@given(NAMES, DIGESTS, templates())
def test_every_reference_is_rewritten_and_nothing_else(policy: str, digest: str, template: dict[str, Any]) -> None:
    made = version_template(policy, digest, template)
    renamed = {object_name(name, digest): name for name in config_map_names(template)}
    assert config_map_names(made) == set(renamed)
    assert len(renamed) == len(config_map_names(template)), "two ConfigMaps keep two names"

    def undo(value: Any) -> Any:
        if isinstance(value, dict):
            return {
                key: {**undo(each), "name": renamed[each["name"]]} if key.startswith("configMap") else undo(each)
                for key, each in value.items()
            }
        return [undo(each) for each in value] if isinstance(value, list) else value

    assert undo(made["spec"]) == template["spec"]
    assert made["metadata"]["labels"] == {
        **template.get("metadata", {}).get("labels", {}),
        **labels(policy, digest),
    }


@given(NAMES, DIGESTS, templates())
def test_the_same_template_makes_the_same_version_again(policy: str, digest: str, template: dict[str, Any]) -> None:
    assert version_template(policy, digest, template) == version_template(policy, digest, template)
    own = {**template, "metadata": {**template.get("metadata", {}), "creationTimestamp": None}}
    assert version_template(policy, digest, own) == version_template(policy, digest, template)


@given(templates(), st.dictionaries(CONFIG_NAMES, st.dictionaries(NAMES, st.text(max_size=5), max_size=3), max_size=3))
def test_the_order_of_keys_makes_no_version(template: dict[str, Any], config: dict[str, dict[str, str]]) -> None:
    def turned(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: turned(value[key]) for key in reversed(value)}
        return [turned(each) for each in value] if isinstance(value, list) else value

    data = {name: {"data": each} for name, each in config.items()}
    assert version_digest(turned(template), turned(data)) == version_digest(template, data)


@given(NAMES, DIGESTS)
def test_names_of_versions_are_dns_labels(policy: str, digest: str) -> None:
    assert LABEL.fullmatch(object_name(policy, digest))
    assert all(
        re.fullmatch(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?", each) for each in labels(policy, digest).values()
    )


@given(CONFIG_NAMES, CONFIG_NAMES, DIGESTS)
def test_two_config_maps_never_share_a_copy(one: str, other: str, digest: str) -> None:
    assert (object_name(one, digest) == object_name(other, digest)) == (one == other)
    assert SUBDOMAIN.fullmatch(object_name(one, digest))
    assert len(object_name(one, digest)) <= 63


@given(st.text(alphabet="ab", min_size=50, max_size=63), st.text(alphabet="ab", min_size=50, max_size=63), DIGESTS)
def test_long_names_that_begin_alike_stay_apart(one: str, other: str, digest: str) -> None:
    assert (object_name(one, digest) == object_name(other, digest)) == (one == other)


# --- the next move ----------------------------------------------------------------------------------------------------

PHASES = ("preparing", "settling", "holding", "held", "paused", "promoting", "rolling-back")
RUNS = st.sampled_from(["r-0001", "r-0002"])
LIVE = st.builds(LiveRun, RUNS, DIGESTS, st.sampled_from(PHASES), st.booleans())
LAST = st.builds(LastRun, RUNS, DIGESTS, st.sampled_from(["promoted", "rolled-back"]), st.text(max_size=10))
STANDINGS = st.builds(
    Standing,
    wanted=st.none() | DIGESTS,
    stable=st.none() | DIGESTS,
    intent_runs=st.booleans(),
    live=st.none() | LIVE,
    last=st.none() | LAST,
    suspended=st.booleans(),
    leaving=st.booleans(),
    intent=DIGESTS,
    retry=st.sampled_from(["", "r-0001", "r-0002"]),
)


@given(STANDINGS)
def test_there_is_always_one_move_and_it_says_why(s: Standing) -> None:
    move = next_move(s)
    assert re.fullmatch(r"[A-Z][A-Za-z]+", move.code)
    assert move.text
    assert (move.kind in ("start", "switch")) == bool(move.digest)
    assert next_move(s) == move


@given(STANDINGS)
def test_one_run_at_a_time_and_only_a_live_one_is_aborted(s: Standing) -> None:
    assert next_move(s).kind in (("rest", "abort") if s.live is not None else ("rest", "start", "switch"))


@given(STANDINGS)
def test_what_was_just_taken_back_is_never_started_by_itself(s: Standing) -> None:
    move = next_move(s)
    if move.digest and s.last is not None and s.last.outcome == "rolled-back" and s.retry != s.last.run:
        assert move.digest != s.last.canary


@given(STANDINGS)
def test_a_run_that_is_ending_is_never_aborted(s: Standing) -> None:
    if s.live is not None and (s.live.aborting or s.live.phase in ("promoting", "rolling-back")):
        assert next_move(s).kind == "rest"


@given(STANDINGS)
def test_only_what_is_wanted_is_begun_and_never_what_serves(s: Standing) -> None:
    move = next_move(s)
    if move.digest:
        assert move.digest == (s.intent if s.leaving else s.wanted)
        assert move.digest != s.stable


@given(STANDINGS)
def test_nothing_new_comes_before_players_without_gates_once_a_version_serves(s: Standing) -> None:
    """S5.1."""
    if next_move(s).kind == "switch":
        assert s.stable is None or s.leaving


@given(STANDINGS)
def test_a_suspended_policy_begins_nothing_but_leaving(s: Standing) -> None:
    if s.suspended and not s.leaving:
        assert not next_move(s).digest
