"""Rows through packing and collation, and the survey of a tokenised set, on sets written out by hand."""

from typing import Any

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

from glow.errors import UserError
from glow.training.ledger import NO_SAMPLE
from glow.training.samples import (
    PLACE,
    ROW,
    SampleCollator,
    averaged,
    document_mask,
    ids_digest,
    pack,
    sample_ids,
    survey,
    tokens_read,
)


def tokenised(sizes: list[int], prompt: int = 1) -> Dataset:
    """Sample k has tokens k * 100 + 0, 1, ...; the first `prompt` of them are not learnt."""
    ids = [[100 * k + t for t in range(size)] for k, size in enumerate(sizes)]
    labels = [[-100] * min(prompt, len(row)) + row[prompt:] for row in ids]
    return Dataset.from_dict({"input_ids": ids, "labels": labels, ROW: list(range(len(sizes)))})


def test_survey_counts_the_tokens_that_are_predicted_and_learnt() -> None:
    rows = Dataset.from_dict(
        {
            "input_ids": [[1, 2, 3, 4], [5], [6, 7], [8, 9, 1]],
            "labels": [[-100, -100, 3, 4], [5], [-100, -100], [8, 9, 1]],
            ROW: [3, 1, 0, 2],
        }
    )
    found = survey(rows)
    assert found.rows.tolist() == [3, 1, 0, 2]
    # Nothing predicts a first token, so sample 1 has nothing to learn and the last has two tokens.
    assert found.response_tokens.tolist() == [2, 0, 0, 2]


@pytest.mark.parametrize(
    "change",
    [
        {"input_ids": [[0, 1, 2], [100, 7, 102]]},
        {"labels": [[-100, 1, 2], [-100, -100, 102]]},
        {ROW: [1, 0]},
        {"input_ids": [[0, 1], [2, 100, 101, 102]], "labels": [[-100, 1], [2, -100, 101, 102]]},
    ],
    ids=["token", "label", "order", "boundary"],
)
def test_digest_sees_any_change(change: dict[str, Any]) -> None:
    same = {column: tokenised([3, 3])[column] for column in ("input_ids", "labels", ROW)}
    assert survey(Dataset.from_dict(same)).digest == survey(tokenised([3, 3])).digest
    assert survey(Dataset.from_dict({**same, **change})).digest != survey(tokenised([3, 3])).digest


@given(st.lists(st.integers(2, 20), min_size=1, max_size=30))
def test_packs_hold_every_sample_once_and_whole(sizes: list[int]) -> None:
    packed = pack(tokenised(sizes), 20)
    seen = []
    for example in packed:
        start = 0
        for row, size in zip(example[ROW], example["seq_lengths"], strict=True):
            assert example["input_ids"][start : start + size] == [100 * row + t for t in range(sizes[row])]
            start += size
            seen.append(row)
        assert start == len(example["input_ids"]) <= 20
    assert sorted(seen) == list(range(len(sizes)))


def test_a_padded_batch_has_one_row_a_sample() -> None:
    collate = SampleCollator(DataCollatorForLanguageModeling(pad_token_id=0))
    batch = collate(list(tokenised([3, 2])))
    assert batch[ROW].tolist() == [0, 1]
    assert batch[PLACE].tolist() == [0, 1]
    assert document_mask(batch) is None


def test_a_packed_batch_says_which_token_is_whose() -> None:
    collate = SampleCollator(DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True))
    examples = [
        {"input_ids": [1, 2, 3, 4, 5], "labels": [1, 2, 3, 4, 5], "seq_lengths": [2, 3], ROW: [7, 4]},
        {"input_ids": [6, 7], "labels": [6, 7], "seq_lengths": [2], ROW: [9]},
    ]
    batch = collate(examples)
    assert batch[ROW].tolist() == [7, 4, 9]
    assert batch[PLACE].tolist() == [0, 0, 1]
    # Seven tokens, six predictions; the one of a document's first token belongs to it and has no label.
    expected = [[1, 0, 0, 0, 0, 0], [0, 1, 1, 1, 0, 0], [0, 0, 0, 0, 1, 1]]
    assert document_mask(batch).int().tolist() == expected


@pytest.mark.parametrize("padding_free", [False, True])
def test_a_step_averages_over_samples_or_their_predicted_tokens(padding_free: bool) -> None:
    """Of samples of 5, 4 and 2 tokens, two of each a prompt's: 3, 2 and 0 learnt; the second is a repeat."""
    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)
    batch = SampleCollator(collator)(list(tokenised([5, 4, 2], prompt=2)))
    assert (averaged(batch, "samples"), averaged(batch, "tokens")) == (3, 5)
    batch[ROW][1] = NO_SAMPLE
    assert (averaged(batch, "samples"), averaged(batch, "tokens")) == (2, 3)


@pytest.mark.parametrize(
    "collator",
    [
        DataCollatorForLanguageModeling(pad_token_id=0),
        DataCollatorForLanguageModeling(pad_token_id=0, padding_free=True, pad_to_multiple_of=8),
    ],
)
def test_tokens_that_were_read_are_prompts_too_but_no_padding_and_no_repeats(collator: Any) -> None:
    batch = SampleCollator(collator)(list(tokenised([5, 4, 2], prompt=2)))
    assert tokens_read(batch) == 11
    batch[ROW][1] = NO_SAMPLE
    assert tokens_read(batch) == 7


@pytest.mark.parametrize("padding_free", [False, True])
def test_a_first_token_that_nothing_predicts_is_no_token_of_the_mean(padding_free: bool) -> None:
    collator = DataCollatorForLanguageModeling(pad_token_id=0, padding_free=padding_free)
    batch = SampleCollator(collator)(list(tokenised([3, 2], prompt=0)))
    assert averaged(batch, "tokens") == 2 + 1


def test_evaluation_batches_pass_through() -> None:
    collate = SampleCollator(DataCollatorForLanguageModeling(pad_token_id=0))
    batch = collate([{"input_ids": [1, 2]}])
    assert ROW not in batch
    assert torch.equal(batch["input_ids"], torch.tensor([[1, 2]]))


def test_a_collator_that_hides_its_packing_is_refused() -> None:
    def flatten(examples: list[dict[str, Any]]) -> dict[str, Any]:
        return {"input_ids": torch.cat([torch.tensor(example["input_ids"]) for example in examples])[None]}

    with pytest.raises(UserError, match="which token belongs to which sample"):
        SampleCollator(flatten)(list(tokenised([3, 2])))


@pytest.mark.parametrize("identity", [None, 1.5, ["a"], {"a": 1}])
def test_ids_are_texts_or_whole_numbers(identity: Any) -> None:
    rows = Dataset.from_dict({"id": [identity, identity]})
    with pytest.raises(UserError, match="row 0 of the training set has the id"):
        sample_ids(rows, "id", "id")


def test_ids_are_all_texts_or_all_numbers() -> None:
    """A column of an own type may hold both, and the history's files cannot."""
    rows = Dataset.from_list([{"id": 7}, {"id": "b"}], on_mixed_types="use_json")
    with pytest.raises(UserError, match=r"training set: row 1 has the id 'b' \(str\), and row 0 7 \(int\)"):
        sample_ids(rows, "id", "id")


def test_a_digest_of_ids_sees_order_and_type() -> None:
    digests = {ids_digest(ids) for ids in ([1, 2], [2, 1], ["1", "2"], ["12", ""], range(2))}
    assert len(digests) == 5
