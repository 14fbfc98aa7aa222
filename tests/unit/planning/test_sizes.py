"""planning.sizes, found: how much data there is, stated, assumed, or read from results."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from five import ROOT, seven

from glow.config import Experiment
from glow.experiment import load, read
from glow.planning.constants import assumed, assumptions
from glow.planning.found import Found, FoundDomain, look, nothing
from glow.planning.sizes import Sizes, sizes_of

MINIATURE = ROOT / "config" / "miniature.yaml"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def sizes(experiment: Experiment, end: Any = "low", found: Found | None = None, *said: str) -> Sizes:
    return sizes_of(experiment, found or nothing(experiment), assumed(list(said)), end)


def test_the_sizes_of_the_papers_arms_by_hand() -> None:
    """40,000 trajectories of each domain, of which 90 % are right or wrong: 36,000. Of mathematics 75 % are
    right: 27,000 and 9,000; of MMLU 80 %: 28,800 and 7,200. Positive, negative and mixed are as large as the
    rarer kind."""
    found = sizes(seven())
    maths, mmlu = found.domains["math"], found.domains["mmlu"]
    assert (maths.trajectories, mmlu.trajectories) == (40_000, 40_000)
    assert {maths.selections[name] for name in ("positive", "negative", "mixed")} == {9000}
    assert {mmlu.selections[name] for name in ("positive", "negative", "mixed")} == {7200}
    assert maths.selections["all"] == mmlu.selections["all"] == 36_000
    assert (maths.selections["positive_all"], mmlu.selections["negative_all"]) == (27_000, 7200)
    assert (maths.lengths.mean, sizes(seven(), "high").domains["math"].lengths.mean) == (8000, 12_000)
    assert found.answers == 33_644
    assert "tokens.math" in found.used
    assert "tokens.other" not in found.used


def test_answers_that_never_end_lengthen_the_mean() -> None:
    """97 % of 2,500 tokens and 3 % of 32,768: 3,408."""
    suite = sizes(seven()).suites["math500"]
    assert suite.lengths.mean == pytest.approx(0.97 * 2500 + 0.03 * 32_768)
    assert (suite.questions, suite.scored) == (500, False)


def test_what_is_said_on_the_command_line_counts_at_both_ends() -> None:
    for end in ("low", "high"):
        assert sizes(seven(), end, None, "tokens.math=9000").domains["math"].lengths.mean == 9000


def test_a_teacher_whose_thoughts_are_off_says_less() -> None:
    own = seven()
    quiet = own.prompt.model_copy(update={"chat_template_kwargs": {"enable_thinking": False}})
    found = sizes(own.model_copy(update={"teacher_prompt": quiet}))
    assert found.domains["math"].lengths.mean == 600
    assert "tokens.without_thought" in found.used


def test_made_up_problems_are_short_and_all_decided() -> None:
    """The miniature: 500 problems of two responses, of 50 questions none is trained on: 900 of 1,000."""
    found = sizes(read(MINIATURE))
    own = found.domains["arithmetic"]
    assert (own.trajectories, own.selections["all"], own.held_out) == (1000, 900, 100)
    assert own.selections["positive"] == 450
    assert own.lengths.mean == pytest.approx(0.4 * 96)
    assert found.suites["choice"].scored
    assert found.suites["arithmetic"].questions == 200
    assert not any(name.startswith("right.math") for name in found.used)


def test_a_size_that_is_set_is_the_arms(tmp_path: Path) -> None:
    document = yaml.safe_load(MINIATURE.read_text()) | {"selection": {"size": 101, "held_out": 50}}
    assert sizes(load(document, "x")).domains["arithmetic"].selections["mixed"] == 100


def own_rows(tmp_path: Path, packed: bool) -> Experiment:
    """Ten rows of which four are right, each response of 400 characters; a hundred questions of a suite."""
    rows = [{"question": f"q{n}", "answer": "1", "response": "x" * 400, "label": n < 4} for n in range(10)]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    file = tmp_path / f"rows.jsonl{'.gz' if packed else ''}"
    file.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    document = yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text())
    fields = {"question": "question", "answer": "answer", "response": "response", "label": "label"}
    document["trajectories"] = {"files": [str(file)], "fields": fields, "domain": "math"}
    return load(document, "own.yaml")


@pytest.mark.parametrize("packed", [False, True])
def test_rows_of_ones_own_are_looked_at(tmp_path: Path, packed: bool) -> None:
    own = sizes(own_rows(tmp_path, packed)).domains["math"]
    assert own.trajectories == 10
    assert own.lengths.mean == 100  # at four characters a token
    assert (own.selections["positive_all"], own.selections["negative_all"]) == (4, 5)  # of 90 %, four tenths


def test_lists_of_responses_are_counted_one_by_one(tmp_path: Path) -> None:
    """Ten rows of three responses of 400 characters, of which one is right: ten of thirty."""
    rows = [
        {"q": f"q{n}", "answer": "1", "out": ["x" * 400] * 3, "ok": ["yes", "no", "no"]} for n in range(10)
    ]
    file = tmp_path / "rows.json"
    file.write_text(json.dumps(rows))
    document = yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text())
    fields = {"question": "q", "response": "out", "label": "ok"}
    document["trajectories"] = {"files": [str(file)], "fields": fields, "domain": "math"}
    own = sizes(load(document, "own.yaml")).domains["math"]
    assert (own.trajectories, own.lengths.mean, own.selections["positive_all"]) == (30, 100, 9)


def test_a_hub_data_set_has_as_many_rows_as_are_assumed(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text())
    source = {"hub_dataset": "org/name", "revision": "0" * 40, "domain": "math"}
    document["trajectories"] = source
    assert sizes(load(document, "own.yaml")).domains["math"].trajectories == 10_000
    document["trajectories"] = source | {"limit": 300}
    assert sizes(load(document, "own.yaml")).domains["math"].trajectories == 300


def test_many_rows_are_estimated_from_the_first(tmp_path: Path) -> None:
    experiment = own_rows(tmp_path, packed=False)
    assert experiment.trajectories is not None
    (file,) = experiment.trajectories.files
    line = file.read_text().splitlines(keepends=True)[9]
    file.write_text(line * 10_000)
    assert sizes(experiment).domains["math"].trajectories == pytest.approx(10_000, rel=0.02)


# --- results -----------------------------------------------------------------------------------------


def write(path: Path, document: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def facts(path: Path, **noted: Any) -> None:
    write(path, {"facts": noted})


def results(root: Path) -> None:
    """What a study leaves of its own data: 800 trajectories of 60 tokens, 200 right and 500 wrong."""
    facts(root / "trajectories/arithmetic.jsonl.gz.manifest.json", trajectories=800, tokens=48_000)
    judged = {"correct": 200, "wrong": 500, "unparsed": 100}
    facts(root / "verdicts/arithmetic.jsonl.gz.manifest.json", rows=800, verdicts=judged)
    for seed, size in ((0, 180), (1, 182)):
        arms = root / f"arms/arithmetic/seed-{seed}"
        facts(arms / "manifest.json", written={"positive": size})
        facts(arms / "all_paired.jsonl.manifest.json", written=90)
    lengths = {"a": (30, 100), "b": (60, 50), "c": (None, 10)}
    suites = {name: {"mean_tokens": mean, "samples": number} for name, (mean, number) in lengths.items()}
    write(root / "evaluation/base/seed-0/scores.json", {"suites": suites})
    log = root / "grpo/arithmetic/base/seed-0/log.jsonl"
    log.parent.mkdir(parents=True)
    log.write_text('{"completion_length": 50.0}\n{"completion_length": 54.0}\n{"step": 3}\n')


def test_what_results_say_is_not_assumed(tmp_path: Path) -> None:
    results(tmp_path)
    experiment = read(MINIATURE)
    found = look(experiment, tmp_path, "", experiment)
    assert found.changed == ()
    assert found.domains["arithmetic"] == FoundDomain(
        800, 60.0, 200 / 800, 500 / 800, {"positive": 181.0, "all_paired": 90.0}
    )
    assert (found.answers, found.rollouts) == (40.0, 52.0)
    low, high = (sizes(experiment, end, found) for end in ("low", "high"))
    assert low == high
    own = low.domains["arithmetic"]
    assert (own.trajectories, own.lengths.mean, own.selections["positive"]) == (800, 60, 181)
    assert own.selections["all"] == 630  # of 700 nine tenths, as 50 of 500 questions are set aside
    assert low.rollouts["arithmetic"].mean == 52
    assert low.used == {"prompt.made_up", "prompt.longest.made_up", "spread"}


def test_of_several_students_each_has_its_own_answers(tmp_path: Path) -> None:
    results(tmp_path / "students" / "b")
    experiment = read(MINIATURE)
    assert look(experiment, tmp_path, "a", None).answers is None
    assert look(experiment, tmp_path, "b", None).answers == 40.0
    assert look(experiment, tmp_path, "b", None).domains["arithmetic"].tokens is None


def test_nothing_is_known_of_an_empty_folder(tmp_path: Path) -> None:
    experiment = read(MINIATURE)
    found = look(experiment, tmp_path, "", None)
    assert found == nothing(experiment)
    assert sizes(experiment) == sizes_of(experiment, found, assumptions(), "low")
