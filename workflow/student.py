"""What a student of a study has of its own: its base, its trained models, its evaluations, its tables."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jobs import trust

from glow.config import (
    EngineHardware,
    Experiment,
    GrpoEngineHardware,
    GrpoSettings,
    SftHardware,
    SftSettings,
    Tracking,
    TrainingHardware,
    refuse_unproven,
)
from glow.config.options import section_from_resources
from glow.planning.resources import Asked, asked, training_hardware
from glow.training.micro_batches import share_of
from glow.training.objectives import arm_objectives


class OfStudent:
    """The files of one student, and what its jobs ask for.

    Args:
        experiment: its study, as an experiment with one student.
        results: results/<name>, where stands what it shares with others.
        prefix: the beginning of the paths of its own files below that, as in `Study.students`.
    """

    def __init__(self, experiment: Experiment, results: str, prefix: str) -> None:
        self.experiment = experiment
        self.results = results
        self.prefix = prefix
        self.home = f"{results}/{prefix}"
        self.name = prefix.removeprefix("students/").rstrip("/")

    @property
    def every_draw(self) -> dict[str, list[Any]]:
        """The wildcards of what is drawn once for each domain and seed."""
        return {"domain": self.experiment.domain_names, "seed": self.experiment.seeds}

    @property
    def every_grpo(self) -> dict[str, list[Any]]:
        """The wildcards of the runs of GRPO."""
        own = self.experiment
        return {"domain": own.domain_names, "init": own.initialisations, "seed": own.grpo_seeds}

    def rule(self, stage: str) -> str:
        """The name of a rule that there is for each student."""
        return "_".join(filter(None, (stage, self.name)))

    @property
    def option(self) -> str:
        """The option that names the student, where there are several."""
        return f"--student {self.name}" if self.name else ""

    def document(self, whole: Mapping[str, Any]) -> dict[str, Any]:
        """A configuration, as it is written, without the other students: what its tables are of."""
        named = {"students": {self.name: whole["students"][self.name]}} if self.name else {}
        return {**whole, **named}

    # --- models ---------------------------------------------------------------------------------

    @property
    def base(self) -> str:
        """Where its base is: the user's own directory, or one made here."""
        return str(self.experiment.base.path or f"{self.home}models/base")

    def below(self, model: str) -> list[str]:
        """What the adapters of a trained model (its directory) are on, if that is made here.

        GRPO trains the adapters of an arm on, so that they stay on the base.
        """
        sft, grpo = self.experiment.sft, self.experiment.grpo
        stage, *named = model.removeprefix(self.home).split("/")
        if stage == "grpo" and grpo is not None and grpo.saves_adapters:
            start = self.initialisation(named[0], named[1], named[2].removeprefix("seed-"))
            return self.below(start) or self._made(start)
        has_adapters = stage == "sft" and sft.saves_adapters
        return self._made(self.base) if has_adapters else []

    def _made(self, model: str) -> list[str]:
        return [model] if model.startswith(self.home) else []

    @property
    def trust(self) -> str:
        """The option that lets the code of its base run, where the configuration says so."""
        return trust(self.experiment.base)

    def asks(self, rule: str) -> Asked:
        """What a job of a rule asks for by the size of its base; the experiment's own is set in a profile."""
        return asked(rule, self.experiment.base)

    def refuse_resources(self, rule: str, resources: Mapping[str, Any]) -> None:
        """Refuse resources of a rule of which nothing can be made.

        Raises:
            UserError: one is out of bounds, or a step cannot be dealt evenly to the devices.
        """
        sft, grpo = self.experiment.sft, self.experiment.grpo
        section_from_resources(resources, EngineHardware)
        section_from_resources(resources, Tracking)
        if rule == "sft":
            hardware = training_hardware(resources, SftHardware)
            refuse_unproven(sft, hardware.sharding)
            share_of(sft.batch_size, hardware.processes, "sft.batch_size")
        if rule == "grpo" and grpo is not None:
            section_from_resources(resources, GrpoEngineHardware)
            given = training_hardware(resources, TrainingHardware)
            refuse_unproven(grpo, given.sharding)
            rollouts = grpo.prompts * grpo.generations
            share_of(rollouts, given.processes, "grpo.prompts x grpo.generations")

    # --- training and evaluation ------------------------------------------------------------------

    def selection(self, domain: str, arm: str, seed: str) -> str:
        """The trajectories that an arm trains on."""
        return f"{self.results}/arms/{domain}/seed-{seed}/{self.experiment.arms[arm].trajectories}.jsonl"

    def held_out(self, domain: str, seed: str) -> list[str]:
        """The trajectories of the questions that are set aside, where some are."""
        aside = self.experiment.selection.held_out
        return [f"{self.results}/arms/{domain}/seed-{seed}/held_out.jsonl"] if aside else []

    def holding_out(self, domain: str, seed: str) -> str:
        """The option for these, where there are any."""
        return " ".join(f"--held-out {file}" for file in self.held_out(domain, seed))

    def objective_files(self, domain: str, arm: str) -> list[Path]:
        """The files of an objective that is not ours."""
        chosen = arm_objectives(self.experiment, domain)[arm]
        return [Path(os.path.relpath(file)) for file in chosen.sources]

    def replayed(self, domain: str, arm: str, seed: str) -> list[str]:
        """The history whose weights an arm replays: then it is an input."""
        of = arm_objectives(self.experiment, domain)[arm].replayed_arm
        return [] if of is None else [f"{self.home}sft/{domain}/{of}/seed-{seed}/history.parquet"]

    def replaying(self, domain: str, arm: str, seed: str) -> str:
        """The option for that history, where there is one."""
        return " ".join(f"--replayed {file}" for file in self.replayed(domain, arm, seed))

    def sft_run(self, domain: str, arm: str, seed: str, resources: Mapping[str, Any]) -> SftSettings:
        """Settings of one run of SFT, with what the rule's resources say of the machine."""
        tracking = self._tracking(resources, "sft", domain, arm, f"seed-{seed}")
        neutral = {"tracking": tracking, "hardware": training_hardware(resources, SftHardware)}
        return self.experiment.sft_run(domain, arm, int(seed)).model_copy(update=neutral)

    def grpo_run(self, domain: str, init: str, seed: str, resources: Mapping[str, Any]) -> GrpoSettings:
        """Settings of one run of GRPO, with what the rule's resources say of the machine."""
        neutral = {
            "engine": section_from_resources(resources, GrpoEngineHardware),
            "hardware": training_hardware(resources, TrainingHardware),
            "tracking": self._tracking(resources, "grpo", domain, init, f"seed-{seed}"),
        }
        return self.experiment.grpo_run(int(seed)).model_copy(update=neutral)

    def _tracking(self, resources: Mapping[str, Any], *run: str) -> Tracking:
        """Where a run is logged to besides its own files: the resource `report_to`."""
        found = section_from_resources(resources, Tracking)
        if not found.trackers:
            return found
        name = self.prefix + "/".join(run)
        named = {
            "project": self.experiment.name,
            "run_name": name,
            "tracking_dir": Path(self.results) / "logs",
        }
        return found.model_copy(update=named)

    @property
    def asks_pass_rates(self) -> bool:
        """Whether GRPO's problems are chosen by how often its starting model solves them."""
        return self.experiment.grpo is not None and self.experiment.grpo.pass_rate_rollouts > 0

    def pass_rates(self, domain: str, init: str, seed: str) -> list[str]:
        """How often the model that GRPO starts from solves each problem, where that is asked."""
        folder = f"{self.home}pass_rates/{domain}/{init}"
        return [f"{folder}/seed-{seed}.jsonl"] if self.asks_pass_rates else []

    def choosing(self, domain: str, init: str, seed: str) -> str:
        """The option for these, where there are any."""
        return " ".join(f"--pass-rates {file}" for file in self.pass_rates(domain, init, seed))

    def initialisation(self, domain: str, name: str, seed: str) -> str:
        """The model that GRPO starts from."""
        return self.trained_model("base" if name == "base" else f"sft/{domain}/{name}", seed)

    def trained_models(self) -> list[str]:
        """The models to evaluate, as they are named below results/<name>/evaluation."""
        domains, arms = self.experiment.domain_names, self.experiment.arms
        return [
            "base",
            *(f"sft/{domain}/{arm}" for domain in domains for arm in arms),
            *(f"grpo/{domain}/{name}" for domain in domains for name in self.experiment.initialisations),
        ]

    def seeds(self, model: str) -> list[int]:
        """The seeds with which there is a model named as in `trained_models`."""
        return self.experiment.grpo_seeds if model.startswith("grpo/") else self.experiment.seeds

    def answers(self, model: str, seed: str) -> list[str]:
        """What says that the shards of an evaluation have its answers; nothing where one job does it all."""
        count = self.experiment.evaluation.shards
        folder = f"{self.home}evaluation/{model}/seed-{seed}/answers"
        return [f"{folder}/shard-{shard}-of-{count}.json" for shard in range(count)] if count > 1 else []

    def trained_model(self, name: str, seed: str) -> str:
        """The directory of a model named as in `trained_models`."""
        return self.base if name == "base" else f"{self.home}{name}/seed-{seed}/model"
