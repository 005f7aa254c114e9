"""The cluster's API as its administrator: one request, or kubectl."""

from __future__ import annotations

import json
import ssl
import urllib.error
import urllib.request
from typing import Any

from tools.kube_stand.places import API_PORT, KUBECONFIG, PKI, Cache
from tools.kube_stand.programs import Word, run


def get(path: str) -> Any:
    """The answer, parsed if it is JSON; None when there is none, or an error."""
    context = ssl.create_default_context(cafile=str(PKI / "ca.crt"))
    context.load_cert_chain(PKI / "admin.crt", PKI / "admin.key")
    try:
        with urllib.request.urlopen(f"https://127.0.0.1:{API_PORT}{path}", context=context, timeout=5) as answer:
            text = answer.read().decode()
    except (urllib.error.URLError, OSError):
        return None
    return json.loads(text) if text.startswith("{") else text


def has_condition(item: Any, kind: str) -> bool:
    """Whether an object's status says that this condition holds."""
    conditions = (item or {}).get("status", {}).get("conditions", [])
    return any((each["type"], each["status"]) == (kind, "True") for each in conditions)


def ready_nodes(selector: str) -> int:
    nodes = get(f"/api/v1/nodes?labelSelector={selector}") or {"items": []}
    return sum(has_condition(node, "Ready") for node in nodes["items"])


def kubectl(*words: Word, stdin: str | None = None) -> str:
    return run(Cache.of_user().program("kubectl"), "--kubeconfig", KUBECONFIG, *words, stdin=stdin)


def apply(*objects: dict[str, Any]) -> None:
    kubectl("apply", "--server-side", "-f", "-", stdin="\n---\n".join(map(json.dumps, objects)))
