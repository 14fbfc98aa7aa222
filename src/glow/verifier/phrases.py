r"""What a text without a box states: "The answer is 42.", "#### 42", `<answer>42</answer>`, 答案是42.

For lenient extraction. Pure string work, in time linear in the text: a response may be hostile, so the number
of phrases that are tried is bounded, and so is what a pattern may look at.
"""

import re
from collections.abc import Iterator

_MENTIONS = ("nswer", "NSWER", "####", "option", "choice", "答案", "选")
"""What every phrase contains; looked for from the end of the text."""
_LONGEST_ANSWER = 10_000
_NEAR = 60
"""Characters behind a phrase in which another may begin."""
_MOST_TRIED = 10_000
"""Mentions, counted from the end, at which a phrase is looked for."""

_MARKS = r"[ ]{0,2}\*{0,2}[ ]{0,2}"
_IS = r"\b(?:is|(?:should|must|will) be|(?:turns|comes|works) out to be|equals|becomes)\b"
_BEGINNINGS = (
    rf"(?<!\bno )(?<!wrong )(?<!incorrect )\banswer"
    rf"(?: (?:to|of|for(?! all)) [^.\n]{{1,80}}?)?{_MARKS}(?:{_IS}|[:：=]|\n)",
    r"\banswers {0,2}are\b",
    rf"(?:(?<=correct )|(?<=right )|(?<=best ))(?:option|choice){_MARKS}(?:\bis\b|:)",
    r"(?<!以上)(?<!以上问题的)(?<!所有)答案(?:应该|应)?(?:是|为|选|[:：])",
    r"(?<=正确)选项(?:是|为|[:：])",
    r"(?<!不)选择?[:：]?\s*(?=[(（]?[A-J](?![A-Za-z]))",
)
"""How phrases begin: "The answer to this is", "Answer: ", "the correct option is", 答案是, 故选."""
_NOT_DENIED = r"(?: {0,2}not [^.\n]{1,60}?\bbut\b)?(?! {0,2}(?:not|never)\b)"
_FILLERS = r"(?:[\s:：*]|\b(?:therefore|thus|then|hence|simply|indeed)\b,?)*"
_PHRASE = re.compile(
    rf"(?:(?:{'|'.join(_BEGINNINGS)}){_NOT_DENIED}|(?<!#)####(?=\s)){_FILLERS}", re.IGNORECASE
)
_ANOTHER = re.compile(r"(?:\W|\b(?:the|my|so|thus|final|correct|is)\b)*answer\b", re.IGNORECASE)
"""What begins another phrase right behind a phrase: "Final answer: The answer is"."""
_TAGGED = re.compile(r"<answer>((?:(?!</?answer>).)+)</answer>", re.DOTALL)

_MATHS = re.compile(r"\$\$(.+?)\$\$|\\\[(.+?)\\\]|\\\((.+?)\\\)|\$([^$\n]+)\$", re.DOTALL)
_INLINE_MATHS = re.compile(r"\$([^$\n]+)\$")
_EMPHASIS = re.compile(r"(?<![\w)])\*\*|\*\*(?![\w(])")
_ASIDE = (
    r",?\s(?:because|since)\b|(?<=[\d$)}%])\sas\b|(?<=\b[A-J])\sas\b"
    r"|,\s(?:which(?![^.\n]{0,30}\b(?:option|choice)\b)|so|as|for|when|making|meaning|altogether|overall|combined|"
    r"total|in[ ](?:total|all)|(?:and[ ])?not|I[ ](?:think|believe|guess)|rather[ ]than|instead[ ]of)\b"
)
"""What follows an answer in its sentence and is no part of it: a reason, "altogether", what it is not."""
_MATHS_END = re.compile(
    rf"[.!]?\s*(?:$|\n)|[.!;](?:\s|$)|,\s(?!(?:and|or)\b)(?=[A-Za-z]{{2}})|\s*\*\*|[。；！]|{_ASIDE}"
)
_SENTENCE_END = re.compile(rf"\.(?=\s|\*|$|[\u4e00-\u9fff])|[。！；\n]|{_ASIDE}")
_PUNCTUATION = " .,:;!*_`'\"-…"


def phrased(text: str) -> tuple[str | None, str]:
    """What follows the last such phrase, up to the end of its sentence; or None, and why.

    With nothing behind the last, the one before it counts. An ellipsis states nothing, nor does a question:
    "So the answer is 42?".
    """
    rest = None
    for rest in _rests(text):
        if rest.strip() and not _ANOTHER.match(rest, 0, _NEAR):
            break
    if rest is None:
        return None, r"neither \boxed{} nor 'the answer is'"
    answer = _first_sentence(rest)
    if answer.endswith(("?", "？")):
        return None, "what follows 'the answer is' is a question"
    return (answer, "") if answer.strip(_PUNCTUATION) else (None, "nothing after 'the answer is'")


def _rests(text: str) -> Iterator[str]:
    """What follows each phrase, beginning with the last."""
    for _, place in zip(range(_MOST_TRIED), _mentions(text), strict=False):
        start = place - 1 if text[place].lower() == "n" else place
        if text.startswith("</", start - 2):
            opening = text.rfind("<answer>", max(0, start - _LONGEST_ANSWER), start)
            if opening >= 0 and (tagged := _TAGGED.match(text, opening)):
                yield tagged[1].strip()
        elif phrase := _PHRASE.match(text, start):
            yield text[phrase.end() : phrase.end() + _LONGEST_ANSWER].partition("</answer>")[0]


def _mentions(text: str) -> Iterator[int]:
    """Where one of the `_MENTIONS` stands, from the last to the first: quicker than a pattern."""
    places = {mention: text.rfind(mention) for mention in _MENTIONS}
    while (last := max(places, key=places.__getitem__)) and places[last] >= 0:
        yield places[last]
        places[last] = text.rfind(last, 0, places[last])


def _first_sentence(rest: str) -> str:
    maths = _MATHS.match(rest)
    if maths and _MATHS_END.match(rest, maths.end()):
        return maths[maths.lastindex or 0].strip()
    end = _SENTENCE_END.search(rest)
    sentence = rest[: end.start()] if end else rest
    return _INLINE_MATHS.sub(r"\1", _EMPHASIS.sub("", sentence)).strip().strip("*").strip()
