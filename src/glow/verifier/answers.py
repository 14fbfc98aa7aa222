"""The answer that a response states behind its thoughts, and where it was found.

Pure string work, linear in the response, safe for any text. Whether the answer is right is not asked
here (`glow.verifier.equality`, `glow.verifier.compare`).
"""

import re
from dataclasses import dataclass
from typing import Literal

from glow.files.records import AnswerPlace
from glow.verifier.equality import bracket_sequence
from glow.verifier.thoughts import Thought, answer_part

Mode = Literal["strict", "lenient"]


@dataclass(frozen=True)
class Extraction:
    """What a response states: the answer and where it stood, or why there is none."""

    answer: str | None
    place: AnswerPlace | None = None
    reason: str = ""


UNFINISHED = "the thought is never closed: the response is unfinished"
"""Why a response that ends within a thought states no answer."""

_BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\S", re.DOTALL)
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
# Every pattern that meets a whole response is bounded where it could backtrack: a response may be hostile.
_PHRASE = re.compile(
    r"(?:\banswer(?:[ ]to[ ][^.\n]{1,80}?)?[ ]{0,2}\*{0,2}[ ]{0,2}(?:\bis\b|:|=)"
    r"|\banswer[ ]{0,2}\*{0,2}[ ]{0,2}\n"
    r"|^\#{4}(?=\s))"
    r"(?:[\s:*]|\b(?:therefore|thus|then|hence|simply|indeed)\b,?)*",
    re.IGNORECASE | re.MULTILINE,
)
_MATHS = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$([^$\n]+)\$", re.DOTALL)
_INLINE_MATHS = re.compile(r"\$([^$\n]+)\$")
_ANSWER_END = re.compile(r"[.!]?\s*(?:$|\n)|[.,;!](?:\s|$)|\s*\*\*|\s(?:because|since)\b")
_PUNCTUATION = " .,:;!?*_`'\"-…"
_SENTENCE_END = re.compile(r"\.(?=\s|\*|$)|\n|,?\s(?:because|since)\b")


def stated(
    response: str, mode: Mode, thought: Thought, thought_open: bool = False, *, brackets: bool = False
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
    return extract_brackets(part, mode) if brackets else extract(part, mode)


def extract(response: str, mode: Mode) -> Extraction:
    r"""The answer that `response`, without its thoughts, states.

    strict: the content of its last `\boxed{}` (or `\fbox{}`); `\boxed 5` boxes the next token, as in
    TeX. A last box that is empty or never closed is no answer, whatever came before it.
    lenient: the same; in a response without any box, what follows the last "the answer is", "answer:"
    or "####", up to the end of its sentence.
    """
    if not response.strip():
        return Extraction(None, reason="empty response")
    if box := _last_match(_BOX, response):
        return _box_content(response, box.end())
    if mode == "strict":
        return Extraction(None, reason=r"no \boxed{}")
    if phrase := _last_match(_PHRASE, response, len(response) - _LONGEST_ANSWER):
        return _phrase_answer(response[phrase.end() :])
    return Extraction(None, reason=r"neither \boxed{} nor 'the answer is'")


def extract_brackets(response: str, mode: Mode) -> Extraction:
    r"""The row of brackets in the last box: `\boxed{] ) }}` states `] ) }`, though TeX would say `] )`.

    What closes such a box is ambiguous, so the longest reading is taken that is brackets and nothing
    else; without one, what `extract` says stands.
    """
    box = _last_match(_BOX, response)
    start = box.end() if box else len(response)
    line = response[start : start + _LONGEST_ROW].split("\n", maxsplit=1)[0]
    if line.startswith("{"):
        closings = [k for k, character in enumerate(line) if character == "}"]
        for end in reversed(closings):
            if bracket_sequence(line[1:end]) is not None:
                return Extraction(line[1:end].strip(), "box")
    return extract(response, mode)


def _last_match(pattern: re.Pattern[str], text: str, start: int = 0) -> re.Match[str] | None:
    """The last match; a hostile response may hold millions, so the others are not kept."""
    last = None
    for found in pattern.finditer(text, max(0, start)):
        last = found
    return last


_LONGEST_ANSWER = 1_000_000
"""Characters behind a box in which its end is looked for, and before the end in which a phrase is."""
_LONGEST_ROW = 300
"""Characters behind a box in which a row of brackets is looked for."""


def _box_content(response: str, start: int) -> Extraction:
    if not response.startswith("{", start):
        token = _TOKEN.match(response, start)
        return Extraction(token[0], "box") if token else Extraction(None, reason="the last box is empty")
    end = _closing_brace(response, start)
    if end is None:
        return Extraction(None, reason="the last box is never closed")
    content = response[start + 1 : end].strip()
    return Extraction(content, "box") if content else Extraction(None, reason="the last box is empty")


def _closing_brace(text: str, opening: int) -> int | None:
    r"""Where the brace at `opening` closes; `\{` and `\}` are characters, not braces."""
    depth = 0
    for found in _BRACES.finditer(text, opening, opening + _LONGEST_ANSWER):
        depth += {"{": 1, "}": -1}.get(found[0], 0)
        if depth == 0:
            return found.start()
    return None


def _phrase_answer(rest: str) -> Extraction:
    maths = _MATHS.match(rest)
    if maths and _ANSWER_END.match(rest, maths.end()):
        answer = maths[maths.lastindex or 0].strip()
    else:
        end = _SENTENCE_END.search(rest)
        sentence = rest[: end.start()] if end else rest
        answer = _INLINE_MATHS.sub(r"\1", sentence).strip().strip("*").strip()
    if not answer.strip(_PUNCTUATION):  # "The answer is ...": an ellipsis states nothing
        return Extraction(None, reason="nothing after 'the answer is'")
    return Extraction(answer, "phrase")
