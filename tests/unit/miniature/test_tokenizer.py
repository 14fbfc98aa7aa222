"""The miniature's tokenizer: nothing is lost, its words are single tokens, its template is ChatML."""

import random
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from glow.miniature.corpus import STYLES, draw_document
from glow.miniature.families import FAMILIES
from glow.miniature.tokenizer import build_tokenizer

CONVERSATION = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Sort 21 upwards."},
    {"role": "assistant", "content": "\\boxed{12}"},
]


@pytest.fixture(scope="module")
def loaded(tiny_model: Path) -> PreTrainedTokenizerBase:
    """The tokenizer as every other stage gets it: from beside a saved model."""
    return AutoTokenizer.from_pretrained(tiny_model)


@given(text=st.text())
def test_any_text_survives_in_its_nfc_form(loaded: PreTrainedTokenizerBase, text: str) -> None:
    assert loaded.decode(loaded.encode(text)) == unicodedata.normalize("NFC", text)


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\t ", "世界 héllo 🙂", "x<|im_end|>\ny", "\x00\x1f", "\\boxed{\\frac{1}{2}}"]
)
def test_awkward_texts_survive(loaded: PreTrainedTokenizerBase, text: str) -> None:
    assert loaded.decode(loaded.encode(text)) == text


def test_it_is_the_same_tokenizer_once_saved_beside_a_model(loaded: PreTrainedTokenizerBase) -> None:
    built = build_tokenizer()
    rng = random.Random(0)
    texts = [text for family in FAMILIES.values() for text in draw_document(family, "steps", rng)]
    assert [loaded.encode(text) for text in texts] == [built.encode(text) for text in texts]
    assert (loaded.eos_token, loaded.pad_token, len(loaded)) == ("<|im_end|>", "<|endoftext|>", len(built))
    assert loaded.chat_template == built.chat_template
    assert len(built) < 1000


def test_words_and_digits_of_the_families_are_single_tokens(loaded: PreTrainedTokenizerBase) -> None:
    pieces_of = loaded.backend_tokenizer.pre_tokenizer.pre_tokenize_str
    rng = random.Random(1)
    for family in FAMILIES.values():
        for style in STYLES:
            for _ in range(20):
                for text in draw_document(family, style, rng):
                    assert loaded.tokenize(text) == [piece for piece, _ in pieces_of(text)]


def test_digits_stand_alone(loaded: PreTrainedTokenizerBase) -> None:
    assert loaded.tokenize("p:17+5=22") == ["p", ":", "1", "7", "+", "5", "=", "2", "2"]


def test_prompts_and_responses_are_short(loaded: PreTrainedTokenizerBase) -> None:
    rng = random.Random(2)
    for family in FAMILIES.values():
        for _ in range(100):
            question, response = draw_document(family, "steps", rng)
            messages = [{"role": "user", "content": question}]
            prompt = loaded.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
            assert len(loaded.encode(prompt)) <= 64
            assert len(loaded.encode(response)) < 96


def test_the_template_is_chatml(loaded: PreTrainedTokenizerBase) -> None:
    system = "<|im_start|>system\nBe brief.<|im_end|>\n"
    opened = system + "<|im_start|>user\nSort 21 upwards.<|im_end|>\n<|im_start|>assistant\n"
    prompt = loaded.apply_chat_template(CONVERSATION[:2], tokenize=False, add_generation_prompt=True)
    whole = loaded.apply_chat_template(CONVERSATION, tokenize=False)
    assert prompt == opened
    assert whole == opened + "\\boxed{12}<|im_end|>\n"


def test_the_template_marks_the_response(loaded: PreTrainedTokenizerBase) -> None:
    encoded = loaded.apply_chat_template(CONVERSATION, return_dict=True, return_assistant_tokens_mask=True)
    marked = [t for t, mark in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if mark]
    assert loaded.decode(marked) == "\\boxed{12}<|im_end|>"


def test_an_unknown_role_is_refused(loaded: PreTrainedTokenizerBase) -> None:
    with pytest.raises(Exception, match="unknown role tool"):
        loaded.apply_chat_template([{"role": "tool", "content": "x"}], tokenize=False)


def test_saving_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        build_tokenizer().save_pretrained(tmp_path / name)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert files == ["chat_template.jinja", "tokenizer.json", "tokenizer_config.json"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
