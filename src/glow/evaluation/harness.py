"""The bridge to lm-evaluation-harness: our engines as one of its models, a suite as one of its tasks.

The harness builds the requests of all suites, hands them over by kind, gives the responses to each
task's `process_results`, and aggregates. Prompts are ours (`glow.models.prompts`), so are sampling
(`glow.models.sampling`) and verdicts (`glow.verifier.verify`); its own chat templating, caches and filters
stay unused.

Multiple choice: the question alone is the user's turn (no instruction: it would ask for steps and a
box), and a choice's score is the log-likelihood, summed over tokens, that the model's whole turn is
the text of that choice: its tokens and the end of the turn. The end is counted so that a choice gains
nothing from being the beginning of another. The highest score wins, the first of equal ones. A suite
whose rows have a `prompt` (MMLU as the literature scores it) is scored as lm-eval scores it: that raw
text without a chat template, then a space and the letter, and no end.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from datasets import Dataset, Features, List, Value
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.task import ConfigurableTask
from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from glow.config import Evaluation, Prompt
from glow.data.choices import LETTERS
from glow.files.jsonl import Record
from glow.files.progress import progress_bar
from glow.files.records import Problem
from glow.models.engines import load_engine
from glow.models.load import context_size, load_model, prompt_ids, turn_end
from glow.models.prompts import problem_messages, prompt_messages, without_instruction
from glow.models.sampling import Completion, Engine, Request, TokenMeter
from glow.models.scoring import Score, score_responses
from glow.models.transformers_engine import TransformersEngine

ProcessResults = Callable[[Record, list[Any]], dict[str, float]]
"""lm-eval's hook: (problem, one response an instance) -> metrics of that problem."""


class ModelUnderTest:
    """A model that samples through the engine of the settings, and scores given responses.

    Scoring is always transformers' teacher-forced pass. With vLLM the one engine is closed before the
    other starts, so that they never share a device.
    """

    def __init__(self, path: Path, evaluation: Evaluation) -> None:
        self.path = path
        self.device = "none"
        self._evaluation = evaluation
        self._engine: Engine | None = None
        self._loaded: _Loaded | None = None

    def sample(self, requests: Sequence[Request]) -> list[Completion]:
        """One completion a request, in their order."""
        if self._engine is None:
            self._engine = load_engine(self.path, self._evaluation)
            self.device = self._engine.device
        with TokenMeter("responses", len(requests)) as meter:
            return self._engine.generate(requests, lambda place, completion: meter.add(completion))

    def score(self, conversations: Sequence[Sequence[Any]], responses: Sequence[list[int]]) -> list[Score]:
        """Score token ids as the model's turn after each conversation; too long a one loses its start."""
        loaded = self._for_scoring()
        context = context_size(loaded.model.config)
        prompts = [
            prompt_ids(loaded.tokenizer, messages)[-max(1, context - len(response)) :]
            for messages, response in zip(conversations, responses, strict=True)
        ]
        return self._score(loaded, prompts, responses)

    def score_raw(self, pairs: Sequence[tuple[str, str]]) -> list[Score]:
        """Score (context, continuation) pairs of raw text, tokenized together and split as lm-eval does.

        Spaces at the context's end count to the continuation. Too long a context loses its start.
        """
        loaded = self._for_scoring()
        context_length = context_size(loaded.model.config)
        prompts, responses = [], []
        for context, continuation in pairs:
            bare = context.rstrip()
            whole = loaded.tokenizer(context + continuation)["input_ids"]
            split = len(loaded.tokenizer(bare)["input_ids"])
            prompts.append(whole[:split][-max(1, context_length - len(whole) + split) :])
            responses.append(whole[split:])
        return self._score(loaded, prompts, responses)

    @staticmethod
    def _score(loaded: "_Loaded", prompts: list[list[int]], responses: Sequence[list[int]]) -> list[Score]:
        with progress_bar("scores", "response", total=len(responses)) as bar:
            return score_responses(loaded.model, prompts, responses, bar.update)

    def whole_turn(self, text: str) -> list[int]:
        """Token ids of a turn that says `text`, with its end."""
        loaded = self._for_scoring()
        return [*loaded.tokenizer(text, add_special_tokens=False)["input_ids"], loaded.end]

    def sampled_turn(self, completion: Completion) -> list[int]:
        """Token ids of a sampled turn, with its end where the model reached it."""
        if completion.finish_reason == "length":
            return completion.token_ids
        return [*completion.token_ids, self._for_scoring().end]

    def close(self) -> None:
        """Give back the memory that the model holds."""
        self._loaded = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _for_scoring(self) -> "_Loaded":
        if self._loaded is None:
            if isinstance(self._engine, TransformersEngine):
                model, tokenizer = self._engine.model, self._engine.tokenizer
            else:
                self.close()
                model, tokenizer = load_model(self.path)
            self._loaded = _Loaded(model, tokenizer, turn_end(tokenizer))
            self.device = model.device.type
        return self._loaded


