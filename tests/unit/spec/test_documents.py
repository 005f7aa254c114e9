"""Every problem of a file at its line and column; never anything but a value or ``SpecError``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from croupier.core.plans.defaults import default_policy
from croupier.errors import SpecError
from croupier.model.release import GatePolicy, GateSpec, Margin
from croupier.spec.documents import load_descriptor, load_release, load_settings
from croupier.spec.files import LARGEST_BYTES
from croupier.spec.platform import load_platform

DIGEST = "sha256:" + "a" * 64
RELEASE = f"service: payments-api\ndigest: {DIGEST}\n"
SETTINGS = """\
platform: platform.yaml
traffic: {kind: envoy, directory: edge, admin: "http://127.0.0.1:9901"}
workloads: {kind: processes, directory: workloads, versions: versions}
metrics: {kind: scrape, urls: ["http://127.0.0.1:9100/metrics"]}
state: desk
"""
PLATFORM = """\
services:
  - name: payments-api
    tier: money
    replicas: 4
    routes: ["/payments/"]
    dependsOn: [wallet]
    objectives:
      - {signal: deposits, successRatio: 0.9985}
      - {signal: latency, p95Seconds: 0.4}
  - name: wallet
    replicas: 2
    internal: true
    routes: ["/wallet/"]
"""


def _problems(load: Callable[[Path], Any], path: Path, content: str | bytes) -> list[str]:
    """Each problem as ``line:column CODE message, hint``."""
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(SpecError) as caught:
        load(path)
    assert all(problem.file == str(path) for problem in caught.value.problems)
    return [str(problem).removeprefix(f"{path}:").removeprefix(f"{path} ") for problem in caught.value.problems]


# --- what is right ----------------------------------------------------------------------------------------------------


def test_a_release_of_two_lines_gets_its_defaults(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_text(RELEASE)
    asked = load_release(path)
    assert (asked.service, asked.digest, asked.steps) == ("payments-api", DIGEST, (5, 10, 25, 50, 100))
    assert asked.policy is None
    policy = GatePolicy(gates=(GateSpec(signal="deposits", role="required", margin=Margin(ratio=1.5)),))
    assert asked.complete(policy).policy == policy


def test_a_release_may_say_everything(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_text(
        RELEASE
        + "steps: [20, 100]\ndwellSeconds: 5\ndeadlineSeconds: 60.5\n"
        + "policy:\n  alpha: 0.02\n  gates:\n    - {signal: errors, role: required, margin: {points: 0.5}}\n"
    )
    asked = load_release(path)
    assert asked.steps == (20, 100)
    assert (asked.dwell_seconds, asked.deadline_seconds) == (5.0, 60.5)
    other = GatePolicy(gates=(GateSpec(signal="deposits", margin=Margin(ratio=2.0)),))
    assert asked.complete(other).policy.alpha == 0.02


def test_settings_are_relative_to_their_file(tmp_path: Path) -> None:
    path = tmp_path / "desk.yaml"
    path.write_text(SETTINGS.replace("state: desk", "state: /var/lib/desk"))
    settings = load_settings(path)
    assert settings.platform == tmp_path / "platform.yaml"
    assert settings.traffic.directory == tmp_path / "edge"
    assert settings.workloads.versions == tmp_path / "versions"
    assert settings.state == Path("/var/lib/desk")


def test_a_platform_is_read(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(PLATFORM)
    platform = load_platform(path)
    assert [service.name for service in platform.services] == ["payments-api", "wallet"]
    assert platform.services[0].objectives[1].p95_seconds == 0.4


def test_a_descriptor_is_read(tmp_path: Path) -> None:
    path = tmp_path / "payments-api-healthy.yaml"
    path.write_text("service: payments-api\nlabel: healthy\nmodule: payments\nbuild:\n  changes: [no, 012, 0x1F]\n")
    descriptor = load_descriptor(path)
    assert (descriptor.label, descriptor.description) == ("healthy", "")
    assert descriptor.build == {"changes": ["no", 12, 31]}


def test_a_byte_order_mark_and_windows_line_ends_are_no_problem(tmp_path: Path) -> None:
    path = tmp_path / "release.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + RELEASE.replace("\n", "\r\n").encode())
    assert load_release(path).service == "payments-api"
    bad = b"\xef\xbb\xbf" + RELEASE.replace("\n", "\r\n").encode() + b"steps: [5, 101]\r\n"
    assert _problems(load_release, path, bad) == ["3:12 RANGE should be less than or equal to 100, got 101"]


# --- what a release file can have wrong -------------------------------------------------------------------------------

KNOWN = (
    "bakeSeconds, deadlineSeconds, digest, dwellSeconds, holdBackPercent, maxSurge, maxUnavailable, policy, "
    "readySeconds, scrapeSeconds, service, steps, strategy"
)
BY_DIGEST = "name a version by digest, sha256: and 64 hex digits; a tag can move and is never used"

BAD_RELEASES = {
    "a tag for a digest": (
        "service: payments-api\ndigest: payments-api:healthy\n",
        [f'2:9 DIGEST "payments-api:healthy" is not a digest, {BY_DIGEST}'],
    ),
    "latest": ("service: bets\ndigest:   latest\n", [f'2:11 DIGEST "latest" is not a digest, {BY_DIGEST}']),
    "a short digest": (
        "service: bets\ndigest: sha256:abc\n",
        [f'2:9 DIGEST "sha256:abc" is not a digest, {BY_DIGEST}'],
    ),
    "101 %": (RELEASE + "steps: [5, 10, 101]\n", ["3:16 RANGE should be less than or equal to 100, got 101"]),
    "0 %": (RELEASE + "steps: [0, 100]\n", ["3:9 RANGE should be greater than or equal to 1, got 0"]),
    "steps not rising": (
        RELEASE + "steps:\n  - 5\n  - 25\n  - 10\n  - 100\n",
        ["6:5 VALUE steps must rise, got 10 after 25"],
    ),
    "steps standing still": (RELEASE + "steps: [5, 5, 100]\n", ["3:12 VALUE steps must rise, got 5 after 5"]),
    "steps ending early": (RELEASE + "steps: [5, 50]\n", ["3:12 VALUE the last step must be 100, got 50"]),
    "a dwell longer than the deadline": (
        RELEASE + "dwellSeconds: 60\ndeadlineSeconds: 50\n",
        ["1:1 VALUE no step can pass: it lasts 60 s at least (dwellSeconds), deadlineSeconds is 50"],
    ),
    "a deadline before the second scrape": (
        RELEASE + "dwellSeconds: 0\ndeadlineSeconds: 9\n",
        ["1:1 VALUE no step can pass: it lasts 10 s at least (two scrapes), deadlineSeconds is 9"],
    ),
    "two gates on one signal": (
        RELEASE
        + "policy:\n  gates:\n    - {signal: bets, margin: {ratio: 2}}\n    - {signal: bets, margin: {ratio: 3}}\n",
        ["6:7 VALUE bets stands here twice"],
    ),
    "one step without brackets": (RELEASE + "steps: 100\n", ["3:8 TYPE should be a list, got 100"]),
    "no steps": (
        RELEASE + "steps: []\n",
        ["3:8 RANGE should have at least 1 item, got 0"],
    ),
    "a step in words": (
        RELEASE + "steps: [five, 100]\n",
        ['3:9 TYPE should be a valid integer, got "five"'],
    ),
    "a quoted number": (
        RELEASE + 'dwellSeconds: "15"\n',
        ['3:15 TYPE should be a valid number, got "15", write it without quotes'],
    ),
    "a boolean for a number": (
        RELEASE + "dwellSeconds: true\n",
        ["3:15 TYPE should be a valid number, got true"],
    ),
    "a name with capitals": (
        f"service: Payments_API\ndigest: {DIGEST}\n",
        ['1:10 NAME "Payments_API" is not a name, lower-case letters, digits and hyphens, a letter first, at most 63'],
    ),
    "an unknown key": (
        RELEASE + "dwelSeconds: 5\n",
        [f"3:1 UNKNOWN_KEY unknown key 'dwelSeconds', did you mean dwellSeconds? known: {KNOWN}"],
    ),
    "snake case": (
        RELEASE + "dwell_seconds: 5\n",
        [f"3:1 UNKNOWN_KEY unknown key 'dwell_seconds', did you mean dwellSeconds? known: {KNOWN}"],
    ),
    "an unknown strategy": (
        RELEASE + "strategy: canari\n",
        ['3:11 VALUE "canari" is not one of the known values, did you mean canary? known: canary, rolling'],
    ),
    "an unknown signal": (
        RELEASE + "policy:\n  gates:\n    - signal: deposit\n      margin: {ratio: 2}\n",
        [
            '5:15 VALUE "deposit" is not one of the known values, did you mean deposits? '
            "known: bets, calls, deposits, errors, latency, logins, withdrawals"
        ],
    ),
    "both margins": (
        RELEASE + "policy:\n  gates:\n    - {signal: errors, margin: {ratio: 2, points: 1}}\n",
        ["5:32 VALUE give either ratio or points"],
    ),
    "an unknown key deep inside": (
        RELEASE + "policy:\n  gates:\n    - {signal: errors, margin: {ratios: 2}}\n",
        ["5:33 UNKNOWN_KEY unknown key 'ratios', did you mean ratio? known: points, ratio"],
    ),
    "nothing but comments": ("# later\n", ["1:1 EMPTY there is nothing in the file"]),
    "a list": ("- a\n", ['1:1 TYPE should be a mapping, got ["a"]']),
    "missing keys": (
        "steps: [100]\n",
        ["1:1 MISSING_KEY 'digest' is missing", "1:1 MISSING_KEY 'service' is missing"],
    ),
    "a duplicate key": (
        RELEASE + "service: bets\n",
        ["3:1 DUPLICATE_KEY key 'service' stands on line 1 already, remove one"],
    ),
    "all at once, sorted by place": (
        "service: Bets\ndigest: latest\nsteps: [50, 101]\nservice: x\nwait: 3\n",
        [
            '1:10 NAME "Bets" is not a name, lower-case letters, digits and hyphens, a letter first, at most 63',
            f'2:9 DIGEST "latest" is not a digest, {BY_DIGEST}',
            "3:13 RANGE should be less than or equal to 100, got 101",
            "4:1 DUPLICATE_KEY key 'service' stands on line 1 already, remove one",
            f"5:1 UNKNOWN_KEY unknown key 'wait', known: {KNOWN}",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD_RELEASES)
def test_a_bad_release_is_refused_with_all_problems_at_their_places(tmp_path: Path, name: str) -> None:
    content, expected = BAD_RELEASES[name]
    assert _problems(load_release, tmp_path / "release.yaml", content) == expected


# --- what YAML can have wrong -----------------------------------------------------------------------------------------

BAD_YAML: dict[str, tuple[str | bytes, str]] = {
    "a tab": ("service:\n\tname: x\n", "2:1 TAB a tab cannot indent, indent with spaces"),
    "a tab after spaces": ("a:\n  b: 1\n \tc: 2\n", "3:2 TAB a tab cannot indent, indent with spaces"),
    "an open bracket": ("steps: [5, 10\n", "2:1 YAML the [ on line 1 is not closed, a , or ] is missing before this"),
    "a stray colon": ("a: b: c\n", "1:5 YAML a key where none can be, quote a value that has a colon"),
    "a line between two others": (
        "a:\n  - b: 1\n   c: 2\n",
        "3:4 YAML indented by 3, which fits no line above, indent it by 4 like line 2, or by 2 like line 2",
    ),
    "a line deeper than what is complete": (
        "a:\n  - b: 1\n      c: 2\n",
        "3:7 YAML indented by 6, which fits no line above, indent it by 4 like line 2",
    ),
    "a key in a list": (
        "a:\n  - b\n  c: 1\n",
        '3:3 YAML a list goes on here, and this is no item of it, begin it with "- "',
    ),
    "two documents": ("a: 1\n---\nb: 2\n", "2:1 DOCUMENTS a second document begins here, one file holds one document"),
    "an unknown alias": (
        "a: *b\n",
        "1:4 ALIAS alias *b names nothing before it",
    ),
    "an alias to itself": ("a: &a [*a]\n", "1:8 ALIAS alias *a stands inside what it names"),
    "a deep file": ("[" * 65, "1:65 DEPTH nested deeper than 64 levels"),
    "very deep brackets": ("[" * 900_000, "1:65 DEPTH nested deeper than 64 levels"),
    "very deep braces": ("{a: " * 200_000, "1:254 DEPTH nested deeper than 64 levels"),
    "very deep dashes": ("- " * 400_000, "1:129 DEPTH nested deeper than 64 levels"),
    "a control character": ("a: b\nc: d\x07\n", "2:5 CHARACTER character U+0007 is not allowed in YAML"),
    "a mark in the middle": ("a: b\n\ufeffc: d\n", "2:1 CHARACTER character U+FEFF is not allowed in YAML"),
    "Latin-1": ("name: Kör".encode("latin-1"), "1:8 ENCODING byte 0xf6 is not UTF-8, save it as UTF-8"),
    "UTF-16": ("a: b".encode("utf-16"), "1:1 ENCODING is UTF-16 or UTF-32, save it as UTF-8"),
    "a file too large": (b"#" * (LARGEST_BYTES + 1), f"SIZE is larger than {LARGEST_BYTES} bytes"),
    "too many values": ("- 1\n" * 100_001, "100000:3 SIZE more than 100000 values, aliases written out"),
}


@pytest.mark.parametrize("name", BAD_YAML)
def test_a_file_that_cannot_be_read_on_is_refused_at_its_place(tmp_path: Path, name: str) -> None:
    content, expected = BAD_YAML[name]
    assert _problems(load_release, tmp_path / "release.yaml", content) == [expected]


def test_a_billion_laughs_are_cut_short(tmp_path: Path) -> None:
    lines = ["a: &a [" + ",".join("1" * 9) + "]"]
    lines += [f"{b}: &{b} [{','.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    (problem,) = _problems(load_release, tmp_path / "release.yaml", "\n".join(lines))
    assert problem == "6:8 SIZE more than 100000 values, aliases written out"


def test_an_alias_is_what_it_names(tmp_path: Path) -> None:
    path = tmp_path / "d.yaml"
    path.write_text("service: bets\nlabel: &l healthy\ndescription: *l\n")
    assert load_descriptor(path).description == "healthy"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("!!python/object/apply:os.system [x]\n", "1:1 TAG"),
        ("a: !mine b\n", "1:4 TAG"),
        ("a: !!str 5\n", "1:4 TAG"),
        ("1: a\n", "1:1 KEY a key must be a string, quote it"),
        ("? [a, b]\n: c\n", "1:3 KEY a key must be a string"),
        ("null: a\n", "1:1 KEY a key must be a string, quote it"),
        ("<<: {}\n<<: {}\n", "2:1 DUPLICATE_KEY key '<<' stands on line 1 already, merge keys are not part"),
        ("a: " + "9" * 500 + "\n", "1:4 VALUE a number of 500 characters"),
    ],
)
def test_what_yaml_allows_and_we_do_not_is_refused(tmp_path: Path, content: str, expected: str) -> None:
    problems = _problems(load_release, tmp_path / "release.yaml", content)
    assert any(problem.startswith(expected) for problem in problems), problems


# --- what is no file --------------------------------------------------------------------------------------------------


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    for path, message in (
        (fifo, "is not a regular file"),
        (tmp_path, "is not a regular file"),
        (Path("/dev/zero"), "is not a regular file"),
        (tmp_path / "none.yaml", "there is no such file"),
        (tmp_path / ("x" * 300), "cannot be opened: File name too long"),
        (Path("a\0b"), "cannot be opened: embedded null byte"),
    ):
        with pytest.raises(SpecError) as caught:
            load_release(path)
        assert [str(problem) for problem in caught.value.problems] == [f"{path} FILE {message}"]


# --- settings and platform --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "kind: envoy",
            "kind: envoi",
            ['2:17 VALUE "envoi" is not one of the known values, did you mean envoy? known: envoy'],
        ),
        ("kind: envoy, ", "", ["2:10 MISSING_KEY 'kind' is missing"]),
        (
            "versions: versions",
            "version: versions",
            [
                "3:12 MISSING_KEY 'versions' is missing",
                "3:52 UNKNOWN_KEY unknown key 'version', did you mean versions? known: directory, kind, versions",
            ],
        ),
        (
            '["http://127.0.0.1:9100/metrics"]',
            "[]",
            ["4:31 RANGE should have at least 1 item, got 0"],
        ),
        ('"http://127.0.0.1:9901"', "localhost", [r'2:48 VALUE "localhost" does not match ^https?://[^\s/]+(/\S*)?$']),
        ("state: desk\n", "", ["1:1 MISSING_KEY 'state' is missing"]),
    ],
)
def test_bad_settings_are_refused_at_their_place(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    assert _problems(load_settings, tmp_path / "desk.yaml", SETTINGS.replace(old, new)) == expected


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("name: wallet", "name: payments-api", ["6:17 UNKNOWN_NAME", "10:11 DUPLICATE_NAME"]),
        (
            "dependsOn: [wallet]",
            "dependsOn: [walet]",
            ["6:17 UNKNOWN_NAME 'walet' is not declared, did you mean wallet? known: payments-api, wallet"],
        ),
        ('"/wallet/"', '"/payments/"', ["13:14 ROUTE '/payments/' belongs to payments-api already"]),
        ('"/wallet/"', '"wallet"', ["13:14 ROUTE 'wallet' must start and end with /"]),
        ("p95Seconds: 0.4", "successRatio: 0.9", ["9:9 OBJECTIVE latency needs p95Seconds and nothing else"]),
        ("successRatio: 0.9985", "p95Seconds: 1", ["8:9 OBJECTIVE deposits needs successRatio and nothing else"]),
        ("internal: true", "internal: yes", ['12:15 TYPE should be a valid boolean, got "yes", write true']),
        ("replicas: 2", "replicas: 2.5", ["11:15 TYPE should be a valid integer"]),
    ],
)
def test_a_bad_platform_is_refused_at_its_place(tmp_path: Path, old: str, new: str, expected: list[str]) -> None:
    problems = _problems(load_platform, tmp_path / "platform.yaml", PLATFORM.replace(old, new))
    assert len(problems) == len(expected), problems
    for problem, start in zip(problems, expected, strict=True):
        assert problem.startswith(start), problems


def test_a_route_is_no_longer_than_a_gateway_takes(tmp_path: Path) -> None:
    text = PLATFORM.replace("/payments/", f"/{'p' * 1023}/")
    (problem,) = _problems(load_platform, tmp_path / "platform.yaml", text)
    assert problem.endswith("is not a path as the Gateway API takes it")


@pytest.mark.parametrize("path", ["ready", "", "/is ready", "/\u0444", "/a\r\nHost: b", "http://x/"])
def test_where_readiness_is_asked_must_be_a_path(tmp_path: Path, path: str) -> None:
    """Envoy refuses all clusters for one that it cannot ask, or takes no pod of it for healthy."""
    text = PLATFORM.replace("replicas: 4", f"replicas: 4\n    readinessPath: {json.dumps(path)}")
    (problem,) = _problems(load_platform, tmp_path / "platform.yaml", text)
    assert problem.startswith("5:20 VALUE ")
    assert problem.endswith(" is not a path, it begins with / and is ASCII without spaces")


@pytest.mark.parametrize("value", ["5", "~", "[a]"])
def test_a_label_must_be_text(tmp_path: Path, value: str) -> None:
    (problem,) = _problems(load_descriptor, tmp_path / "d.yaml", f"service: bets\nlabel: {value}\n")
    assert problem.startswith("2:8 TYPE should be a valid string")


@pytest.mark.parametrize(
    ("objective", "problem"),
    [
        ("signal: errors, successRatio: 0.999, strata: [{by: provider, of: [psp-a]}]", "errors has no strata"),
        (
            "signal: bets, successRatio: 0.999, strata: [{by: market, of: [MT], required: [GB]}]",
            "market GB is required but not declared: of has MT",
        ),
        ("signal: bets, successRatio: 0.999, strata: [{by: brand, of: [one]}]", "brand"),
        ("signal: bets, successRatio: 0.999, strata: [{by: market, of: [" + "M, " * 13 + "]}]", "at most 12"),
    ],
)
def test_strata_that_nobody_counts_are_refused_at_their_place(tmp_path: Path, objective: str, problem: str) -> None:
    path = tmp_path / "platform.yaml"
    path.write_text(
        f"services:\n  - name: bets\n    replicas: 1\n    routes: []\n    objectives:\n      - {{{objective}}}\n"
    )
    with pytest.raises(SpecError) as caught:
        load_platform(path)
    (found,) = caught.value.problems
    assert found.line == 6
    assert problem in f"{found.message} {found.hint}"


def test_strata_of_an_objective_are_those_of_the_default_gate(tmp_path: Path) -> None:
    path = tmp_path / "platform.yaml"
    strata = "strata: [{by: market, of: [MT, GB], required: [MT]}]"
    path.write_text(
        "services:\n  - name: bets\n    replicas: 1\n    routes: []\n"
        f"    objectives: [{{signal: bets, successRatio: 0.99, {strata}}}]\n"
    )
    gate = default_policy(load_platform(path).services[0]).gates[0]
    assert (gate.signal, gate.strata[0].of, gate.strata[0].required) == ("bets", ("MT", "GB"), ("MT",))


def test_a_service_of_the_stand_may_say_what_a_cluster_needs_and_share_what_is_common(tmp_path: Path) -> None:
    """One form: the stand reads of a service what it runs, and leaves the rest to who renders manifests."""
    path = tmp_path / "platform.yaml"
    path.write_text(
        "defaults: {replicas: 2, resources: {cpu: 100m, memory: 128Mi}}\n"
        "presets:\n  - when: {tier: money}\n    set: {drainSeconds: 20}\n"
        "services:\n"
        f"  - {{name: bets, tier: money, layer: service, image: registry.example/bets@{DIGEST}, routes: [/bets/]}}\n"
        "  - {name: lobby, layer: api, routes: [/lobby/], dependsOn: [bets], scaling: {min: 2, max: 4}}\n"
        "layers:\n  - at: {service: lobby}\n    set: {replicas: 9}\n"
    )
    bets, lobby = load_platform(path).services
    assert (bets.replicas, bets.drain_seconds, lobby.replicas, lobby.drain_seconds) == (2, 20.0, 2, 5.0)


def test_a_platform_without_services_is_no_platform_of_the_stand(tmp_path: Path) -> None:
    assert _problems(load_platform, tmp_path / "platform.yaml", "brands: {}\n") == [
        "1:1 MISSING_KEY 'services' is missing"
    ]
