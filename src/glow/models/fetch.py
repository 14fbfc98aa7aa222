"""Stage: download a model from the Hugging Face hub, at a pinned commit, and check that it is whole.

The one stage of models that uses a network. It runs where Snakemake runs (workflow/rules/models.smk).
"""

import shutil
from pathlib import Path

from huggingface_hub import constants, snapshot_download
from huggingface_hub.utils import filter_repo_objects

from glow.config import Hub
from glow.errors import UserError
from glow.files.atomic import put_in_place
from glow.files.hub import Repository
from glow.files.hub_files import model_files, refuse_without_room, verified
from glow.files.manifest import Manifest
from glow.files.progress import HouseBar

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
    repository.ask(
        lambda: snapshot_download(
            settings.hub,
            revision=settings.revision,
            local_dir=partial,
            allow_patterns=patterns,
            ignore_patterns=UNWANTED,
            tqdm_class=HouseBar,  # type: ignore[arg-type]  # annotated as another class of tqdm's; any will do
        ),
        downloads=True,
    )
    found = verified(repository, wanted, partial)
    shutil.rmtree(partial / NOTES, ignore_errors=True)
    put_in_place(partial, output)
    size = sum(file.size for file in wanted)
    facts = {"endpoint": constants.ENDPOINT, "revision": commit, "bytes": size, "files": found}
    manifest.write(output, settings.model_dump(mode="json"), [], facts)
    print(f"{output}: {repository}, {size / 1e9:.2f} GB in {len(wanted)} files, all as the hub lists them")


def _has_model(paths: set[str]) -> bool:
    return "config.json" in paths and any("/" not in path and path.endswith(".safetensors") for path in paths)
