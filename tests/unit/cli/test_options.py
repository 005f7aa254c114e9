"""What commands share."""

from __future__ import annotations

import gc

import pytest

from croupier.cli.options import ends_soon


def test_garbage_is_looked_for_again_when_a_command_has_ended() -> None:
    @ends_soon
    def command(fail: bool) -> str:
        assert not gc.isenabled()
        if fail:
            raise ValueError("no")
        return "done"

    assert command(False) == "done"
    assert gc.isenabled()
    with pytest.raises(ValueError, match="no"):
        command(True)
    assert gc.isenabled()


def test_a_command_leaves_garbage_alone_where_nobody_looked_for_it_before() -> None:
    gc.disable()
    try:
        ends_soon(lambda: None)()
        assert not gc.isenabled()
    finally:
        gc.enable()
