"""GlowTrainer as its users meet it: what it takes, what it shows, and what it refuses."""

import math
import re
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset, IterableDataset
from glow_runs import EPOCHS, ROWS, SAMPLES, Heard, build, make_trainer, train
from peft import LoraConfig
from pydantic import Field
from safetensors.torch import load_file
from transformers import AutoTokenizer, HfArgumentParser, TrainerCallback
from trl import SFTConfig

from glow import GlowConfig, GlowTrainer, LossLedger, glow_weights
from glow.config import Section
from glow.errors import UserError
from glow.training.objectives import OBJECTIVES, GlowSettings, Objective

# What it takes


def test_a_list_of_dictionaries_and_defaults_suffice(tiny_model: Path, tmp_path: Path) -> None:
    trainer = GlowTrainer(
        str(tiny_model),
        args=GlowConfig(str(tmp_path), max_steps=4, report_to="none", use_cpu=True, bf16=False),
        train_dataset=ROWS,
    )
    trainer.train()
    assert trainer.history()["sample_id"].tolist() == [*range(12), *range(12)]
    assert (trainer.args.alpha, trainer.args.beta, trainer.args.clamp) == (1.0, 10.0, None)


def test_sft_arguments_mean_glow_with_its_defaults(tiny_model: Path, tmp_path: Path) -> None:
    arguments = SFTConfig(str(tmp_path / "out"), learning_rate=3e-3, use_cpu=True, bf16=False)
    trainer = GlowTrainer(str(tiny_model), arguments, train_dataset=ROWS)
    assert isinstance(trainer.args, GlowConfig)
    assert (trainer.args.learning_rate, trainer.args.objective) == (3e-3, "glow")


def test_arguments_come_from_a_command_line() -> None:
    line = [
        "--output_dir",
        "out",
        "--use_cpu",
        "--beta",
        "25",
        "--clamp",
        "0.5",
        "5.0",
        "--objective",
        "glow",
    ]
    (parsed,) = HfArgumentParser(GlowConfig).parse_args_into_dataclasses(line)
    assert (parsed.beta, parsed.clamp, parsed.objective) == (25.0, [0.5, 5.0], "glow")
    assert parsed.alpha == 1.0


def test_ids_are_the_users_own_or_row_numbers(tiny_model: Path, tmp_path: Path) -> None:
    named = [{**row, "id": f"mine-{n}"} for n, row in enumerate(ROWS)]
    assert list(build(tiny_model, tmp_path, named).sample_ids) == [row["id"] for row in named]
    assert list(build(tiny_model, tmp_path).sample_ids) == list(range(12))
    shared = [{**row, "id": "same"} for row in ROWS]
    assert list(build(tiny_model, tmp_path, shared, id_column=None).sample_ids) == list(range(12))
    other = [{**row, "key": 7 * n} for n, row in enumerate(ROWS)]
    assert list(build(tiny_model, tmp_path, other, id_column="key").sample_ids) == [7 * n for n in range(12)]


def test_adapters_train_alone(tiny_model: Path, tmp_path: Path) -> None:
    trainer = build(tiny_model, tmp_path, peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]))
    before = {name: values.clone() for name, values in trainer.model.state_dict().items()}
    trainer.train()
    moved = {
        name for name, values in trainer.model.state_dict().items() if not torch.equal(values, before[name])
    }
    assert moved
    assert all("lora_" in name for name in moved)
    assert trainer.history().query("epoch > 1")["weight"].std() > 0


def test_evaluation_sets_leave_the_ledger_alone(tiny_model: Path, tmp_path: Path) -> None:
    """They have losses of their own in the log, under names of their own, "train" among them."""
    held_out = Dataset.from_list([{"prompt": "1 plus 2", "completion": " 3"}] * 5)
    sets = {"train": held_out, "other": held_out.select(range(2))}
    evaluated = build(tiny_model, tmp_path / "a", eval_dataset=sets, eval_strategy="steps", eval_steps=1)
    evaluated.train()
    alone = build(tiny_model, tmp_path / "b")
    alone.train()
    assert any("eval_train_loss" in line for line in evaluated.state.log_history)
    assert any("eval_other_loss" in line for line in evaluated.state.log_history)
    assert evaluated.history().equals(alone.history())


