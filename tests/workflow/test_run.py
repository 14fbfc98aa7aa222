"""Whole studies at the smallest scale: every result is there, and only what must be is made again."""

import json
import os
import random
import re
import shutil
import subprocess
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import pytest
from flow import (
    BIN,
    ROOT,
    TINY,
    contents,
    environment,
    glow,
    kill,
    planned,
    prepare,
    snakemake,
    start,
)

from glow.experiment import read
from glow.files.jsonl import read_jsonl
from glow.files.lock import Holder
from glow.models.templates import template_text

pytestmark = pytest.mark.slow

KILLS = 5
NOTHING = "Nothing to be done (all requested files are present and up to date)."


@dataclass(frozen=True)
class Finished:
    """A finished run: where it ran, what Snakemake printed, and how long it took."""

    directory: Path
    shown: str
    seconds: float

    @property
    def results(self) -> Path:
        return self.directory / "results" / "tiny"


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Finished:
    """The tiny study, run without interruption."""
    directory = tmp_path_factory.mktemp("finished")
    started = time.monotonic()
    ended = snakemake(directory, TINY, "--cores", "2")
    assert ended.returncode == 0, ended.stdout[-5000:]
    return Finished(directory, ended.stdout, time.monotonic() - started)


def table(run: Finished, name: str) -> pd.DataFrame:
    return pd.read_csv(run.results / "tables" / f"{name}.csv")


# --- a whole run --------------------------------------------------------------------------------


def test_the_main_table_has_every_arm_and_suite(finished: Finished) -> None:
    experiment, main = read(TINY), table(finished, "main")
    assert list(main["arm"]) == ["chance level", "base", *experiment.arms]
    models = main[main["arm"] != "chance level"]
    measured = [column for column in main if column.endswith("_mean") or column == "n"]
    assert {f"suite_{suite}_mean" for suite in experiment.suites} <= set(measured)
    assert models[measured].notna().all(axis=None)
    scores = main[[column for column in measured if column.startswith("suite_")]]
    assert scores.ge(0).all(axis=None)
    assert scores.le(100).all(axis=None)


def test_a_run_without_a_break_is_called_one_run(finished: Finished) -> None:
    assert len((finished.results / "runs.jsonl").read_text().splitlines()) == 1
    assert "\none run, first start to last finish: " in finished.shown
    assert "no job is known of" not in finished.shown


def test_the_grpo_table_has_every_initialisation(finished: Finished) -> None:
    experiment, grpo = read(TINY), table(finished, "grpo")
    assert list(grpo["initialisation"]) == ["base", *experiment.arms, "all initialisations"]
    # Where no answer of so small a model differs from another there is no error, and no interval.
    uncertain = ("_se", "_low", "_high", "_p_holm")
    assert grpo[[column for column in grpo if not column.endswith(uncertain)]].notna().all(axis=None)


def test_no_cell_of_a_printed_table_is_empty(finished: Finished) -> None:
    for file in (finished.results / "tables").glob("*.md"):
        rows = [line for line in file.read_text().splitlines() if line.startswith("|")]
        assert len(rows) > 2, file
        for row in rows:
            assert all(cell.strip() for cell in row.strip("|").split("|")), f"{file}: {row}"


def test_every_trajectory_is_counted_once(finished: Finished) -> None:
    experiment = read(TINY)
    verdicts = list(read_jsonl(finished.results / "verdicts" / "logic.jsonl.gz"))
    assert experiment.sampling is not None
    assert len(verdicts) == experiment.domains["logic"].problems.train * experiment.sampling.samples
    data = table(finished, "data").query("group == 'verdict'").set_index("item")["n"]
    assert data.to_dict() == dict.fromkeys(data.index, 0) | Counter(row["verdict"] for row in verdicts)


def test_every_step_of_every_sample_is_kept(finished: Finished) -> None:
    arms = finished.results / "arms" / "logic" / "seed-0"
    everything = {row["trajectory_id"] for row in read_jsonl(arms / "all.jsonl")}
    for arm in ("all", "glow", "glow_released"):
        history = pd.read_parquet(finished.results / "sft" / "logic" / arm / "seed-0" / "history.parquet")
        for _, epoch in history.groupby("epoch"):
            assert set(epoch["trajectory_id"]) == everything
            assert len(epoch) == len(everything)


