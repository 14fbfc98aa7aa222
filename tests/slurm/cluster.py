"""A SLURM of our own for the tests: Debian's packages, unpacked and not installed, on loopback.

Everything that it writes while it runs (configuration, keys, sockets, state, spool) is in a temporary
folder. Its ports are free ones, and its programs are called through small scripts that name its
configuration. Three nodes of eight pretended CPUs run on this host, so that one can be drained.
"""

import getpass
import os
import platform
import secrets
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

import psutil

PACKAGES = ("munge", "libmunge2", "slurmctld", "slurmd", "slurm-client", "slurm-wlm-basic-plugins")
PROGRAMS = ("sacct", "sacctmgr", "sbatch", "scancel", "scontrol", "sinfo", "squeue", "srun", "sshare")
NODES = ("one", "two", "three")
CONFIGURATIONS = (Path("/etc/slurm/slurm.conf"), Path("/etc/slurm-llnl/slurm.conf"))

_CONFIGURATION = """
ClusterName=glow
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket,cred_expire=10
PluginDir={plugins}
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SlurmdParameters=config_overrides
MpiDefault=none
ReturnToService=2
SchedulerParameters=sched_interval=5,bf_interval=5
KillWait=10
MinJobAge=3600
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
NodeName=one NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=8 RealMemory=64000
NodeName=two NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=8 RealMemory=64000
NodeName=three NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[3]} CPUs=8 RealMemory=64000
PartitionName=normal Nodes=one,two Default=YES MaxTime=INFINITE
PartitionName=other Nodes=three MaxTime=INFINITE
"""


class NoClusterError(Exception):
    """Why no cluster of our own can be made here, in one line."""


class Job(NamedTuple):
    """A job as squeue shows it; the comment is `rule_<rule>_wildcards_<values>`."""

    number: int
    state: str
    restarts: int
    node: str
    directory: str
    comment: str


@dataclass(frozen=True)
class Cluster:
    """A running SLURM.

    Attributes:
        folder: its configuration, logs and state.
        programs: the folder with its commands, for a PATH.
    """

    folder: Path
    programs: Path

    def ask(self, program: str, *words: str) -> str:
        """The output of one of its commands, which must succeed."""
        ended = subprocess.run(
            [self.programs / program, *words], capture_output=True, text=True, check=False, timeout=60
        )
        assert ended.returncode == 0, f"{program} {' '.join(words)}: {ended.stderr}"
        return ended.stdout

    def resume(self, node: str) -> None:
        """Let a node take jobs again; one that was down may have come back by itself (ReturnToService)."""
        words = ["update", f"NodeName={node}", "State=RESUME"]
        subprocess.run([self.programs / "scontrol", *words], capture_output=True, check=False, timeout=60)

        def is_up() -> bool:
            state = self.ask("sinfo", "--noheader", f"--nodes={node}", "--format=%T").strip()
            return not state.startswith(("down", "drain"))

        wait_for(is_up, f"node {node}")

    def jobs(
        self, directory: Path, comment: str = "", states: str = "pending,running,completing"
    ) -> list[Job]:
        """Jobs of a rule (and wildcards) in a working directory, in one of these states, oldest first."""
        columns = "JobID:|,State:|,RestartCnt:|,NodeList:|,WorkDir:|,Comment:200"
        shown = self.ask("squeue", "--noheader", f"--states={states}", "--sort=i", f"--Format={columns}")
        rows = [line.strip().split("|") for line in shown.splitlines()]
        found = [Job(int(row[0]), row[1], int(row[2]), *row[3:]) for row in rows]
        return [job for job in found if job.comment.startswith(comment) and job.directory == str(directory)]


@contextmanager
def cluster(packages: Path) -> Iterator[Cluster]:
    """Start a SLURM, and end it with all its jobs.

    Args:
        packages: where Debian's packages are unpacked; made when it is missing.

    Raises:
        NoClusterError: this machine has a SLURM, or no way to get one.
    """
    refuse_where_slurm_is()
    root = _unpacked(packages)
    folder = Path(tempfile.mkdtemp(prefix="glow-slurm-", dir="/tmp"))  # paths of sockets must be short
    daemons: list[subprocess.Popen[bytes]] = []
    try:
        made = _configured(folder, root)
        with (folder / "output").open("wb") as output:
            for command in _commands(folder, root):
                daemons.append(_started(command, root, folder, output))
        _wait_until_ready(made, daemons)
        yield made
    finally:
        _end(folder, daemons)
        shutil.rmtree(folder, ignore_errors=True)


def refuse_where_slurm_is() -> None:
    """Refuse a machine of a cluster.

    Raises:
        NoClusterError: names what was found.
    """
    found = [str(file) for file in CONFIGURATIONS if file.exists()]
    found += [f"SLURM_CONF={os.environ['SLURM_CONF']}"] if "SLURM_CONF" in os.environ else []
    found += [
        f"{process.info['name']} (pid {process.pid})"
        for process in psutil.process_iter(["name"])
        if (process.info["name"] or "").startswith(("slurmctld", "slurmd"))
    ]
    if found:
        raise NoClusterError(
            f"this machine has a SLURM already: {', '.join(found)}; these tests start their own"
        )
    missing = [program for program in ("apt-get", "dpkg") if shutil.which(program) is None]
    if missing:
        raise NoClusterError(
            f"no {' and no '.join(missing)} here: the tests take SLURM from Debian's packages"
        )


# --- packages -------------------------------------------------------------------------------------


