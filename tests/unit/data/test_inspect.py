"""`glow inspect` and its guess at the mapping, on the formats of the front door and on rows made here."""

import csv
import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from glow import cli
from glow.config import ImportSettings
from glow.data.guess import guess
from glow.data.noted import Noted
from glow.data.own_data import read_trajectories, source_of
from glow.files.jsonl import Record, write_jsonl

QUESTIONS = ["What is 1 + 1, my friend?", "What is 2 + 3, my friend?", "What is 4 + 5, my friend?"]
GOLDS = ["2", "5", "9"]
GOOD = [f"I add them up, step by step, one by one. \\boxed{{{gold}}}" for gold in GOLDS]


def rows(**columns: list[Any]) -> list[Record]:
    return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


@pytest.mark.parametrize(
    ("given", "settings"),
    [
        (rows(question=QUESTIONS, answer=GOLDS, response=GOOD), {"fields": {}}),
        (
            rows(Problem=QUESTIONS, Gold=GOLDS, Model_Output=GOOD, is_correct=[True, True, False]),
            {
                "fields": {
                    "response": "Model_Output",
                    "question": "Problem",
                    "answer": "Gold",
                    "label": "is_correct",
                }
            },
        ),
        (
            rows(query=QUESTIONS, meta=[{"gt": gold} for gold in GOLDS], outputs=[[one] for one in GOOD]),
            {"fields": {"response": "outputs", "question": "query", "answer": "meta.gt"}},
        ),
        (
            rows(frage=QUESTIONS, gold=GOLDS, loesung=GOOD, reward=[0.2, 1.0, 0.7]),
            {
                "fields": {
                    "response": "loesung",
                    "question": "frage",
                    "answer": "gold",
                    "label": "reward",
                },
                "label_threshold": 0.5,
            },
        ),
        (
            rows(question=QUESTIONS, A=GOLDS, B=GOLDS[::-1], answer=["A", "A", "B"], response=GOOD),
            {"fields": {"choice_columns": ["A", "B"]}},
        ),
        (
            rows(question=QUESTIONS, answer=GOLDS, response=GOOD, reasoning_content=GOOD),
            {"fields": {"reasoning": "reasoning_content"}},
        ),
        (
            rows(instruction=QUESTIONS, output=GOOD, answer=GOLDS),
            {"preset": "alpaca"},
        ),
    ],
    ids=["usual", "other names", "nested", "rewards", "columns of choices", "reasoning", "a preset"],
)
def test_the_mapping_is_guessed(given: list[Record], settings: dict[str, Any]) -> None:
    found = guess(given)
    assert found.settings == settings
    assert ImportSettings.model_validate(found.settings)


def test_keys_of_any_language_are_guessed_by_what_they_hold() -> None:
    given = rows(pregunta=QUESTIONS, solucion=GOLDS, respuesta=GOOD, nota=["1.0", "0.25", "1.0"])
    found = guess(given)
    fields = {"response": "respuesta", "question": "pregunta", "answer": "solucion"}
    assert found.settings == {"fields": fields}
    assert found.doubts[-1] == "answer: no key is called so; 'solucion' has short texts that differ"


def test_rows_inside_a_row_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "wrapped.json"
    file.write_text(json.dumps({"version": 1, "data": rows(question=QUESTIONS, answer=GOLDS, response=GOOD)}))
    assert f"jq -c '.data[]' {file} > rows.jsonl" in shown(capsys, str(file))


def test_what_is_not_sure_is_said() -> None:
    found = guess(rows(frage=QUESTIONS, loesung=GOOD))
    assert found.doubts == [
        "response: no key is called so; 'loesung' has the longest texts left",
        "question: no key is called so; 'frage' has the longest texts left",
        "answer: no key seems to hold it",
    ]


def shown(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["inspect", *words]) == 0
    return capsys.readouterr().out


def test_all_is_shown_that_a_user_asks_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.jsonl"
    wrong = "I add them up wrongly. \\boxed{7}"
    given = rows(problem=[*QUESTIONS, QUESTIONS[0]], gold=[*GOLDS, "3"], output=[*GOOD, wrong],
                 ok=[True, True, False, False])  # fmt: skip
    write_jsonl(file, [*given, given[0]])
    text = shown(
        capsys, str(file), "--fields", "question=problem", "answer=gold", "response=output", "label=ok"
    )
    assert f"{file}: JSON Lines, 0.0 MB, 5 rows" in text
    assert "  ok: true/false; True" in text
    assert f"--- {file}:1, as it would be trained (gold answer: 2)\nuser: {QUESTIONS[0]}" in text
    assert f"assistant: {GOOD[0]}" in text
    assert "Verdicts on 5 responses: 4 correct, 1 wrong" in text
    assert "the label agrees with 4 of 5 right and wrong verdicts" in text
    assert "label false, verdict correct: gold '9', found '9'" in text
    assert "rows with question and response of an earlier row: 1" in text
    assert "questions with several gold answers: 1" in text
    assert "trajectories:" not in text  # nothing to guess


def test_what_looks_wrong_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.jsonl.gz"
    prose = "The answer is that it depends on very many things which are hard to say"
    with gzip.open(file, "wt") as stream:
        for row in rows(question=QUESTIONS, answer=["", prose, "9"], response=["", "No idea.", "Nor I."]):
            stream.write(json.dumps(row) + "\n")
    text = shown(capsys, str(file))
    assert "JSON Lines, packed by gzip" in text
    for said in (
        "no answer is found in any response",
        "responses without a box: 3 of 3",
        "gold answers of more than 12 words: 1",
        "rows without a gold answer: 1",
        "empty responses: 1",
        "no positives among these rows: a study needs both",
    ):
        assert said in text


def test_a_csv_and_its_yaml_go_in_as_they_are_shown(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.csv"
    with file.open("w", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerow(["frage", "gold", "text"])
        writer.writerows(zip(QUESTIONS, GOLDS, GOOD, strict=True))
    text = shown(capsys, str(file))
    pasted = yaml.safe_load(text[text.index("trajectories:") : text.index("Not sure")])["trajectories"]
    assert pasted.pop("files") == [str(file)]
    settings = ImportSettings.model_validate(pasted)
    read = [row for _, row in read_trajectories([source_of(file)], settings, Noted())]
    assert [(row["question"], row["answer"], row["response"]) for row in read] == list(
        zip(QUESTIONS, GOLDS, GOOD, strict=True)
    )


def test_a_large_file_is_looked_at_in_its_beginning(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.jsonl"
    write_jsonl(file, rows(question=QUESTIONS, answer=GOLDS, response=GOOD) * 10)
    text = shown(capsys, str(file), "--rows", "4")
    assert "more than 4 rows, the first 4 of them looked at" in text
    assert "Verdicts on 4 responses: 4 correct" in text


def test_a_guess_that_does_not_fit_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.jsonl"
    write_jsonl(file, rows(a=["x", "y"], b=[1, 2]))
    text = shown(capsys, str(file))
    assert "The guess does not fit: " in text
    assert cli.main(["inspect", str(file), "--fields", "response=r"]) == 2
    assert "mine.jsonl:1: no key 'r'; the keys are a, b" in capsys.readouterr().err


def test_every_format_of_the_front_door_is_guessed(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    formats = sorted((shared_data / "front_door" / "formats").iterdir())
    assert len(formats) > 10
    for file in formats:
        text = shown(capsys, str(file), "--rows", "10")
        assert "The guess does not fit" not in text, file
        assert "\nVerdicts on " in text, file