def test_no_arm_trains_on_a_held_out_question_and_each_measures_them(finished: Finished) -> None:
    experiment, folder = read(TINY), finished.results / "arms" / "logic" / "seed-0"
    held = {row["problem_id"] for row in read_jsonl(folder / "held_out.jsonl")}
    assert len(held) == experiment.selection.held_out == 6
    for name in ("positive", "negative", "mixed", "all"):
        assert not held & {row["problem_id"] for row in read_jsonl(folder / f"{name}.jsonl")}
    before = []
    for arm in experiment.arms:
        run = finished.results / "sft" / "logic" / arm / "seed-0"
        rows = list(read_jsonl(run / "epochs.jsonl"))
        epochs = pd.read_parquet(run / "history.parquet")["epoch"].unique()
        assert [row["epoch"] for row in rows] == [0, *sorted(epochs)]
        assert {row["questions"] for row in rows} == {4}
        before.append(rows[0])
    assert all(row == before[0] for row in before)


def test_while_it_runs_there_is_a_line_for_the_study_and_no_command_or_bar(finished: Finished) -> None:
    during = finished.shown[: finished.shown.rindex("stages done |")]
    lines = [
        line
        for line in during.splitlines()
        if line and not line.startswith("Using workflow specific profile")
    ]
    assert len(lines) > 1
    assert [line for line in lines[:-1] if not re.match(r"\[..:..:..\] tiny: \d+ of \d+ jobs, ", line)] == []
    assert "\r" not in finished.shown
    counted = re.findall(r"tiny: (\d+) of (\d+) jobs, (\d+) of (\d+) ", finished.shown)[-1]
    assert counted[0] == counted[1]
    assert counted[2] == counted[3]


def test_the_run_ends_with_times_by_stage_and_where_the_report_is(finished: Finished) -> None:
    end = finished.shown[finished.shown.rindex("stages done |") :]
    assert "pretrain" in end
    assert "peak memory" in end
    failed = re.findall(r"^gate FAILED: .*; asked: .*$", end, re.MULTILINE)
    assert failed  # so small a study shows nothing
    count = len(table(finished, "gates"))
    assert f"{len(failed)} of {count} gates FAILED" in end
    printed = float(end.split("Snakemake's own included: ")[1].split()[0].replace(",", ""))
    jobs = pd.DataFrame(json.loads(file.read_text()) for file in finished.results.rglob("*manifest.json"))
    assert jobs["cpu_s"].gt(0).all()
    assert jobs["cpu_s"].sum() <= printed + 1  # rounding
    assert "Report: results/tiny/report.html" in end
    report = (finished.results / "report.html").read_text()
    assert "http" not in [part[:4] for part in report.split('src="')[1:]]


def test_each_job_has_a_log_and_a_benchmark(finished: Finished) -> None:
    jobs = Counter(file.relative_to(finished.results / "benchmarks").parts[0]
                   for file in (finished.results / "benchmarks").rglob("*.tsv"))  # fmt: skip
    assert jobs["sft"] == 6
    assert jobs["grpo"] == 7
    assert jobs["evaluate"] == 14
    logs = list((finished.results / "logs").rglob("*.log"))
    assert len(logs) == sum(jobs.values())
    assert all(file.read_text().strip() for file in logs)


# --- a second run -------------------------------------------------------------------------------


def test_a_second_run_has_nothing_to_do_and_says_so(finished: Finished) -> None:
    ended = snakemake(finished.directory, TINY, "--cores", "2")
    assert ended.returncode == 0
    assert NOTHING in ended.stdout


@contextmanager
def without(path: Path) -> Iterator[None]:
    """A result that is gone for a while; it comes back as it was, times included."""
    aside = path.with_name(path.name + ".aside")
    path.rename(aside)
    try:
        yield
    finally:
        aside.rename(path)


