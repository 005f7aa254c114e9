"""``init``, ``check``, ``explain``, ``render`` and ``schema`` as somebody at a keyboard meets them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from croupier.cli.root import cli
from croupier.model.schemas import VERSIONS


def _run(*words: str | Path) -> Result:
    return CliRunner().invoke(cli, list(map(str, words)))


@pytest.fixture(autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(folder))
    return folder


@pytest.fixture
def demo(tmp_path: Path) -> Path:
    folder = tmp_path / "demo"
    assert _run("init", folder).exit_code == 0
    return folder


def _change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert text.count(old) == 1
    file.write_text(text.replace(old, new))


def test_what_init_writes_is_checked_and_rendered_as_the_readme_says(demo: Path, tmp_path: Path) -> None:
    checked = _run("check", demo)
    assert (checked.exit_code, checked.stdout) == (
        0,
        "2 cells, 6 services in them, no problem\n64 objects held against the schemas of Kubernetes 1.37\n",
    )
    assert "note: residency of market se is not reviewed" in checked.stderr
    out = tmp_path / "manifests"
    made = _run("render", demo, "--out", out)
    assert made.exit_code == 0
    assert "made cells/lucky-se-eu-north/payments-api.yaml" in made.stdout
    assert (out / "cells/lucky-se-eu-north/payments-api.yaml").read_text().startswith("# Made by croupier render")
    assert _run("render", demo, "--out", out, "--check").exit_code == 0


@pytest.mark.parametrize(
    ("form", "file"), [("helm", "chart/Chart.yaml"), ("kustomize", "base/cells/wallet/objects.yaml")]
)
def test_another_form_replaces_the_one_before(demo: Path, tmp_path: Path, form: str, file: str) -> None:
    out = tmp_path / "manifests"
    _run("render", demo, "--out", out)
    made = _run("render", demo, "--out", out, "--as", form)
    assert made.exit_code == 0
    assert f"made {file}" in made.stdout
    assert "removed cells/lucky-se-eu-north/payments-api.yaml" in made.stdout
    assert _run("render", demo, "--out", out, "--check", "--as", form).exit_code == 0
    assert _run("render", demo, "--out", out, "--check").exit_code == 1
    assert (out / "prometheus/eu-north/scrape.conf").exists()


def test_what_was_sound_is_checked_again_as_soon_as_anything_changes(
    demo: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Prevents: a platform called sound by what somebody remembers of another one."""
    first = _run("check", demo)
    with monkeypatch.context() as patch:
        patch.setattr("croupier.cli.platform._described", lambda _: pytest.fail("checked again"))
        assert _run("check", demo).output == first.output
    _change(demo / "services.yaml", "min: 6, max: 60", "min: 60, max: 6")
    assert _run("check", demo).exit_code == 2
    _change(demo / "services.yaml", "min: 60, max: 6", "min: 6, max: 60")
    (demo / "more.yaml").write_text("services: 5\n")
    assert _run("check", demo).exit_code == 2
    (demo / "more.yaml").unlink()
    for kept in cache.rglob("check/*"):
        kept.write_text("{")
    assert _run("check", demo).output == first.output


def test_a_platform_is_checked_where_nothing_can_be_kept(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert [_run("check", demo).exit_code for _ in range(2)] == [0, 0]


def test_a_platform_without_cells_is_not_rendered_and_nothing_is_removed(demo: Path, tmp_path: Path) -> None:
    """Prevents: a slip in the folder's name, or a file that was not checked out, empties what Git applies."""
    out = tmp_path / "manifests"
    _run("render", demo, "--out", out)
    before = sorted(out.rglob("*"))
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "platform.yaml").write_text("brands: {}\n")
    for words in ((), ("--check",)):
        refused = _run("render", tmp_path / "empty", "--out", out, *words)
        assert refused.exit_code == 2
        assert "empty has no cells" in refused.stderr
        assert "hint: declare one under `cells`" in refused.stderr
    assert sorted(out.rglob("*")) == before


