"""``croupier propose``: rendered manifests as a commit on a branch, with what people need to review it."""

from __future__ import annotations

import json
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, NamedTuple

import click

from croupier.adapters.files import PUBLIC, replace_file
from croupier.adapters.manifests import Differences
from croupier.cli.options import Output, ends_soon, form_option, kubernetes_option, output_option, print_json, say
from croupier.errors import CroupierError, Refused, SpecError, UsageError

if TYPE_CHECKING:
    from croupier.adapters.git import Revision
    from croupier.core.render.forms import Form
    from croupier.model.change import PlatformPlan
    from croupier.spec.cells import Described

SOURCE = ".croupier/source.json"
"""In the folder of manifests: the commit of the platform that they were rendered from."""

_NOTHING: dict[str, object] = {"made": [], "changed": [], "removed": [], "plan": None, "review": ""}

_existing = click.Path(file_okay=False, exists=True, path_type=Path)


@click.command()
@click.argument("directory", metavar="[DIR]", type=_existing, default=".")
@click.option(
    "--to", "repository", required=True, metavar="URL|DIR", help="The deployment repository, as git clones it."
)
@click.option("--branch", required=True, help="The branch to commit to; made when it is not there.")
@click.option("--base", default="main", show_default=True, help="The branch that a new one begins at.")
@click.option("--folder", default=".", show_default=True, help="Where manifests are in that repository.")
@form_option
@kubernetes_option
@output_option
@ends_soon
def propose(
    *,
    directory: Path,
    repository: str,
    branch: str,
    base: str,
    folder: str,
    form: Form,
    kubernetes: str,
    output: Output,
) -> None:
    """Render the platform in DIR (here by default) into a branch of the deployment repository, and print the review.

    The review says which values change, in which cells, and what will be released for it: text for the pull request.
    Nothing is forced, nothing is merged, no cluster is touched. DIR must be as it is committed.
    """
    from croupier.adapters.clock import SystemClock
    from croupier.adapters.git import revision_of
    from croupier.adapters.git_branch import commit_to_branch
    from croupier.adapters.manifests import write
    from croupier.core.render.cell import MADE
    from croupier.engine.rendering import rendered
    from croupier.spec.platform import load_described

    inner = PurePosixPath(folder)
    if inner.is_absolute() or ".." in inner.parts or ".git" in inner.parts:
        raise UsageError(
            f"--folder {folder} is not in the repository", hint="give it from the top: clusters/production"
        )
    revision = revision_of(directory)
    if revision is not None and not revision.clean:
        raise Refused(
            f"{directory} has changes that are not committed", hint="commit them: others must find what they review"
        )
    described = load_described(directory)
    if past := described.over(SystemClock().now()):
        raise SpecError(past)
    files = rendered(described.cells, kubernetes, directory, form)
    made: list[_Proposal] = []

    def change(clone: Path) -> str:
        out = clone / inner
        _check_is_folder(clone, inner)
        before = _source(out)
        try:
            done = write(out, files, MADE)
        except Refused as error:  # the clone is gone when somebody reads it: the name in the repository is what helps
            raise Refused(error.message.replace(f"{clone}/", ""), hint=error.hint) from error
        if not done:
            return ""
        if revision is not None:
            _note(out, revision)
        plan, why_not = _plan(before, directory, described)
        made.append(_Proposal(revision, done, plan, why_not))
        return made[-1].message()

    pushed = commit_to_branch(repository, base=base, branch=branch, change=change)
    if pushed is None:
        say(f"nothing to propose: {len(files)} files are as they should be")
        if output == "json":
            print_json({"branch": branch, "base": base, "commit": None, "new": False} | _NOTHING)
        return
    proposal = made[-1]
    if output == "json":
        print_json({"branch": branch, "base": base, "commit": pushed.commit, "new": pushed.began} | proposal.as_json())
        return
    click.echo(proposal.review())
    say(f"\ncommitted {pushed.commit[:12]} to {branch}{f', new from {base}' if pushed.began else ''}")
    say(f"Next: open a pull request from {branch} to {base} with the text above.")


class _Proposal(NamedTuple):
    """What is proposed. ``plan``: which values change; None: ``why_not`` that cannot be told."""

    revision: Revision | None
    done: Differences
    plan: PlatformPlan | None
    why_not: str

    def message(self) -> str:
        """Of the commit: a subject, and what changes."""
        from croupier.report.change import plan_text

        at = f" at {self.revision.commit[:12]}" if self.revision is not None else ""
        body = plan_text(self.plan) if self.plan is not None else self._files()
        return f"Render the platform{at}\n\n{body}\n"

    def review(self) -> str:
        """For the pull request, in Markdown."""
        from croupier.report.change import plan_markdown

        if self.plan is not None:
            return plan_markdown(self.plan)
        if not self.done.changed and not self.done.left_over:
            return f"All of it is new.\n\n{self._files()}"
        return f"{self._files()}\n\nWhich values change is not known: {self.why_not}."

    def as_json(self) -> dict[str, object]:
        return {
            "made": list(self.done.missing),
            "changed": list(self.done.changed),
            "removed": list(self.done.left_over),
            "plan": self.plan.model_dump(mode="json", by_alias=True) if self.plan is not None else None,
            "review": self.review(),
        }

    def _files(self) -> str:
        words = (("made", self.done.missing), ("changed", self.done.changed), ("removed", self.done.left_over))
        return "\n".join(f"- {word} `{name}`" for word, names in words for name in names)


def _check_is_folder(clone: Path, inner: PurePosixPath) -> None:
    """Raises ``UsageError`` where a part of ``inner`` is a file of the repository, or a link: out of it, perhaps."""
    for part in reversed((inner / SOURCE).parents):
        if (clone / part).is_symlink() or ((clone / part).exists() and not (clone / part).is_dir()):
            raise UsageError(
                f"{part} is no folder in the repository", hint="name a folder: --folder clusters/production"
            )


def _source(out: Path) -> tuple[str, str] | None:
    """(commit, folder) of the platform that the manifests in ``out`` were rendered from, as far as it is known."""
    try:
        said = json.loads((out / SOURCE).read_text())
        return str(said["commit"]), str(said["folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _note(out: Path, revision: Revision) -> None:
    path = out / SOURCE
    path.parent.mkdir(exist_ok=True)
    said = json.dumps({"commit": revision.commit, "folder": revision.folder}, indent=2) + "\n"
    replace_file(path, said.encode(), durable=False, mode=PUBLIC)  # not written through a link


def _plan(before: tuple[str, str] | None, directory: Path, described: Described) -> tuple[PlatformPlan | None, str]:
    """What changes since ``before``, or None and why that cannot be told."""
    from croupier.adapters.git import extract
    from croupier.core.compare import compare
    from croupier.spec.platform import load_described

    if before is None:
        return None, "the branch does not say what it was rendered from"
    commit, folder = before
    with TemporaryDirectory(prefix="croupier-plan-") as place:
        try:
            extract(f"{commit}:{folder.rstrip('/')}", Path(place), at=directory)
            old = load_described(Path(place), folder)
        except CroupierError as error:
            return None, f"it was rendered from {commit[:12]}, which cannot be read here ({error.message})"
        return compare(old.cells, described.cells), ""
