"""A plugin of pytest for TRL's own tests: stand-ins for what the hub has, and our trainer in TRL's place.

`benchmarks/trl_suite.py` starts pytest with it. The environment says what it does: TRL_STAND_INS is the
folder with the stand-ins of data sets, TRL_TRAINER is `trl` or `glow`. Models are found in a cache of the hub
(HF_HUB_CACHE) that holds stand-ins under the real names, so nothing is patched for them.
"""

import importlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pytest
import trl

STAND_INS = Path(os.environ["TRL_STAND_INS"])


def load_dataset(
    name: str, config: str = "default", split: str | None = None, *, streaming: bool = False
) -> Any:
    """As `datasets.load_dataset`, from the stand-ins alone; of a split, a beginning can be asked for."""
    found = datasets.load_from_disk(str(STAND_INS / name / config))
    if split is None:
        return {key: _streamed(rows, streaming) for key, rows in found.items()} if streaming else found
    part, _, end = re.sub(r"[\]]", "", split).partition("[:")
    rows = found[part]
    return _streamed(rows.select(range(int(end))) if end else rows, streaming)


def _streamed(rows: datasets.Dataset, streaming: bool) -> Any:
    return rows.to_iterable_dataset() if streaming else rows


def _never() -> bool:
    return False


def _unknown_check(name: str) -> Callable[[], bool]:
    """A check of a later or earlier TRL for a package: the package counts as missing."""
    if re.fullmatch(r"is_\w+_available", name):
        return _never
    raise AttributeError(name)


def _unknown_part(name: str) -> None:
    """A part of an earlier TRL, which only tests need that are not of the trainer."""
    if name.startswith("__"):
        raise AttributeError(name)


datasets.load_dataset = load_dataset
importlib.import_module("trl.import_utils").__getattr__ = _unknown_check
importlib.import_module("trl.trainer.sft_trainer").__getattr__ = _unknown_part
if os.environ["TRL_TRAINER"] == "glow":
    from glow.training.trainer import GlowTrainer

    trl.SFTTrainer = GlowTrainer


@pytest.fixture
def lazy_shared_datadir() -> Path:
    """As the plugin pytest-datadir has it: the folder `data` beside the tests."""
    return Path("tests/data").resolve()
