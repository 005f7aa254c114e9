"""Workloads on Kubernetes: each version a Deployment of its own, made from the template that Git holds (DESIGN §7).

The user's Deployment is the intent: at rest it has no pods. ``ensure`` makes a version from it, or gives an existing
one more pods; ``retire`` notes when a version may end, and ``tidy`` scales it down once that time has come and removes
versions beyond the history limit. The intent's own pods count as one more version, for adopting a running Deployment
and for leaving croupier again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from croupier.adapters.kubernetes_api import (
    BACKEND_TLS_POLICIES,
    CONFIG_MAPS,
    DEPLOYMENTS,
    DESTINATION_RULES,
    HPAS,
    PODS,
    SERVICES,
)
from croupier.adapters.kubernetes_cache import labels_of
from croupier.adapters.kubernetes_cluster import SCALES, Cluster
from croupier.core.policy.selectors import matches
from croupier.core.render.version import (
    ASKED,
    COPY_OF,
    DIGEST,
    POLICY_LABEL,
    RETIRE_AT,
    VERSION_LABEL,
    Owner,
    config_map_names,
    content_of,
    frozen_config_maps,
    intent_digest,
    labels,
    object_name,
    version_deployment,
    version_digest,
    version_scaler,
    version_service,
    version_template,
    warm_pods,
)
from croupier.errors import Refused, UnknownName, Unreachable
from croupier.model.digest import short
from croupier.model.objects import JsonObject
from croupier.model.service import Version
from croupier.model.traffic import Endpoint
from croupier.model.workload import Pod, VersionPods

INTENT_LABEL = "intent"
"""What people see as the label of the intent's own pods."""


