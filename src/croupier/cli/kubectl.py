"""``kubectl croupier``: how services and runs stand on a cluster, and the few things a person may want of them.

Everything goes through the custom resources, so what a person may do is a matter of the cluster's RBAC. The console
script is ``kubectl-croupier``, which kubectl finds on the PATH.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import click

from croupier.adapters.user import user_name
from croupier.cli.options import EXIT_NO, Output, output_option, print_json
from croupier.cli.root import Guarded
from croupier.errors import Refused, UnknownName, Unreachable, UsageError
from croupier.model.objects import JsonObject
from croupier.model.release_policy import CHECKLIST, LEAVE, RETRY
from croupier.report.format import readable, table

if TYPE_CHECKING:
    from croupier.adapters.kubernetes_client import KubernetesClient

Command = TypeVar("Command", bound=Callable[..., Any])
Answer = TypeVar("Answer")

_GET = "kubectl croupier get"
_ANSWER_SECONDS = 15.0
_LOOK_SECONDS = 0.5
_NOTICED_SECONDS = 3.0
"""By then the operator has seen a change of the intent."""
_COMING_SECONDS = 600.0


class Place(NamedTuple):
    """Which cluster, and where in it."""

    context: str
    kubeconfig: Path | None
    namespace: str


def _place_options(command: Command) -> Command:
    for option in (
        click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), help="Instead of the usual one."),
        click.option(
            "--context",
            required=True,
            envvar="CROUPIER_CONTEXT",
            show_envvar=True,
            help="Context of the kubeconfig. Its current context is never used.",
        ),
        click.option("--namespace", "-n", default="default", show_default=True, help="Namespace of the policy."),
    ):
        command = option(command)
    return command


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def kubectl() -> None:
    """Releases on a cluster, behind gates: kubectl croupier COMMAND."""


@kubectl.command()
@click.argument("name", required=False)
@_place_options
@output_option
def get(*, name: str | None, namespace: str, output: Output, **place: Any) -> None:
    """How services stand: one line a policy, with its newest run."""

    async def read(client: KubernetesClient) -> list[JsonObject]:
        from croupier.adapters.kubernetes_api import RELEASE_POLICIES

        found = list((await client.list(RELEASE_POLICIES, namespace=namespace)).items)
        if name is None:
            return found
        return [_one(name, found)]

    policies = _ask(Place(namespace=namespace, **place), read)
    if output == "json":
        print_json([{"name": each["metadata"]["name"], **(each.get("status") or {})} for each in policies])
        return
    rows: list[tuple[str, ...]] = [("policy", "stable", "wanted", "run", "phase", "step", "weight", "gate", "")]
    for each in policies:
        seen = each.get("status") or {}
        said = [str(seen.get(key) or "–") for key in ("stable", "wanted", "run", "phase", "step")]
        weight = f"{seen.get('weight', 0)} %"
        rows.append((each["metadata"]["name"], *said, weight, str(seen.get("gate") or "–"), _summary(seen)))
    for line in table(rows, right=(6,), indent=""):
        click.echo(readable(line))


@kubectl.command()
@click.argument("name")
@_place_options
def watch(*, name: str, namespace: str, **place: Any) -> None:
    """Follow the newest run of a policy to its end, a line for each change; the next one, if a version waits for it."""
    if _ask(Place(namespace=namespace, **place), lambda client: _followed(client, namespace, name)) != "promoted":
        raise click.exceptions.Exit(EXIT_NO)


@kubectl.command()
@click.argument("name")
@_place_options
@output_option
def explain(*, name: str, namespace: str, output: Output, **place: Any) -> None:
    """Why the newest run of a policy stands where it stands: every gate with its numbers, and what is next."""

    run = _ask(Place(namespace=namespace, **place), lambda client: _newest(client, namespace, name))
    seen = run.get("status") or {}
    if output == "json":
        print_json({"name": run["metadata"]["name"], **seen})
        return
    click.echo(
        readable(f"{run['metadata']['name']}  {seen.get('stable')} -> {seen.get('canary')}  {seen.get('phase')}")
    )
    for label, key in (("why", "reason"), ("waits for", "waitingFor"), ("next", "next")):
        if seen.get(key):
            click.echo(readable(f"  {label:<10} {seen[key]}"))
    for gate in seen.get("gates") or ():
        click.echo(readable(f"  {gate['name']:<12} {gate['outcome']:<13} {gate['message']}"))


def _steer(command: str, about: str) -> None:
    @kubectl.command(name=command, help=about)
    @click.argument("name")
    @click.option("--reason", default="", help="Why; it is written into the journal.")
    @_place_options
    def steer(*, name: str, reason: str, namespace: str, **place: Any) -> None:
        async def ask(client: KubernetesClient) -> str:
            run = await _newest(client, namespace, name)
            request = {"id": secrets.token_hex(6), "name": command, "reason": reason, "who": user_name()}
            return await _answered(client, run, request)

        click.echo(readable(_ask(Place(namespace=namespace, **place), ask)))


for _command, _about in (
    ("pause", "Keep the newest run where it is; gates still watch it."),
    ("resume", "Let a paused or held run go on."),
    ("promote", "Skip the dwell of this step; once a run is held, also gates that cannot decide."),
    ("abort", "Take the newest run back."),
):
    _steer(_command, _about)


@kubectl.command()
@click.argument("name")
@click.option("--reason", required=True, help="Who decided, and why; it is written into the journal.")
@_place_options
def override(*, name: str, reason: str, namespace: str, **place: Any) -> None:
    """Go on in spite of the freeze that is on: with the live run, or with the version that waits to start.

    For that one alone, and for the windows that are open now. Gates watch it as any other.
    """
    from croupier.model.release_calendar import LONGEST_REASON

    if not reason.strip():
        raise UsageError("nothing goes on in a freeze without a reason", hint='who decided and why: --reason "…"')
    if len(reason) > LONGEST_REASON:
        raise UsageError(
            f"--reason has {len(reason)} characters, and {LONGEST_REASON} are written down",
            hint="who decided, and where to read why",
        )

    ask = partial(_override, namespace=namespace, name=name, reason=reason)
    click.echo(readable(_ask(Place(namespace=namespace, **place), ask)))


@kubectl.command()
@click.argument("name")
@_place_options
def retry(*, name: str, namespace: str, **place: Any) -> None:
    """Release the version that was taken back once more."""

    async def mark(client: KubernetesClient) -> str:
        run = str(((await _policy(client, namespace, name)).get("status") or {}).get("run", ""))
        if not run:
            raise Refused(f"{name} has had no release yet", hint=_GET)
        await _annotate(client, namespace, name, {RETRY: run})
        return f"what {run} released is tried again"

    click.echo(_ask(Place(namespace=namespace, **place), mark))


@kubectl.command()
@click.argument("name")
@click.option(
    "--result",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    required=True,
    help="What `croupier release check SERVICE -o json` printed.",
)
@click.option("--until", required=True, metavar="DATE", help="The last day it counts, YYYY-MM-DD, UTC.")
@_place_options
def checklist(*, name: str, result: Path, until: str, namespace: str, **place: Any) -> None:
    """Show the release checklist for the version that waits; a policy with `checklist: require` asks for it.

    It counts for that version alone. Exit code 1 when a line is red: nothing is shown then.
    """
    from croupier.engine.checklist import in_words
    from croupier.model.checklist import Checklist, ChecklistResult

    try:
        found = Checklist.model_validate_json(result.read_bytes())
        last = date.fromisoformat(until)
    except ValueError as error:
        raise UsageError(
            f"{result} and --until {until} are no result of the checklist and no day",
            hint="croupier release check SERVICE -o json > result.json; --until 2027-01-31",
        ) from error
    if not found.ready:
        click.echo(f"{found.service} is not ready for production: {in_words(found)}", err=True)
        raise click.exceptions.Exit(EXIT_NO)

    async def mark(client: KubernetesClient) -> str:
        wanted = str(((await _policy(client, namespace, name)).get("status") or {}).get("wanted", ""))
        if not wanted:
            raise Refused("the operator does not know yet what Git asks for", hint=_GET)
        shown = ChecklistResult(version=wanted, ready=True, said=in_words(found), until=last, who=user_name())
        await _annotate(client, namespace, name, {CHECKLIST: shown.model_dump_json(by_alias=True)})
        return f"the checklist of {wanted} counts until {last}: {shown.said}"

    click.echo(_ask(Place(namespace=namespace, **place), mark))


@kubectl.command()
@click.argument("name")
@_place_options
def leave(*, name: str, namespace: str, **place: Any) -> None:
    """Give the service back to its Deployment: its own pods serve again, then delete the policy."""

    async def mark(client: KubernetesClient) -> str:
        await _policy(client, namespace, name)
        await _annotate(client, namespace, name, {LEAVE: "true"})
        return "players move back to the Deployment's own pods: kubectl croupier watch " + name

    click.echo(_ask(Place(namespace=namespace, **place), mark))


# --- the cluster ------------------------------------------------------------------------------------------------------


def _ask(place: Place, question: Callable[[KubernetesClient], Awaitable[Answer]]) -> Answer:
    from croupier.adapters.kubernetes_client import KubernetesClient

    async def asked() -> Answer:
        client = KubernetesClient.connect(place.context, place.kubeconfig, manager="kubectl-croupier")
        try:
            return await question(client)
        finally:
            await client.aclose()

    return asyncio.run(asked())


async def _followed(client: KubernetesClient, namespace: str, name: str) -> str:
    """Tell each change of the newest run of a policy; how it ended."""
    from croupier.adapters.kubernetes_api import RELEASES

    run = await _coming(client, namespace, name)
    listing = await client.list(RELEASES, namespace=namespace)
    last = ""
    stream = client.watch(RELEASES, namespace=namespace, resource_version=listing.resource_version)
    seen = [each for each in listing.items if each["metadata"]["name"] == run["metadata"]["name"]]
    for each in seen:
        last = _line(each, last)
        if outcome := str((each.get("status") or {}).get("outcome", "")):
            return outcome
    async with aclosing(stream):
        async for change in stream:
            if change.object["metadata"].get("name") != run["metadata"]["name"]:
                continue
            if change.kind == "DELETED":
                raise Refused(f"{run['metadata']['name']} was deleted", hint=f"is the policy still there? {_GET}")
            last = _line(change.object, last)
            if outcome := str((change.object.get("status") or {}).get("outcome", "")):
                return outcome
    raise Unreachable("the watch was ended by the API server", hint="try again; the release goes on")


async def _override(client: KubernetesClient, *, namespace: str, name: str, reason: str) -> str:
    from croupier.core.render.version import intent_digest
    from croupier.model.digest import short
    from croupier.model.release_calendar import OVERRIDE_FREEZE, FreezeOverride

    policy = await _policy(client, namespace, name)
    seen, who = policy.get("status") or {}, user_name()
    if seen.get("phase") not in (None, "", "promoted", "rolled-back"):
        request = {"id": secrets.token_hex(6), "name": "override", "reason": reason, "who": who}
        return await _answered(client, await _run_of(client, policy), request)
    wanted = seen.get("wanted")
    if (policy["metadata"].get("annotations") or {}).get(LEAVE) == "true":  # its Deployment's own pods wait
        wanted = short(intent_digest(namespace, policy["spec"]["deployment"]))
    if not wanted or wanted == seen.get("stable"):
        raise Refused(f"no version of {name} waits to start", hint=_GET)
    said = FreezeOverride(version=wanted, who=who, reason=reason)
    await _annotate(client, namespace, name, {OVERRIDE_FREEZE: said.model_dump_json(by_alias=True)})
    return f"{said.version} starts in spite of the freeze: kubectl croupier watch {name}"


async def _policy(client: KubernetesClient, namespace: str, name: str) -> JsonObject:
    from croupier.adapters.kubernetes_api import RELEASE_POLICIES

    return _one(name, list((await client.list(RELEASE_POLICIES, namespace=namespace)).items))


async def _newest(client: KubernetesClient, namespace: str, name: str) -> JsonObject:
    """The newest ``Release`` of a policy."""
    return await _run_of(client, await _policy(client, namespace, name))


async def _run_of(client: KubernetesClient, policy: JsonObject) -> JsonObject:
    """The ``Release`` that a policy's status names."""
    from croupier.adapters.kubernetes_api import RELEASES

    name, namespace, status = policy["metadata"]["name"], policy["metadata"]["namespace"], policy.get("status") or {}
    found = [
        each
        for each in (await client.list(RELEASES, namespace=namespace)).items
        if each["spec"].get("policy") == name and each["spec"].get("run") == status.get("run")
    ]
    if not found:
        raise Refused(f"{namespace}/{name} has had no release yet", hint=_summary(status))
    return found[0]


