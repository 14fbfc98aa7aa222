"""An evaluation goes on where it was, asks for nothing twice, and ends in the same bytes."""

import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest

from glow.config import AnswerSettings, Evaluation, EvaluationSettings, Prompt, Verification
from glow.errors import UserError
from glow.evaluation import asking, lm_eval_model, model_under_test
from glow.evaluation.answer import answer
from glow.evaluation.evaluate import evaluate
from glow.files.jsonl import Record, read_jsonl, write_jsonl
from glow.files.stopping import Stopped, listen
from glow.models.sampling import Completion, OnDone, Request
from glow.models.scoring import Score, score_responses

SAMPLED = Evaluation(max_tokens=12, temperature=0.9, samples=2, entropy_samples=0)
COUNT = 3 * 2 + 2 * 2
"""Sampled answers to `sums` and `dates`."""


class Killed(BaseException):
    """As if the process were gone: nothing catches it."""


class Engine:
    """Answers with the sample's key, in an order of its own, and dies after `lives` answers."""

    device = "cpu"
    starts = 0
    asked: ClassVar[list[tuple[str, int]]] = []
    lives = 10**9

    def generate(self, requests: Sequence[Request], on_done: OnDone) -> list[Completion]:
        completions: dict[int, Completion] = {}
        for place in reversed(range(len(requests))):
            if Engine.lives == 0:
                raise Killed
            Engine.lives -= 1
            _, problem, sample = requests[place].key
            Engine.asked.append((problem, sample))
            reason = "length" if sample == 2 else "stop"
            text = f"£ \u2028 the answer is {sample}, \\boxed{{{problem[-1]}}}"
            completions[place] = Completion(text, [3 + sample, 4, 5], 9, reason, problem == "p-2")
            on_done(place, completions[place])
        return [completions[place] for place in range(len(requests))]

    def close(self) -> None:
        pass


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> type[Engine]:
    def start(*_: Any, **__: Any) -> Engine:
        Engine.starts += 1
        return Engine()

    monkeypatch.setattr(model_under_test, "load_engine", start)
    for name, value in (("starts", 0), ("asked", []), ("lives", 10**9)):
        monkeypatch.setattr(Engine, name, value)
    return Engine


