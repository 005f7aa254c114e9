"""Volumes for claims: a default storage class and a fixed number of folders of the node, each used once in its life."""

from __future__ import annotations

from typing import Any

from tools.kube_stand import api
from tools.kube_stand.places import NODE, NODE_DATA

COUNT = 20
_CLASS = "standard"
_FOLDER = "volumes"


def provide() -> None:
    """Make the class and the volumes. A claim is bound when its first pod is scheduled."""
    for number in range(COUNT):
        (NODE_DATA / "lib" / _FOLDER / str(number)).mkdir(parents=True)
    api.apply(_storage_class(), *map(_volume, range(COUNT)))


def _storage_class() -> dict[str, Any]:
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": _CLASS, "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "kubernetes.io/no-provisioner",
        "volumeBindingMode": "WaitForFirstConsumer",
    }


def _volume(number: int) -> dict[str, Any]:
    here = {"key": "kubernetes.io/hostname", "operator": "In", "values": [NODE]}
    spec = {
        "capacity": {"storage": "10Gi"},
        "accessModes": ["ReadWriteOnce"],
        "storageClassName": _CLASS,
        "local": {"path": f"/var/lib/{_FOLDER}/{number}"},
        "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [here]}]}},
    }
    return {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": f"volume-{number}"}, "spec": spec}
