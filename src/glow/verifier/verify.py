"""Judging responses: correct, wrong, unparsed, truncated, timeout or error, and why.

The same `Verifier` labels trajectories, scores evaluations and rewards GRPO. What is equal or different
as text, number, date, choice letter and so on is seen here (`glow.verifier.equality`); everything else is
compared by math-verify in worker processes with a deadline (`glow.verifier.compare`). No text from a model is
parsed as code, and none as an expression of more than a bounded size, in this process.

A verdict is a function of an `Item` and the settings alone: not of the number of
workers, of the order of rows, or of how loaded the machine is.
"""

import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import NamedTuple, Self

from glow.config import Prompt, Verification
from glow.files.records import AnswerPlace, Leniency, Verdict
from glow.verifier import answers
from glow.verifier.answers import Extraction
from glow.verifier.compare import Comparer, Outcome
from glow.verifier.equality import TOO_LONG, Gold, decide, infer_type, is_bracket_row, names_none, prepared
from glow.verifier.thoughts import Thought


class Item(NamedTuple):
    """A response to be judged.

    A gold answer as a plain string has its type inferred; a `Gold` may state type and choices. A finish
    reason is one of `records.FinishReason`, or None for unknown. `thought_open`: the prompt had opened a
    thought, which the response goes on with. `stated`: the answer, where it was extracted already; the
    response is then not searched for it.
    """

    response: str
    gold: str | Gold
    finish_reason: str | None = None
    thought_open: bool = False
    stated: str | None = None


CUT_OFF = {"length": "cut off at the token limit", "interrupted": "interrupted before its end"}
"""Finish reasons that give the verdict `truncated`, whoever judges, and what the verdict says then."""

_THOUGHT = Prompt().thought
_LOOKAHEAD = 1000
"""Items begun behind one that is still being compared."""
_MOST_WORKERS = 32


