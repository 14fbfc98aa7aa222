"""What an experiment is: the typed, validated form of one configuration file, section by section."""

from glow.config.data import (
    Contamination,
    Domain,
    Extraction,
    Fields,
    OwnTrajectories,
    Problems,
    Sampling,
    Selection,
    SelectionName,
    Verification,
)
from glow.config.evaluation import Evaluation, Suite, SuiteFormat
from glow.config.experiment import Experiment, load, read_document
from glow.config.models import Decoding, Hub, Model, Pretrain, Prompt, Scratch
from glow.config.reporting import Contrast
from glow.config.section import Section, message, unknown
from glow.config.stages import (
    AnswerSettings,
    ArmSettings,
    EvaluationSettings,
    GenerateSettings,
    GrpoSettings,
    ImportSettings,
    SftSettings,
    VerdictSettings,
)
from glow.config.training import (
    DEFAULT_ARMS,
    DEFAULT_OBJECTIVES,
    DONE_TO_LONG,
    Arm,
    Grpo,
    ObjectiveChoice,
    Sft,
    TooLong,
)

__all__ = [
    "DEFAULT_ARMS",
    "DEFAULT_OBJECTIVES",
    "DONE_TO_LONG",
    "AnswerSettings",
    "Arm",
    "ArmSettings",
    "Contamination",
    "Contrast",
    "Decoding",
    "Domain",
    "Evaluation",
    "EvaluationSettings",
    "Experiment",
    "Extraction",
    "Fields",
    "GenerateSettings",
    "Grpo",
    "GrpoSettings",
    "Hub",
    "ImportSettings",
    "Model",
    "ObjectiveChoice",
    "OwnTrajectories",
    "Pretrain",
    "Problems",
    "Prompt",
    "Sampling",
    "Scratch",
    "Section",
    "Selection",
    "SelectionName",
    "Sft",
    "SftSettings",
    "Suite",
    "SuiteFormat",
    "TooLong",
    "VerdictSettings",
    "Verification",
    "load",
    "message",
    "read_document",
    "unknown",
]