class KubernetesWorkloads:
    """The workloads port on a cluster."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster

    # --- the port -------------------------------------------------------------------------------------------------

    async def versions(self, service: str) -> Sequence[Version]:
        owner = self._owner(service)
        intent = self._intent(owner)
        found = {_digest(each): _label(each) for each in self._deployments(owner)}
        if intent is not None:
            found[intent_digest(owner.namespace, owner.spec.deployment)] = INTENT_LABEL
            found.setdefault(self._wanted(owner, intent), _label(intent))
        versions = [Version(service=service, digest=digest, label=label) for digest, label in found.items()]
        return sorted(versions, key=lambda version: (version.label, version.digest))

    async def ensure(self, service: str, digest: str, replicas: int) -> None:
        owner = self._owner(service)
        existing = self._find(owner, digest)
        if existing is None:
            await self._make(owner, digest, replicas)
        elif _is_retired(existing) or _desired(existing) < replicas:
            await self._write(owner, existing, max(replicas, _desired(existing)))
        await self.hold(service, digest, replicas)

    async def reduce(self, service: str, digest: str, replicas: int) -> None:
        """Refused: the scaler of a version may not be overruled while it serves."""
        raise Refused(f"{service}: pods of a version are not reduced on a cluster", hint="use the canary strategy")

    async def observe(self, service: str) -> Sequence[VersionPods]:
        owner = self._owner(service)
        self._cluster.require_fresh(DEPLOYMENTS, PODS)
        found = [self._seen(owner, each) for each in self._deployments(owner)]
        intent = self._intent(owner)
        if intent is not None:
            own = self._intent_pods(owner, intent)
            digest = intent_digest(owner.namespace, owner.spec.deployment)
            desired = 0 if _is_retired(intent) else _desired(intent)
            found.append(VersionPods(service, digest, desired, _pods(owner, own, intent)))
        return sorted((each for each in found if each.desired or each.pods), key=lambda each: each.digest)

    async def retire(self, service: str, digest: str, drain_seconds: float | None = None) -> None:
        owner = self._owner(service)
        each = self._find(owner, digest)
        if each is not None and not _is_retired(each) and _desired(each):
            seconds = owner.spec.drain_seconds if drain_seconds is None else drain_seconds
            await self._write(owner, each, _desired(each), self._cluster.clock.now() + seconds)

    # --- what the operator asks beyond the port -----------------------------------------------------------------------

    def wanted(self, service: str) -> str | None:
        """Digest of the version that Git asks for now; None when there is no such Deployment.

        Raises ``Unreachable`` when a ConfigMap that the template names does not exist, or caches are stale.
        """
        owner = self._owner(service)
        self._cluster.require_fresh(DEPLOYMENTS, CONFIG_MAPS)
        intent = self._intent(owner)
        return None if intent is None else self._wanted(owner, intent)

    def intent_replicas(self, service: str) -> int:
        """How many pods the intent Deployment asks for itself: 0 when it rests, is told to rest, or does not exist."""
        intent = self._intent(self._owner(service))
        return 0 if intent is None or _is_retired(intent) else _desired(intent)

    def is_scaled(self, service: str) -> bool:
        """Whether a HorizontalPodAutoscaler in Git says how many pods there are."""
        return self._scaler(self._owner(service)) is not None

    async def follow(self, service: str, digest: str) -> list[str]:
        """Lower a version where the policy asks for fewer pods than it did before; tells so.

        Pods that a hand gave it stay until then, and an autoscaler says for itself how many there are.
        """
        owner = self._owner(service)
        each = self._find(owner, digest)
        if each is None or each is self._intent(owner) or self._scaler(owner) is not None:
            return []
        asked, replicas, desired = _asked(each), owner.spec.replicas, _desired(each)
        if asked == replicas:
            return []
        wanted = replicas if asked is not None and asked > replicas else max(desired, replicas)
        await self._write(owner, each, wanted, asked=replicas)
        return [f"{each['metadata']['name']} has {wanted} pods now instead of {desired}"] if wanted < desired else []

    async def hold(self, service: str, digest: str, floor: int) -> None:
        """Keep the version's own scaler like the one in Git, and at ``floor`` pods at least, or at as many as the
        calendar asks for now; without one, nothing."""
        owner = self._owner(service)
        scaler = self._scaler(owner)
        if scaler is None or digest == intent_digest(owner.namespace, owner.spec.deployment):
            return
        wanted = version_scaler(owner, digest, scaler, max(floor, warm_pods(scaler, self._cluster.clock.now())))
        known = self._cluster.get(HPAS, owner.namespace, wanted["metadata"]["name"])
        if known is None or any(known["spec"].get(key) != value for key, value in wanted["spec"].items()):
            await self._cluster.apply(wanted)

    async def tidy(self, service: str, keep: frozenset[str]) -> list[str]:
        """Scale down what has drained and delete what is beyond the history limit; tells what was done.

        Args:
            service: the service.
            keep: digests that serve or are under release: never touched.
        """
        owner = self._owner(service)
        now, done = self._cluster.clock.now(), []
        versions = [each for each in self._deployments(owner) if _digest(each) not in keep]
        intent = self._intent(owner)
        is_kept = intent_digest(owner.namespace, owner.spec.deployment) in keep
        for each in [*versions, *([] if intent is None or is_kept else [intent])]:
            due = _retire_at(each)
            if due is not None and due <= now and _desired(each):
                await self._write(owner, each, 0, None if each is intent else due)
                own = self._cluster.get(HPAS, owner.namespace, each["metadata"]["name"])
                if own is not None and COPY_OF in (own["metadata"].get("annotations") or {}):
                    await self._cluster.delete(HPAS, own)
                done.append(f"{each['metadata']['name']} has drained and is scaled to zero")
        ended = sorted((each for each in versions if _is_retired(each) and not _desired(each)), key=_age)
        for each in ended[: max(0, len(ended) - owner.spec.history_limit)]:
            await self._cluster.delete(DEPLOYMENTS, each)
            done.append(f"{each['metadata']['name']} is deleted: {owner.spec.history_limit} old versions are kept")
        await self._sweep(owner, keep)
        return done

    async def _sweep(self, owner: Owner, keep: frozenset[str]) -> None:
        """Delete what belongs to versions that are gone."""
        standing = {short(digest) for digest in keep} | {short(_digest(each)) for each in self._deployments(owner)}
        kinds = (SERVICES, CONFIG_MAPS, HPAS, BACKEND_TLS_POLICIES, DESTINATION_RULES)
        for kind in filter(self._cluster.has, kinds):
            for each in self._cluster.find(kind, owner.namespace, {POLICY_LABEL: owner.name}):
                if each["metadata"]["labels"].get(VERSION_LABEL, "") not in {"", *standing}:
                    await self._cluster.delete(kind, each)

    # --- reading ------------------------------------------------------------------------------------------------------

    def _owner(self, service: str) -> Owner:
        return self._cluster.owner(service)

    def _intent(self, owner: Owner) -> JsonObject | None:
        return self._cluster.get(DEPLOYMENTS, owner.namespace, owner.spec.deployment)

    def _scaler(self, owner: Owner) -> JsonObject | None:
        """The HorizontalPodAutoscaler in Git that scales the intent."""
        found = self._cluster.find(HPAS, owner.namespace, {SCALES: owner.spec.deployment})
        return found[0] if found else None

    def _deployments(self, owner: Owner) -> list[JsonObject]:
        found = self._cluster.find(DEPLOYMENTS, owner.namespace, {POLICY_LABEL: owner.name})
        return [each for each in found if DIGEST in (each["metadata"].get("annotations") or {})]

    def _find(self, owner: Owner, digest: str) -> JsonObject | None:
        """The Deployment behind a digest: a version's, or the intent itself."""
        if digest == intent_digest(owner.namespace, owner.spec.deployment):
            return self._intent(owner)
        return self._cluster.get(DEPLOYMENTS, owner.namespace, object_name(owner.name, digest))

    def _wanted(self, owner: Owner, intent: JsonObject) -> str:
        """An existing version whose Deployment says the same, or a new digest.

        The API server fills in defaults, and a newer one fills in more of them. Comparing with what a version already
        looks like, in the eyes of the same server, keeps an upgrade of the cluster from looking like a release.
        """
        template = intent["spec"]["template"]
        config = self._config(owner, template)
        for each in self._deployments(owner):
            digest = _digest(each)
            is_same = version_template(owner.name, digest, template) == _template(each)
            if is_same and self._is_frozen(owner, digest, config_map_names(template), config):
                return digest
        return version_digest(_template(intent), config)

    def _config(self, owner: Owner, template: JsonObject) -> dict[str, JsonObject]:
        found = {}
        needed = config_map_names(template, needed=True)
        for name in sorted(config_map_names(template)):
            config_map = self._cluster.get(CONFIG_MAPS, owner.namespace, name)
            if config_map is None and name not in needed:
                continue
            if config_map is None:
                raise Unreachable(
                    f"ConfigMap {owner.namespace}/{name} does not exist, and {owner.spec.deployment} needs it",
                    hint="commit it, or take it out of the template",
                )
            found[name] = content_of(config_map)
        return found

    def _is_frozen(self, owner: Owner, digest: str, names: set[str], config: Mapping[str, JsonObject]) -> bool:
        """Whether the version holds exactly this configuration; what is optional may be missing in both."""
        copies = {name: self._cluster.get(CONFIG_MAPS, owner.namespace, object_name(name, digest)) for name in names}
        return all((None if copy is None else content_of(copy)) == config.get(name) for name, copy in copies.items())

    def _seen(self, owner: Owner, deployment: JsonObject) -> VersionPods:
        digest = _digest(deployment)
        pods = self._cluster.find(PODS, owner.namespace, labels(owner.name, digest))
        desired = 0 if _is_retired(deployment) else _desired(deployment)
        return VersionPods(owner.service, digest, desired, _pods(owner, pods, deployment))

    def _intent_pods(self, owner: Owner, intent: JsonObject) -> list[JsonObject]:
        selector = intent["spec"]["selector"]
        pods = self._cluster.find(PODS, owner.namespace, selector.get("matchLabels"))
        return [pod for pod in pods if VERSION_LABEL not in labels_of(pod) and matches(selector, dict(labels_of(pod)))]

    # --- writing ------------------------------------------------------------------------------------------------------

    async def _make(self, owner: Owner, digest: str, replicas: int) -> None:
        intent = self._intent(owner)
        known = [_digest(each) for each in self._deployments(owner)]
        if intent is None or self._wanted(owner, intent) != digest:
            raise UnknownName(f"version of {owner.service}, and Git holds another template now;", digest, known)
        for config_map in frozen_config_maps(owner, digest, self._config(owner, intent["spec"]["template"])):
            await self._cluster.apply(config_map)
        await self._cluster.apply(version_service(owner, digest))
        await self._cluster.apply(version_deployment(owner, digest, intent, replicas))

    async def _write(
        self,
        owner: Owner,
        deployment: JsonObject,
        replicas: int,
        retire_at: float | None = None,
        *,
        asked: int | None = None,
    ) -> None:
        """Set replicas, and when to retire. Of a version all is ours and is written again; of the intent only this.

        ``asked``: how many the policy asks for, where the version follows it; None: as is noted already.
        """
        stored = deployment["metadata"]
        annotations = {} if retire_at is None else {RETIRE_AT: f"{retire_at:.0f}"}
        metadata: JsonObject = {"name": stored["name"], "namespace": stored["namespace"]}
        spec: JsonObject = {"replicas": replicas}
        if stored["name"] != owner.spec.deployment:
            noted = _asked(deployment) if asked is None else asked
            annotations |= {DIGEST: _digest(deployment), **({} if noted is None else {ASKED: str(noted)})}
            metadata |= {"labels": stored["labels"], "ownerReferences": stored["ownerReferences"]}
            spec = {**deployment["spec"], "replicas": replicas}
        kind = {"apiVersion": DEPLOYMENTS.api_version, "kind": DEPLOYMENTS.kind}
        await self._cluster.apply({**kind, "metadata": {**metadata, "annotations": annotations}, "spec": spec})


