r"""The gold answer in what users have under that key: a bare answer, or a worked solution that ends in it.

GSM8K's solutions end in `#### 18`, those of NuminaMath and many others in a box.
"""

import math
import re
from typing import Any, Literal, NamedTuple

from glow.config.trajectories import Gold
from glow.verifier.boxes import boxed

LONGEST_GOLD = 300
"""Characters of a gold answer; what is longer and has no box is a text that hardly any response equals."""

_HASHES = re.compile(r"^####[ \t]*(\S.*?)[ \t]*$", re.MULTILINE)

Taken = Literal["whole", "hashes", "box", "none"]
"""What of the text is the answer: all of it, what follows ####, the last box, or nothing."""


class GoldAnswer(NamedTuple):
    """An answer, and how it was taken out of the text."""

    answer: str
    taken: Taken


def gold_answer(text: str, gold: Gold) -> GoldAnswer:
    """The gold answer in a text, which is empty if there is none."""
    if gold == "whole" or not text.strip():
        return GoldAnswer(text, "whole")
    if gold == "found" and (after := _HASHES.findall(text)) and text.rstrip().endswith(after[-1]):
        return GoldAnswer(after[-1], "hashes")
    content = boxed(text).answer if "boxed" in text or "fbox" in text else None
    if content is not None and content.strip():
        return GoldAnswer(content.strip(), "box")
    return GoldAnswer("", "none") if gold == "boxed" else GoldAnswer(text, "whole")


def single(value: Any) -> Any:
    """A gold answer out of a list of one, as tools write it; of anything else, itself; NaN is null."""
    if isinstance(value, list | tuple) and len(value) == 1:
        value = value[0]
    return None if isinstance(value, float) and math.isnan(value) else value
