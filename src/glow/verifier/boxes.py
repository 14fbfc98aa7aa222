r"""What a text states in `\boxed{}`: the content of its last box, or of its last boxes if they are one list.

Pure string work, linear in the text. What stands in a box is not read here (`glow.verifier.equality`), but
for placeholders (`\boxed{}`, `\boxed{?}`, `\boxed{\text{answer}}`), which are no answer.
"""

import re
from collections import deque
from typing import NamedTuple

from glow.verifier.equality import decide

BOX = re.compile(r"\\(?:boxed|fbox)(?![A-Za-z])\s*")
_TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\S", re.DOTALL)
_BRACES = re.compile(r"\\.|[{}]", re.DOTALL)
_LONGEST = 1_000_000
"""Characters behind a box in which its end is looked for."""
_MOST = 64
"""Boxes, counted from the end, that are looked at."""
_NEAR = 150
"""Characters between two boxes of one list, and around a box in which it is denied."""


class Boxed(NamedTuple):
    """What the boxes of a text state, or why that is nothing."""

    answer: str | None
    reason: str = ""

    @property
    def is_silent(self) -> bool:
        """Whether the text has no box but placeholders."""
        return self.reason in (_ABSENT, _EMPTY)


_ABSENT, _EMPTY = r"no \boxed{}", "the last box is empty"


class _Box(NamedTuple):
    """A box: where it begins, where it ends, and what is in it (None: it is never closed)."""

    start: int
    end: int
    content: str | None


def boxed(text: str) -> Boxed:
    r"""The content of the last box that holds an answer, with that of the boxes before it in the same list.

    A placeholder is no answer, nor is a box that is denied ("A, not B"), and what came before them counts.
    Boxes are one list where nothing stands between them but a comma, "and" or "or", the marks of maths and
    the left side of an assignment: `x=\boxed{3}$ or $x=\boxed{5}` states `3 or 5`. Equal ones are one box.
    """
    found = _last_boxes(text)
    if not found:
        return Boxed(None, _ABSENT)
    if found[-1].content is None:
        return Boxed(None, "the last box is never closed")
    denied = _denied(text, found)
    last = len(found) - 1
    while last >= 0 and (denied[last] or _is_placeholder(found[last])):
        last -= 1
    if last < 0 or found[last].content is None:
        return Boxed(None, "the last box is denied" if denied[-1] else _EMPTY)
    members, connectives = [found[last].content], list[str]()
    for k in range(last, 0, -1):
        connective = _connective(text, found[k - 1], found[k])
        if connective is None or denied[k - 1] or _is_placeholder(found[k - 1]):
            break
        members.insert(0, found[k - 1].content)
        connectives.insert(0, connective)
    return Boxed(_joined([member or "" for member in members], connectives))


def after_last_box(text: str) -> int | None:
    """Where the content of the last box begins, its brace included; None without a box."""
    last = _last_starts(text, 1)
    return last[0].end() if last else None


def without_boxes(text: str) -> str:
    """The text with a space in place of each box; of a box that is never closed, its content stays."""
    parts, place, match = list[str](), 0, BOX.search(text)
    while match:
        following = BOX.search(text, match.end())
        box = _box(text, match, following.start() if following else len(text))
        parts.append(text[place : match.start()])
        place = match.end() if box.content is None else box.end
        match = following
    return " ".join([*parts, text[place:]])


def _last_starts(text: str, most: int) -> deque[re.Match[str]]:
    """The last matches; a hostile text may hold millions, so the others are not kept."""
    return deque(BOX.finditer(text), maxlen=most)


def _last_boxes(text: str) -> list[_Box]:
    """The last boxes, in order; all but the last must be closed before the next begins."""
    starts = [*_last_starts(text, _MOST)]
    limits = [*(match.start() for match in starts), len(text)][1:]
    return [_box(text, match, limit) for match, limit in zip(starts, limits, strict=True)]


def _box(text: str, match: re.Match[str], limit: int) -> _Box:
    opening = match.end()
    if not text.startswith("{", opening):
        token = _TOKEN.match(text, opening, limit)
        return _Box(match.start(), token.end() if token else opening, token[0] if token else "")
    depth = 0
    for brace in _BRACES.finditer(text, opening, min(limit, opening + _LONGEST)):
        depth += {"{": 1, "}": -1}.get(brace[0], 0)
        if depth == 0:
            return _Box(match.start(), brace.end(), text[opening + 1 : brace.start()].strip())
    return _Box(match.start(), limit, None)


# --- boxes that are no answer -----------------------------------------------------------------------

_PLACEHOLDER = re.compile(
    r"[?._…]*|(?:insert|put|your|the|final|correct|result|here)*answer(?:here|goeshere)?", re.IGNORECASE
)
_EMPTY_MARKS = re.compile(
    r"\\[hv]?(?:phantom|space)\*?\{[^{}]*\}"
    r"|\\(?:text\w{0,2}|mathrm|mathbf|mbox|square|Box|[clv]?dots|cdot|q?quad)(?![A-Za-z])|[\s{}$\\~<>\[\]]"
)
"""What leaves nothing to be read."""
_LONGEST_PLACEHOLDER = 60


