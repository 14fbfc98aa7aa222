"""The rows that stages hand to one another: their verdicts and their content-hash ids."""

import hashlib
import json

VERDICTS = ("correct", "wrong", "unparsed", "truncated", "timeout", "error")
"""All verdicts. Only `correct` makes a positive and only `wrong` a negative."""


def content_id(prefix: str, *parts: str | int) -> str:
    """An id that is a function of content alone: `prefix-` and 16 hex digits of a SHA-256.

    Parts are JSON-encoded as a list first, so `("ab", "c")` and `("a", "bc")` differ.
    """
    encoded = json.dumps(parts, ensure_ascii=True).encode()
    return f"{prefix}-{hashlib.sha256(encoded).hexdigest()[:16]}"


def problem_id(source: str, question: str) -> str:
    """The id of a problem, from where it comes from and what it asks."""
    return content_id("p", source, question)


def trajectory_id(problem: str, generator: str, seed: int, sample_index: int, text: str) -> str:
    """The id of one sampled response to the problem with id `problem`."""
    return content_id("t", problem, generator, seed, sample_index, text)
