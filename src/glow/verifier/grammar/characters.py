r"""One spelling for what is written in many: Unicode, Chinese words, fonts, colours, dollar signs.

Pure string work. What is left is plain LaTeX, with `\text{}` where words were so marked.
"""

import re
import unicodedata
from functools import lru_cache

# --- tables ---------------------------------------------------------------------------------------

_SUPERSCRIPTS = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣ", "0123456789+-=()nix")
_SUBSCRIPTS = str.maketrans("₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₖₘₓ", "0123456789+-=()nkmx")
_RAISED = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁼⁽⁾ⁿⁱˣ]+")
_LOWERED = re.compile("[₀₁₂₃₄₅₆₇₈₉₊₋₌₍₎ₙₖₘₓ]+")
_GREEK = dict(
    zip(
        "αβγδεζηθικλμνξοπρστυφχψω",
        r"\alpha \beta \gamma \delta \epsilon \zeta \eta \theta \iota \kappa \lambda \mu \nu \xi \omicron \pi"
        r" \rho \sigma \tau \upsilon \phi \chi \psi \omega".split(),
        strict=True,
    )
) | {
    "Δ": r"\Delta", "Σ": r"\Sigma", "Φ": r"\Phi", "Θ": r"\Theta", "Λ": r"\Lambda", "Ω": r"\Omega",
    "ϕ": r"\phi", "ϵ": r"\epsilon", "µ": r"\mu",
}  # fmt: skip
_MACROS = {
    "×": r"\times", "·": r"\cdot", "⋅": r"\cdot", "∞": r"\infty", "√": r"\squareroot", "∛": r"\cuberoot",
    "∜": r"\fourthroot", "≤": r"\le", "≥": r"\ge", "⩽": r"\le", "⩾": r"\ge", "≦": r"\le", "≧": r"\ge",
    "≠": r"\ne", "≈": r"\approx", "≡": r"\equiv", "±": r"\pm", "∓": r"\mp", "∪": r"\cup", "∩": r"\cap",
    "∅": r"\emptyset", "∈": r"\in", "∖": r"\setminus", "∨": r"\lor", "∧": r"\land", "¬": r"\lnot",
    "→": r"\to", "⇒": r"\Rightarrow", "∠": r"\angle", "△": r"\triangle", "⟨": r"\langle", "⟩": r"\rangle",
    "⌊": r"\lfloor", "⌋": r"\rfloor", "⌈": r"\lceil", "⌉": r"\rceil", "…": r"\ldots", "⋯": r"\ldots",
    "∑": r"\sum", "∏": r"\prod", "∫": r"\int",
}  # fmt: skip
_TEXTS = {
    "−": "-", "–": "-", "‑": "-", "‐": "-", "—": "-", "∗": "*", "÷": "/", "⁄": "/", "∕": "/", "∶": ":",
    "∣": "|", "’": "'", "′": "'", "‘": "'", "“": '"', "”": '"', "。": ".", "、": ",", "％": "%", "￥": "¥",
    "°": r"^{\circ}", "º": r"^{\circ}", "˚": r"^{\circ}", "℃": r"^{\circ}\text{C}", "℉": r"^{\circ}\text{F}",
    "¢": r"\text{ cents}", "‰": r"\text{ per mille}", "ℝ": r"\mathbb{R}", "ℤ": r"\mathbb{Z}",
    "ℚ": r"\mathbb{Q}", "ℕ": r"\mathbb{N}", "ℂ": r"\mathbb{C}", "\u00a0": " ", "\u202f": " ",
    "\u205f": " ", "\u3000": " ",
}  # fmt: skip
_INVISIBLE = "\u00ad\u200b\u200c\u200d\u202c\u202d\u202e\u2060\ufeff"
_CHARACTERS = str.maketrans(
    {character: macro + " " for character, macro in (_GREEK | _MACROS).items()}
    | _TEXTS
    | dict.fromkeys(_INVISIBLE, "")
)
_CHINESE = {
    "平方厘米": " square cm", "平方米": " square meters", "平方千米": " square km", "立方厘米": " cubic cm",
    "立方米": " cubic meters", "厘米": " cm", "毫米": " mm", "分米": " dm", "千米": " km", "公里": " km",
    "米": " meters", "千克": " kg", "公斤": " kg", "克": " g", "升": " L", "毫升": " mL", "小时": " hours",
    "分钟": " minutes", "秒": " seconds", "天": " days", "年": " years", "度": r"^{\circ}", "或者": " or ",
    "或": " or ", "以及": " and ", "和": " and ", "与": " and ", "且": " and ", "答案": " answer ",
    "故选": " option ", "应选": " option ", "选择": " option ", "选项": " option ", "选": " option ",
    "【": "", "】": "", "等于": "=", "大于": ">", "小于": "<", "不等于": r"\ne ", "万": r"\times 10^{4}",
    "亿": r"\times 10^{8}", "最小值": " value ", "最大值": " value ", "所以": "", "因此": "",
    "一共": "", "总共": "", "共有": "", "共": "", "是": " is ",
    "为": " is ", "美元": " dollars", "元": " yuan",
}  # fmt: skip
_CHINESE_WORD = re.compile("|".join(_CHINESE))
_CHINESE_ANSWERS = {
    "是": "Yes", "是的": "Yes", "对": "Yes", "正确": "True", "否": "No", "不是": "No", "不对": "No",
    "错误": "False", "错": "No", "无解": "no solution", "不存在": "does not exist",
}  # fmt: skip
_COUNTERS = "[个人种次张只本条颗岁块名支辆件题组位棵头套双瓶箱页间所]"
_CHINESE_COUNTED_IN_TEXT = re.compile(rf"\\text\s*\{{\s*{_COUNTERS}\s*\}}")
_CHINESE_PERCENT = re.compile(r"百分之\s*(\d+(?:\.\d+)?)")
_CHINESE_COUNTED = re.compile(rf"(?<=[\d}}])(\s*)(?:{_COUNTERS}|分(?!之)|平方)(?![\u4e00-\u9fff])")
"""What a number counts, which says nothing of it; other Chinese words stay, and are not read."""

