"""The GRPO stage: order of prompts, reward, signal, log, and resuming to the last bit."""

import json
import os
import signal
import time
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
from glow.files.stopping import Stopped, asked, listen
from glow.models.load import load_tokenizer, stop_ids
from glow.training import grpo as stage
from glow.training.checkpoints import MARKER_FILE
from glow.training.grpo import CorrectnessReward, prompt_order
from glow.training.grpo_signal import no_signal
from glow.verifier.thoughts import Thought
from glow.verifier.verify import Item, Judgement, Verifier

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

    def __init__(self, settings: Verification, workers: int = 1, thought: Thought = ("<", ">")) -> None:
        self.thought = thought

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        pass

    def judge(self, items: Iterable[Item]) -> Iterator[Judgement]:
        for item in items:
            yield Judgement("correct" if self.is_right(item) else "wrong", None, "letters")

    def is_right(self, item: Item) -> bool:
        return item.response.count("e") > 2


def _write_problems(path: Path) -> Path:
    write_jsonl(path, ({"question": f"What is {n} + 1?", "answer": str(n + 1)} for n in range(PROBLEMS)))
    return path


@pytest.fixture
def problems(tmp_path: Path) -> Path:
    return _write_problems(tmp_path / "problems.jsonl")


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stage, "Verifier", LetterVerifier)


def _train(problems: Path, model: Path, output: Path, settings: Grpo = SETTINGS, **prompt: Any) -> None:
    whole = GrpoSettings(prompt=Prompt(instruction="Go.", **prompt), grpo=settings, seed=3)
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


class BadUpdate(TrainerCallback):
    """Makes the gradient of one step infinite, and so weights of that update NaN; the loss stays finite."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            next(kwargs["model"].parameters()).grad.fill_(torch.inf)


def _with(callback: TrainerCallback, patch: pytest.MonkeyPatch) -> None:
    """Have the stage's trainer call `callback` too, last of all."""
    original = stage._trainer

    def made(*arguments: Any) -> Any:
        trainer = original(*arguments)
        trainer.add_callback(callback)
        return trainer

    patch.setattr(stage, "_trainer", made)


def _train_killed(
    problems: Path,
    model: Path,
    output: Path,
    step: int,
    monkeypatch: pytest.MonkeyPatch,
    settings: Grpo = SETTINGS,
) -> None:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        _with(KillAt(step), patch)
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


