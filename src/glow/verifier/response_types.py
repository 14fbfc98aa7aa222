r"""What a response consists of: a chain of thought with an answer, an answer alone, or no whole answer.

Measures of how a model writes (length, entropy, loss) depend on this first of all: `\boxed{4}` is five
tokens, hard to foresee and soon learnt, whatever it was that the model learnt. So they are given by type
too.

    truncated   the verdict is truncated: cut off at the token limit, or interrupted
    unparsed    the verdict is unparsed: no answer was found
    bare        a stated answer and nothing else
    chain       everything else

"Nothing else" is exact: take out of the response the marks of thoughts, all boxes with their content, the
words that only announce an answer (`_ANNOUNCING`, and a letter before an equals sign, Greek or not), and
the commands that only dress it (`_DRESS`). What is left then has no letter or digit, or no others than the
answer that was extracted, read in the same way. A thought is part of the response: one that says anything
makes it a chain.
"""

import re
from collections.abc import Iterator
from typing import cast

from glow.files.records import ResponseType, Verdict
from glow.verifier.boxes import without_boxes
from glow.verifier.thoughts import Thought

_ANNOUNCING = {
    "the", "my", "our", "this", "that", "it", "we", "i", "is", "are", "be", "to", "of", "and", "or", "final",
    "correct", "right", "best", "answer", "answers", "option", "choice", "result", "solution", "question",
    "problem", "so", "thus", "therefore", "hence", "then", "get", "gives", "obtain", "conclude",
}  # fmt: skip
_DRESS = {
    "boxed", "fbox", "text", "textbf", "textit", "mathrm", "mathbf", "mbox", "boldsymbol", "displaystyle",
    "left", "right", "big", "quad", "qquad", "therefore", "implies", "Rightarrow",
}  # fmt: skip
_ANNOUNCING_CHINESE = "最终|正确|答案|选项|结果|应该?|是|为|选择?|所以|因此|故|的|和|或"
_WORD = re.compile(
    rf"(?P<skipped>(?:{_ANNOUNCING_CHINESE})+|(?:[A-Za-zα-ωΑ-Ω]|\\[A-Za-z]+)\s{{0,3}}=)|\\(?P<command>[A-Za-z]+)"
    r"|(?P<word>[\u4e00-\u9fff]|[^\W_\u4e00-\u9fff]+)"
)


def response_type(response: str, verdict: Verdict, extracted: str | None, thought: Thought) -> ResponseType:
    """What a judged response consists of: exactly one of `records.ResponseType`.

    Args:
        extracted: the answer that was found in it; None for none, as where whole responses are judged.
        thought: the marks of a thought.
    """
    if verdict in ("truncated", "unparsed"):
        return cast(ResponseType, verdict)
    return "bare" if _is_bare(response, extracted or "", thought) else "chain"


def _is_bare(response: str, extracted: str, thought: Thought) -> bool:
    for mark in thought:
        response = response.replace(mark, " ")
    answer = "".join(_words(extracted))
    left = ""
    for word in _words(without_boxes(response)):
        left += word
        if len(left) > len(answer):  # a chain shows soon, however long it is
            return False
    return left in ("", answer)


def _words(text: str) -> Iterator[str]:
    """The words of a text that do more than announce or dress an answer."""
    for found in _WORD.finditer(text):
        word, command = found["word"], found["command"]
        if word and word.lower() not in _ANNOUNCING:
            yield word
        elif command and command not in _DRESS:
            yield command
