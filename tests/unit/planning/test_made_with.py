"""planning.made_with, found: what results say of a configuration that was edited since they were made."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from five import ROOT, STUDENTS
from test_sizes import facts, results, sizes

from glow.config import Experiment
from glow.experiment import load
from glow.files.frozen import freeze
from glow.planning.constants import device
from glow.planning.fit import Machine
from glow.planning.found import Found, FoundDomain, look, nothing
from glow.planning.kinds import question_of
from glow.planning.made_with import made_with
from glow.planning.plan import estimated
from glow.planning.printing import text_of

MINIATURE = yaml.safe_load((ROOT / "config" / "miniature.yaml").read_text())
PAPER = yaml.safe_load((ROOT / "config" / "paper.yaml").read_text())


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def edited(key: str, value: Any, document: Any = MINIATURE) -> dict[str, Any]:
    """A configuration with another value at a dotted key."""
    own: dict[str, Any] = json.loads(json.dumps(document))
    *above, last = key.split(".")
    section = own
    for part in above:
        section = section.setdefault(part, {})
    section[last] = value
    return own


def found_by(document: dict[str, Any], root: Path) -> tuple[Experiment, Found]:
    """An experiment, and what it finds in the results of the miniature."""
    results(root)
    freeze(root, MINIATURE)
    experiment = load(document, "edited")
    return experiment, look(experiment, root, "", made_with(root))


@pytest.mark.parametrize("key", ["contamination.threshold", "sft.epochs", "sampling.batch_size", "shards"])
def test_what_decides_nothing_of_the_data_leaves_all_as_it_was_found(tmp_path: Path, key: str) -> None:
    own, found = found_by(edited(key, 1), tmp_path)
    assert found.changed == ()
    assert found.domains["arithmetic"].trajectories == 800
    assert sizes(own, "low", found).domains["arithmetic"].selections["positive"] == 181


def test_a_default_that_is_written_out_is_no_change(tmp_path: Path) -> None:
    _, found = found_by(edited("sampling.top_p", 1.0), tmp_path)
    assert found.changed == ()


def test_more_problems_are_scaled_by_the_shares_that_were_found(tmp_path: Path) -> None:
    """2,000 questions of two responses: 4,000, of which 25 % are right and 62.5 % wrong: 1,000 and 2,500. Of
    2,000 questions 50 are set aside: 975 and 2,437.5 are left, 974 of each kind by pairs of one."""
    own, found = found_by(edited("domains.arithmetic.problems.train", 2000), tmp_path)
    assert found.domains["arithmetic"] == FoundDomain(None, 60.0, 0.25, 0.625)
    low, high = (sizes(own, end, found).domains["arithmetic"] for end in ("low", "high"))
    assert low == high
    assert (low.trajectories, low.lengths.mean) == (4000, 60)
    assert (low.selections["positive"], low.selections["all"]) == (974, 3412)
    (said,) = found.changed
    assert said == (
        "arithmetic: domains.arithmetic.problems.train was 500, is 2000: taken from there: tokens of a "
        "response, shares of right and wrong; numbers follow from the configuration"
    )


def test_more_responses_to_a_question_are_more_rows(tmp_path: Path) -> None:
    own, found = found_by(edited("sampling.samples", 5), tmp_path)
    assert sizes(own, "low", found).domains["arithmetic"].trajectories == 2500
    assert "sampling.samples was 2, is 5" in found.changed[0]


def test_another_selection_leaves_the_trajectories_as_they_were(tmp_path: Path) -> None:
    own, found = found_by(edited("selection.size", 100), tmp_path)
    assert found.domains["arithmetic"] == FoundDomain(800, 60.0, 0.25, 0.625)
    assert sizes(own, "low", found).domains["arithmetic"].selections["positive"] == 100
    assert "selection.size was 'auto', is 100: taken from there: the number of traj" in found.changed[0]
    assert "numbers follow" not in found.changed[0]


def test_another_judge_leaves_the_lengths(tmp_path: Path) -> None:
    own, found = found_by(edited("extraction", "lenient"), tmp_path)
    assert found.domains["arithmetic"] == FoundDomain(800, 60.0)
    # 800 of which half are right, as nothing is known: of 500 questions a tenth is set aside.
    assert sizes(own, "low", found).domains["arithmetic"].selections["all"] == 720


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("sampling.temperature", 0.5),
        ("sampling.max_tokens", 128),
        ("teacher.pretrain.seed", 3),
        ("teacher.pretrain.phases.more.steps", 4),
        ("student.pretrain.phases.mix.steps", 4),  # the teacher goes on from it
        ("teacher_prompt.instruction", "Be short."),
        ("domains.arithmetic.problems.families", ["turns"]),
    ],
)
def test_another_teacher_is_assumed_as_without_results(tmp_path: Path, key: str, value: Any) -> None:
    own, found = found_by(edited(key, value), tmp_path)
    assert found.domains["arithmetic"] == FoundDomain()
    assert sizes(own, "low", found).domains == sizes(own, "low", nothing(own)).domains
    (said,) = (words for words in found.changed if words.startswith("arithmetic: "))
    assert key in said
    assert "nothing is taken from there; numbers follow" in said


def test_answers_and_rollouts_of_other_settings_are_assumed(tmp_path: Path) -> None:
    own, found = found_by(edited("evaluation.max_tokens", 200), tmp_path / "a")
    assert (found.answers, found.rollouts) == (None, 52.0)
    assert found.changed == ("answers: evaluation.max_tokens was 96, is 200: their length is assumed",)
    assert sizes(own, "low", found).suites["words"].lengths.mean == pytest.approx(0.35 * 200)
    _, found = found_by(edited("grpo.max_tokens", 90), tmp_path / "b")
    assert (found.answers, found.rollouts) == (40.0, None)


def test_without_a_record_numbers_are_not_trusted(tmp_path: Path) -> None:
    """Results by hand, or those of another version of glow, whose configuration this one does not know."""
    results(tmp_path)
    own = load(MINIATURE, "miniature")
    found = look(own, tmp_path, "", made_with(tmp_path))
    assert found.domains["arithmetic"] == FoundDomain(None, 60.0, 0.25, 0.625)
    assert "experiment.json is missing or cannot be read" in found.changed[0]
    assert (found.answers, found.rollouts) == (40.0, 52.0)
    (tmp_path / "experiment.json").write_text(json.dumps({**MINIATURE, "of_another_version": 1}))
    assert look(own, tmp_path, "", made_with(tmp_path)) == found


def test_nothing_is_said_of_results_that_are_not_there(tmp_path: Path) -> None:
    freeze(tmp_path, MINIATURE)
    own = load(edited("sampling.temperature", 0.5), "edited")
    assert look(own, tmp_path, "", made_with(tmp_path)) == nothing(own)


def test_own_rows_that_are_other_files_are_looked_at_afresh(tmp_path: Path) -> None:
    document = yaml.safe_load((ROOT / "config" / "own_data.yaml").read_text())
    own = load(document, "own")
    (domain,) = own.domain_names
    facts(tmp_path / f"trajectories/{domain}.jsonl.gz.manifest.json", trajectories=7, tokens=70)
    assert look(own, tmp_path, "", own).domains[domain] == FoundDomain(7, 10.0)
    fewer = load(edited("trajectories.limit", 5, document), "own")
    assert look(fewer, tmp_path, "", own).domains[domain] == FoundDomain(None, 10.0)
    other = load(edited("trajectories.fields.finish_reason", "why", document), "own")
    assert look(other, tmp_path, "", own).domains[domain] == FoundDomain()


def test_the_plan_of_an_edited_configuration_is_another_and_says_so(tmp_path: Path) -> None:
    """Manifests of 40,000 trajectories of mathematics; then 40,000 problems in place of 10,000."""
    document = {**PAPER, "students": {"a": STUDENTS["qwen2.5-3b"], "b": STUDENTS["qwen2.5-7b"]}}
    document.pop("student", None)
    freeze(tmp_path, document)
    facts(tmp_path / "trajectories/math.jsonl.gz.manifest.json", trajectories=40_000, tokens=400_000_000)
    judged = {"correct": 20_000, "wrong": 10_000, "unparsed": 10_000}
    facts(tmp_path / "verdicts/math.jsonl.gz.manifest.json", rows=40_000, verdicts=judged)
    machine = Machine(device("h100"), 16, 8)
    before = estimated(question_of(load(document, "paper"), machine, tmp_path))
    assert before.changed == []
    more = load(edited("domains.math.problems.train", 40_000, document), "paper")
    after = estimated(question_of(more, machine, tmp_path))
    sampled, sampled_before = (
        sum(row.work.low for row in plan.rows if row.rule == "generate") for plan in (after, before)
    )
    assert sampled > 2.5 * sampled_before
    text = text_of(after)
    assert f"{tmp_path} was made with another configuration: math: domains.math.problems.train was" in text
    assert text.count("another configuration") == 1  # though two students rest on it
    assert "right and wrong (math): 50.0% and 25.0%" in text