def _digest(deployment: JsonObject) -> str:
    return str(deployment["metadata"]["annotations"][DIGEST])


def _label(deployment: JsonObject) -> str:
    """What people call the version: the tag or digest of its first image."""
    image = str(deployment["spec"]["template"]["spec"]["containers"][0].get("image", ""))
    name = image.rpartition("/")[2]
    return name.partition("@sha256:")[0][:63] or "unnamed"


def _template(deployment: JsonObject) -> JsonObject:
    template = dict(deployment["spec"]["template"])
    metadata = dict(template.get("metadata") or {})
    metadata.pop("creationTimestamp", None)
    return {**template, "metadata": metadata}


def _desired(deployment: JsonObject) -> int:
    return int(deployment["spec"].get("replicas", 1))


def _retire_at(deployment: JsonObject) -> float | None:
    try:
        return float((deployment["metadata"].get("annotations") or {})[RETIRE_AT])
    except (KeyError, ValueError):
        return None


def _asked(deployment: JsonObject) -> int | None:
    text = str((deployment["metadata"].get("annotations") or {}).get(ASKED, ""))
    return int(text) if text.isdecimal() else None


def _is_retired(deployment: JsonObject) -> bool:
    return _retire_at(deployment) is not None


def _age(deployment: JsonObject) -> float:
    return _retire_at(deployment) or 0.0


