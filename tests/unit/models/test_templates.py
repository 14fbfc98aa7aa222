"""Chat templates by name and with variables: what they render to the byte, and what opens a thought."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase
from trl.chat_template_utils import _CHAT_TEMPLATES_DIR

from glow.config import Prompt
from glow.errors import UserError
from glow.models import load
from glow.models.chat_template import CHAT_TEMPLATE
from glow.models.prompts import Message
from glow.models.templates import (
    generation_prompt,
    named_template,
    opens_thought,
    render,
    template_files,
    template_name,
    template_text,
    with_variables,
)

MARKS = ("<think>", "</think>")
ASKED: list[Message] = [{"role": "system", "content": "Be right."}, {"role": "user", "content": "1 + 1?"}]
ANSWERED: list[Message] = [*ASKED, {"role": "assistant", "content": "Two."}]


@pytest.fixture
def base(tiny_model: Path, tmp_path: Path) -> Path:
    """A base model: its tokenizer has no chat template."""
    folder = tmp_path / "base"
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = None
    tokenizer.save_pretrained(folder)
    (folder / "config.json").write_text((tiny_model / "config.json").read_text())
    return folder


def loaded(model: Path, template: str | None, **variables: Any) -> PreTrainedTokenizerBase:
    return load.load_tokenizer(model, Prompt(chat_template=template, chat_template_kwargs=variables))


# --- by name --------------------------------------------------------------------------------------


def test_chatml_by_hand(base: Path) -> None:
    tokenizer = loaded(base, "chatml")
    asked = "<|im_start|>system\nBe right.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n"
    assert render(tokenizer, ASKED, add_generation_prompt=True) == asked + "<|im_start|>assistant\n"
    assert render(tokenizer, ANSWERED) == asked + "<|im_start|>assistant\nTwo.<|im_end|>\n"
    assert load.turn_end(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_what_a_base_model_reads_is_said_once(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for _ in range(2):
        loaded(base, "plain")
    (said,) = capsys.readouterr().err.splitlines()
    assert "a base model without a chat template: with plain it is asked and trained by" in said
    assert said.endswith(repr("QUESTION\n\nRESPONSE<|im_end|>"))


def test_chatml_ends_turns_with_the_end_of_sequence_where_its_own_is_no_token(base: Path) -> None:
    tokenizer = loaded(base, "chatml")
    tokenizer.get_vocab = lambda: {"</s>": 0}  # type: ignore[method-assign]
    tokenizer.eos_token = "<|endoftext|>"
    tokenizer.chat_template = named_template("chatml", tokenizer)
    assert render(tokenizer, ANSWERED) == (
        "<|im_start|>system\nBe right.<|endoftext|>\n<|im_start|>user\n1 + 1?<|endoftext|>\n"
        "<|im_start|>assistant\nTwo.<|endoftext|>\n"
    )
    assert load.turn_end(tokenizer) == tokenizer.eos_token_id
    assert template_name(tokenizer.chat_template) == "chatml"


def test_plain_by_hand(base: Path) -> None:
    tokenizer = loaded(base, "plain")
    assert render(tokenizer, ASKED, add_generation_prompt=True) == "Be right.\n\n1 + 1?\n\n"
    assert render(tokenizer, ANSWERED) == f"Be right.\n\n1 + 1?\n\nTwo.{tokenizer.eos_token}"
    assert generation_prompt(tokenizer, ASKED) == ""
    assert load.stop_ids(tokenizer, base) == [tokenizer.eos_token_id]
    marked = tokenizer.apply_chat_template(
        ANSWERED, tokenize=True, return_dict=True, return_assistant_tokens_mask=True
    )
    learnt = [n for n, own in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if own]
    assert tokenizer.decode(learnt) == f"Two.{tokenizer.eos_token}"


@pytest.mark.parametrize("name", ["plain", "chatml"])
def test_a_token_that_begins_every_text_is_there_once(name: str, base: Path) -> None:
    tokenizer = loaded(base, "plain")
    tokenizer.bos_token = "<|im_start|>"
    begin = [tokenizer.bos_token_id]

    class Begins:
        """A tokenizer that begins every text by itself, as Llama's and Gemma's do."""

        eos_token, bos_token_id = tokenizer.eos_token, tokenizer.bos_token_id
        get_vocab = staticmethod(tokenizer.get_vocab)

        def __call__(self, text: str) -> dict[str, list[int]]:
            return {"input_ids": begin + tokenizer(text)["input_ids"]}

    tokenizer.chat_template = named_template(name, Begins())  # type: ignore[arg-type]
    shown = render(tokenizer, ASKED)
    assert shown.startswith("<|im_start|>Be" if name == "plain" else "<|im_start|><|im_start|>system")
    assert named_template(name, tokenizer) == template_text(name)  # this one adds none
    assert template_name(tokenizer.chat_template) == name


def test_ours_need_a_token_that_ends_a_turn(base: Path) -> None:
    tokenizer = loaded(base, "plain")
    tokenizer.eos_token = None
    with pytest.raises(UserError, match="chat template plain: the tokenizer has no end-of-sequence token"):
        named_template("plain", tokenizer)


def test_every_template_of_trl_is_found_by_its_name(base: Path) -> None:
    files = sorted(Path(_CHAT_TEMPLATES_DIR).glob("*.jinja"))
    assert len(files) > 50
    for file in files:
        text = file.read_text(encoding="utf-8")
        assert template_text(file.stem) == text
        assert template_text(str(template_name(with_variables(text, {"a": 1})))) == text
    assert loaded(base, "qwen3_training").chat_template == template_text("qwen3_training")


def test_a_file_is_taken_as_it_is(base: Path, tmp_path: Path) -> None:
    file = tmp_path / "own.jinja"
    file.write_text("{% for turn in messages %}{{ turn['content'] }}é\n{% endfor %}\n", encoding="utf-8")
    tokenizer = loaded(base, str(file))
    assert render(tokenizer, ASKED) == "Be right.é\n1 + 1?é\n"
    assert template_files(Prompt(chat_template=str(file))) == [file]
    assert template_files(Prompt(chat_template="qwen3")) == template_files(Prompt()) == []
    assert template_name(str(tokenizer.chat_template)) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("qwen3_trainin", "no chat template is named 'qwen3_trainin'; did you mean qwen3_training"),
        (
            "zzz",
            r"no chat template is named 'zzz'; try chatml, plain, .* \(or a file: its name ends in .jinja",
        ),
        ("there/is/none.jinja", "there/is/none.jinja: cannot be read as a chat template: .*No such file"),
    ],
)
def test_a_name_that_is_none_is_refused(name: str, message: str, base: Path) -> None:
    with pytest.raises(UserError, match=message):
        loaded(base, name)


def test_a_template_that_is_no_jinja_is_refused(base: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.j2").write_text("{% for turn in messages %}\n{{ turn }}")
    with pytest.raises(UserError, match=r"base: chat template: line 2: Unexpected end of template"):
        loaded(base, str(tmp_path / "bad.j2"))


def test_a_base_model_is_told_what_it_may_have(base: Path) -> None:
    with pytest.raises(
        UserError, match=r"base: its tokenizer has no chat template\nChoose one: .*chatml, or plain"
    ):
        loaded(base, None)


def test_of_several_templates_the_default_gets_the_variables(base: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = {"default": CHAT_TEMPLATE, "tool_use": "{{ tools }}"}
    tokenizer.save_pretrained(base)
    assert loaded(base, None).chat_template == tokenizer.chat_template
    assert loaded(base, None, a=1).chat_template == with_variables(CHAT_TEMPLATE, {"a": 1})


# --- variables ------------------------------------------------------------------------------------


def test_a_variable_changes_what_is_rendered_and_is_saved(base: Path, tmp_path: Path) -> None:
    silent = loaded(base, "qwen3", enable_thinking=False)
    empty = "<|im_start|>assistant\n<think>\n\n</think>\n\n"
    assert generation_prompt(silent, ASKED) == empty
    assert generation_prompt(loaded(base, "qwen3", enable_thinking=True), ASKED) == "<|im_start|>assistant\n"
    saved = tmp_path / "saved"
    silent.save_pretrained(saved)
    (saved / "config.json").write_text((base / "config.json").read_text())
    assert generation_prompt(AutoTokenizer.from_pretrained(saved), ASKED) == empty
    again = loaded(saved, None, enable_thinking=False)
    assert again.chat_template == silent.chat_template  # nothing is added twice
    assert generation_prompt(loaded(saved, None, enable_thinking=True), ASKED) == "<|im_start|>assistant\n"
    assert generation_prompt(loaded(saved, None, other=1), ASKED) == empty


def test_without_settings_a_model_keeps_its_own_template(tiny_model: Path) -> None:
    assert loaded(tiny_model, None).chat_template == CHAT_TEMPLATE


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(value=VALUES)
def test_any_value_of_json_reaches_the_template(value: Any) -> None:
    from transformers.utils.chat_template_utils import render_jinja_template

    template = with_variables("{{ value | tojson }}", {"value": value, "after": "%} #} }} {{"})
    (shown,), _ = render_jinja_template([ASKED], chat_template=template, add_generation_prompt=True)
    assert json.loads(shown) == value


def test_a_template_is_rendered_as_it_would_be_without_variables(base: Path) -> None:
    for name in ("qwen2_5", "deepseek_r1_distill", "gemma3", "llama3_1", "phi3"):
        plain, with_one = loaded(base, name), loaded(base, name, unused="x")
        assert render(with_one, ANSWERED) == render(plain, ANSWERED)


# --- thoughts -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "variables", "is_open"),
    [
        ("deepseek_r1_distill", {}, True),
        ("qwen3_5_think", {}, True),
        ("qwen3", {}, False),
        ("qwen3", {"enable_thinking": False}, False),
        ("qwen3_5_nothink", {}, False),
        ("chatml", {}, False),
        ("plain", {}, False),
    ],
)
def test_a_prompt_leaves_a_thought_open_or_not(
    name: str, variables: dict[str, Any], is_open: bool, base: Path
) -> None:
    tokenizer = loaded(base, name, **variables)
    quoted: list[Message] = [{"role": "user", "content": "What does <think> mean?"}]
    assert opens_thought(tokenizer, ASKED, MARKS) is is_open
    assert opens_thought(tokenizer, quoted, MARKS) is is_open


def test_the_text_of_a_response_has_the_special_tokens_of_the_marks(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|channel|>", "<|message|>", "<|end|>"]})
    said = "<|channel|>analysis<|message|>Hm.<|end|><|im_start|>assistant<|channel|>final<|message|>Two."
    ids = tokenizer(said, add_special_tokens=False)["input_ids"]
    marks = ("<|channel|>analysis<|message|>", "<|channel|>final<|message|>")
    assert load.response_text(tokenizer, ids, load.hidden_tokens(tokenizer, marks)) == (
        "<|channel|>analysis<|message|>Hm.assistant<|channel|>final<|message|>Two."
    )
    assert (
        load.response_text(tokenizer, ids, load.hidden_tokens(tokenizer, MARKS))
        == "analysisHm.assistantfinalTwo."
    )


@given(ids=st.lists(st.integers(0, 299), max_size=40))
def test_with_ordinary_marks_the_text_is_what_transformers_decodes(ids: list[int], tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    decoded = tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
    assert load.response_text(tokenizer, ids, load.hidden_tokens(tokenizer, MARKS)) == decoded


# --- prompts --------------------------------------------------------------------------------------


def test_a_template_that_leaves_the_question_out_is_refused(base: Path) -> None:
    """Some templates take content in parts, and render nothing of a plain text."""
    with pytest.raises(UserError, match=r"leaves out the text of the system: 'Be right\.'; choose another"):
        load.prompt_ids(loaded(base, "smolvlm"), ASKED)


def test_the_end_of_a_turn_is_found_where_a_system_text_is_demanded(base: Path, tmp_path: Path) -> None:
    demand = "{% if messages[0]['role'] != 'system' %}{{ raise_exception('no system') }}{% endif %}"
    (tmp_path / "own.jinja").write_text(demand + CHAT_TEMPLATE)
    tokenizer = loaded(base, str(tmp_path / "own.jinja"))
    tokenizer.eos_token = "<|endoftext|>"
    assert load.turn_end(tokenizer) == tokenizer.convert_tokens_to_ids("<|im_end|>")
