"""Container images from files of this machine, without a registry or an engine: OCI archives of a few plain layers.

Layers are made the same to the byte from the same input, so that a node imports only those it does not have, and are
kept in the cache under a name that tells their input. They are not compressed: they never travel.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import requires
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from tools.kube_stand.errors import StandError
from tools.kube_stand.places import REPOSITORY, Cache

PYTHON = Path("/usr/bin/python3")
SITE = "/usr/lib/python3/dist-packages"
NONROOT = 65532
"""User and group that images run as: the operator and the example need no rights at all."""

_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
_CONFIG = "application/vnd.oci.image.config.v1+json"
_LAYER = "application/vnd.oci.image.layer.v1.tar"
_ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
_NOT_COPIED = shutil.ignore_patterns(
    "__pycache__",
    "test",
    "tests",
    "idlelib",
    "tkinter",
    "turtledemo",
    "ensurepip",
    "lib2to3",
    "config-3*",
    "EXTERNALLY-*",
)
_LIBRARY = re.compile(r"(/\S+)\s+\(0x")


@dataclass(frozen=True)
class Image:
    """What an image holds. ``python``: Debian's interpreter with its standard library."""

    name: str
    """With its tag."""
    entrypoint: tuple[str, ...]
    command: tuple[str, ...] = ()
    python: bool = False
    requirements: str = ""
    """Lines of a requirements file with hashes, for the interpreter in the image; "": none."""
    files: Mapping[str, Path] = field(default_factory=dict)
    """Path in the image → file or folder here."""
    environment: Mapping[str, str] = field(default_factory=dict)


def write_image(archive: Path, image: Image, cache: Cache) -> None:
    """Write ``image`` as an OCI archive, in one step."""
    layers = []
    if image.python:
        layers.append(_cached(cache, "python", _python_key(), _stage_python))
    if image.requirements:
        key = _digest(_python_key(), image.requirements)
        layers.append(_cached(cache, "packages", key, lambda folder: _stage_packages(folder, image.requirements)))
    with tempfile.TemporaryDirectory() as work:
        stage, own = Path(work, "files"), Path(work, "layer.tar")
        stage.mkdir()
        _stage_files(stage, image)
        _write_layer(stage, own)
        new = archive.with_name(f".{archive.name}.new")
        _write_archive(new, image, [*layers, own])
        new.replace(archive)


def example_image(name: str = "croupier.local/example:1") -> Image:
    """The service of examples/kubernetes."""
    service = REPOSITORY / "examples" / "kubernetes" / "service.py"
    return Image(name, entrypoint=(str(PYTHON), "/service.py"), python=True, files={"/service.py": service})


def operator_image(name: str = "croupier.local/operator:1") -> Image:
    """croupier as an operator and at the door, with what ``croupier[operator,admission]`` needs at the versions and
    hashes of the lock.
    """
    start = REPOSITORY / "tools" / "kube_stand" / "croupier"
    return Image(
        name,
        entrypoint=("/usr/bin/croupier",),
        command=("--help",),
        python=True,
        requirements=locked_requirements("operator", "admission"),
        files={"/usr/bin/croupier": start, f"{SITE}/croupier": REPOSITORY / "src" / "croupier"},
    )


def locked_requirements(*extras: str) -> str:
    """Those entries of requirements.lock that croupier with some of its extras needs, in the lock's order."""
    needed = _needed(extras)
    entries = re.split(r"\n(?=\S)", (REPOSITORY / "requirements.lock").read_text().strip())
    return "\n".join(entry for entry in entries if _canonical(re.split(r"[=\[ ;]", entry, maxsplit=1)[0]) in needed)


