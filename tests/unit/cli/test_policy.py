"""``croupier policy``: the answer is in the exit code, and several forms are written at once."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner, Result

from croupier.cli.options import KUBERNETES
from croupier.cli.root import cli
from croupier.core.policy.catalogue import RULES
from croupier.model.schemas import VERSIONS


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("good.yaml").write_text(RULES["privileged"].good)
    Path("bad.yaml").write_text(RULES["privileged"].bad)
    Path("text.yaml").write_text("just: text\n")
    return tmp_path


def check(*words: str, stdin: str | None = None) -> Result:
    return CliRunner().invoke(cli, ["policy", "check", "--profile", "baseline", *words], input=stdin)


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("paths", "code"),
    [
        (["good.yaml"], 0),
        (["good.yaml", "bad.yaml"], 1),
        (["good.yaml", "text.yaml"], 3),
        (["."], 3),
        (["none.yaml"], 2),
    ],
)
def test_the_exit_code_is_the_answer(paths: list[str], code: int) -> None:
    assert check(*paths).exit_code == code


@pytest.mark.parametrize(
    "words", [["check"], ["matrix"], ["budgets"], ["reach", "bets", "wallet"]], ids=lambda words: words[0]
)
def test_a_folder_without_manifests_is_no_yes(tmp_path: Path, words: list[str]) -> None:
    """Prevents: a pipeline that names the wrong folder, and stays green."""
    done = CliRunner().invoke(cli, ["policy", *words, str(tmp_path)])
    assert done.exit_code == 2
    assert "there is no file to check" in done.stderr


def test_pods_are_held_against_the_standards_of_the_version_that_is_asked_for(here: Path) -> None:
    """S10.1: the standards grew; a cluster may hold pods against older ones."""
    (here / "tuned.yaml").write_text(RULES["sysctls"].good.replace("net.ipv4.tcp_syncookies", "net.ipv4.tcp_rmem"))
    assert check("tuned.yaml").exit_code == check("tuned.yaml", "--pss-version", "v1.32").exit_code == 0
    assert check("tuned.yaml", "--pss-version", "1.31").exit_code == 1


@pytest.mark.parametrize("version", ["2.0", "1.38", "1", "1.-1", "1.²", "newest", ""])
@pytest.mark.usefixtures("here")
def test_standards_that_do_not_exist_are_refused(version: str) -> None:
    done = check("good.yaml", "--pss-version", version)
    assert done.exit_code == 2
    assert "1.0 to 1.37" in done.stderr


@pytest.mark.usefixtures("here")
def test_what_is_excluded_is_no_input() -> None:
    assert check(".", "--exclude", "text.yaml", "--exclude", "bad*").exit_code == 0
    assert check(".", "--exclude", "*.yaml").exit_code == 2


def test_folders_that_are_not_entered_and_patterns_that_fit_nothing_are_said(here: Path) -> None:
    for name in (".git", ".github", "deploy"):
        (here / name).mkdir()
        (here / name / "bad.yaml").write_text(RULES["privileged"].bad)
    (here / "prod").symlink_to("deploy")
    done = check(".", "--exclude", "deploy", "--exclude", "bda*")
    assert "note: 2 hidden or linked folders not entered: .github, prod\n" in done.stderr
    assert "note: --exclude 'bda*' fits nothing\n" in done.stderr
    assert "'deploy'" not in done.stderr
    assert check(".", "--exclude", ".github", "--exclude", "prod").stderr == ""


@pytest.mark.usefixtures("here")
def test_one_of_a_thing_is_said_as_one() -> None:
    assert "\n1 object, " in check("good.yaml").stdout
    assert 'name="1 object"' in check("good.yaml", "-o", "junit").stdout


@pytest.mark.usefixtures("here")
def test_a_rule_that_is_not_asked_fails_nothing() -> None:
    assert check("bad.yaml", "--disable", "privileged").exit_code == 0
    assert check("bad.yaml", "--disable", "priviledged").exit_code == 2


@pytest.mark.usefixtures("here")
def test_stdin_is_a_file() -> None:
    done = check("-", "-o", "json", stdin=RULES["privileged"].bad)
    assert done.exit_code == 1
    assert [each["file"] for each in json.loads(done.stdout)["findings"]] == ["-"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("sent", ["", "\n", "---\n# Source: nothing\n"])
def test_stdin_without_an_object_is_not_checked(sent: str) -> None:
    """Prevents: `helm template … | croupier policy check -` is content with a chart that helm refused."""
    done = check("-", stdin=sent)
    assert done.exit_code == 3
    assert "-: unparsed: no object came on stdin, see whether the command before it failed\n" in done.stdout


def test_an_empty_file_is_checked_and_said(here: Path) -> None:
    (here / "empty.yaml").write_text("# nothing yet\n")
    done = check("good.yaml", "empty.yaml")
    assert done.exit_code == 0
    assert done.stdout.startswith("empty.yaml: holds no object\n\n2 files: 2 checked")


def test_several_forms_are_written_at_once(here: Path) -> None:
    done = check(
        "bad.yaml", "-o", "github", "--report", "sarif=a.sarif", "--report", "junit=b.xml", "--report", "json=c.json"
    )
    assert done.stdout.startswith("::error file=bad.yaml")
    assert json.loads((here / "a.sarif").read_text())["version"] == "2.1.0"
    assert (here / "b.xml").read_text().startswith("<?xml")
    assert json.loads((here / "c.json").read_text())["failed"] == 1


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("report", ["sarif", "=x", "html=x.html", "sarif=nowhere/x.sarif"])
def test_a_report_that_cannot_be_written_is_refused_before_anything_is_checked(report: str) -> None:
    assert check("good.yaml", "--report", report).exit_code == 2


def test_a_rule_is_explained_with_examples() -> None:
    done = CliRunner().invoke(cli, ["policy", "explain", "privileged"])
    assert done.exit_code == 0
    assert RULES["privileged"].why in done.stdout
    assert "privileged: true" in done.stdout
    assert CliRunner().invoke(cli, ["policy", "explain", "priviledged"]).exit_code == 2


def test_all_rules_are_listed() -> None:
    done = CliRunner().invoke(cli, ["policy", "rules", "-o", "json"])
    assert [each["id"] for each in json.loads(done.stdout)["rules"]] == list(RULES)
    assert all(rule in CliRunner().invoke(cli, ["policy", "rules"]).stdout for rule in RULES)


WAIVED = """\
apiVersion: v1
kind: Pod
metadata: {name: bets, namespace: casino}
spec:
  # croupier:waive host-namespaces owner=payments until=%s reason=until the agent is replaced
  hostPID: true
  containers: [{name: app}]
