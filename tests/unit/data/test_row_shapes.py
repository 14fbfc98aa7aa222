"""Shapes of rows: whatever a row holds, it becomes rows or is refused; keys lead where they say."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from glow.config import PRESETS, Fields, ImportSettings
from glow.data.chat_marks import without_marks
from glow.data.noted import Noted
from glow.data.row_paths import ABSENT, found, may_lack, roots
from glow.data.row_shapes import Shapes, columns
from glow.errors import UserError
from glow.files.jsonl import Record
from glow.files.user_rows import Row

ROW: Record = {
    "a": {"b": [{"c": 1}, {"c": None}, {}]},
    "a.b": "dotted",
    "turns": [
        {"role": "system", "content": "S"},
        {"role": "user", "content": "U1"},
        {"role": "assistant", "content": "A1"},
        {"role": "user", "content": "U2"},
        {"role": "assistant", "content": "A2", "reasoning_content": "R"},
        {"role": "user", "content": "U3"},
    ],
    "none": None,
}


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("a.b", "dotted"),
        ("a.b[0].c", 1),
        ("a.b[-3].c", 1),
        ("a.b[*].c", [1, None, None]),
        ("a.b[3].c", ABSENT),
        ("a.x", ABSENT),
        ("turns[user]", "U2"),
        ("turns[assistant]", "A2"),
        ("turns[system]", "S"),
        ("turns[assistant].reasoning_content", "R"),
        ("turns[1].content", "U1"),
        ("none", None),
        ("x|none|a.b[0].c", 1),
        ("x|none", None),
        ("x?", ABSENT),
        ("none?", None),
        ("x[user]", ABSENT),
    ],
)
def test_a_key_leads_where_it_says(key: str, value: Any) -> None:
    assert found(ROW, key) == value
    assert may_lack(key) == key.endswith("?")


def test_the_columns_of_a_table_are_those_with_which_keys_begin() -> None:
    assert {"a", "x", "none"} <= roots("a.b[0].c|x|none?")
    fields = Fields(question="doc.q", response="resps[0]", choice_columns=["A", "B"], reasoning="r")
    assert {"doc", "answer", "resps", "A", "B", "r", "finish_reason", "truncated"} <= columns(fields)


@pytest.mark.parametrize(
    ("prompt", "question", "is_open"),
    [
        (
            "<|im_start|>system\nS<|im_end|>\n<|im_start|>user\nQ?<|im_end|>\n<|im_start|>assistant\n",
            "Q?",
            False,
        ),
        ("<|start_header_id|>user<|end_header_id|>\n\nQ?<|eot_id|>", "Q?", False),
        ("<bos><start_of_turn>user\nQ?<end_of_turn>\n<start_of_turn>model\n", "Q?", False),
        ("<\uff5cUser\uff5c>Q?<\uff5cAssistant\uff5c><think>\n", "Q?", True),
        ("<s>[INST] Q? [/INST]", "Q?", False),
        ("system\nS\nuser\nQ?\nassistant\n", "Q?", False),
        ("user\nline\nQ?\nassistant\n<think>\n", "line\nQ?", True),
    ],
)
def test_the_question_in_a_prompt(prompt: str, question: str, is_open: bool) -> None:
    bare = without_marks(prompt)
    assert bare is not None
    assert (bare.question, bare.thought_open) == (question, is_open)


@pytest.mark.parametrize("text", ["Q?", "The user\nasks an assistant\n", "What is <user>?", ""])
def test_other_questions_stay_as_they_are(text: str) -> None:
    assert without_marks(text) is None


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
TURNS = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["user", "assistant", "system", "tool"]), "content": SCALARS}
    ),
    max_size=3,
)
VALUES = st.recursive(
    SCALARS | TURNS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
)
ALL = Fields(
    question="q", answer="a", response="r", label="l", finish_reason="f", id="i", generator="g",
    answer_type="t", choices="c", stated="s", reasoning="z", context="x",
)  # fmt: skip
PRESET_ROOTS = sorted(
    {root for preset in PRESETS.values() for key in preset.fields.values() for root in roots(key)}
)


@given(record=st.fixed_dictionaries({}, optional=dict.fromkeys("qarlfigtcszx", VALUES)))
def test_any_row_is_shaped_or_refused(record: Record) -> None:
    shapes = Shapes(ImportSettings(fields=ALL), Noted())
    try:
        rows = list(shapes.of(Row("here:1", record)))
    except UserError as error:
        assert str(error).startswith("here:1")
        return
    assert all({"q", "a", "r", "l", "i", "g"} <= row.record.keys() for row in rows)


@given(
    record=st.dictionaries(st.sampled_from(PRESET_ROOTS), VALUES, max_size=6),
    preset=st.sampled_from(sorted(PRESETS)),
)
def test_any_row_is_shaped_or_refused_by_a_preset(record: Record, preset: str) -> None:
    shapes = Shapes(ImportSettings.model_validate({"preset": preset}), Noted())
    try:
        list(shapes.of(Row("here:1", record)))
    except UserError as error:
        assert str(error).startswith("here:1")
