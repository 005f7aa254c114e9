"""A commit on a branch of somebody's Git repository, made in a clone that is thrown away.

Nothing is ever forced: a branch that moved meanwhile is read anew, and what was to be committed is made again on top of
it. Hooks and signatures are those of whoever runs this, and of the repository.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

from croupier.adapters.git import program
from croupier.errors import Conflict, EnvironmentFault, Refused, UsageError

_TRIES = 3
_LONGEST_SECONDS = 300.0
_USER_INFO = re.compile(r"(?<=://)[^/@\s]+@")
_LONGEST_ANSWER = 2000


class Pushed(NamedTuple):
    commit: str
    began: bool
    """The branch is new: it begins at the base."""


def commit_to_branch(repository: str, *, base: str, branch: str, change: Callable[[Path], str]) -> Pushed | None:
    """Commit what ``change`` makes of the branch, which begins at ``base`` when it is new, and push it.

    Args:
        repository: what git clones: a URL or a folder.
        base: the branch that a new one begins at.
        branch: where the commit goes; another one than ``base``.
        change: changes the files in a folder and answers the commit's message, "" for no commit. It is called again
            when the branch moved meanwhile.

    Returns None when there was nothing to commit.

    Raises:
        UsageError: a name that no branch can have, or a base that is not there.
        Refused: a hook, here or there, does not want it.
        Conflict: the branch moved at each try.
        EnvironmentFault: git, the network or the repository did not do as it must.
    """
    _check_names(base, branch)
    for _ in range(_TRIES):
        with TemporaryDirectory(prefix="croupier-propose-") as place:
            pushed = _tried(repository, base, branch, change, Path(place, "clone"))
            if not isinstance(pushed, _Moved):
                return pushed
    raise Conflict(f"branch {branch} moved while it was written to, {_TRIES} times", hint="run it again")


class _Moved:
    """The branch is no longer what was cloned."""


def _tried(
    repository: str, base: str, branch: str, change: Callable[[Path], str], clone: Path
) -> Pushed | _Moved | None:
    there = {name.removeprefix("refs/heads/") for name in _heads(repository, base, branch)}
    if branch not in there and base not in there:
        hint = "name the branch to begin at with --base; an empty repository wants a first commit"
        raise UsageError(f"{_named(repository)} has no branch {base}", hint=hint)
    began = branch not in there
    _must("clone", "--quiet", "--no-tags", "--depth=1", "--branch", base if began else branch, "--", repository, clone)
    if began:
        _must("checkout", "--quiet", "--no-track", "-b", branch, at=clone)
    message = change(clone)
    # What is ignored there is wanted here: a deployment repository applies what is in it.
    _must("add", "--all", "--force", at=clone)
    if not message or _git("diff", "--cached", "--quiet", at=clone).returncode == 0:
        return None
    committed = _git("commit", "--quiet", "--file=-", at=clone, text=message)
    if committed.returncode:
        raise Refused(f"git did not commit: {_answer(committed)}", hint="mend what it says, and run it again")
    pushed = _git("push", "--porcelain", "origin", f"HEAD:refs/heads/{branch}", at=clone)
    if pushed.returncode == 0:
        return Pushed(_must("rev-parse", "HEAD", at=clone).strip(), began)
    if "[remote rejected]" in pushed.stdout:
        raise Refused(f"{_named(repository)} refused the branch {branch}: {_answer(pushed)}")
    if "[rejected]" in pushed.stdout:
        return _Moved()
    raise EnvironmentFault(f"git did not push: {_answer(pushed)}")


def _check_names(base: str, branch: str) -> None:
    for name in (base, branch):
        if name.startswith("-") or _git("check-ref-format", f"refs/heads/{name}").returncode:
            raise UsageError(f"{name!r} cannot be the name of a branch")
    if base == branch:
        raise UsageError(
            f"{branch} is the base itself", hint="what is proposed is reviewed: give it a branch of its own"
        )


def _heads(repository: str, *names: str) -> list[str]:
    said = _must("ls-remote", "--heads", "--", repository, *(f"refs/heads/{name}" for name in names))
    return [line.split("\t")[1] for line in said.splitlines()]


def _must(*words: str | Path, at: Path | None = None) -> str:
    done = _git(*words, at=at)
    if done.returncode:
        raise EnvironmentFault(f"git {words[0]}: {_answer(done)}")
    return done.stdout


def _git(*words: str | Path, at: Path | None = None, text: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run git; it asks nobody for a password and has a time limit."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C"}
    try:
        return subprocess.run(
            [program(), *map(str, words)],
            cwd=at,
            env=environment,
            input=text,
            stdin=subprocess.DEVNULL if text is None else None,
            capture_output=True,
            text=True,
            timeout=_LONGEST_SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise EnvironmentFault(f"git {words[0]} took longer than {_LONGEST_SECONDS:.0f} s and was ended") from error


def _answer(done: subprocess.CompletedProcess[str]) -> str:
    """What git said, without passwords."""
    said = "\n".join(each.strip() for each in (done.stderr, done.stdout) if each.strip())
    return _USER_INFO.sub("", said)[-_LONGEST_ANSWER:]


def _named(repository: str) -> str:
    return _USER_INFO.sub("", repository)
