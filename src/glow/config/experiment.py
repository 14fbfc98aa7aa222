"""What an experiment is: the typed, validated form of one configuration file.

The section classes are the single source of truth: `load` validates a configuration with them, and
`glow.config.options` makes the command line's options from them. Nothing here says how many threads or
GPUs a stage gets: that is for rule resources and profiles.
"""

import difflib
import re
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from glow.errors import UserError

SelectionName = Literal["positive", "negative", "mixed", "all"]
SuiteFormat = Literal["boxed", "choice"]
EngineName = Literal["transformers", "vllm"]


class Section(BaseModel):
    """A group of settings; unknown keys are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def known_families(families: list[str] | None) -> list[str] | None:
    """Refuse a problem family that the miniature does not have, or one named twice (a pydantic check)."""
    from glow.miniature.families import FAMILIES

    for name in families or []:
        if name not in FAMILIES:
            raise ValueError(unknown(name, FAMILIES))
    if families is not None and len(set(families)) != len(families):
        raise ValueError("a family is named twice")
    return families


# --- models -------------------------------------------------------------------------------------


class Pretrain(Section):
    """A small Qwen2 model pretrained from scratch on the miniature world's worked solutions."""

    role: Literal["base", "teacher"] = Field(
        description="what it is for; each role draws a corpus of its own"
    )
    families: list[str] = Field(description="problem families that most documents come from", min_length=1)
    minor_families: list[str] | None = Field(None, description="families it sees little of", min_length=1)
    minor_share: float = Field(0.0, description="share of documents from the minor families", ge=0, le=1)
    direct_share: float = Field(
        0.0,
        description="share of documents that answer without steps (half of them when asked to)",
        ge=0,
        le=1,
    )
    steps: int = Field(1500, description="optimiser steps", gt=0)
    batch_size: int = Field(8, description="packed rows of 192 tokens per step", gt=0)
    learning_rate: float = Field(3e-3, description="peak learning rate (cosine, 5 %% warm-up)", gt=0)
    hidden_size: int = Field(96, description="model width", gt=0)
    layers: int = Field(3, description="transformer blocks", gt=0)
    heads: int = Field(3, description="attention heads", gt=0)
    seed: int = Field(0, description="seed of weights and of the corpus", ge=0)

    @field_validator("families", "minor_families")
    @classmethod
    def _known(cls, families: list[str] | None) -> list[str] | None:
        return known_families(families)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError("hidden_size must be a multiple of twice the number of heads")
        if (self.minor_families is None) != (self.minor_share == 0):
            raise ValueError("minor_families and minor_share (above 0) go together")
        return self


class Scratch(Section):
    """A small randomly initialised Qwen2 model whose tokenizer is trained on the user's text."""

    vocabulary: int = Field(2048, description="byte-level BPE vocabulary size", ge=300)
    hidden_size: int = Field(96, description="model width", gt=0)
    layers: int = Field(3, description="transformer blocks", gt=0)
    heads: int = Field(4, description="attention heads", gt=0)
    max_length: int = Field(2048, description="longest sequence in tokens", gt=0)
    seed: int = Field(0, description="seed of the weights", ge=0)

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.hidden_size % (2 * self.heads):
            raise ValueError("hidden_size must be a multiple of twice the number of heads")
        return self


class Hub(Section):
    """A model on the Hugging Face hub, at one commit."""

    hub: str = Field(description="org/name", pattern=r"^[\w.-]+/[\w.-]+$")
    revision: str = Field(description="commit hash (40 hex digits)", pattern=r"^[0-9a-f]{40}$")