# --- patterns -------------------------------------------------------------------------------------

FONTS = (
    "mathbf boldsymbol bm mathit mathsf mathtt mathnormal mathcal mathscr underline overbrace underbrace"
    " boxed fbox emph pmb ensuremath displaystyle".split()
)
"""Macros that only say how what they are for looks."""
_COLOUR = r"(?:text)?color(?:box)?\s*(?:\[[^\]]*\])?\s*\{[^{}]*\}"
_DRESS = re.compile(rf"\\(?:{'|'.join(FONTS)}|{_COLOUR})\s*(?=\{{)")
"""A font, a frame or a colour, before what it is for."""
_MOST_DRESSES = 50
_HAT = re.compile(
    r"\\(?:hat|widehat|mathbf|vec|bm|boldsymbol)\s*\{\s*\\?(?:mathbf|mathrm)?\s*\{?"
    r"\\?(i|j|k|imath|jmath)(?:math)?\s*\}?\s*\}"
)
r"""A vector of the basis, which keeps its hat: `\hat{\mathbf{i}}` is no i."""
_LAYOUT = re.compile(
    r"\\(?:displaystyle|textstyle|scriptstyle|bf|it|rm|sf|tt|em|tiny|small|normalsize|large|Large|LARGE|huge|Huge"
    r"|left|right|bigg?[lrm]?|Bigg?[lrm]?|middle|limits|nolimits|nonumber|notag|bfseries|centering"
    r"|phantom\s*(?:\{[^{}]*\}|-)|hspace\s*\{[^{}]*\}|label\s*\{[^{}]*\}|tag\s*\{[^{}]*\})(?![A-Za-z])\.?"
)
_SPACE = re.compile(
    r"\\(?:q?quad|enspace|thinspace|medspace|thickspace|space)(?![A-Za-z])|(?<!\\)\\[,;:> \n]|(?<!\\)\\[()]|~"
)
_NOTHING = re.compile(r"(?<!\\)\\!|\\(?:text|mathrm|mbox)\s*\{\s*\}|(?<![A-Za-z])\{\}")
_EMPTY_GROUP = re.compile(r"(?<![A-Za-z])\{\}")
_PLAIN_SET = re.compile(r"\{([^{}]*[:|][^{}]*)\}")
_PLAIN_VECTOR = re.compile(r"<([^<>=]*,[^<>=]*)>")
_ASSIGNMENTS = re.compile(r"\\q?quad\s*(?=[A-Za-z](?:_\w)?\s*=)")
r"""`x = 5 \quad y = 3`: the space is a comma."""
_FRACTION_OF_UNITS = re.compile(
    r"\\[dt]?frac\s*\{\s*\\(?:text|mathrm)\s*\{([^{}]*)\}\s*\}\s*\{\s*\\(?:text|mathrm)\s*\{([^{}]*)\}\s*\}"
)
_SPELLINGS = (
    (re.compile(r"\\(?:rightarrow|longrightarrow)(?![A-Za-z])"), r"\\to "),
    (re.compile(r"\\(?:implies|Longrightarrow)(?![A-Za-z])"), r"\\Rightarrow "),
    (re.compile(r"\\neg(?![A-Za-z])"), r"\\lnot "),
    (re.compile(r"\\Bbb(?![A-Za-z])"), r"\\mathbb"),
    (re.compile(r"\\framebox(?![A-Za-z])"), r"\\fbox"),
    (re.compile(r"\^\s*(?:\\prime(?![A-Za-z])|\{\s*\\prime\s*\})"), "'"),
    (re.compile(r"\{\s*\\?%\s*\}"), r"\\%"),
    (re.compile(r"\\(?:text|math)dollar(?![A-Za-z])"), r"\\$"),
)
_SHOWN = re.compile(
    r"\\(?:bbox\s*\[[^\]]*\]|[vh]phantom\s*\{[^{}]*\}|mathop(?=\s*\{)|"
    rf"{_COLOUR}"
    r"|(?:blacksquare|square|checkmark|qedhere|Box)\s*$)"
)
"""What only colours, moves or ends an answer."""
_LEFT_BRACE = re.compile(r"\\left\s*\\(?:\{|lbrace(?![A-Za-z]))(.*)\\right\s*\.", re.DOTALL)
"""The brace before a system of equations, which none closes."""
_ROW_GAP = re.compile(r"\\\\\s*\[-?[\d.]+\s*(?:pt|ex|em|mm|cm|in)\]")
_TWICE_ESCAPED = re.compile(
    r"(?<!\\)\\\\(?=(?:[dt]?frac|sqrt|pi|text|mathrm|mathbf|cdot|times|left|right|infty|binom|pm|cup|cap|le|ge|leq|geq"
    r"|neq|circ|alpha|beta|theta|sin|cos|tan|ln|log|pmod|langle|rangle)(?![A-Za-z]))"
)
_BRACE = re.compile(r"(?<!\\)[{}]")
_DOLLAR = re.compile(r"(?<!\\)\$")
_QUOTES = ("**", "__", "`", '"', "*", "$$", "$")

