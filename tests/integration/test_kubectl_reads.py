"""kubectl itself reads back what is written (REQUIREMENTS S14.11). Works on files, so it needs no cluster."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

from tests.support import quick_yaml
from tests.support.nasty import NASTY
from tests.support.platforms import manifests

from croupier.core.render.emit import documents
from croupier.model.objects import JsonObject
from croupier.spec.platform import load_described

KUBECTL = Path(sys.executable).with_name("kubectl")


def _read(text: str) -> list[JsonObject]:
    """Objects as kubectl understands them: as JSON, nothing filled in."""
    command = [str(KUBECTL), "annotate", "--local", "--overwrite", "-f", "-", "-o", "json", "read=true"]
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=True, timeout=120)
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(done.stdout.rstrip()):
        value, at = decoder.raw_decode(done.stdout, at)
        at += 1
        found += value["items"] if value["kind"] == "List" else [value]
    for each in found:
        assert each["metadata"]["annotations"].pop("read") == "true"
        if not each["metadata"]["annotations"]:
            del each["metadata"]["annotations"]
    return found


def test_no_nasty_string_is_misread_by_kubectl() -> None:
    """Prevents: a market code, a build id or a time that reaches the cluster as something else."""
    data = {f"k{number}": text for number, text in enumerate(NASTY)}
    annotations = {f"example.com/k{number}": text for number, text in enumerate(NASTY)}
    body: dict[str, Any] = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "nasty"}}
    body["metadata"]["annotations"] = annotations
    (found,) = _read(documents([{**body, "data": data}]))
    assert found["data"] == data
    assert found["metadata"]["annotations"] == annotations


def test_kubectl_reads_every_manifest_of_the_example_as_it_was_made() -> None:

    rendered = manifests(load_described(Path(str(files("croupier.cli").joinpath("example")))).cells)
    text = "".join(rendered.values())
    assert _read(text) == list(quick_yaml.load_all(text))
