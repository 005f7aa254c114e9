"""Rules in CEL: the edge, the network and the mesh; see ``cel.py``."""

from __future__ import annotations

from collections.abc import Mapping

from croupier.core.policy.cel_words import words
from croupier.core.policy.edge import BACKENDS, BODIES, ENCRYPTED, HSTS, LIMITS
from croupier.core.policy.mesh import INJECT, LONGEST_DURATION, MODE
from croupier.core.policy.network import ANYWHERE


def _annotated(wanted: str) -> str:
    return f"object.?metadata.?annotations.orValue({{}}).exists(key, key.matches(r'{wanted}'))"


_DURATION = "^([0-9]+([.][0-9]+)?(ms|h|m|s))*[0-9.]*[1-9][0-9.]*(ms|h|m|s)([0-9]+([.][0-9]+)?(ms|h|m|s))*$"
"""Such as are longer than nothing."""
_TIME = "^([0-9]+([.][0-9]+)?(ms|h|m|s))+$"


def _is_time(optional: str) -> str:
    return f"({optional}.orValue('').size() <= {LONGEST_DURATION} && {optional}.orValue('').matches(r'{_TIME}'))"


def _seconds(text: str) -> str:
    return f"double(string(duration({text})).replace('s', ''))"


_OF_THE_ROUTE = (
    "(r.?redirect.orValue({}) != {} || r.?directResponse.orValue({}) != {} || r.?delegate.orValue({}) != {})"
)
OF_PODS: Mapping[str, str] = {
    # mesh.py
    "mesh-outside": "variables.ends || [variables.labels, variables.annotations].all(held, "
    f"held[?'{INJECT}'].orValue('') != 'false' && held[?'{MODE}'].orValue('') != 'none')",
}
"""Rule -> what is asked of pods."""
OF_OBJECTS: Mapping[str, tuple[tuple[str, ...], str]] = {
    # network.py
    "egress-anywhere": (
        ("NetworkPolicy",),
        "object.?spec.?egress.orValue([]).all(rule, (rule.?to.orValue([]).size() > 0 || "
        "rule.?ports.orValue([]).size() > 0) && rule.?to.orValue([]).all(peer, "
        f"!(peer.?ipBlock.?cidr.orValue('') in {words(ANYWHERE)})))",
    ),
    "exposed-service": (
        ("Service",),
        "!(object.?spec.?type.orValue('') in ['NodePort', 'LoadBalancer'])",
    ),
    "node-port": (("Service",), "object.?spec.?type.orValue('') != 'NodePort'"),
    "external-ips": (("Service",), "object.?spec.?externalIPs.orValue([]).size() == 0"),
    "ingress-tls": (
        ("Ingress",),
        "object.?spec.?tls.orValue([]).size() > 0 && (object.spec.tls.all(t, t.?hosts.orValue([]).size() == 0) || "
        "object.?spec.?rules.orValue([]).all(rule, rule.?host.orValue('') == '' || object.spec.tls.exists(t, "
        "t.?hosts.orValue([]).exists(host, host == rule.host || (rule.host.contains('.') && "
        "host == '*.' + rule.host.split('.', 2)[1])))))",
    ),
    "ingress-host": (("Ingress",), "object.?spec.?rules.orValue([]).all(rule, rule.?host.orValue('') != '')"),
    "ingress-wildcard": (
        ("Ingress",),
        "object.?spec.?rules.orValue([]).all(rule, !rule.?host.orValue('').startsWith('*'))",
    ),
    "ingress-snippet": (
        ("Ingress",),
        "object.?metadata.?annotations.orValue({}).all(key, !key.endsWith('-snippet') || !key.contains('ingress'))",
    ),
    # mesh.py
    "mesh-no-timeout": (
        ("VirtualService", "HTTPRoute", "GRPCRoute"),
        f"object.kind == 'VirtualService' ? object.?spec.?http.orValue([]).all(r, {_OF_THE_ROUTE} || "
        f"r.?timeout.orValue('').matches(r'{_DURATION}')) : object.?spec.?rules.orValue([]).all(r, "
        "r.?filters.orValue([]).exists(f, f.?type.orValue('') == 'RequestRedirect') || "
        f"r.?timeouts.?request.orValue('').matches(r'{_DURATION}'))",
    ),
    "retry-budget": (
        ("VirtualService",),
        "object.?spec.?http.orValue([]).all(r, r.?retries.?attempts.orValue(0) == 0 || "
        f"({_is_time('r.?retries.?perTryTimeout')} && (!{_is_time('r.?timeout')} || "
        "double(r.retries.attempts + 1) * "
        f"{_seconds('r.retries.perTryTimeout')} <= {_seconds('r.timeout')})))",
    ),
    "mesh-no-limits": (
        ("DestinationRule",),
        " && ".join(
            "([object.?spec.?trafficPolicy.orValue({})] + object.?spec.?subsets.orValue([])"
            f".map(s, s.?trafficPolicy.orValue({{}}))).exists(policy, policy.?{key}.orValue({{}}) != {{}})"
            for key in ("connectionPool", "outlierDetection")
        ),
    ),
    "mesh-mtls": (
        ("PeerAuthentication", "DestinationRule"),
        "object.kind == 'DestinationRule' ? object.?spec.?trafficPolicy.?tls.?mode.orValue('') != 'DISABLE' : "
        "!(object.?spec.?mtls.?mode.orValue('') in ['PERMISSIVE', 'DISABLE'])",
    ),
    "mesh-anybody": (
        ("AuthorizationPolicy",),
        "object.?spec.?action.orValue('ALLOW') != 'ALLOW' || object.?spec.?rules.orValue([]).all(rule, "
        "rule.?from.orValue([]).size() > 0 || rule.?to.orValue([]).size() > 0 || rule.?when.orValue([]).size() > 0)",
    ),
    # edge.py
    "ingress-rate-limit": (("Ingress",), _annotated(LIMITS)),
    "ingress-body-size": (("Ingress",), _annotated(BODIES)),
    "ingress-hsts": (
        ("Ingress", "ConfigMap"),
        "object.kind == 'ConfigMap' ? object.?data.?hsts.orValue('').lowerAscii() != 'false' : "
        "(object.?spec.?ingressClassName.orValue('') + '/' + "
        "object.?metadata.?annotations[?'kubernetes.io/ingress.class'].orValue('')).contains('nginx') || "
        + _annotated(HSTS),
    ),
    "ingress-backend-tls": (
        ("Ingress",),
        "object.?metadata.?annotations.orValue({}).exists(key, "
        f"key.matches(r'{BACKENDS}') && (key.endsWith('/proxy-ssl-secret') || "
        f"object.metadata.annotations[key] in {words(ENCRYPTED)}))",
    ),
}
"""Rule -> the kinds it asks, and what."""
