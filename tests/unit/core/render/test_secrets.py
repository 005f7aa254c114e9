"""Secrets come from the manager that keeps them (S5.4)."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from tests.support import quick_yaml
from tests.support.platforms import example, kept, manifests

from croupier.core.compare import compare
from croupier.core.policy.catalogue import RULES
from croupier.core.policy.check import check
from croupier.core.render.quota import limits
from croupier.core.render.scaling import asked_with
from croupier.model.mesh import Mesh
from croupier.model.platform import PlacedCell, SecretsAgent, SecretsDriver
from croupier.model.quantity import size
from croupier.model.service_spec import Scaling, SecretRef
from croupier.model.trigger import RabbitMq, SecretItem
from croupier.spec.manifests import read_text


def _externals(cells: list[PlacedCell]) -> list[dict[str, Any]]:
    made = [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]
    return [each for each in made if each["kind"] == "ExternalSecret"]


def test_every_secret_of_a_cell_is_read_from_the_store_of_its_region() -> None:
    made = _externals(kept())
    assert [each["metadata"]["namespace"] for each in made] == ["lucky-mt", "lucky-se"]
    for each in made:
        assert each["spec"]["secretStoreRef"] == {"kind": "ClusterSecretStore", "name": "vault"}
        assert each["spec"]["refreshInterval"] == "3600s"
        assert each["spec"]["target"]["name"] == "psp-a-credentials"
        assert each["spec"]["data"] == [
            {"secretKey": "hmac", "remoteRef": {"key": "casino/psp-a-credentials", "property": "hmac"}}
        ]


def test_services_that_share_a_secret_share_its_object() -> None:
    """Prevents: two objects that own one Secret, and take it from each other."""
    (cell, *_) = kept()
    (payments,) = (each for each in cell.services if each.secrets)
    more = SecretRef(secret="psp-a-credentials", keys=("token",), remote="casino/psp-a-credentials", refresh_seconds=60)
    other = payments.model_copy(update={"name": "payouts", "secrets": {"psp": more}})
    (made,) = _externals([cell.model_copy(update={"services": (*cell.services, other)})])
    assert [each["secretKey"] for each in made["spec"]["data"]] == ["hmac", "token"]
    assert made["spec"]["refreshInterval"] == "60s"


def test_nothing_is_made_where_somebody_else_makes_secrets() -> None:
    assert _externals(example()) == []
    assert _externals(example(secret_store="vault")) == []


def _elsewhere(cells: list[PlacedCell]) -> set[str | None]:
    made = [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]
    return {
        each["metadata"].get("annotations", {}).get("croupier.dev/secrets-elsewhere")
        for each in made
        if each["kind"] == "Deployment" and each["metadata"]["name"] == "payments-api"
    }


def test_a_workload_says_which_secrets_no_manifest_makes() -> None:
    """S5.4, S10.6: so that the rule secret-source asks for the others."""
    assert _elsewhere(example()) == {"psp-a-credentials"}
    assert _elsewhere(example(secret_store="vault")) == {"psp-a-credentials"}
    assert _elsewhere(kept()) == {None}


def _mounted() -> tuple[list[PlacedCell], list[dict[str, Any]]]:
    driver = SecretsDriver(provider="vault", parameters={"roleName": "casino"})
    cells = kept(secrets_driver=driver, secret_store="vault")
    return cells, [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]


def test_a_driver_mounts_what_the_manager_keeps_and_no_secret_is_made() -> None:
    """The same files at the same place, whoever brings them."""
    cells, made = _mounted()
    assert not [each for each in made if each["kind"] == "ExternalSecret"]
    found = {
        (each["metadata"]["namespace"], each["metadata"]["name"]): each["spec"]
        for each in made
        if each["kind"] == "SecretProviderClass"
    }
    for each in made:
        if each["kind"] != "Deployment" or each["metadata"]["name"] != "payments-api":
            continue
        pod = each["spec"]["template"]["spec"]
        (volume,) = (held for held in pod["volumes"] if "csi" in held)
        assert not [held for held in pod["volumes"] if "secret" in held]
        spec = found[each["metadata"]["namespace"], volume["csi"]["volumeAttributes"]["secretProviderClass"]]
        assert spec["provider"] == "vault"
        assert spec["parameters"]["roleName"] == "casino"
        assert quick_yaml.load(spec["parameters"]["objects"]) == [
            {"objectName": "hmac", "secretPath": "casino/psp-a-credentials", "secretKey": "hmac"}
        ]
        (mount,) = (held for held in pod["containers"][0]["volumeMounts"] if held["name"] == volume["name"])
        assert mount["mountPath"].startswith("/secrets/")
        assert mount["readOnly"]
    assert len(found) == len(cells)


def test_what_somebody_else_makes_stays_a_secret_beside_the_driver() -> None:
    cells = example(secrets_driver=SecretsDriver(provider="vault"))
    made = [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]
    assert not [each for each in made if each["kind"] == "SecretProviderClass"]
    volumes = [
        volume
        for each in made
        if each["kind"] == "Deployment"
        for volume in each["spec"]["template"]["spec"].get("volumes", [])
    ]
    assert any("secret" in each for each in volumes)
    assert not any("csi" in each for each in volumes)


def _with(**of_secret: object) -> list[PlacedCell]:
    made = []
    for placed in kept():
        services = []
        for service in placed.services:
            secrets = {name: each.model_copy(update=of_secret) for name, each in service.secrets.items()}
            services.append(service.model_copy(update={"secrets": secrets}))
        made.append(placed.model_copy(update={"services": tuple(services)}))
    return made


def _secrets_of_pods(cells: list[PlacedCell]) -> set[str]:
    made = (each for text in manifests(cells).values() for each in quick_yaml.load_all(text))
    pods = (each["spec"]["template"]["spec"] for each in made if each["kind"] == "Deployment")
    return {volume["secret"]["secretName"] for pod in pods for volume in pod["volumes"] if "secret" in volume}


def test_key_and_rotation_are_told_to_who_rotates_and_who_audits() -> None:
    """S5.5."""
    for each in _externals(_with(rotate_days=30, kms_key="casino-psp")):
        assert each["metadata"]["annotations"] == {
            "croupier.dev/kms-key": "casino-psp",
            "croupier.dev/rotate-days": "30",
        }


def test_who_reads_a_secret_at_the_start_only_gets_a_new_version_with_a_new_value() -> None:
    """Prevents: pods that start before the new value is there, and keep the old one for ever; and a way back whose
    pods wait for a Secret that went with its ExternalSecret."""
    for version in ("7", "8"):
        cells = _with(version=version)
        assert _secrets_of_pods(cells) == {f"psp-a-credentials-{version}"}
        for each in _externals(cells):
            assert each["spec"]["target"]["name"] == each["metadata"]["name"] == f"psp-a-credentials-{version}"
            assert each["spec"]["target"]["creationPolicy"] == "Orphan"
            assert {data["remoteRef"]["version"] for data in each["spec"]["data"]} == {version}
    before, after = (_with(version=version) for version in ("7", "8"))
    plan = compare(before, after)
    assert {(each.kind, each.path) for each in plan.changes} == {("config", "secrets.psp-a.version")}
    assert plan.versions == ("payments-api in lucky-mt-eu-south", "payments-api in lucky-se-eu-north")


def test_what_keda_asks_a_queue_with_stays_a_secret_beside_the_driver() -> None:
    """Prevents: a region that gets the driver loses the Secrets of its scalers, which then see no queue."""
    (cell, *_) = kept(secrets_driver=SecretsDriver(provider="vault"), secret_store="vault")
    item = SecretItem(secret="psp-a-credentials", key="hmac")
    queue = RabbitMq(kind="rabbitmq", queue="payouts", length=10, credentials={"host": item})
    (payments,) = (each.model_copy(update={"depends_on": ()}) for each in cell.services if each.secrets)
    other = payments.model_copy(update={"name": "payouts", "scaling": Scaling(min=2, max=4, trigger=queue)})
    mounted = {"more": SecretRef(secret="more", keys=("token",), remote="casino/more")}
    third = payments.model_copy(update={"name": "reports", "secrets": mounted})
    (made,) = _externals([cell.model_copy(update={"services": (other, third)})])
    assert made["spec"]["target"]["name"] == "psp-a-credentials"


def test_keda_reads_the_version_of_a_secret_that_pods_mount() -> None:
    """Prevents: a scaler that knows a Secret by a name that it no longer has."""
    (cell, *_) = kept()
    item = SecretItem(secret="psp-a-credentials", key="hmac")
    queue = RabbitMq(kind="rabbitmq", queue="payouts", length=10, credentials={"host": item})
    (payments,) = (each for each in cell.services if each.secrets)
    versions = {name: each.model_copy(update={"version": "7"}) for name, each in payments.secrets.items()}
    scaled = payments.model_copy(update={"secrets": versions})
    assert asked_with(cell, scaled, queue) == {"host": ("psp-a-credentials-7", "hmac")}


def _beside(mesh: Mesh | None = None) -> tuple[list[PlacedCell], list[dict[str, Any]]]:
    """The cells of the example, where an agent brings every secret."""
    held = {"secrets_agent": SecretsAgent(role="casino"), "mesh": mesh}
    cells = [
        placed.model_copy(update={"region": placed.region.model_copy(update=held)}) for placed in _with(sidecar=True)
    ]
    return cells, [each for text in manifests(cells).values() for each in quick_yaml.load_all(text)]


def _payments(made: list[dict[str, Any]], kind: str) -> dict[str, Any]:
    return next(each for each in made if (each["kind"], each["metadata"]["name"]) == (kind, "payments-api"))


def test_an_agent_brings_what_asks_for_it_to_the_place_where_it_would_be_without() -> None:
    """S10.8: no Secret is made, and the program finds the same file."""
    _, made = _beside()
    assert not [each for each in made if each["kind"] in ("ExternalSecret", "SecretProviderClass")]
    template = _payments(made, "Deployment")["spec"]["template"]
    said = {
        key.removeprefix("vault.hashicorp.com/"): value
        for key, value in template["metadata"]["annotations"].items()
        if key.startswith("vault.hashicorp.com/")
    }
    assert (said["agent-inject"], said["role"]) == ("true", "casino")
    assert said["agent-inject-secret-0-0"] == "casino/psp-a-credentials"
    assert said["agent-inject-template-0-0"] == (
        '{{ with secret "casino/psp-a-credentials" }}{{ with .Data.data }}{{ index . "hmac" }}'
        '{{ else }}{{ index .Data "hmac" }}{{ end }}{{ end }}'
    )
    assert (said["secret-volume-path-0-0"], said["agent-inject-file-0-0"]) == ("/secrets/psp-a", "hmac")
    assert not [each for each in template["spec"].get("volumes", ()) if "secret" in each or "csi" in each]


def test_an_agent_keeps_to_what_pods_may_do_and_only_it_has_a_token() -> None:
    """Pod Security restricted: the agent runs as the program's own user, never as root, and nobody else reads files."""
    _, made = _beside()
    template = _payments(made, "Deployment")["spec"]["template"]
    pod, said = template["spec"], template["metadata"]["annotations"]
    user = str(pod["securityContext"]["runAsUser"])
    assert said["vault.hashicorp.com/agent-run-as-user"] == said["vault.hashicorp.com/agent-run-as-group"] == user
    assert said["vault.hashicorp.com/agent-inject-perms-0-0"] == "0400"
    assert pod["automountServiceAccountToken"] is False
    (token,) = (each for each in pod["volumes"] if "projected" in each)
    assert token["name"] == said["vault.hashicorp.com/agent-service-account-token-volume-name"]
    assert token["projected"]["sources"][0]["serviceAccountToken"]["audience"] == "vault"
    (app,) = pod["containers"]
    assert token["name"] not in {each["name"] for each in app.get("volumeMounts", ())}