# --- spelling -------------------------------------------------------------------------------------


@lru_cache(maxsize=8192)
def spell(text: str) -> str:
    """`text` in one spelling."""
    text = " ".join(text.split())
    if not text.isascii():
        text = _in_ascii(text)
    text = _without_quotes(text)
    if "\\" in text:
        text = _without_layout(text)
    text = _EMPTY_GROUP.sub("", text)
    if found := _PLAIN_SET.fullmatch(text):
        text = rf"\{{{found[1]}\}}"
    if found := _PLAIN_VECTOR.fullmatch(text):
        text = f"({found[1]})"
    text = _without_stray_brace(_SPACE.sub(" ", text))
    # Dollar signs in pairs enclose mathematics; a single one is money.
    return _DOLLAR.sub(" ", text) if len(_DOLLAR.findall(text)) % 2 == 0 else text


def _in_ascii(text: str) -> str:
    """With macros, digits and English words for what is not in ASCII, where it is known."""
    text = "".join(map(_plain, text))
    text = _CHINESE_ANSWERS.get(text.strip(" 。."), text)
    text = _CHINESE_COUNTED_IN_TEXT.sub("", text)
    text = _CHINESE_PERCENT.sub(r"\1\%", text)
    text = _CHINESE_WORD.sub(lambda found: _CHINESE[found[0]], text)
    text = _CHINESE_COUNTED.sub(r"\1 ", text).translate(_CHARACTERS)
    text = _RAISED.sub(lambda found: "^{" + found[0].translate(_SUPERSCRIPTS) + "}", text)
    return _LOWERED.sub(lambda found: "_{" + found[0].translate(_SUBSCRIPTS) + "}", text)


