"""Rows of a data set of the Hugging Face hub at a pinned commit, or of a copy of its files.

Which files a configuration and a split have is found by the package datasets. From Parquet files only the
named columns are read, and nothing is kept on the disk; files of other kinds are downloaded whole, into the
cache of datasets. Nothing of a data set is executed.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import pyarrow
from huggingface_hub import HfFileSystem, constants, hf_hub_download
from huggingface_hub.errors import RemoteEntryNotFoundError

from glow.data.columns import ParquetColumns
from glow.errors import UserError
from glow.files.hash_cache import file_hash
from glow.files.hub import Repository
from glow.files.jsonl import Record
from glow.files.user_rows import Row

if TYPE_CHECKING:
    from datasets import DatasetBuilder, Features

Answer = TypeVar("Answer")

INSTEAD = 'give the rows as a local copy (docs/cluster.md, "Fetching")'


class HubSplit:
    """One split of a configuration of a data set.

    Args:
        dataset, revision: its name on the hub, org/name, and commit.
        config: its configuration (subset); None for that which the data set calls its default.
        columns: the columns that rows have, where the files have them.
        folder: a copy of its files that is read in place of the hub, as `hf download --local-dir` makes one.
    """

    def __init__(
        self,
        dataset: str,
        revision: str,
        config: str | None,
        split: str,
        columns: Iterable[str],
        folder: Path | None = None,
    ) -> None:
        self._dataset, self._revision, self._config, self._split = dataset, revision, config, split
        self._columns, self._folder = frozenset(columns), folder
        self._repository = Repository(dataset, "data set", revision, INSTEAD)
        self.facts: dict[str, Any] = {}
        """What was read, once all rows were: commit, files with sizes and hashes, number of rows."""
        self.unread: list[str] = []
        """Columns that the files have and rows do not, once reading has begun."""

    @property
    def name(self) -> str:
        """Data set, configuration and split."""
        return f"{self._dataset}/{self._config or 'default'}/{self._split}"

    def rows(self) -> Iterator[Row]:
        """The rows, each with its number in the split, from 1.

        Raises:
            UserError: the data set cannot be read.
        """
        builder = self._builder()
        files = self._files(builder)
        number = 0
        with self._refusing():
            for number, record in enumerate(self._records(builder, files), start=1):
                yield Row(f"{self.name}:{number}", record)
            self.facts |= {"rows": number, "files": [self._file_facts(file) for file in files]}

    def _builder(self) -> "DatasetBuilder":
        from datasets import config, load_dataset_builder

        self.facts = {"split": self.name, "revision": self._revision}
        with self._refusing():
            if self._folder is not None:
                self.facts["folder"] = str(self._folder)
                return load_dataset_builder(str(self._folder), self._config)
            self.facts["endpoint"] = constants.ENDPOINT
            self._repository.refuse_offline(config.HF_HUB_OFFLINE)  # HF_DATASETS_OFFLINE sets it as well
            self._repository.ask(self._reach)
            return self._repository.ask(
                lambda: load_dataset_builder(self._dataset, self._config, revision=self._revision)
            )

    def _reach(self) -> None:
        """Ask for the card: the hub refuses in words of its own, which datasets does not pass on."""
        with suppress(RemoteEntryNotFoundError):  # It has no card.
            hf_hub_download(self._dataset, "README.md", repo_type="dataset", revision=self._revision)

    @contextmanager
    def _refusing(self) -> Iterator[None]:
        """Make what datasets and pyarrow refuse a mistake that a user can mend."""
        from datasets.exceptions import DatasetsError

        try:
            yield
        except (ValueError, OSError, RuntimeError, DatasetsError, pyarrow.ArrowException) as error:
            raise self._unreadable(error) from error

    def _unreadable(self, reason: Exception | str) -> UserError:
        source = f"hub data set {self._dataset}" if self._folder is None else str(self._folder)
        return UserError(
            f"{source} ({self._config or 'default'}, {self._split}) at {self._revision[:8]} cannot be read: "
            f"{' '.join(str(reason).split())[:200]}\nCheck its names and files, or {INSTEAD}."
        )

    def _files(self, builder: "DatasetBuilder") -> list[str]:
        """The files of the split, or of those that an expression such as `train[:1000]+test` names."""
        known = {str(split): list(map(str, files)) for split, files in builder.config.data_files.items()}
        named = [part.partition("[")[0].strip() for part in self._split.split("+")]
        for split in named:
            if split not in known:
                raise self._unreadable(f"there is no split {split!r}, only {', '.join(known)}")
        return [file for split in named for file in known[split]]

    def _records(self, builder: "DatasetBuilder", files: list[str]) -> Iterator[Record]:
        is_whole = not set("[+") & set(self._split)
        if is_whole and all(file.endswith(".parquet") for file in files):
            return self._column_records(builder.info.features, files)
        from datasets import load_dataset

        if self._folder is not None:
            return iter(load_dataset(str(self._folder), self._config, split=self._split))
        arguments = {"split": self._split, "revision": self._revision}
        return iter(
            self._repository.ask(
                lambda: load_dataset(self._dataset, self._config, **arguments), downloads=True
            )
        )

    def _column_records(self, stated: "Features | None", files: list[str]) -> Iterator[Record]:
        from datasets import Features
        from datasets.table import table_cast

        def typed(table: pyarrow.Table) -> pyarrow.Table:
            if stated is None or not stated.keys() >= set(table.column_names):
                return table
            return table_cast(
                table, Features({name: stated[name] for name in table.column_names}).arrow_schema
            )

        def opened(file: str) -> BinaryIO:
            if self._folder is not None:
                return Path(file).open("rb")
            # Without a cache, which would read ahead: then each request is for one column of a row group.
            return self._hub_files.open(file, "rb", cache_type="none")

        ask = self._repository.ask if self._folder is None else _once
        if self._folder is None:
            ask(
                lambda: self._hub_files.info(files[0])
            )  # Lists the folder, before several threads would do so.
        columns = ParquetColumns(files, self._columns, opened, ask, typed)
        self.facts["bytes"] = columns.stored
        self.unread[:] = columns.unread
        return columns.rows(self.name)

    @cached_property
    def _hub_files(self) -> HfFileSystem:
        return HfFileSystem(endpoint=constants.ENDPOINT)

    def _file_facts(self, file: str) -> dict[str, Any]:
        """Path, size and hash of a file: on the hub those that it lists."""
        if self._folder is not None:
            path = Path(file)
            inside = os.path.relpath(path, self._folder)
            return {"path": inside, "size": path.stat().st_size, "sha256": file_hash(path)}
        listed = self._repository.ask(lambda: self._hub_files.info(file))
        facts = {"path": file.partition(f"@{self._revision}/")[2], "size": listed["size"]}
        large = listed.get("lfs")
        return facts | ({"sha256": large.sha256} if large else {"git_blob": listed.get("blob_id")})


def _once(question: Callable[[], Answer]) -> Answer:
    return question()
