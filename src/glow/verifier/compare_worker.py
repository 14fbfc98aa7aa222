r"""The process in which answers are read as expressions and compared, by math-verify. Not imported.

`glow.verifier.compare` starts it by its file name and with -P, so that it imports math-verify and nothing
else. It reads one JSON list [stated, gold] a line and answers `true` or `false`; its first line says that it
is ready.
Text from a model is parsed here only, and nothing in here can outlive its deadline:

- each comparison may use as much CPU time as the deadline says; then the kernel ends the process
  (SIGPROF, whose default it is), whatever Python or C code it is in. CPU time, so that a loaded machine
  changes no verdict;
- memory is capped;
- when the parent is gone, by whatever means, its pipe ends, and so does this process.

usage: python -P compare_worker.py CPU_SECONDS MEMORY_BYTES
"""

import json
import logging
import os
import re
import resource
import signal
import sys
import time
from functools import lru_cache
from pathlib import Path
from typing import Any

signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle: it closes the pipe.

from latex2sympy2_extended import NormalizationConfig  # noqa: E402
from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify  # noqa: E402
from sympy import (  # noqa: E402
    Expr,
    I,
    Interval,
    MatrixBase,
    MatrixExpr,
    Rational,
    Set,
    Symbol,
    Tuple,
    UnevaluatedExpr,
    Union,
)

# As math-verify's own, but for units: those it strips (c, d, h, m, s, t, ab ...) are factors as often,
# so that it finds 3ab equal to 3. What is a unit is glow.verifier.equality's to say.
_EXTRACTION = [
    LatexExtractionConfig(
        normalization_config=NormalizationConfig(
            basic_latex=True, units=False, malformed_operators=True, nits=True, boxed="all"
        )
    ),
    ExprExtractionConfig(),
]
_OR = re.compile(r"\s*(?:\\text\s*\{\s*or\s*\}|\bor\b|\\cup(?![A-Za-z])|\\lor(?![A-Za-z]))\s*")
_INEQUALITY = re.compile(r"[<>]|\\(?:le|ge|lt|gt|leq|geq)(?![A-Za-z])")
_DESCENDING_SIGN = re.compile(r"\\g(?:eq?|t)(?![A-Za-z])|>=?")
_ASCENDING_SIGNS = {">": "<", r"\gt": "<", ">=": r"\le ", r"\ge": r"\le ", r"\geq": r"\le "}


def equal(stated: str, gold: str) -> bool:
    """Whether math-verify finds the two answers equal, with what it misses of inequalities and i."""
    ours, theirs = read(stated), read(gold)
    if _differ_at_a_point(ours, theirs):
        return False
    if _verify(theirs, ours):
        return True
    # math-verify's i is a symbol: for it i^2 is not -1, and the i of 2i not always that of 2 i.
    if _has_i(ours) or _has_i(theirs):
        return _verify(_with_unit(theirs), _with_unit(ours))
    region, right = _region(stated, ours), _region(gold, theirs)
    return region is not None and right is not None and region == right


def _differ_at_a_point(ours: list[Any], theirs: list[Any]) -> bool:
    """Whether both are expressions that differ in value at one point.

    math-verify would try to simplify their difference to zero, for seconds where it is none.
    """
    values = []
    for found in (_with_unit(ours), _with_unit(theirs)):
        if (
            not found
            or not isinstance(found[0], Expr)
            or found[0].has(UnevaluatedExpr, MatrixExpr, MatrixBase)
        ):
            return False  # of no single value, or a percentage, which may be left out
        points = {
            symbol: Rational(314 + 37 * k * k, 271)
            for k, symbol in enumerate(sorted(found[0].free_symbols, key=str), 1)
        }
        # Not xreplace: an exact power of two rationals can take longer than any deadline.
        values.append((found[0].free_symbols, found[0].evalf(15, subs=points)))
    if {str(symbol) for symbol in values[0][0]} != {str(symbol) for symbol in values[1][0]}:
        return False  # the points are not the same ones
    first, second = values[0][1], values[1][1]
    if not (first.is_number and second.is_number and first.is_finite and second.is_finite):
        return False
    # In sympy's numbers: 2^2008 is too large for a float.
    gap, one, other = (abs(value).evalf(15) for value in (first - second, first, second))
    # Of two tiny numbers, math-verify sees six places only; what is smaller yet may be a rounded zero.
    tiny = min(one, other) > 1e-60 and gap > max(one, other) / 1000
    return bool(gap > 1e-5 * max(1, one, other)) or bool(tiny)


