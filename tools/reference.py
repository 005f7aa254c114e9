"""Write docs/reference/{cli,json,exit-codes,platform,policy,markets}.md, a page a rule and one a field of a market.

    python tools/reference.py            writes the pages
    python tools/reference.py --check    exits 1 if a page is not what the code says now

Commands come from click, fields and their meaning from the models and the strings below their attributes. Only the few
answers that have no model (the stand's) are described here.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
import textwrap
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from pathlib import Path
from typing import Any, get_type_hints

import click
import yaml
from pydantic import BaseModel, TypeAdapter
from pydantic.alias_generators import to_camel

from croupier import errors
from croupier.cli.main import COMMANDS
from croupier.cli.root import cli
from croupier.core.policy.catalogue import PROFILES, RULES
from croupier.engine.policy import rule_view
from croupier.model.backtest import Backtest
from croupier.model.change import PlatformPlan
from croupier.model.checklist import Checklist, LineWaiver, WaiverRequest
from croupier.model.events import Event
from croupier.model.explanation import Explanation
from croupier.model.gitops import GitOps
from croupier.model.patches import Patch
from croupier.model.platform import Brand, Cell, DataClass, Lock, Market, Region, Residency
from croupier.model.policy import (
    BudgetReport,
    ExportReport,
    FixReport,
    PolicyReport,
    ReachMatrix,
    ReachReport,
    RuleView,
)
from croupier.model.providers import Provider
from croupier.model.recommendation import Recommendations
from croupier.model.replay import Replay
from croupier.model.service_spec import ServiceSpec
from croupier.model.settings import DeskSettings
from croupier.model.view import (
    GroupRequest,
    GroupView,
    HealthView,
    JournalEntryView,
    PlanPreview,
    RunView,
    ServiceView,
    VersionView,
)
from croupier.model.whereabouts import Whereabouts
from croupier.report.final import RunReport
from croupier.report.policy import SCOPES
from croupier.report.values import in_json
from croupier.spec.form import At, PlatformFile, Preset, ServiceLayer, When
from croupier.web import app
from croupier_stand.demo import Demo
from croupier_stand.faults import StandFault
from croupier_stand.soak import Soak

PAGES = Path(__file__).parent.parent / "docs" / "reference"
MADE = "<!-- Made by tools/reference.py from the code; do not edit. -->"
HELP_WIDTH = 100

ANSWERS: Mapping[str, str] = {
    "release plan": "[PlanPreview](#planpreview)",
    "release start": "[RunView](#runview); with `--wait`, the last one; of a group, [GroupView](#groupview)",
    "release retry": "[RunView](#runview) of the new run; with `--wait`, the last one",
    "release undo": "[RunView](#runview); with `--wait`, the last one",
    "release groups": '`{"groups": [` [GroupView](#groupview) `…]}`, newest first',
    "release list": '`{"runs": [` [RunView](#runview) `…]}`, newest first',
    "release status": "[RunView](#runview), or [GroupView](#groupview)",
    "release watch": "[RunView](#runview), one a line: the present one, then one at every change",
    "release pause": "[RunView](#runview)",
    "release resume": "[RunView](#runview)",
    "release promote": "[RunView](#runview)",
    "release override": "[RunView](#runview)",
    "release abort": "[RunView](#runview), or [GroupView](#groupview)",
    "release check": "[Checklist](#checklist)",
    "release waive": "[LineWaiver](#linewaiver)",
    "release report": "[RunReport](#runreport)",
    "init": "[init](#init)",
    "check": "[check](#check)",
    "explain": "[explain](#explain)",
    "plan": "[PlatformPlan](#platformplan)",
    "render": "[render](#render)",
    "propose": "[propose](#propose)",
    "template": "[template](#template)",
    "recommend": "[Recommendations](#recommendations)",
    "whereabouts": "[Whereabouts](#whereabouts)",
    "journal log": '`{"entries": [` [JournalEntryView](#journalentryview) `…]}`, oldest first',
    "journal show": "[JournalEntryView](#journalentryview)",
    "journal verify": "[journal verify](#journal-verify)",
    "gate backtest": "[Backtest](#backtest)",
    "gate explain": "[Explanation](#explanation)",
    "journal replay": "[Replay](#replay)",
    "journal export": "[journal export](#journal-export)",
    "policy budgets": "[BudgetReport](#budgetreport)",
    "policy check": "[PolicyReport](#policyreport); with `--fix`, [FixReport](#fixreport)",
    "policy explain": "[RuleView](#ruleview)",
    "policy export": "[ExportReport](#exportreport)",
    "policy matrix": "[ReachMatrix](#reachmatrix)",
    "policy reach": "[ReachReport](#reachreport)",
    "policy rules": '`{"rules": [` [RuleView](#ruleview) `…]}`',
    "stand up": "[stand status](#stand-status)",
    "stand status": "[stand status](#stand-status)",
    "stand down": "[stand down](#stand-down)",
    "stand audit": "[stand audit](#stand-audit)",
    "stand logs": "[stand logs](#stand-logs)",
    "stand versions": "[stand versions](#stand-versions)",
    "stand add": "[stand versions](#stand-versions)",
    "stand fault": "[StandFault](#standfault)",
    "stand soak": "[Soak](#soak)",
    "demo": "[Demo](#demo)",
}
"""Command -> what ``--output json`` prints."""

MODELS: tuple[type, ...] = (
    RunView,
    PlanPreview,
    GroupRequest,
    GroupView,
    RunReport,
    Checklist,
    WaiverRequest,
    LineWaiver,
    ServiceView,
    VersionView,
    JournalEntryView,
    Replay,
    Explanation,
    Backtest,
    PlatformPlan,
    Recommendations,
    Whereabouts,
    PolicyReport,
    FixReport,
    ExportReport,
    ReachMatrix,
    ReachReport,
    BudgetReport,
    RuleView,
    HealthView,
    Demo,
    Soak,
    StandFault,
)
"""Models, and plain dataclasses, that get a section; those they are made of follow them."""

Rows = tuple[tuple[str, str, str], ...]
BY_HAND: Mapping[str, tuple[str, Rows]] = {
    "init": (
        "",
        (
            ("directory", "string", "Where it was written."),
            ("files", "array of string", "What was written, below it."),
        ),
    ),
    "check": (
        "Problems are an error, on stderr, and exit code 2.",
        (
            ("cells", "integer", "How many cells there are."),
            ("services", "integer", "How many services run in them, each counted in every cell."),
            ("notes", "array of string", "What is right, and somebody should still know."),
            ("schemas", "object", "[SchemaView](#schemaview): how far fields could be checked."),
        ),
    ),
    "explain": (
        "",
        (
            ("cell", "string", "The cell."),
            (
                "values",
                "array of object",
                "`path`, `value` and `chain` of each value: who spoke of it, the one that counts last, as `layer`, "
                "`place`, `verb` (`set`, `have`, `add`, `remove`, `unset`) and `value`. No chain: croupier's default.",
            ),
        ),
    ),
    "render": (
        "With `--check` nothing is written, and exit code 1 if anything is `missing`, `changed` or `leftOver`.",
        (
            ("out", "string", "The folder of the manifests."),
            ("missing", "array of string", "Files that were not there."),
            ("changed", "array of string", "Files that said something else."),
            ("leftOver", "array of string", "Files that were rendered once and are no longer wanted."),
            ("same", "integer", "How many files were as they should be."),
        ),
    ),
    "propose": (
        "Exit code 1 when a hook refuses, or what is proposed is not committed.",
        (
            ("branch", "string", "The branch of the deployment repository."),
            ("base", "string", "The branch that a new one begins at."),
            ("commit", "string or null", "What was pushed; null when there was nothing to propose."),
            ("new", "boolean", "Whether the branch was made."),
            ("made", "array of string", "Files that were not there."),
            ("changed", "array of string", "Files that said something else."),
            ("removed", "array of string", "Files that were rendered once and are no longer wanted."),
            ("plan", "[PlatformPlan](#platformplan) or null", "What changes; null when it cannot be told."),
            ("review", "string", "Text for the pull request, in Markdown."),
        ),
    ),
    "template": (
        "",
        (
            ("cell", "string", "The cell whose values they have."),
            ("objects", "array of object", "The manifests, in the order in which they are printed."),
        ),
    ),
    "journal verify": (
        "Exit code 1 with `ok` false.",
        (
            ("ok", "boolean", "Whether chain, checkpoints and, if asked for, evidence are what was written."),
            ("entries", "integer or null", "How many entries were checked; null when not ok."),
            ("evidence", "boolean or null", "Whether the evidence was checked too."),
            ("key", "string or null", "The public key the checkpoints were checked with."),
            ("entry", "integer or null", "Number of the first bad entry, where it is one entry that is wrong."),
            ("problem", "string or null", "What is wrong."),
        ),
    ),
    "journal export": (
        "",
        (
            ("file", "string", "Where it was written."),
            ("entries", "integer", "How many entries it holds."),
            ("key", "string", "The public key that verifies it."),
        ),
    ),
    "stand status": (
        "A stand that does not run is `name` and `phase` `down`, and exit code 1.",
        (
            ("name", "string", "Name of the stand."),
            ("phase", "string", "`starting`, `running`, `stopping`, `failed` or `down`."),
            ("home", "string", "Folder with all its files."),
            ("startedAt", "number", "When it was started."),
            ("supervisorPid", "integer", "Process that owns all others."),
            ("ports", "object of integer", "Name -> loopback port."),
            ("resting", "array of string", "Parts that were told to rest."),
            (
                "faults",
                "array of object",
                "[StandFault](#standfault) of every fault since it came up, oldest first.",
            ),
            ("processes", "array of object", "`name`, `pid`, `ready`, `restarts` of each process."),
            (
                "pods",
                "array of object",
                "`name`, `service`, `digest`, `host`, `port`, `ready`, `restarts`, `phase`, `reason`.",
            ),
            (
                "players",
                "object or null",
                "What players did: `distinct`, `seconds`, `requestsPerSecond`, `operations` (name -> `done`, "
                "`declined`, `failed`, `perSecond`), `failedRequests` (cause -> count), `cpuSeconds`. Null until there "
                "are figures.",
            ),
        ),
    ),
    "stand down": (
        "",
        (("name", "string", "Name of the stand."), ("ended", "boolean", "Whether there was one to end.")),
    ),
    "stand logs": (
        "Without PROCESS, an array of objects without `lines`, one for each log. Not with `--follow`.",
        (
            ("process", "string", "Whose log it is."),
            ("file", "string", "Where it is."),
            ("bytes", "integer", "How large it is; only without PROCESS."),
            ("lines", "array of string", "Its last lines, oldest first; only with PROCESS."),
        ),
    ),
    "stand audit": (
        "Exit code 1 with `right` false. A violation is `kind`, `subject` and `detail`.",
        (
            ("right", "boolean", "Whether no violation is left after reconciliation."),
            ("before", "object", "`violations` before the reconciliation."),
            ("mended", "object of integer", "Kind of correction -> how many were made now."),
            ("after", "object", "`violations` after it."),
            ("checked", "object of integer", "What was looked at -> how many."),
            ("correctedEarlier", "object of integer", "Kind of correction -> how many were made while the stand ran."),
        ),
    ),
    "stand versions": (
        "An array of objects; `stand add` prints one.",
        (
            ("label", "string", "What people call the version."),
            ("digest", "string", "What names it: `release start SERVICE --version DIGEST`."),
            ("service", "string", "Which service it is a version of."),
            ("description", "string", "What is different about it."),
        ),
    ),
}
"""Answers without a model: title -> (remark, fields)."""

EXITS = (
    (0, "yes", "It is done, or the answer is yes: promoted, verified, nothing wrong."),
    (1, "no", "The answer is no: rolled back, refused, violations or findings, a journal that was changed."),
    (2, "usage", "A wrong word, number or file; the message says which, and what there is instead."),
    (
        3,
        "waiting",
        "No answer yet, or not the whole one: ended before there was one (Ctrl-C, a closed pipe), a person "
        "must decide, a manifest could not be checked.",
    ),
    (
        4,
        "environment",
        "The world around does not answer or refuses: no desk, no data plane, no room on disk.",
    ),
    (70, "bug", "A fault in croupier. Run it again with `croupier --debug` and report the traceback."),
)


# --- cli.md -----------------------------------------------------------------------------------------------------------


def cli_page() -> str:
    lines = [
        MADE,
        "# Commands",
        "",
        "Results go to stdout, talk to stderr. `NO_COLOR` is respected. [Exit codes](exit-codes.md), [JSON](json.md).",
    ]
    for words, command in commands():
        lines += ["", f"{'#' * min(2 + len(words), 4)} croupier {' '.join(words)}".rstrip(), "", "```text"]
        lines += [_help(words, command), "```"]
    return "\n".join(lines) + "\n"


def commands() -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """All commands, as the words behind ``croupier`` and the command; groups before what is in them."""
    root = click.Context(cli, info_name="croupier")
    yield (), cli
    for name in COMMANDS:
        command = cli.get_command(root, name)
        assert command is not None, name
        yield (name,), command
        if isinstance(command, click.Group):
            for sub, inner in sorted(command.commands.items()):
                yield (name, sub), inner


def _help(words: tuple[str, ...], command: click.Command) -> str:
    context = click.Context(command, info_name=" ".join(("croupier", *words)), terminal_width=HELP_WIDTH)
    context.help_option_names = ["-h", "--help"]
    return command.get_help(context)


# --- json.md ----------------------------------------------------------------------------------------------------------


def json_page() -> str:
    lines = [
        MADE,
        "# JSON",
        "",
        "What `--output json` prints and the [API](api.md) answers. Times are seconds since 1970-01-01 UTC, ratios 0",
        "to 1, weights percent, what ends in `Seconds` seconds. Fields are only ever added; readers ignore what they",
        "do not know. A field that is not mentioned as null is never null.",
        "",
        "With `--output json` an error is JSON too, on stderr, in the form the API uses:",
        '`{"error": {"code", "message", "hint", "problems": [{"place", "code", "message", "hint"}]}}`. `place` is',
        "`file:line:column`, a JSON pointer into a body, or an option.",
        "",
        "## Which command prints what",
        "",
        "| command | answer |",
        "| --- | --- |",
        *(f"| `croupier {words}` | {answer} |" for words, answer in ANSWERS.items()),
    ]
    for title, (remark, rows) in BY_HAND.items():
        lines += ["", f"## {title}", "", *([remark, ""] if remark else []), *_grid(rows)]
    for model in every_model():
        lines += ["", f"## {model.__name__}", ""]
        lines += [_prose(inspect.cleandoc(model.__doc__)), ""] if model.__doc__ else []
        lines += _grid(fields_of(model))
    return "\n".join(lines) + "\n"


def every_model(roots: Iterable[type] = MODELS) -> list[type]:
    """``roots`` and all that they are made of, each after the first one that uses it."""
    found: dict[str, type] = {}

    def add(model: type) -> None:
        if model.__name__ in found:
            assert found[model.__name__] is model, f"two models are called {model.__name__}"
            return
        found[model.__name__] = model
        for annotation in _parts_of(model):
            for inner in _models_in(annotation):
                add(inner)

    for model in roots:
        add(model)
    return list(found.values())


def _parts_of(model: type) -> list[Any]:
    """The types of its fields."""
    if issubclass(model, BaseModel):
        return [field.annotation for field in model.model_fields.values()]
    return list(get_type_hints(model).values())


def _models_in(annotation: Any) -> Iterator[type]:
    if isinstance(annotation, type) and (issubclass(annotation, BaseModel) or is_dataclass(annotation)):
        yield annotation
    for inner in getattr(annotation, "__args__", ()):
        yield from _models_in(inner)
    value = getattr(annotation, "__value__", None)
    if value is not None:
        yield from _models_in(value)


def fields_of(model: type) -> Iterator[tuple[str, str, str]]:
    """(name in JSON, type, meaning) of each field."""
    schema = TypeAdapter(model).json_schema(mode="serialization", by_alias=True)
    said = _meanings(model)
    for name, (key, shown) in _names_of(model).items():
        yield shown, _type(schema["properties"][key], schema.get("$defs", {})), said.get(name, "")


def _names_of(model: type) -> dict[str, tuple[str, str]]:
    """Field -> its names in the schema and in JSON; ``croupier.report.values`` writes dataclasses."""
    if not issubclass(model, BaseModel):
        return {each.name: (each.name, in_json(each.name)) for each in fields(model)}
    aliases = {name: field.serialization_alias or field.alias or name for name, field in model.model_fields.items()}
    return {name: (alias, alias) for name, alias in aliases.items()}


def _meanings(model: type) -> dict[str, str]:
    """Field -> the string below it in the source, also of the classes it inherits from."""
    said: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if cls is BaseModel or not (issubclass(cls, BaseModel) or is_dataclass(cls)):
            continue
        (node,) = ast.parse(textwrap.dedent(inspect.getsource(cls))).body
        assert isinstance(node, ast.ClassDef)
        for before, after in zip(node.body, node.body[1:], strict=False):
            if (
                isinstance(before, ast.AnnAssign)
                and isinstance(before.target, ast.Name)
                and isinstance(after, ast.Expr)
                and isinstance(after.value, ast.Constant)
            ):
                said[before.target.id] = inspect.cleandoc(str(after.value.value))
    return said


def _type(schema: Mapping[str, Any], named: Mapping[str, Any]) -> str:
    """A JSON schema in words; ``named``: the schemas that references point to."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[-1]
        is_model = named[name].get("type") == "object"
        return f"[{name}](#{name.lower()})" if is_model else _type(named[name], named)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(dict.fromkeys(_type(each, named) for each in schema[key]))
    if "enum" in schema:
        return " or ".join(f"`{each}`" for each in schema["enum"])
    if "const" in schema:
        return f"`{schema['const']}`"
    if schema.get("type") == "array":
        return f"array of {_type(schema['items'], named)}"
    if schema.get("type") == "object":
        (value,) = [*schema.get("patternProperties", {}).values()] or [schema["additionalProperties"]]
        return "object" if value is True else f"object of {_type(value, named)}"
    return str(schema.get("type", "any JSON"))