def test_tokenised_data_are_taken_as_they_are(tiny_model: Path, tmp_path: Path) -> None:
    rows = [{"input_ids": [1, 5, 6 + n, 7], "labels": [-100, -100, 6 + n, 7]} for n in range(9)]
    trainer = build(tiny_model, tmp_path, Dataset.from_list(rows))
    trainer.train()
    assert len(trainer.history()) == EPOCHS * 9


class HardSettings(Section):
    threshold: float = Field(0.0, ge=0)
    clamp: tuple[float, float] | None = (0.0, 1.0)


@pytest.fixture
def hard(monkeypatch: pytest.MonkeyPatch) -> str:
    """An objective of somebody else's, registered; its name."""

    def weights(previous_loss: torch.Tensor, loss: torch.Tensor, settings: HardSettings) -> torch.Tensor:
        return (loss > settings.threshold).float()

    monkeypatch.setitem(OBJECTIVES, "hard", Objective(settings=HardSettings, sample_weights=weights))
    return "hard"


def test_a_new_objective_is_one_function(tiny_model: Path, tmp_path: Path, hard: str) -> None:
    trainer = build(tiny_model, tmp_path, objective=hard, objective_settings={"threshold": 5.0})
    trainer.train()
    shares = [
        line["share_at_low"] + line["share_at_high"] for line in trainer.state.log_history if "loss" in line
    ]
    assert shares == pytest.approx([1.0] * len(shares))
    history = trainer.history()
    assert ((history["loss"] > 5.0) == (history["weight"] == 1.0)).all()
    assert set(history["weight"]) == {0.0, 1.0}


def test_settings_of_an_objective_are_its_own(hard: str) -> None:
    args = GlowConfig("out", objective=hard, objective_settings={"threshold": 2.0})
    assert (args.alpha, args.beta, args.clamp) == (None, None, [0.0, 1.0])
    assert args.objective_settings == {"threshold": 2.0}
    # None in the field is the default, and in the dictionary it is none: also once completed.
    unbounded = GlowConfig("out", objective=hard, objective_settings={"clamp": None})
    assert unbounded.clamp is None
    assert replace(unbounded, seed=1).chosen_objective.bounds is None
    assert replace(args, clamp=[0.5, 1.0]).chosen_objective.bounds == (0.5, 1.0)
    assert args.chosen_objective.bounds == (0.0, 1.0)


def test_settings_come_from_a_command_line(hard: str) -> None:
    line = ["--output_dir", "out", "--objective", hard, "--objective_settings", '{"threshold": 2}']
    (parsed,) = HfArgumentParser(GlowConfig).parse_args_into_dataclasses(line)
    assert parsed.objective_settings == {"threshold": 2.0}


def test_glow_settings_can_be_taken_back() -> None:
    args = GlowConfig("out", beta=5.0, clamp=[0.5, 5.0])
    assert replace(args, clamp=None).chosen_objective.settings == GlowSettings(beta=5.0)
    assert replace(args, alpha=2.0).chosen_objective.settings == GlowSettings(
        alpha=2.0, beta=5.0, clamp=(0.5, 5.0)
    )


def test_the_public_names_are_the_parts() -> None:
    weights = glow_weights(torch.tensor([2.0]), torch.tensor([2.0]), alpha=2.0, beta=5.0, clamp=(0.5, 5.0))
    assert weights.tolist() == [1.0]
    assert len(LossLedger(3)) == 3


# What it shows


