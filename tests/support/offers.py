"""Objects offered to a real API server as dry runs, over one connection that is kept: hundreds of them in seconds."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from typing import Any

from tests.support.cluster import Cluster

_SERVES = re.compile(r"Starting to serve on 127\.0\.0\.1:(\d+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """``kept``: the object as the API server would keep it; None: it takes it not. ``said``: why not. ``warnings``:
    what policies and others say beside that.
    """

    kept: Any
    said: str
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class Offers:
    """The API server behind ``kubectl proxy``."""

    connection: http.client.HTTPConnection
    _plurals: dict[str, Mapping[str, tuple[str, bool]]] = field(default_factory=dict)

    def offer(self, value: Any, namespace: str) -> Answer | None:
        """What the API server says to making ``value`` in ``namespace``; nothing is made. None: it has no such kind.

        What a version of a kind does not know is dropped, not refused.
        """
        version, kind = str(value["apiVersion"]), str(value["kind"])
        found = self._kinds(version).get(kind)
        if found is None:
            return None
        plural, is_namespaced = found
        where = f"{_root(version)}/namespaces/{namespace}/{plural}" if is_namespaced else f"{_root(version)}/{plural}"
        status, headers, body = self._asked("POST", f"{where}?dryRun=All&fieldValidation=Ignore", value)
        warnings = tuple(headers.get_all("Warning") or ())
        return Answer(body, "", warnings) if status == 201 else Answer(None, str(body.get("message")), warnings)

    def is_namespaced(self, value: Any) -> bool:
        """Whether objects of its kind live in a namespace; True for a kind that is not there."""
        return self._kinds(str(value["apiVersion"])).get(str(value["kind"]), ("", True))[1]

    def _kinds(self, version: str) -> Mapping[str, tuple[str, bool]]:
        """Kind -> plural, and whether it lives in a namespace."""
        if version not in self._plurals:
            status, _, body = self._asked("GET", _root(version), None)
            held = body["resources"] if status == 200 else []
            self._plurals[version] = {
                each["kind"]: (each["name"], each["namespaced"]) for each in held if "/" not in each["name"]
            }
        return self._plurals[version]

    def _asked(self, method: str, path: str, value: Any) -> tuple[int, http.client.HTTPMessage, Any]:
        body = None if value is None else json.dumps(value)
        self.connection.request(method, path, body, {"Content-Type": "application/json", "Accept": "application/json"})
        with self.connection.getresponse() as answer:
            text = answer.read()
            return answer.status, answer.headers, json.loads(text) if text.startswith(b"{") else {}


def _root(version: str) -> str:
    return f"/apis/{version}" if "/" in version else f"/api/{version}"


@contextmanager
def offering(cluster: Cluster) -> Iterator[Offers]:
    """A way in for many objects, as the cluster's administrator."""
    with subprocess.Popen(cluster.argv("proxy", "--port=0"), stdout=subprocess.PIPE, text=True) as proxy:
        try:
            assert proxy.stdout is not None
            found = _SERVES.search(proxy.stdout.readline())
            assert found is not None, "kubectl proxy does not serve"
            with closing(http.client.HTTPConnection("127.0.0.1", int(found[1]), timeout=60)) as connection:
                yield Offers(connection)
        finally:
            proxy.terminate()
