"""The DAG as a dry-run shows it: what would run, with which commands and resources, and what is refused."""

import json
import os
import re
import stat
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from flow import (
    BIN,
    ROOT,
    TINY,
    TWO_STUDENTS,
    Job,
    beside,
    command,
    environment,
    parsed,
    planned,
    prepare,
    snakemake,
    write,
)

from glow import config
from glow.config.options import section_from
from glow.errors import UserError
from glow.experiment import read
from glow.reporting.captions import figure_names, table_names

CONFIGS = [
    *sorted(file for file in (ROOT / "config").glob("*.yaml") if file.name != "reported.yaml"),
    TINY,
    TWO_STUDENTS,
]


def shipped(file: Path) -> config.Experiment:
    """A shipped configuration, read from the repository's root; skips when it names absent data."""
    try:
        return read(file)
    except UserError as error:
        if "'../" in str(error):
            pytest.skip(f"names data outside the repository: {error}")
        raise


Plan = Callable[[Path | None], list[Job]]


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """The jobs of a configuration as it is, planned in an empty folder (once: a dry-run takes seconds)."""

    @cache
    def once(file: Path | None) -> list[Job]:
        return planned(beside(tmp_path_factory.mktemp("plan") / "study"), file)

    return once


@pytest.fixture(params=CONFIGS, ids=lambda file: file.name)
def shipped_file(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(ROOT)
    shipped(request.param)
    return request.param


def expected_counts(experiment: config.Experiment) -> dict[str, int]:
    """How many jobs of each rule an experiment has, from its configuration."""
    domains, seeds = len(experiment.domain_names), len(experiment.seeds)
    own = experiment.trajectories is not None
    models = experiment.named_models.values()
    counts = {
        "pretrain": sum(model.pretrain is not None for model in models),
        "scratch": sum(model.scratch is not None for model in models),
        "fetch": sum(model.hub is not None for model in models),
        "suite": len(experiment.suites),
        "import_trajectories": 1 if own else 0,
        "problems": 0 if own else domains,
        "generate": 0 if own else domains * experiment.shards,
        "merge": 0 if own else domains,
        "contamination": domains,
        "verify": domains,
        "arms": domains * seeds,
        "select": domains * seeds * len(experiment.further_selections),
        "students": 1 if experiment.students else 0,
    }
    for study in experiment.studies.values():
        trained_on = len(study.initialisations) * len(study.grpo_seeds)
        sft = domains * len(study.seeds) * len(study.arms)
        evaluations = len(study.seeds) + sft + domains * trained_on
        shards = study.evaluation.shards
        for rule, count in {
            "sft": sft,
            "grpo": domains * trained_on,
            "answer": evaluations * shards if shards > 1 else 0,
            "evaluate": evaluations,
            **dict.fromkeys(("tables", "figures", "report"), 1),
        }.items():
            counts[rule] = counts.get(rule, 0) + count
    return {rule: count for rule, count in counts.items() if count}


# --- what would run -----------------------------------------------------------------------------


def test_every_shipped_configuration_plans_every_result(shipped_file: Path, plan: Plan) -> None:
    jobs = plan(shipped_file)
    assert Counter(job.rule for job in jobs) == expected_counts(read(shipped_file))


def test_every_command_is_one_that_glow_takes(shipped_file: Path, plan: Plan) -> None:
    for job in plan(shipped_file):
        assert parsed(job).stage.name == job.rule.removesuffix("_trajectories")


def test_hardware_and_stop_strings_reach_the_engines_and_no_other_stage(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    stop = ["\n\n", "{seed}", "--", "$HOME"]
    settings = {"sampling": {"engine": "vllm", "stop": stop}, "evaluation": {"top_k": 7, "shards": 2}}
    overlay.write_text(yaml.safe_dump(settings))
    given = [
        *("generate:gpu=4", "generate:gpu_memory_percent=80", "answer:max_model_len=9000"),
        *("answer:enforce_eager=True", "evaluate:gpu=2", "evaluate:tensor_parallel=1"),
    ]
    jobs = planned(tmp_path / "run", (TINY, overlay), "--set-resources", *given)
    seen: dict[str, set[tuple[Any, ...]]] = {}
    for job in jobs:
        words = parsed(job)
        if job.rule in ("generate", "answer", "evaluate"):
            found = section_from(words, words.stage.settings)
            seen.setdefault(job.rule, set()).add(tuple(found.hardware.model_dump().values()))
            if job.rule == "generate":
                assert found.sampling.stop == stop
            else:
                assert found.evaluation.top_k == 7
        else:
            assert not hasattr(words, "tensor_parallel")
    assert seen == {
        "generate": {(4, 80, None, False)},
        "answer": {(1, None, 9000, True)},
        "evaluate": {(1, None, None, False)},
    }


def test_the_marks_of_a_thought_reach_the_verdicts(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text('prompt: {thought: ["<begin of thought>", "<end of thought>"]}\n')
    (job,) = [job for job in planned(tmp_path / "run", (TINY, overlay)) if job.rule == "verify"]
    assert parsed(job).thought == ["<begin of thought>", "<end of thought>"]


def test_template_and_trust_reach_the_stages_that_load_the_model(tmp_path: Path) -> None:
    """The student is a hub model that is trusted; the teacher is not, and has a template of its own."""
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "prompt: {chat_template: templates/own.jinja, chat_template_kwargs: {enable_thinking: false}}\n"
        "teacher_prompt: {chat_template: chatml}\n"
        "student: {hub: org/model, revision: 0123456789abcdef0123456789abcdef01234567, "
        "trust_remote_code: true}\n"
    )
    file = tmp_path / "run" / "templates" / "own.jinja"
    file.parent.mkdir(parents=True)
    file.write_text("{{ messages }}")
    document = yaml.safe_load(TINY.read_text())
    del document["student"]
    (tmp_path / "base.yaml").write_text(yaml.safe_dump(document))
    seen: dict[str, set[tuple[bool, str, str]]] = {}
    for job in planned(tmp_path / "run", (tmp_path / "base.yaml", overlay)):
        if job.rule in ("generate", "sft", "grpo", "evaluate", "fetch"):
            options = parsed(job)
            prompt = section_from(options, config.Prompt) if job.rule != "fetch" else config.Prompt()
            words = (options.trust_remote_code, str(prompt.chat_template), str(prompt.chat_template_kwargs))
            seen.setdefault(job.rule, set()).add(words)
    trained = {(True, "templates/own.jinja", "{'enable_thinking': False}")}
    assert seen == {
        "fetch": {(True, "None", "{}")},
        "generate": {(False, "chatml", "{'enable_thinking': False}")},
        "sft": trained,
        "grpo": trained,
        "evaluate": trained,
    }


def test_settings_reach_the_stages_unchanged(plan: Plan) -> None:
    experiment = read(TINY)
    given = {
        (job.rule, job.wildcards): parsed(job)
        for job in plan(TINY)
        if job.rule in ("sft", "grpo", "evaluate", "generate")
    }
    arms = {dict(pair.split("=") for pair in wildcards.split(", "))["arm"]: options
            for (rule, wildcards), options in given.items() if rule == "sft"}  # fmt: skip
    assert set(arms) == set(experiment.arms)
    for name, options in arms.items():
        assert section_from(options, config.Sft) == experiment.sft
        assert (
            section_from(options, config.ObjectiveChoice)
            == experiment.objectives[experiment.arms[name].objective]
        )
        assert options.data.name == f"{experiment.arms[name].trajectories}.jsonl"
        assert options.all_data.name == "all.jsonl"
        assert options.held_out == Path("results/tiny/arms/logic/seed-0/held_out.jsonl")
        assert section_from(options, config.Verification) == experiment.verification
    evaluations = [options for (rule, _), options in given.items() if rule == "evaluate"]
    assert evaluations
    for options in evaluations:
        assert section_from(options, config.Evaluation) == experiment.evaluation
    assert {section_from(options, config.Verification) for options in evaluations} == {
        experiment.verification
    }


def test_no_stage_is_told_of_held_out_questions_where_there_are_none(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("selection: {held_out: 0}\nsft: {epoch_questions: 0}\n")
    for job in planned(tmp_path / "run", (TINY, overlay)):
        assert "held_out.jsonl" not in job.command
        assert "epochs.jsonl" not in job.command
        if job.rule == "sft":
            assert parsed(job).held_out is None


@pytest.mark.parametrize("result", ["sft/logic/glow/seed-0/model", "grpo/logic/base/seed-0/model"])
def test_nothing_is_trained_before_its_data_is_compared_with_the_suites(tmp_path: Path, result: str) -> None:
    (check,) = [
        job
        for job in planned(tmp_path, TINY, "--nolock", f"results/tiny/{result}")
        if job.rule == "contamination"
    ]
    options = parsed(check)
    assert section_from(options, config.Contamination) == read(TINY).contamination
    assert [str(path.relative_to("results/tiny")) for path in options.training] == [
        "trajectories/logic.jsonl.gz",
        *(f"problems/logic/{name}.jsonl" for name in ("train", "grpo")),
    ]
    assert [path.name for path in options.suites] == ["boolean.jsonl", "brackets.jsonl"]


def test_grpo_starts_from_the_base_and_from_every_arm(plan: Plan) -> None:
    models = set()
    for job in plan(TINY):
        if job.rule == "grpo":
            models.add(re.search(r"--model (\S+)", job.command)[1])  # type: ignore[index]
    arms = read(TINY).arms
    assert models == {
        "results/tiny/models/base",
        *(f"results/tiny/sft/logic/{arm}/seed-0/model" for arm in arms),
    }


def test_grpo_starts_from_the_models_and_with_the_seeds_that_are_named(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("seeds: [0, 1, 2]\ngrpo: {initialisations: [glow, base], seeds: [2, 0]}\n")
    jobs = planned(tmp_path / "run", (TINY, overlay))
    found = Counter(job.rule for job in jobs)
    assert (found["sft"], found["grpo"], found["evaluate"]) == (18, 4, 3 * 7 + 4)
    outputs = {parsed(job).output for job in jobs if job.rule == "grpo"}
    assert outputs == {
        Path(f"results/tiny/grpo/logic/{name}/seed-{seed}") for name in ("base", "glow") for seed in (0, 2)
    }
    asked = {parsed(job).output for job in jobs if job.rule == "evaluate"}
    assert {path for path in asked if "grpo" in path.parts} == {
        Path("results/tiny/evaluation", *path.parts[2:]) for path in outputs
    }


def test_grpo_chooses_problems_by_pass_rates_of_the_model_that_it_starts_from(tmp_path: Path) -> None:
    overlay = tmp_path / "filtered.yaml"
    grpo = "initialisations: [glow, base], pass_rate_rollouts: 3, eval_steps: 2, eval_problems: 4, top_k: 5"
    overlay.write_text(f"grpo: {{{grpo}}}\n")
    jobs = [job for job in planned(tmp_path, (TINY, overlay)) if job.rule in ("pass_rates", "grpo")]
    assert Counter(job.rule for job in jobs) == {"pass_rates": 2, "grpo": 2}
    measured = {parsed(job).output: parsed(job) for job in jobs if job.rule == "pass_rates"}
    trained = [parsed(job) for job in jobs if job.rule == "grpo"]
    assert {run.pass_rates for run in trained} == measured.keys()
    for run in trained:
        asked = measured[run.pass_rates]
        assert (asked.model, asked.problems, asked.rollouts) == (run.model, run.problems, "3")
        shared = ("temperature", "top_p", "top_k", "min_p", "max_tokens", "leniency", "seed")
        assert [getattr(asked, key) for key in shared] == [getattr(run, key) for key in shared]
        assert asked.timeout_s == run.verdict_timeout_s


def test_resources_of_a_machine_reach_the_commands_of_training(tmp_path: Path) -> None:
    words = "sft:report_to=tensorboard+wandb grpo:report_to=trackio grpo:vllm_gpu_memory_utilization=45"
    given = (*words.split(), "grpo:vllm_enable_sleep_mode=true", "grpo:vllm_max_model_length=512")
    jobs = planned(tmp_path, TINY, "--set-resources", *given)
    for job in jobs:
        if job.rule not in ("sft", "grpo"):
            continue
        run = parsed(job)
        _, rule, domain, name, seed = run.output.parts[-5:]
        assert (run.project, run.run_name) == ("tiny", f"{rule}/{domain}/{name}/{seed}")
        assert run.tracking_dir == "results/tiny/logs"
        if rule == "sft":
            assert run.report_to == ["tensorboard", "wandb"]
            continue
        assert run.report_to == ["trackio"]
        assert (run.vllm_gpu_memory_utilization, run.vllm_enable_sleep_mode) == ("0.45", True)
        assert run.vllm_max_model_length == "512"


@pytest.mark.parametrize(
    ("resources", "message"),
    [
        (
            ["sft:sharding=zero9"],
            "sft: resource sharding: Input should be 'ddp', 'fsdp2', 'zero2' or 'zero3'",
        ),
        (["sft:offload=True"], "sft: resource offload: with sharding ddp there are no shares to offload"),
        (["sft:nodes=0"], "sft: resource nodes: 0; give at least 1"),
        (["sft:gpu=3", "sft:nodes=2"], "sft: gpu=3, nodes=2: give the GPUs of all nodes together"),
        (["sft:processes=3"], "sft: sft.batch_size: 16 examples a step cannot be dealt evenly to 3 devices"),
        (["grpo:nodes=3"], "grpo: grpo.prompts x grpo.generations: 16 examples a step cannot be dealt"),
        (["grpo:vllm_mode=server"], "grpo: resource vllm_mode: server is not supported"),
        (["sft:gpu=eight"], "sft: resource gpu: 'eight'; give a whole number"),
        (["evaluate:gpu=two"], "evaluate: resource gpu: 'two'; give a whole number"),
        (["sft:mem_mb=lots"], "sft: resource mem_mb: 'lots'; give a whole number: the MB"),
        (
            ["sft:gpu='8 if x in wildcards.of else 1'"],
            "sft: resource gpu: '8 if x in wildcards.of else 1'; give",
        ),
        (["evaluate:gpu_memory_percent=850"], "evaluate: resource gpu_memory_percent: Input should be less"),
    ],
)
def test_resources_of_which_nothing_can_be_made_are_refused(
    tmp_path: Path, resources: list[str], message: str
) -> None:
    refused = snakemake(tmp_path, TINY, "-n", "--cores", "1", "--set-resources", *resources)
    assert refused.returncode == 2
    assert f"rule {message}" in refused.stdout
    assert "Traceback" not in refused.stdout


def test_tables_and_figures_are_those_of_the_experiment(tmp_path: Path) -> None:
    experiment = read(TINY)
    shown = snakemake(tmp_path, TINY, "--summary").stdout
    for table in table_names(experiment):
        assert f"results/tiny/tables/{table}.csv" in shown
    for figure in figure_names(experiment):
        assert f"results/tiny/figures/{figure}.png" in shown


def test_shards_of_evaluation_are_answered_before_it(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text("evaluation: {shards: 3}\n")
    jobs = planned(tmp_path / "run", (TINY, overlay))
    experiment = read(TINY, overlay)
    assert Counter(job.rule for job in jobs) == expected_counts(experiment)
    asked = [parsed(job) for job in jobs if job.rule == "answer"]
    judged = {options.output: options for job in jobs if job.rule == "evaluate" and (options := parsed(job))}
    assert len(asked) == 3 * len(judged)
    for output, whole in judged.items():
        own = [options for options in asked if options.output.parent == output / "answers"]
        assert sorted(options.output.name for options in own) == [f"shard-{k}-of-3.json" for k in range(3)]
        for options in own:
            assert options.output.name == f"shard-{options.shard}-of-{options.shards}.json"
            assert (options.model, options.suites) == (whole.model, whole.suites)
            settings = section_from(options, config.AnswerSettings)
            judging = section_from(whole, config.EvaluationSettings).model_dump()
            del judging["verification"]
            assert settings.model_dump() == judging


def test_an_arm_gets_the_further_selection_that_it_asks_for(tmp_path: Path) -> None:
    """Three arms on two further selections: two jobs a seed, and no other selection is made."""
    overlay = tmp_path / "overlay.yaml"
    selections = {"right": "positive_paired", "wrong": "negative_paired", "weighted": "negative_paired"}
    arms = {name: {"trajectories": chosen, "objective": "plain"} for name, chosen in selections.items()}
    overlay.write_text(yaml.safe_dump({"seeds": [3, 5], "arms": arms}))
    jobs = planned(tmp_path / "run", (TINY, overlay))
    experiment = read(TINY, overlay)
    assert Counter(job.rule for job in jobs) == expected_counts(experiment)
    drawn = {}
    for job in jobs:
        if job.rule == "select":
            options = parsed(job)
            drawn[str(options.output)] = section_from(options, config.SelectSettings)
            assert str(options.verdicts) == "results/tiny/verdicts/logic.jsonl.gz"
    assert drawn == {
        f"results/tiny/arms/logic/seed-{seed}/{name}.jsonl": config.SelectSettings(
            trajectories=name, held_out=experiment.selection.held_out, seed=seed
        )
        for seed in (3, 5)
        for name in ("positive_paired", "negative_paired")
    }
    trained = {
        str(options.output): str(options.data)
        for job in jobs
        if job.rule == "sft" and (options := parsed(job))
    }
    for arm, name in selections.items():
        file = trained[f"results/tiny/sft/logic/{arm}/seed-5"]
        assert file == f"results/tiny/arms/logic/seed-5/{name}.jsonl"


def test_an_arm_that_replays_waits_for_the_history_of_the_same_seed(tmp_path: Path) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(
        "seeds: [0, 1]\n"
        "objectives: {glow: {objective: glow}, permuted: {objective: glow_permuted, of: glow}}\n"
        "arms:\n"
        "  glow: {trajectories: all, objective: glow}\n"
        "  control: {trajectories: all, objective: permuted}\n"
    )
    target = "results/tiny/sft/logic/control/seed-1/manifest.json"
    jobs = planned(tmp_path / "run", (TINY, overlay), "--nolock", target)
    runs = {job.wildcards: parsed(job) for job in jobs if job.rule == "sft"}
    history = Path("results/tiny/sft/logic/glow/seed-1/history.parquet")
    assert {wildcards: options.replayed for wildcards, options in runs.items()} == {
        "of=, domain=logic, arm=glow, seed=1": None,
        "of=, domain=logic, arm=control, seed=1": history,
    }
    assert runs["of=, domain=logic, arm=glow, seed=1"].output == history.parent
    control = section_from(runs["of=, domain=logic, arm=control, seed=1"], config.ObjectiveChoice)
    assert control == config.ObjectiveChoice(objective="glow_permuted", of="glow")


def test_a_model_of_ones_own_is_used_where_it_is(tmp_path: Path) -> None:
    model = tmp_path / "mine"
    model.mkdir()
    (model / "config.json").write_text("{}")
    document = yaml.safe_load(TINY.read_text()) | {"student": str(model)}
    jobs = planned(tmp_path, write(tmp_path, document))
    assert [job.wildcards for job in jobs if job.rule == "pretrain"] == ["made=models/teacher"]
    assert all(f"--model {model} " in job.command for job in jobs if job.rule == "sft")


# --- which configuration ------------------------------------------------------------------------


def frozen(directory: Path, file: Path | None, suite: str, *options: str) -> dict[str, Any]:
    """The configuration that a run freezes, here of one suite; there must be one experiment."""
    ended = snakemake(directory, file, "--cores", "1", suite, *options)
    assert ended.returncode == 0, ended.stdout
    (written,) = directory.glob("results/*/experiment.json")
    return json.loads(written.read_text())


MINIATURE_SUITE, TINY_SUITE = "results/miniature/suites/logic.jsonl", "results/tiny/suites/boolean.jsonl"


def test_the_default_is_the_miniature(tmp_path: Path) -> None:
    miniature = yaml.safe_load((ROOT / "config" / "miniature.yaml").read_text())
    assert frozen(tmp_path, None, MINIATURE_SUITE) == miniature


def test_nothing_of_the_default_leaks_into_another_configuration(tmp_path: Path) -> None:
    assert frozen(tmp_path, TINY, TINY_SUITE) == yaml.safe_load(TINY.read_text())


def test_single_values_are_set_on_the_command_line(tmp_path: Path) -> None:
    miniature = yaml.safe_load((ROOT / "config" / "miniature.yaml").read_text())
    renamed = MINIATURE_SUITE.replace("miniature", "renamed")
    assert frozen(tmp_path / "renamed", None, renamed, "--config", "name=renamed") == miniature | {
        "name": "renamed"
    }
    sharded = frozen(tmp_path / "sharded", TINY, TINY_SUITE, "--config", "shards=3")
    assert sharded == yaml.safe_load(TINY.read_text()) | {"shards": 3}


def test_what_a_configuration_extends_is_frozen_with_it(tmp_path: Path) -> None:
    """Also the world that the command asks for; what jobs are told is drawn anew, in a folder of its own."""
    own = {"extends": "tests/workflow/tiny.yaml", "name": "own", "sft": {"epochs": 3}}
    file = write(tmp_path, own)
    suite = "results/own-world-2/suites/boolean.jsonl"
    written = frozen(tmp_path, file, suite, "--config", "world=2")
    tiny = yaml.safe_load(TINY.read_text())
    assert written == tiny | {"name": "own", "world": 2, "sft": tiny["sft"] | {"epochs": 3}}
    jobs = planned(tmp_path, file, "--config", "world=2")
    expected = expected_counts(read(TINY)) | {"suite": 1}  # one of two is there
    assert Counter(job.rule for job in jobs) == expected
    shown = ("pretrain", "problems", "suite", "sft")
    seeds = {job.rule: int(parsed(job).seed) for job in jobs if job.rule in shown}
    drawn = config.drawn_seeds(read(TINY, world=2))
    assert seeds == {
        "pretrain": drawn["student.pretrain.seed"],
        "problems": drawn["domains.logic.problems.seed"],
        "suite": drawn["suites.brackets.seed"],
        "sft": 0,
    }
    assert {str(parsed(job).output).split("/")[1] for job in jobs if job.rule == "sft"} == {"own-world-2"}


def test_a_dry_run_freezes_nothing_and_says_what_has_changed(tmp_path: Path) -> None:
    planned(tmp_path, TINY)
    assert not (tmp_path / "results").exists()
    before = frozen(tmp_path, TINY, TINY_SUITE)
    changed = tmp_path / "changed.yaml"
    changed.write_text(TINY.read_text().replace("max_tokens: 48, entropy", "max_tokens: 20, entropy"))
    shown = snakemake(tmp_path, changed, "--dry-run", "--cores", "1").stdout
    assert "the configuration is another since the last run: evaluation.max_tokens was 48, is 20" in shown
    assert json.loads((tmp_path / "results" / "tiny" / "experiment.json").read_text()) == before
    assert frozen(tmp_path, changed, "results/tiny/suites/brackets.jsonl")["evaluation"]["max_tokens"] == 20


def test_results_in_the_layout_of_another_version_stay_as_they_are(tmp_path: Path) -> None:
    old = tmp_path / "results" / "tiny"
    (old / "trajectories" / "logic").mkdir(parents=True)
    (old / "trajectories" / "logic" / "shard-0.jsonl.gz").touch()
    for options in (("--dry-run",), ()):
        ended = snakemake(tmp_path, TINY, "--cores", "1", TINY_SUITE, *options)
        assert ended.returncode == 2, ended.stdout
        said = "results/tiny: results of another version of glow, without a mark of their layout"
        assert said in ended.stdout.splitlines()[-1]
    assert [file.name for file in old.iterdir()] == ["trajectories"]
    (old / "trajectories").rename(old / "elsewhere")
    frozen(tmp_path, TINY, TINY_SUITE)
    assert planned(tmp_path, TINY)


# --- from another folder ------------------------------------------------------------------------


def test_a_study_runs_in_another_folder(tmp_path: Path) -> None:
    """Named from where one stands: Snakefile, configuration and folder, all by relative paths."""
    (tmp_path / "here").mkdir()
    snakefile, tiny = (os.path.relpath(file, tmp_path / "here") for file in (ROOT / "Snakefile", TINY))
    words = ["--snakefile", snakefile, "--configfile", tiny, "--directory", "../there", "--cores", "1"]
    ended = subprocess.run(
        [BIN / "snakemake", *words, TINY_SUITE],
        cwd=tmp_path / "here", env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr
    assert (tmp_path / "there" / TINY_SUITE).is_file()
    assert list((tmp_path / "here").iterdir()) == []
    assert "profiles/default for setting default" in ended.stderr  # what it says of reruns counts here too


def test_a_path_that_begins_elsewhere_ends_with_the_folder_and_the_way(tmp_path: Path) -> None:
    ended = subprocess.run(
        command(None, "--dry-run"),
        cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ended.returncode == 2
    said = f"reported: 'config/reported.yaml': no such file in {tmp_path}; run in the folder where the path"
    assert said in ended.stderr


# --- resources ----------------------------------------------------------------------------------


def test_every_job_says_what_it_needs(shipped_file: Path, plan: Plan) -> None:
    for job in plan(shipped_file):
        if job.resources:
            assert re.search(r"\bmem_mb=\d+", job.resources), job
            assert re.search(r"\bruntime=\d+", job.resources), job
            assert re.search(r"\bgpu=\d+", job.resources), job


def test_the_papers_models_want_a_gpu_and_the_miniatures_do_not(plan: Plan) -> None:
    paper = plan(ROOT / "config" / "paper.yaml")
    wanting = {job.rule for job in paper if "gpu=1" in job.resources}
    assert wanting == {"generate", "sft", "grpo", "evaluate"}
    assert not any("gpu=1" in job.resources for job in plan(None))


@pytest.mark.parametrize(
    ("base", "overlay", "suites"), [("own_data", "real_suites", 4), ("paper", "paper_local_sets", 13)]
)
def test_overlays_plan_over_their_configuration(
    tmp_path: Path, shared_data: Path, base: str, overlay: str, suites: int
) -> None:
    files = ROOT / "config" / f"{base}.yaml", ROOT / "config" / "overlays" / f"{overlay}.yaml"
    jobs = Counter(job.rule for job in planned(beside(tmp_path / "plan"), files))
    assert jobs["suite"] == suites
    assert jobs["evaluate"] > 0


def test_training_jobs_can_be_counted_and_are_asked_to_stop_in_time(tmp_path: Path) -> None:
    study = yaml.safe_load(TINY.read_text())
    study["evaluation"]["shards"] = 2
    jobs = planned(tmp_path / "plan", write(tmp_path, study))
    assert {job.rule for job in jobs if "training=1" in job.resources} == {"sft", "grpo"}
    asked = {job.rule for job in jobs if "--signal=USR1@600 --open-mode=append" in job.resources}
    assert asked == {"generate", "sft", "grpo", "answer", "evaluate"}


def test_the_miniature_plans_under_slurm(tmp_path: Path) -> None:
    jobs = planned(tmp_path, None, "--profile", str(ROOT / "profiles" / "slurm"))
    experiment = read(ROOT / "config" / "miniature.yaml")
    assert Counter(job.rule for job in jobs) == expected_counts(experiment)


def test_a_profile_of_ones_own_says_what_a_cluster_asks_for(tmp_path: Path) -> None:
    """As docs/cluster.md has it: a copy with a line more; rules keep what they ask for."""
    profile = tmp_path / "local" / "config.yaml"
    profile.parent.mkdir()
    shipped_profile = (ROOT / "profiles" / "slurm" / "config.yaml").read_text()
    profile.write_text(shipped_profile + "default-resources: {slurm_partition: gpu, slurm_account: mine}\n")
    jobs = planned(tmp_path / "plan", TINY, "--profile", str(profile.parent))
    for job in jobs:
        if job.resources:
            assert "slurm_partition=gpu" in job.resources, job
            assert "slurm_account=mine" in job.resources
            assert "mem_mb=3000" in job.resources or "mem_mb=8000" in job.resources


def test_slurm_gets_a_rules_gpu_memory_and_time(tmp_path: Path) -> None:
    """A stand-in for sbatch notes what it is asked for, and refuses the job."""
    notes = tmp_path / "asked"
    sbatch = tmp_path / "bin" / "sbatch"
    sbatch.parent.mkdir()
    sbatch.write_text(f'#!/bin/sh\necho "$@" >> {notes}\necho "no such cluster" >&2\nexit 1\n')
    for name in ("squeue", "sinfo", "scancel", "sacct", "sacctmgr", "sshare"):
        (tmp_path / "bin" / name).write_text("#!/bin/sh\nexit 0\n")
    for program in sbatch.parent.iterdir():
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    prepare(tmp_path)
    profile = ["--profile", str(ROOT / "profiles" / "slurm"), "--retries", "0"]
    profile += ["--slurm-init-seconds-before-status-checks", "1"]
    extra = "slurm_extra=--signal=USR1@600 --open-mode=append"
    options = ["results/tiny/suites/boolean.jsonl", *profile]
    options += ["--default-resources", "slurm_partition=gpu", "slurm_account=mine"]
    options += ["--set-resources", "suite:gpu=2", "suite:training=1", f"suite:{extra}"]
    path = f"{sbatch.parent}{os.pathsep}{os.environ['PATH']}"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("PATH", path)
        ended = snakemake(tmp_path, TINY, *options)
    assert ended.returncode == 1, ended.stdout
    assert notes.exists(), ended.stdout
    asked = notes.read_text()
    assert "--mem 3000" in asked
    assert "-t 60" in asked
    assert "--gpus=2" in asked
    assert "-A mine" in asked
    assert "-p gpu" in asked
    # For the stages that go on where they stopped; the number of training jobs is Snakemake's to limit.
    assert " --signal=USR1@600 --open-mode=append " in asked
    assert "--requeue" in asked
    assert "--training" not in asked.partition("--wrap")[0]
    assert str(BIN) in asked
    # A job that starts late reads what was frozen, and not the file as it is then.
    assert f"--configfiles {tmp_path}/results/tiny/experiment.json " in asked
    assert str(TINY) not in asked


# --- what is refused while the Snakefile is parsed ------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sead": [0]}, "sead: unknown key; did you mean 'seeds'?"),
        ({"seeds": "one"}, "seeds: input should be a valid list, found 'one'"),
        ({"sft": {"epochs": 0}}, "sft.epochs: input should be greater than 0, found 0"),
        ({"suites": {"mth500": {}}}, "suites.mth500: suite 'mth500' is unknown; did you mean 'math500'?"),
        ({"suites": {"math500": {"file": "none.jsonl"}}}, "suites.math500.file: 'none.jsonl': no such file"),
        ({"student": "models/none"}, "student: 'models/none' is not a model"),
        ({"reported": "none.yaml"}, "reported: 'none.yaml': no such file"),
        ({"name": None}, "name: nothing is given; give it a value, or remove the key"),
    ],
)
def test_a_mistake_ends_snakemake_with_code_2_and_its_message(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    file = write(tmp_path, yaml.safe_load(TINY.read_text()) | changes)
    ended = snakemake(tmp_path, file, "--cores", "1")
    assert ended.returncode == 2
    assert f"{file}: {message}" in ended.stdout
    assert "Traceback" not in ended.stdout
    assert len(ended.stdout.splitlines()) <= 4
    assert not (tmp_path / "results").exists()


def test_trajectories_that_are_not_there_end_with_code_2(tmp_path: Path) -> None:
    document = yaml.safe_load(TINY.read_text())
    for key in ("domains", "teacher", "sampling", "grpo", "shards"):
        del document[key]
    del document["suites"]["boolean"]["domain"]
    file = write(tmp_path, document | {"trajectories": {"files": ["none.jsonl"]}})
    ended = snakemake(tmp_path, file, "--cores", "1")
    assert ended.returncode == 2
    assert f"{file}: trajectories.files: 'none.jsonl': no such file" in ended.stdout
