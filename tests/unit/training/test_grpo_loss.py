"""What settings of GRPO do to the loss of given rollouts, against formulas in float64."""

import copy
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from grpo_runs import SETTINGS, LetterVerifier
from transformers import PreTrainedModel

from glow.config import Grpo, GrpoEngineHardware, GrpoSettings, Verification
from glow.errors import UserError
from glow.models.load import load_network, load_tokenizer, prompt_ids, stop_ids
from glow.training import grpo as stage
from glow.training.grpo_config import not_identifying, refuse_unfit_engine, trl_settings

REWARDS = [1.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.0, 1.0]
"""Of four rollouts for each of two prompts."""
LENGTHS = [3, 7, 2, 9, 5, 12, 4, 6]
"""Of the rollouts, in tokens, stop token included; the sixth was cut off."""
CUT_OFF = 5


class GivenRewards:
    """Stands in for the reward: the same for the same places, whatever was written."""

    __name__ = "given"

    def __init__(self, stops: list[int]) -> None:
        self.stops = frozenset(stops)
        self.verifier = LetterVerifier(Verification())

    def __call__(self, completion_ids: list[list[int]], **_: Any) -> list[float]:
        return REWARDS


def trainer_of(model: Path, folder: Path, grpo: Grpo) -> Any:
    """A trainer whose rollouts of two prompts are given."""
    tokenizer = load_tokenizer(model)
    stops = stop_ids(tokenizer, model)
    policy = load_network(model, torch.float32)
    prompts = [[{"role": "user", "content": text}] for text in ("What is 1 + 1?", "And 20 + 22 then?")]
    rows = {"prompt": prompts, "gold": [json.dumps({"answer": "2"})] * 2, "thought_open": [False] * 2}
    arguments = stage._arguments(folder, GrpoSettings(grpo=grpo, seed=0), stops, False)
    trainer: Any = stage._trainer(
        policy,
        tokenizer,
        arguments,
        (Dataset.from_dict(rows), None),
        GivenRewards(stops),  # type: ignore[arg-type]
    )
    drawn = np.random.default_rng(1)
    ids = [drawn.integers(20, 60, length).tolist() for length in LENGTHS]
    for place, own in enumerate(ids):
        if place != CUT_OFF:
            own[-1] = stops[0]
    asked = [
        tokenizer.apply_chat_template(prompt, add_generation_prompt=True)["input_ids"] for prompt in prompts
    ]
    trainer.rollout_func = lambda *_: {
        "prompt_ids": [asked[place // 4] for place in range(8)],
        "completion_ids": ids,
        "logprobs": None,
    }
    trainer.current_gradient_accumulation_steps = 1
    policy.train()
    return trainer


def log_probs(
    policy: PreTrainedModel, prompts: torch.Tensor, rollouts: list[list[int]]
) -> list[torch.Tensor]:
    """Of the tokens of each rollout, in float64, by one forward pass each."""
    wide = copy.deepcopy(policy).double().eval()
    del wide.forward  # that of the class again, without the head that is tested
    found = []
    for prompt, rollout in zip(prompts, rollouts, strict=True):
        ids = torch.tensor([[*prompt, *rollout]])
        logits = wide(input_ids=ids).logits[0, len(prompt) - 1 : -1]
        found.append(logits.log_softmax(-1).gather(-1, ids[0, len(prompt) :, None])[:, 0].detach())
    return found


def loss_and_parts(
    model: Path, folder: Path, **settings: Any
) -> tuple[float, np.ndarray, list[np.ndarray], list[np.ndarray]]:
    """The loss by TRL after the policy has moved; advantages, ratios and new log-probabilities, float64."""
    grpo = SETTINGS.model_copy(update={"num_iterations": 2, **settings})
    trainer = trainer_of(model, folder, grpo)
    rows = [trainer.train_dataset[place // 4] for place in range(8)]
    inputs = trainer._generate_and_score_completions(rows)
    output = trainer.rollout_func()
    given = (output["prompt_ids"], output["completion_ids"])
    before = log_probs(trainer.model, *given)
    torch.manual_seed(0)
    with torch.no_grad():
        for weights in trainer.model.parameters():
            weights.add_(0.3 * weights.std() * torch.randn_like(weights))
    after = log_probs(trainer.model, *given)
    loss = trainer._compute_loss(trainer.model, inputs).item()
    ratios = [(new - old).exp().numpy() for new, old in zip(after, before, strict=True)]
    return loss, inputs["advantages"].double().numpy(), ratios, [own.numpy() for own in after]


def expected_advantages(scale: str) -> np.ndarray:
    rewards = np.array(REWARDS).reshape(2, 4)
    centred = rewards - rewards.mean(1, keepdims=True)
    by = {
        "group": rewards.std(1, ddof=1, keepdims=True) + 1e-4,
        "batch": rewards.std(ddof=1) + 1e-4,
        "none": 1.0,
    }
    return (centred / by[scale]).reshape(-1)


def clipped(ratios: np.ndarray, advantage: float, low: float, high: float) -> np.ndarray:
    """PPO's surrogate, as a loss."""
    return -np.minimum(ratios * advantage, ratios.clip(1 - low, 1 + high) * advantage)


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_rewards_scaled_as_asked(scale: str, tiny_model: Path, tmp_path: Path) -> None:
    _, advantages, *_ = loss_and_parts(tiny_model, tmp_path, scale_rewards=scale)
    assert advantages == pytest.approx(expected_advantages(scale), rel=1e-5)


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("loss_type", ["dapo", "grpo", "dr_grpo"])
@pytest.mark.parametrize(("epsilon", "epsilon_high"), [(0.2, None), (0.02, 0.05)])
def test_the_loss_of_a_clip_range_is_averaged_as_its_type_says(
    epsilon: float, epsilon_high: float | None, loss_type: str, masked: bool, tiny_model: Path, tmp_path: Path
) -> None:
    loss, advantages, ratios, _ = loss_and_parts(
        tiny_model,
        tmp_path,
        loss_type=loss_type,
        epsilon=epsilon,
        epsilon_high=epsilon_high,
        mask_truncated_completions=masked,
    )
    high = epsilon if epsilon_high is None else epsilon_high
    moved = np.concatenate(ratios)
    if epsilon_high is not None:
        assert (moved < 1 - epsilon).any() and (moved > 1 + high).any()  # so the bounds are seen
    tokens = [
        clipped(own, advantage, epsilon, high) * (0 if masked and place == CUT_OFF else 1)
        for place, (own, advantage) in enumerate(zip(ratios, advantages, strict=True))
    ]
    total = sum(own.sum() for own in tokens)
    left = sum(LENGTHS) - (LENGTHS[CUT_OFF] if masked else 0)
    wanted = {
        "dapo": total / left,
        "grpo": np.mean([own.mean() for own in tokens]),
        "dr_grpo": total / (8 * SETTINGS.max_tokens),
    }
    assert loss == pytest.approx(wanted[loss_type], rel=1e-4, abs=1e-6)


def test_gspo_clips_the_ratio_of_whole_rollouts(tiny_model: Path, tmp_path: Path) -> None:
    """GSPO (arXiv 2507.18071, equations 5 and 7): the geometric mean of a rollout's ratios."""
    options = {"loss_type": "grpo", "importance_sampling_level": "sequence", "epsilon": 0.003}
    loss, advantages, ratios, _ = loss_and_parts(tiny_model, tmp_path, **options)
    whole = np.array([np.exp(np.log(own).mean()) for own in ratios])
    assert (abs(whole - 1) > 0.003).any()
    wanted = np.mean([clipped(own, a, 0.003, 0.003) for own, a in zip(whole, advantages, strict=True)])
    assert loss == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_luspo_weighs_a_rollout_by_its_length(tiny_model: Path, tmp_path: Path) -> None:
    options = {"loss_type": "luspo", "importance_sampling_level": "sequence"}
    loss, advantages, ratios, _ = loss_and_parts(tiny_model, tmp_path, **options)
    whole = [np.exp(np.log(own).mean()) for own in ratios]
    wanted = np.mean(
        [n * clipped(own, a, 0.2, 0.2) for n, own, a in zip(LENGTHS, whole, advantages, strict=True)]
    )
    assert loss == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_cispo_bounds_the_weight_of_log_probabilities(tiny_model: Path, tmp_path: Path) -> None:
    loss, advantages, ratios, logs = loss_and_parts(
        tiny_model, tmp_path, loss_type="cispo", epsilon_high=1.02
    )
    assert (np.concatenate(ratios) > 1.02).any()
    parts = zip(ratios, advantages, logs, strict=True)
    wanted = sum((-np.minimum(own, 1.02) * a * log).sum() for own, a, log in parts) / sum(LENGTHS)
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_sapo_gates_ratios_softly(tiny_model: Path, tmp_path: Path) -> None:
    """SAPO (arXiv 2511.20347): 4 / t x sigmoid(t (r - 1)), t 1.0 for advantages above 0 and else 1.05."""
    loss, advantages, ratios, _ = loss_and_parts(tiny_model, tmp_path, loss_type="sapo")

    def gated(own: np.ndarray, advantage: float) -> float:
        heat = 1.0 if advantage > 0 else 1.05
        return float((-advantage * 4 / heat / (1 + np.exp(-heat * (own - 1)))).mean())

    wanted = np.mean([gated(own, a) for own, a in zip(ratios, advantages, strict=True)])
    assert loss == pytest.approx(wanted, rel=1e-4, abs=1e-6)


def test_vespo_weighs_rollouts_by_a_gamma_of_their_ratio(tiny_model: Path, tmp_path: Path) -> None:
    """VESPO (arXiv 2602.10693): exp(l) w^k exp(-l w), with k, l of 2, 3 for advantages >= 0 and else 3, 2."""
    loss, advantages, ratios, logs = loss_and_parts(tiny_model, tmp_path, loss_type="vespo")

    def weight(own: np.ndarray, advantage: float) -> float:
        w, (k, decay) = own.prod(), (2, 3) if advantage >= 0 else (3, 2)
        return float(np.exp(decay) * w**k * np.exp(-decay * w))

    parts = zip(ratios, advantages, logs, strict=True)
    wanted = sum((-weight(own, a) * a * log).sum() for own, a, log in parts) / sum(LENGTHS)
    assert loss == pytest.approx(wanted, rel=1e-4)


def test_the_rest_reaches_trl_by_its_name(tmp_path: Path) -> None:
    named = {
        "scheduler": "cosine",
        "top_p": 0.9,
        "top_k": 7,
        "min_p": 0.05,
        "num_iterations": 3,
        "eval_steps": 4,
        "eval_problems": 2,
    }
    found = stage._arguments(
        tmp_path, GrpoSettings(grpo=SETTINGS.model_copy(update=named), seed=0), [2], False
    )
    assert found.lr_scheduler_type == "cosine"
    assert (found.top_p, found.top_k, found.min_p, found.num_iterations) == (0.9, 7, 0.05, 3)
    assert (found.eval_strategy, found.eval_steps, found.num_generations_eval) == ("steps", 4, 1)
    plain = stage._arguments(tmp_path, GrpoSettings(grpo=SETTINGS, seed=0), [2], False)
    assert (plain.min_p, plain.eval_strategy) == (None, "no")


def test_what_is_not_set_is_what_trl_has_by_default() -> None:
    """So a run that says nothing is that of GRPOConfig, as before there were these settings."""
    from trl import GRPOConfig

    fields = GRPOConfig.__dataclass_fields__
    for name, value in trl_settings(SETTINGS, GrpoEngineHardware()).items():
        if name not in ("lr_scheduler_type", "top_p", "temperature"):
            assert value == fields[name].default, name


def test_resume_points_stand_where_new_rollouts_are_made(tmp_path: Path) -> None:
    grpo = SETTINGS.model_copy(update={"steps": 20, "checkpoints": 5, "num_iterations": 3})
    assert (
        stage._arguments(tmp_path, GrpoSettings(grpo=grpo, seed=0), [2], False).save_steps == 6
    )  # 4, for six parts of 20


def test_prompts_last_for_all_iterations_on_their_rollouts() -> None:
    grpo = SETTINGS.model_copy(update={"steps": 7, "prompts": 2, "num_iterations": 3})
    once = SETTINGS.model_copy(update={"steps": 3, "prompts": 2})
    assert stage.prompt_order(5, grpo, seed=0) == stage.prompt_order(5, once, seed=0)
    assert len(list(pairwise(stage.prompt_order(5, grpo, seed=0)))) == 5


# --- vLLM beside training -------------------------------------------------------------------------

HARDWARE = GrpoEngineHardware(
    vllm_gpu_memory_utilization=0.45,
    vllm_enable_sleep_mode=True,
    vllm_max_model_length=64,
    vllm_tensor_parallel_size=2,
)


def test_vllms_share_of_the_devices_reaches_trl_and_is_no_part_of_a_run(tmp_path: Path) -> None:
    found = stage._arguments(tmp_path, GrpoSettings(grpo=SETTINGS, seed=0, engine=HARDWARE), [2], False)
    assert {name: getattr(found, name) for name in HARDWARE.model_fields_set} == HARDWARE.model_dump(
        include=HARDWARE.model_fields_set
    )
    assert found.vllm_mode == "colocate"
    run = GrpoSettings(grpo=SETTINGS, engine=HARDWARE, seed=0)
    assert run.decisive() == GrpoSettings(grpo=SETTINGS, seed=0).decisive()


def test_vllm_that_would_cut_rollouts_or_does_not_divide_is_refused(tiny_model: Path) -> None:
    tokenizer, grpo = load_tokenizer(tiny_model), SETTINGS.model_copy(update={"vllm": True})
    prompts: list[Any] = [[{"role": "user", "content": "one " * length}] for length in (2, 60, 3)]
    longest = len(prompt_ids(tokenizer, prompts[1]))
    assert longest > 52

    def refuse(hardware: GrpoEngineHardware, processes: int = 2, asked: Grpo = grpo) -> None:
        refuse_unfit_engine(asked, hardware, prompts, tokenizer, processes)

    with pytest.raises(UserError, match=f"64 tokens.* has {longest} .* set it to {longest + 12} or more"):
        refuse(HARDWARE)
    refuse(HARDWARE.model_copy(update={"vllm_max_model_length": longest + 12}))
    with pytest.raises(UserError, match="vllm_tensor_parallel_size: 2 does not divide the 3 process"):
        refuse(HARDWARE, processes=3)
    refuse(HARDWARE, processes=3, asked=SETTINGS)  # no vLLM, nothing to fit


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"loss_type": "bnpo"}, "one device's micro-batch"),
        ({"loss_type": "cispo"}, "set it .ScaleRL: 5.0"),
        ({"loss_type": "luspo"}, "importance_sampling_level: sequence"),
        ({"loss_type": "vespo", "importance_sampling_level": "sequence"}, "importance_sampling_level: token"),
        ({"eval_steps": 2}, "eval_steps 2 and eval_problems 0 go together"),
        ({"eval_problems": 2}, "eval_steps 0 and eval_problems 2 go together"),
        ({"min_pass_rate": 0.5, "max_pass_rate": 0.4}, "min_pass_rate 0.5 is above max_pass_rate 0.4"),
        ({"scheduler": "constant"}, "constant_with_warmup"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grpo(steps=2, max_tokens=8, **settings)


def test_a_run_is_as_long_as_its_schedule_where_that_falls(tmp_path: Path) -> None:
    for scheduler, left_out in (("inverse_sqrt", ["grpo.steps"]), ("cosine", []), ("linear", [])):
        assert not_identifying(SETTINGS.model_copy(update={"scheduler": scheduler})) == left_out