class Model(Section):
    """Where a model comes from: exactly one of the four."""

    pretrain: Pretrain | None = None
    scratch: Scratch | None = None
    hub: Hub | None = None
    path: Path | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        """Accept `scratch`, a directory, `org/name@commit` and {hub, revision}."""
        if isinstance(value, str):
            if value == "scratch":
                return {"scratch": {}}
            if pinned := re.fullmatch(r"([\w.-]+/[\w.-]+)@([0-9a-f]{40})", value):
                return {"hub": {"hub": pinned[1], "revision": pinned[2]}}
            return {"path": value}
        if isinstance(value, dict) and isinstance(value.get("hub"), str):
            return {"hub": value}
        return value

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if len(self.model_fields_set) != 1:
            raise ValueError("give exactly one of pretrain, scratch, hub (with revision), path")
        if self.path is not None and not (self.path / "config.json").is_file():
            raise ValueError(
                f"{str(self.path)!r} is no model: neither a directory with a config.json, nor "
                "'scratch', nor a hub id with a pinned commit (org/name@<40 hex digits>)"
            )
        return self


# --- data ---------------------------------------------------------------------------------------


class Prompt(Section):
    """What surrounds a question in the chat template."""

    system: str | None = Field(None, description="system message (none: no system turn)")
    instruction: str = Field("", description="text put after the question, in the same turn")


class Problems(Section):
    """The problems of a training domain: from families, a file, or the hub (exactly one)."""

    families: list[str] | None = Field(None, description="procedural families (glow.miniature)")
    file: Path | None = Field(None, description="JSONL(.gz) or Parquet file of problems")
    hub_dataset: str | None = Field(None, description="hub data set, org/name", pattern=r"^[\w.-]+/[\w.-]+$")
    hub_config: str | None = Field(None, description="configuration (subset) of the hub data set")
    hub_split: str = Field("train", description="split of the hub data set")
    revision: str | None = Field(None, description="commit of the hub data set", pattern=r"^[0-9a-f]{40}$")
    question_field: str = Field("question", description="key of the question")
    answer_field: str = Field("answer", description="key of the gold answer")
    choices_field: str | None = Field(
        None, description="key of the list of choices, for multiple choice (answer: letter or index)"
    )
    train: int = Field(description="problems that the teacher answers", gt=0)
    grpo: int = Field(0, description="further problems kept for GRPO prompts", ge=0)
    seed: int = Field(0, description="seed of the draw", ge=0)

    @field_validator("families")
    @classmethod
    def _known(cls, families: list[str] | None) -> list[str] | None:
        return known_families(families)

    @field_validator("file")
    @classmethod
    def _present(cls, file: Path | None) -> Path | None:
        return existing(file)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if sum(x is not None for x in (self.families, self.file, self.hub_dataset)) != 1:
            raise ValueError("give exactly one of families, file, hub_dataset")
        if (self.hub_dataset is None) != (self.revision is None):
            raise ValueError("hub_dataset and revision (its pinned commit) go together")
        return self


class Domain(Section):
    """A training domain: its own problems, trajectories, arms and models."""

    problems: Problems


class Fields(Section):
    """Which keys of the user's rows hold what."""

    question: str = Field("question", description="key of the question")
    answer: str = Field("answer", description="key of the gold answer")
    response: str = Field("response", description="key of the model's response")
    label: str | None = Field(None, description="key of a true/false correctness label, if there is one")
    id: str | None = Field(None, description="key of a row id, if there is one (duplicates are refused)")
    generator: str | None = Field(None, description="key of the name of the model that wrote the row")
    answer_type: str | None = Field(None, description="key of the gold answer's type; without: inferred")
    choices: str | None = Field(
        None, description="key of the list of choices, where the answer is a letter or index"
    )


class OwnTrajectories(Section):
    """Trajectories that the user brings, in place of problems and a teacher."""

    files: list[Path] = Field(description="JSONL(.gz) or Parquet files", min_length=1)
    fields: Fields = Field(Fields(), description="which keys hold what")
    domain: str = Field("own", description="name of the training domain", pattern=r"^[A-Za-z0-9_.-]+$")
    limit: int | None = Field(None, description="use this many rows, drawn by content hash", gt=0)
    grpo: int = Field(0, description="questions kept out of the arms, as GRPO prompts", ge=0)

    @field_validator("files")
    @classmethod
    def _present(cls, files: list[Path]) -> list[Path]:
        for file in files:
            existing(file)
        return files


# --- stages -------------------------------------------------------------------------------------


