"""The answers of one shard: a model too large to be evaluated in one job is asked in several, side by side.

Nothing is judged here. What is said is kept in the answers of the evaluation (`kept_answers`), where
`glow evaluate` finds it, and it is the same as if that asked for everything itself.
"""

import os
from pathlib import Path

from glow.files.network import OFFLINE

# Read when the libraries below are imported, in modules of ours.
os.environ.update(OFFLINE)

from lm_eval.api.instance import Instance

from glow.config import AnswerSettings
from glow.errors import UserError
from glow.evaluation.asking import Shard, asking, is_sampled
from glow.files.jsonl import write_json


def answer(  # noqa: PLR0913 (a stage's paths and options)
    model: Path,
    suites: list[Path],
    output: Path,
    settings: AnswerSettings,
    *,
    shard: int,
    shards: int,
    trust_remote_code: bool = False,
) -> None:
    """Get the answers of shard `shard` of `shards`; write a note to `output` when they are there.

    Args:
        output: in the folder `answers` of the evaluation. The answers are kept in a folder beside it, of the
            same name without its suffix.
        trust_remote_code: whether code in the model's directory may run.

    Raises:
        UserError: a suite file is missing, empty or malformed, two suites have the same name, the directory
            is not a model or has code that may not run, the chat template is not there, there is no such
            shard, or the output is no .json file.
    """
    if not 0 <= shard < shards:
        raise UserError(f"--shard: {shard} is not among the {shards} shards 0 to {shards - 1}")
    if output.suffix != ".json":
        raise UserError(f"--output {output}: the note is a .json file; the answers go to a folder beside it")
    mine = Shard(shard, shards, output.stem)
    asked = asking(model, suites, output.parent, settings, shard=mine, trust_remote_code=trust_remote_code)
    requests: dict[bool, list[Instance]] = {True: [], False: []}
    for name, task in asked.tasks.items():
        questions = {problem for problem, _ in asked.wanted[name]}
        task.build_all_requests()
        requests[is_sampled(task)] += [
            request
            for request in task.instances
            if request.doc["problem_id"] in questions
            for _ in range(request.repeats or 1)
        ]
    # Those that are sampled come first: scoring may have to close the engine.
    asked.lm.generate_until(requests[True])
    asked.lm.loglikelihood(requests[False])
    asked.lm.tested.close()
    for kept in asked.lm.answers.values():
        kept.close()
    count = sum(map(len, asked.wanted.values()))
    note = {"answers": count, "reused": asked.reused, "device": asked.lm.tested.device}
    write_json(output, note)
    print(f"{output}: {count} answers to {len(suites)} suites, {asked.reused} of them reused")
