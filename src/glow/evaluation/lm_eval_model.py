"""Our engines as the model `glow` of lm-evaluation-harness: for the evaluation stage and for lm-eval itself.

    glow lm-eval run --model glow --model_args path=DIR --tasks glow_math500 --output_path OUT

lm-eval does not look for models in other packages. Importing this module registers ours; `glow lm-eval` does
so, sets `--include_path` to our task files, and calls lm-eval.

Every question is the user's turn of a conversation. A choice's score is the log-likelihood, summed over
tokens, that the model's whole turn is the text of that choice: its tokens and the end of the turn. The end is
counted so that a choice gains nothing from being the beginning of another. A thought that the prompt opens
is closed before a choice. Documents that ask for it (MMLU as in the literature) are scored as lm-eval scores
them: raw text, without a chat template and without the end. Tasks of others are asked and scored in the same
way, which is said where their choices are scored; perplexities are refused.
"""

import sys
import traceback
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model
from lm_eval.models.utils import postprocess_generated_text

from glow.config import Decoding, EngineHardware, Prompt
from glow.config.options import validated
from glow.errors import UserError, abbreviated
from glow.evaluation.foreign_tasks import code_of_tasks
from glow.evaluation.kept_answers import SuiteAnswers
from glow.evaluation.model_under_test import ModelUnderTest
from glow.files.progress import progress_bar
from glow.files.stopping import at_once
from glow.models.foreign_code import refuse_foreign_code
from glow.models.load import require_model
from glow.models.prompts import PAPER, Message, prompt_messages, without_instruction
from glow.models.sampling import Completion, Key, Request
from glow.models.scoring import Score
from glow.suites.task_hooks import SampledText
from glow.suites.tasks import FOLDER, task_names

_OF_THE_PROMPT = frozenset({"system", "chat_template", "chat_template_kwargs"})
"""Arguments that are settings of the prompt; `system` and `chat_template` are empty for none."""

_NOT_OURS = frozenset({"device", "max_batch_size"})
"""Arguments that lm-eval gives to every model, ignored: engines choose the device, batches have one size."""


_MOST_TOKENS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
"""What tasks call the longest response; lm-eval lets the first of them count."""

_READ = frozenset(
    {*_MOST_TOKENS, "do_sample", "temperature", "top_p", "top_k", "min_p", "stop", "until", "batch_size"}
)
"""What is read of a task's `generation_kwargs`."""

_ONE_DEVICE = EngineHardware()

SCORED_TOGETHER = 256
"""How many questions of a suite have their choices scored together, always the same ones: the last digits of
a log-likelihood depend on its batch, and must not depend on what was scored before a kill."""

Choice = tuple[float, bool]
"""The log-likelihood of a choice, and whether greedy decoding gives it."""