class Decoding(Section):
    """How responses are sampled."""

    engine: EngineName = Field("transformers", description="what runs the model")
    temperature: float = Field(1.0, description="softmax temperature (0: greedy)", ge=0)
    top_p: float = Field(1.0, description="nucleus mass", gt=0, le=1)
    max_tokens: int = Field(description="longest response in tokens", gt=0)
    batch_size: int = Field(256, description="sequences decoded together (transformers engine)", gt=0)


class Sampling(Decoding):
    """How the teacher's trajectories are sampled."""

    samples: int = Field(4, description="responses per problem", gt=0)
    seed: int = Field(0, description="seed; each sample's own derives from (seed, problem, index)", ge=0)


class Verification(Section):
    """How a response is judged."""

    extraction: Literal["strict", "lenient"] = Field(
        "strict", description="strict: only \\boxed{}; lenient: also 'The answer is ...' and the like"
    )
    timeout_s: float = Field(3.0, description="deadline of one verdict, in seconds", gt=0)


class Objective(Section):
    """How a batch's samples are weighted: PAPER.md, 'GLOW, exactly'."""

    objective: Literal["plain", "glow", "dft"] = Field(
        "plain", description="plain: weights 1; glow: samples by gain; dft: tokens by their probability"
    )
    alpha: float = Field(1.0, description="scale of the weight (paper: 1 or 2)", gt=0)
    beta: float = Field(10.0, description="steepness in the gain (paper: 5 to 30)", ge=0)
    clamp: tuple[float, float] | None = Field(None, description="bounds of the weight (released code: 0.5 5)")

    @field_validator("clamp")
    @classmethod
    def _ordered(cls, clamp: tuple[float, float] | None) -> tuple[float, float] | None:
        if clamp is not None and not 0 <= clamp[0] <= clamp[1]:
            raise ValueError("the bounds must satisfy 0 <= low <= high")
        return clamp


class Arm(Section):
    """Which trajectories x which objective."""

    trajectories: SelectionName
    objective: str


class Selection(Section):
    """How trajectories are drawn into positive, negative, mixed and all."""

    size: Annotated[int, Field(ge=2)] | Literal["auto"] = Field(
        "auto", description="size of positive, negative and mixed (auto: the largest that all three fill)"
    )


class Sft(Section):
    """Supervised fine-tuning, by TRL's SFTTrainer."""

    budget: Literal["steps", "epochs"] = Field(
        "epochs",
        description="epochs: every arm makes `epochs` passes, as in the paper; steps: every arm takes "
        "as many optimiser steps as `epochs` passes over all trajectories",
    )
    epochs: int = Field(20, description="passes over the arm's trajectories", gt=0)
    batch_size: int = Field(4, description="sequences per device and step", gt=0)
    gradient_accumulation: int = Field(1, description="batches per optimiser step", gt=0)
    learning_rate: float = Field(1e-5, description="peak learning rate", gt=0)
    scheduler: str = Field("cosine", description="learning-rate schedule (transformers' names)")
    warmup_ratio: float = Field(0.1, description="share of steps that warm up", ge=0, le=1)
    max_length: int = Field(32000, description="longest prompt and response together, in tokens", gt=0)
    precision: Literal["fp32", "bf16"] = Field("bf16", description="training precision")
    gradient_checkpointing: bool = Field(True, description="recompute activations")
    checkpoints: int = Field(4, description="resume points over the run (0: none)", ge=0)


class Grpo(Section):
    """GRPO, by TRL's GRPOTrainer, rewarded by the verifier."""

    steps: int = Field(description="optimiser steps", gt=0)
    prompts: int = Field(8, description="prompts per step", gt=0)
    generations: int = Field(8, description="rollouts per prompt", ge=2)
    gradient_accumulation: int = Field(1, description="parts that a step's rollouts are trained on in", gt=0)
    learning_rate: float = Field(1e-6, description="learning rate (constant)", gt=0)
    temperature: float = Field(1.0, description="rollout temperature", gt=0)
    max_tokens: int = Field(description="longest rollout in tokens", gt=0)
    kl: float = Field(0.0, description="weight of the KL penalty to the initialisation", ge=0)
    precision: Literal["fp32", "bf16"] = Field("bf16", description="training precision")
    gradient_checkpointing: bool = Field(True, description="recompute activations")
    vllm: bool = Field(False, description="roll out with vLLM (colocated) in place of transformers")
    checkpoints: int = Field(2, description="resume points over the run (0: none)", ge=0)