async def _coming(client: KubernetesClient, namespace: str, name: str) -> JsonObject:
    """The newest ``Release`` of a policy, or the one that is about to begin: Git may just have changed."""
    last = ""
    for look in range(int(_COMING_SECONDS / _LOOK_SECONDS)):
        policy = await _policy(client, namespace, name)
        run = await _run_of(client, policy)
        seen, status = run.get("status") or {}, policy.get("status") or {}
        if not seen.get("outcome"):
            return run
        waits = status.get("wanted") not in (None, seen.get("canary"), status.get("stable"))
        if not waits and look * _LOOK_SECONDS >= _NOTICED_SECONDS:
            return run
        if waits and (said := f"{status['wanted']} waits  {_summary(status)}") != last:
            click.echo(readable(said))
            last = said
        await asyncio.sleep(_LOOK_SECONDS)
    raise Unreachable(f"no release began within {_COMING_SECONDS / 60:g} minutes", hint=last)


async def _answered(client: KubernetesClient, run: JsonObject, request: dict[str, str]) -> str:
    """Write the request into the run, wait for the operator's answer."""
    from croupier.adapters.kubernetes_api import RELEASES

    place = {key: run["metadata"][key] for key in ("name", "namespace")}
    kind = {"apiVersion": RELEASES.api_version, "kind": RELEASES.kind}
    await client.apply({**kind, "metadata": place, "spec": {"command": request}})
    for _ in range(int(_ANSWER_SECONDS / _LOOK_SECONDS)):
        seen = await client.get(RELEASES, place["name"], namespace=place["namespace"]) or {}
        answer = (seen.get("status") or {}).get("command") or {}
        if answer.get("id") == request["id"]:
            if not answer.get("accepted"):
                raise Refused(str(answer.get("message")))
            return f"{place['name']}: {answer.get('message')}"
        await asyncio.sleep(_LOOK_SECONDS)
    raise Unreachable(
        f"the operator has not answered within {_ANSWER_SECONDS:g} s; the request stands in {place['name']}",
        hint="does the operator run? kubectl -n croupier logs deploy/croupier",
    )


