"""Where no SLURM is started for the tests, and why. Needs none itself."""

import subprocess
from pathlib import Path

import cluster
import pytest
from cluster import NoClusterError, refuse_where_slurm_is


@pytest.fixture
def configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a cluster's configuration would be, on a machine that shows nothing else of one."""
    monkeypatch.delenv("SLURM_CONF", raising=False)
    monkeypatch.setattr(cluster, "CONFIGURATIONS", (tmp_path / "slurm.conf",))
    return tmp_path / "slurm.conf"


def test_a_machine_of_a_cluster_is_left_alone(configuration: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    configuration.touch()
    with pytest.raises(NoClusterError, match=f"has a SLURM already: {configuration}"):
        refuse_where_slurm_is()
    configuration.unlink()
    monkeypatch.setenv("SLURM_CONF", "/opt/slurm.conf")
    with pytest.raises(NoClusterError, match=r"has a SLURM already: SLURM_CONF=/opt/slurm\.conf"):
        refuse_where_slurm_is()


def test_a_running_slurm_is_left_alone(configuration: Path) -> None:
    """Wherever its configuration is: a stand-in for its daemon runs."""
    daemon = configuration.with_name("slurmctld")
    daemon.symlink_to("/bin/sleep")
    with subprocess.Popen([daemon, "60"]) as running:
        try:
            with pytest.raises(NoClusterError, match=rf"slurmctld \(pid {running.pid}\)"):
                refuse_where_slurm_is()
        finally:
            running.kill()


def test_without_debians_tools_it_is_said_what_is_missing(
    configuration: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster.psutil, "process_iter", lambda names: [])
    monkeypatch.setenv("PATH", str(configuration.parent))
    with pytest.raises(NoClusterError, match="no apt-get and no dpkg here: the tests take SLURM from Debian"):
        refuse_where_slurm_is()
