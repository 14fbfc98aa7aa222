"""What chat templates do to a response, and the check that refuses what would not be trained as it is.

The templates are those that TRL ships: as models have them, and as TRL mends them for training. The tokenizer
is ours with each template's special tokens, so that nothing is downloaded.
"""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import normalizers
from transformers import PreTrainedTokenizerBase

from glow.config import Prompt
from glow.errors import UserError
from glow.models.build import learn_merges, qwen2_tokenizer
from glow.models.templates import named_template, shipped_templates, template_text
from glow.training.labels import LabelCheck, Said, conversation_fault, label_check, mends, said_turns
from glow.training.sft import _dataset

ANSWER = "We add 5 and 7.\n\nThe answer is \\boxed{12}."
ASKED = [{"role": "user", "content": "5 + 7 ?"}]
THOUGHT = f"<think>\nFive and seven.\n</think>\n\n{ANSWER}"
TIGHT = f"<think>Five and seven.</think>{ANSWER}"
OPENED = THOUGHT.removeprefix("<think>\n")

MODELS = {
    "qwen2_5": "Qwen2.5",
    "qwen3": "Qwen3",
    "llama3_1": "Llama-3.1",
    "gemma3": "Gemma-3",
    "deepseek_r1_distill": "DeepSeek-R1-Distill",
}
OTHERS = [
    "chatml", "plain", "deepseek_r1_distill_training", "qwen2_5_training", "qwen3_training",
    "gemma3_training", "cohere", "cohere2", "deepseekv3", "deepseekv3_training", "gemma", "gemma4", "glm4moe",
    "glm4moe_training", "gptoss", "gptoss_training", "lfm2", "llama3", "llama3_2", "llama3_training",
    "muse_glimmer", "nemotron_3_nano", "nemotron_3_nano_training", "nemotron_3_ultra", "phi3", "phi3_5",
    "qwen3_5_nothink", "qwen3_5_think", "qwen3_5_think_training", "qwen3_6", "qwen3_8",
    "qwen3_instruct_2507",
]  # fmt: skip

BAR = "\N{FULLWIDTH VERTICAL LINE}"

EOS = {
    "deepseek": f"<{BAR}end▁of▁sentence{BAR}>", "gemma": "<eos>", "llama3": "<|eot_id|>",
    "cohere": "<|END_OF_TURN_TOKEN|>", "glm": "<|endoftext|>", "gptoss": "<|return|>", "muse": "<|eot|>",
    "phi3": "<|endoftext|>",
}  # fmt: skip
"""The end of sequence of the models with these templates; <|im_end|> for all others."""


def tokenizer_for(name: str, **variables: object) -> PreTrainedTokenizerBase:
    """A tokenizer with a template's special tokens, and the template."""
    text = template_text(name)
    special = set(
        re.findall(rf"<[|{BAR}][^<>|{BAR} ]+[|{BAR}]>|<(?:start|end)_of_turn>|<\|turn>|<turn\|>", text)
    )
    eos = next((token for start, token in EOS.items() if name.startswith(start)), "<|im_end|>")
    made = qwen2_tokenizer(*learn_merges(["The answer is"], 400))
    made.add_special_tokens({"eos_token": eos, "bos_token": "<bos>"})
    made.add_tokens(sorted(special), special_tokens=True)
    made.add_tokens(["<think>", "</think>"])
    made.chat_template = named_template(name, made)
    for key, value in variables.items():
        made.chat_template = f"{{% set {key} = {str(value).lower()} %}}{made.chat_template}"
    return made


def example(tokenizer: PreTrainedTokenizerBase, response: str) -> dict[str, Any]:
    """The row of prompt and completion that `glow sft` makes."""
    row = {"trajectory_id": "t-1", "question": "5 + 7 ?", "response": response, "verdict": "correct"}
    return _dataset([row], Prompt(), tokenizer)[0]  # type: ignore[list-item]  # the keys that it needs