@pytest.fixture(autouse=True)
def scored(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many responses each call of the scorer had; two questions are scored together."""
    calls: list[int] = []

    def count(
        model: Any, prompts: list[Any], responses: list[Any], on_done: Callable[[int], object]
    ) -> list[Score]:
        calls.append(len(responses))
        return score_responses(model, prompts, responses, on_done)

    monkeypatch.setattr(model_under_test, "score_responses", count)
    monkeypatch.setattr(lm_eval_model, "SCORED_TOGETHER", 2)
    monkeypatch.setattr(asking, "SCORED_TOGETHER", 2)
    return calls


def boxed(*numbers: int) -> list[Record]:
    return [
        {"problem_id": f"p-{n}", "question": f"Q{n}", "answer": str(n), "format": "boxed"} for n in numbers
    ]


def choices(*numbers: int) -> list[Record]:
    return [
        {
            "problem_id": f"c-{n}",
            "question": f"Which is {n}?",
            "answer": "A",
            "choices": [str(n), "pens", "turn left " * n],
            "format": "choice",
        }
        for n in numbers
    ]


@pytest.fixture
def suites(tmp_path: Path) -> list[Path]:
    """Two suites that are sampled, and one of choices."""
    rows = {"sums": boxed(1, 2, 3), "pick": choices(1, 2, 3, 4, 5), "dates": boxed(4, 5)}
    for name, own in rows.items():
        write_jsonl(tmp_path / "suites" / f"{name}.jsonl", own)
    return [tmp_path / "suites" / f"{name}.jsonl" for name in rows]


Changes = dict[str, Any]


def run(model: Path, suites: list[Path], output: Path, **changes: Any) -> dict[str, bytes]:
    """Evaluate; what comes of it, the manifest apart."""
    evaluation = SAMPLED.model_copy(update=changes.pop("evaluation", {}))
    settings = EvaluationSettings(**{"evaluation": evaluation, "seed": 3, **changes})
    evaluate(model, suites, output, settings)
    return {
        str(file.relative_to(output)): file.read_bytes()
        for file in sorted(output.rglob("*"))
        if file.is_file() and file.name != "manifest.json"
    }


def facts(output: Path) -> Record:
    return json.loads((output / "manifest.json").read_text())["facts"]


def asked(*numbers: int, samples: Sequence[int] = (0, 1)) -> list[tuple[str, int]]:
    return [(f"p-{n}", sample) for n in numbers for sample in samples]


# --- after a kill ---------------------------------------------------------------------------------


@pytest.mark.parametrize("lives", [0, 1, 5, COUNT - 1])
def test_a_killed_evaluation_asks_for_what_is_missing_and_ends_in_the_same_bytes(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], lives: int,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole = run(tiny_model, suites, tmp_path / "whole")
    assert sorted(whole) == [
        *(f"answers/{suite}.jsonl.gz" for suite in ("dates", "pick", "sums")), "samples.jsonl.gz",
        "scores.json",
    ]  # fmt: skip
    assert facts(tmp_path / "whole")["reused"] == 0
    engine.lives, engine.asked = lives, []
    with pytest.raises(Killed):
        run(tiny_model, suites, tmp_path / "out")
    assert not (tmp_path / "out" / "scores.json").exists()
    engine.lives, engine.starts = 10**9, 0
    capsys.readouterr()
    # The batch size has no part in what is said: a run that ran out of memory may go on with less.
    assert run(tiny_model, suites, tmp_path / "out", evaluation={"batch_size": 2}) == whole
    assert len(engine.asked) == len(set(engine.asked)) == COUNT
    assert engine.starts == 1
    assert facts(tmp_path / "out")["reused"] == lives
    shown = capsys.readouterr()
    assert (f"going on after {lives} of 15 answers" in shown.err) == (lives > 0)
    assert (f"out: 15 answers ({lives} reused) to 3 suites: " in shown.out) == (lives > 0)
    # The bar counts what was there.
    assert f"responses: 100%|██████████| {COUNT}/{COUNT}" in shown.err


def test_an_evaluation_that_is_asked_to_stop_keeps_its_answers(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    whole = run(tiny_model, suites, tmp_path / "whole")

    def take_long(stopped: Engine, requests: Sequence[Request], on_done: OnDone) -> None:
        with pytest.raises(Killed):
            sample(stopped, requests, on_done)
        os.kill(os.getpid(), signal.SIGUSR1)
        for _ in range(6000):
            time.sleep(0.01)

    sample, engine.lives, engine.asked = Engine.generate, 4, []
    with monkeypatch.context() as patch, listen(), pytest.raises(Stopped, match="finished answers are kept"):
        patch.setattr(Engine, "generate", take_long)
        run(tiny_model, suites, tmp_path / "out")
    engine.lives = 10**9
    assert run(tiny_model, suites, tmp_path / "out") == whole
    assert facts(tmp_path / "out")["reused"] == 4


@pytest.mark.parametrize("calls", [0, 1, 2])
def test_choices_are_scored_in_the_same_groups_after_a_kill(
    tiny_model: Path, suites: list[Path], tmp_path: Path, scored: list[int], calls: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Five questions of three choices, two questions at a time."""
    whole = run(tiny_model, suites, tmp_path / "whole")
    assert scored == [6, 6, 3]
    counted = model_under_test.score_responses

    def dies(*given: Any) -> list[Score]:
        if len(scored) == calls:
            raise Killed
        return counted(*given)

    scored.clear()
    monkeypatch.setattr(model_under_test, "score_responses", dies)
    with pytest.raises(Killed):
        run(tiny_model, suites, tmp_path / "out")
    monkeypatch.setattr(model_under_test, "score_responses", counted)
    assert run(tiny_model, suites, tmp_path / "out") == whole
    assert scored == [6, 6, 3]
    assert facts(tmp_path / "out")["reused"] == COUNT + 2 * calls


def test_a_group_of_choices_that_a_kill_tore_is_scored_again_whole(
    tiny_model: Path, suites: list[Path], tmp_path: Path, scored: list[int]
) -> None:
    whole = run(tiny_model, suites, tmp_path / "whole")
    finished = tmp_path / "out" / "answers" / "pick.jsonl.gz"
    run(tiny_model, suites, tmp_path / "out")
    header, *rows = read_jsonl(finished)
    finished.unlink()
    write_jsonl(finished.with_suffix(""), [header, *rows[:3]])
    scored.clear()
    assert run(tiny_model, suites, tmp_path / "out") == whole
    assert scored == [6, 3]


def test_a_torn_last_line_is_asked_for_again(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine]
) -> None:
    whole = run(tiny_model, suites, tmp_path / "whole")
    engine.lives, engine.asked = 6, []
    with pytest.raises(Killed):
        run(tiny_model, suites, tmp_path / "out")
    growing = tmp_path / "out" / "answers" / "sums.jsonl"
    growing.write_bytes(growing.read_bytes()[:-20])
    engine.lives, engine.asked = 10**9, []
    assert run(tiny_model, suites, tmp_path / "out") == whole
    assert len(engine.asked) == COUNT - 6 + 1


# --- after a change -------------------------------------------------------------------------------