def test_an_interrupt_says_how_far_it_came_and_leaves_no_rest(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "manifests"
    rename = os.rename

    def interrupted(source: str, target: Path) -> None:
        rename(source, target)
        if target.name == "lobby.yaml":
            raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr("croupier.adapters.files.os.rename", interrupted)
        stopped = _run("render", demo, "--out", out)
    assert (stopped.exit_code, stopped.stderr) == (3, "interrupted, 2 of 14 files written; run it again\n")
    assert sorted(path.name for path in out.rglob("*.*")) == ["00-namespace.yaml", "lobby.yaml"]
    assert _run("render", demo, "--out", out).stderr == "2 unchanged\n"


def test_init_touches_nothing_that_is_there(demo: Path) -> None:
    before = (demo / "services.yaml").read_text()
    again = _run("init", demo)
    assert again.exit_code == 1
    assert "is there already" in again.stderr
    assert (demo / "services.yaml").read_text() == before


def test_check_says_all_problems_with_their_places(demo: Path) -> None:
    _change(demo / "services.yaml", "layer: api", "layr: api")
    _change(demo / "platform.yaml", "title: Malta", "title: 7")
    wrong = _run("check", demo, "-o", "json")
    assert wrong.exit_code == 2
    said = json.loads(wrong.stderr)["error"]["problems"]
    places = [(each["place"].removeprefix(f"{demo}/"), each["code"]) for each in said]
    assert places == [("platform.yaml:8:15", "TYPE"), ("services.yaml:21:5", "UNKNOWN_KEY")]
    assert said[1]["hint"].startswith("did you mean layer?")


def test_explain_shows_who_said_what_and_who_was_outweighed(demo: Path) -> None:
    told = _run("explain", "lucky-se-eu-north", "payments-api.scaling.min", "--platform", demo)
    assert told.exit_code == 0
    assert told.stdout.replace(f"{demo}/", "").splitlines() == [
        "payments-api.scaling.min: 8",
        "  = 8  layer market=se service=payments-api  services.yaml:58:26",
        "  < 6  service  services.yaml:38:20",
    ]


def test_explain_of_what_nobody_said_names_the_default(demo: Path) -> None:
    told = _run("explain", "lucky-mt-eu-south", "lobby.startSeconds", "--platform", demo, "-o", "json")
    assert json.loads(told.stdout)["values"] == [{"path": "lobby.startSeconds", "value": 30, "chain": []}]


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (
            "region.prometheus",
            ['region.prometheus.form: "files"', '  = "files"  region eu-north  platform.yaml:27:24'],
        ),
        ("region.seriesBudget", []),
        ("region.pools", ["region.pools: {}", "  = default of croupier"]),
        ("gitops", ["gitops: not set", "  = default of croupier"]),
        ("gitops.branch", ["gitops.branch: not set", "  = default of croupier"]),
        (
            "cell.hostnames",
            [
                'cell.hostnames: ["se.lucky.example"]',
                '  = ["se.lucky.example"]  cell lucky-se-eu-north  platform.yaml:32:61',
            ],
        ),
        ("market.title", ['market.title: "Sweden"', '  = "Sweden"  market se  platform.yaml:10:12']),
    ],
)
def test_explain_tells_where_the_cell_is_placed_and_who_said_so(demo: Path, path: str, lines: list[str]) -> None:
    told = _run("explain", "lucky-se-eu-north", path, "--platform", demo)
    assert told.stdout.replace(f"{demo}/", "").splitlines() == lines
    assert told.exit_code == (0 if lines else 2)


def test_explain_of_what_was_taken_away_shows_by_whom(demo: Path) -> None:
    told = _run("explain", "lucky-mt-eu-south", "wallet.data.ledger.dr", "--platform", demo)
    assert told.stdout.replace(f"{demo}/", "").splitlines() == [
        "wallet.data.ledger.dr: not set",
        "  = unset  layer market=mt  services.yaml:56:35",
        '  < "eu-south"  service  services.yaml:49:90',
    ]