@register_model("glow")
class GlowModel(LM):
    """A model directory, sampled by one of our engines.

    Args:
        path: directory of a Hugging Face checkpoint (`--model_args path=DIR`).
        engine: transformers or vllm.
        seed: each sample's own derives from (seed, problem, sample index).
        batch_size: sequences decoded together (transformers).
        prompt: system text, chat template and marks of a thought; what it puts after a question is left out,
            since the tasks do that.
        hardware: what the engine runs on.
        others: `_OF_THE_PROMPT`, which replace those of `prompt`, and the keys of `EngineHardware`;
            trust_remote_code: whether code in the directory may run; arguments that lm-eval gives to every
            model (`_NOT_OURS`), ignored. Anything else is refused.

    Attributes:
        tested: the model itself.
        answers: by task, where its answers are kept: those there are not asked for again. Of a task that is
            not among these, nothing is kept.

    Raises:
        UserError: there is no model at `path`, or an argument is unknown, out of bounds or of another kind.
    """

    def __init__(
        self,
        path: str = "",
        engine: str = "transformers",
        seed: int = 0,
        batch_size: int | str = 256,
        prompt: Prompt = PAPER,
        hardware: EngineHardware = _ONE_DEVICE,
        **others: Any,
    ) -> None:
        super().__init__()
        given = {name: others.pop(name) for name in _OF_THE_PROMPT & others.keys()}
        runs_on = {name: others.pop(name) for name in EngineHardware.model_fields.keys() & others.keys()}
        trust_remote_code = others.pop("trust_remote_code", False)
        if not isinstance(trust_remote_code, bool):  # lm-eval reads only true and false, in any case, as such
            raise UserError(
                f"--model_args: trust_remote_code is {abbreviated(trust_remote_code, 40)}; "
                "it must be true or false, without quotation marks"
            )
        others = {name: value for name, value in others.items() if name not in _NOT_OURS}
        if others or not path or not str(seed).isdigit():
            wrong = (
                f"no {next(iter(others))!r}" if others else "a path" if not path else "a whole number as seed"
            )
            raise UserError(
                f"--model_args: model glow takes {wrong}; path=DIR[,engine=vllm][,system=TEXT][,seed=1]"
                "[,chat_template=NAME][,trust_remote_code=true]"
            )
        require_model(Path(path))
        refuse_foreign_code(Path(path), trust_remote_code)
        own = prompt.model_dump() | {name: None if value == "" else value for name, value in given.items()}
        self._prompt = without_instruction(validated(Prompt, own, "--model_args {}"))
        devices = validated(EngineHardware, hardware.model_dump() | runs_on, "--model_args {}")
        self.tested = ModelUnderTest(Path(path), self._prompt, devices, trust_remote_code=trust_remote_code)
        self.answers: Mapping[str, SuiteAnswers] = {}
        self._said: set[str] = set()
        self._engine = engine
        self._seed = int(seed)
        self._batch_size = int(batch_size) if str(batch_size).isdigit() and int(batch_size) > 1 else 256
        validated(Decoding, {"engine": engine, "max_tokens": 1}, "--model_args {}")

    def conversation(self, asked: str) -> list[Message]:
        """What the model reads before its turn: the system text, and a user's turn."""
        return prompt_messages(asked, self._prompt)

    def generate_until(self, requests: list[Instance]) -> list[SampledText]:
        """Sample what is not kept already; requests with the same decoding share one engine start."""
        keys = self._keys(requests)
        completions = {
            place: kept
            for place, (instance, key) in enumerate(zip(requests, keys, strict=True))
            if (answers := self._kept(instance)) and (kept := answers.completion(key[1:]))
        }
        missing: dict[str, list[int]] = {}
        for place, instance in enumerate(requests):
            if place not in completions:
                wanted = self._decoding(instance.args[1]).model_dump_json()
                missing.setdefault(wanted, []).append(place)
        for wanted, places in missing.items():
            decoding = Decoding.model_validate_json(wanted)
            asked = [(requests[place], keys[place]) for place in places]
            completions.update(zip(places, self._sample(asked, decoding, len(completions)), strict=True))
        return [
            SampledText(
                postprocess_generated_text(completions[place].text, instance.args[1].get("until"), None),
                completions[place],
            )
            for place, instance in enumerate(requests)
        ]

    def _sample(self, asked: list[tuple[Instance, Key]], decoding: Decoding, done: int) -> list[Completion]:
        """Sample, and keep each completion as soon as it is there; `done`: how many are there already."""

        def keep(place: int, completion: Completion) -> None:
            instance, key = asked[place]
            if answers := self._kept(instance):
                answers.keep_completion(key[1:], completion)

        requests = [Request(self.conversation(instance.args[0]), key) for instance, key in asked]
        with at_once(self._what_is_kept):
            return self.tested.sample(requests, decoding, keep, done=done)

    @property
    def _what_is_kept(self) -> str:
        """Of what is asked for, when this process is asked to stop."""
        return "finished answers are kept" if self.answers else "no answer is kept"

    def _kept(self, instance: Instance) -> SuiteAnswers | None:
        return self.answers.get(instance.task_name or "")

    def _decoding(self, settings: dict[str, Any]) -> Decoding:
        sampled = settings.get("do_sample", (settings.get("temperature") or 0) > 0)
        self._say_of_ignored(settings)
        given = {
            "engine": self._engine,
            "temperature": settings.get("temperature", 1.0) if sampled else 0.0,
            "top_p": settings.get("top_p", 1.0),
            "top_k": settings.get("top_k", 0),
            "min_p": settings.get("min_p", 0.0),
            "stop": [*_texts(settings.get("stop")), *_texts(settings.get("until"))],
            "max_tokens": next((settings[name] for name in _MOST_TOKENS if name in settings), 256),
            "batch_size": settings.get("batch_size", self._batch_size),
        }
        return validated(Decoding, given, "--gen_kwargs {}")

    def _say_of_ignored(self, settings: Mapping[str, Any]) -> None:
        ignored = sorted(settings.keys() - _READ)
        if ignored:
            self._say(f"these settings of a task's generation_kwargs are not read: {', '.join(ignored)}")

    def _say(self, words: str) -> None:
        """Say it once."""
        if words not in self._said:
            self._said.add(words)
            print(f"model glow: {words}", file=sys.stderr)

    def _keys(self, requests: Sequence[Instance]) -> list[Key]:
        """The key from which each request's seed is derived: (seed, problem, number of the sample).

        lm-eval repeats an instance for each sample; a document of another's task is named by its position.
        """
        seen: Counter[tuple[str | None, int | None]] = Counter()
        keys = []
        for instance in requests:
            place = (instance.task_name, instance.doc_id)
            name = instance.doc.get("problem_id", f"{instance.task_name}/{instance.doc_id}")
            keys.append((self._seed, name, seen[place]))
            seen[place] += 1
        return keys

    def loglikelihood(self, requests: list[Instance]) -> list[Choice]:
        """Score each continuation, where that is not kept already; see the module's docstring.

        A turn does not begin with a space: those that lm-eval puts before a continuation are removed.
        """
        if any("problem_id" not in request.doc for request in requests):
            self._say(
                "choices are scored as the model's whole turn in its chat template; for the numbers of "
                "lm-eval's own models, which score raw text, use --model hf"
            )
        together: dict[tuple[str | None, int, bool], list[int]] = {}
        for place, request in enumerate(requests):
            is_raw = bool(request.doc.get("is_raw"))
            group = (request.task_name, (request.doc_id or 0) // SCORED_TOGETHER, is_raw)
            together.setdefault(group, []).append(place)
        found: dict[int, Choice] = {}
        with progress_bar("scores", "choice", total=len(requests)) as bar, at_once(self._what_is_kept):
            for (_, _, is_raw), places in together.items():
                own = [requests[place] for place in places]
                scores = self._kept_choices(own)
                if scores is None:
                    scores = self._scored_choices(own, is_raw, bar.update)
                else:
                    bar.update(len(own))
                found.update(zip(places, scores, strict=True))
        return [found[place] for place in range(len(requests))]

    def _kept_choices(self, requests: list[Instance]) -> list[Choice] | None:
        """The scores of some questions' choices, where those of all questions are kept."""
        answers = self._kept(requests[0])
        if answers is None:
            return None
        kept = {name: answers.choices(name) for name in {request.doc["problem_id"] for request in requests}}
        if None in kept.values():
            return None
        return [(kept[request.doc["problem_id"]] or [])[request.idx] for request in requests]

    def _scored_choices(
        self, requests: list[Instance], is_raw: bool, on_done: Callable[[int], object]
    ) -> list[Choice]:
        """Score the choices of some questions, and keep that."""
        pairs = [request.args for request in requests]
        scores = self.tested.score_raw(pairs, on_done) if is_raw else self._score_turns(pairs, on_done)
        if answers := self._kept(requests[0]):
            by_question: dict[str, list[Score]] = {}
            for request, score in zip(requests, scores, strict=True):
                by_question.setdefault(request.doc["problem_id"], []).append(score)
            for problem, own in by_question.items():
                answers.keep_choices(problem, own)
        return [(score.log_likelihood, score.greedy) for score in scores]

    def _score_turns(self, pairs: Sequence[tuple[str, str]], on_done: Callable[[int], object]) -> list[Score]:
        return self.tested.score(
            [self.conversation(asked) for asked, _ in pairs],
            [self.tested.whole_turn(said.lstrip(" ")) for _, said in pairs],
            on_done,
            are_answers=True,
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Refused: perplexity of whole texts, which none of our tasks needs."""
        raise UserError("model glow: perplexity tasks are not supported; use lm-eval's own `--model hf`")

    def apply_chat_template(
        self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True
    ) -> str:
        """Refused: the engines apply the model's chat template themselves."""
        raise UserError("model glow always applies the chat template: leave --apply_chat_template out")

    @property
    def tokenizer_name(self) -> str:
        """The name by which lm-eval's cache tells models apart."""
        return str(self.tested.path)


def _texts(given: str | Sequence[str] | None) -> list[str]:
    """The texts at which a response ends: a task gives one, several or none, and empty ones are none."""
    several = [given] if isinstance(given, str) else given or []
    return [text for text in several if text]


def run_lm_eval(arguments: list[str]) -> None:
    """Run lm-eval's own command line, with the model `glow` and our task files available.

    Raises:
        UserError: lm-eval or our tasks refuse an argument.
    """
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    is_given = any(word.split("=")[0] == "--include_path" for word in arguments)
    ours = [] if is_given or len(arguments) < 2 else ["--include_path", str(FOLDER)]
    for said in code_of_tasks(arguments, FOLDER):
        print(said, file=sys.stderr)
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
    """Whether lm-eval itself raised it about its arguments; any other error keeps its traceback."""
    from lm_eval import evaluator
    from lm_eval.config import evaluate_config

    raised_in = traceback.extract_tb(error.__traceback__)[-1].filename
    return raised_in in (evaluate_config.__file__, evaluator.__file__)
