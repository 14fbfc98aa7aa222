"""What SIGTERM ends leaves nothing half-written, says so in a line, and has the code 143."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from glow.files.stopping import listen

WRITING = """
import sys, time
from pathlib import Path
from glow.files.atomic import atomic_folder, atomic_path
from glow.files.lock import held
from glow.files.stopping import listen

place = Path(sys.argv[1])
with listen(), held(place / "rows.jsonl", "glow writes"):
    with atomic_path(place / "rows.jsonl") as partial, atomic_folder(place / "model") as folder:
        partial.write_text("half")
        (folder / "weights").write_text("half")
        print(len(list(place.iterdir())), flush=True)
        for _ in range(6000):
            time.sleep(0.01)
"""


def test_a_stage_that_is_ended_leaves_nothing_half_written(tmp_path: Path) -> None:
    place = tmp_path / "results"
    place.mkdir()
    environment = {name: value for name, value in os.environ.items() if name != "RANK"}
    process = subprocess.Popen(
        [sys.executable, "-c", WRITING, str(place)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert process.stdout is not None
    assert int(process.stdout.readline()) >= 2
    process.terminate()
    _, said = process.communicate(timeout=60)
    assert process.returncode == 143
    assert said == "asked to end (SIGTERM): what was half-written is removed; the same command goes on\n"
    assert list(place.iterdir()) == []


def test_a_fork_ends_as_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The workers of a DataLoader, say, which are ended by SIGTERM, and have none of their parent's files."""
    monkeypatch.delenv("RANK", raising=False)
    with listen():
        ready, child_is = os.pipe()
        child = os.fork()
        if child == 0:  # what came before it is whole, Python forgets
            os.write(child_is, b"ready")
            while True:
                signal.pause()
        os.read(ready, 5)
        os.kill(child, signal.SIGTERM)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == -signal.SIGTERM
        for end in (ready, child_is):
            os.close(end)


def test_after_listening_the_signal_does_what_it_did() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with listen():
        pass
    assert signal.getsignal(signal.SIGTERM) == before