"""
ANNOTATED = """\
apiVersion: v1
kind: Pod
metadata:
  name: bets
  annotations:
    waive.croupier.dev/host-namespaces: owner=payments until=%s reason=until the agent is replaced
spec: {hostPID: true, containers: [{name: app}]}
"""


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("form", [WAIVED, ANNOTATED])
def test_a_waiver_excuses_a_finding_until_its_end(form: str) -> None:
    Path("waived.yaml").write_text(form % "2999-01-01")
    done = check("waived.yaml", "-o", "json")
    assert done.exit_code == 0
    (found,) = json.loads(done.stdout)["findings"]
    assert found["waiver"] == {"owner": "payments", "until": "2999-01-01", "reason": "until the agent is replaced"}
    assert "1 excused" in check("waived.yaml").stdout
    assert '"suppressions"' in check("waived.yaml", "-o", "sarif").stdout


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("form", [WAIVED, ANNOTATED])
def test_a_waiver_that_has_ended_is_a_finding_again(form: str) -> None:
    Path("waived.yaml").write_text(form % "2020-01-01")
    done = check("waived.yaml")
    assert done.exit_code == 1
    assert "the waiver of payments ended on 2020-01-01" in done.stdout


@pytest.mark.usefixtures("here")
def test_a_waiver_without_owner_end_or_reason_excuses_nothing() -> None:
    Path("waived.yaml").write_text(WAIVED.replace("owner=payments ", "") % "2999-01-01")
    assert check("waived.yaml").exit_code == 1


@pytest.mark.usefixtures("here")
def test_what_is_in_the_baseline_does_not_count_and_what_is_new_does() -> None:
    assert check("bad.yaml", "--write-baseline", "known.json").exit_code == 1
    assert check("bad.yaml", "--baseline", "known.json").exit_code == 0
    Path("bad.yaml").write_text("# moved\n\n" + Path("bad.yaml").read_text())
    assert check("bad.yaml", "--baseline", "known.json").exit_code == 0
    Path("bad.yaml").write_text(Path("bad.yaml").read_text().replace("spec:", "spec:\n  hostPID: true"))
    assert check("bad.yaml", "--baseline", "known.json").exit_code == 1
    assert check("bad.yaml", "--baseline", "good.yaml").exit_code == 2


@pytest.mark.usefixtures("here")
def test_reach_answers_in_its_exit_code_and_names_the_policies() -> None:
    deny = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: casino}\n"
    Path("pods.yaml").write_text(
        "\n---\n".join((RULES["privileged"].good, RULES["privileged"].good.replace("bets", "wallet")))
    )
    ask = ["policy", "reach", "bets", "wallet", "pods.yaml"]
    assert CliRunner().invoke(cli, ask).exit_code == 0
    Path("deny.yaml").write_text(deny + "spec: {podSelector: {}}\n")
    done = CliRunner().invoke(cli, [*ask, "deny.yaml"])
    assert done.exit_code == 1
    assert "Pod/casino/bets does not reach Pod/casino/wallet" in done.stdout
    assert "ingress: denied by deny" in done.stdout
    assert CliRunner().invoke(cli, ["policy", "reach", "bets", "10.0.0.0/8", "pods.yaml"]).exit_code == 0
    assert CliRunner().invoke(cli, ["policy", "reach", "bets", "nobody", "pods.yaml"]).exit_code == 2
    assert CliRunner().invoke(cli, [*ask, "text.yaml"]).exit_code == 2


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("name", "code"), [("db", 0), ("casino/db", 0), ("casino/*", 0), ("d*", 0), ("red/db", 1), ("dbx", 1)]
)
def test_people_say_which_secrets_are_made_elsewhere(name: str, code: int) -> None:
    Path("pod.yaml").write_text(RULES["secret-source"].bad)
    ask = ["policy", "check", "pod.yaml", "--profile", "baseline", "--enable", "secret-source"]
    assert CliRunner().invoke(cli, ask).exit_code == 1
    assert CliRunner().invoke(cli, [*ask, "--secret", name]).exit_code == code


@pytest.mark.usefixtures("here")
def test_the_matrix_is_told_in_words_in_fields_and_in_a_picture() -> None:
    pod = RULES["privileged"].good
    Path("pods.yaml").write_text("\n---\n".join((pod, pod.replace("bets", "wallet"), pod.replace("bets", "limits"))))
    Path("deny.yaml").write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: casino}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress, Egress]}\n---\n"
        "apiVersion: cilium.io/v2\nkind: CiliumNetworkPolicy\nmetadata: {name: more, namespace: casino}\n"
    )
    free = CliRunner().invoke(cli, ["policy", "matrix", "pods.yaml", "--picture", "all.svg"])
    assert free.exit_code == 0
    assert (
        "3 workloads in 1 namespace: 6 of 6 ways are open, 0 to another brand or market; 3 may call every"
        in free.stdout
    )
    assert "  Pod/bets, Pod/limits, Pod/wallet\n    reaches casino: Pod/limits, Pod/wallet, Pod/bets\n" in free.stdout
    drawn = ElementTree.parse("all.svg").getroot()
    assert len(list(drawn.iter("{http://www.w3.org/2000/svg}title"))) == 6 + 3
    shut = CliRunner().invoke(cli, ["policy", "matrix", "pods.yaml", "deny.yaml"])
    assert "0 of 6 ways are open" in shut.stdout
    assert "not judged: CiliumNetworkPolicy/casino/more" in shut.stdout
    fields = json.loads(CliRunner().invoke(cli, ["policy", "matrix", "pods.yaml", "-o", "json"]).stdout)
    assert fields["workloads"][0]["reaches"] == ["Pod/casino/limits", "Pod/casino/wallet"]
    assert fields["namespaces"] == [{"source": "casino", "target": "casino", "open": 6, "pairs": 6}]
    assert CliRunner().invoke(cli, ["policy", "matrix", "pods.yaml", "--picture", "no/all.svg"]).exit_code == 2


@pytest.mark.usefixtures("here")
def test_budgets_show_each_sum_also_where_it_fits_and_name_the_first_that_does_not() -> None:
    Path("fits.yaml").write_text(RULES["connection-budget"].good)
    ask = ["policy", "budgets", "fits.yaml"]
    fits = CliRunner().invoke(cli, ask)
    assert fits.exit_code == 0, fits.output
    assert "connection-budget  Cluster/db  connections  140    197  71.1 %" in fits.stdout
    assert "bets (6 + 2 + 6) × 10 = 140, 197 fit" in fits.stdout
    assert "1 budget, none over its limit" in fits.stdout
    Path("more.yaml").write_text(RULES["node-capacity"].bad.replace("bets", "lobby"))
    over = CliRunner().invoke(cli, [*ask, "more.yaml"])
    assert over.exit_code == 1
    assert "2 budgets, 1 over its limit; the first: NodePool/api, cpu: lobby (30 + 8) × 0.5 = 19, 10 fit" in over.stdout
    held = json.loads(CliRunner().invoke(cli, [*ask, "more.yaml", "-o", "json"]).stdout)
    assert [(each["resource"], each["fits"]) for each in held["budgets"]] == [("connections", True), ("cpu", False)]
    assert held["first"]["object"] == "NodePool/api"
    part = {"name": "bets", "pods": 6, "surge": 2, "draining": 6, "processes": 1, "each": 10, "sum": 140}
    assert held["budgets"][0]["parts"] == [part]
    nothing = CliRunner().invoke(cli, ["policy", "budgets", "good.yaml"])
    assert nothing.stdout == "nothing among the manifests bounds what workloads ask for together\n"
    assert CliRunner().invoke(cli, [*ask, "text.yaml"]).exit_code == 2


@pytest.mark.usefixtures("here")
def test_who_does_not_say_how_much_is_named_and_in_no_sum() -> None:
    unsaid = RULES["connection-budget"].good.replace("{name: DB_POOL_SIZE, value: '10'}", "{name: X, value: '1'}")
    Path("unsaid.yaml").write_text(unsaid)
    done = CliRunner().invoke(cli, ["policy", "budgets", "unsaid.yaml"])
    assert "nothing = 0, 197 fit\n  in no sum, because they do not say how much: bets" in done.stdout


def test_rules_are_exported_for_a_cluster_and_what_is_left_is_said() -> None:
    done = CliRunner().invoke(cli, ["policy", "export", "--as", "vap", "--enable", "cpu-limits", "--action", "warn"])
    assert done.exit_code == 0
    names = re.findall(r"^  name: (croupier-.*)$", done.stdout, re.MULTILINE)
    assert names.count("croupier-cpu-limits") == 2
    assert "- Warn\n" in done.stdout
    assert f"{len(names) // 2} rules exported, not these:\n" in done.stderr
    assert re.search(r"  it looks at several objects, and admission sees one: .*\bpdb\b", done.stderr)


def test_an_export_as_json_tells_what_is_left() -> None:
    words = ["policy", "export", "--as", "kyverno", "--profile", "all", "--namespace-label", "a=b", "-o", "json"]
    said = json.loads(CliRunner().invoke(cli, words).stdout)
    assert len(said["objects"]) == len(said["exported"])
    assert not {each["rule"] for each in said["left"]} & set(said["exported"])
    assert all(each["why"] for each in said["left"])
    wrong = CliRunner().invoke(cli, ["policy", "export", "--as", "vap", "--namespace-label", "tier"])
    assert wrong.exit_code == 2
    assert "is not KEY=VALUE" in wrong.stderr


@pytest.mark.parametrize("words", [("--namespace-label", "a b=c"), ("--namespace-label", "tier=a b")])
def test_what_can_be_no_label_is_no_selector(words: tuple[str, ...]) -> None:
    """Prevents: a policy that the API server refuses, or that asks nobody."""
    done = CliRunner().invoke(cli, ["policy", "export", "--as", "vap", *words])
    assert done.exit_code == 2
    assert "can be no label of a namespace" in done.stderr


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize("option", ["--registry", "--require-label", "--priority-class"])
def test_what_a_variable_that_is_not_set_leaves_is_a_usage_error(option: str) -> None:
    """Prevents: --registry "$REGISTRY" that finds fault with every image, or asks for the label of no name."""
    done = check("good.yaml", option, "")
    assert done.exit_code == 2
    assert "is empty" in done.stderr


ROUTE = """\
apiVersion: casino.example/v1
kind: Table
metadata: {name: roulette, namespace: casino}
spec: {seats: six}
"""
DEFINITION = """\
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: tables.casino.example}
spec:
  group: casino.example
  names: {kind: Table, plural: tables}
  scope: Namespaced
  versions:
    - name: v1
      served: true
      storage: true
      schema:
        openAPIV3Schema:
          type: object
          properties:
            spec: {type: object, properties: {seats: {type: integer}}}
