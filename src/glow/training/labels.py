"""What of each response enters the loss: all of it, once, and a stop token; checked before training.

A chat template may do to a response what it likes: drop its chain of thought, put an empty one before it,
move it elsewhere, or leave out the end of the turn. Training goes on and ends well all the same. So the
tokens to be learnt are decoded and compared with what was said, sample by sample.
"""

import copy
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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
from glow.models.templates import generation_prompt, render, template_name, use_template
from glow.training.samples import tokenised_rows

_BEFORE = 64
"""How many tokens before a turn are looked at for what the prompt has of it."""

_NAMED = 3
"""How many samples an error names."""

_PLAINER = ("chatml", "plain")
"""Chat templates that leave every response as it is."""


def refuse_altered(
    dataset: Dataset,
    prepared: Dataset,
    check: "LabelCheck",
    ids: Sequence[str | int],
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
        fault = check.fault(said_turns(dataset[row]), input_ids, labels)
        if fault is not None:
            faults[row] = fault
    if not faults:
        return
    first = min(faults)
    shown = "\n".join(f"  {ids[row]!r} {faults[row]}" for row in sorted(faults)[:_NAMED])
    raise UserError(
        f"{check.template}: {len(faults)} of {len(dataset)} sample(s) would not be trained as they are:\n"
        f"{shown}\n{_mend(dataset[first], check)}"
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
    tokenizer.chat_template = template or tokenizer.chat_template
    example = maybe_convert_to_chatml(dict(example))
    if not is_conversational(example):
        return LabelCheck(tokenizer, frozenset({tokenizer.eos_token_id}), "", everything)
    prompt_end = generation_prompt(tokenizer, example["prompt"]) if "prompt" in example else ""
    return LabelCheck(tokenizer, _stops(tokenizer), prompt_end, everything)


def _stops(tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    return frozenset({tokenizer.eos_token_id, turn_end(tokenizer)} - {None})


@dataclass(frozen=True)
class LabelCheck:
    """Compares what is learnt with what was said.

    Attributes:
        tokenizer: the one that made the tokens.
        stops: the tokens that end a response.
        prompt_end: what the chat template puts before the model's turn; "" where there is none.
        everything: whether all tokens are learnt, those of other turns too.
    """

    tokenizer: PreTrainedTokenizerBase
    stops: frozenset[int]
    prompt_end: str = ""
    everything: bool = False

    @property
    def template(self) -> str:
        """The chat template, as messages name it."""
        if self.tokenizer.chat_template is None:
            return "the training set as plain text"
        return f"chat template {template_name(self.tokenizer.chat_template) or 'of the model'}"

    def fault(self, turns: Sequence[str], input_ids: np.ndarray, labels: np.ndarray) -> str | None:
        """Why a sample would not be trained as it is, in words; None where it would.

        Args:
            turns: the texts that the model is to learn.
            input_ids, labels: of the sample, (tokens,).
        """
        runs = list(_runs(labels))
        if self.everything or len(runs) != len(turns):  # turns of others between them, or one is missing
            return self._fault_in_all(turns, input_ids[labels != IGNORED])
        found = (self._fault_of_turn(turn, input_ids, *run) for turn, run in zip(turns, runs, strict=True))
        return next(filter(None, found), None)

    def _fault_of_turn(self, turn: str, input_ids: np.ndarray, start: int, end: int) -> str | None:
        learnt = input_ids[start:end]
        length = self._without_end(learnt)
        if length == len(learnt):
            return f"would not learn to stop: it ends in {abbreviated(self._text(learnt)[-50:])}"
        learnt = learnt[:length]
        stopped = next((int(token) for token in learnt if token in self.stops), None)
        if stopped is not None:
            return f"has the stop token {self._text([stopped])!r} in the middle of its response"
        text, said = self._text(learnt), _plain(turn)
        before = self._text(input_ids[max(0, start - _BEFORE) : start])
        if text != said and not self._is_shared(text, said, before, learnt):
            return f"would learn {_apart(text, said)} in place of {_apart(said, text)}"
        if not before.endswith(_plain(self.prompt_end)):
            return (
                f"would be trained after {abbreviated(before[-40:])} but asked after "
                f"{abbreviated(_plain(self.prompt_end))}: begin its response with what the prompt ends with"
            )
        return None

    def _is_shared(self, text: str, said: str, before: str, learnt: np.ndarray) -> bool:
        """Whether the response's first words stand in the prompt, or its first token begins there."""
        if said.endswith(text):
            return before.endswith(said[: len(said) - len(text)].strip())
        excess = text.removesuffix(said)
        return (
            text.endswith(said)
            and self._text(learnt[:1]) != excess
            and self._text(learnt[:1]).startswith(excess)
        )

    def _fault_in_all(self, turns: Sequence[str], learnt: np.ndarray) -> str | None:
        text, place = self._text(learnt), 0
        for turn in map(_plain, turns):
            found = text.find(turn, place)
            if found < 0:
                return f"would not learn {abbreviated(turn)}"
            place = found + len(turn)
        if self._without_end(learnt) == len(learnt):
            return f"would not learn to stop: it ends in {abbreviated(text[-50:])}"
        return None

    def _without_end(self, learnt: np.ndarray) -> int:
        """How many tokens stand before the stop tokens and the blanks at the end; all, if none stops."""
        end, stopped = len(learnt), False
        while end and (learnt[end - 1] in self.stops or not self._text(learnt[end - 1 : end])):
            end -= 1
            stopped = stopped or learnt[end] in self.stops
        return end if stopped else len(learnt)

    def _text(self, ids: Sequence[int] | np.ndarray) -> str:
        decoded = self.tokenizer.decode(np.asarray(ids).tolist(), clean_up_tokenization_spaces=False)
        assert isinstance(decoded, str)  # of one list of ids, not of several
        return _plain(decoded)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).strip()


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


def said_turns(example: dict[str, Any]) -> list[str]:
    """The texts that the model is to learn of a row: its completion, or the assistant's turns."""
    example = maybe_convert_to_chatml(dict(example))
    said = example.get("completion", example.get("messages"))
    if isinstance(said, str):
        return [said]
    turns = [turn["content"] for turn in said or () if turn["role"] == "assistant"]
    return [turn for turn in map(_content, turns) if turn]


def _content(content: Any) -> str:
    """The text of a turn, which may come in parts."""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content)
    return content or ""


# --- mends ----------------------------------------------------------------------------------------


def _mend(example: dict[str, Any], check: LabelCheck) -> str:
    """What to do, with the settings under which the sample was tried and stays whole."""
    if isinstance(example.get("completion", ""), str):
        return "Look at the end token and at the special tokens in the text."
    return (
        "Settings of the prompt with which the first stays whole (in a script: tokenizer.chat_template): "
        f"{'; or '.join(mends(example, check.tokenizer)) or 'chat_template with a file of your own'}"
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
    check = LabelCheck(tokenizer, _stops(tokenizer), generation_prompt(tokenizer, example["prompt"]))
    return check.fault(said_turns(example), whole, labels)


def _tokens(tokenizer: PreTrainedTokenizerBase, text: str) -> np.ndarray:
    return np.asarray(tokenizer(text, add_special_tokens=False)["input_ids"])
