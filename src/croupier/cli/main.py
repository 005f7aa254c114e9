"""Where ``croupier`` starts: the table of commands and the page that shows it, ``croupier --help``.

The page needs nothing but this module, so that it is there at once however much the commands import, and click too;
``croupier.cli.root`` is the group behind it. ``stand`` and ``demo`` are found by the entry point group
``croupier.commands``; this package never imports the stand.
"""

from __future__ import annotations

import sys

SECTIONS = {
    "Releases": {
        "release": ("croupier.cli.release:release", "Plan, start, watch and steer releases."),
        "journal": ("croupier.cli.journal:journal", "Read and verify what was decided, and why."),
        "gate": ("croupier.cli.gate:gate", "Why a verdict fell; what other gates would have said."),
    },
    "The platform": {
        "init": ("croupier.cli.platform:init", "Write a small platform to begin with."),
        "check": ("croupier.cli.platform:check", "Everything that is wrong with it, by line."),
        "explain": ("croupier.cli.platform:explain", "Where a value comes from."),
        "whereabouts": ("croupier.cli.whereabouts:whereabouts", "Where players' data is, and may be."),
        "plan": ("croupier.cli.platform:plan", "What changes between two states of it."),
        "render": ("croupier.cli.platform:render", "Hardened manifests for every cell, for Git."),
        "propose": ("croupier.cli.propose:propose", "Manifests to a branch, with the review."),
        "template": ("croupier.cli.platform:template", "The plain manifests of a service, to read."),
        "recommend": ("croupier.cli.recommend:recommend", "Requests beside what the VPA would ask for."),
        "schema": ("croupier.cli.platform:schema", "The form of its files, for editors."),
    },
    "Manifests": {
        "policy": ("croupier.cli.policy:policy", "Check Kubernetes manifests against the rules."),
    },
    "The desk": {
        "desk": ("croupier.cli.desk:desk", "Run the desk: the engine and its JSON API."),
    },
    "On a cluster": {
        "judge": ("croupier.cli.judge:judge", "Verdicts for Argo Rollouts and Flagger."),
        "admission": ("croupier.cli.admission:admission", "The rules at the door of a cluster."),
        "operator": ("croupier.cli.operator:operator", "Release on a Kubernetes cluster."),
    },
    "A casino of your own": {
        "stand": ("", "Run a small real casino on this machine."),
        "demo": ("", "A good release promoted, a bad one taken back."),
    },
}
"""Section of the page -> command -> (what it is, in words). What it is: ``module:attribute``, imported when the command
is called, or "" for the entry point of its name.
"""
COMMANDS = {name: command for section in SECTIONS.values() for name, command in section.items()}
ABOUT = "The release desk for iGaming: releases gated on what they do to money."
_PAGE = """\
Usage: croupier [OPTIONS] COMMAND [ARGS]...

  {about}

Options:
  --version   Show the version and exit.
  --debug     Show tracebacks.
  -h, --help  Show this message and exit.

{sections}

  Start with `croupier demo`. Everything that answers takes --output json.
"""


def page() -> str:
    """What ``croupier --help`` prints."""
    width = max(map(len, COMMANDS))
    sections = [
        "\n".join([f"{section}:", *(f"  {name:<{width}}  {words}" for name, (_, words) in commands.items())])
        for section, commands in SECTIONS.items()
    ]
    return _PAGE.format(about=ABOUT, sections="\n\n".join(sections))


def main() -> None:
    """Entry point of the ``croupier`` script."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        try:
            sys.stdout.write(page())
            sys.stdout.flush()
            return
        except (OSError, AttributeError):  # nobody reads, or there is no stdout: what to do is in one place, not here
            pass
    from croupier.cli.root import cli

    cli(prog_name="croupier")
