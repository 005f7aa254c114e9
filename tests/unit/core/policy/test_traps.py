"""Traps that checkers of manifests have fallen into, one test each."""

from __future__ import annotations

import pytest

from croupier.core.policy.catalogue import PROFILES, RULES
from croupier.core.policy.check import check
from croupier.spec import manifests as spec
from croupier.spec.manifests import read_file, read_text

PINNED = "registry.example/bets@sha256:" + "0f" * 32


def found(rule: str, text: str) -> list[str]:
    """What a rule says of a file."""
    read = read_text(text, "a.yaml")
    assert read.state == "read", read.problem
    return [each.message for each in check(read.manifests, [RULES[rule]])]


def pod(spec: str, annotations: str = "") -> str:
    return f"apiVersion: v1\nkind: Pod\nmetadata: {{name: bets, namespace: casino{annotations}}}\nspec: {{{spec}}}\n"


def app(more: str) -> str:
    return pod(f"containers: [{{name: app, {more}}}]")


# --- files ------------------------------------------------------------------------------------------------------------


def test_braces_in_a_config_map_hide_no_pod_beside_it() -> None:
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\ndata: {page: 'x {{ .Values.x }} y'}\n---\n"
    assert found("privileged", text + app("securityContext: {privileged: true}"))


def test_a_list_comments_line_ends_and_a_byte_order_mark_hide_nothing() -> None:
    inner = app("securityContext: {privileged: true}").replace("\n", "\n  ")
    text = f"# only words\n---\n---\napiVersion: v1\nkind: List\nitems:\n- {inner}".rstrip()
    assert found("privileged", text)
    assert found("privileged", "\ufeff" + text.replace("\n", "\r\n"))


def test_a_file_that_is_too_large_is_told_of(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setattr(spec, "LARGEST_BYTES", 100)
    file = tmp_path_factory.mktemp("large") / "a.yaml"
    file.write_text(app("image: a") * 9)
    read = read_file(str(file))
    assert read.state == "unparsed"
    assert read.problem is not None
    assert "larger" in read.problem.message


def test_an_alias_bomb_is_refused() -> None:
    rows = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    rows += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 9)]
    assert read_text("\n".join(rows), "a.yaml").state == "unparsed"


# --- pods -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("key", ["initContainers", "ephemeralContainers", "containers"])
def test_a_privileged_container_is_seen_wherever_it_stands(key: str) -> None:
    plain = "" if key == "containers" else "containers: [{name: app}], "
    assert found("privileged", pod(f"{plain}{key}: [{{name: x, securityContext: {{privileged: true}}}}]"))


def test_a_sidecar_is_there_as_long_as_the_pod_and_not_asked_to_serve() -> None:
    sidecar = "initContainers: [{name: proxy, restartPolicy: Always, image: a}], containers: [{name: app, image: a}]"
    assert len(found("memory-limits", pod(sidecar))) == 2
    assert found("readiness-probe", pod(sidecar)) == ["container app has no readinessProbe"]


def test_windows_is_not_asked_for_what_it_has_not() -> None:
    for rule in ("seccomp", "privilege-escalation", "capabilities-restricted"):
        assert found(rule, pod("containers: [{name: app}]"))
        assert not found(rule, pod("os: {name: windows}, containers: [{name: app}]"))


def test_a_user_namespace_loosens_what_the_standard_loosens() -> None:
    for rule, context in (
        ("run-as-user", "runAsUser: 0"),
        ("run-as-non-root", "runAsNonRoot: false"),
        ("proc-mount", "procMount: Unmasked"),
    ):
        text = f"containers: [{{name: app, securityContext: {{{context}}}}}]"
        assert found(rule, pod(text))
        assert not found(rule, pod(f"hostUsers: false, {text}"))


def test_apparmor_is_switched_off_by_field_and_by_annotation() -> None:
    key = "container.apparmor.security.beta.kubernetes.io/app"
    assert found("apparmor", app("securityContext: {appArmorProfile: {type: Unconfined}}"))
    assert found("apparmor", pod("containers: [{name: app}]", f", annotations: {{{key}: unconfined}}"))
    assert not found("apparmor", pod("containers: [{name: app}]", f", annotations: {{{key}: localhost/bets}}"))


def test_a_seccomp_annotation_is_no_profile_since_kubernetes_ignores_it() -> None:
    old = ", annotations: {seccomp.security.alpha.kubernetes.io/pod: runtime/default}"
    assert found("seccomp", pod("containers: [{name: app}]", old))


