"""Start a training on the devices that it asks for: plainly on one, by torchrun on several, by srun on nodes.

`glow sft --devices 4 ...` starts itself four times. A process that torchrun started, ours or the user's own,
finds that in its environment and trains. Of a node's processes the first one's output is shown, and of
another one that failed its last lines.
"""

import logging
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from glow.config import TrainingHardware
from glow.errors import UserError
from glow.files import stopping
from glow.models.devices import claim

_AGENT = "GLOW_LAUNCH_AT"
"""Environment variable of a node's agent: where the agents of all nodes meet (host:port)."""

_LAUNCHED = "GLOW_LAUNCHED"
"""Environment variable of the processes that are started here: the folder of what they print."""

_LAST_LINES = 30


def launch(words: Sequence[str], hardware: TrainingHardware) -> int | None:
    """Start `glow` with `words` on all devices, wait, and return its exit code; None: train in this process.

    Raises:
        UserError: several nodes outside a SLURM job that has them.
    """
    if is_worker():
        return None
    if hardware.nodes == 1 or _AGENT in os.environ:
        claim(hardware.devices, "--devices")
    if hardware.nodes == 1 and hardware.devices == 1 and hardware.sharding == "ddp":
        return None
    if hardware.nodes > 1 and _AGENT not in os.environ:
        return _on_nodes(words, hardware)
    return _on_this_node(words, hardware)


def is_worker() -> bool:
    """Whether this process is one of several that were started to train together."""
    return "RANK" in os.environ and "WORLD_SIZE" in os.environ


def is_launched() -> bool:
    """Whether another `glow` started this one, and does what is to be done once."""
    return _LAUNCHED in os.environ or _AGENT in os.environ


def is_silent() -> bool:
    """Whether another process says what is to be said once: that which started this, or the first of all."""
    return is_launched() or (is_worker() and os.environ["RANK"] != "0")


def note_told() -> None:
    """Note that this process has told of a mistake, if another `glow` started it and shows its output.

    As soon as one process has failed, the others are killed: by its exit code nobody could tell.
    """
    if is_worker() and _LAUNCHED in os.environ and os.environ.get("LOCAL_RANK") == "0":
        _told(Path(os.environ[_LAUNCHED])).touch()


def _told(logs: Path) -> Path:
    return logs / "told"


# --- several nodes --------------------------------------------------------------------------------


def _on_nodes(words: Sequence[str], hardware: TrainingHardware) -> int:
    """One agent on each node of the SLURM job; the exit code is the highest of theirs."""
    nodes = hardware.nodes
    if "SLURM_JOB_ID" not in os.environ:
        raise UserError(
            f"--nodes {nodes}: this is no SLURM job. In one of {nodes} nodes the same command works; "
            f"elsewhere start torchrun on each node: torchrun --nnodes {nodes} "
            f"--nproc-per-node {hardware.devices} --rdzv-backend c10d --rdzv-endpoint FIRST-NODE:29500 "
            "-m glow.cli (and the words after `glow`)"
        )
    with socket.socket() as free:
        free.bind(("", 0))
        port = free.getsockname()[1]
    environment = os.environ | {_AGENT: f"{socket.gethostname()}:{port}"}
    each = ["srun", f"--nodes={nodes}", f"--ntasks={nodes}", "--ntasks-per-node=1"]
    # Of a step that has failed, or stopped when asked, on one node, the other nodes have a minute to end.
    each += ["--kill-on-bad-exit=0", "--wait=60"]
    if cores := os.environ.get("SLURM_CPUS_PER_TASK"):  # from 22.05 on, a step does not inherit them
        each.append(f"--cpus-per-task={cores}")
    try:
        srun = subprocess.Popen([*each, *_command(), *words], env=environment)
    except FileNotFoundError:
        raise UserError(
            "srun: not found; several nodes are started by it, in a SLURM job and outside a container"
        ) from None
    with _passing_on():
        try:
            return srun.wait()
        except KeyboardInterrupt:
            srun.terminate()
            srun.wait()
            raise


# --- one node -------------------------------------------------------------------------------------


def _on_this_node(words: Sequence[str], hardware: TrainingHardware) -> int:
    # Late: to import torch takes seconds, which a process that only asks for help need not spend.
    from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException, Std
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.launcher.api import LaunchConfig, elastic_launch

    for name in ("torch.distributed.elastic", "torch.distributed.elastic.agent.server.api"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what failed, or ended it, is said below
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, len(os.sched_getaffinity(0)) // hardware.devices)))
    with tempfile.TemporaryDirectory(prefix="glow-launch-") as logs, _passing_on():
        os.environ[_LAUNCHED] = logs
        quiet = dict.fromkeys(range(1, hardware.devices), Std.ALL)
        config = LaunchConfig(
            min_nodes=hardware.nodes,
            max_nodes=hardware.nodes,
            nproc_per_node=hardware.devices,
            run_id=os.environ.get("SLURM_JOB_ID", "glow"),
            rdzv_backend="c10d",
            rdzv_endpoint=os.environ.get(_AGENT, "localhost:0"),
            max_restarts=0,
            monitor_interval=0.5,
            logs_specs=DefaultLogsSpecs(log_dir=logs, redirects=quiet),
        )
        command, *first = _command()
        try:
            elastic_launch(config, command)(*first, *words)
        except SignalException as ended:  # all processes have been sent it
            if ended.sigval == signal.SIGINT:
                raise KeyboardInterrupt from None
            print(f"ended by signal {int(ended.sigval)}", file=sys.stderr)
            return 128 + ended.sigval
        except ChildFailedError as error:
            rank, failure = error.get_first_failure()
            # Of what all have found, the first process has told.
            first_codes = {other.exitcode for other in error.failures.values() if not other.local_rank}
            if failure.exitcode not in first_codes and not _told(Path(logs)).exists():
                _show(rank, failure.local_rank, Path(logs))
            if failure.exitcode < 0:
                print(f"process {rank} was ended by signal {-failure.exitcode}", file=sys.stderr)
            return failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode
    return 0


def _command() -> list[str]:
    return [sys.executable, "-m", "glow.cli"]


def _show(rank: int, local_rank: int, logs: Path) -> None:
    """The last lines of a process whose output is not shown."""
    for stream in ("stdout", "stderr"):
        for file in logs.glob(f"**/{local_rank}/{stream}.log"):
            lines = file.read_text(encoding="utf-8", errors="replace").splitlines()[-_LAST_LINES:]
            if lines:
                print(f"--- process {rank}, {stream}:", *lines, sep="\n", file=sys.stderr)


@contextmanager
def _passing_on() -> Iterator[None]:
    """Pass a request to stop (`glow.files.stopping`) on to all processes below this one, meanwhile.

    SLURM sends it to all of them itself; to be asked twice does no harm.
    """
    done = threading.Event()

    def watch() -> None:
        told: set[psutil.Process] = set()
        while not done.wait(0.2):
            if stopping.asked():
                new = set(psutil.Process().children(recursive=True)) - told  # some may start only now
                for process in new:
                    with suppress(psutil.NoSuchProcess):
                        process.send_signal(signal.SIGUSR1)
                told |= new

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()
