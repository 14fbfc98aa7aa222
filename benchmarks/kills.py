"""Kill the smallest study again and again: does it end in the same results as one that nobody disturbed?

The study of tests/workflow/tiny.yaml runs once to its end. Then it is started, and its whole process group
killed (SIGKILL) after 5 to 60 seconds, started again, and so on. Whenever it gets to its end, its results are
compared with the first one's, hash by hash, and a new study is begun. About an hour and a half on two cores.

    python benchmarks/kills.py
    python benchmarks/kills.py --kills 3 --longest 20      (minutes, and nothing proven)

The results go to benchmarks/results/; exit code 1 if any study differs.
"""

import argparse
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from options import new_parser
from timing import table, write

ROOT = Path(__file__).resolve().parents[1]
BIN = Path(sys.executable).parent
CONFIG = Path("tests", "workflow", "tiny.yaml")
RESULTS = Path("results", "tiny")


def parser() -> argparse.ArgumentParser:
    made = new_parser(__doc__)
    made.add_argument("--kills", type=int, default=100, help="how many (%(default)s)")
    made.add_argument("--shortest", type=float, default=5, help="seconds from start to kill (%(default)s)")
    made.add_argument("--longest", type=float, default=60, help="seconds from start to kill (%(default)s)")
    made.add_argument("--seed", type=int, default=0, help="of the moments of the kills (%(default)s)")
    return made


def main() -> None:
    arguments = parser().parse_args()
    with tempfile.TemporaryDirectory() as folder:
        undisturbed = new_study(Path(folder, "undisturbed"))
        run_to_its_end(undisturbed)
        wanted = hashes(undisturbed)
        print(f"{len(wanted)} files of the undisturbed study")
        chance = random.Random(arguments.seed)
        kills: list[dict[str, object]] = []
        differing: list[list[str]] = []
        while len(kills) < arguments.kills:
            study = new_study(Path(folder, f"study-{len(differing)}"))
            for _ in range(arguments.kills - len(kills)):
                wait = chance.uniform(arguments.shortest, arguments.longest)
                running = killed_after(study, wait)
                if running is None:
                    break
                kills.append({"study": len(differing), "seconds": round(wait, 1), "running": running})
                print(
                    f"{len(kills)}: study {len(differing)} killed after {wait:.1f} s in {', '.join(running)}"
                )
            run_to_its_end(study)
            found = hashes(study)
            differing.append(sorted(name for name in wanted | found if wanted.get(name) != found.get(name)))
            print(f"study {len(differing) - 1}: {len(differing[-1])} files differ: {differing[-1][:5]}")
            shutil.rmtree(study)
    report(arguments.kills, len(wanted), kills, differing)
    sys.exit(any(differing))


def report(wanted: int, files: int, kills: list[dict[str, object]], differing: list[list[str]]) -> None:
    """Write which stages were killed, and what differed."""
    stages = Counter(stage for kill in kills for stage in kill["running"])  # type: ignore[attr-defined]
    write(
        "kills",
        f"{wanted} SIGKILLs of the smallest study",
        [
            table(
                [
                    "studies that were killed and came to their end",
                    "kills",
                    "files compared of each",
                    "differing",
                ],
                [[str(len(differing)), str(len(kills)), str(files), str(sum(map(len, differing)))]],
            ),
            table(["stage that was running", "killed"], [[name, str(n)] for name, n in stages.most_common()]),
        ],
        {"kills": kills, "files": files, "differing": differing},
    )


# --- one study ------------------------------------------------------------------------------------


def new_study(directory: Path) -> Path:
    """A folder to run the study in."""
    directory.mkdir()
    for name in ("config", "tests", "examples"):
        (directory / name).symlink_to(ROOT / name)
    return directory


def start(directory: Path) -> subprocess.Popen[bytes]:
    """Start the study, in a process group of its own; its output goes to `log`."""
    with (directory / "log").open("ab") as log:
        return subprocess.Popen(
            [BIN / "snakemake", "--snakefile", ROOT / "Snakefile", "--configfile", CONFIG, "--cores", "2"],
            cwd=directory,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def run_to_its_end(directory: Path) -> None:
    """Run what is left of the study."""
    code = start(directory).wait()
    if code:
        raise SystemExit(f"snakemake ended with {code}:\n{(directory / 'log').read_text()[-5000:]}")


def killed_after(directory: Path, wait: float) -> list[str] | None:
    """Start the study and kill it; return the stages that ran, or None if it ended before.

    What a user would type follows: `glow unlock`.
    """
    run = start(directory)
    try:
        code = run.wait(timeout=wait)
    except subprocess.TimeoutExpired:
        running = stages_of(run.pid)
        os.killpg(run.pid, signal.SIGKILL)
        run.wait()
        while stages_of(run.pid):  # the others of the group, which are not ours to wait for
            time.sleep(0.05)
        subprocess.run([BIN / "glow", "unlock"], cwd=directory, check=True, stdout=subprocess.DEVNULL)
        return running or ["between stages"]
    if code:
        raise SystemExit(f"snakemake ended with {code}:\n{(directory / 'log').read_text()[-5000:]}")
    return None


def stages_of(group: int) -> list[str]:
    """The stages of glow in a process group, by their names."""
    shown = subprocess.run(["ps", "-e", "-o", "pgid=,args="], capture_output=True, text=True, check=True)
    own = [line.split(None, 1)[1] for line in shown.stdout.splitlines() if line.split()[0] == str(group)]
    return sorted({found[1] for args in own if (found := re.match(r"\S*python\S* \S*/glow (\S+)", args))})


def hashes(directory: Path) -> dict[str, str]:
    """SHA-256 of every result, by its path, without what holds times."""
    results = directory / RESULTS
    return {
        str(file.relative_to(results)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(results.rglob("*"))
        if file.is_file()
        and file.relative_to(results).parts[0] not in ("logs", "benchmarks", "report.html")
        and not file.name.endswith("manifest.json")
        and not file.name.startswith(".")
    }


if __name__ == "__main__":
    main()
