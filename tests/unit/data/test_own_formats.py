"""Import of rows as people publish them: shapes, keys that lead into a row, presets, what is said of them."""

import io
import json
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet
from standin_hub import COMMIT, StandIn

from glow.config import PRESETS, ImportSettings
from glow.data.own_data import import_trajectories
from glow.errors import UserError
from glow.files.jsonl import Record, read_jsonl, write_jsonl

THOUGHT = "<think>\nFirst I add.\n</think>\n\n"


def brought(folder: Path, source: list[Record] | Path, **settings: Any) -> list[Record]:
    """The trajectories of rows, or of a file or folder."""
    if isinstance(source, list):
        write_jsonl(folder / "rows.jsonl", source)
        source = folder / "rows.jsonl"
    output = folder / "out.jsonl"
    import_trajectories([source], [], output, None, ImportSettings.model_validate(settings))
    return list(read_jsonl(output))


def seen(rows: list[Record], *keys: str) -> list[tuple[Any, ...]]:
    return [tuple(row[key] for key in keys or ("question", "answer", "response", "label")) for row in rows]


# --- what is in ../shared/data/front_door ---------------------------------------------------------

CANONICAL = {"fields": {"label": "correct"}}
FORMATS: dict[str, tuple[dict[str, Any], int, int]] = {
    "array.json": (CANONICAL, 60, 20),
    "canonical.csv": (CANONICAL, 60, 20),
    "canonical.jsonl": (CANONICAL, 30, 10),
    "canonical.jsonl.zst": (CANONICAL, 60, 20),
    "canonical_gz_without_suffix.jsonl": (CANONICAL, 60, 20),
    "gsm8k_raw_answer.jsonl": ({"fields": {"label": "label"}}, 30, 30),
    "label_strings.jsonl": (CANONICAL, 30, 10),
    "lm_eval_samples.jsonl": ({"preset": "lm-eval"}, 30, 10),
    "numina.jsonl": ({"preset": "numina"}, 30, 10),
    "openmathreasoning.jsonl": ({"preset": "openmathreasoning"}, 30, 10),
    "openr1.jsonl": ({"preset": "openr1"}, 60, 20),
    "openr1.parquet": ({"preset": "openr1"}, 60, 20),
    "r1_flat.jsonl": ({"fields": {"response": "content", "reasoning": "reasoning_content"}}, 30, 10),
    "responses_list.jsonl": ({"fields": {"response": "responses", "label": "correct"}}, 60, 20),
    "s1k.jsonl": ({"preset": "s1k"}, 30, 10),
    "sharegpt.jsonl": ({"preset": "sharegpt"}, 30, 10),
    "think_box_in_think.jsonl": (CANONICAL, 30, 10),
    "trl_prompt_completion.jsonl": ({"preset": "trl"}, 30, 10),
    "verl_rollout_dump.jsonl": ({"preset": "verl"}, 30, 10),
}
"""Settings, trajectories and questions of each."""


@pytest.mark.parametrize("name", FORMATS)
def test_every_public_format_goes_in(name: str, tmp_path: Path, shared_data: Path) -> None:
    settings, count, questions = FORMATS[name]
    rows = brought(tmp_path, shared_data / "front_door" / "formats" / name, **settings)
    assert (len(rows), len({row["question"] for row in rows})) == (count, questions)
    assert not any("<|im_start|>" in row["question"] or "####" in row["answer"] for row in rows)
    if "openr1" in name or "reasoning" in settings.get("fields", {}) or settings.get("preset") == "s1k":
        assert all(row["response"].startswith("<think>\n") for row in rows)


def test_no_public_format_is_forgotten(shared_data: Path) -> None:
    assert {file.name for file in (shared_data / "front_door" / "formats").iterdir()} == FORMATS.keys()


# --- shapes -----------------------------------------------------------------------------------------

TURNS = [{"role": "user", "content": "Q?"}, {"role": "assistant", "content": "A"}]
SHARED = [{"from": "human", "value": "Q?"}, {"from": "gpt", "value": "A"}]
ONE = ("Q?", "5", "A", None)