# --- images -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("image", "tag", "digest"),
    [
        (PINNED, True, True),
        ("registry.example/bets:2@sha256:" + "0f" * 32, True, True),
        ("registry.example/bets@sha256:" + "0F" * 32, True, False),
        ("registry.example/bets@sha256:0f0f", True, False),
        ("registry.example:5000/bets", False, False),
        ("registry.example:5000/bets:2", True, False),
        ("bets", False, False),
        ("bets:latest", False, False),
    ],
)
def test_an_image_is_taken_apart_as_a_runtime_does(image: str, tag: bool, digest: bool) -> None:
    assert (not found("image-tag", app(f"image: '{image}'"))) is tag
    assert (not found("image-digest", app(f"image: '{image}'"))) is digest


def test_a_pinned_image_need_not_be_pulled_each_time() -> None:
    assert found("pull-policy", app("image: 'registry.example/bets:2', imagePullPolicy: IfNotPresent"))
    assert not found("pull-policy", app(f"image: '{PINNED}', imagePullPolicy: IfNotPresent"))


def test_cpu_limits_are_a_choice() -> None:
    """Other checkers ask for them, or forbid them, without a word."""
    assert "cpu-limits" in PROFILES["all"]
    assert "cpu-limits" not in PROFILES["default"]


# --- selectors and percentages ----------------------------------------------------------------------------------------

WORKLOAD = (
    "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: %s, namespace: casino}\n"
    "spec: {replicas: %d, template: {metadata: {labels: {app: %s}}, spec: {containers: [{name: app}]}}}\n"
)
BUDGET = (
    "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: bets, namespace: casino}\n"
    "spec: {%s, selector: %s}\n"
)


@pytest.mark.parametrize("selector", ["{}", "{matchLabels: {}}", "{matchExpressions: [{key: app, operator: Exists}]}"])
def test_a_budget_that_takes_two_workloads_is_told_of(selector: str) -> None:
    text = WORKLOAD % ("bets", 3, "bets") + WORKLOAD % ("odds", 3, "odds")
    assert found("one-workload", text + BUDGET % ("maxUnavailable: 1", selector))
    assert not found("one-workload", text + BUDGET % ("maxUnavailable: 1", "{matchLabels: {app: bets}}"))


@pytest.mark.parametrize(
    ("replicas", "written", "is_stuck"),
    [(1, "50%", True), (2, "50%", False), (2, "51%", True), (3, "67%", True), (3, "66%", False), (10, "90%", False)],
)
def test_percentages_of_few_pods_are_rounded_as_kubernetes_does(replicas: int, written: str, is_stuck: bool) -> None:
    """``minAvailable`` is rounded up: half of one pod is one pod."""
    text = WORKLOAD % ("bets", replicas, "bets") + BUDGET % (f"minAvailable: {written}", "{matchLabels: {app: bets}}")
    assert bool(found("pdb-min-available", text)) is is_stuck


# --- network policies: what they mean together is in test_reach -------------------------------------------------------

POLICY = (
    "---\napiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: a, namespace: casino}\nspec: {%s}\n"
)


def test_policy_types_that_are_not_written_are_ingress_and_egress_where_it_has_rules() -> None:
    pods = WORKLOAD % ("bets", 3, "bets")
    assert found("network-policy", pods + POLICY % "podSelector: {}") == ["no NetworkPolicy governs its egress"]
    assert not found("network-policy", pods + POLICY % "podSelector: {}, egress: []")


def test_an_empty_peer_list_is_everybody_and_an_empty_selector_every_pod() -> None:
    assert found("egress-anywhere", POLICY % "podSelector: {}, egress: [{to: []}]")
    pods = WORKLOAD % ("bets", 3, "bets") + WORKLOAD % ("odds", 3, "odds")
    assert not found("isolated-pod", pods + POLICY % "podSelector: {}")


# --- ingress ----------------------------------------------------------------------------------------------------------