@pytest.mark.parametrize(
    ("cell", "path", "hint"),
    [
        ("lucky-se-eu-nort", "lobby.replicas", "did you mean lucky-se-eu-north?"),
        ("lucky-se-eu-north", "loby.replicas", "did you mean lobby?"),
        ("lucky-se-eu-north", "lobby.replica", "did you mean replicas?"),
        ("lucky-se-eu-north", "lobby.replicas.min", "known: replicas"),
        ("lucky-se-eu-north", "pools", "known: region.pools"),
        ("lucky-se-eu-north", "provider", "did you mean providers?"),
        ("lucky-se-eu-north", "region.pool", "did you mean pools?"),
    ],
)
def test_explain_answers_a_wrong_name_with_those_there_are(demo: Path, cell: str, path: str, hint: str) -> None:
    wrong = _run("explain", cell, path, "--platform", demo)
    assert wrong.exit_code == 2
    assert hint in wrong.stderr


def test_template_prints_the_plain_manifests_of_a_service(demo: Path) -> None:
    """S14.11. ``lucky-mt`` begins with six pods, ``lucky-se`` with eight."""
    said = _run("template", "payments-api", "--cell", "lucky-se-eu-north", "--platform", demo, "-o", "json")
    assert said.exit_code == 0
    deployment, scaler, doors = json.loads(said.stdout)["objects"]
    assert (deployment["spec"]["replicas"], scaler["spec"]["minReplicas"]) == (8, 8)
    assert deployment["spec"]["template"]["metadata"]["labels"]["version"] == "2f2e2d2c2b2a"
    assert doors["metadata"] == {"name": "payments-restrict"}
    text = _run("template", "wallet", "--cell", "lucky-se-eu-north", "--version", "v2", "--platform", demo)
    assert text.stdout.count("---\n") == 2, "nothing scales it"
    assert "version: v2\n" in text.stdout
    assert "canary" not in text.stdout, "players do not reach it"


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (("payments-api",), "--cell with one of lucky-mt-eu-south, lucky-se-eu-north"),
        (("payment-api",), "did you mean payments-api?"),
        (("payments-api", "--cell", "lucky-se"), "did you mean lucky-se-eu-north?"),
        (("wallet", "--cell", "lucky-se-eu-north", "--version", "a b"), "letters, digits"),
    ],
)
def test_template_answers_what_is_wrong_with_what_would_be_right(demo: Path, words: tuple[str, ...], hint: str) -> None:
    wrong = _run("template", *words, "--platform", demo)
    assert wrong.exit_code == 2
    assert hint in wrong.stderr


def test_a_changed_line_makes_one_file_stale(demo: Path, tmp_path: Path) -> None:
    out = tmp_path / "manifests"
    _run("render", demo, "--out", out)
    _change(demo / "services.yaml", "scaling: {min: 8}", "scaling: {min: 9}")
    stale = _run("render", demo, "--out", out, "--check", "-o", "json")
    assert stale.exit_code == 1
    said = json.loads(stale.stdout)
    assert (said["missing"], said["changed"], said["leftOver"], said["same"]) == (
        [],
        ["cells/lucky-se-eu-north/payments-api.yaml"],
        [],
        13,
    )


def test_manifests_are_not_written_into_the_platform(demo: Path) -> None:
    """Or else the next check would read them as parts of the platform."""
    wrong = _run("render", demo, "--out", demo / "out")
    assert wrong.exit_code == 2
    assert "lies in the platform folder" in wrong.stderr


def test_the_schema_is_the_one_that_init_leaves_for_editors(demo: Path) -> None:
    exported = json.loads(_run("schema", "export").stdout)
    assert json.loads((demo / ".croupier/platform.schema.json").read_text()) == exported
    assert set(exported["properties"]) >= {"brands", "markets", "regions", "cells", "services", "layers"}


REFERENCE = Path(__file__).parents[3] / "examples" / "reference"
LARGE = Path(__file__).parents[3] / "examples" / "platform"


