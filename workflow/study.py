"""An experiment as files and resources: what the rules name, typed and importable without Snakemake."""

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from glow.config import (
    AnswerSettings,
    EngineHardware,
    Experiment,
    GenerateSettings,
    GrpoEngineHardware,
    GrpoSettings,
    Model,
    PassRateSettings,
    Problems,
    Section,
    SftHardware,
    SftSettings,
    Suite,
    Tracking,
    TrainingHardware,
    refuse_unproven,
)
from glow.config.options import flags, section_from_resources
from glow.errors import UserError
from glow.suites.tasks import reads_hub
from glow.training.micro_batches import share_of
from glow.training.objectives import arm_objectives

Amount = TypeVar("Amount", int, float)
Sampled = TypeVar("Sampled", GenerateSettings, PassRateSettings, AnswerSettings)
Hardware = TypeVar("Hardware", SftHardware, TrainingHardware)


def options(*given: Section | str) -> str:
    """Sections as command-line options, and options as they are."""
    return " ".join(filter(None, (flags(part) if isinstance(part, Section) else part for part in given)))


def on_hardware(settings: Sampled, resources: Any) -> Sampled:
    """The settings of a stage that samples, with the hardware of its rule's resources.

    Resources have the names of `EngineHardware`'s settings. Without `tensor_parallel`, a model is spread over
    all of the job's GPUs: one engine can use them in no other way.

    Raises:
        UserError: a resource is of the wrong type or out of bounds.
    """
    given = {key: value for key in EngineHardware.model_fields if (value := resources.get(key)) is not None}
    spread = {"tensor_parallel": max(1, resources.get("gpu") or 0)}
    hardware = section_from_resources(spread | given, EngineHardware)
    return settings.model_copy(update={"hardware": hardware})


def depends_on(*parts: Section | Path | str) -> str:
    """What a result depends on beside its inputs, as one text: when it changes, the result is made again.

    Args:
        parts: sections, of which the decisive settings count; files and folders that are not made here, by
            name, size and time (their names may hold braces, which Snakemake would take for wildcards in an
            input); and names.
    """
    return json.dumps([_noted(part) for part in parts], sort_keys=True)


def _noted(part: Section | Path | str) -> Any:
    if isinstance(part, Section):
        noted = part.decisive()
        if isinstance(part, SftSettings | GrpoSettings):
            # A setting that is no more: the results of those who had left it out stand.
            noted["sft" if "sft" in noted else "grpo"]["gradient_accumulation"] = 1
        return noted
    if isinstance(part, str):
        return part
    files = sorted(file for file in part.rglob("*") if file.is_file()) if part.is_dir() else [part]
    states = [(str(file), file.stat()) for file in files]
    return [[name, state.st_size, state.st_mtime_ns] for name, state in states]


def training_hardware(resources: Mapping[str, Any], kind: type[Hardware]) -> Hardware:
    """What a training runs on, from the resources of its job.

    A job has `gpu` GPUs in all, on `nodes` nodes. Where it has none, `processes` says how many processes each
    node trains with, on its CPUs. The others are named as in `TrainingHardware`; 0 stands for its default.

    Raises:
        UserError: a resource that is no such setting's value, or GPUs that do not divide among the nodes.
    """
    nodes, gpus = resources.get("nodes", 1), resources.get("gpu", 0)
    if nodes < 1:
        raise UserError(f"resource nodes: {nodes}; give at least 1")
    if gpus % nodes:
        raise UserError(f"gpu={gpus}, nodes={nodes}: give the GPUs of all nodes together, as many on each")
    devices = gpus // nodes or resources.get("processes", 1)
    given = {key: resources.get(key) or None for key in kind.model_fields}
    return section_from_resources(given | {"devices": devices, "nodes": nodes}, kind)


def one_of(names: Iterable[str]) -> str:
    """A wildcard constraint: any of the names, and nothing else."""
    return "|".join(map(re.escape, names))


