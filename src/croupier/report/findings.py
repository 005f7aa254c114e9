"""A policy report for machines: SARIF, JUnit, and the annotations of GitHub's workflow log."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from urllib.parse import quote
from xml.sax.saxutils import escape, quoteattr

from croupier.model.policy import FileView, FindingView, PolicyReport, RuleView, WaiverView

MOST_RESULTS = 5000
"""GitHub keeps no more results of a run (docs.github.com, SARIF support for code scanning)."""
_NOT_IN_XML = re.compile(r"[^\t\n\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_ORDER = {"error": 0, "warning": 1, "note": 2}
_URI = "https://json.schemastore.org/sarif-2.1.0.json"


def sarif(report: PolicyReport, rules: Iterable[RuleView], version: str) -> str:
    """SARIF 2.1.0: one run; worst findings first; what is over GitHub's limit is counted in a result of its own."""
    listed = list(rules)
    position = {each.id: index for index, each in enumerate(listed)}
    ordered = sorted((each for each in report.findings if not each.known), key=lambda each: _ORDER[each.level])
    kept = ordered if len(ordered) <= MOST_RESULTS else ordered[: MOST_RESULTS - 1]
    results = [_result(each, position[each.rule]) for each in kept]
    if left := ordered[len(kept) :]:
        said = f"{len(left)} more findings are left out here; croupier policy check --output json gives all"
        results.append({**_result(left[0], position[left[0].rule]), "message": {"text": said}})
    unread = [_notification(each) for each in report.files if each.problem is not None]
    run = {
        "tool": {
            "driver": {
                "name": "croupier",
                "semanticVersion": version,
                "rules": [_sarif_rule(each) for each in listed],
            }
        },
        "invocations": [{"executionSuccessful": report.is_complete, "toolExecutionNotifications": unread}],
        "columnKind": "unicodeCodePoints",
        "results": results,
    }
    return json.dumps({"$schema": _URI, "version": "2.1.0", "runs": [run]}, ensure_ascii=False, indent=1) + "\n"


def _sarif_rule(rule: RuleView) -> Mapping[str, object]:
    return {
        "id": rule.id,
        "shortDescription": {"text": rule.title},
        "fullDescription": {"text": rule.why},
        "help": {"text": f"{rule.why} {rule.fix}", "markdown": f"{rule.why}\n\n{rule.fix}\n\nSource: {rule.source}"},
        "defaultConfiguration": {"level": rule.level},
        "properties": {"tags": ["kubernetes", rule.scope]},
    }


def _result(finding: FindingView, index: int) -> dict[str, object]:
    return {
        "ruleId": finding.rule,
        "ruleIndex": index,
        "level": finding.level,
        "message": {"text": f"{finding.object}: {finding.message}. {finding.fix}"},
        "locations": [_location(finding.file, finding.line, finding.column)],
        "partialFingerprints": {"croupier/v1": finding.fingerprint},
        **(
            {"suppressions": [{"kind": "inSource", "justification": _excuse(finding.waiver)}]} if finding.waiver else {}
        ),
    }


def _excuse(waiver: WaiverView) -> str:
    return f"{waiver.reason} ({waiver.owner}, until {waiver.until})"


def _location(file: str, line: int, column: int) -> Mapping[str, object]:
    uri = {"artifactLocation": {"uri": _as_uri(file)}}
    region = {"region": {"startLine": line, "startColumn": column}} if line else {}
    return {"physicalLocation": {**uri, **region}}


def _as_uri(file: str) -> str:
    return quote("stdin" if file == "-" else file.encode("utf-8", "surrogateescape"))


def _notification(file: FileView) -> Mapping[str, object]:
    return {
        "level": "error",
        "message": {"text": f"{file.state}: {file.problem}"},
        "locations": [_location(file.file, 0, 0)],
    }


def junit(report: PolicyReport) -> str:
    """JUnit XML: a suite a file; findings are failures, a file that was not checked is an error."""
    of_file: dict[str, list[FindingView]] = defaultdict(list)
    for each in report.counted:
        of_file[each.file].append(each)
    lines = ['<?xml version="1.0" encoding="UTF-8"?>', "<testsuites>"]
    for file in report.files:
        found = of_file[file.file]
        errors = int(file.problem is not None)
        cases = len(found) + 1 if not found or errors else len(found)
        lines.append(
            f"  <testsuite name={_attribute(file.file)} tests={_attribute(cases)} "
            f"failures={_attribute(len(found))} errors={_attribute(errors)}>"
        )
        if file.problem is not None:
            said = f"{file.state}: {file.problem}"
            lines.append(
                f'    <testcase classname={_attribute(file.file)} name="read">'
                f"<error message={_attribute(said)}/></testcase>"
            )
        elif not found:
            counted = f"{file.objects} object{'s' if file.objects != 1 else ''}"
            lines.append(f'    <testcase classname={_attribute(file.file)} name="{counted}"/>')
        for each in found:
            place = f"{each.object} {each.path}".strip()
            body = _text(f"{each.file}:{each.line}:{each.column}\n{each.excerpt}\n{each.fix}")
            lines.append(
                f"    <testcase classname={_attribute(file.file)} name={_attribute(f'{each.rule}: {place}')}>"
                f"<failure type={_attribute(each.level)} message={_attribute(each.message)}>{body}</failure></testcase>"
            )
        lines.append("  </testsuite>")
    return "\n".join([*lines, "</testsuites>"]) + "\n"


def _attribute(value: object) -> str:
    return quoteattr(_allowed(str(value)))


def _text(value: str) -> str:
    return escape(_allowed(value))


def _allowed(value: str) -> str:
    """Without the characters that XML 1.0 cannot hold."""
    return _NOT_IN_XML.sub("\N{REPLACEMENT CHARACTER}", value)


def github(report: PolicyReport) -> str:
    """One workflow command a finding or file not checked; GitHub shows them beside the lines of a pull request."""
    names = {"error": "error", "warning": "warning", "note": "notice"}
    lines = [
        f"::{names[each.level]} file={_property(each.file)},line={each.line},col={each.column},"
        f"title={_property(each.rule)}::{_data(f'{each.object}: {each.message}. {each.fix}')}"
        for each in report.counted
    ]
    lines += [
        f"::error file={_property(each.file)},title={each.state}::{_data(each.problem)}"
        for each in report.files
        if each.problem is not None
    ]
    return "".join(f"{line}\n" for line in lines)


def _data(value: str) -> str:
    return value.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(value: str) -> str:
    return _data(value).replace(":", "%3A").replace(",", "%2C")