def _is_placeholder(box: _Box) -> bool:
    """Whether it holds the place of an answer that is not there."""
    if box.content is None or len(box.content) > _LONGEST_PLACEHOLDER:
        return False
    return _PLACEHOLDER.fullmatch(_EMPTY_MARKS.sub("", box.content)) is not None


_DENIALS = (
    " not", " nor", " never", "n't", " rather than", " instead of", " unlike", " as opposed to", " cannot be",
    "n't be", " not be", " not equal to", r"\ne", r"\neq", "≠", "不是", "并非", "而非",
)  # fmt: skip
"""What stands before a box that is denied."""
_DENIED_BEHIND = re.compile(
    r"(?:[\s$*)\"'”’]|\\[)\]])*\s(?:is|was|would be) "
    r"(?:wrong|incorrect|false|not (?:correct|right|the answer)|(?:a|the) (?:\w+ )?(?:mistake|error|trap))\b"
)


def _denied(text: str, found: list[_Box]) -> list[bool]:
    """Whether each box is denied: "A, not B", "A (rather than B or C)", "B is wrong"."""
    denied: list[bool] = []
    for k, box in enumerate(found):
        before = text[max(0, box.start - 40) : box.start].rstrip(" \n$(*\"'“‘\\[").replace("(", " ").lower()
        is_denied = before.endswith(_DENIALS)
        if not is_denied and denied and denied[-1]:
            is_denied = _connective(text, found[k - 1], box) == " or "
        behind = _DENIED_BEHIND.match(text, box.end, box.end + _NEAR)
        denied.append(is_denied or behind is not None)
    return denied


# --- boxes that are one list ------------------------------------------------------------------------

_WRAPPED = re.compile(r"\\(?:text\w{0,2}|mathrm|mbox)\s*\{([^{}]*)\}")
_MARKS = re.compile(
    r"\\(?:q?quad(?![A-Za-z])|[()\[\],;:! ]|\\)|[\s$*~&]|\\end\{\w{1,12}\*?\}|\\begin\{\w{1,12}\*?\}"
)
_GREEK = (
    "alpha beta gamma delta epsilon varepsilon zeta eta theta vartheta iota kappa lambda mu nu xi pi rho "
    "sigma tau upsilon phi varphi chi psi omega Gamma Delta Theta Lambda Xi Pi Sigma Phi Psi Omega"
)
_COMMAND = (
    rf"\\(?:{_GREEK.replace(' ', '|')}|angle|sin|cos|tan|log|ln|triangle|"
    r"(?:mathbf|vec|overline|hat|bar|mathrm|operatorname)(?= ?\{))(?![A-Za-z])"
)
_ASSIGNED = (
    rf"(?:{_COMMAND} ?|\{{[^{{}}=]{{1,20}}\}}|[A-Za-z]|[_^] ?(?:\{{[^{{}}=]{{1,12}}\}}|\w)|'|"
    r"[(|][^()=|]{1,30}[)|]){1,12} ?(?::?=|\\in(?![A-Za-z])|∈)"
)
_AND = r"and|\\l?and(?![A-Za-z])|\\wedge(?![A-Za-z])|as well as|[和与及]|以及|并且"
_MIGHT_BE = (
    r"(?:or|but|though|although) (?:(?:it|this|that|the answer) )?(?:could|might|may) (?:also |well )?be"
)
_OR = rf"{_MIGHT_BE}|(?:and ?/ ?)?or|nor|\\l?or(?![A-Za-z])|\\vee(?![A-Za-z])|或者?|[/|]"
_HEDGES = (
    r"(?:,? ?(?:also|maybe|perhaps|possibly|probably|alternatively|otherwise|else|even|both|either|then)\b,?)"
)
_BETWEEN = re.compile(
    rf" ?[,;.，；、]? ?\(?(?:(?:(?P<and>{_AND})|(?P<or>{_OR}|alternatively))(?![A-Za-z]){_HEDGES}{{0,2}},?)?"
    rf" ?(?:{_ASSIGNED})? ?",
    re.IGNORECASE,
)


def _connective(text: str, first: _Box, second: _Box) -> str | None:
    """What joins two boxes to one list: ", ", " and " or " or "; None where they are not one."""
    if first.content is None or not first.end <= second.start <= first.end + _NEAR:
        return None
    gap = _MARKS.sub(" ", _WRAPPED.sub(r" \1 ", text[first.end : second.start]))
    gap = " ".join(gap.split())
    between = _BETWEEN.fullmatch(gap)
    if between is None or (gap.startswith((".", "(")) and not (between["and"] or between["or"])):
        return None
    return " and " if between["and"] else " or " if between["or"] else ", "


def _joined(members: list[str], connectives: list[str]) -> str:
    """One text of all members; the last alone where all are equal to it."""
    if all(_same(member, members[-1]) for member in members[:-1]):
        return members[-1]
    return members[0] + "".join(map("".join, zip(connectives, members[1:], strict=True)))


def _same(first: str, second: str) -> bool:
    if first == second:
        return True
    decision = decide(first, second)
    return decision is not None and decision.equal and decision.leniency is None
