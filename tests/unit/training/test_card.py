"""Model cards: what was trained on what, metadata that the hub accepts, and whom to cite."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import grpo_runs
import pytest
import yaml
from huggingface_hub import ModelCard
from peft import LoraConfig
from test_sft import SETTINGS, run, trajectories
from transformers import AutoModelForCausalLM, AutoTokenizer

from glow.config import Grpo, Lora
from glow.files.hashing import hash_path
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.training.card import PAPER, grpo_card
from glow.training.trainer import GlowTrainer
from glow.training.trainer_config import GlowConfig

ROOT = Path(__file__).resolve().parents[3]


def card_of(model: Path) -> ModelCard:
    return ModelCard.load(model / "README.md")


def row(card: ModelCard, name: str) -> str:
    """The second cell of the row `name` of the table."""
    found = re.search(rf"^\| {name} \| (.*) \|$", card.text, re.MULTILINE)
    assert found is not None, name
    return found[1]


def test_a_fine_tuned_model_says_what_it_was_trained_on(tiny_model: Path, tmp_path: Path) -> None:
    data = trajectories(tmp_path / "glow's | data.jsonl", 11)
    write_jsonl(data, [line | {"generator": "a-teacher"} for line in read_jsonl(data)])
    run(data, tiny_model, tmp_path / "run")
    card = card_of(tmp_path / "run/model")
    assert card.data.library_name == "transformers"
    assert card.data.tags == ["glow", "sft", "trl", "generated_from_trainer"]
    assert card.data.pipeline_tag == "text-generation"
    assert row(card, "Objective") == "GLOW, alpha = 1, beta = 10, no clamp"
    assert row(card, "Trajectories") == "11, 6 right and 5 wrong ones"
    assert row(card, "From") == r"glow's \| data.jsonl, written by a-teacher"
    assert row(card, "Optimiser steps") == "9 (3 epochs, budget by epochs)"
    assert row(card, "Started from") == tiny_model.name
    assert re.match(r"glow-sft 0\.1\.0( \([0-9a-f]{12}\))?, trl 1\.16\.0, ", row(card, "Software"))
    assert str(tmp_path) not in card.content  # whole paths are nobody's business
    assert "vonwerra2020trl" in card.text


def test_an_adapter_of_a_hub_model_names_it(tiny_model: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_model, tmp_path / "base")
    manifest = {"settings": {"hub": "org/name", "revision": "0123456789abcdef" * 2 + "01234567"}}
    (tmp_path / "base/manifest.json").write_text(json.dumps(manifest))
    sft = SETTINGS.model_copy(update={"lora": Lora(rank=2, target_modules=["q_proj", "v_proj"])})
    run(trajectories(tmp_path / "data.jsonl", 4), tmp_path / "base", tmp_path / "run", sft=sft)
    card = card_of(tmp_path / "run/model")
    assert (card.data.base_model, card.data.library_name) == ("org/name", "peft")
    assert "lora" in card.data.tags
    assert row(card, "Started from") == "org/name at 0123456789ab"
    assert row(card, "Adapter") == "LoRA of rank 2, alpha 32, dropout 0, on q_proj, v_proj"
    config = json.loads((tmp_path / "run/model/adapter_config.json").read_text())
    assert (config["base_model_name_or_path"], config["revision"]) == (
        "org/name",
        manifest["settings"]["revision"],
    )


def test_a_card_is_no_part_of_a_models_hash(tiny_model: Path, tmp_path: Path) -> None:
    """It names commit and versions: a model that was made again by another commit is the same model."""
    shutil.copytree(tiny_model, tmp_path / "model")
    before = hash_path(tmp_path / "model")
    (tmp_path / "model/README.md").write_text("anything")
    assert hash_path(tmp_path / "model") == before


def test_grpo_writes_a_card_too(problems: Path, tiny_model: Path, letters: None, tmp_path: Path) -> None:
    grpo_runs.train(problems, tiny_model, tmp_path / "run")
    card = card_of(tmp_path / "run/model")
    assert card.data.tags == ["glow", "grpo", "trl", "generated_from_trainer"]
    assert row(card, "Problems") == "5, from problems.jsonl"
    assert row(card, "Optimiser steps") == "6 of 2 prompts x 4 rollouts"


def test_a_relative_path_is_shown_as_it_was_given() -> None:
    settings = Grpo(steps=1, max_tokens=8)
    model = Path("results/study/sft/math/glow/seed-0/model")
    assert grpo_card(Path("a/b.jsonl"), 3, model, settings).rows["Started from"] == str(model)
    whole = grpo_card(Path("/home/me/b.jsonl"), 3, Path("/home/me/sft/glow/seed-0/model"), settings)
    assert whole.rows["Started from"] == "glow/seed-0/model"
    assert whole.rows["Problems"] == "3, from b.jsonl"


@pytest.mark.parametrize("adapter", [None, LoraConfig(r=2, target_modules=["q_proj"])])
def test_the_trainer_as_a_library_writes_one_with_its_checkpoints(
    tiny_model: Path, tmp_path: Path, adapter: Any
) -> None:
    settings: dict[str, Any] = {"max_steps": 2, "save_steps": 1, "use_cpu": True, "bf16": False}
    trainer = GlowTrainer(
        model=AutoModelForCausalLM.from_pretrained(tiny_model),
        args=GlowConfig(str(tmp_path / "mine"), alpha=2.0, beta=5.0, report_to="none", **settings),
        train_dataset=[{"prompt": "1 + 1 =", "completion": " 2"}, {"prompt": "1 + 2 =", "completion": " 4"}],
        processing_class=AutoTokenizer.from_pretrained(tiny_model),
        peft_config=adapter,
    )
    trainer.train()
    card = card_of(tmp_path / "mine")
    assert row(card, "Objective") == "GLOW, alpha = 2, beta = 5, no clamp"
    assert row(card, "Samples") == "2"
    assert card.data.base_model is None  # a folder is no name on the hub
    assert card.data.library_name == ("transformers" if adapter is None else "peft")
    trainer.create_model_card("a name", "org/data", tags="mine")
    card = card_of(tmp_path / "mine")
    assert (card.data.model_name, card.data.datasets) == ("a name", ["org/data"])
    assert card.data.tags[:3] == ["glow", "mine", "sft"]


def test_the_paper_is_cited_as_the_repository_says() -> None:
    (paper,) = yaml.safe_load((ROOT / "CITATION.cff").read_text())["references"]
    assert f"{{{paper['title']}}}" in PAPER
    assert f"{{{paper['year']}}}" in PAPER
    assert all(part in PAPER for part in ("Tian", "ACL", "arXiv 2601.04992"))
    assert all(part in paper["notes"] for part in ("ACL", "arXiv 2601.04992"))
