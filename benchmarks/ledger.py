"""What the ledger costs: memory, the once-an-epoch merge and the per-step record, by number of samples.

Ranks are processes on this machine that merge over gloo, as GPUs would over NCCL. The peer is what the
released code does instead: every step, each rank's losses are gathered as Python objects.

    python benchmarks/ledger.py
    python benchmarks/ledger.py --samples 1e4      (seconds, and little memory)

The results go to benchmarks/results/.
"""

import argparse
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from options import new_parser
from timing import table, write
from torch import distributed, multiprocessing

from glow.training.ledger import LossLedger

BATCH = 64
STEPS = 200
EPOCHS = 5


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__)
    made.add_argument(
        "--samples", type=float, nargs="+", default=[1e4, 1e6, 1e8], help="sizes of the set (1e4 1e6 1e8)"
    )
    made.add_argument("--ranks", type=int, default=2, help="processes that merge (%(default)s)")
    return made


def main() -> None:
    arguments = parser().parse_args()
    rows, measured = [], {}
    for samples in map(int, arguments.samples):
        cost = measure(samples, arguments.ranks)
        measured[str(samples)] = cost
        rows.append(
            [
                f"{samples:,}",
                f"{cost['bytes'] / samples:.1f}",
                f"{cost['bytes'] / 2**20:,.1f}",
                f"{cost['peak'] / 2**20:,.1f}",
                f"{cost['merge'] * 1e3:,.1f}",
                f"{cost['record'] * 1e6:,.0f}",
                f"{cost['gather_objects'] * 1e6:,.0f}",
            ]
        )
    headings = ["samples", "bytes a sample", "MiB a rank", "at a merge, MiB a rank", "merge, ms an epoch"]
    headings += [f"record {BATCH}, µs a step", "gather objects, µs a step"]
    write(
        "ledger",
        f"The ledger's cost, {arguments.ranks} ranks over gloo (medians)",
        [table(headings, rows)],
        measured,
    )


def measure(samples: int, ranks: int) -> dict[str, float]:
    """Bytes, and median seconds, on the first of `ranks` processes."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "cost.pt"
        multiprocessing.spawn(rank_of, (ranks, samples, f"{folder}/rendezvous", result), nprocs=ranks)
        return torch.load(result, weights_only=True)


def rank_of(rank: int, ranks: int, samples: int, rendezvous: str, result: Path) -> None:
    """One rank: sees its share of the samples each epoch, and times what the ledger does."""
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", f"file://{rendezvous}", rank=rank, world_size=ranks)
    before = peak_bytes()
    ledger = LossLedger(samples)
    rows = torch.randint(samples // ranks, (BATCH,)) * ranks + rank
    loss, weight = torch.rand(BATCH), torch.rand(BATCH)
    record = timed(lambda: ledger.record(rows, loss, weight, 0), STEPS)
    told = torch.stack((rows.float(), loss))
    gather = timed(lambda: distributed.all_gather_object([None] * ranks, told.tolist()), STEPS)
    merge = timed(ledger.turn_page, EPOCHS)
    peak = peak_bytes() - before
    held = sum(values.nbytes for values in vars(ledger).values() if isinstance(values, torch.Tensor))
    if rank == 0:
        cost = {"bytes": held, "peak": peak, "record": record, "gather_objects": gather, "merge": merge}
        torch.save(cost, result)
    distributed.destroy_process_group()


def peak_bytes() -> int:
    """The most memory that this process has held so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def timed(work: Callable[[], object], times: int) -> float:
    """Median seconds of one call, all ranks together."""
    seconds = []
    for _ in range(times):
        distributed.barrier()
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


if __name__ == "__main__":
    main()
