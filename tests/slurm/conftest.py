"""A SLURM for these tests, which `make test-slurm` runs; elsewhere they are skipped."""

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(Path(__file__).parent), str(ROOT / "tests" / "workflow")]

from cluster import Cluster, NoClusterError, cluster  # noqa: E402


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.markexpr != "slurm":
        for item in items:
            if item.get_closest_marker("slurm"):
                item.add_marker(pytest.mark.skip(reason="starts a SLURM of its own: make test-slurm"))


@pytest.fixture(scope="session")
def slurm() -> Iterator[Cluster]:
    """A running SLURM whose commands are on the PATH; it ends with the tests, also when they are ended."""
    for ended in (signal.SIGINT, signal.SIGTERM):
        signal.signal(ended, signal.default_int_handler)
    with pytest.MonkeyPatch.context() as patch:
        try:
            with cluster(ROOT / ".slurm") as running:
                patch.setenv("PATH", f"{running.programs}{os.pathsep}{os.environ['PATH']}")
                yield running
        except NoClusterError as why:
            pytest.exit(str(why), returncode=2)
