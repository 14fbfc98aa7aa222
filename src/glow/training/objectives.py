"""What a training step minimises: how tokens and samples are weighted. Each objective is declared once.

For samples i of an optimiser step, with response tokens t of log-probability log p_t, an objective is a mean
over the step's samples, or over all of its response tokens (`Objective.average`):

    "samples":  mean over i of  sample_weight_i * mean over t of  token_weight_t * -log p_t
    "tokens":   sum over i of  sample_weight_i * sum over t of  token_weight_t * -log p_t
                / number of response tokens of the step

So by tokens a sample counts by its weight and by its length: with GLOW's weights w_i that is the sum over i
of w_i * sum over t of -log p_t, divided by a number of tokens in which no weight stands. The loss of a
sample, of which weights are made and which log and history show, is the mean over its tokens under both.

An objective's entry in OBJECTIVES has everything about it: configuration, command line, trainer, run
identity, log and report read it. An objective of your own is named by its file or module
(`my_objectives.py:hard`, `my_package.objectives:hard`). The step's arithmetic, ledger and checkpoints are
in `glow.training.trainer`, and the same for all objectives.
"""

import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

from pydantic import Field, ValidationError, field_validator

from glow.config import Experiment, Section, message, unknown
from glow.errors import UserError
from glow.files.hashing import digest, hash_path, keyed_order

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

SampleWeights = Callable[["Tensor", "Tensor", Any], "Tensor"]
"""(previous_loss, loss, settings) -> weights; all (samples,), previous_loss NaN where there is none.

Elementwise: a sample's weight may depend on its own losses alone. Anything taken from the batch (a median, a
rank) would make the result depend on how a step is split into micro-batches and processes.
"""

TokenWeights = Callable[["Tensor", Any], "Tensor"]
"""(log_prob of the label, settings) -> weight, elementwise, detached; log_prob is zero without a label."""

ReplayedWeights = Callable[["np.ndarray", int, int], "np.ndarray"]
"""(weights, seed, epoch) -> weights; both (samples,) float64, in the order of the training set.

The weights that another run gave to the samples of an epoch (from 1), and what this run gives to the same.
"""

Average = Literal["samples", "tokens"]


@dataclass(frozen=True)
class Objective:
    """A way to weight samples and tokens; a function that is None means that all count alike.

    Attributes:
        label: what the report and the log call it; empty for its name.
        settings: its settings, with defaults, bounds and descriptions. One called `clamp` holds the
            weights' bounds: the log, tables and figures say how many weights are at a bound.
        uses_history: whether weights compare with the epoch before, and so are 1 in the first epoch. Tables
            and figures of weights show these objectives.
        average: what a step's mean is over: its samples, or all their response tokens.
        replayed_weights: what is made of the weights that another run's history has
            (`glow.training.replay`), in place of `sample_weights`; `settings` is then a ReplaySettings.

    Raises:
        ValueError: attributes that do not go together.
    """

    label: str = ""
    settings: type[Section] = Section
    sample_weights: SampleWeights | None = None
    token_weights: TokenWeights | None = None
    uses_history: bool = False
    average: Average = "samples"
    replayed_weights: ReplayedWeights | None = None

    def __post_init__(self) -> None:
        if self.average not in get_args(Average):
            raise ValueError(f"average: {self.average!r} is none of {', '.join(get_args(Average))}")
        if self.replayed_weights is None:
            return
        if self.sample_weights is not None or self.uses_history:
            raise ValueError("replayed_weights stand in place of sample_weights and uses_history: give one")
        if not issubclass(self.settings, ReplaySettings):
            raise ValueError("replayed_weights: settings must be a ReplaySettings, which names the arm")


class ReplaySettings(Section):
    """Whose weights are replayed."""

    of: str = Field("glow", description="the arm whose weights are taken, of the same seed")


# --- the objectives -------------------------------------------------------------------------------


class GlowSettings(Section):
    """What `glow.training.weighting.glow_weights` explains."""

    alpha: float = Field(1.0, description="scale of the weight (paper: 1 or 2)", gt=0)
    beta: float = Field(10.0, description="steepness in the gain, per nat (paper: 5 to 30)", ge=0)
    clamp: tuple[float, float] | None = Field(
        None, description="low and high bound of the weight (released code: 0.5 and 5), or none"
    )

    @field_validator("clamp")
    @classmethod
    def _check_bounds(cls, clamp: tuple[float, float] | None) -> tuple[float, float] | None:
        if clamp is not None and not 0 <= clamp[0] <= clamp[1]:
            raise ValueError(f"the bounds must satisfy 0 <= low <= high, found {list(clamp)}")
        return clamp