ARMS = """arms:
  positive: {trajectories: positive, objective: plain}
  negative: {trajectories: negative, objective: plain}
  mixed: {trajectories: mixed, objective: plain}
  all: {trajectories: all, objective: plain}
  glow: {trajectories: all, objective: glow}
  glow_released: {trajectories: all, objective: glow_released}
"""
ANOTHER = "  another: {trajectories: mixed, objective: glow}\n"
PAIRS = """  every: {trajectories: positive_all, objective: plain}
  right: {trajectories: positive_paired, objective: plain}
  wrong: {trajectories: negative_paired, objective: plain}
  weighted: {trajectories: negative_paired, objective: glow}
"""
OBJECTIVES = """objectives:
  plain: {{objective: plain}}
  glow: {{objective: glow, {}}}
  glow_released: {{objective: glow, clamp: [0.5, 5.0]}}
"""
LAST = {"tables": 1, "figures": 1, "report": 1}
ANEW = {"generate": 2, "merge": 1, "contamination": 1, "verify": 1, "arms": 1, "sft": 6, "grpo": 6,
        "evaluate": 12, **LAST}  # fmt: skip


@pytest.mark.parametrize(
    ("path", "again"),
    [
        ("report.html", {"report": 1}),
        ("tables/main.csv", LAST),
        ("figures/main.svg", {"figures": 1, "report": 1}),
        ("evaluation/sft/logic/glow/seed-0/samples.jsonl.gz", {"evaluate": 1, **LAST}),
        ("evaluation/base/seed-0/scores.json", {"evaluate": 1, **LAST}),
        ("grpo/logic/all/seed-0/model", {"grpo": 1, "evaluate": 1, **LAST}),
        ("sft/logic/mixed/seed-0/history.parquet", {"sft": 1, "grpo": 1, "evaluate": 2, **LAST}),
        ("sft/logic/mixed/seed-0/model", {"sft": 1, "grpo": 1, "evaluate": 2, **LAST}),
        ("contamination/logic/report.json", {"contamination": 1, **LAST}),
        ("contamination/logic/manifest.json",
         {"contamination": 1, "sft": 6, "grpo": 7, "evaluate": 13, **LAST}),
        ("arms/logic/seed-0/positive.jsonl", {"arms": 1, "sft": 6, "grpo": 6, "evaluate": 12, **LAST}),
        ("problems/logic/grpo.jsonl", ANEW | {"problems": 1, "grpo": 7, "evaluate": 13}),
        ("trajectories/logic.jsonl.gz", ANEW),
        ("models/teacher", ANEW | {"pretrain": 1}),
        ("suites/brackets.jsonl", ANEW | {"suite": 1, "problems": 1, "grpo": 7, "evaluate": 14}),
    ],
)  # fmt: skip
def test_a_deleted_result_is_made_again_with_what_depends_on_it(
    finished: Finished, path: str, again: dict[str, int]
) -> None:
    with without(finished.results / path):
        jobs = planned(finished.directory, TINY)
    assert Counter(job.rule for job in jobs) == again


TRAINED = {"sft": 6, "grpo": 7, "evaluate": 13, **LAST}
TRAINED_ARMS = {"sft": 6, "grpo": 6, "evaluate": 12, **LAST}
OF_ONE_ARM = {"sft": 1, "grpo": 1, "evaluate": 2, **LAST}


