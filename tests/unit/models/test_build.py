"""Models made anew from text."""

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Tokenizer

from glow.config import Scratch
from glow.errors import UserError
from glow.files.jsonl import write_jsonl
from glow.models import build as models
from glow.models.chat_template import CHAT_TEMPLATE


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("text") / "trajectories.jsonl.gz"
    things = ["apples", "bottles", "candles", "drawers", "engines", "feathers", "gardens", "hammers"]
    rows = [
        {"question": f"How much is {n} plus {n} {thing}?", "response": f"The sum, so \\boxed{{{2 * n}}}."}
        for n in range(5)
        for thing in things
    ]
    write_jsonl(path, rows)
    return path


SETTINGS = Scratch(vocabulary=320, hidden_size=16, layers=1, heads=2, max_length=64, seed=1)


@pytest.fixture(scope="module")
def model(text: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scratch") / "base"
    models.scratch(text, path, SETTINGS)
    return path


@pytest.fixture(scope="module")
def tokenizer(model: Path) -> Qwen2Tokenizer:
    return AutoTokenizer.from_pretrained(model)


def test_scratch_is_an_ordinary_checkpoint(model: Path, tokenizer: Qwen2Tokenizer) -> None:
    loaded = AutoModelForCausalLM.from_pretrained(model)
    assert len(tokenizer) == 320
    assert loaded.get_input_embeddings().weight.shape == (320, 16)
    assert loaded.get_output_embeddings().weight is loaded.get_input_embeddings().weight
    assert loaded.dtype == torch.float32
    assert loaded.config.max_position_embeddings == 64
    assert (tokenizer.pad_token, tokenizer.eos_token) == ("<|endoftext|>", "<|im_end|>")
    assert (tokenizer.pad_token_id, tokenizer.eos_token_id) == (0, 2)
    assert loaded.generation_config.eos_token_id == 2
    assert not list(model.glob("*.bin"))


def test_tokenizer_read_back_is_the_one_that_was_trained(text: Path, tokenizer: Qwen2Tokenizer) -> None:
    trained = models.train_tokenizer(models._texts(text), 320)
    sentence = "How much is 12 plus 12? The sum, so \\boxed{24}."
    assert tokenizer.encode(sentence) == trained.encode(sentence)
    assert len(tokenizer.encode(" plus")) == 1  # a word of the text; a foreign one falls to bytes
    assert len(tokenizer.encode("zebra")) == 5


@given(words=st.text(st.characters(exclude_categories=["Cs"]), max_size=40))
def test_any_normalised_text_survives_the_round_trip(tokenizer: Qwen2Tokenizer, words: str) -> None:
    normalised = tokenizer.backend_tokenizer.normalizer.normalize_str(words)
    assert tokenizer.decode(tokenizer.encode(normalised)) == normalised


def test_chat_template_renders_chatml_and_marks_what_the_model_says(tokenizer: Qwen2Tokenizer) -> None:
    conversation = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "1 plus 1?"},
        {"role": "assistant", "content": "It is 2"},
    ]
    asked = tokenizer.apply_chat_template(conversation[:2], tokenize=False, add_generation_prompt=True)
    assert asked == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 plus 1?<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    whole = tokenizer.apply_chat_template(conversation, tokenize=False)
    assert whole == asked + "It is 2<|im_end|>\n"
    marked = tokenizer.apply_chat_template(conversation, return_assistant_tokens_mask=True, return_dict=True)
    said = [token for token, mark in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if mark]
    assert tokenizer.decode(said) == "It is 2<|im_end|>"
    assert tokenizer.chat_template == CHAT_TEMPLATE


def test_unknown_role_is_refused(tokenizer: Qwen2Tokenizer) -> None:
    with pytest.raises(Exception, match="unknown role tool"):
        tokenizer.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_scratch_is_deterministic_and_heeds_its_seed(text: Path, model: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    models.scratch(text, tmp_path / "again", SETTINGS)
    models.scratch(text, tmp_path / "other", SETTINGS.model_copy(update={"seed": 2}))
    for name in ("model.safetensors", "tokenizer.json", "tokenizer_config.json", "config.json"):
        assert (tmp_path / "again" / name).read_bytes() == (model / name).read_bytes()
    weights = (tmp_path / "other" / "model.safetensors").read_bytes()
    assert weights != (model / "model.safetensors").read_bytes()


def test_vocabulary_is_what_the_text_yields_where_it_is_little(tmp_path: Path) -> None:
    write_jsonl(tmp_path / "little.jsonl", [{"question": "ab", "response": "ab"}])
    models.scratch(tmp_path / "little.jsonl", tmp_path / "base", SETTINGS)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    assert loaded.config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path / "base")) < 320


@pytest.mark.parametrize(
    ("content", "pattern"),
    [
        ("", "no trajectories to train a tokenizer on"),
        (
            '{"question": "q", "response": "r"}\n{"question": "q"}\n',
            r"text.jsonl:2: no key 'response'",
        ),
        (
            '{"question": null, "response": "r"}\n',
            r"text.jsonl:1: 'question': input should be a valid string",
        ),
    ],
)
def test_rows_without_text_are_named(content: str, pattern: str, tmp_path: Path) -> None:
    (tmp_path / "text.jsonl").write_text(content)
    with pytest.raises(UserError, match=pattern):
        models.scratch(tmp_path / "text.jsonl", tmp_path / "base", SETTINGS)
    assert not (tmp_path / "base").exists()
