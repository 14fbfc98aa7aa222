"""Training questions kept apart from those of the suites."""

from collections.abc import Iterable
from pathlib import Path

from glow.errors import UserError
from glow.files.records import Problem, read_records


class SuiteQuestions:
    """The questions of suites, to keep training data apart from them."""

    def __init__(self, suites: Iterable[Path]) -> None:
        self.texts: list[str] = []
        self._suite_of: dict[str, str] = {}
        for path in suites:
            for _, problem in read_records(path, Problem, ("question", "stem")):
                question = problem.get("stem", problem["question"])
                self.texts.append(question)
                self._suite_of.setdefault(folded(question), path.stem)

    def has(self, question: str) -> bool:
        """Whether a question is in a suite."""
        return folded(question) in self._suite_of

    def refuse(self, questions: Iterable[tuple[str, str]]) -> None:
        """Refuse training data with a question that is in a suite; `questions` are (place, question).

        Raises:
            UserError: how many rows share how many questions with which suites, and the first of them.
        """
        shared = [
            (place, key) for place, question in questions if (key := folded(question)) in self._suite_of
        ]
        if shared:
            place, key = shared[0]
            suites = ", ".join(sorted({self._suite_of[key] for _, key in shared}))
            raise UserError(
                f"{place}: this question is in suite {self._suite_of[key]!r} too. Training and evaluation "
                f"must be disjoint, but {len(shared)} rows share {len({key for _, key in shared})} questions "
                f"with {suites}: remove these rows, or draw other questions for the suite (its seed)"
            )


def folded(question: str) -> str:
    """The question with case and white space folded; two questions are the same if this is equal."""
    return " ".join(question.split()).casefold()
