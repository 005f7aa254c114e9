"""The Gateway API and its data plane, Traefik: class ``traefik``, gateway ``default/web``."""

from __future__ import annotations

from typing import Any

from tools.kube_stand import api, network
from tools.kube_stand.places import KUBECONFIG, NODE_IP, WEB_PORT, Cache
from tools.kube_stand.programs import start, wait_until

_VERSION = {"apiVersion": "gateway.networking.k8s.io/v1"}
_GATEWAY = "/apis/gateway.networking.k8s.io/v1/namespaces/default/gateways/web"


def start_gateway() -> None:
    """Install the API, start Traefik and wait until it takes the gateway as its own.

    Traefik gathers changes for 100 ms here (2 s by default), so a new weight acts after 0.1 to 0.3 s.
    """
    cache = Cache.of_user()
    api.kubectl("apply", "--server-side", "-f", cache.share / "gateway-api")
    api.kubectl("wait", "--for=condition=Established", "crd", "--all", "--timeout=30s")
    api.apply(_gateway_class(), _gateway())
    network.relay(WEB_PORT)
    start(
        "traefik",
        cache.program("traefik"),
        "--providers.kubernetesgateway=true",
        f"--providers.kubernetesgateway.statusaddress.ip={NODE_IP}",
        "--providers.providersthrottleduration=100ms",
        f"--entrypoints.web.address=:{WEB_PORT}",
        "--entrypoints.traefik.address=127.0.0.1:18081",
        "--ping",
        "--metrics.prometheus=true",
        "--global.checknewversion=false",
        "--global.sendanonymoususage=false",
        environment={"KUBECONFIG": str(KUBECONFIG)},
    )
    wait_until("gateway", lambda: api.has_condition(api.get(_GATEWAY), "Programmed"), "traefik")


def _gateway_class() -> dict[str, Any]:
    spec = {"controllerName": "traefik.io/gateway-controller"}
    return _VERSION | {"kind": "GatewayClass", "metadata": {"name": "traefik"}, "spec": spec}


def _gateway() -> dict[str, Any]:
    listener = {
        "name": "http",
        "port": WEB_PORT,
        "protocol": "HTTP",
        "allowedRoutes": {"namespaces": {"from": "All"}},
    }
    spec = {"gatewayClassName": "traefik", "listeners": [listener]}
    return _VERSION | {"kind": "Gateway", "metadata": {"name": "web", "namespace": "default"}, "spec": spec}
