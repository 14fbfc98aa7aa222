"""The card of a trained model (README.md): what was trained on what, by which objective, and whom to cite.

Its metadata are those of the Hugging Face hub. A model is named there only if it is one of the hub. Files are
named as they were given, whole paths by their last part alone. Equal runs have equal cards: no dates, no
machines.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from glow.config import Grpo, Lora, Sft, SftSettings
from glow.files.manifest import git_commit
from glow.models.adapters import adapter_base, hub_origin
from glow.training.objectives import choose

CARD = "README.md"

PAPER = """\
@inproceedings{tian2026learning,
  title     = {Learning from Mistakes: Negative Reasoning Samples Enhance Out-of-Domain Generalization},
  author    = {Tian and others},
  booktitle = {ACL},
  year      = {2026},
  note      = {arXiv 2601.04992}
}"""
"""The paper, as CITATION.cff has it."""

TRL = """\
@software{vonwerra2020trl,
  title   = {{TRL: Transformers Reinforcement Learning}},
  author  = {von Werra, Leandro and Belkada, Younes and Tunstall, Lewis and Beeching, Edward and Thrush,
             Tristan and Lambert, Nathan and Huang, Shengyi and Rasul, Kashif and Gallou{\\'e}dec, Quentin},
  license = {Apache-2.0},
  url     = {https://github.com/huggingface/trl},
  year    = {2020}
}"""

PACKAGES = ("trl", "transformers", "torch", "peft", "bitsandbytes")


@dataclass(frozen=True)
class Card:
    """What a card says.

    Attributes:
        name: of the model.
        summary: one sentence, after "It is".
        rows: further facts, by their names.
        base: the model that the training began with: a name on the hub, or None.
        tags: beside those of every card.
        datasets: names on the hub.
        is_adapter: whether the model is adapters alone.
    """

    name: str
    summary: str
    rows: Mapping[str, str]
    base: str | None = None
    tags: Sequence[str] = ()
    datasets: Sequence[str] = ()
    is_adapter: bool = False

    def written(self) -> ModelCard:
        """The card, ready to be saved."""
        data = ModelCardData(
            base_model=self.base,
            datasets=list(self.datasets) or None,
            library_name="peft" if self.is_adapter else "transformers",
            pipeline_tag="text-generation",
            tags=list(dict.fromkeys(["glow", *self.tags, "trl", "generated_from_trainer"])),
            model_name=self.name,
        )
        facts = {**self.rows, "Software": _software()}
        table = "\n".join(f"| {name} | {_cell(value)} |" for name, value in facts.items())
        return ModelCard(
            f"---\n{data.to_yaml()}\n---\n\n# {self.name}\n\nThis model is {self.summary}. It was trained "
            "with [TRL](https://github.com/huggingface/trl) by glow, which reproduces the paper below.\n\n"
            f"## Training\n\n| | |\n|---|---|\n{table}\n\n"
            f"## Citation\n\nThe paper:\n\n```bibtex\n{PAPER}\n```\n\nTRL:\n\n```bibtex\n{TRL}\n```\n"
        )


def sft_card(
    rows: Sequence[Mapping[str, Any]],
    data: Path,
    model: Path,
    settings: SftSettings,
    steps: int,
    trained_on: int,
) -> Card:
    """The card of an SFT run.

    Args:
        rows: the trajectories, of which `verdict` and `generator` are counted.
        data: their file.
        model: what the run started from.
        trained_on: how many of the trajectories were not too long.
    """
    objective, sft = choose(settings.objective.objective, settings.objective.settings), settings.sft
    verdicts = Counter(row["verdict"] for row in rows)
    right, wrong = verdicts["correct"], verdicts["wrong"]
    teachers = sorted({str(row["generator"]) for row in rows if row.get("generator")})
    left_out = f", {len(rows) - trained_on} of them left out as too long" if trained_on < len(rows) else ""
    facts = {
        "Objective": str(objective),
        "Trajectories": f"{len(rows)}, {right} right and {wrong} wrong ones{left_out}",
        "From": _shown(data) + (f", written by {', '.join(teachers)}" if teachers else ""),
        "Optimiser steps": f"{steps} ({sft.epochs} epochs, budget by {sft.budget})",
        "Learning rate": f"{sft.learning_rate:g}, {sft.scheduler}",
    }
    return _stage_card(f"fine-tuned on reasoning trajectories ({objective})", "sft", facts, model, sft)


def grpo_card(problems: Path, count: int, model: Path, settings: Grpo) -> Card:
    """The card of a GRPO run on `count` problems of the file `problems`, from the model `model`."""
    rollouts = f"{settings.prompts} prompts x {settings.generations} rollouts"
    facts = {
        "Objective": "GRPO (arXiv 2402.03300), rewarded by glow's verifier",
        "Problems": f"{count}, from {_shown(problems)}",
        "Optimiser steps": f"{settings.steps} of {rollouts}",
        "Learning rate": f"{settings.learning_rate:g}",
    }
    return _stage_card("trained by GRPO on problems with checked answers", "grpo", facts, model, settings)


def trainer_card(
    trainer: Any,
    model_name: str | None = None,
    dataset_name: str | None = None,
    tags: str | Iterable[str] | None = None,
) -> ModelCard:
    """The card of a `GlowTrainer` that is used as a library.

    Args:
        model_name: None for that of its folder.
        dataset_name: of a data set on the hub.
        tags: beside those of every card.
    """
    started = getattr(trainer.model.config, "_name_or_path", "")
    is_local = not started or Path(started).exists()
    adapters = getattr(trainer.model, "peft_config", {})
    objective = trainer.args.chosen_objective
    facts = {
        "Objective": str(objective),
        "Samples": str(len(trainer.sample_ids)),
        "From": f"data set {dataset_name}" if dataset_name else "data of its own",
        "Base model": Path(started).name if is_local else started,
        "Optimiser steps": str(trainer.state.global_step),
        "Learning rate": f"{trainer.args.learning_rate:g}, {_text(trainer.args.lr_scheduler_type)}",
        "Optimiser": _text(trainer.args.optim),
    }
    given = [tags] if isinstance(tags, str) else list(tags or ())
    return Card(
        model_name or Path(trainer.args.output_dir).name,
        f"fine-tuned by {objective}",
        facts,
        None if is_local else started,
        [*given, "sft", *(["lora"] if adapters else [])],
        [dataset_name] if dataset_name else [],
        bool(adapters),
    ).written()


def mark_merged(card: Path, output: Path) -> None:
    """The card of an adapter, as that of the whole model which it was merged into."""
    found = ModelCard.load(card)
    found.data.library_name = "transformers"
    found.save(output)


def _stage_card(
    summary: str, stage: str, facts: Mapping[str, str], model: Path, settings: Sft | Grpo
) -> Card:
    origin = hub_origin(adapter_base(model) or model)
    started = _shown(model)
    if origin is not None:
        name, revision = origin
        started = f"{name} at {revision[:12]}" + (f", with {started}" if adapter_base(model) else "")
    further = {"Started from": started, "Optimiser": settings.optimizer, "Precision": settings.precision}
    if settings.lora is not None:
        further["Adapter"] = _adapter(settings.lora, settings.quantization)
    return Card(
        name=f"glow-{stage}",
        summary=summary,
        rows={**facts, **further},
        base=origin and origin[0],
        tags=[stage, *(["lora"] if settings.lora is not None else [])],
        is_adapter=settings.saves_adapters,
    )


def _adapter(lora: Lora, quantization: str | None) -> str:
    layers = lora.target_modules if isinstance(lora.target_modules, str) else ", ".join(lora.target_modules)
    below = f", over weights in {quantization}" if quantization else ""
    merged = ", merged into the weights" if lora.merge else ""
    shape = f"rank {lora.rank}, alpha {lora.alpha:g}, dropout {lora.dropout:g}"
    return f"LoRA of {shape}, on {layers}{below}{merged}"


def _shown(path: Path) -> str:
    """A path as it was given; of a whole one the last parts, which say nothing of whose machine it was."""
    if not path.is_absolute():
        return str(path)
    return path.name if path.name != "model" else "/".join(path.parts[-3:])


def _cell(value: str) -> str:
    return " ".join(value.replace("|", "\\|").split())


def _text(value: Any) -> str:
    """An enumeration's value, or a text."""
    return str(getattr(value, "value", value))


def _software() -> str:
    commit = git_commit()
    versions = [f"glow-sft {_version('glow-sft')}" + (f" ({commit[:12]})" if commit else "")]
    return ", ".join(versions + [f"{name} {found}" for name in PACKAGES if (found := _version(name))])


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""
