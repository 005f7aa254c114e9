"""The command line of the stand: see ``--help``. Problems of the machine are told on stderr, exit 4."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from tools.kube_stand import build, images, network, node, preflight, programs, stand
from tools.kube_stand.errors import StandError
from tools.kube_stand.places import KUBECONFIG, Cache
from tools.kube_stand.programs import Word, tell


def main() -> None:
    """Parse the command line and run one command."""
    # Where root's PATH is a user's (su, cron), the node would not find ip, nft, runc.
    os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
    parser = _parser()
    words = parser.parse_args()
    if words.command == "up" and words.bare and words.images:
        parser.error("--bare has no node that could take --images")
    try:
        _run(words)
    except StandError as error:
        print(error, file=sys.stderr)
        raise SystemExit(error.exit_code) from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tools.kube_stand", description=_ABOUT)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="build what is missing, once (about a quarter of an hour)")
    up = commands.add_parser("up", help="start a cluster that stays until `down`")
    up.add_argument("--bare", action="store_true", help="the control plane only: no node, no gateway")
    up.add_argument("--fake", type=int, default=0, metavar="N", help="add N nodes simulated by KWOK")
    up.add_argument("--images", action="store_true", help="load the images of the operator and of the example")
    up.add_argument("--arg", action="append", default=[], metavar="PROGRAM:FLAG", help="one more flag for a program")
    up.add_argument("--owner", type=int, metavar="PID", help="take it down when this process has ended")
    commands.add_parser("down", help="stop everything and remove what it left")
    again = commands.add_parser("restart", help="kill a program and start it again: kube-apiserver, etcd, traefik …")
    again.add_argument("program")
    again.add_argument("--arg", action="append", default=[], metavar="FLAG", help="with this flag, too")
    again.add_argument("--but", action="append", default=[], metavar="FLAG", help="without this flag, which it has")
    commands.add_parser("kubeconfig", help="print the path of the administrator's kubeconfig")
    inside = commands.add_parser("exec", help="run a command where pods and services are reached")
    inside.add_argument("argv", nargs=argparse.REMAINDER, metavar="-- COMMAND")
    load = commands.add_parser("load", help="load images (OCI archives) into the node")
    load.add_argument("archives", nargs="+", type=Path)
    make = commands.add_parser("images", help="make the images of the operator and of the example, as OCI archives")
    make.add_argument("folder", type=Path)
    commands.add_parser("packages", help="print the Debian packages that are missing")
    internal = commands.add_parser("guard")
    internal.add_argument("owner", type=int)
    internal = commands.add_parser("node-main")
    internal.add_argument("--arg", action="append", default=[])
    return parser


_ABOUT = "A real Kubernetes cluster on this machine, for tests. One at a time; root; docs/development/kube-stand.md."


def _run(words: argparse.Namespace) -> None:
    match words.command:
        case "build":
            build.build()
        case "up":
            stand.up(stand.Wish(words.bare, words.fake, words.owner, _flags(words.arg)))
            if words.images:
                _load_images()
            print(f'export KUBECONFIG={KUBECONFIG} PATH="{Cache.of_user().programs}:$PATH"')
        case "down":
            stand.down()
        case "restart":
            programs.restart(words.program, more=words.arg, but=words.but)
        case "kubeconfig":
            print(KUBECONFIG)
        case "exec":
            _exec(words.argv)
        case "load":
            node.load_images(words.archives)
        case "images":
            _make_images(words.folder)
        case "packages":
            print(*preflight.missing_packages())
        case "guard":
            stand.guard(words.owner)
        case "node-main":
            node.main(_flags(words.arg))


def _flags(words: list[str]) -> dict[str, list[str]]:
    flags = defaultdict(list)
    for word in words:
        program, _, flag = word.partition(":")
        flags[program].append(flag)
    return dict(flags)


def _make_images(folder: Path) -> list[Path]:
    """Make both images; returns their archives."""
    folder.mkdir(parents=True, exist_ok=True)
    made = {folder / "operator.tar": images.operator_image(), folder / "example.tar": images.example_image()}
    for archive, image in made.items():
        began_at = time.monotonic()
        images.write_image(archive, image, Cache.of_user())
        size = archive.stat().st_size / 1e6
        tell(f"{image.name:26} {time.monotonic() - began_at:6.1f} s {size:8.1f} MB")
    return list(made)


def _load_images() -> None:
    with tempfile.TemporaryDirectory() as folder:
        node.load_images(_make_images(Path(folder)))


def _exec(words: list[Word]) -> None:
    os.environ.update(KUBECONFIG=str(KUBECONFIG), PATH=f"{Cache.of_user().programs}:{os.environ['PATH']}")
    argv = network.inside(words[1:] if words[:1] == ["--"] else words)
    os.execvp(argv[0], argv)