def outcome(tokenizer: PreTrainedTokenizerBase, response: str) -> str:
    """What `glow sft` does with a response, in a word or two."""
    try:
        fault = conversation_fault(example(tokenizer, response), tokenizer)
    except UserError as error:
        assert "opens a thought" in str(error)
        return "no end of thought"
    reasons = {"not learn to stop": "no stop", "would learn": "changed", "trained after": "other prompt"}
    return "trained" if fault is None else next(word for text, word in reasons.items() if text in fault)


def table_row(name: str) -> str:
    """A template's row of the table in docs/data.md."""
    made = tokenizer_for(name)
    cells = {response: outcome(made, response) for response in (ANSWER, THOUGHT, TIGHT, OPENED)}
    found: dict[str, None] = {}
    for response, cell in cells.items():
        if cell != "trained":
            row = {"prompt": ASKED, "completion": [{"role": "assistant", "content": response}]}
            found |= dict.fromkeys(mends(row, made)[:1])
    shown = f"{MODELS[name]}: `{name}`" if name in MODELS else f"`{name}`"
    return f"| {shown} | {' | '.join(cells.values())} | {', '.join(f'`{mend}`' for mend in found)} |"


def table() -> list[str]:
    return [table_row(name) for name in [*MODELS, *OTHERS]]


def test_the_page_says_of_each_template_what_it_does() -> None:
    """Made again by `python tests/unit/training/test_labels.py`."""
    page = (Path(__file__).parents[3] / "docs/data.md").read_text(encoding="utf-8")
    lines = page.splitlines()
    start = lines.index(table_row("qwen2_5"))
    assert lines[start : start + len(MODELS) + len(OTHERS)] == table()
    assert not lines[start + len(MODELS) + len(OTHERS)].startswith("|")


def test_every_template_of_trl_is_on_the_page_or_left_out_for_a_reason() -> None:
    """Left out: templates for pictures, and versions that do the same as one that is there."""
    pictures = {name for name in shipped_templates() if re.search("vl|idefics|llava|smolvlm", name)}
    versions = {
        *(
            "cohere_training",
            "cohere2_training",
            "gemma_training",
            "lfm2_training",
            "lfm2_v2",
            "lfm2_v2_training",
        ),
        *("lfm2_2_5", "lfm2_2_5_v2", "gemma4_v2", "gemma4_v3", "gemma4_v4", "gemma4_v5", "diffusion_gemma"),
        *("diffusion_gemma_training", "muse_glimmer_training", "nemotron_3_5_lightning", "nemotron_3_super"),
        *("nemotron_3_5_lightning_training", "nemotron_3_super_training", "nemotron_3_ultra_training"),
        *(
            "phi3_training",
            "phi3_5_training",
            "qwen3_5_nothink_training",
            "qwen3_6_training",
            "qwen3_8_training",
        ),
        "qwen3_instruct_2507_training",
    }
    assert set(shipped_templates()) == ({*MODELS, *OTHERS} - {"chatml", "plain"}) | pictures | versions


def test_a_deleted_thought_is_named_with_the_mend_that_was_tried() -> None:
    made = tokenizer_for("deepseek_r1_distill")
    row = example(made, THOUGHT)
    assert conversation_fault(row, made) == (
        "would learn 'We add 5 and 7.\\n\\nThe answer is \\\\boxed{12}.' in place of "
        "'<think>\\nFive and seven.\\n</think>\\n\\nWe add 5 and 7.\\n\\..."
    )
    assert mends(row, made)[0] == "chat_template: deepseek_r1_distill_training"


def test_qwen3_adds_an_empty_thought_unless_thinking_is_off() -> None:
    row = {"prompt": ASKED, "completion": [{"role": "assistant", "content": ANSWER}]}
    assert "would learn '<think>\\n\\n</think>\\n\\nWe add" in str(
        conversation_fault(row, tokenizer_for("qwen3"))
    )
    assert conversation_fault(row, tokenizer_for("qwen3", enable_thinking=False)) is None


# The check itself, on tokens written out by hand: a word is a token, and so is each mark


