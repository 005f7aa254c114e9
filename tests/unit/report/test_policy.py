"""One report in every form people and machines ask for."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import pytest

from croupier.core.policy.catalogue import RULES, chosen
from croupier.engine.policy import check_files, rule_view
from croupier.model.policy import PolicyReport
from croupier.report.findings import MOST_RESULTS, github, junit, sarif
from croupier.report.policy import policy_text

BAD = """\
# a comment
apiVersion: v1
kind: Pod
metadata:
  name: bets
  namespace: casino
spec:
  hostPID: true   # 100 %, for now
  containers:
    - {name: app, image: x}
"""


@pytest.fixture
def report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PolicyReport:
    monkeypatch.chdir(tmp_path)
    Path("bad.yaml").write_text(BAD)
    Path("good.yaml").write_text(RULES["privileged"].good)
    Path("text.yaml").write_text("just: text\n")
    Path("helm.yaml").write_text("{{ if .Values.x }}\n")
    return check_files(
        ["bad.yaml", "good.yaml", "text.yaml", "helm.yaml"], chosen("baseline"), today=date(2026, 11, 28)
    )


def test_every_file_ends_in_exactly_one_state_and_the_sum_says_so(report: PolicyReport) -> None:
    assert {each.file: each.state for each in report.files} == {
        "bad.yaml": "failed",
        "good.yaml": "checked",
        "text.yaml": "unparsed",
        "helm.yaml": "template",
    }
    assert report.checked + report.failed + report.unparsed + report.templates == len(report.files)
    assert "4 files: 1 checked, 1 failed, 1 unparsed, 1 template\n" in policy_text(report)


def test_a_finding_shows_the_line_it_is_about(report: PolicyReport) -> None:
    (found,) = report.findings
    assert (found.file, found.line, found.column, found.path) == ("bad.yaml", 8, 3, "spec.hostPID")
    text = policy_text(report)
    assert "bad.yaml:8:3 error host-namespaces  Pod/casino/bets\n" in text
    assert "  8 |   hostPID: true   # 100 %, for now\n" in text
    assert "    |   ^ spec.hostPID\n" in text


def test_of_a_long_line_the_part_around_the_place_is_shown_and_the_caret_stands_under_it(tmp_path: Path) -> None:
    """Prevents: a List on one line, as `kubectl get -o json | jq -c` gives it, makes megabytes of text."""
    bad = {"apiVersion": "v1", "kind": "Pod", "spec": {"hostPID": True, "containers": [{"name": "app"}]}}
    pods = [{**bad, "metadata": {"name": f"bets-{number}"}} for number in range(50)]
    file = tmp_path / "list.json"
    file.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    told = check_files([str(file)], chosen("baseline"), today=date(2026, 11, 28))
    assert len(told.findings) == 50
    assert all(len(each.excerpt) == 100 for each in told.findings)
    lines = policy_text(told).splitlines()
    carets = [index for index, line in enumerate(lines) if line.lstrip(" |").startswith("^")]
    assert len(carets) == 50
    assert all(lines[index - 1][lines[index].index("^") :].startswith('"hostPID"') for index in carets)
    assert max(map(len, lines)) < 200


def test_the_caret_stands_right_after_tabs(tmp_path: Path) -> None:
    file = tmp_path / "tabs.json"
    file.write_text(
        '{"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "bets"}, "spec": {\n\t\t"hostPID": true,\n'
        '\t\t"containers": [{"name": "app"}]}}\n'
    )
    lines = policy_text(check_files([str(file)], chosen("baseline"), today=date(2026, 11, 28))).splitlines()
    (caret,) = (index for index, line in enumerate(lines) if "^" in line)
    assert lines[caret - 1][lines[caret].index("^") :].startswith('"hostPID"')


def test_files_that_were_not_checked_say_why(report: PolicyReport) -> None:
    text = policy_text(report)
    assert "text.yaml: unparsed: 1:1 the document is no Kubernetes object" in text
    assert "helm.yaml: template: holds template actions, render it first" in text


def test_sarif_names_rule_place_and_fingerprint_and_admits_what_was_not_checked(report: PolicyReport) -> None:
    (run,) = json.loads(sarif(report, [rule_view(each) for each in chosen("baseline")], "1.2.3"))["runs"]
    (result,) = run["results"]
    assert run["tool"]["driver"]["rules"][result["ruleIndex"]]["id"] == result["ruleId"] == "host-namespaces"
    place = result["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]) == ("bad.yaml", {"startLine": 8, "startColumn": 3})
    assert result["partialFingerprints"] == {"croupier/v1": report.findings[0].fingerprint}
    assert run["invocations"][0]["executionSuccessful"] is False
    assert len(run["invocations"][0]["toolExecutionNotifications"]) == 2


def test_sarif_stops_at_what_github_keeps_worst_first_and_counts_the_rest(report: PolicyReport) -> None:
    one = report.findings[0]
    notes = [replace(one, level="note", line=n) for n in range(MOST_RESULTS + 10)]
    many = replace(report, findings=(*notes, one))
    results = json.loads(sarif(many, [rule_view(each) for each in chosen("baseline")], "1"))["runs"][0]["results"]
    assert len(results) == MOST_RESULTS
    assert results[0]["level"] == "error"
    assert results[-1]["message"]["text"].startswith("12 more findings")


def test_junit_counts_findings_as_failures_and_what_was_not_checked_as_errors(report: PolicyReport) -> None:
    suites = {each.get("name"): each for each in ElementTree.fromstring(junit(report))}
    told = {name: (each.get("tests"), each.get("failures"), each.get("errors")) for name, each in suites.items()}
    assert told == {
        "bad.yaml": ("1", "1", "0"),
        "good.yaml": ("1", "0", "0"),
        "text.yaml": ("1", "0", "1"),
        "helm.yaml": ("1", "0", "1"),
    }
    assert all(int(each.get("tests", "")) == len(each) for each in suites.values())


def test_github_annotations_keep_to_one_line_each(report: PolicyReport) -> None:
    hostile = replace(report.findings[0], message="a\nb % c", file="a,b:c.yaml")
    lines = github(replace(report, findings=(hostile,))).splitlines()
    assert len(lines) == 3
    assert lines[0].startswith(
        "::error file=a%2Cb%3Ac.yaml,line=8,col=3,title=host-namespaces::Pod/casino/bets: a%0Ab %25 c"
    )


def test_no_text_of_a_manifest_steers_the_terminal_or_breaks_the_xml(report: PolicyReport) -> None:
    hostile = replace(report.findings[0], message="a\x1b[2Jb\ufffe\uffff\ud800", excerpt="\x00<&")
    told = replace(report, findings=(hostile,))
    assert "\x1b" not in policy_text(told)
    policy_text(told).encode()
    ElementTree.fromstring(junit(told))
