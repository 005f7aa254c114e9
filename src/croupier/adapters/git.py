"""Folders as they were in a Git revision, by the git that is installed: with its filters and credentials, no hooks."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from croupier.errors import EnvironmentFault, UsageError


class Revision(NamedTuple):
    """Where a folder stands in Git."""

    commit: str
    folder: str
    """From the top of the repository, "" for the top itself, else with a slash at its end."""
    clean: bool
    """Nothing in the folder differs from the commit."""


def program() -> str:
    """The git that is installed. Raises ``EnvironmentFault`` when there is none."""
    git = shutil.which("git")
    if git is None:
        raise EnvironmentFault("git is not installed", hint="install it; croupier reads and writes Git with it alone")
    return git


def revision_of(folder: Path) -> Revision | None:
    """The commit that ``folder`` is checked out from; None where it is in no repository, or nothing is committed."""
    git = program()
    commit = _said(git, folder, "rev-parse", "--verify", "--quiet", "HEAD")
    if not commit:
        return None
    changed = _said(git, folder, "status", "--porcelain", "--", ".")
    return Revision(commit, _said(git, folder, "rev-parse", "--show-prefix"), not changed)


def extract(named: str, into: Path, *, at: Path = Path()) -> str:
    """Write a folder as it was in a revision into ``into``, which is empty, and answer its name. Links stay links.

    Args:
        named: revision and folder as Git has them: ``main:platform`` from the top, ``main:./platform`` from here;
            a revision alone is the folder one is in, and is answered as ``main:./``.
        into: where it is written.
        at: a folder of the repository: "here".

    Raises ``UsageError`` for a revision, or a folder in it, that is not there; ``EnvironmentFault`` without git.
    """
    git = program()
    folder = named if ":" in named else f"{named}:./"
    verified = ("rev-parse", "--verify", "--quiet", "--end-of-options", folder)
    found = "" if named.startswith("-") else _said(git, at, *verified)
    tree = _said(git, at, "rev-parse", "--verify", "--quiet", f"{found}^{{tree}}") if found else ""
    if not tree:
        raise UsageError(
            f"{named!r} is neither a folder nor a revision that has it",
            hint="a revision may name a folder from the top of the repository, once committed: main:platform",
        )
    _check_out(git, tree, into, at=at)
    return folder


def extract_files(revision: str, into: Path, wanted: Callable[[str], bool]) -> tuple[Path, tuple[str, ...]]:
    """Write files as they were in a revision into ``into``, which is empty; nothing else is touched.

    Args:
        revision: as Git has it: ``main``, ``HEAD~1``, a hash.
        into: where they are written, at the paths that they have in the repository.
        wanted: is asked of each path, from the top of the repository.

    Returns: the top folder of the repository that one is in, and the paths that were written.

    Raises ``UsageError`` outside a repository, and for a revision that is not there; ``EnvironmentFault`` without git.
    """
    git, here = program(), Path()
    top = _said(git, here, "rev-parse", "--show-toplevel")
    if not top:
        raise UsageError("this folder is in no Git repository", hint="go to the repository that the files are in")
    asked = ("rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{tree}}")
    tree = "" if revision.startswith("-") else _said(git, here, *asked)
    if not tree:
        hint = "in CI, fetch it first: a shallow clone holds one commit only"
        raise UsageError(f"{revision!r} is no revision of this repository", hint=hint)
    return Path(top), _check_out(git, tree, into, wanted, at=here)


def _check_out(
    git: str, tree: str, into: Path, wanted: Callable[[str], bool] | None = None, *, at: Path
) -> tuple[str, ...]:
    """Write what is ``wanted`` of a tree, by default all, into ``into``; the paths in it where some were chosen."""
    # An index and a work tree of its own: nothing of the repository is touched. `git archive` would leave out
    # what .gitattributes keep from exports.
    where = ["--git-dir", _said(git, at, "rev-parse", "--absolute-git-dir"), "--work-tree", str(into)]
    with TemporaryDirectory(prefix="croupier-index-") as beside:
        environment = {**os.environ, "GIT_INDEX_FILE": str(Path(beside, "index"))}

        def run(*words: str, stdin: bytes | None = None) -> bytes:
            command = [git, *where, "-c", f"core.hooksPath={os.devnull}", *words]
            done = subprocess.run(command, cwd=into, env=environment, capture_output=True, input=stdin, check=False)
            if done.returncode:
                raise EnvironmentFault(f"git {words[0]} of {tree}: {os.fsdecode(done.stderr).strip()}")
            return done.stdout

        run("read-tree", tree)
        if wanted is None:
            run("checkout-index", "--all")
            return ()
        names = tuple(each for each in os.fsdecode(run("ls-files", "-z")).split("\0") if each and wanted(each))
        run("checkout-index", "-z", "--stdin", stdin=b"".join(os.fsencode(name) + b"\0" for name in names))
        return names


def _said(git: str, at: Path, *words: str) -> str:
    """What git says, "" when it refuses."""
    done = subprocess.run([git, *words], cwd=at, capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else ""
