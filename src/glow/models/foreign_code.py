"""What a model directory may have run here: nothing of its own, unless the caller trusts it.

transformers runs code that a configuration names, and asks on standard input whether it may. It is never
asked here: what would need code is refused before anything is loaded.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from transformers.utils import is_kernels_available

from glow.errors import UserError

_KERNEL_EXPERTS = ("deepgemm", "deepgemm_megamoe", "sonicmoe")
"""Implementations of experts that are kernels of the hub."""

_USE_KERNELS = {
    "quant_method": ("eetq", "fbgemm_fp8", "fp8", "metal", "mxfp4", "mxfp8", "nvfp4"),
    "model_type": ("rwkv",),
}
"""Settings for which transformers loads a kernel of the hub of its own accord, on some devices."""


def refuse_foreign_code(model: Path, trust_remote_code: bool) -> None:
    """Refuse a model directory whose configurations name code that may not run.

    Code of the directory itself (`auto_map`) needs `trust_remote_code`; code of another repository and
    kernels of the hub are refused always.

    Raises:
        UserError: it names the file, and what to do; or a file cannot be read.
    """
    for file in sorted(model.glob("*config*.json")):
        for key, text in _settings(file):
            if "auto_map" in key:
                _refuse_class(file, text, trust_remote_code)
            _refuse_kernel(file, key, text)


def _settings(file: Path) -> list[tuple[tuple[str, ...], str]]:
    """Every text of a configuration, with the keys that lead to it; none of what is no JSON."""
    try:
        return list(_texts(json.loads(file.read_text(encoding="utf-8"))))
    except ValueError:
        return []  # transformers does not read it either
    except OSError as error:
        raise UserError(f"{file}: cannot be read: {error.strerror}; mend or remove it") from None
    except RecursionError:
        raise UserError(f"{file}: nested too deeply to be read; mend or remove it") from None


def _refuse_class(file: Path, name: str, trust_remote_code: bool) -> None:
    if "--" in name:
        raise UserError(
            f"{file}: auto_map names code of another repository ({name!r}), which is never run\n"
            "Use a model that transformers knows, or keep that code (once read) in the model's own directory"
        )
    if not trust_remote_code:
        raise UserError(
            f"{file}: auto_map names code in the model's directory ({name!r}), which is not run\n"
            "Trust a hub model, at its pinned revision, with trust_remote_code: true (by hand "
            "--trust-remote-code); or remove auto_map if transformers knows the model without it"
        )


def _refuse_kernel(file: Path, key: tuple[str, ...], text: str) -> None:
    chooses = any(part.endswith("_implementation") for part in key)
    if chooses and "/" in text:
        raise UserError(
            f"{file}: {'.'.join(key)} names a kernel of the Hugging Face hub ({text!r}), which is "
            "never loaded\nRemove that key: transformers then chooses an implementation of its own"
        )
    if not is_kernels_available():  # without that package transformers loads none
        return
    if chooses and ("flash" in text or text in _KERNEL_EXPERTS):
        raise UserError(
            f"{file}: {'.'.join(key)} is {text!r}: with the package `kernels` installed, transformers may "
            "take that from the Hugging Face hub, from which no kernel is loaded\n"
            "Remove that key: transformers then chooses an implementation of its own; or uninstall `kernels`"
        )
    if key and text in _USE_KERNELS.get(key[-1], ()):
        raise UserError(
            f"{file}: {'.'.join(key)} is {text!r}: with the package `kernels` installed, transformers may "
            "run that with a kernel of the Hugging Face hub, from which none is loaded\n"
            "Uninstall `kernels`, or give a model without that"
        )


def _texts(value: Any, key: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every text of a JSON document, with the keys that lead to it."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from _texts(inner, (*key, name))
    elif isinstance(value, list):
        for inner in value:
            yield from _texts(inner, key)
