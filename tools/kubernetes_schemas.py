"""Write src/croupier/spec/schemas/*.json: what an object of each kind may hold, by version of Kubernetes.

    python -m tools.kubernetes_schemas            writes the files; needs Go, which fetches the modules it reads, and
                                                  for Strimzi Maven and Java 21 or newer (strimzi.py)
    python -m tools.kubernetes_schemas --check    exits 1 if a file is not what the modules say
    python -m tools.kubernetes_schemas --own      only those of croupier's own resources; needs no Go

Fields, types and what is required come from the OpenAPI documents in the module k8s.io/kubernetes; the values of
enumerations, which those leave out, from the source that they are made of; Gateway API and operators from the custom
resource definitions of their modules, those of Strimzi from its generator. Descriptions and defaults are dropped, and a
type that two versions share is kept once. To add a version, name its module in ``KUBERNETES``.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from tools import strimzi
from tools.go_modules import fetched

from croupier.core.schemas.definitions import from_definitions, trimmed
from croupier.model.objects import JsonObject
from croupier.operator.crds import custom_resources

DATA = Path(__file__).parents[1] / "src" / "croupier" / "spec" / "schemas"
KUBERNETES = {"1.35": "v1.35.4", "1.36": "v1.36.3", "1.37": "v1.37.2"}
"""Version -> the module k8s.io/kubernetes it is read from, oldest first."""
GATEWAY_API = "v1.6.3"
OPERATORS = {
    "github.com/cilium/cilium@v1.18.4": ("pkg/k8s/apis/cilium.io/client/crds/v2/ciliumegressgatewaypolicies.yaml",),
    "github.com/cloudnative-pg/cloudnative-pg@v1.30.0": (
        "config/crd/bases/postgresql.cnpg.io_clusters.yaml",
        "config/crd/bases/postgresql.cnpg.io_poolers.yaml",
        "config/crd/bases/postgresql.cnpg.io_scheduledbackups.yaml",
    ),
    "github.com/cloudnative-pg/plugin-barman-cloud@v0.15.0": (
        "config/crd/bases/barmancloud.cnpg.io_objectstores.yaml",
    ),
    "github.com/OT-CONTAINER-KIT/redis-operator@v0.23.0": (
        "config/crd/bases/redis.redis.opstreelabs.in_redisclusters.yaml",
        "config/crd/bases/redis.redis.opstreelabs.in_redisreplications.yaml",
        "config/crd/bases/redis.redis.opstreelabs.in_redissentinels.yaml",
    ),
    "github.com/percona/percona-xtradb-cluster-operator@v1.18.0": (
        "config/crd/bases/pxc.percona.com_perconaxtradbclusters.yaml",
    ),
    "github.com/envoyproxy/gateway@v1.9.1": (
        "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_backendtrafficpolicies.yaml",
        "charts/gateway-helm/charts/crds/crds/generated/gateway.envoyproxy.io_clienttrafficpolicies.yaml",
    ),
    "github.com/external-secrets/external-secrets@v1.3.2": (
        "config/crds/bases/external-secrets.io_externalsecrets.yaml",
    ),
    "github.com/kedacore/http-add-on@v0.12.0": ("config/crd/bases/http.keda.sh_httpscaledobjects.yaml",),
    "github.com/kedacore/keda/v2@v2.21.0": (
        "config/crd/bases/keda.sh_scaledobjects.yaml",
        "config/crd/bases/keda.sh_triggerauthentications.yaml",
    ),
    "github.com/kyverno/kyverno@v1.19.1": (
        "config/crds/policies.kyverno.io/policies.kyverno.io_validatingpolicies.yaml",
    ),
    "sigs.k8s.io/secrets-store-csi-driver@v1.5.5": (
        "config/crd/bases/secrets-store.csi.x-k8s.io_secretproviderclasses.yaml",
    ),
    "k8s.io/autoscaler/vertical-pod-autoscaler@v1.5.1": ("deploy/vpa-v1-crd-gen.yaml",),
    "github.com/prometheus-operator/prometheus-operator@v0.94.0": (
        "example/prometheus-operator-crd/monitoring.coreos.com_podmonitors.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_prometheusrules.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_scrapeconfigs.yaml",
        "example/prometheus-operator-crd/monitoring.coreos.com_servicemonitors.yaml",
    ),
    "istio.io/api@v1.32.0": ("kubernetes/customresourcedefinitions.gen.yaml",),
    "github.com/argoproj/argo-cd/v3@v3.5.3": (
        "manifests/crds/applicationset-crd.yaml",
        "manifests/crds/appproject-crd.yaml",
    ),
    "github.com/fluxcd/source-controller@v1.9.0": ("config/crd/bases/source.toolkit.fluxcd.io_gitrepositories.yaml",),
    "github.com/fluxcd/kustomize-controller@v1.9.0": (
        "config/crd/bases/kustomize.toolkit.fluxcd.io_kustomizations.yaml",
    ),
}
"""Module -> definitions of the kinds that croupier renders, and of what it exports rules as."""
OF_ISTIO = frozenset(
    {
        "networking.istio.io/v1 DestinationRule",
        "networking.istio.io/v1 Gateway",
        "networking.istio.io/v1 ServiceEntry",
        "networking.istio.io/v1 VirtualService",
        "networking.istio.io/v1alpha3 EnvoyFilter",
        "security.istio.io/v1 PeerAuthentication",
    }
)
"""What is kept of Istio's, which come in one file: each serves older versions, too, as large again."""
_META = "io.k8s.apimachinery.pkg.apis.meta.v1."
_OPEN = (f"{_META}FieldsV1", f"{_META}Patch", "io.k8s.apimachinery.pkg.runtime.RawExtension")
"""Types that hold what another program put there."""
_FORMATS = {
    "io.k8s.apimachinery.pkg.api.resource.Quantity": {"format": "quantity"},
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": {"format": "int-or-string"},
}
_FUNCTION = re.compile(r"func schema_(\w+)\(ref ")
_PROPERTY = re.compile(r'^\t{5}"([^"]+)": \{$')
_ENUM = re.compile(r"Enum:\s+\[\]interface\{\}\{(.*)\},$")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