def _verify(gold: list[Any], stated: list[Any]) -> bool:
    # An inequality equals its interval, whichever of the two the gold is.
    return verify(gold, stated, timeout_seconds=None, allow_set_relation_comp=True)


@lru_cache(maxsize=2048)
def _timed_parse(text: str) -> tuple[list[Any], float]:
    """What `text` reads as, and the CPU seconds that reading it took."""
    started = time.process_time()
    found = parse(rf"\boxed{{{_ascending_chain(text)}}}", _EXTRACTION, parsing_timeout=None)
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


def _ascending_chain(text: str) -> str:
    """`3 > x > 1` as `1 < x < 3`: of chains, math-verify compares the links in order."""
    links = _DESCENDING_SIGN.findall(text)
    if len(links) < 2 or "<" in text or r"\le" in text.replace(r"\left", ""):
        return text
    parts = _DESCENDING_SIGN.split(text)
    turned = parts[-1]
    for link, part in zip(reversed(links), reversed(parts[:-1]), strict=True):
        turned += f" {_ASCENDING_SIGNS[link]} {part}"
    return turned


def _has_i(found: list[Any]) -> bool:
    return any(symbol.name == "i" for one in found for symbol in getattr(one, "free_symbols", ()))


def _with_unit(found: list[Any]) -> list[Any]:
    """The same with the imaginary unit for the symbol i, and pairs of numbers as such: no interval has i."""
    units = {Symbol("i", real=real): I for real in (True, False, None)}
    pairs = [
        Tuple(*one.args[:2]) if isinstance(one, Interval) and one.left_open and one.right_open else one
        for one in found
    ]
    try:
        return [one.xreplace(units) if hasattr(one, "xreplace") else one for one in pairs]
    except ValueError:  # what can only be an interval, though an end of it is not real
        return found


def _region(text: str, found: list[Any]) -> Any:
    """The set of numbers that `x < 1 or x > 3` describes; None of what is no such thing."""
    sets = [one for one in found if isinstance(one, Set) and not _INEQUALITY.search(text)]
    if sets:
        return sets[0]
    parts = _OR.split(text)
    if len(parts) < 2 or not all(_INEQUALITY.search(part) for part in parts):
        return None
    relations = [read(part)[:1] for part in parts]
    if not all(relation and hasattr(relation[0], "as_set") for relation in relations):
        return None
    try:
        return Union(*(relation[0].as_set() for relation in relations))
    except (NotImplementedError, ValueError, TypeError, AttributeError):
        return None  # More than one variable, or nothing that sympy can solve.


def main(cpu_seconds: float, memory_bytes: int) -> None:
    # Whatever a library prints must not reach the pipe: its number goes to us, 1 goes nowhere.
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    logging.disable(logging.CRITICAL)
    for pair in _WARM_UP_PAIRS:  # Builds the parser's tables before the clock runs.
        equal(*pair)
    _cap_memory(memory_bytes)
    print("ready", file=replies, flush=True)
    os.dup2(1, 2)  # From here on what is said on stderr could quote a model; a death is told by its signal.
    for line in sys.stdin:
        stated, gold = json.loads(line)
        signal.setitimer(signal.ITIMER_PROF, cpu_seconds)
        outcome = equal(stated, gold)
        signal.setitimer(signal.ITIMER_PROF, 0)
        print(json.dumps(outcome), file=replies, flush=True)


_WARM_UP_PAIRS = ((r"\frac{1}{2}", "x = 0.25"), (r"\left(1, \sqrt{2}\right]", r"2\pi r^{2} + 3"))


def _cap_memory(extra: int) -> None:
    """Allow `extra` bytes of address space beyond what is mapped now (Linux; elsewhere no cap)."""
    statm = Path("/proc/self/statm")
    if statm.exists():
        mapped = int(statm.read_text().split()[0]) * resource.getpagesize()
        resource.setrlimit(resource.RLIMIT_AS, (mapped + extra, mapped + extra))


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]))
