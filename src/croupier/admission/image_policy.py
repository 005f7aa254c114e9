"""What an API server needs to ask about images (its plugin ImagePolicyWebhook): two files on each of its machines.

Unlike a webhook it is not told by an object: the plugin is one of the API server's own, named by flags.
"""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping
from pathlib import PurePosixPath

from croupier.model.objects import JsonObject

CONFIGURATION, KUBECONFIG = "admission.yaml", "images.kubeconfig"
"""Names of the two files."""
_CALLED = "croupier"
_ALLOWED_SECONDS, _DENIED_SECONDS = 60, 30
"""How long the API server keeps an answer. What is refused is asked again sooner: people mend it and try."""
_BACKOFF_MILLISECONDS = 500


def files(
    url: str, ca: bytes, folder: PurePosixPath, *, allows: bool, server_name: str = ""
) -> Mapping[str, JsonObject]:
    """Name of a file -> what stands in it.

    ``url``: of croupier's listener, without a path. ``ca``: PEM of who has signed its certificate. ``folder``: where
    the files will lie. ``allows``: whether images come in while nobody answers. ``server_name``: in the certificate,
    where it is not the host of ``url``.
    """
    policy = {
        "kubeConfigFile": str(folder / KUBECONFIG),
        "allowTTL": _ALLOWED_SECONDS,
        "denyTTL": _DENIED_SECONDS,
        "retryBackoff": _BACKOFF_MILLISECONDS,
        "defaultAllow": allows,
    }
    cluster = {
        "server": f"{url}/image-policy",
        "certificate-authority-data": b64encode(ca).decode("ascii"),
        **({"tls-server-name": server_name} if server_name else {}),
    }
    return {
        CONFIGURATION: {
            "apiVersion": "apiserver.config.k8s.io/v1",
            "kind": "AdmissionConfiguration",
            "plugins": [{"name": "ImagePolicyWebhook", "configuration": {"imagePolicy": policy}}],
        },
        KUBECONFIG: {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": _CALLED,
            "clusters": [{"name": _CALLED, "cluster": cluster}],
            # It shows no certificate of its own, and a context has to name somebody.
            "users": [{"name": "api-server", "user": {}}],
            "contexts": [{"name": _CALLED, "context": {"cluster": _CALLED, "user": "api-server"}}],
        },
    }


def flags(folder: PurePosixPath) -> tuple[str, str]:
    """What the API server is started with, beside what it has."""
    return (
        "--enable-admission-plugins=ImagePolicyWebhook",
        f"--admission-control-config-file={folder / CONFIGURATION}",
    )
