"""Rules that people wrote into a folder: read, tried on their own examples, and only then asked."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

from croupier.core.policy.check import check
from croupier.core.policy.custom import rule_of
from croupier.core.policy.rule import Rule
from croupier.errors import Problem, SpecError, UnknownName, UsageError
from croupier.model.rule_file import RuleFile
from croupier.spec.files import yaml_files
from croupier.spec.load import Flaw, load
from croupier.spec.manifests import read_text


def read_rules(directory: Path, taken: Collection[str]) -> tuple[Rule, ...]:
    """The rules in ``directory``, one a file, in the order of the files.

    ``taken``: ids of other rules. Raises ``SpecError`` with all problems: of form, in CEL, and of rules that find no
    fault with their bad example or some with their good one.
    """
    problems: list[Problem] = []
    files: list[RuleFile] = []
    ids = set(taken)
    for path in yaml_files(directory, problems):

        def flaws(file: RuleFile) -> Iterator[Flaw]:
            if file.id in ids:
                yield Flaw(("id",), "DUPLICATE", f"there is another rule called {file.id}")
            yield from _flaws(file)

        try:
            file = load(path, RuleFile, flaws)
        except SpecError as error:
            problems += error.problems
        else:
            files.append(file)
            ids.add(file.id)
    if not files and not problems:
        problems.append(Problem(str(directory), 0, 0, "FILE", "holds no rule", "rules are files that end in .yaml"))
    if problems:
        raise SpecError(problems)
    return tuple(map(rule_of, files))


def _flaws(file: RuleFile) -> Iterator[Flaw]:
    try:
        rule = rule_of(file)
    except UnknownName as error:
        yield Flaw(("expression",), "CEL", str(error), error.hint or "")
        return
    except UsageError as error:
        yield Flaw(("expression",), "CEL", str(error))
        return
    for name, text in (("bad", file.bad), ("good", file.good)):
        read = read_text(text, name)
        if read.problem is not None:
            yield Flaw((name,), "EXAMPLE", f"is no manifest: {read.problem.message}")
            continue
        found = check(read.manifests, [rule])
        if name == "bad" and not found:
            yield Flaw((name,), "EXAMPLE", "the rule finds no fault with its bad example")
        if name == "good" and found:
            yield Flaw((name,), "EXAMPLE", f"the rule finds fault with its good example: {found[0].message}")
