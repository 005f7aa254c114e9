"""JSON lines on standard output, one an event, each with the trace id of the request at hand."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping

from croupier_kit import arm

_FIELDS = "fields"


class JsonLines(logging.Formatter):
    """``{"t", "level", "logger", "message", "pod", "trace_id", "arm", "player", …fields, "error"}``; "" is left out."""

    def __init__(self, pod: str) -> None:
        super().__init__()
        self._pod = pod

    def format(self, record: logging.LogRecord) -> str:
        origin = arm.current()
        line: dict[str, object] = {
            "t": round(record.created, 3),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pod": self._pod,
            "trace_id": origin.trace_id,
            "arm": origin.arm,
            "player": origin.player,
        }
        line |= getattr(record, _FIELDS, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps({key: value for key, value in line.items() if value != ""}, default=str)


def configure(pod: str, level: int = logging.INFO) -> None:
    """Send all logging of this process to standard output as JSON lines."""
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(JsonLines(pod))
    logging.basicConfig(level=level, handlers=[handler], force=True)


def fields(**values: object) -> Mapping[str, Mapping[str, object]]:
    """``log.info("credited", extra=fields(intent=id))``. Never pass secrets."""
    return {_FIELDS: values}
