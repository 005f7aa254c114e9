"""From what a person types to what the desk understands: a digest, a run, a complete release.

A release names its version by digest. A tag can be moved to another image between the look and the start, so it is
refused here, with the digests it might have meant.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping, Sequence
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from croupier.cli.client import DeskClient
from croupier.errors import Problem, SpecError, UnknownName, UsageError, UserError
from croupier.model.release import Release
from croupier.model.view import GroupRequest, RunView, ServiceView, VersionView

_FULL = re.compile(r"sha256:[0-9a-f]{64}")
_SHORT = re.compile(r"sha256:[0-9a-f]{0,11}")
_PREFIX = re.compile(r"sha256:[0-9a-f]{12,63}")
_RUN = re.compile(r"r-\d+")
Model = TypeVar("Model", bound=BaseModel)


def chosen_digest(client: DeskClient, service: str, text: str) -> str:
    """The full digest that ``text`` names: a full one as it is; 12 digits or more where they fit one version.

    Raises ``UsageError`` for a tag, a label, too short or ambiguous a prefix; ``UnknownName`` when no version fits.
    """
    if _FULL.fullmatch(text):
        return text
    versions = client.versions(service)
    if not _PREFIX.fullmatch(text):
        if not text.startswith("sha256:"):
            what = "is not a digest: a tag can move, a digest cannot"
        elif _SHORT.fullmatch(text):
            what = "is too short a digest"
        else:
            what = "is not a digest: sha256: and 64 hex digits, or the first 12 or more"
        raise UsageError(f"{text!r} {what}", hint=_listing(service, versions))
    fitting = [version for version in versions if version.digest.startswith(text)]
    if not fitting:
        raise UnknownName(f"version of {service}", text, [version.digest for version in versions])
    if len(fitting) > 1:
        raise UsageError(f"{text!r} fits {len(fitting)} versions", hint=_listing(service, fitting))
    return fitting[0].digest


def _listing(service: str, versions: Sequence[VersionView]) -> str:
    if not versions:
        return f"there are no versions of {service}"
    lines = [f"  {version.digest[:19]}  {version.label}" for version in versions]
    return "\n".join([f"versions of {service} (12 digits after sha256: are enough):", *lines])


def chosen_service(client: DeskClient, name: str) -> ServiceView:
    """Raises ``UnknownName``, which lists the services there are."""
    services = client.services()
    for service in services:
        if service.name == name:
            return service
    raise UnknownName("service", name, [service.name for service in services])


def complete_release(service: ServiceView, digest: str, given: Mapping[str, object]) -> Release:
    """A release with the service's own gates. ``given``: fields set by options; ``SpecError`` names the option."""
    return _checked(Release, {"service": service.name, "digest": digest, "policy": service.default_policy, **given})


def complete_group(releases: Sequence[Release], given: Mapping[str, object]) -> GroupRequest:
    """Several releases as one. ``given``: fields set by options; ``SpecError`` names the option."""
    return _checked(GroupRequest, {"releases": tuple(releases), **given})


def _checked(model: type[Model], fields: Mapping[str, object]) -> Model:
    try:
        return model.model_validate(fields)
    except ValidationError as error:
        raise SpecError(
            Problem(_option(each["loc"]), 0, 0, each["type"].replace("_", "-"), each["msg"])
            for each in error.errors(include_url=False, include_context=False, include_input=False)
        ) from error


def _option(where: tuple[int | str, ...]) -> str:
    """The option that set a field."""
    return f"--{str(where[0]).removesuffix('_seconds').replace('_', '-')}" if where else "release"


def chosen_run(client: DeskClient, text: str | None, *, live_only: bool) -> RunView:
    """The run a person means: by id, by service (its live or newest run), or, without a word, the only live or newest.

    One that is named by its id is asked for alone: taking it back must not depend on all the others.

    Raises ``UnknownName``, or ``UsageError`` when there is nothing, or more than one, to mean.
    """
    if text is not None and _RUN.fullmatch(text):
        try:
            return client.run(text)
        except UserError:  # a service may be called so, too
            pass
    runs = client.runs()
    if text is None:
        live = [run for run in runs if run.ended_at is None]
        if len(live) > 1:
            raise UsageError("more than one release is live: say which", hint=", ".join(run.run for run in live))
        candidates = live or ([] if live_only else list(runs))
        if not candidates:
            raise UsageError("there is no release yet", hint="start one: croupier release start --help")
        return candidates[0]
    of_service = [run for run in runs if run.service == text and not (live_only and run.ended_at is not None)]
    if of_service:
        return min(of_service, key=lambda run: (run.ended_at is not None, -run.started_at))
    known = [run.run for run in runs if not (live_only and run.ended_at is not None)]
    raise UnknownName("live run" if live_only else "run", text, known)


def next_command(stand: str, *words: str) -> str:
    """A ``croupier`` command to copy, with the stand where it is not the default one."""
    tail = () if stand == "default" else ("--stand", stand)
    return shlex.join(("croupier", *words, *tail))