def glow(previous_loss: "Tensor", loss: "Tensor", settings: GlowSettings) -> "Tensor":
    """The more a sample's loss fell since the previous epoch, the less it counts."""
    from glow.training.weighting import glow_weights  # Imported late: looking up names must not load torch.

    return glow_weights(previous_loss, loss, settings.alpha, settings.beta, settings.clamp)


def glow_one_plus(previous_loss: "Tensor", loss: "Tensor", settings: GlowSettings) -> "Tensor":
    """As glow, and 1 added: `1 + alpha * (1 - sigmoid(beta * gain))`, a comment in the released trainer.

    That published runs used it is inferred from the names of two folders (docs/paper.md).
    """
    from glow.training.weighting import glow_weights  # Imported late, as above.

    return glow_weights(previous_loss, loss, settings.alpha, settings.beta, settings.clamp, added=1.0)


def dft(log_prob: "Tensor", settings: Section) -> "Tensor":
    """Dynamic fine-tuning: each token by its own probability (arXiv 2508.05629, eq. 9)."""
    return log_prob.exp()


def glow_permuted(weights: "np.ndarray", seed: int, epoch: int) -> "np.ndarray":
    """A control: another run's weights, each epoch's shuffled among its samples."""
    return weights[keyed_order(range(len(weights)), str, "glow_permuted", seed, epoch)]


def glow_mean(weights: "np.ndarray", seed: int, epoch: int) -> "np.ndarray":
    """A control: the mean of another run's weights in each epoch, the same for all samples."""
    return weights.mean().repeat(len(weights))


OBJECTIVES: dict[str, Objective] = {
    "plain": Objective("plain SFT"),
    "sft": Objective("token-mean SFT", average="tokens"),
    "glow": Objective("GLOW", GlowSettings, sample_weights=glow, uses_history=True),
    "glow_one_plus": Objective("1 + GLOW", GlowSettings, sample_weights=glow_one_plus, uses_history=True),
    "glow_permuted": Objective("permuted weights", ReplaySettings, replayed_weights=glow_permuted),
    "glow_mean": Objective("mean weights", ReplaySettings, replayed_weights=glow_mean),
    "dft": Objective("DFT", token_weights=dft),
}


# --- an objective with its settings ---------------------------------------------------------------


@dataclass(frozen=True)
class ChosenObjective:
    """An objective as a run uses it.

    Attributes:
        name: a key of OBJECTIVES, or "file.py:name" or "module:name".
        entry: its declaration.
        settings: an instance of `entry.settings`.
        sources: the files of an objective that is named by file or module.
        sources_hash: hash of their contents when loaded; None where there are no such files.
    """

    name: str
    entry: Objective
    settings: Section
    sources: tuple[Path, ...] = ()
    sources_hash: str | None = None

    @property
    def label(self) -> str:
        """What to call it, without its settings."""
        return self.entry.label or self.name.rpartition(":")[2]

    @property
    def bounds(self) -> tuple[float, float] | None:
        """The clamp of the weights, where there is one."""
        return getattr(self.settings, "clamp", None)

    @property
    def replayed_arm(self) -> str | None:
        """The arm whose weights are replayed; None for weights of its own."""
        if self.entry.replayed_weights is None:
            return None
        assert isinstance(self.settings, ReplaySettings)  # Objective
        return self.settings.of

    @property
    def identity(self) -> dict[str, Any]:
        """What must be equal for two runs to have the same objective."""
        found = {"objective": self.name, **self.settings.model_dump(mode="json")}
        return found if self.sources_hash is None else found | {"source code": self.sources_hash}

    def __str__(self) -> str:
        """Label and settings, as in "GLOW, alpha = 1, beta = 10, no clamp"."""
        return ", ".join([self.label, *(_in_words(key, value) for key, value in self.settings)])


def _in_words(key: str, value: Any) -> str:
    if value is None:
        return f"no {key}"
    if key == "clamp":
        return f"clamped to [{value[0]:g}, {value[1]:g}]"
    return f"{key} = {value:g}" if isinstance(value, float) else f"{key} = {value}"


