"""interrupted: Ctrl-C is one line and code 130, at any time, and for all processes of a group."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROWS = 3000


def started(*words: str) -> "subprocess.Popen[str]":
    """`glow` with these words, in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", "glow.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def interrupted(process: "subprocess.Popen[str]", times: int = 1) -> list[str]:
    """The lines that it prints after Ctrl-C, without bars of progress."""
    for _ in range(times):
        os.killpg(process.pid, signal.SIGINT)
        time.sleep(0.01)
    output, _ = process.communicate(timeout=120)
    lines = [line for line in output.replace("\r", "\n").splitlines() if line and "rows/s]" not in line]
    return [line for line in lines if not line.startswith("--- ")]


@pytest.mark.parametrize("times", [1, 3])
def test_a_stage_at_work_ends_in_one_line_and_leaves_nothing(tmp_path: Path, times: int) -> None:
    rows, output = tmp_path / "rows.jsonl", tmp_path / "out" / "verdicts.jsonl"
    row = {"question": "q", "response": r"\boxed{x^{%d}+1}", "answer": "1+x^{%d}"}
    with rows.open("w") as stream:
        for number in range(ROWS):
            stream.write(json.dumps(row).replace("%d", str(number)) + "\n")
    process = started("verify", "--input", str(rows), "--output", str(output), "--workers", "2")
    while not list(output.parent.glob(".*.partial-*")):  # it has begun to write
        assert process.poll() is None
        time.sleep(0.02)
    assert interrupted(process, times) == ["glow verify: interrupted; run it again to go on"]
    assert process.returncode == 130
    assert list(output.parent.iterdir()) == []


def test_a_command_line_that_still_loads_ends_in_one_line(tmp_path: Path) -> None:
    """It says that it is there by an import of its own: of this file, before any other."""
    (tmp_path / "yaml.py").write_text("print('loading', flush=True)\nimport time\ntime.sleep(60)\n")
    process = subprocess.Popen(
        [sys.executable, "-m", "glow.cli", "check", "none.yaml"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env=os.environ | {"PYTHONPATH": f"{tmp_path}:{os.environ.get('PYTHONPATH', '')}"},
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "loading\n"
    assert interrupted(process) == ["glow: interrupted; run it again to go on"]
    assert process.returncode == 130


def test_where_ctrl_c_is_ignored_it_stays_so() -> None:
    """A job in the background of a script: the shell has it ignore what is meant for others."""
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
        "from glow.files import interrupted\n"
        "with interrupted.listen():\n"
        "    os.kill(os.getpid(), signal.SIGINT)\n"
        "    print('still here')\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ended.stdout == "still here\n"
