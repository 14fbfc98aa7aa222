"""Step time of GlowTrainer against TRL's plain SFTTrainer and against a step like the released code's.

The trainers have the same weights and batches and take their steps in turn, in one process
(`timing`). Targets: glow/sft at most 1.05 on a CPU and 1.02 on a GPU; glow/released at most 0.9 on a GPU.

    OMP_NUM_THREADS=1 python benchmarks/step_time.py --shape miniature
    python benchmarks/step_time.py --shape qwen2.5-1.5b --repeats 2      (a GPU)

"step" is forward, backward and optimiser; "whole" is all that passes between two step ends, the next
batch, logging and the turns of epochs included. Times are medians. Ratios are of medians, with 95 %
bootstrap intervals over rounds; a loaded machine slows all contenders alike and leaves them standing.
How memory happens to be laid out moves a trainer's time by 1 to 3 % for as long as it lives, hence
--repeats: differences below 1 % are within what is left of that.
The results go to benchmarks/results/.
"""

import argparse
import gc
import random
import tempfile
from pathlib import Path

import numpy as np
from contenders import (
    CONTENDERS,
    SHAPES,
    Shape,
    build,
    chosen_shape,
    contenders_for,
    random_model,
    samples,
    settings,
)
from options import new_parser
from timing import Contender, StepTime, alternate, plain, ratio, table, write

EPOCH_STEPS = 8
"""Steps of an epoch; the weights of GLOW come into play, and the ledger turns, within any run."""

NOTE = """Medians of steps taken in turn, in an order drawn anew each round; intervals: 95 % bootstrap over
rounds. Where others loaded the machine (load average below), it slowed all contenders alike."""


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__, "miniature", shapes=SHAPES, contenders=CONTENDERS)
    made.add_argument("--rounds", type=int, default=40, help="steps of each contender (%(default)s)")
    made.add_argument("--repeats", type=int, default=5, help="times over, trainers built anew (%(default)s)")
    made.add_argument("--warm-up", type=int, default=8, help="uncounted steps (%(default)s)")
    recomputed = "compute activations again in the backward pass (default: on a GPU)"
    made.add_argument("--gradient-checkpointing", action=argparse.BooleanOptionalAction, help=recomputed)
    return made


def main() -> None:
    options = (command := parser()).parse_args()
    shape = chosen_shape(command, options.shape)
    report(options.shape, shape, measure(shape, options))


def measure(shape: Shape, options: argparse.Namespace) -> dict[str, list[StepTime]]:
    """All repeats' times together; each repeat builds its contenders anew, in another order."""
    names = options.contenders or contenders_for(shape)
    times: dict[str, list[StepTime]] = {name: [] for name in names}
    for repeat in range(options.repeats):
        order = random.Random(repeat).sample(names, len(names))
        for name, taken in measure_once(shape, options, order).items():
            times[name] += taken
        gc.collect()  # the trainers, which hold cycles, before the next ones are built
    return times


def measure_once(shape: Shape, options: argparse.Namespace, names: list[str]) -> dict[str, list[StepTime]]:
    dataset = samples(shape, EPOCH_STEPS)
    further = {}
    if options.gradient_checkpointing is not None:
        further["gradient_checkpointing"] = options.gradient_checkpointing
    steps = options.rounds + options.warm_up + 1
    with tempfile.TemporaryDirectory() as folder:
        contenders = {}
        for name in names:
            arguments = settings(shape, Path(folder) / name, steps, **further)
            contenders[name] = Contender(build(name, random_model(shape), dataset, arguments))
        return alternate(contenders, options.rounds, options.warm_up)


def report(name: str, shape: Shape, times: dict[str, list[StepTime]]) -> None:
    step = {who: [taken.step for taken in taken_steps] for who, taken_steps in times.items()}
    whole = {who: [taken.whole for taken in taken_steps] for who, taken_steps in times.items()}
    medians = [
        [who, f"{np.median(step[who]) * 1e3:.1f}", f"{np.median(whole[who]) * 1e3:.1f}"] for who in times
    ]
    ratios = {
        peer: (ratio(step["glow"], step[peer]), ratio(whole["glow"], whole[peer]))
        for peer in times
        if peer != "glow" and "glow" in times
    }
    targets = {"sft": "at most 1.02", "released": "at most 0.9"} if shape.gpu else {"sft": "at most 1.05"}
    rows = [[f"glow/{peer}", *map(str, pair), targets.get(peer, "none")] for peer, pair in ratios.items()]
    rounds = len(next(iter(times.values())))
    write(
        f"step_time-{name}",
        f"Step time: {shape.summary}, {rounds} rounds",
        [
            table(["contender", "step (ms)", "whole (ms)"], medians),
            table(["ratio", "step", "whole", "target"], rows),
            NOTE,
        ],
        {"times": plain(times), "ratios": {peer: [*map(vars, pair)] for peer, pair in ratios.items()}},
    )


if __name__ == "__main__":
    main()
