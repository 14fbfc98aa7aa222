"""Users' rows in the shape of one response each, whatever shape they have: lists of responses, conversations,
prompts with the marks of a chat template, worked solutions as gold answers, reasoning in a key of its own.

What of a row is not used, and what is taken out of a text, is counted, so that it can be said.
"""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from glow.config import Fields, ImportSettings
from glow.data import row_paths
from glow.data.chat_marks import without_marks
from glow.data.golds import LONGEST_GOLD, gold_answer, single
from glow.data.noted import Noted
from glow.data.row_paths import (
    ABSENT,
    found,
    is_conversation,
    may_lack,
    said_by,
    turns,
    what_is_there,
    why_absent,
)
from glow.errors import UserError, abbreviated
from glow.files.jsonl import Record
from glow.files.user_rows import FINISH_KEYS, Row

THOUGHT_OPEN = "thought_open"

_NEEDED = ("question", "answer", "response", "label", "id", "generator")
_OPTIONAL = ("choices", "answer_type", "finish_reason", "stated", "reasoning", "context")
_PARALLEL = ("label", "finish_reason", "stated", "reasoning", "generator")
"""Fields of which a row may have a list, with an item for each of its responses."""

_REASONING = re.compile(r"reasoning|thinking|thoughts?$|rationale|(^|_)cot$", re.IGNORECASE)
"""Keys under which tools and data sets have reasoning that is no part of the response."""
_SOME_WORDS = 4


def remedy(field: str, what: str = "it") -> str:
    """What to do about a field that a row does not have."""
    return f"map {what} with trajectories.fields.{field} (--{field.replace('_', '-')})"


def optional_keys(fields: Fields) -> dict[str, str]:
    """The keys that a row may lack, but not all rows, each with what to do then."""
    keys = {name: key for name in _OPTIONAL if (key := getattr(fields, name)) is not None}
    return {key: remedy(name) for name, key in keys.items() if not may_lack(key)}


def columns(fields: Fields) -> set[str]:
    """The columns of a table that its rows are made of."""
    keys = [key for name in (*_NEEDED, *_OPTIONAL) if (key := getattr(fields, name)) is not None]
    named = set().union(*map(row_paths.roots, [*keys, *fields.choice_columns]))
    return named | {*FINISH_KEYS, THOUGHT_OPEN}


def is_reasoning(key: str) -> bool:
    """Whether a key is called as reasoning is that came before a response."""
    return _REASONING.search(key) is not None


def choices_key(fields: Fields) -> str | None:
    """The key under which a shaped row has its choices."""
    return "/".join(fields.choice_columns) or fields.choices


