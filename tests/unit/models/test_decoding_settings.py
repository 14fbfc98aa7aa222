"""top-k, min-p and stop strings: against references of plain Python, token by token and prefix by prefix."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from transformers import AutoModelForCausalLM, AutoTokenizer

from glow.config import Decoding, Prompt, Scratch
from glow.models import build, load
from glow.models.engines import load_engine
from glow.models.sampling import Completion, Request, choose_tokens, until_stop

# --- which tokens -------------------------------------------------------------------------------


def drawn(probabilities: list[float], uniform: float, **settings: float) -> int:
    logits = torch.tensor([probabilities], dtype=torch.float64).log()
    settings = {"top_p": 1.0, **settings}
    return int(choose_tokens(logits, 1.0, uniform=torch.tensor([uniform], dtype=torch.float64), **settings))


@pytest.mark.parametrize(
    ("settings", "uniform", "token"),
    # Masses .4 .3 .2 .1 (tokens 2 0 3 1). Two likeliest: 0 and 2, at 3/7 and 4/7.
    [
        ({"top_k": 1}, 0.999, 2),
        ({"top_k": 2}, 0.42, 0),
        ({"top_k": 2}, 0.43, 2),
        ({"top_k": 4}, 0.35, 1),
        ({"top_k": 99}, 0.35, 1),
        # Half of .4 is .2: all but token 1, at 3/9, 4/9, 2/9.
        ({"min_p": 0.5}, 0.33, 0),
        ({"min_p": 0.5}, 0.34, 2),
        ({"min_p": 0.5}, 0.78, 3),
        ({"min_p": 1.0}, 0.001, 2),
        # The nucleus is one of what top-k leaves: 4/7 are enough for 0.5, and not for 0.6.
        ({"top_k": 2, "top_p": 0.57}, 0.001, 2),
        ({"top_k": 2, "top_p": 0.58}, 0.001, 0),
        # As for min-p: of .4 .3 .2, 7/9 are enough for 0.77, and not for 0.78.
        ({"min_p": 0.5, "top_p": 0.77}, 0.999, 2),
        ({"min_p": 0.5, "top_p": 0.78}, 0.999, 3),
        # min-p leaves three, of which top-k takes two.
        ({"min_p": 0.5, "top_k": 2}, 0.999, 2),
    ],
)
def test_choices_that_were_worked_out_by_hand(settings: dict[str, float], uniform: float, token: int) -> None:
    assert drawn([0.3, 0.1, 0.4, 0.2], uniform, **settings) == token


def test_equally_likely_tokens_at_the_edge_of_top_k_all_stay() -> None:
    found = {drawn([0.2, 0.2, 0.2, 0.4], uniform, top_k=2) for uniform in (0.1, 0.3, 0.5, 0.9)}
    assert found == {0, 1, 2, 3}


def reference(
    probabilities: list[float], uniform: float, top_k: int, top_p: float, min_p: float
) -> list[int]:
    """The token that is drawn, by sorting and adding up; more than one where rounding decides."""
    order = sorted(range(len(probabilities)), key=lambda token: -probabilities[token])
    order = [token for token in order if probabilities[token] >= min_p * probabilities[order[0]]]
    order = order[:top_k] if top_k else order
    total, mass, nucleus = sum(probabilities[token] for token in order), 0.0, []
    for token in order:
        nucleus.append(token)
        mass += probabilities[token]
        if mass >= top_p * total:
            break
        assume(abs(mass - top_p * total) > 1e-9)
    target, cumulative = uniform * mass, 0.0
    for token in sorted(nucleus):
        cumulative += probabilities[token]
        assume(abs(cumulative - target) > 1e-9)
        if cumulative > target:
            return token
    raise AssertionError


@given(
    weights=st.lists(st.integers(1, 10**6), min_size=1, max_size=90, unique=True),
    uniform=st.floats(0.5 / 2**32, 1 - 0.5 / 2**32),
    top_k=st.integers(0, 95),
    top_p=st.floats(0.01, 1),
    min_p=st.floats(0, 1),
)
def test_the_token_is_that_of_the_reference(
    weights: list[int], uniform: float, top_k: int, top_p: float, min_p: float
) -> None:
    probabilities = [weight / sum(weights) for weight in weights]
    assume(all(abs(p - min_p * max(probabilities)) > 1e-12 for p in probabilities))
    expected = reference(probabilities, uniform, top_k, top_p, min_p)
    assert drawn(probabilities, uniform, top_k=top_k, top_p=top_p, min_p=min_p) == expected


@given(
    weights=st.lists(st.floats(1e-6, 1), min_size=2, max_size=80),
    uniform=st.floats(0.5 / 2**32, 1 - 0.5 / 2**32),
    top_p=st.floats(0.01, 1),
)
def test_settings_that_leave_all_tokens_change_nothing(
    weights: list[float], uniform: float, top_p: float
) -> None:
    logits = torch.tensor([weights], dtype=torch.float32)
    noise = torch.tensor([uniform], dtype=torch.float64)
    assert torch.equal(
        choose_tokens(logits, 0.7, top_p, noise, top_k=0, min_p=0.0), choose_tokens(logits, 0.7, top_p, noise)
    )


def test_greedy_decoding_takes_the_likeliest_whatever_the_settings() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0]])
    noise = torch.tensor([0.999], dtype=torch.float64)
    assert choose_tokens(logits, 0.0, 0.9, noise, top_k=2, min_p=0.1).tolist() == [1]


# --- stop strings -------------------------------------------------------------------------------


def test_the_stop_string_that_is_complete_first_counts() -> None:
    assert until_stop("one two three", []) == ("one two three", None)
    assert until_stop("one two three", ["four"]) == ("one two three", None)
    assert until_stop("one two three", ["three", "two"]) == ("one ", "two")
    assert until_stop("one two three", ["two three", "two"]) == ("one ", "two")
    assert until_stop("abcd", ["bc", "abc"]) == ("a", "bc")  # complete at the same character: the first
    assert until_stop("abcd", ["abc", "bc"]) == ("", "abc")
    assert until_stop("aXbX", ["X"]) == ("a", "X")


@pytest.fixture(scope="module")
def bytes_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A random model of a byte-level tokenizer, whose tokens may be parts of characters."""
    folder = tmp_path_factory.mktemp("bytes")
    text = "αβγ Ünï — naïve 东京 answers; so the sum is 12, and the product 35.\n\nWait, check."
    rows = [{"question": f"{text} {number}", "response": text * 3} for number in range(40)]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    build.scratch(folder / "text.jsonl", folder / "model", Scratch(vocabulary=300, hidden_size=32, heads=2))
    return folder / "model"


