"""What scripts of TRL's SFTTrainer do with it works with GlowTrainer, or one line says why not."""

from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from glow_runs import EPOCHS, ROWS, Heard, build
from peft import LoraConfig
from transformers import AutoTokenizer

from glow import GlowConfig, GlowTrainer
from glow.errors import UserError

HELD_OUT = [{"prompt": "1 plus 2", "completion": " 3"}, {"prompt": "5 plus 1", "completion": " 6"}]


def config(folder: Path, **settings: Any) -> GlowConfig:
    fixed = {"use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "max_steps": 1}
    return GlowConfig(str(folder), **{**fixed, **settings})


def test_arguments_come_by_position_as_in_trl(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer, heard = AutoTokenizer.from_pretrained(tiny_model), Heard()
    held_out = Dataset.from_list(HELD_OUT)
    rows = Dataset.from_list(ROWS)
    trainer = GlowTrainer(
        str(tiny_model), config(tmp_path), None, rows, held_out, tokenizer, None, None, [heard]
    )
    trainer.train()
    assert len(trainer.eval_dataset) == 2
    assert trainer.processing_class is tokenizer
    assert any("train_loss" in line for line in heard.lines)


def test_a_training_set_is_asked_for_in_the_words_of_trl(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="`train_dataset` is required"):
        GlowTrainer(str(tiny_model), config(tmp_path))
    with pytest.raises(UserError, match="compute_loss_func is another loss"):
        GlowTrainer(str(tiny_model), config(tmp_path), None, ROWS, None, None, len)


def test_evaluation_sets_may_be_lists(tiny_model: Path, tmp_path: Path) -> None:
    listed = build(tiny_model, tmp_path / "a", eval_dataset=HELD_OUT)
    expected = listed.evaluate()["eval_loss"]
    assert listed.evaluate(HELD_OUT)["eval_loss"] == expected
    named = listed.evaluate({"some": HELD_OUT})
    assert named["eval_some_loss"] == expected
    with pytest.raises(UserError, match="eval_dataset has no rows"):
        build(tiny_model, tmp_path / "b", eval_dataset=[])


def test_ids_of_several_types_are_refused_with_the_row(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{**row, "trajectory_id": f"t-{n}" if n == 5 else n} for n, row in enumerate(ROWS)]
    with pytest.raises(
        UserError, match=r"train_dataset: row 5 has the trajectory_id 't-5' \(str\), and row 4 4"
    ):
        build(tiny_model, tmp_path, rows, id_column="trajectory_id")
    del rows[5]["trajectory_id"]
    with pytest.raises(UserError, match="row 5 of the training set has the id None"):
        build(tiny_model, tmp_path, rows, id_column="trajectory_id")


def test_a_history_before_training_is_empty(tiny_model: Path, tmp_path: Path) -> None:
    trainer = build(tiny_model, tmp_path)
    assert trainer.history().empty
    trainer.train()
    assert trainer.history()["epoch"].max() == EPOCHS


def test_a_second_training_goes_on_from_the_weights_and_keeps_the_first_history(
    tiny_model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trainer = build(tiny_model, tmp_path)
    trainer.train()
    first, weights = trainer.history(), trainer.model.state_dict()["lm_head.weight"].clone()
    trainer.train()
    second = trainer.history()
    assert "history: of an earlier run; kept as history-1" in capsys.readouterr().out
    assert len(second) == len(first)
    assert (second.query("epoch == 1")["weight"] == 1).all()
    assert second["loss"].mean() < first["loss"].mean()
    assert not torch.equal(weights, trainer.model.state_dict()["lm_head.weight"])
    other = build(tiny_model, tmp_path)  # another run, the same folder
    other.train()
    assert other.history().equals(first)
    kept = [pages for pages in tmp_path.glob("history-*") if len(list(pages.iterdir())) == EPOCHS]
    assert sorted(pages.name for pages in kept) == ["history-1", "history-2"]


def test_a_second_training_beside_checkpoints_is_told_how_to_go_on(tiny_model: Path, tmp_path: Path) -> None:
    trainer = build(tiny_model, tmp_path, max_steps=2, save_strategy="steps", save_steps=2)
    trainer.train()
    before = trainer.history()
    with pytest.raises(
        UserError, match=r"has checkpoints, the newest checkpoint-2: go on with train\(resume_"
    ):
        trainer.train()
    assert trainer.history().equals(before)


def test_tokens_are_counted_on_where_a_run_was_resumed(tiny_model: Path, tmp_path: Path) -> None:
    """4 steps of 6 rows; the checkpoint stands between two lines of the log."""
    settings = {"per_device_train_batch_size": 6, "num_train_epochs": 2, "logging_steps": 3}
    saved = {**settings, "save_strategy": "steps", "save_steps": 2}
    whole = build(tiny_model, tmp_path, **saved)
    whole.train()
    resumed = build(tiny_model, tmp_path, **saved)
    resumed.train(resume_from_checkpoint=str(tmp_path / "checkpoint-2"))
    lines = [
        [line["num_tokens"] for line in trainer.state.log_history if "num_tokens" in line]
        for trainer in (whole, resumed)
    ]
    tokens = sum(len(ids) for ids in whole.train_dataset["input_ids"])
    assert lines[0] == lines[1]
    assert lines[0][-1] == 2 * tokens


ADAPTERS = LoraConfig(r=4, target_modules=["q_proj", "v_proj"])


def test_adapters_train_on_packed_rows(tiny_model: Path, tmp_path: Path) -> None:
    """As they train on one row each, where a step has all samples either way."""
    settings = {"max_length": 256, "per_device_train_batch_size": 12, "num_train_epochs": 2}
    packed, padded = (
        build(tiny_model, tmp_path / name, peft_config=ADAPTERS, **settings, **mode)
        for name, mode in (("packed", {"packing": True}), ("padded", {}))
    )
    for trainer in (packed, padded):
        trainer.train()
    assert len(packed.train_dataset) == 1
    for name, values in padded.model.state_dict().items():
        torch.testing.assert_close(packed.model.state_dict()[name], values, rtol=1e-4, atol=1e-6)
    columns = ["loss", "weight"]
    expected = padded.history()[columns].to_numpy()
    assert packed.history()[columns].to_numpy() == pytest.approx(expected, rel=1e-4)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="offloads where there is an accelerator")
def test_activations_are_offloaded_from_an_accelerator_alone(tiny_model: Path, tmp_path: Path) -> None:
    """TRL's own ends in an AttributeError there."""
    with pytest.raises(UserError, match="activation_offloading moves what a GPU holds"):
        build(tiny_model, tmp_path, activation_offloading=True)


def test_places_in_the_log_are_those_of_trl(tiny_model: Path, tmp_path: Path) -> None:
    """Programs read line -2 of it: a line of an epoch is heard by loggers, and is not among them."""
    heard = Heard()
    trainer = build(
        tiny_model,
        tmp_path,
        eval_dataset=HELD_OUT,
        eval_strategy="epoch",
        logging_steps=4,
        callbacks=[heard],
    )
    trainer.train()
    kinds = [
        next(key for key in ("train_loss", "loss", "eval_loss", "epoch_loss") if key in line)
        for line in heard.lines
    ]
    # 2 steps an epoch: the last two steps come to no line of their own, but to that of the run.
    epoch = ["epoch_loss", "eval_loss"]
    assert kinds == [*epoch, "loss", *epoch, *epoch, "train_loss"]
    kept = [line for line in heard.lines if "epoch_loss" not in line]
    assert [line.keys() - {"step"} for line in trainer.state.log_history] == [line.keys() for line in kept]
    last, tokens = trainer.state.log_history[-1], trainer.train_dataset["input_ids"]
    assert last["num_tokens"] == EPOCHS * sum(map(len, tokens))
    assert last["sample_loss"] == pytest.approx(trainer.history().query("epoch == 3")["loss"].mean())
    assert trainer.state.log_history[0]["eval_num_tokens"] == sum(map(len, tokens))


def test_epochs_have_a_line_where_they_are_asked_for(tiny_model: Path, tmp_path: Path) -> None:
    """The line of an epoch that loggers hear must not count as it."""
    trainer = build(tiny_model, tmp_path, logging_strategy="epoch")
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line]
    assert [line["step"] for line in lines] == [2, 4, 6]
    means = trainer.history().groupby("epoch")["loss"].mean().tolist()
    assert [line["sample_loss"] for line in lines] == pytest.approx(means)


def test_the_model_bears_the_tags_of_trl_and_ours(tiny_model: Path, tmp_path: Path) -> None:
    assert {"trl", "sft", "glow"} <= set(build(tiny_model, tmp_path).model.model_tags)