def _pods(owner: Owner, pods: Sequence[JsonObject], deployment: JsonObject) -> tuple[Pod, ...]:
    """All pods; when none can be made, one that says why."""
    found = tuple(_pod(pod, owner.spec.service.target_port) for pod in pods)
    conditions = (deployment.get("status") or {}).get("conditions") or ()
    failures = [each for each in conditions if each["type"] == "ReplicaFailure" and each["status"] == "True"]
    if failures and len(found) < _desired(deployment):
        reason = f"cannot be made: {failures[0].get('message', failures[0].get('reason', 'no reason given'))}"
        found += (Pod(deployment["metadata"]["name"], None, ready=False, restarts=0, reason=reason[:300]),)
    return found


def _pod(pod: JsonObject, port: int) -> Pod:
    status = pod.get("status") or {}
    containers = [*(status.get("initContainerStatuses") or ()), *(status.get("containerStatuses") or ())]
    conditions = {each["type"]: each for each in status.get("conditions") or ()}
    is_ending = "deletionTimestamp" in pod["metadata"]
    ready = not is_ending and conditions.get("Ready", {}).get("status") == "True"
    address = status.get("podIP")
    return Pod(
        name=pod["metadata"]["name"],
        endpoint=Endpoint(host=address, port=port) if address else None,
        ready=ready,
        restarts=sum(int(each.get("restartCount", 0)) for each in containers),
        reason="" if ready else "ending" if is_ending else _why(status, containers, conditions),
    )


def _why(status: JsonObject, containers: Sequence[JsonObject], conditions: Mapping[str, JsonObject]) -> str:
    """Why a pod is not ready, in Kubernetes' words."""
    for each in containers:
        state = each.get("state") or {}
        if waiting := state.get("waiting"):
            return f"{waiting.get('reason', 'waiting')}: {waiting.get('message', '')}".rstrip(": ")[:300]
        if ended := state.get("terminated"):
            return f"{ended.get('reason', 'ended')}, exit code {ended.get('exitCode')}"
    scheduled = conditions.get("PodScheduled", {})
    if scheduled.get("status") == "False":
        return f"{scheduled.get('reason', 'not scheduled')}: {scheduled.get('message', '')}"[:300]
    return str(conditions.get("Ready", {}).get("message") or status.get("phase") or "not ready")[:300]
