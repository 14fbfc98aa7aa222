"""What of each response enters the loss: all of it, once, and a stop token; checked before training.

A chat template may do to a response what it likes: drop its chain of thought, put an empty one before it,
move it elsewhere, or leave out the end of the turn. Training goes on and ends well all the same. So the
tokens to be learnt are decoded and compared with what was said, sample by sample.
"""

import copy
import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import numpy as np
from datasets import Dataset
from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase
from trl.data_utils import common_prefix_length, is_conversational, maybe_convert_to_chatml

from glow.config import Prompt
from glow.errors import UserError, abbreviated
from glow.files.progress import progress_bar
from glow.models.load import turn_end
from glow.models.scoring import IGNORED
from glow.models.templates import (
    generation_prompt,
    own_template,
    render,
    template_name,
    use_template,
    with_variables,
)
from glow.training.samples import tokenised_rows

_BEFORE = 64
"""How many tokens before a turn are looked at for what the prompt has of it."""

_NAMED = 3
"""How many samples an error names."""

_IN_THE_MIDDLE = "in the middle of its response"

_PLAINER = ("chatml", "plain")
"""Chat templates that leave every response as it is."""


def refuse_altered(
    dataset: Dataset, prepared: Dataset, check: "LabelCheck", ids: Sequence[str | int]
) -> None:
    """Refuse a training set of which the model would learn something else than what was said.

    Args:
        dataset: the rows as given, with prompt and completion or with messages.
        prepared: the same tokenised, uncut, with columns input_ids, labels and ROW (the place in `dataset`).
        ids: the samples' ids.

    Raises:
        UserError: names the template, the first samples with what would be learnt, and a mend that was tried.
    """
    faults: dict[int, str] = {}
    rows = tokenised_rows(prepared)
    for row, input_ids, labels in progress_bar("check labels", " rows", iterable=rows, total=len(prepared)):
        fault = check.fault(dataset[row], input_ids, labels)
        if fault is not None:
            faults[row] = fault
    if not faults:
        return
    first = min(faults)
    shown = "\n".join(f"  {ids[row]!r} {faults[row]}" for row in sorted(faults)[:_NAMED])
    raise UserError(
        f"{check.template}: {len(faults)} of {len(dataset)} sample(s) would not be trained as they are:\n"
        f"{shown}\n{_mend(dataset[first], faults[first], check)}"
    )


def label_check(
    tokenizer: PreTrainedTokenizerBase, template: str | None, example: dict[str, Any], everything: bool
) -> "LabelCheck | None":
    """How to check a training set with rows like `example`; None where a row does not say what was said.

    Args:
        template: the chat template that is used in place of the tokenizer's, if any.
        everything: whether all tokens are learnt, those of other turns too.
    """
    if "input_ids" in example or not {"completion", "messages", "conversations"} & set(example):
        return None
    tokenizer = copy.copy(tokenizer)
    tokenizer.chat_template = template or own_template(tokenizer)
    example = maybe_convert_to_chatml(dict(example))
    if not is_conversational(example):
        return LabelCheck(tokenizer, frozenset({tokenizer.eos_token_id}), None, everything)
    return LabelCheck(tokenizer, _stops(tokenizer), _prompt_end(tokenizer, example), everything)


