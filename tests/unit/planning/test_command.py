"""planning.command, needs: `glow plan` and the memory part of `glow check`, as a user meets them."""

import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from five import PROFILE, ROOT

from glow import cli
from glow.planning.resources import read_profile

PAPER, MINIATURE = "config/paper.yaml", "config/miniature.yaml"


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_a_plan_is_printed_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "plan.csv"
    assert cli.main(["plan", MINIATURE, "--gpu", "cpu", "--gpus-per-node", "2", "--csv", str(file)]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("miniature, one student, on 1 node of 2 cores")
    assert shown.endswith(f"{file}: 14 rows\n")
    assert file.read_text().startswith("stage,student,jobs,")


def test_what_does_not_fit_ends_in_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", PAPER, "--gpu", "h100"]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert "glow plan: grpo of qwen2.5-3b: 88 GB on each GPU" in shown.err
    assert "nearest that fits: --set-resources sft:sharding=fsdp2 sft:gpu=4 (59 GB on each GPU)" in shown.err


def refusal(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert cli.main(["plan", *words]) == 2
    return capsys.readouterr().err


def test_a_profile_with_resources_is_what_is_to_be_changed(capsys: pytest.CaptureFixture[str]) -> None:
    """Options would take the place of all that it says of rules."""
    said = refusal(capsys, PAPER, "--gpu", "a100-40", "--profile", "profiles/paper")
    file = "in profiles/paper/config.yaml, below set-resources"
    assert f"nearest that fits: {file}, grpo: {{vllm_tensor_parallel_size: 4, " in said
    assert "--set-resources" not in said
    assert f"{file}, sft: {{gpu: \"16 if '/qwen2.5-7b/' in wildcards.of else 8\"}}" in said.splitlines()[-1]


def test_options_that_are_given_are_added_to(capsys: pytest.CaptureFixture[str]) -> None:
    """A second --set-resources takes the place of the first."""
    given = "grpo:sharding=fsdp2", "grpo:gpu=8"
    said = refusal(capsys, PAPER, "--gpu", "h100", "--set-resources", *given)
    assert "nearest that fits: after the same --set-resources, sft:sharding=fsdp2 sft:gpu=4 (59 GB" in said


def test_what_is_said_of_one_student_is_read_so(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, PAPER, "--gpu", "h100").splitlines()[-1]
    _, _, option = said.partition("for qwen2.5-3b alone: ")
    assert option == (
        "--set-resources \"grpo:sharding='fsdp2' if '/qwen2.5-3b/' in wildcards.of else 'ddp'\""
    )
    profile = read_profile(None, shlex.split(option)[1:])
    assert profile.of("grpo", {"of": "students/qwen2.5-3b/"}) == {"sharding": "fsdp2"}
    assert profile.of("grpo", {"of": "students/qwen2.5-32b/"}) == {"sharding": "ddp"}


def test_of_one_student_there_is_nothing_to_tell_apart(capsys: pytest.CaptureFixture[str]) -> None:
    said = refusal(capsys, "config/one_gpu.yaml", "--gpu", "l4")
    assert "nearest that fits: --set-resources generate:gpu=2" in said
    assert "all students" not in said


def test_options_beside_a_profile_are_told_to_replace_it(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--gpu", "h100", "--profile", "profiles/paper", "--set-resources", "grpo:gpu=8"]
    told = "--set-resources takes the place of all set-resources of profiles/paper"
    for command in ("plan", "check"):
        assert cli.main([command, PAPER, *words]) == 2
        shown = capsys.readouterr().err
        assert told in shown
        assert "sft of qwen2.5-7b: 156 GB on each GPU" in shown  # as the rules have it, on one GPU


def test_a_plan_loads_no_deep_learning_library_and_is_quick() -> None:
    words = ["plan", PAPER, "--gpu", "h100", "--nodes", "16", "--profile", str(PROFILE)]
    code = (
        "import sys, time\n"
        "from glow import cli\n"
        f"assert cli.main({words!r}) == 0\n"
        "heavy = {'torch', 'transformers', 'datasets', 'lm_eval', 'pandas', 'numpy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "assert time.process_time() < 5, time.process_time()\n"
    )
    ended = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--gpu", "h900"], "--gpu: 'h900' is unknown; did you mean 'h200'?"),
        (["--gpu", "h100", "--nodes", "0"], "--nodes 0: give at least 1"),
        (["--gpu", "h100", "--assume", "x=1"], "--assume x=1: 'x' is unknown"),
        (["--gpu", "h100", "--profile", "none"], "--profile none"),
        (["--gpu", "h100", "--set-resources", "sft"], "--set-resources: 'sft' is not RULE:NAME=VALUE"),
        (
            ["--gpu", "h100", "--profile", "profiles/paper", "--set-resources", "sft"],
            "plan: --set-resources: 'sft' is not RULE:NAME=VALUE",
        ),
        (
            ["--gpu", "h100", "--set-resources", "sft:gpu=eight"],
            "--set-resources: sft: resource gpu: 'eight'",
        ),
        (["--gpu", "h100", "--set-resources", "evaluate:gpu=two"], "evaluate: resource gpu: 'two'"),
        (["--gpu", "h100", "--set-resources", "sft:micro_batch=x"], "sft: resource micro_batch: 'x'"),
        (
            ["--gpu", "h100", "--set-resources", "sft:gpus=8"],
            "resource 'gpus' is unknown; did you mean 'gpu'?",
        ),
        (["--gpu", "cpu", "--results", "none"], "--results none: no such folder"),
    ],
)
def test_a_mistake_is_told(words: list[str], why: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["plan", MINIATURE, *words]) == 2
    assert why in capsys.readouterr().err


def test_there_are_as_many_nodes_as_the_largest_job_asks_for(capsys: pytest.CaptureFixture[str]) -> None:
    """As the head of config/paper.yaml has it."""
    assert cli.main(["plan", PAPER, "--gpu", "h100", "--profile", "profiles/paper"]) == 0
    small = "config/overlays/paper_0.5b.yaml"
    assert cli.main(["plan", PAPER, "--overlay", small, "--gpu", "h100", "--profile", "profiles/paper"]) == 0
    assert "on 4 nodes of 8 h100" in capsys.readouterr().out
    assert cli.main(["plan", PAPER, "--gpu", "h100", "--profile", "profiles/paper", "--nodes", "2"]) == 2
    assert "sft of qwen2.5-32b: asks for 4 nodes, and there are 2" in capsys.readouterr().err


def test_a_plan_teaches_how_to_ask(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["plan", "--help"])
    shown = capsys.readouterr().out
    assert "glow plan config/paper.yaml --gpu h100 --nodes 4 --profile profiles/paper" in shown
    assert "the exit code is 2" in shown


# --- glow check --------------------------------------------------------------------------------------------


def test_check_says_what_a_device_must_have(capsys: pytest.CaptureFixture[str]) -> None:
    cli.main(["check", PAPER])
    shown = capsys.readouterr().out
    (line,) = (line for line in shown.splitlines() if line.startswith("memory"))
    assert "sft 643 GB (qwen2.5-32b)" in line
    assert line.endswith("--gpu h100 says what fits there")


def test_check_says_nothing_of_small_models(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", MINIATURE]) == 0
    assert "memory" not in capsys.readouterr().out


def test_check_looks_at_a_device(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", PAPER, "--gpu", "h100", "--profile", str(PROFILE)]) == 2
    shown = capsys.readouterr()
    assert "every job fits on 4 nodes of 8 h100" in shown.out
    assert "vLLM is not installed" in shown.err  # the other reason why it cannot run here
    assert cli.main(["check", PAPER, "--gpu", "h100"]) == 2
    shown = capsys.readouterr()
    assert "every job fits" not in shown.out
    assert "sft of qwen2.5-7b: 156 GB on each GPU" in shown.err


def test_check_asks_for_the_device_of_a_profile(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["check", PAPER, "--profile", str(PROFILE)]) == 2
    assert "name the device too (--gpu h100)" in capsys.readouterr().err


def test_a_model_of_unknown_size_stops_no_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    overlay = tmp_path / "overlay.yaml"
    overlay.write_text(f"students: {{x: some/model@{'0' * 40}}}\n")
    cli.main(["check", PAPER, "--overlay", str(overlay)])
    assert "memory: students.x: the shape of some/model is not known here" in capsys.readouterr().out
    assert cli.main(["plan", PAPER, "--overlay", str(overlay), "--gpu", "h100"]) == 2
    assert "students.x: the shape of some/model" in capsys.readouterr().err