class Suite(Section):
    """A named set of evaluation problems: procedural families, or a built-in task (glow/suites)."""

    families: list[str] | None = Field(None, description="procedural families (glow.miniature)")
    task: str | None = Field(None, description="built-in task: a file of glow/suites (default: the key)")
    file: Path | None = Field(None, description="local JSONL(.gz) or Parquet copy of the task's rows")
    data_dir: Path | None = Field(None, description="folder of local copies: <data_dir>/<set>/...")
    shots: int | None = Field(None, description="worked examples before a question, where it has any", ge=0)
    shots_file: Path | None = Field(None, description="local copy of the rows that worked examples are from")
    format: SuiteFormat | None = Field(None, description="boxed (generate) or choice (log-likelihood)")
    problems: int | None = Field(None, description="how many problems (default: all; families: 200)", gt=0)
    seed: int = Field(1, description="seed of the draw", ge=0)
    domain: str | None = Field(
        None,
        exclude=True,
        description="training domain it is in-domain for (default: as its task file says; null: none)",
    )
    group: str | None = Field(
        None,
        exclude=True,
        description="group of suites: the paper's are maths, general, other (default: as its task file says)",
    )

    @field_validator("families")
    @classmethod
    def _known(cls, families: list[str] | None) -> list[str] | None:
        return known_families(families)

    @field_validator("file", "shots_file")
    @classmethod
    def _present(cls, file: Path | None) -> Path | None:
        return existing(file)

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        return existing_folder(folder)

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        rows = (self.task, self.file, self.data_dir, self.shots, self.shots_file)
        if self.families is not None and any(setting is not None for setting in rows):
            raise ValueError("give either families, or a task and its file")
        return self

    def resolved(self, name: str, data_dir: Path | None, domains: list[str]) -> "Suite":
        """This suite, called `name`, with what its task file says: local files, training domain, group.

        Raises:
            UserError: the task is unknown or has no use for a setting, or nothing says where its rows are.
        """
        from glow.suites.tasks import located, read_task  # Tasks are sections themselves.

        if self.families is not None:
            return self
        task, suite = read_task(self.task or name), located(name, self, data_dir)
        said = {"domain": task.in_domain if task.in_domain in domains else None, "group": task.group}
        return suite.model_copy(update={key: said[key] for key in said.keys() - self.model_fields_set})


class Contamination(Section):
    """How much of a suite may stand in the training data."""

    ngram: int = Field(
        13,
        description="words running that a shared n-gram has; a question of fewer (from 5, or with choices) "
        "is looked for by all its words",
        gt=1,
    )
    coverage: float = Field(
        0.8,
        description="a question overlaps when shared n-grams hold this share of its words in one training "
        "text (0: any shared n-gram; 1: all of it; of a question below one n-gram always all of it), or when "
        "it stands there whole",
        ge=0,
        le=1,
    )
    threshold: float = Field(
        0.01, description="largest share of a suite's questions that may overlap (1: refuse none)", ge=0, le=1
    )


class Evaluation(Decoding):
    """How models are evaluated, through lm-evaluation-harness."""

    temperature: float = Field(0.6, description="softmax temperature (0: greedy)", ge=0)
    top_p: float = Field(0.95, description="nucleus mass", gt=0, le=1)
    samples: int = Field(1, description="responses per problem (boxed suites)", gt=0)
    entropy_samples: int = Field(
        256, description="responses whose policy entropy is scored, spread over the boxed suites", ge=0
    )


# --- the experiment -----------------------------------------------------------------------------

