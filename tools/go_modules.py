"""Modules of Go that definitions of other people's resources are read from, each as its authors published it.

Go holds what it fetches against its database of checksums. That does not know every module; of those it does not know
the checksum stands here, and what has another is refused.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path

PINNED: Mapping[str, str] = {
    "github.com/OT-CONTAINER-KIT/redis-operator@v0.23.0": "h1:Cx2soYpremzU6vOeP5/fF+ODVFr7GyWzRM8CdW8jru0=",
    "github.com/percona/percona-xtradb-cluster-operator@v1.18.0": "h1:qUfxoYsegxIr3g8vrH8es2Leiqu8NnVMbBzxaAv1Q2o=",
}
"""Module and version -> the checksum of its files, as ``go.sum`` has it, of what Go's database does not know."""


def fetched(module: str, go: str = "go") -> Path:
    """The folder of ``module`` (``path@version``) in Go's own cache.

    Raises ``CalledProcessError`` where it cannot be fetched, ``ValueError`` where it is not what is pinned.
    """
    pinned = PINNED.get(module)
    environment = dict(os.environ)
    if pinned is not None:
        environment["GONOSUMDB"] = module.partition("@")[0]
    with tempfile.TemporaryDirectory() as elsewhere:
        done = subprocess.run(
            [go, "mod", "download", "-json", module], cwd=elsewhere, check=True, capture_output=True, env=environment
        )
    said = json.loads(done.stdout)
    if pinned is not None and said["Sum"] != pinned:
        raise ValueError(f"{module} is {said['Sum']}, and pinned is {pinned}")
    return Path(said["Dir"])
