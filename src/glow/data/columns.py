"""Rows of Parquet files, of which no other columns are read than those that are asked for.

A file is read row group by row group, and of each the bytes of those columns alone: from a wide file on the
hub a small part is transferred. Some row groups are read ahead, side by side; rows come in the files' order.
"""

from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, BinaryIO

import pyarrow
from pyarrow import parquet

from glow.files.jsonl import Record
from glow.files.progress import progress_bar

READERS = 8
"""Row groups that are read side by side: each waits for the network most of the time."""

AHEAD_BYTES = 2**28
"""How much of what was read ahead may wait in memory (of the columns' size in the files, uncompressed)."""

WORTH_A_BAR = 2**23
"""From how many bytes on it is shown how reading goes on."""

AT_ONCE = 1000
"""Rows that are Python objects at a time."""


@dataclass(frozen=True)
class _Group:
    """A row group of a file, the names of its wanted columns, and their bytes: as stored, and in memory."""

    file: str
    number: int
    columns: list[str]
    stored: int
    memory: int


class ParquetColumns:
    """Some columns of Parquet files, one after another; their sizes are known when it is made.

    Args:
        files: names that `opened` takes.
        wanted: names of columns; a file may lack some.
        opened: opens a file for reading, at any place.
        persistent: calls what it is given, and again where a failure may pass.
        typed: gives a table the types that its data set states.
    """

    def __init__(
        self,
        files: Sequence[str],
        wanted: Collection[str],
        opened: Callable[[str], BinaryIO],
        persistent: Callable[[Callable[[], Any]], Any],
        typed: Callable[[pyarrow.Table], pyarrow.Table],
    ) -> None:
        self._wanted, self._opened, self._persistent, self._typed = wanted, opened, persistent, typed
        with ThreadPoolExecutor(READERS) as pool:
            self._metadata = dict(zip(files, pool.map(self._read_metadata, files), strict=True))
        self._groups = [group for file in files for group in self._groups_of(file)]
        self.count = sum(metadata.num_rows for metadata in self._metadata.values())
        """Rows of all files."""
        named = [name for found in self._metadata.values() for name in found.schema.to_arrow_schema().names]
        self.unread = [name for name in dict.fromkeys(named) if name not in wanted]
        """Names of the other columns that the files have."""
        self.stored = sum(group.stored for group in self._groups)
        """Bytes of the columns in the files."""

    def rows(self, description: str) -> Iterator[Record]:
        """All rows, with a progress bar of that description."""
        is_short = self.stored < WORTH_A_BAR
        with progress_bar(description, "row", total=self.count, unit_scale=True, disable=is_short) as bar:
            for table in self._tables():
                for batch in table.to_batches(max_chunksize=AT_ONCE):
                    yield from batch.to_pylist()
                    bar.update(batch.num_rows)

    def _tables(self) -> Iterator[pyarrow.Table]:
        """The row groups in their order, of which some are being read while one is used."""
        waiting: deque[tuple[_Group, Future[pyarrow.Table]]] = deque()
        held = 0
        with ThreadPoolExecutor(READERS) as pool:
            try:
                for group in self._groups:
                    while waiting and (len(waiting) == READERS or held + group.memory > AHEAD_BYTES):
                        first, ready = waiting.popleft()
                        held -= first.memory
                        yield ready.result()
                    table = pool.submit(self._persistent, partial(self._read, group))
                    waiting.append((group, table))
                    held += group.memory
                while waiting:
                    yield waiting.popleft()[1].result()
            finally:
                for _, unused in waiting:
                    unused.cancel()

    def _read(self, group: _Group) -> pyarrow.Table:
        with self._opened(group.file) as stream:
            metadata = self._metadata[group.file]
            # What was damaged on its way shows where the writer of the file has left checksums of its pages.
            source = parquet.ParquetFile(stream, metadata=metadata, page_checksum_verification=True)
            return self._typed(source.read_row_group(group.number, columns=group.columns))

    def _read_metadata(self, file: str) -> parquet.FileMetaData:
        def read() -> parquet.FileMetaData:
            with self._opened(file) as stream:
                return parquet.read_metadata(stream)

        return self._persistent(read)

    def _groups_of(self, file: str) -> Iterator[_Group]:
        metadata = self._metadata[file]
        names = [name for name in metadata.schema.to_arrow_schema().names if name in self._wanted]
        for number in range(metadata.num_row_groups):
            group = metadata.row_group(number)
            chunks = [group.column(index) for index in range(group.num_columns)]
            chunks = [chunk for chunk in chunks if chunk.path_in_schema.split(".")[0] in names]
            stored = sum(chunk.total_compressed_size for chunk in chunks)
            yield _Group(file, number, names, stored, sum(chunk.total_uncompressed_size for chunk in chunks))