@pytest.mark.parametrize(
    ("found", "put", "again"),
    [
        ("seeds: [0]", "seeds: [0, 1]", {"arms": 1, **TRAINED, "evaluate": 14}),
        ("sft:\n", ARMS + ANOTHER + "sft:\n", OF_ONE_ARM),
        ("sft:\n", ARMS + PAIRS + "sft:\n", {"select": 3, "sft": 4, "grpo": 4, "evaluate": 8, **LAST}),
        ("sft:\n", ARMS.replace("mixed, objective: plain", "mixed, objective: glow") + "sft:\n", OF_ONE_ARM),
        ("sft:\n", OBJECTIVES.format("alpha: 2.0") + "sft:\n", OF_ONE_ARM),
        ("sft:\n", OBJECTIVES.format("alpha: 1.0") + "sft:\n", LAST),
        ("sft:\n", "extraction: lenient\nsft:\n",
         {"verify": 1, "arms": 1, **TRAINED, "evaluate": 14}),
        ("held_out: 6", "held_out: 7", {"arms": 1, **TRAINED_ARMS}),
        ("held_out: 6", "held_out: 6, held_out_seed: 1", {"arms": 1, **TRAINED_ARMS}),
        ("epoch_questions: 4", "epoch_questions: 3", TRAINED_ARMS),
        ("sft:\n", "contamination: {threshold: 0.5}\nsft:\n", {"contamination": 1, **LAST}),
        ("suites:\n", "suites:\n  membership: {families: [membership], problems: 8}\n",
         {"suite": 1, "contamination": 1, "evaluate": 14, **LAST}),
        ("shards: 2", "shards: 5", LAST),
        ("samples: 4, temperature: 0.7", "samples: 4, temperature: 0.6", ANEW),
        ("entropy_samples: 8", "entropy_samples: 9", {"evaluate": 14, **LAST}),
        ("steps: 2\n", "steps: 3\n", {"grpo": 7, "evaluate": 7, **LAST}),
        ("grpo:\n", "grpo:\n  warmup_steps: 1\n", {"grpo": 7, "evaluate": 7, **LAST}),
        ("grpo:\n", "grpo:\n  initialisations: [base, glow]\n  seeds: [0]\n", LAST),
        ("checkpoints: 2", "checkpoints: 3", LAST),
        ("gradient_checkpointing: false", "gradient_checkpointing: true", LAST),
        ("max_tokens: 48, entropy", "max_tokens: 48, batch_size: 7, entropy", LAST),
        ("max_tokens: 48, entropy", "max_tokens: 48, shards: 3, entropy", LAST),
        ("temperature: 0.7", "temperature: 0.7, batch_size: 7", LAST),
        ("sft:\n", "margin: 2.0\ncontrasts: [{arm: glow, over: all, scope: ood}]\nsft:\n", LAST),
        ("# The smallest", "# A remark: the smallest", {}),
    ],
    ids=["seed", "arm", "arms on further selections", "objective", "alpha", "alpha as it was", "extraction",
         "held-out questions", "other held-out questions", "questions answered by epoch", "threshold",
         "new suite", "shards", "teacher's temperature", "entropy", "steps of GRPO",
         "warm-up of GRPO", "models of GRPO", "checkpoints", "recomputing",
         "batch of evaluation", "shards of evaluation", "batch of sampling", "margin and contrasts",
         "comment"],
)  # fmt: skip
def test_what_a_change_of_the_configuration_runs_again(
    finished: Finished, tmp_path: Path, found: str, put: str, again: dict[str, int]
) -> None:
    """What changes no number makes no number again: the last three stages show the configuration."""
    changed = tmp_path / "changed.yaml"
    text = TINY.read_text()
    assert found in text
    changed.write_text(text.replace(found, put, 1))
    assert Counter(job.rule for job in planned(finished.directory, changed)) == again


def test_a_further_selection_is_made_beside_the_others_and_makes_none_of_them_again(
    finished: Finished, tmp_path: Path
) -> None:
    """As in results of the version before, which had none; a second arm on it then finds it made."""
    results = copied(finished, tmp_path)
    changed = tmp_path / "changed.yaml"
    changed.write_text(TINY.read_text().replace("sft:\n", ARMS + PAIRS + "sft:\n", 1))
    folder = results / "arms" / "logic" / "seed-0"
    before = {file: file.stat().st_mtime_ns for file in folder.iterdir()}
    made = [f"{folder.relative_to(tmp_path)}/{name}_paired.jsonl" for name in ("positive", "negative")]
    ended = snakemake(tmp_path, changed, "--cores", "1", *made)
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert {file: file.stat().st_mtime_ns for file in before} == before
    right, wrong = ([row["problem_id"] for row in read_jsonl(tmp_path / file)] for file in made)
    held_out = {row["problem_id"] for row in read_jsonl(folder / "held_out.jsonl")}
    assert held_out
    verdicts = [
        (row["problem_id"], row["verdict"])
        for row in read_jsonl(results / "verdicts" / "logic.jsonl.gz")
        if row["problem_id"] not in held_out
    ]
    pairs = {
        problem: min(verdicts.count((problem, "correct")), verdicts.count((problem, "wrong")))
        for problem, _ in verdicts
    }
    assert Counter(right) == Counter(wrong) == +Counter(pairs)
    again = Counter(job.rule for job in planned(tmp_path, changed))
    assert again == {"select": 1, "sft": 4, "grpo": 4, "evaluate": 8, **LAST}


