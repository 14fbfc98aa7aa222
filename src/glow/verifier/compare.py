"""Comparing two answers as expressions, in processes that can be killed: math-verify behind a fence.

Says only whether two answers are equal; what a response states and what its verdict is, is
`glow.verifier.verify`'s. The processes run `compare_worker.py` and are plain subprocesses, neither forks of
this (threaded, torch-laden) process nor re-runs of its main module.
"""

import json
import os
import select
import subprocess
import sys
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import IO

from glow.files.records import Verdict

MEMORY = 2**30
"""Bytes that a worker may use beyond what it starts with."""

_ENVIRONMENT = {
    *("PATH", "HOME", "USER", "TMPDIR", "TZ", "LANG", "LC_ALL", "LC_CTYPE", "LD_LIBRARY_PATH"),
    *("PYTHONPATH", "PYTHONHOME", "PYTHONDONTWRITEBYTECODE", "PYTHONPYCACHEPREFIX", "VIRTUAL_ENV"),
}
"""What a worker is told of this process's environment: what Python needs to start, and no token."""

_MOST_OUTCOMES = 50_000
"""Pairs whose outcome is kept: a question's samples mostly state the same few answers."""
PAIRS_A_WORKER = 10_000
"""Comparisons after which a worker is replaced: sympy's caches grow by some 10 kB each."""
_START_S = 300.0
"""Wall-clock seconds that a worker may take to start."""


@dataclass(frozen=True)
class Outcome:
    """A verdict (correct, wrong, timeout or error), its reason, and the time that the comparison took."""

    verdict: Verdict
    reason: str
    milliseconds: float = field(default=0.0, compare=False)


class Comparer:
    """Threads that each talk to a worker process of their own, started when it is first needed.

    Usable from any thread. `close` ends the processes at once; without it they end with this process,
    even when it is killed.
    """

    def __init__(self, workers: int, cpu_seconds: float) -> None:
        """Up to `workers` processes; a comparison may take `cpu_seconds` of CPU time."""
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="compare")
        self._cpu_seconds = cpu_seconds
        self._local = _ThreadState()
        self._workers: list[_Worker] = []
        self._outcomes: dict[tuple[str, str], Future[Outcome]] = {}
        self._lock = threading.Lock()
        self._closed = False

    def compare(self, stated: str, gold: str) -> Future[Outcome]:
        """Whether `stated` equals `gold`; pairs seen before are not compared again."""
        with self._lock:
            if len(self._outcomes) >= _MOST_OUTCOMES:
                self._outcomes.clear()
            if (stated, gold) not in self._outcomes:
                self._outcomes[stated, gold] = self._pool.submit(self._run, stated, gold)
            return self._outcomes[stated, gold]

    def close(self) -> None:
        """Kill the processes; what is still being compared is given up."""
        with self._lock:
            self._closed = True
            for worker in self._workers:
                worker.kill()
        self._pool.shutdown(cancel_futures=True)

    def _run(self, stated: str, gold: str) -> Outcome:
        started = time.perf_counter()
        outcome = self._worker().compare(stated, gold)
        if outcome.verdict == "error":
            # It may have been killed by another's hand, even before this pair: once more, on a new one.
            outcome = self._worker().compare(stated, gold)
        return replace(outcome, milliseconds=1000 * (time.perf_counter() - started))

    def _worker(self) -> "_Worker":
        """This thread's worker, alive and not worn out."""
        worker = self._local.worker
        if worker is not None and worker.compared >= PAIRS_A_WORKER:
            worker.kill()
        if worker is None or not worker.alive:
            worker = self._local.worker = self._start()
        return worker

    def _start(self) -> "_Worker":
        with self._lock:
            if self._closed:
                raise RuntimeError("the comparer is closed")
            worker = _Worker(self._cpu_seconds)
            self._workers = [*(other for other in self._workers if other.alive), worker]
        worker.wait_until_ready()
        return worker


class _Worker:
    """One worker process and the pipes to it. Used by one thread; killed by any."""

    def __init__(self, cpu_seconds: float) -> None:
        self.compared = 0
        self._cpu_seconds = cpu_seconds
        # CPU time is what counts (see compare_worker); this only ends a worker that gets none for ages.
        self._wall_seconds = 20 * cpu_seconds + 30
        script = Path(__file__).with_name("compare_worker.py")
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(script), str(cpu_seconds), str(MEMORY)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            process_group=0,  # Ctrl-C is this process's to handle: it closes the pipe.
            # The order in which sympy meets symbols follows their hashes.
            env={name: os.environ[name] for name in _ENVIRONMENT & os.environ.keys()}
            | {"PYTHONHASHSEED": "0"},
            text=True,
            encoding="utf-8",
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._requests: IO[str] = self._process.stdin
        self._replies: IO[str] = self._process.stdout

    @property
    def alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()

    def wait_until_ready(self) -> None:
        if self._reply(_START_S) != "ready\n":
            self.kill()
            raise RuntimeError("a verifier process did not start; the reason stands above")

    def compare(self, stated: str, gold: str) -> Outcome:
        """The outcome for one pair; the process may be dead afterwards."""
        self.compared += 1
        try:
            self._requests.write(json.dumps([stated, gold]) + "\n")
            self._requests.flush()
            reply = self._reply(self._wall_seconds)
        except BrokenPipeError:
            reply = ""
        match reply:
            case "true\n":
                return Outcome("correct", "equal (math-verify)")
            case "false\n":
                return Outcome("wrong", "not equal (math-verify)")
            case '"timeout"\n':
                return Outcome("timeout", f"no verdict within {self._cpu_seconds:g} s")
            case None:
                self.kill()
                return Outcome("timeout", f"no verdict after {self._wall_seconds:g} s")
            case _:
                return self._post_mortem()

    def _reply(self, seconds: float) -> str | None:
        """The next line; "" when the process has ended, None when nothing came in time."""
        poll = select.poll()
        poll.register(self._replies, select.POLLIN | select.POLLHUP)
        return self._replies.readline() if poll.poll(1000 * seconds) else None

    def _post_mortem(self) -> Outcome:
        code = self._process.wait()
        how = f"signal {-code}" if code < 0 else f"exit code {code}"
        return Outcome("error", f"the process that compared it died ({how})")


class _ThreadState(threading.local):
    """What belongs to the current thread."""

    worker: _Worker | None = None
