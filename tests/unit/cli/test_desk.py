"""``croupier desk``: what its log looks like."""

from __future__ import annotations

import logging

from croupier.cli.desk import _one_line


def test_what_a_person_typed_stays_on_its_line_of_the_log() -> None:
    record = logging.LogRecord("engine", logging.INFO, "loop.py", 1, "paused: %s", ("a\nb\x1b[31mred",), None)
    assert _one_line("%(levelname)s %(message)s").format(record) == "INFO paused: a\ufffdb\ufffd[31mred"
