"""Whether enough pods are left when some go: budgets for disruption, replicas, spreading, order of eviction (S4, S13,
S15.3).
"""

from __future__ import annotations

from collections.abc import Iterator

from croupier.core.policy.facts import keeps_room
from croupier.core.policy.objects import SEVERAL, Object, Pod, at, items, listed, mapping, text
from croupier.core.policy.quantities import of_total, whole
from croupier.core.policy.rule import Found, Hit, Level, bundle_rule, object_rule, pod_rule
from croupier.core.policy.selectors import matches
from croupier.core.policy.world import BOUNDS, SCALERS, World, maximum, minimum

ROLLING = ("Deployment", "DeploymentConfig")
SYSTEM_CLASSES = ("system-cluster-critical", "system-node-critical")
DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: bets, namespace: casino}
spec:
  replicas: 3
  selector: {matchLabels: {app: bets}}
  template:
    metadata: {labels: {app: bets}}
    spec: {containers: [{name: app, image: registry.example/bets}]}
"""
BUDGET = """
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: bets, namespace: casino}
spec:
  selector: {matchLabels: {app: bets}}
"""
SCALER = """
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: bets, namespace: casino}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: bets}
"""


@bundle_rule(
    "pdb", "Every set of pods has a PodDisruptionBudget", level=Level.WARNING, source="S6.6, S15.3",
    why="Draining a node ends as many pods of a service as happen to run there, all at once.",
    fix="Add a PodDisruptionBudget that selects the pods, with maxUnavailable: 1.",
    bad=DEPLOYMENT, good=DEPLOYMENT + BUDGET + "  maxUnavailable: 1\n",
)  # fmt: skip
def pdb(world: World) -> Iterator[Found]:
    guarded = {
        pod.owner.index
        for budget in world.of("PodDisruptionBudget")
        for pod in world.selected(budget.namespace, mapping(budget.spec.get("selector")))
    }
    for each in world.controllers:
        is_alone = whole(each.spec.get("replicas")) in (0, 1) and not world.scalers_of(each)
        if each.index not in guarded and not is_alone and not any(map(keeps_room, each.pods)):
            yield Found(each, ("spec",), "no PodDisruptionBudget selects its pods")


@object_rule(
    "pdb-max-unavailable", "No PodDisruptionBudget forbids every disruption", level=Level.ERROR, source="S4.2, S15.3",
    why="With maxUnavailable 0 no node can be drained, and upgrades of the cluster stop.",
    fix="Allow one pod at least.", kinds=("PodDisruptionBudget",),
    bad=BUDGET + "  maxUnavailable: 0\n", good=BUDGET + "  maxUnavailable: 1\n",
)  # fmt: skip
def pdb_max_unavailable(each: Object) -> Iterator[Hit]:
    if each.spec.get("maxUnavailable") in (0, "0", "0%") and each.spec.get("maxUnavailable") is not False:
        yield Hit(("spec", "maxUnavailable"), "no pod may ever be evicted")


@bundle_rule(
    "pdb-min-available", "A PodDisruptionBudget leaves a pod that may go", level=Level.ERROR, source="S4.2, S15.3",
    why="With as many pods required as there are, no node can be drained, and upgrades of the cluster stop.",
    fix="Require fewer pods than there are at least, or set maxUnavailable: 1.",
    bad=DEPLOYMENT + BUDGET + "  minAvailable: 3\n", good=DEPLOYMENT + BUDGET + "  minAvailable: 2\n",
)  # fmt: skip
def pdb_min_available(world: World) -> Iterator[Found]:
    for budget in world.of("PodDisruptionBudget"):
        wanted = budget.spec.get("minAvailable")
        if wanted == "100%":
            yield Found(budget, ("spec", "minAvailable"), "no pod may ever be evicted")
            continue
        if wanted is None:
            continue
        for pod in world.selected(budget.namespace, budget.spec.get("selector")):
            if pod.owner.kind not in SEVERAL:
                continue
            there = world.replicas(pod.owner)
            least = of_total(wanted, there, up=True)
            if least is not None and there and least >= there:
                said = f"{least} of the {there} pods that {pod.owner.manifest.name} keeps at least must be there"
                yield Found(budget, ("spec", "minAvailable"), said)


@bundle_rule(
    "pdb-above-hpa", "A PodDisruptionBudget asks for no more than an autoscaler keeps", level=Level.ERROR,
    source="S4.2, S6.1, S15.3",
    why="At night, when few pods are left, no node can be drained.",
    fix="Lower minAvailable, raise minReplicas, or set maxUnavailable: 1.",
    bad=DEPLOYMENT + BUDGET + "  minAvailable: 5\n---" + SCALER + "  minReplicas: 3\n",
    good=DEPLOYMENT + BUDGET + "  minAvailable: 2\n---" + SCALER + "  minReplicas: 3\n",
)  # fmt: skip
def pdb_above_hpa(world: World) -> Iterator[Found]:
    for budget in world.of("PodDisruptionBudget"):
        for pod in world.selected(budget.namespace, budget.spec.get("selector")):
            for scaler in world.scalers_of(pod.owner):
                if whole(at(scaler.spec, *BOUNDS[scaler.kind].least)) is None:
                    continue
                least = of_total(budget.spec.get("minAvailable"), minimum(scaler), up=True)
                if least is not None and least > minimum(scaler):
                    said = f"{least} pods must be there, {scaler.manifest.name} keeps {minimum(scaler)} at least"
                    yield Found(budget, ("spec", "minAvailable"), said)


@object_rule(
    "pdb-unhealthy", "Pods that do not serve may be evicted", level=Level.NOTE, source="S15.3",
    why="A pod that never becomes ready would block the draining of its node for ever.",
    fix="Set unhealthyPodEvictionPolicy: AlwaysAllow.", usual=False, kinds=("PodDisruptionBudget",),
    bad=BUDGET + "  maxUnavailable: 1\n",
    good=BUDGET + "  maxUnavailable: 1\n  unhealthyPodEvictionPolicy: AlwaysAllow\n",
)  # fmt: skip
def pdb_unhealthy(each: Object) -> Iterator[Hit]:
    if not each.spec.get("unhealthyPodEvictionPolicy"):
        yield Hit(("spec",), "unhealthyPodEvictionPolicy is not set")


@pod_rule(
    "priority-class", "Every pod has a PriorityClass", level=Level.WARNING, source="S13.2, S15.3",
    why="When nodes are short, payments are evicted as readily as a report.",
    fix="Set priorityClassName to the class of the service's tier.",
    bad="containers: [{name: app, image: registry.example/bets}]", good="priorityClassName: money",
)  # fmt: skip
def priority_class(pod: Pod) -> Iterator[Hit]:
    name, allowed = pod.spec.get("priorityClassName"), pod.owner.settings.priority_classes
    if not name:
        if not allowed:
            yield Hit((*pod.path, "priorityClassName"), "the pod has no PriorityClass")
    elif allowed and name not in allowed:
        yield Hit((*pod.path, "priorityClassName"), f"PriorityClass {name} is none of {', '.join(allowed)}")


@pod_rule(
    "system-priority", "No service claims the priority of the cluster's own parts", level=Level.WARNING, source="S13.2",
    why="With it a service evicts the DNS and the network of its node.",
    fix="Use a PriorityClass of your own.",
    bad="priorityClassName: system-node-critical", good="priorityClassName: money",
)  # fmt: skip
def system_priority(pod: Pod) -> Iterator[Hit]:
    name = pod.spec.get("priorityClassName")
    if name in SYSTEM_CLASSES and pod.owner.namespace != "kube-system":
        yield Hit((*pod.path, "priorityClassName"), f"the pod claims {name}")


@object_rule(
    "rolling-update", "Deployments change over without a gap", level=Level.ERROR, source="S4.1, S4.2",
    why="Recreate ends all old pods before the first new one has started.",
    fix="Set strategy.type: RollingUpdate.", kinds=ROLLING,
    bad=DEPLOYMENT + "  strategy: {type: Recreate}\n", good=DEPLOYMENT + "  strategy: {type: RollingUpdate}\n",
)  # fmt: skip
def rolling_update(each: Object) -> Iterator[Hit]:
    kind = at(each.spec, "strategy", "type")
    if kind not in (None, "RollingUpdate", "Rolling") and whole(each.spec.get("replicas")) != 0:
        yield Hit(("spec", "strategy", "type"), f"pods are changed by {kind}")


@bundle_rule(
    "one-replica", "No service rests on one pod", level=Level.WARNING, source="S4.1",
    why="Each update, eviction or crash of the one pod is an outage.",
    fix="Run two at least.",
    bad=DEPLOYMENT.replace("replicas: 3", "replicas: 1"), good=DEPLOYMENT,
)  # fmt: skip
def one_replica(world: World) -> Iterator[Found]:
    for each in world.controllers:
        if all(map(keeps_room, each.pods)):
            continue
        if world.replicas(each) == 1 and whole(each.spec.get("replicas")) != 0:
            yield Found(each, ("spec", "replicas"), "one pod is all there is")


@object_rule(
    "three-replicas", "Deployments run three pods", level=Level.NOTE, source="S4.1",
    why="With two, losing one is losing half.", fix="Run three at least.", kinds=tuple(sorted(SEVERAL)), usual=False,
    bad=DEPLOYMENT.replace("replicas: 3", "replicas: 2"), good=DEPLOYMENT,
)  # fmt: skip
def three_replicas(each: Object) -> Iterator[Hit]:
    replicas = whole(each.spec.get("replicas", 1))
    if each.kind in ("Deployment", "DeploymentConfig") and replicas is not None and replicas < 3:
        yield Hit(("spec", "replicas"), f"{replicas} pods")


@object_rule(
    "hpa-range", "An autoscaler has room to move", level=Level.WARNING, source="S6.1",
    why="With equal bounds it scales nothing; with a least number of one, each night ends in one pod.",
    fix="Set minReplicas to two at least and maxReplicas above it.", kinds=SCALERS,
    bad=SCALER + "  minReplicas: 3\n  maxReplicas: 3\n", good=SCALER + "  minReplicas: 3\n  maxReplicas: 30\n",
)  # fmt: skip
def hpa_range(each: Object) -> Iterator[Hit]:
    most = BOUNDS[each.kind].most
    if at(each.spec, *most) is not None and maximum(each) <= minimum(each):
        yield Hit(("spec", *most), f"between {minimum(each)} and {maximum(each)} there is nothing to choose")


@object_rule(
    "hpa-least", "An autoscaler keeps two pods at least", level=Level.WARNING, source="S6.1",
    why="At night one pod is left, and each eviction is an outage.",
    fix="Set minReplicas: 2 or more.", kinds=("HorizontalPodAutoscaler",),
    bad=SCALER + "  maxReplicas: 30\n", good=SCALER + "  minReplicas: 2\n  maxReplicas: 30\n",
)  # fmt: skip
def hpa_least(each: Object) -> Iterator[Hit]:
    if minimum(each) < 2:
        yield Hit(("spec", "minReplicas"), f"{minimum(each)} pod is enough for it")


@object_rule(
    "hpa-least-three", "An autoscaler keeps three pods at least", level=Level.NOTE, source="S6.1",
    why="With two, losing one is losing half.", fix="Set minReplicas: 3 or more.", kinds=("HorizontalPodAutoscaler",),
    usual=False, bad=SCALER + "  minReplicas: 2\n", good=SCALER + "  minReplicas: 3\n",
)  # fmt: skip
def hpa_least_three(each: Object) -> Iterator[Hit]:
    if minimum(each) < 3:
        yield Hit(("spec", "minReplicas"), f"{minimum(each)} pods are enough for it")


@bundle_rule(
    "hpa-replicas", "What is scaled has no fixed number of pods", level=Level.WARNING, source="S5.1, S6.1",
    why="Each sync from Git sets the number back, in the middle of the match.",
    fix="Remove spec.replicas from what an HPA, ScaledObject or HTTPScaledObject scales.",
    bad=DEPLOYMENT + "---" + SCALER + "  minReplicas: 3\n",
    good=DEPLOYMENT.replace("  replicas: 3\n", "") + "---" + SCALER + "  minReplicas: 3\n",
)  # fmt: skip
def hpa_replicas(world: World) -> Iterator[Found]:
    for each in world.controllers:
        if world.scalers_of(each) and whole(each.spec.get("replicas")) not in (None, 0):
            yield Found(
                each, ("spec", "replicas"), f"{world.scalers_of(each)[0].manifest.name} decides the number of pods"
            )


def _keeps_apart(pod: Pod) -> bool:
    """Whether an anti-affinity of the pod is about its own kind."""
    affinity = mapping(at(pod.spec, "affinity", "podAntiAffinity"))
    terms = [mapping(each) for each in listed(affinity.get("requiredDuringSchedulingIgnoredDuringExecution"))]
    for each in listed(affinity.get("preferredDuringSchedulingIgnoredDuringExecution")):
        terms.append(mapping(mapping(each).get("podAffinityTerm")))
    return any(
        matches(each.get("labelSelector"), pod.labels)
        and each.get("topologyKey")
        and (not each.get("namespaces") or pod.owner.namespace in listed(each.get("namespaces")))
        for each in terms
    )


@bundle_rule(
    "spread", "Pods of a service are spread over nodes", level=Level.WARNING, source="S4.1",
    why="The scheduler may put all of them on one node, which then fails.",
    fix="Add topologySpreadConstraints over kubernetes.io/hostname and the zone.",
    bad=DEPLOYMENT,
    good=DEPLOYMENT.replace("spec: {containers", "spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: "
    "kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway, labelSelector: {}}], containers"),
)  # fmt: skip
def spread(world: World) -> Iterator[Found]:
    for each in world.controllers:
        pod = each.pods[0]
        if world.replicas(each) > 1 and not listed(pod.spec.get("topologySpreadConstraints")) and not _keeps_apart(pod):
            yield Found(each, pod.path, "its pods may all run on one node")


@object_rule(
    "anti-affinity", "Pods of a service keep apart from each other", level=Level.NOTE, source="S4.1",
    why="Without a rule of its own, all pods of a service may land on one node.",
    fix="Add a podAntiAffinity over kubernetes.io/hostname.", kinds=tuple(sorted(SEVERAL)), usual=False,
    bad=DEPLOYMENT,
    good=DEPLOYMENT.replace("spec: {containers", "spec: {affinity: {podAntiAffinity: {requiredDuringSchedulingIgnored"
    "DuringExecution: [{topologyKey: kubernetes.io/hostname, labelSelector: {}}]}}, containers"),
)  # fmt: skip
def anti_affinity(each: Object) -> Iterator[Hit]:
    for pod in each.pods:
        replicas = whole(each.spec.get("replicas", 1))
        if replicas is not None and replicas > 1 and not _keeps_apart(pod):
            yield Hit((*pod.path, "affinity"), "its pods may run on one node")


@object_rule(
    "topology-spread", "Pods of a service are spread by constraints", level=Level.NOTE, source="S4.1",
    why="Constraints spread evenly; an anti-affinity only forbids.", kinds=tuple(sorted(SEVERAL)),
    fix="Add topologySpreadConstraints.", usual=False, bad=DEPLOYMENT,
    good=DEPLOYMENT.replace("spec: {containers", "spec: {topologySpreadConstraints: [{maxSkew: 1, topologyKey: "
    "kubernetes.io/hostname, whenUnsatisfiable: ScheduleAnyway}], containers"),
)  # fmt: skip
def topology_spread(each: Object) -> Iterator[Hit]:
    for pod in each.pods:
        if not listed(pod.spec.get("topologySpreadConstraints")):
            yield Hit((*pod.path, "topologySpreadConstraints"), "no constraint spreads its pods")


@pod_rule(
    "node-affinity", "Pods say which nodes they are for", level=Level.NOTE, source="S2.3",
    why="Node pools are apart only for pods that ask for theirs.",
    fix="Add a nodeAffinity for the pool.", usual=False,
    bad="containers: [{name: app, image: registry.example/bets}]",
    good="affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: []}}}",
)  # fmt: skip
def node_affinity(pod: Pod) -> Iterator[Hit]:
    if not at(pod.spec, "affinity", "nodeAffinity"):
        yield Hit((*pod.path, "affinity"), "no node affinity")


@object_rule(
    "job-ttl", "Ended Jobs are cleared away", level=Level.NOTE, source="S13.4",
    why="Each ended Job and its pods stay in the cluster's store for ever.",
    fix="Set ttlSecondsAfterFinished on Jobs; a CronJob keeps its last ones by its history limits.",
    kinds=("Job", "CronJob"),
    bad="{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {template: {spec: {restartPolicy: Never}}}}",
    good="{apiVersion: batch/v1, kind: Job, metadata: {name: a}, spec: {ttlSecondsAfterFinished: 60}}",
)  # fmt: skip
def job_ttl(each: Object) -> Iterator[Hit]:
    inner = ("spec",) if each.kind == "Job" else ("spec", "jobTemplate", "spec")
    set_ = at(each.value, *inner, "ttlSecondsAfterFinished") is not None
    is_of_cron = any(owner.get("kind") == "CronJob" for _, owner in items(each.metadata.get("ownerReferences")))
    if each.kind == "Job" and not set_ and not is_of_cron:
        yield Hit(inner, "ttlSecondsAfterFinished is not set")
    if each.kind == "CronJob" and set_:
        yield Hit((*inner, "ttlSecondsAfterFinished"), "takes ended Jobs away from the history limits of the CronJob")


@object_rule(
    "cron-deadline", "A CronJob that was missed is not made up for without end", level=Level.NOTE, source="S13.2",
    why="After an outage of a hundred runs the controller starts it never again, or too late.",
    fix="Set startingDeadlineSeconds.", kinds=("CronJob",),
    bad="{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {schedule: '0 * * * *'}}",
    good="{apiVersion: batch/v1, kind: CronJob, metadata: {name: a}, spec: {startingDeadlineSeconds: 600}}",
)  # fmt: skip
def cron_deadline(each: Object) -> Iterator[Hit]:
    if each.spec.get("startingDeadlineSeconds") is None:
        yield Hit(("spec",), "startingDeadlineSeconds is not set")


@pod_rule(
    "restart-policy", "Pods of a controller say when they are restarted", level=Level.NOTE, source="S15.3",
    why="What is written is reviewed; a default is remembered or not.",
    fix="Set restartPolicy.", usual=False,
    bad="containers: [{name: app, image: registry.example/bets}]", good="restartPolicy: Always",
)  # fmt: skip
def restart_policy(pod: Pod) -> Iterator[Hit]:
    if pod.spec.get("restartPolicy") not in ("Always", "OnFailure"):
        yield Hit((*pod.path, "restartPolicy"), "restartPolicy is neither Always nor OnFailure")


@bundle_rule(
    "headless", "A StatefulSet has its headless Service", level=Level.ERROR, source="S7.1",
    why="Without it its pods have no names of their own, and members of a cluster do not find each other.",
    fix="Add a Service of that name with clusterIP: None that selects the pods.",
    bad="""
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {name: db, namespace: casino}
        spec: {serviceName: db, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db}]}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: db, namespace: casino}
        spec: {selector: {app: db}}
        """,
    good="""
        apiVersion: apps/v1
        kind: StatefulSet
        metadata: {name: db, namespace: casino}
        spec: {serviceName: db, template: {metadata: {labels: {app: db}}, spec: {containers: [{name: db}]}}}
        ---
        apiVersion: v1
        kind: Service
        metadata: {name: db, namespace: casino}
        spec: {clusterIP: None, selector: {app: db}}
        """,
)  # fmt: skip
def headless(world: World) -> Iterator[Found]:
    for each in world.of("StatefulSet"):
        name = text(each.spec.get("serviceName"))
        service = world.named("Service", each.namespace, name)
        if service is not None and service.spec.get("clusterIP") != "None":
            yield Found(each, ("spec", "serviceName"), f"Service {name} is not headless")
        elif service is None and name and world.has(("Service",)):
            yield Found(each, ("spec", "serviceName"), f"there is no Service {name}")


@object_rule(
    "storage-class", "Every claim names its StorageClass", level=Level.WARNING, source="S2.6, S7.7",
    why="The default class differs between clusters; a database may land on slow or unreplicated disks.",
    fix="Set storageClassName.", kinds=("PersistentVolumeClaim", "StatefulSet"),
    bad="{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, spec: {accessModes: [ReadWriteOnce]}}",
    good="{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: a}, spec: {storageClassName: fast}}",
)  # fmt: skip
def storage_class(each: Object) -> Iterator[Hit]:
    claims = [((), each.value)] if each.kind == "PersistentVolumeClaim" else [
        (("spec", "volumeClaimTemplates", index), claim)
        for index, claim in items(each.spec.get("volumeClaimTemplates"))
    ]  # fmt: skip
    for path, claim in claims:
        if not at(claim, "spec", "storageClassName"):
            yield Hit((*path, "spec"), "storageClassName is not set")


RULES = (
    pdb, pdb_max_unavailable, pdb_min_available, pdb_above_hpa, pdb_unhealthy, priority_class, system_priority,
    rolling_update,
    one_replica, three_replicas, hpa_range, hpa_least, hpa_least_three, hpa_replicas, spread,
    anti_affinity, topology_spread, node_affinity, job_ttl, cron_deadline, restart_policy, headless, storage_class,
)  # fmt: skip
