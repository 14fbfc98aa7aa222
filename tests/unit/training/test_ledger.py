"""The loss memory: epochs turn over, unseen samples stay missing, and a saved ledger comes back whole."""

from pathlib import Path

import pytest
import torch
from torch import multiprocessing

from glow.training.ledger import NO_SAMPLE, LossLedger, Page

NAN = float("nan")


def record(ledger: LossLedger, losses: dict[int, float], weight: float = 1.0, step: int = 0) -> None:
    rows, values = torch.tensor(list(losses)), torch.tensor(list(losses.values()))
    ledger.record(rows, values, torch.full_like(values, weight), step)


def after_two_epochs() -> tuple[LossLedger, Page]:
    """The ledger in its third epoch, and the page of the second."""
    ledger = LossLedger(3)
    record(ledger, {2: 2.0, 0: 0.5})  # sample 1 is not seen
    ledger.turn_page()
    record(ledger, {1: 1.0, 2: 1.5}, weight=0.3)  # sample 0 is not seen
    return ledger, ledger.turn_page()


def same(actual: torch.Tensor, expected: list[float]) -> None:
    torch.testing.assert_close(actual, torch.tensor(expected), rtol=0, atol=0, equal_nan=True)


def test_a_page_has_losses_weights_and_gains() -> None:
    ledger, page = after_two_epochs()
    assert (page.epoch, ledger.epoch) == (1, 2)
    same(page.loss, [NAN, 1.0, 1.5])
    same(page.weight, [NAN, 0.3, 0.3])
    same(page.gain, [NAN, NAN, 0.5])  # only sample 2 was seen in both epochs


def test_steps_are_counted_from_the_first_of_each_epoch() -> None:
    ledger = LossLedger(4)
    record(ledger, {2: 1.0, 0: 1.0}, step=0)
    record(ledger, {1: 1.0}, step=1)  # a micro-batch of a step
    record(ledger, {3: 1.0}, step=1)  # and another
    same(ledger.turn_page().step, [1.0, 2.0, 1.0, 2.0])
    record(ledger, {3: 1.0}, step=2)
    record(ledger, {0: 1.0}, step=4)
    same(ledger.turn_page().step, [3.0, NAN, NAN, 1.0])
    same(ledger.turn_page().step, [NAN] * 4)  # an epoch of nobody


def test_losses_of_an_epoch_are_the_previous_ones_of_the_next_alone() -> None:
    ledger, _ = after_two_epochs()
    same(ledger.previous_loss(torch.tensor([2, 0, 1])), [1.5, NAN, 1.0])


def test_the_row_of_no_sample_keeps_nothing() -> None:
    ledger = LossLedger(2)
    record(ledger, {0: 1.0, NO_SAMPLE: 9.0})
    same(ledger.turn_page().loss, [1.0, NAN])
    same(ledger.previous_loss(torch.tensor([NO_SAMPLE])), [NAN])


def test_a_saved_ledger_goes_on_where_it_stood(tmp_path: Path) -> None:
    ledger, _ = after_two_epochs()
    record(ledger, {1: 0.75}, step=10)
    ledger.count(torch.tensor(40))
    assert ledger.total_tokens() == 40
    ledger.save(tmp_path / "ledger.safetensors")
    restored = LossLedger(3)
    restored.load(tmp_path / "ledger.safetensors")
    for one in (ledger, restored):
        record(one, {0: 0.25}, weight=0.7, step=12)
        page = one.turn_page()
        assert page.epoch == 2
        same(page.loss, [0.25, 0.75, NAN])
        same(page.weight, [0.7, 1.0, NAN])
        same(page.gain, [NAN, 0.25, NAN])
        same(page.step, [3.0, 1.0, NAN])
        one.count(torch.tensor(2))
        assert one.total_tokens() == one.total_tokens() == 42


def test_a_ledger_of_another_training_set_is_refused(tmp_path: Path) -> None:
    LossLedger(4).save(tmp_path / "ledger.safetensors")
    with pytest.raises(ValueError, match="a ledger of 4 samples does not fit a training set of 3"):
        LossLedger(3).load(tmp_path / "ledger.safetensors")


def _process(rank: int, rendezvous: str, results: Path) -> None:
    torch.distributed.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=2)
    ledger = LossLedger(3)
    record(ledger, {0: 1.0} if rank == 0 else {2: 3.0}, step=6 + rank)
    ledger.merge()  # as for a checkpoint in mid-epoch
    if rank == 1:
        record(ledger, {1: 2.0, NO_SAMPLE: 0.0}, weight=0.5, step=8)
    page = ledger.turn_page()
    ledger.count(torch.tensor(10 + rank))
    ledger.total_tokens()
    ledger.count(torch.tensor(1))
    tokens = torch.tensor(ledger.total_tokens())
    kept = [page.loss, page.weight, page.step, ledger.previous_loss(torch.arange(3)), tokens]
    torch.save(kept, results / f"{rank}.pt")
    torch.distributed.destroy_process_group()


def test_processes_merge_what_each_has_seen(tmp_path: Path) -> None:
    multiprocessing.spawn(_process, (str(tmp_path / "rendezvous"), tmp_path), nprocs=2)
    for rank in range(2):
        loss, weight, step, previous, tokens = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        same(loss, [1.0, 2.0, 3.0])
        same(weight, [1.0, 0.5, 1.0])
        same(step, [1.0, 3.0, 2.0])
        same(previous, [1.0, 2.0, 3.0])
        assert tokens.item() == 10 + 11 + 2
