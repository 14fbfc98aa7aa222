r"""The process in which answers are read as expressions and compared, by math-verify. Not imported.

`glow.verifier.compare` starts it by its file name and with -P, so that it imports math-verify and nothing
else. It reads one JSON list [stated, gold] a line and answers `true`, `false` or `"timeout"`; its first line
says that it is ready.
Nothing in here can outlive its deadline:

- comparisons run in a child process, and each may use as much CPU time as the deadline says; then the kernel
  ends the child (SIGPROF, whose default it is), whatever Python or C code it is in. CPU time, so that a
  loaded machine changes no verdict. The next child is a fork of this process, with math-verify imported;
- memory is capped; so are open files, and nothing can be written to a file or, but by root, be started;
- when the parent is gone, by whatever means, its pipe ends, and so do this process and its child.

usage: python -P compare_worker.py CPU_SECONDS MEMORY_BYTES
"""

import ctypes
import json
import logging
import os
import resource
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import IO, Any

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it closes the pipe.

from latex2sympy2_extended import NormalizationConfig  # noqa: E402
from math_verify import LatexExtractionConfig, parse, verify  # noqa: E402

# As math-verify's own, but for two things. Units: those it strips (c, d, h, m, s, t, ab ...) are factors as
# often, so that it finds 3ab equal to 3. And text that is no LaTeX: it would take the last number in it.
_EXTRACTION = [
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all"
        )
    )
]


def equal(stated: str, gold: str) -> bool:
    """Whether math-verify finds the two answers equal."""
    # An inequality equals its interval, whichever of the two the gold is.
    return verify(read(gold), read(stated), timeout_seconds=None, allow_set_relation_comp=True)


@lru_cache(maxsize=2048)
def _timed_parse(text: str) -> tuple[list[Any], float]:
    """What `text` reads as, and the CPU seconds that reading it took."""
    started = time.process_time()
    found = parse(rf"\boxed{{{text}}}", _EXTRACTION, parsing_timeout=None)
    return found, time.process_time() - started


def read(text: str) -> list[Any]:
    """`_timed_parse`, charged to the deadline of this comparison even where it was remembered.

    So it makes no difference to a verdict which pairs a worker had before.
    """
    hits = _timed_parse.cache_info().hits
    found, seconds = _timed_parse(text)
    if _timed_parse.cache_info().hits > hits:
        _charge(seconds)
    return found


def _charge(seconds: float) -> None:
    left, _ = signal.getitimer(signal.ITIMER_PROF)
    if left > 0:  # The clock runs.
        signal.setitimer(signal.ITIMER_PROF, max(left - seconds, 1e-6))


def main(cpu_seconds: float, memory_bytes: int) -> None:
    # Whatever a library prints must not reach the pipe: its number goes to us, 1 goes nowhere.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)
    for pair in _WARM_UP_PAIRS:  # Builds the parser's tables before the clock runs.
        equal(*pair)
    _cap_memory(memory_bytes)
    _cap(resource.RLIMIT_NOFILE, 64)
    _cap(resource.RLIMIT_FSIZE, 0)
    _cap(resource.RLIMIT_CORE, 0)
    print("ready", file=replies, flush=True)
    os.dup2(1, 2)  # From here on what is said on stderr could quote a model; a death is told by its signal.
    while _child_timed_out(replies, cpu_seconds):
        print(json.dumps("timeout"), file=replies, flush=True)


def _child_timed_out(replies: IO[str], cpu_seconds: float) -> bool:
    """Let a child compare; whether it met a deadline. Any other end of it is the end of this process too."""
    here = os.getpid()
    child = os.fork()
    if child == 0:
        _end_with(here)
        _cap(resource.RLIMIT_NPROC, 0)
        _compare_all(replies, cpu_seconds)
        os._exit(0)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    if code == -signal.SIGPROF:
        return True
    if code < 0:
        os.kill(here, -code)
    sys.exit(code)


def _end_with(parent: int) -> None:
    """Have this process killed when its parent ends (Linux; elsewhere it ends with its pipe)."""
    if sys.platform == "linux":
        pr_set_pdeathsig = 1
        ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(0)


def _compare_all(replies: IO[str], cpu_seconds: float) -> None:
    for line in sys.stdin:
        stated, gold = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        outcome = equal(stated, gold)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(outcome), file=replies, flush=True)


_WARM_UP_PAIRS = ((r"\frac{1}{2}", "x = 0.25"), (r"\left(1, \sqrt{2}\right]", r"2\pi r^{2} + 3"))


def _cap(what: int, most: int) -> None:
    """Lower a limit of this process, for good."""
    _, hard = resource.getrlimit(what)
    most = most if hard == resource.RLIM_INFINITY else min(most, hard)
    resource.setrlimit(what, (most, most))


def _cap_memory(extra: int) -> None:
    """Allow `extra` bytes of address space beyond what is mapped now (Linux; elsewhere no cap)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
