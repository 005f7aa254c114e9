"""The use case behind ``croupier policy check --fix``: findings -> changes of text that are safe -> one patch.

No file is written. What is printed applies to the files as they were read, and changes nothing else in them.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from croupier.core.policy.check import Finding
from croupier.core.policy.fixes import Mended, mend
from croupier.core.policy.objects import as_object
from croupier.core.policy.world import World
from croupier.engine.policy import Checked, Excuses, placed
from croupier.errors import SpecError
from croupier.model.edit import Edit
from croupier.model.manifest import Source
from croupier.model.policy import FindingView, FixedView, FixReport, LeftView
from croupier.spec.manifests import text_of
from croupier.spec.yaml_edit import Unfit, edited

Diff = Callable[[str, str, str], str]
"""(name, old text, new text) -> the change as a patch."""


_RENDERED = "it is made from a template, which is for you to mend"


@dataclass(frozen=True, slots=True)
class _Wish:
    """A finding and what would mend it, or why nothing would."""

    finding: Finding
    view: FindingView
    source: Source
    edit: Edit | str


def fix(checked: Checked, excuses: Excuses, diff: Diff) -> FixReport:
    """What of the findings that count can be mended without asking, as one patch; and what is left."""
    wishes: dict[str, list[_Wish]] = defaultdict(list)
    for each in _wishes(checked, excuses):
        wishes[each.source.file].append(each)
    patches: list[str] = []
    fixed: list[FixedView] = []
    left: list[LeftView] = []
    rendered = {each.file for each in checked.read if each.is_rendered}
    for file in sorted(wishes):
        if file in rendered:
            wishes[file] = [replace(each, edit=_RENDERED) for each in wishes[file]]
        patch, why_not = _patched(file, wishes[file], diff)
        patches.append(patch)
        for each in sorted(wishes[file], key=lambda wish: (wish.view.line, wish.view.column)):
            why = each.edit if isinstance(each.edit, str) else why_not.get((id(each.source), each.edit))
            if why is None:
                fixed.append(_fixed(each.view))
            else:
                left.append(_left(each.view, why))
    return FixReport(patch="".join(patches), fixed=tuple(fixed), left=tuple(left))


def _fixed(view: FindingView) -> FixedView:
    return FixedView(rule=view.rule, file=view.file, line=view.line, object=view.object, path=view.path)


def _left(view: FindingView, why: str) -> LeftView:
    return LeftView(rule=view.rule, file=view.file, line=view.line, object=view.object, path=view.path, why=why)


def _wishes(checked: Checked, excuses: Excuses) -> Iterator[_Wish]:
    made = [as_object(index, each, checked.settings) for index, each in enumerate(checked.manifests)]
    world = World(made)
    for finding, view in placed(checked.manifests, checked.findings, excuses):
        if view.is_excused:
            continue
        manifest = checked.manifests[finding.index]
        answer = mend(world, finding)
        if isinstance(answer, Mended):
            edit = replace(answer.edit, path=(*manifest.root, *answer.edit.path))
            yield _Wish(finding, view, manifest.source, edit)
        else:
            yield _Wish(finding, view, manifest.source, answer)


def _patched(file: str, wishes: Sequence[_Wish], diff: Diff) -> tuple[str, Mapping[tuple[int, Edit], str]]:
    """The change of one file, and (document, edit) -> why it is not made, for those that are not."""
    asked = {(id(each.source), each.edit): each.source for each in wishes if not isinstance(each.edit, str)}
    why_not: dict[tuple[int, Edit], str] = {}
    if not asked:
        return "", why_not
    try:
        name = _name(file)
        text = text_of(file)
        body = _Body.of(text)
        sources = {id(source): source for source in asked.values()}
        # From the last document to the first, so that places before stay where they are.
        for each in sorted(sources.values(), key=lambda source: source.line, reverse=True):
            start = body.find(each)
            part = each.text
            for source, edit in asked:
                if source == id(each):
                    try:
                        part = edited(part, [edit])
                    except Unfit as error:
                        why_not[source, edit] = str(error)
            body = body.with_part(start, each.text, part)
    except (Unfit, SpecError) as error:
        said = error.problems[0].message if isinstance(error, SpecError) else str(error)
        return "", dict.fromkeys(asked, said)
    return diff(name, text, body.whole()), why_not


def _name(file: str) -> str:
    """``file`` from here, as a patch names it. Raises ``Unfit`` for a name that patches cannot hold."""
    name = os.path.relpath(file)
    if name.startswith("..") or any(not each.isprintable() or each in '"\\' for each in name):
        raise Unfit("a patch cannot name its file: go to the folder that holds it" if name.startswith("..")
                    else "a patch cannot name its file")  # fmt: skip
    if any(part.is_symlink() for part in (Path(name), *Path(name).parents)):
        raise Unfit("its file is reached by a symbolic link, through which git changes nothing: mend what it leads to")
    return name


@dataclass(frozen=True, slots=True)
class _Body:
    """The text of a file as its documents were read from it: without byte order mark, lines ended by line feeds."""

    text: str
    mark: str
    ends: str

    @classmethod
    def of(cls, text: str) -> _Body:
        mark = "\ufeff" if text.startswith("\ufeff") else ""
        bare = text.removeprefix(mark)
        returns = bare.count("\r\n")
        if returns and returns != bare.count("\n"):
            raise Unfit("some of its lines end with a carriage return and some do not")
        return cls(bare.replace("\r\n", "\n"), mark, "\r\n" if returns else "\n")

    def find(self, source: Source) -> int:
        line = 0
        for _ in range(source.line):
            line = self.text.index("\n", line) + 1
        found = self.text.find(source.text, line)
        if found < 0:
            raise Unfit("the file changed while it was read")
        return found

    def with_part(self, start: int, old: str, new: str) -> _Body:
        return replace(self, text=self.text[:start] + new + self.text[start + len(old) :])

    def whole(self) -> str:
        return self.mark + self.text.replace("\n", self.ends)