@pytest.mark.parametrize(("mesh", "ports"), [(None, None), (Mesh(), None), (Mesh(mode="sidecar"), "8200")])
def test_an_agent_asks_vault_past_a_sidecar_that_does_not_run_yet(mesh: Mesh | None, ports: str | None) -> None:
    _, made = _beside(mesh)
    said = _payments(made, "Deployment")["spec"]["template"]["metadata"]["annotations"]
    assert said.get("traffic.sidecar.istio.io/excludeOutboundPorts") == ports


def test_only_pods_with_an_agent_may_ask_vault() -> None:
    _, made = _beside()
    asks = {
        each["metadata"]["name"]
        for each in made
        if each["kind"] == "NetworkPolicy" and "kubernetes.io/metadata.name: vault" in yaml.safe_dump(each)
    }
    assert asks == {"payments-api"}


def test_quotas_have_room_for_agents() -> None:
    """Prevents: a quota that refuses the last pods of a peak because of what stands beside the program."""
    cells, _ = _beside()
    hard, without = (
        next(each["spec"]["hard"] for each in limits(placed) if each["kind"] == "ResourceQuota")
        for placed in (cells[0], _with()[0])
    )
    (payments,) = (each for each in cells[0].services if each.name == "payments-api")
    assert size(hard["requests.cpu"]) - size(without["requests.cpu"]) == 2 * payments.most_pods * size("50m")
    assert size(hard["limits.memory"]) - size(without["limits.memory"]) == 2 * payments.most_pods * size("64Mi")


def test_no_rule_takes_exception_to_pods_with_agents() -> None:
    cells, _ = _beside()
    read = [read_text(text, name).manifests for name, text in manifests(cells).items()]
    usual = [rule for rule in RULES.values() if rule.usual]
    assert [str(each) for each in check([each for file in read for each in file], usual)] == []
