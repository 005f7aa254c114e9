"""Manifests mean to us what they mean to kubectl: on every trap we know and on every document of the corpora."""

from __future__ import annotations

import json
import lzma
import subprocess
import sys
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from tests.support.kubectl import KEYS, SCALARS, WHOLE
from tests.support.policy_cases import FILES

from croupier.spec.manifests import read_text

KUBECTL = Path(sys.executable).with_name("kubectl")
CORPORA = Path(__file__).parents[1] / "corpora" / "policy"
HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n"
BOUND = 2**53


def kubectl(*texts: str) -> list[Any]:
    """Objects as kubectl understands the files ``texts``, nothing filled in."""
    with TemporaryDirectory() as folder:
        for number, text in enumerate(texts):
            (Path(folder) / f"{number:05}.yaml").write_text(text, newline="")
        command = [KUBECTL, "patch", "--local", "-f", folder, "--type=merge", "-p", "{}", "-o", "json"]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    decoder, at, found = json.JSONDecoder(), 0, []
    while at < len(done.stdout.rstrip()):
        value, at = decoder.raw_decode(done.stdout, at)
        at += 1
        found.append(value)
    return found


def as_json(value: Any) -> Any:
    """Numbers as JSON has them: one kind, 64 bits of floating point beyond what is exact."""
    if isinstance(value, dict):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, list):
        return [as_json(each) for each in value]
    is_large = isinstance(value, int) and not isinstance(value, bool) and abs(value) > BOUND
    return float(value) if is_large else value


def ours(text: str) -> list[Any]:
    read = read_text(text, "f.yaml")
    assert read.state == "read", read.problem
    return [as_json(each.value) for each in read.manifests]


TRAPS = [
    *(f"{HEAD}data:\n  k: {written}\n" for written in SCALARS),
    *(f"{HEAD}data:\n  {written}: q\n" for written in KEYS),
    *(f"{HEAD}{written}\n" for written in WHOLE),
    f"\ufeff{HEAD}data: {{a: b}}\n",
    f"{HEAD}data:\n  a: |\n    no newline at the end",
    f"{HEAD}--- # a comment\n{HEAD}\n---\n# nothing\n---\n{HEAD}",
    f"{HEAD}data:\r\n  a: |\r\n    x\r\n    y\r\n",
    "apiVersion: v1\nkind: List\nitems:\n- {apiVersion: v1, kind: ConfigMap, metadata: {name: a}}\n",
    '{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}}\n{"apiVersion": "v1", "kind": "ConfigMap", '
    '"metadata": {"name": "b"}, "data": {"n": 12345678901234567890}}',
    "{apiVersion: v1, kind: ConfigMap, metadata: {name: a}, data: {a: no}}",
]


@cache
def _trapped() -> list[Any]:
    return [as_json(each) for each in kubectl(*TRAPS)]


@pytest.mark.parametrize("number", range(len(TRAPS)))
def test_a_trap_means_what_it_means_to_kubectl(number: int) -> None:
    before, read = sum(len(ours(text)) for text in TRAPS[:number]), ours(TRAPS[number])
    assert read == _trapped()[before : before + len(read)], TRAPS[number]


def test_kubectl_sees_as_many_objects_in_the_traps() -> None:
    assert sum(len(ours(text)) for text in TRAPS) == len(_trapped())


def corpus(name: str) -> list[str]:
    with lzma.open(CORPORA / f"{name}.jsonl.xz", "rt", encoding="utf-8") as lines:
        return sorted({json.loads(line)["doc"] for line in lines})


@pytest.mark.parametrize("name", ["pss", "kube-linter", "polaris", "kyverno-best-practices", "our own"])
def test_every_document_of_the_corpora_means_what_it_means_to_kubectl(name: str) -> None:
    texts = [file.read_text() for file in FILES] if name == "our own" else corpus(name)
    named = [text for text in texts if all((each.get("metadata") or {}).get("name") for each in ours(text))]
    assert len(named) > 0.95 * len(texts)  # kubectl patches only what has a name
    together = "\n---\n".join(text.rstrip("\n") for text in named)
    assert ours(together) == [as_json(each) for each in kubectl(together)]
