"""The custom resource definitions of Strimzi, which publishes them in no package: its own generator makes them.

Maven fetches the types of the API and the generator, as Strimzi publishes both, and a JDK of 21 or newer runs it.
Called by ``kubernetes_schemas.py``, and by tests that apply the definitions to a real API server.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import yaml

VERSION = "1.2.0"
SOURCE = f"io.strimzi:api {VERSION}"
_KINDS = ("kafka.Kafka", "nodepool.KafkaNodePool", "topic.KafkaTopic", "user.KafkaUser")
_JVMS = Path("/usr/lib/jvm")
_LEAST_JAVA = 21
"""What both artifacts are compiled for."""


@cache
def java() -> Path | None:
    """A Java that runs the generator: the one on the path, or one beside it; None: neither is new enough."""
    named = shutil.which("java")
    found = [Path(named)] if named else []
    return next((each for each in (*found, *sorted(_JVMS.glob("*/bin/java"))) if _major(each) >= _LEAST_JAVA), None)


def is_there() -> bool:
    """Whether the definitions can be made here."""
    return java() is not None and shutil.which("mvn") is not None


def definitions() -> list[dict[str, Any]]:
    """A CustomResourceDefinition for each kind that croupier renders, whole.

    Raises ``RuntimeError`` where there is no Maven, or no Java that is new enough.
    """
    runtime, maven = java(), shutil.which("mvn")
    if runtime is None or maven is None:
        raise RuntimeError(f"Strimzi's definitions take Maven and Java {_LEAST_JAVA} or newer")
    with tempfile.TemporaryDirectory() as held:
        folder = Path(held)
        jars = [_fetched(maven, name, folder) for name in ("api", "crd-generator")]
        files = {kind: folder / f"{kind}.yaml" for kind in _KINDS}
        wanted = [f"io.strimzi.api.kafka.model.{kind}={file}" for kind, file in files.items()]
        main = ("io.strimzi.crdgenerator.CrdGenerator", "--yaml")
        subprocess.run([runtime, "-cp", ":".join(map(str, jars)), *main, *wanted], check=True, capture_output=True)
        return [_named(yaml.load(file.read_text(), Loader=yaml.CSafeLoader)) for file in files.values()]


def _fetched(maven: str, name: str, folder: Path) -> Path:
    """The jar, through Maven's own cache."""
    words = ("--batch-mode", "--quiet", "dependency:copy", "-Dmdep.useBaseVersion=true")
    artifact = (f"-Dartifact=io.strimzi:{name}:{VERSION}", f"-DoutputDirectory={folder}")
    subprocess.run([maven, *words, *artifact], check=True, capture_output=True, cwd=folder)
    return folder / f"{name}-{VERSION}.jar"


def _named(made: dict[str, Any]) -> dict[str, Any]:
    assert made["kind"] == "CustomResourceDefinition"
    return made


def _major(runtime: Path) -> int:
    said = subprocess.run([runtime, "-version"], capture_output=True, text=True, check=False).stderr
    return int(found[1]) if (found := re.search(r'version "(\d+)', said)) else 0