VOCABULARY = ["<end>", "<user>", "we", " add", " twelve", "\n", "<eos>", "twelve", "ask we", "?\n"]


class Words:
    """A tokenizer of a few words."""

    chat_template = None

    def decode(self, ids: list[int], **_: object) -> str:
        return "".join(VOCABULARY[token] for token in ids)


def fault(turns: list[str], words: list[str], learnt: list[int], **settings: Any) -> str | None:
    """What the check says of a sample of which the tokens at the places `learnt` are learnt."""
    ids = np.array([VOCABULARY.index(word) for word in words])
    labels = np.where(np.isin(np.arange(len(ids)), learnt), ids, -100)
    stops = frozenset({VOCABULARY.index("<end>"), VOCABULARY.index("<eos>")})
    check = LabelCheck(Words(), stops, **({"prompt_end": ""} | settings))  # type: ignore[arg-type]
    return check._fault(Said(turns), ids, labels)


SAID = ["<user>", "we", " add", " twelve", "<end>", "\n"]


@pytest.mark.parametrize(
    ("turns", "words", "learnt", "settings", "expected"),
    [
        (["we add twelve"], SAID, [1, 2, 3, 4, 5], {}, None),
        ([" we add twelve\n"], SAID, [1, 2, 3, 4], {}, None),  # blanks around it do not count
        (["we add twelve"], SAID, [1, 2, 3], {}, "not learn to stop: it ends in 'we add twelve'"),
        (["we add twelve"], [*SAID, "<eos>"], [1, 2, 3, 4, 5, 6], {}, None),  # two ends, as Phi-3 has
        (["we add"], SAID, [1, 2, 3, 4], {}, "learn 'we add twelve' in place of 'we add'"),
        (["we add twelve"], SAID, [2, 3, 4], {}, None),  # its first word stands in the prompt
        (["so we add twelve"], SAID, [2, 3, 4], {}, "in place of 'so we add twelve'"),
        (["twelve"], ["<user>", "ask we", " twelve", "<end>"], [2, 3], {}, None),
        (["we twelve"], ["<user>", "ask we", " twelve", "<end>"], [1, 2, 3], {}, None),  # begins in a token
        (
            ["we twelve"],
            ["<user>", "we", "we", " twelve", "<end>"],
            [1, 2, 3, 4],
            {},
            "learn 'wewe twelve'",
        ),
        (["we<end> add"], ["we", "<end>", " add", "<end>"], [0, 1, 2, 3], {}, "'<end>' in the middle"),
        (["we add twelve"], SAID, [1, 2, 3, 4], {"prompt_end": "<user>"}, None),
        (
            ["we add twelve"],
            SAID,
            [1, 2, 3, 4],
            {"prompt_end": "<user><think>\n"},
            "asked after '<user><think>'",
        ),
        (["we", "twelve"], ["we", "<end>", "<user>", "twelve", "<end>"], [0, 1, 3, 4], {}, None),
        (["add", "twelve"], ["<user>", "twelve", "<end>"], [1, 2], {}, "not learn 'add'"),
        (["we add twelve"], SAID, [0, 1, 2, 3, 4, 5], {"everything": True}, None),
        (["we add we"], SAID, [0, 1, 2, 3, 4, 5], {"everything": True}, "not learn 'we add we'"),
        (["we add twelve"], SAID[:4], [0, 1, 2, 3], {"everything": True}, "and then to stop"),
        (["we", "twelve"], ["we", "<user>", "twelve", "<end>"], [0, 1, 2, 3], {}, "not learn 'we' and"),
        (["we"], ["<user>", "we", "<user>", "<end>"], [0, 1, 2, 3], {"everything": True}, "not learn 'we'"),
        (
            ["we", "twelve"],
            ["<user>", "we", "we", "<end>", "<user>", "twelve", "<end>"],
            [1, 2, 3, 4, 5, 6],
            {"prompt_end": "<user>"},
            "not learn 'we'",
        ),  # said twice
        (["\ntwelve"], ["ask we", "?\n", "twelve", "<eos>"], [1, 2, 3], {"prompt_end": None}, None),
        (["twelve<eos>"], ["ask we", "twelve", "<eos>"], [1, 2], {"prompt_end": None}, None),
    ],
)
def test_what_is_learnt_is_what_was_said(
    turns: list[str], words: list[str], learnt: list[int], settings: dict[str, Any], expected: str | None
) -> None:
    found = fault(turns, words, learnt, **settings)
    assert found is None if expected is None else expected in str(found)