def test_log_has_the_means_over_samples(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    settings = {"alpha": 1.0, "clamp": [0.5, 5.0], "logging_steps": 5}  # 5 steps an epoch
    heard = Heard()
    with pytest.warns(UserWarning, match="nearly the same for all samples"):
        trainer = train(tiny_model, dataset, tmp_path, **settings, callbacks=[heard])
    lines = [line for line in trainer.state.log_history if "weight_mean" in line]
    epochs = [line for line in heard.lines if "epoch_weight" in line]
    history = trainer.history()
    assert len(lines) == len(epochs) == EPOCHS
    for number, (line, epoch_line) in enumerate(zip(lines, epochs, strict=True), start=1):
        epoch = history[history["epoch"] == number]
        weight = epoch["weight"]
        assert line["sample_loss"] == pytest.approx(epoch["loss"].mean(), rel=1e-5)
        assert line["gain_mean"] == pytest.approx(epoch["gain"].mean() if number > 1 else 0.0, rel=1e-4)
        assert line["weight_mean"] == pytest.approx(weight.mean(), rel=1e-5)
        assert line["weight_std"] == pytest.approx(weight.std(ddof=0), rel=1e-3, abs=1e-7)
        effective = weight.sum() ** 2 / (weight**2).sum() / len(weight)
        assert line["weight_ess"] == pytest.approx(effective, rel=1e-4)
        assert line["share_at_low"] == pytest.approx((weight == 0.5).mean())
        assert line["share_at_high"] == 0.0
        assert epoch_line["epoch_loss"] == pytest.approx(epoch["loss"].mean(), rel=1e-5)
        assert epoch_line["unseen_samples"] == 0
    assert lines[1]["share_at_low"] == 1.0  # the released defaults: every sample that improved


def test_history_is_written_as_epochs_end(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    class Look(TrainerCallback):
        files: list[int] = []  # noqa: RUF012

        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            self.files.append(len(list((tmp_path / "history").glob("epoch-*.parquet"))))

    train(tiny_model, dataset, tmp_path, callbacks=[Look()])
    assert Look.files == [0] * 5 + [1] * 5 + [2] * 5
    assert len(list((tmp_path / "history").iterdir())) == 3


@pytest.mark.parametrize(
    ("settings", "unseen"),
    [({"dataloader_drop_last": True}, [6, 6, 6]), ({"max_steps": 7}, [0, SAMPLES - 16])],
    ids=["drop_last", "max_steps"],
)
def test_unseen_samples_are_counted_and_weigh_one_next_time(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, settings: dict[str, Any], unseen: list[int]
) -> None:
    heard = Heard()
    trainer = train(tiny_model, dataset, tmp_path, **settings, callbacks=[heard])
    counts = [line["unseen_samples"] for line in heard.lines if "unseen_samples" in line]
    assert counts == unseen
    history = trainer.history().set_index(["epoch", "sample_id"])
    later = history.loc[2:]
    fresh = [(epoch - 1, name) not in history.index for epoch, name in later.index]
    assert any(fresh) == ("dataloader_drop_last" in settings)
    assert later["gain"].isna().tolist() == fresh
    assert (later.loc[fresh, "weight"] == 1.0).all()
    assert (later.loc[[not new for new in fresh], "weight"] != 1.0).all()


class EndEpochAt(TrainerCallback):
    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        control.should_epoch_stop = state.global_step == self.step


@pytest.mark.parametrize(
    ("settings", "warned"),
    [
        pytest.param({}, [], id="all seen"),
        pytest.param({"dataloader_drop_last": True}, ["epoch 1 did not see 6 of 38"], id="said once"),
        pytest.param({"max_steps": 7}, [], id="cut by the run's end"),
        pytest.param({"max_steps": 3, "dataloader_drop_last": True}, [], id="cut, none dropped yet"),
        pytest.param({"callbacks": [EndEpochAt(8)]}, ["epoch 2 did not see 14 of 38"], id="left early"),
    ],
)
def test_samples_that_a_finished_epoch_did_not_see_are_warned_of(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, settings: dict[str, Any], warned: list[str]
) -> None:
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        train(tiny_model, dataset, tmp_path, **settings)
    found = [str(warning.message) for warning in said if "did not see" in str(warning.message)]
    assert [text.partition(" samples: ")[0] for text in found] == warned
    assert all(text.count("'t-") == 5 and ", ...." in text for text in found)


def test_one_epoch_and_small_sets_are_warned_of(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="only one epoch.*plain SFT"):
        build(tiny_model, tmp_path, num_train_epochs=1).train()
    with pytest.warns(UserWarning, match=r"12 row\(s\), fewer than the 16"):
        build(tiny_model, tmp_path, gradient_accumulation_steps=2).train()
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        build(tiny_model, tmp_path, num_train_epochs=1, objective="plain").train()


# What it refuses


class Poison(TrainerCallback):
    """Makes one token's embedding infinite before a step, so that the samples that hold it have no loss."""

    def __init__(self, token: int, step: int) -> None:
        self.token, self.step = token, step

    def on_step_begin(self, args: Any, state: Any, control: Any, model: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            with torch.no_grad():
                model.get_input_embeddings().weight[self.token] = math.inf


def test_a_loss_that_is_not_finite_names_its_samples(tiny_model: Path, tmp_path: Path) -> None:
    """The poison strikes at the third step, whose victims are all of the steps after it."""
    rows = [{"input_ids": [1, 5, 6 + n, 7], "labels": [-100, -100, 6 + n, 7]} for n in range(40)]
    trainer = build(
        tiny_model,
        tmp_path,
        rows,
        logging_steps=5,
        callbacks=[Poison(token=5, step=2)],
    )
    with pytest.raises(
        UserError, match=r"not finite at optimiser step 3, for 8 sample\(s\): (\d+, ){5}\.\.\."
    ):
        trainer.train()


@pytest.mark.parametrize(
    "settings",
    [
        {"logging_strategy": "no"},
        {"logging_steps": 100},
        {"logging_steps": 100, "save_strategy": "steps", "save_steps": 2},
    ],
    ids=["no log", "after the last line", "before a save"],
)
def test_such_a_loss_is_named_without_a_log_line_too(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any]
) -> None:
    """At the latest as the epoch ends; and no checkpoint is written from it on."""
    rows = [{"input_ids": [1, 5, 6 + n, 7], "labels": [-100, -100, 6 + n, 7]} for n in range(40)]
    trainer = build(tiny_model, tmp_path, rows, **settings, callbacks=[Poison(token=5, step=12)])
    with pytest.raises(UserError, match="not finite at optimiser step 13, for 8"):
        trainer.train()
    saved = [load_file(folder / "model.safetensors") for folder in tmp_path.glob("checkpoint-*")]
    assert all(values.isfinite().all() for model in saved for values in model.values())
    assert len(saved) == (6 if "save_steps" in settings else 0)


def test_an_epoch_that_a_callback_ends_early_is_an_epoch(tiny_model: Path, tmp_path: Path) -> None:
    class EndEarly(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            control.should_epoch_stop = state.global_step == 1

    trainer = build(tiny_model, tmp_path, callbacks=[EndEarly()])
    trainer.train()
    assert trainer.history().groupby("epoch").size().tolist() == [8, 12, 12]


def test_log_lines_outside_a_step_pass(tiny_model: Path, tmp_path: Path) -> None:
    trainer = build(tiny_model, tmp_path)
    trainer.log({"loss": 1.0})
    assert trainer.state.log_history[-1]["loss"] == 1.0


def test_the_examples_of_the_pages_run(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pages = [(Path(__file__).parents[2] / page).read_text() for page in ("README.md", "docs/trainer.md")]
    blocks = [block for page in pages for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL)]
    assert len(blocks) == 2
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("glow.training.objectives.OBJECTIVES", dict(OBJECTIVES))
    scope: dict[str, Any] = {}
    exec(blocks[0].replace("Qwen/Qwen2.5-0.5B", str(tiny_model)), scope)
    assert scope["trainer"].history()["sample_id"].tolist() == ["a", "b", "c"] * 3
    exec(blocks[1], scope)
    hard = GlowConfig("hard", objective="hard", objective_settings={"threshold": 0.5}).chosen_objective
    assert hard.entry.sample_weights is not None
    assert hard.entry.sample_weights(None, torch.tensor([0.1, 2.0]), hard.settings).tolist() == [0.0, 1.0]


@pytest.mark.parametrize("mode", [{}, {"padding_free": True}])
def test_samples_without_response_are_named(tiny_model: Path, tmp_path: Path, mode: dict[str, Any]) -> None:
    rows = [{"input_ids": [1, 5, 6, 7], "labels": [-100, -100, 6, 7], "id": f"s{n}"} for n in range(3)]
    rows[1] |= {"labels": [5, -100, -100, -100]}  # nothing predicts the first token
    with pytest.raises(UserError, match=r"1 sample\(s\) have no response tokens.*'s1'\."):
        build(tiny_model, tmp_path, rows, **mode)


def test_a_cut_that_leaves_no_response_is_refused(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    with (
        pytest.warns(UserWarning, match="38 of 38 samples .* longer than max_length 3: cut"),
        pytest.raises(UserError, match=r"38 sample\(s\) have no response tokens.*'t-0', .*\.\.\."),
    ):
        make_trainer(tiny_model, dataset, tmp_path, max_length=3, too_long="cut")


def test_padding_free_rows_have_no_sample_above_the_longest_length(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    """TRL refuses max_length there; the settings have it again when the trainer is made."""
    lengths = [len(ids) for ids in make_trainer(tiny_model, dataset, tmp_path).train_dataset["input_ids"]]
    longest = sorted(lengths)[-2]
    settings = {"padding_free": True, "max_length": longest, "too_long_limit": 0.5}
    trainer = make_trainer(tiny_model, dataset, tmp_path, **settings)
    kept = [len(ids) for ids in trainer.train_dataset["input_ids"]]
    assert sorted(kept) == sorted(length for length in lengths if length <= longest)
    assert len(trainer.too_long) == len(lengths) - len(kept)
    assert trainer.args.max_length == longest


def test_duplicate_and_missing_ids_are_refused(tiny_model: Path, dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="two training samples share the id 't-0'"):
        make_trainer(tiny_model, dataset.select([0, 1, 0]), tmp_path)
    with pytest.raises(UserError, match=r"no column 'name' \(id_column\); it has prompt, completion"):
        make_trainer(tiny_model, dataset, tmp_path, id_column="name")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"packing": True, "packing_strategy": "wrapped", "max_length": 64}, "cuts samples apart"),
        ({"packing": True, "max_length": None}, "packing fills rows of max_length tokens"),
        ({"label_smoothing_factor": 0.1}, "label_smoothing_factor"),
        ({"auto_find_batch_size": True}, "auto_find_batch_size"),
        ({"accelerator_config": {"split_batches": True}}, "split_batches"),
        ({"per_device_train_batch_size": 64, "dataloader_drop_last": True}, "12 row.* batch of 64"),
        ({"dataset_kwargs": {"skip_prepare_dataset": True}}, "skip_prepare_dataset"),
        ({"accelerator_config": {"even_batches": False}}, "even_batches on"),
        ({"train_sampling_strategy": "batch_rebalance"}, "batch_rebalance"),
        ({"ignore_data_skip": True}, "ignore_data_skip"),
    ],
)
def test_settings_that_would_mislead_are_refused(
    tiny_model: Path, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        build(tiny_model, tmp_path, **settings)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"objective": "adam"}, r"objective: 'adam' is unknown; known: plain, sft, .*, dft \(your own"),
        ({"clamp": [2.0, 1.0]}, r"clamp: .* 0 <= low <= high, found \[2.0, 1.0\]"),
        ({"alpha": 0.0}, "alpha: input should be greater than 0, found 0.0"),
        ({"beta": -1.0}, "beta: input should be greater than or equal to 0, found -1.0"),
        ({"objective_settings": {"alfa": 1}}, "alfa: 'alfa' is unknown; did you mean 'alpha'?"),
        ({"objective_settings": {"alpha": 1}, "alpha": 2.0}, "alpha: given twice"),
        ({"objective_settings": "alpha"}, "objective_settings: 'alpha' is not a dictionary"),
        (
            {"objective": "plain", "alpha": 1.0},
            "alpha: the objective 'plain' has no settings; remove 'alpha'",
        ),
    ],
)
def test_bad_settings_of_an_objective_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        GlowConfig("out", use_cpu=True, **settings)


