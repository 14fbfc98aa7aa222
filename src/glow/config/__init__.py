"""What an experiment is: the typed, validated form of one configuration file, section by section."""

from glow.config.data import (
    Contamination,
    Domain,
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
from glow.config.models import Decoding, EngineName, Hub, Model, Pretrain, Prompt, Scratch
from glow.config.section import Section, distinct_families, existing, existing_folder, unknown
from glow.config.training import DEFAULT_ARMS, DEFAULT_OBJECTIVES, Arm, Grpo, Objective, Sft

__all__ = [
    "DEFAULT_ARMS",
    "DEFAULT_OBJECTIVES",
    "Arm",
    "Contamination",
    "Decoding",
    "Domain",
    "EngineName",
    "Evaluation",
    "Experiment",
    "Fields",
    "Grpo",
    "Hub",
    "Model",
    "Objective",
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
    "Suite",
    "SuiteFormat",
    "Verification",
    "distinct_families",
    "existing",
    "existing_folder",
    "load",
    "read_document",
    "unknown",
]
