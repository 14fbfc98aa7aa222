"""`glow plan` lists the jobs that Snakemake lists, and Snakemake takes the profile that it plans with."""

from collections import Counter
from pathlib import Path

import pytest
import yaml
from flow import ROOT, TINY, TWO_STUDENTS, planned

from glow.experiment import read
from glow.planning.jobs import jobs_of
from glow.planning.resources import read_profile

TINY_STUDY = yaml.safe_load(TINY.read_text())


def listed(directory: Path, file: Path, *options: str) -> Counter[str]:
    return Counter(job.rule for job in planned(directory, file, *options))


def expected(file: Path) -> Counter[str]:
    return Counter(job.rule for job in jobs_of(read(file)))


@pytest.mark.parametrize(
    "file", [TINY, TWO_STUDENTS, ROOT / "config/miniature.yaml"], ids=lambda file: file.stem
)
def test_the_jobs_of_a_study_are_those_of_a_dry_run(
    file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(ROOT)
    assert expected(file) == listed(tmp_path, file)


def test_so_are_those_that_only_some_studies_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Answers in shards, pass rates, further selections, a student without GRPO, a model of one's own."""
    monkeypatch.chdir(ROOT)
    model = tmp_path / "model"
    model.mkdir()
    (model / "config.json").write_text("{}")
    document = TINY_STUDY | {
        "seeds": [0, 1],
        "students": {
            "a": str(model),
            "b": {**TINY_STUDY["student"], "grpo": None, "arms": ["all"], "seeds": [1]},
        },
        "arms": {
            "all": {"trajectories": "all", "objective": "plain"},
            "pairs": {"trajectories": "all_paired", "objective": "plain"},
        },
        "evaluation": {**TINY_STUDY["evaluation"], "shards": 3},
        "grpo": {
            **TINY_STUDY["grpo"],
            "pass_rate_rollouts": 2,
            "initialisations": ["base", "all"],
            "seeds": [0],
        },
    }
    del document["student"]
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(document))
    found = expected(file)
    assert found == listed(tmp_path / "run", file)
    assert (found["pass_rates"], found["select"], found["pretrain"]) == (2, 2, 2)
    assert found["answer"] == 3 * found["evaluate"]


def test_own_trajectories_and_a_model_from_scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    file = ROOT / "config" / "own_data.yaml"
    assert expected(file) == listed(tmp_path, file)


def test_every_job_comes_after_those_that_it_waits_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    jobs = {job.key: job for job in jobs_of(read(ROOT / "config/miniature_long.yaml"))}
    replays = jobs["sft  arithmetic glow_permuted 0"]
    assert "sft  arithmetic glow 0" in replays.after
    assert jobs["grpo  arithmetic glow 0"].after[0] == "sft  arithmetic glow 0"
    assert "teacher" in jobs["generate arithmetic 0"].after
    assert jobs["teacher"].after == ("base ",)  # whose weights it goes on from
    assert set(jobs["tables "].after) == {key for key in jobs if key.startswith("evaluate ")}


def test_snakemake_takes_the_profile_of_the_paper(tmp_path: Path) -> None:
    """Two students by the names that its expressions look for; without its executor, as no SLURM is here."""
    profile = yaml.safe_load((ROOT / "profiles/paper/config.yaml").read_text())
    del profile["executor"], profile["slurm-status-command"], profile["slurm-requeue"]
    (tmp_path / "profile").mkdir()
    (tmp_path / "profile/config.yaml").write_text(yaml.safe_dump(profile))
    hub = {"hub": "Qwen/Qwen2.5-32B", "revision": "1818d35814b8319459f4bd55ed1ac8709630f003"}
    document = TINY_STUDY | {"students": {"qwen2.5-32b": hub, "qwen2.5-7b": hub}}
    del document["student"]
    sizes = {"sft": {"batch_size": 32}, "grpo": {"prompts": 32}}
    document |= {key: {**TINY_STUDY[key], **own} for key, own in sizes.items()}
    document["domains"]["logic"]["problems"]["grpo"] = 64
    file = tmp_path / "study.yaml"
    file.write_text(yaml.safe_dump(document))
    jobs = planned(tmp_path / "run", file, "--profile", str(tmp_path / "profile"))
    for rule, words in (
        ("sft", ("gpu=32, nodes=4, sharding=fsdp2", "mpi=srun, tasks=4, tasks_per_gpu=0")),
        ("grpo", ("gpu=32, nodes=4, sharding=fsdp2", "vllm_tensor_parallel_size=4")),
        ("evaluate", ("gpu=4",)),
    ):
        seen = [job.resources for job in jobs if job.rule == rule and "qwen2.5-32b" in job.wildcards]
        assert seen
        assert all(word in resources for word in words for resources in seen)
    small = [job.resources for job in jobs if job.rule == "sft" and "qwen2.5-7b" in job.wildcards]
    assert all("gpu=8, nodes=1" in resources and "mpi=, tasks=1" in resources for resources in small)


@pytest.mark.parametrize(
    "options",
    [
        ["--set-resources", "sft:runtime=77", "grpo:runtime=78"],
        [
            "--set-resources",
            "sft:gpu=4",
            "sft:runtime=79",
            "--set-resources",
            "sft:runtime=77",
            "grpo:runtime=78",
        ],
    ],
)
def test_options_take_the_place_of_a_profile_and_of_options_before_them(
    options: list[str], tmp_path: Path
) -> None:
    """What `read_profile` makes of the last words alone is what Snakemake makes of all."""
    folder = tmp_path / "profile"
    folder.mkdir()
    (folder / "config.yaml").write_text(
        "set-resources: {sft: {gpu: 2, mem_mb: 4321}, evaluate: {mem_mb: 4322}}\n"
    )
    jobs = planned(tmp_path / "run", TINY, "--profile", str(folder), *options)
    profile = read_profile(folder, ["sft:runtime=77", "grpo:runtime=78"])
    assert profile.of_rules.keys() == {"sft", "grpo"}
    assert profile.of("sft", {"of": ""}) == {"runtime": 77}
    seen = {job.rule: job.resources for job in jobs}
    assert "runtime=77, gpu=0" in seen["sft"]
    assert "mem_mb=3000" in seen["sft"]
    assert "runtime=78, gpu=0" in seen["grpo"]
    assert "mem_mb=3000" in seen["evaluate"]