def test_a_loss_of_trls_is_refused() -> None:
    with pytest.raises(ValueError, match="set objective instead"):
        GlowConfig("out", use_cpu=True, loss_type="dft")


def test_data_that_cannot_be_met_again_are_refused(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="IterableDataset: every epoch must see the same samples"):
        build(tiny_model, tmp_path, IterableDataset.from_generator(lambda: iter(ROWS)))
    with pytest.raises(UserError, match="no samples"):
        build(tiny_model, tmp_path, [])
    with pytest.raises(UserError, match="has the columns question; it needs prompt and completion"):
        build(tiny_model, tmp_path, [{"question": "1 + 1?"}])
    with pytest.raises(UserError, match="has a column sample_row"):
        build(tiny_model, tmp_path, [{**row, "sample_row": 0} for row in ROWS])


def test_tokenizers_that_cannot_render_or_pad_are_refused(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = None
    with pytest.raises(UserError, match="no chat template"):
        build(tiny_model, tmp_path, dataset, processing_class=tokenizer)
    from_value = [{"from": "human", "value": "1 + 1?"}, {"from": "gpt", "value": "2"}]
    with pytest.raises(UserError, match="no chat template"):
        build(tiny_model, tmp_path, [{"conversations": from_value}], processing_class=tokenizer)
    build(tiny_model, tmp_path, ROWS, processing_class=tokenizer)  # plain text needs none
    tokenizer.pad_token = tokenizer.eos_token = None
    with pytest.raises(UserError, match="neither a pad nor an end token"):
        build(tiny_model, tmp_path, ROWS, processing_class=tokenizer)
