"""Which GPUs of a machine a process uses: as many as it was given, and not those of another stage.

Libraries take every GPU that they see: TRL's trainers end in an error of DataParallel where one process sees
two.
"""

import fcntl
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import IO

from glow.errors import UserError

_VISIBLE = "CUDA_VISIBLE_DEVICES"

_claimed: list[IO[str]] = []
"""Open files whose locks say that a GPU is this process's; the system drops them when it ends."""


def claim(number: int, option: str) -> None:
    """Let this process, and those that it starts, see `number` GPUs, before any library has looked.

    GPUs that no other stage on this machine has claimed come first. A machine without GPUs is left alone, and
    so is a process that sees just as many (a SLURM job).

    Args:
        option: what asks for so many, for the message.

    Raises:
        UserError: there are fewer.
    """
    visible = _visible()
    if visible and len(visible) < number:
        raise UserError(
            f"{option}: {number} GPUs are asked for, and {len(visible)} can be seen here; ask for fewer"
        )
    if len(visible) <= number:
        return
    free = [device for device in visible if _is_free(device, number)]
    chosen = [*free, *(device for device in visible if device not in free)][:number]
    os.environ[_VISIBLE] = ",".join(chosen)
    os.environ.setdefault("CUDA_DEVICE_ORDER", "PCI_BUS_ID")  # nvidia-smi's


def _visible() -> list[str]:
    """The GPUs that this process may use, as CUDA_VISIBLE_DEVICES or nvidia-smi name them."""
    given = os.environ.get(_VISIBLE)
    if given is not None:
        return [device for device in given.split(",") if device and device != "-1"]
    if shutil.which("nvidia-smi") is None:
        return []
    query = ["nvidia-smi", "--query-gpu=index", "--format=csv,noheader"]
    found = subprocess.run(query, capture_output=True, text=True, check=False)
    return found.stdout.split() if found.returncode == 0 else []


def _is_free(device: str, number: int) -> bool:
    """Whether this process has claimed a GPU now; it claims no more than `number`."""
    if len(_claimed) == number:
        return False
    folder = Path(tempfile.gettempdir()) / f"glow-gpus-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    lock = (folder / device.replace("/", "-")).open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return False
    _claimed.append(lock)
    return True