def test_every_pass_tells_its_problems_in_one_run(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevents: a typo that is mended, and the next run finds what could have been told with it."""
    (demo / "more.yaml").write_text(
        """\
cells:
  - {brand: lucky, market: mars, region: eu-north}
layers:
  - at: {market: mt, service: lobby}
    set: {timeoutSeconds: 1.0, egress: [psp-a]}
services:
  - name: extra
    layer: service
    resources: {cpu: 100m, memory: 64Mi}
    imagee: registry.example/extra
"""
    )
    wrong = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bets"}, "secret": []}
    monkeypatch.setattr("croupier.core.render.cell.account", lambda *_: wrong)
    said = _run("check", demo)
    assert said.exit_code == 2
    for told in ("more.yaml:2:28 UNKNOWN_NAME", "more.yaml:5:41 TIMEOUT", "more.yaml:10:5 UNKNOWN_KEY", "SCHEMA"):
        assert told in said.stderr
    assert "MISSING_KEY" not in said.stderr  # the image: it is what the unknown key was meant to be


@pytest.mark.parametrize("of", ["demo", "reference"])
def test_what_is_rendered_passes_croupiers_own_rules(demo: Path, tmp_path: Path, of: str) -> None:
    """S14.11: one description, manifests that pass the platform's own policy checks, notes included."""
    out = tmp_path / "manifests"
    assert _run("render", demo if of == "demo" else REFERENCE, "--out", out).exit_code == 0
    checked = _run("policy", "check", out, "--fail-on", "note")
    assert checked.exit_code == 0, checked.output


def test_stores_of_a_region_pass_croupiers_own_rules_with_all_that_uses_them(tmp_path: Path) -> None:
    """S7, S13.6, S14.11: databases, poolers, walls and the pods that connect, as one cluster has them."""
    out, cluster = tmp_path / "manifests", tmp_path / "cluster"
    assert _run("render", LARGE, "--out", out).exit_code == 0
    for folder in (out / "stores" / "ca-central", out / "regions" / "ca-central", *out.glob("cells/*-ca-central")):
        shutil.copytree(folder, cluster / folder.relative_to(out))
    checked = _run("policy", "check", cluster, "--fail-on", "note")
    assert checked.exit_code == 0, checked.output
    assert len(list(cluster.glob("stores/ca-central/*.yaml"))) == 3


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("of", ["demo", "reference", "large"])
def test_what_is_rendered_is_what_every_version_of_kubernetes_takes(demo: Path, of: str, version: str) -> None:
    """S2, S14.11: strictly, and of every kind but those of other projects' operators the schema is known."""
    folder = {"demo": demo, "reference": REFERENCE, "large": LARGE}[of]
    done = _run("check", folder, "--kubernetes-version", version, "-o", "json")
    assert done.exit_code == 0, done.output
    held = json.loads(done.stdout)["schemas"]
    assert held["kubernetes"] == version
    assert held["objects"] > 10
    assert {each["apiVersion"] for each in held["unknown"]} <= {
        "external-secrets.io/v1",
        "monitoring.coreos.com/v1",
        "monitoring.coreos.com/v1alpha1",
    }


def test_what_kubernetes_would_refuse_is_not_written(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "bets"}, "secret": []}
    monkeypatch.setattr("croupier.core.render.cell.account", lambda *_: wrong)
    refused = _run("render", demo, "--out", tmp_path / "manifests")
    assert refused.exit_code == 2
    assert (
        "SCHEMA ServiceAccount bets, secret: there is no field 'secret' here; did you mean secrets?" in refused.stderr
    )
    assert not (tmp_path / "manifests").exists()
    assert _run("check", demo).exit_code == 2


