"""Packages that only some settings need: how to see whether one is there, and what installs it.

One row each in `PACKAGES`. `glow check` looks for those that a configuration needs (`glow.experiment`), and a
stage refuses in the same words before it samples anything.
"""

import sys
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from glow.errors import UserError


@dataclass(frozen=True)
class Package:
    """A package, and how it comes here.

    Attributes:
        modules: what is imported of it.
        extra: the extra of pyproject.toml that installs it; None where it is installed by its name.
        note: what else there is to know, if anything.
    """

    modules: tuple[str, ...]
    extra: str | None
    note: str = ""


PACKAGES = {
    "vLLM": Package(("vllm",), "vllm", "it wants a GPU; without one, choose engine transformers"),
    "reasoning-gym": Package(
        ("reasoning_gym",), "gym", "one of its dependencies, pycosat, needs a C compiler"
    ),
    "lm-eval's IFEval checker": Package(
        ("nltk", "langdetect", "immutabledict"),
        "ifeval",
        "and once, with a network: python -m nltk.downloader punkt_tab",
    ),
    "DeepSpeed": Package(("deepspeed",), "deepspeed"),
    "bitsandbytes": Package(("bitsandbytes",), "bitsandbytes"),
    "SentencePiece": Package(("sentencepiece",), "sentencepiece"),
    "tensorboard": Package(("tensorboard",), "tensorboard"),
    "wandb": Package(("wandb",), None),
    "trackio": Package(("trackio",), None),
}
"""By the name that messages have for it."""


def missing(name: str, needed_by: str) -> str | None:
    """What to say where one of `PACKAGES` is not installed; None where it is.

    Args:
        needed_by: the setting or the part of the study that needs it, with which the message begins.
    """
    absent = [module for module in PACKAGES[name].modules if not _is_installed(module)]
    return _message(name, needed_by, f"is not installed (no module {', '.join(absent)})") if absent else None


def require(name: str, needed_by: str) -> None:
    """Refuse what needs one of `PACKAGES` that is not installed.

    Raises:
        UserError: in the words of `missing`.
    """
    if said := missing(name, needed_by):
        raise UserError(said)


def imported(name: str, needed_by: str) -> Any:
    """The first module of one of `PACKAGES`.

    Raises:
        UserError: it is not installed, or cannot be imported.
    """
    require(name, needed_by)
    try:
        return import_module(PACKAGES[name].modules[0])
    except ImportError as error:
        raise UserError(_message(name, needed_by, f"cannot be imported ({error})")) from error


def _message(name: str, needed_by: str, state: str) -> str:
    package = PACKAGES[name]
    note = f" ({package.note})" if package.note else ""
    command = f"pip install {package.modules[0]}"
    if package.extra is not None:
        command = (
            f"make setup EXTRAS={package.extra}, or pip install -c constraints.txt -e '.[{package.extra}]'"
        )
    return f"{needed_by}: {name} {state}: {command}{note}"


def _is_installed(module: str) -> bool:
    if module in sys.modules:
        return sys.modules[module] is not None
    return find_spec(module) is not None
