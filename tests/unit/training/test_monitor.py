"""The log's means, worked out by hand, and who is named when a loss is not finite or a sample not seen."""

import math
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator

from glow.errors import UserError
from glow.training.ledger import NO_SAMPLE, Page
from glow.training.monitor import Monitor, Results, epoch_summary

NAN, INF = math.nan, math.inf


def results(step: int, rows: list[int], loss: list[float], **others: list[float]) -> Results:
    ones = [1.0] * len(rows)
    fields = {"weight": ones, "gain": [NAN] * len(rows), "tokens": ones, "entropy": ones, "top1": ones}
    values = {name: torch.tensor(numbers) for name, numbers in {**fields, **others}.items()}
    return Results(step, torch.tensor(rows), torch.tensor(loss), **values)


def test_means_are_over_samples_and_tokens_without_repeats() -> None:
    monitor = Monitor(["a", "b", "c"], [0.5, 2.0], Accelerator(cpu=True), Path("run"))
    monitor.results = [
        results(0, [0, 1], [1.0, 2.0], weight=[0.5, 2.0], gain=[0.25, NAN], tokens=[2.0, 6.0]),
        results(1, [2, NO_SAMPLE], [6.0, 9.0], weight=[0.5, 9.0], gain=[0.75, 9.0], tokens=[2.0, 9.0]),
    ]
    line = monitor.drain()
    assert line["sample_loss"] == pytest.approx(3.0)
    assert line["gain_mean"] == pytest.approx(0.5)
    assert line["weight_mean"] == pytest.approx(1.0)
    assert line["weight_std"] == pytest.approx(math.sqrt(0.5))
    assert line["weight_ess"] == pytest.approx(9 / 4.5 / 3)
    assert line["share_at_low"] == pytest.approx(2 / 3)
    assert line["share_at_high"] == pytest.approx(1 / 3)
    assert line["entropy"] == pytest.approx(3 / 10)
    assert monitor.results == []


def test_the_auxiliary_loss_of_experts_is_a_mean_over_micro_batches() -> None:
    monitor = Monitor(["a", "b", "c"], None, Accelerator(cpu=True), Path("run"))
    parts = [results(0, [0, 1], [1.0, 2.0]), results(0, [2], [3.0])]
    monitor.results = [
        replace(part, aux_loss=torch.tensor(aux)) for part, aux in zip(parts, (2.0, 3.0), strict=True)
    ]
    assert monitor.drain()["aux_loss"] == pytest.approx(2.5)
    monitor.results = parts
    assert "aux_loss" not in monitor.drain()


@pytest.mark.parametrize("bad", [NAN, INF, -INF])
def test_the_first_bad_step_names_its_samples_alone_and_the_newest_checkpoint(
    bad: float, tmp_path: Path
) -> None:
    for step, files in ((2, ["complete", "rng_state.pth"]), (4, ["complete", "rng_state.pth"]), (5, [])):
        (tmp_path / f"checkpoint-{step}").mkdir()
        for name in files:
            (tmp_path / f"checkpoint-{step}" / name).touch()
    monitor = Monitor(["a", "b", "c", "d"], None, Accelerator(cpu=True), tmp_path)
    monitor.results = [
        results(4, [0, 1], [1.0, 1.0]),
        results(5, [2], [bad]),
        results(5, [3, NO_SAMPLE], [bad, bad]),
        results(6, [0, 1], [NAN, NAN]),
    ]
    for look in (monitor.refuse_non_finite, monitor.drain):
        with pytest.raises(UserError, match=r"step 6, for 2 sample\(s\): 'c', 'd'\. Look at them\.") as error:
            look()
        assert f"{tmp_path}/checkpoint-4 (step 4) is from before it: resume there" in str(error.value)


def test_where_there_is_no_checkpoint_yet_none_is_claimed(tmp_path: Path) -> None:
    monitor = Monitor(["a"], None, Accelerator(cpu=True), tmp_path)
    monitor.results = [results(0, [0], [NAN])]
    with pytest.raises(UserError, match=f"{tmp_path}: no whole checkpoint to resume from, so train anew"):
        monitor.refuse_non_finite()


def test_the_spread_of_nearly_equal_weights_keeps_its_digits() -> None:
    monitor = Monitor(range(4), None, Accelerator(cpu=True), Path("run"))
    weight = torch.tensor([0.5, 0.5001, 0.4999, 0.5])
    monitor.results = [results(0, [0, 1, 2, 3], [1.0] * 4, weight=weight.tolist())]
    assert monitor.drain()["weight_std"] == pytest.approx(weight.double().std(correction=0).item(), rel=1e-6)


def test_an_epoch_is_summed_up_over_the_samples_it_saw() -> None:
    page = Page(
        epoch=1,
        loss=torch.tensor([1.0, 3.0, NAN]),
        weight=torch.tensor([0.5, 1.5, NAN]),
        gain=torch.tensor([0.5, NAN, NAN]),
        step=torch.tensor([1.0, 2.0, NAN]),
    )
    assert epoch_summary(page) == {
        "epoch_loss": 2.0,
        "epoch_gain": 0.5,
        "epoch_weight": 1.0,
        "epoch_weight_spread": 0.5,
        "unseen_samples": 1,
    }


def test_samples_that_epochs_did_not_see_are_named_once_a_run() -> None:
    monitor = Monitor(["a", "b", "c"], None, Accelerator(cpu=True), Path("run"))

    def page(epoch: int, *losses: float) -> Page:
        return Page(epoch, *(torch.tensor(losses) for _ in range(4)))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.warn_of_unseen(page(0, 1.0, 2.0, 3.0))
    with pytest.warns(UserWarning, match="epoch 2 did not see 2 of 3 samples: 'a', 'c'. dataloader"):
        monitor.warn_of_unseen(page(1, NAN, 2.0, NAN))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monitor.warn_of_unseen(page(2, NAN, 2.0, 3.0))
