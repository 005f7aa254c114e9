"""What Percona's operator runs of a MySQL, and the labels by which each part is known."""

from __future__ import annotations

from croupier.model.objects import JsonObject

INSTANCE, COMPONENT = "app.kubernetes.io/instance", "app.kubernetes.io/component"
NODES, PROXIES, COLLECTOR = "pxc", "haproxy", "pitr"
"""Parts as the operator calls them: nodes, HAProxy before them, and what brings the binary log away."""
EXPORTER, COLLECTOR_PORT = "mysql-exporter", "metrics"
"""Names of ports by which pods say what they count."""
EXPORTER_PORT, PROXY_METRICS, COLLECTOR_METRICS = 9104, 8404, 8080


def labels_of(name: str, part: str) -> dict[str, str]:
    """Of the pods of a part of what is called ``name``."""
    return {INSTANCE: name, COMPONENT: part}


def backup_jobs(name: str) -> JsonObject:
    """Selects pods that take a whole copy of it."""
    return {"matchLabels": {"percona.com/backup-type": "xtrabackup", "percona.com/cluster": name}}


def restores(name: str) -> JsonObject:
    """Selects pods that bring it back, when a person asks for that."""
    return {
        "matchLabels": {INSTANCE: name},
        "matchExpressions": [{"key": "percona.com/restore-job-name", "operator": "Exists"}],
    }