def ingress(annotation: str, path: str = "/") -> str:
    return (
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {name: psp, namespace: casino, annotations: "
        f"{{{annotation}}}}}\nspec: {{ingressClassName: haproxy, rules: [{{host: a.example, http: {{paths: "
        f"[{{path: {path}, backend: {{service: {{name: cashier}}}}}}]}}}}]}}\n"
    )


@pytest.mark.parametrize(
    ("rule", "annotation"),
    [
        ("ingress-rate-limit", "nginx.ingress.kubernetes.io/limit-rps: '0'"),
        ("ingress-body-size", "nginx.ingress.kubernetes.io/proxy-body-size: '0'"),
        ("ingress-body-size", "nginx.ingress.kubernetes.io/proxy-body-size: 0m"),
        ("ingress-body-size", "haproxy-ingress.github.io/proxy-body-size: unlimited"),
        ("ingress-hsts", "haproxy-ingress.github.io/hsts: 'false'"),
    ],
)
def test_a_limit_that_is_switched_off_is_none(rule: str, annotation: str) -> None:
    assert found(rule, ingress(annotation))


@pytest.mark.parametrize("ranges", ["0.0.0.0/0", "'192.0.2.0/28, ::/0'", "''"])
def test_a_list_that_holds_everybody_guards_no_callback(ranges: str) -> None:
    said = found("callback-guard", ingress(f"nginx.ingress.kubernetes.io/allowlist-source-range: {ranges}", "/webhook"))
    assert said == ["anybody may call it: no list of the provider's addresses"]


@pytest.mark.parametrize(
    ("action", "key", "is_guarded"),
    [("ALLOW", "ipBlocks", True), ("DENY", "notRemoteIpBlocks", True), ("DENY", "ipBlocks", False)],
)
def test_a_mesh_guards_a_callback_by_who_may_or_by_all_who_may_not(action: str, key: str, is_guarded: bool) -> None:
    route = (
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: psp, namespace: casino}\nspec: "
        "{hosts: [a.example], http: [{match: [{uri: {prefix: /webhook}}], route: [{destination: {host: cashier}}]}]}\n"
    )
    policy = (
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: psp, namespace: casino}\n"
        f"spec: {{action: {action}, rules: [{{from: [{{source: {{{key}: [192.0.2.0/28]}}}}]}}]}}\n"
    )
    assert bool(found("callback-guard", route + policy)) is not is_guarded


@pytest.mark.parametrize(
    ("namespace", "is_guarded"),
    [("casino", True), ("istio-system", True), ("ingress", True), ("edge", True), ("sportsbook", False)],
)
@pytest.mark.parametrize("kind", ["HTTPRoute", "VirtualService"])
def test_a_policy_of_another_namespace_guards_no_callback(kind: str, namespace: str, is_guarded: bool) -> None:
    """It holds for what is beside it; only those of the mesh's root namespace hold everywhere."""
    path = {"VirtualService": "uri: {prefix: /webhook}", "HTTPRoute": "path: {value: /webhook}"}[kind]
    route = (
        f"apiVersion: x/v1\nkind: {kind}\nmetadata: {{name: psp, namespace: casino}}\nspec: {{gateways: [ingress/web, "
        "edge/web], parentRefs: [{name: web, namespace: ingress}, {name: web, namespace: edge}], "
        f"http: [{{match: [{{{path}}}]}}], rules: [{{matches: [{{{path}}}]}}]}}\n"
    )
    policy = (
        "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\n"
        f"metadata: {{name: psp, namespace: {namespace}}}\n"
        "spec: {rules: [{from: [{source: {ipBlocks: [192.0.2.0/28]}}]}]}\n"
    )
    assert bool(found("callback-guard", route + policy)) is not is_guarded


def test_a_byte_order_mark_in_base64_is_a_problem_with_its_place() -> None:
    read = read_text("a: !!binary 'aGVs\ufeffbG8='\n", "a.yaml")
    assert read.state == "unparsed"
    assert read.problem is not None
    assert read.problem.line == 1


# --- configuration ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("eu-bets-4f4m7ckgck", "data: {LIMIT: '100', HTML: '<a&b>'}"),
        ("eu-files-9dcgf2k646", "binaryData: {b.bin: /wAB}"),
        ("eu-empty-6ct58987ht", ""),
    ],
)
def test_a_name_by_kustomize_is_known_to_be_of_its_content(name: str, content: str) -> None:
    """The names are what `kubectl kustomize` 1.37 makes of these."""
    text = (
        f"apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: casino}}\n{content}\n---\n"
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: bets, namespace: casino}\nspec: {replicas: 3, "
        f"template: {{spec: {{containers: [{{name: app, envFrom: [{{configMapRef: {{name: {name}}}}}]}}]}}}}}}\n"
    )
    assert not found("config-checksum", text)
    (told,) = found("config-checksum", text.replace("---", "immutable: true\ndata: {LIMIT: '7'}\n---"))
    assert told == "its name is that of another content: pods keep the old one"