def test_a_text_may_be_composed_but_not_rewritten() -> None:
    """A tokenizer may put letters and accents together, as Qwen's does, but not make 2 of a square."""
    made = tokenizer_for("qwen2_5")
    row = {"prompt": ASKED, "completion": [{"role": "assistant", "content": "cafe\u0301 x\u00b2"}]}
    assert conversation_fault(row, made) is None
    made.backend_tokenizer.normalizer = normalizers.NFKC()
    assert "would learn 'café x2' in place of 'café x²'" in str(conversation_fault(row, made))


def test_the_end_of_the_prompt_may_differ_from_row_to_row() -> None:
    made = tokenizer_for("qwen3")
    row = {"prompt": ASKED, "completion": [{"role": "assistant", "content": ANSWER}]}
    off = row | {"chat_template_kwargs": {"enable_thinking": False}}
    begin, empty = "<|im_start|>assistant\n", "<think>\n\n</think>\n\n"
    checks = [label_check(made, None, first, everything=False) for first in (row, off)]
    assert [check.prompt_end for check in checks if check] == [begin, begin + empty]
    tokens = np.array(made(f"{begin}{empty}{ANSWER}<|im_end|>")["input_ids"])
    labels = np.where(np.arange(len(tokens)) < len(made(begin + empty)["input_ids"]), -100, tokens)
    for check in filter(None, checks):  # where the first row's is not that of the row, its own is looked up
        assert check.fault(off, tokens, labels) is None
    assert checks[0] is not None
    assert "but asked after" in str(checks[0].fault(row, tokens, labels))


CALL = {"role": "assistant", "content": "Let me add.", "tool_calls": [{"function": {"name": "add"}}]}
TURNS = [
    {"role": "assistant", "content": "one"},
    {"role": "user", "content": "and?"},
    {"role": "assistant", "content": "two"},
]


@pytest.mark.parametrize(
    ("template", "completion", "expected"),
    [
        ("chatml", TURNS, None),
        ("qwen3", TURNS, "would not learn 'two' and then to stop"),  # an empty thought before the last
        ("chatml", [TURNS[0] | {"content": ""}, *TURNS[1:]], None),
        ("chatml", [CALL], None),  # what is said beside the call is there; the call itself is not looked at
        (
            "deepseek_r1_distill",
            [CALL | {"content": "<think>so</think>"}],
            "would not learn '<think>so</think>'",
        ),
    ],
)
def test_completions_of_several_turns_and_with_calls(
    template: str, completion: list[dict[str, Any]], expected: str | None
) -> None:
    found = conversation_fault({"prompt": ASKED, "completion": completion}, tokenizer_for(template))
    assert found is None if expected is None else expected in str(found)


def test_texts_of_turns() -> None:
    said = {"role": "assistant", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}
    asked = {"role": "user", "content": "?"}
    assert said_turns({"messages": [asked, said, asked, said]}) == Said(["ab", "ab"])
    assert said_turns({"prompt": "?", "completion": " 2"}) == Said([" 2"])
    parts = [{"from": "user", "value": "?"}, {"from": "assistant", "value": "a"}]
    assert said_turns({"conversations": parts}) == Said(["a"])
    called = {"role": "assistant", "content": None, "tool_calls": [{"name": "add"}], "reasoning": None}
    assert said_turns({"completion": [called]}) == Said([""], is_bare=False)


if __name__ == "__main__":
    print("\n".join(table()))
