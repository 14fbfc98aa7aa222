"""Which problems a run of GRPO trains on: some are set aside for evaluation, some are too hard or too easy.

The difficulty filter is that of DAPO's dynamic sampling (arXiv 2503.14476, section 3.2: no prompt whose
rollouts are all right or all wrong), done once, offline: by the pass rates of the starting model
(`glow.training.pass_rates`), as in Skywork-OR1 (arXiv 2505.22312).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glow.config import Grpo
from glow.errors import UserError
from glow.files.hashing import keyed_order
from glow.files.records import Asked, PassRate, read_records


@dataclass(frozen=True)
class ChosenProblems:
    """What becomes of a file's problems.

    Attributes:
        trained_on: in the order of the file.
        set_aside: for evaluation, in the order of their draw; none of their questions is trained on.
        facts: for the manifest: how many there are of each kind.
    """

    trained_on: list[Asked]
    set_aside: list[Asked]
    facts: dict[str, Any]


def choose_problems(path: Path, grpo: Grpo, seed: int, pass_rates: Path | None) -> ChosenProblems:
    """Read the problems of a run, and say which it trains on.

    The questions that are set aside are drawn by a hash of the seed and each one's text: they are the same
    for every starting model, and a larger number begins with a smaller one's.

    Args:
        path: JSON Lines of problems.
        pass_rates: JSON Lines of `PassRate`, of which there is one for each question.

    Raises:
        UserError: a malformed row, fewer problems than a step draws, or no pass rate for one.
    """
    rows = [row for _, row in read_records(path, Asked, ("question", "answer", "answer_type", "choices"))]
    by_question: dict[str, Asked] = {}
    for row in rows:
        by_question.setdefault(row["question"], row)
    drawn = keyed_order(by_question, str, "GRPO evaluation", seed)[: grpo.eval_problems]
    left = [row for row in rows if row["question"] not in set(drawn)]
    facts: dict[str, Any] = {"problems": len(rows)}
    if drawn:
        facts["set_aside"] = len(drawn)
    if pass_rates is not None:
        left, facts["pass_rates"] = _of_fitting_difficulty(left, grpo, pass_rates)
    if len(left) < grpo.prompts or len(drawn) < grpo.eval_problems:
        raise UserError(f"{path}: {len(rows)} problem(s){_gone(facts)}, but {_too_few(grpo)}")
    return ChosenProblems(left, [by_question[question] for question in drawn], facts)


def _gone(facts: dict[str, Any]) -> str:
    aside, rates = facts.get("set_aside", 0), facts.get("pass_rates")
    said = f", of which {aside} are set aside for evaluation" if aside else ""
    if rates is not None:
        said += f" and {rates['too_hard'] + rates['too_easy']} are too hard or too easy"
    return said


def _too_few(grpo: Grpo) -> str:
    remedy = "add problems or lower grpo.prompts (--prompts)"
    if grpo.eval_problems:
        remedy += " or grpo.eval_problems (--eval-problems)"
    if grpo.pass_rate_rollouts:
        remedy += ", or widen min_pass_rate to max_pass_rate"
    return f"a step draws {grpo.prompts} different ones; {remedy}"


def _of_fitting_difficulty(
    rows: Sequence[Asked], grpo: Grpo, pass_rates: Path
) -> tuple[list[Asked], dict[str, int]]:
    """The rows whose pass rate is within the bounds, and how many are not."""
    rates = {
        row["question"]: row["pass_rate"]
        for _, row in read_records(pass_rates, PassRate, ("question", "pass_rate"))
    }
    for row in rows:
        if row["question"] not in rates:
            raise UserError(
                f"{pass_rates}: no pass rate for {row['question'][:60]!r}; make it with `glow pass-rates` "
                "from the same problems"
            )
    kept = [row for row in rows if grpo.min_pass_rate <= rates[row["question"]] <= grpo.max_pass_rate]
    too_hard = sum(rates[row["question"]] < grpo.min_pass_rate for row in rows)
    return kept, {
        "measured": len(rows),
        "too_hard": too_hard,
        "too_easy": len(rows) - len(kept) - too_hard,
        "never_solved": sum(rates[row["question"]] == 0 for row in rows),
        "always_solved": sum(rates[row["question"]] == 1 for row in rows),
    }
