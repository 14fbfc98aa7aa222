"""What users' rows probably are: a guess at `trajectories.preset` and `.fields` from some of the rows.

A guess is from the names of keys first, and from what stands under them where names do not tell. It is shown
to be looked at, and nothing is read by it unasked.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from glow.config import PRESETS
from glow.data.row_paths import ABSENT, found, is_conversation, may_lack, turns
from glow.data.row_shapes import is_reasoning
from glow.files.jsonl import Record
from glow.files.user_rows import LABELS

_NAMES = {
    "question": "question problem prompt query instruction input user_prompt task messages conversations "
    "conversation raw_problem formatted_prompt source_question",
    "answer": "answer gold gold_answer target expected_answer reference_answer ground_truth groundtruth gt "
    "final_answer correct_answer answer_key reference label solution ground_truth_solution",
    "response": "response responses generation generations completion completions output outputs "
    "model_output model_response prediction predictions generated_solution generated_text solutions attempt "
    "sample samples answer_text model_answer rollout text messages conversations conversation",
    "label": "correct is_correct correctness label labels passed is_passed verdict verified is_verified "
    "score reward rewards grade acc accuracy",
    "id": "id uuid uid row_id example_id sample_id",
    "generator": "generator model model_name generation_model teacher",
}
"""Names that data sets and tools give to their keys, the likeliest first; compared without case and marks."""

_LETTERS = "ABCDEFGH"
_SHORT = 40
"""Characters that gold answers have, on average, at most."""
_ENOUGH = 0.9
"""Share of the rows that must have a key (a preset's, or one that rows may not lack)."""


class Guess(NamedTuple):
    """A mapping, as `trajectories` in a configuration has it, and what is uncertain about it."""

    settings: dict[str, Any]
    doubts: list[str]


def guess(rows: Sequence[Record]) -> Guess:
    """A mapping for rows of which these are some; its settings lack what no key seems to hold."""
    if (preset := _preset(rows)) is not None:
        return Guess({"preset": preset}, _label_doubts(rows, str(PRESETS[preset].fields.get("label", ""))))
    columns = _columns(rows)
    fields: dict[str, Any] = {}
    doubts: list[str] = []
    for field in ("response", "question", "answer", "label", "id", "generator"):
        key = _named(field, columns, rows, [*fields.values()])
        if key is None and field in ("response", "question"):
            key = _longest(columns, rows, [*fields.values()], last_is_response=field == "response")
            if key is not None:
                doubts.append(f"{field}: no key is called so; {key!r} has the longest texts left")
        if key is None and field == "answer":
            key = _shortest(columns, rows, [*fields.values()])
            if key is not None:
                doubts.append(f"answer: no key is called so; {key!r} has short texts that differ")
        if key is not None:
            fields[field] = key
    _add_choices(fields, columns, rows)
    if reasoning := [key for key in columns if is_reasoning(key) and _texts(rows, key)]:
        fields["reasoning"] = reasoning[0]
    lacking = [field for field in ("question", "answer", "response") if field not in fields]
    doubts += [f"{field}: no key seems to hold it" for field in lacking]
    settings: dict[str, Any] = {"fields": {key: value for key, value in fields.items() if key != value}}
    label_key = str(fields.get("label", ""))
    if _is_reward(rows, label_key):
        settings["label_threshold"] = 0.5
    return Guess(settings, doubts + _label_doubts(rows, label_key))


def _preset(rows: Sequence[Record]) -> str | None:
    """The preset of which the rows have all keys; of several that with most of them."""
    fitting = {
        name: len(needed)
        for name, preset in PRESETS.items()
        if (needed := [key for key in preset.fields.values() if not may_lack(key)])
        and all(_share(rows, key) >= _ENOUGH for key in needed)
    }
    return max(fitting, key=fitting.__getitem__) if fitting else None


def _columns(rows: Sequence[Record]) -> list[str]:
    """The keys of the rows, and those of objects below them, in order."""
    return list(dict.fromkeys(key for row in rows for key in _keys_of(row)))


def _keys_of(row: Mapping[str, Any], before: str = "") -> Iterator[str]:
    for key, value in row.items():
        yield before + key
        if isinstance(value, dict) and not before:
            yield from _keys_of(value, f"{key}.")


def _named(field: str, columns: list[str], rows: Sequence[Record], taken: list[str]) -> str | None:
    """The key that is called like a field and holds what the field may be."""
    for name in _NAMES[field].split():
        for column in columns:
            if _bare(column.rpartition(".")[2]) != _bare(name):
                continue
            key = _of_turn(field, column, rows)
            if key not in taken and _share(rows, key) >= _ENOUGH and _fits(field, rows, key):
                return key
    return None


def _bare(name: str) -> str:
    return name.replace("_", "").replace("-", "").replace(" ", "").casefold()


def _of_turn(field: str, column: str, rows: Sequence[Record]) -> str:
    """The key, or of a conversation the turn, that a field may be."""
    talks = [value for row in rows if is_conversation(value := found(row, column))]
    if len(talks) < _ENOUGH * len(rows) or field not in ("question", "response"):
        return column
    if field == "question" and not any(turns(talk, "user") for talk in talks):
        return column
    return f"{column}[{'user' if field == 'question' else 'assistant'}]"


def _share(rows: Sequence[Record], key: str) -> float:
    present = [row for row in rows if (value := found(row, key)) is not ABSENT and value is not None]
    return len(present) / len(rows) if rows else 0.0


def _values(rows: Sequence[Record], key: str) -> list[Any]:
    return [value for row in rows if (value := found(row, key)) is not ABSENT and value is not None]


def _flat(values: list[Any]) -> list[Any]:
    """The values, and in the place of a list its items."""
    return [item for value in values for item in (value if isinstance(value, list) else [value])]


def _texts(rows: Sequence[Record], key: str) -> list[str]:
    return [value for value in _values(rows, key) if isinstance(value, str)]


def _fits(field: str, rows: Sequence[Record], key: str) -> bool:
    """Whether what stands under a key may be such a field."""
    values = _values(rows, key)
    flat = _flat(values)
    match field:
        case "question":
            return all(isinstance(value, str) for value in values)
        case "response":
            return bool(flat) and all(isinstance(item, str) for item in flat)
        case "answer":
            return all(isinstance(item, str | int | float) and not isinstance(item, bool) for item in flat)
        case "label":
            return all(_may_be_label(item) for item in flat)
        case "id":
            return len({str(value) for value in values}) == len(values) == len(rows)
    return all(isinstance(value, str) for value in values)


def _may_be_label(value: Any) -> bool:
    if isinstance(value, str):
        return _may_be_reward(value)
    return isinstance(value, bool | int | float)


def _longest(
    columns: list[str], rows: Sequence[Record], taken: list[str], *, last_is_response: bool
) -> str | None:
    """The key with the longest texts that nothing is mapped to."""
    free = [key for key in columns if key not in taken and not is_reasoning(key)]
    texts = {key: own for key in free if len(own := _texts(rows, key)) >= max(1, _ENOUGH * len(rows))}
    means = {key: sum(map(len, own)) / len(own) for key, own in texts.items()}
    return max(means, key=means.__getitem__) if len(means) > (1 if last_is_response else 0) else None


def _shortest(columns: list[str], rows: Sequence[Record], taken: list[str]) -> str | None:
    """Of the keys with short texts or numbers that are no labels, the one with the most different ones."""
    kinds: dict[str, int] = {}
    for key in columns:
        said = [str(value) for value in _values(rows, key) if isinstance(value, str | int | float)]
        short = sum(map(len, said)) <= _SHORT * len(said)
        if key not in taken and short and len(said) >= max(1, _ENOUGH * len(rows)):
            kinds[key] = len({one for one in said if not _may_be_reward(one)})
    best = max(kinds, key=kinds.__getitem__, default=None)
    return best if best is not None and kinds[best] > 1 else None


def _may_be_reward(word: str) -> bool:
    number = _number(word)
    return word.strip().lower() in LABELS or (number is not None and 0 <= number <= 1)


def _number(value: Any) -> float | None:
    try:
        return float(value)
    except (TypeError, ValueError):
        return None


def _add_choices(fields: dict[str, Any], columns: list[str], rows: Sequence[Record]) -> None:
    lettered = [letter for letter in _LETTERS if letter in columns and _share(rows, letter) >= _ENOUGH]
    if len(lettered) >= 2 and lettered == list(_LETTERS[: len(lettered)]):
        fields["choice_columns"] = lettered
        return
    for name in ("choices", "options"):
        if name in columns and _share(rows, name) >= _ENOUGH and not _texts(rows, name):
            fields["choices"] = name
            return


def _is_reward(rows: Sequence[Record], key: str) -> bool:
    """Whether labels are numbers of which some are neither 0 nor 1."""
    values = _flat(_values(rows, key))
    numbers = [_number(item) for item in values if not isinstance(item, bool | int)]
    return any(number is not None and number not in (0.0, 1.0) for number in numbers)


def _label_doubts(rows: Sequence[Record], key: str) -> list[str]:
    if key and _is_reward(rows, key):
        return [f"label: {key!r} has rewards; from which on a response is right (label_threshold) is a guess"]
    return []
