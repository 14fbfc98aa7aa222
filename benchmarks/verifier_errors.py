"""False accepts and false rejects on labelled cases: the verifier's, and math-verify's called directly.

A response is accepted if its verdict is `correct`; `unparsed`, `timeout` and the like accept nothing. Nothing
here says which label is right.
"""

import logging
import multiprocessing
import resource
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection

import psutil
from cases import ATTACKS, GROUPS, Case
from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify
from timing import table

from glow.config import Verification
from glow.verifier.equality import Gold
from glow.verifier.verify import Verifier

LIMIT_S = 20
"""Seconds for math-verify and one case; it has limits of its own, of five seconds a step."""
MEMORY = 2 << 30
"""Bytes that its process may take beyond what it has at the start."""
WITH_LETTERS = [LatexExtractionConfig(), ExprExtractionConfig(), StringExtractionConfig()]
"""What math-verify is to look for where choices are listed: its page names the last for letters."""


@dataclass(frozen=True)
class Judged:
    """A case, whether ours and math-verify accept it, and what ours found and why."""

    case: Case
    ours: bool
    direct: bool
    found: str


# --- judging --------------------------------------------------------------------------------------


class Directly:
    """math-verify as its own page calls it, in a process that is replaced when it does not answer in time."""

    def __init__(self) -> None:
        self._process: multiprocessing.process.BaseProcess | None = None

    def accepts(self, case: Case) -> bool:
        """Whether it says so in time."""
        if self._process is None:
            self._start()
        self._pipe.send(case)
        try:
            answered = self._pipe.poll(LIMIT_S)
            return answered and self._pipe.recv()
        except EOFError:
            answered = False
            return False
        finally:
            if not answered:
                self.close()

    def close(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process = None

    def _start(self) -> None:
        fork = multiprocessing.get_context("fork")
        self._pipe, theirs = fork.Pipe()
        self._process = fork.Process(target=_serve, args=(theirs,), daemon=True)
        self._process.start()
        theirs.close()


def _serve(pipe: Connection) -> None:
    most = psutil.Process().memory_info().vms + MEMORY
    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    while True:
        case = pipe.recv()
        try:
            pipe.send(_equal(case))
        except Exception:
            pipe.send(False)


def _equal(case: Case) -> bool:
    gold = case.answer if "$" in case.answer else f"${case.answer}$"
    if case.choices:
        return verify(parse(gold, WITH_LETTERS), parse(case.response, WITH_LETTERS))
    return verify(parse(gold), parse(case.response))


def judge(cases: Sequence[Case], workers: int) -> list[Judged]:
    """Every case by both."""
    logging.disable(logging.CRITICAL)
    direct = Directly()
    accepted = {case: direct.accepts(case) for case in cases}
    direct.close()
    ours: dict[Case, tuple[bool, str]] = {}
    for extraction in sorted({case.extraction for case in cases}):
        chosen = [case for case in cases if case.extraction == extraction]
        with Verifier(Verification(extraction=extraction), workers) as verifier:
            golds = [Gold(case.answer, choices=case.choices) for case in chosen]
            items = [(case.response, gold, None) for case, gold in zip(chosen, golds, strict=True)]
            for case, verdict in zip(chosen, verifier.judge(items), strict=True):
                found = f"found {verdict.extracted!r}, {verdict.verdict} ({verdict.reason})"
                ours[case] = verdict.verdict == "correct", found
    return [Judged(case, ours[case][0], accepted[case], ours[case][1]) for case in cases]


# --- reporting ------------------------------------------------------------------------------------

Accepts = Callable[[Judged], bool]
GRADERS: tuple[Accepts, Accepts] = (lambda judged: judged.ours, lambda judged: judged.direct)
HEADINGS = [
    "right", "wrong",
    "false accepts, ours", "math-verify", "false rejects, ours", "math-verify",
]  # fmt: skip


def errors(judged: Iterable[Judged], expected: str, accepts: Accepts) -> str:
    """How many of the cases that are right are refused, or of the wrong accepted."""
    asked = [accepts(one) for one in judged if one.case.expected == expected]
    n = asked.count(expected == "wrong")
    return f"{n} ({100 * n / len(asked):.1f} %)" if asked else "no case"


def line(title: str, judged: list[Judged]) -> list[str]:
    counts = [str(sum(one.case.expected == expected for one in judged)) for expected in ("correct", "wrong")]
    rates = [errors(judged, expected, by) for expected in ("wrong", "correct") for by in GRADERS]
    return [title, *counts, *rates]


def of_kinds(judged: Sequence[Judged], kinds: Iterable[str]) -> list[Judged]:
    return [one for one in judged if one.case.kind in kinds]


def tables(title: str, judged: Sequence[Judged]) -> list[str]:
    """By groups of kinds, by attack, and by every kind."""
    kinds = sorted({one.case.kind for one in judged})
    grouped = [line(group, of_kinds(judged, GROUPS[group])) for group in GROUPS]
    return [
        f"## {title}",
        table(["groups of kinds", *HEADINGS], [*grouped, line("all", list(judged))]),
        table(["attacks", *HEADINGS], [line(kind, of_kinds(judged, [kind])) for kind in ATTACKS]),
        table(["kinds", *HEADINGS], [line(kind, of_kinds(judged, [kind])) for kind in kinds]),
    ]


def misses(judged: Sequence[Judged]) -> str:
    """Each case that ours gets wrong, with what it found."""
    lines = [
        f"- {one.case.id}, {one.case.kind}, {'accepted' if one.ours else 'refused'}: {one.found}; gold "
        f"{one.case.answer[:80]!r}; {one.case.why}; response ends {one.case.response[-120:]!r}"
        for one in judged
        if one.ours != (one.case.expected == "correct")
    ]
    return "\n".join(lines) or "No misses."


def figures(judged: Sequence[Judged]) -> dict[str, dict[str, int]]:
    """As JSON takes them: the counts of each kind."""
    counts: dict[str, dict[str, int]] = {}
    for one in judged:
        kind = counts.setdefault(one.case.kind, dict.fromkeys(COUNTED, 0))
        is_right = one.case.expected == "correct"
        kind["right" if is_right else "wrong"] += 1
        for grader, accepted in (("ours", one.ours), ("math_verify", one.direct)):
            if accepted != is_right:
                kind[f"{grader}_{'refused' if is_right else 'accepted'}"] += 1
    return dict(sorted(counts.items()))


COUNTED = ("right", "wrong", "ours_accepted", "ours_refused", "math_verify_accepted", "math_verify_refused")
"""Cases of a kind by what they are, and those that a grader wrongly accepted or refused."""
