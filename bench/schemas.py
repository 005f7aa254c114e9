"""What holding objects against schemas costs, here and with libraries, and whether the API server's decoder agrees.

    chrt -i 0 python -m bench.schemas               10,000 documents; jsonschema-rs and fastjsonschema where installed
    chrt -i 0 python -m bench.schemas --decoder     agreement with strict decoding; needs Go (tools/strict_decode)

The second takes every object of tests/corpora/policy as it is, and 20,000 copies in which one key is misspelt or one
value replaced (seed 7). The decoder asks neither what is required nor enumerations, so those flaws do not count there.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import lzma
import random
import subprocess
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from bench.policy import write

from croupier.core.schemas.validator import Validator
from croupier.spec.manifests import find_files, read_file, read_text
from croupier.spec.schemas import load_schemas

ROOT = Path(__file__).parents[1]
KINDS = 8
WRONG = (True, 3, 0.5, 2**40, "x", "1x", "25%", [], {}, ["a"], {"a": "b"}, -1, 3.0, "2027-01-31T00:00:00Z", None)
Make = Callable[[tuple[str, str]], Callable[[Any], bool]]
"""(apiVersion, kind) -> whether an object is sound."""


def own() -> Make:
    validator = Validator(load_schemas())
    return lambda _: lambda value: not validator.check(value)


def jsonschema_rs() -> Make:
    import jsonschema_rs as library

    schemas = _plain()
    return lambda kind: library.validator_for(schemas(kind)).is_valid


def fastjsonschema() -> Make:
    import fastjsonschema as library

    schemas = _plain()

    def make(kind: tuple[str, str]) -> Callable[[Any], bool]:
        check = library.compile(schemas(kind))

        def sound(value: Any) -> bool:
            try:
                check(value)
            except library.JsonSchemaException:
                return False
            return True

        return sound

    return make


def _plain() -> Callable[[tuple[str, str]], Any]:
    """Kind -> its schema in JSON Schema, strict; quantities and formats are not asked."""
    held = load_schemas()
    types = {name: _strict(each) for name, each in held.types.items()}

    def schema(kind: tuple[str, str]) -> Any:
        root = held.kinds[kind]["$ref"]
        needed: dict[str, Any] = {}
        left = [root]
        while left:
            name = left.pop()
            if name not in needed:
                needed[name] = types[name]
                left += [each.rpartition("/")[2] for each in _references(types[name])]
        return {"$ref": f"#/$defs/{root}", "$defs": needed}

    return schema


def _references(schema: Any) -> Iterator[str]:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str):
            yield schema["$ref"]
        for each in schema.values():
            yield from _references(each)


def _strict(schema: Any) -> Any:
    if "$ref" in schema:
        return {"$ref": f"#/$defs/{schema['$ref']}"}
    if schema.get("format") in ("quantity", "int-or-string"):
        return {"type": ["string", "number", "null"]}
    made = {key: schema[key] for key in ("required",) if key in schema}
    if "type" in schema:
        made["type"] = [schema["type"], "null"]
    if "enum" in schema:
        made["enum"] = [*schema["enum"], None]
    if "properties" in schema:
        made["properties"] = {name: _strict(each) for name, each in schema["properties"].items()}
        made["additionalProperties"] = False
    for key in ("items", "additionalProperties"):
        if isinstance(schema.get(key), dict):
            made[key] = _strict(schema[key])
    return made


def measure(documents: int, runs: int) -> None:
    with tempfile.TemporaryDirectory() as home:
        write(Path(home), documents)
        objects = [each.value for file in find_files([home]) for each in read_file(file).manifests]
    began = time.process_time()
    load_schemas()
    print(
        f"{len(objects)} documents of {KINDS} kinds; loading the schemas {1000 * (time.process_time() - began):.0f} ms"
    )
    for name, prepare in (("croupier", own), ("jsonschema_rs", jsonschema_rs), ("fastjsonschema", fastjsonschema)):
        if prepare is not own and importlib.util.find_spec(name) is None:
            print(f"{name:<16} not installed")
            continue
        make = prepare()
        began = time.process_time()
        checks = {}
        for each in objects[:KINDS]:
            kind = each["apiVersion"], each["kind"]
            checks[kind] = make(kind)
            assert checks[kind](each)
        first = time.process_time() - began
        figures = []
        for _ in range(runs):
            began = time.process_time()
            assert all(checks[each["apiVersion"], each["kind"]](each) for each in objects)
            figures.append(time.process_time() - began)
        took = min(figures)
        print(f"{name:<16} first of a kind {1000 * first:.0f} ms, all {took:.3f} s, {1e6 * took / len(objects):.1f} µs")


def compare() -> None:
    validator = Validator(load_schemas())
    cases = list(_cases(validator))
    with tempfile.TemporaryDirectory() as place:
        program = Path(place) / "strict_decode"
        subprocess.run(["go", "build", "-o", program, "."], cwd=ROOT / "tools" / "strict_decode", check=True)
        sent = "\n".join(json.dumps(value) for _, value in cases)
        answers = subprocess.run([program], input=sent, capture_output=True, text=True, check=True).stdout.splitlines()
    told: Counter[tuple[str, str, str]] = Counter()
    for (name, value), answer in zip(cases, answers, strict=True):
        said = json.loads(answer)
        if said.startswith("?"):
            told[name, "knows no such kind", ""] += 1
            continue
        found = validator.check(value)
        decoded = [
            each for each in found if not each.message.endswith(" is missing") and " is none of " not in each.message
        ]
        ours = "we refuse" if decoded else "we miss a field or an enumeration" if found else "we take"
        told[name, "decoder refuses" if said else "decoder takes", ours] += 1
    for (name, theirs, ours), count in sorted(told.items()):
        print(f"{count:>6} {name}: {theirs}{', ' if ours else ''}{ours}")


def _cases(validator: Validator) -> Iterator[tuple[str, Any]]:
    objects = []
    for corpus in sorted((ROOT / "tests" / "corpora" / "policy").glob("*.jsonl.xz")):
        with lzma.open(corpus, "rt", encoding="utf-8") as lines:
            objects += [each.value for line in lines for each in read_text(json.loads(line)["doc"], "case").manifests]
    yield from (("as it is", each) for each in objects)
    known = [each for each in objects if validator.covers(each)]
    chance = random.Random(7)
    for _ in range(20_000):
        value = copy.deepcopy(chance.choice(known))
        path = chance.choice([each for each in _paths(value, ()) if each[0] not in ("apiVersion", "kind")])
        parent: Any = value
        for step in path[:-1]:
            parent = parent[step]
        key = path[-1]
        if isinstance(key, str) and chance.random() < 0.4:
            parent[f"{key[:-1]}zq"] = parent.pop(key)
        else:
            parent[key] = chance.choice(WRONG)
        yield "changed", value


def _paths(value: Any, path: tuple[str | int, ...]) -> Iterator[tuple[str | int, ...]]:
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in inner:
        yield (*path, key)
        yield from _paths(each, (*path, key))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--documents", type=int, default=10_000)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--decoder", action="store_true")
    asked = parser.parse_args()
    if asked.decoder:
        compare()
    else:
        measure(asked.documents, asked.runs)
