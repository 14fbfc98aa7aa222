"""The files of a model on the hub: what its list says of them, room on the disk, and whether they are whole.

The list has each file's size and either its SHA-256 (large files, which are kept apart from git) or the hash
that git gives it.
"""

import hashlib
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from huggingface_hub import HfApi

from glow.errors import UserError
from glow.files.hub import Repository
from glow.files.progress import progress_bar

PIECE = 2**24
"""Bytes that are hashed at a time."""


class HubFile(NamedTuple):
    """A file as the hub lists it; one of the two hashes may be None."""

    path: str
    size: int
    sha256: str | None
    git_blob: str | None


def model_files(repository: Repository) -> tuple[str, list[HubFile]]:
    """The commit that the hub finds for a model's revision, and its files there.

    Raises:
        UserError: as `Repository.ask`.
    """
    api = HfApi()
    facts = repository.ask(
        lambda: api.model_info(repository.name, revision=repository.revision, files_metadata=True)
    )
    files = [
        HubFile(file.rfilename, file.size or 0, file.lfs.sha256 if file.lfs else None, file.blob_id)
        for file in facts.siblings or ()
    ]
    return str(facts.sha), files


def refuse_without_room(repository: Repository, files: Iterable[HubFile], folder: Path) -> None:
    """Refuse a download of those files that are not in `folder` yet, if the disk has no room for them.

    A quota is not seen here: it shows when it is reached.

    Raises:
        UserError: how much is needed and free.
    """
    missing = sum(file.size for file in files if not _has_size(folder / file.path, file.size))
    place = next(parent for parent in (folder, *folder.absolute().parents) if parent.is_dir())
    if missing > (free := shutil.disk_usage(place).free):
        raise UserError(
            f"{repository}: {missing / 1e9:.2f} GB are still to be downloaded, and {free / 1e9:.2f} GB are "
            f"free in {place}: make room and start again; what is complete is kept"
        )


def _has_size(file: Path, size: int) -> bool:
    return file.is_file() and file.stat().st_size == size


def verified(repository: Repository, files: Iterable[HubFile], folder: Path) -> dict[str, dict[str, Any]]:
    """Size and SHA-256 of the downloaded files by path, all of them as the hub lists them.

    Raises:
        UserError: one is not; it is deleted, so that it is downloaded again.
    """
    files, found = list(files), {}
    with progress_bar("checking", "B", total=sum(file.size for file in files), unit_scale=True) as bar:
        for file in files:
            place = folder / file.path
            with place.open("rb") as stream:
                size, sha256, git_blob = _hashes(stream, file.size, bar)
            said = f"SHA-256 {file.sha256}" if file.sha256 else f"git's hash {file.git_blob}"
            is_same = file.sha256 == sha256 if file.sha256 else file.git_blob in (None, git_blob)
            if size != file.size or not is_same:
                place.unlink()
                raise UserError(
                    f"{repository}: {file.path}: not what the hub lists ({file.size} bytes, {said}), but "
                    f"{size} bytes, SHA-256 {sha256}\nIt was deleted: start again to download it anew; if it "
                    f"is so again, {repository.instead}."
                )
            found[file.path] = {"size": size, "sha256": sha256}
    return found


def _hashes(stream: BinaryIO, expected: int, bar: Any) -> tuple[int, str, str]:
    """Size, SHA-256 and git's hash of a file that is expected to have so many bytes."""
    sha256, git_blob, size = hashlib.sha256(), hashlib.sha1(b"blob %d\0" % expected), 0
    while piece := stream.read(PIECE):
        sha256.update(piece)
        git_blob.update(piece)
        size += len(piece)
        bar.update(len(piece))
    return size, sha256.hexdigest(), git_blob.hexdigest()
