"""The settings of each stage: the sections of the configuration that its command takes, together.

They are the `settings` argument of the stage's function, the settings in its manifest, and the options of
its command (`glow.config.options`). A stage that takes one section only uses that section itself.
"""

from pydantic import Field

from glow.config.data import (
    Extraction,
    FurtherSelection,
    HeldOut,
    Sampling,
    Selection,
    Verification,
)
from glow.config.evaluation import Evaluation
from glow.config.hardware import EngineHardware, GrpoEngineHardware, SftHardware, TrainingHardware
from glow.config.models import Decoding, Prompt, Thought
from glow.config.presets import PRESETS
from glow.config.section import Added, Neutral, Section, Seed
from glow.config.tracking import Tracking
from glow.config.training import Grpo, ObjectiveChoice, Sft
from glow.config.trajectories import Fields


class GenerateSettings(Section):
    """Sampling a teacher's trajectories."""

    prompt: Prompt = Prompt()
    sampling: Sampling
    hardware: Neutral[EngineHardware] = EngineHardware()


class InspectSettings(Section):
    """Looking at files of trajectories."""

    preset: str | None = Field(
        None, description=f"layout of known rows: {', '.join(PRESETS)} (default: a guess)"
    )
    fields: Fields | None = Field(None, description="which keys hold what (default: a guess)")
    rows: int = Field(200, description="rows of each file that are looked at, from its beginning", gt=0)
    verification: Verification = Verification()


class VerdictSettings(Section):
    """Judging a file's responses."""

    verification: Verification = Verification()
    response_field: str = Field("response", description="key of the response")
    answer_field: str = Field("answer", description="key of the gold answer")
    label: Added[str | None] = Field(
        None,
        description="key of a correctness label to compare verdicts with: true or false, yes or no, a reward "
        "(default: label, in rows where that is true or false)",
    )
    label_threshold: Added[float | None] = Field(
        None, description="with rewards as labels: from where on a response is right", allow_inf_nan=False
    )
    stated_field: str | None = Field(
        None,
        description="key of the answer that a response states, where it was extracted already (default: "
        "stated, in rows that have it)",
    )
    finish_reason_field: str | None = Field(
        None,
        description="key that says why a response ended (default: finish_reason or truncated, in rows that "
        "have one)",
    )
    thought: Thought = Field(
        Prompt().thought, description="marks that open and close a thought, which is no answer"
    )
    answer_type_field: str | None = Field(
        None,
        description="key of the gold answer's type, null where it is to be inferred (default: all are "
        "inferred); for type choice, the texts under `choices` count as answers too. In rows that glow "
        "writes it is answer_type",
    )


class ArmSettings(Section):
    """Drawing the selections of one replicate that every study has."""

    selection: Selection = Selection()
    seed: Seed = Field(description="seed of the draw and of the order")


class SelectSettings(HeldOut):
    """Drawing one further selection of one replicate."""

    trajectories: FurtherSelection = Field(
        description="positive_all, negative_all: every right one, every wrong one; positive_paired, "
        "negative_paired: of each question with right and wrong ones as many of the kind as there are of the "
        "rarer kind; all_paired: the last two together"
    )
    seed: Seed = Field(description="seed of the draw and of the order")


class SftSettings(Section):
    """One run of supervised fine-tuning."""

    prompt: Prompt = Prompt()
    objective: ObjectiveChoice = ObjectiveChoice()
    sft: Sft = Sft()
    verification: Verification = Verification()
    tracking: Neutral[Tracking] = Tracking()
    seed: Seed = Field(description="seed of order and dropout")
    hardware: Neutral[SftHardware] = SftHardware()


class GrpoSettings(Section):
    """One run of GRPO."""

    prompt: Prompt = Prompt()
    extraction: Extraction = Extraction()
    grpo: Grpo
    engine: Neutral[GrpoEngineHardware] = GrpoEngineHardware()
    tracking: Neutral[Tracking] = Tracking()
    seed: Seed = Field(description="seed of order and rollouts")
    hardware: Neutral[TrainingHardware] = TrainingHardware()

    @property
    def verification(self) -> Verification:
        """How a rollout is judged."""
        return Verification(
            **self.extraction.model_dump(),
            timeout_s=self.grpo.verdict_timeout_s,
            leniency=self.grpo.leniency,
        )


class PassRateSettings(Section):
    """How often the model that GRPO starts from solves each problem."""

    prompt: Prompt = Prompt()
    verification: Verification = Verification()
    decoding: Decoding
    rollouts: int = Field(8, description="rollouts of each problem", gt=0)
    hardware: Neutral[EngineHardware] = EngineHardware()
    seed: Seed = Field(description="seed of the rollouts, which are not those of training")


class AnswerSettings(Section):
    """Asking a model the questions of suites."""

    prompt: Prompt = Prompt()
    evaluation: Evaluation
    hardware: Neutral[EngineHardware] = EngineHardware()
    seed: Seed = Field(description="seed of the sampled responses")


class EvaluationSettings(AnswerSettings):
    """One evaluation of a model: its answers, and how they are judged."""

    verification: Verification = Verification()