class Study:
    """The files of an experiment, below results/<name>, and what its jobs ask for.

    Args:
        experiment: the configuration, checked.
    """

    def __init__(self, experiment: Experiment) -> None:
        self.experiment = experiment
        self.results = f"results/{experiment.name}"
        self.logs = f"{self.results}/logs"
        self.benchmarks = f"{self.results}/benchmarks"
        self.models: dict[str, Model] = {"base": experiment.student}
        if experiment.domains and experiment.teacher is not None:
            self.models["teacher"] = experiment.teacher

    # --- models ---------------------------------------------------------------------------------

    def roles(self, source: str) -> str:
        """A wildcard constraint: the roles whose model comes from `source` (a key of config.Model)."""
        return "|".join(role for role, model in self.models.items() if getattr(model, source)) or "none"

    def model_path(self, role: str) -> str:
        """Where the model of a role is: the user's own directory, or one made here."""
        return str(self.models[role].path or f"{self.results}/models/{role}")

    def made_models(self) -> list[str]:
        """The models made here: all but those used in place."""
        return [self.model_path(role) for role, model in self.models.items() if model.path is None]

    def made(self, model: str) -> list[str]:
        """The model, if it is made here: then it is an input."""
        return [model] if model.startswith(f"{self.results}/") else []

    def below(self, model: str) -> list[str]:
        """What the adapters of a trained model (its directory) are on, if that is made here.

        GRPO trains the adapters of an arm on, so that they stay on the base.
        """
        sft, grpo = self.experiment.sft, self.experiment.grpo
        stage, *named = model.removeprefix(f"{self.results}/").split("/")
        if stage == "grpo" and grpo is not None and grpo.saves_adapters:
            start = self.initialisation(named[0], named[1], named[2].removeprefix("seed-"))
            return self.below(start) or self.made(start)
        has_adapters = stage == "sft" and sft.saves_adapters
        return self.made(self.model_path("base")) if has_adapters else []

    def trunk(self, role: str) -> list[str]:
        """The model that pretraining of `role` goes on from, if there is one."""
        pretrain = self.models[role].pretrain
        return [self.model_path("base")] if pretrain is not None and pretrain.continues else []

    def given(self, model: str) -> list[Path]:
        """The model, if it is the user's own and used in place."""
        return [] if self.made(model) else [Path(model)]

    def trust(self, role: str) -> str:
        """The option that lets the code of the model of `role` run, where the configuration says so."""
        hub = self.models[role].hub
        return "--trust-remote-code" if hub is not None and hub.trust_remote_code else ""

    def at_scale(self, role: str, small: Amount, large: Amount) -> Amount:
        """A resource by the size of the model of `role`; the experiment's own is set in a profile."""
        return large if _is_large(self.models[role]) else small

    # --- data -----------------------------------------------------------------------------------

    @property
    def fetches_suites(self) -> bool:
        """Whether the rows of any suite come from the hub: then the rule runs where Snakemake does."""
        return any(reads_hub(name, suite) for name, suite in self.experiment.suites.items())

    @property
    def fetches_problems(self) -> bool:
        """Whether the problems of any domain come from the hub."""
        return any(domain.problems.reads_hub for domain in self.experiment.domains.values())

    def fetched(self) -> list[str]:
        """All that is made with a network: what comes from the hub, and what that is kept apart from."""
        domains = [name for name, domain in self.experiment.domains.items() if domain.problems.reads_hub]
        suites = [name for name, suite in self.experiment.suites.items() if reads_hub(name, suite)]
        return [
            *(self.model_path(role) for role, model in self.models.items() if model.hub is not None),
            *self._suite_files(suites),
            *(f"{self.results}/problems/{domain}/train.jsonl" for domain in domains),
        ]

    def suite_files(self) -> list[str]:
        """The problem files of all suites."""
        return self._suite_files(self.experiment.suites)

    def suites_kept_apart(self, domain: str) -> list[str]:
        """The problem files of the suites with which the domain's training data may share no question."""
        return self._suite_files(self.experiment.disjoint_from(domain))

    def _suite_files(self, suites: Iterable[str]) -> list[str]:
        return [f"{self.results}/suites/{suite}.jsonl" for suite in suites]

    def trajectories(self, domain: str) -> str:
        """The trajectories of a domain."""
        return f"{self.results}/trajectories/{domain}.jsonl.gz"

    def shards(self, domain: str) -> list[str]:
        """The files that the domain's trajectories are sampled into."""
        folder, count = f"{self.results}/trajectories/{domain}", self.experiment.shards
        return [f"{folder}/shard-{shard}-of-{count}.jsonl.gz" for shard in range(count)]

    def training_data(self, domain: str) -> list[str]:
        """What a domain's models may be trained on: trajectories, and problems for the teacher and GRPO."""
        names = ["grpo.jsonl"] if self.experiment.trajectories is not None else ["train.jsonl", "grpo.jsonl"]
        return [self.trajectories(domain), *(f"{self.results}/problems/{domain}/{name}" for name in names)]

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

    def epochs(self, domain: str, arm: str, seed: str) -> list[str]:
        """What is measured on these by epoch, where there are any."""
        aside = self.experiment.selection.held_out
        return [f"{self.results}/sft/{domain}/{arm}/seed-{seed}/epochs.jsonl"] if aside else []

    def objective_files(self, arm: str) -> list[Path]:
        """The files of an objective that is not ours."""
        return [Path(os.path.relpath(file)) for file in arm_objectives(self.experiment)[arm].sources]

    def replayed(self, domain: str, arm: str, seed: str) -> list[str]:
        """The history whose weights an arm replays: then it is an input."""
        of = arm_objectives(self.experiment)[arm].replayed_arm
        return [] if of is None else [f"{self.results}/sft/{domain}/{of}/seed-{seed}/history.parquet"]

    def replaying(self, domain: str, arm: str, seed: str) -> str:
        """The option for that history, where there is one."""
        return " ".join(f"--replayed {file}" for file in self.replayed(domain, arm, seed))

    def sft_run(self, domain: str, arm: str, seed: str, resources: Mapping[str, Any]) -> SftSettings:
        """Settings of one run of SFT, with what the rule's resources say of the machine."""
        tracking = self._tracking(resources, "sft", domain, arm, f"seed-{seed}")
        neutral = {"tracking": tracking, "hardware": training_hardware(resources, SftHardware)}
        return self.experiment.sft_run(arm, int(seed)).model_copy(update=neutral)

    def grpo_run(self, domain: str, init: str, seed: str, resources: Mapping[str, Any]) -> GrpoSettings:
        """Settings of one run of GRPO, with what the rule's resources say of the machine."""
        neutral = {
            "engine": section_from_resources(resources, GrpoEngineHardware),
            "hardware": training_hardware(resources, TrainingHardware),
            "tracking": self._tracking(resources, "grpo", domain, init, f"seed-{seed}"),
        }
        return self.experiment.grpo_run(int(seed)).model_copy(update=neutral)

    def refuse_resources(self, rules: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse resources, by rule, of which nothing can be made: before anything runs.

        Raises:
            UserError: one is out of bounds, or a step cannot be dealt evenly to the devices.
        """
        sft, grpo = self.experiment.sft, self.experiment.grpo
        for rule, resources in rules.items():
            if any(isinstance(resources.get(name), str) for name in ("gpu", "nodes", "processes")):
                continue  # an expression, whose value each job has for itself
            try:
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
            except UserError as error:
                raise UserError(f"rule {rule}: {error}") from None

    def _tracking(self, resources: Mapping[str, Any], *run: str) -> Tracking:
        """Where a run is logged to besides its own files: the resource `report_to`."""
        found = section_from_resources(resources, Tracking)
        if not found.trackers:
            return found
        named = {"project": self.experiment.name, "run_name": "/".join(run), "tracking_dir": Path(self.logs)}
        return found.model_copy(update=named)

    @property
    def asks_pass_rates(self) -> bool:
        """Whether GRPO's problems are chosen by how often its starting model solves them."""
        return self.experiment.grpo is not None and self.experiment.grpo.pass_rate_rollouts > 0

    def pass_rates(self, domain: str, init: str, seed: str) -> list[str]:
        """How often the model that GRPO starts from solves each problem, where that is asked."""
        folder = f"{self.results}/pass_rates/{domain}/{init}"
        return [f"{folder}/seed-{seed}.jsonl"] if self.asks_pass_rates else []

    def choosing(self, domain: str, init: str, seed: str) -> str:
        """The option for these, where there are any."""
        return " ".join(f"--pass-rates {file}" for file in self.pass_rates(domain, init, seed))

    def grpo_evaluations(self, domain: str, init: str, seed: str) -> list[str]:
        """GRPO's evaluations while it trains, where there are any."""
        grpo = self.experiment.grpo
        asked = grpo is not None and grpo.eval_steps
        return [f"{self.results}/grpo/{domain}/{init}/seed-{seed}/evaluations.jsonl"] if asked else []

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
        folder = f"{self.results}/evaluation/{model}/seed-{seed}/answers"
        return [f"{folder}/shard-{shard}-of-{count}.json" for shard in range(count)] if count > 1 else []

    def trained_model(self, name: str, seed: str) -> str:
        """The directory of a model named as in `trained_models`."""
        return self.model_path("base") if name == "base" else f"{self.results}/{name}/seed-{seed}/model"


def read_from(source: Problems | Suite) -> list[Section | Path]:
    """Where problems come from: the settings, and the local files and folders that they name."""
    beside = source.data_dir if isinstance(source, Problems) else source.shots_file
    return [source, *(file for file in (source.file, beside) if file is not None)]


def _is_large(model: Model) -> bool:
    """Whether a model wants a GPU: fetched ones, and your own of 2 GB and more."""
    if model.path is None:
        return model.hub is not None
    return sum(file.stat().st_size for file in model.path.glob("*.safetensors")) >= 2e9
