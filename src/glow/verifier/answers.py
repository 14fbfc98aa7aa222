r"""The answer that a response states behind its thoughts, and where it was found.

What boxes and phrases state is in `glow.verifier.boxes` and `glow.verifier.phrases`. Pure string work, safe
for any text. Whether the answer is right is asked elsewhere (`glow.verifier.equality` and `compare`).
"""

import re
from dataclasses import dataclass

from glow.config import Extraction as Settings
from glow.files.records import AnswerPlace
from glow.verifier.boxes import after_last_box, boxed
from glow.verifier.equality import bracket_sequence
from glow.verifier.phrases import phrased
from glow.verifier.thoughts import Thought, answer_part


@dataclass(frozen=True)
class Extraction:
    """What a response states: the answer and where it stood, or why there is none."""

    answer: str | None
    place: AnswerPlace | None = None
    reason: str = ""


UNFINISHED = "the thought is never closed: the response is unfinished"
"""Why a response that ends within a thought states no answer."""
SEARCHED = 10_000
"""Characters at the end of a response in which a pattern of one's own and the last number are looked for."""

_NUMBER = re.compile(r"(?:(?<![\w)\]}])[-−]\$?)?(?:\d+(?:,\d+)*(?:\.\d+)?|\.\d+)")
_LONGEST_ROW = 300
"""Characters behind a box in which a row of brackets is looked for."""


def stated(
    response: str, settings: Settings, thought: Thought, thought_open: bool = False, *, brackets: bool = False
) -> Extraction:
    """The answer that a response states behind its last thought; what it thinks before is not read.

    Args:
        thought_open: the prompt had opened a thought.
        brackets: the answer is a row of brackets.
    """
    part = answer_part(response, thought, thought_open)
    if part is None:
        return Extraction(None, reason=UNFINISHED)
    if response.strip() and not part.strip():
        return Extraction(None, reason="nothing follows the thought")
    if brackets and settings.extraction in ("strict", "lenient"):
        return extract_brackets(part, settings)
    return extract(part, settings)


def extract(response: str, settings: Settings) -> Extraction:
    r"""The answer that `response`, without its thoughts, states.

    strict: what its last boxes state (`glow.verifier.boxes`). lenient: the same; in a response without any
    box, or with none but placeholders, what its last phrase does (`glow.verifier.phrases`). pattern: the
    group in the last match of the settings' pattern. last_number: the last number. The latter two read only
    the last `SEARCHED` characters.
    """
    if not response.strip():
        return Extraction(None, reason="empty response")
    if settings.extraction == "pattern":
        return _last_group(response[-SEARCHED:], settings.extraction_pattern or "")
    if settings.extraction == "last_number":
        return _last_number(response[-SEARCHED:])
    found = boxed(response)
    if found.answer is not None:
        return Extraction(found.answer, "box")
    if settings.extraction == "strict" or not found.is_silent:
        return Extraction(None, reason=found.reason)
    answer, reason = phrased(response)
    return Extraction(answer, "phrase" if answer else None, reason)


def extract_brackets(response: str, settings: Settings) -> Extraction:
    r"""The row of brackets in the last box: `\boxed{] ) }}` states `] ) }`, though TeX would say `] )`.

    What closes such a box is ambiguous, so the longest reading is taken that is brackets and nothing
    else; without one, what `extract` says stands.
    """
    start = after_last_box(response)
    line = response[start : start + _LONGEST_ROW].split("\n", maxsplit=1)[0] if start is not None else ""
    if line.startswith("{"):
        closings = [k for k, character in enumerate(line) if character == "}"]
        for end in reversed(closings):
            if bracket_sequence(line[1:end]) is not None:
                return Extraction(line[1:end].strip(), "box")
    return extract(response, settings)


def given(answer: str) -> Extraction:
    """The answer that a field of the row holds."""
    answer = answer.strip()
    return Extraction(answer, "field") if answer else Extraction(None, reason="the field of the row is empty")


def _last_group(text: str, pattern: str) -> Extraction:
    matches = list(re.finditer(pattern, text))
    if not matches:
        return Extraction(None, reason="the pattern matches nothing")
    answer = (matches[-1][1] or "").strip()
    return (
        Extraction(answer, "pattern") if answer else Extraction(None, reason="the pattern's group is empty")
    )


def _last_number(text: str) -> Extraction:
    numbers = _NUMBER.findall(text)
    return Extraction(numbers[-1], "last_number") if numbers else Extraction(None, reason="no number")
