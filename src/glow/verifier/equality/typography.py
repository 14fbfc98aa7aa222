r"""How answers are dressed: what means nothing, for comparisons as text.

Pure string work, safe on any text. The grammar spells on its own (`glow.verifier.grammar.characters`).
"""

import re
from functools import lru_cache

TEXT_MACRO = r"\\(?:text(?:bf|it|rm|sf|tt|normal)?|math(?:rm|bf|it|sf|tt)|emph|mbox|operatorname)(?![A-Za-z])"
_TEXT = re.compile(TEXT_MACRO + r"\s*\{([^{}]*)\}")
_WRAPPERS = (
    re.compile(r"\$\$?([^$]*)\$\$?"),
    re.compile(r"\\\((.*)\\\)", re.DOTALL),
    re.compile(r"\\\[(.*)\\\]", re.DOTALL),
    re.compile(r"\*\*(.*)\*\*", re.DOTALL),
    re.compile(r"\\(?:boxed|fbox|underline|boldsymbol)\s*\{([^{}]*)\}"),
    _TEXT,
    re.compile(r"\{([^{}]*)\}"),
    re.compile(r'"([^"]*)"|“([^”]*)”|``([^`\']*)\'\''),
)
# Applied in this order: macros that end at a non-letter first, then white space, then the rest.
_REWRITES = (
    (_TEXT, r"\1"),
    (re.compile(r"\\(?:left|right|displaystyle|quad|qquad)(?![A-Za-z])|\\[,;:! ]|~"), " "),
    (re.compile(r"\\[dtc]frac(?![A-Za-z])"), r"\\frac"),
    (re.compile(r"\\degree(?![A-Za-z])|°"), r"^\\circ"),
    (re.compile(r"(?<=\d)\s+(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<=\d)\s+(?=\d)"), "\0"),
    # The blank that ends a macro stays: `\pi r` is not `\pir`.
    (re.compile(r"(\\[A-Za-z]+)\s+(?=[A-Za-z])"), "\\1\1"),
    (re.compile(r"\s+"), ""),
    (re.compile("[\0\1]"), " "),
    (re.compile(r"\^\{\\circ\}"), r"^\\circ"),
    (re.compile(r"_\{(\w+)\}"), r"_\1"),
    (re.compile(r"\{([,:])\}"), r"\1"),
    (re.compile(r"\\([%$])"), r"\1"),
)


@lru_cache(maxsize=4096)
def unwrap(text: str) -> str:
    r"""`text` without what only dresses it: `$..$`, `\text{..}`, `**..**`, quotes, a last stop or comma."""
    while True:
        bare = text.strip().rstrip(".,;\\").rstrip()
        for wrapper in _WRAPPERS:
            if inner := wrapper.fullmatch(bare):
                bare = inner[inner.lastindex or 0].strip()
        if bare == text:
            return bare
        text = bare


@lru_cache(maxsize=4096)
def unmarked(text: str) -> str:
    r"""`text` without dressing and with the content of each `\text{}` in its place."""
    return unwrap(_TEXT.sub(r"\1", unwrap(text)))


@lru_cache(maxsize=4096)
def normalise(text: str) -> str:
    r"""A form in which answers that differ only in spacing and typography are the same string.

    White space, `\left`, `\right`, thin spaces and `\text{}` go; `\dfrac` becomes `\frac`. Case, signs,
    brackets and order stay; so does one blank between two numbers, or between a macro and a letter.
    """
    text = unwrap(text)
    for pattern, replacement in _REWRITES:
        text = pattern.sub(replacement, text)
    return text.removesuffix(".")
