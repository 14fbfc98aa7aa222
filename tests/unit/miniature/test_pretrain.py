"""Pretraining: batches hold what they should, and a killed run ends in the same weights."""

import json
from itertools import islice
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from glow.config import Phase, Pretrain
from glow.errors import UserError
from glow.files.hashing import hash_path
from glow.miniature import pretrain as stage
from glow.miniature.corpus import Corpus
from glow.miniature.pretrain import (
    ROW_LENGTH,
    encode,
    learning_rate_factor,
    new_model,
    packed_batch,
    pretrain,
    response_loss,
)
from glow.miniature.tokenizer import build_tokenizer
from glow.models.scoring import IGNORED

SETTINGS = Pretrain(
    role="base", families={"far": ["links", "boolean"], "near": ["ledger"]}, bare_share=0.3,
    phases={"first": {"steps": 12, "optimizer": "muon", "learning_rate": 0.01, "shares": {"far": 1}},
            "second": {"steps": 8}},
    batch_size=2, hidden_size=32, layers=2, heads=2,
)  # fmt: skip


def corpus_of(settings: Pretrain) -> Corpus:
    """The corpus of the second phase, in which all groups occur."""
    return Corpus(settings, "second", settings.phases["second"])


class KilledError(Exception):
    """Stands for SIGKILL."""


def kill_after(monkeypatch: pytest.MonkeyPatch, steps: int) -> None:
    take_step = stage._Run._take_step

    def failing(run: stage._Run) -> torch.Tensor:
        if run.step == steps:
            raise KilledError
        return take_step(run)

    monkeypatch.setattr(stage._Run, "_take_step", failing)


def test_learning_rate_warms_up_then_falls_to_zero() -> None:
    # 100 steps: 5 of warm-up (1/5 .. 5/5), then half a cosine over 95.
    assert [learning_rate_factor(step, 100) for step in (0, 1, 4, 5)] == pytest.approx([0.2, 0.4, 1.0, 1.0])
    assert learning_rate_factor(5 + 95 // 2, 100) == pytest.approx(0.5, abs=0.01)
    assert learning_rate_factor(99, 100) == pytest.approx(0.0, abs=0.001)


def test_a_batch_is_whole_documents_whose_responses_are_learnt() -> None:
    tokenizer, corpus = build_tokenizer(), corpus_of(SETTINGS)
    batch = packed_batch(corpus, tokenizer, step=3, rows=2)
    assert batch["input_ids"].shape == batch["labels"].shape == batch["position_ids"].shape == (2, ROW_LENGTH)
    found = []
    for row in range(2):
        starts = (batch["position_ids"][row] == 0).nonzero().flatten().tolist()
        for start, end in zip(starts, [*starts[1:], ROW_LENGTH], strict=True):
            ids, labels = batch["input_ids"][row, start:end], batch["labels"][row, start:end]
            learnt = labels != IGNORED
            # A label is the token that follows.
            assert torch.equal(labels[:-1][learnt[:-1]], ids[1:][learnt[:-1]])
            if learnt.any():
                first = int(learnt.nonzero()[0])
                found.append((ids[: first + 1].tolist(), labels[learnt].tolist()))
    expected = [encode(tokenizer, *document) for document in islice(corpus.documents(3), batch["documents"])]
    assert len(expected) > 3
    assert sorted(found) == sorted(expected)
    assert batch["tokens"] == sum(len(prompt) + len(answer) for prompt, answer in expected)


def test_packed_documents_do_not_see_each_other() -> None:
    tokenizer, corpus = build_tokenizer(), corpus_of(SETTINGS)
    model = new_model(SETTINGS, tokenizer).eval()
    batch = packed_batch(corpus, tokenizer, step=0, rows=2)
    total, count = 0.0, 0
    for document in islice(corpus.documents(0), batch["documents"]):
        prompt, answer = encode(tokenizer, *document)
        log_probabilities = model(torch.tensor([prompt + answer])).logits[0].log_softmax(-1)
        for offset, token in enumerate(answer):
            total -= log_probabilities[len(prompt) - 1 + offset, token].item()
        count += len(answer)
    assert response_loss(model, batch).item() == pytest.approx(total / count, rel=1e-5)


def test_the_result_is_an_ordinary_checkpoint_that_has_learnt(tmp_path: Path) -> None:
    pretrain(tmp_path / "model", SETTINGS)
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "model")
    assert type(model).__name__ == "Qwen2ForCausalLM" and model.dtype == torch.float32
    assert model.config.vocab_size == len(AutoTokenizer.from_pretrained(tmp_path / "model"))
    assert (tmp_path / "model" / "model.safetensors").is_file()
    losses = [json.loads(line) for line in (tmp_path / "model" / "log.jsonl").read_text().splitlines()]
    assert losses[-1]["step"] == 20
    assert (
        losses[-1]["loss"]
        < 6.0
        < response_loss(
            new_model(SETTINGS, build_tokenizer()), packed_batch(corpus_of(SETTINGS), build_tokenizer(), 0, 2)
        ).item()
    )  # log(vocabulary) is about 6.5
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["settings"] == SETTINGS.model_dump(mode="json")
    assert manifest["facts"]["documents"] > 40
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_killed_run_resumes_to_the_same_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretrain(tmp_path / "whole", SETTINGS)
    with monkeypatch.context() as patch:
        kill_after(patch, 13)
        with pytest.raises(KilledError):
            pretrain(tmp_path / "killed", SETTINGS)
    assert not (tmp_path / "killed").exists()
    assert (tmp_path / "killed.checkpoints" / "latest.pt").is_file()
    pretrain(tmp_path / "killed", SETTINGS)
    manifest = json.loads((tmp_path / "killed" / "manifest.json").read_text())
    assert manifest["facts"]["resumed_at"] == 12
    assert hash_path(tmp_path / "killed") == hash_path(tmp_path / "whole")
    assert not (tmp_path / "killed.checkpoints").exists()