def _grid(rows: Iterable[tuple[str, str, str]]) -> list[str]:
    table = ["| field | type | meaning |", "| --- | --- | --- |"]
    for name, kind, meaning in rows:
        table.append(f"| `{name}` | {kind} | {_line(meaning)} |")
    return table


def _line(text: str) -> str:
    return " ".join(_prose(text).split()).replace("|", "\\|")


def _prose(text: str) -> str:
    """A docstring as a page in Markdown says it: fields by their names in JSON, null for None."""
    text = re.sub(r"``(\w+)``", lambda found: f"``{to_camel(found[1]) if found[1] in _fields() else found[1]}``", text)
    return re.sub(r"\bNone\b", "null", text.replace("``", "`"))


@cache
def _fields() -> frozenset[str]:
    """Names of fields that are another word in JSON. Variables and metrics of others are called as they are."""
    kinds, names = [BaseModel], set()
    while kinds:
        kind = kinds.pop()
        kinds += kind.__subclasses__()
        names |= {name for name in kind.model_fields if "_" in name}
    return frozenset(names)


# --- platform.md ------------------------------------------------------------------------------------------------------


def platform_page() -> str:
    lines = [
        MADE,
        "# The platform file",
        "",
        "A platform is a folder of YAML files (1.2: `no` is Norway). Each may hold any of the sections below; how they",
        "are spread over files means nothing. Folders in it are read too, except `versions`; links are not followed.",
        "[The tutorial](../tutorial/manifests.md) goes through it once.",
        "",
        "## Sections",
        "",
        *_grid(_sections()),
        "",
        "## Who outweighs whom",
        "",
        "For each service of each cell, from the lightest to the heaviest: `defaults`; `presets` (the more traits in",
        "`when`, the heavier); the service's own declaration; `layers` (the more axes in `at`, the heavier). Two that",
        "weigh the same and disagree about a value are an error that names both; file order never decides. Mappings",
        "are merged, single values and lists replaced. A list may be changed instead:",
        "`egress: {add: [psp-b], remove: [psp-a]}`; items of `objectives` and `ports` go by `signal` and `name`.",
        "`unset` takes away what lighter ones said. `croupier explain CELL PATH` shows the whole chain.",
    ]
    for title, form in (("presets", Preset), ("layers", ServiceLayer)):
        lines += ["", f"## {title}", "", _prose(inspect.cleandoc(form.__doc__ or "")), ""]
        said = _meanings(form)
        lines += _grid((name, _PARTS[name], said.get(name, "")) for name in form.model_fields)
    for model in every_model((ServiceSpec, Cell, Market, Region, Provider, Event, Brand, GitOps, When, At, Patch)):
        lines += ["", f"## {model.__name__}", ""]
        lines += [_prose(inspect.cleandoc(model.__doc__)), ""] if model.__doc__ else []
        lines += _grid(_written(model))
    return "\n".join(lines) + "\n"


