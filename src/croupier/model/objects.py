"""Objects of a cluster as they are. Apart from the models, so that what only looks at objects starts without them."""

from __future__ import annotations

from typing import Any

JsonObject = dict[str, Any]
"""An object of a cluster, or a part of one. What Kubernetes validates is not modelled a second time."""

REPLICAS = 2
"""Pods of a version where neither a scaler nor its ReleasePolicy says how many."""
