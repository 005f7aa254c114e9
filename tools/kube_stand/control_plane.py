"""etcd, API server, controller manager and scheduler."""

from __future__ import annotations

from tools.kube_stand import api, network
from tools.kube_stand.places import (
    API_PORT,
    CONFIG,
    DATA,
    ETCD_PORT,
    NODE_IP,
    PKI,
    POD_CIDR,
    SERVICE_CIDR,
    Cache,
)
from tools.kube_stand.programs import Word, start, wait_until


def start_control_plane(extra: dict[str, list[str]]) -> None:
    """Start it and wait until the API answers and controllers work. ``extra``: program → flags to add."""
    _start_etcd()
    _start_api_server(extra.get("kube-apiserver", []))
    network.relay(API_PORT)
    wait_until("kube-apiserver", lambda: api.get("/readyz") == "ok", "etcd", "kube-apiserver")
    _start_client("kube-scheduler", "scheduler", extra)
    _start_client(
        "kube-controller-manager",
        "controller-manager",
        extra,
        f"--root-ca-file={PKI}/ca.crt",
        f"--cluster-cidr={POD_CIDR}",
        f"--service-account-private-key-file={PKI}/service-accounts.key",
        "--use-service-account-credentials=true",
        f"--cluster-signing-cert-file={PKI}/ca.crt",
        f"--cluster-signing-key-file={PKI}/ca.key",
        f"--flex-volume-plugin-dir={DATA}/flexvolume",
    )
    account = "/api/v1/namespaces/default/serviceaccounts/default"
    wait_until("controllers", lambda: api.get(account), "kube-controller-manager", "kube-scheduler")


def _start_etcd() -> None:
    client, peer = f"http://127.0.0.1:{ETCD_PORT}", f"http://127.0.0.1:{ETCD_PORT + 1}"
    start(
        "etcd",
        Cache.of_user().program("etcd"),
        f"--data-dir={DATA}/etcd",
        "--unsafe-no-fsync",
        "--log-level=warn",
        f"--listen-client-urls={client}",
        f"--advertise-client-urls={client}",
        f"--listen-peer-urls={peer}",
        f"--initial-advertise-peer-urls={peer}",
        f"--initial-cluster=default={peer}",
    )


def _start_api_server(extra: list[str]) -> None:
    start(
        "kube-apiserver",
        Cache.of_user().program("kube-apiserver"),
        f"--etcd-servers=http://127.0.0.1:{ETCD_PORT}",
        f"--secure-port={API_PORT}",
        f"--advertise-address={NODE_IP}",
        f"--service-cluster-ip-range={SERVICE_CIDR}",
        "--allow-privileged=true",
        "--enable-aggregator-routing=true",
        "--authorization-mode=Node,RBAC",
        "--enable-admission-plugins=NodeRestriction",
        f"--tls-cert-file={PKI}/apiserver.crt",
        f"--tls-private-key-file={PKI}/apiserver.key",
        f"--client-ca-file={PKI}/ca.crt",
        "--service-account-issuer=https://kubernetes.default.svc",
        f"--service-account-key-file={PKI}/service-accounts.pub",
        f"--service-account-signing-key-file={PKI}/service-accounts.key",
        f"--kubelet-certificate-authority={PKI}/ca.crt",
        f"--kubelet-client-certificate={PKI}/kubelet-client.crt",
        f"--kubelet-client-key={PKI}/kubelet-client.key",
        "--kubelet-preferred-address-types=InternalIP",
        f"--requestheader-client-ca-file={PKI}/front-ca.crt",
        "--requestheader-allowed-names=front-proxy-client",
        "--requestheader-extra-headers-prefix=X-Remote-Extra-",
        "--requestheader-group-headers=X-Remote-Group",
        "--requestheader-username-headers=X-Remote-User",
        f"--proxy-client-cert-file={PKI}/front-client.crt",
        f"--proxy-client-key-file={PKI}/front-client.key",
        *extra,
    )


def _start_client(program: str, user: str, extra: dict[str, list[str]], *flags: Word) -> None:
    """The API's own clients are slow by default (the first service account after 6 s): more requests a second here."""
    config = CONFIG / f"{user}.kubeconfig"
    start(
        program,
        Cache.of_user().program(program),
        f"--kubeconfig={config}",
        f"--authentication-kubeconfig={config}",
        f"--authorization-kubeconfig={config}",
        "--bind-address=127.0.0.1",
        "--leader-elect=false",
        "--kube-api-qps=200",
        "--kube-api-burst=400",
        *flags,
        *extra.get(program, []),
    )
