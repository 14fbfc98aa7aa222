"""The labelled cases of benchmarks/verifier_cases, and how errors on them are counted. Nothing is judged."""

import importlib
import json
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks"
FILES = sorted((FOLDER / "verifier_cases").glob("*.jsonl"))
ROWS = [json.loads(line) for file in FILES for line in file.read_text(encoding="utf-8").splitlines()]
FIELDS = {"id", "kind", "response", "answer", "extraction", "expected", "why"}


@pytest.fixture(scope="module")
def counting() -> Iterator[ModuleType]:
    """benchmarks/verifier_errors.py, which imports its neighbours."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(FOLDER)
        yield importlib.import_module("verifier_errors")
        for name in ("verifier_errors", "cases", "timing"):
            sys.modules.pop(name)


def test_every_case_is_well_formed() -> None:
    for row in ROWS:
        assert set(row) - {"choices"} == FIELDS, row
        assert row["expected"] in {"correct", "wrong"}, row
        assert row["extraction"] in {"strict", "lenient"}, row
        assert row["response"], row
        assert row["why"], row
        # A gold is empty only where the case is about that.
        assert row["answer"].strip() or row["why"] == "no gold: nothing can be right", row
        assert "choices" not in row or row["answer"] in "ABCDEFGHIJ"[: len(row["choices"])], row


def test_no_case_is_there_twice() -> None:
    asked = Counter((row["response"], row["answer"], tuple(row.get("choices", ()))) for row in ROWS)
    assert max(asked.values()) == 1
    assert max(Counter(row["id"] for row in ROWS).values()) == 1


def test_every_kind_is_in_one_group_and_has_cases_in_every_file(counting: ModuleType) -> None:
    grouped = [kind for kinds in counting.GROUPS.values() for kind in kinds]
    assert len(grouped) == len(set(grouped)) == 62
    assert len(counting.ATTACKS) == 16
    for file in FILES:
        kinds = {json.loads(line)["kind"] for line in file.read_text(encoding="utf-8").splitlines()}
        assert kinds == set(grouped), file.name


def test_errors_are_shares_of_the_cases_that_could_have_them(counting: ModuleType) -> None:
    def judged(expected: str, ours: bool, direct: bool) -> object:
        case = counting.Case("c1", "words", "a", "b", "strict", expected, "why")
        return counting.Judged(case, ours, direct, "found")

    four = [judged("wrong", True, False), judged("wrong", False, False), judged("wrong", False, False)]
    four.append(judged("correct", True, False))
    # Ours accepts one of three wrong answers, the other none; the other refuses the one right answer.
    assert counting.line("words", four) == [
        "words", "1", "3", "1 (33.3 %)", "0 (0.0 %)", "0 (0.0 %)", "1 (100.0 %)"
    ]  # fmt: skip
    assert counting.line("words", four[:3])[-1] == "no case"
    assert counting.misses(four).count("\n") == 0
    assert "accepted" in counting.misses(four)


def test_about_half_of_the_cases_are_wrong() -> None:
    wrong = sum(row["expected"] == "wrong" for row in ROWS)
    assert len(ROWS) > 500
    assert 0.5 <= wrong / len(ROWS) <= 0.6
