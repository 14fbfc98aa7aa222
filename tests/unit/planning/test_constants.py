"""planning.constants: every number says where it is from, and a measured one is what its benchmark found."""

import json
import math
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from glow.errors import UserError
from glow.planning.constants import (
    FILE,
    assumed,
    assumptions,
    constant,
    device,
    device_names,
    gpu_use,
    questions,
)
from glow.suites.tasks import task_names

ROOT = Path(__file__).resolve().parents[3]
DOCUMENT = yaml.safe_load(FILE.read_text())
SOURCES = {"measured", "stated", "assumed"}


def entries() -> Iterator[tuple[str, dict[str, Any]]]:
    for name, entry in DOCUMENT["constants"].items():
        for place, one in enumerate(entry if isinstance(entry, list) else [entry]):
            yield f"{name} {place}" if isinstance(entry, list) else name, one
    yield from DOCUMENT["assumptions"].items()


@pytest.mark.parametrize(
    ("name", "entry"), list(entries()), ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_number_has_a_unit_and_one_source(name: str, entry: dict[str, Any]) -> None:
    assert len(SOURCES & entry.keys()) == 1, name
    assert entry["unit"], name
    assert set(entry) <= {"value", "low", "high", "unit", "from", "parameters", *SOURCES}, name
    assert ("value" in entry) != ("low" in entry), name
    assert ("from" in entry) == ("measured" in entry), name


MEASURED = [(name, entry) for name, entry in entries() if "measured" in entry]


@pytest.mark.parametrize(
    ("name", "entry"), MEASURED, ids=lambda value: value if isinstance(value, str) else ""
)
def test_a_measured_number_follows_from_the_results_of_its_benchmark(
    name: str, entry: dict[str, Any]
) -> None:
    file = ROOT / "benchmarks" / "results" / f"{entry['measured']}.json"
    found = json.loads(file.read_text())
    assert found["command"].startswith("python benchmarks/")
    words = {"median": statistics.median, "exp": math.exp}
    assert eval(entry["from"], words | found) == pytest.approx(entry["value"], rel=0.005), name


def test_every_constant_is_used_and_every_one_that_is_used_is_there() -> None:
    source = "".join(file.read_text() for file in FILE.parent.glob("*.py"))
    asked = set(re.findall(r'constant\(\s*"(\w+)"', source))
    assert all(constant(name) >= 0 for name in asked)
    assert all(f'"{name}"' in source for name in DOCUMENT["constants"])


def test_what_a_gpu_reaches_lies_between_the_sizes_that_were_looked_at() -> None:
    points = {entry["parameters"]: entry["value"] for entry in DOCUMENT["constants"]["gpu_use"]}
    assert [gpu_use(size) for size in points] == list(points.values())
    (small, low), (large, high), *_ = points.items()
    assert gpu_use(round(math.sqrt(small * large))) == pytest.approx((low + high) / 2, rel=1e-6)
    assert gpu_use(10**5) == low
    assert gpu_use(7 * 10**10) == gpu_use(4 * 10**9) == 0.467
    # An MFU counts no recomputed pass: three forward passes of the four that are computed.
    assert gpu_use(7 * 10**9) * 3 / 4 == pytest.approx(0.35, rel=0.01)


def test_the_questions_are_those_of_the_page_on_suites() -> None:
    page = (ROOT / "docs" / "suites.md").read_text()
    listed = dict(re.findall(r"^\| `(\w+)`[^|]*\| ([\d,]+)", page, re.M))
    assert len(listed) > 10
    for name, number in listed.items():
        if name not in ("bbh",):
            assert questions(name) == int(number.replace(",", "")), name
    assert (questions("bbh"), questions("bbh_authors")) == (6511, 6011)
    assert set(DOCUMENT["questions"]) <= set(task_names())
    assert questions("questions") is None


def test_devices_are_known_by_name() -> None:
    h100 = device("h100")
    assert (h100.memory, h100.operations, h100.per_node) == (round(79.1 * 2**30), 9.89e14, 8)
    assert device("rtx4090").per_node == 1
    cpu = device("cpu")
    assert cpu.is_cpu and not h100.is_cpu
    assert cpu.memory > 2**30
    assert device_names()[-1] == "cpu"
    for name in device_names()[:-1]:
        assert 20 < device(name).memory / 1e9 < 200
    with pytest.raises(UserError, match=r"--gpu: 'h10' is unknown; did you mean 'h100'"):
        device("h10")


def test_an_assumption_is_a_number_or_a_range() -> None:
    found = assumed(["tokens.math=9000", "endless=0.1..0.2"])
    assert (found["tokens.math"].low, found["tokens.math"].high) == (9000, 9000)
    assert (found["endless"].low, found["endless"].high) == (0.1, 0.2)
    assert found["endless"].text == "0.1 to 0.2"
    assert assumptions()["tokens.math"].text == "8,000 to 12,000"
    assert {key for key in found if found[key] != assumptions()[key]} == {"tokens.math", "endless"}


@pytest.mark.parametrize(
    "word", ["tokens.math", "tokens.maths=3", "spread=x", "spread=2..1", "spread=-1", "spread=nan"]
)
def test_an_assumption_that_is_none_is_refused(word: str) -> None:
    with pytest.raises(UserError, match=r"--assume "):
        assumed([word])


@pytest.mark.parametrize(
    ("word", "why"),
    [
        ("endless", "has no value; write endless=VALUE or endless=LOW..HIGH"),
        ("endless=", "has no value"),
        ("answers=-5", "-5 is below 0"),
        ("endless=0.1..0.05", "the range is reversed: write 0.05..0.1"),
        ("endless=0.1..", "is no number, and no range"),
        ("right.math=1.2", "above 1; right.math is share of right ones"),
        ("decided=0.5..2", "above 1"),
        ("tokens.math=0", "give more than 0; tokens.math is tokens"),
    ],
)
def test_an_assumption_says_what_is_wrong_with_it(word: str, why: str) -> None:
    with pytest.raises(UserError) as refused:
        assumed([word])
    assert f"--assume {word}: " in str(refused.value)
    assert why in str(refused.value)


def test_a_share_may_be_nothing_or_all_and_a_device_is_known_in_capitals() -> None:
    assert assumed(["endless=0..1"])["endless"].text == "0 to 1"
    assert device("H100") == device("h100")
    with pytest.raises(UserError, match="'H900' is unknown"):
        device("H900")