def _stops(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    return frozenset({tokenizer.eos_token_id, turn_end(tokenizer)} - {None})


def _prompt_end(tokenizer: PreTrainedTokenizerBase, example: dict[str, Any]) -> str:
    """What the chat template puts before the model's first turn, with the variables of the row."""
    if variables := example.get("chat_template_kwargs"):
        tokenizer = copy.copy(tokenizer)
        tokenizer.chat_template = with_variables(str(tokenizer.chat_template), variables)
    messages = example.get("prompt") or list(
        takewhile(lambda turn: turn["role"] != "assistant", example["messages"])
    )
    return generation_prompt(tokenizer, messages) if messages else ""


@dataclass(frozen=True)
class LabelCheck:
    """Compares what is learnt with what was said.

    Attributes:
        tokenizer: the one that made the tokens.
        stops: the tokens that end a response.
        prompt_end: what the chat template puts before the model's turn; None for plain text.
        everything: whether all tokens are learnt, those of other turns too.
    """

    tokenizer: PreTrainedTokenizerBase
    stops: frozenset[int]
    prompt_end: str | None = None
    everything: bool = False

    @property
    def template(self) -> str:
        """The chat template, as messages name it."""
        if self.prompt_end is None:
            return "the training set as plain text"
        return f"chat template {template_name(str(self.tokenizer.chat_template)) or 'of the model'}"

    def fault(self, example: dict[str, Any], input_ids: np.ndarray, labels: np.ndarray) -> str | None:
        """Why a sample would not be trained as it is, in words; None where it would.

        Args:
            example: the row as given.
            input_ids, labels: of the sample, (tokens,).
        """
        said = said_turns(example)
        found = self._fault(said, input_ids, labels)
        if found is None or self.prompt_end is None:
            return found
        own = _prompt_end(self.tokenizer, maybe_convert_to_chatml(dict(example)))
        return (
            found if own == self.prompt_end else replace(self, prompt_end=own)._fault(said, input_ids, labels)
        )

    def _fault(self, said: "Said", input_ids: np.ndarray, labels: np.ndarray) -> str | None:
        runs = list(_runs(labels))
        if self.everything or not said.is_bare or len(runs) != len(said.turns):
            return self._fault_in_all(said, input_ids, labels)
        found = (
            self._fault_of_turn(turn, input_ids, *run) for turn, run in zip(said.turns, runs, strict=True)
        )
        return next(filter(None, found), None)

    def _fault_of_turn(self, turn: str, input_ids: np.ndarray, start: int, end: int) -> str | None:
        """Of a run of tokens that is one turn."""
        learnt = input_ids[start:end]
        length = self._without_end(learnt)
        if length == len(learnt):
            return f"would not learn to stop: it ends in {abbreviated(self._text(learnt)[-50:])}"
        learnt = learnt[:length]
        stopped = next((int(token) for token in learnt if token in self.stops), None)
        if stopped is not None:
            return f"has the stop token {self._text([stopped])!r} {_IN_THE_MIDDLE}"
        text, said = self._text(learnt), _plain(turn)
        window = _BEFORE + len(self.prompt_end or "")
        before = self._text(input_ids[max(0, start - window) : start])
        if self.prompt_end is None:  # TRL leaves an end that the text brings
            said = self._without_stops(said)
        if text != said and not self._is_shared(turn, before, learnt):
            return f"would learn {_apart(text, said)} in place of {_apart(said, text)}"
        asked = _plain(self.prompt_end or "")
        if not before.endswith(asked):
            return (
                f"would be trained after {abbreviated(before[-40:])} but asked after {abbreviated(asked)}: "
                "begin its response with what the prompt ends with"
            )
        return None

    def _is_shared(self, turn: str, before: str, learnt: np.ndarray) -> bool:
        """Whether the response's first words stand in the prompt, or its first token begins there."""
        text, said = self._text(learnt), _plain(turn)
        if said.endswith(text):
            return before.endswith(said[: len(said) - len(text)].strip())
        first, whole = self._decoded(learnt[:1]), self._decoded(learnt).rstrip()
        excess = whole.removesuffix(_composed(turn).rstrip())
        return excess not in (whole, first) and first.startswith(excess)

    def _fault_in_all(self, said: "Said", input_ids: np.ndarray, labels: np.ndarray) -> str | None:
        """Of tokens with several turns: each is to be there, between the prompt's end and a stop token."""
        learnt = np.flatnonzero(labels != IGNORED)
        start = max(0, learnt[0] - _BEFORE - len(self.prompt_end or "")) if len(learnt) else 0
        text, place = self._text(input_ids[start:]), 0
        for turn in said.turns:
            found = self._turn(turn, said.is_bare).search(text, place)
            if found is None:
                return f"would not learn {abbreviated(_plain(turn))} and then to stop"
            place = found.end()
        if self._without_end(input_ids[learnt]) == len(learnt):
            return f"would not learn to stop: it ends in {abbreviated(text[-50:])}"
        return None

    def _turn(self, turn: str, is_bare: bool) -> re.Pattern[str]:
        """A turn in the text of a sample; one with more than its text may have that around it."""
        begin, said = _plain(self.prompt_end or ""), _plain(turn)
        if not is_bare:
            return re.compile(re.escape(said))
        if self.prompt_end is None:
            said = self._without_stops(said)
        shared = next(n for n in range(len(begin) + 1) if said.startswith(begin[n:]))
        rest = said[len(begin) - shared :].strip()  # where the prompt ends with the response's first words
        texts, stops = ("|".join(map(re.escape, words)) for words in ((said, rest), self._stop_texts))
        return re.compile(rf"{re.escape(begin)}\s*(?:{texts})\s*(?:{stops})")

    @property
    def _stop_texts(self) -> tuple[str, ...]:
        return tuple(self._text([stop]) for stop in sorted(self.stops))

    def _without_stops(self, text: str) -> str:
        while text.endswith(self._stop_texts):
            text = next(text.removesuffix(end) for end in self._stop_texts if text.endswith(end)).strip()
        return text

    def _without_end(self, learnt: np.ndarray) -> int:
        """How many tokens stand before the stop tokens and the blanks at the end; all, if none stops."""
        end, stopped = len(learnt), False
        while end and (learnt[end - 1] in self.stops or not self._text(learnt[end - 1 : end])):
            end -= 1
            stopped = stopped or learnt[end] in self.stops
        return end if stopped else len(learnt)

    def _text(self, ids: Sequence[int] | np.ndarray) -> str:
        return self._decoded(ids).strip()

    def _decoded(self, ids: Sequence[int] | np.ndarray) -> str:
        decoded = self.tokenizer.decode(np.asarray(ids).tolist(), clean_up_tokenization_spaces=False)
        assert isinstance(decoded, str)  # of one list of ids, not of several
        return _composed(decoded)


def _composed(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _plain(text: str) -> str:
    return _composed(text).strip()


def _runs(labels: np.ndarray) -> Iterator[tuple[int, int]]:
    """(start, end) of each run of labels that are learnt."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], labels != IGNORED, [False]])))
    yield from zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True)


def _apart(text: str, other: str) -> str:
    """The text from a little before it differs from the other."""
    pairs = enumerate(zip(text, other, strict=False))
    same = next((place for place, (a, b) in pairs if a != b), min(len(text), len(other)))
    start = max(0, same - 10)
    return abbreviated(("..." if start else "") + text[start:])


# --- what was said ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Said:
    """What the model is to learn of a row.

    Attributes:
        turns: the texts of its turns.
        is_bare: whether they are all; a turn may also call tools, or have its reasoning apart.
    """

    turns: list[str]
    is_bare: bool = True


def said_turns(example: dict[str, Any]) -> Said:
    """What the model is to learn of a row: its completion, or the assistant's turns."""
    example = maybe_convert_to_chatml(dict(example))
    said = example.get("completion", example.get("messages"))
    if isinstance(said, str):
        return Said([said])
    turns = [turn for turn in said or () if turn["role"] == "assistant"]
    more = {name for turn in turns for name, value in turn.items() if value} - {"role", "content"}
    return Said([_content(turn.get("content")) for turn in turns], not more)


def _content(content: Any) -> str:
    """The text of a turn, which may come in parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


# --- mends ----------------------------------------------------------------------------------------


def _mend(example: dict[str, Any], fault: str, check: LabelCheck) -> str:
    """What to do, with the settings under which the sample was tried and stays whole."""
    if _IN_THE_MIDDLE in fault:
        return "Remove that token from the responses, or leave these rows out"
    if check.prompt_end is None:
        return "Look at the end token and at the special tokens in the text"
    tried = mends(example, check.tokenizer) if "prompt" in example and said_turns(example).is_bare else []
    return (
        "Settings of the prompt with which the first stays whole (in a script: tokenizer.chat_template): "
        f"{'; or '.join(tried) or 'chat_template with a file of your own'}"
    )


def mends(example: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """Settings of the prompt with which a row of prompt and completion would be trained as it is."""
    tried = {
        f"chat_template_kwargs: {{enable_thinking: {word}}}": Prompt(
            chat_template_kwargs={"enable_thinking": on}
        )
        for word, on in (("false", False), ("true", True))
    }
    for name in (f"{template_name(str(tokenizer.chat_template))}_training", *_PLAINER):
        tried[f"chat_template: {name}"] = Prompt(chat_template=name)
    return [words for words, prompt in tried.items() if _keeps(prompt, example, tokenizer)]


def _keeps(prompt: Prompt, example: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> bool:
    trial = copy.copy(tokenizer)
    try:
        use_template(trial, prompt)
        return conversation_fault(example, trial) is None
    except (UserError, TemplateError):  # no such template, or it refuses the conversation
        return False


def conversation_fault(example: dict[str, Any], tokenizer: PreTrainedTokenizerBase) -> str | None:
    """Why a row whose prompt and completion are conversations is not trained as it is; None where it is.

    Raises:
        TemplateError: the chat template refuses the conversation.
    """
    prompt = _tokens(tokenizer, render(tokenizer, example["prompt"], add_generation_prompt=True))
    whole = _tokens(tokenizer, render(tokenizer, [*example["prompt"], *example["completion"]]))
    start = common_prefix_length(prompt.tolist(), whole.tolist())
    labels = np.where(np.arange(len(whole)) < start, IGNORED, whole)
    return LabelCheck(tokenizer, _stops(tokenizer), _prompt_end(tokenizer, example)).fault(
        example, whole, labels
    )


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> np.ndarray:
    return np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"])