class Shapes:
    """Makes rows of one response each.

    Args:
        settings: which keys hold what, and what is made of it.
        noted: what is said of the rows in the end.
        unread: further columns of the table that rows come from, for messages; it may fill up later.
    """

    def __init__(self, settings: ImportSettings, noted: Noted, unread: Sequence[str] = ()) -> None:
        self._unread = unread
        self._settings, self._fields, self._noted = settings, settings.fields, noted
        self._used = columns(settings.fields)

    def of(self, row: Row) -> Iterator[Row]:
        """The responses of a row, each as a row that has every field under its own key.

        Raises:
            UserError: the row lacks a key that every row must have, or has a list of another length.
        """
        value = self._value(row, "response")
        if is_conversation(value):
            value = self._turn(row, "response", value, "assistant")
        responses = value if isinstance(value, list) else [value]
        if not responses:
            self._noted.add("rows without a response, which are left out", row.place)
        self._note_unused(row)
        shared = dict(row.record)
        self._answer(row, shared)
        self._question(row, shared)
        for number, one in enumerate(responses):
            own = Row(_place(row, number, value), dict(shared))
            response = self._turn(row, "response", one, "assistant") if is_conversation(one) else one
            own.record[self._fields.response] = response
            self._parallel(row, own, number, value)
            if self._fields.reasoning is not None:
                self._join(own, self._fields.reasoning)
            yield own

    # --- fields ---------------------------------------------------------------------------------

    def _value(self, row: Row, field: str) -> Any:
        """What a row has under the key of a field; None where it lacks what its key says it may lack."""
        key: str = getattr(self._fields, field)
        value = found(row.record, key)
        if value is not ABSENT:
            return value
        if may_lack(key) and field not in ("question", "response"):
            return None
        there = row.record | dict.fromkeys(self._unread)
        raise UserError(f"{row.place}: {why_absent(there, key)}; {remedy(field)}")

    def _turn(self, row: Row, field: str, conversation: list[Any], role: str) -> Any:
        """The text of a turn of the conversation under a field's key."""
        text = said_by(conversation, role)
        if text is ABSENT:
            raise UserError(
                f"{row.place}: {getattr(self._fields, field)!r}: no turn of the {role}; "
                f"{what_is_there(conversation)}; {remedy(field, 'another key')}"
            )
        return text

    def _question(self, row: Row, shaped: Record) -> None:
        key = self._fields.question
        question = self._value(row, "question")
        if is_conversation(question):
            question = self._turn(row, "question", question, "user")
        if isinstance(question, str) and (bare := without_marks(question)) is not None:
            self._noted.add(_UNMARKED, row.place)
            if bare.turns > 1:
                self._noted.add(_EARLIER, row.place)
            question = bare.question
            if bare.thought_open:
                shaped.setdefault(THOUGHT_OPEN, True)
        if self._fields.context is not None:
            context = found(row.record, self._fields.context)
            if isinstance(context, str) and context.strip() and isinstance(question, str):
                question = f"{question}\n\n{context}"
            _put(shaped, self._fields.context, context)
        shaped[key] = question

    def _answer(self, row: Row, shaped: Record) -> None:
        fields = self._fields
        key = fields.answer
        answer = single(self._value(row, "answer"))
        if answer is None and may_lack(key):
            answer = ""
        choices = self._choices(row)
        if (chosen := choices_key(fields)) is not None:
            _put(shaped, chosen, choices)
        if isinstance(answer, str) and choices in (None, ABSENT):
            answer = self._gold(row, answer)
        shaped[key] = answer
        for name in ("id", "answer_type"):
            if (own := getattr(fields, name)) is not None:
                _put(shaped, own, self._value(row, name) if name == "id" else found(row.record, own))

    def _gold(self, row: Row, text: str) -> str:
        answer, taken = gold_answer(text, self._settings.gold)
        if taken == "hashes":
            self._noted.add("gold answers are what follows #### in a solution", row.place)
        elif taken == "box" and answer != text.strip():
            self._noted.add("gold answers are the last box of a text", row.place)
            if text == self._whole_response(row):
                self._noted.add(
                    "gold answers are taken from the response itself, which can then hardly be wrong",
                    row.place,
                )
        elif taken == "none":
            self._noted.add("texts without a box, and so without a gold answer", row.place)
        elif len(answer) > LONGEST_GOLD:
            self._noted.add(
                f"gold answers of more than {LONGEST_GOLD} characters, which hardly any response equals (a "
                "solution? map another key)",
                row.place,
            )
        return answer

    def _whole_response(self, row: Row) -> Any:
        value = found(row.record, self._fields.response)
        return said_by(value, "assistant") if is_conversation(value) else value

    def _choices(self, row: Row) -> Any:
        """The choices, from one key or several; None where the row has none."""
        fields = self._fields
        if fields.choice_columns:
            texts = [found(row.record, key) for key in fields.choice_columns]
            if absent := [
                key for key, text in zip(fields.choice_columns, texts, strict=True) if text is ABSENT
            ]:
                raise UserError(
                    f"{row.place}: {why_absent(row.record, absent[0])}; {remedy('choice_columns', 'them')}"
                )
            while texts and texts[-1] in (None, ""):
                texts.pop()
            return [text if isinstance(text, str) else str(text) for text in texts] or None
        return ABSENT if fields.choices is None else _labelled(found(row.record, fields.choices))

    def _parallel(self, row: Row, own: Row, number: int, responses: Any) -> None:
        """Give a response its own item of what the row has for each."""
        for name in _PARALLEL:
            key = getattr(self._fields, name)
            if key is None:
                continue
            value = self._value(row, name) if name in _NEEDED else found(row.record, key)
            _put(own.record, key, _item(row, key, value, number, responses, one_for_all=name != "label"))
        further = FINISH_KEYS if self._fields.finish_reason is None else ()
        for key in (*further, THOUGHT_OPEN):
            if isinstance(responses, list) and isinstance(row.record.get(key), list):
                own.record[key] = _item(row, key, row.record[key], number, responses)
        if self._fields.id is not None and isinstance(responses, list) and len(responses) > 1:
            own.record[self._fields.id] = f"{own.record[self._fields.id]}/{number + 1}"

    def _join(self, own: Row, key: str) -> None:
        reasoning, response = own.record.get(key), own.record[self._fields.response]
        if reasoning is None or (isinstance(reasoning, float) and math.isnan(reasoning)):
            return
        if not isinstance(reasoning, str):
            raise UserError(
                f"{own.place}: {key!r} must be text, found {type(reasoning).__name__}; fix it, or "
                f"{remedy('reasoning', 'another key')}"
            )
        opening, closing = self._settings.thought
        if not reasoning.strip() or not isinstance(response, str):
            return
        if response.lstrip().startswith(opening):
            self._noted.add(
                "responses that had their reasoning already, which is not joined again", own.place
            )
            return
        marked = f"{opening}\n{reasoning.strip()}\n{closing}\n\n{response}"
        own.record[self._fields.response] = marked

    # --- what is not used -----------------------------------------------------------------------

    def _note_unused(self, row: Row) -> None:
        """Count what of a row is left out."""
        if self._fields.reasoning is None:
            for key in _reasoning_beside(row.record, self._used):
                self._noted.add(
                    f"rows with reasoning under {key!r}, which is left out; join it with "
                    f"trajectories.fields.reasoning (--reasoning)",
                    row.place,
                )
        for name in {
            row_paths.ways(key)[0].steps[:1] for key in (self._fields.question, self._fields.response)
        }:
            conversation = row.record.get(str(name[0])) if name else None
            if conversation is None or not is_conversation(conversation):
                continue
            if turns(conversation, "system"):
                self._noted.add(
                    "rows with a system turn, which is left out (prompt.system sets one)", row.place
                )
            if len(turns(conversation, "user")) > 1:
                self._noted.add(_EARLIER, row.place)