async def _annotate(client: KubernetesClient, namespace: str, name: str, annotations: dict[str, str]) -> None:
    from croupier.adapters.kubernetes_api import RELEASE_POLICIES
    from croupier.model.release_calendar import OVERRIDE_FREEZE

    kind = {"apiVersion": RELEASE_POLICIES.api_version, "kind": RELEASE_POLICIES.kind}
    # An apply gives up what it leaves out: a retry must not call a service back that is leaving.
    known = (await _policy(client, namespace, name))["metadata"].get("annotations") or {}
    kept = {key: known[key] for key in (RETRY, LEAVE, CHECKLIST, OVERRIDE_FREEZE) if key in known}
    metadata = {"name": name, "namespace": namespace, "annotations": {**kept, **annotations}}
    await client.apply({**kind, "metadata": metadata})


def _one(name: str, policies: list[JsonObject]) -> JsonObject:
    for each in policies:
        if each["metadata"]["name"] == name:
            return each
    raise UnknownName("ReleasePolicy", name, [each["metadata"]["name"] for each in policies])


def _summary(seen: JsonObject) -> str:
    """The message of the condition that holds."""
    for kind in ("Stalled", "Reconciling", "Ready"):
        for each in seen.get("conditions") or ():
            if each["type"] == kind and each["status"] == "True":
                return str(each["message"])
    return "the operator has not looked at it yet"


def _line(run: JsonObject, last: str) -> str:
    """Print how a run stands, unless it was just said."""
    seen = run.get("status") or {}
    said = f"{seen.get('phase')} {seen.get('step')} {seen.get('weight')} %"
    why = seen.get("waitingFor") or seen.get("reason") or ""
    line = f"{seen.get('canary')} {said}  {seen.get('gate') or ''}  {why}".rstrip()
    if line != last:
        click.echo(readable(line))
    return line


def main() -> None:
    """Entry point of the ``kubectl-croupier`` script."""
    kubectl(prog_name="kubectl croupier")