def test_another_way_of_judging_asks_for_nothing_and_loads_nothing(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine],
    monkeypatch: pytest.MonkeyPatch, scored: list[int],
) -> None:  # fmt: skip
    evaluation = {"entropy_samples": 4}
    pattern = {"extraction": "pattern", "extraction_pattern": r"the answer is (\w+)"}
    verification = Verification(**pattern)
    strict = run(tiny_model, suites, tmp_path / "out", evaluation=evaluation)
    fresh = run(tiny_model, suites, tmp_path / "other", evaluation=evaluation, verification=verification)
    assert strict["samples.jsonl.gz"] != fresh["samples.jsonl.gz"]
    engine.starts, engine.asked = 0, []
    scored.clear()
    monkeypatch.setattr(model_under_test, "load_model", None)
    again = run(tiny_model, suites, tmp_path / "out", evaluation=evaluation, verification=verification)
    assert again == fresh
    assert (engine.starts, engine.asked, scored) == (0, [], [])
    assert facts(tmp_path / "out")["reused"] == 15
    assert json.loads((tmp_path / "out" / "manifest.json").read_text())["device"] == "none"


def test_a_new_suite_is_asked_alone(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], scored: list[int]
) -> None:
    run(tiny_model, suites[:2], tmp_path / "out")
    engine.asked, engine.starts = [], 0
    scored.clear()
    both = run(tiny_model, suites, tmp_path / "out")
    assert sorted(engine.asked) == asked(4, 5)
    assert (engine.starts, scored) == (1, [])
    assert both == run(tiny_model, suites, tmp_path / "fresh")


def test_a_suite_that_changes_is_asked_alone(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], scored: list[int],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    run(tiny_model, suites, tmp_path / "out")
    write_jsonl(suites[2], boxed(4, 5, 6))
    engine.asked = []
    scored.clear()
    changed = run(tiny_model, suites, tmp_path / "out")
    assert sorted(engine.asked) == asked(4, 5, 6)
    assert scored == []
    assert changed == run(tiny_model, suites, tmp_path / "fresh")
    note = "answers of another run (suite has changed) are not used: dates\n"
    assert note in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"evaluation": {"temperature": 0.5}}, "evaluation.temperature was 0.9, is 0.5"),
        ({"evaluation": {"max_tokens": 13}}, "evaluation.max_tokens was 12, is 13"),
        ({"prompt": Prompt(instruction="Box it.")}, "prompt.instruction was '', is 'Box it.'"),
        ({"seed": 4}, "seed was 3, is 4"),
        ({}, "input 1 (model) has changed"),
    ],
    ids=["temperature", "max_tokens", "instruction", "seed", "model"],
)
def test_what_changes_what_is_said_asks_for_everything(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], scored: list[int],
    change: Changes, said: str, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    model = shutil.copytree(tiny_model, tmp_path / "model")
    run(model, suites, tmp_path / "out")
    engine.asked = []
    scored.clear()
    if not change:
        (model / "config.json").write_text((model / "config.json").read_text() + " ")
    run(model, suites, tmp_path / "out", **change)
    assert sorted(engine.asked) == asked(1, 2, 3, 4, 5)
    assert scored == [6, 6, 3]
    assert facts(tmp_path / "out")["reused"] == 0
    assert f"({said}) are not used: sums, pick, dates" in capsys.readouterr().err


def test_more_samples_ask_for_those_alone_and_fewer_for_none(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine]
) -> None:
    two = run(tiny_model, suites, tmp_path / "out")
    engine.asked = []
    three = run(tiny_model, suites, tmp_path / "out", evaluation={"samples": 3})
    assert sorted(engine.asked) == asked(1, 2, 3, 4, 5, samples=[2])
    assert three == run(tiny_model, suites, tmp_path / "fresh", evaluation={"samples": 3})
    engine.asked = []
    again = run(tiny_model, suites, tmp_path / "out")
    assert engine.asked == []
    for name in ("samples.jsonl.gz", "scores.json"):
        assert again[name] == two[name]
    # The third samples are not thrown away.
    assert run(tiny_model, suites, tmp_path / "out", evaluation={"samples": 3}) == three
    assert engine.asked == []


def test_entropy_of_other_responses_is_scored_without_sampling(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], scored: list[int]
) -> None:
    run(tiny_model, suites, tmp_path / "out", evaluation={"entropy_samples": 4})
    engine.asked = []
    scored.clear()
    six = run(tiny_model, suites, tmp_path / "out", evaluation={"entropy_samples": 6})
    assert (engine.asked, scored) == ([], [6])
    assert six == run(tiny_model, suites, tmp_path / "fresh", evaluation={"entropy_samples": 6})