def own_cores() -> int:
    """The processor cores that this process may use, shared with others of its run on this machine."""
    processes = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, min(len(os.sched_getaffinity(0)) // processes, _MOST_WORKERS))


@dataclass(frozen=True)
class Judgement:
    """A verdict (`records.VERDICTS`), the answer as extracted, and the reason.

    extracted_from: where the answer stood (`records.AnswerPlace`); None without one. leniency: what is
    overlooked if the answer counts as right; the settings say whether it does. answer_type: the gold's, given
    or inferred. milliseconds: wall-clock time that this verdict took (of a pair compared before: what it took
    then); never compared nor written to files, which must be the same on every run.
    """

    verdict: Verdict
    extracted: str | None
    reason: str
    extracted_from: AnswerPlace | None = None
    leniency: Leniency | None = None
    answer_type: str = field(default="expression", compare=False)
    milliseconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class _Comparison:
    """An answer that is being compared."""

    found: Extraction
    answer_type: str
    outcome: Future[Outcome]
    milliseconds: float


class Verifier:
    """Judges responses, with `workers` processes that start when one is first needed.

    What stands between the marks of a `thought` is no answer (`glow.verifier.thoughts`).

    Usable from any thread, and from several at once. As a context manager it ends its workers at once;
    without `close` they end with this process, even when it is killed.
    """

    def __init__(self, settings: Verification, workers: int = 1, thought: Thought = _THOUGHT) -> None:
        self.settings = settings
        self.thought = thought
        self._comparer = Comparer(workers, settings.timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the workers; what is still being compared is given up."""
        self._comparer.close()

    def same(self, first: str, second: str, gold: str | Gold = "") -> bool:
        """Whether two answers, as extracted, are equal: either would be right were the other the gold.

        Of the question's own `gold` the type and the choices count, and never the answer.
        """
        question = gold if isinstance(gold, Gold) else Gold(gold)
        return self._same(first, replace(question, answer=second)) or self._same(
            second, replace(question, answer=first)
        )

    def classes(self, stated: Sequence[str | None], gold: str | Gold = "") -> list[int]:
        """The class of each answer by `same`, numbered from 0 by first occurrence; -1 where there is none.

        An answer joins the first class whose first member it equals, so the classes are disjoint though
        equality within a tolerance is not transitive. For votes among samples of one question, of whose
        `gold` the type and the choices count, and never the answer.
        """
        question = gold if isinstance(gold, Gold) else Gold(gold)
        members: list[str] = []
        known: dict[str, int] = {}
        numbers = []
        for answer in stated:
            if answer is not None and answer not in known:
                found = next(
                    (k for k, member in enumerate(members) if self.same(answer, member, question)), None
                )
                if found is None:
                    found = len(members)
                    members.append(answer)
                known[answer] = found
            numbers.append(-1 if answer is None else known[answer])
        return numbers

    def _same(self, stated: str, gold: Gold) -> bool:
        decision = decide(stated, gold)
        if decision is not None:
            return decision.equal and not self._refuses(decision.leniency)
        pair = prepared(stated, gold.type), prepared(gold.answer, gold.type)
        return self._comparer.compare(*pair).result().verdict == "correct"

    def _refuses(self, leniency: Leniency | None) -> bool:
        return leniency is not None and self.settings.leniency == "refuse"

    def judge_one(self, response: str, answer: str | Gold, finish_reason: str | None = None) -> Judgement:
        """Judge one response against its gold answer."""
        return next(self.judge([(response, answer, finish_reason)]))

    def judge(
        self,
        items: Iterable[Item | tuple[str, str | Gold, str | None] | tuple[str, str | Gold, str | None, bool]],
    ) -> Iterator[Judgement]:
        """Judge items, in their order: each an `Item`, or its fields as a tuple.

        Items are drawn only a little ahead of the judgements taken, so an endless stream is fine.
        """
        begun: deque[Judgement | _Comparison] = deque()
        for item in items:
            begun.append(self._begin(Item(*item)))
            while begun and (len(begun) > _LOOKAHEAD or self._is_ready(begun[0])):
                yield self._finish(begun.popleft())
        while begun:
            yield self._finish(begun.popleft())

    def _begin(self, item: Item) -> Judgement | _Comparison:
        started = time.perf_counter()
        try:
            read = _read(item, self.settings, self.thought)
        except Exception as error:  # A fault of ours, met by one odd text, must not end a run over millions.
            failed = _Settled("error", f"reading it failed: {error!r:.200}")
            read = _Reading("expression", Extraction(None), failed)
        if isinstance(read.result, _Expressions):
            outcome = self._comparer.compare(*read.result)
            return _Comparison(read.found, read.kind, outcome, 1000 * (time.perf_counter() - started))
        milliseconds = 1000 * (time.perf_counter() - started)
        return self._judgement(read.found, read.result, read.kind, milliseconds)

    @staticmethod
    def _is_ready(begun: Judgement | _Comparison) -> bool:
        return isinstance(begun, Judgement) or begun.outcome.done()

    def _finish(self, begun: Judgement | _Comparison) -> Judgement:
        if isinstance(begun, Judgement):
            return begun
        outcome = begun.outcome.result()
        settled = _Settled(outcome.verdict, outcome.reason)
        milliseconds = begun.milliseconds + outcome.milliseconds
        return self._judgement(begun.found, settled, begun.answer_type, milliseconds)

    def _judgement(self, found: Extraction, settled: "_Settled", kind: str, milliseconds: float) -> Judgement:
        verdict, reason, leniency = settled
        if self._refuses(leniency):
            verdict, reason = "wrong", f"{reason}, but refused: {leniency}"
        return Judgement(verdict, found.answer, reason, found.place, leniency, kind, milliseconds)


def _fault_of(gold: Gold) -> str | None:
    """Why nothing could be right: that is no fault of the response."""
    if not gold.answer.strip():
        return "the gold answer is empty"
    return "the gold answer names none of its choices" if gold.choices and names_none(gold) else None


class _Settled(NamedTuple):
    """A verdict for which nothing had to be compared as an expression."""

    verdict: Verdict
    reason: str
    leniency: Leniency | None = None


class _Expressions(NamedTuple):
    """Two answers to be compared as expressions."""

    stated: str
    gold: str


class _Reading(NamedTuple):
    """What strings alone say of a response: the gold's type, the stated answer, and what follows."""

    kind: str
    found: Extraction
    result: _Settled | _Expressions


def _read(item: Item, settings: Verification, thought: Thought) -> _Reading:
    gold = item.gold if isinstance(item.gold, Gold) else Gold(item.gold)
    kind = gold.type or infer_type(gold.answer)
    if item.stated is None:
        brackets = is_bracket_row(gold)
        found = answers.stated(item.response, settings, thought, item.thought_open, brackets=brackets)
    else:
        found = answers.given(item.stated)
    result = _verdict_by_rules(found, gold, item.finish_reason)
    if result is None:
        pair = _Expressions(prepared(found.answer or "", gold.type), prepared(gold.answer, gold.type))
        return _Reading(kind, found, pair)
    return _Reading(kind, found, result)


def _verdict_by_rules(found: Extraction, gold: Gold, finish_reason: str | None) -> _Settled | None:
    """The verdict of what was extracted, or None where it must be compared as an expression."""
    if finish_reason in CUT_OFF:
        return _Settled("truncated", CUT_OFF[finish_reason])
    if found.answer is None:
        return _Settled("unparsed", found.reason)
    if fault := _fault_of(gold):
        return _Settled("error", fault)
    decision = decide(found.answer, gold)
    if decision is None:
        return None
    if decision is TOO_LONG:
        return _Settled("error", decision.reason)
    return _Settled("correct" if decision.equal else "wrong", decision.reason, decision.leniency)