@pytest.mark.parametrize("steps", [5, 12, 17])
def test_a_run_that_is_killed_in_either_phase_or_between_them_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, steps: int
) -> None:
    pretrain(tmp_path / "whole", SETTINGS)
    with monkeypatch.context() as patch:
        kill_after(patch, steps)
        with pytest.raises(KilledError):
            pretrain(tmp_path / "killed", SETTINGS)
    pretrain(tmp_path / "killed", SETTINGS)
    assert hash_path(tmp_path / "killed") == hash_path(tmp_path / "whole")


def test_a_phase_has_its_own_optimisers_and_rates() -> None:
    model = new_model(SETTINGS, build_tokenizer())
    first, second = (stage.optimizers(model, phase) for phase in SETTINGS.phases.values())
    assert [type(optimizer).__name__ for optimizer in first] == ["AdamW", "Muon"]
    assert [optimizer.param_groups[0]["initial_lr"] for optimizer in first] == [3e-3, 0.01]
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    by_muon = {names[id(parameter)] for parameter in first[1].param_groups[0]["params"]}
    assert "model.layers.0.mlp.up_proj.weight" in by_muon
    assert not any("embed" in name or "norm" in name or "bias" in name for name in by_muon)
    assert [type(optimizer).__name__ for optimizer in second] == ["AdamW"]
    trained = [len(optimizer.param_groups[0]["params"]) for optimizer in first]
    assert sum(trained) == len(second[0].param_groups[0]["params"]) == len(names)


def test_a_model_goes_on_from_another(tmp_path: Path) -> None:
    pretrain(tmp_path / "base", SETTINGS)
    short = SETTINGS.model_copy(
        update={"role": "teacher", "phases": {"only": Phase(steps=1, learning_rate=1e-9)}}
    )
    pretrain(tmp_path / "teacher", short, tmp_path / "base")
    before, after = (AutoModelForCausalLM.from_pretrained(tmp_path / name) for name in ("base", "teacher"))
    for name, values in before.state_dict().items():
        assert torch.allclose(after.state_dict()[name], values, atol=1e-6), name
    inputs = json.loads((tmp_path / "teacher" / "manifest.json").read_text())["inputs"]
    assert inputs == {str(tmp_path / "base"): hash_path(tmp_path / "base")}
    with pytest.raises(UserError, match="goes on from one of its own shape"):
        pretrain(tmp_path / "wide", short.model_copy(update={"hidden_size": 64}), tmp_path / "base")


def test_a_checkpoint_of_other_settings_is_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as patch:
        kill_after(patch, 5)
        with pytest.raises(KilledError):
            pretrain(tmp_path / "model", SETTINGS)
    other = SETTINGS.model_copy(update={"seed": 1, "batch_size": 3})
    pretrain(tmp_path / "model", other)
    changed = "of another run (batch_size was 2, is 3; seed was 0, is 1; corpus has changed); starting afresh"
    assert changed in capsys.readouterr().err
    pretrain(tmp_path / "fresh", other)
    assert hash_path(tmp_path / "model") == hash_path(tmp_path / "fresh")


def test_roles_and_seeds_give_other_models_and_corpora() -> None:
    tokenizer = build_tokenizer()
    variants = [
        SETTINGS,
        SETTINGS.model_copy(update={"seed": 1}),
        SETTINGS.model_copy(update={"role": "teacher"}),
    ]
    weights = {new_model(settings, tokenizer).model.embed_tokens.weight.sum().item() for settings in variants}
    documents = {str(next(corpus_of(settings).documents(0))) for settings in variants}
    assert len(weights) == len(documents) == 3


def test_new_weights_leave_the_global_randomness_alone() -> None:
    state = torch.random.get_rng_state()
    new_model(SETTINGS, build_tokenizer())
    assert torch.equal(state, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"heads": 3}, "hidden_size must be a multiple of twice the number of heads"),
        ({"families": {"far": ["links", "links"], "near": ["ledger"]}}, "a family is named twice"),
        ({"phases": {"one": {"steps": 3, "shares": {"fra": 1}}}}, "'fra' is unknown; did you mean 'far'"),
        ({"phases": {"one": {"steps": 3, "shares": {"far": 0}}}}, "no group has a share above 0"),
        ({"phases": {}}, "at least 1"),
    ],
)
def test_settings_that_cannot_work_are_refused(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Pretrain(**{**SETTINGS.model_dump(), **change})


def test_the_command_line_refuses_an_unknown_family(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    from glow.cli import main

    assert (
        main(["pretrain", "--output", str(tmp_path / "m"), "--role", "base", "--families", 'x=["ledgr"]'])
        == 2
    )
    assert "--families: 'ledgr' is unknown; did you mean 'ledger'?" in capsys.readouterr().err


@pytest.mark.parametrize("content", [b"junk", b"\x80\x04cos\nmkdir\n(Vtouched\ntR."])
def test_a_checkpoint_that_is_none_is_refused_and_runs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model.checkpoints").mkdir()
    (tmp_path / "model.checkpoints" / "latest.pt").write_bytes(content)
    with pytest.raises(
        UserError, match=r"latest\.pt: not a checkpoint of ours \(.*; delete it to train anew"
    ):
        pretrain(tmp_path / "model", SETTINGS)
    assert not (tmp_path / "touched").exists()