def test_entropies_that_are_kept_as_an_earlier_version_did_are_scored_again(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], scored: list[int]
) -> None:
    whole = run(tiny_model, suites, tmp_path / "out", evaluation={"entropy_samples": 4})
    kept = tmp_path / "out" / "answers" / "entropy.json"
    found = json.loads(kept.read_text())
    del found["of"]["form"]
    older = {"of": found["of"], "entropies": [own["mean"] for own in found["entropies"]]}
    kept.write_text(json.dumps(older))
    engine.asked = []
    scored.clear()
    assert run(tiny_model, suites, tmp_path / "out", evaluation={"entropy_samples": 4}) == whole
    assert (engine.asked, scored) == ([], [4])
    scored.clear()
    assert run(tiny_model, suites, tmp_path / "out", evaluation={"entropy_samples": 4}) == whole
    assert scored == []


# --- in shards ------------------------------------------------------------------------------------


def of_shard(model: Path, suites: list[Path], output: Path, shard: int, shards: int) -> None:
    note = output / "answers" / f"shard-{shard}-of-{shards}.json"
    answer(model, suites, note, AnswerSettings(evaluation=SAMPLED, seed=3), shard=shard, shards=shards)


@pytest.mark.parametrize("shards", [1, 2, 3, 7])
def test_shards_change_no_byte(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine], scored: list[int],
    shards: int, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    whole = run(tiny_model, suites, tmp_path / "whole", evaluation={"entropy_samples": 4})
    engine.asked, engine.starts = [], 0
    scored.clear()
    for shard in reversed(range(shards)):
        of_shard(tiny_model, suites, tmp_path / "out", shard, shards)
    assert len(engine.asked) == len(set(engine.asked)) == COUNT
    assert sorted(scored) == [3, 6, 6]
    assert engine.starts == min(shards, 3)  # The suites have three questions at most.
    answers = tmp_path / "out" / "answers"
    notes = [json.loads((answers / f"shard-{k}-of-{shards}.json").read_text()) for k in range(shards)]
    assert sum(note["answers"] for note in notes) == 15
    for shard in range(shards):
        (answers / f"shard-{shard}-of-{shards}.json").unlink()  # as Snakemake does
    engine.starts = 0
    capsys.readouterr()
    assert run(tiny_model, suites, tmp_path / "out", evaluation={"entropy_samples": 4}) == whole
    assert engine.starts == 0
    assert "going on after 15 of 15 answers" in capsys.readouterr().err
    assert not [path for path in answers.iterdir() if path.is_dir()]


def test_a_killed_shard_goes_on_and_what_others_have_is_not_asked_for(
    tiny_model: Path, suites: list[Path], tmp_path: Path, engine: type[Engine],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The number of shards may change after a kill; what is left the evaluation asks for itself."""
    whole = run(tiny_model, suites, tmp_path / "whole")
    engine.lives, engine.asked = 3, []
    with pytest.raises(Killed):  # Questions 1 and 3, and 4: six answers.
        of_shard(tiny_model, suites, tmp_path / "out", 0, 2)
    assert not (tmp_path / "out" / "answers" / "shard-0-of-2.json").exists()
    engine.lives = 10**9
    capsys.readouterr()
    of_shard(tiny_model, suites, tmp_path / "out", 0, 2)
    assert "going on after 3 of " in capsys.readouterr().err
    assert sorted(engine.asked) == asked(1, 3, 4)
    engine.asked = []
    of_shard(tiny_model, suites, tmp_path / "out", 1, 3)
    assert sorted(engine.asked) == asked(2, 5)
    engine.asked = []
    of_shard(tiny_model, suites, tmp_path / "out", 0, 1)
    assert engine.asked == []
    for note in (tmp_path / "out" / "answers").glob("*.json"):
        note.unlink()
    assert run(tiny_model, suites, tmp_path / "out") == whole
    assert engine.asked == []


# --- what is refused ------------------------------------------------------------------------------


def test_a_shard_that_is_none_is_refused(tiny_model: Path, suites: list[Path], tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--shard: 2 is not among the 2 shards 0 to 1"):
        of_shard(tiny_model, suites, tmp_path / "out", 2, 2)


def test_a_note_that_would_stand_where_the_answers_go_is_refused(
    tiny_model: Path, suites: list[Path], tmp_path: Path
) -> None:
    settings = AnswerSettings(evaluation=SAMPLED, seed=3)
    with pytest.raises(UserError, match=r"--output .*shard-0: the note is a \.json file"):
        answer(tiny_model, suites, tmp_path / "shard-0", settings, shard=0, shards=1)


def test_a_template_that_is_not_there_is_refused(
    tiny_model: Path, suites: list[Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=r"none\.jinja: cannot be read as a chat template"):
        run(tiny_model, suites, tmp_path / "out", prompt=Prompt(chat_template="none.jinja"))
