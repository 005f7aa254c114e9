"""All tests here need a real cluster (tests/support/cluster.py)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.cluster import Cluster, Images
from tests.support.operated import Casino, install, uninstall


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.kube)


@pytest.fixture(scope="module")
def operator(cluster: Cluster, cluster_images: Images, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """The cluster with croupier in it, a new one for each module."""
    uninstall(cluster)
    install(cluster, cluster_images, tmp_path_factory.mktemp("journal") / "journal")
    yield cluster
    uninstall(cluster)


@pytest.fixture
def casino(operator: Cluster, namespace: str) -> Casino:
    """A casino under croupier in a namespace of its own; nothing is in it yet."""
    return Casino(operator, namespace)
