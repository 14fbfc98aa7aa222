"""What enters GlowTrainer's loss: long samples, changed responses, user turns, a model's own code."""

import json
import re
import shutil
import warnings
from pathlib import Path

import pytest
from datasets import Dataset
from glow_runs import ROWS, build, make_trainer
from transformers import AutoTokenizer

from glow import GlowConfig, GlowTrainer
from glow.errors import UserError


def test_long_samples_are_left_out_as_if_they_had_not_been_given(
    tiny_model: Path, dataset: Dataset, tmp_path: Path
) -> None:
    given = list(dataset)
    said = {"role": "assistant", "content": "1 " * 500}
    long = {**given[7], "trajectory_id": "long", "completion": [said]}
    rows = Dataset.from_list([*given[:5], long, *given[5:]])
    with pytest.warns(UserWarning, match="1 of 39 samples .* longer than max_length 64: left out"):
        trainer = make_trainer(tiny_model, rows, tmp_path / "a", max_length=64, too_long_limit=0.1)
    alone = make_trainer(tiny_model, dataset, tmp_path / "b", max_length=64)
    assert trainer.too_long == ["long"]
    assert list(trainer.sample_ids) == list(alone.sample_ids)
    assert trainer.identity() == alone.identity()
    trainer.train()
    alone.train()
    assert trainer.history().equals(alone.history())


def test_a_template_that_changes_a_response_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.chat_template = (
        "{%- for m in messages -%}{{- '<|im_start|>' + m.role + '\n' + m.content.split('</think>')[-1] }}"
        "{{- '<|im_end|>\n' }}{%- endfor -%}"
        "{%- if add_generation_prompt -%}{{- '<|im_start|>assistant\n' }}{%- endif -%}"
    )
    said = [{"role": "assistant", "content": "<think>We add.</think>The answer is 2"}]
    turns = [{"prompt": [{"role": "user", "content": "1 plus 1"}], "completion": said, "id": "a"}]
    with pytest.raises(UserError) as error:
        build(tiny_model, tmp_path, turns * 1, processing_class=tokenizer)
    assert str(error.value).splitlines() == [
        "chat template of the model: 1 of 1 sample(s) would not be trained as they are:",
        "  'a' would learn 'The answer is 2' in place of '<think>We add.</think>The answer is 2'",
        "Settings of the prompt with which the first stays whole (in a script: tokenizer.chat_template): "
        "chat_template: chatml; or chat_template: plain",
    ]
    build(tiny_model, tmp_path, turns)  # with the model's own template


def test_messages_teach_user_turns_and_say_so(tiny_model: Path, tmp_path: Path) -> None:
    turns = [{"role": "user", "content": "1 plus 1"}, {"role": "assistant", "content": "2"}]
    with pytest.warns(
        UserWarning, match="all turns are learnt, the user's too: set assistant_only_loss=True"
    ):
        everything = build(tiny_model, tmp_path, [{"messages": turns}])
    assert -100 not in everything.train_dataset[0]["labels"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        answers = build(tiny_model, tmp_path, [{"messages": turns}], assistant_only_loss=True)
    learnt = [label for label in answers.train_dataset[0]["labels"] if label != -100]
    assert answers.processing_class.decode(learnt) == "2<|im_end|>"


def test_turns_of_others_in_a_completion_are_said(tiny_model: Path, tmp_path: Path) -> None:
    said = [("assistant", "one"), ("user", "and?"), ("assistant", "two")]
    completion = [{"role": role, "content": text} for role, text in said]
    rows = [{"prompt": [{"role": "user", "content": "1 plus 1"}], "completion": completion}]
    with pytest.warns(UserWarning, match="turns of others in its completions, and all turns are learnt"):
        build(tiny_model, tmp_path, rows)


@pytest.mark.parametrize("packing", [False, True])
def test_a_set_of_nothing_but_long_samples_is_refused(
    tiny_model: Path, dataset: Dataset, tmp_path: Path, packing: bool
) -> None:
    with pytest.raises(UserError, match=r"38 of 38 samples .* are longer than max_length 3, .* allows 1"):
        make_trainer(
            tiny_model,
            dataset,
            tmp_path,
            max_length=3,
            too_long_limit=1.0,
            packing=packing,
            pad_to_multiple_of=None,
        )


def test_a_folder_with_code_of_its_own_is_refused(tiny_model: Path, tmp_path: Path) -> None:
    """The trainer loads a model by its folder's name; neither its code nor a kernel of the hub is reached."""
    folder = tmp_path / "model"
    shutil.copytree(tiny_model, folder)
    config = json.loads((folder / "config.json").read_text())
    for change in ({"auto_map": {"AutoConfig": "own.Own"}}, {"attn_implementation": "evil/kernel"}):
        (folder / "config.json").write_text(json.dumps(config | change))
        with pytest.raises(UserError, match=r"config\.json: "):
            GlowTrainer(str(folder), GlowConfig(str(tmp_path / "out")), train_dataset=ROWS)


def test_two_beginnings_are_said(tiny_model: Path, tmp_path: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokenizer.bos_token = "<|im_start|>"
    rows = [{"prompt": f"<|im_start|>{begin} 1 plus 1", "completion": " 2"} for begin in ("<|im_start|>", "")]
    with pytest.warns(UserWarning, match=re.escape("1 of 2 samples begin with <|im_start|> twice")):
        build(tiny_model, tmp_path, rows, processing_class=tokenizer)