@dataclass(frozen=True)
class _Loaded:
    """A transformers model, its tokenizer, and the token that ends a turn."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    end: int


def sample_keys(requests: Sequence[Instance], seed: int) -> list[tuple[int, str, int]]:
    """What each request's own seed derives from: (seed, problem, which of the problem's samples it is).

    lm-eval repeats an instance for each sample; a document of a foreign task goes by its place.
    """
    seen: Counter[tuple[str | None, int | None]] = Counter()
    keys = []
    for instance in requests:
        place = (instance.task_name, instance.doc_id)
        name = instance.doc.get("problem_id", f"{instance.task_name}/{instance.doc_id}")
        keys.append((seed, name, seen[place]))
        seen[place] += 1
    return keys


class HarnessModel(LM):
    """A `ModelUnderTest` as lm-eval sees it: each response is a `Completion`, not bare text."""

    def __init__(self, model: ModelUnderTest, prompt: Prompt, seed: int) -> None:
        super().__init__()
        self._model = model
        self._prompt = prompt
        self._seed = seed

    def generate_until(self, requests: list[Instance]) -> list[Completion]:
        """Sample."""
        keys = sample_keys(requests, self._seed)
        return self._model.sample(
            [
                Request(problem_messages(instance.doc, self._prompt), key)
                for instance, key in zip(requests, keys, strict=True)
            ]
        )

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """(log-likelihood of the choice, whether it is what greedy decoding gives), as the module says."""
        scores: dict[int, Score] = {}
        for score, is_raw in ((self._score_raw, True), (self._score_turns, False)):
            part = [instance for instance in requests if bool(instance.doc["prompt"]) is is_raw]
            if part:
                scores.update(zip(map(id, part), score(part), strict=True))
        found = [scores[id(instance)] for instance in requests]
        return [(score.log_likelihood, score.greedy) for score in found]

    def _score_raw(self, requests: Sequence[Instance]) -> list[Score]:
        return self._model.score_raw([instance.args for instance in requests])

    def _score_turns(self, requests: Sequence[Instance]) -> list[Score]:
        bare = without_instruction(self._prompt)
        return self._model.score(
            [prompt_messages(instance.args[0], bare) for instance in requests],
            [self._model.whole_turn(instance.args[1]) for instance in requests],
        )

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Perplexity of whole texts: no suite asks for it."""
        raise NotImplementedError("no suite is scored by rolling log-likelihood")


# --- tasks --------------------------------------------------------------------------------------

_METRICS = [{"metric": "accuracy", "aggregation": "mean", "higher_is_better": True}]
_BOXED = {
    "problem_id": Value("string"),
    "question": Value("string"),
    "answer": Value("string"),
    "instruction": Value("bool"),
}
_CHOICE = {
    "problem_id": Value("string"),
    "question": Value("string"),
    "answer": Value("string"),
    "continuations": List(Value("string")),
    "prompt": Value("string"),
}


def boxed_task(
    suite: str, problems: list[Problem], samples: int, process: ProcessResults
) -> ConfigurableTask:
    """A suite whose answers are generated; `process` gets the list of a problem's completions."""
    rows: list[Record] = [
        {**problem, "instruction": problem.get("instruction", True)} for problem in problems
    ]
    return ConfigurableTask(
        config={
            "task": suite,
            **_data(rows, _BOXED),
            "doc_to_text": "question",
            "output_type": "generate_until",
            "generation_kwargs": {"until": []},
            "repeats": samples,
            "filter_list": [{"name": "all", "filter": [{"function": "take_first_k", "k": samples}]}],
            "process_results": process,
        }
    )


def choice_task(suite: str, problems: list[Problem], process: ProcessResults) -> ConfigurableTask:
    """A multiple-choice suite; `process` gets (log-likelihood, greedy) of each choice."""
    raw = "prompt" in problems[0]
    rows: list[Record] = [
        {
            **problem,
            "prompt": problem.get("prompt", ""),
            "continuations": list(LETTERS[: len(problem["choices"])]) if raw else problem["choices"],
        }
        for problem in problems
    ]
    return ConfigurableTask(
        config={
            "task": suite,
            **_data(rows, _CHOICE),
            "doc_to_text": "prompt" if raw else "question",
            "output_type": "multiple_choice",
            "doc_to_choice": "continuations",
            "target_delimiter": " " if raw else "",
            "process_results": process,
        }
    )


def _data(problems: list[Record], columns: dict[str, Any]) -> Record:
    """What both kinds of task share. The rows are handed over in memory: no cache on disk can be stale."""
    rows = Dataset.from_list(
        [{key: problem[key] for key in columns} for problem in problems], Features(columns)
    )
    return {
        "custom_dataset": lambda **_: {"test": rows},
        "test_split": "test",
        "doc_to_target": "answer",
        "metric_list": _METRICS,
        "num_fewshot": 0,
    }
