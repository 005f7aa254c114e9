"""The one way to an API server, over HTTP: ``kubernetes_api`` says what it is to the adapters.

Objects are written by server-side apply under one field manager, so that a repeated write changes nothing and other
managers keep their fields. Before every write ``fence`` is asked, which the lease sets (``kubernetes_lease``); leases
alone are written past it, guarded by their resourceVersion. A write ends within ``WRITE_SECONDS``, here and at the API
server, so that nothing arrives long after the fence let it pass.

lightkube reads configurations and makes the HTTP client (TLS, client certificates, tokens that are read again when they
expire); requests are made here, because its typed objects would lose fields they do not know.
"""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncGenerator, Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx2 as httpx
import msgspec
import yaml
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import KubeConfig, SingleConfig
from lightkube.core.exceptions import ConfigError

from croupier.adapters.kubernetes_api import (
    LEASES,
    Change,
    Listing,
    Resource,
    describe,
    failure,
    open_fence,
    resource_of,
)
from croupier.errors import Conflict, Missing, UnknownName, Unreachable, UsageError
from croupier.model.objects import JsonObject

MANAGER = "croupier"
"""Field manager of the operator's writes."""

READ_SECONDS = 30.0
"""A whole list; also the time in which a watch must begin."""

WRITE_SECONDS = 5.0
"""A write, from its first byte to its answer. The API server gives up after it, too. The lease builds on this."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
"""Where a pod finds its token, certificate authority and namespace."""

LARGEST_EVENT_BYTES = 32 * 1024 * 1024
"""etcd holds objects of 1.5 MiB; an event that is larger than this is none."""

_STRANGE_FILE = (
    *(ConfigError, OSError, msgspec.ValidationError, yaml.YAMLError),
    *(KeyError, ValueError, TypeError, AttributeError),  # lightkube takes the shape of a kubeconfig for granted
)


class KubernetesClient:
    """An API server over HTTP. Make it by ``connect``; close it by ``aclose``."""

    def __init__(self, config: SingleConfig, *, trust_env: bool = True, manager: str = MANAGER) -> None:
        self._managed = {"fieldManager": manager}
        self.fence: Callable[[], None] = open_fence
        self.namespace = config.namespace
        """The namespace of the context; in a pod, the pod's own."""
        self._http = AsyncClient(config, ConnectionParams(timeout=httpx.Timeout(READ_SECONDS), trust_env=trust_env))

    @classmethod
    def connect(cls, context: str | None, kubeconfig: Path | None, *, manager: str = MANAGER) -> KubernetesClient:
        """A client of the cluster of ``context``; None: of the cluster this process runs in.

        A kubeconfig's current context is never used: it changes under our feet, and production is one of them.

        Args:
            context: name of a context.
            kubeconfig: None: the file that KUBECONFIG names, or the usual one.
            manager: field manager of what is written.

        Raises:
            UsageError: there is no such configuration, or it cannot be used.
        """
        try:
            if context is None:
                return cls(_in_cluster(), trust_env=False, manager=manager)
            return cls(_of_context(context, kubeconfig), manager=manager)
        except _STRANGE_FILE as error:
            place = f"context {context!r}" if context else "this cluster"
            raise UsageError(f"no way to {place}: {error or type(error).__name__}") from error

    async def aclose(self) -> None:
        await self._http.aclose()

    async def list(self, resource: Resource, *, namespace: str | None = None, labels: str = "") -> Listing:
        task = describe("list", resource, namespace=namespace)
        answer = await self._ask(task, "GET", _address(resource, namespace), parameters=_selector(labels))
        # The items of built-in kinds come without the two fields that say what they are.
        kind = {"apiVersion": resource.api_version, "kind": resource.kind}
        try:
            return Listing(tuple(kind | item for item in answer["items"]), answer["metadata"]["resourceVersion"])
        except (KeyError, TypeError) as error:
            raise Unreachable(f"cannot {task}: the answer is no list") from error

    async def watch(
        self, resource: Resource, *, namespace: str | None = None, labels: str = "", resource_version: str
    ) -> AsyncGenerator[Change, None]:
        task = describe("watch", resource, namespace=namespace)
        parameters = {"watch": "true", "allowWatchBookmarks": "true", "resourceVersion": resource_version}
        request = self._http.build_request(
            "GET",
            _address(resource, namespace),
            params=parameters | _selector(labels),
            timeout=httpx.Timeout(READ_SECONDS, read=None),
        )
        answer = await self._send(task, request, READ_SECONDS, stream=True)
        try:
            async for line in _lines(answer):
                yield _change(task, line)
        except (httpx.HTTPError, ValueError) as error:
            raise Unreachable(f"cannot {task}: it was cut: {_said(error)}") from error
        finally:
            await answer.aclose()

    async def get(self, resource: Resource, name: str, *, namespace: str | None = None) -> JsonObject | None:
        task = describe("get", resource, name, namespace)
        try:
            return await self._ask(task, "GET", _address(resource, namespace, name))
        except Missing:
            return None

    async def apply(self, obj: JsonObject, *, force: bool = True) -> JsonObject:
        return await self._apply("apply", obj, "", force=force)

    async def patch_status(self, obj: JsonObject) -> JsonObject:
        return await self._apply("apply status of", obj, "/status", force=True)

    async def create(self, obj: JsonObject) -> JsonObject:
        resource = resource_of(obj)
        namespace = obj["metadata"].get("namespace")
        path = _address(resource, namespace)
        return await self._write(_describe_own("create", obj), resource, "POST", path, obj, parameters=self._managed)

    async def replace(self, obj: JsonObject) -> JsonObject:
        return await self._write(
            _describe_own("replace", obj), resource_of(obj), "PUT", _own_address(obj), obj, parameters=self._managed
        )

    async def delete(
        self, resource: Resource, name: str, *, namespace: str | None = None, uid: str | None = None
    ) -> None:
        options: JsonObject = {"apiVersion": "v1", "kind": "DeleteOptions", "propagationPolicy": "Background"}
        if uid is not None:
            options["preconditions"] = {"uid": uid}
        task = describe("delete", resource, name, namespace)
        try:
            await self._write(task, resource, "DELETE", _address(resource, namespace, name), options)
        except Missing:
            return
        except Conflict:
            if uid is None:
                raise

    async def _apply(self, verb: str, obj: JsonObject, part: str, *, force: bool) -> JsonObject:
        parameters = self._managed | {"force": "true" if force else "false"}
        return await self._write(
            _describe_own(verb, obj), resource_of(obj), "PATCH", _own_address(obj) + part, obj, parameters=parameters
        )

    async def _write(
        self,
        task: str,
        resource: Resource,
        method: str,
        path: str,
        body: JsonObject,
        *,
        parameters: Mapping[str, str] | None = None,
    ) -> JsonObject:
        if resource != LEASES:
            self.fence()
        bounded = {"timeout": f"{WRITE_SECONDS:g}s", **(parameters or {})}
        return await self._ask(task, method, path, parameters=bounded, body=body, seconds=WRITE_SECONDS)

    async def _ask(
        self,
        task: str,
        method: str,
        path: str,
        *,
        parameters: Mapping[str, str] | None = None,
        body: JsonObject | None = None,
        seconds: float = READ_SECONDS,
    ) -> JsonObject:
        kind = "application/apply-patch+yaml" if method == "PATCH" else "application/json"
        request = self._http.build_request(
            method,
            path,
            params=parameters,
            content=None if body is None else json.dumps(body),
            headers={"accept": "application/json"} | ({} if body is None else {"content-type": kind}),
        )
        answer = await self._send(task, request, seconds)
        try:
            value = answer.json()
        except ValueError as error:
            raise Unreachable(f"cannot {task}: the answer is no JSON: {answer.text[:80]!r}") from error
        if not isinstance(value, dict):
            raise Unreachable(f"cannot {task}: the answer is no object: {answer.text[:80]!r}")
        return value

    async def _send(self, task: str, request: httpx.Request, seconds: float, *, stream: bool = False) -> httpx.Response:
        """An answer that says yes; if ``stream``, with its body unread."""
        try:
            async with asyncio.timeout(seconds):
                answer = await self._http.send(request, stream=stream)
                if not answer.is_success:
                    await answer.aread()
                    await answer.aclose()
        except TimeoutError as error:
            raise Unreachable(f"cannot {task}: no answer within {seconds:g} s") from error
        except (httpx.HTTPError, ConfigError, OSError) as error:
            raise Unreachable(f"cannot {task}: {_said(error)}") from error
        if not answer.is_success:
            raise failure(task, answer.status_code, _status(answer), answer.headers.get("retry-after", ""))
        return answer


