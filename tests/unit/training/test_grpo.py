"""The GRPO stage: order of prompts, reward, log, and resuming to the last bit."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest
import torch
from safetensors.torch import load_file
from transformers import TrainerCallback

from glow.config import Grpo, GrpoSettings, Prompt, Verification
from glow.errors import UserError
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.training import grpo as stage
from glow.training.checkpoints import MARKER_FILE
from glow.training.grpo import CorrectnessReward, prompt_order
from glow.verifier.verify import Judgement, Verifier

Item = tuple[str, str, str | None]
PROBLEMS = 5
SETTINGS = Grpo(
    steps=6,
    prompts=2,
    generations=4,
    learning_rate=1e-3,
    max_tokens=12,
    precision="fp32",
    gradient_checkpointing=False,
    checkpoints=2,
)


class LetterVerifier:
    """Stands in for the verifier: a response with more than two e's is correct, cut off or not."""

    def __init__(self, settings: Verification, workers: int = 1) -> None:
        self.items: list[Item] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        for item in items:
            self.items.append(item)
            yield Judgement("correct" if item[0].count("e") > 2 else "wrong", None, "letters")


def _write_problems(path: Path) -> Path:
    write_jsonl(path, ({"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(PROBLEMS)))
    return path


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    return _write_problems(tmp_path / "problems.jsonl")


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "Verifier", LetterVerifier)


def _train(problems: Path, model: Path, output: Path, settings: Grpo = SETTINGS, seed: int = 3) -> None:
    whole = GrpoSettings(prompt=Prompt(instruction="Go."), grpo=settings, seed=seed)
    stage.train(problems, model, output, whole)


@pytest.fixture(scope="module")
def whole(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of SETTINGS that nothing interrupted."""
    folder = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stage, "Verifier", LetterVerifier)
        _train(_write_problems(folder / "problems.jsonl"), tiny_model, folder / "run")
    return folder / "run"


def _weights(run: Path) -> dict[str, torch.Tensor]:
    return load_file(run / "model" / "model.safetensors")


def _same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


class KillAt(TrainerCallback):
    """Ends the run at the end of a step, as a kill would: before anything of the step is saved."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step == self.step:
            raise KeyboardInterrupt


def _train_killed(
    problems: Path,
    model: Path,
    output: Path,
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    settings: Grpo = SETTINGS,
) -> None:
    original = stage._trainer

    def killed(*arguments: Any) -> Any:
        trainer = original(*arguments)
        trainer.add_callback(KillAt(step))
        return trainer

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(stage, "_trainer", killed)
        _train(problems, model, output, settings)


def test_prompt_order_covers_each_pass_and_never_repeats_within_a_step() -> None:
    settings = SETTINGS.model_copy(update={"steps": 7, "prompts": 2})
    order = prompt_order(5, settings, seed=0)
    assert len(order) == 14
    passes = [order[start : start + 4] for start in range(0, 12, 4)]  # two steps fit in 5 problems
    assert all(len(set(drawn)) == 4 for drawn in passes)
    assert len({tuple(drawn) for drawn in passes}) > 1
    assert prompt_order(5, settings, seed=1) != order
    longer = settings.model_copy(update={"steps": 20})
    assert prompt_order(5, longer, seed=0)[:14] == order


def test_reward_is_one_for_correct_and_zero_for_anything_else() -> None:
    stop = 2
    responses = [r"So \boxed{5}", r"So \boxed{6}", "no answer", r"So \boxed{5}", r"So \boxed{1/2}"]
    ids = [[7, stop], [7, stop], [7, stop], [7, 7], [7, stop]]
    with Verifier(Verification()) as verifier:
        reward = CorrectnessReward(verifier, [stop])
        rewards = reward(
            completions=[[{"role": "assistant", "content": response}] for response in responses],
            completion_ids=ids,
            gold=[json.dumps({"answer": answer}) for answer in ("5", "5", "5", "5", "0.5")],
            prompts=[],
            trainer_state=None,
        )
    assert rewards == [1.0, 0.0, 0.0, 0.0, 1.0]


def test_run_leaves_a_trained_checkpoint_and_one_log_row_a_step(whole: Path, tiny_model: Path) -> None:
    log = list(read_jsonl(whole / "log.jsonl"))
    assert [row["step"] for row in log] == [1, 2, 3, 4, 5, 6]
    keys = {"reward", "reward_std", "entropy", "completion_length", "clipped_ratio", "loss", "grad_norm"}
    assert all(keys <= row.keys() for row in log)
    assert any(0 < row["reward"] < 1 for row in log)
    assert all(0 < row["completion_length"] <= 12 and 0 <= row["clipped_ratio"] <= 1 for row in log)
    assert not _same(_weights(whole), load_file(tiny_model / "model.safetensors"))
    assert {path.name for path in whole.iterdir()} == {"model", "log.jsonl", "manifest.json"}
    names = {path.name for path in (whole / "model").iterdir()}
    assert {"config.json", "tokenizer.json", "chat_template.jinja"} <= names
    assert not any(name.endswith((".bin", ".pt", ".pth")) for name in names)
    manifest = json.loads((whole / "manifest.json").read_text())
    assert manifest["settings"]["seed"] == 3


@pytest.mark.parametrize("killed_at", [3, 5])
def test_killed_run_ends_in_the_same_bits(
    killed_at: int,
    whole: Path,
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Checkpoints stand after steps 2 and 4; a pass over the five problems ends after step 2."""
    resumed = tmp_path / "resumed"
    _train_killed(problems, tiny_model, resumed, killed_at, monkeypatch)
    assert not (resumed / "model").exists()
    _train(problems, tiny_model, resumed)
    manifest = json.loads((resumed / "manifest.json").read_text())
    assert manifest["facts"]["resumed_from"] == f"checkpoint-{killed_at - 1}"
    printed = capfd.readouterr()
    rewards = [row["reward"] for row in read_jsonl(resumed / "log.jsonl")]
    assert f"reward {rewards[0]:.3f} -> {rewards[-1]:.3f} (first and last 1 of 6 steps)" in printed.out
    assert "missing keys" not in printed.err
    assert (resumed / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert _same(_weights(resumed), _weights(whole))


@pytest.mark.parametrize(
    ("steps", "killed_at", "resumed_from"), [(4, 3, "checkpoint-2"), (8, 7, "checkpoint-3")]
)
def test_a_run_of_another_length_goes_on_to_the_same_bits(
    steps: int,
    killed_at: int,
    resumed_from: str,
    whole: Path,
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The checkpoints of a run of 8 stand after steps 3 and 6, where a run of 6 has nothing left to do."""
    resumed = tmp_path / "resumed"
    other = SETTINGS.model_copy(update={"steps": steps, "gradient_checkpointing": True})
    _train_killed(problems, tiny_model, resumed, killed_at, monkeypatch, other)
    _train(problems, tiny_model, resumed)
    manifest = json.loads((resumed / "manifest.json").read_text())
    assert manifest["facts"]["resumed_from"] == resumed_from
    assert (resumed / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert _same(_weights(resumed), _weights(whole))


def test_torn_checkpoint_gives_way_to_the_one_before(
    whole: Path,
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resumed = tmp_path / "resumed"
    _train_killed(problems, tiny_model, resumed, 5, monkeypatch)
    torn = resumed / "checkpoints" / "checkpoint-4"
    (torn / MARKER_FILE).unlink()
    (torn / "optimizer.pt").write_bytes(b"half")
    _train(problems, tiny_model, resumed)
    manifest = json.loads((resumed / "manifest.json").read_text())
    assert manifest["facts"]["resumed_from"] == "checkpoint-2"
    assert (resumed / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert _same(_weights(resumed), _weights(whole))


def test_other_settings_start_afresh(
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    output = tmp_path / "run"
    _train_killed(problems, tiny_model, output, 3, monkeypatch)
    _train(problems, tiny_model, output, SETTINGS.model_copy(update={"steps": 1, "learning_rate": 1e-2}))
    assert "of another run (grpo.learning_rate was 0.001, is 0.01); deleted" in capsys.readouterr().out
    assert [row["step"] for row in read_jsonl(output / "log.jsonl")] == [1]


def test_reward_rises(problems: Path, tiny_model: Path, tmp_path: Path, letters: None) -> None:
    settings = SETTINGS.model_copy(
        update={"steps": 24, "generations": 8, "learning_rate": 5e-3, "checkpoints": 0}
    )
    _train(problems, tiny_model, tmp_path / "run", settings)
    rewards = [row["reward"] for row in read_jsonl(tmp_path / "run" / "log.jsonl")]
    assert sum(rewards[-6:]) > sum(rewards[:6]) + 1


def test_kl_to_the_initialisation_starts_at_zero_and_grows(
    problems: Path, tiny_model: Path, tmp_path: Path, letters: None
) -> None:
    settings = SETTINGS.model_copy(update={"steps": 4, "kl": 0.1, "checkpoints": 0})
    _train(problems, tiny_model, tmp_path / "run", settings)
    first, *later = [row["kl"] for row in read_jsonl(tmp_path / "run" / "log.jsonl")]
    assert first == pytest.approx(0, abs=1e-6)
    assert min(later) > 1e-5


def test_accumulated_parts_give_the_same_step(
    problems: Path, tiny_model: Path, tmp_path: Path, letters: None
) -> None:
    """The same rollouts in one part or two: the gradient differs by rounding alone."""
    one = SETTINGS.model_copy(update={"steps": 1, "checkpoints": 0})
    two = one.model_copy(update={"gradient_accumulation": 2})
    _train(problems, tiny_model, tmp_path / "one", one)
    _train(problems, tiny_model, tmp_path / "two", two)
    row, other = (next(read_jsonl(tmp_path / name / "log.jsonl")) for name in ("one", "two"))
    assert row["reward"] == other["reward"]
    assert row["grad_norm"] == pytest.approx(other["grad_norm"], rel=1e-4)
    assert row["loss"] == pytest.approx(other["loss"], abs=1e-6)


def test_vllm_is_colocated_and_stops_where_the_verifier_expects(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stage.importlib.util, "find_spec", lambda name: object())
    settings = SETTINGS.model_copy(update={"vllm": True})
    arguments = stage._arguments(tmp_path, settings, [2, 5], seed=0)
    assert (arguments.use_vllm, arguments.vllm_mode) == (True, "colocate")
    assert arguments.generation_kwargs == {"stop_token_ids": [2, 5]}
    assert stage._arguments(tmp_path, SETTINGS, [2, 5], seed=0).generation_kwargs is None


def test_mistakes_are_named(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(pattern: str, settings: Grpo = SETTINGS, model: Path = tiny_model) -> None:
        with pytest.raises(UserError, match=pattern):
            _train(problems, model, tmp_path / "run", settings)

    refused("5 problem.*a step draws 8", SETTINGS.model_copy(update={"prompts": 8}))
    refused("no model here", model=tmp_path / "nowhere")
    refused("8 rollouts a step.*3 part", SETTINGS.model_copy(update={"gradient_accumulation": 3}))
    monkeypatch.setattr(stage.importlib.util, "find_spec", lambda name: None)
    refused("vLLM is not installed", SETTINGS.model_copy(update={"vllm": True}))
    problems.write_text('{"question": "q", "answer": "a"}\n{"question": "q", "answer": 3}\n')
    refused(r"problems\.jsonl:2: 'answer': input should be a valid string", SETTINGS)
    assert not (tmp_path / "run").exists()