def desk_page() -> str:
    lines = [
        MADE,
        "# The settings of a desk",
        "",
        "`desk.yaml` in the folder that `croupier desk --home` names. `croupier stand up` writes one for its stand.",
        "The desk reads it when it starts.",
    ]
    for model in every_model((DeskSettings,)):
        lines += ["", f"## {model.__name__}", ""]
        lines += [_prose(inspect.cleandoc(model.__doc__)), ""] if model.__doc__ else []
        lines += _grid(_written(model))
    return "\n".join(lines) + "\n"


def _written(model: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    """(key, type with bounds and default, meaning) of each field as people write it."""
    schema = model.model_json_schema(mode="validation", by_alias=True)
    said = _meanings(model)
    for name, field in model.model_fields.items():
        alias = field.alias or name
        found = schema["properties"][alias]
        kind = _type(found, schema.get("$defs", {})).removesuffix(" or null")
        ends = [found, *found.get("anyOf", ())]
        low = next((each[key] for each in ends for key in ("minimum", "exclusiveMinimum") if key in each), None)
        high = next((each[key] for each in ends for key in ("maximum", "exclusiveMaximum") if key in each), None)
        bounds = [f"{word} {end:.10g}" for word, end in (("from", low), ("to", high)) if end is not None]
        kind += f", {' '.join(bounds)}" if bounds else ""
        default = found.get("default")
        if field.is_required():
            kind += "; required"
        elif default not in (None, [], {}) and not isinstance(default, dict):
            kind += f"; default `{json.dumps(default)}`"
        yield alias, kind, said.get(name, "").replace("None", "Left out")


_PARTS = {
    "when": "[When](#when)",
    "at": "[At](#at)",
    "set": "any part of [ServiceSpec](#servicespec)",
    "unset": "array of string",
    "patches": "array of [Patch](#patch)",
}
_SECTIONS = {
    "brands": "name -> [Brand](#brand)",
    "markets": "name -> [Market](#market); [its fields and who asks for them](markets.md)",
    "regions": "name -> [Region](#region)",
    "providers": "name -> [Provider](#provider)",
    "events": "name -> [Event](#event)",
    "gitops": "[GitOps](#gitops)",
    "cells": "array of [Cell](#cell)",
    "defaults": _PARTS["set"],
    "presets": "array, [see below](#presets)",
    "services": "array of [ServiceSpec](#servicespec), of which all but `name` may come from elsewhere",
    "layers": "array, [see below](#layers)",
}


def _sections() -> Iterator[tuple[str, str, str]]:
    said = _meanings(PlatformFile)
    for name in PlatformFile.model_fields:
        yield name, _SECTIONS[name], said.get(name, "")


# --- exit-codes.md ----------------------------------------------------------------------------------------------------


def exits_page() -> str:
    lines = [MADE, "# Exit codes and errors", "", "| exit | | meaning |", "| --- | --- | --- |"]
    lines += [f"| {code} | {name} | {meaning} |" for code, name, meaning in EXITS]
    lines += ["", "Each error has a stable code; `--output json` and the API give it as `error.code`.", ""]
    lines += ["| code | exit | meaning |", "| --- | --- | --- |"]
    for error in every_error(errors.CroupierError):
        if "code" not in vars(error):  # one kind of another, told apart where it is raised only
            continue
        meaning = (inspect.getdoc(error) or "").split("\n\n")[0] if error.__doc__ else ""
        lines.append(f"| `{error.code}` | {error.exit_code} | {_line(_MEANINGS.get(error.code, meaning))} |")
    return "\n".join(lines) + "\n"


_MEANINGS = {
    "ERROR": "A fault in croupier.",
    "USER": "Something the caller can mend.",
    "USAGE": "A wrong word, number or flag.",
    "SPEC": "Problems in a file or body; `problems` lists all, each with its place.",
    "UNKNOWN_NAME": "There is nothing of that name; the hint lists what there is.",
    "REFUSED": "Sound, but not allowed now; message and hint say why and what would be.",
    "ENVIRONMENT": "The world around croupier does not answer as it must.",
    "UNREACHABLE": "It does not answer; trying again may help.",
    "EXPIRED": "What was asked for is too old to be had; everything is read again.",
    "UNAUTHORIZED": "The desk did not take the token.",
    "MISSING": "What is addressed is not there, or no longer.",
    "CONFLICT": "Somebody else holds what is needed.",
    "INTEGRITY": "Journal or evidence is not what was written.",
    "BODY_TOO_LARGE": "API: the body is over the limit (413).",
    "WRONG_HOST": "API: asked under a host name that is not loopback's (421).",
    "UNSUPPORTED_MEDIA": "API: the body is not declared as JSON (415).",
    "NOT_FOUND": "API: nothing at this path (404).",
    "METHOD_NOT_ALLOWED": "API: not offered at this path (405).",
}


def every_error(root: type[errors.CroupierError]) -> Iterator[type[errors.CroupierError]]:
    """The tree of errors, parents first: the desk's and, since ``app`` is loaded, the API's; not the stand's."""
    assert app
    yield root
    for error in root.__subclasses__():
        if error.__module__.startswith("croupier."):
            yield from every_error(error)


# --- policy.md --------------------------------------------------------------------------------------------------------


def policy_page() -> str:
    lines = [
        MADE,
        "# Rules on manifests",
        "",
        "What `croupier policy check` asks of manifests ([how to check them in CI](../how-to/manifests-in-ci.md)).",
        f"Profiles (`--profile`): {', '.join(f'`{name}` ({len(ids)} rules)' for name, ids in PROFILES.items())}.",
        "Rules that are not part of `default` are asked with `--enable RULE`.",
        "",
        "| rule | level | looks at | default | what it asks for |",
        "| --- | --- | --- | --- | --- |",
    ]
    for each in RULES.values():
        usual = "yes" if each.usual else "no"
        lines.append(f"| [{each.id}](policy/{each.id}.md) | {each.level} | {each.scope} | {usual} | {each.title} |")
    return "\n".join(lines) + "\n"


def rule_page(rule: RuleView) -> str:
    lines = [MADE, f"# {rule.id}", "", f"**{rule.title}.** {rule.why}", "", rule.fix, ""]
    lines += ["| | |", "| --- | --- |", f"| level | {rule.level} |", f"| looks at | {SCOPES[rule.scope]} |"]
    asked = "in the profile `default`" if rule.usual else f"with `--enable {rule.id}`"
    lines += [f"| asked | {asked} |", f"| source | {rule.source} |", ""]
    lines += ["Bad:", "", "```yaml", rule.bad.rstrip(), "```", "", "Good:", "", "```yaml", rule.good.rstrip(), "```"]
    return "\n".join(lines) + "\n"


# --- markets/ ---------------------------------------------------------------------------------------------------------

KNOWN: Mapping[str, Any] = yaml.safe_load((Path(__file__).parent / "market_facts.yaml").read_text(encoding="utf-8"))
"""What regulators say about the fields of a market, with sources; the file says how it is written."""


def market_fields() -> dict[str, str]:
    """Field of a market as people write it -> what the model says of it; without its title."""
    said = {f"residency.{key}": meaning for key, _, meaning in _written(Residency)}
    said |= {f"residency.classes.{key}": meaning for key, _, meaning in _written(DataClass)}
    return {**said, "locks": _prose(inspect.cleandoc(Lock.__doc__ or ""))}


def markets_page() -> str:
    lines = [MADE, "# Fields of a market", ""]
    lines += [
        "What the [platform file](platform.md#market) says of a market because somebody who may judge it says so."
    ]
    lines += [
        "Each page names the sources that we know; they are a start for whoever reviews, and no legal advice.",
        "",
    ]
    lines += ["| field | sources | markets |", "| --- | --- | --- |"]
    for name in market_fields():
        facts = [each for each in KNOWN["facts"] if each["field"] == name]
        markets = ", ".join(sorted({each["market"] for each in facts}))
        lines.append(f"| [`{name}`](markets/{_file(name)}) | {len(facts) or 'none'} | {markets} |")
    lines += [
        "",
        "## What no field says yet",
        "",
        "Regulators ask for it, and it has to be seen to beside croupier:",
        "",
    ]
    lines += ["| what | market | says | source |", "| --- | --- | --- | --- |"]
    for asked in KNOWN["unsaid"]:
        lines += [f"| {asked['what']} | {_fact(each)} |" for each in asked["facts"]]
    return "\n".join(lines) + "\n"


def market_page(name: str, meaning: str) -> str:
    lines = [MADE, f"# {name}", "", _prose(meaning), "", KNOWN["held"][name], "", "## Sources", ""]
    facts = [each for each in KNOWN["facts"] if each["field"] == name]
    if not facts:
        lines.append("We know of none that names it. Give the licence condition in `residency.source`.")
        return "\n".join(lines) + "\n"
    lines += ["| market | says | source |", "| --- | --- | --- |"]
    lines += [f"| {_fact(each)} |" for each in facts]
    lines += ["", f"Read in excerpts, on {KNOWN['readOn']}; laws change. This is no legal advice."]
    return "\n".join(lines) + "\n"


def _fact(fact: Mapping[str, str]) -> str:
    where = f": {fact['where']}" if "where" in fact else ""
    return f"{fact['market']} | {_line(fact['says'])} | {KNOWN['grades'][fact['grade']]}{where}"


def _file(field: str) -> str:
    return f"{field.replace('.', '-')}.md"


# --- writing ----------------------------------------------------------------------------------------------------------


def pages() -> dict[str, str]:
    rules = {f"policy/{each.id}.md": rule_page(rule_view(each)) for each in RULES.values()}
    words = {"cli.md": cli_page(), "json.md": json_page(), "platform.md": platform_page(), "desk.md": desk_page()}
    words |= {"exit-codes.md": exits_page(), "policy.md": policy_page()}
    markets = {f"markets/{_file(name)}": market_page(name, said) for name, said in market_fields().items()}
    return words | rules | {"markets.md": markets_page()} | markets


def main() -> int:
    old = []
    made = pages()
    there = [page for folder in ("policy", "markets") for page in (PAGES / folder).glob("*.md")]
    for page in sorted(each for each in there if each.relative_to(PAGES).as_posix() not in made):
        if "--check" in sys.argv[1:]:
            old.append(page.relative_to(PAGES).as_posix())
        else:
            page.unlink()
    for name, text in made.items():
        page = PAGES / name
        if "--check" in sys.argv[1:]:
            old += [] if page.exists() and page.read_text(encoding="utf-8") == text else [name]
            continue
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text, encoding="utf-8")
    if old:
        sys.stdout.write(f"old: {', '.join(old)}; run python tools/reference.py\n")
    return 1 if old else 0


if __name__ == "__main__":
    sys.exit(main())
