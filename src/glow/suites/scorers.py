r"""Judge the responses of suites that have their own scorers: IFEval's checker, reasoning-gym's scorers.

Everything else is judged by `glow.verifier.verify`. The result is a `Judgement` in both cases: a response
that was cut off is `truncated`, and one without a box is `unparsed` where a box is asked for. What a response
thinks before it answers is not shown to a scorer, and one that ends within its thought is `unparsed`.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from types import ModuleType

from glow.config.packages import imported
from glow.data.problem_rows import gold_of
from glow.errors import UserError
from glow.files.records import Problem, Verdict
from glow.suites.gym import gym_score, library_version
from glow.verifier import answers
from glow.verifier.thoughts import answer_part
from glow.verifier.verify import CUT_OFF, Judgement, Verifier

Answered = tuple[str, str | None, bool]
"""A sample of a problem: the response, its finish reason, and whether the prompt had opened a thought."""

Scorer = Callable[[Problem, Answered, Verifier], Judgement]

LONGEST_ANSWER = 10_000
"""Longest answer, in characters, given to a scorer: gold answers of suites have a few hundred at most."""

_TEXT = re.compile(r"\s*\$?\s*\\(?:text|textbf|mathrm|texttt)\{(.*)\}\s*\$?\s*", re.DOTALL)


def require_scorers(problems: Iterable[Problem]) -> None:
    """Check, before anything is sampled, that the responses can be judged afterwards.

    Raises:
        UserError: the packages of a scorer are not installed.
    """
    importers: dict[str, Callable[[], object]] = {"gym": library_version, "ifeval": _ifeval_checker}
    for scorer in sorted({problem["scorer"] for problem in problems if "scorer" in problem}):
        importers[scorer]()


def judge_samples(problem: Problem, samples: Sequence[Answered], verifier: Verifier) -> list[Judgement]:
    """The verdicts on one problem's samples, by its own scorer or our verifier.

    Raises:
        UserError: the packages of its scorer are not installed.
    """
    if "scorer" in problem:
        scorers: dict[str, Scorer] = {"gym": _judge_gym, "ifeval": _judge_ifeval}
        scorer = scorers[problem["scorer"]]
        return [scorer(problem, sample, verifier) for sample in samples]
    gold = gold_of(problem)
    return list(verifier.judge((response, gold, reason, is_open) for response, reason, is_open in samples))


def _judge_gym(problem: Problem, sample: Answered, verifier: Verifier) -> Judgement:
    response, finish_reason, thought_open = sample
    found = answers.stated(response, verifier.settings, verifier.thought, thought_open)
    if finish_reason in CUT_OFF:
        return Judgement("truncated", found.answer, CUT_OFF[finish_reason], found.place)
    if found.answer is None:
        return Judgement("unparsed", None, found.reason, found.place)
    verdict, reason = _gym_verdict(found.answer, problem)
    return Judgement(verdict, found.answer, reason, found.place)


def _gym_verdict(answer: str, problem: Problem) -> tuple[Verdict, str]:
    if len(answer) > LONGEST_ANSWER:
        return "wrong", f"an answer of more than {LONGEST_ANSWER} characters"
    try:
        value = gym_score(_bare(answer), problem)
    except UserError:
        raise
    except Exception as error:  # The package's scorers do not say what they raise on odd text.
        return "error", f"reasoning-gym's scorer: {type(error).__name__}"
    return ("correct" if value >= 1 else "wrong"), f"reasoning-gym's scorer: {value:g}"


def _bare(answer: str) -> str:
    r"""The answer without `\text{}` or the like around the whole of it, and without spaces at its ends."""
    wrapped = _TEXT.fullmatch(answer)
    return (wrapped[1] if wrapped and wrapped[1].count("{") == wrapped[1].count("}") else answer).strip()


def _judge_ifeval(problem: Problem, sample: Answered, verifier: Verifier) -> Judgement:
    response, finish_reason, thought_open = sample
    answer = answer_part(response, verifier.thought, thought_open)
    if finish_reason in CUT_OFF:
        return Judgement("truncated", None, CUT_OFF[finish_reason])
    if answer is None:
        return Judgement("unparsed", None, answers.UNFINISHED)
    data, checker = problem["scorer_data"], _ifeval_checker()
    try:
        checked = checker.test_instruction_following_strict(
            checker.InputExample(
                data["key"], data["instruction_id_list"], problem["question"], data["kwargs"]
            ),
            answer,
        )
    except Exception as error:  # Nor does this checker say what it raises: an unknown instruction, odd text.
        return Judgement("error", None, f"lm-eval's checker: {type(error).__name__}")
    outcomes = zip(data["instruction_id_list"], checked.follow_instruction_list, strict=True)
    missed = [name for name, followed in outcomes if not followed]
    reason = f"not followed: {', '.join(missed)}" if missed else "all instructions followed"
    return Judgement("wrong" if missed else "correct", None, reason)


def _ifeval_checker() -> ModuleType:
    nltk = imported("lm-eval's IFEval checker", "suite ifeval")
    try:
        # First: without this data, lm-eval's module would try to download it when it is imported.
        nltk.data.find("tokenizers/punkt_tab")
    except LookupError:
        raise UserError(
            "suite ifeval: nltk's data punkt_tab is missing: once, with a network: "
            "python -m nltk.downloader punkt_tab"
        ) from None
    from langdetect import DetectorFactory
    from lm_eval.tasks.ifeval import utils

    DetectorFactory.seed = 0  # Otherwise the detected language, and so the verdict, varies by chance.
    return utils
