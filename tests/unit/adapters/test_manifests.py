"""A folder of rendered files becomes what it should be, and nobody else's file is touched."""

from __future__ import annotations

from pathlib import Path

import pytest

from croupier.adapters.manifests import compare, write
from croupier.errors import Refused

MADE = "# made\n"
FILES = {"cells/a/x.yaml": f"{MADE}x: 1\n", "cells/a/y.yaml": f"{MADE}y: 1\n"}


def test_what_is_missing_stale_or_left_over_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "cells/b/z.yaml": MADE, "regions/old/p.yaml": MADE}, MADE)
    (tmp_path / "cells/a/x.yaml").write_text(f"{MADE}x: 2\n")
    (tmp_path / "cells/a/y.yaml").unlink()
    found = compare(tmp_path, FILES, MADE)
    assert (found.missing, found.changed, found.left_over, found.same) == (
        ("cells/a/y.yaml",),
        ("cells/a/x.yaml",),
        ("cells/b/z.yaml", "regions/old/p.yaml"),
        0,
    )
    assert (tmp_path / "regions/old/p.yaml").exists()


def test_a_folder_becomes_what_was_rendered_and_empty_folders_go(tmp_path: Path) -> None:
    write(tmp_path, {**FILES, "cells/b/z.yaml": MADE}, MADE)
    done = write(tmp_path, FILES, MADE)
    assert (done.left_over, done.same) == (("cells/b/z.yaml",), 2)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*")) == [
        "cells",
        "cells/a",
        "cells/a/x.yaml",
        "cells/a/y.yaml",
    ]
    assert not compare(tmp_path, FILES, MADE)


@pytest.mark.parametrize("inner", ["eu", "cells", "cells/a"])
def test_another_platform_that_is_rendered_below_stays(tmp_path: Path, inner: str) -> None:
    """Prevents: all manifests of one platform gone, because a second one was rendered into the folder above."""
    write(tmp_path / inner, FILES, MADE)
    done = write(tmp_path, {"cells/us/x.yaml": MADE}, MADE)
    assert done.left_over == ()
    assert not compare(tmp_path / inner, FILES, MADE)


def test_nothing_is_removed_behind_a_symbolic_link(tmp_path: Path) -> None:
    write(tmp_path / "elsewhere", FILES, MADE)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/cells").symlink_to(tmp_path / "elsewhere/cells")
    assert write(tmp_path / "out", {}, MADE).left_over == ()


def test_what_does_not_change_is_not_written_again(tmp_path: Path) -> None:
    """Prevents: tools that watch files waking up for nothing."""
    write(tmp_path, FILES, MADE)
    before = {name: (tmp_path / name).stat().st_mtime_ns for name in FILES}
    write(tmp_path, {**FILES, "new.yaml": MADE}, MADE)
    assert {name: (tmp_path / name).stat().st_mtime_ns for name in FILES} == before


def test_files_of_others_stay(tmp_path: Path) -> None:
    (tmp_path / "cells" / "a").mkdir(parents=True)
    others = {"README.md": MADE, "kustomization.yaml": "resources: []\n", "cells/a/notes.yaml": "mine: true\n"}
    for name, text in others.items():
        (tmp_path / name).write_text(text)
    write(tmp_path, FILES, MADE)
    write(tmp_path, {}, MADE)
    assert {name: (tmp_path / name).read_text() for name in others} == others


def test_a_file_of_somebody_else_in_the_way_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    (tmp_path / "cells" / "a").mkdir(parents=True)
    (tmp_path / "cells/a/y.yaml").write_text("mine: true\n")
    with pytest.raises(Refused, match=r"y\.yaml is not a rendered file"):
        write(tmp_path, FILES, MADE)
    assert not (tmp_path / "cells/a/x.yaml").exists()


def test_nothing_is_written_through_a_symbolic_link(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    out = tmp_path / "out"
    out.mkdir()
    (out / "cells").symlink_to(elsewhere)
    with pytest.raises(Refused, match="symbolic link"):
        write(out, FILES, MADE)
    assert list(elsewhere.iterdir()) == []