def main(words: list[str]) -> int:
    """Writes or compares the files; the exit code."""
    stale = False
    wanted = {"croupier.json": _own}
    if "--own" not in words:
        wanted |= {"kubernetes.json": _kubernetes, "gateway-api.json": _gateway_api, "operators.json": _operators}
    for name, make in wanted.items():
        path, text = DATA / name, make()
        if "--check" not in words:
            path.write_text(text)
        elif not path.exists() or path.read_text() != text:
            sys.stderr.write(f"{path} is stale: python -m tools.kubernetes_schemas\n")
            stale = True
    return int(stale)


def _kubernetes() -> str:
    """All versions: each but the first is what it has otherwise than the one before; null is gone."""
    kinds: dict[str, JsonObject] = {}
    types: dict[str, JsonObject] = {}
    held: tuple[JsonObject, JsonObject] = ({}, {})
    for version, module in KUBERNETES.items():
        found = _read(fetched(f"k8s.io/kubernetes@{module}"))
        kinds[version], types[version] = (_changes(*pair) for pair in zip(held, found, strict=True))
        held = found
    source = {version: f"k8s.io/kubernetes {module}" for version, module in KUBERNETES.items()}
    return _text({"source": source, "kinds": kinds, "types": types}, depth=3)


def _gateway_api() -> str:
    folder = fetched(f"sigs.k8s.io/gateway-api@{GATEWAY_API}") / "config" / "crd" / "standard"
    definitions = [each for path in sorted(folder.glob("*.yaml")) for each in yaml.safe_load_all(path.read_text())]
    return _custom(filter(None, definitions), f"sigs.k8s.io/gateway-api {GATEWAY_API}")


def _operators() -> str:
    """What others' operators serve, of that the kinds that are rendered, whole."""
    definitions = [
        each
        for module, files in OPERATORS.items()
        for file in files
        for each in yaml.load_all((fetched(module) / file).read_text(), Loader=yaml.CSafeLoader)
    ]
    source = ", ".join([*(module.replace("@", " ") for module in OPERATORS), strimzi.SOURCE])
    return _custom([*filter(None, definitions), *strimzi.definitions()], source)


