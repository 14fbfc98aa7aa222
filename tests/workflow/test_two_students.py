"""Two students and two domains, run whole: what they share is made once, and the rest is of each alone."""

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from flow import TWO_STUDENTS, planned, snakemake, write

pytestmark = pytest.mark.slow

RESULTS = Path("results") / "two_students"
OF_ONE = ("sft", "grpo", "evaluation", "models/base")
"""What stands below results/<name> where there is one student."""


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the study of two students ran."""
    directory = tmp_path_factory.mktemp("two_students")
    ended = snakemake(directory, TWO_STUDENTS, "--cores", "2")
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert f"Report: {RESULTS}/report.html" in ended.stdout
    return directory


def copied(finished: Path, directory: Path) -> Path:
    """A copy of the study, with its times and Snakemake's records."""
    for name in ("results", ".snakemake"):
        shutil.copytree(finished / name, directory / name, copy_function=shutil.copy2, symlinks=True)
    return directory


def manifest(finished: Path, run: str) -> dict:
    return json.loads((finished / RESULTS / "students" / run / "manifest.json").read_text())


def test_what_is_in_domain_for_one_domain_is_ood_for_the_other(finished: Path) -> None:
    for student in ("small", "large"):
        tables = finished / RESULTS / "students" / student / "tables"
        main = pd.read_csv(tables / "main.csv").set_index(["domain", "arm"])
        assert set(main.index) == {
            (domain, arm)
            for domain in ("logic", "lists")
            for arm in ("chance level", "base", "positive", "glow")
        }
        for (domain, _), row in main.drop(index="chance level", level="arm").iterrows():
            own, other = ("boolean", "membership") if domain == "logic" else ("membership", "boolean")
            assert row["in_domain_mean"] == pytest.approx(row[f"suite_{own}_mean"])
            ood = (row[f"suite_{other}_mean"] + row["suite_brackets_mean"]) / 2
            assert row["ood_mean"] == pytest.approx(ood)


def test_each_student_is_trained_as_its_lines_say(finished: Path) -> None:
    small, large = (manifest(finished, f"{name}/sft/lists/glow/seed-0") for name in ("small", "large"))
    assert (small["settings"]["sft"]["epochs"], small["settings"]["sft"]["batch_size"]) == (2, 16)
    assert (large["settings"]["sft"]["epochs"], large["settings"]["sft"]["batch_size"]) == (1, 8)
    assert small["settings"]["objective"]["beta"] == large["settings"]["objective"]["beta"] == 5.0
    logic = manifest(finished, "small/sft/logic/glow/seed-0")
    assert logic["settings"]["objective"]["beta"] == 10.0
    assert {own["settings"]["prompt"]["system"] for own in (small, large, logic)} == {"You are taught."}
    assert manifest(finished, "small/evaluation/base/seed-0")["settings"]["prompt"]["system"] is None


def test_all_learn_from_the_same_files(finished: Path) -> None:
    inputs = [
        {file: digest for file, digest in own["inputs"].items() if "/arms/" in file}
        for own in (manifest(finished, f"{name}/sft/logic/glow/seed-0") for name in ("small", "large"))
    ]
    assert inputs[0] == inputs[1] != {}
    assert not (finished / RESULTS / "sft").exists()


def test_grpo_is_of_the_student_that_has_it(finished: Path) -> None:
    assert (finished / RESULTS / "students" / "small" / "tables" / "grpo.csv").is_file()
    assert not (finished / RESULTS / "students" / "large" / "tables" / "grpo.csv").exists()
    assert not (finished / RESULTS / "students" / "large" / "grpo").exists()


def test_gains_of_the_table_over_students_are_those_of_their_own_tables(finished: Path) -> None:
    over = pd.read_csv(finished / RESULTS / "tables" / "students.csv").set_index(["domain", "arm", "over"])
    for student in ("small", "large"):
        folder = finished / RESULTS / "students" / student / "tables"
        own = pd.read_csv(folder / "comparisons.csv").set_index(["domain", "arm", "over"])
        found = over[f"gain_{student}_mean"].reindex(own.index)
        assert found.to_list() == pytest.approx(own["difference_mean"].to_list())
    assert over["slope_qwen2_mean"].notna().all()


def test_a_second_run_has_nothing_to_do(finished: Path, tmp_path: Path) -> None:
    assert planned(copied(finished, tmp_path), TWO_STUDENTS) == []


def test_a_student_is_added_by_its_lines_alone(finished: Path, tmp_path: Path) -> None:
    directory = copied(finished, tmp_path)
    more = {"third": {"scratch": {"layers": 1}, "arms": ["positive"], "grpo": None}}
    overlay = write(directory, {"students": more}, "third.yaml")
    jobs = planned(directory, (TWO_STUDENTS, overlay))
    # Its model, an arm in two domains, all models on all suites, what is shown of it, and over all students.
    assert sorted(job.rule for job in jobs) == [
        *("evaluate", "evaluate", "evaluate", "figures", "report", "scratch", "sft", "sft"),
        *("students", "tables"),
    ]


def test_what_is_over_students_is_made_again_without_one(finished: Path, tmp_path: Path) -> None:
    directory = copied(finished, tmp_path)
    jobs = planned(directory, (TWO_STUDENTS, write(directory, {"students": {"large": None}}, "less.yaml")))
    assert [job.rule for job in jobs] == ["students"]


def test_results_of_one_student_are_not_taken_for_those_of_several(finished: Path, tmp_path: Path) -> None:
    directory = copied(finished, tmp_path)
    document = yaml.safe_load(TWO_STUDENTS.read_text())
    small = document["students"].pop("small")
    del document["students"]
    one = write(directory, document | {"student": small}, "one.yaml")
    refused = snakemake(directory, one, "--dry-run", "--cores", "1")
    assert refused.returncode == 2
    assert (
        f"{RESULTS}: has results of several students (large, small), and the configuration has"
        in refused.stdout
    )

    # The other way round: results of one, moved to where the line says, are those of a student by that name.
    home = directory / RESULTS / "students" / "small"
    for own in OF_ONE:
        (home / own).replace(directory / RESULTS / own)
    shutil.rmtree(directory / RESULTS / "students")
    refused = snakemake(directory, TWO_STUDENTS, "--dry-run", "--cores", "1")
    assert refused.returncode == 2
    assert "has results of one student (sft, grpo, evaluation, models/base)" in refused.stdout
    assert f"move them to {RESULTS}/students/small" in refused.stdout

    # Moved so, and without records that Snakemake kept of these places, nothing is trained or asked again.
    for own in OF_ONE:
        (home / own).parent.mkdir(parents=True, exist_ok=True)
        (directory / RESULTS / own).replace(home / own)
    shutil.rmtree(directory / ".snakemake")
    alone = write(directory, {"students": {"large": None}}, "alone.yaml")
    jobs = {job.rule for job in planned(directory, (TWO_STUDENTS, alone))}
    assert jobs <= {"tables", "figures", "report", "students"}
    assert "tables" in jobs