def test_reward_is_one_for_correct_and_zero_for_anything_else(tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    stop = stop_ids(tokenizer, tiny_model)[-1:]
    asked: list[tuple[str, list[int], str, bool, float]] = [
        (r"So \boxed{5}", stop, "5", False, 1),
        (r"So \boxed{6}", stop, "5", False, 0),
        ("no answer", stop, "5", False, 0),
        (r"So \boxed{5}", [], "5", False, 0),  # cut off
        (r"So \boxed{1/2}", stop, "0.5", False, 1),
        ("", [], "5", False, 0),  # no token at all
        ("", stop, "5", False, 0),
        (r"<think> Try \boxed{5}.", stop, "5", False, 0),
        (r"Try \boxed{5}.", stop, "5", True, 0),  # the prompt had opened the thought
        (r"Try 6. </think> So \boxed{5}", stop, "5", True, 1),
    ]
    with Verifier(Verification()) as verifier:
        reward = CorrectnessReward(verifier, tokenizer, stop)
        rewards = reward(
            completion_ids=[tokenizer(text)["input_ids"] + end for text, end, *_ in asked],
            gold=[json.dumps({"answer": answer}) for _, _, answer, _, _ in asked],
            thought_open=[opened for *_, opened, _ in asked],
            completions=[],
            prompts=[],
            trainer_state=None,
        )
    assert rewards == [expected for *_, expected in asked]


def test_an_answer_that_is_right_only_leniently_gets_no_reward(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[tuple[Verification, int]] = []

    class Noting(LetterVerifier):
        def __init__(self, settings: Verification, workers: int = 1, thought: Thought = ("<", ">")) -> None:
            super().__init__(settings, workers, thought)
            made.append((settings, workers))

    monkeypatch.setattr(stage, "Verifier", Noting)
    monkeypatch.setattr(stage, "own_cores", lambda: 7)
    _train(problems, tiny_model, tmp_path, SETTINGS.model_copy(update={"steps": 1}))
    assert made == [(Verification(leniency="refuse", timeout_s=1.0), 7)]


OPENING = """\
{%- for message in messages -%}{{- '<|im_start|>' + message['content'] + '<|im_end|>' -}}{%- endfor -%}
{%- if add_generation_prompt -%}{{- '<|im_start|>' + '<think>\n' -}}{%- endif -%}"""
"""Opens a thought before each response, as DeepSeek-R1's template does."""


def test_the_reward_knows_that_the_prompt_opens_a_thought(
    problems: Path, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Item] = []

    class Looking(LetterVerifier):
        def is_right(self, item: Item) -> bool:
            seen.append(item)
            return False

    monkeypatch.setattr(stage, "Verifier", Looking)
    one = SETTINGS.model_copy(update={"steps": 1})
    _train(problems, tiny_model, tmp_path / "own", one)
    assert {item.thought_open for item in seen} == {False}
    (tmp_path / "opening.jinja").write_text(OPENING)
    for thought, opened in ((("<think>", "</think>"), True), (("[", "]"), False)):
        seen.clear()
        named = {"chat_template": str(tmp_path / "opening.jinja"), "thought": thought}
        _train(problems, tiny_model, tmp_path / str(opened), one, **named)
        assert {item.thought_open for item in seen} == {opened}
    manifest = json.loads((tmp_path / "True" / "manifest.json").read_text())
    assert str(tmp_path / "opening.jinja") in manifest["inputs"]


def test_a_changed_template_file_is_another_run(
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    template = tmp_path / "opening.jinja"
    for text in (OPENING, OPENING.replace("<think>", "")):
        template.write_text(text)
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            _with(KillAt(3), patch)
            _train(problems, tiny_model, tmp_path / "run", chat_template=str(template))
    assert "of another run (input 3 (opening.jinja) has changed); deleted" in capsys.readouterr().out


LOG = [{"step": step, "reward": 0.5, "unanimous_ratio": 0.75, "clipped_ratio": 0.9} for step in range(1, 11)]
"""Ten steps that all teach something."""


@pytest.mark.parametrize(
    ("nothing", "steps", "found"),
    [
        ({}, 10, []),
        ({"unanimous_ratio": 1.0}, 4, []),
        ({"unanimous_ratio": 1.0}, 5, ["in 5 of 10 steps the rollouts of each prompt all had the same"]),
        ({"clipped_ratio": 1.0}, 10, ["in 10 of 10 steps no rollout ended within max_tokens"]),
        (
            {"reward": 0.0, "unanimous_ratio": 1.0},
            9,
            [
                "in 9 of 10 steps no rollout was correct (reward 0)",
                "in 9 of 10 steps the rollouts of each prompt all had the same reward",
            ],
        ),
    ],
)
def test_what_most_steps_lacked_is_told_from_the_log(
    nothing: dict[str, float], steps: int, found: list[str]
) -> None:
    words = no_signal([*({**row, **nothing} for row in LOG[:steps]), *LOG[steps:]])
    assert len(words) == len(found)
    assert all(word.startswith(start) for word, start in zip(words, found, strict=True))


def test_a_run_without_signal_says_so_and_ends(
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    class Never(LetterVerifier):
        def is_right(self, item: Item) -> bool:
            return False

    monkeypatch.setattr(stage, "Verifier", Never)
    short = SETTINGS.model_copy(update={"max_tokens": 1, "steps": 2})
    _train(problems, tiny_model, tmp_path / "run", short)
    log = list(read_jsonl(tmp_path / "run" / "log.jsonl"))
    told = json.loads((tmp_path / "run" / "manifest.json").read_text())["facts"]["no_signal"]
    assert told == no_signal(log)
    assert any("in 2 of 2 steps no rollout was correct" in words for words in told)
    warned = [line for line in capfd.readouterr().err.splitlines() if line.startswith("WARNING")]
    assert warned == [f"WARNING: {tmp_path / 'run'}: {words}" for words in told]


def test_a_run_that_learns_is_not_said_to_lack_rewards(whole: Path) -> None:
    told = json.loads((whole / "manifest.json").read_text())["facts"]["no_signal"]
    # Its verifier, unlike ours, lets what is cut off pass.
    assert [words for words in told if "no rollout ended within max_tokens" not in words] == []


@pytest.mark.parametrize(("bad", "kept"), [(4, "checkpoint-2"), (5, "checkpoint-4"), (6, "checkpoint-4")])
def test_a_bad_update_leaves_the_checkpoint_before_it_from_which_the_run_ends_in_the_same_bits(
    bad: int,
    kept: str,
    whole: Path,
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checkpoints stand after steps 2 and 4; step 6 is the last."""
    run = tmp_path / "run"
    with monkeypatch.context() as patch:
        _with(BadUpdate(bad), patch)
        with pytest.raises(UserError, match=f"not finite after optimiser step {bad}: .*/{kept} .step"):
            _train(problems, tiny_model, run)
    assert not (run / "model").exists()
    assert {path.parent.name for path in run.glob("checkpoints/*/complete")} == {"checkpoint-2", kept}
    assert not (run / "checkpoints" / "checkpoint-6").exists()
    _train(problems, tiny_model, run)
    assert json.loads((run / "manifest.json").read_text())["facts"]["resumed_from"] == kept
    assert (run / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert _same(_weights(run), _weights(whole))


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


class AskAt(TrainerCallback):
    """Asks this process to stop, in a step."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_step_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if state.global_step + 1 == self.step:
            os.kill(os.getpid(), signal.SIGUSR1)
            while not asked():
                time.sleep(0.01)


@pytest.mark.parametrize("asked_in", [1, 3])
def test_a_run_that_is_asked_to_stop_saves_that_step_and_ends_in_the_same_bits(
    asked_in: int,
    whole: Path,
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Checkpoints are planned after steps 2 and 4."""
    stopped = tmp_path / "stopped"
    with (
        monkeypatch.context() as patch,
        listen(),
        pytest.raises(Stopped, match=f"after step {asked_in} of 6"),
    ):
        _with(AskAt(asked_in), patch)
        _train(problems, tiny_model, stopped)
    _train(problems, tiny_model, stopped)
    manifest = json.loads((stopped / "manifest.json").read_text())
    assert manifest["facts"]["resumed_from"] == f"checkpoint-{asked_in}"
    assert (stopped / "log.jsonl").read_bytes() == (whole / "log.jsonl").read_bytes()
    assert _same(_weights(stopped), _weights(whole))


def test_a_run_that_is_asked_in_its_last_step_ends(
    whole: Path,
    problems: Path,
    tiny_model: Path,
    tmp_path: Path,
    letters: None,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with monkeypatch.context() as patch, listen():
        _with(AskAt(6), patch)
        _train(problems, tiny_model, tmp_path / "run")
    assert _same(_weights(tmp_path / "run"), _weights(whole))


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


def test_trust_in_a_models_code_reaches_what_reads_the_directory_again(tmp_path: Path) -> None:
    assert not stage._arguments(tmp_path, SETTINGS, [2], seed=0).trust_remote_code
    assert stage._arguments(tmp_path, SETTINGS, [2], seed=0, trust_remote_code=True).trust_remote_code


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