SHAPES: list[tuple[dict[str, Any], Record, list[tuple[Any, ...]]]] = [
    (
        {"preset": "openr1"},
        {"problem": "Q?", "answer": "5", "generations": ["A", "B"], "correctness_math_verify": [True, False],
         "finish_reasons": None},
        [("Q?", "5", "A", True), ("Q?", "5", "B", False)],
    ),
    (
        {"preset": "openmathreasoning"},
        {"problem": "Q?", "expected_answer": "5", "generated_solution": "A", "generation_model": "R1"},
        [ONE],
    ),
    (
        {"preset": "openthoughts"},
        {"problem": "Q?", "ground_truth_solution": r"So \boxed{5}.", "deepseek_solution": "A",
         "deepseek_reasoning": "First I add."},
        [("Q?", "5", f"{THOUGHT}A", None)],
    ),
    (
        {"preset": "s1k"},
        {"question": "Q?", "solution": "5", "deepseek_attempt": "A", "deepseek_grade": "No",
         "deepseek_thinking_trajectory": "First I add.\n", "gemini_thinking_trajectory": "I do not know it."},
        [("Q?", "5", f"{THOUGHT}A", False)],
    ),
    ({"preset": "sharegpt"}, {"conversations": SHARED, "answer": 5}, [ONE]),
    ({"preset": "messages"}, {"messages": TURNS, "answer": "5"}, [ONE]),
    ({"preset": "trl"}, {"prompt": TURNS[:1], "completion": TURNS[1:], "answer": "5"}, [ONE]),
    ({"preset": "trl"}, {"prompt": "Q?", "completion": "A", "solution": r"\boxed{5}"}, [ONE]),
    ({"preset": "trl"}, {"prompt": TURNS[:1], "messages": TURNS, "answer": "5"}, [ONE]),
    (
        {"preset": "alpaca"},
        {"instruction": "Add.", "input": "2 3", "output": "A", "answer": "5"},
        [("Add.\n\n2 3", "5", "A", None)],
    ),
    ({"preset": "alpaca"}, {"instruction": "Q?", "input": "", "output": "A", "answer": "5"}, [ONE]),
    (
        {"preset": "verl"},
        {"input": "system\nBe kind.\nuser\nQ?\nassistant\n", "output": "A", "gts": ["5"], "score": 1.0},
        [("Q?", "5", "A", True)],
    ),
    (
        {"preset": "lm-eval"},
        {"doc": {"Problem": "Q?"}, "target": "5", "resps": [["A", "B"]], "filtered_resps": ["A"]},
        [ONE, ("Q?", "5", "B", None)],
    ),
    (
        {"fields": {"response": "samples[*].text", "label": "samples[*].reward"}, "label_threshold": 0.5},
        {"question": "Q?", "answer": "5",
         "samples": [{"text": "A", "reward": 0.5}, {"text": "B", "reward": "-1"}, {"text": "C"}]},
        [("Q?", "5", "A", True), ("Q?", "5", "B", False), ("Q?", "5", "C", None)],
    ),
    (
        {"fields": {"question": "chat", "response": "chats"}},
        {"chat": TURNS[:1], "chats": [TURNS[1:], TURNS], "answer": "5"},
        [ONE, ONE],
    ),
    (
        {"fields": {"label": "deepseek.grade"}},
        {"question": "Q?", "answer": "5", "response": "A", "deepseek": {"grade": "Yes"}},
        [("Q?", "5", "A", True)],
    ),
    (  # A key that is called so comes before one that leads into the row.
        {"fields": {"response": "a.b"}},
        {"question": "Q?", "answer": "5", "a.b": "A", "a": {"b": "B"}},
        [ONE],
    ),
    (
        {"fields": {"response": "text"}},
        {"question": "Q?", "answer": "5", "text": [{"role": "assistant", "content": [
            {"type": "text", "text": "A"}, {"type": "text", "text": "B"}]}]},
        [("Q?", "5", "AB", None)],
    ),
]  # fmt: skip


@pytest.mark.parametrize(("settings", "row", "expected"), SHAPES)
def test_a_row_of_any_shape_becomes_one_of_each_response(
    settings: dict[str, Any], row: Record, expected: list[tuple[Any, ...]], tmp_path: Path
) -> None:
    assert seen(brought(tmp_path, [row], **settings)) == expected