def test_another_start_of_grpo_runs_that_grpo_alone(finished: Finished) -> None:
    """As after a run with `grpo.initialisations` without it: its results are not there yet."""
    missing = [finished.results / folder / "logic" / "glow" for folder in ("grpo", "evaluation/grpo")]
    with without(missing[0]), without(missing[1]):
        jobs = planned(finished.directory, TINY)
    assert Counter(job.rule for job in jobs) == {"grpo": 1, "evaluate": 1, **LAST}
    assert {job.wildcards for job in jobs if job.rule == "grpo"} == {"of=, domain=logic, init=glow, seed=0"}


def test_another_version_of_glow_runs_nothing_again(finished: Finished, tmp_path: Path) -> None:
    """Its package has another number and other code, its rules other shell lines: results are as good."""
    for name in ("Snakefile", "workflow", "profiles", "config", "pyproject.toml", "src"):
        copied = tmp_path / "glow" / name
        copied.parent.mkdir(exist_ok=True)
        (shutil.copytree if (ROOT / name).is_dir() else shutil.copy)(ROOT / name, copied)
    for file in (tmp_path / "glow" / "workflow" / "rules").glob("*.smk"):
        file.write_text(file.read_text().replace("2>&1 | tee -a", "2>&1  | tee -a"))
    source = tmp_path / "glow" / "src"
    for file in (source / "glow").rglob("*.py"):
        file.write_text(file.read_text() + "\n# Of the next version.\n")
    (source / "glow_sft-99.0.dist-info").mkdir()
    (source / "glow_sft-99.0.dist-info" / "METADATA").write_text("Name: glow-sft\nVersion: 99.0\n")
    options = ["--dry-run", "--cores", "1", "--snakefile", tmp_path / "glow" / "Snakefile"]
    installed = "import glow, importlib.metadata as m; print(glow.__file__, m.version('glow-sft'))"
    shown, version = (
        subprocess.run(
            words, cwd=finished.directory, env=environment() | {"PYTHONPATH": str(source)},
            capture_output=True, text=True, check=False,
        )
        for words in ([BIN / "snakemake", *options, "--configfile", TINY], [BIN / "python", "-c", installed])
    )  # fmt: skip
    assert version.stdout == f"{source}/glow/__init__.py 99.0\n"
    assert NOTHING in shown.stdout + shown.stderr


def test_a_table_made_again_is_the_same(finished: Finished) -> None:
    files = sorted((finished.results / "tables").glob("*.*"))
    before = {file.name: file.read_bytes() for file in files if file.name != "manifest.json"}
    (finished.results / "tables" / "main.csv").unlink()
    ended = snakemake(finished.directory, TINY, "--cores", "2")
    assert ended.returncode == 0, ended.stdout
    assert {name: (finished.results / "tables" / name).read_bytes() for name in before} == before


# --- copies ---------------------------------------------------------------------------------------


def copied(finished: Finished, to: Path) -> Path:
    """The results and what Snakemake knows of them, in another folder; files and folders keep their times."""
    for name in ("results", ".snakemake"):
        shutil.copytree(finished.directory / name, to / name)
    return to / "results" / "tiny"