_COMPATIBLE = (
    ("\uff01", "\uff5e"), ("\U0001d400", "\U0001d7ff"), ("\u2460", "\u24ff"), ("\u3300", "\u33ff"),
    ("\ufe50", "\ufe6f"), ("\u2160", "\u217f"),
)  # fmt: skip
"""Full width, letters of mathematics, in circles, units in one character, small forms, Roman numerals."""


def _plain(character: str) -> str:
    """A character of another width, weight or script as the plain one that it stands for."""
    if any(first <= character <= last for first, last in _COMPATIBLE):
        return unicodedata.normalize("NFKC", character)
    if not character.isascii() and character.isdecimal():
        return str(unicodedata.decimal(character))
    if "\u2000" <= character <= "\u200a":
        return " "
    if character.isnumeric() and "VULGAR FRACTION" in unicodedata.name(character, ""):
        above, _, below = unicodedata.normalize("NFKC", character).partition("\u2044")
        return rf"\frac{{{above}}}{{{below}}}"
    return character


def _without_layout(text: str) -> str:
    """Without the macros that only say how it looks."""
    if r"\begin" not in text:  # where `\\` ends a row
        text = _TWICE_ESCAPED.sub(r"\\", text)
    text = _ASSIGNMENTS.sub(" , ", text)
    text = _FRACTION_OF_UNITS.sub(r"\\text{ \1/\2}", text)
    for pattern, plain in _SPELLINGS:
        text = pattern.sub(plain, text)
    text = _undressed(_with_hats(text))
    text = _with_hats(_SHOWN.sub(" ", text))
    text = _LEFT_BRACE.sub(r"\1", text)
    text = _ROW_GAP.sub(r"\\\\ ", text)
    return _NOTHING.sub("", _LAYOUT.sub(" ", text))


def _with_hats(text: str) -> str:
    """With one macro for a vector of the basis, however it is written."""
    return _HAT.sub(lambda found: rf"\hat{found[1][0]} ", text)


def _undressed(text: str) -> str:
    """Without fonts, frames and colours, and the braces of what they are for."""
    for _ in range(_MOST_DRESSES):
        dress = _DRESS.search(text)
        end = closing_brace(text, dress.end() + 1) if dress else None
        if dress is None or end is None:
            break
        text = text[: dress.start()] + text[dress.end() + 1 : end] + text[end + 1 :]
    return text


def closing_brace(text: str, start: int) -> int | None:
    """Where the brace that was opened before `start` closes; None where it never does."""
    depth = 1
    for brace in _BRACE.finditer(text, start):
        depth += 1 if brace[0] == "{" else -1
        if depth == 0:
            return brace.start()
    return None


def _without_stray_brace(text: str) -> str:
    """Without one brace too many at the end."""
    bare = text.rstrip(" .")
    braces = _BRACE.findall(bare)
    stray = bare.endswith("}") and not bare.endswith(r"\}") and braces.count("}") == braces.count("{") + 1
    return bare[:-1] if stray else text


def _without_quotes(text: str) -> str:
    """Without the marks of Markdown, the dollars and the quotes around all of it."""
    bare = text.strip()
    for mark in _QUOTES:
        while len(bare) > 2 * len(mark) and bare.startswith(mark) and bare.endswith(mark):
            bare = bare[len(mark) : -len(mark)].strip()
    return bare
