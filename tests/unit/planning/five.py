"""The paper's five students, as an experiment and a machine: what several tests of the plan need."""

from pathlib import Path
from typing import Any

import yaml

from glow.config import Experiment
from glow.experiment import load
from glow.planning.constants import device
from glow.planning.fit import Machine

ROOT = Path(__file__).resolve().parents[3]

STUDENTS = {
    "qwen2.5-3b": "Qwen/Qwen2.5-3B@3aab1f1954e9cc14eb9509a215f9e5ca08227a9b",
    "qwen2.5-7b": "Qwen/Qwen2.5-7B@d149729398750b98c0af14eb82c78cfe92750796",
    "qwen2.5-14b": "Qwen/Qwen2.5-14B@97e1e76335b7017d8f67c08a19d103c0504298c9",
    "qwen2.5-32b": "Qwen/Qwen2.5-32B@1818d35814b8319459f4bd55ed1ac8709630f003",
    "llama3.1-8b": "meta-llama/Llama-3.1-8B@d04e592bb4f6aa9cfee91e2e20afa771667e1d4b",
}
PROFILE = ROOT / "profiles" / "paper"


def paper(**changes: Any) -> Experiment:
    """config/paper.yaml with these five students."""
    document = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())
    document.pop("student", None)
    return load({**document, "students": STUDENTS, "reported": None, **changes}, "paper.yaml")


def seven() -> Experiment:
    """The paper's study of its 7B student."""
    return paper().of("qwen2.5-7b")


def nodes(number: int, gpu: str = "h100", per_node: int = 8) -> Machine:
    return Machine(device(gpu), number, per_node)
