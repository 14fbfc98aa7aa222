"""No response hangs, crashes or bloats the verifier, and none changes its neighbours' verdicts."""

import contextlib
import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch

from glow.config import VerdictSettings, Verification
from glow.data.verdicts import verify_files
from glow.files.jsonl import read_jsonl, write_jsonl
from glow.verifier import verify
from glow.verifier.compare import MEMORY, Comparer
from glow.verifier.equality import Decision, Gold
from glow.verifier.verify import Item, Verifier

SETTINGS = Verification(extraction="lenient", timeout_s=1.0)
MARKER = "GLOW_VERIFIER_RAN_MODEL_TEXT"

# What is boxed, the gold, and the verdicts that are right: no verdict in time, or the true one.
NEVER = {"timeout", "error"}
HOSTILE: dict[str, tuple[str, str, set[str]]] = {
    "power tower": ("9^{9^{9^{9}}}", "5", NEVER | {"wrong"}),
    "power tower of a variable": ("x^{9^{9^{9}}}", "x", NEVER | {"wrong"}),
    "huge factorial": ("(10^{9})!", "5", NEVER | {"wrong"}),
    "factorial of a factorial": ("((100!)!)!", "5", NEVER | {"wrong"}),
    "huge binomial": (r"\binom{10^{9}}{5\cdot 10^{8}}", "5", NEVER | {"wrong"}),
    "100,000 digits": ("7" * 100_000, "5", {"error", "wrong"}),
    "100,000 digits, the same": ("7" * 100_000, "7" * 100_000, {"correct"}),
    "100,000 digits, not the same": ("7" * 100_000, "7" * 99_999 + "8", {"wrong"}),
    "1,900 digits": ("7" * 1900, "7" * 1899 + "8", NEVER | {"wrong"}),
    "500 nested fractions": (r"\frac{1}{1+" * 500 + "1" + "}" * 500, "2", NEVER | {"wrong"}),
    "150 nested fractions": (r"\frac{1}{1+" * 150 + "1" + "}" * 150, "2", NEVER | {"wrong"}),
    "300 nested brackets": ("(" * 300 + "x" + ")" * 300, "x+1-1", NEVER | {"correct"}),
    "900 nested brackets": ("(" * 900 + "5" + ")" * 900, "5", NEVER | {"correct"}),
    "400 minus signs": ("-" * 400 + "5", "5", {"correct"}),
    "a set of thousands": (
        r"\{" + ",".join(str(k) for k in reversed(range(4000))) + r"\}",
        r"\{" + ",".join(str(k) for k in range(4000)) + r"\}",
        {"correct"},
    ),
    "a list of hundreds": (",".join(["x"] * 900), ",".join(["y"] * 900), NEVER | {"wrong"}),
    "a sum of hundreds": ("+".join(f"x^{{{k}}}" for k in range(150)), "x", NEVER | {"wrong"}),
    "a big expansion": ("(x+y+z+a+b)^{60}", "(x+y+z+a+b)^{59}(x+y+z+a+c)", NEVER | {"wrong"}),
    "an endless sum": (r"\sum_{k=1}^{10^{12}} \sin(k!)", "5", NEVER | {"wrong"}),
    "null bytes": ("5\x00", "5", NEVER | {"wrong", "correct"}),
    "lone surrogates": ("x + \ud83d 1", "1+x", NEVER | {"wrong"}),
    "right-to-left and zero width": ("\u202e\u200b5\ufeff", "6", NEVER | {"wrong"}),
    "a newline in an answer": ("x +\n 1", "1 + x", {"correct"}),
    "code": (f"__import__('os').environ.setdefault('{MARKER}','1')", "5", NEVER | {"wrong"}),
    "many huge powers": ("+".join(f"{k}^{{{10**5 + k}}}" for k in range(2, 150)), "5", NEVER | {"wrong"}),
    "factorials of factorials": ("(" * 40 + "9" + ")!" * 40, "5", NEVER | {"wrong"}),
    "huge denominators": ("+".join(f"1/{'9' * 90}{k}" for k in range(20)), "5", NEVER | {"wrong"}),
    "a letter to a huge power": ("x^{" + "9" * 1900 + "}", "x", NEVER | {"wrong"}),
    "a long product of letters": ("a " * 999, "5", NEVER | {"wrong"}),
    "a long product of factorials": ("5!" * 999, "5", NEVER | {"wrong"}),
    "many signs of two": (r"\pm 1" * 400, "5", NEVER | {"wrong"}),
    "a tower behind a unit": (r"5\mbox{ cm}^9^9^9^9", "5", NEVER | {"wrong"}),
    "binomials of binomials": ("C(" * 49 + "5" + ")" * 49, "5", NEVER | {"wrong"}),
    "nothing applied": (r"\tanh()", "5", NEVER | {"wrong"}),
    "many words behind a number": ("42 " + "apples " * 280, "43", NEVER | {"wrong"}),
    "many units behind a number": ("42 " + r"\text{ m}" * 220, "43", NEVER | {"wrong"}),
    **{
        f"2,000 characters of {piece}": (piece * (2000 // len(piece)), "5", NEVER | {"wrong", "unparsed"})
        for piece in ("-", "(", "!", "^", r"\pm", ",", r"\{", "=")
    },
    "code in text": (rf"\text{{eval(open('{MARKER}','w'))}}", "5", NEVER | {"wrong"}),
}
NO_BOX = {
    "unbalanced, open": r"\boxed{{{5}",
    "many open": r"\boxed{" * 20_000,
    "10 MB of prose": "so it goes. " * 870_000,
    "10 MB of braces": "{" * 10_000_000,
}


@pytest.fixture(scope="module")
def verifier() -> Iterator[Verifier]:
    with Verifier(SETTINGS, workers=2) as shared:
        yield shared


def neighbours(k: int) -> tuple[Item, Item]:
    return (rf"\boxed{{y+{k}}}", rf"{k}+y", None), (
        rf"\boxed{{\sqrt{{{k * k * 2}}}}}",
        rf"{k}\sqrt{{3}}",
        None,
    )


def test_hostile_answers_and_their_neighbours(verifier: Verifier) -> None:
    """All in one stream, shuffled: each verdict is an allowed one, each neighbour's is right."""
    items: list[tuple[Item, set[str]]] = []
    for k, (stated, gold, allowed) in enumerate(HOSTILE.values(), start=2):
        right, wrong = neighbours(k)
        items += [((rf"\boxed{{{stated}}}", gold, None), allowed), (right, {"correct"}), (wrong, {"wrong"})]
    items += [((response, "5", None), {"unparsed"}) for response in NO_BOX.values()]
    random.Random(0).shuffle(items)
    judgements = list(verifier.judge(item for item, _ in items))
    apart = [
        (item[0][:60], judgement.verdict, judgement.reason)
        for (item, allowed), judgement in zip(items, judgements, strict=True)
        if judgement.verdict not in allowed
    ]
    assert apart == []
    assert MARKER not in os.environ
    assert not Path(MARKER).exists()
    for worker in verifier._comparer._workers:
        if worker.alive:
            process = psutil.Process(worker._process.pid)
            assert all(part.memory_info().rss < 1.5 * MEMORY for part in (process, *process.children()))


def test_ten_megabytes_before_the_box(verifier: Verifier) -> None:
    thought = "Then x = 5, or { is it? $x$ " * 380_000
    assert verifier.judge_one(thought + r"\boxed{\frac{10}{2}}", "5").verdict == "correct"
    assert verifier.judge_one(thought + "The answer is 5.", "5").verdict == "correct"


def test_a_hostile_gold_is_no_worse(verifier: Verifier) -> None:
    for _stated, gold, _ in list(HOSTILE.values())[:5]:
        assert verifier.judge_one(r"\boxed{x+y}", gold).verdict in NEVER | {"wrong"}
    assert verifier.judge_one(r"\boxed{x+y}", "y+x").verdict == "correct"


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="the limits of a process are in /proc")
def test_what_compares_has_no_tokens_and_may_start_and_write_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("HF_TOKEN", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(name, "secret-of-the-user")
    with contextlib.closing(Comparer(workers=1, cpu_seconds=1.0)) as comparer:
        assert comparer.compare("x+y", "y+x").result().verdict == "correct"
        (worker,) = comparer._workers
        process = psutil.Process(worker._process.pid)
        (child,) = process.children()
        for part in (process, child):
            assert "secret-of-the-user" not in part.environ().values()
            assert part.rlimit(psutil.RLIMIT_FSIZE) == (0, 0)
            assert part.rlimit(psutil.RLIMIT_CORE) == (0, 0)
            assert max(part.rlimit(psutil.RLIMIT_NOFILE)) <= 64
        assert child.rlimit(psutil.RLIMIT_NPROC) == (0, 0)
        assert comparer.compare("9^{9^{9^{9}}}", "5").result().verdict in NEVER  # its child is replaced
        assert comparer.compare("y+2", "2+y").result().verdict == "correct"


def test_hostile_answers_are_classed(verifier: Verifier) -> None:
    tower = HOSTILE["power tower"][0]
    assert verifier.classes([tower, "5", tower, None, r"\frac{10}{2}"]) == [0, 1, 0, -1, 1]


STREAM: list[Item] = [
    item
    for k in range(2, 12)
    for item in (*neighbours(k), (rf"\boxed{{{list(HOSTILE.values())[k % 4][0]}}}", "5", None))
]


def test_neither_order_nor_workers_change_a_verdict() -> None:
    shuffled = STREAM.copy()
    random.Random(1).shuffle(shuffled)
    verdicts = []
    for items, workers in ((STREAM, 1), (STREAM, 3), (shuffled, 2)):
        with Verifier(SETTINGS, workers=workers) as verifier:
            judged = dict(zip((item[0] for item in items), verifier.judge(items), strict=True))
        verdicts.append({response: judgement.verdict for response, judgement in judged.items()})
    assert verdicts[0] == verdicts[1] == verdicts[2]


def test_from_threads_beside_a_busy_torch() -> None:
    """torch's own threads are at work in this process while others judge."""
    stop = threading.Event()
    busy = threading.Thread(
        target=lambda: [torch.ones(64, 64) @ torch.ones(64, 64) for _ in iter(stop.is_set, True)]
    )
    busy.start()
    found: list[list[str]] = []
    items = [item for k in range(20, 30) for item in neighbours(k)]
    with Verifier(SETTINGS, workers=2) as verifier:
        threads = [
            threading.Thread(target=lambda: found.append([one.verdict for one in verifier.judge(items)]))
            for _ in range(3)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    stop.set()
    busy.join()
    assert found == [["correct", "wrong"] * 10] * 3


def test_times_are_told_but_not_written(verifier: Verifier, tmp_path: Path) -> None:
    judgement = verifier.judge_one(r"\boxed{7+z}", "z+7")
    assert judgement.milliseconds > 0
    assert judgement.answer_type == "expression"
    write_jsonl(tmp_path / "a.jsonl", [{"response": r"\boxed{7+z}", "answer": "z+7"}])
    settings = VerdictSettings(verification=SETTINGS)
    verify_files([tmp_path / "a.jsonl"], tmp_path / "b.jsonl", settings, workers=1)
    [row] = read_jsonl(tmp_path / "b.jsonl")
    assert set(row) == {"response", "answer", "verdict", "extracted", "extracted_from", "reason"}


def test_a_fault_of_ours_costs_one_verdict(verifier: Verifier, monkeypatch: pytest.MonkeyPatch) -> None:
    decide = verify.decide

    def faulty(stated: str, gold: Gold) -> Decision | None:
        if stated == "odd":
            raise IndexError("of a rule")
        return decide(stated, gold)

    monkeypatch.setattr(verify, "decide", faulty)
    found = list(verifier.judge((rf"\boxed{{{stated}}}", "5", None) for stated in ("5", "odd", "6")))
    assert [judgement.verdict for judgement in found] == ["correct", "error", "wrong"]
    assert found[1].reason == "reading it failed: IndexError('of a rule')"
