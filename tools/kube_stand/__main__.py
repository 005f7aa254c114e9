"""``python -m tools.kube_stand``."""

from tools.kube_stand.cli import main

main()
