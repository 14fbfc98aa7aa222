r"""How answers are written: dressing that means nothing, and one spelling for what is spelt in many ways.

Pure string work, safe on any text. What two answers *mean* is not decided here (`glow.verifier.equality`).
"""
# ruff: noqa: RUF001 (the characters that look alike are the point)

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

_CHARACTERS = str.maketrans(
    {
        "−": "-", "–": "-", "×": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "∞": r"\infty ",
        "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∪": r"\cup ", "∩": r"\cap ", "∅": r"\emptyset ",
        "∈": r"\in ", "±": r"\pm ", "°": r"^\circ ", "²": "^2", "³": "^3", "½": r"\frac{1}{2}",
        "¼": r"\frac{1}{4}", "¾": r"\frac{3}{4}", "，": ",", "’": "'", "′": "'",
        "\u00a0": " ", "\u2009": " ", "\u202f": " ", "\u2007": " ", "\u200b": None, "\ufeff": None,
    }
)  # fmt: skip
_GROUPED_DIGITS = r"\d{1,3}(?:,\d{3})+"
_SPELLINGS = (
    # $125$ miles
    (re.compile(r"(?<!\\)\$([^$]+)(?<!\\)\$"), r" \1 "),
    # One blank for many, before any pattern that would try each of them.
    (re.compile(r"\s+"), " "),
    # <1,2,3> as vectors are written; rows of brackets are read before anything is respelt.
    (re.compile(r"\\langle(?![A-Za-z])([^<>]*,[^<>]*?)\\rangle(?![A-Za-z])"), r"(\1)"),
    # `\sqrt` and its like as a character; `\frac \pi 4` and `\sqrt 2` with their braces.
    (re.compile(r"√\s*(?:\(([^()]*)\)|(\d+|[A-Za-z]))"), r"\\sqrt{\1\2}"),
    (re.compile(r"\\varnothing(?![A-Za-z])|\s*\\\{\s*\\\}\s*\Z"), r"\\emptyset "),
    (re.compile(r"\\(?:le|ge)qslant(?![A-Za-z])"), lambda found: found[0][:3] + " "),
    (re.compile(r"\\ne(?=q?(?![A-Za-z]))q?"), r"\\ne "),
    (
        re.compile(r"\\[dtc]?frac\s*(\d|\\pi(?![A-Za-z])|[A-Za-z])\s*(\d|[A-Za-z])(?![A-Za-z])"),
        r"\\frac{\1}{\2}",
    ),
    # 1.5e3 is 1.5 x 10^3 where nothing else is there but dressing.
    (
        re.compile(
            rf"\A(?:{TEXT_MACRO}\s?\{{|\\[(\[]|[\s$])*((?:[A-Za-z]\s?=)?\s?[+-]?\d+(?:\.\d+)?)[eE]([+-]?\d{{1,3}})(?:\\[)\]]|[\s$}}.])*\Z"
        ),
        r"\1 \\times 10^{\2}",
    ),
    # 2 1/2 and 2\ 1/2 are mixed numbers.
    (re.compile(r"(?<![\d.^}])(\d+)(?:\s|\\[ ,;])+(\d+)/(\d+)(?!\d)"), r"\1\\frac{\2}{\3}"),
    # A thousands separator before a factor: 4,466\pi. In a list or a tuple a comma separates.
    (re.compile(rf"([+-]?)({_GROUPED_DIGITS})(?=\s*(?:\\pi|\\sqrt|[A-Za-z]|\\text|\\mathrm)[^,]*$)"), None),
    # 6, 8\text{, and }10
    (re.compile(TEXT_MACRO + r"\s?\{\s?,\s?(and|or)\s?\}"), r", \\text{ \1 }"),
    # ]1,2[ is the open interval of French and German schools.
    (re.compile(r"\](\s*[^\[\],]+,[^\[\],]+)\["), r"(\1)"),
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


@lru_cache(maxsize=4096)
def respell(text: str) -> str:
    r"""`text` with one spelling for what has many: Unicode, `\varnothing`, `2 1/2`, `]1,2[`, `4,466\pi`."""
    text = text.translate(_CHARACTERS)
    for pattern, replacement in _SPELLINGS:
        if replacement is not None:
            text = pattern.sub(replacement, text)
        elif grouped := pattern.match(text):
            text = grouped[1] + grouped[2].replace(",", "") + text[grouped.end() :]
    return text