def test_results_copied_with_their_times_are_as_good_as_the_first(finished: Finished, tmp_path: Path) -> None:
    copied(finished, tmp_path)
    assert planned(tmp_path, TINY) == []
    changed = tmp_path / "changed.yaml"
    changed.write_text(TINY.read_text().replace("entropy_samples: 8", "entropy_samples: 9"))
    assert Counter(job.rule for job in planned(tmp_path, changed)) == {"evaluate": 14, **LAST}
    shutil.rmtree(tmp_path / ".snakemake")  # By their times alone nothing is to be done...
    assert planned(tmp_path, TINY) == []
    refused = snakemake(tmp_path, changed, "--dry-run", "--cores", "1")  # ... but that is not left at it,
    assert refused.returncode == 2
    assert "14 manifest(s) with other settings" in refused.stdout
    assert "Snakemake has no record of how these were made: delete them" in refused.stdout
    lock = tmp_path / "results" / "tiny" / "sft" / "logic" / "glow" / ".seed-0.lock"
    lock.write_text(json.dumps(vars(Holder.here("glow sft"))) + "\n")
    refused = snakemake(tmp_path, changed, "--dry-run", "--cores", "1")  # Nobody deletes beside jobs at work.
    assert refused.returncode == 2
    assert "stages of an earlier run are still making results" in refused.stdout
    assert "delete them" not in refused.stdout
    lock.unlink()
    refused = glow(tmp_path, "tables", str(changed))  # ... and no tables are made of it.
    assert refused.returncode == 2
    assert "14 manifest(s) with other settings" in refused.stderr


def test_one_evaluation_with_other_settings_is_in_no_table(finished: Finished, tmp_path: Path) -> None:
    results = copied(finished, tmp_path)
    prepare(tmp_path)
    table, manifest = (results / name for name in ("tables/main.csv", "evaluation/base/seed-0/manifest.json"))
    noted = json.loads(manifest.read_text())
    noted["settings"]["evaluation"]["max_tokens"] = 20
    manifest.write_text(json.dumps(noted))
    table.unlink()
    ended = snakemake(tmp_path, TINY, "--cores", "1", str(table.relative_to(tmp_path)))
    assert ended.returncode == 1
    assert f"evaluation.max_tokens was 20, is 48: {manifest.relative_to(tmp_path)}\n" in ended.stdout
    assert "Traceback" not in ended.stdout
    assert not table.exists()


def test_tables_of_a_finished_study_can_be_made_by_hand(finished: Finished, tmp_path: Path) -> None:
    results = copied(finished, tmp_path)
    made = glow(tmp_path, "tables", str(results / "experiment.json"))
    assert made.returncode == 0, made.stderr


FILES_OF_ONES_OWN = """
name: own
seeds: [0]
trajectories: {files: [rows.jsonl], grpo: 4}
student: scratch
prompt: {chat_template: own.jinja}
arms: {positive: {trajectories: positive, objective: plain}}
sft: {epochs: 1, precision: fp32, gradient_checkpointing: false, max_length: 64}
grpo: {steps: 1, prompts: 2, generations: 2, max_tokens: 8, precision: fp32, gradient_checkpointing: false}
suites: {boolean: {families: [boolean], problems: 8}}
evaluation: {max_tokens: 8, shards: 2}
"""