def _status(answer: httpx.Response) -> Mapping[str, Any]:
    try:
        value = answer.json()
    except ValueError:
        return {"message": answer.text.strip()}
    return value if isinstance(value, dict) else {"message": answer.text.strip()}


def _in_cluster() -> SingleConfig:
    if "KUBERNETES_SERVICE_HOST" not in os.environ:
        raise ConfigError("this is no pod; name a context")
    return _single(KubeConfig.from_service_account(SERVICE_ACCOUNT), None)


def _of_context(context: str, kubeconfig: Path | None) -> SingleConfig:
    file = KubeConfig.from_file(kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config")
    if context not in file.contexts:
        raise UnknownName("context", context, list(file.contexts))
    return _single(file, context)


def _single(config: KubeConfig, context: str | None) -> SingleConfig:
    found = config.get(context)
    if found is None or found.user is None:
        raise ConfigError("it names no user")
    return found


def _address(resource: Resource, namespace: str | None, name: str = "") -> str:
    """Path of one object, or of all of them."""
    parts = ["apis" if "/" in resource.api_version else "api", resource.api_version]
    if resource.namespaced and namespace is not None:
        parts += ["namespaces", quote(namespace, safe="")]
    parts += [resource.plural, *([quote(name, safe="")] if name else [])]
    return "/" + "/".join(parts)


def _own_address(obj: Mapping[str, Any]) -> str:
    metadata = obj["metadata"]
    return _address(resource_of(obj), metadata.get("namespace"), metadata["name"])


def _selector(labels: str) -> dict[str, str]:
    return {"labelSelector": labels} if labels else {}


def _describe_own(verb: str, obj: Mapping[str, Any]) -> str:
    metadata = obj["metadata"]
    return describe(verb, resource_of(obj), metadata["name"], metadata.get("namespace"))


async def _lines(answer: httpx.Response) -> AsyncGenerator[bytes, None]:
    """Lines by newline only: JSON text may hold other characters at which ``str.splitlines`` breaks."""
    rest = bytearray()
    async for chunk in answer.aiter_bytes():
        rest += chunk
        while (end := rest.find(b"\n")) >= 0:
            yield bytes(rest[:end])
            del rest[: end + 1]
        if len(rest) > LARGEST_EVENT_BYTES:
            raise ValueError(f"an event of more than {LARGEST_EVENT_BYTES} bytes")
    if rest:
        raise ValueError("it ended within an event")


def _change(task: str, line: bytes) -> Change:
    """Raises ``ValueError`` for what is no event, and what the server says for one that tells of an error."""
    event = json.loads(line)
    if not isinstance(event, dict) or not isinstance(event.get("object"), dict):
        raise ValueError(f"no event: {line[:80]!r}")
    value = event["object"]
    match event.get("type"):
        case "ADDED" | "MODIFIED" | "DELETED" | "BOOKMARK" as kind:
            metadata = value.get("metadata")
            if not isinstance(metadata, dict) or not str(metadata.get("resourceVersion")).isdecimal():
                raise ValueError(f"an event without a version: {line[:80]!r}")
            return Change(kind, value)
        case "ERROR":
            raise failure(task, value.get("code") or 500, value)
        case strange:
            raise ValueError(f"an event of type {str(strange)[:40]!r}")


def _said(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