DEFAULT_OBJECTIVES = {
    "plain": Objective(objective="plain"),
    "glow": Objective(objective="glow", alpha=1.0, beta=10.0, clamp=None),
    "glow_released": Objective(objective="glow", alpha=1.0, beta=10.0, clamp=(0.5, 5.0)),
}
DEFAULT_ARMS = {
    "positive": Arm(trajectories="positive", objective="plain"),
    "negative": Arm(trajectories="negative", objective="plain"),
    "mixed": Arm(trajectories="mixed", objective="plain"),
    "all": Arm(trajectories="all", objective="plain"),
    "glow": Arm(trajectories="all", objective="glow"),
    "glow_released": Arm(trajectories="all", objective="glow_released"),
}
_NAME = re.compile(r"[A-Za-z0-9_.]+(-[A-Za-z0-9_.]+)*")


class Experiment(Section):
    """One experiment: everything that changes a number, and nothing else."""

    name: str = Field(description="results go to results/<name>", pattern=r"^[A-Za-z0-9_.-]+$")
    seeds: list[int] = Field(description="replicates: data draw, order and sampling", min_length=1)
    extraction: Literal["strict", "lenient"] = "strict"
    verdict_timeout_s: float = Field(3.0, gt=0)
    student: Model
    teacher: Model | None = None
    prompt: Prompt = Prompt()
    domains: dict[str, Domain] = {}
    sampling: Sampling | None = None
    trajectories: OwnTrajectories | None = None
    shards: int = Field(1, gt=0, description="trajectory files per domain, sampled side by side")
    selection: Selection = Selection()
    objectives: dict[str, Objective] = DEFAULT_OBJECTIVES
    arms: dict[str, Arm] = DEFAULT_ARMS
    sft: Sft
    grpo: Grpo | None = None
    suites: dict[str, Suite] = Field(min_length=1)
    data_dir: Path | None = Field(
        None, description="folder of local copies of suites; what it lacks is read from the hub"
    )
    contamination: Contamination = Contamination()
    evaluation: Evaluation
    reported: Path | None = Field(None, description="published figures to stand beside ours")

    @field_validator("seeds")
    @classmethod
    def _distinct(cls, seeds: list[int]) -> list[int]:
        if len(set(seeds)) != len(seeds) or min(seeds) < 0:
            raise ValueError("seeds must be distinct and not negative")
        return seeds

    @field_validator("reported")
    @classmethod
    def _present(cls, reported: Path | None) -> Path | None:
        return existing(reported)

    @field_validator("data_dir")
    @classmethod
    def _is_folder(cls, folder: Path | None) -> Path | None:
        return existing_folder(folder)

    @field_validator("domains", "arms", "suites")
    @classmethod
    def _plain_names(cls, named: dict[str, Any]) -> dict[str, Any]:
        for name in named:
            if not _NAME.fullmatch(name):
                raise ValueError(f"name {name!r}: use letters, digits, '_', '.' and single '-'")
        return named

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if bool(self.domains) == (self.trajectories is not None):
            raise ValueError(
                "give either domains (with teacher and sampling) or trajectories (your own files)"
            )
        if self.domains and (self.teacher is None or self.sampling is None):
            raise ValueError("domains need a teacher and sampling")
        if self.teacher is not None and self.teacher.scratch is not None:
            raise ValueError("teacher: a model from scratch has learnt nothing to teach; choose another")
        for name, arm in self.arms.items():
            if arm.objective not in self.objectives:
                raise ValueError(f"arms.{name}.objective: {unknown(arm.objective, self.objectives)}")
        if "base" in self.arms:
            raise ValueError("arms.base: the name stands for the untrained student; choose another")
        for name, suite in self.suites.items():
            if suite.domain is not None and suite.domain not in self.domain_names:
                raise ValueError(f"suites.{name}.domain: {unknown(suite.domain, self.domain_names)}")
            try:
                self.suites[name] = suite.resolved(name, self.data_dir, self.domain_names)
            except UserError as error:
                raise ValueError(f"suites.{name}: {error}") from None
        for name in self.domain_names:
            if self.grpo is not None and not self.grpo_problems(name):
                raise ValueError(
                    f"grpo: domain {name!r} keeps no GRPO prompts; set its `grpo` number of problems"
                )
        return self

    @property
    def domain_names(self) -> list[str]:
        """Training domains, in the order of the file."""
        return list(self.domains) if self.trajectories is None else [self.trajectories.domain]

    @property
    def reference_arm(self) -> str | None:
        """The arm that others are compared with: plain training on positives; None if there is none."""
        for name, arm in self.arms.items():
            if arm.trajectories == "positive" and self.objectives[arm.objective].objective == "plain":
                return name
        return None

    def grpo_problems(self, domain: str) -> int:
        """How many problems of the domain are kept out of the arms as GRPO prompts."""
        if self.trajectories is not None:
            return self.trajectories.grpo
        return self.domains[domain].problems.grpo

    @property
    def verification(self) -> Verification:
        """The one way in which responses are judged, everywhere."""
        return Verification(extraction=self.extraction, timeout_s=self.verdict_timeout_s)