def _own() -> str:
    return _custom(custom_resources(), "src/croupier/operator/crds.py")


def _custom(definitions: Iterable[JsonObject], source: str) -> str:
    """The kinds that ``definitions`` tell of."""
    kinds = {f"{version} {kind}": schema for (version, kind), schema in from_definitions(definitions).items()}
    kinds = {name: each for name, each in kinds.items() if ".istio.io/" not in name or name in OF_ISTIO}
    return _text({"source": source, "kinds": dict(sorted(kinds.items()))}, depth=2)


def _changes(before: JsonObject, after: JsonObject) -> JsonObject:
    made = {name: held for name, held in after.items() if before.get(name) != held}
    return dict(sorted({**made, **{name: None for name in before if name not in after}}.items()))


def _text(value: Any, depth: int) -> str:
    """JSON with one member a line down to ``depth``, so that a new version shows what it changes."""

    def lines(value: Any, level: int) -> str:
        if level == depth or not isinstance(value, dict):
            return json.dumps(value, separators=(",", ":"), ensure_ascii=False)
        inner = ",\n".join(f"{json.dumps(key)}:{lines(each, level + 1)}" for key, each in value.items())
        return f"{{\n{inner}\n}}"

    return lines(value, 0) + "\n"


def _read(module: Path) -> tuple[JsonObject, JsonObject]:
    """(``apiVersion kind`` -> name of its type, name -> type) of everything that people write as an object."""
    schemas: JsonObject = {}
    for path in sorted((module / "api" / "openapi-spec" / "v3").glob("*.json")):
        schemas.update(json.loads(path.read_text()).get("components", {}).get("schemas", {}))
    _enumerate(schemas, (module / "pkg" / "generated" / "openapi" / "zz_generated.openapi.go").read_text())
    kinds = {}
    for name, schema in schemas.items():
        named = schema.get("x-kubernetes-group-version-kind", [])
        properties = schema.get("properties", {})
        if len(named) == 1 and "metadata" in properties and "items" not in properties:
            (each,) = named
            group = f"{each['group']}/" if each["group"] else ""
            kinds[f"{group}{each['version']} {each['kind']}"] = name
    types: JsonObject = {}
    left = list(kinds.values())
    while left:
        name = left.pop()
        if name not in types:
            types[name] = _typed(name, schemas[name])
            left += _named_in(types[name])
    return dict(sorted(kinds.items())), dict(sorted(types.items()))


def _typed(name: str, schema: JsonObject) -> JsonObject:
    if name in _FORMATS:
        return dict(_FORMATS[name])
    if name in _OPEN:
        return {"x-kubernetes-preserve-unknown-fields": True}
    made = trimmed(schema)
    if made.get("type") == "object" and "additionalProperties" not in made:
        made.setdefault("properties", {})
    return made


def _named_in(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):  # and not the field of that name in JSONSchemaProps
            yield schema["$ref"]
        for each in schema.values():
            yield from _named_in(each)


def _enumerate(schemas: JsonObject, source: str) -> None:
    """Put the values of enumerations from the Go ``source`` into ``schemas``. An optional field may be empty, too: the
    API server then takes its default.
    """
    by_end = {_end(name): schema for name, schema in schemas.items()}
    schema: Mapping[str, Any] = {}
    field = ""
    for line in source.splitlines():
        if found := _FUNCTION.match(line):
            schema, field = by_end.get("_".join(found[1].split("_")[-3:]), {}), ""
        elif found := _PROPERTY.match(line):
            field = found[1]
        elif (found := _ENUM.search(line)) and field in schema.get("properties", {}):
            values = [json.loads(f'"{each}"') for each in _STRING.findall(found[1])]
            place = schema["properties"][field]
            if "items" in place:
                place["items"]["enum"] = values
            elif "additionalProperties" not in place:
                place["enum"] = values if field in schema.get("required", ()) else _with_empty(values)


def _with_empty(values: Iterable[str]) -> list[str]:
    return [*values, ""] if "" not in (values := list(values)) else values


def _end(name: str) -> str:
    """``io.k8s.api.core.v1.Container`` as it ends in the name of a Go function: ``core_v1_Container``."""
    return "_".join(name.split(".")[-3:])


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
