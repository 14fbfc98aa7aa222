"""lm-eval's library on our task files, for the tests: its task manager, and a small local MMLU."""

from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from glow.files.jsonl import write_jsonl
from glow.suites.tasks import FOLDER


def manager(**metadata: Any) -> TaskManager:
    return TaskManager(include_path=str(FOLDER), include_defaults=False, metadata=metadata)


def quiz(folder: Path) -> Path:
    """A folder of local copies of MMLU: three test questions and two worked examples in two subjects."""
    (folder / "mmlu").mkdir(parents=True)
    test = [
        {"subject": "moral_scenarios", "question": " Q1? ", "choices": ["a", "b", "c", "d"], "answer": "B"},
        {"subject": "anatomy", "question": "Q2?", "choices": ["w", "x", "y", "z"], "answer": "D"},
        {"subject": "anatomy", "question": "Q3?", "choices": ["1", "2", "3", "4"], "answer": "A"},
    ]
    dev = [
        {"subject": "anatomy", "question": "D1?", "choices": ["m", "n", "o", "p"], "answer": "C"},
        {"subject": "moral_scenarios", "question": "D2?", "choices": ["m", "n", "o", "p"], "answer": "A"},
    ]
    write_jsonl(folder / "mmlu" / "test.jsonl.gz", test)
    write_jsonl(folder / "mmlu" / "dev.jsonl.gz", dev)
    return folder
