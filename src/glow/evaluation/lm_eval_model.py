"""Our engines as the model `glow` of lm-evaluation-harness, for its own command line and library.

    glow lm-eval run --model glow --model_args path=DIR --tasks glow_math500 --output_path OUT

lm-eval finds no models in other packages by itself: importing this module registers ours, which is what
`glow lm-eval` does before it hands over, with `--include_path` set to our task files. Generation goes
through a chat template with the paper's system text, log-likelihoods through raw text. The evaluation
stage of the study is `glow.evaluation.evaluate`; the verdicts are the same.
"""

import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import postprocess_generated_text

from glow.config import Evaluation
from glow.config.options import validated
from glow.errors import UserError
from glow.evaluation.harness import ModelUnderTest, sample_keys
from glow.models.load import require_model
from glow.models.prompts import PAPER
from glow.models.sampling import Request
from glow.suites.task_hooks import SampledText
from glow.suites.tasks import FOLDER, task_names

_NOT_OURS = frozenset({"device", "max_batch_size"})
"""What lm-eval gives to every model: the engines choose the device themselves, and batches have one size."""


@register_model("glow")
class GlowModel(LM):
    """A model directory, sampled by an engine of ours.

    Args:
        path: directory of a Hugging Face checkpoint (`--model_args path=DIR`).
        engine: transformers or vllm.
        system: text of the system turn; empty for none.
        seed: each sample's own derives from (seed, problem, sample index).
        batch_size: sequences decoded together (transformers).
        others: what lm-eval gives to every model (`_NOT_OURS`); anything else is refused.

    Raises:
        UserError: there is no model at `path`, or an argument is unknown or out of bounds.
    """

    def __init__(
        self,
        path: str = "",
        engine: str = "transformers",
        system: str | None = PAPER.system,
        seed: int = 0,
        batch_size: int | str = 256,
        **others: Any,
    ) -> None:
        super().__init__()
        others = {name: value for name, value in others.items() if name not in _NOT_OURS}
        if others or not path or not str(seed).isdigit():
            wrong = (
                f"no {next(iter(others))!r}" if others else "a path" if not path else "a whole number as seed"
            )
            raise UserError(
                f"--model_args: model glow takes {wrong}; path=DIR[,engine=vllm][,system=TEXT][,seed=1]"
            )
        self.path = Path(path)
        require_model(self.path)
        self._engine = engine
        self._system = system
        self._seed = int(seed)
        self._batch_size = int(batch_size) if str(batch_size).isdigit() and int(batch_size) > 1 else 256
        validated(Evaluation, {"engine": engine, "max_tokens": 1}, "--model_args {}")

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Sample; requests of equal decoding share an engine start."""
        responses: dict[int, str] = {}
        groups: dict[Evaluation, list[Instance]] = {}
        for instance in requests:
            groups.setdefault(self._decoding(instance.args[1]), []).append(instance)
        for decoding, instances in groups.items():
            tested = ModelUnderTest(self.path, decoding)
            completions = tested.sample(self._requests(instances))
            tested.close()
            for instance, completion in zip(instances, completions, strict=True):
                text = postprocess_generated_text(completion.text, instance.args[1].get("until"), None)
                responses[id(instance)] = SampledText(text, completion.finish_reason)
        return [responses[id(instance)] for instance in requests]

    def _decoding(self, settings: dict[str, Any]) -> Evaluation:
        sampled = settings.get("do_sample", settings.get("temperature", 0) > 0)
        given = {
            "engine": self._engine,
            "temperature": settings.get("temperature", 1.0) if sampled else 0.0,
            "top_p": settings.get("top_p", 1.0),
            "max_tokens": settings.get("max_gen_toks", 256),
            "batch_size": self._batch_size,
        }
        return validated(Evaluation, given, "--gen_kwargs {}")

    def _requests(self, instances: Sequence[Instance]) -> list[Request]:
        system = [{"role": "system", "content": self._system}] if self._system else []
        keys = sample_keys(instances, self._seed)
        return [
            Request([*system, {"role": "user", "content": instance.args[0]}], key)
            for instance, key in zip(instances, keys, strict=True)
        ]

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-likelihood of the continuation after the raw context, whether greedy decoding gives it)."""
        tested = ModelUnderTest(self.path, Evaluation(max_tokens=1))
        scores = tested.score_raw([instance.args for instance in requests])
        tested.close()
        return [(score.log_likelihood, score.greedy) for score in scores]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Perplexity of whole texts: none of our tasks asks for it."""
        raise UserError("model glow: perplexity tasks are not supported; use lm-eval's own `--model hf`")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Refused: the engines apply the model's chat template themselves."""
        raise UserError("model glow always applies the chat template: leave --apply_chat_template out")

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval's cache tells models apart by."""
        return str(self.path)


def run_lm_eval(arguments: list[str]) -> None:
    """lm-eval's own command line, with the model `glow` and our task files known to it.

    Raises:
        UserError: an argument that lm-eval or our tasks refuse.
    """
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    is_given = any(word.split("=")[0] == "--include_path" for word in arguments)
    ours = [] if is_given or len(arguments) < 2 else ["--include_path", str(FOLDER)]
    setup_logging()
    sys.argv = ["lm-eval", *arguments, *ours]  # Its parser reads nothing else.
    parser = HarnessCLI()
    try:
        parser.execute(parser.parse_args())
    except ValueError as error:
        if not _is_of_the_arguments(error):
            raise
        ours_are = f"; ours, each after glow_: {', '.join(task_names())}" if "glow_" in str(error) else ""
        raise UserError(f"{error}{ours_are}") from None


def _is_of_the_arguments(error: ValueError) -> bool:
    """Whether lm-eval itself raised it, of what it was asked for: any other keeps its traceback."""
    from lm_eval import evaluator
    from lm_eval.config import evaluate_config

    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return raised_in in (evaluate_config.__file__, evaluator.__file__)