def _needed(extras: Sequence[str]) -> set[str]:
    """Canonical names of all distributions that croupier with some of its extras needs."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    found: set[tuple[str, str]] = set()
    waiting = [(project["name"], each) for each in ("", *extras)]
    while waiting:
        name, wanted = waiting.pop()
        if (name, wanted) in found:
            continue
        found.add((name, wanted))
        if name == project["name"]:
            lines = project["optional-dependencies"][wanted] if wanted else project["dependencies"]
        else:
            lines = requires(name) or ()
        for need in map(Requirement, lines):
            if need.marker is None or need.marker.evaluate({"extra": wanted}):
                waiting.extend((_canonical(need.name), each) for each in ("", *need.extras))
    return {name for name, _ in found} - {project["name"]}


def _canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _python_key() -> str:
    return _digest(PYTHON.resolve().name, PYTHON.read_bytes(), Path(__file__).read_bytes())


def _digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:16]


def _cached(cache: Cache, kind: str, key: str, make: Callable[[Path], None]) -> Path:
    """A layer of the cache, made if it is not there; older ones of its kind go."""
    folder = cache.share / "layers"
    layer = folder / f"{kind}-{key}.tar"
    if not layer.exists():
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory() as work:
            make(Path(work))
            new = folder / f".{layer.name}.{os.getpid()}.new"
            _write_layer(Path(work), new)
        new.replace(layer)
        for old in folder.glob(f"{kind}-*.tar"):
            if old != layer:
                old.unlink(missing_ok=True)
    return layer


def _stage_python(folder: Path) -> None:
    executable = PYTHON.resolve()
    library = Path("/usr/lib", executable.name)
    _copy(executable, folder, str(PYTHON))
    _copy(library, folder, str(library))
    _compile(folder, folder / str(library).lstrip("/"))
    for shared in _shared_libraries([executable, *library.glob("lib-dynload/*.so")]):
        _copy(Path(shared), folder, shared)


def _stage_packages(folder: Path, requirements: str) -> None:
    site = folder / SITE.lstrip("/")
    lock = folder / "requirements.txt"
    lock.write_text(requirements)
    version = PYTHON.resolve().name.removeprefix("python")
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--no-deps", "--no-compile"]
    wheels = ["--only-binary=:all:", "--require-hashes", f"--python-version={version}", "--target", str(site)]
    _run([*pip, *wheels, "-r", str(lock)])
    lock.unlink()
    shutil.rmtree(site / "bin", ignore_errors=True)
    _compile(folder, site)
    of_python = _shared_libraries([PYTHON.resolve()])
    for shared in _shared_libraries(site.rglob("*.so")) - of_python:
        if not Path(shared).is_relative_to(folder):
            _copy(Path(shared), folder, shared)


def _stage_files(folder: Path, image: Image) -> None:
    for empty in ("tmp", "etc", "run", "proc", "sys", "dev"):
        (folder / empty).mkdir()
    (folder / "tmp").chmod(0o1777)
    (folder / "etc/passwd").write_text(
        f"root:x:0:0:root:/:/bin/false\nnonroot:x:{NONROOT}:{NONROOT}:nonroot:/:/bin/false\n"
    )
    (folder / "etc/group").write_text(f"root:x:0:\nnonroot:x:{NONROOT}:\n")
    for target, source in image.files.items():
        _copy(source, folder, target)
        if (folder / target.lstrip("/")).is_dir():
            _compile(folder, folder / target.lstrip("/"))


def _copy(source: Path, folder: Path, target: str) -> None:
    place = folder / target.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, place, ignore=_NOT_COPIED)
    else:
        shutil.copy(source, place)


def _compile(root: Path, folder: Path) -> None:
    """Byte code in the image, never checked against its source: pods have read-only roots and start often."""
    _run(
        [
            str(PYTHON),
            "-m",
            "compileall",
            "-q",
            "--invalidation-mode",
            "unchecked-hash",
            "-s",
            str(root),
            "-p",
            "/",
            str(folder),
        ]
    )


def _shared_libraries(binaries: Iterable[Path]) -> set[str]:
    """Paths, as the loader looks them up, of the shared libraries that binaries need."""
    return {
        library
        for binary in binaries
        for library in _LIBRARY.findall(
            subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout
        )
    }


def _write_layer(folder: Path, layer: Path) -> None:
    """A folder as tar: sorted, owned by root, without times."""

    def plain(info: tarfile.TarInfo) -> tarfile.TarInfo:
        info.uid = info.gid = info.mtime = 0
        info.uname = info.gname = ""
        return info

    with tarfile.open(layer, "w", format=tarfile.GNU_FORMAT) as tar:
        for path in sorted(folder.rglob("*")):
            tar.add(path, str(path.relative_to(folder)), recursive=False, filter=plain)


def _write_archive(archive: Path, image: Image, layers: Sequence[Path]) -> None:
    with tarfile.open(archive, "w") as tar:
        digests = [_add_file(tar, layer) for layer in layers]
        variables = {"PATH": "/usr/bin", "PYTHONUNBUFFERED": "1", "PYTHONDONTWRITEBYTECODE": "1", **image.environment}
        run = {
            "Entrypoint": image.entrypoint,
            "Cmd": image.command,
            "Env": [f"{name}={value}" for name, value in variables.items()],
            "User": f"{NONROOT}:{NONROOT}",
            "WorkingDir": "/",
        }
        config = {
            "architecture": _ARCHITECTURES[platform.machine()],
            "os": "linux",
            "config": run,
            "rootfs": {"type": "layers", "diff_ids": [each["digest"] for each in digests]},
        }
        manifest = {
            "schemaVersion": 2,
            "mediaType": _MANIFEST,
            "config": {"mediaType": _CONFIG, **_add_json(tar, config)},
            "layers": [{"mediaType": _LAYER, **each} for each in digests],
        }
        names = {
            "io.containerd.image.name": image.name,
            "org.opencontainers.image.ref.name": image.name.rsplit(":", 1)[1],
        }
        index = [{"mediaType": _MANIFEST, **_add_json(tar, manifest), "annotations": names}]
        _add(tar, "index.json", _json({"schemaVersion": 2, "manifests": index}))
        _add(tar, "oci-layout", _json({"imageLayoutVersion": "1.0.0"}))


def _add_file(tar: tarfile.TarFile, file: Path) -> dict[str, Any]:
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    tar.add(file, f"blobs/sha256/{digest}")
    return {"digest": f"sha256:{digest}", "size": file.stat().st_size}


def _add_json(tar: tarfile.TarFile, value: object) -> dict[str, Any]:
    content = _json(value)
    digest = hashlib.sha256(content).hexdigest()
    _add(tar, f"blobs/sha256/{digest}", content)
    return {"digest": f"sha256:{digest}", "size": len(content)}


def _add(tar: tarfile.TarFile, path: str, content: bytes) -> None:
    info = tarfile.TarInfo(path)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def _run(argv: list[str]) -> None:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StandError(f"{' '.join(argv[:5])} failed:\n{(done.stdout + done.stderr)[-4000:]}")
