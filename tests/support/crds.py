"""Definitions of other people's custom resources, from the Go modules that publish them: fetched when a test asks."""

from __future__ import annotations

import json
import shutil
from functools import cache
from typing import Any

import pytest
import yaml
from tools import strimzi as generator
from tools.go_modules import fetched
from tools.kubernetes_schemas import DATA

EXTERNAL_SECRETS = (
    "github.com/external-secrets/external-secrets@v1.3.2",
    "config/crds/bases/external-secrets.io_externalsecrets.yaml",
)
ARGO_CD = ("github.com/argoproj/argo-cd/v3@v3.5.3", "manifests/crds/*-crd.yaml")
FLUX = (
    ("github.com/fluxcd/source-controller@v1.9.0", "config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml"),
    ("github.com/fluxcd/kustomize-controller@v1.9.0", "config/crd/bases/*_kustomizations.yaml"),
)
CLOUDNATIVE_PG = ("github.com/cloudnative-pg/cloudnative-pg@v1.30.0", "config/crd/bases/postgresql.cnpg.io_*.yaml")
BARMAN_CLOUD = (
    "github.com/cloudnative-pg/plugin-barman-cloud@v0.15.0",
    "config/crd/bases/barmancloud.cnpg.io_objectstores.yaml",
)
CILIUM = (
    "github.com/cilium/cilium@v1.18.4",
    "pkg/k8s/apis/cilium.io/client/crds/v2/ciliumegressgatewaypolicies.yaml",
)
REDIS_OPERATOR = (
    "github.com/OT-CONTAINER-KIT/redis-operator@v0.23.0",
    "config/crd/bases/redis.redis.opstreelabs.in_redis[crs]*.yaml",
)
PERCONA_XTRADB = (
    "github.com/percona/percona-xtradb-cluster-operator@v1.18.0",
    "config/crd/bases/pxc.percona.com_perconaxtradbclusters.yaml",
)
ENVOY_GATEWAY = (
    "github.com/envoyproxy/gateway@v1.9.1",
    "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_*policies.yaml",
)
ISTIO = ("istio.io/api@v1.32.0", "kubernetes/customresourcedefinitions.gen.yaml")
HTTP_ADD_ON = ("github.com/kedacore/http-add-on@v0.12.0", "config/crd/bases/http.keda.sh_httpscaledobjects.yaml")
KEDA = ("github.com/kedacore/keda/v2@v2.21.0", "config/crd/bases/keda.sh_*.yaml")
SECRETS_STORE = (
    "sigs.k8s.io/secrets-store-csi-driver@v1.5.5",
    "config/crd/bases/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml",
)
ARGO_ROLLOUTS = ("github.com/argoproj/argo-rollouts@v1.9.1", "manifests/crds/[rac]*t*-crd.yaml")
KYVERNO = (
    "github.com/kyverno/kyverno@v1.19.1",
    "config/crds/policies.kyverno.io/policies.kyverno.io_validatingpolicies.yaml",
)
FLAGGER = ("github.com/fluxcd/flagger@v1.36.1", "artifacts/flagger/crd.yaml")
VPA = ("k8s.io/autoscaler/vertical-pod-autoscaler@v1.5.1", "deploy/vpa-v1-crd-gen.yaml")
PROMETHEUS_OPERATOR = tuple(
    (
        "github.com/prometheus-operator/prometheus-operator@v0.94.0",
        f"example/prometheus-operator-crd/monitoring.coreos.com_{kind}.yaml",
    )
    for kind in ("podmonitors", "prometheusrules", "scrapeconfigs")
)
OPERATORS = (
    *(ARGO_CD, *FLUX, CLOUDNATIVE_PG, BARMAN_CLOUD, CILIUM, REDIS_OPERATOR, PERCONA_XTRADB),
    *(ENVOY_GATEWAY, ISTIO, KEDA, HTTP_ADD_ON, SECRETS_STORE, EXTERNAL_SECRETS, VPA, *PROMETHEUS_OPERATOR),
)
"""Every kind of another project that is rendered."""


@cache
def strimzi() -> tuple[dict[str, Any], ...]:
    """Strimzi's, as its own generator makes them (tools/strimzi.py). Without Maven and a Java that runs it, what
    croupier's trimmed schema says: without patterns, rules and defaults."""
    if generator.is_there():
        return tuple(generator.definitions())
    kinds = json.loads((DATA / "operators.json").read_text())["kinds"]
    return tuple(_trimmed(*name.split(), schema) for name, schema in kinds.items() if name.startswith("kafka.strimzi"))


def anything(version: str, kind: str, plural: str, scope: str = "Namespaced") -> dict[str, Any]:
    """A definition that takes whatever is written: of a kind whose own is published nowhere that Go fetches from."""
    return _defined(version, kind, plural, {"type": "object", "x-kubernetes-preserve-unknown-fields": True}, scope)


def _trimmed(version: str, kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return _defined(version, kind, f"{kind.lower()}s", schema, "Namespaced")


def _defined(version: str, kind: str, plural: str, schema: dict[str, Any], scope: str) -> dict[str, Any]:
    group, _, number = version.partition("/")
    root = {key: held for key, held in schema.items() if key != "x-kubernetes-embedded-resource"}
    served = {"name": number, "served": True, "storage": True, "schema": {"openAPIV3Schema": root}}
    names = {"kind": kind, "listKind": f"{kind}List", "plural": plural, "singular": kind.lower()}
    spec = {"group": group, "scope": scope, "names": names, "versions": [served]}
    metadata = {"name": f"{plural}.{group}"}
    kind_of_kinds = {"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition"}
    return {**kind_of_kinds, "metadata": metadata, "spec": spec}


@cache
def definitions(module: str, pattern: str) -> tuple[dict[str, Any], ...]:
    """The CustomResourceDefinitions in the files of ``module`` that ``pattern`` fits. Without Go, skips the test."""
    go = shutil.which("go")
    if go is None:
        pytest.skip("Go, which fetches the definitions of other people's resources, is not installed")
    files = sorted(fetched(module, go).glob(pattern))
    assert files, f"{module} has no {pattern}"
    found = [each for file in files for each in yaml.load_all(file.read_text(), Loader=yaml.CSafeLoader)]
    return tuple(each for each in found if each and each["kind"] == "CustomResourceDefinition")
