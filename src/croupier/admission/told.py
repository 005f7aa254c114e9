"""What the server says of itself: JSON lines, and counters in Prometheus text form.

Lines name objects, people and rules, never a value of an object: what was brought may hold a secret.
"""

from __future__ import annotations

import json
import logging
from datetime import UTC, datetime

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_EDGES = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0)


class JsonLines(logging.Formatter):
    """One JSON object a line: time, level, event, and what ``extra={"told": {…}}`` holds."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line: dict[str, object] = {"time": at, "level": record.levelname.lower(), "event": record.getMessage()}
        line.update(getattr(record, "told", {}))
        if record.exc_info and record.exc_info[1] is not None:
            # The text of an exception may quote what was brought; where it happened never does.
            error, trace = record.exc_info[1], record.exc_info[2]
            while trace is not None and trace.tb_next is not None:
                trace = trace.tb_next
            line["error"] = type(error).__name__
            if trace is not None:
                line["where"] = f"{trace.tb_frame.f_code.co_name}:{trace.tb_lineno}"
        return json.dumps(line, ensure_ascii=True)


class Metrics:
    """All counters, in a registry of their own. Labels have few values, whatever is brought."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.reviews = Counter(
            "croupier_admission_reviews", "Reviews answered.", ("endpoint", "outcome"), registry=self.registry
        )
        self.findings = Counter(
            "croupier_admission_findings", "Rules that refused, or would.", ("rule",), registry=self.registry
        )
        self.unfit = Counter(
            "croupier_admission_unfit_bodies", "Bodies refused unread or unjudged.", ("reason",), registry=self.registry
        )
        self.seconds = Histogram(
            "croupier_admission_review_seconds", "From the body to the answer.", ("endpoint",), buckets=_EDGES,
            registry=self.registry,
        )  # fmt: skip
        self.reloads = Counter(
            "croupier_admission_certificate_reloads", "Looks at a changed certificate.", ("result",),
            registry=self.registry,
        )  # fmt: skip
        self.not_after = Gauge(
            "croupier_admission_certificate_not_after_seconds", "When the certificate ends.", registry=self.registry
        )
        self.image_verdicts = Gauge(
            "croupier_admission_image_verdicts_held", "Verdicts on images in memory.", registry=self.registry
        )
        self.image_hits = Counter(
            "croupier_admission_image_lookups", "Verdicts on images, by whether they were held.", ("held",),
            registry=self.registry,
        )  # fmt: skip
