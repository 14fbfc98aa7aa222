"""Models from the hub (a fake one: the tests touch no network) and made anew from text."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from huggingface_hub.utils import filter_repo_objects
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer, Qwen2Tokenizer

from glow.config import Hub, Scratch
from glow.errors import UserError
from glow.files.jsonl import write_jsonl
from glow.models import build as models
from glow.models.chat_template import CHAT_TEMPLATE

COMMIT = "0123456789abcdef0123456789abcdef01234567"
HUB = Hub(hub="org/name", revision=COMMIT)
FILES = [
    "config.json",
    "model-00001-of-00002.safetensors",
    "model-00002-of-00002.safetensors",
    "model.safetensors.index.json",
    "tokenizer.json",
    "merges.txt",
    "chat_template.jinja",
    "LICENSE",
    "pytorch_model.bin",
    "training_args.bin",
    "consolidated.00.pth",
    "optimizer.pt",
    "modeling_custom.py",
    "original/model.safetensors",
]


def _hub(files: list[str], fail_after: int | None = None) -> Callable[..., str]:
    """A snapshot_download of these files, which loses its network after `fail_after` of them."""

    def download(
        repo_id: str, *, revision: str, local_dir: Path, allow_patterns: Any, ignore_patterns: Any
    ) -> str:
        assert (repo_id, revision) == ("org/name", COMMIT)
        wanted = filter_repo_objects(files, allow_patterns=allow_patterns, ignore_patterns=ignore_patterns)
        for number, name in enumerate(wanted):
            if number == fail_after:
                raise httpx.ConnectError("Name or service not known")
            target = local_dir / name
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(target.read_text() + "+" if target.exists() else name)
        (local_dir / ".cache").mkdir(exist_ok=True)
        return str(local_dir)

    return download


def test_fetch_takes_weights_and_tokenizer_and_no_pickle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(models, "snapshot_download", _hub(FILES))
    models.fetch(HUB, tmp_path / "base")
    found = {str(path.relative_to(tmp_path / "base")) for path in (tmp_path / "base").rglob("*")}
    assert found == {*FILES[:8], "manifest.json"}
    manifest = json.loads((tmp_path / "base" / "manifest.json").read_text())
    assert manifest["settings"] == {"hub": "org/name", "revision": COMMIT, "trust_remote_code": False}
    assert [path.name for path in tmp_path.iterdir()] == ["base"]
    assert "org/name@0123456789ab" in capsys.readouterr().out


def test_fetch_takes_the_code_of_a_trusted_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(models, "snapshot_download", _hub(FILES))
    models.fetch(HUB.model_copy(update={"trust_remote_code": True}), tmp_path / "base")
    found = {path.name for path in (tmp_path / "base").iterdir()}
    assert found == {*FILES[:8], "modeling_custom.py", "manifest.json"}


def test_cut_off_download_leaves_no_model_and_goes_on_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "snapshot_download", _hub(FILES, fail_after=2))
    with pytest.raises(UserError, match=r"org/name@0123456789ab.*Name or service not known") as raised:
        models.fetch(HUB, tmp_path / "base")
    assert "give the path of a local copy" in str(raised.value)
    assert not (tmp_path / "base").exists()
    monkeypatch.setattr(models, "snapshot_download", _hub(FILES))
    models.fetch(HUB, tmp_path / "base")
    assert (tmp_path / "base" / "config.json").read_text() == "config.json+"  # found from the first time
    assert (tmp_path / "base" / "tokenizer.json").read_text() == "tokenizer.json"


@pytest.mark.parametrize("files", [["config.json", "pytorch_model.bin"], ["model.safetensors"]])
def test_repository_without_a_safe_model_is_refused(
    files: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(models, "snapshot_download", _hub(files))
    with pytest.raises(UserError, match=r"has no config\.json with safetensors weights"):
        models.fetch(HUB, tmp_path / "base")
    assert not (tmp_path / "base").exists()


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