def sampled(model: Path, **settings: object) -> list[Completion]:
    engine = load_engine(model, Decoding(**{"max_tokens": 30, "batch_size": 5, **settings}), Prompt())
    asked = [
        Request([{"role": "user", "content": f"1 + {number}"}], (3, f"p-{number}", index))
        for number in range(5)
        for index in range(4)
    ]
    completions = engine.generate(asked)
    engine.close()
    return completions


def spanning(tokenizer: object, completions: list[Completion]) -> list[str]:
    """Texts of up to three characters that end in one token and begin in an earlier one."""
    found = []
    for place, completion in enumerate(completions):
        ids = completion.token_ids
        cut = 4 + place % 7
        if len(ids) > cut + 2:
            before, after = (len(tokenizer.decode(ids[:end])) for end in (cut, cut + 1))
            piece = tokenizer.decode(ids[: cut + 1])[before - 2 : after][:3]
            found += [piece] if after > before and "\ufffd" not in piece else []
    return sorted(set(found))


@pytest.mark.parametrize("kind", ["words", "bytes"])
def test_a_response_ends_with_the_first_token_that_completes_a_stop_string(
    kind: str, tiny_model: Path, bytes_model: Path
) -> None:
    """Each sample belongs to its key, so those that are stopped are beginnings of those that are not."""
    model = tiny_model if kind == "words" else bytes_model
    tokenizer = AutoTokenizer.from_pretrained(model)
    free = sampled(model)
    stop = spanning(tokenizer, free)
    assert len(stop) > 2
    ended = 0
    for whole, stopped in zip(free, sampled(model, stop=stop), strict=True):
        shown = [tokenizer.decode(whole.token_ids[:end]) for end in range(len(whole.token_ids) + 1)]
        first = next((end for end, text in enumerate(shown) if any(mark in text for mark in stop)), None)
        if first is None:
            assert stopped == whole
            continue
        ended += 1
        assert stopped.token_ids == whole.token_ids[:first]
        assert stopped.finish_reason == "stop"
        assert shown[first].startswith(stopped.text + stopped.stop_string)
        assert not any(mark in stopped.text for mark in stop)
    assert ended > 3


def test_a_stop_string_in_the_last_token_that_fits_is_no_truncation(tiny_model: Path) -> None:
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    whole = next(completion for completion in sampled(tiny_model, max_tokens=6) if completion.text.strip())
    place = sampled(tiny_model, max_tokens=6).index(whole)
    assert whole.finish_reason == "length"
    mark = whole.text[-2:]
    assert mark not in tokenizer.decode(whole.token_ids[:-1])
    stopped = sampled(tiny_model, max_tokens=6, stop=[mark])[place]
    assert (stopped.finish_reason, stopped.stop_string, stopped.text) == ("stop", mark, whole.text[:-2])
    assert stopped.token_ids == whole.token_ids


def test_batch_size_changes_nothing_beside_stop_strings(tiny_model: Path) -> None:
    stop = [" ", "="]
    expected = sampled(tiny_model, stop=stop, batch_size=64)
    assert sampled(tiny_model, stop=stop, batch_size=1) == expected


def test_an_empty_stop_string_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 1 character"):
        Decoding(max_tokens=1, stop=[""])


def test_hidden_tokens_are_no_part_of_a_stop_string(tiny_model: Path, tmp_path: Path) -> None:
    """The commonest token becomes a special one: its text is none of a response, and ends none."""
    tokenizer = AutoTokenizer.from_pretrained(tiny_model)
    tokens = [token for completion in sampled(tiny_model) for token in completion.token_ids]
    commonest = max(set(tokens), key=tokens.count)
    word = tokenizer.convert_ids_to_tokens(commonest)
    tokenizer.add_special_tokens({"additional_special_tokens": [word]})
    AutoModelForCausalLM.from_pretrained(tiny_model).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    assert commonest in load.hidden_tokens(tokenizer, Prompt().thought)
    free = sampled(tmp_path)
    assert sum(commonest in completion.token_ids for completion in free) > 5
    assert sampled(tmp_path, stop=[word]) == free