def existing(file: Path | None) -> Path | None:
    """The file, if there is one; for field validators."""
    if file is not None and not file.is_file():
        raise ValueError(f"{str(file)!r}: no such file")
    return file


def existing_folder(folder: Path | None) -> Path | None:
    """The folder, if there is one; for field validators."""
    if folder is not None and not folder.is_dir():
        raise ValueError(f"{str(folder)!r}: no such folder")
    return folder


def unknown(name: str, known: list[str] | dict[str, Any]) -> str:
    """A message that `name` is not among `known`, with the nearest one as a hint."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known)}"
    return f"{name!r} is unknown; {hint}"


def read(path: Path, *overlays: Path) -> Experiment:
    """Load and validate a YAML configuration file, overlays laid over it in turn as Snakemake does.

    Raises:
        UserError: a file is missing, is not YAML, or breaks the schema; the message names the key.
    """
    document = _document(path)
    for overlay in overlays:
        document = _laid_over(document, _document(overlay))
    return load(document, " + ".join(map(str, (path, *overlays))))


def _document(path: Path) -> Any:
    if not path.is_file():
        raise UserError(f"{path}: no such configuration file")
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None


def _laid_over(document: Any, overlay: Any) -> Any:
    """Mappings are merged key by key, anything else is replaced."""
    if not isinstance(document, dict) or not isinstance(overlay, dict):
        return overlay
    return document | {key: _laid_over(document.get(key), value) for key, value in overlay.items()}


def load(document: Any, source: str) -> Experiment:
    """Validate a configuration that is already parsed; `source` names it in messages.

    Raises:
        UserError: one line a mistake, each naming its key and what to do.
    """
    if not isinstance(document, dict):
        raise UserError(f"{source}: expected a mapping of keys, found {type(document).__name__}")
    try:
        return Experiment.model_validate(document)
    except ValidationError as error:
        lines = list(dict.fromkeys(f"{source}: {_explain(mistake)}" for mistake in error.errors()))
        raise UserError("\n".join(lines)) from None


def _explain(mistake: Any) -> str:
    location = [str(part) for part in mistake["loc"]]
    key = ".".join(location)
    if mistake["type"] == "extra_forbidden":
        return f"{key}: unknown key; {_nearest_key(location)}"
    if mistake["type"] == "missing":
        return f"{key}: missing; add it"
    message = mistake["msg"].removeprefix("Value error, ")
    if mistake["type"] == "value_error":
        return f"{key}: {message}" if key else message
    shown = repr(mistake["input"])
    return (
        f"{key}: {message[0].lower()}{message[1:]}, found {shown if len(shown) < 60 else shown[:57] + '...'}"
    )


def _nearest_key(location: list[str]) -> str:
    """A hint for a misspelt key: walk the sections to the one that the key stands in."""
    section: Any = Experiment
    for part in location[:-1]:
        section = _section_below(section, part)
        if section is None:
            return "remove it"
    known = list(section.model_fields)
    near = difflib.get_close_matches(location[-1], known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"known here: {', '.join(known)}"


def _section_below(section: type[Section], part: str) -> type[Section] | None:
    """The section class found under key `part`; a named entry of a mapping leads to its own class."""
    if part not in section.model_fields:
        return section
    return _section_in(section.model_fields[part].annotation)


def _section_in(annotation: Any) -> type[Section] | None:
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation
    return next((found for argument in get_args(annotation) if (found := _section_in(argument))), None)