def test_a_file_of_ones_own_that_changes_makes_again_what_reads_it(tmp_path: Path) -> None:
    rows, template, file = (tmp_path / name for name in ("rows.jsonl", "own.jinja", "own.yaml"))
    rows.write_text("\n".join(ROWS) + "\n")
    template.write_text(template_text("chatml"))
    file.write_text(FILES_OF_ONES_OWN)
    ended = snakemake(tmp_path, file, "--cores", "2")
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert planned(tmp_path, file) == []
    assert {file.name for file in tmp_path.rglob("answers/*")} == {"boolean.jsonl.gz", "entropy.json"}
    trained = {"sft": 1, "grpo": 2, "answer": 8, "evaluate": 4, **LAST}
    before = template.stat()
    os.utime(template)
    assert Counter(job.rule for job in planned(tmp_path, file)) == trained
    os.utime(template, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert planned(tmp_path, file) == []
    os.utime(rows)
    imported = {"import_trajectories": 1, "scratch": 1, "contamination": 1, "verify": 1, "arms": 1}
    assert Counter(job.rule for job in planned(tmp_path, file)) == imported | trained


# --- interruption -------------------------------------------------------------------------------


def test_a_run_killed_again_and_again_ends_in_the_same_results(finished: Finished, tmp_path: Path) -> None:
    chance = random.Random()
    waits = [chance.uniform(2, finished.seconds / 3) for _ in range(KILLS)]
    print(f"killed after {waits} s")  # Shown when the test fails.
    for wait in waits:
        with (tmp_path / "killed.log").open("a") as log:
            run = start(tmp_path, TINY, "--cores", "2", output=log)
            time.sleep(wait)
            kill(run)
        assert glow(tmp_path, "unlock").returncode == 0
    ended = snakemake(tmp_path, TINY, "--cores", "2")
    assert ended.returncode == 0, ended.stdout[-5000:]
    assert contents(tmp_path / "results" / "tiny") == contents(finished.results)
    shutil.rmtree(tmp_path)


def test_a_live_run_keeps_its_lock(finished: Finished, tmp_path: Path) -> None:
    run = start(tmp_path, TINY, "--cores", "1")
    try:
        while not list(tmp_path.glob(".snakemake/locks/*.lock")):
            assert run.poll() is None
            time.sleep(0.1)
        refused = glow(tmp_path, "unlock")
        assert refused.returncode == 2
        assert f"pid {run.pid}" in refused.stderr
        second = snakemake(tmp_path, TINY, "--cores", "1")
        assert second.returncode == 1
        assert "LockException" in second.stdout
    finally:
        kill(run)
    cleared = glow(tmp_path, "unlock")
    assert cleared.returncode == 0
    assert "cleared the lock" in cleared.stdout


# --- failing jobs -------------------------------------------------------------------------------

ROWS = [f'{{"question": "What is {n} + 1?", "answer": "{n + 1}", "response": "\\\\boxed{{{n + 1 + n % 2}}}"}}'
        for n in range(12)]  # fmt: skip
OWN = """
name: own
seeds: [0]
trajectories: {{files: [rows.jsonl]{more}}}
student: scratch
sft: {{budget: steps, epochs: 1, precision: fp32, gradient_checkpointing: false, max_length: 64}}
suites: {{boolean: {{families: [boolean], problems: 8}}}}
evaluation: {{max_tokens: 8}}
"""


@pytest.mark.parametrize(
    ("rows", "more", "log", "message"),
    [
        ([*ROWS[:2], '{"question": ', *ROWS[3:]], "", "import/own", "rows.jsonl:3: not valid JSON"),
        (
            [*ROWS[:4], '{"question": "a", "answer": "b"}'],
            "",
            "import/own",
            "rows.jsonl:5: no key 'response'",
        ),
        (
            [row.replace("{", f'{{"id": {n // 2}, ', 1) for n, row in enumerate(ROWS)],
            ", fields: {id: id}",
            "import/own",
            "rows.jsonl:2: ",
        ),
        (ROWS[1::2], "", "arms/own/seed-0", "found 0 correct and 6 wrong trajectories"),
    ],
    ids=["malformed JSON", "missing key", "duplicate ids", "no positives"],
)
def test_a_failed_job_says_why_last_in_its_log_and_on_screen(
    tmp_path: Path, rows: list[str], more: str, log: str, message: str
) -> None:
    (tmp_path / "rows.jsonl").write_text("\n".join(rows) + "\n")
    file = tmp_path / "own.yaml"
    file.write_text(OWN.format(more=more))
    ended = snakemake(tmp_path, file, "--cores", "2")
    assert ended.returncode == 1
    last = (tmp_path / "results" / "own" / "logs" / f"{log}.log").read_text().splitlines()[-1]
    assert message in last
    assert last in ended.stdout
    assert "Traceback" not in ended.stdout
    assert not (tmp_path / "results" / "own" / "sft").exists()