def test_a_prompt_that_opened_a_thought_is_gone_on_with(tmp_path: Path) -> None:
    prompt = (
        "<|im_start|>system\nX<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n<think>\n"
    )
    (row,) = brought(tmp_path, [{"input": prompt, "output": "A", "gts": "5", "score": 0}], preset="verl")
    assert (row["question"], row["thought_open"]) == ("Q?", True)


def test_lists_beside_the_responses_are_taken_item_by_item(tmp_path: Path) -> None:
    row = {
        "question": "Q?", "answer": "5", "response": ["A", "B"], "finish_reason": ["stop", "length"],
        "by": ["one", "two"], "pred": "5", "n": 7,
    }  # fmt: skip
    fields = {"generator": "by", "stated": "pred", "id": "n"}
    rows = brought(tmp_path, [row, row | {"n": 8}], fields=fields)
    assert seen(rows[:2], "finish_reason", "generator", "stated") == [
        ("stop", "one", "5"),
        ("length", "two", "5"),
    ]


def test_a_row_without_responses_is_left_out_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"question": "Q?", "answer": "5", "response": []},
        {"question": "Q?", "answer": "5", "response": "A"},
    ]
    assert len(brought(tmp_path, rows)) == 1
    assert f"rows without a response, which are left out: 1 (first: {tmp_path}/rows.jsonl:1)" in (
        capsys.readouterr().out
    )


# --- gold answers, choices ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("answer", "gold", "expected"),
    [
        ("She has 9 * 2 = <<9*2=18>>18.\n#### 18", "found", "18"),
        ("#### Step 1\nWe add.", "found", "#### Step 1\nWe add."),
        (r"We get $\boxed{\frac{1}{2}}$, so \boxed{3} is right.", "found", "3"),
        (r"\boxed{204}", "found", "204"),
        (r"\frac{1}{2}", "found", r"\frac{1}{2}"),
        (r"So \boxed{3}.", "whole", r"So \boxed{3}."),
        ("No box.", "boxed", ""),
        (18.0, "found", "18.0"),
        (["7"], "found", "7"),
        ("B", "found", "B"),
    ],
)
def test_what_is_the_gold_answer(answer: Any, gold: str, expected: str, tmp_path: Path) -> None:
    (row,) = brought(tmp_path, [{"question": "Q?", "answer": answer, "response": "A"}], gold=gold)
    assert row["answer"] == expected


OPTIONS = ["red", "green", "blue"]


@pytest.mark.parametrize(
    ("choices", "answer"),
    [
        ({"choices": OPTIONS}, "B"),
        ({"choices": OPTIONS}, 1),
        ({"choices": OPTIONS}, "green"),
        ({"choices": {"A": "red", "B": "green", "C": "blue"}}, "B"),
        ({"choices": {"label": ["1", "2", "3"], "text": OPTIONS}}, "2"),
        ({"choices": [{"label": "x", "text": "red"}, {"label": "y", "text": "green"}]}, "y"),
        ({"a": "red", "b": "green", "c": "blue"}, "B"),
    ],
)
def test_choices_in_a_list_by_letters_or_in_columns(choices: Record, answer: Any, tmp_path: Path) -> None:
    fields: dict[str, Any] = (
        {"choices": "choices"} if "choices" in choices else {"choice_columns": list("abc")}
    )
    (row,) = brought(
        tmp_path, [{"question": "Q?", "answer": answer, "response": "A"} | choices], fields=fields
    )
    assert row["answer"] == "B"
    assert row["question"].startswith("Q?\nA. red\nB. green")


# --- what is said ------------------------------------------------------------------------------------