def shaped_rows(source: Iterable[Row], settings: ImportSettings) -> Iterator[Row]:
    """Rows of one response each, of rows as they are; what is left out is not said (for estimates).

    Raises:
        UserError: a row lacks a mapped key.
    """
    shapes = Shapes(settings, Noted())
    return (shaped for row in source for shaped in shapes.of(row))


_UNMARKED = "questions taken out of a prompt, without the marks of its chat template and its system turn"
_EARLIER = "rows with earlier turns, of which only the last question and its response are used"


def _reasoning_beside(record: Record, used: set[str]) -> Iterator[str]:
    """The keys of reasoning that no field uses: beside a response, or in a turn."""
    for key, value in record.items():
        if key not in used and is_reasoning(key) and _is_prose(value):
            yield key
        if is_conversation(value) and (answered := turns(value, "assistant")):
            for name, text in value[answered[-1]].items():
                if is_reasoning(name) and _is_prose(text):
                    yield f"{key}[assistant].{name}"


def _labelled(choices: Any) -> Any:
    """Choices as a list, or with labels: also from texts by their letters, or a list of {label, text}."""
    if isinstance(choices, dict) and choices and "text" not in choices:
        lettered = {str(name): text for name, text in choices.items() if text is not None}  # Parquet has all
        return {"label": list(lettered), "text": list(lettered.values())}
    if (
        isinstance(choices, list)
        and choices
        and all(isinstance(one, dict) and "text" in one for one in choices)
    ):
        labels = [one.get("label", one.get("key")) for one in choices]
        texts = [one["text"] for one in choices]
        return texts if None in labels else {"label": labels, "text": texts}
    return choices


def _is_prose(value: Any) -> bool:
    if isinstance(value, list):
        return any(map(_is_prose, value))
    return isinstance(value, str) and len(value.split()) >= _SOME_WORDS


def _place(row: Row, number: int, responses: Any) -> str:
    return f"{row.place}, response {number + 1}" if isinstance(responses, list) else row.place


def _put(record: Record, key: str, value: Any) -> None:
    """What a row has under a key, and nothing where it has nothing."""
    if value is not ABSENT:
        record[key] = value


def _item(row: Row, key: str, value: Any, number: int, responses: Any, *, one_for_all: bool = True) -> Any:
    """What of a value belongs to a response: its item of a list, or the value that all share.

    Raises:
        UserError: the list is of another length, or all share what each must have of its own.
    """
    if not isinstance(responses, list) or value is None or value is ABSENT:
        return value
    if isinstance(value, list) and len(value) == len(responses):
        return value[number]
    if isinstance(value, list):
        raise UserError(
            f"{row.place}: {key!r} has {len(value)} items, but there are {len(responses)} responses; fix or "
            "remove the row"
        )
    if not one_for_all and len(responses) > 1:
        raise UserError(
            f"{row.place}: {key!r} is {abbreviated(value, 40)}, one for {len(responses)} responses; map a "
            "list with one for each"
        )
    return value
