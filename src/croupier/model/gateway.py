"""What players come through in a region, and what each kind of gateway can be told (S8): the one place that knows.

Field names are the keys of the platform file; ``docs/reference/platform.md`` is made from this module.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Annotated, Literal, NamedTuple, Self, get_args

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from croupier.model.base import LabelKey, LabelValue, Name
from croupier.model.release_policy import ParentRef

Target = Literal["gatewayApi", "envoyGateway", "istioGateway", "istio", "nginxIngress"]
Feature = Literal[
    "releasedBy: croupier",
    "timeoutSeconds",
    "http3",
    "issuer",
    "clientCertificate",
    "edge.hsts",
    "edge.rateLimit",
    "edge.rateLimit by address",
    "edge.retries",
    "edge.breaker",
    "edge.backendTls",
    "edge.sticky",
    "scaling.trigger http",
]
GATEWAY_API: tuple[Target, ...] = ("gatewayApi", "envoyGateway", "istioGateway")
"""Those that are told by objects of the Gateway API."""
ENVOY_GATEWAY_NAMESPACE = "envoy-gateway-system"
"""Where Envoy Gateway runs its proxies unless it is told otherwise."""
MOST_LISTENERS = 64
"""The Gateway API takes no more a Gateway."""


class Said(NamedTuple):
    """``by``: object and field. ``released_by``: where it can be said at all; None: everywhere. What names a Service
    cannot be said where croupier releases: each version has its own."""

    by: str
    released_by: Literal["kubernetes"] | None = None


_ROUTE = "HTTPRoute rules[]"
_TRAFFIC = "BackendTrafficPolicy"
_NGINX = "Ingress nginx.ingress.kubernetes.io"


def _of_gateway_api(by: str) -> dict[Target, Said]:
    return dict.fromkeys(GATEWAY_API, Said(by))


SAYS: Mapping[Feature, Mapping[Target, Said]] = {
    "releasedBy: croupier": _of_gateway_api(f"{_ROUTE}.backendRefs[].weight"),
    "timeoutSeconds": {
        **_of_gateway_api(f"{_ROUTE}.timeouts.request"),
        "istio": Said("VirtualService http[].timeout"),
        "nginxIngress": Said(f"{_NGINX}/proxy-read-timeout, between two reads"),
    },
    "http3": {"envoyGateway": Said("ClientTrafficPolicy http3")},
    "issuer": _of_gateway_api("Gateway, annotation cert-manager.io/cluster-issuer"),
    "clientCertificate": _of_gateway_api("Gateway tls.backend.clientCertificateRef"),
    "edge.hsts": {
        **_of_gateway_api(f"{_ROUTE}.filters[].responseHeaderModifier"),
        "istio": Said("VirtualService http[].headers.response"),
    },
    "edge.rateLimit": {
        "envoyGateway": Said(f"{_TRAFFIC} rateLimit.local"),
        "istio": Said("EnvoyFilter envoy.filters.http.local_ratelimit"),
    },
    "edge.rateLimit by address": {
        "envoyGateway": Said(f"{_TRAFFIC} rateLimit.local.rules[].clientSelectors"),
        "nginxIngress": Said(f"{_NGINX}/limit-rps, limit-rpm"),
    },
    "edge.retries": {
        "envoyGateway": Said(f"{_TRAFFIC} retry, circuitBreaker.retryBudget"),
        "istio": Said("VirtualService http[].retries, DestinationRule trafficPolicy.retryBudget"),
    },
    "edge.breaker": {
        "envoyGateway": Said(f"{_TRAFFIC} circuitBreaker, healthCheck.passive"),
        "istioGateway": Said("DestinationRule trafficPolicy.connectionPool, outlierDetection", "kubernetes"),
        "istio": Said("DestinationRule trafficPolicy.connectionPool, outlierDetection"),
    },
    "edge.backendTls": {
        **_of_gateway_api("BackendTLSPolicy"),
        "istio": Said("DestinationRule trafficPolicy.portLevelSettings[].tls"),
    },
    # HTTPRoute rules[].sessionPersistence is not in the standard channel of the Gateway API.
    "edge.sticky": {
        "envoyGateway": Said(f"{_TRAFFIC} loadBalancer.consistentHash"),
        "istioGateway": Said("DestinationRule trafficPolicy.loadBalancer.consistentHash", "kubernetes"),
        "istio": Said("DestinationRule trafficPolicy.loadBalancer.consistentHash"),
        "nginxIngress": Said(f"{_NGINX}/affinity, upstream-hash-by"),
    },
    # An Ingress names Services of its own namespace only; a DestinationRule, which a VirtualService needs beside it, is
    # of the service and not of the interceptor.
    "scaling.trigger http": {
        each: Said(f"{_ROUTE}.backendRefs[].namespace, ReferenceGrant", "kubernetes") for each in GATEWAY_API
    },
}
"""Feature -> who can be told to, and by what."""


def able(feature: Feature, released_by: str) -> list[Target]:
    """Targets that can do it in a region that is ``released_by``, in the order of ``Target``."""
    every: Iterable[Target] = GATEWAY_API if released_by == "croupier" else get_args(Target)
    return [each for each in every if (said := SAYS[feature].get(each)) and said.released_by in (None, released_by)]


class Gateway(ParentRef):
    """The gateway that players come through: who it is, and what it is told beside the routes of services.

    ``name``: of ``nginxIngress``, its IngressClass. ``namespace`` None: each cell's own.
    """

    target: Target = "gatewayApi"
    """Who reads what is rendered for it: any that knows the Gateway API's standard channel; Envoy Gateway; Istio by the
    Gateway API; Istio by its own objects; ingress-nginx, which was retired in March 2026."""
    class_name: Name | None = None
    """The GatewayClass that it is made of: it is rendered, with a listener for each hostname of the region's cells.
    None: somebody else makes it."""
    selector: Annotated[dict[LabelKey, LabelValue], Field(default_factory=dict, max_length=8)]
    """Of ``istio``, which needs it: labels of the gateway's pods. The Gateway of Istio is rendered."""
    issuer: Name | None = None
    """The ClusterIssuer of cert-manager that makes certificates: Secrets ``<cell>-tls`` beside the Gateway. None:
    somebody else does."""
    http3: bool = False
    """HTTP/3 beside HTTP/2 (S8.2)."""
    client_certificate: Name | None = None
    """The Secret beside the Gateway with the certificate that it shows to services with ``backendTls`` (S8.1)."""
    proxy_namespace: Name | None = None
    """Where its pods run. None: in its own namespace, those of ``envoyGateway`` in ``envoy-gateway-system``."""

    @property
    def is_rendered(self) -> bool:
        return self.class_name is not None or bool(self.selector)

    @property
    def is_of_istio(self) -> bool:
        """Whether its pods speak what pods in a mesh of Istio speak, without being asked to."""
        return self.target in ("istioGateway", "istio")

    @property
    def makes_namespace(self) -> bool:
        """Whether its namespace is rendered, with how far Pod Security lets pods go there."""
        return self.class_name is not None

    def runs_in(self, cell_namespace: str) -> str:
        """Namespace of its pods, for a cell in ``cell_namespace``."""
        default = ENVOY_GATEWAY_NAMESPACE if self.target == "envoyGateway" else self.namespace
        return self.proxy_namespace or default or cell_namespace

    @model_validator(mode="after")
    def _keys_are_of_the_target(self) -> Self:
        if self.class_name is not None and self.target not in GATEWAY_API:
            raise _flaw("className", f"{self.target} has no GatewayClass; {', '.join(GATEWAY_API)} have")
        if self.selector and self.target != "istio":
            raise _flaw("selector", "selector is of target istio: others find their pods by themselves")
        if self.target == "istio" and not self.selector:
            raise _flaw("target", "istio needs selector: labels of the gateway's pods")
        if self.section_name is not None and self.target not in GATEWAY_API:
            message = f"{self.target} has no listeners that routes name; {', '.join(GATEWAY_API)} have"
            raise _flaw("sectionName", message)
        if self.section_name is not None and self.is_rendered:
            message = "listeners of a gateway that is rendered are called like hostnames, and routes find theirs"
            raise _flaw("sectionName", f"{message}; leave it out")
        if self.target == "nginxIngress" and self.namespace is None and self.proxy_namespace is None:
            raise _flaw("target", "nginxIngress needs namespace: where its pods run")
        if self.is_rendered and self.namespace is None:
            raise _flaw("className" if self.class_name else "selector", "a gateway that is rendered needs a namespace")
        asked: dict[str, tuple[Feature, object]] = {
            "http3": ("http3", self.http3),
            "issuer": ("issuer", self.issuer),
            "clientCertificate": ("clientCertificate", self.client_certificate),
        }
        for key, (feature, value) in asked.items():
            if value and self.target not in SAYS[feature]:
                raise _flaw(key, f"{self.target} cannot be told of {key}; {', '.join(SAYS[feature])} can")
            if value and not self.is_rendered:
                raise _flaw(key, f"{key} is of a gateway that is rendered: give className")
        return self


def _flaw(key: str, message: str) -> PydanticCustomError:
    return PydanticCustomError("target", message, {"at": key})