"""
SEATS = "spec.seats", "must be a whole number, not 'six'"


def schema_findings(*words: str) -> tuple[int, list[tuple[str, str]], dict[str, object]]:
    done = check("--enable", "schema", *words, "-o", "json")
    held = json.loads(done.stdout)
    return done.exit_code, [(each["path"], each["message"]) for each in held["findings"]], held["schemas"]


def test_a_kind_without_a_schema_is_counted_and_named_and_fails_nothing(here: Path) -> None:
    (here / "table.yaml").write_text(ROUTE)
    code, findings, schemas = schema_findings("table.yaml", "good.yaml")
    assert (code, findings) == (0, [])
    unknown = [{"apiVersion": "casino.example/v1", "kind": "Table", "objects": 1}]
    assert schemas == {"kubernetes": "1.37", "objects": 1, "unknown": unknown}
    assert check("--enable", "schema", "table.yaml", "good.yaml").stdout.endswith(
        "1 object held against the schemas of Kubernetes 1.37, 1 not, no schema is known (--crd PATH): "
        "casino.example/v1 Table (1)\n"
    )
    assert check("--enable", "schema-known", "--fail-on", "note", "table.yaml").exit_code == 1


def test_a_definition_in_the_tree_or_beside_it_tells_of_its_kind(here: Path) -> None:
    (here / "table.yaml").write_text(ROUTE)
    (here / "crds").mkdir()
    (here / "crds" / "table.yaml").write_text(DEFINITION)
    for words in (["table.yaml", "crds/table.yaml"], ["table.yaml", "--crd", "crds"]):
        code, findings, schemas = schema_findings(*words)
        assert (code, findings, schemas["unknown"]) == (1, [SEATS], [])


def test_a_file_given_for_definitions_that_holds_none_is_refused(here: Path) -> None:
    (here / "table.yaml").write_text(ROUTE)
    refused = check("--enable", "schema", "table.yaml", "--crd", "good.yaml")
    assert refused.exit_code == 2
    assert "good.yaml CRD holds no CustomResourceDefinition" in refused.stderr
    assert check("--enable", "schema", "table.yaml", "--crd", "none.yaml").exit_code == 2


def test_a_flaw_inside_a_list_is_shown_on_its_line(here: Path) -> None:
    items = (
        "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: ConfigMap\n  metadata: {name: a}\n  dat: {}\n"
    )
    (here / "list.yaml").write_text(items)
    done = check("--enable", "schema", "list.yaml")
    assert done.stdout.startswith(
        "list.yaml:7:3 error schema  ConfigMap/a\n  there is no field 'dat' here; did you mean"
    )


def test_a_waiver_excuses_a_flaw_too(here: Path) -> None:
    held = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n%sdat: {}\n"
    (here / "map.yaml").write_text(
        held % "# croupier:waive schema owner=a until=2999-01-01 reason=our own API server\n"
    )
    assert check("--enable", "schema", "map.yaml").exit_code == 0
    (here / "map.yaml").write_text(held % "")
    assert check("--enable", "schema", "map.yaml").exit_code == 1


def test_a_version_is_known_by_its_number(here: Path) -> None:
    """A kind that 1.37 no longer serves passes for 1.36, and is found once: by the rule on removed versions."""
    address = "apiVersion: networking.k8s.io/v1beta1\nkind: IPAddress\nmetadata: {name: a}\n"
    (here / "address.yaml").write_text(address + "spec: {parentRef: {resource: services, name: a}}\n")
    asked = ("--enable", "schema", "--enable", "removed-api", "address.yaml")
    assert check(*asked, "--kubernetes-version", "1.36").exit_code == 0
    found = json.loads(check(*asked, "-o", "json").stdout)["findings"]
    assert [each["rule"] for each in found] == ["removed-api"]
    assert "no longer served since v1.37; it is in networking.k8s.io/v1" in found[0]["message"]


def test_help_offers_the_versions_there_are_schemas_of() -> None:
    assert KUBERNETES == VERSIONS