def choose(name: str, given: Mapping[str, Any], above: str = "") -> ChosenObjective:
    """The objective called `name`, with the settings given and its own defaults for the others.

    Args:
        name: a key of OBJECTIVES, or the place of an Objective: "file.py:name" or "module:name".
        given: settings by name.
        above: prefix of a key in messages ("objectives.hard.").

    Raises:
        UserError: no such objective or setting, or a value out of bounds; a line each, naming the key.
    """
    try:
        found = _found(name)
    except UserError as error:
        raise UserError(f"{above}objective: {error}") from None
    try:
        settings = found.entry.settings.model_validate(dict(given))
    except ValidationError as error:
        raise UserError("\n".join(_mistakes(name, found.entry, error, above))) from None
    return ChosenObjective(name, found.entry, settings, found.sources, found.sources_hash)


def _mistakes(name: str, entry: Objective, error: ValidationError, above: str) -> Iterator[str]:
    known = list(entry.settings.model_fields)
    for mistake in error.errors():
        key = ".".join(map(str, mistake["loc"])) or "settings"
        if mistake["type"] != "extra_forbidden":
            yield f"{above}{key}: {message(mistake)}"
        elif known:
            yield f"{above}{key}: {unknown(key, ['objective', *known])}"
        else:
            yield f"{above}{key}: the objective {name!r} has no settings; remove {key!r}"


def arm_objectives(experiment: Experiment, domain: str) -> dict[str, ChosenObjective]:
    """The objective of every arm, as it is in a domain."""
    found = {}
    for name, arm in experiment.arms.items():
        item = experiment.objective_in(domain, arm.objective)
        found[name] = choose(item.objective, item.settings)
    return found


def objectives_help() -> str:
    """The objectives, each with its settings and their defaults, for the command line's help."""
    lines = ["objectives, and their settings with defaults:"]
    for name, entry in OBJECTIVES.items():
        function = entry.sample_weights or entry.token_weights or entry.replayed_weights
        does = inspect.getdoc(function) if function else f"All {entry.average} count alike."
        lines.append(f"  {name:<15}{entry.label}. {(does or '').partition(chr(10))[0]}")
        for key, field in entry.settings.model_fields.items():
            default = "" if field.default is None else field.default
            lines.append(f"{'':17}{f'{key}={default}':<12}{field.description}")
    lines.append("  or your own: FILE.py:NAME or MODULE:NAME, with the settings that its class declares")
    return "\n".join(lines)


# --- where objectives are found -------------------------------------------------------------------


class _Found(NamedTuple):
    entry: Objective
    sources: tuple[Path, ...] = ()
    sources_hash: str | None = None


def _found(name: str) -> _Found:
    place, colon, attribute = name.rpartition(":")
    if not colon:
        if name not in OBJECTIVES:
            raise UserError(f"{unknown(name, OBJECTIVES)} (your own: file.py:name or module:name)")
        return _Found(OBJECTIVES[name])
    return _elsewhere(str(Path(place).resolve()) if place.endswith(".py") else place, attribute)


@cache
def _elsewhere(place: str, attribute: str) -> _Found:
    """The Objective `attribute` of a file or module; like any module, it is read once per process."""
    is_file = place.endswith(".py")
    if is_file and not Path(place).is_file():
        raise UserError(f"{place}: no such file")
    try:
        module = _file_module(Path(place)) if is_file else import_module(place)
    except Exception as error:  # the user's code may raise anything
        raise UserError(f"{place}: {type(error).__name__}: {' '.join(str(error).split())}") from None
    entry = getattr(module, attribute, None)
    if not isinstance(entry, Objective):
        there = [key for key, value in vars(module).items() if isinstance(value, Objective)]
        what = f"not an Objective but {type(entry).__name__}" if hasattr(module, attribute) else "not there"
        raise UserError(f"{place}: {attribute!r} is {what}; objectives there: {', '.join(there) or 'none'}")
    functions = filter(
        inspect.isfunction, (entry.sample_weights, entry.token_weights, entry.replayed_weights)
    )
    files = {str(module.__file__), *(function.__code__.co_filename for function in functions)}
    sources = tuple(path for file in sorted(files) if (path := Path(file)).is_file())
    return _Found(entry, sources, digest([hash_path(source) for source in sources]))


def _file_module(file: Path) -> ModuleType:
    """The file as a module, compiled from its present content: cached bytecode may be seconds out of date."""
    module = ModuleType(f"glow_objectives_{digest(str(file))[:12]}")
    module.__file__ = str(file)
    sys.modules[module.__name__] = module  # pydantic and dataclasses look up annotations there
    exec(compile(file.read_bytes(), file, "exec"), vars(module))
    return module