LEFT_OUT = [
    ({"reasoning_content": "First I add them."}, {}, "rows with reasoning under 'reasoning_content'"),
    (
        {"messages": [TURNS[0], TURNS[1] | {"reasoning": "First I add them."}]},
        {"preset": "messages"},
        "rows with reasoning under 'messages[assistant].reasoning', which is left out",
    ),
    (
        {"messages": [{"role": "system", "content": "Be kind."}, *TURNS]},
        {"preset": "messages"},
        "rows with a system turn, which is left out (prompt.system sets one)",
    ),
    (
        {"conversations": [*SHARED, *SHARED]},
        {"preset": "sharegpt"},
        "rows with earlier turns, of which only the last question and its response are used",
    ),
    ({"answer": "#### 5"}, {}, "gold answers are what follows #### in a solution"),
    ({"answer": r"So \boxed{5}."}, {}, "gold answers are the last box of a text"),
    ({"answer": "It is so. " * 40}, {}, "gold answers of more than 300 characters"),
    ({"answer": "No box."}, {"gold": "boxed"}, "texts without a box, and so without a gold answer"),
    ({"question": "[INST] Q? [/INST]"}, {}, "questions taken out of a prompt, without the marks"),
    (
        {"response": "<think>\nI add.\n</think>\n\nA", "r": "I add."},
        {"fields": {"reasoning": "r"}},
        "responses that had their reasoning already, which is not joined again",
    ),
    (
        {"problem": "Q?", "solution": r"\boxed{5} it is.",
         "messages": [TURNS[0], {"role": "assistant", "content": r"\boxed{5} it is."}]},
        {"preset": "numina"},
        "gold answers are taken from the response itself, which can then hardly be wrong",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("row", "settings", "said"), LEFT_OUT)
def test_what_is_left_out_is_said(
    row: Record, settings: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    brought(tmp_path, [{"question": "Q?", "answer": "5", "response": "A"} | row], **settings)
    line = next(line for line in capsys.readouterr().out.splitlines() if said in line)
    assert line.endswith(f": 1 (first: {tmp_path}/rows.jsonl:1)")
    noted = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["facts"]["noted"]
    assert any(said in what for what in noted)


def test_words_that_only_sound_like_reasoning_are_not_spoken_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {
        "question": "Q?", "answer": "5", "response": "A", "finish_reason": "stop", "thought_open": False,
        "reasoning_effort": "high", "is_reasoning_complete": [True], "cot_type": "math", "reasoning": "",
    }  # fmt: skip
    brought(tmp_path, [row])
    assert len(capsys.readouterr().out.splitlines()) == 1


REFUSED = [
    ({"x": "A"}, {}, "rows.jsonl:1: no key 'response'; the keys are question, answer, x; map it with"),
    (
        {"deepseek": {"text": "A"}},
        {"fields": {"response": "deepseek.answer"}},
        "rows.jsonl:1: no key 'answer' under 'deepseek'; the keys are text; map it",
    ),
    (
        {"messages": TURNS[:1]},
        {"preset": "messages"},
        "rows.jsonl:1: no turn of the assistant under 'messages'; the turns are of user; map it",
    ),
    (
        {"response": TURNS[:1]},
        {},
        "rows.jsonl:1: 'response': no turn of the assistant; the turns are of user; map another key",
    ),
    (
        {"resps": []},
        {"fields": {"response": "resps[0]"}},
        r"no item \[0\] under 'resps'; there is a list of 0",
    ),
    (
        {"response": ["A", "B"], "ok": [True]},
        {"fields": {"label": "ok"}},
        "rows.jsonl:1: 'ok' has 1 items, but there are 2 responses",
    ),
    (
        {"response": ["A", "B"], "ok": True},
        {"fields": {"label": "ok"}},
        "rows.jsonl:1: 'ok' is True, one for 2 responses",
    ),
    ({"response": ["A", 5.5, None]}, {}, "rows.jsonl:1, response 3: 'response' must be text, found null"),
    (
        {"response": "A", "r": 5},
        {"fields": {"reasoning": "r"}},
        "'r' must be text, found int; fix it, or map",
    ),
    (
        {"response": "A", "ok": 0.7},
        {"fields": {"label": "ok"}},
        "label 'ok' is 0.7; .*from where on a response is right: trajectories.label_threshold",
    ),
    (
        {"response": "A", "A": "red"},
        {"fields": {"choice_columns": ["A", "B"]}},
        "no key 'B'; the keys are question, answer, response, A; map them with .*choice_columns",
    ),
]


@pytest.mark.parametrize(("row", "settings", "message"), REFUSED)
def test_what_is_refused_says_what_is_there(
    row: Record, settings: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=message):
        brought(tmp_path, [{"question": "Q?", "answer": "5"} | row], **settings)
    assert not (tmp_path / "out.jsonl").exists()
    assert [file.name for file in tmp_path.iterdir()] == ["rows.jsonl"]


def test_questions_for_grpo_need_a_place(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="say where to: --grpo-output PATH"):
        brought(tmp_path, [{"question": "Q?", "answer": "5", "response": "A"}], grpo=1)


# --- where rows are ----------------------------------------------------------------------------------


def test_a_folder_has_the_rows_of_its_files(tmp_path: Path) -> None:
    folder = tmp_path / "own"
    (folder / "more").mkdir(parents=True)
    row = {"question": "Q1?", "answer": "1", "response": "A"}
    (folder / "a.csv").write_text("question,answer,response\nQ2?,2,B\n")
    (folder / "b.json").write_text(json.dumps([row]))
    parquet.write_table(pyarrow.Table.from_pylist([row | {"question": "Q3?"}]), folder / "more" / "c.parquet")
    (folder / ".hidden.jsonl").write_text("not a row")
    (folder / "README.md").write_text("not a row")
    assert seen(brought(tmp_path, folder), "question", "generator") == [
        ("Q2?", "a"), ("Q1?", "b"), ("Q3?", "c"),
    ]  # fmt: skip


def test_a_hub_data_set_is_read_at_its_commit_and_only_what_is_named(
    hub: StandIn, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    name = PRESETS["openthoughts"].hub
    assert name is not None and name[1] is not None
    rows = [
        {"problem": f"Q{n}?", "ground_truth_solution": rf"\boxed{{{n}}}" if n else None,
         "deepseek_solution": "A", "deepseek_reasoning": "First I add.", "test_cases": "x" * 5000}
        for n in range(3)
    ]  # fmt: skip
    stream = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows), stream, compression="NONE", use_dictionary=False)
    parts = "  data_files:\n  - split: train\n    path: metadata/train-*\n"
    card = f"---\nconfigs:\n- config_name: metadata\n{parts}---\n"
    hub.files[f"datasets/{name[0]}"] = {
        "README.md": card.encode(),
        "metadata/train-00000-of-00001.parquet": stream.getvalue(),
    }
    settings = {"preset": "openthoughts", "hub_dataset": name[0], "revision": COMMIT}
    import_trajectories([], [], tmp_path / "out.jsonl", None, ImportSettings.model_validate(settings))
    found = list(read_jsonl(tmp_path / "out.jsonl"))
    assert seen(found, "question", "answer", "response", "generator") == [
        (f"Q{n}?", str(n) if n else "", f"{THOUGHT}A", name[0]) for n in range(3)
    ]
    facts = json.loads((tmp_path / "out.jsonl.manifest.json").read_text())["facts"]
    assert (facts["hub"]["revision"], facts["rows_read"]) == (COMMIT, 3)
    assert facts["hub"]["bytes"] < 5000
    misspelt = settings | {"fields": {"question": "problems"}}
    with pytest.raises(UserError, match=r"no key 'problems'; the keys are .*, problem, test_cases; map it"):
        import_trajectories([], [], tmp_path / "no.jsonl", None, ImportSettings.model_validate(misspelt))
    capsys.readouterr()
    without = settings | {"fields": {"reasoning": None}}
    import_trajectories([], [], tmp_path / "out.jsonl", None, ImportSettings.model_validate(without))
    assert "columns left out that may be reasoning (deepseek_reasoning;" in capsys.readouterr().out


def test_files_or_a_data_set_and_not_both(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="give --files, or --hub-dataset with its --revision"):
        import_trajectories([], [], tmp_path / "out.jsonl", None, ImportSettings())
    with pytest.raises(UserError, match=r"--files: .*no file fits this pattern"):
        import_trajectories([tmp_path / "*.jsonl"], [], tmp_path / "out.jsonl", None, ImportSettings())
