"""``croupier admission``: the rules on manifests as a webhook of a cluster, and the manifests that install it."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypedDict

import click

from croupier.cli.options import not_blank
from croupier.cli.policy_options import own_rules, own_rules_option
from croupier.errors import EnvironmentFault, UsageError

if TYPE_CHECKING:
    from typing import Unpack

    from croupier.admission.judge import Door
    from croupier.core.policy.kinds import Resource

_file = click.Path(exists=True, dir_okay=False, path_type=Path)
_mode = click.option(
    "--mode",
    type=click.Choice(["warn", "enforce"]),
    required=True,
    help="warn: everything comes in, with a warning; enforce: what fails is refused.",
)


class Asked(TypedDict):
    """The options of ``rule_options``, as typed."""

    directory: str | None
    profile: str
    enable: tuple[str, ...]
    disable: tuple[str, ...]
    fail_on: str
    registries: tuple[str, ...]
    labels: tuple[str, ...]
    priority_classes: tuple[str, ...]
    on_failure: str
    ignore_waivers: bool


def rule_options(command: Callable[..., None]) -> Callable[..., None]:
    """What is asked, and what refuses: the same words for ``run`` and ``manifests``."""
    names = partial(click.option, multiple=True, callback=not_blank)
    for option in reversed(
        (
            own_rules_option,
            click.option("--profile", default="default", show_default=True, metavar="NAME", help="Which rules."),
            click.option("--enable", multiple=True, metavar="RULE", help="Ask this rule, too. Repeat."),
            click.option("--disable", multiple=True, metavar="RULE", help="Do not ask this rule. Repeat."),
            click.option(
                "--fail-on",
                type=click.Choice(["error", "warning", "note"]),
                default="error",
                show_default=True,
                help="The least level that refuses; what is below is a warning.",
            ),
            names("--registry", "registries", metavar="PREFIX", help="Where images come from."),
            names("--require-label", "labels", metavar="KEY", help="What runs must bear it."),
            names("--priority-class", "priority_classes", metavar="NAME", help="A class pods may have."),
            click.option(
                "--on-failure",
                type=click.Choice(["refuse", "allow"]),
                default="refuse",
                show_default=True,
                help="What is answered when croupier itself fails; with --mode warn always allow.",
            ),
            click.option("--ignore-waivers", is_flag=True, help="Annotations of an object excuse nothing."),
        )
    ):
        command = option(command)
    return command


def _words(asked: Asked) -> tuple[str, ...]:
    """The options as they would be typed, without those that are as usual, and without the folder of rules."""
    words = [f"--profile={asked['profile']}"] if asked["profile"] != "default" else []
    lists = ("--enable", asked["enable"]), ("--disable", asked["disable"]), ("--registry", asked["registries"])
    more = ("--require-label", asked["labels"]), ("--priority-class", asked["priority_classes"])
    words += [f"{name}={each}" for name, values in (*lists, *more) for each in values]
    words += [f"--fail-on={asked['fail_on']}", f"--on-failure={asked['on_failure']}"]
    return (*words, *(["--ignore-waivers"] if asked["ignore_waivers"] else []))


def _door(asked: Asked, mode: Any, excluded: frozenset[str]) -> Door:
    """Raises ``UnknownName`` for a rule or profile that does not exist, ``SpecError`` for rules of people's own that
    are none.
    """
    from croupier.admission.judge import Door, at_the_door, on_images
    from croupier.core.policy.catalogue import chosen
    from croupier.core.policy.objects import Settings
    from croupier.core.policy.rule import Level

    rules = chosen(asked["profile"], asked["enable"], asked["disable"], own_rules(asked["directory"]))
    return Door(
        rules=at_the_door(rules),
        image_rules=on_images(rules),
        mode=mode,
        fail_on=Level(asked["fail_on"]),
        settings=Settings(asked["registries"], asked["labels"], asked["priority_classes"]),
        excluded=excluded,
        allow_on_failure=asked["on_failure"] == "allow",
        heeds_waivers=not asked["ignore_waivers"],
    )


def _named(resources: tuple[str, ...], door: Door) -> list[Resource]:
    """``resources`` as typed. Raises ``UsageError`` where there are none and a rule asks about a kind that croupier has
    no resource of: nobody would ever ask it.
    """
    from croupier.core.policy.kinds import OF_KIND, Resource

    unknown = {kind for rule in door.rules.rules for kind in rule.kinds} - OF_KIND.keys()
    if unknown and not resources:
        raise UsageError(
            f"what the API server calls {', '.join(sorted(unknown))} is not known here",
            hint="name it: --resource PLURAL.GROUP, like issuers.cert-manager.io",
        )
    parts = [each.partition(".") for each in resources]
    return [Resource(group, plural, "") for plural, _, group in parts]


def _rule_files(folder: Path) -> dict[str, str]:
    """Name -> text of each rule file. Raises ``UsageError`` for what a ConfigMap does not hold."""
    from croupier.spec.files import read_text, yaml_files

    found: dict[str, str] = {}
    for each in yaml_files(folder, []):
        if each.parent != folder:
            raise UsageError(f"{each} lies in a folder of {folder}", hint="put all rules in one folder")
        if not re.fullmatch(r"[-._A-Za-z0-9]+", each.name):
            raise UsageError(f"{each} cannot be the key of a ConfigMap", hint="letters, digits, -, _ and .")
        found[each.name] = read_text(each)
    return found


def _authority(file: Path) -> bytes:
    """The certificates in ``file``, PEM. Raises ``UsageError`` where there is none, or where there is a key, too."""
    import ssl

    held = file.read_bytes()
    if b"PRIVATE KEY-----" in held:
        raise UsageError(
            f"{file} holds a private key, which everybody could read there", hint="give the certificates alone"
        )
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT).load_verify_locations(cadata=held.decode("ascii"))
    except (ValueError, OSError) as error:  # ssl.SSLError is an OSError, UnicodeDecodeError a ValueError
        raise UsageError(f"{file} holds no certificate", hint="PEM: the certificate that has signed it") from error
    return held


def _seconds(_ctx: click.Context, _param: click.Parameter, value: float) -> float:
    """Not a number is within every range for click."""
    if math.isnan(value):
        raise click.BadParameter("'nan' is no number of seconds.")
    return value


@click.group()
def admission() -> None:
    """Refuse what breaks the rules when it comes to a cluster.

    A validating webhook (AdmissionReview v1) and an image policy (ImageReview v1alpha1), over TLS.
    """


@admission.command()
@_mode
@rule_options
@click.option("--cert", type=_file, required=True, metavar="FILE", help="Certificate and its chain, PEM.")
@click.option("--key", type=_file, required=True, metavar="FILE", help="Its key, PEM. Both are read again on a change.")
@click.option("--host", default="0.0.0.0", show_default=True, help="Where to listen.")  # a pod
@click.option("--port", type=click.IntRange(0, 65_535), default=8443, show_default=True, help="For API servers, TLS.")
@click.option(
    "--about-port",
    type=click.IntRange(0, 65_535),
    default=8081,
    show_default=True,
    help="For the cluster: /healthz, /readyz, /metrics, /report; no TLS.",
)
@click.option(
    "--own-namespace",
    default="croupier",
    envvar="CROUPIER_NAMESPACE",
    show_default=True,
    help="Where this runs; never judged.",
)
@click.option("--exclude-namespace", "exclude", multiple=True, metavar="NAME", help="Never judged either. Repeat.")
@click.option(
    "--max-bytes",
    type=click.IntRange(1024, 64 * 1024 * 1024),
    default=4 * 1024 * 1024,
    show_default=True,
    help="Largest body that is read.",
)
@click.option(
    "--time-limit",
    type=click.FloatRange(0.1, 30.0),
    callback=_seconds,
    default=4.0,
    show_default=True,
    metavar="S",
    help="Longest time to read a body, and again to judge it.",
)
@click.option("--verbose", is_flag=True, help="Log every review, not only those that fail.")
def run(
    *,
    mode: str,
    cert: Path,
    key: Path,
    host: str,
    port: int,
    about_port: int,
    own_namespace: str,
    exclude: tuple[str, ...],
    max_bytes: int,
    time_limit: float,
    verbose: bool,
    **asked: Unpack[Asked],
) -> None:
    """Answer API servers until SIGTERM or Ctrl-C.

    POST /validate takes AdmissionReviews, POST /image-policy ImageReviews. Only rules on one object are asked; those
    on bundles are for `croupier policy check`. Logs are JSON lines on stderr and never hold what was brought.
    """
    door = _door(asked, mode, frozenset((own_namespace, *exclude)))
    import asyncio
    import gc
    import logging
    import signal

    try:
        import uvloop

        from croupier.admission.app import Doorkeeper, Limits
        from croupier.admission.run import Places, serve
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"`croupier admission run` needs {error.name}, which is not installed",
            hint='install the extra: pip install "croupier[admission]"',
        ) from error
    from croupier.adapters.clock import SystemClock
    from croupier.admission.certificate import Certificate
    from croupier.admission.told import JsonLines

    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    logging.getLogger("croupier.admission").setLevel(logging.DEBUG if verbose else logging.INFO)
    certificate = Certificate(cert, key)
    # What is here now stays to the end: without this each full collection walks all of it, while everybody waits.
    gc.collect()
    gc.freeze()

    async def served() -> None:
        keeper = Doorkeeper(door, SystemClock(), Limits(max_bytes, time_limit))
        stopped = asyncio.Event()
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, stopped.set)
        await serve(keeper, certificate, Places(host, port, about_port), stopped)

    uvloop.run(served())


@admission.command()
@click.option("--image", required=True, help="Image of croupier with the extra `admission`; by digest in production.")
@click.option("--namespace", "-n", default="croupier", show_default=True, help="Where it is to run.")
@click.option("--cert-secret", required=True, metavar="NAME", help="Secret of type kubernetes.io/tls that it shows.")
@click.option("--ca", type=_file, metavar="FILE", help="PEM of who has signed the certificate.")
@click.option(
    "--inject-ca-from", default="", metavar="NAMESPACE/NAME", help="Certificate of cert-manager, instead of --ca."
)
@_mode
@click.option(
    "--failure-policy",
    type=click.Choice(["Fail", "Ignore"]),
    help="When nobody answers. Default: Ignore with --mode warn, Fail with enforce.",
)
@click.option("--exclude-namespace", "exclude", multiple=True, metavar="NAME", help="Not judged. Repeat.")
@click.option(
    "--resource",
    "resources",
    multiple=True,
    metavar="PLURAL[.GROUP]",
    help="What rules of your own ask about, of a kind that croupier does not know: issuers.cert-manager.io. Repeat.",
)
@rule_options
def manifests(
    *,
    image: str,
    namespace: str,
    cert_secret: str,
    ca: Path | None,
    inject_ca_from: str,
    mode: str,
    failure_policy: str | None,
    exclude: tuple[str, ...],
    resources: tuple[str, ...],
    **asked: Unpack[Asked],
) -> None:
    """Print all that a cluster needs: kubectl apply --server-side -f -"""
    import yaml

    from croupier.admission.install import Wish, judged
    from croupier.admission.install import manifests as made

    if (ca is None) == (not inject_ca_from):
        said = "say once who has signed the certificate" if inject_ca_from else "say who has signed the certificate"
        raise UsageError(said, hint="give --ca FILE, or --inject-ca-from NAMESPACE/NAME")
    if inject_ca_from and not re.fullmatch(r"[^/\s]+/[^/\s]+", inject_ca_from):
        raise UsageError(
            f"--inject-ca-from {inject_ca_from!r} is not NAMESPACE/NAME", hint="name the Certificate of cert-manager"
        )
    door = _door(asked, mode, frozenset())
    policy = failure_policy or ("Ignore" if mode == "warn" else "Fail")
    wish = Wish(
        image=image,
        namespace=namespace,
        cert_secret=cert_secret,
        mode=mode,  # type: ignore[arg-type]  # click has seen to it
        failure_policy=policy,  # type: ignore[arg-type]  # as above
        judged=(*judged(door.rules.rules), *_named(resources, door)),
        ca=None if ca is None else _authority(ca),
        inject_ca_from=inject_ca_from,
        exclude=exclude,
        rules={} if asked["directory"] is None else _rule_files(Path(asked["directory"])),
        arguments=_words(asked),
    )
    click.echo(yaml.safe_dump_all(made(wish), sort_keys=False), nl=False)


@admission.command("image-policy")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--url", required=True, metavar="URL", help="Where API servers reach croupier: https://HOST[:PORT], without a path."
)
@click.option("--ca", type=_file, required=True, metavar="FILE", help="PEM of who has signed its certificate.")
@click.option("--server-name", default="", metavar="NAME", help="In the certificate, where it is not the host of URL.")
@click.option(
    "--at",
    type=click.Path(path_type=PurePosixPath),
    default="/etc/kubernetes/croupier",
    show_default=True,
    metavar="FOLDER",
    help="Where the files will lie on the machines of the API servers.",
)
@click.option(
    "--failure-policy",
    type=click.Choice(["Fail", "Ignore"]),
    default="Ignore",
    show_default=True,
    help="When nobody answers. Fail: no pod is made anywhere then, croupier's own neither.",
)
def image_policy(*, folder: Path, url: str, ca: Path, server_name: str, at: PurePosixPath, failure_policy: str) -> None:
    """Write what API servers need to ask about images into FOLDER.

    An AdmissionConfiguration and a kubeconfig, for the plugin ImagePolicyWebhook; prints the flags that name them.
    """
    import yaml

    from croupier.admission.image_policy import files, flags

    if not re.fullmatch(r"https://[^/?#@\s]+/?", url):
        raise UsageError(f"--url {url!r} is no address of croupier", hint="https://HOST[:PORT], without a path")
    made = files(url.rstrip("/"), _authority(ca), at, allows=failure_policy == "Ignore", server_name=server_name)
    folder.mkdir(parents=True, exist_ok=True)
    for name, held in made.items():
        (folder / name).write_text(yaml.safe_dump(held, sort_keys=False), encoding="utf-8")
        click.echo(f"{folder / name} -> {at / name}", err=True)
    for each in flags(at):
        click.echo(each)
