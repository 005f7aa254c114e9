"""``croupier operator``: croupier on a cluster, and the manifests that install it there."""

from __future__ import annotations

from pathlib import Path

import click

from croupier.errors import CroupierError, EnvironmentFault, UsageError


@click.group()
def operator() -> None:
    """Release on a Kubernetes cluster."""


@operator.command()
@click.option("--in-cluster", is_flag=True, help="Use the cluster this process runs in.")
@click.option("--context", help="Context of the kubeconfig. Its current context is never used.")
@click.option("--kubeconfig", type=click.Path(dir_okay=False, path_type=Path), help="Instead of the usual one.")
@click.option("--namespace", "-n", help="Look after this namespace only.")
@click.option(
    "--own-namespace",
    default="croupier",
    envvar="CROUPIER_NAMESPACE",
    show_default=True,
    help="Where the operator's lease lies.",
)
@click.option(
    "--state",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="Folder of journal, evidence and keys; it must outlive the process.",
)
def run(
    *,
    in_cluster: bool,
    context: str | None,
    kubeconfig: Path | None,
    namespace: str | None,
    own_namespace: str,
    state: Path,
) -> None:
    """Run the operator until SIGTERM or Ctrl-C.

    While it is stopped, requests go where they went and no gate watches; live releases go on when it starts again.
    """
    if in_cluster == (context is not None):
        raise UsageError("say which cluster", hint="give --in-cluster, or --context NAME")
    import asyncio
    import logging
    import signal

    try:
        from croupier.operator.run import operate
    except ModuleNotFoundError as error:
        raise EnvironmentFault(
            f"`croupier operator` needs {error.name}, which is not installed",
            hint='install the extra: pip install "croupier[operator]"',
        ) from error

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    for chatty in ("httpx", "httpx2", "httpcore", "httpcore2"):
        logging.getLogger(chatty).setLevel(logging.WARNING)

    async def until_stopped() -> None:
        task = asyncio.current_task()
        assert task is not None
        for each in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(each, task.cancel)
        await operate(
            context=context, kubeconfig=kubeconfig, namespace=namespace, own_namespace=own_namespace, state=state
        )

    try:
        asyncio.run(until_stopped())
    except asyncio.CancelledError:
        click.echo("stopped; live releases wait where they are", err=True)
    except BaseExceptionGroup as group:
        if (told := _told(group)) is not None:
            raise told from group
        raise


@operator.command()
@click.option("--image", required=True, help="Image of croupier; by digest in production.")
@click.option("--namespace", "-n", default="croupier", show_default=True, help="Where the operator is to run.")
def manifests(*, image: str, namespace: str) -> None:
    """Print all that a cluster needs: kubectl apply --server-side -f -"""
    import yaml

    from croupier.operator.install import manifests as made

    click.echo(yaml.safe_dump_all(made(image=image, namespace=namespace), sort_keys=False), nl=False)


def _told(group: BaseExceptionGroup[BaseException]) -> CroupierError | None:
    """The first error of ours in a group, however deep."""
    for each in group.exceptions:
        found = _told(each) if isinstance(each, BaseExceptionGroup) else each
        if isinstance(found, CroupierError):
            return found
    return None
