"""A model that is being evaluated: it samples through an engine, and scores given responses.

Scoring is always transformers' teacher-forced pass. With vLLM the one engine is closed before the other
starts, so that they never share a device.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers.tokenization_utils_base import PreTrainedTokenizerBase

from glow.config import Decoding, EngineHardware, Prompt
from glow.models.engines import load_engine
from glow.models.load import context_size, load_model, prompt_ids, turn_end
from glow.models.prompts import Message
from glow.models.sampling import Completion, Engine, OnDone, Request, TokenMeter
from glow.models.scoring import Score, score_responses
from glow.models.templates import opens_thought
from glow.models.transformers_engine import TransformersEngine

_ONE_DEVICE = EngineHardware()


@dataclass(frozen=True)
class _Loaded:
    """A transformers model, its tokenizer, and the token that ends a turn."""

    model: Any
    tokenizer: PreTrainedTokenizerBase
    end: int


class ModelUnderTest:
    """The model in directory `path`, loaded when it is first needed.

    Args:
        prompt: names its chat template, and the marks of a thought.
        hardware: what an engine runs on.
        trust_remote_code: whether code in the directory may run.

    Attributes:
        device: what it runs on; "none" until then.
    """

    def __init__(
        self,
        path: Path,
        prompt: Prompt,
        hardware: EngineHardware = _ONE_DEVICE,
        *,
        trust_remote_code: bool = False,
    ) -> None:
        self.path = path
        self._prompt = prompt
        self._hardware = hardware
        self._trust_remote_code = trust_remote_code
        self.device = "none"
        self._decoding: Decoding | None = None
        self._engine: Engine | None = None
        self._loaded: _Loaded | None = None

    def sample(
        self, requests: Sequence[Request], decoding: Decoding, on_done: OnDone, done: int = 0
    ) -> list[Completion]:
        """One completion for each request, in order; the engine is kept for further requests like these.

        Args:
            on_done: called with a request's place and its completion, as soon as there is one.
            done: how many responses were there before, which the progress bar counts too.
        """
        if self._engine is None or decoding != self._decoding:
            self.close()
            self._engine = load_engine(
                self.path,
                decoding,
                self._prompt,
                self._hardware,
                trust_remote_code=self._trust_remote_code,
            )
            self._decoding = decoding
            self.device = self._engine.device
        with TokenMeter("responses", done + len(requests), done) as meter:

            def finish(place: int, completion: Completion) -> None:
                on_done(place, completion)
                meter.add(completion)

            return self._engine.generate(requests, finish)

    def score(
        self,
        conversations: Sequence[Sequence[Message]],
        responses: Sequence[list[int]],
        on_done: Callable[[int], object] = lambda count: None,
        *,
        are_answers: bool = False,
    ) -> list[Score]:
        """Score token ids as the model's turn after each conversation; one too long loses its start.

        Args:
            on_done: called with the number of responses that have just been scored.
            are_answers: no response goes on with a thought that the prompt opens: it is closed before.
        """
        loaded = self._for_scoring()
        context = context_size(loaded.model.config)
        prompts = [
            prompt_ids(loaded.tokenizer, messages, self._closing(messages) if are_answers else "")[
                -max(1, context - len(response)) :
            ]
            for messages, response in zip(conversations, responses, strict=True)
        ]
        return score_responses(loaded.model, prompts, responses, on_done)

    def _closing(self, messages: Sequence[Message]) -> str:
        """What closes the thought that the prompt opens, if it does."""
        thought = self._prompt.thought
        opened = opens_thought(self._for_scoring().tokenizer, messages, thought)
        return f"\n{thought[1]}\n\n" if opened else ""

    def score_raw(
        self, pairs: Sequence[tuple[str, str]], on_done: Callable[[int], object] = lambda count: None
    ) -> list[Score]:
        """Score (context, continuation) pairs of raw text, tokenized together and split as lm-eval does.

        Spaces at the context's end belong to the continuation. A context that is too long loses its start.
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
        return score_responses(loaded.model, prompts, responses, on_done)

    def whole_turn(self, text: str) -> list[int]:
        """Token ids of the turn `text`, with the end-of-turn token."""
        loaded = self._for_scoring()
        return [*loaded.tokenizer(text, add_special_tokens=False)["input_ids"], loaded.end]

    def sampled_turn(self, completion: Completion) -> list[int]:
        """Token ids of a sampled turn, with the end-of-turn token if the model reached it."""
        if completion.finish_reason == "length" or completion.stop_string is not None:
            return completion.token_ids
        return [*completion.token_ids, self._for_scoring().end]

    def close(self) -> None:
        """Give back the memory that the model holds."""
        self._loaded = None
        if self._engine is not None:
            self._engine.close()
            self._engine = None

    def _for_scoring(self) -> _Loaded:
        if self._loaded is None:
            if isinstance(self._engine, TransformersEngine):
                model, tokenizer = self._engine.model, self._engine.tokenizer
            else:
                self.close()
                model, tokenizer = load_model(
                    self.path, self._prompt, trust_remote_code=self._trust_remote_code
                )
            self._loaded = _Loaded(model, tokenizer, turn_end(tokenizer))
            self.device = model.device.type
        return self._loaded