def _unpacked(packages: Path) -> Path:
    """Download and unpack SLURM, munge and the libraries that they lack here, once."""
    root = packages / "root"
    if root.is_dir():
        return root
    shutil.rmtree(packages, ignore_errors=True)
    partial = packages / "partial"
    partial.mkdir(parents=True)
    plan = subprocess.run(
        ["apt-get", "install", "--dry-run", "--no-install-recommends", *PACKAGES],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    wanted = {line.split()[1] for line in plan.stdout.splitlines() if line.startswith("Inst ")}
    names = sorted(wanted | set(PACKAGES))
    got = subprocess.run(
        ["apt-get", "download", *names], cwd=packages, capture_output=True, text=True, check=False
    )
    if plan.returncode or got.returncode:
        said = (plan.stderr + got.stderr).strip().splitlines()
        raise NoClusterError(
            f"apt-get could not download {' '.join(names)}: {said[-1] if said else 'no reason given'}"
        )
    for file in sorted(packages.glob("*.deb")):
        subprocess.run(["dpkg", "-x", file, partial], check=True)
        file.unlink()
    partial.rename(root)
    return root


def _libraries(root: Path) -> str:
    """The folders of the unpacked libraries, as LD_LIBRARY_PATH has them."""
    plugins = _plugins(root)
    return f"{plugins.parent}:{plugins}"


def _plugins(root: Path) -> Path:
    (found,) = root.glob("usr/lib/*/slurm-wlm")
    return found


# --- daemons --------------------------------------------------------------------------------------


def _configured(folder: Path, root: Path) -> Cluster:
    """Write what the daemons and commands read."""
    for name in ("state", "bin", *(f"spool-{node}" for node in NODES)):
        (folder / name).mkdir()
    key = folder / "munge.key"
    key.write_bytes(secrets.token_bytes(128))
    key.chmod(0o600)
    configuration = folder / "slurm.conf"
    configuration.write_text(
        _CONFIGURATION.format(
            host=platform.node().split(".")[0],
            user=getpass.getuser(),
            folder=folder,
            plugins=_plugins(root),
            ports=_free_ports(1 + len(NODES)),
        )
    )
    for program in PROGRAMS:
        script = folder / "bin" / program
        # Not only for the shell that submits: inside a job the plugin takes SLURM_CONF away from srun.
        script.write_text(
            f"#!/bin/sh\nexport SLURM_CONF={configuration} LD_LIBRARY_PATH={_libraries(root)}\n"
            f'exec {root}/usr/bin/{program} "$@"\n'
        )
        script.chmod(0o755)
    return Cluster(folder, folder / "bin")


def _free_ports(count: int) -> list[int]:
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [server.getsockname()[1] for server in held]
    for server in held:
        server.close()
    return ports


def _commands(folder: Path, root: Path) -> list[list[str]]:
    programs, configuration = root / "usr" / "sbin", str(folder / "slurm.conf")
    files = {"key-file": "key", "socket": "socket", "pid-file": "pid", "log-file": "log", "seed-file": "seed"}
    return [
        [
            f"{programs}/munged",
            "--foreground",
            "--force",
            *(f"--{name}={folder}/munge.{end}" for name, end in files.items()),
        ],
        [f"{programs}/slurmctld-wlm", "-D", "-i", "-f", configuration],
        *(
            [
                f"{programs}/slurmd-wlm",
                "-D",
                "-N",
                node,
                "-f",
                configuration,
                "-d",
                f"{programs}/slurmstepd-wlm",
            ]
            for node in NODES
        ),
    ]


def _started(command: list[str], root: Path, folder: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    environment = os.environ | {"LD_LIBRARY_PATH": _libraries(root), "SLURM_CONF": str(folder / "slurm.conf")}
    daemon = subprocess.Popen(
        command,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        start_new_session=True,
    )
    if "munged" in command[0]:
        wait_for((folder / "munge.socket").exists, "munged's socket", [daemon])
    return daemon


def _wait_until_ready(made: Cluster, daemons: list[subprocess.Popen[bytes]]) -> None:
    def all_idle() -> bool:
        asked = subprocess.run(
            [made.programs / "sinfo", "--noheader", "--Node", "--format=%t"],
            capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
        return set(asked.stdout.split()) == {"idle"}

    wait_for(all_idle, "idle nodes", daemons)


def wait_for(
    done: Callable[[], bool], what: str, daemons: Iterable[subprocess.Popen[bytes]] = (), seconds: float = 60
) -> None:
    """Wait until `done`, for `seconds` at most, while the daemons live."""
    deadline = time.monotonic() + seconds
    while not done():
        dead = [str(daemon.args) for daemon in daemons if daemon.poll() is not None]
        assert not dead, f"waiting for {what}: ended: {dead}"
        assert time.monotonic() < deadline, f"no {what} within {seconds:.0f} s"
        time.sleep(0.2)


def _end(folder: Path, daemons: list[subprocess.Popen[bytes]]) -> None:
    """End the daemons, and what they started: it has this cluster's configuration in its environment."""
    for daemon in reversed(daemons):
        daemon.terminate()
    for daemon in daemons:
        daemon.wait(timeout=60)
    mark = f"SLURM_CONF={folder}/slurm.conf".encode()
    while left := [process for process in psutil.process_iter() if mark in _environment(process.pid)]:
        for process in left:
            process.kill()
        psutil.wait_procs(left, timeout=60)


def _environment(pid: int) -> bytes:
    """As it is: SLURM writes a step's title over its beginning, which psutil does not expect."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended, or is another user's
        return b""
