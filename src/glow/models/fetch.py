"""Stage: download a model from the Hugging Face hub, at a pinned commit, and check that it is whole.

The one stage of models that uses a network. It runs where Snakemake runs (workflow/rules/models.smk).
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event, Thread

from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils import disable_progress_bars, filter_repo_objects

from glow.config import Hub
from glow.errors import UserError
from glow.files.atomic import put_in_place
from glow.files.hub import Repository
from glow.files.hub_files import model_files, refuse_without_room, verified
from glow.files.manifest import Manifest
from glow.files.progress import progress_bar

WANTED = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja", "LICENSE*"]
"""Weights in safetensors, configuration, tokenizer: no pickles, and `CODE` only where it is trusted."""
CODE = ["*.py"]
UNWANTED = ["original/*", "onnx/*"]
"""Further copies of the weights that some repositories keep."""

NOTES = ".cache"
"""Folder of huggingface_hub's notes on a download, within it."""


def fetch(settings: Hub, output: Path) -> None:
    """Download a model at its pinned commit to the directory `output`.

    The files gather in a sibling directory that is moved into place when all of them are there and have the
    sizes and hashes that the hub lists; a download that was cut short goes on from there, by whole files.

    Raises:
        UserError: the hub or the model cannot be reached, the model has no safetensors weights, the disk has
            no room, or a file is not what the hub lists.
    """
    manifest = Manifest("fetch")
    repository = Repository(settings.hub, "model", settings.revision, "give the path of a local copy")
    commit, listed = model_files(repository)
    patterns = WANTED + CODE if settings.trust_remote_code else WANTED
    wanted = list(
        filter_repo_objects(
            listed, allow_patterns=patterns, ignore_patterns=UNWANTED, key=lambda file: file.path
        )
    )
    if not _has_model({file.path for file in wanted}):
        raise UserError(
            f"{repository}: has no config.json with safetensors weights (pickled weights are not read); "
            "choose another revision, or convert it and give its path"
        )
    partial = output.with_name(f".{output.name}.{settings.revision[:12]}.partial")
    for left in (partial / NOTES).rglob("*.incomplete"):  # of a killed process: huggingface_hub begins anew
        left.unlink()
    refuse_without_room(repository, wanted, partial)
    size = sum(file.size for file in wanted)
    with _shown(partial, size):
        repository.ask(
            lambda: snapshot_download(
                settings.hub,
                revision=settings.revision,
                local_dir=partial,
                allow_patterns=patterns,
                ignore_patterns=UNWANTED,
            ),
            downloads=True,
        )
    found = verified(repository, wanted, partial)
    shutil.rmtree(partial / NOTES, ignore_errors=True)
    put_in_place(partial, output)
    facts = {"endpoint": constants.ENDPOINT, "revision": commit, "bytes": size, "files": found}
    manifest.write(output, settings.model_dump(mode="json"), [], facts)
    print(f"{output}: {repository}, {size / 1e9:.2f} GB in {len(wanted)} files, all as the hub lists them")


@contextmanager
def _shown(folder: Path, size: int) -> Iterator[None]:
    """Show how the folder grows to that size, in place of the several bars of huggingface_hub."""
    disable_progress_bars()
    is_over = Event()
    with progress_bar("downloading", "B", total=size, unit_scale=True) as bar:

        def watch() -> None:
            while not is_over.wait(1):
                bar.update(_bytes_of(folder) - bar.n)

        watcher = Thread(target=watch, daemon=True)
        watcher.start()
        try:
            yield
            is_over.set()
            bar.update(size - bar.n)
        finally:
            is_over.set()
            watcher.join()


def _bytes_of(folder: Path) -> int:
    """What of a model is there, whole files and others; huggingface_hub moves and deletes files meanwhile."""
    total = 0
    for file in folder.rglob("*"):
        with suppress(FileNotFoundError):
            total += file.stat().st_size if file.is_file() else 0
    return total


def _has_model(paths: set[str]) -> bool:
    return "config.json" in paths and any("/" not in path and path.endswith(".safetensors") for path in paths)
