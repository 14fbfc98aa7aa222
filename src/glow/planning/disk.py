"""What a study keeps on the disk, and what its jobs have there while they run."""

from math import ceil

from glow.config import Experiment, Grpo, Sft, Sharding
from glow.planning.constants import constant
from glow.planning.memory import Training, state
from glow.planning.shapes import Shape
from glow.planning.sizes import DomainSizes, Sizes

_TOKENISED = 24
"""Bytes on disk of a token that is trained on: its number, its label and a mask, with copies of the rows."""

_WITH_ANSWERS = 2
"""Copies of what a model says in an evaluation: the archive, and what it goes on from."""


def saved_model(settings: Sft | Grpo, training: Training) -> int:
    """Bytes of a trained model: adapters in float32, or all weights in the format that they are saved in."""
    if settings.saves_adapters:
        return 4 * training.trained
    saved = settings.saved_dtype or ("bfloat16" if training.bf16 else "float32")
    return (4 if saved == "float32" else 2) * training.shape.parameters


def fetched_model(shape: Shape) -> int:
    """Bytes of a model of the hub: 16 bits a weight."""
    return 2 * shape.parameters


def checkpoint(training: Training, sharding: Sharding) -> int:
    """Bytes of a checkpoint: float32 weights and the optimiser, which under ZeRO has weights of its own."""
    each = state("zero3" if sharding in ("zero2", "zero3") else "ddp", 1, training.weights)
    return round((each.weights + each.optimiser) * training.trained)


def checkpoints(number: int, size: int) -> int:
    """Bytes of the checkpoints that a live job has at most at a time."""
    return min(number, round(constant("checkpoints_at_a_time"))) * size


def tokenised(tokens: float) -> int:
    """Bytes of an arm's tokens, in the file that a job maps."""
    return round(_TOKENISED * tokens)


def text_of(rows: float, tokens: float) -> float:
    """Bytes of so many responses, as JSON Lines."""
    return rows * tokens * constant("bytes_per_token")


def packed(text: float) -> int:
    """Bytes of a text after gzip."""
    return ceil(text / constant("compression"))


def arms_of_a_seed(experiment: Experiment, sizes: DomainSizes) -> int:
    """Bytes of the selections that are drawn together, for one seed."""
    rows = sum(sizes.selections[name] for name in ("positive", "negative", "mixed", "all")) + sizes.held_out
    return round(text_of(rows, sizes.prompt + sizes.lengths.mean))


def evaluation(experiment: Experiment, sizes: Sizes) -> int:
    """Bytes of what one model says to all suites."""
    samples = experiment.evaluation.samples
    text = sum(
        text_of(samples * own.questions, own.prompt + own.lengths.mean) for own in sizes.suites.values()
    )
    return _WITH_ANSWERS * packed(text)