def _git(folder: Path, *words: str) -> None:
    name = ("-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "init.defaultBranch=main")
    subprocess.run(["git", "-C", str(folder), *name, *words], check=True, capture_output=True)


def test_a_plan_compares_a_revision_with_what_is_here(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(demo.parent, "init")
    _git(demo.parent, "add", ".")
    _git(demo.parent, "commit", "-m", "before")
    _change(demo / "services.yaml", "scaling: {min: 8}", "scaling: {min: 9}")
    monkeypatch.chdir(demo)
    alone = _run("plan", "HEAD", "--why")
    assert alone.exit_code == 0
    assert alone.stdout.splitlines()[1:4] == [
        "  payments-api.scaling.min: 8 → 9",
        "    in lucky-se-eu-north",
        "    layer market=se service=payments-api at services.yaml:58:26",
    ]
    _change(demo / "services.yaml", "namespace: databases, ", "")
    assert "    default of croupier" in _run("plan", "HEAD", "--why").stdout  # nobody says the namespace any more
    _change(demo / "services.yaml", "{classes: [wallet-ledger], ", "{classes: [wallet-ledger], namespace: databases, ")
    monkeypatch.chdir(demo.parent)
    named = json.loads(_run("plan", "HEAD:demo", "demo", "-o", "json").stdout)
    assert [(each["path"], each["kind"]) for each in named["changes"]] == [("scaling.min", "scaling")]


def test_whereabouts_name_each_place_beside_the_rule(demo: Path) -> None:
    """S11: where players' data of a market may be, and is, is told in a form that an auditor takes."""
    told = json.loads(_run("whereabouts", demo, "--output", "json").stdout)
    malta, sweden = told["markets"]
    assert (malta["source"], sweden["reviewedOn"]) == (None, None)
    assert all(each["allowed"] is None for each in malta["places"])
    ledger = [each for each in sweden["places"] if each["data"] == "wallet-ledger"]
    assert [(each["what"], each["where"], each["allowed"]) for each in ledger] == [
        ("primary", "eu-north", ["eu-north", "eu-south"]),
        ("replica", "eu-south", ["eu-north", "eu-south"]),
        ("disaster", "eu-south", ["eu-south"]),
        ("backup", "eu-north", ["eu-north"]),
        ("keys", "eu-north", ["eu-north"]),
    ]
    page = _run("whereabouts", demo, "--output", "markdown").stdout
    assert "| wallet-ledger | backup | eu-north | may be in eu-north | wallet.ledger in lucky-se-eu-north |" in page
    assert "no residency is declared" in page


@pytest.mark.parametrize("key", ["backup", "keys", "drBackup"])
def test_a_place_that_the_market_forbids_is_refused_and_not_told(demo: Path, key: str) -> None:
    """What ``check`` holds against the rules and what an auditor is told are the same places."""
    _change(demo / "services.yaml", "dr: eu-south}", f"dr: eu-south, {key}: eu-south}}")
    refused = _run("whereabouts", demo)
    assert (refused.exit_code, refused.stdout) == (2, "")
    assert "RESIDENCY" in refused.stderr


def test_the_key_of_an_archive_in_another_region_is_told(demo: Path) -> None:
    """Prevents: a page for an auditor that leaves out a place where keys of players' money are."""
    _change(demo / "platform.yaml", "backup: [eu-north], keys: [eu-north]", "backup: [eu-north, eu-south]")
    _change(demo / "services.yaml", "dr: eu-south}", "dr: eu-south, drBackup: eu-south}")
    told = json.loads(_run("whereabouts", demo, "--output", "json").stdout)
    ledger = [each for each in told["markets"][1]["places"] if each["data"] == "wallet-ledger"]
    places = [(each["what"], each["where"]) for each in ledger]
    assert ("disaster backup", "eu-south") in places
    assert [where for what, where in places if what == "keys"] == ["eu-north", "eu-south"]


def test_no_place_is_told_that_the_market_forbids() -> None:
    told = json.loads(_run("whereabouts", LARGE, "-o", "json").stdout)
    ruled = [each for market in told["markets"] for each in market["places"] if each["allowed"] is not None]
    assert ruled
    assert all(each["where"] in each["allowed"] for each in ruled)


def test_an_objective_is_explained_by_who_gives_it_and_not_by_who_gives_others(demo: Path) -> None:
    said = 'journeys: [deposits]\n    release: {metrics: {tally: "http://tally.svc/metrics"}}'
    _change(demo / "services.yaml", "    egress: [psp-a]\n", f"    egress: [psp-a]\n    {said}\n")
    place = ("lucky-se-eu-north", "payments-api.objectives.errors.successRatio", "--platform", demo)
    told = _run("explain", *place).stdout.splitlines()
    assert told[0] == "payments-api.objectives.errors.successRatio: 0.9985"
    assert told[1].endswith(f"service  {demo}/services.yaml:42:7")
    assert len(told) == 2


def test_a_plan_for_a_pull_request_is_a_table(demo: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(demo, other)
    text = (other / "services.yaml").read_text()
    (other / "services.yaml").write_text(text.replace("cpu: 300m", "cpu: 400m"))
    said = _run("plan", demo, other, "--output", "markdown").stdout
    _change(other / "services.yaml", "drainSeconds: 20", "drainSeconds: 5")
    refused = _run("plan", demo, other, "--output", "markdown")
    assert refused.exit_code == 2
    assert "**Refused: 1 problem**" in refused.stdout
    assert "/services.yaml:15:21` | LOCKED: drainSeconds is 5, below 15" in refused.stdout
    assert '| `payments-api.resources.cpu` | `"300m"` | `"400m"` | scaling |' in said


def test_a_plan_says_who_declares_what_is_no_services_own(demo: Path, tmp_path: Path) -> None:
    """Locks and residency of a market, brands, regions, providers, cells: each change names the line that makes it."""
    after = tmp_path / "after"
    shutil.copytree(demo, after)
    file = after / "platform.yaml"
    _change(file, "title: Lucky Casino", "title: Luckier Casino")
    _change(file, "atLeast: 15", "atLeast: 12")
    _change(file, "keys: [eu-north]}", "keys: [eu-north, eu-south]}")
    _change(file, "gateway: {name: web, namespace: gateway}", "gateway: {name: web, namespace: doors}")
    _change(file, "timeoutSeconds: 8\n", "timeoutSeconds: 9\n")
    _change(file, "hostnames: [lucky.example]", "hostnames: [luckier.example]")
    _change(after / "services.yaml", "cpu: 300m", "cpu: 310m")
    changes = json.loads(_run("plan", demo, after, "--why", "-o", "json").stdout)["changes"]
    lines = file.read_text().splitlines()
    told = {}
    for each in changes:
        label, _, place = each["why"].partition(" at ")
        if "platform.yaml:" in place:
            _, line, column = place.split(":")
            told[f"{each['subject']}.{each['path']}"] = (
                each["kind"],
                label,
                lines[int(line) - 1][int(column) - 1 :][:8],
            )
    assert told == {
        "brands.lucky.title": ("policy", "brand lucky", "Luckier "),
        "cell.hostnames": ("network", "cell", "[luckier"),
        "markets.se.locks": ("policy", "market se", "- {path:"),
        "markets.se.residency.classes.wallet-ledger.keys": ("data", "market se", "[eu-nort"),
        "providers.psp-a.timeoutSeconds": ("network", "provider psp-a", "9"),
        "regions.eu-north.gateway.namespace": ("network", "region eu-north", "doors}"),
        "regions.eu-south.gateway.namespace": ("network", "region eu-south", "doors}"),
    }
    assert all(each["why"] for each in changes)


def test_a_plan_names_the_default_that_comes_back_and_nobody_of_what_is_gone(demo: Path, tmp_path: Path) -> None:
    after = tmp_path / "after"
    shutil.copytree(demo, after)
    _change(after / "platform.yaml", ", readers: [support]", "")
    text = (after / "services.yaml").read_text()
    (after / "services.yaml").write_text(text.replace("egress: [psp-a]", "egress: []"))
    changes = json.loads(_run("plan", demo, after, "--why", "-o", "json").stdout)["changes"]
    why = {f"{each['subject']}.{each['path']}": each["why"] for each in changes}
    assert why["brands.lucky.readers"] == f"default of croupier, brand lucky at {after}/platform.yaml:5:3"
    (gone,) = (each for each in changes if each["subject"] == "providers.psp-a")
    assert (gone["before"], gone["after"], gone["why"]) == (["api.psp-a.example:443"], None, "")


def test_problems_of_a_revision_are_told_at_its_places(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(demo, "init")
    _change(demo / "services.yaml", "layer: api", "layr: api")
    _git(demo, "add", ".")
    _git(demo, "commit", "-m", "bad")
    monkeypatch.chdir(demo)
    wrong = _run("plan", "HEAD", ".", "-o", "json")
    assert wrong.exit_code == 2
    assert [each["place"] for each in json.loads(wrong.stderr)["error"]["problems"]] == ["HEAD:./services.yaml:21:5"]


def test_a_revision_names_its_folder_as_git_does(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _git(demo.parent, "init")
    _git(demo.parent, "add", ".")
    _git(demo.parent, "commit", "-m", "before")
    (demo / "parts").mkdir()
    monkeypatch.chdir(demo / "parts")
    for named in ("HEAD:demo", "HEAD:./../", "HEAD:../"):
        assert _run("plan", named, "..").stdout == "nothing changes\n", named
    assert _run("plan", "HEAD:./demo", "..").exit_code == 2
    assert _run("plan", "HEAD:demo/services.yaml", "..").exit_code == 2, "a file is no folder"


def test_a_revision_is_whole_and_the_repository_left_alone(demo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (demo / ".gitattributes").write_text("services.yaml export-ignore\n")
    _git(demo, "init")
    _git(demo, "add", ".")
    _git(demo, "commit", "-m", "before")
    hook = demo / ".git/hooks/post-index-change"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(f"#!/bin/sh\ntouch {demo / 'ran'}\n")
    hook.chmod(0o755)
    _change(demo / "services.yaml", "scaling: {min: 8}", "scaling: {min: 9}")
    before = {path: path.read_bytes() for path in demo.rglob("*") if path.is_file()}
    monkeypatch.chdir(demo)
    assert "payments-api.scaling.min: 8 → 9" in _run("plan", "HEAD").stdout
    assert {path: path.read_bytes() for path in demo.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("named", ["nope", "HEAD:nope", "--output-directory=x", "HEAD:../../x"])
def test_what_is_neither_folder_nor_revision_is_said_so(
    demo: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    _git(demo, "init")
    monkeypatch.chdir(demo)
    wrong = _run("plan", "--", named, ".")
    assert wrong.exit_code == 2
    assert f"{named!r} is neither a folder nor a revision" in wrong.stderr


_EVENT = """\
events:
  final:
    title: Final
    starts: "2030-07-14T18:00"
    zone: UTC
    lastsMinutes: 60
    markets: [se]
    services: {payments-api: {pods: 12}}
"""


def test_an_event_that_is_over_is_refused_also_where_the_answer_was_kept(
    demo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """S6.4: and what compares or explains goes on, because what was is no fault there."""
    (demo / "events.yaml").write_text(_EVENT)
    assert _run("check", demo).exit_code == 0
    over = datetime(2030, 7, 14, 19, 0, tzinfo=UTC).timestamp()
    monkeypatch.setattr("croupier.adapters.clock.SystemClock.now", lambda _: over)
    said = _run("check", demo)
    assert said.exit_code == 2
    assert "events.yaml:4:13 PAST the event is over" in said.stderr
    assert _run("render", demo, "--out", tmp_path / "out").exit_code == 2
    told = _run("explain", "lucky-se-eu-north", "payments-api.scaling.min", "--platform", demo)
    assert "payments-api.scaling.min, 2030-07-14 17:30 to 2030-07-14 19:00 UTC: 12" in told.stdout


def test_providers_and_events_are_explained_by_their_names(demo: Path) -> None:
    (demo / "events.yaml").write_text(_EVENT)

    def told(path: str) -> str:
        said = _run("explain", "lucky-se-eu-north", path, "--platform", demo)
        return said.stdout + said.stderr

    assert 'events.final.zone: "UTC"' in told("events")
    (name,) = {line.split(".")[1] for line in told("providers").splitlines() if line.startswith("providers.")}
    assert f"providers.{name}.timeoutSeconds" in told(f"providers.{name}.timeoutSeconds")
    assert "unknown provider of the cell" in told("providers.nobody")
